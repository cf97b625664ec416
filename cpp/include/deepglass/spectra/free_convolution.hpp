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

inline Value self_energy(const Transforms& t) {  // K = w - F = M/G, without cancellation where w is large
  const Complex k = t.m.value / t.g.value;
  return {k, (t.m.slope - k * t.g.slope) / t.g.value};
}

inline Value ratio(const Transforms& t) {  // K = G/M = H/w, H = 1 + 1/M, without cancellation
  const Complex k = t.g.value / t.m.value;
  return {k, k * (t.g.slope / t.g.value - t.m.slope / t.m.value)};
}

// Transforms of a product or power at z from those of a factor at w: M is the same, and so is z G = 1 + M.
inline Transforms carried(Complex z, Complex w, const Transforms& t, Complex w_slope) {
  const Complex g = w * t.g.value / z;
  return {{g, (t.m.slope * w_slope - g) / z}, {t.m.value, t.m.slope * w_slope}};
}
// The same of a sum or power from G of a factor and the self-energy at z.
inline Transforms carried(const Value& g, const Value& k) {
  return {g, {g.value * k.value, g.slope * k.value + g.value * k.slope}};
}

// From the imaginary axis, as far from 0 as the measure reaches, to z: the logarithm moves on a straight
// line, because for products it is the angle that counts.
inline Complex turned(Complex z, double place, double reach) {
  const double angle = std::arg(above(z)), modulus = std::abs(z);
  return place == 0
             ? z
             : std::polar(modulus * std::pow(reach / modulus, place), angle + place * (kPi / 2 - angle));
}

}  // namespace detail

class FreeSum {
 public:
  FreeSum(MeasurePointer mu1, MeasurePointer mu2)
      : factors_{{std::move(mu1), 1}, {std::move(mu2), 1}},
        height_(detail::extent(*factors_[0].mu) + detail::extent(*factors_[1].mu)) {}

  Turn turn(Complex z, Complex w1) const {
    const Transforms t1 = factors_[0].mu->transforms(w1);
    const Value k1 = detail::self_energy(t1);
    const Complex w2 = detail::above(z - k1.value);
    const Value k2 = detail::self_energy(factors_[1].mu->transforms(w2));
    return {z - k2.value, k1.slope * k2.slope, 1.0 - k2.slope, {t1.g, {k1.value + k2.value, k1.slope}}};
  }
  Complex path(Complex z, double place) const { return {z.real(), z.imag() + place * height_}; }
  Transforms result(Complex, Complex, const Turn& turn, Complex w_slope) const {
    const Complex k1_slope = turn.factor.m.slope * w_slope, k2_slope = (1.0 - turn.push) * (1.0 - k1_slope);
    return detail::carried({turn.factor.g.value, turn.factor.g.slope * w_slope},
                           {turn.factor.m.value, k1_slope + k2_slope});
  }
  std::vector<Interval> support() const { return support_of(Convolution::kSum, factors_); }
  std::vector<Atom> atoms() const { return atoms_of(Convolution::kSum, factors_); }

 private:
  std::vector<Factor> factors_;
  double height_;
};

class FreeProduct {  // of measures on [0, inf)
 public:
  FreeProduct(MeasurePointer mu1, MeasurePointer mu2)
      : factors_{{std::move(mu1), 1}, {std::move(mu2), 1}},
        reach_(detail::extent(*factors_[0].mu) * detail::extent(*factors_[1].mu)) {}

  Turn turn(Complex z, Complex w1) const {
    const Transforms t1 = factors_[0].mu->transforms(w1);
    const Value k1 = detail::ratio(t1);
    const Complex w2 = detail::above(z * k1.value);
    const Value k2 = detail::ratio(factors_[1].mu->transforms(w2));
    return {z * k2.value, (z * k1.slope) * (z * k2.slope), k2.value + (z * k2.slope) * k1.value, t1};
  }
  Complex path(Complex z, double place) const { return detail::turned(z, place, reach_); }
  Transforms result(Complex z, Complex w, const Turn& turn, Complex w_slope) const {
    return detail::carried(z, w, turn.factor, w_slope);
  }
  std::vector<Interval> support() const { return support_of(Convolution::kProduct, factors_); }
  std::vector<Atom> atoms() const { return atoms_of(Convolution::kProduct, factors_); }

 private:
  std::vector<Factor> factors_;
  double reach_;
};

class FreePowerSum {  // mu [+] ... [+] mu, t >= 1 times
 public:
  FreePowerSum(MeasurePointer mu, double t)
      : factors_{{std::move(mu), t}}, height_(t * detail::extent(*factors_[0].mu)) {}

  Turn turn(Complex z, Complex w) const {
    const double t = factors_[0].power;
    const Transforms at = factors_[0].mu->transforms(w);
    const Value k = detail::self_energy(at);
    return {z - (t - 1) * k.value, (1 - t) * k.slope, 1, {at.g, {t * k.value, t * k.slope}}};
  }
  Complex path(Complex z, double place) const { return {z.real(), z.imag() + place * height_}; }
  Transforms result(Complex, Complex, const Turn& turn, Complex w_slope) const {
    return detail::carried({turn.factor.g.value, turn.factor.g.slope * w_slope},
                           {turn.factor.m.value, turn.factor.m.slope * w_slope});
  }
  std::vector<Interval> support() const { return support_of(Convolution::kSum, factors_); }
  std::vector<Atom> atoms() const { return atoms_of(Convolution::kSum, factors_); }

 private:
  std::vector<Factor> factors_;
  double height_;
};

class FreePowerProduct {  // mu [x] ... [x] mu, t >= 1 times, mu on [0, inf)
 public:
  FreePowerProduct(MeasurePointer mu, double t)
      : factors_{{std::move(mu), t}}, reach_(std::pow(detail::extent(*factors_[0].mu), t)) {}

  Turn turn(Complex z, Complex w) const {
    const double t = factors_[0].power;
    const Transforms at = factors_[0].mu->transforms(w);
    const Value k = detail::ratio(at);
    const Complex h = detail::above(w * k.value);
    const Complex image = std::exp((std::log(detail::above(z)) + (t - 1) * std::log(h)) / t);
    return {image, image * (1 - 1 / t) * (1.0 / w + k.slope / k.value), image / (t * z), at};
  }
  Complex path(Complex z, double place) const { return detail::turned(z, place, reach_); }
  Transforms result(Complex z, Complex w, const Turn& turn, Complex w_slope) const {
    return detail::carried(z, w, turn.factor, w_slope);
  }
  std::vector<Interval> support() const { return support_of(Convolution::kProduct, factors_); }
  std::vector<Atom> atoms() const { return atoms_of(Convolution::kProduct, factors_); }

 private:
  std::vector<Factor> factors_;
  double reach_;
};

}  // namespace deepglass::spectra
