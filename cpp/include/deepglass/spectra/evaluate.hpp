// Transforms of a measure over arrays of points, on all threads.
#pragma once

#include "deepglass/parallel.hpp"
#include "deepglass/spectra/gaps.hpp"

namespace deepglass::spectra {

constexpr Index kPointsAtATime = 128;   // each range starts its search anew
constexpr double kWorkOfAPoint = 1500;  // ns

inline void cauchy(const Measure& mu, Span<const Complex> z /* (n,) */, Span<Complex> out /* (n,) */,
                   int threads, const StopToken& stop = {}) {
  parallel_chunks(
      z.size(), kPointsAtATime, {threads, kWorkOfAPoint * static_cast<double>(z.size())},
      [&](Index first, Index last) {
        Value values[kPointsAtATime];
        const Index n = last - first;
        mu.cauchy_in_order(z.subspan(first, n), {values, n});
        for (Index i = 0; i < n; ++i) out[first + i] = values[i].value;
      },
      stop);
}

// Density of the continuous part: -Im G(x + i0)/pi on the support, 0 off it.
inline void density(const Measure& mu, Span<const double> x /* (n,) */, Span<double> out /* (n,) */,
                    int threads, const StopToken& stop = {}) {
  const std::vector<Interval> support = mu.support();
  const auto inside = [&](double point) {
    for (const Interval& part : support) {
      if (point >= part.left && point <= part.right) return true;
    }
    return std::isnan(point);
  };
  parallel_chunks(
      x.size(), kPointsAtATime, {threads, kWorkOfAPoint * static_cast<double>(x.size())},
      [&](Index first, Index last) {
        Complex points[kPointsAtATime];
        Value values[kPointsAtATime];
        Index places[kPointsAtATime], n = 0;
        for (Index i = first; i < last; ++i) {
          out[i] = 0;
          if (!inside(x[i])) continue;
          places[n] = i;
          points[n++] = x[i];
        }
        mu.cauchy_in_order({points, n}, {values, n});
        for (Index k = 0; k < n; ++k) {
          const double value = -values[k].value.imag() / kPi;
          out[places[k]] = value < 0 ? 0 : value;  // NaN stays
        }
      },
      stop);
}

// R(g) = w - 1/g with G(w) = g, or S(u) = (1 + u)/(u w) with M(w) = u: the branch that is regular at 0,
// followed from there on a straight line by Newton's method.  NaN where it ends before the argument is
// reached.
inline Complex inverse_transform(const Measure& mu, Convolution kind, Complex v) {
  if (v.imag() > 0) return std::conj(inverse_transform(mu, kind, std::conj(v)));  // w is above the axis
  const bool sum = kind == Convolution::kSum;
  const Interval all = hull(mu);
  const double extent = std::max({std::fabs(all.left), std::fabs(all.right), 1e-300});
  // z M(z) = mean + m2/z + m3/z^2 + ...: at z = i y the real part is the mean up to y^-2, taken off.
  const auto real_part = [&](double y) { return (mu.transforms({0, y}).m.value * Complex(0, y)).real(); };
  const double mean = (4 * real_part(4e3 * extent) - real_part(2e3 * extent)) / 3;
  const auto result = [&](Complex u, Complex w) { return sum ? w - 1.0 / u : (1.0 + u) / (u * w); };
  if (v == 0.0) return sum ? mean : 1 / mean;
  const double size = sum ? std::abs(v) * extent : std::abs(v);
  double place = std::min(1.0, 0.01 / size), goal = place;
  Complex w = sum ? 1.0 / (place * v) + mean : mean * (1.0 + 1.0 / (place * v));
  for (int turn = 0; turn < 2000; ++turn) {
    const Complex u = goal * v;
    Complex trial = goal == place ? w : sum ? w + 1.0 / u - 1.0 / (place * v) : w * place / goal;
    bool found = false;
    for (int i = 0; i < 50; ++i) {
      const Value value = sum ? mu.cauchy(trial) : mu.transforms(trial).m;
      const Complex step = (u - value.value) / value.slope, next = trial + step;
      if (!is_finite(next) || next.imag() < -1e-9 * std::abs(next)) break;
      trial = Complex(next.real(), std::max(next.imag(), 0.0));
      if (std::abs(step) <= 1e-14 * std::abs(trial)) {
        found = v.imag() < 0 || std::fabs(trial.imag()) <= 1e-9 * std::abs(trial);
        break;
      }
    }
    // The slope of a real branch is negative; a jump to another one shows as a jump of w.
    if (found && v.imag() == 0) {
      const Value value = sum ? mu.cauchy(trial) : mu.transforms(trial).m;
      found = value.slope.real() < 0 && std::fabs(value.slope.imag()) <= 1e-6 * std::abs(value.slope);
    }
    if (found) {
      w = trial;
      place = goal;
      if (place == 1) return result(v, w);
      goal = std::min(1.0, 1.5 * place);
    } else {
      if (goal <= place * (1 + 1e-6)) break;
      goal = std::sqrt(goal * place);
    }
  }
  return {kNaN, kNaN};
}

}  // namespace deepglass::spectra
