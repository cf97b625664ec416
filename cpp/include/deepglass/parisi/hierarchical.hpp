// The deep perceptron network with k steps of replica symmetry breaking: the equations at the head of
// deep_perceptron.hpp at every level i = 0..k of fixed breakpoints 0 = m_0 < m_1 < .. < m_k < 1, for random
// data.
//
// The levels of one layer are coupled by its recursion (recursion.hpp) and by the bonds' saddle point
//     -(Q^-1)_i = A_i,    beta_{i-1} = beta_i - m_i (A_i - A_{i-1}),    Q_0 = A_0/beta_0^2,
//     Q_i = Q_{i-1} + (A_i - A_{i-1})/(beta_{i-1} beta_i),              1 - Q_k = 1/beta_k,
// where the last line fixes beta_k.  The layers are taken symmetric under l -> L - l, which halves the work.
//
// Unknowns are u = -ln(1 - q) and -ln(1 - Q), which keep 1 - q where it is small.  Plain steps (every 7th
// with mixing 1/2: neurons and bonds can lock into a two-cycle), accelerated by Anderson's method; a step of
// it that would make two levels cross is not taken, since levels that have met stay together.
#pragma once

#include <Eigen/QR>
#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <string>
#include <vector>

#include "deepglass/core.hpp"
#include "deepglass/parallel.hpp"
#include "deepglass/parisi/deep_perceptron.hpp"
#include "deepglass/parisi/layer_map.hpp"
#include "deepglass/parisi/recursion.hpp"

namespace deepglass::parisi {

struct HierarchicalSolution {
  // Levels run fastest: (L+1, k+1) and (L, k+1).
  std::vector<double> q, q_complement, Q, Q_complement;
  double free_entropy = std::numeric_limits<double>::quiet_NaN();  // per N M
  double replicon = std::numeric_limits<double>::quiet_NaN();      // innermost; > 1 is unstable
  double residual = std::numeric_limits<double>::infinity();       // max |T(x) - x|
  double min_gap = std::numeric_limits<double>::quiet_NaN();       // between levels of a solid layer
  Index iterations = 0;
  std::vector<double> history;  // residuals of the steps
  bool converged = false;
};

// Levels Q_i and 1 - Q_k from the levels A_i >= A_{i-1} >= 0.
inline double spherical_overlaps(Span<const double> A, Span<const double> breakpoints, Span<double> Q) {
  const Index k = breakpoints.size();
  // Q_k + 1/beta_k at given beta_k falls from infinity to zero as beta_k grows from its lower end.
  const auto overlaps = [&](double beta) {
    double total = 0.0, inner = beta;
    for (Index i = k; i >= 1; --i) {
      const double step = A[i] - A[i - 1], outer = inner - breakpoints[i - 1] * step;
      if (!(outer > 0.0)) return std::numeric_limits<double>::infinity();
      Q[i] = step / (outer * inner);
      total += Q[i];
      inner = outer;
    }
    Q[0] = A[0] / (inner * inner);
    return total + Q[0];
  };
  double low = 0.0;
  for (Index i = 1; i <= k; ++i) low += breakpoints[i - 1] * (A[i] - A[i - 1]);
  low = std::max(low, 1.0);
  double high = 2.0 * low;
  while (overlaps(high) + 1.0 / high > 1.0) high *= 2.0;
  for (int iter = 0; iter < 200 && high - low > 1e-16 * high; ++iter) {
    const double middle = 0.5 * (low + high);
    if (middle <= low || middle >= high) break;
    (overlaps(middle) + 1.0 / middle > 1.0 ? low : high) = middle;
  }
  overlaps(high);
  for (Index i = 1; i <= k; ++i) Q[i] += Q[i - 1];
  return 1.0 / high;
}

class HierarchicalSolver {
 public:
  HierarchicalSolver(const DeepPerceptron& model, Span<const double> breakpoints,
                     const SolverOptions& options, int threads, const StopToken& stop = {})
      : model_(model),
        options_(options),
        threads_(threads),
        stop_(stop),
        m_(breakpoints.begin(), breakpoints.end()),
        levels_(breakpoints.size() + 1),
        n_bonds_((model.depth + 1) / 2),
        n_neurons_(model.depth / 2),
        terms_(static_cast<std::size_t>(n_bonds_ + n_neurons_)) {
    for (Term& term : terms_) term.resize(levels_);
    liquid_ = wall_field(0.0, 1.0, 0, model.wall_width, model.wall_shift);
    const auto size = static_cast<std::size_t>((n_bonds_ + n_neurons_) * levels_);
    u_.assign(size, 0.0);
    image_.assign(size, 0.0);
  }

  // Layer by layer from the liquid.
  HierarchicalSolution solve() {
    HierarchicalSolution s;
    constexpr Index kPlainFirst = 28, kAttempts = 8;
    constexpr double kUnstable = 1.0 + 1e-4, kMet = 1e-5;
    Index plain_first = kPlainFirst;
    for (Index attempt = 0; attempt < kAttempts; ++attempt) {
      s.converged = relax(s, plain_first);
      while (s.converged && seed_unstable_layers()) s.converged = relax(s, kPlainFirst);
      if (!s.converged || attempt + 1 == kAttempts || replicon() <= kUnstable || smallest_gap() > kMet) break;
      // Levels that have met: apart again, and plain steps, under which they go on parting.
      part_levels();
      plain_first = 2 * plain_first + kPlainFirst;
    }
    finish(s);
    return s;
  }

 private:
  double residual() const {
    double r = 0.0;
    for (std::size_t i = 0; i < u_.size(); ++i) {
      r = std::max(r, std::abs(std::exp(-image_[i]) - std::exp(-u_[i])));
    }
    return r;
  }

  // What one wall or one spin gives, and the room its recursion works in.
  struct Term {
    std::vector<double> increments, slope_square, mass, breakpoint_slope, level;
    double value = 0.0, replicon = 0.0, complement = 1.0;
    Workspace workspace;
    void resize(Index levels) {
      const auto n = static_cast<std::size_t>(levels);
      increments.assign(n, 0.0);
      slope_square.assign(n, 0.0);
      mass.assign(n, 0.0);
      level.assign(n, 0.0);
      breakpoint_slope.assign(n - 1, 0.0);
    }
    template <class Terminal>
    void run(const Terminal& terminal, Span<const double> breakpoints, double deficit) {
      increments[0] = level[0];
      for (std::size_t i = 1; i < level.size(); ++i) {
        level[i] = std::max(level[i], level[i - 1]);  // the recursion's own error must not make levels cross
        increments[i] = level[i] - level[i - 1];
      }
      Slopes out;
      out.slope_square = slope_square;
      out.mass = mass;
      out.breakpoint_slope = breakpoint_slope;
      recursion(terminal, Levels{increments, breakpoints, deficit, 0.0}, workspace, out);
      value = out.value;
      replicon = out.replicon;
      complement = out.one_minus_last;
    }
  };

  Index mirror_bond(Index b) const { return std::min(b, model_.depth - 1 - b); }
  Index mirror_neuron(Index l) const { return std::min(l, model_.depth - l); }
  Term& bond_term(Index b) { return terms_[static_cast<std::size_t>(mirror_bond(b))]; }
  Term& neuron_term(Index l) { return terms_[static_cast<std::size_t>(n_bonds_ + mirror_neuron(l) - 1)]; }

  // u of bond b (0-based) or neuron layer l >= 1 at level i.
  Index bond_at(Index b, Index i) const { return mirror_bond(b) * levels_ + i; }
  Index neuron_at(Index l, Index i) const { return (n_bonds_ + mirror_neuron(l) - 1) * levels_ + i; }
  bool is_data(Index l) const { return l == 0 || l == model_.depth; }

  double Q(Index b, Index i) const { return -std::expm1(-u_[static_cast<std::size_t>(bond_at(b, i))]); }
  double Q_complement(Index b, Index i) const {
    return std::exp(-u_[static_cast<std::size_t>(bond_at(b, i))]);
  }
  double q(Index l, Index i) const {
    return is_data(l) ? 1.0 : -std::expm1(-u_[static_cast<std::size_t>(neuron_at(l, i))]);
  }
  double q_complement(Index l, Index i) const {
    return is_data(l) ? 0.0 : std::exp(-u_[static_cast<std::size_t>(neuron_at(l, i))]);
  }
  bool solid(Index l) const {
    return is_data(l) || u_[static_cast<std::size_t>(neuron_at(l, levels_ - 1))] > 0.0;
  }

  // Writes -ln(1 - overlap) for all levels, from the levels and the complement of the last.
  void store(Span<const double> overlap, double complement, Index first) {
    complement = std::max(complement, 1e-300);
    for (Index i = levels_ - 1; i >= 0; --i) {
      image_[static_cast<std::size_t>(first + i)] =
          overlap[i] <= 0.5 ? -std::log1p(-overlap[i]) : -std::log(complement);
      if (i > 0) complement += overlap[i] - overlap[i - 1];
    }
  }

  void evaluate() {
    const Index k = levels_ - 1;
    const Team team = this->team();
    const HardWall wall{model_.wall_width, model_.wall_shift};
    parallel_for_uneven(
        n_bonds_, team,
        [&](Index b) {
          Term& term = bond_term(b);
          const Index first = bond_at(b, 0);
          if (!solid(b) || !solid(b + 1)) {
            std::fill(term.slope_square.begin(), term.slope_square.end(), liquid_.slope);
            term.value = liquid_.value;
            term.replicon = liquid_.curvature;
            std::fill_n(image_.begin() + first, levels_, 0.0);
            return;
          }
          for (Index i = 0; i <= k; ++i) {
            term.level[static_cast<std::size_t>(i)] = q(b, i) * Q(b, i) * q(b + 1, i);
          }
          const double x = q_complement(b, k), y = Q_complement(b, k), z = q_complement(b + 1, k);
          term.run(wall, m_, x + y + z - x * y - y * z - z * x + x * y * z);
          double A = 0.0;  // A_i, which must not fall
          for (Index i = 0; i <= k; ++i) {
            A = std::max(
                A, model_.load * q(b, i) * q(b + 1, i) * term.slope_square[static_cast<std::size_t>(i)]);
            term.increments[static_cast<std::size_t>(i)] = A;
          }
          const double complement = spherical_overlaps(term.increments, m_, term.level);
          store(term.level, complement, first);
        },
        stop_);
    parallel_for_uneven(
        n_neurons_, team,
        [&](Index n) {
          const Index l = n + 1, first = neuron_at(l, 0);
          Term& term = neuron_term(l);
          if (!solid(l)) {
            term.value = std::log(2.0);
            term.replicon = 1.0;
            std::fill(term.level.begin(), term.level.end(), 0.0);
            std::fill_n(image_.begin() + first, levels_, 0.0);
            return;
          }
          for (Index i = 0; i <= k; ++i) {
            const auto j = static_cast<std::size_t>(i);
            term.level[j] = q(l - 1, i) * Q(l - 1, i) * bond_term(l - 1).slope_square[j] +
                            Q(l, i) * q(l + 1, i) * bond_term(l).slope_square[j];
          }
          term.run(IsingSpin{}, m_, 1.0);
          for (std::size_t i = 1; i < term.slope_square.size(); ++i) {
            term.slope_square[i] = std::max(term.slope_square[i], term.slope_square[i - 1]);
          }
          store(term.slope_square, term.complement, first);
        },
        stop_);
  }

  // Two regions a sweep: not worth while below a millisecond each, least of all on a busy machine.
  Team team() const {
    constexpr double kNanosecondsPerLevel = 8e3, kWorthWhile = 1e6;
    Index solid_layers = 0;
    for (Index l = 1; l <= n_neurons_; ++l) solid_layers += solid(l);
    const double work = kNanosecondsPerLevel * static_cast<double>(levels_ * (solid_layers + 1));
    return {work > kWorthWhile ? threads_ : 1, work};
  }

  // Levels that die out are set to zero.
  void bury() {
    constexpr double kDead = 1e-9;
    for (double& u : u_) {
      if (u < kDead) u = 0.0;
    }
    for (Index b = 0; b < n_bonds_; ++b) {
      for (Index i = 0; i < levels_; ++i) {
        if (q(b, i) == 0.0 || q(b + 1, i) == 0.0) u_[static_cast<std::size_t>(bond_at(b, i))] = 0.0;
      }
    }
  }

  // Levels stay in order, and no gap that can be seen closes faster than by half in a step.
  bool ordered(const std::vector<double>& u) const {
    constexpr double kSeen = 1e-3;
    for (Index n = 0; n < n_bonds_ + n_neurons_; ++n) {
      for (Index i = 0; i < levels_; ++i) {
        const auto j = static_cast<std::size_t>(n * levels_ + i);
        if (!(u[j] >= 0.0)) return false;
        if (i == 0) continue;
        const double gap = u_[j] - u_[j - 1], new_gap = u[j] - u[j - 1];
        if (new_gap < 0.0 || (gap > kSeen && new_gap < 0.5 * gap)) return false;
      }
    }
    return true;
  }

  void part_levels() {
    constexpr double kSpread = 1e-2;
    const double middle = 0.5 * static_cast<double>(levels_ - 1);
    for (Index n = 0; n < n_bonds_ + n_neurons_; ++n) {
      for (Index i = 0; i < levels_; ++i) {
        u_[static_cast<std::size_t>(n * levels_ + i)] *=
            1.0 + kSpread * (static_cast<double>(i) - middle) / static_cast<double>(levels_);
      }
    }
  }

  bool relax(HierarchicalSolution& s, Index plain_first) {
    constexpr std::size_t kMemory = 6;
    std::deque<std::vector<double>> points, residuals;  // u and T(u) - u of the last steps
    double best = std::numeric_limits<double>::infinity();
    std::vector<double> f(u_.size()), next(u_.size());
    for (Index step = 1; s.iterations < options_.max_iter; ++step) {
      TimedStop(stop_).check();
      evaluate();
      ++s.iterations;
      const double r = residual();
      s.history.push_back(r);
      if (r <= options_.tolerance) return true;
      for (std::size_t i = 0; i < u_.size(); ++i) f[i] = image_[i] - u_[i];
      const double mix = step % 7 == 0 ? 0.5 : 1.0;
      for (std::size_t i = 0; i < u_.size(); ++i) next[i] = u_[i] + mix * f[i];
      if (r > 3.0 * best) {
        points.clear();
        residuals.clear();
        best = r;
      }
      best = std::min(best, r);
      if (step > plain_first) {
        if (points.size() >= 2) {
          std::vector<double> accelerated = anderson(points, residuals, f);
          if (ordered(accelerated)) next = std::move(accelerated);
        }
        points.push_back(u_);
        residuals.push_back(f);
        if (points.size() > kMemory) {
          points.pop_front();
          residuals.pop_front();
        }
      }
      u_ = next;
      bury();
    }
    return false;
  }

  // The point u + f - sum gamma (du + df) whose residual is least in the span of the last steps.
  std::vector<double> anderson(const std::deque<std::vector<double>>& points,
                               const std::deque<std::vector<double>>& residuals,
                               const std::vector<double>& f) const {
    const auto n = static_cast<Index>(points.size());
    const auto size = static_cast<Index>(f.size());
    Eigen::MatrixXd dF(size, n), dX(size, n);
    Eigen::Map<const Eigen::VectorXd> f_now(f.data(), size), x_now(u_.data(), size);
    for (Index j = 0; j < n; ++j) {
      const auto& x = points[static_cast<std::size_t>(j)];
      const auto& r = residuals[static_cast<std::size_t>(j)];
      dX.col(j) = x_now - Eigen::Map<const Eigen::VectorXd>(x.data(), size);
      dF.col(j) = f_now - Eigen::Map<const Eigen::VectorXd>(r.data(), size);
    }
    const Eigen::VectorXd gamma = dF.colPivHouseholderQr().solve(f_now);
    std::vector<double> next(f.size());
    Eigen::Map<Eigen::VectorXd>(next.data(), size) = x_now + f_now - (dX + dF) * gamma;
    return next;
  }

  // A liquid layer beside solid ones is unstable first at x = 1; the seed rises towards it.
  bool seed_unstable_layers() {
    constexpr double kMarginal = 1e-6, kSeed = 1e-2;
    const Index k = levels_ - 1;
    std::vector<Index> seeds;
    for (Index l = 1; l <= n_neurons_; ++l) {
      const double left = q(l - 1, k), right = q(l + 1, k);
      const double growth = model_.load * liquid_.slope * liquid_.slope * (left * left + right * right);
      if (!solid(l) && growth > 1.0 + kMarginal) seeds.push_back(l);
    }
    for (const Index l : seeds) {
      for (Index i = 0; i <= k; ++i) {
        u_[static_cast<std::size_t>(neuron_at(l, i))] =
            kSeed * static_cast<double>(i + 1) / static_cast<double>(k + 1);
      }
    }
    for (const Index l : seeds) {
      for (const Index b : {l - 1, l}) {
        for (Index i = 0; i <= k; ++i) {
          const double A = model_.load * q(b, i) * q(b + 1, i) * liquid_.slope;
          double& u = u_[static_cast<std::size_t>(bond_at(b, i))];
          u = std::max(u, std::log1p(std::min(A, 1.0)));
        }
      }
    }
    bury();
    return !seeds.empty();
  }

  void finish(HierarchicalSolution& s) {
    const Index L = model_.depth, k = levels_ - 1;
    evaluate();
    s.residual = residual();
    for (Index l = 0; l <= L; ++l) {
      for (Index i = 0; i <= k; ++i) {
        s.q.push_back(q(l, i));
        s.q_complement.push_back(q_complement(l, i));
      }
    }
    for (Index b = 0; b < L; ++b) {
      for (Index i = 0; i <= k; ++i) {
        s.Q.push_back(Q(b, i));
        s.Q_complement.push_back(Q_complement(b, i));
      }
    }
    s.converged = s.converged && s.residual <= options_.tolerance;
    s.min_gap = smallest_gap();
    s.free_entropy = free_entropy();
    s.replicon = replicon();
  }

  // Between neighbouring levels of a solid layer; NaN where all is liquid.
  double smallest_gap() const {
    double gap = std::numeric_limits<double>::quiet_NaN();
    for (Index l = 1; l <= n_neurons_; ++l) {
      for (Index i = 1; i < levels_; ++i) {
        if (q(l, i) > 0.0) gap = std::fmin(gap, q(l, i) - q(l, i - 1));
      }
    }
    return gap;
  }

  // The innermost replicon, at the point last evaluated: the map of the last level.
  double replicon() {
    const Index L = model_.depth, k = levels_ - 1;
    LayerMap map(L);
    map.load = model_.load;
    for (Index l = 0; l <= L; ++l) {
      const auto j = static_cast<std::size_t>(l);
      map.q[j] = q(l, k);
      map.spin_response[j] = is_data(l) ? 0.0 : neuron_term(l).replicon;
    }
    for (Index b = 0; b < L; ++b) {
      const auto j = static_cast<std::size_t>(b);
      map.Q[j] = Q(b, k);
      map.g[j] = bond_term(b).slope_square.back();
      map.wall_response[j] = bond_term(b).replicon;
      map.bond_response[j] = Q_complement(b, k) * Q_complement(b, k);
    }
    Pentadiagonal matrix(2 * L - 1);
    return map.spectral_radius(matrix);
  }

  // s per N M; at the saddle point only.
  double free_entropy() {
    const Index L = model_.depth, k = levels_ - 1;
    double s = 0.0;
    for (Index b = 0; b < L; ++b) {
      // (1/n) ln det Q = ln Lam_k + sum_i (1/m_i) ln(Lam_{i-1}/Lam_i) + Q_0/Lam_0
      double lambda = Q_complement(b, k), ln_det = std::log(lambda);
      for (Index i = k; i >= 1; --i) {
        const double step = m_[static_cast<std::size_t>(i - 1)] * (Q(b, i) - Q(b, i - 1));
        ln_det += std::log1p(step / lambda) / m_[static_cast<std::size_t>(i - 1)];
        lambda += step;
      }
      s += (ln_det + Q(b, 0) / lambda) / (2.0 * model_.load) + bond_term(b).value;
    }
    for (Index l = 1; l < L; ++l) {
      const Term& term = neuron_term(l);
      s += term.value - 0.5 * term.level.back();
      for (Index i = 0; i <= k; ++i) {
        const double left = i == 0 ? 0.0 : m_[static_cast<std::size_t>(i - 1)];
        const double right = i == k ? 1.0 : m_[static_cast<std::size_t>(i)];
        s += 0.5 * (right - left) * term.level[static_cast<std::size_t>(i)] * q(l, i);
      }
    }
    return s;
  }

  DeepPerceptron model_;
  SolverOptions options_;
  int threads_;
  StopToken stop_;
  std::vector<double> m_;
  Index levels_, n_bonds_, n_neurons_;
  std::vector<Term> terms_;
  FieldMoments liquid_{};
  std::vector<double> u_, image_;
};

}  // namespace deepglass::parisi
