// One pass over the spins and one pass over the bonds, in single precision (spherical bonds; the soft
// potential of binary bonds).
//
// Kept are the gaps r = S h and the spins (as +-1), in rows (neuron, pattern), and the bonds, as the change
// of a field that a flip of the input makes, w = 2 J / sqrt(n_inputs), in rows (input, perceptron).  Rows are
// padded to sixteen; a pad has gap kPad, spin +1 and bonds 0, so that it never contributes.
#pragma once

#include <algorithm>
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
  // What comes next, to be had from memory meanwhile: rows of the same patterns, or of the next ones.
  Index n_coming = 0;
  const float* coming[2] = {};  // (n_coming, row)
};

// Patterns of the layer above, with the output as the lane.
struct SpinTile {
  explicit SpinTile(Index most_outputs)
      : row(round_up(most_outputs, kLanes)), gap(kMost * row), spin(2 * gap.size()) {}
  static constexpr Index kMost = 32;
  Index row;
  Aligned<float> gap;   // (32, row)
  Aligned<float> spin;  // (2, 32, row): S and -S
};

constexpr int kSpinBatch = 2 * Words::kTile / kLanes;  // spins for which one tile of random words suffices

// A spin and a pattern have a number of 32 bits, but the upper 16 of them nearly always decide: the others
// are made when they are asked for.
struct SpinNumbers {
  Words upper, lower;
  float temperature;
  // A flip is accepted for certain if dE is below the rough limit by more than this, and rejected if above.
  static constexpr float kTolerance = 0.009f;
  static constexpr int kFew = 64;  // smaller numbers have no rough limit

  // Rough -T log(u), or NaN, for the spins of a batch and sixteen patterns; rows of `stride`.
  void rough_limits(Index tile, float* limit, int stride) const {
    alignas(64) std::int32_t word[Words::kTile];
    alignas(64) std::uint16_t number[2 * Words::kTile];
    upper.tile(tile, word);
    std::memcpy(number, word, sizeof number);
    for (int i = 0; i < kSpinBatch; ++i) {
      for (int at = 0; at < kLanes; at += kWidth) {
        const std::uint16_t* const these = number + i * kLanes + at;
        const Ints unknown = widen(these) < kFew;
        store(
            limit + i * stride + at,
            reinterpret_cast<Floats>(reinterpret_cast<Ints>(rough_minus_log(these) * temperature) | unknown));
      }
    }
  }
  // -T log(u) of number k of a tile.
  __attribute__((noinline, cold)) float limit(Index tile, int k) const {
    const int half = 16 * (k % 2);
    const std::uint32_t word =
        (upper.number(tile, k / 2) >> half) << 16 | (lower.number(tile, k / 2) >> half & 0xFFFF);
    return (minus_log_uniform(Ints{} + static_cast<std::int32_t>(word)) * temperature)[0];
  }
};

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

// Tries to flip every spin of the layer once, in order, in n_groups times sixteen patterns from `first` on:
//   dE = v(-r) - v(r) + sum_j [ v(r_j - w_j S S_j) - v(r_j) ].
// Two halves of the patterns take turns, so that one is worked on while the decisions on the other are made.
// Gives the number accepted.
template <class Potential, int n_groups>
Index flip_spins(const SpinLayer& layer, const SpinNumbers& numbers, Index first, SpinTile& tile) {
  using Energy = typename Potential::Energy;
  constexpr int kPatterns = n_groups * kLanes, kTurn = kPatterns / 2, kEights = kTurn / kHalf;
  const Index n = round_up(layer.width_above, kLanes), row = tile.row;
  float* const gap = tile.gap.data();
  float* const spin = tile.spin.data();
  const Index opposite = kPatterns * row;
  for (Index j = 0; j < n; j += kLanes) {
    for (int g = 0; g < kPatterns; g += kLanes) {
      const Index at = j * layer.row + first + g;
      transpose_lanes(layer.gap_above + at, layer.row, gap + g * row + j, row);
      transpose_lanes(layer.spin_above + at, layer.row, spin + g * row + j, row);
    }
  }
  alignas(64) Energy sum[kTurn], energy[2][kEights];
  for (int half = 0; half < 2; ++half) {
    for (int p = 0; p < kTurn; ++p) {
      const Index at = (half * kTurn + p) * row;
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
    for (int e = 0; e < kEights; ++e) energy[half][e] = add_rows(sum + e * kHalf);
  }
  Index n_accepted = 0;
  const Index batches = round_up(layer.width, kSpinBatch) / kSpinBatch, first_tile = first / kLanes * batches;
  const float tolerance = SpinNumbers::kTolerance * numbers.temperature;
  alignas(64) float limit[kSpinBatch * kPatterns];
  const float* minus_spin[2][kTurn];  // rows of -S S_j
  const float* const mine[2] = {spin, spin + kTurn * row};
  unsigned accepted[2] = {};
  const auto apply = [&](int half, const float* bond) {
    for (unsigned left = accepted[half]; left != 0; left &= left - 1) {
      const int p = __builtin_ctz(left);
      float* const r = gap + (half * kTurn + p) * row;
      const float* const minus = minus_spin[half][p];
      for (Index j = 0; j < n; j += kLanes) {
#pragma GCC unroll 4
        for (int part = 0; part < kParts; ++part) {
          const Index k = j + part * kWidth;
          store(r + k,
                add_exact_product(load<Floats>(minus + k), load<Floats>(bond + k), load<Floats>(r + k)));
        }
      }
    }
  };
  const float* previous = layer.bonds;
  for (Index i = 0; i < layer.width; ++i) {
    if (i % kSpinBatch == 0) {
      for (int g = 0; g < n_groups; ++g)
        numbers.rough_limits(first_tile + g * batches + i / kSpinBatch, limit + g * kLanes, kPatterns);
    }
    const float* const bond = layer.bonds + i * layer.bond_row;
    for (int g = 0; g < kPatterns && i + 2 < layer.width; g += kLanes) {
      __builtin_prefetch(layer.spin + (i + 2) * layer.row + first + g, 1, 3);
      __builtin_prefetch(layer.gap + (i + 2) * layer.row + first + g, 1, 3);
    }
    if (i < layer.n_coming) {
      for (int g = 0; g < kPatterns; g += kLanes) {
        __builtin_prefetch(layer.coming[0] + i * layer.row + g, 0, 2);
        __builtin_prefetch(layer.coming[1] + i * layer.row + g, 0, 2);
      }
    }
    for (int half = 0; half < 2; ++half) {
      apply(half, previous);
      const Index at = i * layer.row + first + half * kTurn;
      alignas(64) std::int32_t offset[kTurn];
      for (int e = 0; e < kTurn; e += kHalf) {
        store(offset + e,
              (load<HalfFloats>(layer.spin + at + e) > HalfFloats{}) & static_cast<std::int32_t>(opposite));
      }
      for (int p = 0; p < kTurn; ++p) minus_spin[half][p] = mine[half] + p * row + offset[p];
      constexpr int kRows = 4;
      for (int p = 0; p < kTurn; p += kRows) {
        try_flip<Potential, kRows>(n, gap + (half * kTurn + p) * row, row, minus_spin[half] + p, bond,
                                   sum + p);
      }
      accepted[half] = 0;
      for (int e = 0; e < kEights; ++e) {
        const Index here = at + e * kHalf;
        const Energy trial = add_rows(sum + e * kHalf);
        const HalfFloats own_spin = load<HalfFloats>(layer.spin + here),
                         own = load<HalfFloats>(layer.gap + here);
        const HalfFloats rise = Potential::rise(energy[half][e], trial, own);
        const int p = half * kTurn + e * kHalf;
        float* const bound = limit + (i % kSpinBatch) * kPatterns + p;
        const HalfFloats gap_to_bound = rise - load<HalfFloats>(bound);
        const HalfInts certain = (gap_to_bound > tolerance) | (gap_to_bound < -tolerance);
        for (unsigned left = mask_bits(~certain); left != 0; left &= left - 1) {
          const int k = __builtin_ctz(left);
          bound[k] = numbers.limit(first_tile + p / kLanes * batches + i / kSpinBatch,
                                   static_cast<int>(i % kSpinBatch) * kLanes + p % kLanes + k);
        }
        const HalfInts yes = (rise <= load<HalfFloats>(bound)) & (own < kPad - HalfFloats{});
        energy[half][e] = yes ? trial : energy[half][e];
        const HalfInts flip = yes & kSignBit;
        store(layer.spin + here, reinterpret_cast<HalfInts>(own_spin) ^ flip);
        store(layer.gap + here, reinterpret_cast<HalfInts>(own) ^ flip);
        accepted[half] |= mask_bits(yes) << (e * kHalf);
      }
      n_accepted += __builtin_popcount(accepted[half]);
    }
    previous = bond;
  }
  for (int half = 0; half < 2; ++half) apply(half, previous);
  for (Index j = 0; j < n; j += kLanes) {
    for (int g = 0; g < kPatterns; g += kLanes) {
      transpose_lanes(gap + g * row + j, row, layer.gap_above + j * layer.row + first + g, layer.row);
    }
  }
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
  const float* coming[2] = {};  // gaps and spins of the next strip, if there is one: `n_coming` numbers each
  Index n_coming = 0;
};

// The moves a strip tries, one after the other: a byte for each pattern says which of four numbers is added
// to its field.  A rotation of the bonds of inputs a, b takes byte 2 [S_a < 0] + [S_b < 0]; a flip of one
// bond (b = a) takes 3 [S_a < 0].
struct Moves {
  Index n = 0;
  const std::int32_t* first[kStrip];   // (n,) inputs a of each perceptron
  const std::int32_t* second[kStrip];  // (n,) inputs b
  const std::uint8_t* index[kStrip];   // (n, row), and sixteen more
};

// The energies of kRows perceptrons after a move, and their gaps.
template <class Potential, int kRows, bool kSame>
DEEPGLASS_LANES void try_move(Index row, const float* const* gap, float* const* moved,
                              const float* const* spin, const std::uint8_t* const* index,
                              const FourFloats* table, typename Potential::Energy* energy) {
  Parts<typename Potential::Sum> sum[kRows];
  // Bytes are read one step ahead and energies added one step behind: shorter chains of operations.
  Parts<Floats> last[kRows];
  Parts<Ints> next;
  Floats entries[kRows];
  for (int p = 0; p < kRows; ++p) entries[p] = repeat_four(table + p);
  for (int part = 0; part < kParts; ++part) next.part[part] = widen(index[0] + part * kWidth);
  for (Index m = 0; m < row; m += kLanes) {
#pragma GCC unroll 4
    for (int part = 0; part < kParts; ++part) {
      const Index at = m + part * kWidth;
      const Ints same = next.part[part];
      if constexpr (kSame) next.part[part] = widen(index[0] + at + kLanes);
#pragma GCC unroll 4
      for (int p = 0; p < kRows; ++p) {
        Potential::add(sum[p].part[part], last[p].part[part]);
        const Floats change = entry(entries[p], kSame ? same : widen(index[p] + at));
        const Floats r = add_exact_product(change, load<Floats>(spin[p] + at), load<Floats>(gap[p] + at));
        store(moved[p] + at, r);
        last[p].part[part] = r;
      }
    }
  }
  for (int p = 0; p < kRows; ++p) {
    for (int part = 0; part < kParts; ++part) Potential::add(sum[p].part[part], last[p].part[part]);
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
      : limit(round_up(most * kStrip, Words::kTile)), cosine(limit.size()), sine(limit.size()) {}
  Aligned<float> limit, cosine, sine;  // -T log(u); of the angle of a rotation
};

// n_moves times four words, move by move, and what `use` makes of them.
template <class Use>
void strip_words(const Words& words, Index strip, Index n_moves, Use&& use) {
  constexpr Index kMoves = Words::kTile / kStrip;
  const Index tiles = round_up(n_moves, kMoves) / kMoves;
  alignas(64) std::int32_t word[Words::kTile];
  for (Index t = 0; t < tiles; ++t) {
    words.tile(strip * tiles + t, word);
    for (int at = 0; at < Words::kTile; at += kWidth) use(t * Words::kTile + at, load<Ints>(word + at));
  }
}

// Random numbers of a strip; step = 0 where the moves are flips.
inline void bond_numbers(const Words& words, const Words& angles, Index strip, Index n_moves,
                         float temperature, float step, BondNumbers& numbers) {
  strip_words(words, strip, n_moves, [&](Index to, Ints word) {
    store(numbers.limit.data() + to, minus_log_uniform(word) * temperature);
  });
  if (step == 0) return;
  strip_words(angles, strip, n_moves, [&](Index to, Ints word) {
    // Odd numbers: an angle is as likely as its opposite.
    Floats cosine, sine;
    cos_sin(__builtin_convertvector(word | 1, Floats) * (step * 0x1p-31f), cosine, sine);
    store(numbers.cosine.data() + to, cosine);
    store(numbers.sine.data() + to, sine);
  });
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
  const Index share = moves.n > 0 ? round_up(strip.n_coming / moves.n + 1, kLanes) : 0;  // of a move
  for (Index q = 0; q < moves.n; ++q) {
    for (Index k = q * share; k < std::min((q + 1) * share, strip.n_coming); k += kLanes) {
      __builtin_prefetch(strip.coming[0] + k, 0, 2);
      __builtin_prefetch(strip.coming[1] + k, 0, 2);
    }
    // The bonds of a strip are in as many cache lines as there are inputs.
    for (int p = 0; p < (kSame ? 1 : kStrip) && q + 1 < moves.n; ++p) {
      __builtin_prefetch(strip.bonds + moves.first[p][q + 1] * strip.bond_row + p, 1, 3);
      __builtin_prefetch(strip.bonds + moves.second[p][q + 1] * strip.bond_row + p, 1, 3);
    }
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
