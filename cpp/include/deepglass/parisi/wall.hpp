// The Parisi recursion of a field h that must not fall below a wall, or at a cost (spherical perceptron of
// margin `wall`): overlaps 0 < q_0 < .. < q_{n-1} < 1, weights 0 = y_0 < y_1 < .. < y_{n-1},
// G_i the Gaussian of variance v_i = q_i - q_{i-1} (v_0 = q_0), t = wall - h, s^2 = 1 - q_{n-1}.
//
//   exp(y_i f_{i-1}) = G_i * exp(y_i f_i),     F = (G_0 * f_0)(0),
//   T_i(h, h') = G_i(h' - h) exp(y_i [f_i(h') - f_{i-1}(h)]),   f_{i-1}' = T_i f_i',   P_i = P_{i-1} T_i,
//   g_i = E_{P_i} f_i'^2
//
// It starts from one of two functions f_{n-1}:
//
//   of a potential v    ln G_s * exp(-beta v(-t))                     (y_i = m_i, y_n = 1)
//   jamming             (1/y_n) ln G_s * exp(-y_n t^2/2 [t > 0])      (m_i = (1 - q_n) y_i, q_n -> 1)
//
// (perceptron.hpp: ln Phi(-t/s) where hard), both with df/ds^2 = (f'' + y_n f'^2)/2, so that
//
//   dF/dq_i = (y_i - y_{i+1}) g_i/2,
//   dF/dy_i = E_{P_{i-1}} B_i,     B_i = df_{i-1}/dy_i = (T_i f_i - f_{i-1})/y_i.
//
// Second derivatives need what A_i = f_i'^2 and B_i become when they are averaged from their own level, i and
// i - 1, outwards, X_l = T_{l+1} .. X, and its derivative (T X)' = T (X' + y f' X) - y f_{l-1}' T X.  With
// C_l = E_{P_l} X_l Z_l and L the outer one of the levels of X and Z, the change of the measure gives each
// pair (X, Z)
//
//   sum_{l=1..L} y_l (C_l - C_{l-1}),
//
// to which are added 2 E_{P_i} f_i' X_i' for (A_i, X) with X from level i or inwards (the change of f_i'),
// and E_{P_{i-1}} cov_{T_i}(f_i, X_i) for (B_i, X) with X from level i or inwards (the change of T_i).
//
// The energy of a potential, -dF/dbeta, is E_{P_n} of -df_n/dbeta.
//
// f falls like -t^2: exp(y f) has thousands of decades.  T_i has not: its rows are taken relative to their
// largest entry, which moves towards the wall; y f_i is concave, so that 8.7 sqrt(v_i) to both sides are
// enough.  Rows sum to one, all terms are positive.  That of the count potential is not concave, but within
// (-beta, 0): rows are centred at h, and y f adds sqrt(2 y beta) to their reach.
//
// Level i has its own grid.  What is integrated over it is a Gaussian of variance v_i times functions that
// are smooth over sqrt(1 - q_i); the trapezoidal rule is exact to rounding at so many points a width
// (kPoints).  It ends at 8.7 widths of P_i on the left; on the right where f_i vanishes (or, for the law of
// the gaps, P_i).
//
// Cost: N_{i-1} w_i exponentials a level, N = 1e3 .. 1e4 points and w = 50 .. 100; of derivatives as many fma
// for each of up to 4 (n - i) functions.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "deepglass/core.hpp"
#include "deepglass/parallel.hpp"
#include "deepglass/parisi/perceptron.hpp"
#include "deepglass/vmath.hpp"

namespace deepglass::parisi {

class WallRecursion {
 public:
  double value = 0.0;                    // F
  double slope = 0.0;                    // E f', the same on all levels
  std::vector<double> slope_square;      // (n,)  g_i
  std::vector<double> breakpoint_slope;  // (n,)  dF/dy_i, i = 1..n; the last is 0 but at jamming
  double curvature_square = 0.0;         // E_{P_n} f_n''^2: at jamming the share of P_n before the wall
  double energy = 0.0;                   // -dF/dbeta; 0 where hard
  // (n, n)  dg_i/dq_j, dg_i/dy_j and d2F/dy_i dy_j.
  std::vector<double> overlap_jacobian, breakpoint_jacobian, breakpoint_hessian;

  // weights: y_1 .. y_n at jamming, else m_1 .. m_{n-1}; model: the potential, its margin is the wall.
  WallRecursion(Span<const double> overlap, Span<const double> weights, const PerceptronModel& model,
                double resolution, bool gaps)
      : levels_(overlap.size()),
        jamming_(weights.size() == overlap.size()),
        model_(model),
        wall_(model.margin),
        rest_(1.0 - overlap[levels_ - 1]) {
    const double wall = wall_;
    const bool count = model.potential == GapPotential::kCount;
    // Zeros of exp(f) are about pi/sqrt(2 beta) widths s from the real axis.
    const double points = count ? std::max(1.5 * kPoints, 2.5 * std::sqrt(model.beta)) : kPoints;
    y_.assign(1, 0.0);
    y_.insert(y_.end(), weights.begin(), weights.end());
    if (!jamming_) y_.push_back(1.0);
    q_.assign(overlap.begin(), overlap.end());
    // Width of P_i before the wall: D_{i+1} sqrt(M_i), as if there were no other side.
    std::vector<double> pull(at(levels_ + 1));  // D_{i+1}
    pull[at(levels_ - 1)] = jamming_ ? 1.0 + y_[at(levels_)] * rest_ : rest_;
    if (model.potential == GapPotential::kSoft) pull[at(levels_ - 1)] += 0.5 / model.beta;
    for (Index i = levels_ - 1; i > 0; --i) pull[at(i - 1)] = pull[at(i)] + y_[at(i)] * variance(i);
    double force = 0.0, before = wall;
    for (Index i = 0; i < levels_; ++i) {
      force += variance(i) / (pull[at(i)] * pull[at(std::max<Index>(i - 1, 0))]);
      const double smooth = 1.0 - q_[at(i)], width = std::sqrt(variance(i) * smooth / (variance(i) + smooth));
      const double contraction = pull[at(i)] / pull[0];
      const double left = std::max(wall, 0.0) * contraction +
                          kReach * (count ? std::sqrt(q_[at(i)]) : pull[at(i)] * std::sqrt(force));
      double right = wall + kReach * std::sqrt(smooth);
      if (gaps) right = std::max(right, kReach * std::sqrt(q_[at(i)]));
      Level level;
      level.spacing = width / (points * resolution);
      const double size = (left + right - wall) / level.spacing;
      const double reach = kReach + (count ? std::sqrt(2.0 * y_[at(i)] * model.beta) : 0.0);
      const double half = i == 0 ? 0.0 : reach * std::sqrt(variance(i)) / level.spacing;
      if (!(size * (2.0 * half + 1.0) < kMostEntries)) {
        throw NumericalError("the grid of overlap " + std::to_string(i) + " would need " +
                             std::to_string(size) +
                             " points: two levels are too close, or far apart beside 1 - overlap");
      }
      level.first = wall - left;
      level.points = static_cast<Index>(size) + 2;
      level.half = static_cast<Index>(half) + 2;
      // Rows of T_i start from the grid before.
      const double beyond = std::max(0.0, before - right) / level.spacing;
      level.padded = level.points + static_cast<Index>(beyond) + 2 * level.half + 2;
      for (auto* array : {&level.f, &level.slope, &level.measure}) array->assign(at(level.padded), 0.0);
      grid_.push_back(std::move(level));
      before = right;
    }
  }

  Index entries() const {
    Index sum = 0;
    for (const Level& level : grid_) sum += static_cast<Index>(level.kernel.size());
    return sum;
  }
  // The innermost grid: its fields, f_{n-1} and P_{n-1}, a weight for each point.
  std::vector<double> fields() const {
    const Level& last = grid_.back();
    std::vector<double> h;
    for (Index x = 0; x < last.points; ++x) h.push_back(last.at(x));
    return h;
  }
  std::vector<double> values() const {
    return {grid_.back().f.begin(), grid_.back().f.begin() + grid_.back().points};
  }
  std::vector<double> measure() const {
    return {grid_.back().measure.begin(), grid_.back().measure.begin() + grid_.back().points};
  }

  void run(const StopToken& stop = {}) {
    start();
    for (Index i = levels_ - 1; i > 0; --i) outwards(i, stop);
    inwards(stop);
  }

  // After run(); without `breakpoints` only dg_i/dq_j.
  void differentiate(bool breakpoints, const StopToken& stop = {}) {
    // X and X' of A_{n-1}, A_{n-2}, .. and, from `n_` on, B_n, B_{n-1}, ..
    const Index kinds = breakpoints ? 2 : 1, n = levels_;
    pairs_.assign(at(4 * n * n), 0.0);
    std::vector<double> own(at(n));
    std::vector<Family> families(at(kinds));
    std::vector<double> curvature = curvature_, mean;  // f_l'', T_{l+1} f_{l+1}
    for (Index l = n - 1;; --l) {
      TimedStop(stop).check();
      const Level& here = grid_[at(l)];
      const double *const p = here.measure.data(), *const f = here.f.data(), *const d = here.slope.data();
      const auto points = at(here.padded);
      families[0].push(points);
      for (Index x = 0; x < here.points; ++x) {
        families[0].value.back()[at(x)] = d[x] * d[x];
        families[0].slope.back()[at(x)] = 2.0 * d[x] * curvature[at(x)];
      }
      if (breakpoints) add_breakpoint(l, families[1], mean);
      own[at(l)] = sum(here.points, [&](Index x) { return p[x] * curvature[at(x)] * curvature[at(x)]; });
      // Pairs of all that live here; `a` is the index in the matrix, `native` the level of its own.
      for (Index s = 0; s < kinds; ++s) {
        for (Index i = l; i < n; ++i) {
          const double* const X = families[at(s)].value[at(n - 1 - i)].data();
          for (Index t = s; t < kinds; ++t) {
            for (Index j = s == t ? i : l; j < n; ++j) {
              const double* const Z = families[at(t)].value[at(n - 1 - j)].data();
              const double weight = y_[at(l)] - (l < std::min(i, j) ? y_[at(l + 1)] : 0.0);
              pair(s, i, t, j) += weight * sum(here.points, [&](Index x) { return p[x] * X[x] * Z[x]; });
            }
          }
          const double* const dX = families[at(s)].slope[at(n - 1 - i)].data();
          pair(0, l, s, i) += 2.0 * sum(here.points, [&](Index x) { return p[x] * d[x] * dX[x]; });
        }
      }
      if (l == 0) break;
      if (breakpoints) {  // E_{P_l} f_l X_l, of the covariance with B_l
        for (Index s = 0; s < kinds; ++s) {
          for (Index i = l; i < n; ++i) {
            const double* const X = families[at(s)].value[at(n - 1 - i)].data();
            with_breakpoint(s, i, l - 1) += sum(here.points, [&](Index x) { return p[x] * f[x] * X[x]; });
          }
        }
        pair(1, l - 1, 1, l - 1) += sum(here.points, [&](Index x) { return p[x] * f[x] * f[x]; }) / y_[at(l)];
      }
      average_all(l, families, curvature, mean);
      if (breakpoints) {  // - E_{P_{l-1}} (T f_l)(T X_l)
        const Level& outer = grid_[at(l - 1)];
        const double* const p_outer = outer.measure.data();
        for (Index s = 0; s < kinds; ++s) {
          for (Index i = l; i < n; ++i) {
            const double* const X = families[at(s)].value[at(n - 1 - i)].data();
            with_breakpoint(s, i, l - 1) -=
                sum(outer.points, [&](Index x) { return p_outer[x] * mean[at(x)] * X[x]; });
          }
        }
        const double squares =
            sum(outer.points, [&](Index x) { return p_outer[x] * mean[at(x)] * mean[at(x)]; });
        pair(1, l - 1, 1, l - 1) -= (squares + 2.0 * breakpoint_slope[at(l - 1)]) / y_[at(l)];
      }
    }
    overlap_jacobian.assign(at(n * n), 0.0);
    breakpoint_jacobian.assign(at(breakpoints ? n * n : 0), 0.0);
    breakpoint_hessian = breakpoint_jacobian;
    for (Index i = 0; i < n; ++i) {
      for (Index j = 0; j < n; ++j) {
        const double both = pair(0, std::min(i, j), 0, std::max(i, j));
        overlap_jacobian[at(i * n + j)] =
            0.5 * (y_[at(j)] - y_[at(j + 1)]) * both + (i == j ? own[at(i)] : 0.0);
        if (!breakpoints) continue;
        breakpoint_jacobian[at(i * n + j)] = pair(0, i, 1, j);
        breakpoint_hessian[at(i * n + j)] = pair(1, std::min(i, j), 1, std::max(i, j));
      }
    }
  }

 private:
  static constexpr double kReach = 8.7, kPoints = 2.1, kMostEntries = 1e7;
  static constexpr double kInvSqrt2Pi = 0.3989422804014327;

  struct Level {
    double first = 0.0, spacing = 0.0;
    Index points = 0, padded = 0, half = 0;  // beyond `points` f and f' are zero
    std::vector<double> f, slope, measure;   // (padded,)
    std::vector<double> kernel;              // T_i: (points of level i - 1, 2 half + 1)
    std::vector<Index> start;                // first point of each row
    double at(Index x) const { return first + static_cast<double>(x) * spacing; }
    Index taps() const { return 2 * half + 1; }
  };
  struct Family {  // functions on one level, innermost first, and their derivatives
    std::vector<std::vector<double>> value, slope;
    void push(std::size_t size) {
      value.emplace_back(size);
      slope.emplace_back(size);
    }
  };

  static std::size_t at(Index i) { return static_cast<std::size_t>(i); }
  template <class Term>
  static double sum(Index n, const Term& term) {
    double total = 0.0;
#pragma omp simd reduction(+ : total)
    for (Index x = 0; x < n; ++x) total += term(x);
    return total;
  }
  double variance(Index i) const { return i == 0 ? q_[0] : q_[at(i)] - q_[at(i - 1)]; }
  // Family s (0: A, 1: B) and level; B_j has the level j - 1.
  double& pair(Index s, Index i, Index t, Index j) {
    return pairs_[at((s * levels_ + i) * 2 * levels_ + t * levels_ + j)];
  }

  // X_i with B_j, j from the level before.
  double& with_breakpoint(Index s, Index i, Index j) { return s == 0 ? pair(0, i, 1, j) : pair(1, j, 1, i); }

  // f_{n-1} and its derivatives.
  void start() {
    Level& level = grid_.back();
    for (auto* array :
         {&curvature_, &by_weight_, &by_weight_slope_, &by_weight_twice_, &touching_, &energies_}) {
      array->assign(at(level.padded), 0.0);
    }
    const double s = std::sqrt(rest_), y = y_[at(levels_)], D = 1.0 + y * rest_, tau = s / std::sqrt(D);
    if (!jamming_) {
      with_gap(model_, rest_, [&](const auto& gap) {
        for (Index x = 0; x < level.points; ++x) {
          const GapResponse r = gap((level.at(x) - wall_) / s);
          level.f[at(x)] = r.log_g;
          level.slope[at(x)] = r.slope / s;
          curvature_[at(x)] = r.curvature / rest_;
          touching_[at(x)] = curvature_[at(x)] * curvature_[at(x)];
          energies_[at(x)] = r.energy;
        }
      });
      return;
    }
    for (Index x = 0; x < level.points; ++x) {
      const double t = wall_ - level.at(x), edge = t / s;
      // exp(y f) = Phi(-t/s) + D^{-1/2} exp(-y t^2/2D) Phi(u): beyond the wall after the step, and before it.
      const double u = t / (s * std::sqrt(D));
      double before = vmath::normal_cdf(u) / std::sqrt(D), f, share;
      if (t > 0.0) {
        const double beyond = vmath::exp(-0.5 * u * u) * kInvSqrt2Pi / vmath::inverse_mills_ratio(-edge);
        f = -0.5 * t * t / D + vmath::log(before + beyond) / y;
        share = before / (before + beyond);
      } else {
        before *= vmath::exp(-0.5 * y * t * t / D);
        const double change = before - vmath::normal_cdf(edge);
        f = vmath::log1p(change) / y;
        share = before / (1.0 + change);
      }
      // Moments of t after the step, where it is positive: a Gaussian of mean t/D and width tau, cut at zero.
      const double mean = t / D, tau2 = tau * tau;
      const double t1 = share * (mean + tau * vmath::inverse_mills_ratio(u));
      const double t2 = mean * t1 + tau2 * share, t3 = mean * t2 + 2.0 * tau2 * t1,
                   t4 = mean * t3 + 3.0 * tau2 * t2;
      level.f[at(x)] = f;
      level.slope[at(x)] = t1;
      curvature_[at(x)] = y * (t2 - t1 * t1) - share;
      by_weight_[at(x)] = -(0.5 * t2 + f) / y;
      by_weight_slope_[at(x)] = 0.5 * (t1 * t2 - t3);
      by_weight_twice_[at(x)] = (0.25 * (t4 - t2 * t2) - 2.0 * by_weight_[at(x)]) / y;
      touching_[at(x)] = share;
    }
  }

  // T_i, f_{i-1} and f_{i-1}'.
  void outwards(Index i, const StopToken& stop) {
    Level &level = grid_[at(i)], &outer = grid_[at(i - 1)];
    const double y = y_[at(i)], sigma = std::sqrt(variance(i)), norm = level.spacing * kInvSqrt2Pi / sigma;
    const double* const f = level.f.data();
    const Index taps = level.taps();
    level.kernel.resize(at(outer.points * taps));
    level.start.resize(at(outer.points));
    Index peak = 0;
    TimedStop timed(stop);
    for (Index x = 0; x < outer.points; ++x) {
      if (x % 256 == 0) timed.check();
      const double h = outer.at(x);
      const auto exponent = [&](Index j) {
        const double z = (level.at(j) - h) / sigma;
        return y * f[j] - 0.5 * z * z;
      };
      if (model_.potential == GapPotential::kCount) {
        peak = std::clamp<Index>(std::lround((h - level.first) / level.spacing), 0, level.padded - 1);
      } else {
        while (peak + 1 < level.padded && exponent(peak + 1) >= exponent(peak)) ++peak;
      }
      const double top = exponent(peak);
      const Index first = std::clamp<Index>(peak - level.half, 0, level.padded - taps);
      double* const row = level.kernel.data() + x * taps;
      double total = 0.0;
#pragma omp simd reduction(+ : total)
      for (Index d = 0; d < taps; ++d) {
        row[d] = vmath::exp(exponent(first + d) - top);
        total += row[d];
      }
      const double scale = 1.0 / total;
      const double* const slope = level.slope.data() + first;
      double mean = 0.0;
#pragma omp simd reduction(+ : mean)
      for (Index d = 0; d < taps; ++d) {
        row[d] *= scale;
        mean += row[d] * slope[d];
      }
      level.start[at(x)] = first;
      outer.f[at(x)] = (top + vmath::log(total * norm)) / y;
      outer.slope[at(x)] = mean;
    }
  }

  void inwards(const StopToken& stop) {
    slope_square.assign(at(levels_), 0.0);
    breakpoint_slope.assign(at(levels_), 0.0);
    double before = 0.0;
    for (Index i = 0; i < levels_; ++i) {
      TimedStop(stop).check();
      Level& level = grid_[at(i)];
      double* const p = level.measure.data();
      if (i == 0) {
        const double sigma = std::sqrt(q_[0]);
        for (Index x = 0; x < level.points; ++x) {
          p[x] = level.spacing * kInvSqrt2Pi / sigma * std::exp(-0.5 * level.at(x) * level.at(x) / q_[0]);
        }
      } else {
        const Level& outer = grid_[at(i - 1)];
        const Index taps = level.taps();
        std::fill(level.measure.begin(), level.measure.end(), 0.0);
        for (Index x = 0; x < outer.points; ++x) {
          const double* const row = level.kernel.data() + x * taps;
          double* const there = p + level.start[at(x)];
          const double weight = outer.measure[at(x)];
#pragma omp simd
          for (Index d = 0; d < taps; ++d) there[d] = vmath::madd(weight, row[d], there[d]);
        }
        std::fill(level.measure.begin() + level.points, level.measure.end(), 0.0);
      }
      const double *const f = level.f.data(), *const d = level.slope.data();
      const double mean = sum(level.points, [&](Index x) { return p[x] * f[x]; });
      slope_square[at(i)] = sum(level.points, [&](Index x) { return p[x] * d[x] * d[x]; });
      if (i == 0) value = mean;
      if (i > 0) breakpoint_slope[at(i - 1)] = (mean - before) / y_[at(i)];
      before = mean;
    }
    const Level& last = grid_.back();
    const double* const p = last.measure.data();
    slope = sum(last.points, [&](Index x) { return p[x] * last.slope[at(x)]; });
    breakpoint_slope[at(levels_ - 1)] = sum(last.points, [&](Index x) { return p[x] * by_weight_[at(x)]; });
    curvature_square = sum(last.points, [&](Index x) { return p[x] * touching_[at(x)]; });
    energy = sum(last.points, [&](Index x) { return p[x] * energies_[at(x)]; });
    if (!std::isfinite(value)) throw NumericalError("the recursion left the range of numbers");
  }

  // B_{l+1}, a function on level l, into its family; it adds d2F/dy_n^2 too.
  void add_breakpoint(Index l, Family& family, const std::vector<double>& mean) {
    const Level& here = grid_[at(l)];
    family.push(at(here.padded));
    std::vector<double>&value = family.value.back(), &slope = family.slope.back();
    if (l == levels_ - 1) {
      value = by_weight_;
      slope = by_weight_slope_;
      pair(1, l, 1, l) +=
          sum(here.points, [&](Index x) { return here.measure[at(x)] * by_weight_twice_[at(x)]; });
      return;
    }
    for (Index x = 0; x < here.points; ++x) {
      value[at(x)] = (mean[at(x)] - here.f[at(x)]) / y_[at(l + 1)];
      slope[at(x)] = product_[at(x)] - here.slope[at(x)] * mean[at(x)];
    }
  }

  // All functions from level l to l - 1; `mean` and `product_` become T f_l and T f_l f_l'.
  void average_all(Index l, std::vector<Family>& families, std::vector<double>& curvature,
                   std::vector<double>& mean) {
    const Level &level = grid_[at(l)], &outer = grid_[at(l - 1)];
    const double y = y_[at(l)];
    const double *const d = level.slope.data(), *const f = level.f.data(),
                        *const d_outer = outer.slope.data();
    std::vector<const double*> in;
    std::vector<std::vector<double>> out;
    const auto add = [&](const std::vector<double>& function) { in.push_back(function.data()); };
    std::vector<double> product(at(level.padded));
    for (Index x = 0; x < level.points; ++x) {
      curvature[at(x)] += y * d[x] * d[x];
      product[at(x)] = f[x] * d[x];
    }
    add(curvature), add(level.f), add(product);
    for (Family& family : families) {
      for (std::size_t j = 0; j < family.value.size(); ++j) {
        for (Index x = 0; x < level.points; ++x) family.slope[j][at(x)] += y * d[x] * family.value[j][at(x)];
        add(family.value[j]), add(family.slope[j]);
      }
    }
    out.assign(in.size(), std::vector<double>(at(outer.padded)));
    const Index taps = level.taps();
    for (Index x = 0; x < outer.points; ++x) {
      const double* const row = level.kernel.data() + x * taps;
      for (std::size_t j = 0; j < in.size(); ++j) {
        const double* const here = in[j] + level.start[at(x)];
        out[j][at(x)] = sum(taps, [&](Index t) { return row[t] * here[t]; });
      }
    }
    std::size_t next = 0;
    curvature = std::move(out[next++]);
    for (Index x = 0; x < outer.points; ++x) curvature[at(x)] -= y * d_outer[x] * d_outer[x];
    mean = std::move(out[next++]);
    product_ = std::move(out[next++]);
    for (Family& family : families) {
      for (std::size_t j = 0; j < family.value.size(); ++j) {
        family.value[j] = std::move(out[next++]);
        family.slope[j] = std::move(out[next++]);
        for (Index x = 0; x < outer.points; ++x)
          family.slope[j][at(x)] -= y * d_outer[x] * family.value[j][at(x)];
      }
    }
  }

  Index levels_;
  bool jamming_;
  PerceptronModel model_;
  double wall_, rest_;         // rest = s^2
  std::vector<double> y_, q_;  // (n+1,), (n,)
  std::vector<Level> grid_;
  std::vector<double> curvature_, by_weight_, by_weight_slope_, by_weight_twice_;  // of f_{n-1}
  std::vector<double> touching_, energies_, product_, pairs_;
};

}  // namespace deepglass::parisi
