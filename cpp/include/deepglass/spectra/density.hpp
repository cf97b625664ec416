// A measure given by its density: Legendre series on panels, which crowd where the density is not smooth.
#pragma once

#include <utility>

#include "deepglass/spectra/measure.hpp"

namespace deepglass::spectra {

// density(x) = sum_j c_kj P_j(t) on panel k, x = middle_k + half_k t.  Its part of G is
//   int P_j(t) dt / (tau - t) = 2 Q_j(tau),   tau = (z - middle_k) / half_k,
// by the recurrence of the Q_j where tau is near the panel (there it is stable), else by Gauss's rule, whose
// error falls as rho^(-2n), rho + 1/rho = |tau - 1| + |tau + 1|.
class Density final : public Measure {
 public:
  static constexpr int kTerms = 16;

  Density(std::vector<Interval> panels /* (n,), increasing */,
          std::vector<double> coefficients /* (n, kTerms) */, std::vector<Atom> atoms)
      : panels_(std::move(panels)), coefficients_(std::move(coefficients)), atoms_(std::move(atoms)) {
    if (panels_.empty() || coefficients_.size() != panels_.size() * kTerms) {
      deepglass::detail::invalid("coefficients must have shape (", panels_.size(), ", ", kTerms,
                                 "), at least one panel");
    }
    const Rule rule = gauss_legendre(kTerms, -1, 1);
    for (std::size_t k = 0; k < panels_.size(); ++k) {
      const Interval panel = panels_[k];
      if (!(std::isfinite(panel.left) && std::isfinite(panel.right) && panel.left < panel.right) ||
          (k > 0 && panel.left < panels_[k - 1].right)) {
        deepglass::detail::invalid("panels must be finite and increasing, got [", panel.left, ", ",
                                   panel.right, "]");
      }
      for (int i = 0; i < kTerms; ++i) {
        const double t = rule.nodes[static_cast<std::size_t>(i)];
        double before = 0, p = 1, sum = 0;
        for (int j = 0; j < kTerms; ++j) {
          sum += coefficients_[k * kTerms + static_cast<std::size_t>(j)] * p;
          const double next = ((2 * j + 1) * t * p - j * before) / (j + 1);
          before = p;
          p = next;
        }
        const double half = 0.5 * (panel.right - panel.left);
        nodes_.push_back(0.5 * (panel.left + panel.right) + half * t);
        masses_.push_back(half * rule.weights[static_cast<std::size_t>(i)] * sum);
      }
    }
  }

  Value cauchy(Complex z) const override { return transforms(z).g; }

  Transforms transforms(Complex z) const override {
    Transforms sum{{0, 0}, {0, 0}};
    for (std::size_t k = 0; k < panels_.size(); ++k) {
      const double half = 0.5 * (panels_[k].right - panels_[k].left);
      const Complex above = (z - panels_[k].left) / half, below = (z - panels_[k].right) / half;
      if (std::abs(above) + std::abs(below) > kNear) {
        far(z, k * kTerms, sum);
      } else {
        const Value g = near(above, below, &coefficients_[k * kTerms]);
        const Complex slope = g.slope / half;
        sum.g.value += g.value;
        sum.g.slope += slope;
        sum.m.value += z * g.value - 2 * half * coefficients_[k * kTerms];  // x/(z - x) = z/(z - x) - 1
        sum.m.slope += g.value + z * slope;
      }
    }
    for (const Atom& atom : atoms_) {
      const Complex g = atom.mass / (z - atom.position), slope = -g / (z - atom.position);
      sum.g.value += g;
      sum.g.slope += slope;
      sum.m.value += atom.position * g;
      sum.m.slope += atom.position * slope;
    }
    return sum;
  }

  std::vector<Interval> support() const override {
    std::vector<Interval> parts;
    for (const Interval& panel : panels_) {
      if (!parts.empty() && parts.back().right == panel.left) {
        parts.back().right = panel.right;
      } else {
        parts.push_back(panel);
      }
    }
    return parts;
  }
  std::vector<Atom> atoms() const override { return atoms_; }

 private:
  static constexpr double kNear = 3.5;  // rho + 1/rho for rho^(-2 kTerms) = 1e-16

  void far(Complex z, std::size_t first, Transforms& sum) const {
    const double x = z.real(), y = z.imag();
    const double *position = &nodes_[first], *mass = &masses_[first];
    double g[4] = {0, 0, 0, 0}, m[4] = {0, 0, 0, 0};
#pragma omp simd reduction(+ : g, m)
    for (int i = 0; i < kTerms; ++i) {
      const double d = x - position[i], inverse = 1 / (d * d + y * y);
      const double a = d * inverse, b = y * inverse, w = mass[i], v = w * position[i];
      const double square_re = a * a - b * b, square_im = -2 * (a * b);
      g[0] += w * a, g[1] -= w * b, g[2] -= w * square_re, g[3] -= w * square_im;
      m[0] += v * a, m[1] -= v * b, m[2] -= v * square_re, m[3] -= v * square_im;
    }
    sum.g.value += Complex(g[0], g[1]);
    sum.g.slope += Complex(g[2], g[3]);
    sum.m.value += Complex(m[0], m[1]);
    sum.m.slope += Complex(m[2], m[3]);
  }

  // sum_j 2 c_j Q_j(tau) and its derivative;  Q_0 = log((tau + 1)/(tau - 1))/2,  Q_1 = tau Q_0 - 1,
  // (tau^2 - 1) Q_j' = j (tau Q_j - Q_{j-1}),  -1 for j = 0.
  static Value near(Complex above, Complex below, const double* c) {
    constexpr double kTiny = 1e-11;  // at the joint of two panels their logarithms cancel
    if (std::abs(above) < kTiny) above = {0, kTiny};
    if (std::abs(below) < kTiny) below = {0, kTiny};
    const Complex tau = 0.5 * (above + below), square = above * below;
    // arg(tau + 1) - arg(tau - 1), each in [0, pi]: from above the cut
    const Complex log_ratio(0.5 * std::log(std::norm(above) / std::norm(below)),
                            std::atan2(std::fabs(above.imag()), above.real()) -
                                std::atan2(std::fabs(below.imag()), below.real()));
    Complex before = 0, q = 0.5 * log_ratio, value = 0, slope = 0;
    for (int j = 0; j < kTerms; ++j) {
      value += 2 * c[j] * q;
      slope += 2 * c[j] * (j == 0 ? Complex(-1) : static_cast<double>(j) * (tau * q - before));
      const Complex next =
          j == 0 ? tau * q - 1.0 : ((2.0 * j + 1) * tau * q - static_cast<double>(j) * before) / (j + 1.0);
      before = q;
      q = next;
    }
    return {value, slope / square};
  }

  std::vector<Interval> panels_;
  std::vector<double> coefficients_;
  std::vector<Atom> atoms_;
  std::vector<double> nodes_, masses_;  // (n, kTerms)
};

}  // namespace deepglass::spectra
