// The Parisi recursion of Ising spins at zero temperature and close to it, in units of the field h: levels
// Lambda_0 < .. < Lambda_k = xi'(1) of its covariance, a_i = beta m_i, 0 = a_0 < a_1 < .. < a_k, and G_i the
// Gaussian of variance v_i = Lambda_i - Lambda_{i-1}.
//
//   exp(a_i f_{i-1}) = G_i * exp(a_i f_i),   F = (G_0 * f_0)(field),   f_k = |h|  (ground state)
//   T_i(h, h') = G_i(h' - h) exp(a_i [f_i(h') - f_{i-1}(h)]),   f'_{i-1} = T_i f'_i,   P_i = P_{i-1} T_i
//   g_i = E_{P_i} f_i'^2,   dF/da_i = E_{P_{i-1}} [T_i f_i - f_{i-1}]/a_i
//
// The last step has a closed form, x_+- = +-h/s + a s, s^2 = v_k, a = a_k (Phi = 1 at a temperature 1/a_k,
// where exp(a f_k) is the sum over both spins instead of the larger term):
//
//   exp(a f_{k-1}) = exp(a^2 s^2/2) [exp(a h) Phi(x_+) + exp(-a h) Phi(x_-)].
//
// dg_i/dLambda_j for the levels 0 .. k-1 as in spin_glass.hpp, with a for m.
//
// The inner levels are as narrow as 1/a_k, the outer ones as wide as 1, and every f_i differs from |h| +
// const only where |h| is a few of its own widths; so each level has its own few panels of Chebyshev points
// on h >= 0 (the f_i are even), the narrowest at h = 0 and each further one twice as long; beyond the last
// one f_i' = 1. Stored is phi_i = f_i - |h| - c_i, c_i = sum_{j>i} a_j v_j/2, which decays: exponents keep
// their relative accuracy for any a.  T_i is a matrix from the points of level i to those of i - 1, one for
// even and one for odd functions: the trapezoidal rule over the Gaussian, and interpolation.
//
// The rule errs by exp(-2 pi^2/d^2) at a spacing d of z = (h' - h)/sigma where r = y/sigma > 2 pi/d, else by
// exp(-2 pi r/d + r^2/2), y the distance of the poles of f_i' from the real axis; here it is 1e-16.
//
// Cost: N_{i-1} M (2 p + 1 exponential) a level, N about 120 points, M = 24 to 100 of the rule, p = 20 a
// panel; the derivatives k N^2 a level more.  M grows with the ratio of a step to the level
// inside it, not with how narrow both are.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "deepglass/core.hpp"
#include "deepglass/parallel.hpp"
#include "deepglass/vmath.hpp"

namespace deepglass::parisi {

class SpinGlassGroundState {
 public:
  double value = 0.0;                    // F
  std::vector<double> slope_square;      // (k,)  g_i, i = 0 .. k-1
  std::vector<double> breakpoint_slope;  // (k,)  dF/da_i, i = 1 .. k
  double magnetisation = 0.0;            // E f'
  // Averages over P_{k-1}: f_{k-1}''^2, f''^3, f'''^2.
  double curvature2 = 0.0, curvature3 = 0.0, third2 = 0.0;
  double mass = 0.0;             // of P_{k-1}: 1 up to rounding
  std::vector<double> jacobian;  // (k, k)  dg_i/dLambda_j

  // covariance (k+1,), breakpoints (k,), k >= 1; thermal: at the temperature 1/a_k.
  SpinGlassGroundState(Span<const double> covariance, Span<const double> breakpoints, double field,
                       bool thermal, double resolution)
      : levels_(breakpoints.size()), field_(field), thermal_(thermal), resolution_(resolution) {
    a_.assign(1, 0.0);
    a_.insert(a_.end(), breakpoints.begin(), breakpoints.end());
    for (Index i = 0; i <= levels_; ++i) {
      variance_.push_back(covariance[i] - (i == 0 ? 0.0 : covariance[i - 1]));
    }
    const double a = a_[at(levels_)], s2 = variance_[at(levels_)];
    level_.resize(at(levels_));
    double width = 1.0 / std::sqrt(square(a) + (thermal ? 0.0 : 1.0 / s2));
    double inside = thermal ? 0.0 : s2;
    for (Index i = levels_ - 1;; --i) {
      level_[at(i)].lay(width, kReach * std::sqrt(inside) + (thermal ? 19.0 / a : 0.0), resolution);
      if (i == 0) break;
      // Smoothed by the step, but with a_i > 0 no further than to 1/a_i.
      const double smooth = square(width) + variance_[at(i)];
      width = std::max(width, std::sqrt(1.0 / (1.0 / smooth + square(a_[at(i)]))));
      inside += variance_[at(i)];
    }
  }

  // Of the outermost level.
  Index points() const { return level_.front().size(); }

  void run(const StopToken& stop = {}) {
    breakpoint_slope.assign(at(levels_), 0.0);
    terminal();
    step_.resize(at(levels_));
    for (Index i = levels_ - 1; i > 0; --i) {
      TimedStop(stop).check();
      outwards(i);
    }
    start();
    for (Index i = 1; i < levels_; ++i) inwards(i);
    averages();
  }

  // After run().
  void differentiate(const StopToken& stop = {}) {
    jacobian.assign(at(levels_ * levels_), 0.0);
    std::vector<std::vector<double>> A,
        slope;  // A_lj(h) = E[f_j'^2 | level l] and its derivative; j = k-1 first
    std::vector<double> curvature = curvature_, own(at(levels_)), tilted;
    const Index last = levels_ - 1;
    for (Index l = last;; --l) {
      TimedStop(stop).check();
      const Level& here = level_[at(l)];
      const Index n = here.size();
      const std::vector<double>&d = here.slope, &p = here.measure;
      A.emplace_back(at(n));
      slope.emplace_back(at(n));
      for (Index x = 0; x < n; ++x) {
        A.back()[at(x)] = square(d[at(x)]);
        slope.back()[at(x)] = 2.0 * d[at(x)] * curvature[at(x)];
        own[at(l)] += p[at(x)] * square(curvature[at(x)]);
      }
      for (Index j = l; j <= last; ++j) {
        const std::vector<double>&Aj = A[at(last - j)], &dA = slope[at(last - j)];
        for (Index i = l; i <= j; ++i) {
          const std::vector<double>& Ai = A[at(last - i)];
          double sum = 0.0;
          for (Index x = 0; x < n; ++x) sum += p[at(x)] * Ai[at(x)] * Aj[at(x)];
          entry(i, j) += (a_[at(l)] - (l < i ? a_[at(l + 1)] : 0.0)) * sum;
        }
        double sum = 0.0;
        for (Index x = 0; x < n; ++x) sum += p[at(x)] * d[at(x)] * dA[at(x)];
        entry(l, j) += 2.0 * sum;
      }
      if (l == 0) break;
      // d/dh (T A) = T (A' + a A f_l') - a f_{l-1}' T A
      const double a = a_[at(l)];
      const Step& step = step_[at(l)];
      const std::vector<double>& outer = level_[at(l - 1)].slope;
      tilted.resize(at(n));
      for (std::size_t j = 0; j < A.size(); ++j) {
        for (Index x = 0; x < n; ++x) {
          tilted[at(x)] = slope[j][at(x)] + a * A[j][at(x)] * d[at(x)];
        }
        A[j] = apply(step.even, A[j]);
        slope[j] = apply(step.odd, tilted);
        for (std::size_t x = 0; x < outer.size(); ++x) slope[j][x] -= a * outer[x] * A[j][x];
      }
      for (Index x = 0; x < n; ++x) tilted[at(x)] = curvature[at(x)] + a * square(d[at(x)]);
      curvature = apply(step.even, tilted);
      for (std::size_t x = 0; x < outer.size(); ++x) curvature[x] -= a * square(outer[x]);
    }
    for (Index i = 0; i < levels_; ++i) {
      for (Index j = i; j < levels_; ++j) {
        const double pair = 0.5 * entry(i, j);  // the same for (i, j) and (j, i), but for the weights
        entry(i, j) = pair * (a_[at(j)] - a_[at(j + 1)]);
        entry(j, i) = pair * (a_[at(i)] - a_[at(i + 1)]);
      }
      entry(i, i) += own[at(i)];
    }
  }

 private:
  static constexpr double kReach = 8.7;
  static constexpr Index kOrder = 20, kMostNodes = 20000;  // points a panel; of the trapezoidal rule
  static constexpr double kPi = 3.14159265358979323846;

  static std::size_t at(Index i) { return static_cast<std::size_t>(i); }
  static double square(double x) { return x * x; }
  double& entry(Index i, Index j) { return jacobian[at(i * levels_ + j)]; }

  // The functions of one level and where they are known.
  struct Level {
    double width = 0.0;                       // of its structure around h = 0
    std::vector<double> edge;                 // of the panels, from 0
    std::vector<double> h;                    // (N,)
    std::vector<double> phi, slope, measure;  // (N,)

    Index size() const { return static_cast<Index>(h.size()); }

    void lay(double structure, double reach, double resolution) {
      width = structure;
      double length = 0.7 * width / resolution;
      edge = {0.0};
      while (edge.back() < reach) {
        edge.push_back(edge.back() + length);
        if (edge.size() > 2) length = edge.back();
      }
      for (std::size_t e = 0; e + 1 < edge.size(); ++e) {
        for (Index q = 0; q < kOrder; ++q) {
          h.push_back(0.5 * (edge[e] + edge[e + 1]) + 0.5 * (edge[e + 1] - edge[e]) * chebyshev().point[q]);
        }
      }
      for (auto* values : {&phi, &slope, &measure}) values->assign(h.size(), 0.0);
    }

    // First of the kOrder points that interpolate at y >= 0, and their weights there.
    Index locate(double y, double* basis) const {
      y = std::min(y, edge.back());
      std::size_t e = 0;
      while (e + 2 < edge.size() && y > edge[e + 1]) ++e;
      const double t = (2.0 * y - edge[e] - edge[e + 1]) / (edge[e + 1] - edge[e]);
      const Chebyshev& table = chebyshev();
      double sum = 0.0;
#pragma omp simd reduction(+ : sum)
      for (Index q = 0; q < kOrder; ++q) {
        const double gap = t - table.point[q];
        // On the point: its own weight outgrows all others.
        basis[q] = table.weight[q] / (std::fabs(gap) < 1e-18 ? 1e-18 : gap);
        sum += basis[q];
      }
      const double scale = 1.0 / sum;
#pragma omp simd
      for (Index q = 0; q < kOrder; ++q) basis[q] *= scale;
      return static_cast<Index>(e) * kOrder;
    }
  };

  // Points of the first kind and their barycentric weights.
  struct Chebyshev {
    double point[kOrder], weight[kOrder];
    Chebyshev() {
      for (Index q = 0; q < kOrder; ++q) {
        const double angle = kPi * (static_cast<double>(q) + 0.5) / kOrder;
        point[q] = -std::cos(angle);
        weight[q] = (q % 2 == 0 ? 1.0 : -1.0) * std::sin(angle);
      }
    }
  };
  static const Chebyshev& chebyshev() {
    static const Chebyshev table;
    return table;
  }

  // Row-major (rows, columns).
  struct Matrix {
    Index rows = 0, columns = 0;
    std::vector<double> entry;
    void clear(Index n, Index m) {
      rows = n;
      columns = m;
      entry.assign(at(n * m), 0.0);
    }
    double* row(Index i) { return entry.data() + i * columns; }
    const double* row(Index i) const { return entry.data() + i * columns; }
  };
  struct Step {
    Matrix even, odd;          // T_i
    std::vector<double> gain;  // T_i f_i - f_{i-1}
  };

  static std::vector<double> apply(const Matrix& matrix, const std::vector<double>& x) {
    std::vector<double> y(at(matrix.rows));
    for (Index i = 0; i < matrix.rows; ++i) {
      const double* const row = matrix.row(i);
      double sum = 0.0;
#pragma omp simd reduction(+ : sum)
      for (Index j = 0; j < matrix.columns; ++j) sum += row[j] * x[at(j)];
      y[at(i)] = sum;
    }
    return y;
  }

  // Nodes z of the trapezoidal rule for a Gaussian of width sigma, tilted by up to exp(a h), over functions
  // of the given width; their weights, and the logarithms of these.
  struct Rule {
    std::vector<double> z, weight, exponent;
  };
  Rule rule(double sigma, double a, double width) const {
    if (!(sigma > 0.0)) return {{0.0}, {1.0}, {0.0}};
    const double r = kPoles * width / sigma;
    double d = 0.73;
    if (r < 2.0 * kPi / d) d = 2.0 * kPi * r / (37.0 + 0.5 * r * r);
    d /= resolution_;
    const double count = std::ceil((kReach + a * sigma) / d);
    if (!(count < kMostNodes)) {
      throw NumericalError("a step of the recursion is too wide for the structure of its inner level");
    }
    Rule found;
    double sum = 0.0;
    for (Index n = -static_cast<Index>(count); n <= static_cast<Index>(count); ++n) {
      found.z.push_back(static_cast<double>(n) * d);
      found.weight.push_back(std::exp(-0.5 * square(found.z.back())));
      sum += found.weight.back();
    }
    for (double& w : found.weight) w /= sum;
    for (const double z : found.z) found.exponent.push_back(-0.5 * square(z) - std::log(sum));
    return found;
  }
  static constexpr double kPoles = 1.2;  // their distance from the real axis, in widths

  // f_{k-1} and its derivatives.
  void terminal() {
    Level& here = level_.back();
    const double a = a_[at(levels_)], s2 = variance_[at(levels_)], s = std::sqrt(s2);
    offset_.assign(at(levels_), 0.5 * a * s2);
    for (auto* values : {&curvature_, &third_, &gain_last_}) values->assign(here.h.size(), 0.0);
    for (Index x = 0; x < here.size(); ++x) {
      const double h = here.h[at(x)], flip = std::exp(-2.0 * a * h);
      const double down = thermal_ ? flip : flip * vmath::normal_cdf(a * s - h / s);
      const double rest = thermal_ ? down : down - vmath::normal_cdf(-a * s - h / s);
      const double kink =
          thermal_ ? 0.0 : std::sqrt(2.0 / kPi) / s * std::exp(-0.5 * square(h / s + a * s)) / (1.0 + rest);
      const double low = down / (1.0 + rest), slope = 1.0 - 2.0 * low;
      const double curvature = 4.0 * a * low * (1.0 - low) + kink;
      here.phi[at(x)] = std::log1p(rest) / a;
      here.slope[at(x)] = slope;
      curvature_[at(x)] = curvature;
      third_[at(x)] = -2.0 * a * slope * curvature - (thermal_ ? 0.0 : (h / s2 + a * slope) * kink);
      gain_last_[at(x)] = 0.5 * a * s2 + s2 * kink - 2.0 * h * low - here.phi[at(x)];
    }
  }

  // Level i - 1 and T_i from level i.
  void outwards(Index i) {
    const Level& inner = level_[at(i)];
    Level& outer = level_[at(i - 1)];
    Step& step = step_[at(i)];
    const double a = a_[at(i)], v = variance_[at(i)], sigma = std::sqrt(v);
    const Rule nodes = rule(sigma, a, inner.width);
    const Index n = static_cast<Index>(nodes.z.size());
    std::vector<double> basis(at(n * kOrder)), shift(at(n)), weight(at(n));
    std::vector<Index> first(at(n));
    step.even.clear(outer.size(), inner.size());
    step.odd.clear(outer.size(), inner.size());
    step.gain.assign(at(outer.size()), 0.0);
    offset_[at(i - 1)] = offset_[at(i)] + 0.5 * a * v;
    // Beyond the last panel all functions keep their values there.
    double end[kOrder], end_phi = 0.0;
    const Index last = inner.locate(inner.edge.back(), end);
    for (Index q = 0; q < kOrder; ++q) end_phi += end[q] * inner.phi[at(last + q)];
    for (Index x = 0; x < outer.size(); ++x) {
      const double h = outer.h[at(x)];
      double top = nodes.exponent[0], furthest = 0.0;
      for (Index m = 0; m < n; ++m) {
        const double to = h + sigma * nodes.z[at(m)];
        double sum = to < 0.0 ? -to - h : sigma * nodes.z[at(m)];
        if (std::fabs(to) < inner.edge.back()) {
          double* const b = basis.data() + m * kOrder;
          first[at(m)] = inner.locate(std::fabs(to), b);
          const double* const phi = inner.phi.data() + first[at(m)];
#pragma omp simd reduction(+ : sum)
          for (Index q = 0; q < kOrder; ++q) sum += b[q] * phi[q];
        } else {
          first[at(m)] = -1;
          sum += end_phi;
        }
        shift[at(m)] = sum;
        top = std::max(top, a * sum + nodes.exponent[at(m)]);
        furthest = std::max(furthest, std::fabs(a * sum));
      }
      // Small a would divide the rounding of the logarithm: then all is kept relative to one.
      const bool narrow = furthest < 0.5;
      const double reference = narrow ? 0.0 : top;
      double sum = 0.0, mean = 0.0;
#pragma omp simd reduction(+ : sum)
      for (Index m = 0; m < n; ++m) {
        const double tilt = a * shift[at(m)];
        weight[at(m)] = vmath::exp(nodes.exponent[at(m)] + tilt - reference);
        sum += narrow ? nodes.weight[at(m)] * vmath::expm1(tilt) : weight[at(m)];
      }
      const double scale = 1.0 / (narrow ? 1.0 + sum : sum);
      double even_end = 0.0, odd_end = 0.0;
      for (Index m = 0; m < n; ++m) {
        const double even = weight[at(m)] * scale, odd = h + sigma * nodes.z[at(m)] < 0.0 ? -even : even;
        mean += even * shift[at(m)];
        if (first[at(m)] < 0) {
          even_end += even;
          odd_end += odd;
          continue;
        }
        add(even, odd, basis.data() + m * kOrder, step, x, first[at(m)]);
      }
      add(even_end, odd_end, end, step, x, last);
      const double log_sum = narrow ? std::log1p(sum) : std::log(sum) + reference;
      outer.phi[at(x)] = log_sum / a - 0.5 * a * v;
      step.gain[at(x)] = mean - 0.5 * a * v - outer.phi[at(x)];
    }
    outer.slope = apply(step.odd, inner.slope);
  }

  static void add(double even, double odd, const double* basis, Step& step, Index row, Index first) {
    double* const even_row = step.even.row(row) + first;
    double* const odd_row = step.odd.row(row) + first;
#pragma omp simd
    for (Index q = 0; q < kOrder; ++q) {
      even_row[q] += even * basis[q];
      odd_row[q] += odd * basis[q];
    }
  }

  // P_0 and what is averaged over it.
  void start() {
    Level& outer = level_.front();
    const double sigma = std::sqrt(variance_[0]);
    const Rule nodes = rule(sigma, 0.0, outer.width);
    std::fill(outer.measure.begin(), outer.measure.end(), 0.0);
    double basis[kOrder];
    value = offset_[0];
    magnetisation = 0.0;
    for (std::size_t m = 0; m < nodes.z.size(); ++m) {
      const double to = field_ + sigma * nodes.z[m], weight = nodes.weight[m];
      const Index first = outer.locate(std::fabs(to), basis);
      value += weight * std::fabs(to);
      for (Index q = 0; q < kOrder; ++q) {
        outer.measure[at(first + q)] += weight * basis[q];
        value += weight * basis[q] * outer.phi[at(first + q)];
        magnetisation += (to < 0.0 ? -1.0 : 1.0) * weight * basis[q] * outer.slope[at(first + q)];
      }
    }
  }

  void inwards(Index i) {
    const Level& outer = level_[at(i - 1)];
    Level& inner = level_[at(i)];
    std::fill(inner.measure.begin(), inner.measure.end(), 0.0);
    for (Index x = 0; x < outer.size(); ++x) {
      const double* const row = step_[at(i)].even.row(x);
      const double p = outer.measure[at(x)];
#pragma omp simd
      for (Index y = 0; y < inner.size(); ++y) inner.measure[at(y)] += p * row[y];
      breakpoint_slope[at(i - 1)] += p * step_[at(i)].gain[at(x)] / a_[at(i)];
    }
  }

  void averages() {
    slope_square.assign(at(levels_), 0.0);
    for (Index i = 0; i < levels_; ++i) {
      const Level& here = level_[at(i)];
      for (Index x = 0; x < here.size(); ++x) {
        slope_square[at(i)] += here.measure[at(x)] * square(here.slope[at(x)]);
      }
    }
    const Level& last = level_.back();
    curvature2 = curvature3 = third2 = mass = 0.0;
    for (Index x = 0; x < last.size(); ++x) {
      const double p = last.measure[at(x)], c = curvature_[at(x)];
      mass += p;
      curvature2 += p * c * c;
      curvature3 += p * c * c * c;
      third2 += p * square(third_[at(x)]);
      breakpoint_slope[at(levels_ - 1)] += p * gain_last_[at(x)] / a_[at(levels_)];
    }
    if (!std::isfinite(value) || !(std::fabs(mass - 1.0) < 1e-9)) {
      throw NumericalError("the recursion left the range of numbers");
    }
  }

  Index levels_;
  double field_;
  bool thermal_;
  double resolution_;
  std::vector<double> a_, variance_, offset_;  // (k+1,), (k+1,), (k,)
  std::vector<Level> level_;                   // (k,)
  std::vector<Step> step_;                     // (k,), that into level i; step 0 is empty
  std::vector<double> curvature_, third_, gain_last_;
};

}  // namespace deepglass::parisi
