// Which random number is whose: key = seed, counter = (position in the pass, sweep, what for, chain).
//
// A number depends on nothing else, so neither the number of threads nor the blocks of a phase nor an
// interruption matters.
#pragma once

#include <utility>

#include "deepglass/mc/lanes.hpp"
#include "deepglass/rng.hpp"

namespace deepglass::mc {

enum class Purpose { kSpin, kBond, kAngle, kMatching, kTrajectory, kSpinLow };

constexpr Index kMostChains = Index{1} << 24, kMostLayers = (Index{1} << 12) - 1, kMostPasses = 256;

// The numbers of one layer in one pass of one sweep.
class Words {
 public:
  Words(std::uint64_t seed, Index chain, Purpose purpose, Index layer, Index pass, std::uint64_t sweep)
      : seed_(seed),
        stream_(static_cast<std::uint64_t>(chain) | static_cast<std::uint64_t>(layer) << 24 |
                static_cast<std::uint64_t>(purpose) << 36 | static_cast<std::uint64_t>(pass) << 40),
        base_(sweep << 32) {}

  // Numbers 128 t .. 128 t + 127: number 32 k + b of them is word k of block 32 t + b.
  static constexpr int kTile = 4 * deepglass::detail::kTile;
  void tile(Index t, std::int32_t* out) const {  // aligned to a cache line
    deepglass::detail::Tile tile;
    const std::uint64_t first = static_cast<std::uint64_t>(t) * deepglass::detail::kTile;
    deepglass::detail::philox_tile(seed_, stream_, base_ + first, tile);
    const std::uint64_t* const words = tile.word[0];
    for (int f = 0; f < kTile; ++f) out[f] = static_cast<std::int32_t>(static_cast<std::uint32_t>(words[f]));
  }

  // Number f of tile t alone.
  std::uint32_t number(Index t, int f) const {
    constexpr int kBlocks = deepglass::detail::kTile;
    const std::uint64_t block =
        static_cast<std::uint64_t>(t) * kBlocks + static_cast<std::uint64_t>(f % kBlocks);
    return Philox(seed_, stream_).block(base_ + block)[static_cast<std::size_t>(f / kBlocks)];
  }

 private:
  std::uint64_t seed_, stream_, base_;
};

// A random order of 0 .. n-1 (Fisher, Yates) by the numbers 0, 1, ...
inline void random_order(const Words& words, Span<std::int32_t> order) {
  const Index n = order.size();
  for (Index k = 0; k < n; ++k) order[k] = static_cast<std::int32_t>(k);
  alignas(64) std::int32_t number[Words::kTile];
  for (Index done = 0; done + 1 < n; ++done) {
    if (done % Words::kTile == 0) words.tile(done / Words::kTile, number);
    const std::uint64_t left = static_cast<std::uint64_t>(n - done);
    const std::uint64_t word = static_cast<std::uint32_t>(number[done % Words::kTile]);
    std::swap(order[n - 1 - done], order[static_cast<Index>(word * left >> 32)]);
  }
}

}  // namespace deepglass::mc
