// Replica-symmetric Gaussian-field terms: the averages over the local field that every model is made of.
//
// A term is a terminal function f and a centred Gaussian field h of variance v (the covariance level between
// two replicas).  With n replicas of the free energy kept (n = 0: quenched disorder; n = 1: one of them is
// the planted teacher, Nishimori line) the field is distributed as
//     P(h) ~ N(h; 0, v) exp(n f(h)),
// and one needs
//     value      E_P f
//     slope      E_P f'^2                              (the overlap-like response g, resp. q)
//     curvature  E_P f''^2                             (the replicon's response)
//     response   d slope / d v = E_P [f''^2 - 2 (1 - n) f'^2 f'']       (longitudinal; = curvature at n = 1)
// The last identity holds because both terminal functions solve d f / d v = -(f'' + f'^2)/2 along the way.
//
// Quadrature: trapezoid rule in t with h = c + b sinh t, b = min(sqrt v, width of f).  The integrand is
// analytic for |Im t| < pi/4, so the error is exp(-pi^2 / (2 kSpacing)) = 7e-18 whatever the ratio of the two
// widths.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>

#include "deepglass/core.hpp"
#include "deepglass/vmath.hpp"

namespace deepglass::parisi {

struct FieldMoments {
  double value;       // E f; for Ising spins: the entropy term, see ising_field
  double slope;       // E f'^2
  double complement;  // 1 - slope for Ising spins, free of cancellation; unused for walls
  double curvature;   // E f''^2
  double response;    // d slope / d variance
};

namespace detail {

constexpr double kSpacing = 0.125;
constexpr double kGaussianReach = 9.5;  // exp(-9.5^2/2) = 2.5e-20
constexpr Index kMaxNodes = 512;        // |t| <= 64, that is a ratio of widths up to 3e27

// sinh and cosh on the lattice j * kSpacing, j = -kMaxNodes .. kMaxNodes.
struct SinhLattice {
  std::array<double, 2 * kMaxNodes + 1> sinh_t, cosh_t;
  SinhLattice() {
    for (Index j = -kMaxNodes; j <= kMaxNodes; ++j) {
      sinh_t[static_cast<std::size_t>(j + kMaxNodes)] = std::sinh(static_cast<double>(j) * kSpacing);
      cosh_t[static_cast<std::size_t>(j + kMaxNodes)] = std::cosh(static_cast<double>(j) * kSpacing);
    }
  }
  // Pointers to the entry j = 0.
  const double* sinh_centre() const { return sinh_t.data() + kMaxNodes; }
  const double* cosh_centre() const { return cosh_t.data() + kMaxNodes; }
};

inline const SinhLattice& sinh_lattice() {
  static const SinhLattice lattice;
  return lattice;
}

inline Index lattice_index(double ratio) {
  const double t = std::asinh(ratio) / kSpacing;
  if (!(std::abs(t) < static_cast<double>(kMaxNodes - 2))) {
    throw NumericalError("overlaps too close to 1 for the quadrature (1 - lambda below 1e-50)");
  }
  return static_cast<Index>(t);
}

constexpr double kInvSqrt2Pi = 0.398942280401432677939946059934;

}  // namespace detail

// Perceptron constraint, f(h) = ln Phi((h - shift)/s) with s^2 = 1 - v + width^2: the gap r must exceed
// `shift`, smeared by a Gaussian of standard deviation `width`.  `one_minus_variance` is given apart because
// v -> 1.
inline FieldMoments wall_field(double variance, double one_minus_variance, int replicas, double width,
                               double shift) {
  const double s2 = one_minus_variance + width * width;
  const double s = std::sqrt(s2), inv_s = 1.0 / s;
  const double weight_on_f = replicas;                    // n
  const double slope_weight = 2.0 * (1.0 - weight_on_f);  // 2 (1 - n)
  if (variance == 0.0) {
    const double u = -shift * inv_s;
    const double f1 = vmath::inverse_mills_ratio(u) * inv_s;
    const double f2 = vmath::inverse_mills_ratio_slope(u) / s2;
    return {vmath::log_normal_cdf(u), f1 * f1, 0.0, f2 * f2, f2 * f2 - slope_weight * f1 * f1 * f2};
  }
  const double sigma = std::sqrt(variance), inv_sigma = 1.0 / sigma;
  const double b = std::min(s, sigma);
  const double centre = variance > s2 ? shift : 0.0;  // refine where the narrower of the two factors is
  const double reach = detail::kGaussianReach * sigma;
  const Index first = detail::lattice_index((-reach - centre) / b) - 1;
  const Index last = detail::lattice_index((reach - centre) / b) + 1;
  const double* sinh_t = detail::sinh_lattice().sinh_centre();
  const double* cosh_t = detail::sinh_lattice().cosh_centre();
  double mass = 0, value = 0, slope = 0, curvature = 0, response = 0;
#pragma omp simd reduction(+ : mass, value, slope, curvature, response)
  for (Index j = first; j <= last; ++j) {
    const double h = centre + b * sinh_t[j];
    const double x = h * inv_sigma, u = (h - shift) * inv_s;
    const double f = vmath::log_normal_cdf(u);
    const double f1 = vmath::inverse_mills_ratio(u), f2 = vmath::inverse_mills_ratio_slope(u);
    const double w = cosh_t[j] * vmath::exp(weight_on_f * f - 0.5 * x * x);
    mass += w;
    value += w * f;
    slope += w * f1 * f1;
    curvature += w * f2 * f2;
    response += w * (f2 * f2 - slope_weight * f1 * f1 * f2);
  }
  const double norm = 1.0 / mass, norm2 = norm / s2, norm4 = norm2 / s2;
  return {value * norm, slope * norm2, 0.0, curvature * norm4, response * norm4};
}

// Ising spin in its local field, f(h) = ln 2cosh h, f' = tanh h.  `value` is the whole spin term
//     E_P f - v/2 + v q (1 - 2n)/2  =  E_P [ln 2cosh h - h tanh h] + v (1 - q)/2,
// the mean entropy of a spin in the field h plus the field's cost: for n = 0 and 1 alike, without
// cancellation.
inline FieldMoments ising_field(double variance, int replicas) {
  if (variance == 0.0) return {std::log(2.0), 0.0, 1.0, 1.0, 1.0};
  const double sigma = std::sqrt(variance), inv_sigma = 1.0 / sigma;
  const double n = replicas;
  const double b = std::min(1.0, sigma);
  // Every average but that of tanh^2 decays like exp(-(2-n) h); tanh^2 is only needed where v < 1.
  const double reach = std::min(detail::kGaussianReach * sigma + n * variance, 45.0);
  const Index last = detail::lattice_index(reach / b) + 1;
  const double* sinh_t = detail::sinh_lattice().sinh_centre();
  const double* cosh_t = detail::sinh_lattice().cosh_centre();
  // P is even: fold it on h >= 0.  The mass is known, E cosh^n = exp(n v/2).
  const double scale = 2.0 * b * detail::kSpacing * detail::kInvSqrt2Pi * inv_sigma;
  const double ln2 = 0.693147180559945309417232121458;
  double entropy = 0, slope = 0, complement = 0, curvature = 0, response = 0;
#pragma omp simd reduction(+ : entropy, slope, complement, curvature, response)
  for (Index j = 0; j <= last; ++j) {
    const double h = b * sinh_t[j];
    const double x = h * inv_sigma;
    const double e2 = vmath::exp(-2.0 * h);
    const double ln_1p = vmath::log1p(e2);
    const double tanh_h = vmath::tanh(h);
    const double sech2 = 4.0 * e2 / ((1.0 + e2) * (1.0 + e2));
    const double exponent = n * (h + ln_1p - ln2 - 0.5 * variance) - 0.5 * x * x;
    const double w = (j == 0 ? 0.5 : 1.0) * cosh_t[j] * vmath::exp(exponent);
    entropy += w * (ln_1p + 2.0 * h * e2 / (1.0 + e2));
    slope += w * tanh_h * tanh_h;
    complement += w * sech2;
    curvature += w * sech2 * sech2;
    response += w * (sech2 * sech2 - 2.0 * (1.0 - n) * tanh_h * tanh_h * sech2);
  }
  complement *= scale;
  slope = variance < 1.0 ? scale * slope : 1.0 - complement;
  return {scale * entropy + 0.5 * variance * complement, slope, complement, scale * curvature,
          scale * response};
}

}  // namespace deepglass::parisi
