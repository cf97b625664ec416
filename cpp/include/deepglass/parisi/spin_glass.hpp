// The Parisi recursion of Ising spins in a field, to rounding: levels Lambda_0 <= .. <= Lambda_k of the
// covariance of u = beta h, breakpoints 0 = m_0 < m_1 < .. < m_k < 1, G_i the Gaussian of variance
// v_i = Lambda_i - Lambda_{i-1} (v_0 = Lambda_0).
//
//   f_k = ln 2cosh u,   exp(m_i f_{i-1}) = G_i * exp(m_i f_i),   F = (G_0 * f_0)(u_0)
//   T_i(u, u') = G_i(u' - u) exp(m_i [f_i(u') - f_{i-1}(u)]),    f'_{i-1} = T_i f'_i,    P_i = P_{i-1} T_i
//   g_i = E_{P_i} f_i'^2,   dF/dm_i = (E_{P_i} f_i - E_{P_{i-1}} f_{i-1})/m_i
//
// and the derivatives of g from one more pass, with A_lj(u) = E[f_j'(u_j)^2 | u_l = u], A_jj = f_j'^2:
//
//   dg_i/dLambda_j = delta_ij E f_i''^2 + (m_j - m_{j+1})/2 [ 2 E_{P_i} f_i' A_ij' + sum_{l=1..i} m_l (C_l -
//   C_{l-1}) ] C_l = E_{P_l} A_li A_lj,  i <= j,  m_{k+1} = 1;   (m_i - m_{i+1}) dg_i/dLambda_j is symmetric.
//
// All functions live on one uniform grid.  The trapezoidal rule errs by what the Gaussian, exp(-v k^2/2), and
// the poles of tanh at +-i pi/2, exp(-pi |k|/2), leave together at the wave number 2 pi/dh:
//
//   exp(-2 pi^2 v/dh^2) where v < dh/4,   exp(-pi^2 [1/dh - 1/(8 v)]) beyond.
//
// Both are less than rounding for 1/dh = 1.5/sqrt(v), sqrt(v) < 1/6, and 1/dh = 4.9 + 1/(8 v) above.  The
// spacing follows from the levels at hand in every call, so that no level is ever unresolved.  (recursion.hpp
// has 60 points a level for every deficit, and 1e-8; here it is 1e-14 for levels that are not too different.)
//
// Sums have positive terms only and cover the Gaussian directly, so all tails keep their relative accuracy;
// exp(m f) has the range of doubles to itself, which is enough down to a temperature of about 0.03.
//
// Cost: 3 convolutions a level, N (2w+1) fma each, N points and w = 8.6 sqrt(v)/dh; the derivatives k^2 more.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "deepglass/core.hpp"
#include "deepglass/parallel.hpp"
#include "deepglass/parisi/convolution.hpp"
#include "deepglass/vmath.hpp"

namespace deepglass::parisi {

class SpinGlassRecursion {
 public:
  double value = 0.0;                    // F
  std::vector<double> slope_square;      // (k+1,)  g_i
  std::vector<double> breakpoint_slope;  // (k,)    dF/dm_i
  double magnetisation = 0.0;            // E f_k'
  double mass = 0.0;                     // int P_k: 1 up to rounding
  // Of differentiate():
  std::vector<double> jacobian;                        // (k+1, k+1)  dg_i/dLambda_j
  std::vector<double> curvature2, curvature3, third2;  // (k+1,)  E_{P_i} f_i''^2, E f_i''^3, E f_i'''^2

  SpinGlassRecursion(Span<const double> covariance, Span<const double> breakpoints, double field,
                     double resolution)
      : levels_(covariance.size()), field_(field) {
    m_.assign(1, 0.0);
    m_.insert(m_.end(), breakpoints.begin(), breakpoints.end());
    m_.push_back(1.0);
    double before = 0.0, finest = 4.9, drift = 0.0;
    for (Index i = 0; i < levels_; ++i) {
      const double v = covariance[i] - before;
      variance_.push_back(v);
      if (v > 0.0) finest = std::max(finest, v < 1.0 / 36.0 ? 1.5 / std::sqrt(v) : 4.9 + 0.125 / v);
      drift += m_[at(i)] * v;
      before = covariance[i];
    }
    spacing_ = 1.0 / (finest * resolution);
    const double reach = kReach * std::sqrt(before) + drift;
    const double half = std::ceil(reach / spacing_);
    if (!(half < kMostPoints / 2)) {
      throw NumericalError("the grid of the recursion would need " + std::to_string(2.0 * half) +
                           " points: two levels are too close for the width of all");
    }
    centre_ = static_cast<Index>(half);
    points_ = 2 * centre_ + 1;
    for (Index i = 0; i < levels_; ++i) kernels_.push_back(gaussian(i));
    for (const SymmetricFilter& g : kernels_) pad_ = std::max(pad_, g.reach());
    stride_ = points_ + 2 * pad_ + SymmetricFilter::kBeyond;
    const double range = m_[at(levels_ - 1)] * (half + static_cast<double>(pad_)) * spacing_;
    if (!(range < kLargestExponent)) {
      throw NumericalError("exp(m f) leaves the range of numbers: the temperature is too low");
    }
    for (auto* pool : {&f_, &slope_, &measure_, &norm_}) pool->resize(at(levels_ * points_));
    weight_.resize(at(levels_ * stride_));
  }

  Index points() const { return points_; }

  void run(const StopToken& stop = {}) {
    outwards(stop);
    inwards(stop);
  }

  // After run().
  void differentiate(const StopToken& stop = {}) {
    const std::size_t n = at(levels_ * levels_);
    jacobian.assign(n, 0.0);
    std::vector<std::vector<double>> A, slope;  // A_lj and its derivative, j = l..k; j = k first
    std::vector<double> in(at(stride_)), mean(at(points_)), tilted(at(points_));
    std::vector<double> curvature(at(points_)), third(at(points_));  // f_l'' and f_l'''
    const Index k = levels_ - 1;
    for (Index x = 0; x < points_; ++x) {
      curvature[at(x)] = square(sech(x));
      third[at(x)] = -2.0 * slope_of(k)[x] * curvature[at(x)];
    }
    for (auto* moment : {&curvature2, &curvature3, &third2}) moment->assign(at(levels_), 0.0);
    for (Index l = k;; --l) {
      TimedStop(stop).check();
      const double* const d = slope_of(l);
      const double* const p = measure_of(l);
      A.emplace_back(at(points_));
      slope.emplace_back(at(points_));
      for (Index x = 0; x < points_; ++x) {
        A.back()[at(x)] = d[x] * d[x];
        slope.back()[at(x)] = 2.0 * d[x] * curvature[at(x)];
      }
      // Pairs i <= j with i >= l.
      for (Index j = l; j <= k; ++j) {
        const double* const Aj = A[at(k - j)].data();
        for (Index i = l; i <= j; ++i) {
          const double* const Ai = A[at(k - i)].data();
          double sum = 0.0;
#pragma omp simd reduction(+ : sum)
          for (Index x = 0; x < points_; ++x) sum += p[x] * Ai[x] * Aj[x];
          entry(i, j) += (m_[at(l)] - (l < i ? m_[at(l + 1)] : 0.0)) * sum;
        }
        const double* const dA = slope[at(k - j)].data();
        double sum = 0.0;
#pragma omp simd reduction(+ : sum)
        for (Index x = 0; x < points_; ++x) sum += p[x] * d[x] * dA[x];
        entry(l, j) += 2.0 * sum;
      }
      const double *const c = curvature.data(), *const c3 = third.data();
      double square2 = 0.0, cube2 = 0.0, square3 = 0.0;
#pragma omp simd reduction(+ : square2, cube2, square3)
      for (Index x = 0; x < points_; ++x) {
        square2 += p[x] * c[x] * c[x];
        cube2 += p[x] * c[x] * c[x] * c[x];
        square3 += p[x] * c3[x] * c3[x];
      }
      curvature2[at(l)] = square2;
      curvature3[at(l)] = cube2;
      third2[at(l)] = square3;
      if (l == 0) break;
      if (variance_[at(l)] > 0.0) {
        const double m = m_[at(l)];
        const double* const outer = slope_of(l - 1);
        // d/du (T A) = T (A' + m A f_l') - m f_{l-1}' T A
        for (std::size_t j = 0; j < A.size(); ++j) {
          for (Index x = 0; x < points_; ++x) tilted[at(x)] = slope[j][at(x)] + m * A[j][at(x)] * d[x];
          average(l, A[j].data(), in, mean.data());
          average(l, tilted.data(), in, slope[j].data());
          A[j] = mean;
          for (Index x = 0; x < points_; ++x) slope[j][at(x)] -= m * outer[x] * mean[at(x)];
        }
        // exp(m f)'' and exp(m f)''', over m exp(m f)
        for (Index x = 0; x < points_; ++x) {
          tilted[at(x)] = third[at(x)] + m * d[x] * (3.0 * curvature[at(x)] + m * d[x] * d[x]);
          curvature[at(x)] += m * d[x] * d[x];
        }
        average(l, tilted.data(), in, third.data());
        average(l, curvature.data(), in, mean.data());
        for (Index x = 0; x < points_; ++x) {
          curvature[at(x)] = mean[at(x)] - m * outer[x] * outer[x];
          third[at(x)] -= m * outer[x] * (3.0 * curvature[at(x)] + m * outer[x] * outer[x]);
        }
      }
    }
    for (Index i = 0; i < levels_; ++i) {
      for (Index j = i; j < levels_; ++j) {
        const double pair = 0.5 * entry(i, j);  // the same for (i, j) and (j, i), but for the weights
        entry(i, j) = pair * (m_[at(j)] - m_[at(j + 1)]);
        entry(j, i) = pair * (m_[at(i)] - m_[at(i + 1)]);
      }
      entry(i, i) += curvature2[at(i)];
    }
  }

 private:
  static constexpr double kReach = 8.7, kLargestExponent = 300.0;
  static constexpr Index kMostPoints = 32768;

  static std::size_t at(Index i) { return static_cast<std::size_t>(i); }
  static double square(double x) { return x * x; }
  double point(Index x) const { return field_ + static_cast<double>(x - centre_) * spacing_; }
  double sech(Index x) const { return 1.0 / std::cosh(std::min(std::fabs(point(x)), 350.0)); }
  double& entry(Index i, Index j) { return jacobian[at(i * levels_ + j)]; }
  double* value_of(Index i) { return f_.data() + i * points_; }
  double* slope_of(Index i) { return slope_.data() + i * points_; }
  double* measure_of(Index i) { return measure_.data() + i * points_; }
  double* norm_of(Index i) { return norm_.data() + i * points_; }      // of the step from level i to i - 1
  double* weight_of(Index i) { return weight_.data() + i * stride_; }  // exp(m_i f_i), beyond the grid too

  // Up to where exp(m u) times the Gaussian is below rounding; one point where the step has no width.
  SymmetricFilter gaussian(Index i) const {
    const double sigma = std::sqrt(variance_[at(i)]);
    const auto w = static_cast<Index>(std::ceil((kReach + m_[at(i)] * sigma) * sigma / spacing_));
    std::vector<double> half(at(w + 1), 1.0);
    double sum = 1.0;
    for (Index d = w; d > 0; --d) {
      half[at(d)] = std::exp(-0.5 * square(static_cast<double>(d) * spacing_ / sigma));
      sum += 2.0 * half[at(d)];
    }
    for (double& entry : half) entry /= sum;
    return SymmetricFilter(half);
  }

  // out_x = sum_d g_d in_{x+d}; `in` starts at x = -pad.
  void convolve(Index i, const double* in, double* out) const {
    kernels_[at(i)].apply(in + pad_, points_, out);
  }

  // T_i y for y on level i, constant beyond the grid.
  void average(Index i, const double* y, std::vector<double>& in, double* out) {
    const double* const weight = weight_of(i);
    const double* const norm = norm_of(i);
    const Index end = pad_ + points_;
    for (Index x = 0; x < pad_; ++x) in[at(x)] = weight[x] * y[0];
    for (Index x = 0; x < points_; ++x) in[at(pad_ + x)] = weight[pad_ + x] * y[x];
    for (Index x = end; x < stride_; ++x) in[at(x)] = weight[x] * y[points_ - 1];
    convolve(i, in.data(), out);
    for (Index x = 0; x < points_; ++x) out[x] /= norm[x];
  }

  void outwards(const StopToken& stop) {
    const Index k = levels_ - 1;
    std::vector<double> in(at(stride_));
    double *const inner = value_of(k), *const inner_slope = slope_of(k);
#pragma omp simd
    for (Index x = 0; x < points_; ++x) {
      inner[x] = vmath::log_2cosh(point(x));
      inner_slope[x] = vmath::tanh(point(x));
    }
    for (Index i = k; i > 0; --i) {
      TimedStop(stop).check();
      const double m = m_[at(i)];
      const double *const f = value_of(i), *const d = slope_of(i);
      double* const weight = weight_of(i);
      double* const outer = value_of(i - 1);
      double* const norm = norm_of(i);
      if (!(variance_[at(i)] > 0.0)) {
        std::copy(f, f + points_, outer);
        std::copy(d, d + points_, slope_of(i - 1));
        continue;
      }
      // Beyond the grid f is linear: there its second derivative is below rounding.
      const Index last = points_ - 1, end = pad_ + points_;
      const double top = std::max(f[0], f[last]);
      for (Index x = 0; x < pad_; ++x) {
        weight[x] = m * (f[0] - top + d[0] * static_cast<double>(x - pad_) * spacing_);
      }
      for (Index x = 0; x < points_; ++x) weight[pad_ + x] = m * (f[x] - top);
      for (Index x = end; x < stride_; ++x) {
        weight[x] = m * (f[last] - top + d[last] * static_cast<double>(x - pad_ - last) * spacing_);
      }
      // Small m would divide the rounding of the logarithm: then all is kept relative to one.
      double lowest = top;
#pragma omp simd reduction(min : lowest)
      for (Index x = 0; x < points_; ++x) lowest = f[x] < lowest ? f[x] : lowest;
      if (m * (top - lowest) < 0.5) {
#pragma omp simd
        for (Index x = 0; x < stride_; ++x) weight[x] = vmath::expm1(weight[x]);
        convolve(i, weight, norm);
#pragma omp simd
        for (Index x = 0; x < points_; ++x) outer[x] = top + vmath::log1p(norm[x]) / m;
        for (Index x = 0; x < stride_; ++x) weight[x] += 1.0;
        for (Index x = 0; x < points_; ++x) norm[x] += 1.0;
      } else {
#pragma omp simd
        for (Index x = 0; x < stride_; ++x) weight[x] = vmath::exp(weight[x]);
        convolve(i, weight, norm);
#pragma omp simd
        for (Index x = 0; x < points_; ++x) outer[x] = top + vmath::log(norm[x]) / m;
      }
      average(i, d, in, slope_of(i - 1));
    }
    value = 0.0;
    const SymmetricFilter& g = kernels_[0];
    std::fill(measure_of(0), measure_of(1), 0.0);
    for (Index d = -std::min(g.reach(), centre_); d <= std::min(g.reach(), centre_); ++d) {
      measure_of(0)[centre_ + d] = g[d];
      value += g[d] * value_of(0)[centre_ + d];
    }
  }

  void inwards(const StopToken& stop) {
    const Index k = levels_ - 1;
    slope_square.assign(at(levels_), 0.0);
    breakpoint_slope.assign(at(k), 0.0);
    std::vector<double> in(at(stride_), 0.0);
    double before = 0.0;
    for (Index i = 0; i <= k; ++i) {
      TimedStop(stop).check();
      double* const p = measure_of(i);
      if (i > 0) {
        const double* const outer = measure_of(i - 1);
        if (variance_[at(i)] > 0.0) {
          const double *const norm = norm_of(i), *const weight = weight_of(i) + pad_;
          for (Index x = 0; x < points_; ++x) in[at(pad_ + x)] = outer[x] / norm[x];
          convolve(i, in.data(), p);
          for (Index x = 0; x < points_; ++x) p[x] *= weight[x];
        } else {
          std::copy(outer, outer + points_, p);
        }
      }
      const double *const f = value_of(i), *const d = slope_of(i);
      double mean = 0.0, squares = 0.0;
#pragma omp simd reduction(+ : mean, squares)
      for (Index x = 0; x < points_; ++x) {
        mean += p[x] * f[x];
        squares += p[x] * d[x] * d[x];
      }
      slope_square[at(i)] = squares;
      if (i > 0) breakpoint_slope[at(i - 1)] = (mean - before) / m_[at(i)];
      before = mean;
    }
    const double *const p = measure_of(k), *const d = slope_of(k);
    double all = 0.0, first = 0.0;
#pragma omp simd reduction(+ : all, first)
    for (Index x = 0; x < points_; ++x) {
      all += p[x];
      first += p[x] * d[x];
    }
    mass = all;
    magnetisation = first;
    if (!std::isfinite(value) || !(std::fabs(mass - 1.0) < 1e-9)) {
      throw NumericalError("the recursion left the range of numbers");
    }
  }

  Index levels_, points_ = 0, centre_ = 0, pad_ = 0, stride_ = 0;
  double field_, spacing_ = 0.0;
  std::vector<double> m_, variance_;      // (k+2,), (k+1,)
  std::vector<SymmetricFilter> kernels_;  // Gaussians by step
  std::vector<double> f_, slope_, measure_, norm_, weight_;
};

}  // namespace deepglass::parisi
