// What a kernel needs to know of each input alone: its direction, and layer by layer its variance.
//
// In the coordinates used here, one layer acts on the correlation c of two inputs i, j as
//   V^ = E phi(u_i) phi(u_j) / (E phi(u_i)^2 E phi(u_j)^2)^{1/2},    c' = r_i r_j V^ + w_i w_j + t_i t_j,
// with r^2 + w^2 + t^2 = 1 for each: r is the share of the weights in the next variance, t that of the bias,
// w that of a constant in phi, where phi is a centred function plus a constant.  In units of the variances
// after the layer, Theta = (K_ii K_jj)^{1/2} Theta^, the tangent kernel follows
//   Theta^' = c' + r_i r_j (dV^/dc) Theta^.
#pragma once

#include <cmath>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "deepglass/kernels/hermite_table.hpp"

namespace deepglass::kernels {

using meanfield::Kind;

// Kernels are computed in tiles of kTile x kTile pairs; arrays over inputs are filled up with zeros to whole
// tiles.
constexpr Index kTile = 64;
inline Index padded(Index n) {
  return (n + kTile - 1) / kTile * kTile;
}

struct Network {
  const Activation* activation;
  Index hidden_layers;
  double weight_variance, bias_variance;
};

// linear, relu and leaky_relu are one family: slope alpha below 0, slope 1 above.
enum class Form { kPiecewiseLinear, kErf, kSeries };

inline Form form_of(const Activation& activation) {
  switch (activation.kind()) {
    case Kind::kLinear:
    case Kind::kRelu:
    case Kind::kLeakyRelu:
      return Form::kPiecewiseLinear;
    case Kind::kErf:
      return Form::kErf;
    default:
      return Form::kSeries;
  }
}

inline double slope_below(const Activation& activation) {
  const Kind kind = activation.kind();
  return kind == Kind::kLinear ? 1.0 : kind == Kind::kRelu ? 0.0 : activation.alpha();
}

// Of one matrix map c -> c', all inputs: arrays (n,).  Layer 0 makes K^1 of the inputs; layer l = 1, 2, ...
// is phi at variances q = root_q^2 of layer l - 1.
struct LayerShares {
  std::vector<double> r, t, w;          // see above
  std::vector<double> root_q;           // of the variance q' after the layer
  std::vector<double> root_a, a, b, e;  // erf: a = 2 q / (1 + 2 q), b = 1 / (1 + 2 q), e = (asin a)^{-1/2}
  std::vector<double> root_s;           // series: (E phi^2)^{1/2}
};

namespace detail {

constexpr double kPi = 3.141592653589793;

// What a Gaussian of variance q makes of phi: phi = g + mean, and E g^2, E phi'^2; g is centred where `mean`
// is taken out at all.
struct OneInput {
  double square, mean, slope_square;
};

// E phi^2 of phi(u) = out f(in u) + shift is out^2 E f^2 + ..., the mean taken out where shift is not 0.
inline OneInput piecewise_linear(const Activation& phi, double q) {
  const double alpha = slope_below(phi), out = phi.out_scale(), in2 = phi.in_scale() * phi.in_scale();
  const double square = 0.5 * (1 + alpha * alpha), mean = (1 - alpha) / std::sqrt(2 * kPi);
  const double scale2 = out * out * in2;
  if (phi.out_shift() == 0) return {scale2 * square * q, 0.0, scale2 * square};
  const double base = out * mean * std::sqrt(in2 * q);
  return {scale2 * (square - mean * mean) * q, base + phi.out_shift(), scale2 * square};
}

inline OneInput error_function(const Activation& phi, double q) {
  const double out2 = phi.out_scale() * phi.out_scale(), in2 = phi.in_scale() * phi.in_scale(), p = in2 * q;
  const double angle = std::atan2(2 * p, std::sqrt(1 + 4 * p));
  return {out2 * 2 / kPi * angle, phi.out_shift(), out2 * in2 * 4 / kPi / std::sqrt(1 + 4 * p)};
}

inline OneInput by_moments(const Activation& phi, double q) {
  const meanfield::Moments m = meanfield::moments(phi, q);
  return {m.square, 0.0, m.slope_square};
}

inline OneInput one_input(const Activation& phi, double q) {
  switch (form_of(phi)) {
    case Form::kPiecewiseLinear:
      return piecewise_linear(phi, q);
    case Form::kErf:
      return error_function(phi, q);
    default:
      return by_moments(phi, q);
  }
}

}  // namespace detail

// One set of inputs.
class Inputs {
 public:
  // x: (n, d), rows one after the other
  Inputs(const Network& network, Span<const double> x, Index n, Index d, int threads, const StopToken& stop)
      : n_(n), d_(d), direction_(x.begin(), x.end()) {
    const auto size = static_cast<std::size_t>(padded(n));
    const auto layers = static_cast<std::size_t>(network.hidden_layers) + 1;
    layers_.resize(layers);
    for (std::size_t l = 0; l < layers; ++l) {
      LayerShares& s = layers_[l];
      for (auto* column : {&s.r, &s.t, &s.w, &s.root_q}) column->assign(size, 0.0);
      if (l == 0) continue;
      if (form_of(*network.activation) == Form::kErf) {
        for (auto* column : {&s.root_a, &s.a, &s.b, &s.e}) column->assign(size, 0.0);
      }
      if (form_of(*network.activation) == Form::kSeries) s.root_s.assign(size, 0.0);
    }
    tangent_.assign(size, 0.0);
    const double cost = form_of(*network.activation) == Form::kSeries ? 2e3 : 60.0;
    parallel_chunks(
        n, kTile,
        {threads, cost * static_cast<double>(n * network.hidden_layers) + static_cast<double>(n * d)},
        [&](Index first, Index last) {
          for (Index i = first; i < last; ++i) follow(network, i);
        },
        stop);
  }

  Index size() const { return n_; }
  Index dimension() const { return d_; }
  const double* direction(Index i) const { return direction_.data() + i * d_; }  // x / |x|, or 0
  const LayerShares& layer(Index l) const { return layers_[static_cast<std::size_t>(l)]; }
  double variance(Index l, Index i) const {
    const double root = layer(l).root_q[static_cast<std::size_t>(i)];
    return root * root;
  }
  double tangent(Index i) const { return tangent_[static_cast<std::size_t>(i)]; }  // Theta(x, x)

 private:
  void follow(const Network& network, Index i) {
    const auto at = static_cast<std::size_t>(i);
    const double sw2 = network.weight_variance, sb2 = network.bias_variance;
    double* x = direction_.data() + i * d_;
    // Scaled by the largest entry: squares neither overflow nor vanish.
    double largest = 0;
    for (Index k = 0; k < d_; ++k) largest = std::max(largest, std::abs(x[k]));
    double square = 0;
    if (largest > 0) {
      for (Index k = 0; k < d_; ++k) square += (x[k] / largest) * (x[k] / largest);
      const double norm = std::sqrt(square);
      for (Index k = 0; k < d_; ++k) x[k] = x[k] / largest / norm;
      square = largest * square * largest;
    }
    const double input = sw2 * square / static_cast<double>(d_);
    double q = next(layers_[0], at, 0, input, 0.0, sb2);
    double tangent = q;
    for (std::size_t l = 1; l < layers_.size(); ++l) {
      LayerShares& s = layers_[l];
      const detail::OneInput one = detail::one_input(*network.activation, q);
      if (!s.root_s.empty()) s.root_s[at] = std::sqrt(one.square);
      if (!s.a.empty()) {
        const double in = network.activation->in_scale(), p = in * in * q;
        s.a[at] = 2 * p / (1 + 2 * p);
        s.root_a[at] = std::sqrt(s.a[at]);
        s.b[at] = 1 / (1 + 2 * p);
        s.e[at] = p > 0 ? 1 / std::sqrt(std::atan2(2 * p, std::sqrt(1 + 4 * p))) : 0.0;
      }
      q = next(s, at, static_cast<Index>(l), sw2 * one.square, sw2 * one.mean * one.mean, sb2);
      if (one.mean < 0) s.w[at] = -s.w[at];
      tangent = q + sw2 * one.slope_square * tangent;
    }
    if (!std::isfinite(tangent)) overflow(i, static_cast<Index>(layers_.size()) - 1);
    tangent_[at] = tangent;
  }

  static double next(LayerShares& s, std::size_t at, Index layer, double weights, double constant,
                     double bias) {
    const double q = weights + constant + bias;
    if (!std::isfinite(q)) overflow(static_cast<Index>(at), layer);
    s.root_q[at] = std::sqrt(q);
    if (q > 0) {
      s.r[at] = std::sqrt(weights / q);
      s.w[at] = std::sqrt(constant / q);
      s.t[at] = std::sqrt(bias / q);
    }
    return q;
  }

  [[noreturn]] static void overflow(Index i, Index layer) {
    std::ostringstream text;
    text << "kernel of row " << i << " exceeds the largest number by hidden layer " << layer
         << ": take smaller inputs, weight_variance or hidden_layers";
    throw std::domain_error(text.str());
  }

  Index n_, d_;
  std::vector<double> direction_;  // (n, d)
  std::vector<LayerShares> layers_;
  std::vector<double> tangent_;
};

}  // namespace deepglass::kernels
