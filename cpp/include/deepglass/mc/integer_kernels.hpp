// One pass over the spins and one pass over the bonds, in integers: binary bonds with the count potential.
//
// sqrt(n_inputs) r is an integer of the parity of n_inputs, which a flip of an input changes by 2.  Kept is
// its half, rounded down,
//     u = floor(sqrt(n_inputs) r / 2),
// an error where u < 0 (r = 0 is none), so that eight bits do for 255 inputs.  A flip of input k changes u to
// u - J_k S_k S, a flip of the output S to -u - parity.  Spins are +-1.  Rows (neuron, pattern) are padded to
// kTilePatterns; a pad has spin 0 and u = 0, which no move changes.
#pragma once

#include <limits>

#include "deepglass/mc/random_streams.hpp"

namespace deepglass::mc {

#if defined(__AVX512BW__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <class T>
struct VectorOf {
  typedef T Type __attribute__((vector_size(kVectorBytes)));
};
template <class T>
using Vector = typename VectorOf<T>::Type;
template <class T>
constexpr int kPerVector = kVectorBytes / static_cast<int>(sizeof(T));

typedef std::int8_t HalfVector __attribute__((vector_size(kVectorBytes / 2)));

// Numbers of one or two bytes as vectors of T, and back.
template <class T, class From>
DEEPGLASS_LANES Vector<T> load_as(const From* p) {
  if constexpr (sizeof(T) == sizeof(From)) {
    return load<Vector<T>>(p);
  } else {
    return __builtin_convertvector(load<HalfVector>(p), Vector<T>);
  }
}
template <class To, class V>
DEEPGLASS_LANES void store_as(To* p, V x) {
  if constexpr (sizeof(To) == sizeof x[0]) {
    store(p, x);
  } else {
    store(p, __builtin_convertvector(x, HalfVector));
  }
}

DEEPGLASS_LANES int count_negative(Vector<std::int8_t> x) {
#if defined(__AVX512BW__)
  return __builtin_popcountll(_mm512_movepi8_mask(reinterpret_cast<__m512i>(x)));
#elif defined(__AVX2__)
  return __builtin_popcount(static_cast<unsigned>(_mm256_movemask_epi8(reinterpret_cast<__m256i>(x))));
#elif defined(__SSE2__)
  return __builtin_popcount(static_cast<unsigned>(_mm_movemask_epi8(reinterpret_cast<__m128i>(x))));
#else
  int n = 0;
  for (int k = 0; k < kPerVector<std::int8_t>; ++k) n += x[k] < 0;
  return n;
#endif
}
DEEPGLASS_LANES int count_negative(Vector<std::int16_t> x) {
  return count_negative(reinterpret_cast<Vector<std::int8_t>>(x < 0)) / 2;
}

constexpr int kTilePatterns = 64;  // a cache line of bytes

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
template <class T>
struct IntegerSpinLayer {
  Index width, width_above;
  Index row;          // from neuron to neuron
  std::int8_t* spin;  // (width, row)
  T* gap;             // (width, row): u
  int parity;         // of n_inputs
  const std::int8_t* spin_above;
  T* gap_above;
  const std::int8_t* bonds;  // (width, bond_row): J of layer l + 1, 0 where there is none
  Index bond_row;
  float temperature;
};

// The layer above for kTilePatterns patterns: for each neuron -S, f, S, where f is u for S = 1 and -1 - u for
// S = -1.  It goes with the field: a flip of S_i changes it to f - J S_i, whatever S is.
template <class T>
struct IntegerTile {
  static constexpr int kRow = 3 * kTilePatterns;
  explicit IntegerTile(Index most_outputs) : rows(most_outputs * kRow), most(most_outputs) {}
  Aligned<T> rows;
  Index most;
};

constexpr int kBatch = Words::kTile / kLanes;  // spins for which one tile of random numbers suffices

// Largest rises for kBatch spins and kTilePatterns patterns; each sixteen of them have tiles of their own.
template <class R>
void spin_rises(const Words& words, Index first_tile, Index tiles_of_sixteen, float temperature, R* rise) {
  for (int part = 0; part < kTilePatterns / kLanes; ++part) {
    alignas(64) std::int32_t wide[Words::kTile];
    largest_rises(words, first_tile + part * tiles_of_sixteen, temperature, std::numeric_limits<R>::max(),
                  wide);
    for (int i = 0; i < kBatch; ++i) {
      for (int c = 0; c < kLanes; ++c) {
        rise[i * kTilePatterns + part * kLanes + c] = static_cast<R>(wide[i * kLanes + c]);
      }
    }
  }
}

// What is to be taken for a bond of -1, 0 and 1.
template <class T>
struct ByBond {
  alignas(64) T value[3][kTilePatterns] = {};
};

// Makes the flips `done` of the spin before, and gives, but for the sign of this spin S, the rise of the
// number of errors in the layer above if it flips:
//     sum_j J_j S_j [f_j = edge],  edge = 0 for J_j S = 1 and -1 for J_j S = -1.
// (For J = 0 what is added is f [f = 0] = 0.)
template <class R, class T>
DEEPGLASS_LANES void try_spins(Index width_above, const std::int8_t* bond_before, const ByBond<T>& done,
                               const std::int8_t* bond, const ByBond<T>& edge, T* rows, R* sum) {
  using V = Vector<T>;
  constexpr int kVectors = kTilePatterns / kPerVector<T>;
  constexpr Index kMost = std::numeric_limits<T>::max();  // neurons until a sum could overflow
  std::memset(sum, 0, kTilePatterns * sizeof(R));
  for (Index first = 0; first < width_above; first += kMost) {
    const Index last = std::min(width_above, first + kMost);
    V partial[kVectors] = {};
    for (Index j = first; j < last; ++j) {
      const T* const change = done.value[1] + bond_before[j] * kTilePatterns;
      const T* const at_edge = edge.value[1] + bond[j] * kTilePatterns;
      T* const f = rows + j * IntegerTile<T>::kRow + kTilePatterns;
      const T* const spin = f + bond[j] * kTilePatterns;
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        const int at = v * kPerVector<T>;
        const V now = load<V>(f + at) + load<V>(change + at);
        store(f + at, now);
        partial[v] += (now == load<V>(at_edge + at)) & load<V>(spin + at);
      }
    }
    alignas(64) T all[kTilePatterns];
    std::memcpy(all, partial, sizeof all);
    for (int at = 0; at < kTilePatterns; at += kPerVector<R>)
      store(sum + at, load<Vector<R>>(sum + at) + load_as<R>(all + at));
  }
}

// Accepts or rejects the flips of one spin.  Gives the number accepted; `done` is what they do to f above.
template <class R, class T>
DEEPGLASS_LANES Index decide_spins(const R* sum, const R* most, int parity, std::int8_t* spin, T* gap,
                                   ByBond<T>& done) {
  using V = Vector<R>;
  Index n_accepted = 0;
  for (int at = 0; at < kTilePatterns; at += kPerVector<R>) {
    const V s = load_as<R>(spin + at), u = load_as<R>(gap + at), sign = s < 0;
    const V turned = ~u + static_cast<R>(1 - parity);
    const V above = (load<V>(sum + at) ^ sign) - sign;
    const V yes = (above + (u < 0) - (turned < 0) <= load<V>(most + at)) & (s != 0);
    const V change = s & yes;
    store_as(done.value[0] + at, change);
    store_as(done.value[2] + at, -change);
    store_as(gap + at, yes ? turned : u);
    store_as(spin + at, (s ^ yes) - yes);
    n_accepted += count_negative(yes);
  }
  return n_accepted;
}

// Tries each spin of a layer once, in kTilePatterns patterns.  Gives the number accepted.  R holds a rise,
// from -width_above - 1 to width_above + 1.
template <class R, class T>
Index flip_spins(const IntegerSpinLayer<T>& layer, const Words& words, Index first, IntegerTile<T>& tile) {
  using V = Vector<T>;
  T* const rows = tile.rows.data();
  for (Index j = 0; j < layer.width_above; ++j) {
    const Index from = j * layer.row + first;
    T* const row = rows + j * IntegerTile<T>::kRow;
    for (int at = 0; at < kTilePatterns; at += kPerVector<T>) {
      const V s = load_as<T>(layer.spin_above + from + at);
      store(row + at, -s);
      store(row + kTilePatterns + at, load<V>(layer.gap_above + from + at) ^ (s < 0));
      store(row + 2 * kTilePatterns + at, s);
    }
  }
  Index n_accepted = 0;
  const Index tiles_of_sixteen = round_up(layer.width, kBatch) / kBatch;
  alignas(64) R most[kBatch * kTilePatterns];
  alignas(64) R sum[kTilePatterns];
  ByBond<T> done, edge;
  const std::int8_t* before = layer.bonds;
  for (Index i = 0; i < layer.width; ++i) {
    if (i % kBatch == 0) {
      spin_rises(words, first / kLanes * tiles_of_sixteen + i / kBatch, tiles_of_sixteen, layer.temperature,
                 most);
    }
    const std::int8_t* const bond = layer.bonds + i * layer.bond_row;
    std::int8_t* const spin = layer.spin + i * layer.row + first;
    for (int at = 0; at < kTilePatterns; at += kPerVector<T>) {
      const V sign = load_as<T>(spin + at) < 0;
      store(edge.value[0] + at, ~sign);
      store(edge.value[2] + at, sign);
    }
    try_spins<R>(layer.width_above, before, done, bond, edge, rows, sum);
    n_accepted += decide_spins<R>(sum, most + i % kBatch * kTilePatterns, layer.parity, spin,
                                  layer.gap + i * layer.row + first, done);
    before = bond;
  }
  for (Index j = 0; j < layer.width_above; ++j) {
    const Index to = j * layer.row + first;
    const T* const f = rows + j * IntegerTile<T>::kRow + kTilePatterns;
    const T* const change = done.value[1] + before[j] * kTilePatterns;
    for (int at = 0; at < kTilePatterns; at += kPerVector<T>) {
      const V s = load_as<T>(layer.spin_above + to + at);
      store(layer.gap_above + to + at, (load<V>(f + at) + load<V>(change + at)) ^ (s < 0));
    }
  }
  return n_accepted;
}

// ---- Bonds

constexpr int kPerceptrons = 4;  // with common blocks of random numbers

template <class T>
std::int32_t row_errors(Index row, const T* gap) {
  std::int32_t n_errors = 0;
  for (Index m = 0; m < row; m += kPerVector<T>) n_errors += count_negative(load<Vector<T>>(gap + m));
  return n_errors;
}

// For each output S what makes -J S_k S of an input S_k, by exclusive or: 0 for J S = -1, and -2 for J S = 1.
template <class T>
void turns(Index row, const std::int8_t* output, T* positive, T* negative) {
  for (Index m = 0; m < row; m += kPerVector<T>) {
    const Vector<T> s = load_as<T>(output + m);
    store(positive + m, (s > 0) & -2);
    store(negative + m, (s < 0) & -2);
  }
}

// Sum of all bytes, taken as 0 .. 255.
template <class V>
DEEPGLASS_LANES std::int32_t add_bytes(V x) {
#if defined(__SSE2__)
  typedef std::int64_t Sums __attribute__((vector_size(kVectorBytes)));
#if defined(__AVX512BW__)
  const Sums s = reinterpret_cast<Sums>(_mm512_sad_epu8(reinterpret_cast<__m512i>(x), __m512i{}));
  return static_cast<std::int32_t>(((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7])));
#elif defined(__AVX2__)
  const Sums s = reinterpret_cast<Sums>(_mm256_sad_epu8(reinterpret_cast<__m256i>(x), __m256i{}));
  return static_cast<std::int32_t>((s[0] + s[1]) + (s[2] + s[3]));
#else
  const Sums s = reinterpret_cast<Sums>(_mm_sad_epu8(reinterpret_cast<__m128i>(x), __m128i{}));
  return static_cast<std::int32_t>(s[0] + s[1]);
#endif
#else
  std::uint8_t byte[kVectorBytes];
  std::memcpy(byte, &x, sizeof byte);
  std::int32_t sum = 0;
  for (const std::uint8_t b : byte) sum += b;
  return sum;
#endif
}

// u after a flip of a bond, and the number of errors.
template <class T>
DEEPGLASS_LANES std::int32_t try_bond(Index row, const T* gap, const T* turn, const std::int8_t* spin,
                                      T* moved) {
  using V = Vector<T>;
  constexpr int kVectors = kTilePatterns / kPerVector<T>;
  constexpr Index kMost = 127 / kVectors * kTilePatterns;  // patterns until a byte could overflow
  std::int32_t n_errors = 0;
  for (Index first = 0; first < row; first += kMost) {
    const Index last = std::min(row, first + kMost);
    V sum = {};
    for (Index m = first; m < last; m += kTilePatterns) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        const Index at = m + v * kPerVector<T>;
        const V u = load<V>(gap + at) + (load_as<T>(spin + at) ^ load<V>(turn + at));
        store(moved + at, u);
        sum -= u < 0;
      }
    }
    n_errors += add_bytes(sum);
  }
  return n_errors;
}

// kPerceptrons perceptrons of a layer.
template <class T>
struct IntegerStrip {
  Index row;  // patterns, padded
  Index n_moves;
  const std::int32_t* input[kPerceptrons];  // (n_moves,): the bonds that are tried, one after the other
  const std::int8_t* spins_below;           // (width below, stride)
  Index stride;
  T* gap[kPerceptrons];            // (row,)
  T* room[kPerceptrons];           // (row,): where a trial is written
  const T* turn[kPerceptrons][2];  // (row,) for J = 1 and -1
  std::int8_t* bonds;              // of the first perceptron; (input, bond_row)
  Index bond_row;
  const std::int32_t* most;  // (kPerceptrons, most_row): largest rises
  Index most_row;
};

// Tries all bonds of the first n_real perceptrons of a strip.  Gives the number accepted.
template <class T>
Index flip_bonds(IntegerStrip<T> strip, int n_real) {
  T* rows[kPerceptrons][2];
  int moved[kPerceptrons] = {};  // the gaps are in this row
  std::int32_t n_errors[kPerceptrons];
  for (int p = 0; p < n_real; ++p) {
    rows[p][0] = strip.gap[p];
    rows[p][1] = strip.room[p];
    n_errors[p] = row_errors(strip.row, strip.gap[p]);
  }
  Index n_accepted = 0;
  for (Index q = 0; q < strip.n_moves; ++q) {
    for (int p = 0; p < n_real; ++p) {
      const Index k = strip.input[p][q];
      std::int8_t& bond = strip.bonds[k * strip.bond_row + p];
      const std::int32_t rise = try_bond(strip.row, rows[p][moved[p]], strip.turn[p][bond < 0],
                                         strip.spins_below + k * strip.stride, rows[p][1 - moved[p]]) -
                                n_errors[p];
      const int yes =
          rise <= strip.most[p * strip.most_row + q];  // not for a branch: nobody could predict it
      moved[p] ^= yes;
      n_errors[p] += rise & -yes;
      bond = static_cast<std::int8_t>((bond ^ -yes) + yes);
      n_accepted += yes;
    }
  }
  for (int p = 0; p < n_real; ++p) {
    if (moved[p]) std::memcpy(strip.gap[p], strip.room[p], static_cast<std::size_t>(strip.row) * sizeof(T));
  }
  return n_accepted;
}

// Largest rises for the bonds of a strip: a tile has numbers for each perceptron, move by move.
inline void bond_rises(const Words& words, Index strip, Index n_moves, float temperature, std::int32_t* rise,
                       Index rise_row) {
  constexpr Index kMoves = Words::kTile / kPerceptrons;
  const Index tiles = round_up(n_moves, kMoves) / kMoves;
  alignas(64) std::int32_t number[Words::kTile];
  for (Index t = 0; t < tiles; ++t) {
    largest_rises(words, strip * tiles + t, temperature, std::numeric_limits<std::int16_t>::max(), number);
    for (int p = 0; p < kPerceptrons; ++p) {
      for (Index q = 0; q < kMoves; ++q) rise[p * rise_row + t * kMoves + q] = number[q * kPerceptrons + p];
    }
  }
}

}  // namespace deepglass::mc
