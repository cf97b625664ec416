// Nodes and weights for averages over a normal variable and for integrals over intervals; log-sum-exp.
//
// A rule stands for  sum_j weights[j] f(nodes[j]),  nodes increasing.  Rules are made in long double, where
// that is longer, and rounded once: their last bits owe nothing to the CPU level.
#pragma once

#include <cmath>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "deepglass/core.hpp"

namespace deepglass {

struct Rule {
  std::vector<double> nodes;    // (n,)
  std::vector<double> weights;  // (n,)
};

constexpr int kMostGaussNodes = 4096;  // cost n^2; for more, take panels

namespace detail {

using Real = long double;

template <class... Parts>
[[noreturn]] void invalid(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  throw std::invalid_argument(text.str());
}

inline Rule empty_rule(int n, const char* name) {
  if (n < 1 || n > kMostGaussNodes) invalid(name, " must be in 1..", kMostGaussNodes, ", got ", n);
  const auto size = static_cast<std::size_t>(n);
  return {std::vector<double>(size), std::vector<double>(size)};
}

// Sets node i and its mirror image, counted from the right: x >= 0, decreasing.
inline void set_pair(Rule& rule, int i, Real x, Real weight) {
  const std::size_t left = static_cast<std::size_t>(i), right = rule.nodes.size() - 1 - left;
  rule.nodes[left] = -static_cast<double>(x);
  rule.nodes[right] = static_cast<double>(x);
  rule.weights[left] = rule.weights[right] = static_cast<double>(weight);
}

struct HermiteValues {
  Real ratio;   // p_n / p_n'
  Real weight;  // 1 / sum_{k<n} p_k^2
};

// The orthonormal polynomials of the standard normal density,
//   sqrt(k+1) p_{k+1} = x p_k - sqrt(k) p_{k-1},   p_n' = sqrt(n) p_{n-1},
// whose squares have a sum of positive terms: every weight keeps its relative accuracy.
inline HermiteValues hermite_values(int n, Real x) {
  constexpr Real kBig = 1e100L;
  Real before = 0, p = 1, squares = 0, factor = 1;
  for (int k = 0; k < n; ++k) {
    squares += p * p;
    const Real next =
        (x * p - std::sqrt(static_cast<Real>(k)) * before) / std::sqrt(static_cast<Real>(k + 1));
    before = p;
    p = next;
    if (std::fabs(p) > kBig) {
      before /= kBig;
      p /= kBig;
      squares /= kBig * kBig;
      factor /= kBig * kBig;  // 0 where the weight is below the smallest number
    }
  }
  return {p / (std::sqrt(static_cast<Real>(n)) * before), factor / squares};
}

}  // namespace detail

// Gauss-Hermite rule for E f(z), z standard normal; exact for polynomials of degree < 2n.  Weights sum to 1.
//
// Newton's method from the right, with the roots already found divided out (Maehly): there it converges
// monotonically.  Starts lie half a spacing inside the last root, since spacings shrink slowly inwards.
inline Rule gauss_hermite(int n) {
  using detail::Real;
  Rule rule = detail::empty_rule(n, "n");
  std::vector<Real> roots;
  // All roots lie below 2 sqrt(n); near there they are spaced as the zeros of Airy's function.
  Real start = 2 * std::sqrt(static_cast<Real>(n)), spacing = 1.7L / std::pow(static_cast<Real>(n), 1.0L / 6);
  for (int i = 0; i < n / 2; ++i) {
    Real x = start;
    for (int turn = 0;; ++turn) {
      const Real ratio = detail::hermite_values(n, x).ratio;
      Real poles = 0;
      for (const Real root : roots) poles += 1 / (x - root);
      const Real step = ratio / (1 - ratio * poles);
      x -= step;
      if (std::fabs(step) < 1e-11L) break;  // the error is the square of the last step
      if (turn == 100) throw NumericalError("gauss_hermite: no convergence");
    }
    detail::set_pair(rule, i, x, detail::hermite_values(n, x).weight);
    if (i > 0) spacing = roots.back() - x;
    roots.push_back(x);
    start = x - spacing / 2;
  }
  if (n % 2 == 1) detail::set_pair(rule, n / 2, 0, detail::hermite_values(n, 0).weight);
  return rule;
}

// Gauss-Legendre rule for the integral of f over [a, b]; exact for polynomials of degree < 2n.
inline Rule gauss_legendre(int n, double a, double b) {
  using detail::Real;
  if (!(std::isfinite(a) && std::isfinite(b) && a < b)) {
    detail::invalid("a and b must be finite with a < b, got a = ", a, ", b = ", b);
  }
  Rule rule = detail::empty_rule(n, "n");
  const Real middle = (static_cast<Real>(a) + b) / 2, half = (static_cast<Real>(b) - a) / 2;
  const Real pi = std::acos(static_cast<Real>(-1));
  for (int i = 0; i < (n + 1) / 2; ++i) {
    Real x = 2 * i + 1 == n ? 0 : std::cos(pi * (i + 0.75L) / (n + 0.5L)), slope = 1;
    for (bool converged = false;;) {
      Real before = 0, p = 1;
      for (int k = 0; k < n; ++k) {
        const Real next = ((2 * k + 1) * x * p - k * before) / (k + 1);
        before = p;
        p = next;
      }
      slope = n * (before - x * p) / (1 - x * x);
      const Real step = p / slope;
      if (converged) break;  // one turn more, so that slope belongs to the final x
      converged = std::fabs(step) < 1e-13L;
      x -= step;
    }
    const std::size_t left = static_cast<std::size_t>(i), right = rule.nodes.size() - 1 - left;
    rule.nodes[left] = static_cast<double>(middle - half * x);
    rule.nodes[right] = static_cast<double>(middle + half * x);
    rule.weights[left] = rule.weights[right] = static_cast<double>(2 * half / ((1 - x * x) * slope * slope));
  }
  return rule;
}

// Gauss-Legendre with n_nodes in each panel between consecutive breaks: for integrands smooth but for kinks
// at the breaks.  Error of order (panel length)^(2 n_nodes).
inline Rule panel_rule(Span<const double> breaks /* (n_panels + 1,) increasing */, int n_nodes) {
  if (breaks.size() < 2) detail::invalid("breaks must have at least 2 entries, got ", breaks.size());
  for (Index i = 0; i + 1 < breaks.size(); ++i) {
    if (!(std::isfinite(breaks[i]) && std::isfinite(breaks[i + 1]) && breaks[i] < breaks[i + 1])) {
      detail::invalid("breaks must be finite and increasing, got ", breaks[i], " before ", breaks[i + 1]);
    }
  }
  detail::empty_rule(n_nodes, "n_nodes");
  const Rule unit = gauss_legendre(n_nodes, -1, 1);
  Rule rule;
  for (Index i = 0; i + 1 < breaks.size(); ++i) {
    const double middle = breaks[i] / 2 + breaks[i + 1] / 2, half = breaks[i + 1] / 2 - breaks[i] / 2;
    for (std::size_t j = 0; j < unit.nodes.size(); ++j) {
      rule.nodes.push_back(middle + half * unit.nodes[j]);
      rule.weights.push_back(half * unit.weights[j]);
    }
  }
  return rule;
}

// Trapezoidal rule in t for the integral of f(h) dh, h = scale sinh(t):
//   h_j = scale sinh(j dt),  weights scale cosh(j dt) dt,  j the integers from beyond left to beyond right.
// For integrands that vary on the scale near 0 and decay before the ends, such as a Gaussian times a function
// of h / scale: the error falls exponentially in 1/dt, and the number of nodes grows as log(1/scale) only.
inline Rule sinh_rule(double scale, double left, double right, double dt) {
  if (!(scale > 0 && std::isfinite(scale))) detail::invalid("scale must be positive and finite, got ", scale);
  if (!(std::isfinite(left) && std::isfinite(right) && left < right)) {
    detail::invalid("left and right must be finite with left < right, got left = ", left,
                    ", right = ", right);
  }
  if (!(std::isfinite(left / scale) && std::isfinite(right / scale))) {
    detail::invalid("scale must not be so small against left and right, got ", scale);
  }
  if (!(dt >= 1e-6 && dt <= 1)) detail::invalid("dt must be in [1e-6, 1], got ", dt);
  // The outermost nodes reach the ends or pass them by less than a step.
  const auto first = static_cast<Index>(std::floor(std::asinh(left / scale) / dt));
  const auto last = static_cast<Index>(std::ceil(std::asinh(right / scale) / dt));
  Rule rule;
  for (Index j = first; j <= last; ++j) {
    const double t = static_cast<double>(j) * dt;
    rule.nodes.push_back(scale * std::sinh(t));
    rule.weights.push_back(scale * std::cosh(t) * dt);
  }
  return rule;
}

// log sum_j w_j exp(x_j); w_j = 1 where there are no weights.  -inf for an empty sum and where every x_j is
// -inf; NaN goes through.  A term of weight 0 is left out, whatever its x_j.
inline double log_sum_exp(Span<const double> x /* (n,) */,
                          Span<const double> weights = {} /* (n,) or empty */) {
  const bool weighted = weights.data() != nullptr;
  if (weighted && weights.size() != x.size()) {
    detail::invalid("weights must have shape (", x.size(), ",), got (", weights.size(), ",)");
  }
  double shift = -std::numeric_limits<double>::infinity();
  for (Index j = 0; j < x.size(); ++j) {
    if ((!weighted || weights[j] != 0) && x[j] > shift) shift = x[j];
  }
  if (!std::isfinite(shift)) shift = 0;
  double sum = 0;
  for (Index j = 0; j < x.size(); ++j) {
    const double w = weighted ? weights[j] : 1.0;
    if (w != 0) sum += w * std::exp(x[j] - shift);
  }
  return std::log(sum) + shift;
}

}  // namespace deepglass
