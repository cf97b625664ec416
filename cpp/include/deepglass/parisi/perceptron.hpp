// Replica-symmetric theory of one perceptron: M = alpha N patterns, N bonds J that are spherical
// (sum J^2 = N) or binary (J = +-1), gaps r = S_out J.S / sqrt(N) - margin, Gibbs weight exp(-beta sum v(r)).
//
//   d = 1 - q, s = sqrt(d), u = h / s,  g(u) = int Dy exp(-beta v(h + s y)),  f = ln g
//   conjugate field  e = alpha E f'^2,   h = sqrt(q) z - margin
//   spherical        q = e d^2 (random labels),  q = e d (teacher)
//   binary           q = E tanh^2 x,  x ~ N(0, e) (random), x ~ N(e, e) (teacher)
//   free entropy     S(e) + alpha E f,  with S stationary:
//                    (ln d + q/d)/2,  E ln 2cosh x - e d/2  (random)
//                    (ln d + q)/2,    E ln(1 + exp(-2x)) + e d/2  (teacher)
//   replicon         1 - alpha E f''^2 d^2,  1 - alpha E f''^2 E sech^4 x  (stable where >= 0)
//
// With a teacher (Nishimori line: the teacher is one more replica) averages over z have the weight
// 2 g / (1 + exp(-beta)), both labels together: no noise for the hard potential, and labels turned with
// probability exp(-beta)/(1 + exp(-beta)) for the count potential.
//
// All is explicit in e, and alpha(e) = e d / E (s f')^2: a load has as many solutions as alpha(e) takes its
// value.
//
// Quadrature: the trapezoidal rule in t, z = c + w sinh t, centred on the wall (c = margin / sqrt(q),
// w = s / sqrt(q)) where it is narrower than the Gaussian, else on the Gaussian (c = 0, w = 1).  Its error is
// exp(-2 pi a / dt), a the distance of singularities from the real axis of t: pi/4 for the Gaussian, 0.95 for
// the zeros of Phi.  Those of the count potential lie at u = -A + i pi/A, A = sqrt(2 beta).
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "deepglass/core.hpp"
#include "deepglass/parallel.hpp"
#include "deepglass/vmath.hpp"

namespace deepglass::parisi {

enum class GapPotential { kHard, kSoft, kCount };

struct PerceptronModel {
  bool binary = false, teacher = false;
  GapPotential potential = GapPotential::kHard;
  double beta = 0.0;  // not used where hard
  double margin = 0.0;
};

// f = ln g, s f', s^2 f'' and -df/dbeta at fixed s, of u = h / s.
struct GapResponse {
  double log_g, slope, curvature, energy;
};

constexpr double kHalfLog2Pi = 0.9189385332046727;

struct HardGap {
  DEEPGLASS_INLINE GapResponse operator()(double u) const {
    return {vmath::log_normal_cdf(u), vmath::inverse_mills_ratio(u), vmath::inverse_mills_ratio_slope(u),
            0.0};
  }
  // -ln g - u^2/2
  DEEPGLASS_INLINE double log_inverse(double u) const {
    return vmath::log(vmath::inverse_mills_ratio(u)) + kHalfLog2Pi;
  }
  // Where 1/g times a Gaussian of mean q (r + margin) - margin and width sqrt(q) s ends on the left, and the
  // spacing of u that resolves g.
  double furthest(double mean, double /* overlap */, double s) const { return mean - 12.0 * s; }
  double strip() const { return 1.0; }
};

// v = 1 for r < 0.
struct CountGap {
  double low, edge;  // exp(-beta), sqrt(2 beta)
  CountGap(double beta, double /* deficit */) : low(std::exp(-beta)), edge(std::sqrt(2.0 * beta)) {}

  DEEPGLASS_INLINE GapResponse operator()(double u) const {
    const double g = vmath::madd(1.0 - low, vmath::normal_cdf(u), low);
    const double slope = (1.0 - low) * vmath::detail::kInvSqrt2Pi * vmath::exp(-0.5 * u * u) / g;
    return {vmath::log(g), slope, -slope * (u + slope), low * vmath::normal_cdf(-u) / g};
  }
  DEEPGLASS_INLINE double log_inverse(double u) const { return -(*this)(u).log_g - 0.5 * u * u; }
  // ln g = -u^2/2 down to u = -sqrt(2 beta), constant beyond.
  double furthest(double mean, double overlap, double s) const {
    return std::min(mean, std::max(-edge * s, mean / (1.0 - overlap))) - 12.0 * s;
  }
  double strip() const { return 0.5 / edge; }
};

// v = r^2 for r < 0.  With t^2 = 1 + 2 beta d, g = A + B is of the two signs of the gap:
//   A = Phi(u),  B = exp(-beta h^2 / t^2) Phi(-u / t) / t,  s g' = (1 - 1/t^2) (phi(u) - u B).
struct SoftGap {
  double beta, deficit, inv_t, log_t;  // 1/t, ln t
  SoftGap(double beta_, double deficit_)
      : beta(beta_),
        deficit(deficit_),
        inv_t(1.0 / std::sqrt(1.0 + 2.0 * beta_ * deficit_)),
        log_t(0.5 * std::log1p(2.0 * beta_ * deficit_)) {}

  DEEPGLASS_INLINE GapResponse operator()(double u) const {
    const double t2 = inv_t * inv_t, cost = 2.0 * beta * deficit * t2;  // 1/t^2 and 1 - 1/t^2
    const double log_a = vmath::log_normal_cdf(u);
    const double log_b = -0.5 * cost * u * u - log_t + vmath::log_normal_cdf(-u * inv_t);
    const double top = log_a > log_b ? log_a : log_b;
    const double a = vmath::exp(log_a - top), b = vmath::exp(log_b - top);
    const double phi = vmath::detail::kInvSqrt2Pi * vmath::exp(-0.5 * u * u - top);
    const double g = a + b, slope = cost * (phi - u * b) / g;
    // nothing cancels: phi + u A > 0 falls on the left, phi - u B > 0 on the right
    const double curvature = -cost * (b * g + cost * (phi + u * a) * (phi - u * b)) / (g * g);
    // E v exp(-beta v): the second moment of a truncated Gaussian of mean h / t^2 and variance d / t^2.
    const double energy = deficit * t2 * (b * (1.0 + u * u * t2) - u * t2 * phi) / g;
    return {top + vmath::log(g), slope, curvature, energy};
  }
  DEEPGLASS_INLINE double log_inverse(double u) const { return -(*this)(u).log_g - 0.5 * u * u; }
  // ln g = -beta h^2/t^2: the Gaussian moves by the factor 1/p, and widens by its root.
  double furthest(double mean, double overlap, double s) const {
    const double p = 1.0 - overlap * (1.0 - inv_t * inv_t);
    return std::min(mean, mean / p) - 12.0 * s * std::sqrt(overlap / p);
  }
  double strip() const { return 1.0; }
};

// f(gap) with the functor of a potential.
template <class Body>
auto with_gap(const PerceptronModel& model, double deficit, Body&& body) {
  switch (model.potential) {
    case GapPotential::kSoft:
      return body(SoftGap(model.beta, deficit));
    case GapPotential::kCount:
      return body(CountGap(model.beta, deficit));
    default:
      return body(HardGap{});
  }
}

// Averages over z of f, (s f')^2, (s^2 f'')^2 and -df/dbeta.
struct GapAverages {
  double log_g = 0.0, slope_square = 0.0, curvature_square = 0.0, energy = 0.0;
};

// What a conjugate field makes of the bonds: q, 1 - q, S and what multiplies alpha E f''^2 in the replicon.
struct BondAverages {
  double overlap = 0.0, deficit = 1.0, entropy = 0.0, response_square = 1.0;
};

struct PerceptronPoint {
  double load, conjugate, overlap, deficit, free_entropy, energy, replicon;
};

class PerceptronSaddle {
 public:
  explicit PerceptronSaddle(const PerceptronModel& model, double resolution = 1.0) : model_(model) {
    double dt = 0.1 / (1.0 + 0.2 * std::fabs(model.margin));
    if (model.potential == GapPotential::kCount) dt = std::min(0.8 * dt, 0.27 / model.beta);
    dt /= resolution;
    // Furthest out: overlaps whose complement is the smallest of all, 1e-131.
    middle_ = static_cast<Index>((model.binary && model.teacher ? 160.0 : 45.0) / dt);
    nodes_.resize(at_index(2 * middle_ + 1));
    weights_.resize(nodes_.size());
    for (Index j = 0; j <= middle_; ++j) {
      const double t = static_cast<double>(j) * dt, grown = vmath::exp(t), shrunk = 1.0 / grown;
      const double x = t < 1.0 ? std::sinh(t) : 0.5 * (grown - shrunk), w = 0.5 * (grown + shrunk) * dt;
      nodes_[at_index(middle_ + j)] = x;
      nodes_[at_index(middle_ - j)] = -x;
      weights_[at_index(middle_ + j)] = weights_[at_index(middle_ - j)] = w * kInvSqrt2Pi;
    }
    dt_ = dt;
  }

  // The largest e: of an overlap that numbers, or the model, still tell from 1.
  double largest() const {
    if (model_.binary) return model_.teacher ? 600.0 : 1e12;
    return model_.teacher ? 1e30 : 1e20;
  }

  BondAverages bonds(double e) const {
    if (model_.binary) return ising(e);
    BondAverages b;
    b.deficit = model_.teacher ? 1.0 / (1.0 + e) : 2.0 / (1.0 + std::sqrt(1.0 + 4.0 * e));
    b.overlap = e * b.deficit * (model_.teacher ? 1.0 : b.deficit);
    const double log_deficit = b.overlap < 0.5 ? std::log1p(-b.overlap) : std::log(b.deficit);
    b.entropy = 0.5 * (log_deficit + b.overlap / (model_.teacher ? 1.0 : b.deficit));
    b.response_square = b.deficit * b.deficit;
    return b;
  }

  GapAverages gaps(double overlap, double deficit) const {
    return with_gap(model_, deficit, [&](const auto& gap) { return average<true>(gap, overlap, deficit); });
  }

  double slope_square(double overlap, double deficit) const {
    return with_gap(model_, deficit,
                    [&](const auto& gap) { return average<false>(gap, overlap, deficit).slope_square; });
  }

  // alpha(e)
  double load(double e) const {
    const BondAverages b = bonds(e);
    return e * b.deficit / slope_square(b.overlap, b.deficit);
  }

  PerceptronPoint at(double e) const {
    const BondAverages b = bonds(e);
    const GapAverages g = gaps(b.overlap, b.deficit);
    const double load = e * b.deficit / g.slope_square;
    const double curvature = load * g.curvature_square / (b.deficit * b.deficit);
    return {load,
            e,
            b.overlap,
            b.deficit,
            b.entropy + load * g.log_g,
            g.energy,
            1.0 - curvature * b.response_square};
  }

  // rho(r), the density of gaps, r >= 0 where hard:
  //   N(r; -margin, 1) exp(-beta v(r)) E [1/g],  the field h ~ N(q (r + margin) - margin, q d)
  // beside r.  With a teacher the weight 2 g takes away 1/g.
  double gap_density(double r, double overlap, double deficit) const {
    const double beta = model_.beta, from = r + model_.margin;
    double cost = 0.0;
    if (r < 0.0) {
      if (model_.potential == GapPotential::kHard) return 0.0;
      cost = model_.potential == GapPotential::kSoft ? beta * r * r : beta;
    }
    const double log_front = -0.5 * from * from - cost;
    if (model_.teacher) return teacher_norm() * kInvSqrt2Pi * std::exp(log_front);
    return kInvSqrt2Pi * with_gap(model_, deficit, [&](const auto& gap) {
             return inverse_g(gap, r, overlap, deficit, log_front);
           });
  }

  const PerceptronModel& model() const { return model_; }

 private:
  static constexpr double kInvSqrt2Pi = vmath::detail::kInvSqrt2Pi;
  static constexpr double kReach = 10.0;  // standard deviations

  static std::size_t at_index(Index i) { return static_cast<std::size_t>(i); }

  double teacher_norm() const {
    return model_.potential == GapPotential::kHard ? 2.0 : 2.0 / (1.0 + std::exp(-model_.beta));
  }

  struct Range {  // clang's OpenMP does not take structured bindings
    Index first, last;
  };
  // Nodes x with |width x + centre| <= reach.
  Range range(double centre, double width, double reach) const {
    const auto bound = [&](double z) {
      const double t = std::asinh((z - centre) / width) / dt_;
      return std::clamp(static_cast<Index>(std::lround(t)), -middle_, middle_);
    };
    return {middle_ + bound(-reach), middle_ + bound(reach) + 1};
  }

  template <bool kAll, class Gap>
  GapAverages average(const Gap& gap, double overlap, double deficit) const {
    const double root = std::sqrt(overlap), s = std::sqrt(deficit);
    const bool wall = s < root;
    const double centre = wall ? model_.margin / root : 0.0, width = wall ? s / root : 1.0;
    const double shift = wall ? 0.0 : -model_.margin / s, scale = wall ? 1.0 : root / s;
    const Range part = range(centre, width, kReach + std::fabs(centre));
    const double norm = teacher_norm() * width;
    const bool teacher = model_.teacher;
    const double* const x = nodes_.data();
    const double* const w = weights_.data();
    double log_g = 0.0, slope2 = 0.0, curvature2 = 0.0, energy = 0.0;
#pragma omp simd reduction(+ : log_g, slope2, curvature2, energy)
    for (Index j = part.first; j < part.last; ++j) {
      const double z = vmath::madd(width, x[j], centre);
      const GapResponse r = gap(vmath::madd(scale, x[j], shift));
      const double weight = w[j] * vmath::exp(-0.5 * z * z) * (teacher ? norm * vmath::exp(r.log_g) : width);
      slope2 += weight * r.slope * r.slope;
      if constexpr (kAll) {
        log_g += weight * r.log_g;
        curvature2 += weight * r.curvature * r.curvature;
        energy += weight * r.energy;
      }
    }
    return {log_g, slope2, curvature2, energy};
  }

  // With a teacher x ~ N(e, e), which is exp(x - e/2) times N(0, e): all terms then decay on both sides.
  BondAverages ising(double e) const {
    const double root = std::sqrt(e), width = std::min(1.0, root);
    const bool teacher = model_.teacher;
    const Range part = range(0.0, width, kReach * root + (teacher ? std::min(e, 10.0) : 0.0));
    const double* const x = nodes_.data();
    const double* const w = weights_.data();
    double overlap = 0.0, deficit = 0.0, entropy = 0.0, fourth = 0.0;
#pragma omp simd reduction(+ : overlap, deficit, entropy, fourth)
    for (Index j = part.first; j < part.last; ++j) {
      const double field = width * x[j], y = field / root;
      const double small = vmath::exp(-2.0 * vmath::detail::abs(field)), sum = 1.0 + small;
      const double sech2 = 4.0 * small / (sum * sum), tanh2 = (1.0 - small) * (1.0 - small) / (sum * sum);
      const double tilt = teacher ? vmath::exp(field) : 1.0;
      const double p = w[j] * vmath::exp(-0.5 * y * y) * tilt;
      overlap += p * tanh2;
      deficit += p * sech2;
      fourth += p * sech2 * sech2;
      entropy += p * (teacher ? vmath::log1p(vmath::exp(-2.0 * field)) : vmath::log_2cosh(field));
    }
    const double norm = width / root * (teacher ? std::exp(-0.5 * e) : 1.0);
    BondAverages b;
    b.deficit = deficit * norm;
    b.overlap = e < 1.0 ? overlap * norm : 1.0 - b.deficit;
    b.response_square = fourth * norm;
    b.entropy = entropy * norm + (teacher ? 0.5 : -0.5) * e * b.deficit;
    return b;
  }

  // exp(log_front) E [1/g] over h ~ N(mean, q d), mean = q (r + margin) - margin.  Where g is small 1/g grows
  // almost as fast as the Gaussian falls.
  template <class Gap>
  double inverse_g(const Gap& gap, double r, double overlap, double deficit, double log_front) const {
    const double s = std::sqrt(deficit), root = std::sqrt(overlap), margin = model_.margin;
    const double mean = overlap * (r + margin) - margin;
    double sum = 0.0;
    if (r < 0.0) {  // the wall is inside: a uniform grid that resolves both
      const double sigma = root * s, left = std::max(gap.furthest(mean, overlap, s), -margin - 12.0);
      const double dh = std::min({0.25 * sigma, 0.1 * s, gap.strip() * s});
      const auto n = static_cast<Index>((mean + 12.0 * sigma - left) / dh);
#pragma omp simd reduction(+ : sum)
      for (Index j = 0; j <= n; ++j) {
        const double h = vmath::madd(static_cast<double>(j), dh, left), y = (h - mean) / sigma;
        sum += vmath::exp(log_front - 0.5 * y * y - gap(h / s).log_g);
      }
      return sum * dh * kInvSqrt2Pi / sigma;
    }
    const double* const x = nodes_.data();
    const double* const w = weights_.data();
    if (s < root && r < 5.0 * s) {
      const double from = r + margin, v = r / s, front = log_front + 0.5 * from * from;
      const Range part = range(0.0, s, kReach + std::fabs(margin));
#pragma omp simd reduction(+ : sum)
      for (Index j = part.first; j < part.last; ++j) {
        const double z = (s * x[j] + margin) / root;
        // exp(u^2/2) of 1/g together with exp(-(u - v)^2/2), for both are huge
        sum += w[j] * vmath::exp(front - 0.5 * z * z + v * (x[j] - 0.5 * v) + gap.log_inverse(x[j]));
      }
      return sum / root;
    }
    const Range part = range(0.0, 1.0, kReach + 2.0);
#pragma omp simd reduction(+ : sum)
    for (Index j = part.first; j < part.last; ++j) {
      const double u = vmath::madd(root, x[j], mean / s);
      sum += w[j] * vmath::exp(log_front - 0.5 * x[j] * x[j] - gap(u).log_g);
    }
    return sum;
  }

  PerceptronModel model_;
  double dt_ = 0.1;
  Index middle_ = 0;
  std::vector<double> nodes_, weights_;  // sinh t, cosh t dt / sqrt(2 pi)
};

// Zero of f between a and b (fa and fb of opposite signs), by regula falsi after Anderson and Bjorck.
template <class F>
double find_root(F&& f, double a, double fa, double b, double fb) {
  constexpr double kClose = 4.0 * std::numeric_limits<double>::epsilon();
  for (int turn = 0; turn < 200; ++turn) {
    double c = turn % 16 == 15 ? 0.5 * (a + b) : b - fb * (b - a) / (fb - fa);
    const double fc = f(c);
    if (fc == 0.0 || std::fabs(b - a) <= kClose * (1.0 + std::fabs(c))) return c;
    if ((fc < 0.0) == (fb < 0.0)) {
      const double keep = 1.0 - fc / fb;
      fa *= keep > 0.0 ? keep : 0.5;
    } else {
      a = b;
      fa = fb;
    }
    if (std::fabs(c - b) <= kClose * (1.0 + std::fabs(c))) return c;
    b = c;
    fb = fc;
  }
  return b;
}

// alpha(ln e) on a grid in which its extrema, the spinodals, are nodes: all solutions of a load.
class PerceptronCurve {
 public:
  explicit PerceptronCurve(const PerceptronSaddle& saddle, const StopToken& stop = {})
      : saddle_(saddle), stop_(stop) {
    const double last = std::log(saddle.largest());
    for (double x = std::log(1e-6); x < last; x += x < std::log(300.0) ? 0.15 : 1.0) add(x);
    add(last);
    for (std::size_t i = 1; i + 1 < x_.size(); ++i) {
      const double left = load_[i] - load_[i - 1], right = load_[i + 1] - load_[i];
      // More than rounding.
      const double least = 1e-12 * load_[i];
      if (std::fabs(left) < least || std::fabs(right) < least || (left < 0.0) == (right < 0.0)) continue;
      x_[i] = extremum(x_[i - 1], x_[i + 1], left > 0.0 ? 1.0 : -1.0);
      load_[i] = saddle_.load(std::exp(x_[i]));
      spinodals_.push_back(i);
    }
  }

  static constexpr int kMostRoots = 3;
  using Roots = std::array<double, kMostRoots>;  // increasing e; NaN where there is none

  Roots roots(double load) const {
    Roots found;
    found.fill(std::numeric_limits<double>::quiet_NaN());
    const auto miss = [&](double x) { return saddle_.load(std::exp(x)) / load - 1.0; };
    std::size_t n = 0;
    const auto bracket = [&](double a, double fa, double b, double fb) {
      if ((fa < 0.0) == (fb < 0.0)) return;
      if (n == kMostRoots) throw NumericalError("the saddle-point equation has more than three solutions");
      found[n++] = std::exp(find_root(miss, a, fa, b, fb));
    };
    double a = x_.front(), fa = load_.front() / load - 1.0;
    if (fa >= 0.0) {  // alpha ~ e below the grid
      const double first = std::max(a - std::log1p(fa) - 1.0, -690.0);
      bracket(first, miss(first), a, fa);
    }
    for (std::size_t i = 1; i < x_.size(); ++i) {
      const double fb = load_[i] / load - 1.0;
      bracket(a, fa, x_[i], fb);
      a = x_[i];
      fa = fb;
    }
    return found;
  }

  // ln e of the maxima and minima of alpha(e).
  std::vector<double> spinodals() const {
    std::vector<double> found;
    for (const std::size_t i : spinodals_) found.push_back(x_[i]);
    return found;
  }

 private:
  void add(double x) {
    x_.push_back(x);
    load_.push_back(saddle_.load(std::exp(x)));
    TimedStop(stop_).check();
  }

  // Golden section; the value at an extremum is good to the square of its place.
  double extremum(double a, double b, double sign) const {
    constexpr double kGolden = 0.6180339887498949;
    const auto value = [&](double x) { return sign * saddle_.load(std::exp(x)); };
    double c = b - kGolden * (b - a), d = a + kGolden * (b - a), fc = value(c), fd = value(d);
    while (b - a > 1e-8) {
      TimedStop(stop_).check();
      if (fc > fd) {
        b = d;
        d = c;
        fd = fc;
        c = b - kGolden * (b - a);
        fc = value(c);
      } else {
        a = c;
        c = d;
        fc = fd;
        d = a + kGolden * (b - a);
        fd = value(d);
      }
    }
    return 0.5 * (a + b);
  }

  const PerceptronSaddle& saddle_;
  StopToken stop_;
  std::vector<double> x_, load_;
  std::vector<std::size_t> spinodals_;
};

// State evolution of message passing: e_t = alpha E f'^2 at q_t, q_{t+1} of e_t; q_0 given.  Appends to
// `overlaps` and `deficits` until q changes by no more than atol, and tells whether it did.
inline bool perceptron_evolution(const PerceptronSaddle& saddle, double load, double atol, Index max_iter,
                                 std::vector<double>& overlaps, std::vector<double>& deficits,
                                 const StopToken& stop = {}) {
  for (Index t = 0; t < max_iter; ++t) {
    TimedStop(stop).check();
    const double q = overlaps.back(), d = deficits.back();
    const BondAverages b = saddle.bonds(std::min(load * saddle.slope_square(q, d) / d, saddle.largest()));
    overlaps.push_back(b.overlap);
    deficits.push_back(b.deficit);
    if (std::fabs(q < 0.5 ? b.overlap - q : b.deficit - d) <= atol) return true;
  }
  return false;
}

}  // namespace deepglass::parisi
