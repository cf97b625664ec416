// Chains of slaved networks on the same data, run side by side.
#pragma once

#include <memory>

#include "deepglass/mc/slaved_binary.hpp"
#include "deepglass/mc/slaved_spherical.hpp"
#include "deepglass/parallel.hpp"

namespace deepglass::mc {

template <class Chain>
class SlavedNetworks {
 public:
  using Problem = typename Chain::Problem;

  SlavedNetworks(Problem problem, Index n_chains, std::uint64_t seed, std::uint64_t first_chain)
      : problem_(std::make_unique<const Problem>(std::move(problem))) {
    for (Index c = 0; c < n_chains; ++c) {
      chains_.emplace_back(*problem_, seed, first_chain + static_cast<std::uint64_t>(c));
    }
  }

  const Problem& problem() const { return *problem_; }
  std::vector<Chain>& chains() { return chains_; }
  const std::vector<Chain>& chains() const { return chains_; }
  std::uint64_t sweep() const { return sweep_; }
  void set_sweep(std::uint64_t sweep) { sweep_ = sweep; }

  // beta (n_chains,), step (L,).  Runs in rounds of about 20 ms, all chains the same sweeps; a stop is
  // answered between rounds.  Sweeps too long for that are left in the middle: then all go back to the last
  // one done.
  void run(std::uint64_t n_sweeps, Span<const double> beta, Span<const double> step, bool early_stop,
           int threads, const StopToken& stop) {
    const auto n_chains = static_cast<Index>(chains_.size());
    const int n_threads = static_cast<int>(std::min<Index>(thread_count(threads), n_chains));
    const double sweep_work = static_cast<double>(problem_->attempts_per_sweep()) * attempt_nanoseconds();
    const double all_once = sweep_work * static_cast<double>((n_chains + n_threads - 1) / n_threads);
    constexpr double kRound = 2e7;
    const bool divisible = all_once > kRound;
    const auto in_round = static_cast<std::uint64_t>(std::max(1.0, kRound / all_once));
    while (n_sweeps > 0) {
      stop.check();
      const std::uint64_t count = std::min(n_sweeps, in_round);
      const Team team{threads, sweep_work * static_cast<double>(count) * static_cast<double>(n_chains)};
      const auto body = [&](Index c) {
        TimedStop inside(stop);
        chains_[static_cast<std::size_t>(c)].run(sweep_, count, beta[c], step, early_stop,
                                                 divisible ? &inside : nullptr);
      };
      if (divisible) {
        const std::vector<Chain> before = chains_;
        try {
          parallel_for_uneven(n_chains, team, body, stop);
        } catch (const Stopped&) {
          chains_ = before;
          throw;
        }
      } else {
        parallel_for_uneven(n_chains, team, body);
      }
      sweep_ += count;
      n_sweeps -= count;
    }
  }

 private:
  double attempt_nanoseconds() const {  // a guess
    return 50 + static_cast<double>(problem_->n_patterns) * (0.3 + 0.2 * problem_->depth());
  }

  std::unique_ptr<const Problem> problem_;
  std::vector<Chain> chains_;
  std::uint64_t sweep_ = 0;
};

}  // namespace deepglass::mc
