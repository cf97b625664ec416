// Averages over one Gaussian variable,  E f(phi(u), phi'(u)),  u = mean + sd z,  z standard normal.
//
// Composite Gauss-Legendre: panels end at the kinks of phi and are as short as phi needs (Activation), and no
// longer than the Gaussian allows.  Exact to rounding, 1e-15; Gauss-Hermite is not, for kinks and for poles.
#pragma once

#include "deepglass/meanfield/activation.hpp"

namespace deepglass::meanfield {

// How far the Gaussian reaches, and how wide a panel may be: products of two functions of z other than phi
// and the density need narrow ones.
constexpr double kReach = 13.0, kInnerReach = 10.0;
constexpr double kWide = 2.0, kNarrow = 1.0;

inline const Rule& panel_unit() {
  static const Rule unit = gauss_legendre(kPanelNodes, -1, 1);
  return unit;
}

// The nodes of an average, and the activation there.
struct GaussianNodes {
  std::vector<double> z, weight;   // E f(z) = sum_j weight[j] f(z[j])
  std::vector<double> phi, slope;  // phi and phi' at mean + sd z
  std::vector<double> breaks;      // of the panels, in z

  Index size() const { return static_cast<Index>(z.size()); }

  // Panels between the breaks given (any order, doubles allowed) that lie within the reach.
  void set_rule(double reach, double widest) {
    breaks.push_back(-reach);
    breaks.push_back(reach);
    std::sort(breaks.begin(), breaks.end());
    const Rule& unit = panel_unit();
    z.clear();
    weight.clear();
    double left = -reach;
    for (const double right : breaks) {
      if (!(right > left) || right > reach) continue;
      const double n = std::ceil((right - left) / widest * (1 - 1e-12)), width = (right - left) / n;
      for (double k = 0; k < n; ++k) {
        const double middle = left + (k + 0.5) * width, half = 0.5 * width;
        const std::size_t first = z.size();
        z.resize(first + kPanelNodes);
        weight.resize(first + kPanelNodes);
        const double *x = unit.nodes.data(), *w = unit.weights.data();
        double *z_out = z.data() + first, *w_out = weight.data() + first;
#pragma omp simd
        for (int j = 0; j < kPanelNodes; ++j) {
          z_out[j] = middle + half * x[j];
          w_out[j] = half * w[j];
        }
      }
      left = right;
    }
    const Index n_nodes = size();
    double* w = weight.data();
    const double* x = z.data();
#pragma omp simd
    for (Index j = 0; j < n_nodes; ++j) {
      w[j] *= vmath::detail::kInvSqrt2Pi * vmath::exp(-0.5 * x[j] * x[j]);
    }
  }

  void evaluate(const Activation& activation, double mean, double sd) {
    const std::size_t n = z.size();
    phi.resize(n);
    slope.resize(n);
    u_.resize(n);
    for (std::size_t j = 0; j < n; ++j) u_[j] = mean + sd * z[j];
    activation.evaluate(u_, phi, slope);
  }

  void set(const Activation& activation, double mean, double sd, double reach = kReach,
           double widest = kWide) {
    breaks.clear();
    if (sd > 0) {
      activation.add_breaks(mean - reach * sd, mean + reach * sd, breaks);
      for (double& b : breaks) b = (b - mean) / sd;
    }
    set_rule(reach, widest);
    evaluate(activation, mean, sd);
  }

  // sum_j weight[j] f(z, phi, phi')
  template <class F>
  double average(F&& f) const {
    const double *w = weight.data(), *x = z.data(), *p = phi.data(), *d = slope.data();
    const Index n = size();
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (Index j = 0; j < n; ++j) sum += w[j] * f(x[j], p[j], d[j]);
    return sum;
  }

 private:
  std::vector<double> u_;
};

inline void require_variance(double q, const char* name = "variance") {
  if (!(q >= 0 && std::isfinite(q))) {
    std::ostringstream text;
    text << name << " must be a finite number >= 0, got " << q;
    throw std::invalid_argument(text.str());
  }
}

// Nodes z with phi and phi' at u = sqrt(q) z.
inline GaussianNodes gaussian_nodes(const Activation& activation, double q, double widest = kWide) {
  require_variance(q);
  GaussianNodes nodes;
  nodes.set(activation, 0.0, std::sqrt(q), kReach, widest);
  return nodes;
}

// Averages at u = sqrt(q) z.
struct Moments {
  double mean;          // E phi
  double square;        // E phi^2
  double slope;         // E phi'
  double slope_square;  // E phi'^2
  double slope_fourth;  // E phi'^4
  double cross;         // E z phi phi' = (d/d sqrt(q)) E phi^2 / 2
};

inline Moments moments(const GaussianNodes& nodes) {
  const double *w = nodes.weight.data(), *z = nodes.z.data(), *p = nodes.phi.data(), *d = nodes.slope.data();
  const Index n = nodes.size();
  double mean = 0, square = 0, slope = 0, slope_square = 0, slope_fourth = 0, cross = 0;
#pragma omp simd reduction(+ : mean, square, slope, slope_square, slope_fourth, cross)
  for (Index j = 0; j < n; ++j) {
    const double wp = w[j] * p[j], wd = w[j] * d[j], d2 = d[j] * d[j];
    mean += wp;
    square += wp * p[j];
    slope += wd;
    slope_square += w[j] * d2;
    slope_fourth += w[j] * d2 * d2;
    cross += wp * d[j] * z[j];
  }
  return {mean, square, slope, slope_square, slope_fourth, cross};
}

inline Moments moments(const Activation& activation, double q) {
  return moments(gaussian_nodes(activation, q));
}

}  // namespace deepglass::meanfield
