// Signals and their correlations layer by layer: dense and residual networks, and convolutions.
#pragma once

#include "deepglass/meanfield/fixed_point.hpp"
#include "deepglass/parallel.hpp"

namespace deepglass::meanfield {

// Moments of two inputs a, b at one layer: u the pre-activations, x what the next layer is fed.
struct LayerMoments {
  double c;                        // correlation of u_a and u_b
  double q_a, q_b, q_ab;           // of u: mean squares and mean product over the units
  double qhat_a, qhat_b, qhat_ab;  // of x
  double chi_a, chi_b, chi_ab;     // factors of the backward recursion: sw2 E phi'^2, sw2 E phi' phi'
};

// u = W x + b,  x <- phi(u), or with a skip x <- x + skip phi(u); W of the next layer is independent of x, so
// that x and phi(u) are correlated through the mean of x over the units only.
//
// layers[l-1] holds layer l = 1 .. depth; input: moments of x^0 (qhat_*), and its means.
inline std::vector<LayerMoments> propagate(const Activation& activation, Variances v, Index depth,
                                           LayerMoments input, double mean_a, double mean_b,
                                           std::optional<double> skip, const StopToken& stop = {}) {
  std::vector<LayerMoments> layers;
  TimedStop timed(stop);
  for (Index l = 0; l < depth; ++l) {
    timed.check();
    LayerMoments m{};
    m.q_a = v.weight * input.qhat_a + v.bias;
    m.q_b = v.weight * input.qhat_b + v.bias;
    m.q_ab = v.weight * input.qhat_ab + v.bias;
    if (!(std::isfinite(m.q_a) && std::isfinite(m.q_b))) {
      throw NumericalError("the variance is too large for a double at layer " + std::to_string(l + 1));
    }
    const bool same = input.qhat_a == input.qhat_b && input.qhat_a == input.qhat_ab;
    const double norm = std::sqrt(m.q_a) * std::sqrt(m.q_b);
    m.c = same || norm == 0 ? 1.0 : std::clamp(m.q_ab / norm, -1.0, 1.0);
    TwoPointAverage average(activation, m.q_a, m.q_b);
    const TwoPoint t = average(m.c);
    const Moments &a = average.first_moments(), &b = average.second_moments();
    m.chi_a = v.weight * a.slope_square;
    m.chi_b = v.weight * b.slope_square;
    m.chi_ab = v.weight * t.slope;
    m.qhat_a = a.square;
    m.qhat_b = b.square;
    m.qhat_ab = t.value;
    if (skip) {
      const double s = *skip;
      m.chi_a = 1 + s * s * m.chi_a;
      m.chi_b = 1 + s * s * m.chi_b;
      m.chi_ab = 1 + s * s * m.chi_ab;
      m.qhat_a = input.qhat_a + 2 * s * mean_a * a.mean + s * s * a.square;
      m.qhat_b = input.qhat_b + 2 * s * mean_b * b.mean + s * s * b.square;
      m.qhat_ab = input.qhat_ab + s * (mean_a * b.mean + mean_b * a.mean) + s * s * t.value;
      mean_a += s * a.mean;
      mean_b += s * b.mean;
    }
    layers.push_back(m);
    input = m;
  }
  return layers;
}

// Images of covariances between positions under the activation: E phi(u_p) phi(u_r).  Rows are dealt to the
// threads.
inline void activate(const Activation& activation, Index n_positions, Span<double> covariance /* (n, n) */,
                     int threads, const StopToken& stop = {}) {
  const Index n = n_positions;
  std::vector<double> image(static_cast<std::size_t>(n * n));
  const auto row = [&](Index p) {
    TimedStop timed(stop);
    for (Index r = p; r < n; ++r) {
      if (timed.requested()) return;
      const double q1 = covariance[p * n + p], q2 = covariance[r * n + r];
      const double norm = std::sqrt(q1) * std::sqrt(q2), q12 = covariance[p * n + r];
      const double c = p == r || norm == 0 ? 1.0 : std::clamp(q12 / norm, -1.0, 1.0);
      const double value = TwoPointAverage(activation, q1, p == r ? q1 : q2)(c).value;
      image[static_cast<std::size_t>(p * n + r)] = image[static_cast<std::size_t>(r * n + p)] = value;
    }
  };
  parallel_for_uneven(n, {threads, 3e4 * static_cast<double>(n * n)}, row, stop);
  TimedStop(stop).check();
  std::copy(image.begin(), image.end(), covariance.data());
}

// A circular convolution with filter variances f (sum 1) at offsets first, first + 1, ...:
//   S_{p,r} <- sb2 + sw2 sum_k f_k S_{p+k, r+k}.
inline void convolve(Variances v, Span<const double> filter, Index first, Index n_positions,
                     Span<double> covariance /* (n, n) */) {
  const Index n = n_positions;
  const std::vector<double> image(covariance.begin(), covariance.end());
  const auto wrapped = [n](Index p) { return ((p % n) + n) % n; };
  for (Index p = 0; p < n; ++p) {
    for (Index r = 0; r < n; ++r) {
      double sum = 0;
      for (Index k = 0; k < filter.size(); ++k) {
        const Index i = wrapped(p + first + k), j = wrapped(r + first + k);
        sum += filter[k] * image[static_cast<std::size_t>(i * n + j)];
      }
      covariance[p * n + r] = v.bias + v.weight * sum;
    }
  }
}

}  // namespace deepglass::meanfield
