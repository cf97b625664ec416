// The coefficients of Mehler's series, normalised, at the variances of many inputs:
//   b_k(q) = E phi(sqrt(q) z) h_k(z) / (E phi(sqrt(q) z)^2)^{1/2},   h_k the orthonormal Hermite polynomials.
//
// They are analytic functions of ln q (the Gaussian is what q enters through), so a few nodes serve all the
// inputs: variances are grouped into panels, short enough for Chebyshev interpolation to be exact to
// rounding, which is tested by the last coefficients.  A panel of few variances has these for its nodes.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "deepglass/meanfield.hpp"
#include "deepglass/parallel.hpp"

namespace deepglass::kernels {

using meanfield::Activation;

enum class Parity { kNone, kEven, kOdd };

class HermiteTable {
 public:
  static constexpr int kNodes = 16;
  static constexpr Index kBlock = 32, kMostTerms = 512;  // what the nodes of HermiteSeries resolve

  HermiteTable(const Activation& activation, Span<const double> variances, int threads,
               const StopToken& stop) {
    std::vector<double> q(variances.begin(), variances.end());
    std::sort(q.begin(), q.end());
    q.erase(std::unique(q.begin(), q.end()), q.end());
    divide(activation, q, 0, q.size(), threads, stop);
    keep_parity();
    find_reach();
  }

  Index n_terms() const { return n_terms_; }
  Parity parity() const { return parity_; }

  // The number of terms that give value and slope to rounding at correlation +-c; -1 where the series is too
  // long.
  Index terms_at(double c) const {
    for (std::size_t i = 0; i < reach_.size(); ++i) {
      if (c <= reach_[i]) return std::min(static_cast<Index>(i + 1) * kStep, n_terms_);
    }
    return -1;
  }

  // The largest correlation that all the terms serve.
  double reach() const { return std::min(reach_.back(), 1.0); }

  // The coefficients that are kept, (n_terms,), at one of the variances the table was made for.
  void coefficients(double q, double* out) const {
    const auto after = std::upper_bound(panels_.begin(), panels_.end(), q,
                                        [](double x, const Panel& panel) { return x < panel.low; });
    const Panel& panel = *(after - 1);
    const double* values = panel.values.data();
    for (const double& node : panel.nodes) {
      if (node != q) continue;
      std::copy_n(values + (&node - panel.nodes.data()) * n_terms_, n_terms_, out);
      return;
    }
    // Barycentric interpolation in ln q at Chebyshev's nodes of the first kind.
    double weight[kNodes], sum = 0;
    const double x = std::log(q);
    const Chebyshev& unit = chebyshev();
    for (int node = 0; node < kNodes; ++node) {
      weight[node] = unit.weight[node] / (x - panel.middle - panel.half * unit.node[node]);
      sum += weight[node];
    }
    for (double& w : weight) w /= sum;
    const Index n = n_terms_;
#pragma omp simd
    for (Index m = 0; m < n; ++m) {
      double b = 0;
      for (int node = 0; node < kNodes; ++node) b = vmath::madd(weight[node], values[node * n + m], b);
      out[m] = b;
    }
  }

 private:
  static constexpr Index kStep = 8;
  static constexpr double kWidest = 0.5, kNarrowest = 1e-3;  // of a panel, in ln q

  struct Panel {
    double low = 0, middle = 0, half = 0;      // the smallest variance; middle and half width in ln q
    std::vector<double> nodes;                 // (n,) variances
    std::vector<double> values;                // (n, n_terms)
    std::vector<double> rest_phi, rest_slope;  // (n,) of the series at each node, of their sum of squares
  };

  static double chebyshev_angle(int node) { return 3.141592653589793 * (node + 0.5) / kNodes; }

  struct Chebyshev {
    double node[kNodes], weight[kNodes];
  };
  static const Chebyshev& chebyshev() {
    static const Chebyshev unit = [] {
      Chebyshev made{};
      for (int node = 0; node < kNodes; ++node) {
        made.node[node] = std::cos(chebyshev_angle(node));
        made.weight[node] = (node % 2 == 0 ? 1 : -1) * std::sin(chebyshev_angle(node));
      }
      return made;
    }();
    return unit;
  }

  // Panels for the variances q[first .. last), increasing.
  void divide(const Activation& activation, const std::vector<double>& q, std::size_t first, std::size_t last,
              int threads, const StopToken& stop) {
    if (first == last) return;
    const double low = q[first], high = q[last - 1];
    Panel panel;
    panel.low = low;
    if (last - first <= kNodes || low == 0) {
      const std::size_t end = low == 0 && last - first > kNodes ? first + 1 : last;
      panel.nodes.assign(q.begin() + static_cast<std::ptrdiff_t>(first),
                         q.begin() + static_cast<std::ptrdiff_t>(end));
      fill(activation, panel, threads, stop);
      panels_.push_back(std::move(panel));
      return divide(activation, q, end, last, threads, stop);
    }
    panel.middle = 0.5 * (std::log(low) + std::log(high));
    panel.half = 0.5 * (std::log(high) - std::log(low));
    if (panel.half <= 0.5 * kWidest) {
      for (int node = 0; node < kNodes; ++node) {
        panel.nodes.push_back(std::exp(panel.middle + panel.half * chebyshev().node[node]));
      }
      fill(activation, panel, threads, stop);
      if (panel.half <= 0.5 * kNarrowest || resolved(panel)) {
        panels_.push_back(std::move(panel));
        return;
      }
    }
    const double middle = std::exp(panel.middle);
    auto cut = static_cast<std::size_t>(std::upper_bound(q.begin(), q.end(), middle) - q.begin());
    cut = std::min(std::max(cut, first + 1), last - 1);
    divide(activation, q, first, cut, threads, stop);
    divide(activation, q, cut, last, threads, stop);
  }

  // All panels have n_terms_ terms; a series that is complete with fewer has zeros.
  void fill(const Activation& activation, Panel& panel, int threads, const StopToken& stop) {
    const auto n = static_cast<Index>(panel.nodes.size());
    std::vector<meanfield::HermiteSeries> series;
    series.reserve(panel.nodes.size());
    for (const double q : panel.nodes) series.emplace_back(activation, q);
    const auto one = [&](Index node) {
      auto& a = series[static_cast<std::size_t>(node)];
      while (!a.complete() && a.size() < kMostTerms) a.extend(kBlock);
    };
    parallel_for_uneven(n, {threads, 1e5 * static_cast<double>(n)}, one, stop);
    // All to one length: where one series ended earlier than its neighbours, its coefficients would jump to
    // 0.
    Index longest = n_terms_;
    for (const auto& a : series) longest = std::max(longest, a.size());
    for (auto& a : series) {
      if (a.size() < longest) a.extend(longest - a.size());
    }
    panel.rest_phi.assign(panel.nodes.size(), 0.0);
    panel.rest_slope.assign(panel.nodes.size(), 0.0);
    if (longest > n_terms_) {
      for (Panel& other : panels_) lengthen(other, longest);
      n_terms_ = longest;
    }
    panel.values.clear();
    for (std::size_t node = 0; node < panel.nodes.size(); ++node) {
      const meanfield::HermiteSeries& a = series[node];
      const double square = a.moments().square, slope_square = a.moments().slope_square;
      const double scale = square > 0 ? 1.0 / std::sqrt(square) : 0.0;
      for (const double coefficient : a.phi) panel.values.push_back(scale * coefficient);
      if (a.complete()) continue;
      panel.rest_phi[node] = square > 0 ? a.phi_rest() / square : 0.0;
      panel.rest_slope[node] = slope_square > 0 ? a.slope_rest() / slope_square : 0.0;
    }
  }

  void lengthen(Panel& panel, Index n_terms) const {
    std::vector<double> values(panel.nodes.size() * static_cast<std::size_t>(n_terms), 0.0);
    for (std::size_t node = 0; node < panel.nodes.size(); ++node) {
      const auto from = panel.values.begin() + static_cast<Index>(node) * n_terms_;
      std::copy(from, from + n_terms_, values.begin() + static_cast<Index>(node) * n_terms);
    }
    panel.values = std::move(values);
  }

  // The last two Chebyshev coefficients in ln q of every b_k are rounding errors.
  bool resolved(const Panel& panel) const {
    constexpr double kRounding = 2e-15;
    for (int order = kNodes - 2; order < kNodes; ++order) {
      for (Index k = 0; k < n_terms_; ++k) {
        double sum = 0;
        for (int node = 0; node < kNodes; ++node) {
          sum += std::cos(order * chebyshev_angle(node)) *
                 panel.values[static_cast<std::size_t>(node * n_terms_ + k)];
        }
        if (std::abs(sum) * 2 / kNodes > kRounding) return false;
      }
    }
    return true;
  }

  // Leaves out the terms that vanish because phi is even or odd.
  void keep_parity() {
    double size[2] = {0, 0};
    for (const Panel& panel : panels_) {
      for (std::size_t i = 0; i < panel.values.size(); ++i) {
        const std::size_t k = i % static_cast<std::size_t>(n_terms_);
        size[k % 2] = std::max(size[k % 2], std::abs(panel.values[i]));
      }
    }
    constexpr double kRounding = 1e-14;
    parity_ = size[0] <= kRounding ? Parity::kOdd : size[1] <= kRounding ? Parity::kEven : Parity::kNone;
    n_all_ = n_terms_;
    if (parity_ == Parity::kNone) return;
    const Index kept = n_terms_ / 2, first = parity_ == Parity::kOdd ? 1 : 0;
    for (Panel& panel : panels_) {
      std::vector<double> values;
      for (std::size_t node = 0; node < panel.nodes.size(); ++node) {
        for (Index m = 0; m < kept; ++m) {
          values.push_back(panel.values[node * static_cast<std::size_t>(n_terms_) +
                                        static_cast<std::size_t>(first + 2 * m)]);
        }
      }
      panel.values = std::move(values);
    }
    n_terms_ = kept;
  }

  // reach_[i]: the largest |c| at which kStep (i + 1) terms are enough.  By Cauchy and Schwarz the others are
  // below |c|^k rest_k, and k |c|^{k-1} of it in the slope.
  void find_reach() {
    constexpr double kRounding = 1e-16;
    const Index step = parity_ == Parity::kNone ? 1 : 2, first = parity_ == Parity::kOdd ? 1 : 0;
    const Index n_reach = (n_terms_ + kStep - 1) / kStep;
    std::vector<double> rest(static_cast<std::size_t>(n_reach), 0.0);
    for (const Panel& panel : panels_) {
      for (std::size_t node = 0; node < panel.nodes.size(); ++node) {
        const double* b = panel.values.data() + static_cast<Index>(node) * n_terms_;
        double slope_square = 0;
        for (Index m = 0; m < n_terms_; ++m)
          slope_square += static_cast<double>(first + step * m) * b[m] * b[m];
        slope_square /= std::max(1.0 - panel.rest_slope[node], 1e-3);
        double phi = panel.rest_phi[node], slope = panel.rest_slope[node];
        for (Index i = n_reach; i-- > 0;) {
          double& worst = rest[static_cast<std::size_t>(i)];
          worst = std::max({worst, phi, slope});
          for (Index m = std::min((i + 1) * kStep, n_terms_); m-- > i * kStep;) {
            phi += b[m] * b[m];
            if (slope_square > 0) slope += static_cast<double>(first + step * m) * b[m] * b[m] / slope_square;
          }
        }
      }
    }
    for (Index i = 0; i < n_reach; ++i) {
      const double r = rest[static_cast<std::size_t>(i)];
      const auto k = static_cast<double>(std::min(first + step * (i + 1) * kStep, n_all_) - 1);
      reach_.push_back(r <= kRounding ? 2.0 : std::pow(kRounding / r, 1.0 / k));
    }
  }

  std::vector<Panel> panels_;  // in the order of their variances
  Index n_terms_ = 0, n_all_ = 0;
  Parity parity_ = Parity::kNone;
  std::vector<double> reach_;
};

}  // namespace deepglass::kernels
