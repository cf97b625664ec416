// Approximate message passing for one perceptron on one data set: inputs x (M x N) of variance one, labels
// y = +-1, gaps r = y x.J / sqrt(N) - margin, weight exp(-beta sum v(r)) on spherical or binary bonds.
//
//   omega_mu = x_mu.a / sqrt(N) - V g_mu,      f = ln g of h = y omega - margin, width sqrt(V)
//   g_mu = y f'(h),                             A = -(1/N) sum_mu f''(h)
//   B_i = A a_i + sum_mu x_mu,i g_mu / sqrt(N)
//   binary     a = tanh B,    V = 1 - mean(a^2)
//   spherical  a = V B,       V such that mean(a^2) + V = 1:  V = 2/(1 + sqrt(1 + 4 mean(B^2)))
//
// It comes to rest where the Bethe free entropy is stationary, per bond
//
//   (1/N) sum_mu [ f + V g^2/2 ] + (1/N) ln Z(B) - mean(a B),   where V g stands for x.a / sqrt(N) - omega,
//   ln Z / N = mean(ln 2cosh B) (binary),  (V mean(B^2) + ln V + 1/V - 1)/2 (spherical; V of this B).
//
// (M. Mezard, J. Phys. A 22, 2181 (1989); S. Rangan, ISIT 2011; F. Krzakala et al., ISIT 2014.)  Each input
// is used twice in an iteration, for omega and for B, but read once: a block of rows stays in the cache
// between the two.  So the limit is M N sizeof(T) bytes an iteration.
//
// Rows are dealt in at most kShares shares, whose contributions to B are added in order: the result does not
// depend on the number of threads.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "deepglass/core.hpp"
#include "deepglass/parallel.hpp"
#include "deepglass/parisi/perceptron.hpp"
#include "deepglass/vmath.hpp"

namespace deepglass::parisi {

template <class T>
class MessagePassing {
 public:
  std::vector<double> mean;      // (N,) a
  std::vector<double> field;     // (N,) B
  std::vector<double> response;  // (M,) g
  double variance = 1.0;         // V
  double free_entropy = 0.0;     // of Bethe, at the a and V before, and the B after the last iteration

  MessagePassing(const PerceptronModel& model, Span<const T> inputs /* (M, N) */,
                 Span<const double> labels /* (M,) */, Span<const double> start /* (N,) */)
      : mean(start.begin(), start.end()),
        field(mean.size(), 0.0),
        response(index(labels.size()), 0.0),
        model_(model),
        inputs_(inputs),
        labels_(labels) {
    variance = std::max(1.0 - overlap(), kLeastVariance);
    const Index rows = (labels.size() + kShares - 1) / kShares;
    rows_ = std::max<Index>(kBlock, (rows + kBlock - 1) / kBlock * kBlock);
    shares_ = (labels.size() + rows_ - 1) / rows_;
    sums_.resize(index(shares_ * n()));
  }

  // mean(a^2)
  double overlap() const {
    double sum = 0.0;
    for (const double a : mean) sum += a * a;
    return sum / static_cast<double>(n());
  }

  // One iteration; gives the root of the mean square by which it would change a, were there no damping.
  double iterate(double damping, int threads, const StopToken& stop) {
    const double size = static_cast<double>(n());
    const Team team{threads, 4.0 * static_cast<double>(inputs_.size())};
    std::vector<Sums> sums(index(shares_));
    with_gap(model_, variance, [&](const auto& gap) {
      parallel_for(shares_, team, [&](Index share) { sums[index(share)] = pass(gap, share, damping); }, stop);
      return 0;
    });
    double precision = 0.0, bethe = 0.0;  // A, N times the free entropy
    for (const Sums& sum : sums) {
      precision -= sum.curvature / (size * variance);
      bethe += sum.log_g;
    }
    parallel_chunks(
        n(), 1024, {threads, static_cast<double>(shares_ * n())},
        [&](Index first, Index last) { collect(first, last, precision); }, stop);

    double squares = 0.0;
    for (const double b : field) squares += b * b;
    const double spherical = 2.0 / (1.0 + std::sqrt(1.0 + 4.0 * squares / size));
    double change = 0.0, fresh_overlap = 0.0;
    for (Index i = 0; i < n(); ++i) {
      double& a = mean[index(i)];
      const double b = field[index(i)], fresh = model_.binary ? std::tanh(b) : spherical * b;
      bethe += (model_.binary ? vmath::log_2cosh(b) : 0.0) - a * b;
      change += (fresh - a) * (fresh - a);
      fresh_overlap += fresh * fresh;
      a = (1.0 - damping) * fresh + damping * a;
    }
    if (!model_.binary) {
      bethe += 0.5 * size * (spherical * squares / size + std::log(spherical) + 1.0 / spherical - 1.0);
    }
    free_entropy = bethe / size;
    const double fresh_variance = model_.binary ? 1.0 - fresh_overlap / size : spherical;
    variance = std::max((1.0 - damping) * fresh_variance + damping * variance, kLeastVariance);
    return std::sqrt(change / size);
  }

 private:
  static constexpr Index kShares = 32, kBlock = 4;
  static constexpr double kLeastVariance = 1e-24;  // a teacher found without doubt

  static std::size_t index(Index i) { return static_cast<std::size_t>(i); }
  Index n() const { return static_cast<Index>(mean.size()); }

  struct Sums {
    double curvature = 0.0, log_g = 0.0;  // V f'', f + V g^2/2
    void add(const Sums& other) {
      curvature += other.curvature;
      log_g += other.log_g;
    }
  };

  // New responses of a share of the patterns, and their part of B.
  template <class Gap>
  Sums pass(const Gap& gap, Index share, double damping) {
    double* const sum = sums_.data() + share * n();
    std::fill(sum, sum + n(), 0.0);
    const Index end = std::min((share + 1) * rows_, labels_.size());
    Sums total;
    constexpr bool kBytes = sizeof(T) == 1;
    std::vector<float> rows(kBytes ? index(kBlock * n()) : 0);  // bytes turned into numbers once, not twice
    for (Index mu = share * rows_; mu < end; mu += kBlock) {
      const T* const x = inputs_.data() + mu * n();
      const Index count = std::min(kBlock, end - mu);
      if constexpr (kBytes) {
        const Index size = count * n();
        float* const out = rows.data();
#pragma omp simd
        for (Index i = 0; i < size; ++i) out[i] = static_cast<float>(x[i]);
        total.add(block(gap, out, mu, count, damping, sum));
      } else {
        total.add(block(gap, x, mu, count, damping, sum));
      }
    }
    return total;
  }

  // The same for at most kBlock patterns; those that are missing count for nothing.
  template <class Gap, class Row>
  Sums block(const Gap& gap, const Row* x, Index mu, Index count, double damping, double* sum) {
    const double scale = 1.0 / std::sqrt(static_cast<double>(n())), s = std::sqrt(variance);
    const Index size = n();
    const double* const a = mean.data();
    const Row* const x1 = x + (count > 1 ? size : 0);
    const Row* const x2 = x + (count > 2 ? 2 * size : 0);
    const Row* const x3 = x + (count > 3 ? 3 * size : 0);
    double d0 = 0.0, d1 = 0.0, d2 = 0.0, d3 = 0.0;
#pragma omp simd reduction(+ : d0, d1, d2, d3)
    for (Index i = 0; i < size; ++i) {
      d0 = vmath::madd(static_cast<double>(x[i]), a[i], d0);
      d1 = vmath::madd(static_cast<double>(x1[i]), a[i], d1);
      d2 = vmath::madd(static_cast<double>(x2[i]), a[i], d2);
      d3 = vmath::madd(static_cast<double>(x3[i]), a[i], d3);
    }
    const double dot[kBlock] = {d0, d1, d2, d3};
    double g[kBlock] = {};
    Sums total;
    for (Index k = 0; k < count; ++k) {
      const double y = labels_[mu + k];
      double& old = response[index(mu + k)];
      const double h = y * (scale * dot[k] - variance * old) - model_.margin;
      const GapResponse r = gap(h / s);
      total.add({r.curvature, r.log_g + 0.5 * variance * old * old});
      old = (1.0 - damping) * y * r.slope / s + damping * old;
      g[k] = old * scale;
    }
    const double g0 = g[0], g1 = g[1], g2 = g[2], g3 = g[3];
#pragma omp simd
    for (Index i = 0; i < size; ++i) {
      const double far = vmath::madd(static_cast<double>(x2[i]), g2, static_cast<double>(x3[i]) * g3);
      const double near = vmath::madd(static_cast<double>(x[i]), g0, static_cast<double>(x1[i]) * g1);
      sum[i] += near + far;
    }
    return total;
  }

  void collect(Index first, Index last, double precision) {
    for (Index i = first; i < last; ++i) field[index(i)] = precision * mean[index(i)];
    for (Index share = 0; share < shares_; ++share) {
      const double* const sum = sums_.data() + share * n();
      for (Index i = first; i < last; ++i) field[index(i)] += sum[i];
    }
  }

  PerceptronModel model_;
  Span<const T> inputs_;
  Span<const double> labels_;
  Index rows_ = kBlock, shares_ = 1;
  std::vector<double> sums_;  // (shares, N)
};

}  // namespace deepglass::parisi
