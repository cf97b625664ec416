// The slaved (feed-forward) perceptron network: Monte Carlo of its bonds.
//
// Layers l = 0..L of N_l neurons, M patterns; inputs S[0] and wanted outputs are data.  The hidden spins
// follow the bonds, S[l] = sgn(J[l] S[l-1]) with sgn(0) = +1 (hard potential: H. Yoshino, SciPost Phys. Core
// 2, 005 (2020), arXiv:2302.07419).  Energy: E = number of wrong output bits; weight prior(J) exp(-beta E),
// where the prior is uniform on spheres, sum_k J_k^2 = N_{l-1} for each perceptron, or on J_k = +-1.
//
// One attempt: a perceptron (l, i), chosen in proportion to its number of inputs, turns a pair of its bonds
// by an angle uniform in (-step, step), or flips one bond if they are binary.  Both are symmetric, and the
// move is accepted if E_new <= E - ln(u) / beta, u drawn before it.  A sweep is sum_l N_l N_{l-1} / 2
// attempts, rounded down (binary: sum_l N_l N_{l-1}).
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "deepglass/core.hpp"
#include "deepglass/rng.hpp"

namespace deepglass::mc {

// Moves of chain c take the stream kSlavedStream + c: those below are free for bonds and data.
constexpr std::uint64_t kSlavedStream = std::uint64_t{1} << 62;

// ---- What chains share

struct SlavedProblem {
  // inputs (M, N_0), outputs (M, N_L), all +-1
  SlavedProblem(std::vector<Index> widths_, Index patterns, bool binary_, std::vector<std::int8_t> in,
                std::vector<std::int8_t> out)
      : widths(std::move(widths_)),
        n_patterns(patterns),
        binary(binary_),
        inputs(std::move(in)),
        outputs(std::move(out)) {
    first_bond.push_back(0);
    for (std::size_t l = 1; l < widths.size(); ++l)
      first_bond.push_back(first_bond.back() + static_cast<std::uint64_t>(widths[l] * widths[l - 1]));
  }

  int depth() const { return static_cast<int>(widths.size()) - 1; }
  std::uint64_t n_bonds() const { return first_bond.back(); }
  std::uint64_t attempts_per_sweep() const {
    return binary ? n_bonds() : std::max<std::uint64_t>(1, n_bonds() / 2);
  }

  std::vector<Index> widths;  // (L + 1,)
  Index n_patterns;           // M
  bool binary;
  std::vector<std::int8_t> inputs, outputs;
  std::vector<std::uint64_t> first_bond;  // (L + 1,) number of bonds before those of layer l + 1
};

// ---- Random moves

namespace detail {

// cos and sin of |x| <= pi to 1e-10, by Taylor's series: the same bits at every CPU level.
inline void cosine_sine(double x, double& cosine, double& sine) {
  constexpr double kInverse[22] = {1.0,
                                   1.0,
                                   1.0 / 2,
                                   1.0 / 6,
                                   1.0 / 24,
                                   1.0 / 120,
                                   1.0 / 720,
                                   1.0 / 5040,
                                   1.0 / 40320,
                                   1.0 / 362880,
                                   1.0 / 3628800,
                                   1.0 / 39916800,
                                   1.0 / 479001600,
                                   1.0 / 6227020800,
                                   1.0 / 87178291200,
                                   1.0 / 1307674368000,
                                   1.0 / 20922789888000,
                                   1.0 / 355687428096000,
                                   1.0 / 6402373705728000,
                                   1.0 / 121645100408832000,
                                   1.0 / 2432902008176640000,
                                   1.0 / 51090942171709440000.0};
  const double z = -(x * x);
  double c = kInverse[20], s = kInverse[21];
  for (int k = 18; k >= 0; k -= 2) {
    c = c * z + kInverse[k];
    s = s * z + kInverse[k + 1];
  }
  cosine = c;
  sine = s * x;
}

constexpr double kAnyEnergy = 0x1p62;

struct Move {
  int layer;     // l - 1
  Index neuron;  // i
  Index a, b;    // inputs; b of a rotation only
  float cosine, sine;
  std::int64_t allowance;  // the energy may grow by so much
};

// The moves of one chain: number n of all times is made of block n of its stream.
class Moves {
 public:
  static constexpr int kBatch = deepglass::detail::kTile;

  Moves(const SlavedProblem& problem, std::uint64_t seed, std::uint64_t stream, double beta,
        Span<const double> step)
      : widths_(problem.widths),
        first_bond_(problem.first_bond),
        seed_(seed),
        stream_(stream),
        beta_(beta),
        step_(step) {}

  const Move& operator()(std::uint64_t number) {
    if (number - first_ >= kBatch) make(number);
    return moves_[number - first_];
  }

 private:
  void make(std::uint64_t number) {
    deepglass::detail::Tile tile;
    deepglass::detail::philox_tile(seed_, stream_, number, tile);
    first_ = number;
    double angle[kBatch], cosine[kBatch], sine[kBatch], cost[kBatch];
    const auto below = [](std::uint64_t word, std::uint64_t n) { return (word & 0xFFFFFFFF) * n >> 32; };
    const std::size_t depth = widths_.size() - 1;
    for (int t = 0; t < kBatch; ++t) {
      Move& move = moves_[t];
      const std::uint64_t bond = below(tile.word[0][t], first_bond_.back());
      std::size_t layer = 0;
      for (std::size_t l = 1; l < depth; ++l) layer += bond >= first_bond_[l];
      const auto n = static_cast<std::uint32_t>(widths_[layer]);
      const auto within = static_cast<std::uint32_t>(bond - first_bond_[layer]);
      move.layer = static_cast<int>(layer);
      move.neuron = within / n;
      move.a = within % n;
      move.b = static_cast<Index>(below(tile.word[1][t], n - 1));
      move.b += move.b >= move.a;
      // (2k + 1 - 2^32) 2^-32, k a word: symmetric about zero, and never zero
      const double fraction =
          static_cast<double>(2 * static_cast<std::int64_t>(tile.word[2][t] & 0xFFFFFFFF) + 1 -
                              (std::int64_t{1} << 32)) *
          0x1p-32;
      angle[t] = step_.size() > 0 ? step_[static_cast<Index>(layer)] * fraction : 0.0;
    }
    for (int t = 0; t < kBatch; ++t) {
      cosine_sine(angle[t], cosine[t], sine[t]);
      cost[t] = deepglass::detail::minus_log_unit(
          static_cast<double>(static_cast<std::int64_t>((tile.word[3][t] & 0xFFFFFFFF) + 1)) * 0x1p-32);
    }
    for (int t = 0; t < kBatch; ++t) {
      moves_[t].cosine = static_cast<float>(cosine[t]);
      moves_[t].sine = static_cast<float>(sine[t]);
      // beta = 0 by itself: 0 / 0.  Infinite beta: 0.
      const double gain = beta_ == 0 ? kAnyEnergy : std::min(cost[t] / beta_, kAnyEnergy);
      moves_[t].allowance = static_cast<std::int64_t>(gain);
    }
  }

  const std::vector<Index>& widths_;
  const std::vector<std::uint64_t>& first_bond_;
  std::uint64_t seed_, stream_;
  double beta_;
  Span<const double> step_;
  std::uint64_t first_ = std::uint64_t{0} - kBatch;  // no number is in [first, first + batch) of its own
  std::array<Move, kBatch> moves_;
};

}  // namespace detail

}  // namespace deepglass::mc
