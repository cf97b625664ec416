// Measures made layer by layer: conjugate kernels and conditional Fisher information.
#pragma once

#include "deepglass/spectra/free_convolution.hpp"
#include "deepglass/spectra/implicit.hpp"

namespace deepglass::spectra {

// mu_l = nu_l [x] (scale_l (shift_l + .))_* mu_{l-1},  l = 1..L.
struct Layer {
  double scale, shift;
  MeasurePointer factor;    // nu_l
  double ratio;             // nu_l is Marchenko-Pastur of this ratio; 0: any other
};

namespace detail {

// A number and its differential, fixed + free dt, t the logarithm of the first unknown; the fixed part is
// what Newton's method corrects on the way.
struct Differential {
  Complex value, fixed = 0, free = 0;

  friend Differential operator+(const Differential& a, const Differential& b) {
    return {a.value + b.value, a.fixed + b.fixed, a.free + b.free};
  }
  friend Differential operator*(const Differential& a, const Differential& b) {
    return {a.value * b.value, a.fixed * b.value + a.value * b.fixed, a.free * b.value + a.value * b.free};
  }
  friend Differential operator/(const Differential& a, const Differential& b) {
    const Complex inverse = 1.0 / b.value, quotient = a.value * inverse;
    return {quotient, (a.fixed - quotient * b.fixed) * inverse, (a.free - quotient * b.free) * inverse};
  }
};

}  // namespace detail

// From the innermost point p, with G and M of mu_0 there, outwards:
//
//   y = scale (p + shift)                      point in the image of mu_{l-1}, of moment transform
//   u = M + shift G,   1 + u = (p + shift) G,
//   x: M_nu(x) = u                             point in nu_l;  (1 + u)(1 + ratio u)/u for Marchenko-Pastur
//   p <- x y u/(1 + u),  M <- u,  G <- (1 + u)/p.
//
// Unknown: the first y, and the x of layers other than Marchenko-Pastur, all by Newton's method together.
class LayerChain {
 public:
  LayerChain(MeasurePointer base, std::vector<Layer> layers)
      : base_(std::move(base)), layers_(std::move(layers)) {
    if (layers_.size() > 1) {
      before_ = std::make_shared<Implicit<LayerChain>>(
          LayerChain(base_, std::vector<Layer>(layers_.begin(), layers_.end() - 1)));
    } else {
      before_ = base_;
    }
    const auto mean_of = [](const Measure& mu) {
      const Complex far = -1e6 * std::max(std::fabs(hull(mu).right), 1e-300);
      return (far * mu.transforms(far).m.value).real();
    };
    double mean = mean_of(*base_), most = hull(*base_).right;
    for (const Layer& layer : layers_) {
      const double factor = mean_of(*layer.factor);
      inner_mean_.push_back(layer.scale * (mean + layer.shift));
      factor_mean_.push_back(factor);
      mean = factor * inner_mean_.back();
      most = hull(*layer.factor).right * layer.scale * (most + layer.shift);
    }
    far_ = 1e3 * most;
  }

  void begin(Complex z, std::vector<Complex>& state) const {
    state.assign(1, 0);
    Complex p = z, y = 0;
    for (std::size_t l = layers_.size(); l-- > 0;) {
      if (layers_[l].ratio == 0) state.insert(state.begin() + 1, p / inner_mean_[l]);
      y = p / factor_mean_[l];
      p = y / layers_[l].scale - layers_[l].shift;
    }
    state[0] = y;
  }

  bool step(Complex z, const std::vector<Complex>& state, Step& out) const {
    using detail::Differential;
    const Layer& first = layers_[0];
    const Complex inner = state[0] / first.scale, start = inner - first.shift;
    const Transforms t = base_->transforms(start);
    Differential p{start, 0, inner};
    Differential u{t.m.value, 0, t.m.slope * inner}, g{t.g.value, 0, t.g.slope * inner};
    Differential complete = p * g;
    out.change.assign(1, 0);
    out.points.clear();
    out.rate.assign(1, 1);
    std::size_t unknown = 1;
    for (const Layer& layer : layers_) {
      const Differential shift{layer.shift}, shifted = p + shift;
      const Differential y = Differential{layer.scale} * (&layer == &first ? Differential{inner, 0, inner} : shifted);
      u = u + shift * g;
      complete = g * shifted;
      Differential x{};
      if (layer.ratio > 0) {
        const Differential stretch = Differential{1} + Differential{layer.ratio} * u;
        x = complete * stretch / u;
        p = y * stretch;
      } else {
        const Complex point = state[unknown++];
        const Value m = layer.factor->transforms(point).m;
        x = {point, (u.value - m.value + u.fixed) / m.slope, u.free / m.slope};
        p = x * y * u / complete;
      }
      g = complete / p;
      for (const Differential& each : {x, y}) {
        out.points.push_back({each.value, each.free / each.value});
      }
      if (layer.ratio == 0) {
        out.change.push_back(x.fixed / x.value);
        out.rate.push_back(x.free / x.value);
      }
    }
    const Complex growth = p.free / p.value;
    const Complex change = (detail::log_above(z) - detail::log_above(p.value) - p.fixed / p.value) / growth;
    out.change[0] = change;
    for (std::size_t k = 1; k < out.change.size(); ++k) out.change[k] += out.rate[k] * change;
    for (Subordinate& point : out.points) point.growth /= growth;
    out.transforms = detail::transforms_from(z, u.value, complete.value, u.free / growth);
    return is_finite(change);
  }

  Complex path(Complex z, double place) const { return detail::from_negative(z, far_, place); }

  std::vector<Interval> support() const { return support_of(Convolution::kProduct, factors()); }
  std::vector<Atom> atoms() const { return atoms_of(Convolution::kProduct, factors()); }

 private:
  std::vector<Factor> factors() const {
    const Layer& last = layers_.back();
    return {{std::make_shared<Affine>(before_, last.scale * last.shift, last.scale), 1}, {last.factor, 1}};
  }

  MeasurePointer base_, before_;
  std::vector<Layer> layers_;
  std::vector<double> inner_mean_, factor_mean_;
  double far_;
};

// Limit of X_L^T X_L, X_l = phi(W_l X_{l-1})/sqrt(d_l) with n columns, n/d_l -> ratio_l (Fan and Wang,
// arXiv:2005.11879):  mu_l = MP_ratio [x] (1 - b^2 + b^2 mu_{l-1}),  b = E phi', 0 < b^2 <= 1.
inline MeasurePointer conjugate_kernel(const MeasurePointer& input, const std::vector<double>& ratios,
                                       double slope_square) {
  std::vector<Layer> layers;
  for (const double ratio : ratios) {
    layers.push_back({slope_square, std::max(1 / slope_square - 1, 0.0), std::make_shared<MarchenkoPastur>(ratio), ratio});
  }
  return std::make_shared<Implicit<LayerChain>>(LayerChain(input, layers));
}

// Dual of the Fisher information of one input, Theta_{l+1} = qhat_l + sw2 W D_l Theta_l D_l W^T with orthogonal
// W, Theta_1 = qhat_0:  mu_{l+1} = (qhat_l + sw2 .)_* (nu_l [x] mu_l).  Squares qhat_0 .. qhat_{L-1} of the
// activities, laws nu_1 .. nu_{L-1} of the squared slopes.
inline MeasurePointer conditional_fisher(const std::vector<double>& squares,
                                         const std::vector<std::shared_ptr<const SlopeLaw>>& laws,
                                         double weight_variance) {
  if (laws.empty()) return std::make_shared<Atoms>(std::vector<double>{squares[0]}, std::vector<double>{1.0});
  MeasurePointer product = std::make_shared<Affine>(laws[0], 0, squares[0]);
  if (laws.size() > 1) {
    std::vector<Layer> layers;
    for (std::size_t l = 1; l < laws.size(); ++l) {
      layers.push_back({weight_variance, squares[l] / weight_variance, laws[l], 0});
    }
    product = std::make_shared<Implicit<LayerChain>>(LayerChain(product, layers));
  }
  return std::make_shared<Affine>(product, squares[laws.size()], weight_variance);
}

}  // namespace deepglass::spectra
