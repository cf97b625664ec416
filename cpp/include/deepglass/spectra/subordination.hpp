// Free convolutions and free powers by subordination.
//
// The Cauchy transform of each of them at z is the one of a factor at a point w, the subordination function,
// which is the fixed point of an analytic map a of the upper half plane into itself (Belinschi and Bercovici,
// J. Anal. Math. 101, 357 (2007)).  With F = 1/G, K(w) = w - F and H = 1 + 1/M:
//
//   sum      mu1 [+] mu2    F1(w1) = F2(w2) = F(z),   w1 + w2 = z + F          w2 = z - K1(w1)
//   product  mu1 [x] mu2    H1(w1) = H2(w2) = H(z),   w1 w2 = z H              w2 = z H1(w1)/w1
//   power    mu^[+]t        F(w) = F_t(z),            w = z - (t - 1) K(w)     t >= 1
//   power    mu^[x]t        H(w) = H_t(z),            w^t = z H^(t - 1)        t >= 1
//
// The second column gives one half of a; the other half is the same with 1 and 2 exchanged.
//
// What makes the answer certain: the point sought is the Denjoy-Wolff point of a.  A fixed point inside the
// half plane is unique and has |a'| < 1; on its border at most one has a' <= 1.  So a fixed point in the
// closed half plane with |a'| <= 1 is the right one, however it was found, real z included, and one with
// |a'| > 1 is a wrong branch.  Newton's method may then jump as it likes.
#pragma once

#include <mutex>
#include <utility>

#include "deepglass/spectra/measure.hpp"

namespace deepglass::spectra {

// One application of the map: a(w), a'(w), da/dz, and the transforms of the factor at w (for sums K, not M).
struct Turn {
  Complex image, slope, push;
  Transforms factor;
};

namespace detail {

constexpr double kRoundingOfSlope = 1e-6;  // |a'| - 1 is the square root of the distance from an edge

// The fixed point near w by Newton's method; where a step would leave the half plane, the plain iteration,
// which cannot.  True when it is the Denjoy-Wolff point.
template <class Map>
bool settle(const Map& map, Complex z, Complex& w, Turn& turn) {
  double last = kInfinity;
  for (int i = 0; i < 80; ++i) {
    turn = map.turn(z, w);
    const Complex step = (turn.image - w) / (1.0 - turn.slope);
    const double size = std::abs(step), scale = std::abs(w);
    if (!std::isfinite(size)) return false;
    // Quadratic until rounding stops it; by a half or two thirds a step towards the roots next to an edge or
    // cusp.
    const bool done = size <= 1e-15 * scale || (size <= 1e-8 * scale && size >= 0.9 * last);
    if (done) return std::abs(turn.slope) <= 1 + kRoundingOfSlope;
    last = size;
    const Complex next = w + step;
    w = next.imag() >= 0 ? next : Complex(turn.image.real(), std::max(turn.image.imag(), 0.0));
  }
  return false;
}

// From far inside the half plane, where the plain iteration converges fast, to z.  Tries the whole way at
// once, and halves the way where that fails.
template <class Map>
bool search(const Map& map, Complex z, Complex& w, Turn& turn) {
  double place = 1;
  Complex far = map.path(z, place);
  w = far;
  for (int i = 0; i < 1000; ++i) {
    turn = map.turn(far, w);
    const double change = std::abs(turn.image - w);
    w = turn.image;
    if (!(change > 1e-3 * std::abs(w))) break;
  }
  if (!settle(map, far, w, turn)) return false;
  double goal = 0;
  for (int i = 0; i < 400; ++i) {
    Complex trial = w;
    if (settle(map, goal == 0 ? z : map.path(z, goal), trial, turn)) {
      w = trial;
      if (goal == 0) return true;
      place = goal;
      goal = 0;
    } else {
      // Distances from the axis matter by their ratios.
      goal = goal == 0 ? place / 8 : std::sqrt(goal * place);
      if (goal < 1e-12 || goal > place * (1 - 1e-3)) return false;
    }
  }
  return false;
}

}  // namespace detail

// The measure made by a Map, which has
//   turn(z, w),
//   path(z, place): points from far inside the half plane (place 1) to z (place 0),
//   result(z, w, turn, w'): the transforms of the measure at z, w' = dw/dz,
//   support(), atoms().
template <class Map>
class Subordinated final : public Measure {
 public:
  explicit Subordinated(Map map) : map_(std::move(map)) {}

  Value cauchy(Complex z) const override { return transforms(z).g; }

  Transforms transforms(Complex z) const override {
    Complex w;
    return evaluate(z, w, false);
  }

  void cauchy_in_order(Span<const Complex> z, Span<Value> out) const override {
    Complex w;
    bool known = false;
    for (Index i = 0; i < z.size(); ++i) {
      out[i] = evaluate(z[i], w, known).g;
      known = is_finite(out[i].value);
    }
  }

  // Computed on first use.
  std::vector<Interval> support() const override {
    std::call_once(once_, [this] { support_ = map_.support(); });
    return support_;
  }
  std::vector<Atom> atoms() const override { return map_.atoms(); }

 private:
  Transforms evaluate(Complex z, Complex& w, bool known) const {
    constexpr Complex kNone(kNaN, kNaN);
    Turn turn;
    if (!is_finite(z)) return {{kNone, kNone}, {kNone, kNone}};
    Complex trial = w;
    if (known && detail::settle(map_, z, trial, turn)) {
      w = trial;
    } else if (!detail::search(map_, z, w, turn)) {
      return {{kNone, kNone}, {kNone, kNone}};
    }
    return map_.result(z, w, turn, turn.push / (1.0 - turn.slope));
  }

  Map map_;
  mutable std::once_flag once_;
  mutable std::vector<Interval> support_;
};

}  // namespace deepglass::spectra
