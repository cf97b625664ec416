// The deep perceptron network in the hierarchical (Parisi) ansatz: saddle-point equations and their solution.
//
// Layers l = 0..L of neurons S = +-1 and L layers of spherical bonds J; random data fix l = 0 and l = L.
// Overlaps between replicas: q_i(l) of the neurons, Q_i(l) of the bonds, level i = 0..k (k = 0: replica
// symmetric).  alpha = patterns / width.  Each layer is one Gaussian-field term (gaussian_field.hpp):
//     walls    lambda_i(l) = q_i(l-1) Q_i(l) q_i(l)            ->  g_i(l) = E f'^2
//     bonds    A_i(l) = alpha q_i(l-1) q_i(l) g_i(l)           ->  Q_i(l), from -(Q^-1)_i = A_i
//     neurons  eps_i(l) = q_i(l-1) Q_i(l) g_i(l) + Q_i(l+1) q_i(l+1) g_i(l+1)   ->  q_i(l) = E f'^2
// H. Yoshino, SciPost Phys. Core 2, 005 (2020), in the form of the review in Butsuri (2021).
//
// With n = 0 the data are random; with n = 1 one replica is the teacher (Bayes-optimal, Nishimori line).
//
// The map x -> T(x) of these equations is monotone: see layer_map.hpp for what follows from that.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "deepglass/core.hpp"
#include "deepglass/parallel.hpp"
#include "deepglass/parisi/gaussian_field.hpp"
#include "deepglass/parisi/layer_map.hpp"

namespace deepglass::parisi {

struct DeepPerceptron {
  Index depth;       // L >= 2, weight layers
  double load;       // alpha > 0
  int replicas = 0;  // n: 0 random data, 1 planted teacher
  double wall_width = 0.0;
  double wall_shift = 0.0;
};

// Overlaps and their complements to one, each kept to full relative precision.
struct Overlaps {
  std::vector<double> q, q_complement;  // (L+1)
  std::vector<double> Q, Q_complement;  // (L), bond layer l at index l-1

  explicit Overlaps(Index depth, double value = 0.0)
      : q(static_cast<std::size_t>(depth + 1), value),
        q_complement(q.size(), 1.0 - value),
        Q(static_cast<std::size_t>(depth), value),
        Q_complement(Q.size(), 1.0 - value) {
    q.front() = q.back() = 1.0;
    q_complement.front() = q_complement.back() = 0.0;
  }
  Index depth() const { return static_cast<Index>(Q.size()); }
  bool solid(Index layer) const { return q[static_cast<std::size_t>(layer)] > 0.0; }
};

struct Solution {
  explicit Solution(const Overlaps& start) : overlaps(start) {}
  Overlaps overlaps;
  double free_entropy = std::numeric_limits<double>::quiet_NaN();  // per N M
  double replicon = std::numeric_limits<double>::quiet_NaN();      // eigenvalue; > 1 is unstable
  double residual = std::numeric_limits<double>::infinity();       // of the last iteration, see residual()
  Index iterations = 0;                                            // evaluations of T
  std::vector<double> history;                                     // residuals of the plain steps
  bool converged = false;
  bool jammed = false;  // random data: the bonds ran away to Q = 1, no volume is left
};

struct SolverOptions {
  double tolerance = 1e-13;
  Index max_iter = 20000;
  Index solid_layers = -1;  // at most this many layers from each end may order; -1: all
  double seed_overlap = 1e-4;
};

class DeepPerceptronSolver {
 public:
  DeepPerceptronSolver(const DeepPerceptron& model, const SolverOptions& options, const StopToken& stop = {})
      : model_(model),
        options_(options),
        stop_(stop),
        wall_(static_cast<std::size_t>(model.depth)),
        spin_(static_cast<std::size_t>(model.depth + 1)),
        field_(spin_.size()),
        image_(model.depth),
        map_(model.depth),
        matrix_(2 * model.depth - 1),
        step_(static_cast<std::size_t>(2 * model.depth - 1)),
        residual_(step_.size()),
        trial_residual_(step_.size()) {
    liquid_slope_ = wall(0.0, 1.0).slope;
  }

  // The branch reached from `start` (with all overlaps zero: the wetting branch, layer after layer).
  // A liquid layer that cannot stay liquid beside its neighbours is seeded, and the search goes on.
  Solution solve(const Overlaps& start) {
    Solution s(start);
    Overlaps& x = s.overlaps;
    s.converged = relax(s);
    while (s.converged && seed_unstable_layers(x)) s.converged = relax(s);
    evaluate(x);
    s.residual = residual(x);
    s.free_entropy = free_entropy(x);
    s.replicon = layer_map(x, Map::replicon).spectral_radius(matrix_);
    s.jammed = runaway(x);
    return s;
  }

  // alpha (q(l-1)^2 + q(l+1)^2) g(0)^2: a liquid layer orders when this exceeds one.
  double liquid_growth(const Overlaps& x, Index layer) const {
    const double left = at(x.q, layer - 1), right = at(x.q, layer + 1);
    return model_.load * liquid_slope_ * liquid_slope_ * (left * left + right * right);
  }

 private:
  static constexpr double kRunaway = 1e-14;
  static constexpr double kDead = 1e-9;
  // The overlap of a layer just beyond its transition is about the excess of its growth: below this it would
  // be dead.
  static constexpr double kMarginal = 1e-7;

  static double at(const std::vector<double>& v, Index i) { return v[static_cast<std::size_t>(i)]; }
  static double& at(std::vector<double>& v, Index i) { return v[static_cast<std::size_t>(i)]; }
  const FieldMoments& wall_at(Index bond) const { return wall_[static_cast<std::size_t>(bond)]; }
  const FieldMoments& spin_at(Index layer) const { return spin_[static_cast<std::size_t>(layer)]; }

  FieldMoments wall(double variance, double complement) const {
    return wall_field(variance, complement, model_.replicas, model_.wall_width, model_.wall_shift);
  }

  // The RS bond equation  A = Q / ((1-Q)(1+(n-1)Q)), solved without cancellation; and dQ/dA.
  struct Bond {
    double Q, complement, response;
  };
  Bond bond(double A) const {
    if (model_.replicas == 1) {
      const double c = 1.0 / (1.0 + A);
      return {A * c, c, c * c};
    }
    const double c = 2.0 / (1.0 + std::sqrt(1.0 + 4.0 * A));
    const double Q = A * c * c;
    return {Q, c, c * c * c / (1.0 + Q)};
  }

  // Field moments at x and the image T(x).
  void evaluate(const Overlaps& x) {
    const Index L = model_.depth;
    for (Index b = 0; b < L; ++b) {
      const double left = at(x.q, b), right = at(x.q, b + 1);
      const double variance = left * at(x.Q, b) * right;
      const double u = at(x.q_complement, b), v = at(x.Q_complement, b), w = at(x.q_complement, b + 1);
      wall_[static_cast<std::size_t>(b)] = wall(variance, u + v + w - u * v - v * w - w * u + u * v * w);
      const Bond image = bond(model_.load * left * right * wall_at(b).slope);
      at(image_.Q, b) = image.Q;
      at(image_.Q_complement, b) = image.complement;
    }
    for (Index l = 1; l < L; ++l) {
      at(field_, l) = at(x.q, l - 1) * at(x.Q, l - 1) * wall_at(l - 1).slope +
                      at(x.Q, l) * at(x.q, l + 1) * wall_at(l).slope;
      const FieldMoments m = ising_field(at(field_, l), model_.replicas);
      spin_[static_cast<std::size_t>(l)] = m;
      at(image_.q, l) = m.slope;
      at(image_.q_complement, l) = m.complement;
    }
  }

  // Largest change of 1 - q, and relative change of 1 - Q: where Q runs away to one only the ratio tells.
  double residual(const Overlaps& x) const {
    double r = 0.0;
    for (std::size_t i = 0; i < x.Q.size(); ++i) {
      r = std::max(r, std::abs(image_.Q_complement[i] / x.Q_complement[i] - 1.0));
    }
    for (std::size_t i = 0; i < x.q.size(); ++i) {
      r = std::max(r, std::abs(image_.q_complement[i] - x.q_complement[i]));
    }
    return r;
  }

  // The derivative of T at the point last evaluated; the replicon's map has the same form with other
  // responses.
  enum class Map { longitudinal, replicon };
  const LayerMap& layer_map(const Overlaps& x, Map map) {
    const Index L = model_.depth;
    map_.load = model_.load;
    map_.q = x.q;
    map_.Q = x.Q;
    for (Index b = 0; b < L; ++b) {
      const FieldMoments& m = wall_at(b);
      at(map_.g, b) = m.slope;
      at(map_.wall_response, b) = map == Map::replicon ? m.curvature : m.response;
      const Bond image = bond(model_.load * at(x.q, b) * at(x.q, b + 1) * m.slope);
      at(map_.bond_response, b) = map == Map::replicon ? image.complement * image.complement : image.response;
    }
    for (Index l = 1; l < L; ++l) {
      at(map_.spin_response, l) = map == Map::replicon ? spin_at(l).curvature : spin_at(l).response;
    }
    return map_;
  }

  // Follows x towards the solution it leads to, with the solid layers fixed; true if it ends on a stable one.
  // The step is that of Newton; where the map still expands (spectral radius rho > 1, close to a point of
  // marginal stability) it is that of the implicit flow dx/dt = T(x) - x, which follows the slow mode upwards
  // where Newton would turn round.  Solutions with the front on neighbouring layers can lie close together
  // and the first one is looked for, so a step must land where the linear prediction says, or it is halved.
  bool newton(Overlaps& x, Index& iterations) {
    constexpr Index kMaxSteps = 400;
    constexpr double kMaxExcess = 0.25, kTrust = 0.2, kSmall = 1e-3, kAgreement = 0.25, kShortest = 1e-9;
    constexpr double kSettled = 1e-7, kRounding = 1e-15;
    Overlaps trial = x;
    double last_fraction = 1.0, excess = 0.0;
    evaluate(x);
    ++iterations;
    for (Index step = 0; step < kMaxSteps && iterations < options_.max_iter; ++step) {
      TimedStop(stop_).check();
      const double r = residual(x);
      difference(x, residual_);
      const LayerMap& map = layer_map(x, Map::longitudinal);
      map.fill(matrix_, 1.0, false);
      // The smallest of the shifts 1, 1 + excess, 1 + 4 excess, ... that is above rho.
      double shift = 1.0;
      excess = std::max(excess / 16.0, 1e-12);
      while (!matrix_.factorise()) {
        shift = 1.0 + excess;
        if (excess > kMaxExcess) return false;
        map.fill(matrix_, shift, false);
        excess *= 4.0;
      }
      step_ = residual_;
      matrix_.solve(step_);
      if (shift == 1.0 && r <= options_.tolerance && (largest(step_) <= kSettled || r <= kRounding)) {
        return true;
      }
      double fraction = std::min(1.0, 4.0 * last_fraction);
      for_each_unknown(x, [&](Index i, double& value, double&) {
        const double size = std::abs(at(step_, i));
        if (value > kSmall && size > kTrust * value) fraction = std::min(fraction, kTrust * value / size);
      });
      const double norm = largest(residual_);
      for (;; fraction *= 0.5) {
        if (fraction < kShortest || iterations >= options_.max_iter) return false;
        trial = x;
        for_each_unknown(trial, [&](Index i, double& value, double& complement) {
          if (value == 0.0) return;
          const double dx = std::clamp(fraction * at(step_, i), -0.75 * value, 0.75 * complement);
          value += dx;
          complement -= dx;
        });
        evaluate(trial);
        ++iterations;
        difference(trial, trial_residual_);
        // r - (I - J) d with (shift I - J) d = fraction r
        double error = 0.0;
        for (std::size_t i = 0; i < step_.size(); ++i) {
          const double predicted = (1.0 - fraction) * residual_[i] + (shift - 1.0) * fraction * step_[i];
          error = std::max(error, std::abs(trial_residual_[i] - predicted));
        }
        if (error <= kAgreement * norm || norm <= 100.0 * options_.tolerance) break;
      }
      x = trial;
      last_fraction = fraction;
    }
    return false;
  }

  static double largest(const std::vector<double>& v) {
    double most = 0.0;
    for (const double value : v) most = std::max(most, std::abs(value));
    return most;
  }

  // T(x) - x for the unknowns in the order of the matrix, at the point last evaluated.
  void difference(Overlaps& x, std::vector<double>& out) {
    for_each_unknown(x, [&](Index i, double&, double& complement) { at(out, i) = complement; });
    for_each_unknown(image_, [&](Index i, double&, double& complement) { at(out, i) -= complement; });
  }

  // function(row, overlap, complement) for the unknowns in the order of the matrix.
  template <class Function>
  static void for_each_unknown(Overlaps& x, Function&& function) {
    for (Index row = 0; row < 2 * x.depth() - 1; ++row) {
      const Index i = (row + 1) / 2;
      if (row % 2 == 0) {
        function(row, at(x.Q, i), at(x.Q_complement, i));
      } else {
        function(row, at(x.q, i), at(x.q_complement, i));
      }
    }
  }

  static double smallest_bond_deficit(const Overlaps& x) {
    return *std::min_element(x.Q_complement.begin(), x.Q_complement.end());
  }

  bool runaway(const Overlaps& x) const {
    return model_.replicas == 0 && smallest_bond_deficit(x) < kRunaway;
  }

  // Overlaps that die out are set to zero: such a layer is liquid, and is seeded again if it cannot stay so.
  // True if anything was changed.
  bool bury(Overlaps& x) const {
    const auto clear = [](double& overlap, double& complement) {
      const bool alive = overlap > 0.0;
      overlap = 0.0;
      complement = 1.0;
      return alive;
    };
    const Index L = model_.depth;
    bool changed = false;
    for (Index l = 1; l < L; ++l) {
      if (at(x.q, l) < kDead) changed |= clear(at(x.q, l), at(x.q_complement, l));
    }
    for (Index b = 0; b < L; ++b) {
      if (!x.solid(b) || !x.solid(b + 1)) changed |= clear(at(x.Q, b), at(x.Q_complement, b));
    }
    return changed;
  }

  // Plain steps x <- T(x), every 7th with mixing 1/2 (neurons and bonds updated together form two chains that
  // can lock into a two-cycle), and Newton's method from every 8th on.
  bool relax(Solution& s) {
    Overlaps& x = s.overlaps;
    for (Index step = 1; s.iterations < options_.max_iter && !runaway(x); ++step) {
      TimedStop(stop_).check();
      evaluate(x);
      ++s.iterations;
      s.history.push_back(residual(x));
      if (step % 8 == 0 || s.history.back() <= options_.tolerance) {
        if (newton(x, s.iterations) && !bury(x)) return true;
        evaluate(x);
      }
      const double mix = step % 7 == 0 ? 0.5 : 1.0;
      approach(x.Q, image_.Q, mix);
      approach(x.Q_complement, image_.Q_complement, mix);
      approach(x.q, image_.q, mix);
      approach(x.q_complement, image_.q_complement, mix);
      bury(x);
    }
    return false;
  }

  static void approach(std::vector<double>& x, const std::vector<double>& image, double mix) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = mix * image[i] + (1.0 - mix) * x[i];
  }

  bool seed_unstable_layers(Overlaps& x) const {
    const Index L = model_.depth;
    const Index limit = options_.solid_layers < 0 ? L : options_.solid_layers;
    std::vector<Index> seeds;
    for (Index l = 1; l < L; ++l) {
      if (!x.solid(l) && std::min(l, L - l) <= limit && liquid_growth(x, l) > 1.0 + kMarginal)
        seeds.push_back(l);
    }
    for (const Index l : seeds) {
      at(x.q, l) = options_.seed_overlap;
      at(x.q_complement, l) = 1.0 - options_.seed_overlap;
    }
    for (const Index l : seeds) {
      for (const Index b : {l - 1, l}) {
        const Bond seed = bond(model_.load * at(x.q, b) * at(x.q, b + 1) * liquid_slope_);
        at(x.Q, b) = seed.Q;
        at(x.Q_complement, b) = seed.complement;
      }
    }
    return !seeds.empty();
  }

  // s per N M at the point last evaluated.
  double free_entropy(const Overlaps& x) const {
    const Index L = model_.depth;
    double s = 0.0;
    for (Index b = 0; b < L; ++b) {
      const double Q = at(x.Q, b), c = at(x.Q_complement, b);
      s += (std::log(c) + Q / (model_.replicas == 1 ? 1.0 : c)) / (2.0 * model_.load) + wall_at(b).value;
    }
    for (Index l = 1; l < L; ++l) s += spin_at(l).value;
    return s;
  }

  DeepPerceptron model_;
  SolverOptions options_;
  StopToken stop_;
  std::vector<FieldMoments> wall_, spin_;
  std::vector<double> field_;
  Overlaps image_;
  LayerMap map_;
  Pentadiagonal matrix_;
  std::vector<double> step_, residual_, trial_residual_;
  double liquid_slope_ = 0.0;
};

struct TransitionLoad {
  double load;
  double error;  // half the last bracket
  double jump;   // of the growth across it: zero up to rounding where the transition is continuous
};

// Loads at which layers first..last (counted from each end) leave the liquid as the load grows: the growth of
// layer l reaches one on the branch where exactly the layers below l are solid.
inline std::vector<TransitionLoad> transition_loads(const DeepPerceptron& model, Index first, Index last,
                                                    const SolverOptions& options,
                                                    const StopToken& stop = {}) {
  constexpr double kMaxLoad = 1e15, kPrecision = 1e-13, kJumpPrecision = 1e-10, kStep = 1.5;
  constexpr int kMaxIter = 200;
  std::vector<TransitionLoad> transitions;
  Overlaps below(
      model.depth);  // solution at the lower end of the bracket: the next start, approached upwards
  double low = 0.0;
  for (Index layer = first; layer <= last; ++layer) {
    SolverOptions restricted = options;
    restricted.solid_layers = layer - 1;
    const auto growth = [&](double load, Overlaps& x) {
      DeepPerceptron at_load = model;
      at_load.load = load;
      DeepPerceptronSolver solver(at_load, restricted, stop);
      Solution s = solver.solve(below);
      if (!s.converged) {
        throw NumericalError("no solution with " + std::to_string(layer - 1) + " solid layers at load " +
                             std::to_string(load) +
                             (s.jammed ? ": the overlaps run away to 1 (jamming)" : ": not converged"));
      }
      x = s.overlaps;
      return solver.liquid_growth(x, layer);
    };
    double growth_low = 0.0, high = std::max(1.0, kStep * low), growth_high = 0.0;
    Overlaps x(model.depth);
    while ((growth_high = growth(high, x)) < 1.0) {
      low = high;
      growth_low = growth_high;
      below = x;
      high *= kStep;
      if (high > kMaxLoad) {
        throw NumericalError("layer " + std::to_string(layer) + " stays liquid up to load " +
                             std::to_string(low));
      }
    }
    // Regula falsi on growth - 1 (Illinois), falling back to bisection where it stalls.
    double f_low = growth_low - 1.0, f_high = growth_high - 1.0;
    for (int iter = 0; iter < kMaxIter && growth_high > 1.0; ++iter) {
      const bool jumps = growth_high - growth_low > 1e-3;
      if (high - low <= (jumps ? kJumpPrecision : kPrecision) * high) break;
      double middle = (f_high * low - f_low * high) / (f_high - f_low);
      if (iter % 4 == 3 || !(middle > low && middle < high)) middle = 0.5 * (low + high);
      const double value = growth(middle, x);
      if (value < 1.0) {
        low = middle;
        growth_low = value;
        below = x;
        f_low = value - 1.0;
        f_high *= 0.5;
      } else {
        high = middle;
        growth_high = value;
        f_high = value - 1.0;
        f_low *= 0.5;
      }
    }
    const bool exact = growth_high == 1.0;
    transitions.push_back({exact ? high : 0.5 * (low + high), exact ? kPrecision * high : 0.5 * (high - low),
                           exact ? 0.0 : growth_high - growth_low});
    low = high;
  }
  return transitions;
}

}  // namespace deepglass::parisi
