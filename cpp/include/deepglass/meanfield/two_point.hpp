// Averages over two correlated Gaussian variables of variances q1, q2 and correlation c:
//   value  E phi(u1) phi(u2),   slope  E phi'(u1) phi'(u2),   gap  E (phi(u1) - phi(u2))^2 / 2.
//
// Away from |c| = 1 by Mehler's series: with a_k(q) = E phi(sqrt(q) z) h_k(z), h_k the orthonormal Hermite
// polynomials, value = sum_k a_k(q1) a_k(q2) c^k.  Its remainder is known: by Parseval sum_k a_k(q)^2 =
// E phi^2, so that the terms beyond K are at most |c|^{K+1} (rest(q1) rest(q2))^{1/2}, rest = E phi^2 -
// sum_{k<=K} a_k^2.  Next to |c| = 1, where kinks make a_k fall slowly, by quadrature in two dimensions.
// linear, relu and erf in closed form.
#pragma once

#include <optional>

#include "deepglass/meanfield/averages.hpp"

namespace deepglass::meanfield {

struct TwoPoint {
  double value, slope, gap;
};

// a_k(q) and the same of phi', as many as were asked for so far.
class HermiteSeries {
 public:
  HermiteSeries(const Activation& activation, double q) : nodes_(gaussian_nodes(activation, q, kNarrow)) {
    const std::size_t n = nodes_.z.size();
    h_.assign(n, 1.0);
    before_.assign(n, 0.0);
    moments_ = meanfield::moments(nodes_);
    phi_rest_ = moments_.square;
    slope_rest_ = moments_.slope_square;
  }

  Index size() const { return static_cast<Index>(phi.size()); }
  const Moments& moments() const { return moments_; }

  // What the terms left out would add at c = 1; not below a rounding error, which cannot be told from 0.
  double phi_rest() const { return std::max(phi_rest_, 1e-16 * moments_.square); }
  double slope_rest() const { return std::max(slope_rest_, 1e-16 * moments_.slope_square); }
  // The last terms were rounding errors, and so is the rest.
  bool complete() const { return complete_; }

  // sqrt(k + 1) h_{k+1} = z h_k - sqrt(k) h_{k-1}
  void extend(Index terms) {
    const Index n = nodes_.size();
    const double *w = nodes_.weight.data(), *z = nodes_.z.data();
    const double *f = nodes_.phi.data(), *g = nodes_.slope.data();
    double *h = h_.data(), *before = before_.data();
    double phi_added = 0, slope_added = 0;
    for (Index k = size(), last = size() + terms; k < last; ++k) {
      const double scale = 1.0 / std::sqrt(static_cast<double>(k + 1));
      const double back = -scale * std::sqrt(static_cast<double>(k));
      double a = 0, b = 0;
#pragma omp simd reduction(+ : a, b)
      for (Index j = 0; j < n; ++j) {
        const double now = h[j], weighted = w[j] * now;
        a += weighted * f[j];
        b += weighted * g[j];
        h[j] = scale * z[j] * now + back * before[j];
        before[j] = now;
      }
      phi.push_back(a);
      slope.push_back(b);
      phi_added += a * a;
      slope_added += b * b;
    }
    phi_rest_ -= phi_added;
    slope_rest_ -= slope_added;
    complete_ = phi_added <= 1e-18 * moments_.square && slope_added <= 1e-18 * moments_.slope_square &&
                phi_rest_ <= 1e-14 * moments_.square && slope_rest_ <= 1e-14 * moments_.slope_square;
  }

  std::vector<double> phi, slope;

 private:
  GaussianNodes nodes_;
  std::vector<double> h_, before_;
  Moments moments_{};
  double phi_rest_ = 0, slope_rest_ = 0;
  bool complete_ = false;
};

namespace detail {

// relu(u) = (u + |u|) / 2 and erf, without dressing; the other variable's scale is inside q.
inline std::optional<TwoPoint> closed_form(Kind kind, double q1, double q2, double c) {
  constexpr double kPi = 3.141592653589793;
  const double sd1 = std::sqrt(q1), sd2 = std::sqrt(q2), product = sd1 * sd2, apart = 1.0 - c;
  const double norms = 0.5 * (sd1 - sd2) * (sd1 - sd2);
  switch (kind) {
    case Kind::kLinear:
      return TwoPoint{c * product, 1.0, apart * product + norms};
    case Kind::kRelu: {
      // theta = acos(c) without loss at c = +-1
      const double theta = 2.0 * std::atan2(std::sqrt(apart), std::sqrt(1.0 + c));
      const double sine = std::sqrt(apart * (1.0 + c));
      const double value = product * (sine + (kPi - theta) * c) / (2.0 * kPi);
      const double equal = (theta * c - sine + kPi * apart) / (2.0 * kPi);  // the gap at q1 = q2 = 1
      return TwoPoint{value, (kPi - theta) / (2.0 * kPi), product * equal + 0.5 * norms};
    }
    case Kind::kErf: {
      const double q12 = c * product, n1 = 1.0 + 2.0 * q1, n2 = 1.0 + 2.0 * q2;
      // n1 n2 - 4 q12^2 as a sum of positive terms
      const double det = 1.0 + 2.0 * (q1 + q2) + 4.0 * q1 * q2 * apart * (1.0 + c);
      const double cross = 2.0 * q12 / std::sqrt(n1 * n2), cross_cos = std::sqrt(det / (n1 * n2));
      // asin(2q / n) - asin(cross); the difference of the arguments is exact for equal variances
      const auto above_cross = [&](double q, double n) {
        const double self = 2.0 * q / n, self_cos = std::sqrt(1.0 + 4.0 * q) / n;
        const double difference = q1 == q2 ? self * apart : self - cross;
        const double sine = c > 0 ? difference * (self + cross) / (self * cross_cos + cross * self_cos)
                                  : self * cross_cos - cross * self_cos;
        return std::atan2(sine, self * cross + self_cos * cross_cos);
      };
      const double gap = q1 + q2 > 0 ? (above_cross(q1, n1) + above_cross(q2, n2)) / kPi : 0.0;
      return TwoPoint{2.0 / kPi * std::atan2(2.0 * q12, std::sqrt(det)), 4.0 / kPi / std::sqrt(det), gap};
    }
    default:
      return std::nullopt;
  }
}

}  // namespace detail

// The averages at fixed q1, q2, for any number of c.
class TwoPointAverage {
 public:
  TwoPointAverage(const Activation& activation, double q1, double q2)
      : activation_(&activation), q1_(q1), q2_(q2) {
    require_variance(q1, "variance of u1");
    require_variance(q2, "variance of u2");
    const Kind kind = activation.kind();
    closed_ = kind == Kind::kLinear || kind == Kind::kRelu || kind == Kind::kErf;
    if (closed_) {
      first_moments_ = meanfield::moments(activation, q1);
      second_moments_ = q1 == q2 ? first_moments_ : meanfield::moments(activation, q2);
      return;
    }
    first_.emplace(activation, q1);
    first_moments_ = first_->moments();
    if (q1 != q2) second_.emplace(activation, q2);
    second_moments_ = second().moments();
  }

  const Moments& first_moments() const { return first_moments_; }
  const Moments& second_moments() const { return second_moments_; }

  TwoPoint operator()(double c) {
    if (!(c >= -1 && c <= 1)) {
      std::ostringstream text;
      text << "correlation must be in [-1, 1], got " << c;
      throw std::invalid_argument(text.str());
    }
    if (c == 1 && q1_ == q2_) return {first_moments_.square, first_moments_.slope_square, 0.0};
    if (closed_) return closed_form(c);
    const bool series = series_for(c);
    return series ? by_series(c) : by_quadrature(c);
  }

  TwoPoint by_quadrature(double c) { return by_quadrature(c, std::sqrt((1 - c) * (1 + c))); }

  // With s = sqrt(1 - c^2) given, for |c| so close to 1 that it is lost in c.
  TwoPoint by_quadrature(double c, double s) {
    const double sd1 = std::sqrt(q1_), sd2 = std::sqrt(q2_);
    const double along = c * sd2;  // u2 = along z1 + s sd2 z2
    outer_.breaks.clear();
    add_breaks(sd1);
    add_breaks(along);
    if (along != 0 && s != 0) {
      // The mean over z2 rounds each kink over the width s / |c|.
      for (const double kink : activation_->kinks()) {
        const double z = kink / along;
        if (!(std::abs(z) < kReach + 1)) continue;
        outer_.breaks.push_back(z);
        for (double w = 2 * s / std::abs(c); w < kReach; w *= 2) {
          outer_.breaks.push_back(z - w);
          outer_.breaks.push_back(z + w);
        }
      }
    }
    outer_.breaks.erase(std::remove_if(outer_.breaks.begin(), outer_.breaks.end(),
                                       [](double z) { return !(std::abs(z) < kReach); }),
                        outer_.breaks.end());
    outer_.set_rule(kReach, kWide);
    outer_.evaluate(*activation_, 0.0, sd1);
    double value = 0, slope = 0, gap = 0;
    for (Index i = 0; i < outer_.size(); ++i) {
      const auto at = static_cast<std::size_t>(i);
      const double w = outer_.weight[at], f = outer_.phi[at];
      double phi_mean, slope_mean, spread;
      if (s == 0) {
        double u = along * outer_.z[at];
        activation_->evaluate({&u, 1}, {&phi_mean, 1}, {&slope_mean, 1});
        spread = (f - phi_mean) * (f - phi_mean);
      } else {
        inner_.set(*activation_, along * outer_.z[at], s * sd2, kInnerReach);
        phi_mean = inner_.average([](double, double p, double) { return p; });
        slope_mean = inner_.average([](double, double, double d) { return d; });
        spread = inner_.average([f](double, double p, double) { return (p - f) * (p - f); });
      }
      value += w * f * phi_mean;
      slope += w * outer_.slope[at] * slope_mean;
      gap += 0.5 * w * spread;
    }
    return {value, slope, gap};
  }

  // sum_k a_k(q1) a_k(q2) c^k with the terms that are there.
  TwoPoint by_series(double c) const {
    const HermiteSeries &a = *first_, &b = second();
    const bool equal = &a == &b;
    const Index n = std::min(a.size(), b.size());
    double value = 0, slope = 0, gap = 0, power = 1;
    const double log_c = c > 0 ? std::log1p(c - 1) : 0;
    for (Index k = 0; k < n; ++k) {
      const auto i = static_cast<std::size_t>(k);
      const double term = a.phi[i] * b.phi[i];
      value += term * power;
      slope += a.slope[i] * b.slope[i] * power;
      if (equal) {
        // 1 - c^k, accurate next to c = 1
        gap += term * (c > 0.5 ? -vmath::expm1(static_cast<double>(k) * log_c) : 1.0 - power);
      }
      power *= c;
    }
    if (!equal) {
      gap = 0.5 * (first_moments_.square + second_moments_.square) - value;
    } else if (!a.complete()) {
      // sum_k>n a_k^2 (1 - c^k) <= (1 - c) sum_k>n k a_k^2
      gap += std::min(a.phi_rest(), (1 - c) * q1_ * a.slope_rest());
    }
    return {value, slope, gap};
  }

 private:
  static constexpr Index kBlock = 32, kMostTerms = 512;  // what panels of width kNarrow resolve

  const HermiteSeries& second() const { return second_ ? *second_ : *first_; }

  void add_breaks(double scale) {
    const double reach = kReach * std::abs(scale);
    if (!(reach > 0)) return;
    const std::size_t before = outer_.breaks.size();
    activation_->add_breaks(-reach, reach, outer_.breaks);
    for (std::size_t i = before; i < outer_.breaks.size(); ++i) outer_.breaks[i] /= scale;
  }

  // Extends the series until what is left out is below rounding at c; false where that needs too many terms.
  bool series_for(double c) {
    const auto enough = [&] {
      const HermiteSeries &a = *first_, &b = second();
      if (a.complete() && b.complete()) return true;
      const double power = std::pow(std::abs(c), static_cast<double>(std::min(a.size(), b.size())));
      constexpr double kSmall = 1e-16;
      const double phi_scale = std::sqrt(first_moments_.square * second_moments_.square);
      const double slope_scale = std::sqrt(first_moments_.slope_square * second_moments_.slope_square);
      return power * std::sqrt(a.phi_rest() * b.phi_rest()) <= kSmall * phi_scale &&
             power * std::sqrt(a.slope_rest() * b.slope_rest()) <= kSmall * slope_scale;
    };
    const double log_c = std::log(std::abs(c));
    while (!enough()) {
      if (first_->size() >= kMostTerms) return false;
      first_->extend(kBlock);
      if (second_) second_->extend(kBlock);
      // The rests fall slowly where there are kinks: |c|^K alone must do it.
      if (first_->size() >= 4 * kBlock && !activation_->kinks().empty() &&
          log_c * static_cast<double>(kMostTerms) > -25.0) {
        return enough();
      }
    }
    return true;
  }

  TwoPoint closed_form(double c) const {
    const double in2 = activation_->in_scale() * activation_->in_scale();
    const double out = activation_->out_scale(), shift = activation_->out_shift();
    TwoPoint t = *detail::closed_form(activation_->kind(), in2 * q1_, in2 * q2_, c);
    // E phi = out E base + shift
    t.value = out * out * t.value + shift * (first_moments_.mean + second_moments_.mean - shift);
    t.slope *= out * out * in2;
    t.gap *= out * out;
    return t;
  }

  const Activation* activation_;
  double q1_, q2_;
  bool closed_ = false;
  Moments first_moments_{}, second_moments_{};
  std::optional<HermiteSeries> first_, second_;
  GaussianNodes outer_, inner_;
};

}  // namespace deepglass::meanfield
