// Fixed points of the maps of variance and correlation through a layer of a wide random network:
//   q -> sw2 E phi(sqrt(q) z)^2 + sb2,     c -> (sw2 E phi(u1) phi(u2) + sb2) / q,
// u1, u2 of variance q and correlation c (Poole et al. 2016; Schoenholz et al. 2017).
#pragma once

#include "deepglass/meanfield/two_point.hpp"

namespace deepglass::meanfield {

// W_ij ~ N(0, sw2 / fan-in), b ~ N(0, sb2)
struct Variances {
  double weight, bias;
};

struct FixedVariance {
  double q = std::numeric_limits<double>::quiet_NaN();
  Moments moments{};    // at q
  double residual = 0;  // of the map, relative to q
  bool exists = false;  // false: the variance grows without bound
  bool converged = false;
};

struct FixedPoint {
  double q, chi_q;         // variance, and the slope of its map
  double chi_1, c, chi_c;  // slope of the map of c at 1, the stable c, the slope there
  double residual;         // the larger of both, relative
  bool exists, converged;
};

namespace detail {

constexpr double kRounding = 8e-16;

// chi_q / sw2 = E z phi phi' / sqrt(q), from phi' alone: phi'' would have deltas at kinks.
inline double square_slope(const Moments& m, double q) {
  return m.cross / std::sqrt(q);
}

}  // namespace detail

// The stable fixed point that the variance q0 is drawn to, by Newton's method between q with a rising and q
// with a falling variance.
inline FixedVariance fixed_variance(const Activation& activation, Variances v, double q0,
                                    GaussianNodes& nodes) {
  constexpr int kMostTurns = 200;
  constexpr double kFar = 1e13;
  FixedVariance result;
  const auto at = [&](double q) {
    nodes.set(activation, 0.0, std::sqrt(q));
    return moments(nodes);
  };
  const double scale = std::max({q0, v.bias, 1.0});
  // Where q = 0 is a fixed point: by what factor the map multiplies small variances.
  double factor_at_0 = std::numeric_limits<double>::infinity();
  constexpr double kTiny = 1e-100;
  if (v.bias == 0 && (v.weight == 0 || activation.value(0.0) == 0)) {
    factor_at_0 = v.weight == 0 ? 0 : v.weight * at(kTiny).square / kTiny;
  }
  // q >= sb2
  double low = v.bias * (1 - 1e-15), high = std::numeric_limits<double>::infinity(), q = std::max(q0, v.bias);
  for (int turn = 0; turn < kMostTurns; ++turn) {
    const Moments m = at(q);
    const double excess = v.weight * m.square + v.bias - q;
    const double slope = v.weight * detail::square_slope(m, q) - 1;
    const bool rounding = std::abs(excess) <= detail::kRounding * q;
    const auto found = [&](double residual) {
      result = {q, m, residual, true, true};
      return result;
    };
    if (!std::isfinite(excess)) return result;
    // Slope 0 to rounding: every q is a fixed point (relu at 2, 0), or none is in reach.
    if (rounding && (turn == 0 || slope < -1e-11)) return found(std::abs(excess) / q);
    if (excess > 0 || rounding) {
      low = q;
      if (q > kFar * scale) return result;
    } else {
      high = q;
      const bool linear = std::abs((excess + q) / q - factor_at_0) <= 1e-13;
      if (low == 0 && linear) {
        result = {0.0, at(kTiny), 0.0, true, true};
        return result;
      }
    }
    const double newton = q - excess / slope;
    if (std::isfinite(newton) && newton > low && newton < high && slope < 0) {
      // Close by, one step more is exact to rounding.
      const bool last = std::abs(newton - q) <= 1e-15 * q;
      if (last) return found(std::abs(excess) / q);
      q = newton;
    } else if (high == std::numeric_limits<double>::infinity()) {
      q = std::max(8 * q, q + excess);
    } else if (low == 0) {
      q *= 0.125;
    } else {
      const double middle = std::sqrt(low) * std::sqrt(high);
      const bool between = low < middle && middle < high;  // none is, of neighbouring subnormals
      if (high - low <= 4e-16 * high || !between) return found(std::abs(excess) / q);
      q = middle;
    }
  }
  result.q = q;
  result.moments = at(q);
  result.residual = std::abs(v.weight * result.moments.square + v.bias - q) / q;
  result.exists = true;
  return result;
}

// The stable fixed point of c in [0, 1].  The map is a power series in c with positive coefficients, so
// there is at most one below 1, and it is there where chi_1 > 1.  It solves D(c) = 1,
//   D(c) = (1 - map(c)) / (1 - c) = sw2 gap(c) / (q (1 - c)),   D(1) = chi_1,
// in which nothing cancels next to c = 1; by Newton's method in x = sqrt(1 - c), in which D is smooth there
// even with kinks.
inline void fixed_correlation(const Activation& activation, Variances v, const FixedVariance& at,
                              FixedPoint& result) {
  result.c = 1.0;
  result.chi_c = result.chi_1;
  if (!(at.q > 0) || result.chi_1 <= 1 + 1e-15) return;
  if (v.bias == 0 && std::abs(at.moments.mean) <= 1e-15 * std::sqrt(at.moments.square)) {
    result.c = 0.0;  // phi is odd, or might be
    result.chi_c = v.weight * at.moments.slope * at.moments.slope;
    return;
  }
  TwoPointAverage average(activation, at.q, at.q);
  double low = 0, high = 1, x = 0.5;  // D > 1 at low, D <= 1 at high
  constexpr int kMostTurns = 100;
  TwoPoint t{};
  for (int turn = 0; turn < kMostTurns; ++turn) {
    const double c = (1 - x) * (1 + x), apart = 1 - c;
    if (apart == 0) return;
    t = average(c);
    const double d = v.weight * t.gap / (at.q * apart);
    const double slope = -2 * (d - v.weight * t.slope) / x;  // dD/dx
    (d > 1 ? low : high) = x;
    double next = x - (d - 1) / slope;
    const bool inside = next > low && next < high;
    if (std::abs(d - 1) <= detail::kRounding || (inside && std::abs(next - x) * x <= 1e-16) ||
        high - low <= 4e-16 * high) {
      result.c = c;
      result.chi_c = v.weight * t.slope;
      result.residual = std::max(result.residual, std::abs(d - 1) * apart);
      return;
    }
    x = inside ? next : low > 0 ? 0.5 * (low + high) : 0.1 * high;
  }
  result.c = (1 - x) * (1 + x);
  result.chi_c = v.weight * t.slope;
  result.converged = false;
}

inline FixedPoint fixed_point(const Activation& activation, Variances v, double q0, bool with_correlation,
                              GaussianNodes& nodes) {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  const FixedVariance at = fixed_variance(activation, v, q0, nodes);
  if (!at.exists) return {kNaN, kNaN, kNaN, kNaN, kNaN, kNaN, false, false};
  FixedPoint result{};
  result.q = at.q;
  // At q = 0 the map is linear: chi_q = sw2 E phi^2 / q.
  result.chi_q = v.weight * detail::square_slope(at.moments, at.q > 0 ? at.q : 1e-100);
  result.chi_1 = v.weight * at.moments.slope_square;
  result.c = result.chi_c = kNaN;
  result.residual = at.residual;
  result.exists = true;
  result.converged = at.converged;
  if (with_correlation) fixed_correlation(activation, v, at, result);
  return result;
}

// The smallest weight variance with chi_1 = 1 at the fixed point of q; NaN where there is none.
//
// For given q the weight variance is (q - sb2) / E phi^2, so that chi_1 = 1 is one equation in q,
//   (q - sb2) E phi'^2 = E phi^2.
inline double critical_weight_variance(const Activation& activation, double bias_variance) {
  GaussianNodes nodes;
  Moments m{};
  const auto at = [&](double q) {
    nodes.set(activation, 0.0, std::sqrt(q));
    m = moments(nodes);
    return (q - bias_variance) * m.slope_square - m.square;
  };
  const auto weight_variance = [&](double q) {
    at(q);
    return (q - bias_variance) / m.square;
  };
  if (bias_variance == 0 && activation.value(0.0) == 0) return weight_variance(1e-100);
  const double first = bias_variance > 0 ? bias_variance : 1e-12;
  double low = first, high = first, f_low = -1, f_high = -1;
  for (double step = 1e-3; f_high < 0; step *= 1.3) {
    low = high;
    f_low = f_high;
    high = first * (1 + step);
    if (!(high < 1e13 * std::max(1.0, first))) return std::numeric_limits<double>::quiet_NaN();
    f_high = at(high);
    // Rounding only: chi_1 tends to 1 from below (relu).
    if (std::abs(f_high) <= 1e-14 * m.square) return std::numeric_limits<double>::quiet_NaN();
  }
  f_low = at(low);
  // Illinois: regula falsi with halved end values.
  for (int turn = 0, kept = 0; turn < 200; ++turn) {
    double q = (low * f_high - high * f_low) / (f_high - f_low);
    if (!(q > low && q < high)) q = 0.5 * (low + high);
    const double f = at(q);
    if (f == 0 || high - low <= 4e-16 * high || std::abs(f) <= 2e-16 * m.square) return weight_variance(q);
    if (f > 0) {
      high = q;
      f_high = f;
      if (kept == 1) f_low *= 0.5;
      kept = 1;
    } else {
      low = q;
      f_low = f;
      if (kept == -1) f_high *= 0.5;
      kept = -1;
    }
  }
  return weight_variance(0.5 * (low + high));
}

}  // namespace deepglass::meanfield
