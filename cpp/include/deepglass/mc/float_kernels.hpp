// One pass over the spins and one pass over the bonds, in single precision (spherical bonds; the soft
// potential of binary bonds).
//
// Kept are the gaps r = S h and the spins (as +-1), in rows (neuron, pattern), and the bonds, as the change
// of a field that a flip of the input makes, w = 2 J / sqrt(n_inputs), in rows (input, perceptron).  Rows are
// padded to sixteen; a pad has gap kPad, spin +1 and bonds 0, so that it never contributes.
#pragma once

#include <array>
#include <limits>

#include "deepglass/mc/random_streams.hpp"

namespace deepglass::mc {

constexpr float kPad = 1e30f;
constexpr std::int32_t kSignBit = std::numeric_limits<std::int32_t>::min();

// v(r) = r^2 for r < 0
struct Soft {
  using Sum = Floats;
  using Energy = HalfFloats;
  static DEEPGLASS_LANES void add(Sum& sum, Floats gap) {
    const Floats r = below_zero(gap);
    sum += r * r;
  }
  static DEEPGLASS_LANES HalfFloats rise(HalfFloats before, HalfFloats after, HalfFloats own) {
    const HalfFloats size = own < HalfFloats{} ? -own : own;
    return (after - before) + own * size;  // v(-r) - v(r) = r |r|
  }
};

// v(r) = 1 for r < 0
struct Count {
  using Sum = Ints;
  using Energy = HalfInts;
  static DEEPGLASS_LANES void add(Sum& sum, Floats gap) { sum -= gap < Floats{}; }
  static DEEPGLASS_LANES HalfFloats rise(HalfInts before, HalfInts after, HalfFloats own) {
    return __builtin_convertvector((after - before) + (own < HalfFloats{}) - (own > HalfFloats{}),
                                   HalfFloats);
  }
};

// ---- Spins

// Layer l and the one above it, as the spins of l see them.
struct SpinLayer {
  Index width, width_above;
  Index row;    // from neuron to neuron
  float* spin;  // (width, row)
  float* gap;   // (width, row)
  float* spin_above;
  float* gap_above;
  const float* bonds;  // (width, bond_row): w of layer l + 1
  Index bond_row;
  float temperature;
};

// Sixteen patterns of the layer above, with the output as the lane.
struct SpinTile {
  explicit SpinTile(Index most_outputs)
      : gap(kLanes * round_up(most_outputs, kLanes)),
        spin(2 * gap.size()),
        row(round_up(most_outputs, kLanes)) {}
  Aligned<float> gap;   // (16, row)
  Aligned<float> spin;  // (2, 16, row): S and -S
  Index row;
};

constexpr int kSpinBatch = kTileBlocks / 4;  // spins for which one tile of random numbers suffices

// -T log(u) for the spins of a batch and sixteen patterns.
inline void spin_limits(const Words& words, Index first_block, float temperature, float* limit) {
  deepglass::detail::Tile tile;
  words.tile(first_block, tile);
  for (int i = 0; i < kSpinBatch; ++i) {
    alignas(64) std::int32_t word[kLanes];
    for (int k = 0; k < 4; ++k) {
      for (int c = 0; c < 4; ++c) word[4 * k + c] = static_cast<std::int32_t>(tile.word[k][4 * i + c]);
    }
    for (int at = 0; at < kLanes; at += kWidth) {
      store(limit + i * kLanes + at, minus_log_uniform(load<Ints>(word + at)) * temperature);
    }
  }
}

// Energies sum_j v(r_j - w_j S S_j) of kRows patterns; minus_spin are the rows of -S S_j.
template <class Potential, int kRows>
DEEPGLASS_LANES void try_flip(Index n, const float* gap, Index row, const float* const* minus_spin,
                              const float* bond, typename Potential::Energy* sum) {
  Parts<typename Potential::Sum> partial[kRows];
  for (Index j = 0; j < n; j += kLanes) {
#pragma GCC unroll 4
    for (int part = 0; part < kParts; ++part) {
      const Index at = j + part * kWidth;
      const Floats w = load<Floats>(bond + at);
#pragma GCC unroll 8
      for (int p = 0; p < kRows; ++p) {
        const Floats r =
            add_exact_product(load<Floats>(minus_spin[p] + at), w, load<Floats>(gap + p * row + at));
        Potential::add(partial[p].part[part], r);
      }
    }
  }
  for (int p = 0; p < kRows; ++p) sum[p] = fold_lanes(partial[p]);
}

// Tries to flip every spin of the layer once, in order, in the sixteen patterns from `first` on:
//   dE = v(-r) - v(r) + sum_j [ v(r_j - w_j S S_j) - v(r_j) ].
// Two halves of eight patterns take turns, so that one is worked on while the decisions on the other are
// made. Gives the number accepted.
template <class Potential>
Index flip_spins(const SpinLayer& layer, const Words& words, Index first, SpinTile& tile) {
  using Energy = typename Potential::Energy;
  const Index n = round_up(layer.width_above, kLanes), row = tile.row;
  float* const gap = tile.gap.data();
  float* const spin = tile.spin.data();
  const Index opposite = kLanes * row;
  for (Index j = 0; j < n; j += kLanes) {
    transpose_lanes(layer.gap_above + j * layer.row + first, layer.row, gap + j, row);
    transpose_lanes(layer.spin_above + j * layer.row + first, layer.row, spin + j, row);
  }
  alignas(64) Energy sum[kHalf];
  Energy energy[2];
  for (int half = 0; half < 2; ++half) {
    for (int p = 0; p < kHalf; ++p) {
      const Index at = (half * kHalf + p) * row;
      Parts<typename Potential::Sum> partial;
      for (Index j = 0; j < n; j += kLanes) {
        for (int part = 0; part < kParts; ++part) {
          const Index here = at + j + part * kWidth;
          store(spin + opposite + here, -load<Floats>(spin + here));
          Potential::add(partial.part[part], load<Floats>(gap + here));
        }
      }
      sum[p] = fold_lanes(partial);
    }
    energy[half] = add_rows(sum);
  }
  Index n_accepted = 0;
  alignas(64) float limit[kSpinBatch * kLanes];
  const float* minus_spin[2][kHalf];  // rows of -S S_j
  unsigned accepted[2] = {};
  const auto apply = [&](int half, const float* bond) {
    for (unsigned left = accepted[half]; left != 0; left &= left - 1) {
      const int p = __builtin_ctz(left);
      float* const r = gap + (half * kHalf + p) * row;
      for (Index j = 0; j < n; j += kWidth) {
        store(r + j, add_exact_product(load<Floats>(minus_spin[half][p] + j), load<Floats>(bond + j),
                                       load<Floats>(r + j)));
      }
    }
  };
  const float* previous = layer.bonds;
  for (Index i = 0; i < layer.width; ++i) {
    if (i % kSpinBatch == 0) {
      spin_limits(words, first / kLanes * round_up(layer.width, kSpinBatch) * 4 + i * 4, layer.temperature,
                  limit);
    }
    const float* const bond = layer.bonds + i * layer.bond_row;
    for (int half = 0; half < 2; ++half) {
      apply(half, previous);
      const Index at = i * layer.row + first + half * kHalf;
      const HalfFloats own_spin = load<HalfFloats>(layer.spin + at);
      for (int p = 0; p < kHalf; ++p) {
        minus_spin[half][p] = spin + (half * kHalf + p) * row + (layer.spin[at + p] > 0 ? opposite : 0);
      }
      constexpr int kRows = 4;
      for (int p = 0; p < kHalf; p += kRows) {
        try_flip<Potential, kRows>(n, gap + (half * kHalf + p) * row, row, minus_spin[half] + p, bond,
                                   sum + p);
      }
      const Energy trial = add_rows(sum);
      const HalfFloats own = load<HalfFloats>(layer.gap + at);
      const HalfInts yes = Potential::rise(energy[half], trial, own) <=
                           load<HalfFloats>(limit + (i % kSpinBatch) * kLanes + half * kHalf);
      energy[half] = yes ? trial : energy[half];
      store(layer.spin + at, yes ? -own_spin : own_spin);
      store(layer.gap + at, yes ? -own : own);
      accepted[half] = mask_bits(yes);
      n_accepted += __builtin_popcount(accepted[half]);
    }
    previous = bond;
  }
  for (int half = 0; half < 2; ++half) apply(half, previous);
  for (Index j = 0; j < n; j += kLanes)
    transpose_lanes(gap + j, row, layer.gap_above + j * layer.row + first, layer.row);
  return n_accepted;
}

// ---- Bonds

constexpr int kStrip = 4;  // perceptrons that are tried together

// Four perceptrons of a layer.
struct BondStrip {
  Index row;                  // patterns, padded
  float* gap[kStrip];         // (row,)
  const float* spin[kStrip];  // (row,)
  float* room[kStrip];        // (row,): where a trial is written
  float* bonds;               // w of the first perceptron; (input, bond_row)
  Index bond_row;
};

// The moves a strip tries, one after the other: a byte for each pattern says which of four numbers is added
// to its field.  A rotation of the bonds of inputs a, b takes byte 2 [S_a < 0] + [S_b < 0]; a flip of one
// bond (b = a) takes 3 [S_a < 0].
struct Moves {
  Index n = 0;
  const std::int32_t* first[kStrip];   // (n,) inputs a of each perceptron
  const std::int32_t* second[kStrip];  // (n,) inputs b
  const std::uint8_t* index[kStrip];   // (n, row)
};

// The energies of kRows perceptrons after a move, and their gaps.
template <class Potential, int kRows, bool kSame>
DEEPGLASS_LANES void try_move(Index row, const float* const* gap, float* const* moved,
                              const float* const* spin, const std::uint8_t* const* index,
                              const FourFloats* table, typename Potential::Energy* energy) {
  Parts<typename Potential::Sum> sum[kRows];
  Floats entries[kRows];
  for (int p = 0; p < kRows; ++p) entries[p] = repeat_four(table + p);
  for (Index m = 0; m < row; m += kLanes) {
#pragma GCC unroll 4
    for (int part = 0; part < kParts; ++part) {
      const Index at = m + part * kWidth;
      const Ints same = widen(index[0] + at);
#pragma GCC unroll 4
      for (int p = 0; p < kRows; ++p) {
        const Floats change = entry(entries[p], kSame ? same : widen(index[p] + at));
        const Floats r = add_exact_product(change, load<Floats>(spin[p] + at), load<Floats>(gap[p] + at));
        store(moved[p] + at, r);
        Potential::add(sum[p].part[part], r);
      }
    }
  }
  for (int p = 0; p < kRows; ++p) energy[p] = fold_lanes(sum[p]);
}

template <class Potential>
typename Potential::Energy row_energy(Index row, const float* gap) {
  Parts<typename Potential::Sum> sum;
  for (Index m = 0; m < row; m += kLanes) {
    for (int part = 0; part < kParts; ++part) {
      Potential::add(sum.part[part], load<Floats>(gap + m + part * kWidth));
    }
  }
  return fold_lanes(sum);
}

// Random numbers of a strip: n moves times four perceptrons.
struct BondNumbers {
  explicit BondNumbers(Index most)
      : limit(round_up(most, kTileBlocks) * kStrip), cosine(limit.size()), sine(limit.size()) {}
  Aligned<float> limit, cosine, sine;  // -T log(u); of the angle of a rotation
};

// Blocks of a strip: for each move one of acceptance words, and for rotations one of angles.
inline void bond_numbers(const Words& words, Index strip, Index n_moves, float temperature, float step,
                         BondNumbers& numbers) {
  const bool rotation = step > 0;
  const int blocks = rotation ? 2 : 1, moves_per_tile = kTileBlocks / blocks;
  deepglass::detail::Tile tile;
  alignas(64) std::int32_t word[2][kTileBlocks * kStrip];
  for (Index done = 0; done < n_moves; done += moves_per_tile) {
    words.tile((strip * n_moves + done) * blocks, tile);
    for (int move = 0; move < moves_per_tile; ++move) {
      for (int kind = 0; kind < blocks; ++kind) {
        for (int p = 0; p < kStrip; ++p) {
          word[kind][move * kStrip + p] = static_cast<std::int32_t>(tile.word[p][move * blocks + kind]);
        }
      }
    }
    for (int at = 0; at < moves_per_tile * kStrip; at += kWidth) {
      const Index to = done * kStrip + at;
      store(numbers.limit.data() + to, minus_log_uniform(load<Ints>(word[0] + at)) * temperature);
      if (rotation) {  // odd numbers: an angle is as likely as its opposite
        const Floats angle =
            __builtin_convertvector(load<Ints>(word[1] + at) | 1, Floats) * (step * 0x1p-31f);
        Floats cosine, sine;
        cos_sin(angle, cosine, sine);
        store(numbers.cosine.data() + to, cosine);
        store(numbers.sine.data() + to, sine);
      }
    }
  }
}

DEEPGLASS_LANES FourFloats as_floats(FourFloats x) {
  return x;
}
DEEPGLASS_LANES FourFloats as_floats(FourInts x) {
  return __builtin_convertvector(x, FourFloats);
}

// Tries all moves on four perceptrons.  Gives the number accepted by the first n_real of them.
template <class Potential, bool kSame>
Index move_bonds(const BondStrip& strip, const Moves& moves, const BondNumbers& numbers, bool rotation,
                 int n_real) {
  constexpr int kRows = kWidth < 16 ? 2 : 4;
  const Index row = strip.row;
  float* rows[kStrip][2];
  typename Potential::Energy sum[kStrip];
  for (int p = 0; p < kStrip; ++p) {
    rows[p][0] = strip.gap[p];
    rows[p][1] = strip.room[p];
    sum[p] = row_energy<Potential>(row, strip.gap[p]);
  }
  FourFloats energy = as_floats(add_four_rows(sum));
  FourInts moved = {}, n_accepted = {};  // -1 where the gaps are in the second row
  for (Index q = 0; q < moves.n; ++q) {
    const auto bond = [&](const std::int32_t* const* input, int p) {
      return strip.bonds + input[p][q] * strip.bond_row + p;
    };
    const auto get = [&](const std::int32_t* const* input) {
      if constexpr (kSame) return load<FourFloats>(bond(input, 0));
      return FourFloats{*bond(input, 0), *bond(input, 1), *bond(input, 2), *bond(input, 3)};
    };
    const auto set = [&](const std::int32_t* const* input, FourFloats x) {
      if constexpr (kSame) return store(bond(input, 0), x);
      for (int p = 0; p < kStrip; ++p) *bond(input, p) = x[p];
    };
    const FourFloats a = get(moves.first), b = get(moves.second);
    FourFloats new_a = -a, new_b = -b;
    alignas(64) FourFloats table[kStrip] = {-a, -a, a, a};  // by the byte; then by the perceptron
    if (rotation) {
      const FourFloats c = load<FourFloats>(numbers.cosine.data() + q * kStrip),
                       s = load<FourFloats>(numbers.sine.data() + q * kStrip);
      new_a = c * a - s * b;
      new_b = s * a + c * b;
      const FourFloats da = (new_a - a) * 0.5f, db = (new_b - b) * 0.5f;
      table[0] = da + db;
      table[1] = da - db;
      table[2] = -table[1];
      table[3] = -table[0];
    }
    transpose_four(table[0], table[1], table[2], table[3]);
    const float* from[kStrip];
    float* to[kStrip];
    const std::uint8_t* index[kStrip];
    for (int p = 0; p < kStrip; ++p) {
      from[p] = rows[p][-moved[p]];
      to[p] = rows[p][1 + moved[p]];
      index[p] = moves.index[p] + q * row;
    }
    for (int p = 0; p < kStrip; p += kRows) {
      try_move<Potential, kRows, kSame>(row, from + p, to + p, strip.spin + p, index + p, table + p, sum + p);
    }
    const FourFloats trial = as_floats(add_four_rows(sum));
    const FourInts accepted = trial - energy <= load<FourFloats>(numbers.limit.data() + q * kStrip);
    energy = accepted ? trial : energy;
    set(moves.first, accepted ? new_a : a);
    set(moves.second, accepted ? new_b : b);
    moved ^= accepted;
    n_accepted -= accepted;
  }
  Index total = 0;
  for (int p = 0; p < kStrip; ++p) {
    if (moved[p]) std::memcpy(strip.gap[p], strip.room[p], static_cast<std::size_t>(row) * sizeof(float));
    if (p < n_real) total += n_accepted[p];
  }
  return total;
}

}  // namespace deepglass::mc
