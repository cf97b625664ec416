// The deep perceptron network with k steps of replica symmetry breaking: the equations at the head of
// deep_perceptron.hpp at every level i = 0..k of breakpoints 0 = m_0 < m_1 < .. < m_k <= 1, for random data.
//
// The levels of one layer are coupled by its recursion (recursion.hpp) and by the bonds' saddle point
//     -(Q^-1)_i = A_i,    beta_{i-1} = beta_i - m_i (A_i - A_{i-1}),    Q_0 = A_0/beta_0^2,
//     Q_i = Q_{i-1} + (A_i - A_{i-1})/(beta_{i-1} beta_i),              1 - Q_k = 1/beta_k,
// where the last line fixes beta_k.  The layers are taken symmetric under l -> L - l, which halves the work.
//
// Unknowns are u = -ln(1 - q) and -ln(1 - Q), which keep 1 - q where it is small.
//
// A spin freezes from level j on when m_j^2 (eps_j - eps_{j-1}) is large: all q_i, i >= j, are 1 up to
// exp(-m_j^2 (eps_j - eps_{j-1})/2).  Then f_j(h) = (1/m_j) ln 2cosh(m_j h), up to a constant that cancels
// eps_j .. eps_k, and in units of h/m_j the rest is a spin term again: increments m_j^2 d_i, breakpoints
// m_i/m_j, F = F'/m_j, the same g_i.
#pragma once

#include <Eigen/Core>
#include <Eigen/LU>
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "deepglass/core.hpp"
#include "deepglass/parallel.hpp"
#include "deepglass/parisi/deep_perceptron.hpp"
#include "deepglass/parisi/layer_map.hpp"
#include "deepglass/parisi/recursion.hpp"

namespace deepglass::parisi {

// u of a frozen overlap: 1 to the accuracy of the recursion, exp(-25) = 1e-11.
constexpr double kFrozen = 25.0;
constexpr double kLargestU = 700.0;

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

// dA_i/dQ_j at fixed diagonal: A_0 = Q_0/Lam_0^2, A_i - A_{i-1} = (Q_i - Q_{i-1})/(Lam_{i-1} Lam_i),
// Lam_k = 1 - Q_k, Lam_{i-1} = Lam_i + m_i (Q_i - Q_{i-1}).
inline Eigen::MatrixXd spherical_jacobian(Span<const double> complement, Span<const double> breakpoints) {
  const Index k = breakpoints.size(), n = k + 1;
  std::vector<double> lambda(static_cast<std::size_t>(n)), step(lambda.size());
  const auto at = [](std::vector<double>& v, Index i) -> double& { return v[static_cast<std::size_t>(i)]; };
  at(lambda, k) = complement[k];
  for (Index i = k; i >= 1; --i) {
    at(step, i) = complement[i - 1] - complement[i];
    at(lambda, i - 1) = at(lambda, i) + breakpoints[i - 1] * at(step, i);
  }
  at(step, 0) = 1.0 - complement[0];
  // First with respect to the increments of Q, all of which lower Lam_k.
  Eigen::MatrixXd J = Eigen::MatrixXd::Zero(n, n);
  for (Index j = 0; j < n; ++j) {
    const auto lambda_slope = [&](Index i) { return (j > i ? breakpoints[j - 1] : 0.0) - 1.0; };
    double sum = 0.0;
    for (Index i = 0; i < n; ++i) {
      const double inner = at(lambda, i), outer = i == 0 ? inner : at(lambda, i - 1);
      const double weight = 1.0 / (inner * outer);
      const double relative = lambda_slope(i) / inner + lambda_slope(i == 0 ? 0 : i - 1) / outer;
      sum += ((i == j ? 1.0 : 0.0) - at(step, i) * relative) * weight;
      J(i, j) = sum;
    }
  }
  for (Index j = 0; j + 1 < n; ++j) J.col(j) -= J.col(j + 1);
  return J;
}

class HierarchicalEquations {
 public:
  HierarchicalEquations(const DeepPerceptron& model, Span<const double> breakpoints)
      : model_(model),
        m_(breakpoints.begin(), breakpoints.end()),
        levels_(breakpoints.size() + 1),
        n_bonds_((model.depth + 1) / 2),
        n_neurons_(model.depth / 2),
        terms_(static_cast<std::size_t>(n_bonds_ + n_neurons_)) {
    for (Term& term : terms_) term.resize(levels_);
    liquid_ = wall_field(0.0, 1.0, 0, model.wall_width, model.wall_shift);
    const auto size = static_cast<std::size_t>((n_bonds_ + n_neurons_) * levels_);
    u.assign(size, 0.0);
    image.assign(size, 0.0);
  }

  std::vector<double> u, image;  // the point and T(point), (n_bonds + n_neurons, levels)

  Index levels() const { return levels_; }
  Index blocks() const { return n_bonds_ + n_neurons_; }
  Index n_neurons() const { return n_neurons_; }
  const DeepPerceptron& model() const { return model_; }

  // u from complements to one, levels fastest, (L+1, k+1) and (L, k+1), of which one half is read.
  void set(Span<const double> q_complement, Span<const double> Q_complement) {
    const auto u_of = [](double complement) {
      return std::min(kLargestU, std::max(0.0, -std::log(std::max(complement, 1e-300))));
    };
    for (Index i = 0; i < levels_; ++i) {
      for (Index b = 0; b < n_bonds_; ++b) at(u, bond_at(b, i)) = u_of(Q_complement[b * levels_ + i]);
      for (Index l = 1; l <= n_neurons_; ++l) at(u, neuron_at(l, i)) = u_of(q_complement[l * levels_ + i]);
    }
  }

  // Bonds b = 0..L-1 and neurons l = 0..L, by their mirror image.
  Index bond_block(Index b) const { return std::min(b, model_.depth - 1 - b); }
  Index neuron_block(Index l) const { return n_bonds_ + std::min(l, model_.depth - l) - 1; }
  Index bond_at(Index b, Index i) const { return bond_block(b) * levels_ + i; }
  Index neuron_at(Index l, Index i) const { return neuron_block(l) * levels_ + i; }
  bool is_data(Index l) const { return l == 0 || l == model_.depth; }

  double Q(Index b, Index i) const { return -std::expm1(-at(u, bond_at(b, i))); }
  double Q_complement(Index b, Index i) const { return std::exp(-at(u, bond_at(b, i))); }
  double q(Index l, Index i) const { return is_data(l) ? 1.0 : -std::expm1(-at(u, neuron_at(l, i))); }
  double q_complement(Index l, Index i) const { return is_data(l) ? 0.0 : std::exp(-at(u, neuron_at(l, i))); }
  bool solid(Index l) const { return is_data(l) || at(u, neuron_at(l, levels_ - 1)) > 0.0; }
  bool frozen(Index l, Index i) const { return is_data(l) || at(u, neuron_at(l, i)) >= kFrozen; }

  // alpha g(0)^2 (q(l-1)^2 + q(l+1)^2) at the innermost level: a liquid layer orders when it exceeds one.
  double liquid_growth(Index l) const {
    const double left = q(l - 1, levels_ - 1), right = q(l + 1, levels_ - 1);
    return model_.load * liquid_.slope * liquid_.slope * (left * left + right * right);
  }
  double liquid_slope() const { return liquid_.slope; }

  // Nanoseconds of one sweep, roughly.
  double work() const {
    Index solid_layers = 0;
    for (Index l = 1; l <= n_neurons_; ++l) solid_layers += solid(l);
    return 8e3 * static_cast<double>(levels_ * (2 * solid_layers + 1));
  }

  // image = T(u).
  void evaluate(int threads, const StopToken& stop) {
    const Index k = levels_ - 1;
    // Two regions: not worth while below a millisecond each, least of all on a busy machine.
    const Team team{work() > 2e6 ? threads : 1, 0.5 * work()};
    parallel_for_uneven(
        n_bonds_, team,
        [&](Index b) {
          Term& term = bond_term(b);
          const Index first = bond_at(b, 0);
          if (!solid(b) || !solid(b + 1)) {
            std::fill(term.slope_square.begin(), term.slope_square.end(), liquid_.slope);
            std::fill(term.breakpoint_slope.begin(), term.breakpoint_slope.end(), 0.0);
            term.value = liquid_.value;
            term.replicon = liquid_.curvature;
            std::fill_n(image.begin() + first, levels_, 0.0);
            return;
          }
          set_wall(b, term);
          run_wall(term);
          std::vector<double>& A = term.level;  // A_i, which must not fall
          for (Index i = 0; i <= k; ++i) {
            at(A, i) = std::max(i > 0 ? at(A, i - 1) : 0.0,
                                model_.load * q(b, i) * q(b + 1, i) * at(term.slope_square, i));
          }
          const double complement = spherical_overlaps(A, m_, term.scratch);
          store(term.scratch, complement, k, first);
        },
        stop);
    parallel_for_uneven(
        n_neurons_, team,
        [&](Index n) {
          const Index l = n + 1, first = neuron_at(l, 0);
          Term& term = neuron_term(l);
          if (!solid(l)) {
            term.value = std::log(2.0);
            term.replicon = 1.0;
            std::fill(term.level.begin(), term.level.end(), 0.0);
            std::fill(term.breakpoint_slope.begin(), term.breakpoint_slope.end(), 0.0);
            std::fill_n(image.begin() + first, levels_, 0.0);
            return;
          }
          for (Index i = 0; i <= k; ++i) {
            at(term.level, i) = q(l - 1, i) * Q(l - 1, i) * at(bond_term(l - 1).slope_square, i) +
                                Q(l, i) * q(l + 1, i) * at(bond_term(l).slope_square, i);
          }
          for (Index i = 1; i <= k; ++i) {
            at(term.level, i) = std::max(at(term.level, i), at(term.level, i - 1));
          }
          run_spin(term, first);
        },
        stop);
  }

  // dT/du by differences of the terms, at the point of the last evaluate(), and everything else exactly.  Of
  // solid blocks only, one after the other: row and column of u_[block * levels + i] are place[block] + i.
  struct Jacobian {
    Eigen::MatrixXd matrix;
    std::vector<Index> place;  // (blocks,), -1 for a liquid one
  };
  Jacobian jacobian(int threads, const StopToken& stop) {
    const Index k = levels_ - 1, n = levels_;
    Jacobian result;
    Index size = 0;
    for (Index block = 0; block < blocks(); ++block) {
      const bool there = block < n_bonds_ ? solid(block) && solid(block + 1) : solid(block - n_bonds_ + 1);
      result.place.push_back(there ? size : -1);
      if (there) size += n;
    }
    Eigen::MatrixXd& J = result.matrix;
    J = Eigen::MatrixXd::Zero(size, size);
    std::vector<Eigen::MatrixXd> response(terms_.size());
    parallel_for_uneven(
        blocks(), Team{threads, static_cast<double>(n) * work()},
        [&](Index block) {
          const auto j = static_cast<std::size_t>(block);
          if (result.place[j] < 0) return;
          response[j] = block < n_bonds_ ? wall_response(block) : spin_response(block - n_bonds_ + 1);
        },
        stop);
    using Vector = Eigen::VectorXd;
    const auto levels_of = [&](const auto& f) {
      Vector v(n);
      for (Index i = 0; i <= k; ++i) v(i) = f(i);
      return v;
    };
    const auto fill = [&](Index row_block, Index column_block, const Eigen::MatrixXd& value) {
      const Index row = result.place[static_cast<std::size_t>(row_block)];
      const Index column = result.place[static_cast<std::size_t>(column_block)];
      if (row >= 0 && column >= 0) J.block(row, column, n, n) += value;
    };
    // dg(b) with respect to u of the left neuron, the bond and the right one; and then dA and deps.
    for (Index b = 0; b < model_.depth; ++b) {
      const Eigen::MatrixXd& G = response[static_cast<std::size_t>(bond_block(b))];
      const bool there = G.size() > 0;
      const Vector g = levels_of([&](Index i) { return at(bond_term(b).slope_square, i); });
      const Vector x = levels_of([&](Index i) { return q(b, i); });
      const Vector y = levels_of([&](Index i) { return Q(b, i); });
      const Vector z = levels_of([&](Index i) { return q(b + 1, i); });
      const Vector dx = levels_of([&](Index i) { return q_complement(b, i); });
      const Vector dy = levels_of([&](Index i) { return Q_complement(b, i); });
      const Vector dz = levels_of([&](Index i) { return q_complement(b + 1, i); });
      const auto diagonal = [](const Vector& v) { return Eigen::MatrixXd(v.asDiagonal()); };
      const auto walls = [&](const Vector& prefactor, const Vector& direction) -> Eigen::MatrixXd {
        if (!there) return Eigen::MatrixXd::Zero(n, n);
        return prefactor.asDiagonal() * G * direction.asDiagonal();
      };
      const Vector lx = y.cwiseProduct(z).cwiseProduct(dx), ly = x.cwiseProduct(z).cwiseProduct(dy);
      const Vector lz = x.cwiseProduct(y).cwiseProduct(dz);
      if (there && b <= bond_block(b)) {
        std::vector<double> c(static_cast<std::size_t>(n));
        for (Index i = 0; i <= k; ++i) at(c, i) = std::exp(-at(image, bond_at(b, i)));
        Eigen::MatrixXd inverse = spherical_jacobian(c, m_).partialPivLu().inverse();
        for (Index i = 0; i <= k; ++i) inverse.row(i) *= model_.load / at(c, i);
        const Vector xz = x.cwiseProduct(z);
        fill(bond_block(b), bond_block(b), inverse * walls(xz, ly));
        if (!is_data(b)) {
          fill(bond_block(b), neuron_block(b),
               inverse * (walls(xz, lx) + diagonal(z.cwiseProduct(g).cwiseProduct(dx))));
        }
        if (!is_data(b + 1)) {
          fill(bond_block(b), neuron_block(b + 1),
               inverse * (walls(xz, lz) + diagonal(x.cwiseProduct(g).cwiseProduct(dz))));
        }
      }
      // eps(near) += far Q g
      for (const Index near : {b, b + 1}) {
        if (is_data(near) || near > n_neurons_ || !solid(near)) continue;
        const Index far = near == b ? b + 1 : b;
        const Vector& w = near == b ? z : x;
        const Vector& dw = near == b ? dz : dx;
        const Vector& lw = near == b ? lz : lx;
        const Vector& ln = near == b ? lx : lz;
        const Vector wy = w.cwiseProduct(y);
        const Eigen::MatrixXd& E = response[static_cast<std::size_t>(neuron_block(near))];
        fill(neuron_block(near), neuron_block(near), E * walls(wy, ln));
        fill(neuron_block(near), bond_block(b),
             E * (walls(wy, ly) + diagonal(w.cwiseProduct(g).cwiseProduct(dy))));
        if (!is_data(far)) {
          fill(neuron_block(near), neuron_block(far),
               E * (walls(wy, lw) + diagonal(y.cwiseProduct(g).cwiseProduct(dw))));
        }
      }
    }
    return result;
  }

  // The innermost replicon, at the point last evaluated: the map of the last level.
  double replicon() {
    const Index L = model_.depth, k = levels_ - 1;
    LayerMap map(L);
    map.load = model_.load;
    for (Index l = 0; l <= L; ++l) {
      at(map.q, l) = q(l, k);
      at(map.spin_response, l) = is_data(l) ? 0.0 : neuron_term(l).replicon;
    }
    for (Index b = 0; b < L; ++b) {
      at(map.Q, b) = Q(b, k);
      at(map.g, b) = bond_term(b).slope_square.back();
      at(map.wall_response, b) = bond_term(b).replicon;
      at(map.bond_response, b) = Q_complement(b, k) * Q_complement(b, k);
    }
    Pentadiagonal matrix(2 * L - 1);
    return map.spectral_radius(matrix);
  }

  // s per N M, and ds/dm_i (i = 1..k) at fixed overlaps; at the saddle point only.
  double free_entropy(std::vector<double>& breakpoint_slope) {
    const Index L = model_.depth, k = levels_ - 1;
    breakpoint_slope.assign(static_cast<std::size_t>(k), 0.0);
    std::vector<double> lambda(static_cast<std::size_t>(levels_));
    double s = 0.0;
    for (Index b = 0; b < L; ++b) {
      const Term& term = bond_term(b);
      // (1/n) ln det Q = ln Lam_k + sum_i (1/m_i) ln(Lam_{i-1}/Lam_i) + Q_0/Lam_0
      at(lambda, k) = Q_complement(b, k);
      double ln_det = std::log(at(lambda, k));
      for (Index i = k; i >= 1; --i) {
        const double m = at(m_, i - 1), step = m * (Q_complement(b, i - 1) - Q_complement(b, i));
        ln_det += std::log1p(step / at(lambda, i)) / m;
        at(lambda, i - 1) = at(lambda, i) + step;
      }
      const double outer = Q(b, 0) / at(lambda, 0);
      s += (ln_det + outer) / (2.0 * model_.load) + term.value;
      // Lam_j grows with m_i at the rate Q_i - Q_{i-1} for all j < i.
      double rate = -outer / at(lambda, 0);
      for (Index i = 1; i <= k; ++i) {
        const double m = at(m_, i - 1), step = Q_complement(b, i - 1) - Q_complement(b, i);
        const double ratio = step / at(lambda, i - 1);
        const double slope = (ratio - std::log1p(m * step / at(lambda, i)) / m) / m + step * rate;
        at(breakpoint_slope, i - 1) += slope / (2.0 * model_.load) + at(term.breakpoint_slope, i - 1);
        rate += (1.0 / at(lambda, i - 1) - 1.0 / at(lambda, i)) / m;
      }
    }
    for (Index l = 1; l < L; ++l) {
      const Term& term = neuron_term(l);
      s += term.value;
      for (Index i = 0; i <= k; ++i) {
        const double left = i == 0 ? 0.0 : at(m_, i - 1), right = i == k ? 1.0 : at(m_, i);
        if (i < term.frozen) s += 0.5 * (right - left) * at(term.level, i) * q(l, i);
        if (i > 0 && i < term.frozen) {
          at(breakpoint_slope, i - 1) +=
              0.5 * (at(term.level, i - 1) * q(l, i - 1) - at(term.level, i) * q(l, i));
        } else if (i > 0 && i == term.frozen) {
          at(breakpoint_slope, i - 1) -= 0.5 * at(term.level, i - 1) * q_complement(l, i - 1);
        }
        if (i > 0) at(breakpoint_slope, i - 1) += at(term.breakpoint_slope, i - 1);
      }
    }
    return s;
  }

 private:
  static double& at(std::vector<double>& v, Index i) { return v[static_cast<std::size_t>(i)]; }
  static double at(const std::vector<double>& v, Index i) { return v[static_cast<std::size_t>(i)]; }

  // What one wall or one spin gives, and the room its recursion works in.
  struct Term {
    std::vector<double> level;       // A_i of a bond, eps_i of a spin
    std::vector<double> increments;  // of lambda or eps
    std::vector<double> slope_square, mass, breakpoint_slope, scratch, scaled_breakpoints;
    double deficit = 1.0;  // 1 - lambda_k
    double value = 0.0, replicon = 0.0;
    Index frozen = 0;  // the spin's first frozen level; k+1 where there is none
    Workspace workspace;
    void resize(Index levels) {
      const auto n = static_cast<std::size_t>(levels);
      for (auto* v : {&level, &increments, &slope_square, &mass, &scratch}) v->assign(n, 0.0);
      breakpoint_slope.assign(n - 1, 0.0);
      scaled_breakpoints.assign(n, 0.0);
      frozen = levels;
    }
  };

  Term& bond_term(Index b) { return terms_[static_cast<std::size_t>(bond_block(b))]; }
  Term& neuron_term(Index l) { return terms_[static_cast<std::size_t>(neuron_block(l))]; }

  // Writes u = -ln(1 - overlap) of levels 0..last, from the levels and the complement of the last.
  void store(const std::vector<double>& overlap, double complement, Index last, Index first) {
    complement = std::max(complement, 1e-300);
    for (Index i = last; i >= 0; --i) {
      at(image, first + i) = at(overlap, i) <= 0.5 ? -std::log1p(-at(overlap, i)) : -std::log(complement);
      if (i > 0) complement += at(overlap, i) - at(overlap, i - 1);
    }
  }

  // Increments of lambda_i = q_i(b) Q_i(b) q_i(b+1), from the complements: nothing is lost near one.
  void set_wall(Index b, Term& term) {
    double outer = 1.0;
    for (Index i = 0; i < levels_; ++i) {
      const double x = q_complement(b, i), y = Q_complement(b, i), z = q_complement(b + 1, i);
      const double c = std::min(outer, x + y + z - x * y - y * z - z * x + x * y * z);
      at(term.increments, i) = i == 0 ? q(b, i) * Q(b, i) * q(b + 1, i) : outer - c;
      outer = c;
    }
    term.deficit = outer;
  }

  void run_wall(Term& term) {
    Slopes out;
    out.slope_square = term.slope_square;
    out.mass = term.mass;
    out.breakpoint_slope = term.breakpoint_slope;
    recursion(HardWall{model_.wall_width, model_.wall_shift}, Levels{term.increments, m_, term.deficit, 0.0},
              term.workspace, out);
    term.value = out.value;
    term.replicon = out.replicon;
  }

  // From term.level; writes the images at `first`.
  void run_spin(Term& term, Index first) {
    const Index k = levels_ - 1;
    Index j = 1;
    const auto exponent = [&](Index i) {
      return 0.5 * at(m_, i - 1) * at(m_, i - 1) * (at(term.level, i) - at(term.level, i - 1));
    };
    while (j <= k && exponent(j) <= kFrozen) ++j;
    term.frozen = j;
    // Levels 0..j-1, in units of h/m; m = 1 where nothing is frozen.
    const double m = j <= k ? at(m_, j - 1) : 1.0;
    for (Index i = 0; i < j; ++i) {
      at(term.increments, i) = m * m * (at(term.level, i) - (i > 0 ? at(term.level, i - 1) : 0.0));
      if (i > 0) at(term.scaled_breakpoints, i - 1) = at(m_, i - 1) / m;
    }
    Slopes out;
    out.slope_square = {term.slope_square.data(), j};
    out.mass = {term.mass.data(), j};
    out.breakpoint_slope = {term.breakpoint_slope.data(), j - 1};
    recursion(IsingSpin{},
              Levels{{term.increments.data(), j}, {term.scaled_breakpoints.data(), j - 1}, 1.0, 0.0},
              term.workspace, out);
    for (Index i = 1; i < j; ++i) {
      at(term.slope_square, i) = std::max(at(term.slope_square, i), at(term.slope_square, i - 1));
    }
    term.replicon = j <= k ? 0.0 : out.replicon;
    store(term.slope_square, out.one_minus_last, j - 1, first);
    for (Index i = j; i <= k; ++i) at(image, first + i) = std::min(kLargestU, exponent(j));
    // F - eps_k/2, or what is left of it: F'/m - m eps_{j-1}/2.
    const double last = at(term.level, j - 1);
    term.value = out.value / m - 0.5 * m * last;
    if (j > k) return;
    // dF/dm by the chain rule, with dF'/deps'_i = -(m'_{i+1} - m'_i) g_i/2, and 1/2 more for the last.
    double slope = -out.value / (m * m), eps = 0.0;
    for (Index i = 0; i < j; ++i) {
      const double left = i == 0 ? 0.0 : at(term.scaled_breakpoints, i - 1);
      const double right = i == j - 1 ? 1.0 : at(term.scaled_breakpoints, i);
      eps += at(term.increments, i);
      const double g = -0.5 * (right - left) * at(term.slope_square, i) + (i == j - 1 ? 0.5 : 0.0);
      slope += 2.0 / (m * m) * eps * g;
      if (i > 0) {
        slope -= left / (m * m) * at(term.breakpoint_slope, i - 1);
        at(term.breakpoint_slope, i - 1) /= m * m;
      }
    }
    at(term.breakpoint_slope, j - 1) = slope;
    for (Index i = j + 1; i <= k; ++i) at(term.breakpoint_slope, i - 1) = 0.0;
  }

  // dg_i/dlambda_j.  A direction raises lambda_j and the levels behind it, up to the next gap wide enough to
  // give way; where there is none, up to the last level.
  Eigen::MatrixXd wall_response(Index b) {
    constexpr double kStep = 3e-4, kWide = 1e-4;
    const Index n = levels_;
    Term& term = bond_term(b);
    const Term base = snapshot(term);
    set_wall(b, term);
    const std::vector<double> increments = term.increments;
    const double deficit = term.deficit;
    const double width = model_.wall_width * model_.wall_width;
    Eigen::MatrixXd G(n, n);
    double inner = deficit;  // 1 - lambda_j
    std::vector<Index> gives(static_cast<std::size_t>(n), n);
    for (Index j = n - 1; j >= 0; --j) {
      Index give = n;
      for (Index i = n - 1; i > j; --i) {
        if (at(increments, i) > kWide * (inner + width)) give = i;
      }
      gives[static_cast<std::size_t>(j)] = give;
      const double room = give == n ? deficit : at(increments, give);
      const double step =
          std::min(kStep * (inner + width), give == n ? kStep * (deficit + width) : 0.5 * room);
      term.increments = increments;
      term.deficit = deficit;
      at(term.increments, j) += step;
      if (give == n) {
        term.deficit = std::max(0.0, deficit - step);
      } else {
        at(term.increments, give) -= step;
      }
      run_wall(term);
      for (Index i = 0; i < n; ++i) {
        G(i, j) = (at(term.slope_square, i) - at(base.slope_square, i)) / step;
      }
      inner += at(increments, j);
    }
    for (Index j = 0; j + 1 < n; ++j) {
      if (gives[static_cast<std::size_t>(j)] > j + 1) G.col(j) -= G.col(j + 1);
    }
    restore(term, base);
    return G;
  }

  // d(u of q_i)/deps_j; a direction raises eps_j and all levels behind it.
  Eigen::MatrixXd spin_response(Index l) {
    constexpr double kStep = 3e-4;
    const Index n = levels_, first = neuron_at(l, 0);
    Term& term = neuron_term(l);
    const Term base = snapshot(term);
    const std::vector<double> images(image.begin() + first, image.begin() + first + n);
    Eigen::MatrixXd E = Eigen::MatrixXd::Zero(n, n);
    for (Index j = 0; j < n; ++j) {
      term.level = base.level;
      for (Index i = j; i < n; ++i) at(term.level, i) += kStep;
      run_spin(term, first);
      for (Index i = 0; i < n; ++i) E(i, j) = (at(image, first + i) - at(images, i)) / kStep;
    }
    for (Index j = 0; j + 1 < n; ++j) E.col(j) -= E.col(j + 1);
    std::copy(images.begin(), images.end(), image.begin() + first);
    restore(term, base);
    return E;
  }

  static Term snapshot(const Term& term) {
    Term copy;
    copy.level = term.level;
    copy.slope_square = term.slope_square;
    copy.breakpoint_slope = term.breakpoint_slope;
    copy.value = term.value;
    copy.replicon = term.replicon;
    copy.frozen = term.frozen;
    return copy;
  }
  static void restore(Term& term, const Term& copy) {
    term.level = copy.level;
    term.slope_square = copy.slope_square;
    term.breakpoint_slope = copy.breakpoint_slope;
    term.value = copy.value;
    term.replicon = copy.replicon;
    term.frozen = copy.frozen;
  }

  DeepPerceptron model_;
  std::vector<double> m_;
  Index levels_, n_bonds_, n_neurons_;
  std::vector<Term> terms_;
  FieldMoments liquid_{};
};

}  // namespace deepglass::parisi
