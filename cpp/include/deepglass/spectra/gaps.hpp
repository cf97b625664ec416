// Support and atoms of free convolutions and powers.
//
// Outside the support everything is real and explicit.  Let v be the common value of the transforms at a
// point z off the support, G for sums and M for products.  Each factor takes it at a real point w_i(v) of one
// of its own gaps, where the transform decreases; its outer gap is one, with infinity (v = 0) inside.  Then
//
//   sum      z = sum_i t_i w_i - (T - 1)/v                     T = sum_i t_i
//   product  z = prod_i w_i^t_i (v/(1 + v))^(T - 1)
//
// (t_i = 1 for convolutions, one factor and t for powers).  The points z reached with dz/dv < 0 are exactly
// the gaps of the result; their ends, where dz/dv = 0, are its edges.
#pragma once

#include <vector>

#include "deepglass/spectra/measure.hpp"

namespace deepglass::spectra {

enum class Convolution { kSum, kProduct };

struct Factor {
  MeasurePointer mu;
  double power;
};

namespace detail {

// One gap of a factor, as a function of v: w itself for an inner gap; for the outer one, where w is infinite
// at v = 0, the regular R(v) = w - 1/v for sums and 1/S(v) = w v/(1 + v) for products.  Products take
// logarithms.
class Gap {
 public:
  Gap(const Measure& mu, Convolution kind, Interval ends, double scale, int n_points)
      : mu_(&mu), kind_(kind), outer_(ends.left >= ends.right), start_(ends.left), finish_(ends.right) {
    const double length = finish_ - start_;
    for (int i = 0; i < n_points; ++i) {
      const double s = kReach * (2.0 * i / (n_points - 1) - 1);
      if (!outer_) {
        add(s < 0 ? start_ + length / (1 + std::exp(-s)) : finish_ - length / (1 + std::exp(s)));
      } else if (s < kFar) {
        add(start_ + scale * std::exp(s));
      }
    }
    for (int i = n_points - 1; outer_ && i >= 0; --i) {
      const double s = kReach * (2.0 * i / (n_points - 1) - 1);
      if (s < kFar) add(finish_ - scale * std::exp(s));
    }
  }

  bool empty() const { return v_.size() < 2; }
  bool outer() const { return outer_; }
  double start() const { return start_; }    // where v is largest
  double finish() const { return finish_; }  // where v is smallest
  const std::vector<double>& values() const { return v_; }

  struct Place {
    double value, slope;  // w, R, or the logarithm of |w| or |1/S|; its derivative in v
    double sign;
  };

  // For v between the smallest and the largest of values().
  Place at(double v) const {
    const auto after = std::lower_bound(v_.begin() + 1, v_.end() - 1, v, std::greater<double>());
    const auto cell = static_cast<std::size_t>(after - v_.begin());
    if (v == v_[cell - 1]) return place(w_[cell - 1], v);
    if (v == v_[cell]) return place(w_[cell], v);
    if (v_[cell - 1] > 0 && v_[cell] < 0 && outer_) return through_infinity(v, cell);
    double left = w_[cell - 1], right = w_[cell];
    double w = left + (right - left) * (v_[cell - 1] - v) / (v_[cell - 1] - v_[cell]);
    for (int i = 0; i < 100; ++i) {  // Newton's method within a bracket
      const Value value = transform(w);
      const double excess = value.value.real() - v;
      (excess > 0 ? left : right) = w;
      double next = w - excess / value.slope.real();
      if (!(next > left && next < right)) next = 0.5 * (left + right);
      const double step = std::fabs(next - w);
      w = next;
      if (step <= 2e-16 * std::fabs(w)) break;
    }
    return place(w, v);
  }

 private:
  static constexpr double kReach = 20;  // exp(-20) of its length from its ends rounding is still harmless
  static constexpr double kFar = 9;     // beyond exp(9) lengths R is interpolated

  Value transform(double w) const {
    return kind_ == Convolution::kSum ? mu_->cauchy(w) : mu_->transforms(w).m;
  }

  void add(double w) {
    const bool inside = outer_ ? w > start_ || w < finish_ : w > start_ && w < finish_;
    if (!inside) return;
    const Value value = transform(w);
    const double v = value.value.real();
    const bool real = std::fabs(value.value.imag()) <= 1e-6 * std::fabs(v) && value.slope.real() < 0;
    if (!real || (!v_.empty() && !(v < v_.back()))) return;
    w_.push_back(w);
    v_.push_back(v);
  }

  Place place(double w, double v) const {
    const double slope = 1 / transform(w).slope.real();
    if (kind_ == Convolution::kSum) {
      return outer_ ? Place{w - 1 / v, slope + 1 / (v * v), 1} : Place{w, slope, 1};
    }
    if (!outer_) return {std::log(std::fabs(w)), slope / w, w < 0 ? -1.0 : 1.0};
    const double inverse_s = v / mu_->cauchy(w).value.real();  // w v/(1 + v), regular at w = 0
    return {std::log(std::fabs(inverse_s)), slope / w + 1 / (v * (1 + v)), inverse_s < 0 ? -1.0 : 1.0};
  }

  // Cubic through both ends of the cell around v = 0, with their slopes.
  Place through_infinity(double v, std::size_t cell) const {
    const double v0 = v_[cell], v1 = v_[cell - 1], h = v1 - v0, x = (v - v0) / h;
    const Place a = place(w_[cell], v0), b = place(w_[cell - 1], v1);
    const double rise = b.value - a.value, bend0 = h * a.slope - rise, bend1 = rise - h * b.slope;
    const double y = 1 - x;
    return {a.value + x * rise + x * y * (y * bend0 + x * bend1),
            (rise + (1 - 2 * x) * (y * bend0 + x * bend1) + x * y * (bend1 - bend0)) / h, a.sign};
  }

  const Measure* mu_;
  Convolution kind_;
  bool outer_;
  double start_, finish_;
  std::vector<double> w_, v_;  // along the gap; v decreases
};

inline std::vector<Gap> gaps_of(const Measure& mu, Convolution kind) {
  constexpr std::size_t kMostGaps = 200;  // of an empirical spectrum, the longest; shorter ones close
  std::vector<Interval> parts = occupied(mu);
  if (kind == Convolution::kProduct) {  // M does not see an atom at 0
    parts.erase(std::remove_if(parts.begin(), parts.end(),
                               [](const Interval& part) { return part.left == 0 && part.right == 0; }),
                parts.end());
  }
  if (parts.empty()) return {};
  const double left = parts.front().left, right = parts.back().right;
  const double scale = right > left ? right - left : std::max(std::fabs(right), 1e-300);
  std::vector<Interval> inner;
  for (std::size_t i = 1; i < parts.size(); ++i) inner.push_back({parts[i - 1].right, parts[i].left});
  if (inner.size() > kMostGaps) {
    std::sort(inner.begin(), inner.end(),
              [](const Interval& a, const Interval& b) { return a.right - a.left > b.right - b.left; });
    inner.resize(kMostGaps);
  }
  const int n_points = inner.size() > 20 ? 48 : 240;
  std::vector<Gap> gaps;
  gaps.emplace_back(mu, kind, Interval{right, left}, scale, 240);
  for (const Interval& ends : inner) gaps.emplace_back(mu, kind, ends, scale, n_points);
  gaps.erase(std::remove_if(gaps.begin(), gaps.end(), [](const Gap& gap) { return gap.empty(); }),
             gaps.end());
  return gaps;
}

// The gaps of the result that one gap of each factor makes.
class GapSearch {
 public:
  GapSearch(Convolution kind, const std::vector<Factor>& factors, std::vector<const Gap*> gaps)
      : kind_(kind), factors_(factors), gaps_(std::move(gaps)) {
    for (std::size_t i = 0; i < gaps_.size(); ++i) {
      if (!gaps_[i]->outer()) inner_power_ += factors_[i].power;
    }
  }

  void find(std::vector<Interval>& found) const {
    double most = kInfinity, least = -kInfinity;
    for (const Gap* gap : gaps_) {
      most = std::min(most, gap->values().front());
      least = std::max(least, gap->values().back());
    }
    if (!(most > least)) return;
    std::vector<double> values{most, least};  // decreasing, so that z increases
    for (const Gap* gap : gaps_) {
      if (gap->outer() && inner_power_ > 0) continue;  // an inner gap is seen from inside
      for (const double v : gap->values()) {
        if (v < most && v > least) values.push_back(v);
      }
    }
    std::sort(values.begin(), values.end(), std::greater<double>());
    const bool pole = inner_power_ != 1;  // of z at v = 0
    bool open = false;
    double left = 0, before = kNaN;
    for (const double v : values) {
      const double rise = place(v).rise;
      if (rise == 0) continue;
      const bool crossed = pole && before > 0 && v < 0, first = std::isnan(before);
      if (crossed && open) found.push_back({left, kInfinity});
      if (crossed) open = false;
      const bool inside = rise > 0;
      if (inside && !open) left = crossed ? -kInfinity : first ? limit(&Gap::start) : edge(before, v);
      if (!inside && open) found.push_back({left, edge(before, v)});
      open = inside;
      before = v;
    }
    if (open) found.push_back({left, limit(&Gap::finish)});
  }

 private:
  struct Place {
    double z, rise;  // -dz/dv, but for a positive factor; 0 where rounding hides it
  };

  // Between atoms of half the mass each z does not move at all, and rounding must not make gaps of that.  A
  // slope 1/M'(w) inherits the rounding of w by its distance from the next pole, about |M/M'|.
  Place risen(double z, double rise, double size) const {
    return {z, std::fabs(rise) > 16 * std::numeric_limits<double>::epsilon() * size ? rise : 0.0};
  }

  Place place(double v) const {
    double value = 0, slope = 0, sign = 1, size = 0;
    for (std::size_t i = 0; i < gaps_.size(); ++i) {
      const Gap::Place at = gaps_[i]->at(v);
      value += factors_[i].power * at.value;
      slope += factors_[i].power * at.slope;
      const double position = kind_ == Convolution::kSum ? std::fabs(at.value) + 1 / std::fabs(v) : 1;
      size += factors_[i].power * (std::fabs(at.slope) + position / std::fabs(v));
      // Past w = 0, where an atom at 0 was left out, z = w^t ... has another branch.
      if (kind_ == Convolution::kProduct && factors_[i].power != 1 && at.sign < 0) return {0, -1};
      if (gaps_.size() > 1) sign *= at.sign;
    }
    if (kind_ == Convolution::kSum) {
      return risen(value + (1 - inner_power_) / v, (1 - inner_power_) / (v * v) - slope, size);
    }
    const double ratio = v / (1 + v);
    if (inner_power_ != 1 && ratio < 0) sign = -sign;
    const double z = sign * std::exp(value + (inner_power_ - 1) * std::log(std::fabs(ratio)));
    return risen(z, -z * (slope + (inner_power_ - 1) / (v * (1 + v))), std::fabs(z) * size);
  }

  // The edge between two neighbouring values, one in a gap and one not: a zero of dz/dv, by secants within a
  // bracket (Illinois).  z is stationary there.
  double edge(double a, double b) const {
    double rise_a = place(a).rise, rise_b = place(b).rise;
    for (int i = 0; i < 100; ++i) {
      double v = b - rise_b * (b - a) / (rise_b - rise_a);
      if (!(v > std::min(a, b) && v < std::max(a, b))) v = 0.5 * (a + b);
      if (std::fabs(v - b) <= 1e-11 * std::fabs(b - a) + 1e-12 * std::fabs(b)) return place(v).z;
      const double rise = place(v).rise;
      if ((rise > 0) == (rise_b > 0)) {
        rise_a *= 0.5;
      } else {
        a = b;
        rise_a = rise_b;
      }
      b = v;
      rise_b = rise;
    }
    return place(b).z;
  }

  // The end of a gap that reaches the ends of all factors' gaps: an atom of the result.
  double limit(double (Gap::*end)() const) const {
    double z = kind_ == Convolution::kSum ? 0 : 1;
    for (std::size_t i = 0; i < gaps_.size(); ++i) {
      const double w = (gaps_[i]->*end)(), power = factors_[i].power;
      z = kind_ == Convolution::kSum ? z + power * w : z * std::pow(w, power);
    }
    return z;
  }

  Convolution kind_;
  const std::vector<Factor>& factors_;
  std::vector<const Gap*> gaps_;
  double inner_power_ = 0;
};

}  // namespace detail

// Support of the continuous part, one or two factors.
inline std::vector<Interval> support_of(Convolution kind, const std::vector<Factor>& factors) {
  std::vector<std::vector<detail::Gap>> gaps;
  for (const Factor& factor : factors) gaps.push_back(detail::gaps_of(*factor.mu, kind));
  std::vector<Interval> free;
  for (const detail::Gap& first : gaps[0]) {
    if (factors.size() == 1) {
      detail::GapSearch(kind, factors, {&first}).find(free);
    } else {
      for (const detail::Gap& second : gaps[1]) {
        detail::GapSearch(kind, factors, {&first, &second}).find(free);
      }
    }
  }
  std::sort(free.begin(), free.end(), [](const Interval& a, const Interval& b) { return a.left < b.left; });
  const double size = free.empty() ? 0 : std::max(std::fabs(free.front().right), std::fabs(free.back().left));
  free.erase(std::remove_if(free.begin(), free.end(),  // about to close: rounding
                            [&](const Interval& gap) { return gap.right - gap.left <= 1e-11 * size; }),
             free.end());
  std::vector<Interval> parts;
  for (std::size_t i = 1; i < free.size(); ++i) {
    Interval part{free[i - 1].right, free[i].left};
    if (kind == Convolution::kProduct) part.left = part.left > 0 ? part.left : 0.0;
    if (part.right - part.left > 1e-13 * size) parts.push_back(part);  // else an atom, or rounding
  }
  return parts;
}

// Where an outlier theta of one of two factors, in a gap of its law mu, is seen in the spectrum of the sum or
// product: z(theta) if that is in a gap, else NaN (the bulk absorbs it).  Benaych-Georges and Nadakuditi,
// Adv. Math. 227, 494 (2011).
inline double outlier(Convolution kind, const Measure& mu, const Measure& other, double theta) {
  const Value value = kind == Convolution::kSum ? mu.cauchy(theta) : mu.transforms(theta).m;
  const double v = value.value.real(), slope = value.slope.real();
  if (!(std::fabs(value.value.imag()) <= 1e-9 * std::fabs(v) && slope < 0)) return kNaN;
  for (const detail::Gap& gap : detail::gaps_of(other, kind)) {
    if (!(v <= gap.values().front() && v >= gap.values().back())) continue;
    const detail::Gap::Place at = gap.at(v);
    // w2 - 1/v, or log |w2 v/(1 + v)|, and its slope in v
    double value2 = at.value, slope2 = at.slope, sign = at.sign;
    if (kind == Convolution::kSum) {
      if (!gap.outer()) value2 -= 1 / v, slope2 += 1 / (v * v);
      if (1 / slope + slope2 < 0) return theta + value2;
    } else {
      if (!gap.outer()) {
        value2 += std::log(std::fabs(v / (1 + v)));
        slope2 += 1 / (v * (1 + v));
        if (v / (1 + v) < 0) sign = -sign;
      }
      const double z = theta * sign * std::exp(value2);
      if (z * (1 / (theta * slope) + slope2) < 0) return z;
    }
  }
  return kNaN;
}

inline double mass_at_zero(const Measure& mu) {
  for (const Atom& atom : mu.atoms()) {
    if (atom.position == 0) return atom.mass;
  }
  return 0;
}

// Only heavy atoms survive: of mass sum_i t_i m_i - (T - 1); at 0 of a product, the heaviest of the factors.
inline std::vector<Atom> atoms_of(Convolution kind, const std::vector<Factor>& factors) {
  double total = 0;
  for (const Factor& factor : factors) total += factor.power;
  std::vector<Atom> all{{kind == Convolution::kSum ? 0.0 : 1.0, 1 - total}};
  for (const Factor& factor : factors) {
    std::vector<Atom> next;
    for (const Atom& before : all) {
      for (const Atom& atom : factor.mu->atoms()) {
        if (kind == Convolution::kProduct && atom.position == 0) continue;
        const double position = kind == Convolution::kSum
                                    ? before.position + factor.power * atom.position
                                    : before.position * std::pow(atom.position, factor.power);
        const double mass = before.mass + factor.power * atom.mass;
        next.push_back({position, mass});
      }
    }
    all = std::move(next);
  }
  if (kind == Convolution::kProduct) {
    double zero = 0;
    for (const Factor& factor : factors) zero = std::max(zero, mass_at_zero(*factor.mu));
    all.push_back({0, zero});
  }
  all.erase(std::remove_if(all.begin(), all.end(), [](const Atom& atom) { return !(atom.mass > 1e-14); }),
            all.end());
  std::sort(all.begin(), all.end(), [](const Atom& a, const Atom& b) { return a.position < b.position; });
  return all;
}

}  // namespace deepglass::spectra
