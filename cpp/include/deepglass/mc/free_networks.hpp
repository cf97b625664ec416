// Networks with free hidden neurons: chains of one problem, run side by side.
#pragma once

#include "deepglass/mc/float_chain.hpp"
#include "deepglass/mc/integer_chain.hpp"
#include "deepglass/mc/network.hpp"

namespace deepglass::mc {

enum class Potential { kSoft, kCount };

inline std::unique_ptr<Chain> make_chain(const Problem& problem, Potential potential, std::uint64_t seed,
                                         Index number) {
  if (potential == Potential::kSoft) return std::make_unique<FloatChain<Soft>>(problem, seed, number);
  const Index widest = *std::max_element(problem.widths.begin(), problem.widths.end());
  if (!problem.binary || widest > kMostNeurons)
    return std::make_unique<FloatChain<Count>>(problem, seed, number);
  return std::make_unique<IntegerChain>(problem, seed, number);
}

// What was measured at each of n_draws times.
struct Record {
  Span<double> energy;        // (n_chains, n_draws, depth)
  Span<double> bonds, spins;  // (n_chains, n_draws, depth + 1): accepted since the last time
  Span<double> drift;         // (n_chains,): largest change of a field when it was computed anew
};

class FreeNetworks {
 public:
  FreeNetworks(Problem problem, Potential potential, Index n_chains, std::uint64_t seed, Index first_chain)
      : problem_(std::make_unique<Problem>(std::move(problem))), potential_(potential) {
    for (Index c = 0; c < n_chains; ++c)
      chains_.push_back(make_chain(*problem_, potential, seed, first_chain + c));
  }

  const Problem& problem() const { return *problem_; }
  Potential potential() const { return potential_; }
  Index n_chains() const { return static_cast<Index>(chains_.size()); }
  Chain& chain(Index c) { return *chains_[static_cast<std::size_t>(c)]; }

  std::uint64_t sweep() const { return sweep_; }
  void set_sweep(std::uint64_t sweep) { sweep_ = sweep; }

  // n_draws times `every` sweeps.  With at least as many chains as threads, a thread takes whole chains;
  // otherwise the threads share each sweep.
  void run(Index n_draws, Index every, const std::vector<Schedule>& schedules, int threads,
           const Record& record) {
    const Index depth = problem_->depth(), n_threads = thread_count(threads);
    const bool by_chain = n_chains() >= n_threads;
    std::vector<double> drift(chains_.size(), 0.0);
    const auto advance = [&](Index c) {
      Accepted accepted;
      for (Index d = 0; d < n_draws; ++d) {
        accepted.bonds.assign(static_cast<std::size_t>(depth + 1), 0);
        accepted.spins.assign(static_cast<std::size_t>(depth + 1), 0);
        for (Index s = 0; s < every; ++s) {
          sweep_chain(chain(c), schedules[static_cast<std::size_t>(c)],
                      sweep_ + static_cast<std::uint64_t>(d * every + s), by_chain ? 1 : threads, accepted,
                      drift[static_cast<std::size_t>(c)]);
        }
        const Index at = c * n_draws + d;
        chain(c).energy(record.energy.subspan(at * depth, depth));
        for (Index l = 0; l <= depth; ++l) {
          record.bonds[at * (depth + 1) + l] =
              static_cast<double>(accepted.bonds[static_cast<std::size_t>(l)]);
          record.spins[at * (depth + 1) + l] =
              static_cast<double>(accepted.spins[static_cast<std::size_t>(l)]);
        }
      }
    };
    if (by_chain) {
      const double sweep_work = 0.1 * (problem_->bond_updates() + problem_->spin_updates());  // ns, at least
      parallel_for_uneven(n_chains(),
                          {threads, sweep_work * static_cast<double>(n_chains() * n_draws * every)}, advance);
    } else {
      for (Index c = 0; c < n_chains(); ++c) advance(c);
    }
    sweep_ += static_cast<std::uint64_t>(n_draws * every);
    for (Index c = 0; c < n_chains(); ++c) record.drift[c] = drift[static_cast<std::size_t>(c)];
  }

 private:
  std::unique_ptr<Problem> problem_;  // its place is known to the chains
  Potential potential_;
  std::vector<std::unique_ptr<Chain>> chains_;
  std::uint64_t sweep_ = 0;
};

}  // namespace deepglass::mc
