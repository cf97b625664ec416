// Several chains of one network on one data set, and the sweep: what all kinds of neurons and bonds share.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "deepglass/mc/random_streams.hpp"
#include "deepglass/parallel.hpp"

namespace deepglass::mc {

// Sizes, the graph and the data; the same for all chains.
struct Problem {
  std::vector<Index> widths;  // N_0 .. N_L
  Index n_patterns = 0;
  bool binary = false;
  std::vector<std::vector<std::int32_t>> inputs;  // of layer l in [l]: (N_l, c), or empty where all are
  std::vector<std::int8_t> data_inputs;           // (n_patterns, N_0)
  std::vector<std::int8_t> data_outputs;          // (n_patterns, N_L)

  Index depth() const { return static_cast<Index>(widths.size()) - 1; }
  Index width(Index layer) const { return widths[static_cast<std::size_t>(layer)]; }
  const std::vector<std::int32_t>& graph(Index layer) const {
    return inputs[static_cast<std::size_t>(layer)];
  }
  bool dense(Index layer) const { return graph(layer).empty(); }
  Index n_inputs(Index layer) const {
    return dense(layer) ? width(layer - 1) : static_cast<Index>(graph(layer).size()) / width(layer);
  }

  // Trial gaps of a pass.
  double bond_updates() const {
    double sum = 0;
    for (Index l = 1; l <= depth(); ++l)
      sum += static_cast<double>(width(l) * n_inputs(l)) * static_cast<double>(n_patterns);
    return binary ? sum : sum / 2;
  }
  double spin_updates() const {
    double sum = 0;
    for (Index l = 1; l < depth(); ++l)
      sum += static_cast<double>(width(l) * width(l + 1)) * static_cast<double>(n_patterns);
    return sum;
  }
};

// How a chain moves.
struct Schedule {
  double beta = 1;
  std::vector<double> step;  // of layers 1 .. L: angles of rotations are uniform in (-step, step)
  Index bond_passes = 1, spin_passes = 1;  // in a sweep
  // A bond pass is a sweep of pair rotations or flips; for trajectory_steps > 0 it is a trajectory of so many
  // steps of this length (soft potential, spherical bonds, finite beta).
  Index trajectory_steps = 0;
  double trajectory_step = 0;
};

// 1 / beta, at most 1e30: infinity times zero is not to arise.
inline float temperature_of(double beta) {
  return beta > 0 ? static_cast<float>(std::min(1 / beta, 1e30)) : 1e30f;
}

struct Accepted {
  std::vector<Index> bonds, spins;  // of layers 0 .. L
};

// One configuration: spins (n_patterns, N_l) of layers 0 .. L, bonds (N_l, N_{l-1}) of layers 1 .. L.
class Chain {
 public:
  virtual ~Chain() = default;
  virtual void bond_pass(const Schedule&, std::uint64_t sweep, Index pass, int threads, Accepted&) = 0;
  virtual void spin_pass(const Schedule&, std::uint64_t sweep, Index pass, int threads, Accepted&) = 0;
  virtual void energy(Span<double> per_layer) const = 0;
  virtual double rebuild() = 0;  // fields anew from bonds and spins; gives the largest change

  virtual void set_spins(Index layer, const std::int8_t* spins) = 0;
  virtual void get_spins(Index layer, std::int8_t* spins) const = 0;
  virtual void set_bonds(Index layer, const double* bonds) = 0;
  virtual void get_bonds(Index layer, double* bonds) const = 0;
  // What a continuation to the last bit needs beside the spins: bonds and gaps as they are kept.
  virtual std::vector<Span<unsigned char>> memory() = 0;
};

// The order in which the inputs of the perceptrons of a layer are moved: pairs of a random matching for
// rotations (an odd one is left out), one after the other for flips.  The perceptrons of a dense layer share
// it: given it, their moves are independent, and each is left with its own law.
struct MoveOrder {
  Index n = 0;
  std::vector<std::int32_t> first, second;

  void draw(const Words& words, Span<std::int32_t> order, bool flips) {
    const Index size = order.size();
    n = flips ? size : size / 2;
    first.resize(static_cast<std::size_t>(n));
    second.resize(static_cast<std::size_t>(n));
    random_order(words, order);
    for (Index q = 0; q < n; ++q) {
      first[static_cast<std::size_t>(q)] = order[flips ? q : 2 * q];
      second[static_cast<std::size_t>(q)] = order[flips ? q : 2 * q + 1];
    }
  }
};

constexpr std::uint64_t kFreshFieldsEvery = 100;  // sweeps, counted from the first
constexpr double kLargestDrift = 1e-3;            // of a field between two of them

// A sweep: the bond passes, then the spin passes; fields are computed anew at fixed sweeps.
inline void sweep_chain(Chain& chain, const Schedule& schedule, std::uint64_t sweep, int threads,
                        Accepted& accepted, double& drift) {
  for (Index pass = 0; pass < schedule.bond_passes; ++pass) {
    chain.bond_pass(schedule, sweep, pass, threads, accepted);
  }
  for (Index pass = 0; pass < schedule.spin_passes; ++pass) {
    chain.spin_pass(schedule, sweep, pass, threads, accepted);
  }
  if ((sweep + 1) % kFreshFieldsEvery == 0) drift = std::max(drift, chain.rebuild());
}

}  // namespace deepglass::mc
