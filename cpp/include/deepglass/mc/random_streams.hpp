// Which random number is whose: key = seed, counter = (position in the pass, sweep, what for, chain).
//
// A number depends on nothing else, so neither the number of threads nor the blocks of a phase nor an
// interruption matters.
#pragma once

#include "deepglass/mc/lanes.hpp"
#include "deepglass/rng.hpp"

namespace deepglass::mc {

enum class Purpose { kSpin, kBond, kMatching, kTrajectory };

constexpr Index kMostChains = Index{1} << 24, kMostLayers = (Index{1} << 12) - 1, kMostPasses = 256;

// The numbers of one layer in one pass of one sweep.
class Words {
 public:
  Words(std::uint64_t seed, Index chain, Purpose purpose, Index layer, Index pass, std::uint64_t sweep)
      : seed_(seed),
        stream_(static_cast<std::uint64_t>(chain) | static_cast<std::uint64_t>(layer) << 24 |
                static_cast<std::uint64_t>(purpose) << 36 | static_cast<std::uint64_t>(pass) << 40),
        base_(sweep << 32) {}

  void tile(Index first_block, deepglass::detail::Tile& tile) const {
    deepglass::detail::philox_tile(seed_, stream_, base_ + static_cast<std::uint64_t>(first_block), tile);
  }

 private:
  std::uint64_t seed_, stream_, base_;
};

constexpr int kTileBlocks = deepglass::detail::kTile;

// A random order of 0 .. n-1 (Fisher, Yates); the n-1 numbers are the words of blocks 0, 1, ...
inline void random_order(const Words& words, Span<std::int32_t> order) {
  const Index n = order.size();
  for (Index k = 0; k < n; ++k) order[k] = static_cast<std::int32_t>(k);
  deepglass::detail::Tile tile;
  for (Index done = 0; done + 1 < n; ++done) {
    const Index block = done / 4;
    if (done % (4 * kTileBlocks) == 0) words.tile(block, tile);
    const std::uint64_t word = tile.word[done % 4][block % kTileBlocks] & 0xFFFFFFFF;
    const Index last = n - 1 - done;
    std::swap(order[last], order[static_cast<Index>(word * static_cast<std::uint64_t>(last + 1) >> 32)]);
  }
}

}  // namespace deepglass::mc
