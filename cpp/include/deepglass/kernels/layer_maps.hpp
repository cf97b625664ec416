// One layer for one row of a tile: what phi makes of the correlations of an input with kTile others,
// (kTile,).
//
// A correlation c is carried as its distance from the nearer end, with the sign of c:
//   g = sign(c) (1 - |c|).
// Next to |c| = 1 the kernels of functions with kinks depend on the angle, (2 |g|)^{1/2}, which c has lost:
// an error of 1e-16 in c is one of 1e-8 in the derivative kernel there.  Here nothing is subtracted from 1 or
// -1.
//
// A map writes  v = the same of V^  and  slope = dV^/dc  (see inputs.hpp); mix then gives the next c and
// Theta. Both are branch-free, with few selections one after the other: as masks they cost more than
// arithmetic.
#pragma once

#include <cmath>

#include "deepglass/kernels/inputs.hpp"
#include "deepglass/vmath.hpp"

namespace deepglass::kernels {

namespace detail {

using vmath::madd;
using vmath::detail::times_sign_of;
using vmath::detail::with_sign_of;

// sign(c) (1 - |c|) where 1 - c = x, 0 <= x <= 2, or where 1 + c = x if sign < 0; rounding may take x beyond
// its ends, and is reflected.
DEEPGLASS_INLINE double signed_gap(double x, double sign) {
  const double other = 2.0 - x;
  return with_sign_of(other < x ? other : x, times_sign_of(1.0 - x, sign));
}

}  // namespace detail

// phi(u) = u for u > 0, alpha u for u < 0; J of relu (Cho and Saul 2009) at the angle theta of the two
// inputs:
//   V^ = lambda c + (1 - lambda) J,  J = (sin theta + (pi - theta) cos theta) / pi,  dJ/dc = 1 - theta / pi,
//   lambda = 2 alpha / (1 + alpha^2),
// and (V^ - kappa) / (1 - kappa) where the mean is taken out, kappa = (E phi)^2 / E phi^2.
struct PiecewiseLinearMap {
  double lambda, gain;

  explicit PiecewiseLinearMap(const Activation& phi) {
    const double alpha = slope_below(phi), square = 0.5 * (1 + alpha * alpha);
    const double mean2 = (1 - alpha) * (1 - alpha) / (2 * detail::kPi);
    lambda = alpha / square;
    gain = phi.out_shift() == 0 ? 1.0 : square / (square - mean2);
  }

  // With the angle phi <= pi / 2 to the nearer end, and R = (sin phi - phi cos phi) / pi:
  //   1 - J = m - R next to c = 1, where dJ/dc = 1 - phi / pi;  1 - R and phi / pi next to c = -1.
  void operator()(const double* g, double* v, double* slope) const {
    const double straight = gain * lambda, bent = gain * (1.0 - lambda) / detail::kPi, all = gain;
#pragma omp simd
    for (int j = 0; j < kTile; ++j) {
      const double m = vmath::detail::abs(g[j]), half = 0.5 * m;
      const bool near = detail::with_sign_of(1.0, g[j]) > 0.0;
      const double chord = __builtin_sqrt(m + m), cosine_half = __builtin_sqrt(1.0 - half);
      const double ratio = vmath::detail::asin_ratio(half);  // phi / (2 sin(phi / 2)), chord = 2 sin(phi / 2)
      const double rest = bent * chord * detail::madd(-ratio, 1.0 - m, cosine_half);
      const double line = detail::madd(near ? all : -straight, m, near ? 0.0 : all + straight);
      v[j] = detail::signed_gap(line - rest, 1.0);
      slope[j] = detail::madd(near ? -bent : bent, chord * ratio, near ? all : straight);
    }
  }
};

// phi = erf (Williams 1997):  E phi phi = (2 / pi) asin(a c), a = (a_i a_j)^{1/2}, a_i = 2 q_i / (1 + 2 q_i);
// with its derivative, 1 - a^2 c^2 = b_i + a_i b_j + a_i a_j (1 - c^2), b = 1 - a.
struct ErfMap {
  void operator()(const LayerShares& rows, Index i, const LayerShares& columns, Index first, const double* g,
                  double* v, double* slope) const {
    const auto at = static_cast<std::size_t>(i);
    const double root_i = rows.root_a[at], ai = rows.a[at], bi = rows.b[at], ei = rows.e[at];
    const double *root_j = columns.root_a.data() + first, *bj = columns.b.data() + first,
                 *ej = columns.e.data() + first;
#pragma omp simd
    for (int j = 0; j < kTile; ++j) {
      const double m = vmath::detail::abs(g[j]), a = root_i * root_j[j], norm = ei * ej[j];
      const double sine = a * (1.0 - m);
      const double cosine = __builtin_sqrt(detail::madd(a * a, m * (2.0 - m), detail::madd(ai, bj[j], bi)));
      const double small = vmath::detail::at_most(sine, cosine);
      const double part = small * vmath::detail::asin_ratio(small * small);
      const double angle = sine > cosine ? vmath::detail::kHalfPi - part : part;
      v[j] = detail::with_sign_of(detail::madd(-angle, norm, 1.0), g[j]);
      slope[j] = a * norm / cosine;
    }
  }
};

// Mehler's series with the coefficients of one input, b_i (n_terms,), and of kTile others, b_j (n_terms,
// kTile):
//   V^ = sum_k b_k b_k' c^k,  and its derivative, both by Horner's rule in c, or c^2 where phi is even or
//   odd.
class SeriesMap {
 public:
  static constexpr int kLanes = 16;

  // False if it has marked in `left_out` pairs whose series is too long; their v, slope mean nothing.
  bool operator()(const HermiteTable& table, const double* bi, const double* bj, const double* g, double* v,
                  double* slope, bool* left_out) const {
    const Parity parity = table.parity();
    bool complete = true;
    for (int first = 0; first < kTile; first += kLanes) {
      double largest = 0;
      for (int j = first; j < first + kLanes; ++j) largest = std::max(largest, 1.0 - std::abs(g[j]));
      Index n_terms = table.terms_at(largest);
      for (int j = first; j < first + kLanes; ++j) {
        left_out[j] = n_terms < 0 && table.terms_at(1.0 - std::abs(g[j])) < 0;
        complete = complete && !left_out[j];
      }
      if (n_terms < 0) n_terms = table.n_terms();
      block(n_terms, parity, bi, bj + first, g + first, v + first, slope + first);
    }
    return complete;
  }

  // Value and slope for one pair: b_j (n_terms,) with a stride of kTile.
  static void one(const HermiteTable& table, const double* bi, const double* bj, double c, double& y,
                  double& slope) {
    const Parity parity = table.parity();
    const double x = parity == Parity::kNone ? c : c * c;
    double value = 0, derivative = 0;
    for (Index k = table.n_terms(); k-- > 0;) {
      derivative = detail::madd(derivative, x, value);
      value = detail::madd(value, x, bi[k] * bj[k * kTile]);
    }
    finish(parity, c, x, value, derivative, y, slope);
  }

 private:
  // From the sum over the terms kept and its derivative by x.
  DEEPGLASS_INLINE static void finish(Parity parity, double c, double x, double value, double derivative,
                                      double& y, double& slope) {
    const double odd = detail::madd(2.0 * x, derivative, value), even = 2.0 * c * derivative;
    y = parity == Parity::kOdd ? c * value : value;
    slope = parity == Parity::kOdd ? odd : parity == Parity::kEven ? even : derivative;
  }

  static void block(Index n_terms, Parity parity, const double* bi, const double* bj, const double* g,
                    double* v, double* slope) {
    double c[kLanes], x[kLanes], value[kLanes], derivative[kLanes];
#pragma omp simd
    for (int j = 0; j < kLanes; ++j) {
      c[j] = detail::with_sign_of(1.0 - vmath::detail::abs(g[j]), g[j]);
      x[j] = parity == Parity::kNone ? c[j] : c[j] * c[j];
      value[j] = 0.0;
      derivative[j] = 0.0;
    }
    for (Index k = n_terms; k-- > 0;) {
      const double b = bi[k], *row = bj + k * kTile;
#pragma omp simd
      for (int j = 0; j < kLanes; ++j) {
        derivative[j] = detail::madd(derivative[j], x[j], value[j]);
        value[j] = detail::madd(value[j], x[j], b * row[j]);
      }
    }
#pragma omp simd
    for (int j = 0; j < kLanes; ++j) {
      double y, derivative_by_c;
      finish(parity, c[j], x[j], value[j], derivative[j], y, derivative_by_c);
      const double gap = 1.0 - vmath::detail::abs(y);
      v[j] = detail::with_sign_of(gap > 0.0 ? gap : 0.0, y);
      slope[j] = derivative_by_c;
    }
  }
};

// The next correlations, as gaps,
//   1 -+ c' = r_i r_j (1 -+ V^) + [(r_i - r_j)^2 + (w_i -+ w_j)^2 + (t_i -+ t_j)^2]/2,
// and the tangent kernel over (K_ii K_jj)^{1/2}:  Theta^ <- c' + r_i r_j (dV^/dc) Theta^.
inline void mix(const LayerShares& rows, Index i, const LayerShares& columns, Index first, const double* v,
                const double* slope, double* g, double* theta) {
  const auto at = static_cast<std::size_t>(i);
  const double ri = rows.r[at], wi = rows.w[at], ti = rows.t[at];
  const double *rj = columns.r.data() + first, *wj = columns.w.data() + first, *tj = columns.t.data() + first;
#pragma omp simd
  for (int j = 0; j < kTile; ++j) {
    const double r = ri - rj[j], w = wi - detail::times_sign_of(wj[j], v[j]);
    const double t = ti - detail::times_sign_of(tj[j], v[j]), weights = ri * rj[j];
    const double apart = detail::madd(r, r, detail::madd(w, w, t * t));
    const double x = detail::madd(weights, vmath::detail::abs(v[j]), 0.5 * apart);
    theta[j] = detail::madd(weights * slope[j], theta[j], detail::times_sign_of(1.0 - x, v[j]));
    g[j] = detail::signed_gap(x, v[j]);
  }
}

}  // namespace deepglass::kernels
