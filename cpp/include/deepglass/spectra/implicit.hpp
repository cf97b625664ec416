// Measures whose Cauchy transform solves explicit equations in a few unknown points of the upper half plane.
//
// Each unknown, and each further subordination point made from them, lies in the upper half plane when z
// does, and there the solution is unique.  So a solution is the right one if all these points lie inside the
// half plane; and one with points on its border (z real, off the support) if they enter it when z does, that
// is if dx/dz > 0 for each of them: then it continues to the unique solution above.  Anything else is
// refused. Newton's method may jump as it likes.
#pragma once

#include <mutex>
#include <utility>

#include "deepglass/spectra/gaps.hpp"
#include "deepglass/spectra/slope_law.hpp"

namespace deepglass::spectra {

// A point that must lie above the axis, and its logarithmic derivative d ln x / d ln z.
struct Subordinate {
  Complex point, growth;
};

// One step of Newton's method at a state: relative changes of the unknowns, and what the state says.
struct Step {
  std::vector<Complex> change;  // of the logarithms of the unknowns
  std::vector<Complex> rate;    // room for a map: changes for a unit change of the first unknown
  std::vector<Subordinate> points;
  Transforms transforms;  // of the measure at z
};

namespace detail {

// Logarithms continuous on the closed upper and the closed lower half plane, rounding included: their cuts
// are the other halves of the imaginary axis.
inline Complex log_above(Complex z) {
  const double angle = std::arg(z);
  return {std::log(std::abs(z)), angle < -kPi / 2 ? angle + 2 * kPi : angle};
}
inline Complex log_below(Complex z) {
  return std::conj(log_above(std::conj(z)));
}

inline bool subordinate(Complex z, const Subordinate& x) {
  constexpr double kOnTheAxis = 1e-9;
  const Complex direction = x.point / std::abs(x.point);
  if (direction.imag() > kOnTheAxis) return true;
  return direction.imag() > -kOnTheAxis && (direction * x.growth * std::conj(z / std::abs(z))).real() > 0;
}

// Transforms at z from M, from 1 + M (neither from the other by subtraction) and from z dM/dz.
inline Transforms transforms_from(Complex z, Complex moment, Complex complete, Complex growth) {
  const double size =
      std::max(std::fabs(z.real()), std::fabs(z.imag()));  // 1/z^2 may overflow where 1/z does not
  const Complex inverse = 1.0 / (z / size);
  const Complex g = complete * inverse / size, slope = growth * inverse / size;
  return {{g, (slope - g) * inverse / size}, {moment, slope}};
}

}  // namespace detail

// A Map has
//   begin(z, state): the solution, nearly, for z far from the spectrum on the path,
//   step(z, state, step): false where there is no number,
//   path(z, place): from far away (place 1) to z (place 0) through the upper half plane,
//   support(), atoms().
template <class Map>
class Implicit final : public Measure {
 public:
  explicit Implicit(Map map) : map_(std::move(map)) {}

  Value cauchy(Complex z) const override { return transforms(z).g; }

  Transforms transforms(Complex z) const override {
    State state;
    Transforms t;
    evaluate(z, state, false, t);
    return t;
  }

  void cauchy_in_order(Span<const Complex> z, Span<Value> out) const override {
    State state;
    Transforms t;
    bool known = false;
    for (Index i = 0; i < z.size(); ++i) {
      known = evaluate(z[i], state, known, t);
      out[i] = t.g;
    }
  }

  std::vector<Interval> support() const override {
    std::call_once(once_, [this] { support_ = map_.support(); });
    return support_;
  }
  std::vector<Atom> atoms() const override { return map_.atoms(); }

  const Map& map() const { return map_; }

 private:
  using State = std::vector<Complex>;

  bool evaluate(Complex z, State& state, bool known, Transforms& t) const {
    Step step;
    bool found = false;
    if (known && is_finite(z)) {
      State trial = state;
      found = settle(z, trial, step);
      if (found) state = std::move(trial);
    }
    if (!found && is_finite(z)) found = search(z, state, step);
    constexpr Complex kNone(kNaN, kNaN);
    t = found ? step.transforms : Transforms{{kNone, kNone}, {kNone, kNone}};
    return found;
  }

  bool settle(Complex z, State& state, Step& step) const {
    constexpr double kLongest = 1;  // change of a logarithm
    double last = kInfinity;
    bool reflected = false;
    for (int i = 0; i < 60; ++i) {
      if (!map_.step(z, state, step)) return false;
      double size = 0;
      for (const Complex change : step.change) size = std::max(size, std::abs(change));
      if (!std::isfinite(size)) return false;
      const bool done = size <= 1e-15 || (size <= 1e-8 && size >= 0.3 * last && !reflected);
      if (done) {
        for (const Subordinate& point : step.points) {
          if (!detail::subordinate(z, point)) return false;
        }
        return true;
      }
      last = size;
      const double factor = size > kLongest ? kLongest / size : 1;
      reflected = false;
      for (std::size_t k = 0; k < state.size(); ++k) {
        const Complex next = state[k] * std::exp(factor * step.change[k]);
        reflected = reflected || next.imag() < -1e-12 * std::fabs(next.real());
        state[k] = {next.real(), std::fabs(next.imag())};
      }
    }
    return false;
  }

  // Tries the whole way at once, and shorter ones where that fails.
  bool search(Complex z, State& state, Step& step) const {
    double place = 1, goal = 0;
    map_.begin(map_.path(z, place), state);
    if (!settle(map_.path(z, place), state, step)) return false;
    for (int i = 0; i < 100; ++i) {
      State trial = state;
      if (settle(goal == 0 ? z : map_.path(z, goal), trial, step)) {
        state = std::move(trial);
        if (goal == 0) return true;
        place = goal;
        goal = 0;
      } else {
        goal = goal == 0 ? 0.5 * place : 0.5 * (goal + place);
        if (place - goal < 1e-5 * place || place < 1e-12) return false;
      }
    }
    return false;
  }

  Map map_;
  mutable std::once_flag once_;
  mutable std::vector<Interval> support_;
};

namespace detail {

// From a far point of the negative axis, where measures on [0, inf) have no singularity, to z.
inline Complex from_negative(Complex z, double far, double place) {
  if (place == 0) return z;
  if (place == 1) return -far;
  const Complex end = log_above(z), start(std::log(far), kPi);
  const Complex between = end + place * (start - end);
  return std::polar(std::exp(between.real()), between.imag());
}

}  // namespace detail

}  // namespace deepglass::spectra
