// Probability measures on the real line, known through their Cauchy transform
//
//   G(z) = int dmu(x) / (z - x),    Im z >= 0,
//
// where a real z stands for the limit from above: density(x) = -Im G(x)/pi.  For products one needs also
//
//   M(z) = z G(z) - 1 = int x dmu(x) / (z - x),   psi(1/z) of the literature,
//
// and both without cancellation: M where z is large, G = (1 + M)/z where z is small.
#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>
#include <memory>
#include <vector>

#include "deepglass/core.hpp"
#include "deepglass/quadrature.hpp"

namespace deepglass::spectra {

using Complex = std::complex<double>;

constexpr double kPi = 3.14159265358979323846;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// A transform and its derivative in z; NaN where no solution could be proven to be the right one.
struct Value {
  Complex value, slope;
};

struct Transforms {
  Value g, m;  // G and M
};

struct Interval {
  double left, right;
};

struct Atom {
  double position, mass;
};

inline bool is_finite(Complex z) {
  return std::isfinite(z.real()) && std::isfinite(z.imag());
}

class Measure {
 public:
  virtual ~Measure() = default;

  virtual Value cauchy(Complex z) const = 0;  // G, G'

  // G and M; to be overridden where z G - 1 would cancel.
  virtual Transforms transforms(Complex z) const {
    const Value g = cauchy(z);
    return {g, {z * g.value - 1.0, g.value + z * g.slope}};
  }

  virtual std::vector<Interval> support() const = 0;  // of the continuous part; disjoint, increasing
  virtual std::vector<Atom> atoms() const { return {}; }

  // cauchy at each point in order: a measure that has to search starts from its last solution.
  virtual void cauchy_in_order(Span<const Complex> z, Span<Value> out) const {
    for (Index i = 0; i < z.size(); ++i) out[i] = cauchy(z[i]);
  }
};

using MeasurePointer = std::shared_ptr<const Measure>;

// What is not a gap: the support with its atoms as intervals of no length, joined where they touch.
inline std::vector<Interval> occupied(const Measure& mu) {
  std::vector<Interval> parts = mu.support();
  for (const Atom& atom : mu.atoms()) parts.push_back({atom.position, atom.position});
  std::sort(parts.begin(), parts.end(), [](const Interval& a, const Interval& b) { return a.left < b.left; });
  std::vector<Interval> joined;
  for (const Interval& part : parts) {
    if (!joined.empty() && part.left <= joined.back().right) {
      joined.back().right = std::max(joined.back().right, part.right);
    } else {
      joined.push_back(part);
    }
  }
  return joined;
}

// Smallest interval that holds everything.
inline Interval hull(const Measure& mu) {
  const std::vector<Interval> parts = occupied(mu);
  return {parts.front().left, parts.back().right};
}

// J(t) = t - sqrt(t^2 - 1), the root inside the unit disk, for Im t >= 0 and real t as the limit from above.
// The square root maps the upper half plane onto itself; on the real axis it has the sign of t.
struct Joukowski {
  Complex inside;  // J
  Complex root;    // sqrt(t^2 - 1);  J' = -J / root
};
inline Joukowski joukowski(Complex below /* t - 1 */, Complex above /* t + 1, each precise near its edge */) {
  const Complex t = 0.5 * (below + above), square = below * above;
  // Half angles by real square roots: twice as fast as std::sqrt, and all that is needed at these sizes.
  const double re = std::fabs(square.real()), im = std::fabs(square.imag()),
               most = std::max({re, im, 1e-300});
  const double modulus = most * std::sqrt((re / most) * (re / most) + (im / most) * (im / most));
  const double large = std::sqrt(0.5 * (modulus + re));
  const double small = large > 0 ? 0.5 * im / large : 0;
  Complex root = square.real() >= 0 ? Complex(large, small) : Complex(small, large);
  if (square.imag() < 0 || (square.imag() == 0 && square.real() >= 0 && t.real() < 0)) {
    root.real(-root.real());  // the quadrant of t, whose real part has the sign of Im t^2
  }
  return {1.0 / (t + root), root};
}

// ---- Measures in closed form

// Semicircle law: density sqrt(4 s^2 - (x - mean)^2) / (2 pi s^2), variance s^2;  G = J((z - mean)/(2 s)) /
// s.
class Semicircle final : public Measure {
 public:
  Semicircle(double mean, double variance) : mean_(mean), deviation_(std::sqrt(variance)) {
    if (!(variance > 0 && std::isfinite(variance))) {
      deepglass::detail::invalid("variance must be positive and finite, got ", variance);
    }
    if (!std::isfinite(mean)) deepglass::detail::invalid("mean must be finite, got ", mean);
  }

  Value cauchy(Complex z) const override {
    const Complex t = (z - mean_) / (2 * deviation_);
    const Joukowski j = joukowski(t - 1.0, t + 1.0);
    return {j.inside / deviation_, -j.inside / (2 * deviation_ * deviation_ * j.root)};
  }

  Transforms transforms(Complex z) const override {  // M/G = z - 1/G = mean + s^2 G
    const Value g = cauchy(z);
    const double variance = deviation_ * deviation_;
    return {g, {g.value * (mean_ + variance * g.value), g.slope * (mean_ + 2 * variance * g.value)}};
  }

  std::vector<Interval> support() const override {
    return {{mean_ - 2 * deviation_, mean_ + 2 * deviation_}};
  }

 private:
  double mean_, deviation_;
};

// Marchenko-Pastur law MP_g of Y Y^T/p, Y of shape (n, p) with unit variances, g = n/p: mean 1, variance g.
//   (1 + M)(1 + g M) = z M,  that is  M = J(t)/sqrt g,  t = (z - 1 - g)/(2 sqrt g);
//   g z G^2 - a G + 1 = 0,  a = z + g - 1:  G = 2/(a + s) = (a - s)/(2 g z),  s = 2 sqrt(g) sqrt(t^2 - 1).
class MarchenkoPastur final : public Measure {
 public:
  explicit MarchenkoPastur(double ratio) : ratio_(ratio), root_(std::sqrt(ratio)) {
    if (!(ratio > 0 && std::isfinite(ratio))) {
      deepglass::detail::invalid("ratio must be positive and finite, got ", ratio);
    }
  }

  Transforms transforms(Complex z) const override {
    const Interval edges = support()[0];
    const Joukowski j = joukowski((z - edges.right) / (2 * root_), (z - edges.left) / (2 * root_));
    const Value m{j.inside / root_, -j.inside / (2 * ratio_ * j.root)};
    const Complex a = z + (ratio_ - 1), s = 2 * root_ * j.root;
    const Complex g = std::norm(a + s) > std::norm(a - s) ? 2.0 / (a + s) : (a - s) / (2 * ratio_ * z);
    return {{g, g * (ratio_ * g - 1.0) / s}, m};  // the derivative of the equation of G
  }

  Value cauchy(Complex z) const override { return transforms(z).g; }

  std::vector<Interval> support() const override {
    return {{(1 - root_) * (1 - root_), (1 + root_) * (1 + root_)}};
  }

  std::vector<Atom> atoms() const override {
    if (ratio_ > 1) return {{0, 1 - 1 / ratio_}};
    return {};
  }

 private:
  double ratio_, root_;
};

// Atoms at n positions: sums over (n,) positions and masses.
class Atoms final : public Measure {
 public:
  // Positions increasing and different; masses positive with sum 1.
  Atoms(std::vector<double> positions, std::vector<double> masses)
      : positions_(std::move(positions)), masses_(std::move(masses)) {
    if (positions_.empty() || positions_.size() != masses_.size()) {
      deepglass::detail::invalid("positions and masses must have the same length >= 1, got ",
                                 positions_.size(), " and ", masses_.size());
    }
    double total = 0;
    for (std::size_t i = 0; i < positions_.size(); ++i) {
      if (!std::isfinite(positions_[i]) || (i > 0 && !(positions_[i] > positions_[i - 1]))) {
        deepglass::detail::invalid("positions must be finite and increasing, got ", positions_[i]);
      }
      if (!(masses_[i] > 0)) deepglass::detail::invalid("masses must be positive, got ", masses_[i]);
      total += masses_[i];
    }
    if (!(std::fabs(total - 1) < 1e-9)) deepglass::detail::invalid("masses must have the sum 1, got ", total);
    for (double& mass : masses_) mass /= total;
  }

  Value cauchy(Complex z) const override { return sum<false>(z).g; }
  Transforms transforms(Complex z) const override { return sum<true>(z); }
  std::vector<Interval> support() const override { return {}; }
  std::vector<Atom> atoms() const override {
    std::vector<Atom> all;
    for (std::size_t i = 0; i < positions_.size(); ++i) all.push_back({positions_[i], masses_[i]});
    return all;
  }

 private:
  // sum_i m_i / (z - x_i) and - sum_i m_i / (z - x_i)^2; with m_i x_i for M.
  template <bool kMoment>
  Transforms sum(Complex z) const {
    const double x = z.real(), y = z.imag();
    const double* position = positions_.data();
    const double* mass = masses_.data();
    double g[4] = {0, 0, 0, 0}, m[4] = {0, 0, 0, 0};
    const auto n = static_cast<Index>(positions_.size());
#pragma omp simd reduction(+ : g, m)
    for (Index i = 0; i < n; ++i) {
      const double d = x - position[i], inverse = 1 / (d * d + y * y);
      const double a = d * inverse, b = y * inverse;  // 1/(z - x_i) = a - i b
      const double square_re = a * a - b * b, square_im = -2 * (a * b), w = mass[i];
      g[0] += w * a;
      g[1] -= w * b;
      g[2] -= w * square_re;
      g[3] -= w * square_im;
      if (kMoment) {
        const double v = w * position[i];
        m[0] += v * a;
        m[1] -= v * b;
        m[2] -= v * square_re;
        m[3] -= v * square_im;
      }
    }
    return {{{g[0], g[1]}, {g[2], g[3]}}, {{m[0], m[1]}, {m[2], m[3]}}};
  }

  std::vector<double> positions_, masses_;
};

// Law of a + b x, x of law mu, b != 0:  G(z) = G_mu((z - a)/b) / b.
class Affine final : public Measure {
 public:
  Affine(MeasurePointer mu, double shift, double scale) : mu_(std::move(mu)), shift_(shift), scale_(scale) {
    if (!std::isfinite(shift)) deepglass::detail::invalid("shift must be finite, got ", shift);
    if (!(std::isfinite(scale) && scale != 0))
      deepglass::detail::invalid("scale must be finite and not 0, got ", scale);
  }

  Value cauchy(Complex z) const override {
    const Value g = mu_->cauchy(source(z));
    return {image(g.value) / scale_, image(g.slope) / (scale_ * scale_)};
  }

  Transforms transforms(Complex z) const override {
    const auto [g, m] = mu_->transforms(source(z));
    const Value here{image(g.value) / scale_, image(g.slope) / (scale_ * scale_)};
    return {here, {shift_ * here.value + image(m.value), shift_ * here.slope + image(m.slope) / scale_}};
  }

  void cauchy_in_order(Span<const Complex> z, Span<Value> out) const override {
    std::vector<Complex> sources(static_cast<std::size_t>(z.size()));
    for (Index i = 0; i < z.size(); ++i) sources[static_cast<std::size_t>(i)] = source(z[i]);
    mu_->cauchy_in_order(sources, out);
    for (Value& g : out) g = {image(g.value) / scale_, image(g.slope) / (scale_ * scale_)};
  }

  std::vector<Interval> support() const override {
    std::vector<Interval> parts = mu_->support();
    for (Interval& part : parts) {
      part = {shift_ + scale_ * part.left, shift_ + scale_ * part.right};
      if (scale_ < 0) std::swap(part.left, part.right);
    }
    if (scale_ < 0) std::reverse(parts.begin(), parts.end());
    return parts;
  }

  std::vector<Atom> atoms() const override {
    std::vector<Atom> all = mu_->atoms();
    for (Atom& atom : all) atom.position = shift_ + scale_ * atom.position;
    if (scale_ < 0) std::reverse(all.begin(), all.end());
    return all;
  }

 private:
  // A negative scale exchanges the half planes: G(conj z) = conj G(z).
  Complex source(Complex z) const { return image((z - shift_) / scale_); }
  Complex image(Complex z) const { return scale_ < 0 ? std::conj(z) : z; }

  MeasurePointer mu_;
  double shift_, scale_;
};

}  // namespace deepglass::spectra
