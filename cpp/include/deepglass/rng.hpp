// Random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC11), a function of (seed, stream, position).
//
// There is no state to carry: number k of a stream can be had at once, in any order, by any thread.  One
// block of 128 bits gives 2 uniforms, or 2 normals, or 4 words, or 128 signs; number k of a kind is made of
// block k/2 (k/4, k/128).  So fills of different kind from the same blocks are NOT independent: give each its
// own stream or range.
//
// The bits are the same at every CPU level: integers, then + - * / sqrt on doubles, no fma, no libm.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "deepglass/core.hpp"

namespace deepglass {

using Block = std::array<std::uint32_t, 4>;

namespace detail {

constexpr std::uint32_t kPhiloxM0 = 0xD2511F53, kPhiloxM1 = 0xCD9E8D57;  // multipliers
constexpr std::uint32_t kPhiloxW0 = 0x9E3779B9, kPhiloxW1 = 0xBB67AE85;  // key increments
constexpr int kPhiloxRounds = 10;

inline std::uint32_t low(std::uint64_t x) {
  return static_cast<std::uint32_t>(x);
}
inline std::uint32_t high(std::uint64_t x) {
  return static_cast<std::uint32_t>(x >> 32);
}

}  // namespace detail

// The bijection itself.
inline Block philox_block(Block counter, std::array<std::uint32_t, 2> key) {
  using namespace detail;
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const std::uint64_t p0 = std::uint64_t{kPhiloxM0} * counter[0],
                        p1 = std::uint64_t{kPhiloxM1} * counter[2];
    counter = {high(p1) ^ counter[1] ^ key[0], low(p1), high(p0) ^ counter[3] ^ key[1], low(p0)};
    key = {key[0] + kPhiloxW0, key[1] + kPhiloxW1};
  }
  return counter;
}

// Uniform in (0, 1], a multiple of 2^-53:  (k + 1) 2^-53,  k the upper 53 bits of high:low.
//
// The two parts become doubles by setting the exponent: 2^20 + high 2^-32 and 1/2 + (low + 1) 2^-53.  Every
// step is exact, and vectorises where there is no conversion from integers.
inline double uniform_from_bits(std::uint64_t low_word, std::uint64_t high_word) {
  const std::uint64_t upper = 0x4130000000000000 | (high_word & 0xFFFFFFFF);
  const std::uint64_t lower = 0x3FE0000000000001 + ((low_word & 0xFFFFFFFF) >> 11);
  double x, y;
  std::memcpy(&x, &upper, sizeof x);
  std::memcpy(&y, &lower, sizeof y);
  return (x - (0x1p20 + 0.5)) + y;
}

namespace detail {

// -log(u) for u in (0, 1], u normal; within 1 ulp.  u = 2^e m, m in [sqrt(1/2), sqrt(2)), and
// log m = 2 s (1 + s^2/3 + s^4/5 + ...), s = (m-1)/(m+1), |s| < 0.172.
inline double minus_log_unit(double u) {
  std::uint64_t bits;
  std::memcpy(&bits, &u, sizeof bits);
  constexpr std::uint64_t kSqrtHalf = 0x3FE6A09E667F3BCD;
  const std::uint64_t shifted = bits - kSqrtHalf + (std::uint64_t{1023} << 52);  // biased exponent e + 1023
  const std::uint64_t mantissa_bits = (shifted & 0x000FFFFFFFFFFFFF) + kSqrtHalf;
  const std::uint64_t exponent_bits = 0x4330000000000000 | (shifted >> 52);
  double m, e;
  std::memcpy(&m, &mantissa_bits, sizeof m);
  std::memcpy(&e, &exponent_bits, sizeof e);
  e -= 0x1p52 + 1023;
  const double s = (m - 1) / (m + 1), z = s * s;
  double p = 1.0 / 21;
  for (int k = 19; k >= 3; k -= 2) p = p * z + 1.0 / k;
  // log 2 in two parts, the first with trailing zeros, so that e times it is exact.
  constexpr double kLog2High = 0x1.62e42fefa38p-1, kLog2Low = 0x1.ef35793c7673p-45;
  return -(e * kLog2High + (2 * s + (2 * s * (z * p) + e * kLog2Low)));
}

// Two independent normals from two uniforms:  sqrt(-2 log u) (cos, sin)(2 pi v)  (Box and Muller 1958).
// Quarter turns are taken off exactly, so zeros of cos and sin keep their relative accuracy.
inline void normal_pair(double u, double v, double& first, double& second) {
  const double radius = std::sqrt(2 * minus_log_unit(u));
  constexpr double kRound = 0x1.8p52;
  const double shifted = 4 * v + kRound;  // its last bits are the number of quarter turns
  const double quarters = shifted - kRound, rest = 4 * v - quarters;
  std::uint64_t turns;
  std::memcpy(&turns, &shifted, sizeof turns);
  const double x = rest * 1.57079632679489661923, z = x * x;  // |x| <= pi/4: Taylor to the last bit
  double s = -1.0 / 1307674368000;                            // 15!
  s = s * z + 1.0 / 6227020800;
  s = s * z - 1.0 / 39916800;
  s = s * z + 1.0 / 362880;
  s = s * z - 1.0 / 5040;
  s = s * z + 1.0 / 120;
  s = s * z - 1.0 / 6;
  const double sine = x + x * (z * s);
  double c = 1.0 / 20922789888000;  // 16!
  c = c * z - 1.0 / 87178291200;
  c = c * z + 1.0 / 479001600;
  c = c * z - 1.0 / 3628800;
  c = c * z + 1.0 / 40320;
  c = c * z - 1.0 / 720;
  c = c * z + 1.0 / 24;
  const double cosine = 1 + z * (c * z - 0.5);
  // Odd numbers of quarter turns exchange the two; in integers, for SSE2 has no 64-bit comparison.
  std::uint64_t sine_bits, cosine_bits;
  std::memcpy(&sine_bits, &sine, sizeof sine);
  std::memcpy(&cosine_bits, &cosine, sizeof cosine);
  const std::uint64_t exchange = (sine_bits ^ cosine_bits) & (0 - (turns & 1));
  cosine_bits ^= exchange ^ ((turns + 1) & 2) << 62;
  sine_bits ^= exchange ^ (turns & 2) << 62;
  double along, across;
  std::memcpy(&along, &cosine_bits, sizeof along);
  std::memcpy(&across, &sine_bits, sizeof across);
  first = radius * along;
  second = radius * across;
}

// ---- Many blocks at once

// Philox in lanes of 64 bits, of which the upper halves hold rubbish: the multiplication of CPUs ignores it,
// and nobody needs to clear it.  Compilers do not find that instruction by themselves.
#if defined(__GNUC__)
#if defined(__AVX512F__)
constexpr int kPhiloxWidth = 8;
#elif defined(__AVX2__)
constexpr int kPhiloxWidth = 4;
#else
constexpr int kPhiloxWidth = 2;
#endif
typedef std::uint64_t Lanes __attribute__((vector_size(8 * kPhiloxWidth)));

inline Lanes times(Lanes a, Lanes b) {
#if defined(__AVX512F__)
  return (Lanes)_mm512_maskz_mul_epu32(0xFF, (__m512i)a, (__m512i)b);  // plain: GCC warns of its own header
#elif defined(__AVX2__)
  return (Lanes)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
  return (Lanes)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
  return (a & 0xFFFFFFFF) * (b & 0xFFFFFFFF);
#endif
}
inline Lanes every(std::uint64_t x) {
  return Lanes{} + x;
}
#else
constexpr int kPhiloxWidth = 1;
using Lanes = std::uint64_t;
inline Lanes times(Lanes a, Lanes b) {
  return (a & 0xFFFFFFFF) * (b & 0xFFFFFFFF);
}
inline Lanes every(std::uint64_t x) {
  return x;
}
#endif

constexpr int kTile = 32;  // blocks made in one go; of no effect on the numbers

template <int kBlocks>
struct Blocks {
  std::uint64_t word[4][kBlocks];  // lower halves only
};
using Tile = Blocks<kTile>;

template <int kBlocks>
inline void philox_tile(std::uint64_t seed, std::uint64_t stream, std::uint64_t position,
                        Blocks<kBlocks>& tile) {
  constexpr int kGroup = 2;  // hides the latency of the multiplications
  static_assert(kBlocks % (kGroup * kPhiloxWidth) == 0, "whole vectors");
  constexpr std::uint64_t kCount[8] = {0, 1, 2, 3, 4, 5, 6, 7};
  Lanes count;
  std::memcpy(&count, kCount, sizeof count);
  for (int at = 0; at < kBlocks; at += kGroup * kPhiloxWidth) {
    Lanes c0[kGroup], c1[kGroup], c2[kGroup], c3[kGroup];
    for (int g = 0; g < kGroup; ++g) {
      c0[g] = every(position + static_cast<std::uint64_t>(at + g * kPhiloxWidth)) + count;
      c1[g] = c0[g] >> 32;
      c2[g] = every(stream);
      c3[g] = every(stream >> 32);
    }
    std::uint32_t k0 = low(seed), k1 = high(seed);
#if defined(__GNUC__)
#pragma GCC unroll 10
#endif
    for (int round = 0; round < kPhiloxRounds; ++round) {
      for (int g = 0; g < kGroup; ++g) {
        const Lanes p0 = times(c0[g], every(kPhiloxM0)), p1 = times(c2[g], every(kPhiloxM1));
        c0[g] = (c1[g] ^ every(k0)) ^ (p1 >> 32);
        c2[g] = (c3[g] ^ every(k1)) ^ (p0 >> 32);
        c1[g] = p1;
        c3[g] = p0;
      }
      k0 += kPhiloxW0;
      k1 += kPhiloxW1;
    }
    for (int g = 0; g < kGroup; ++g) {
      const int lane = at + g * kPhiloxWidth;
      std::memcpy(&tile.word[0][lane], &c0[g], sizeof(Lanes));
      std::memcpy(&tile.word[1][lane], &c1[g], sizeof(Lanes));
      std::memcpy(&tile.word[2][lane], &c2[g], sizeof(Lanes));
      std::memcpy(&tile.word[3][lane], &c3[g], sizeof(Lanes));
    }
  }
}

// Each of these writes what the blocks of one tile give, in order; kPerBlock numbers a block.
struct WriteUniform {
  static constexpr int kPerBlock = 2;
  void operator()(const Tile& tile, double* out) const {
    for (int l = 0; l < kTile; ++l) {
      out[2 * l] = uniform_from_bits(tile.word[0][l], tile.word[1][l]);
      out[2 * l + 1] = uniform_from_bits(tile.word[2][l], tile.word[3][l]);
    }
  }
};

struct WriteNormal {
  static constexpr int kPerBlock = 2;
  void operator()(const Tile& tile, double* out) const {
    double first[kTile], second[kTile];
    for (int l = 0; l < kTile; ++l) {
      normal_pair(uniform_from_bits(tile.word[0][l], tile.word[1][l]),
                  uniform_from_bits(tile.word[2][l], tile.word[3][l]), first[l], second[l]);
    }
    for (int l = 0; l < kTile; ++l) {
      out[2 * l] = first[l];
      out[2 * l + 1] = second[l];
    }
  }
};

struct WriteWords {
  static constexpr int kPerBlock = 4;
  void operator()(const Tile& tile, std::uint32_t* out) const {
    for (int l = 0; l < kTile; ++l) {
      for (int w = 0; w < 4; ++w) out[4 * l + w] = low(tile.word[w][l]);
    }
  }
};

struct WriteSign {
  static constexpr int kPerBlock = 128;
  template <class T>
  void operator()(const Tile& tile, T* out) const {
    for (int l = 0; l < kTile; ++l) {
      for (int w = 0; w < 4; ++w) {
        const std::uint32_t word = low(tile.word[w][l]);
        for (int bit = 0; bit < 32; ++bit) *out++ = static_cast<T>(1 - 2 * static_cast<int>(word >> bit & 1));
      }
    }
  }
};

}  // namespace detail

// One stream of one seed.  A chain c takes stream c, so that its numbers depend on (seed, c) only.
class Philox {
 public:
  explicit Philox(std::uint64_t seed, std::uint64_t stream = 0) : seed_(seed), stream_(stream) {}

  // The block at a position: key = seed, counter = (position, stream), low words first.
  Block block(std::uint64_t position) const {
    using namespace detail;
    return philox_block({low(position), high(position), low(stream_), high(stream_)},
                        {low(seed_), high(seed_)});
  }

  // One after the other, for those who want few.
  Block next() { return block(position_++); }
  void seek(std::uint64_t position) { position_ = position; }
  std::uint64_t position() const { return position_; }

  // Numbers offset, offset + 1, ... of the stream; neither uses nor moves position().
  void fill_uniform(Span<double> out, std::uint64_t offset = 0) const {  // in (0, 1]
    fill(out, offset, detail::WriteUniform{});
  }
  void fill_normal(Span<double> out, std::uint64_t offset = 0) const {
    fill(out, offset, detail::WriteNormal{});
  }
  void fill_words(Span<std::uint32_t> out, std::uint64_t offset = 0) const {
    fill(out, offset, detail::WriteWords{});
  }
  template <class T>
  void fill_sign(Span<T> out, std::uint64_t offset = 0) const {  // +1 where the bit is 0, -1 where it is 1
    fill(out, offset, detail::WriteSign{});
  }

 private:
  template <class T, class Write>
  void fill(Span<T> out, std::uint64_t offset, Write write) const {
    constexpr Index kLength = Index{detail::kTile} * Write::kPerBlock;
    std::uint64_t position = offset / Write::kPerBlock;
    detail::Tile tile;
    T buffer[kLength];
    Index done = 0, skip = static_cast<Index>(offset % Write::kPerBlock);
    while (done < out.size()) {
      detail::philox_tile(seed_, stream_, position, tile);
      if (skip == 0 && out.size() - done >= kLength) {
        write(tile, out.data() + done);
        done += kLength;
      } else {  // the start within a block, the end within a tile
        write(tile, buffer);
        const Index count = std::min(kLength - skip, out.size() - done);
        std::copy_n(buffer + skip, count, out.data() + done);
        done += count;
        skip = 0;
      }
      position += detail::kTile;
    }
  }

  std::uint64_t seed_, stream_;
  std::uint64_t position_ = 0;
};

}  // namespace deepglass
