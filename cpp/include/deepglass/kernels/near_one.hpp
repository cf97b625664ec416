// Pairs of inputs whose correlation is so close to 1 or -1 that Mehler's series is too long, one by one.
#pragma once

#include <algorithm>
#include <cmath>

#include "deepglass/kernels/layer_maps.hpp"

namespace deepglass::kernels {

// A pair at one layer, and what becomes of it: v, the signed gap of V^, and slope = dV^/dc (see
// layer_maps.hpp).
struct NearPair {
  double q1, q2;            // variances
  double root_s1, root_s2;  // (E phi^2)^{1/2}
  double g;                 // signed gap of the correlation
};
struct NearResult {
  double v, slope;
};

// Any function, by quadrature in two dimensions: about a millisecond.
inline NearResult by_quadrature(const Activation& phi, const NearPair& pair) {
  const double s = pair.root_s1 * pair.root_s2;
  if (!(s > 0)) return {1.0, 0.0};
  const double root_q = std::sqrt(pair.q1) * std::sqrt(pair.q2);
  const double m = std::abs(pair.g), c = std::copysign(1.0 - m, pair.g);
  if (m == 0 && c > 0 && pair.q1 == pair.q2) {
    return {0.0, meanfield::moments(phi, pair.q1).slope_square * root_q / s};
  }
  const meanfield::TwoPoint two =
      meanfield::TwoPointAverage(phi, pair.q1, pair.q2).by_quadrature(c, std::sqrt(m * (2.0 - m)));
  const double slope = two.slope * root_q / s, apart = pair.root_s1 - pair.root_s2;
  if (!(two.value > 0)) return {-std::max(1.0 + std::max(two.value / s, -1.0), 0.0), slope};
  const double from_one = std::max((two.gap - 0.5 * apart * apart) / s, 0.0);
  return {detail::signed_gap(std::min(from_one, 2.0), 1.0), slope};
}

// hard_tanh from correlation +-c0, where the series still serves, to c beyond (Plackett 1954): phi'' is a
// delta function at each kink, so that
//   d^2 V^ / dc^2 = gamma R(c),   R = 2 [rho_c(a, b) - rho_c(a, -b)],   gamma = (q1 q2)^{1/2} / (s1 s2),
// with rho_c the density of two normal variables of correlation c, and a, b the kinks in units of the
// deviations. In the angle t, cos t = c, nothing is singular:
//   R dc = W(t) dt,  W = e^{-(a-b)^2 / (2 sin^2 t)} [e^{-ab / (2 cos^2(t/2))} - e^{-ab / (2 sin^2(t/2))}] /
//   pi,
// and panels halved towards t = 0 resolve the first factor.  Some 0.1 microseconds a panel.  The error of V^
// is 1e-16, which is to be small against the next angle: for |g| above kNearest.
struct HardTanhEnd {
  static constexpr double kNearest = 1e-6;
  static constexpr int kNodes = 16;

  static NearResult run(const Activation& phi, const NearPair& pair, double c0, double value, double slope) {
    const double scale = std::abs(phi.in_scale()), out2 = phi.out_scale() * phi.out_scale();
    const double sd1 = scale * std::sqrt(pair.q1), sd2 = scale * std::sqrt(pair.q2);
    const double a = 1.0 / sd1, b = 1.0 / sd2, product = 0.5 * a * b, apart2 = 0.5 * (a - b) * (a - b);
    const double gamma = out2 * sd1 * sd2 / (pair.root_s1 * pair.root_s2);
    const double m = std::abs(pair.g), sign = std::copysign(1.0, pair.g), c = 1.0 - m;
    const double end = 2.0 * std::asin(std::sqrt(0.5 * m));
    static const Rule unit = gauss_legendre(kNodes, 0, 1);
    const double *x = unit.nodes.data(), *w = unit.weights.data();
    double first = 0, second = 0;  // integrals of W and (c - cos t) W
    for (double right = std::acos(c0); right > end;) {
      const double left = 0.5 * right > end ? 0.5 * right : end, width = right - left;
      double sum = 0, sum_c = 0;
#pragma omp simd reduction(+ : sum, sum_c)
      for (int j = 0; j < kNodes; ++j) {
        const auto [sine, cosine] = meanfield::detail::sin_cos(0.5 * (left + width * x[j]));
        const double s2 = sine * sine, c2 = cosine * cosine, common = -apart2 / (4.0 * s2 * c2);
        const double f = vmath::exp(common - product / c2) - vmath::exp(common - product / s2);
        sum += w[j] * f;
        sum_c += w[j] * f * (2.0 * s2 - m);
      }
      first += width * sum;
      second += width * sum_c;
      right = left;
    }
    first *= gamma / detail::kPi;
    second *= gamma / detail::kPi;
    const double at_c = value + sign * ((c - c0) * slope + second);
    const double gap = std::min(1.0, std::max(0.0, 1.0 - std::abs(at_c)));
    return {std::copysign(gap, at_c), slope + first};
  }
};

}  // namespace deepglass::kernels
