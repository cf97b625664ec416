// The Franz-Parisi potential of the deep perceptron network with a planted teacher.
//
// The teacher is replica 0, a typical network with its own output; n -> 0 students a >= 1 learn its data.
// Replica symmetric in the students: overlaps q(l), Q(l) among them, r(l), R(l) with the teacher, all free.
//     S(q, Q, r, R) = sum_l [ ln(1-Q) + (Q - R^2)/(1-Q) ] / (2 alpha)  +  sum_l W(lambda_S, lambda_T)
//                   + sum_l [ E ln 2cosh(sqrt(eps) z + eps_T) - eps (1-q)/2 - eps_T r ],
//     lambda_S = q(l-1) Q(l) q(l),   lambda_T = r(l-1) R(l) r(l),
// the students' entropy per N M (the teacher's own is subtracted).  Each layer is one Gaussian-field term:
//     walls    g_S = -2 dW/dlambda_S,  g_T = dW/dlambda_T                          (planted_wall_field)
//     bonds    A_S = alpha q(l-1) q(l) g_S,  A_T = alpha r(l-1) r(l) g_T,
//              (Q - R^2)/(1-Q)^2 = A_S,  R/(1-Q) = A_T
//     neurons  eps = sum over both bonds of q Q g_S,  eps_T = sum of r R g_T (+ mu where r is imposed),
//              q = E tanh^2,  r = E tanh                                           (planted_ising_field)
// At R = Q, r = q this is the Nishimori line, deep_perceptron.hpp with n = 1.  The potential is V(x) = -S,
// all else stationary, with r(layer) = x imposed; the external field mu that keeps it there is dV/dx.
//
// S. Franz and G. Parisi, J. Phys. I France 5, 1401 (1995); the functional is that of H. Yoshino (2020).
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "deepglass/core.hpp"
#include "deepglass/parallel.hpp"
#include "deepglass/parisi/deep_perceptron.hpp"
#include "deepglass/parisi/gaussian_field.hpp"
#include "deepglass/parisi/layer_map.hpp"
#include "deepglass/vmath.hpp"

namespace deepglass::parisi {

// W = E[p f] / E[p] and its derivatives.  The students' common field h has variance lambda_S,
// f(h) = ln Phi((h - shift)/s), s^2 = 1 - lambda_S + width^2; given h the teacher's gap is Gaussian with mean
// y = h lambda_T/lambda_S and variance s_0^2 = 1 - lambda_T^2/lambda_S + width^2, so its wall weighs
// p(y) = Phi((y - shift)/s_0).
struct PlantedWall {
  double value;          // W
  double slope;          // g_S = E p f'^2
  double teacher_slope;  // g_T = E p' f'
  double curvature;      // E p f''^2: the replicon's response
  double response;       // dg_S/dlambda_S = E p (f''^2 - 2 f'^2 f'')
  double cross;          // E p' f' f'' = (dg_S/dlambda_T)/2 = -dg_T/dlambda_S
  double teacher;        // dg_T/dlambda_T = E p'' f''
};

// Complements 1 - lambda_S, 1 - lambda_T are given apart because both approach zero.
inline PlantedWall planted_wall_field(double variance, double complement, double covariance,
                                      double teacher_complement, double width, double shift) {
  const double s2 = complement + width * width, s = std::sqrt(s2), inv_s = 1.0 / s;
  const double norm_p = 1.0 / vmath::normal_cdf(-shift / std::sqrt(1.0 + width * width));
  if (variance == 0.0) {
    const double u = -shift * inv_s;
    const double f1 = vmath::inverse_mills_ratio(u) * inv_s, f2 = vmath::inverse_mills_ratio_slope(u) / s2;
    const double g = f1 * f1;
    return {vmath::log_normal_cdf(u), g, g, f2 * f2, f2 * f2 - 2.0 * g * f2, g * f2, (f2 + g) * f2};
  }
  const double excess = variance > 0.5
                            ? (teacher_complement * (2.0 - teacher_complement) - complement) / variance
                            : 1.0 - covariance * covariance / variance;
  const double s0 = std::sqrt(std::max(excess, 1e-12 * complement) + width * width), inv_s0 = 1.0 / s0;
  const double sigma = std::sqrt(variance), inv_sigma = 1.0 / sigma;
  const double ratio = covariance / variance;
  // Refine where the narrowest of the three factors is: the Gaussian, the wall, the teacher's wall; but never
  // so far out that the grid is too coarse for the Gaussian itself.
  const double teacher_width = ratio > 0.0 ? s0 / ratio : std::numeric_limits<double>::infinity();
  const double b = std::min({s, sigma, teacher_width});
  const double place = b == sigma ? 0.0 : b == s ? shift : shift / ratio;
  const double centre = std::clamp(place, -5.0 * sigma, 5.0 * sigma);
  const double reach = detail::kGaussianReach * sigma;
  const Index first = detail::lattice_index((-reach - centre) / b) - 1;
  const Index last = detail::lattice_index((reach - centre) / b) + 1;
  const double* sinh_t = detail::sinh_lattice().sinh_centre();
  const double* cosh_t = detail::sinh_lattice().cosh_centre();
  double mass = 0, value = 0, slope = 0, teacher_slope = 0, curvature = 0, response = 0, cross = 0,
         teacher = 0;
  // A shifted wall is far from the Gaussian's centre: the growth of either factor in the complex plane asks
  // for half the spacing, that is a second lattice between the nodes of the first.
  for (int half = 0; half < (shift == 0.0 ? 1 : 2); ++half) {
    const double ch = std::cosh(0.5 * half * detail::kSpacing), sh = std::sinh(0.5 * half * detail::kSpacing);
#pragma omp simd reduction(+ : mass, value, slope, teacher_slope, curvature, response, cross, teacher)
    for (Index j = first; j <= last; ++j) {
      const double h = centre + b * (sinh_t[j] * ch + cosh_t[j] * sh);
      const double x = h * inv_sigma, u = (h - shift) * inv_s, u0 = (ratio * h - shift) * inv_s0;
      const double f = vmath::log_normal_cdf(u);
      const double f1 = vmath::inverse_mills_ratio(u), f2 = vmath::inverse_mills_ratio_slope(u);
      const double gauss = (cosh_t[j] * ch + sinh_t[j] * sh) * vmath::exp(-0.5 * x * x);
      const double p = gauss * vmath::normal_cdf(u0);
      const double p1 = gauss * (detail::kInvSqrt2Pi * vmath::exp(-0.5 * u0 * u0));
      mass += gauss;
      value += p * f;
      slope += p * f1 * f1;
      teacher_slope += p1 * f1;
      curvature += p * f2 * f2;
      response += p * (f2 * f2 - 2.0 * f1 * f1 * f2);
      cross += p1 * f1 * f2;
      teacher -= p1 * u0 * f2;
    }
  }
  const double norm = norm_p / mass, norm2 = norm / s2, norm4 = norm2 / s2;
  return {value * norm,
          slope * norm2,
          teacher_slope * norm * inv_s * inv_s0,
          curvature * norm4,
          response * norm4,
          cross * norm2 * inv_s * inv_s0,
          teacher * norm2 * inv_s0 * inv_s0};
}

// Ising spin in the field h ~ N(mean, variance), mean >= 0: q = E tanh^2 h, r = E tanh h.
struct PlantedSpin {
  double value;  // E ln 2cosh h - variance (1-q)/2 - mean r: the spin term, free of cancellation
  double q, q_complement;
  double r, r_complement;
  double curvature;  // E sech^4 h: the replicon's response
  double skew;       // E tanh h sech^2 h
};

namespace detail {

// Sums over nodes first..last of a grid: x = low + step j in units of the Gaussian, or graded, h = sinh(step
// j).  Everything summed (but `square`) decays like exp(-2|h|) on both sides; what does not is known: E
// erf(h).
template <bool graded>
PlantedSpin planted_ising_sum(double variance, double mean, double low, double step, Index first,
                              Index last) {
  const double* sinh_t = sinh_lattice().sinh_centre();
  const double* cosh_t = sinh_lattice().cosh_centre();
  const bool point = variance == 0.0;  // one node, at the mean
  const double sigma = std::sqrt(variance), inv_sigma = point ? 0.0 : 1.0 / sigma;
  const double scale = point ? 1.0 : step * kInvSqrt2Pi * (graded ? inv_sigma : 1.0);
  double entropy = 0, square = 0, complement = 0, odd = 0, curvature = 0, skew = 0;
#pragma omp simd reduction(+ : entropy, square, complement, odd, curvature, skew)
  for (Index j = first; j <= last; ++j) {
    const double x = graded ? (sinh_t[j] - mean) * inv_sigma : low + step * static_cast<double>(j);
    const double h = graded ? sinh_t[j] : mean + sigma * x;
    const double w = scale * (graded ? cosh_t[j] : 1.0) * vmath::exp(-0.5 * x * x);
    const double a = std::abs(h);
    const double e2 = vmath::exp(-2.0 * a), inv = 1.0 / (1.0 + e2);
    const double sech2 = 4.0 * e2 * inv * inv, tanh_h = std::copysign(vmath::tanh(a), h);
    entropy += w * (vmath::log1p(e2) + 2.0 * a * e2 * inv);
    square += w * tanh_h * tanh_h;
    complement += w * sech2;
    odd += w * std::copysign(2.0 * e2 * inv - vmath::erfc(a), h);  // erf - tanh
    curvature += w * sech2 * sech2;
    skew += w * tanh_h * sech2;
  }
  const double known = mean / std::sqrt(1.0 + 2.0 * variance);
  const bool small = variance < 1.0 && mean < 1.0;  // then the sum has all of the Gaussian
  return {entropy + 0.5 * variance * complement,
          small ? square : 1.0 - complement,
          complement,
          vmath::erf(known) - odd,
          vmath::erfc(known) + odd,
          curvature,
          skew};
}

}  // namespace detail

inline PlantedSpin planted_ising_field(double variance, double mean) {
  constexpr double kStep = 0.2, kRelativeStep = 0.7, kReach = 45.0;
  if (!(variance > 1e-300)) return detail::planted_ising_sum<false>(0.0, mean, 0.0, 0.0, 0, 0);
  const double sigma = std::sqrt(variance), reach = detail::kGaussianReach * sigma;
  if (variance > 1.0 && mean <= 2.0 * variance + sigma) {
    // exp(-2|h|) times the Gaussian is largest within sigma of 0: the grid need not follow the Gaussian far
    // out.
    const Index last = detail::lattice_index(sigma + reach) + 1;
    return detail::planted_ising_sum<true>(variance, mean, 0.0, detail::kSpacing, -last, last);
  }
  const double low = std::max(-4.0 * sigma - detail::kGaussianReach, -(kReach + mean) / sigma);
  const double high = std::min(detail::kGaussianReach,
                               std::max((kReach - mean) / sigma, detail::kGaussianReach - 2.0 * sigma));
  const double step = std::min(kStep / sigma, kRelativeStep);
  return detail::planted_ising_sum<false>(variance, mean, low, step, 0,
                                          static_cast<Index>((high - low) / step) + 1);
}

// The mean field that gives E tanh h = 1 - deficit (Newton's method on atanh, between bounds), from `guess`.
inline double imposed_field(double variance, double overlap, double deficit, double guess) {
  if (overlap == 0.0) return 0.0;
  const double target = 0.5 * (std::log1p(overlap) - std::log(deficit));
  double low = 0.0, high = std::numeric_limits<double>::infinity(), mean = std::max(guess, 1e-3 * overlap);
  for (int iter = 0; iter < 200; ++iter) {
    const PlantedSpin m = planted_ising_field(variance, mean);
    const double miss = 0.5 * (std::log1p(m.r) - std::log(m.r_complement)) - target;
    (miss > 0.0 ? high : low) = mean;
    const double step = miss * m.r_complement * (1.0 + m.r) / m.q_complement;
    if (std::abs(step) <= 2e-15 * mean) return mean;
    double next = mean - step;
    if (!(next > low && next < high)) next = high < 1e300 ? 0.5 * (low + high) : 2.0 * mean + 1.0;
    if (next == mean || high - low <= 4e-16 * mean) return next;
    mean = next;
  }
  return mean;
}

// A matrix of half-bandwidth 5, solved with partial pivoting.
class BandMatrix {
 public:
  explicit BandMatrix(Index size) : size_(size), rows_(static_cast<std::size_t>(size)) {}
  Index size() const { return size_; }
  double& operator()(Index row, Index column) {
    return rows_[static_cast<std::size_t>(row)][static_cast<std::size_t>(column - row + kBand)];
  }
  void set_identity() {
    for (auto& row : rows_) row.fill(0.0);
    for (Index i = 0; i < size_; ++i) (*this)(i, i) = 1.0;
  }
  void multiply(const std::vector<double>& x, std::vector<double>& y) {
    for (Index i = 0; i < size_; ++i) {
      double sum = 0.0;
      for (Index j = std::max<Index>(0, i - kBand); j < std::min(i + kBand + 1, size_); ++j) {
        sum += (*this)(i, j) * x[static_cast<std::size_t>(j)];
      }
      at(y, i) = sum;
    }
  }
  // Solves in place and destroys the matrix; false where it is singular.
  bool solve(std::vector<double>& x) {
    // Row i starts at column i - kBand; after column k the rows below are shifted so that they start at k
    // + 1.
    for (Index i = 0; i < std::min(kBand, size_); ++i) shift(i, kBand - i);
    for (Index k = 0; k < size_; ++k) {
      const Index end = std::min(k + kBand + 1, size_);
      Index pivot = k;
      for (Index i = k + 1; i < end; ++i) {
        if (std::abs(row(i)[0]) > std::abs(row(pivot)[0])) pivot = i;
      }
      if (!(std::abs(row(pivot)[0]) > 0.0)) return false;
      if (pivot != k) {
        std::swap(row(k), row(pivot));
        std::swap(at(x, k), at(x, pivot));
      }
      for (Index i = k + 1; i < end; ++i) {
        const double factor = row(i)[0] / row(k)[0];
        for (std::size_t j = 1; j < kWidth; ++j) row(i)[j - 1] = row(i)[j] - factor * row(k)[j];
        row(i)[kWidth - 1] = 0.0;
        at(x, i) -= factor * at(x, k);
      }
    }
    for (Index i = size_ - 1; i >= 0; --i) {
      for (Index j = 1; j < static_cast<Index>(kWidth) && i + j < size_; ++j) {
        at(x, i) -= row(i)[static_cast<std::size_t>(j)] * at(x, i + j);
      }
      at(x, i) /= row(i)[0];
    }
    return true;
  }

 private:
  static constexpr Index kBand = 5;
  static constexpr std::size_t kWidth = 2 * kBand + 1;
  using Row = std::array<double, kWidth>;
  Row& row(Index i) { return rows_[static_cast<std::size_t>(i)]; }
  static double& at(std::vector<double>& v, Index i) { return v[static_cast<std::size_t>(i)]; }
  void shift(Index i, Index by) {
    Row& r = row(i);
    std::copy(r.begin() + by, r.end(), r.begin());
    std::fill(r.end() - by, r.end(), 0.0);
  }

  Index size_;
  std::vector<Row> rows_;
};

struct ConstrainedSolution {
  explicit ConstrainedSolution(const Overlaps& start) : student(start), teacher(start) {}
  Overlaps student, teacher;                                    // q, Q and r, R
  double potential = std::numeric_limits<double>::quiet_NaN();  // V = -S
  double field = std::numeric_limits<double>::quiet_NaN();      // mu = dV/dx
  double replicon = std::numeric_limits<double>::quiet_NaN();   // of the students; > 1 is unstable
  double residual = std::numeric_limits<double>::infinity();
  Index iterations = 0;
  bool converged = false;
  bool jammed = false;  // no volume is left: Q runs away to 1
};

class FranzParisiSolver {
 public:
  FranzParisiSolver(const DeepPerceptron& model, const SolverOptions& options, const StopToken& stop = {})
      : model_(model),
        options_(options),
        stop_(stop),
        wall_(static_cast<std::size_t>(model.depth)),
        spin_(static_cast<std::size_t>(model.depth + 1)),
        student_image_(model.depth),
        teacher_image_(model.depth),
        map_(model.depth),
        pentadiagonal_(2 * model.depth - 1),
        band_(4 * model.depth - 2),
        step_(static_cast<std::size_t>(4 * model.depth - 2)),
        plain_step_(step_.size()) {}

  // The solution reached from `start`, teacher-student and student-student overlaps alike, with
  // r(layer) = overlap imposed (layer < 0: nothing is imposed).  Liquid layers that cannot stay so are
  // seeded.
  ConstrainedSolution solve(const Overlaps& start, Index layer, double overlap) {
    ConstrainedSolution s(start);
    impose(s, layer, overlap);
    refresh_bonds(s);
    seed_unstable_layers(s);
    s.converged = relax(s);
    while (s.converged && seed_unstable_layers(s)) s.converged = relax(s);
    evaluate(s);
    s.residual = residual(s);
    s.potential = -entropy(s);
    s.field = external_;
    s.replicon = replicon(s);
    s.jammed = runaway(s) || !(s.potential < kNoVolume);
    return s;
  }

 private:
  static constexpr double kRunaway = 1e-14;
  static constexpr double kNoVolume = 1e6;  // -ln of a volume per N M
  static constexpr double kDead = 1e-9;
  static constexpr double kMarginal = 1e-7;

  static double at(const std::vector<double>& v, Index i) { return v[static_cast<std::size_t>(i)]; }
  static double& at(std::vector<double>& v, Index i) { return v[static_cast<std::size_t>(i)]; }
  const PlantedWall& wall_at(Index bond) const { return wall_[static_cast<std::size_t>(bond)]; }
  const PlantedSpin& spin_at(Index layer) const { return spin_[static_cast<std::size_t>(layer)]; }

  void impose(ConstrainedSolution& s, Index layer, double overlap) {
    layer_ = layer;
    overlap_ = overlap;
    external_ = total_ = 0.0;
    if (layer < 0) return;
    at(s.teacher.q, layer) = overlap;
    at(s.teacher.q_complement, layer) = 1.0 - overlap;
    keep_possible(at(s.teacher.q, layer), at(s.student.q, layer), at(s.student.q_complement, layer));
  }

  // The students' centre of mass: r^2 <= q.
  static void keep_possible(double r, double& q, double& q_complement) {
    if (q < r * r) {
      q = r * r;
      q_complement = (1.0 - r) * (1.0 + r);
    }
  }

  static double product_complement(double u, double v, double w) {
    return u + v + w - u * v - v * w - w * u + u * v * w;
  }

  // Field moments at x and the images of all overlaps.
  void evaluate(const ConstrainedSolution& x) {
    const Index L = model_.depth;
    const Overlaps &a = x.student, &t = x.teacher;
    for (Index b = 0; b < L; ++b) {
      const double near = at(a.q, b), far = at(a.q, b + 1), r_near = at(t.q, b), r_far = at(t.q, b + 1);
      const PlantedWall w = wall_[static_cast<std::size_t>(b)] = planted_wall_field(
          near * at(a.Q, b) * far,
          product_complement(at(a.q_complement, b), at(a.Q_complement, b), at(a.q_complement, b + 1)),
          r_near * at(t.Q, b) * r_far,
          product_complement(at(t.q_complement, b), at(t.Q_complement, b), at(t.q_complement, b + 1)),
          model_.wall_width, model_.wall_shift);
      const double A_S = model_.load * near * far * w.slope;
      const double A_T = model_.load * r_near * r_far * w.teacher_slope;
      const double A = A_S + A_T * A_T;
      const double c = 2.0 / (1.0 + std::sqrt(1.0 + 4.0 * A));
      at(student_image_.Q, b) = A * c * c;
      at(student_image_.Q_complement, b) = c;
      at(teacher_image_.Q, b) = A_T * c;
      // 1 - A_T c = c (1/c - A_T), and 1/c = (1 + sqrt(1 + 4A))/2
      const double root = std::sqrt(1.0 + 4.0 * A);
      at(teacher_image_.Q_complement, b) = c * (0.5 + 0.5 * (1.0 + 4.0 * A_S) / (root + 2.0 * A_T));
    }
    for (Index l = 1; l < L; ++l) {
      const double variance = at(a.q, l - 1) * at(a.Q, l - 1) * wall_at(l - 1).slope +
                              at(a.Q, l) * at(a.q, l + 1) * wall_at(l).slope;
      double mean = at(t.q, l - 1) * at(t.Q, l - 1) * wall_at(l - 1).teacher_slope +
                    at(t.Q, l) * at(t.q, l + 1) * wall_at(l).teacher_slope;
      if (l == layer_) {
        total_ = imposed_field(variance, overlap_, 1.0 - overlap_, total_);
        external_ = total_ - mean;
        mean = total_;
      }
      const PlantedSpin m = spin_[static_cast<std::size_t>(l)] = planted_ising_field(variance, mean);
      at(student_image_.q, l) = m.q;
      at(student_image_.q_complement, l) = m.q_complement;
      at(teacher_image_.q, l) = l == layer_ ? overlap_ : m.r;
      at(teacher_image_.q_complement, l) = l == layer_ ? 1.0 - overlap_ : m.r_complement;
    }
  }

  // function(row, overlap, complement, image, image complement, neuron?) for the unknowns: Q, R of a bond,
  // then q, r of the next layer, and so on.
  template <class Function>
  void for_each_unknown(ConstrainedSolution& x, Function&& function) {
    for (Index i = 0; i < model_.depth; ++i) {
      function(4 * i, at(x.student.Q, i), at(x.student.Q_complement, i), at(student_image_.Q_complement, i));
      function(4 * i + 1, at(x.teacher.Q, i), at(x.teacher.Q_complement, i),
               at(teacher_image_.Q_complement, i));
      if (i + 1 == model_.depth) break;
      function(4 * i + 2, at(x.student.q, i + 1), at(x.student.q_complement, i + 1),
               at(student_image_.q_complement, i + 1));
      function(4 * i + 3, at(x.teacher.q, i + 1), at(x.teacher.q_complement, i + 1),
               at(teacher_image_.q_complement, i + 1));
    }
  }

  // Largest change of 1 - q and 1 - r, and relative change of 1 - Q and 1 - R.
  double residual(ConstrainedSolution& x) {
    double most = 0.0;
    for_each_unknown(x, [&](Index row, double&, double complement, double image) {
      const double change = row % 4 < 2 ? image / complement - 1.0 : image - complement;
      most = std::max(most, std::abs(change));
    });
    return most;
  }

  // I - J at the point last evaluated.  Overlaps that vanish are held.
  void fill(const ConstrainedSolution& x) {
    const Index L = model_.depth;
    const Overlaps &a = x.student, &t = x.teacher;
    band_.set_identity();
    // d lambda / d(Q or R, near neuron, far neuron), S and T.
    const auto factors = [](const Overlaps& o, Index b) {
      return std::array<double, 3>{at(o.q, b) * at(o.q, b + 1), at(o.Q, b) * at(o.q, b + 1),
                                   at(o.q, b) * at(o.Q, b)};
    };
    // Columns of Q(b), q(b), q(b+1); those of R, r are the next ones.
    const auto columns = [L](Index b) {
      return std::array<Index, 3>{4 * b, b > 0 ? 4 * b - 2 : -1, b + 1 < L ? 4 * b + 2 : -1};
    };
    const auto subtract = [&](Index row, Index column, double value) {
      if (column >= 0) band_(row, column) -= value;
    };
    for (Index b = 0; b < L; ++b) {
      const PlantedWall& w = wall_at(b);
      const auto dS = factors(a, b), dT = factors(t, b);
      const auto column = columns(b);
      const double A_T = model_.load * dT[0] * w.teacher_slope;
      const double c = at(student_image_.Q_complement, b);
      const double dQ_dA = c * c * c / (2.0 - c);
      for (std::size_t k = 0; k < 3; ++k) {
        // d(q q) and d(r r) by this column
        const double pair_S = k == 0 ? 0.0 : k == 1 ? at(a.q, b + 1) : at(a.q, b);
        const double pair_T = k == 0 ? 0.0 : k == 1 ? at(t.q, b + 1) : at(t.q, b);
        const double by_S[2] = {model_.load * (pair_S * w.slope + dS[0] * w.response * dS[k]),
                                -model_.load * dT[0] * w.cross * dS[k]};
        const double by_T[2] = {model_.load * dS[0] * 2.0 * w.cross * dT[k],
                                model_.load * (pair_T * w.teacher_slope + dT[0] * w.teacher * dT[k])};
        for (int side = 0; side < 2; ++side) {
          const Index col = column[k] < 0 ? -1 : column[k] + side;
          const double dA_S = side ? by_T[0] : by_S[0], dA_T = side ? by_T[1] : by_S[1];
          const double dQ = dQ_dA * (dA_S + 2.0 * A_T * dA_T);
          if (at(a.Q, b) > 0.0) subtract(4 * b, col, dQ);
          if (at(t.Q, b) > 0.0) subtract(4 * b + 1, col, c * dA_T - A_T * dQ);
        }
      }
    }
    for (Index l = 1; l < L; ++l) {
      const PlantedSpin& m = spin_at(l);
      double q_eps = 3.0 * m.curvature - 2.0 * m.q_complement, q_mean = 2.0 * m.skew;
      double r_eps = -m.skew, r_mean = m.q_complement;
      if (l == layer_) {  // the mean follows so that r stays
        q_eps -= q_mean * r_eps / r_mean;
        q_mean = r_eps = r_mean = 0.0;
      }
      const bool hold_q = at(a.q, l) == 0.0, hold_r = at(t.q, l) == 0.0 || l == layer_;
      for (const Index b : {l - 1, l}) {
        const PlantedWall& w = wall_at(b);
        const auto dS = factors(a, b), dT = factors(t, b);
        const auto column = columns(b);
        const Index other = b == l ? l + 1 : l - 1;
        // eps is (far q) Q g_S, eps_T is (far r) R g_T
        const double far = at(a.q, other), r_far = at(t.q, other);
        const double lever_S = far * at(a.Q, b), lever_T = r_far * at(t.Q, b);
        for (std::size_t k = 0; k < 3; ++k) {
          const bool is_far = k > 0 && (b == l ? k == 2 : k == 1);
          const double pair_S = k == 0 ? far : is_far ? at(a.Q, b) : 0.0;
          const double pair_T = k == 0 ? r_far : is_far ? at(t.Q, b) : 0.0;
          const double by_S[2] = {pair_S * w.slope + lever_S * w.response * dS[k],
                                  -lever_T * w.cross * dS[k]};
          const double by_T[2] = {lever_S * 2.0 * w.cross * dT[k],
                                  pair_T * w.teacher_slope + lever_T * w.teacher * dT[k]};
          for (int side = 0; side < 2; ++side) {
            const Index col = column[k] < 0 ? -1 : column[k] + side;
            const double d_eps = side ? by_T[0] : by_S[0], d_mean = side ? by_T[1] : by_S[1];
            if (!hold_q) subtract(4 * l - 2, col, q_eps * d_eps + q_mean * d_mean);
            if (!hold_r) subtract(4 * l - 1, col, r_eps * d_eps + r_mean * d_mean);
          }
        }
      }
    }
  }

  // Newton's method; true if it ends on a stable solution close by.  It gives up, and plain steps go on,
  // where its step runs against the plain one (it would turn round to an unstable solution) or the residual
  // does not fall.
  bool newton(ConstrainedSolution& x) {
    constexpr int kMaxSteps = 40;
    constexpr double kTrust = 0.2, kSmall = 1e-3, kShortest = 1e-2, kSettled = 1e-7, kRounding = 1e-15;
    constexpr double kNear = 0.5;
    const ConstrainedSolution first = x;
    ConstrainedSolution trial = x;
    evaluate(x);
    ++x.iterations;
    double norm = residual(x);
    for (int step = 0; step < kMaxSteps; ++step) {
      TimedStop(stop_).check();
      for_each_unknown(x, [&](Index row, double& value, double& complement, double image) {
        at(step_, row) = value == 0.0 ? 0.0 : complement - image;
      });
      plain_step_ = step_;
      fill(x);
      if (!band_.solve(step_)) return false;
      double largest = 0.0, fraction = 1.0, along = 0.0;
      for_each_unknown(x, [&](Index row, double value, double, double) {
        const double size = std::abs(at(step_, row));
        along += at(step_, row) * at(plain_step_, row);
        largest = std::max(largest, size);
        if (value > kSmall && size > kTrust * value) fraction = std::min(fraction, kTrust * value / size);
      });
      if (norm <= options_.tolerance && (largest <= kSettled || norm <= kRounding)) return stable(x);
      if (!(along > 0.0)) return false;
      for (;; fraction *= 0.5) {
        if (fraction < kShortest || x.iterations >= options_.max_iter) return false;
        trial = x;
        for_each_unknown(trial, [&](Index row, double& value, double& complement, double) {
          if (value == 0.0) return;
          const double dx = std::clamp(fraction * at(step_, row), -0.75 * value, 0.75 * complement);
          value += dx;
          complement -= dx;
        });
        keep_possible(trial);
        evaluate(trial);
        trial.iterations = ++x.iterations;
        const double now = residual(trial);
        if (now <= (1.0 - 0.25 * fraction) * norm || now <= 10.0 * options_.tolerance) {
          norm = now;
          break;
        }
      }
      for (std::size_t l = 0; l < first.teacher.q.size(); ++l) {
        if (std::abs(trial.teacher.q[l] - first.teacher.q[l]) >
            kNear * std::max(first.teacher.q[l], kSmall)) {
          return false;
        }
      }
      x = trial;
    }
    return false;
  }

  // No direction in which plain steps, mixed with 1/2, run away from x: the largest growth under (I + J)/2.
  bool stable(const ConstrainedSolution& x) {
    constexpr int kSteps = 400;
    fill(x);
    std::vector<double>&v = step_, &w = plain_step_;
    std::fill(v.begin(), v.end(), 1.0);
    double growth = 0.0;  // logarithm, of the second half
    for (int i = 0; i < kSteps; ++i) {
      band_.multiply(v, w);
      double largest = 0.0;
      for (std::size_t k = 0; k < v.size(); ++k) {
        v[k] -= 0.5 * w[k];
        largest = std::max(largest, std::abs(v[k]));
      }
      for (double& component : v) component /= largest;
      if (2 * i >= kSteps) growth += std::log(largest);
    }
    return growth <= 0.5 * kSteps * kMarginal;
  }

  static void keep_possible(ConstrainedSolution& x) {
    for (std::size_t i = 0; i < x.teacher.q.size(); ++i) {
      keep_possible(x.teacher.q[i], x.student.q[i], x.student.q_complement[i]);
    }
    for (std::size_t i = 0; i < x.teacher.Q.size(); ++i) {
      keep_possible(x.teacher.Q[i], x.student.Q[i], x.student.Q_complement[i]);
    }
  }

  bool runaway(const ConstrainedSolution& x) const {
    const auto& c = x.student.Q_complement;
    return *std::min_element(c.begin(), c.end()) < kRunaway;
  }

  // Overlaps that die out are set to zero; the students' can be as small as the square of the teacher's.
  bool bury(ConstrainedSolution& x) const {
    const auto clear = [](double& overlap, double& complement) {
      const bool alive = overlap > 0.0;
      overlap = 0.0;
      complement = 1.0;
      return alive;
    };
    const Index L = model_.depth;
    Overlaps &a = x.student, &t = x.teacher;
    bool changed = false;
    for (Index l = 1; l < L; ++l) {
      if (at(t.q, l) < kDead && l != layer_) changed |= clear(at(t.q, l), at(t.q_complement, l));
      if (at(t.q, l) == 0.0 && at(a.q, l) < kDead) changed |= clear(at(a.q, l), at(a.q_complement, l));
    }
    for (Index b = 0; b < L; ++b) {
      for (Overlaps* o : {&a, &t}) {
        if (!o->solid(b) || !o->solid(b + 1)) changed |= clear(at(o->Q, b), at(o->Q_complement, b));
      }
    }
    return changed;
  }

  // Plain steps, every 7th with mixing 1/2, Newton's method after every 8th: as in deep_perceptron.hpp.
  bool relax(ConstrainedSolution& x) {
    for (Index step = 1; x.iterations < options_.max_iter && !runaway(x); ++step) {
      TimedStop(stop_).check();
      evaluate(x);
      ++x.iterations;
      if (step % 8 == 0 || residual(x) <= options_.tolerance) {
        ConstrainedSolution trial = x;
        const bool found = newton(trial);
        x.iterations = trial.iterations;
        if (found) {
          x = trial;
          if (!bury(x)) return true;
        }
        evaluate(x);
      }
      const double mix = step % 7 == 0 ? 0.5 : 1.0;
      for (const auto& [now, image] : {std::pair<Overlaps*, const Overlaps*>{&x.student, &student_image_},
                                       {&x.teacher, &teacher_image_}}) {
        approach(now->Q, image->Q, mix);
        approach(now->Q_complement, image->Q_complement, mix);
        approach(now->q, image->q, mix);
        approach(now->q_complement, image->q_complement, mix);
      }
      bury(x);
    }
    return false;
  }

  static void approach(std::vector<double>& x, const std::vector<double>& image, double mix) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = mix * image[i] + (1.0 - mix) * x[i];
  }

  // Bonds between solid layers, from their equation at the present fields.
  void refresh_bonds(ConstrainedSolution& x) {
    evaluate(x);
    for (Index b = 0; b < model_.depth; ++b) {
      for (const auto& [now, image] : {std::pair<Overlaps*, const Overlaps*>{&x.student, &student_image_},
                                       {&x.teacher, &teacher_image_}}) {
        if (at(now->Q, b) == 0.0 && now->solid(b) && now->solid(b + 1)) {
          at(now->Q, b) = at(image->Q, b);
          at(now->Q_complement, b) = at(image->Q_complement, b);
        }
      }
    }
  }

  // A vanishing overlap of layer l grows where one round trip through its bonds does: among students
  // alpha sum q(far)^2 g_S^2 > 1, with the teacher alpha (1-q) sum r(far)^2 g_T^2 (1-Q) > 1.
  bool seed_unstable_layers(ConstrainedSolution& x) {
    evaluate(x);
    std::vector<std::pair<Overlaps*, Index>> seeds;
    for (Overlaps* o : {&x.teacher, &x.student}) {
      for (Index l = 1; l < model_.depth; ++l) {
        if (o->solid(l) || (o == &x.teacher && l == layer_)) continue;
        double growth = 0.0;
        for (const Index b : {l - 1, l}) {
          const double lever = at(o->q, b == l ? l + 1 : l - 1) * wall_at(b).teacher_slope;
          growth += lever * lever * at(student_image_.Q_complement, b);
        }
        if (model_.load * at(x.student.q_complement, l) * growth > 1.0 + kMarginal) seeds.emplace_back(o, l);
      }
    }
    for (const auto& [o, l] : seeds) {
      at(o->q, l) = options_.seed_overlap;
      at(o->q_complement, l) = 1.0 - options_.seed_overlap;
      keep_possible(at(x.teacher.q, l), at(x.student.q, l), at(x.student.q_complement, l));
    }
    if (!seeds.empty()) refresh_bonds(x);
    return !seeds.empty();
  }

  // S per N M at a solution, the point last evaluated.
  double entropy(const ConstrainedSolution& x) const {
    const Index L = model_.depth;
    double s = 0.0;
    for (Index b = 0; b < L; ++b) {
      // (Q - R^2)/(1-Q) = A_S (1-Q)
      const double c = at(x.student.Q_complement, b);
      const double A_S = model_.load * at(x.student.q, b) * at(x.student.q, b + 1) * wall_at(b).slope;
      s += (std::log(c) + A_S * c) / (2.0 * model_.load) + wall_at(b).value;
    }
    for (Index l = 1; l < L; ++l) s += spin_at(l).value;
    return s;
  }

  // Largest eigenvalue of the students' replicon map at the point last evaluated.
  double replicon(const ConstrainedSolution& x) {
    map_.load = model_.load;
    map_.q = x.student.q;
    map_.Q = x.student.Q;
    for (Index b = 0; b < model_.depth; ++b) {
      const double c = at(student_image_.Q_complement, b);
      at(map_.g, b) = wall_at(b).slope;
      at(map_.wall_response, b) = wall_at(b).curvature;
      at(map_.bond_response, b) = c * c;
    }
    for (Index l = 1; l < model_.depth; ++l) at(map_.spin_response, l) = spin_at(l).curvature;
    return map_.spectral_radius(pentadiagonal_);
  }

  DeepPerceptron model_;
  SolverOptions options_;
  StopToken stop_;
  std::vector<PlantedWall> wall_;
  std::vector<PlantedSpin> spin_;
  Overlaps student_image_, teacher_image_;
  LayerMap map_;
  Pentadiagonal pentadiagonal_;
  BandMatrix band_;
  std::vector<double> step_, plain_step_;
  Index layer_ = -1;
  double overlap_ = 0.0, external_ = 0.0, total_ = 0.0;
};

}  // namespace deepglass::parisi
