// One pass over the spins and one pass over the bonds, in integers: binary bonds with the count potential.
//
// sqrt(n_inputs) r is an integer of the parity of n_inputs, which a flip of an input changes by 2.  Kept is
// its half, rounded down,
//     u = floor(sqrt(n_inputs) r / 2),
// an error where u < 0 (r = 0 is none).  A flip of input k changes u to u - J_k S_k S, a flip of the output S
// to -u - parity.  So a move of an input makes or mends an error only where u is at the edge, 0 or -1, and
// there it leaves an error where u falls.  Spins are bits, set for -1, and u is in planes of bits.  Rows
// (neuron, pattern) are padded to kBlock patterns; what stands in the padding means nothing.
#pragma once

#include <limits>

#include "deepglass/mc/bit_planes.hpp"
#include "deepglass/mc/random_streams.hpp"

namespace deepglass::mc {

// Planes of u, from -n/2 to n/2, or from -(n+1)/2 to (n-1)/2 for odd n.
inline int gap_planes(Index n_inputs) {
  return bit_length(n_inputs / 2) + 1;
}

// The largest rise of the number of errors that each number of a tile accepts: -T log(u), rounded down.
inline void largest_rises(const Words& words, Index t, float temperature, std::int32_t most,
                          std::int32_t* rise) {
  words.tile(t, rise);
  const Floats largest = every<Floats>(static_cast<float>(most));
  for (int at = 0; at < Words::kTile; at += kWidth) {
    const Floats limit = minus_log_uniform(load<Ints>(rise + at)) * temperature;
    store(rise + at, __builtin_convertvector(choose(limit < largest, limit, largest), Ints));
  }
}

// ---- Spins

// Layer l and the one above it, as the spins of l see them.
struct IntegerSpinLayer {
  Index width, width_above;
  Index words;  // of a row of bits
  Word* spin;   // (width, words)
  Word* gap;    // (width, n_planes, words): u
  int n_planes, n_planes_above;
  int parity;  // of n_inputs
  const Word* spin_above;
  Word* gap_above;
  const std::int8_t* bonds;  // (width, bond_row): J of layer l + 1, 0 where there is none
  Index bond_row;
  const Word* real;  // no padding
  Index n_patterns;
  float temperature;
};

// The layer above for kBlock patterns.
struct IntegerTile {
  Aligned<Bits> spins, planes;
  Aligned<Bits> errors;  // after a flip

  void reserve(Index width, int n_planes) {
    if (spins.size() < width) spins = Aligned<Bits>(width);
    if (planes.size() < width * n_planes) planes = Aligned<Bits>(width * n_planes);
    if (errors.size() < round_up(width, 8)) errors = Aligned<Bits>(round_up(width, 8));
  }
};

constexpr int kBatch = Words::kTile / kLanes;  // spins for which one tile of random numbers suffices
constexpr int kMostPlanes = 16;

// Largest rises for kBatch spins and kBlock patterns, in planes; each sixteen patterns have tiles of their
// own.
inline void spin_rises(const Words& words, Index first_tile, Index tiles_of_sixteen, Index n_patterns,
                       float temperature, int n_planes, Bits (*rise)[kMostPlanes]) {
  alignas(64) std::uint8_t byte[2][kBatch][kBlock] = {};
  for (int part = 0; part * kLanes < std::min(n_patterns, kBlock); ++part) {
    alignas(64) std::int32_t wide[Words::kTile];
    largest_rises(words, first_tile + part * tiles_of_sixteen, temperature, (1 << n_planes) - 1, wide);
    for (int i = 0; i < kBatch; ++i) {
      for (int c = 0; c < kLanes; ++c) {
        byte[0][i][part * kLanes + c] = static_cast<std::uint8_t>(wide[i * kLanes + c]);
      }
      if (n_planes <= 8) continue;
      for (int c = 0; c < kLanes; ++c) {
        byte[1][i][part * kLanes + c] = static_cast<std::uint8_t>(wide[i * kLanes + c] >> 8);
      }
    }
  }
  for (int i = 0; i < kBatch; ++i) {
    for (int half = 0; 8 * half < n_planes; ++half) {
      std::memcpy(rise[i] + 8 * half, byte[half][i], sizeof byte[half][i]);
      transpose_bytes(rise[i] + 8 * half);
    }
  }
}

// What a flip of spin S does to u of a neuron above with spin S_j, by the bond J = -1, 0, 1 between them: it
// rises where the bits of S_j and `up` differ.
struct ByBond {
  Bits up[3], changed[3];

  ByBond(Bits spin, Bits flipped) : up{~spin, spin, spin}, changed{flipped, Bits{}, flipped} {}
};

// Makes the flips `done` of the spin before.  Gives the errors of the neurons above if this spin flips.
template <int kPlanes>  // 0: n_planes
inline void try_spins(Index width_above, int n_planes, const std::int8_t* bond_before, const ByBond& done,
                      const std::int8_t* bond, const ByBond& trial, IntegerTile& tile) {
  if constexpr (kPlanes > 0) n_planes = kPlanes;
  Word* planes = reinterpret_cast<Word*>(tile.planes.data());
  for (Index j = 0; j < width_above; ++j, planes += n_planes * kBlockWords) {
    const Index before = bond_before[j], now = bond[j];
    const Bits spin = tile.spins.data()[j];
    const Edge u = step(planes, kBlockWords, n_planes, done.changed[1 + before], spin ^ done.up[1 + before]);
    const Bits up = spin ^ trial.up[1 + now];
    tile.errors.data()[j] = u.negative ^ (u.at_edge & trial.changed[1 + now] & ~(up ^ u.negative));
  }
}

using TrySpins = void (*)(Index, int, const std::int8_t*, const ByBond&, const std::int8_t*, const ByBond&,
                          IntegerTile&);
inline TrySpins try_spins_of(int n_planes) {
  switch (n_planes) {
    case 5:
      return try_spins<5>;
    case 6:
      return try_spins<6>;
    case 7:
      return try_spins<7>;
    case 8:
      return try_spins<8>;
    default:
      return try_spins<0>;
  }
}

// Tries each spin of a layer once, in kBlock patterns.  Gives the number accepted.
inline Index flip_spins(const IntegerSpinLayer& layer, const Words& words, Index block, IntegerTile& tile) {
  const Index first = block * kBlockWords;
  const int n_planes = layer.n_planes, n_planes_above = layer.n_planes_above;
  const auto copy = [&](auto&& one) {
    for (Index j = 0; j < layer.width_above; ++j) {
      for (int p = 0; p < n_planes_above; ++p) {
        const Index at = j * n_planes_above + p;
        one(layer.gap_above + at * layer.words + first, tile.planes.data()[at]);
      }
    }
  };
  copy([](const Word* gap, Bits& plane) { plane = load<Bits>(gap); });
  for (Index j = 0; j < layer.width_above; ++j) {
    tile.spins.data()[j] = load<Bits>(layer.spin_above + j * layer.words + first);
    tile.errors.data()[j] = tile.planes.data()[j * n_planes_above + n_planes_above - 1];
  }
  std::fill(tile.errors.data() + layer.width_above, tile.errors.data() + round_up(layer.width_above, 8),
            Bits{});
  const int n_count = std::max(3, bit_length(layer.width_above + 1));
  Bits kept[kMostPlanes], count[kMostPlanes];  // number of errors above
  count_rows(tile.errors.data(), layer.width_above, kept, n_count);

  const TrySpins try_all = try_spins_of(n_planes_above);
  const Bits real = load<Bits>(layer.real + first);
  const Index tiles_of_sixteen = round_up(layer.width, kBatch) / kBatch;
  Bits most[kBatch][kMostPlanes];
  ByBond done(Bits{}, Bits{});
  const std::int8_t* bond_before = layer.bonds;
  Index n_accepted = 0;
  for (Index i = 0; i < layer.width; ++i) {
    if (i % kBatch == 0) {
      spin_rises(words, block * (kBlock / kLanes) * tiles_of_sixteen + i / kBatch, tiles_of_sixteen,
                 layer.n_patterns - block * kBlock, layer.temperature, n_count, most);
    }
    Word* const spin = layer.spin + i * layer.words + first;
    Word* const gap = layer.gap + i * n_planes * layer.words + first;
    const Bits s = load<Bits>(spin);
    const std::int8_t* const bond = layer.bonds + i * layer.bond_row;
    try_all(layer.width_above, n_planes_above, bond_before, done, bond, ByBond(s, every_bit(true)), tile);
    count_rows(tile.errors.data(), layer.width_above, count, n_count);

    Bits not_zero = {};
    for (int p = 0; p < n_planes; ++p) not_zero |= load<Bits>(gap + p * layer.words);
    const Bits own = load<Bits>(gap + (n_planes - 1) * layer.words);
    const Bits own_after = layer.parity == 1 ? ~own : ~own & not_zero;
    // count + own_after <= kept + own + most: nothing is to be borrowed in the end
    Bits carry = own, borrow = own_after;
    for (int p = 0; p < n_count; ++p) {
      const TwoBits sum = add_bits(kept[p], most[i % kBatch][p], carry);
      carry = sum.high;
      borrow = add_bits(~sum.low, count[p], borrow).high;
    }
    const Bits yes = (carry | ~borrow) & real;

    n_accepted += count_ones(yes);
    for (int p = 0; p < n_count; ++p) kept[p] ^= (kept[p] ^ count[p]) & yes;
    store(spin, s ^ yes);
    Bits add = layer.parity == 1 ? Bits{} : yes;
    for (int p = 0; p < n_planes; ++p) {
      const Bits turned = load<Bits>(gap + p * layer.words) ^ yes;
      store(gap + p * layer.words, turned ^ add);
      add &= turned;
    }
    done = ByBond(s, yes);
    bond_before = bond;
  }
  try_all(layer.width_above, n_planes_above, bond_before, done, bond_before, done, tile);
  copy([](Word* gap, const Bits& plane) { store(gap, plane); });
  return n_accepted;
}

// ---- Bonds

constexpr int kPerceptrons = 4;  // with common blocks of random numbers, and side by side in FourInts

// kPerceptrons perceptrons of a layer whose bonds are tried.
struct IntegerStrip {
  Index words;
  Index n_moves;
  int n_planes;
  const std::int32_t* input[kPerceptrons];  // (n_moves,): the bonds that are tried, one after the other
  const Word* spins_below;                  // (width below, words)
  Word* gap[kPerceptrons];                  // (n_planes, words)
  Word* edge[kPerceptrons];                 // (words,): u = 0 or -1
  const Word* not_output[kPerceptrons];     // (words,)
  const Word* real;                         // (words,): no padding
  std::int8_t* bonds[kPerceptrons];         // (input, bond_row)
  Index bond_row;
  const std::int32_t* most;  // (n_moves, kPerceptrons): largest rises
};

// Patterns with u < 0, u < -1 and u = 0 or -1.
struct EdgeCounts {
  FourInts errors = {}, beyond = {}, edge = {};
};

// Changes u of a perceptron where `changed` as the flip of a bond does, and counts.
inline void flip_bond(const IntegerStrip& strip, int p, const Word* spin, bool negative, Bits changed,
                      EdgeCounts& counts) {
  int n_errors = 0, n_beyond = 0, n_edge = 0;
  for (Index w = 0; w < strip.words; w += kBlockWords) {
    const Bits down = load<Bits>(spin + w) ^ load<Bits>(strip.not_output[p] + w) ^ every_bit(negative);
    const Edge u = step(strip.gap[p] + w, strip.words, strip.n_planes, changed, ~down);
    const Bits real = load<Bits>(strip.real + w), edge = u.at_edge & real, errors = u.negative & real;
    store(strip.edge[p] + w, edge);
    n_errors += count_ones(errors);
    n_beyond += count_ones(errors & ~edge);
    n_edge += count_ones(edge);
  }
  counts.errors[p] = n_errors;
  counts.beyond[p] = n_beyond;
  counts.edge[p] = n_edge;
}

// Tries all bonds of a strip.  Gives the number accepted.
inline Index flip_bonds(const IntegerStrip& strip, int n_real) {
  const Index words = strip.words;
  EdgeCounts counts;
  for (int p = 0; p < n_real; ++p) flip_bond(strip, p, strip.real, false, Bits{}, counts);
  Index n_accepted = 0;
  for (Index q = 0; q < strip.n_moves; ++q) {
    Index input[kPerceptrons];
    Bits sum[kPerceptrons];  // how many at the edge fall if the bond is +1
#pragma GCC unroll 4
    for (int p = 0; p < kPerceptrons; ++p) {
      input[p] = strip.input[p][q];
      sum[p] =
          count_common_ones(words, strip.edge[p], strip.spins_below + input[p] * words, strip.not_output[p]);
    }
    const auto negative_of = [&](int p) { return strip.bonds[p][input[p] * strip.bond_row] >> 1; };
    const FourInts negative{negative_of(0), negative_of(1), negative_of(2), negative_of(3)};
    const FourInts falls = add_rows_of_four(sum);
    const FourInts errors = counts.beyond + (counts.edge & negative) + ((falls ^ negative) - negative);
    const FourInts yes = errors - counts.errors <= load<FourInts>(strip.most + kPerceptrons * q);
    for (unsigned accepted = mask_bits(yes); accepted != 0; accepted &= accepted - 1) {
      const int p = __builtin_ctz(accepted);
      std::int8_t& bond = strip.bonds[p][strip.input[p][q] * strip.bond_row];
      flip_bond(strip, p, strip.spins_below + strip.input[p][q] * words, bond < 0, every_bit(true), counts);
      bond = static_cast<std::int8_t>(-bond);
      ++n_accepted;
    }
  }
  return n_accepted;
}

// Largest rises for the bonds of a strip, n_moves rounded up to whole tiles; below all rises where there are
// no perceptrons.
inline void bond_rises(const Words& words, Index strip, Index n_moves, float temperature, int n_real,
                       std::int32_t* rise) {
  constexpr Index kMoves = Words::kTile / kPerceptrons;
  const Index tiles = round_up(n_moves, kMoves) / kMoves;
  for (Index t = 0; t < tiles; ++t) {
    largest_rises(words, strip * tiles + t, temperature, std::numeric_limits<std::int16_t>::max(),
                  rise + t * Words::kTile);
  }
  for (int p = n_real; p < kPerceptrons; ++p) {
    for (Index q = 0; q < n_moves; ++q) rise[kPerceptrons * q + p] = std::numeric_limits<std::int32_t>::min();
  }
}

}  // namespace deepglass::mc
