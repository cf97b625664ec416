// Activation functions phi with their derivatives, over arrays, and the places where they have to be cut.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "deepglass/core.hpp"
#include "deepglass/quadrature.hpp"
#include "deepglass/vmath.hpp"

namespace deepglass::meanfield {

enum class Kind {
  kLinear,
  kTanh,
  kErf,
  kRelu,
  kHardTanh,
  kSin,
  kCos,
  kSigmoid,
  kSoftplus,
  kGelu,
  kSwish,
  kElu,
  kSelu,
  kLeakyRelu,
  kSoftsign,
  kCallable,
};

struct KindName {
  const char* name;
  Kind kind;
};
constexpr KindName kKindNames[] = {
    {"linear", Kind::kLinear},
    {"tanh", Kind::kTanh},
    {"erf", Kind::kErf},
    {"relu", Kind::kRelu},
    {"hard_tanh", Kind::kHardTanh},
    {"sin", Kind::kSin},
    {"cos", Kind::kCos},
    {"sigmoid", Kind::kSigmoid},
    {"softplus", Kind::kSoftplus},
    {"gelu", Kind::kGelu},
    {"swish", Kind::kSwish},
    {"elu", Kind::kElu},
    {"selu", Kind::kSelu},
    {"leaky_relu", Kind::kLeakyRelu},
    {"softsign", Kind::kSoftsign},
};

// Gauss-Legendre nodes in each panel of every average: phi must be a polynomial of this degree there, to
// rounding, so that its products are integrated exactly.
constexpr int kPanelNodes = 20;

namespace detail {

using vmath::madd;

struct Pair {
  double value, slope;
};

// sin and cos of x with |x| <= 1e5: x = k pi + r, |r| <= pi/2, and Taylor series in r.
constexpr double kMostReduced = 1e5;
DEEPGLASS_INLINE Pair sin_cos(double x) {
  constexpr double kInvPi = 0.3183098861837907;
  constexpr double kPi1 = 0x1.921fb544p+1, kPi2 = 0x1.0b4611a6p-33, kPi3 = 0x1.3198a2e037073p-68;
  constexpr double s[] = {-0.16666666666666666,   0.008333333333333333,   -0.0001984126984126984,
                          2.7557319223985893e-06, -2.505210838544172e-08, 1.6059043836821613e-10,
                          -7.647163731819816e-13, 2.8114572543455206e-15, -8.22063524662433e-18,
                          1.9572941063391263e-20};
  constexpr double c[] = {-0.5,
                          0.041666666666666664,
                          -0.001388888888888889,
                          2.48015873015873e-05,
                          -2.755731922398589e-07,
                          2.08767569878681e-09,
                          -1.1470745597729725e-11,
                          4.779477332387385e-14,
                          -1.5619206968586225e-16,
                          4.110317623312165e-19,
                          -8.896791392450574e-22};
  const double k = vmath::detail::nearest_integer(x * kInvPi);
  const double r = madd(-k, kPi3, madd(-k, kPi2, madd(-k, kPi1, x)));
  const double half = 0.5 * k, sign = half == vmath::detail::nearest_integer(half) ? 1.0 : -1.0;
  const double r2 = r * r;
  return {sign * madd(r * r2, vmath::detail::polynomial(r2, s), r),
          sign * madd(r2, vmath::detail::polynomial(r2, c), 1.0)};
}

inline Pair sin_cos_any(double x) {
  return {std::sin(x), std::cos(x)};
}

constexpr double kSeluScale = 1.0507009873554805, kSeluAlpha = 1.6732632423543772;

template <Kind kind>
DEEPGLASS_INLINE Pair phi([[maybe_unused]] double x, [[maybe_unused]] double alpha) {
  using vmath::detail::abs;
  using vmath::detail::at_most;
  if constexpr (kind == Kind::kLinear) {
    return {x, 1.0};
  } else if constexpr (kind == Kind::kTanh) {
    // tanh |x| = (1 - e) / (1 + e) and its derivative 4 e / (1 + e)^2, e = exp(-2 |x|): 1 - e without
    // cancellation
    const auto [k, rest] = vmath::detail::reduce(-2.0 * at_most(abs(x), 350.0));
    const double scale = vmath::detail::exp2_integer(k), p = vmath::detail::expm1_reduced(rest);
    const double e = madd(scale, p, scale), minus = madd(scale, p, scale - 1.0), r = 1.0 / (1.0 + e);
    return {vmath::detail::with_sign_of(-minus * r, x), 4.0 * e * r * r};
  } else if constexpr (kind == Kind::kErf) {
    constexpr double kTwoOverSqrtPi = 1.1283791670955126;
    return {vmath::erf(x), kTwoOverSqrtPi * vmath::exp(-x * x)};
  } else if constexpr (kind == Kind::kRelu) {
    return {x > 0.0 ? x : 0.0, x > 0.0 ? 1.0 : 0.0};
  } else if constexpr (kind == Kind::kLeakyRelu) {
    return {x > 0.0 ? x : alpha * x, x > 0.0 ? 1.0 : alpha};
  } else if constexpr (kind == Kind::kHardTanh) {
    const double a = abs(x);
    return {vmath::detail::with_sign_of(at_most(a, 1.0), x), a < 1.0 ? 1.0 : 0.0};
  } else if constexpr (kind == Kind::kSin) {
    return sin_cos(x);
  } else if constexpr (kind == Kind::kCos) {
    const auto [sine, cosine] = sin_cos(x);
    return {cosine, -sine};
  } else if constexpr (kind == Kind::kSigmoid) {
    const double e = vmath::exp(-abs(x)), r = 1.0 / (1.0 + e);
    return {x < 0.0 ? e * r : r, e * r * r};
  } else if constexpr (kind == Kind::kSoftplus) {
    const double e = vmath::exp(-abs(x)), r = 1.0 / (1.0 + e);
    return {vmath::log1p(e) + (x > 0.0 ? x : 0.0), x < 0.0 ? e * r : r};
  } else if constexpr (kind == Kind::kSwish) {
    const double e = vmath::exp(-abs(x)), r = 1.0 / (1.0 + e), s = x < 0.0 ? e * r : r;
    return {x * s, s + x * (e * r * r)};
  } else if constexpr (kind == Kind::kGelu) {
    const double cdf = vmath::normal_cdf(x);
    return {x * cdf, cdf + x * (vmath::detail::kInvSqrt2Pi * vmath::exp(-0.5 * x * x))};
  } else if constexpr (kind == Kind::kElu || kind == Kind::kSelu) {
    const double a = kind == Kind::kSelu ? kSeluAlpha : alpha, scale = kind == Kind::kSelu ? kSeluScale : 1.0;
    const double e = a * vmath::expm1(at_most(x, 0.0));
    return {scale * (x > 0.0 ? x : e), scale * (x > 0.0 ? 1.0 : e + a)};
  } else {
    static_assert(kind == Kind::kSoftsign);
    const double r = 1.0 / (1.0 + abs(x));
    return {x * r, r * r};
  }
}

template <Kind kind>
void evaluate(const double* u, double* value, double* slope, Index n, double alpha) {
#pragma omp simd
  for (Index i = 0; i < n; ++i) {
    const Pair both = phi<kind>(u[i], alpha);
    value[i] = both.value;
    slope[i] = both.slope;
  }
}

}  // namespace detail

// The function  out_scale phi(in_scale u) + out_shift.
class Activation {
 public:
  // Writes value and derivative at each u; sizes agree, arrays do not overlap.
  using Function = std::function<void(Span<const double> u, Span<double> value, Span<double> slope)>;

  explicit Activation(Kind kind, double alpha = 1.0) : kind_(kind), alpha_(alpha) {
    switch (kind) {
      case Kind::kRelu:
      case Kind::kLeakyRelu:
        kinks_ = {0.0};
        break;
      case Kind::kHardTanh:
        kinks_ = {-1.0, 1.0};
        break;
      case Kind::kElu:
      case Kind::kSelu:
      case Kind::kSoftsign:  // of the second derivative; nothing is smooth at 0 for elu with alpha = 1 either
        kinks_ = {0.0};
        break;
      case Kind::kCallable:
        throw std::invalid_argument("a callable activation needs its function");
      default:
        break;
    }
    breaks_ = kinks_;
    const bool pieces_are_linear =
        kind == Kind::kLinear || kind == Kind::kRelu || kind == Kind::kLeakyRelu || kind == Kind::kHardTanh;
    if (!pieces_are_linear && !oscillates()) graded(1.0, breaks_);
    sort(breaks_);
  }

  // Any function, cut into panels on which it and its derivative are polynomials to rounding.  Kinks that are
  // not named are found, at the price of some tens of panels each.
  Activation(Function function, std::vector<double> kinks)
      : kind_(Kind::kCallable), function_(std::move(function)), kinks_(std::move(kinks)) {
    sort(kinks_);
    resolve();
  }

  // out_scale f(in_scale u) + out_shift, f this function.
  Activation dressed(double out_scale, double in_scale, double out_shift) const {
    if (!(std::isfinite(out_scale) && std::isfinite(out_shift) && std::isfinite(in_scale) && in_scale != 0)) {
      throw std::invalid_argument("scales must be finite, in_scale not 0");
    }
    Activation other = *this;
    other.out_scale_ = out_scale * out_scale_;
    other.out_shift_ = out_scale * out_shift_ + out_shift;
    other.in_scale_ = in_scale * in_scale_;
    return other;
  }

  Kind kind() const { return kind_; }
  double alpha() const { return alpha_; }
  double out_scale() const { return out_scale_; }
  double in_scale() const { return in_scale_; }
  double out_shift() const { return out_shift_; }

  // Where phi' (or a higher derivative) jumps, increasing.
  std::vector<double> kinks() const {
    std::vector<double> kinks;
    for (const double kink : kinks_) kinks.push_back(kink / in_scale_);
    std::sort(kinks.begin(), kinks.end());
    return kinks;
  }

  // phi(u) and phi'(u).  value may be u.
  void evaluate(Span<const double> u, Span<double> value, Span<double> slope) const {
    const Index n = u.size();
    const bool plain = in_scale_ == 1.0 && out_scale_ == 1.0 && out_shift_ == 0.0;
    if (plain) return base(u, value, slope);
    for (Index i = 0; i < n; ++i) value[i] = in_scale_ * u[i];
    base(value, value, slope);
    const double slope_scale = out_scale_ * in_scale_;
    for (Index i = 0; i < n; ++i) {
      value[i] = detail::madd(out_scale_, value[i], out_shift_);
      slope[i] *= slope_scale;
    }
  }

  double value(double u) const {
    double value, slope;
    evaluate({&u, 1}, {&value, 1}, {&slope, 1});
    return value;
  }

  // Adds the places within (low, high) at which integrals over u have to be cut.
  void add_breaks(double low, double high, std::vector<double>& breaks) const {
    if (oscillates()) {
      const double half_wave = 3.141592653589793 / std::abs(in_scale_);
      if (!(high - low <= half_wave * kMostWaves)) {
        throw std::invalid_argument("variance is too large for an activation that oscillates: more than " +
                                    std::to_string(kMostWaves) + " half waves in the Gaussian");
      }
      for (double k = std::ceil(low / half_wave); k * half_wave < high; ++k) breaks.push_back(k * half_wave);
      return;
    }
    for (const double b : breaks_) {
      const double u = b / in_scale_;
      if (low < u && u < high) breaks.push_back(u);
    }
  }

 private:
  static constexpr int kMostWaves = 20000;
  static constexpr double kFar = 64.0;        // callables are resolved up to here
  static constexpr double kShortest = 1e-13;  // panels at a kink that nobody named
  static constexpr std::size_t kMostPanels = 4000;

  bool oscillates() const { return kind_ == Kind::kSin || kind_ == Kind::kCos; }

  static void sort(std::vector<double>& x) {
    std::sort(x.begin(), x.end());
    x.erase(std::unique(x.begin(), x.end()), x.end());
  }

  // 0, +-scale, +-2 scale, ...: what varies on the scale near 0, and more slowly farther out.
  static void graded(double scale, std::vector<double>& breaks) {
    breaks.push_back(0.0);
    for (int k = 0; k < 60; ++k, scale *= 2) {
      breaks.push_back(scale);
      breaks.push_back(-scale);
    }
  }

  void base(Span<const double> u, Span<double> value, Span<double> slope) const {
    const Index n = u.size();
    const auto run = [&](auto kind) {
      detail::evaluate<decltype(kind)::value>(u.data(), value.data(), slope.data(), n, alpha_);
    };
    switch (kind_) {
#define DEEPGLASS_KIND(name) \
  case Kind::name:           \
    return run(std::integral_constant<Kind, Kind::name>{})
      DEEPGLASS_KIND(kLinear);
      DEEPGLASS_KIND(kTanh);
      DEEPGLASS_KIND(kErf);
      DEEPGLASS_KIND(kRelu);
      DEEPGLASS_KIND(kHardTanh);
      DEEPGLASS_KIND(kSigmoid);
      DEEPGLASS_KIND(kSoftplus);
      DEEPGLASS_KIND(kGelu);
      DEEPGLASS_KIND(kSwish);
      DEEPGLASS_KIND(kElu);
      DEEPGLASS_KIND(kSelu);
      DEEPGLASS_KIND(kLeakyRelu);
      DEEPGLASS_KIND(kSoftsign);
#undef DEEPGLASS_KIND
      case Kind::kSin:
      case Kind::kCos:
        return wave(u, value, slope);
      case Kind::kCallable:
        return call(u, value, slope);
    }
  }

  void wave(Span<const double> u, Span<double> value, Span<double> slope) const {
    double largest = 0;
    for (const double x : u) largest = std::max(largest, std::abs(x));
    const bool sine = kind_ == Kind::kSin;
    for (Index i = 0; largest > detail::kMostReduced && i < u.size(); ++i) {
      const auto [s, c] = detail::sin_cos_any(u[i]);
      value[i] = sine ? s : c;
      slope[i] = sine ? c : -s;
    }
    if (largest > detail::kMostReduced) return;
    const auto run = sine ? detail::evaluate<Kind::kSin> : detail::evaluate<Kind::kCos>;
    run(u.data(), value.data(), slope.data(), u.size(), alpha_);
  }

  void call(Span<const double> u, Span<double> value, Span<double> slope) const {
    std::vector<double> copy;
    if (u.data() == value.data()) {
      copy.assign(u.begin(), u.end());
      u = copy;
    }
    function_(u, value, slope);
    for (Index i = 0; i < u.size(); ++i) {
      if (std::isfinite(value[i]) && std::isfinite(slope[i])) continue;
      std::ostringstream text;
      text.precision(17);
      text << "activation must be finite, got " << (std::isfinite(value[i]) ? "derivative " : "")
           << (std::isfinite(value[i]) ? slope[i] : value[i]) << " at u = " << u[i];
      throw std::domain_error(text.str());
    }
  }

  // Halves panels until the last Legendre coefficients of phi and phi' are rounding errors.
  void resolve() {
    const Rule unit = gauss_legendre(kPanelNodes, -1, 1);
    constexpr int kLast = 4;
    // tail[k][j] = (2 n_k + 1) / 2 w_j P_{n_k}(x_j)
    double tail[kLast][kPanelNodes];
    for (std::size_t j = 0; j < kPanelNodes; ++j) {
      double before = 0, p = 1;
      for (int n = 0; n < kPanelNodes; ++n) {
        const int k = n - (kPanelNodes - kLast);
        if (k >= 0) tail[k][j] = (n + 0.5) * unit.weights[j] * p;
        const double next = ((2 * n + 1) * unit.nodes[j] * p - n * before) / (n + 1);
        before = p;
        p = next;
      }
    }
    // Panels must not end by chance at a kink that nobody named: it would not be seen.
    constexpr double kOrigin = -0.6180339887498949;
    std::vector<double> edges = kinks_, grid;
    graded(1.0, grid);
    for (const double u : grid) edges.push_back(u + kOrigin);
    sort(edges);
    edges.erase(std::remove_if(edges.begin(), edges.end(), [](double u) { return std::abs(u) > kFar; }),
                edges.end());
    struct Panel {
      double left, right;
    };
    std::vector<Panel> open, next;
    for (std::size_t i = 0; i + 1 < edges.size(); ++i) open.push_back({edges[i], edges[i + 1]});
    std::vector<double> u, value, slope, found;
    std::size_t n_panels = open.size();
    while (!open.empty()) {
      u.clear();
      for (const Panel& p : open) {
        for (const double x : unit.nodes) u.push_back((p.left + p.right) / 2 + x * (p.right - p.left) / 2);
      }
      value.resize(u.size());
      slope.resize(u.size());
      call(u, value, slope);
      next.clear();
      for (std::size_t i = 0; i < open.size(); ++i) {
        const Panel p = open[i];
        const double* f = value.data() + i * kPanelNodes;
        const double* g = slope.data() + i * kPanelNodes;
        double f_tail = 0, g_tail = 0, f_size = 0, g_size = 0;
        for (std::size_t j = 0; j < kPanelNodes; ++j) {
          f_size = std::max(f_size, std::abs(f[j]));
          g_size = std::max(g_size, std::abs(g[j]));
        }
        for (int k = 0; k < kLast; ++k) {
          double a = 0, b = 0;
          for (std::size_t j = 0; j < kPanelNodes; ++j) {
            a += tail[k][j] * f[j];
            b += tail[k][j] * g[j];
          }
          f_tail = std::max(f_tail, std::abs(a));
          g_tail = std::max(g_tail, std::abs(b));
        }
        // Rounding of u itself moves phi by eps |u| |phi'|.
        const double far = std::max(std::abs(p.left), std::abs(p.right)), scale = std::max(f_size, g_size);
        if (f_tail <= 3e-14 * std::max(f_size, far * g_size) &&
            g_tail <= 3e-14 * std::max(1.0, far) * scale) {
          continue;
        }
        const double middle = (p.left + p.right) / 2;
        if (p.right - p.left < kShortest * std::max(1.0, far)) {
          found.push_back(middle);
          continue;
        }
        edges.push_back(middle);
        next.push_back({p.left, middle});
        next.push_back({middle, p.right});
      }
      n_panels += next.size();
      if (n_panels > kMostPanels) {
        std::ostringstream text;
        text << "activation is too rough: it needs more than " << kMostPanels << " panels of degree "
             << kPanelNodes - 1 << ", with derivative and kinks as given";
        throw std::domain_error(text.str());
      }
      std::swap(open, next);
    }
    for (const double u_found : found) {
      // The panels on both sides of a kink may have found it.
      const auto near = [&](double kink) {
        return std::abs(kink - u_found) <= 1e-11 * std::max(1.0, std::abs(u_found));
      };
      if (std::none_of(kinks_.begin(), kinks_.end(), near)) kinks_.push_back(u_found);
    }
    sort(kinks_);
    for (double far = 2 * kFar; far < 1e18; far *= 2) {
      edges.push_back(far);
      edges.push_back(-far);
    }
    sort(edges);
    breaks_ = std::move(edges);
  }

  Kind kind_;
  double alpha_ = 1.0;
  double out_scale_ = 1.0, in_scale_ = 1.0, out_shift_ = 0.0;
  Function function_;
  std::vector<double> kinks_;   // of phi, in its own argument
  std::vector<double> breaks_;  // the same, of all panels
};

}  // namespace deepglass::meanfield
