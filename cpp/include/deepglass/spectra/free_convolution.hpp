// Free sums, products and powers of measures: the maps of subordination.hpp.
#pragma once

#include "deepglass/spectra/gaps.hpp"
#include "deepglass/spectra/subordination.hpp"

namespace deepglass::spectra {

namespace detail {

// Rounding must not carry a point of the closed upper half plane below it.
inline Complex above(Complex z) {
  return {z.real(), z.imag() > 0 ? z.imag() : 0.0};
}

inline double extent(const Measure& mu) {
  const Interval all = hull(mu);
  return std::max({all.right - all.left, std::fabs(all.left), std::fabs(all.right)});
}

struct Reciprocal {  // F or H and its derivative
  Complex value, slope;
};
inline Reciprocal reciprocal(const Value& g) {  // F = 1/G
  const Complex f = 1.0 / g.value;
  return {f, -g.slope * f * f};
}
inline Reciprocal shifted_reciprocal(const Value& m) {  // H = 1 + 1/M
  const Complex inverse = 1.0 / m.value;
  return {1.0 + inverse, -m.slope * inverse * inverse};
}

// Transform of a product or its power from the one of the factor: M is the same, at z instead of w.
inline Value cauchy_from_moment(Complex z, const Value& m, Complex w_slope) {
  const Complex g = (1.0 + m.value) / z;
  return {g, (m.slope * w_slope - g) / z};
}

// From a point over 0 turning towards z, at the same distance from 0: for products it is the angle that
// counts.
inline Complex turned(Complex z, double place) {
  const double angle = std::arg(above(z));
  return place == 0 ? z : std::polar(std::abs(z), angle + place * (kPi / 2 - angle));
}

}  // namespace detail

class FreeSum {
 public:
  FreeSum(MeasurePointer mu1, MeasurePointer mu2)
      : factors_{{std::move(mu1), 1}, {std::move(mu2), 1}},
        height_(detail::extent(*factors_[0].mu) + detail::extent(*factors_[1].mu)) {}

  Turn turn(Complex z, Complex w1) const {
    const Value g1 = factors_[0].mu->cauchy(w1);
    const auto f1 = detail::reciprocal(g1);
    const Complex w2 = detail::above(z + f1.value - w1);
    const auto f2 = detail::reciprocal(factors_[1].mu->cauchy(w2));
    return {z + f2.value - w2, (f1.slope - 1.0) * (f2.slope - 1.0), f2.slope, g1};
  }
  Complex path(Complex z, double place) const { return {z.real(), z.imag() + place * height_}; }
  Value result(Complex, const Turn& turn, Complex w_slope) const {
    return {turn.transform.value, turn.transform.slope * w_slope};
  }
  std::vector<Interval> support() const { return support_of(Convolution::kSum, factors_); }
  std::vector<Atom> atoms() const { return atoms_of(Convolution::kSum, factors_); }

 private:
  std::vector<Factor> factors_;
  double height_;
};

class FreeProduct {  // of measures on [0, inf)
 public:
  FreeProduct(MeasurePointer mu1, MeasurePointer mu2) : factors_{{std::move(mu1), 1}, {std::move(mu2), 1}} {}

  Turn turn(Complex z, Complex w1) const {
    const Value m1 = factors_[0].mu->moment_transform(w1);
    const auto k1 = ratio(w1, m1);
    const Complex w2 = detail::above(z * k1.value);
    const auto k2 = ratio(w2, factors_[1].mu->moment_transform(w2));
    return {z * k2.value, z * z * k1.slope * k2.slope, k2.value + z * k2.slope * k1.value, m1};
  }
  Complex path(Complex z, double place) const { return detail::turned(z, place); }
  Value result(Complex z, const Turn& turn, Complex w_slope) const {
    return detail::cauchy_from_moment(z, turn.transform, w_slope);
  }
  std::vector<Interval> support() const { return support_of(Convolution::kProduct, factors_); }
  std::vector<Atom> atoms() const { return atoms_of(Convolution::kProduct, factors_); }

 private:
  static detail::Reciprocal ratio(Complex w, const Value& m) {  // H(w)/w
    const auto h = detail::shifted_reciprocal(m);
    const Complex k = h.value / w;
    return {k, (h.slope - k) / w};
  }

  std::vector<Factor> factors_;
};

class FreePowerSum {  // mu [+] ... [+] mu, t >= 1 times
 public:
  FreePowerSum(MeasurePointer mu, double t)
      : factors_{{std::move(mu), t}}, height_(t * detail::extent(*factors_[0].mu)) {}

  Turn turn(Complex z, Complex w) const {
    const double t = factors_[0].power;
    const Value g = factors_[0].mu->cauchy(w);
    const auto f = detail::reciprocal(g);
    return {(z + (t - 1) * f.value) / t, (1 - 1 / t) * f.slope, 1 / t, g};
  }
  Complex path(Complex z, double place) const { return {z.real(), z.imag() + place * height_}; }
  Value result(Complex, const Turn& turn, Complex w_slope) const {
    return {turn.transform.value, turn.transform.slope * w_slope};
  }
  std::vector<Interval> support() const { return support_of(Convolution::kSum, factors_); }
  std::vector<Atom> atoms() const { return atoms_of(Convolution::kSum, factors_); }

 private:
  std::vector<Factor> factors_;
  double height_;
};

class FreePowerProduct {  // mu [x] ... [x] mu, t >= 1 times, mu on [0, inf)
 public:
  FreePowerProduct(MeasurePointer mu, double t) : factors_{{std::move(mu), t}} {}

  Turn turn(Complex z, Complex w) const {
    const double t = factors_[0].power;
    const Value m = factors_[0].mu->moment_transform(w);
    const auto h = detail::shifted_reciprocal(m);
    const Complex image =
        std::exp((std::log(detail::above(z)) + (t - 1) * std::log(detail::above(h.value))) / t);
    return {image, image * (1 - 1 / t) * h.slope / h.value, image / (t * z), m};
  }
  Complex path(Complex z, double place) const { return detail::turned(z, place); }
  Value result(Complex z, const Turn& turn, Complex w_slope) const {
    return detail::cauchy_from_moment(z, turn.transform, w_slope);
  }
  std::vector<Interval> support() const { return support_of(Convolution::kProduct, factors_); }
  std::vector<Atom> atoms() const { return atoms_of(Convolution::kProduct, factors_); }

 private:
  std::vector<Factor> factors_;
};

}  // namespace deepglass::spectra
