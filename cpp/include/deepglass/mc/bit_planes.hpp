// Small integers of kBlock patterns side by side, as planes of bits: bit b of all of them is one vector.
//
// Logic then works on kBlock numbers at once.  Numbers are in two's complement.  Which bit of a vector is
// whose does not matter to any of this, and follows from what transposes well: see place_of.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "deepglass/mc/lanes.hpp"

namespace deepglass::mc {

using Word = std::uint64_t;
typedef Word Bits __attribute__((vector_size(32)));
constexpr Index kBlock = 256, kBlockWords = 4;

inline int count_ones(Word x) {
#if defined(__POPCNT__)
  return __builtin_popcountll(x);
#else
  x -= x >> 1 & 0x5555555555555555;
  x = (x & 0x3333333333333333) + (x >> 2 & 0x3333333333333333);
  return static_cast<int>(((x + (x >> 4)) & 0x0F0F0F0F0F0F0F0F) * 0x0101010101010101 >> 56);
#endif
}
DEEPGLASS_LANES int count_ones(Bits x) {
  return count_ones(x[0]) + count_ones(x[1]) + count_ones(x[2]) + count_ones(x[3]);
}
// The same for each byte; sums of bytes, eight by eight; and sums of four numbers for each of four.
DEEPGLASS_LANES Bits ones_in_bytes(Bits x) {
  x -= x >> 1 & 0x5555555555555555;
  x = (x & 0x3333333333333333) + (x >> 2 & 0x3333333333333333);
  return (x + (x >> 4)) & 0x0F0F0F0F0F0F0F0F;
}
DEEPGLASS_LANES Bits add_bytes(Bits x) {
#if defined(__AVX2__)
  return reinterpret_cast<Bits>(_mm256_sad_epu8(reinterpret_cast<__m256i>(x), __m256i{}));
#else
  x = (x & 0x00FF00FF00FF00FF) + (x >> 8 & 0x00FF00FF00FF00FF);
  x += x >> 16;
  return (x + (x >> 32)) & 0x7FF;
#endif
}
// The ones of a & (b ^ c), in each quarter of the words.
DEEPGLASS_LANES Bits count_common_ones(Index words, const Word* a, const Word* b, const Word* c) {
  constexpr Index kMost = 31 * kBlockWords;  // words until a byte could overflow
  Bits sum = {};
  Index w = 0;
  do {
    Bits bytes = {};
    const Index last = std::min(words, w + kMost);
    do {
      bytes += ones_in_bytes(load<Bits>(a + w) & (load<Bits>(b + w) ^ load<Bits>(c + w)));
      w += kBlockWords;
    } while (w < last);
    sum += add_bytes(bytes);
  } while (w < words);
  return sum;
}
DEEPGLASS_LANES FourInts add_rows_of_four(const Bits* x) {
  Bits pair[2];
  for (int r = 0; r < 2; ++r) {
    pair[r] = __builtin_shufflevector(x[2 * r], x[2 * r + 1], 0, 4, 2, 6) +
              __builtin_shufflevector(x[2 * r], x[2 * r + 1], 1, 5, 3, 7);
  }
  const Bits sum = __builtin_shufflevector(pair[0], pair[1], 0, 1, 4, 5) +
                   __builtin_shufflevector(pair[0], pair[1], 2, 3, 6, 7);
  return __builtin_convertvector(sum, FourInts);
}
DEEPGLASS_LANES Bits every_bit(bool set) {
  return Bits{} - static_cast<Word>(set);
}
inline int bit_length(Index n) {
  int length = 0;
  for (; n > 0; n >>= 1) ++length;
  return length;
}

// Where pattern m of a row is: the 32 patterns whose numbers are 32 v + t share bit v of byte t of a block.
struct Place {
  Index word;
  int bit;
};
inline Place place_of(Index m) {
  const Index within = m % kBlock;
  return {m / kBlock * kBlockWords + within % 32 / 8, static_cast<int>(8 * (within % 8) + within / 32)};
}
inline bool bit_of(const Word* row, Index m) {
  const Place place = place_of(m);
  return row[place.word] >> place.bit & 1;
}
inline void set_bit(Word* row, Index m, bool set) {
  const Place place = place_of(m);
  row[place.word] = (row[place.word] & ~(Word{1} << place.bit)) | Word{set} << place.bit;
}

// Bytes of a block, byte k of the pattern k, to planes: bit v of vector b becomes bit b of vector v.
DEEPGLASS_LANES void transpose_bytes(Bits* x) {
  const auto exchange = [&](int shift, Word mask) {
    for (int v = 0; v < 8; ++v) {
      if (v & shift) continue;
      const Bits t = ((x[v] >> shift) ^ x[v + shift]) & mask;
      x[v + shift] ^= t;
      x[v] ^= t << shift;
    }
  };
  exchange(4, 0x0F0F0F0F0F0F0F0F);
  exchange(2, 0x3333333333333333);
  exchange(1, 0x5555555555555555);
}

// a + b + c of one bit each
struct TwoBits {
  Bits low, high;
};
DEEPGLASS_LANES TwoBits add_bits(Bits a, Bits b, Bits c) {
  const Bits either = a ^ b;
  return {either ^ c, (a & b) | (either & c)};
}

// How many of n bits are set, pattern by pattern: `count` gets max(3, bit_length(n)) planes.  The rows end
// with zeros up to a multiple of 8.
inline void count_rows(const Bits* row, Index n, Bits* count, int n_planes) {
  Bits ones = {}, twos = {}, fours = {};
  std::fill_n(count, n_planes, Bits{});
  for (const Bits* const end = row + n; row < end; row += 8) {
    const TwoBits a = add_bits(ones, row[0], row[1]), b = add_bits(a.low, row[2], row[3]);
    const TwoBits c = add_bits(b.low, row[4], row[5]), d = add_bits(c.low, row[6], row[7]);
    const TwoBits e = add_bits(twos, a.high, b.high), f = add_bits(e.low, c.high, d.high);
    const TwoBits g = add_bits(fours, e.high, f.high);
    ones = d.low;
    twos = f.low;
    fours = g.low;
    Bits carry = g.high;
    for (int p = 3; p < n_planes; ++p) {
      const Bits before = count[p];
      count[p] = before ^ carry;
      carry &= before;
    }
  }
  count[0] = ones;
  count[1] = twos;
  count[2] = fours;
}

// A number u of `n_planes` planes that lie `stride` words apart.
struct Edge {
  Bits negative, at_edge;  // u < 0; u = 0 or -1, that is all planes alike
};

// u + 1 where `up`, u - 1 where not, if `changed`.
DEEPGLASS_LANES Edge step(Word* planes, Index stride, int n_planes, Bits changed, Bits up) {
  const Bits lowest = load<Bits>(planes) ^ changed;
  Bits now = lowest, different = {};
  changed &= ~(load<Bits>(planes) ^ up);
  store(planes, now);
  for (int p = 1; p < n_planes; ++p) {
    planes += stride;
    const Bits before = load<Bits>(planes);
    now = before ^ changed;
    store(planes, now);
    changed &= ~(before ^ up);
    different |= now ^ lowest;
  }
  return {now, ~different};
}

}  // namespace deepglass::mc
