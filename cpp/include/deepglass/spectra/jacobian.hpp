// Spectra of the input-output Jacobian.
#pragma once

#include "deepglass/spectra/free_convolution.hpp"
#include "deepglass/spectra/implicit.hpp"

namespace deepglass::spectra {

// J J^T for J = prod_l D_l W_l, l = 1..L: D_l free copies of the law of d^2, weights of variance sw2.  With
// u = E d^2/(w - d^2),
//
//   orthogonal  z = sw2^L w^L (u/(1 + u))^(L-1)
//   Gaussian    z = sw2^L w^L (u/(1 + u))^(L-1) (1 + u)^L,
//
// the free power L of sw2 d^2, or of sw2 d^2 times Marchenko-Pastur of ratio 1.  Subordination points: w in
// the law of d^2 and, for Gaussian weights, (1 + u)^2/u in that of Marchenko and Pastur.
class Jacobian {
 public:
  Jacobian(std::shared_ptr<const SlopeLaw> law, double weight_variance, int depth, bool gaussian)
      : law_(std::move(law)), variance_(weight_variance), depth_(depth), gaussian_(gaussian) {
    const double largest = hull(*law_).right;
    far_ =
        1e3 * std::exp(depth_ * std::log(variance_ * largest) + (gaussian_ ? 1 + std::log(depth_ + 1.0) : 0));
  }

  void begin(Complex z, std::vector<Complex>& state) const {  // u = E d^2 / w
    const double mean = law_->mean();
    state.assign(1, z * std::exp(-depth_ * std::log(variance_) - (depth_ - 1) * std::log(mean)));
  }

  bool step(Complex z, const std::vector<Complex>& state, Step& out) const {
    const Complex w = state[0];
    const Transforms d = law_->transforms(w);
    const Complex u = d.m.value, n = w * d.g.value, growth = w * d.m.slope;  // du/dln w
    const double power = depth_;
    Complex log_z = power * (std::log(variance_) + detail::log_above(w)) +
                    (power - 1) * (detail::log_below(u) - detail::log_below(n));
    Complex log_growth = power + (power - 1) * growth * (1.0 / u - 1.0 / n);
    if (gaussian_) {
      log_z += power * detail::log_below(n);
      log_growth += power * growth / n;
    }
    out.change.assign(1, (detail::log_above(z) - log_z) / log_growth);
    out.points.assign(1, {w, 1.0 / log_growth});
    if (gaussian_) {
      out.points.push_back({n * n / u, growth * (2.0 / n - 1.0 / u) / log_growth});
    }
    out.transforms = detail::transforms_from(z, u, n, growth / log_growth);
    return is_finite(out.change[0]);
  }

  Complex path(Complex z, double place) const { return detail::from_negative(z, far_, place); }

  std::vector<Interval> support() const {
    std::vector<Interval> parts = support_of(Convolution::kProduct, factors());
    const double scale = std::pow(variance_, depth_);
    for (Interval& part : parts) part = {scale * part.left, scale * part.right};
    return parts;
  }
  std::vector<Atom> atoms() const {
    std::vector<Atom> all = atoms_of(Convolution::kProduct, factors());
    for (Atom& atom : all) atom.position *= std::pow(variance_, depth_);
    return all;
  }

 private:
  std::vector<Factor> factors() const {
    const double power = depth_;
    if (!gaussian_) return {{law_, power}};
    return {{law_, power}, {std::make_shared<MarchenkoPastur>(1), power}};
  }

  std::shared_ptr<const SlopeLaw> law_;
  double variance_;
  int depth_;
  bool gaussian_;
  double far_;
};

// J J^T for J = prod_l (1 + a D_l W_l), L -> infinity at fixed c = sum_l a^2 sw2 E d^2; u = M, H = 1 + 1/u:
//
//   z = (1 + u)/u exp(c (1 + 2 u)) = H exp(c (H + 1)/(H - 1)),
//
// a multiplicatively infinitely divisible law: H lies in the upper half plane, and is unique there.
class ResidualLimit {
 public:
  explicit ResidualLimit(double strength) : strength_(strength) {}

  void begin(Complex z, std::vector<Complex>& state) const { state.assign(1, z * std::exp(-strength_)); }

  bool step(Complex z, const std::vector<Complex>& state, Step& out) const {
    const Complex h = state[0], u = 1.0 / (h - 1.0);
    const Complex log_z = detail::log_above(h) + strength_ * (1.0 + 2.0 * u);
    const Complex log_growth = 1.0 - 2 * strength_ * h * u * u;
    out.change.assign(1, (detail::log_above(z) - log_z) / log_growth);
    out.points.assign(1, {h, 1.0 / log_growth});
    out.transforms = detail::transforms_from(z, u, h * u, -u * u * h / log_growth);
    return is_finite(out.change[0]);
  }

  Complex path(Complex z, double place) const {
    return detail::from_negative(z, 1e3 * std::exp(strength_) * (1 + strength_), place);
  }

  std::vector<Interval> support() const {  // dz/du = 0
    const double root = std::sqrt(1 + 2 / strength_);
    return {{edge(-0.5 * (1 + root)), edge(-0.5 * (1 - root))}};
  }
  std::vector<Atom> atoms() const { return {}; }

 private:
  double edge(double u) const { return (1 + u) / u * std::exp(strength_ * (1 + 2 * u)); }

  double strength_;
};

}  // namespace deepglass::spectra
