// Measures made layer by layer: conjugate kernels and conditional Fisher information.
#pragma once

#include "deepglass/spectra/free_convolution.hpp"
#include "deepglass/spectra/implicit.hpp"

namespace deepglass::spectra {

// mu_l = nu_l [x] (scale_l (shift_l + .))_* mu_{l-1},  l = 1..L.
struct Layer {
  double scale, shift;
  MeasurePointer factor;  // nu_l
  // M_nu(x) = u  <=>  x u/(1 + u) = t(u), where that is known:
  enum class Inverse { kUnknown, kMarchenkoPastur, kTwoAtoms } inverse = Inverse::kUnknown;
  double position = 1,
         parameter = 0;  // t = 1 + ratio u;  position (u + mass)/(1 + u) for atoms there and at 0
};

inline Layer marchenko_pastur_layer(double scale, double shift, double ratio) {
  return {scale, shift, std::make_shared<MarchenkoPastur>(ratio), Layer::Inverse::kMarchenkoPastur, 1, ratio};
}

inline Layer layer_of(double scale, double shift, const std::shared_ptr<const SlopeLaw>& law) {
  Layer layer{scale, shift, law};
  const std::vector<Atom> atoms = law->atoms();
  const bool two =
      law->support().empty() && (atoms.size() == 1 || (atoms.size() == 2 && atoms[0].position == 0));
  if (two && atoms.back().position > 0) {
    layer.inverse = Layer::Inverse::kTwoAtoms;
    layer.position = atoms.back().position;
    layer.parameter = atoms.back().mass;
  }
  return layer;
}

namespace detail {

// A number and its differential, fixed + free dt, t the logarithm of the first unknown less what it is to
// change in any case; the fixed part is what Newton's method corrects on the way.
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
// Unknown: all y (as differences they would cancel where z is small) and the x where M_nu has no explicit
// inverse, by Newton's method together.
class LayerChain {
 public:
  LayerChain(MeasurePointer base, std::vector<Layer> layers)
      : base_(std::move(base)), layers_(std::move(layers)) {
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
    state.clear();
    Complex p = z;
    for (std::size_t l = layers_.size(); l-- > 0;) {
      if (layers_[l].inverse == Layer::Inverse::kUnknown) state.insert(state.begin(), p / inner_mean_[l]);
      const Complex y = p / factor_mean_[l];
      state.insert(state.begin(), y);
      p = y / layers_[l].scale - layers_[l].shift;
    }
  }

  bool step(Complex z, const std::vector<Complex>& state, Step& out) const {
    using detail::Differential;
    const Complex start = state[0] / layers_[0].scale - layers_[0].shift,
                  by_log = state[0] / layers_[0].scale;
    const Transforms t = base_->transforms(start);
    Differential p{start, 0, by_log}, u{t.m.value, 0, t.m.slope * by_log},
        g{t.g.value, 0, t.g.slope * by_log};
    Differential complete{};
    out.change.clear();
    out.points.clear();
    out.rate.clear();
    const auto known = [&](const Differential& unknown) {  // its Newton step, but for the rate
      out.change.push_back(unknown.fixed / unknown.value);
      out.rate.push_back(unknown.free / unknown.value);
      out.points.push_back({unknown.value, unknown.free / unknown.value});
    };
    auto unknown = state.begin();
    for (const Layer& layer : layers_) {
      const Differential shift{layer.shift}, scale{layer.scale}, target = scale * (p + shift);
      const Complex here = *unknown++;
      Differential y{here, target.value + target.fixed - here, target.free};
      if (std::abs(here) < 0.1 * layer.scale * layer.shift) {  // p + shift cancels: y must not learn from it
        const Complex step = y.fixed / y.free;
        for (std::size_t k = 0; k < out.change.size(); ++k) out.change[k] -= out.rate[k] * step;
        u.fixed -= u.free * step;
        g.fixed -= g.free * step;
        y.fixed = 0;
      }
      known(y);
      u = u + shift * g;
      complete = g * y / scale;
      if (layer.inverse == Layer::Inverse::kUnknown) {
        const Complex point = *unknown++;
        const Ratio of_x(point, *layer.factor);
        const Differential h = complete / u, relative = h / Differential{of_x.value};
        const Differential x{point, (relative.value - 1.0 + relative.fixed) / of_x.log_slope,
                             relative.free / of_x.log_slope};
        known(x);
        p = x * y * u / complete;
      } else {
        const Differential t_of_u = stretch(layer, u, complete), x = complete * t_of_u / u;
        out.points.push_back({x.value, x.free / x.value});
        p = y * t_of_u;
      }
      g = complete / p;
    }
    const Complex growth = p.free / p.value;
    const Complex change = (detail::log_above(z) - detail::log_above(p.value) - p.fixed / p.value) / growth;
    for (std::size_t k = 0; k < out.change.size(); ++k) out.change[k] += out.rate[k] * change;
    for (Subordinate& point : out.points) point.growth /= growth;
    out.transforms = detail::transforms_from(z, u.value, complete.value, u.free / growth);
    return is_finite(change);
  }

  Complex path(Complex z, double place) const { return detail::from_negative(z, far_, place); }

  // Off the support all is real.  As p runs through a gap of mu_0, the point z it is carried to runs through
  // a gap of mu_L as long as all points on the way rise with it.
  std::vector<Interval> support() const {
    for (const Layer& layer : layers_) {
      const bool hidden =
          layer.inverse == Layer::Inverse::kUnknown && positive_parts(*layer.factor).size() > 1;
      if (hidden) return nested_support();  // which of the gaps of nu is x in?
    }
    const std::vector<Interval> parts = layers_[0].shift > 0 ? occupied(*base_) : positive_parts(*base_);
    const double left = parts.front().left, right = parts.back().right;
    const double scale = right > left ? right - left : right;
    std::vector<Interval> free;
    const bool smooth = std::any_of(layers_.begin(), layers_.end(), [](const Layer& layer) {
      return layer.inverse == Layer::Inverse::kUnknown;
    });
    const int n_points = smooth ? 80 : 300;
    const double near = smooth ? 12 : 34, far = 25;  // exponents
    const auto outside = [&](double end, double sign) {
      search(
          n_points, [=](double t) { return end + sign * scale * std::exp(-near + t * (near + far)); }, free);
    };
    outside(left, -1);
    outside(right, 1);
    for (std::size_t i = 1; i < parts.size(); ++i) {
      const double a = parts[i - 1].right, b = parts[i].left, length = b - a;
      if (!(length > 1e-12 * right)) continue;
      const int n = parts.size() > 20 ? 40 : n_points;
      search(
          n,
          [=](double t) {
            const double s = near * (2 * t - 1);
            return s < 0 ? a + length / (1 + std::exp(-s)) : b - length / (1 + std::exp(s));
          },
          free);
    }
    return between(free);
  }

  std::vector<Atom> atoms() const {
    std::vector<Atom> all = base_->atoms();
    for (const Layer& layer : layers_) {
      for (Atom& atom : all) atom.position = layer.scale * (atom.position + layer.shift);
      const MeasurePointer inner = std::make_shared<Placeholder>(all);
      all = atoms_of(Convolution::kProduct, {{inner, 1}, {layer.factor, 1}});
    }
    return all;
  }

 private:
  struct Placeholder final : Measure {  // atoms, and nothing else known
    explicit Placeholder(std::vector<Atom> all) : all_(std::move(all)) {}
    Value cauchy(Complex) const override { return {}; }
    std::vector<Interval> support() const override { return {}; }
    std::vector<Atom> atoms() const override { return all_; }
    std::vector<Atom> all_;
  };

  static std::vector<Interval> positive_parts(const Measure& mu) {  // M does not see an atom at 0
    std::vector<Interval> parts = occupied(mu);
    if (parts.size() > 1 && parts.front().right == 0) parts.erase(parts.begin());
    return parts;
  }

  // H = (1 + M)/M of nu at x, and d ln H/dx: M = u is solved as H = (1 + u)/u, which knows small 1 + u too.
  struct Ratio {
    Complex value, log_slope;
    Ratio(Complex x, const Measure& nu) {
      const Transforms t = nu.transforms(x);
      const Complex complete = x * t.g.value;
      value = complete / t.m.value;
      log_slope = -t.m.slope / (complete * t.m.value);
    }
  };

  // The real x outside all of nu with H_nu(x) = h, exp(s) largest values away from it, s first as guessed;
  // NaN if there is none.
  static double invert(const Measure& nu, const std::vector<Interval>& parts, double h, double& s) {
    const double end = h > 0 ? parts.back().right : parts.front().left;
    const double sign = h > 0 ? parts.back().right : -parts.back().right;
    constexpr double kLow = -60, kHigh = 61;
    double low = kLow, high = kHigh;
    if (!(s > low && s < high)) s = 1;
    for (int i = 0; i < 100; ++i) {
      const double x = end + sign * std::exp(s);
      const Ratio at(x, nu);
      const double excess = std::log(at.value.real() / h);  // rises with s; NaN beyond a pole near the end
      (excess > 0 ? high : low) = s;
      double next = s - excess / (at.log_slope.real() * (x - end));
      if (!(next > low && next < high)) next = 0.5 * (low + high);
      const double change = std::fabs(next - s);
      s = next;
      if (change < 1e-14 * (1 + std::fabs(s))) break;
    }
    return s > kLow + 1 && s < kHigh - 1 ? end + sign * std::exp(s) : kNaN;
  }

  struct Image {
    double z = kNaN;
    bool rises = false;
    std::vector<bool> negative = {};  // the points p of the layers below the last
  };
  // x_guess (n_layers,): see invert.
  Image image(double start, std::vector<double>& x_guess) const {
    using detail::Differential;
    const Transforms t = base_->transforms(start);
    Differential p{start, 0, 1}, u{t.m.value, 0, t.m.slope}, g{t.g.value, 0, t.g.slope};
    bool rises = t.g.slope.real() < 0;
    std::vector<bool> negative;
    auto guess = x_guess.begin();
    for (const Layer& layer : layers_) {
      double& s = *guess++;
      const Differential shift{layer.shift}, shifted = p + shift, y = Differential{layer.scale} * shifted;
      u = u + shift * g;
      const Differential complete = g * shifted;
      Differential x{};
      if (layer.inverse == Layer::Inverse::kUnknown) {
        const Differential h = complete / u;
        const double point = invert(*layer.factor, positive_parts(*layer.factor), h.value.real(), s);
        if (std::isnan(point)) return {};
        const Ratio of_x(point, *layer.factor);
        x = {point, 0, h.free / (h.value * of_x.log_slope)};
      } else {
        x = complete * stretch(layer, u, complete) / u;
      }
      p = layer.inverse == Layer::Inverse::kUnknown ? x * y * u / complete : y * stretch(layer, u, complete);
      g = complete / p;
      rises = rises && x.free.real() > 0 && p.free.real() > 0;
      if (&layer != &layers_.back()) negative.push_back(p.value.real() < 0);
    }
    return {p.value.real(), rises && std::isfinite(p.value.real()), std::move(negative)};
  }

  static detail::Differential stretch(const Layer& layer, const detail::Differential& u,
                                      const detail::Differential& complete) {
    using detail::Differential;
    const Differential lack{layer.parameter - 1};  // from 1 + u, which may be small
    if (layer.inverse == Layer::Inverse::kMarchenkoPastur) return complete + lack * u;
    return Differential{layer.position} * (complete + lack) / complete;
  }

  // Gaps in the image of start(t), t from 0 to 1.
  template <class Start>
  void search(int n, const Start& start, std::vector<Interval>& free) const {
    std::vector<double> guess(layers_.size(), kNaN);
    const auto border = [&](double inside, double outside, double z) {  // z, stationary there or at its end
      for (int i = 0; i < 50; ++i) {
        const double middle = 0.5 * (inside + outside);
        const Image now = image(start(middle), guess);
        (now.rises ? inside : outside) = middle;
        if (now.rises) z = now.z;
      }
      return z;
    };
    double before = 0, open = kNaN;
    Image last;
    const auto visit = [&](double t, Image now) {
      if (now.rises && !last.rises) open = t == 0 ? now.z : border(t, before, now.z);
      if (!now.rises && last.rises) add(open, border(before, t, last.z), free);
      last = std::move(now);
      before = t;
    };
    for (int i = 0; i < n; ++i) {
      const double t = static_cast<double>(i) / (n - 1);
      Image now = image(start(t), guess);
      // An atom at 0 of a layer in between becomes a band, which may be narrow.
      double left = before, right = t;
      while (last.rises && now.rises && now.negative != last.negative && right - left > 1e-15) {
        const double middle = 0.5 * (left + right);
        Image between = image(start(middle), guess);
        if (!between.rises) {
          visit(middle, std::move(between));
          break;
        }
        (between.negative == last.negative ? left : right) = middle;
      }
      visit(t, std::move(now));
    }
    if (last.rises)
      add(open, std::fabs(last.z) > 0.01 * far_ ? std::copysign(kInfinity, last.z) : last.z, free);
  }
  static void add(double a, double b, std::vector<Interval>& free) {
    free.push_back({std::min(a, b), std::max(a, b)});
  }

  // What the gaps leave, but for atoms.
  static std::vector<Interval> between(std::vector<Interval> free) {
    std::sort(free.begin(), free.end(), [](const Interval& a, const Interval& b) { return a.left < b.left; });
    double size = 0;
    for (const Interval& gap : free) {
      if (std::isfinite(gap.left)) size = std::max(size, std::fabs(gap.left));
    }
    std::vector<Interval> parts;
    double right = -kInfinity;
    for (const Interval& gap : free) {
      if (std::isfinite(right) && gap.left - right > 1e-13 * size)
        parts.push_back({right > 0 ? right : 0.0, gap.left});
      right = std::max(right, gap.right);
    }
    return parts;
  }

  std::vector<Interval> nested_support() const {
    MeasurePointer before = base_;
    if (layers_.size() > 1) {
      before = std::make_shared<Implicit<LayerChain>>(
          LayerChain(base_, std::vector<Layer>(layers_.begin(), layers_.end() - 1)));
    }
    const Layer& last = layers_.back();
    return support_of(
        Convolution::kProduct,
        {{std::make_shared<Affine>(before, last.scale * last.shift, last.scale), 1}, {last.factor, 1}});
  }

  MeasurePointer base_;
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
    layers.push_back(marchenko_pastur_layer(slope_square, std::max(1 / slope_square - 1, 0.0), ratio));
  }
  return std::make_shared<Implicit<LayerChain>>(LayerChain(input, layers));
}

// nu_{L-1} [x] mu_{L-1} for the dual of the Fisher information of one input, orthogonal weights:
//   Theta_{l+1} = qhat_l + sw2 W D_l Theta_l D_l W^T,  Theta_1 = qhat_0,
//   mu_{l+1} = (qhat_l + sw2 .)_* (nu_l [x] mu_l).
// Squares qhat_0 .. qhat_{L-2} of the activities, laws nu_1 .. nu_{L-1} of the squared slopes, L >= 2.
inline MeasurePointer conditional_fisher_product(const std::vector<double>& squares,
                                                 const std::vector<std::shared_ptr<const SlopeLaw>>& laws,
                                                 double weight_variance) {
  const MeasurePointer first = std::make_shared<Affine>(laws[0], 0, squares[0]);
  if (laws.size() == 1) return first;
  std::vector<Layer> layers;
  for (std::size_t l = 1; l < laws.size(); ++l) {
    layers.push_back(layer_of(weight_variance, squares[l] / weight_variance, laws[l]));
  }
  return std::make_shared<Implicit<LayerChain>>(LayerChain(first, layers));
}

}  // namespace deepglass::spectra
