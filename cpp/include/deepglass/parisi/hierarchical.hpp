// Solution of the k-step equations (hierarchical_equations.hpp) by following the flow du/dt = T(u) - u.
//
// The flow is what plain iteration does; it starts near the liquid, or near a neighbouring solution, and ends
// on the branch that is continuous with it.  A continuous order-parameter function is marginally stable, so
// that plain iteration creeps; therefore implicit steps, u += (1/tau + 1 - J)^-1 (T(u) - u), whose time tau
// grows as the residual falls: Newton's method in the end, but stable solutions only, as long as
//     - no step makes two levels cross or a level negative: then tau is cut.  The sign of a gap is what tells
//       an unstable solution (levels that have met, where the flow would part them) from the one wanted;
//     - at the end the spectral radius of J is not above one; else the flow is started again along that
//       direction.
#pragma once

#include <Eigen/LU>
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "deepglass/core.hpp"
#include "deepglass/parisi/hierarchical_equations.hpp"

namespace deepglass::parisi {

// Where to start: complements to one, levels fastest, (L+1, k+1) and (L, k+1).  Empty: the liquid.
struct HierarchicalStart {
  Span<const double> q_complement, Q_complement;
};

struct HierarchicalSolution {
  // Levels run fastest: (L+1, k+1) and (L, k+1).
  std::vector<double> q, q_complement, Q, Q_complement;
  double free_entropy = std::numeric_limits<double>::quiet_NaN();  // per N M
  std::vector<double> breakpoint_slope;                            // ds/dm_i, i = 1..k
  double replicon = std::numeric_limits<double>::quiet_NaN();      // innermost; > 1 is unstable
  double stability = std::numeric_limits<double>::quiet_NaN();     // spectral radius of dT/du
  double residual = std::numeric_limits<double>::infinity();       // see HierarchicalSolver::residual
  double min_gap = std::numeric_limits<double>::quiet_NaN();       // between levels of a solid layer
  Index iterations = 0;                                            // sweeps, those of the Jacobians included
  std::vector<double> history;                                     // residuals of the steps
  bool converged = false;
  bool jammed = false;  // the bonds ran away to Q = 1: no volume is left
};

class HierarchicalSolver {
 public:
  HierarchicalSolver(const DeepPerceptron& model, Span<const double> breakpoints,
                     const SolverOptions& options, int threads, const StopToken& stop = {})
      : x_(model, breakpoints), options_(options), threads_(threads), stop_(stop) {}

  HierarchicalSolution solve(const HierarchicalStart& start = {}) {
    HierarchicalSolution s;
    if (start.q_complement.size() > 0) set(start);
    seed_unstable_layers();
    try {
      for (int attempt = 0;; ++attempt) {
        s.converged = relax(s);
        while (s.converged && seed_unstable_layers()) s.converged = relax(s);
        if (!s.converged || !unstable(s) || attempt == kAttempts) break;
        leave();
      }
    } catch (const NumericalError&) {
      // Deficits below, or fields above what the recursion can do: at a hard wall this is jamming.
      if (x_.model().wall_width > 0.0 || s.history.empty()) throw;
      s.converged = false;
      s.jammed = true;
      x_.u = last_;
    }
    finish(s);
    return s;
  }

 private:
  static constexpr int kAttempts = 6;
  static constexpr double kDead = 1e-9;

  static double& at(std::vector<double>& v, Index i) { return v[static_cast<std::size_t>(i)]; }
  static double at(const std::vector<double>& v, Index i) { return v[static_cast<std::size_t>(i)]; }

  void set(const HierarchicalStart& start) {
    x_.set(start.q_complement, start.Q_complement);
    const Index n = x_.levels();
    // Levels that are zero would stay so: a small one dies again where it must.
    constexpr double kSeed = 1e-4;
    for (Index block = 0; block < x_.blocks(); ++block) {
      if (at(x_.u, block * n + n - 1) == 0.0) continue;
      for (Index i = 0; i < n; ++i) {
        double& u = at(x_.u, block * n + i);
        u = std::max(u, std::min(kSeed, at(x_.u, block * n + n - 1)) * static_cast<double>(i + 1) /
                            static_cast<double>(n));
      }
    }
    bury();
  }

  // Bonds next to the smallest deficit that the recursion can do; or all solutions in one and the same point.
  bool runaway() const {
    constexpr double kInnermost = 27.6, kOutermost = 18.0;  // -ln(1e-12), -ln(1.5e-8)
    if (x_.model().wall_width > 0.0) return false;
    for (Index b = 0; 2 * b < x_.model().depth; ++b) {
      if (at(x_.u, x_.bond_at(b, x_.levels() - 1)) > kInnermost || at(x_.u, x_.bond_at(b, 0)) > kOutermost) {
        return true;
      }
    }
    return false;
  }

  void evaluate(HierarchicalSolution& s) {
    TimedStop(stop_).check();
    x_.evaluate(threads_, stop_);
    last_ = x_.u;
    ++s.iterations;
    s.residual = residual();
    s.history.push_back(s.residual);
  }

  // Largest change of a neuron overlap, and relative change of 1 - Q.
  double residual() const {
    double r = 0.0;
    const Index n = x_.levels(), bonds = (x_.blocks() - x_.n_neurons()) * n;
    for (Index i = 0; i < static_cast<Index>(x_.u.size()); ++i) {
      const double u = at(x_.u, i), v = at(x_.image, i);
      r = std::max(r, i < bonds ? std::abs(std::expm1(u - v)) : std::abs(std::exp(-v) - std::exp(-u)));
    }
    return r;
  }

  // One plain step; half of it where `mix` is 1/2.
  void plain_step(double mix) {
    for (std::size_t i = 0; i < x_.u.size(); ++i) x_.u[i] += mix * (x_.image[i] - x_.u[i]);
    bury();
  }

  // Levels that die out are set to zero.
  void bury() {
    for (double& u : x_.u) {
      if (u < kDead) u = 0.0;
    }
    for (Index b = 0; 2 * b < x_.model().depth; ++b) {
      for (Index i = 0; i < x_.levels(); ++i) {
        if (x_.q(b, i) == 0.0 || x_.q(b + 1, i) == 0.0) at(x_.u, x_.bond_at(b, i)) = 0.0;
      }
    }
  }

  // The most by which a level lies below the next outer one, or below zero.
  double disorder(const std::vector<double>& u) const {
    const Index n = x_.levels();
    double worst = 0.0;
    for (Index block = 0; block < x_.blocks(); ++block) {
      for (Index i = 0; i < n; ++i) {
        const double gap = at(u, block * n + i) - (i > 0 ? at(u, block * n + i - 1) : 0.0);
        if (!(gap >= -worst)) worst = std::isnan(gap) ? std::numeric_limits<double>::infinity() : -gap;
      }
    }
    return worst;
  }
  // The largest change of an unknown.
  double longest(const std::vector<double>& u, const std::vector<Index>& unknowns) const {
    double most = 0.0;
    for (const Index i : unknowns) most = std::max(most, std::abs(at(u, i) - at(x_.u, i)));
    return most;
  }
  void put_in_order(std::vector<double>& u) const {
    const Index n = x_.levels();
    for (Index block = 0; block < x_.blocks(); ++block) {
      for (Index i = 0; i < n; ++i) {
        double& v = at(u, block * n + i);
        v = std::max(v, i > 0 ? at(u, block * n + i - 1) : 0.0);
      }
    }
  }

  bool relax(HierarchicalSolution& s) {
    constexpr Index kPlain = 28, kChord = 12;
    constexpr double kFirstTime = 30.0, kShortest = 1.0, kLongest = 1e9;
    constexpr double kSeen = 1e-7;     // a gap that is next to nothing may vanish
    constexpr double kFarthest = 3.0;  // a factor 20 in 1 - q
    double tau = kFirstTime;
    Index plain = kPlain;
    while (s.iterations < options_.max_iter) {
      for (Index step = 1;; ++step) {
        evaluate(s);
        if (s.residual <= options_.tolerance) return true;
        if (s.iterations >= options_.max_iter) return false;
        if (step > plain) break;
        const std::vector<double> u = x_.u;
        plain_step(step % 7 == 0 ? 0.5 : 1.0);
        if (runaway()) {
          s.jammed = true;
          x_.u = u;
          return false;
        }
      }
      plain = 7;
      // Implicit steps with one Jacobian, as long as they pay.
      const HierarchicalEquations::Jacobian J = x_.jacobian(threads_, stop_);
      s.iterations += x_.levels();
      const auto [unknowns, others] = split();
      for (Index chord = 0; chord < kChord && tau >= kShortest;) {
        const std::vector<double> u = x_.u, image = x_.image;
        const double before = s.residual;
        std::vector<double> next = implicit_step(J, unknowns, others, tau);
        if (disorder(next) > kSeen || longest(next, unknowns) > kFarthest) {
          tau *= 0.2;
          continue;
        }
        put_in_order(next);
        x_.u = std::move(next);
        bury();
        evaluate(s);
        ++chord;
        if (s.residual <= options_.tolerance) return true;
        if (!(s.residual < 2.0 * before)) {
          x_.u = u;
          x_.image = image;
          s.residual = before;
          tau *= 0.2;
          continue;
        }
        tau = std::min(kLongest, tau * std::min(30.0, std::max(2.0, before / s.residual)));
        if (s.residual > 0.5 * before || s.iterations >= options_.max_iter) break;
      }
      if (tau < kShortest) {
        tau = kFirstTime;
        plain = kPlain;
      } else {
        plain = 0;
      }
    }
    return false;
  }

  // The unknowns of the implicit step, and what follows plainly: frozen levels.
  std::pair<std::vector<Index>, std::vector<Index>> split() const {
    std::vector<Index> unknowns, others;
    for (Index i = 0; i < static_cast<Index>(x_.u.size()); ++i) {
      if (at(x_.u, i) == 0.0) continue;
      // bury() and the seeds keep bonds beside a liquid layer at zero, so that every unknown is in a solid
      // block
      (at(x_.u, i) >= kFrozen || at(x_.image, i) >= kFrozen ? others : unknowns).push_back(i);
    }
    return {unknowns, others};
  }

  // Of dT/du, what belongs to the unknowns.
  Eigen::MatrixXd among(const HierarchicalEquations::Jacobian& J, const std::vector<Index>& unknowns) const {
    const auto n = static_cast<Index>(unknowns.size());
    const auto place = [&](Index i) { return at(J.place, i / x_.levels()) + i % x_.levels(); };
    Eigen::MatrixXd matrix(n, n);
    for (Index c = 0; c < n; ++c) {
      for (Index r = 0; r < n; ++r) matrix(r, c) = J.matrix(place(at(unknowns, r)), place(at(unknowns, c)));
    }
    return matrix;
  }

  std::vector<double> implicit_step(const HierarchicalEquations::Jacobian& J,
                                    const std::vector<Index>& unknowns, const std::vector<Index>& others,
                                    double tau) const {
    const auto n = static_cast<Index>(unknowns.size());
    Eigen::MatrixXd matrix = -among(J, unknowns);
    Eigen::VectorXd f(n);
    for (Index c = 0; c < n; ++c) {
      const Index i = at(unknowns, c);
      f(c) = at(x_.image, i) - at(x_.u, i);
      matrix(c, c) += 1.0 + 1.0 / tau;
    }
    const Eigen::VectorXd step = matrix.partialPivLu().solve(f);
    std::vector<double> next = x_.u;
    for (Index c = 0; c < n; ++c) at(next, at(unknowns, c)) += step(c);
    for (const Index i : others) at(next, i) = at(x_.image, i);
    return next;
  }
  static Index at(const std::vector<Index>& v, Index i) { return v[static_cast<std::size_t>(i)]; }

  // A liquid layer beside solid ones is unstable first at x = 1; the seed rises towards it.
  bool seed_unstable_layers() {
    constexpr double kMarginal = 1e-6, kSeed = 1e-2;
    const Index n = x_.levels();
    std::vector<Index> seeds;
    for (Index l = 1; l <= x_.n_neurons(); ++l) {
      const bool may = options_.solid_layers < 0 || l <= options_.solid_layers;
      if (may && !x_.solid(l) && x_.liquid_growth(l) > 1.0 + kMarginal) seeds.push_back(l);
    }
    for (const Index l : seeds) {
      for (Index i = 0; i < n; ++i) {
        at(x_.u, x_.neuron_at(l, i)) = kSeed * static_cast<double>(i + 1) / static_cast<double>(n);
      }
    }
    for (const Index l : seeds) {
      for (const Index b : {l - 1, l}) {
        for (Index i = 0; i < n; ++i) {
          const double A = x_.model().load * x_.q(b, i) * x_.q(b + 1, i) * x_.liquid_slope();
          double& u = at(x_.u, x_.bond_at(b, i));
          u = std::max(u, std::log1p(std::min(A, 1.0)));
        }
      }
    }
    bury();
    return !seeds.empty();
  }

  // Whether the spectral radius of dT/du at the solution is above one; keeps its eigenvector.
  bool unstable(HierarchicalSolution& s) {
    constexpr double kUnstable = 1.0 + 1e-3;
    unknowns_ = split().first;
    const auto n = static_cast<Index>(unknowns_.size());
    s.stability = 0.0;
    if (n == 0) return false;
    const Eigen::MatrixXd J = among(x_.jacobian(threads_, stop_), unknowns_);
    s.iterations += x_.levels();
    // Power iteration on 1 + J: modes near -1 (the two-cycle) do not count.
    direction_.resize(n);
    for (Index i = 0; i < n; ++i) direction_(i) = 1.0 + 0.37 * static_cast<double>((i * 7919) % 101) / 101.0;
    direction_.normalize();
    for (int iter = 0; iter < 400; ++iter) {
      const Eigen::VectorXd w = direction_ + J * direction_;
      s.stability = w.norm() - 1.0;
      direction_ = w / w.norm();
    }
    return s.stability > kUnstable;
  }

  // A step along that eigenvector, to the side where fewer levels cross.
  void leave() {
    constexpr double kStep = 1e-3;
    std::vector<double> up = x_.u, down = x_.u;
    for (Index c = 0; c < direction_.size(); ++c) {
      at(up, at(unknowns_, c)) += kStep * direction_(c);
      at(down, at(unknowns_, c)) -= kStep * direction_(c);
    }
    x_.u = disorder(up) <= disorder(down) ? std::move(up) : std::move(down);
    put_in_order(x_.u);
  }

  void finish(HierarchicalSolution& s) {
    const Index L = x_.model().depth, n = x_.levels();
    x_.evaluate(threads_, stop_);
    s.residual = residual();
    for (Index l = 0; l <= L; ++l) {
      for (Index i = 0; i < n; ++i) {
        s.q.push_back(x_.q(l, i));
        s.q_complement.push_back(x_.q_complement(l, i));
      }
    }
    for (Index b = 0; b < L; ++b) {
      for (Index i = 0; i < n; ++i) {
        s.Q.push_back(x_.Q(b, i));
        s.Q_complement.push_back(x_.Q_complement(b, i));
      }
    }
    s.converged = s.converged && s.residual <= options_.tolerance;
    s.min_gap = smallest_gap();
    s.free_entropy = x_.free_entropy(s.breakpoint_slope);
    s.replicon = x_.replicon();
    s.converged = s.converged && std::isfinite(s.free_entropy) && std::isfinite(s.replicon);
  }

  // Between neighbouring levels of a solid layer that are neither 0 nor frozen; NaN where there are none.
  double smallest_gap() const {
    double gap = std::numeric_limits<double>::quiet_NaN();
    for (Index l = 1; l <= x_.n_neurons(); ++l) {
      for (Index i = 1; i < x_.levels(); ++i) {
        if (x_.q(l, i) > 0.0 && !x_.frozen(l, i)) gap = std::fmin(gap, x_.q(l, i) - x_.q(l, i - 1));
      }
    }
    return gap;
  }

  HierarchicalEquations x_;
  std::vector<double> last_;     // the last point evaluated
  std::vector<Index> unknowns_;  // of the last stability test,
  Eigen::VectorXd direction_;    // and its eigenvector
  SolverOptions options_;
  int threads_;
  StopToken stop_;
};

}  // namespace deepglass::parisi
