// Limit of the neural tangent kernel of a network as wide as there are samples (Fan and Wang,
// arXiv:2005.11879).
#pragma once

#include "deepglass/spectra/layer_chain.hpp"

namespace deepglass::spectra {

// r + sum_l q_l X_l^T X_l, l = 0..L, with q_l = b^(2 (L - l)), r = sum_{l<L} (a^(L-l) - b^(2 (L-l))),
// a = E phi'^2, b = E phi'.  Their recursions for s_l and t_l are linear in the second argument of t_l; in
// the traces tau = -G (l = -1) and tau_l of the resolvent times X_l^T X_l they read
//
//   alpha_l = q_l + b^2/s_{l+1},  alpha_L = 1,      Z = r - z + (1 - b^2) sum_l 1/s_l,
//   tau = int 1/(Z + alpha_0 x) dmu_0,              tau_0 = int x/(Z + alpha_0 x) dmu_0,
//   v_l = (1 - b^2) tau + b^2 tau_{l-1},            tau_l = v_l/(s_l alpha_l),
//   s_l = 1/alpha_l + ratio_l v_l.
//
// Unknown: s_1 .. s_L; they lie in the upper half plane, and are unique there.
class NeuralTangentKernel {
 public:
  NeuralTangentKernel(MeasurePointer input, std::vector<double> ratios, double slope_square /* b^2 */,
                      double mean_slope_square /* a */)
      : input_(std::move(input)), ratios_(std::move(ratios)), b2_(slope_square), size_(ratios_.size()) {
    double b_power = 1, a_power = 1;
    weights_.assign(size_ + 1, 1);
    for (std::size_t l = size_; l-- > 0;) {
      b_power *= b2_;
      a_power *= mean_slope_square;
      weights_[l] = b_power;
      shift_ += a_power - b_power;
    }
    Interval inner = hull(*input_);
    bounds_ = {shift_ + weights_[0] * inner.left, shift_ + weights_[0] * inner.right};
    for (std::size_t l = 1; l <= size_; ++l) {
      const std::vector<double> some(ratios_.begin(), ratios_.begin() + static_cast<Index>(l));
      inner = hull(*conjugate_kernel(input_, some, b2_));
      bounds_.left += weights_[l] * inner.left;
      bounds_.right += weights_[l] * inner.right;
    }
  }

  void begin(Complex, std::vector<Complex>& state) const {  // all tau = 0
    state.assign(size_, 1);
    for (std::size_t l = size_ - 1; l-- > 0;) state[l] = 1.0 / alpha(state, l + 1);
  }

  bool step(Complex z, const std::vector<Complex>& s, Step& out) const {
    const std::size_t n = size_;
    // Columns of the linear equations: residuals by s_k, residuals, residuals by z.
    std::vector<Complex>& a = out.rate;
    a.assign(n * (n + 2), 0);
    Complex far = shift_ - z;
    for (const Complex each : s) far += (1 - b2_) / each;
    const Complex a0 = alpha(s, 0), inner = -far / a0;
    // int 1/(Z + alpha_0 x) = -G(inner)/alpha_0 also below the axis
    const bool below = inner.imag() < 0;
    Transforms t = input_->transforms(below ? std::conj(inner) : inner);
    if (below)
      t = {{std::conj(t.g.value), std::conj(t.g.slope)}, {std::conj(t.m.value), std::conj(t.m.slope)}};
    const Complex tau = -t.g.value / a0, tau_0 = -t.m.value / a0;
    Complex slope_of_tau = 0;  // d tau/dz, filled below
    std::vector<Complex> tau_by(n + 1), last(n + 1), now(n + 1);
    for (std::size_t k = 0; k <= n; ++k) {  // by s_k, and by z
      const Complex far_by = k == n ? Complex(-1) : -(1 - b2_) / (s[k] * s[k]);
      const Complex a0_by = k == 0 ? alpha_slope(s, 0) : Complex(0);
      const Complex inner_by = -(far_by + inner * a0_by) / a0;
      tau_by[k] = -(t.g.slope * inner_by + tau * a0_by) / a0;
      last[k] = -(t.m.slope * inner_by + tau_0 * a0_by) / a0;
    }
    Complex previous = tau_0;
    for (std::size_t l = 1; l <= n; ++l) {
      const Complex sl = s[l - 1], al = alpha(s, l), v = (1 - b2_) * tau + b2_ * previous,
                    here = v / (sl * al);
      a[(l - 1) * (n + 2) + n] = 1.0 / al + ratios_[l - 1] * v - sl;
      for (std::size_t k = 0; k <= n; ++k) {
        const Complex v_by = (1 - b2_) * tau_by[k] + b2_ * last[k];
        const Complex al_by = k == l && l < n ? alpha_slope(s, l) : Complex(0);
        const Complex sl_by = k == l - 1 ? 1.0 : 0.0;
        now[k] = v_by / (sl * al) - here * (sl_by / sl + al_by / al);
        a[(l - 1) * (n + 2) + (k == n ? n + 1 : k)] = -al_by / (al * al) + ratios_[l - 1] * v_by - sl_by;
      }
      std::swap(last, now);
      previous = here;
    }
    if (!solve(a, n)) return false;
    // Now ds = -column n for Newton's method, ds/dz = -column n + 1.
    out.change.resize(n);
    out.points.resize(n);
    slope_of_tau = tau_by[n];
    for (std::size_t k = 0; k < n; ++k) {
      const Complex by_z = -a[k * (n + 2) + n + 1];
      out.change[k] = -a[k * (n + 2) + n] / s[k];
      out.points[k] = {s[k], z * by_z / s[k]};
      slope_of_tau += tau_by[k] * by_z;
    }
    const Complex g = -tau;
    out.transforms = {{g, -slope_of_tau}, {z * g - 1.0, g - z * slope_of_tau}};
    return is_finite(out.change[0]);
  }

  Complex path(Complex z, double place) const {
    if (place == 0) return z;
    return shift_ + detail::from_negative(z - shift_, 1e3 * (bounds_.right - shift_), place);
  }

  Interval bounds() const { return bounds_; }  // of the support
  std::vector<Interval> support() const;

  // Where X_0^T X_0 has a heavy atom and all other layers have common kernels.
  std::vector<Atom> atoms() const {
    double lost = 0;
    for (const double ratio : ratios_) lost += 1 / ratio;
    std::vector<Atom> all;
    for (const Atom& atom : input_->atoms()) {
      const double mass = atom.mass - (b2_ < 1 ? lost : 0);
      if (b2_ == 1 && atom.position != 0) continue;
      if (mass > 1e-14) all.push_back({shift_ + weights_[0] * atom.position, mass});
    }
    return all;
  }

 private:
  Complex alpha(const std::vector<Complex>& s, std::size_t l) const {
    return l == size_ ? Complex(1) : weights_[l] + b2_ / s[l];
  }
  Complex alpha_slope(const std::vector<Complex>& s, std::size_t l) const { return -b2_ / (s[l] * s[l]); }

  // Gaussian elimination with row pivots: the last two of n + 2 columns become the solutions.
  static bool solve(std::vector<Complex>& a, std::size_t n) {
    const std::size_t m = n + 2;
    for (std::size_t i = 0; i < n; ++i) {
      std::size_t pivot = i;
      for (std::size_t r = i + 1; r < n; ++r) {
        if (std::norm(a[r * m + i]) > std::norm(a[pivot * m + i])) pivot = r;
      }
      if (!(std::norm(a[pivot * m + i]) > 0)) return false;
      if (pivot != i) std::swap_ranges(&a[i * m], &a[i * m] + m, &a[pivot * m]);
      const Complex inverse = 1.0 / a[i * m + i];
      for (std::size_t c = i; c < m; ++c) a[i * m + c] *= inverse;
      for (std::size_t r = 0; r < n; ++r) {
        const Complex factor = a[r * m + i];
        if (r == i || factor == 0.0) continue;
        for (std::size_t c = i; c < m; ++c) a[r * m + c] -= factor * a[i * m + c];
      }
    }
    return true;
  }

  MeasurePointer input_;
  std::vector<double> ratios_, weights_;
  double b2_, shift_ = 0;
  std::size_t size_;
  Interval bounds_;
};

namespace detail {

// Support of a measure that is known only point by point, within bounds: the places where the density opens,
// on a grid refined where two points off the support have something between them.  In a gap
// (G(x) - G(y))/(y - x) = int dmu(t)/((x - t)(y - t)) is about sqrt(G'(x) G'(y)); what lies between x and y
// makes it smaller.
class Scan {
 public:
  Scan(const Measure& mu, Interval bounds) : mu_(mu), length_(bounds.right - bounds.left) {
    constexpr int kPoints = 800;
    std::vector<Complex> x;
    for (int i = 0; i < kPoints; ++i) {
      const double t = 0.5 - 0.5 * std::cos(kPi * (i + 0.5) / kPoints);
      x.push_back(bounds.left + length_ * (1.002 * t - 0.001));
    }
    std::vector<Value> g(x.size());
    mu.cauchy_in_order(x, g);
    for (std::size_t i = 0; i < x.size(); ++i) visit({x[i].real(), g[i]}, 0);
  }

  std::vector<Interval> support() const {
    std::vector<Interval> parts;
    bool open = false;
    for (const Change& change : changes_) {
      if (change.opens) {
        parts.push_back({change.edge, kNaN});
      } else if (open) {
        parts.back().right = change.edge;
      }
      open = change.opens;
    }
    if (!parts.empty() && std::isnan(parts.back().right)) parts.pop_back();
    return parts;
  }

 private:
  struct Point {
    double x;
    Value g;
  };
  struct Change {
    double edge;
    bool opens;
  };
  static constexpr double kShortest = 1e-8;  // of the bounds

  bool inside(const Point& p) const { return -p.g.value.imag() * length_ > 1e-8; }
  Point at(double x) const { return {x, mu_.cauchy(x)}; }

  void visit(const Point& p, int level) {
    if (!is_finite(p.g.value)) return;
    const Point last = last_;
    if (known_) {
      const bool was = inside(last), is = inside(p);
      if (was != is) {
        changes_.push_back({edge(was ? p : last, was ? last : p), is});
      } else if (!is && p.x - last.x > kShortest * length_ && level < 60) {
        const double between = (last.g.value.real() - p.g.value.real()) / (p.x - last.x);
        if (between < 0.7 * std::sqrt(last.g.slope.real() * p.g.slope.real())) {
          visit(at(0.5 * (last.x + p.x)), level + 1);
          return visit(p, level + 1);
        }
      }
    }
    last_ = p;
    known_ = true;
  }

  double edge(Point outside, Point within) const {
    while (std::fabs(outside.x - within.x) > kShortest * length_) {
      const Point middle = at(0.5 * (outside.x + within.x));
      (inside(middle) ? within : outside) = middle;
      if (!is_finite(middle.g.value)) return kNaN;
    }
    // Slopes at distances d, 2 d, 4 d: 1/|G'|^p is linear for the right p, and vanishes at the edge.
    const double side = outside.x < within.x ? -1 : 1;
    double edge = outside.x, distance = kShortest * length_;
    for (int i = 0; i < 3; ++i, distance *= 0.03) {
      const Point points[] = {at(edge + side * distance), at(edge + side * 2 * distance),
                              at(edge + side * 4 * distance)};
      double next = kNaN, least = kInfinity;
      for (const double power : {2.0, 2.0 / 3}) {  // square root, inverse square root
        double y[3];
        for (int k = 0; k < 3; ++k) y[k] = std::pow(std::abs(points[k].g.slope), -power);
        const double rise = (y[1] - y[0]) / (points[1].x - points[0].x);
        const double bend = std::fabs((y[2] - y[1]) / (points[2].x - points[1].x) / rise - 1);
        if (bend < least) {
          least = bend;
          next = points[0].x - y[0] / rise;
        }
      }
      if (!(std::fabs(next - edge) < 3 * distance)) break;
      edge = next;
    }
    return edge;
  }

  const Measure& mu_;
  double length_;
  Point last_{};
  bool known_ = false;
  std::vector<Change> changes_;
};

}  // namespace detail

inline std::vector<Interval> NeuralTangentKernel::support() const {
  return detail::Scan(Implicit<NeuralTangentKernel>(*this), bounds_).support();
}

}  // namespace deepglass::spectra
