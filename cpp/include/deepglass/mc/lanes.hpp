// Sixteen numbers side by side, in as few vectors of the CPU level as hold them (GCC and Clang vector types).
//
// Every operation here is one IEEE operation on each number, and no sum runs across lanes except in the fixed
// tree of fold_lanes and add_rows: a trajectory is the same bits on every CPU level.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "deepglass/core.hpp"

#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wpsabi"  // how wide vectors are passed: all of these functions are inlined
#endif

namespace deepglass::mc {

#if defined(__AVX512F__)
constexpr int kWidth = 16;
#elif defined(__AVX__)
constexpr int kWidth = 8;
#else
constexpr int kWidth = 4;
#endif
constexpr int kLanes = 16;
constexpr int kParts = kLanes / kWidth;  // vectors that hold kLanes numbers

typedef float Floats __attribute__((vector_size(4 * kWidth)));
typedef std::int32_t Ints __attribute__((vector_size(4 * kWidth)));
typedef float FourFloats __attribute__((vector_size(16)));
typedef std::int32_t FourInts __attribute__((vector_size(16)));

#define DEEPGLASS_LANES inline __attribute__((always_inline))

template <class V, class T>
DEEPGLASS_LANES V load(const T* p) {  // aligned to the vector
  return *reinterpret_cast<const V __attribute__((may_alias))*>(p);
}
template <class V, class T>
DEEPGLASS_LANES void store(T* p, V x) {
  *reinterpret_cast<V __attribute__((may_alias))*>(p) = x;
}
template <class V>
DEEPGLASS_LANES V every(float x) {
  return x - V{};  // not +: x + 0 is not x for x = -0
}

// min(x, 0)
DEEPGLASS_LANES Floats below_zero(Floats x) {
#if defined(__AVX512F__)
  return _mm512_maskz_min_ps(0xFFFF, x, Floats{});  // plain: GCC warns of its own header
#elif defined(__AVX__)
  return _mm256_min_ps(x, Floats{});
#elif defined(__SSE2__)
  return _mm_min_ps(x, Floats{});
#else
  return x < Floats{} ? x : Floats{};
#endif
}

// a b + c for an exact product (a = 0, +-1): fused or not, it is rounded once.  The fused operation leaves
// the adders of the CPU to the sums.
DEEPGLASS_LANES Floats add_exact_product(Floats a, Floats b, Floats c) {
#if defined(__AVX512F__)
  return _mm512_maskz_fmadd_ps(0xFFFF, a, b, c);
#elif defined(__FMA__) && defined(__AVX__)
  return _mm256_fmadd_ps(a, b, c);
#else
  return a * b + c;
#endif
}

DEEPGLASS_LANES Floats choose(Ints mask, Floats yes, Floats no) {
  return mask ? yes : no;
}

// table[index & 3], lane by lane; the table of four numbers stands in every quarter of its vector.
DEEPGLASS_LANES Floats entry(Floats table, Ints index) {
#if defined(__AVX512F__)
  return _mm512_maskz_permutevar_ps(0xFFFF, table, reinterpret_cast<__m512i>(index));
#elif defined(__AVX__)
  return _mm256_permutevar_ps(table, reinterpret_cast<__m256i>(index));
#else
  const Ints odd = -(index & 1), high = -((index >> 1) & 1);
  const Floats t0 = every<Floats>(table[0]), t1 = every<Floats>(table[1]), t2 = every<Floats>(table[2]),
               t3 = every<Floats>(table[3]);
  return choose(high, choose(odd, t3, t2), choose(odd, t1, t0));
#endif
}

DEEPGLASS_LANES Floats repeat_four(const FourFloats* four) {
#if defined(__AVX512F__)
  return _mm512_maskz_broadcast_f32x4(0xFFFF, *four);
#elif defined(__AVX__)
  return _mm256_broadcast_ps(four);
#else
  return *four;
#endif
}

// kWidth bytes as integers.
DEEPGLASS_LANES Ints widen(const std::uint8_t* p) {
#if defined(__AVX512F__)
  return reinterpret_cast<Ints>(
      _mm512_maskz_cvtepu8_epi32(0xFFFF, _mm_load_si128(reinterpret_cast<const __m128i*>(p))));
#elif defined(__AVX2__)
  return reinterpret_cast<Ints>(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
#else
  return Ints{p[0], p[1], p[2], p[3]};
#endif
}

DEEPGLASS_LANES Ints widen(const std::uint16_t* p) {
#if defined(__AVX512F__)
  return reinterpret_cast<Ints>(
      _mm512_maskz_cvtepu16_epi32(0xFFFF, _mm256_load_si256(reinterpret_cast<const __m256i*>(p))));
#elif defined(__AVX2__)
  return reinterpret_cast<Ints>(_mm256_cvtepu16_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(p))));
#else
  return Ints{p[0], p[1], p[2], p[3]};
#endif
}

// -1 where x < 0 (or -0), of sixteen numbers: narrower integers, when they are saturated, keep the sign.
typedef std::int8_t Bytes __attribute__((vector_size(kLanes)));
DEEPGLASS_LANES Bytes below_zero_bytes(const float* x) {
#if defined(__SSE2__)
  const auto* four = reinterpret_cast<const __m128i*>(x);
  return reinterpret_cast<Bytes>(
             _mm_packs_epi16(_mm_packs_epi32(four[0], four[1]), _mm_packs_epi32(four[2], four[3]))) < 0;
#else
  Bytes below;
  for (int k = 0; k < kLanes; ++k) below[k] = x[k] < 0 ? -1 : 0;
  return below;
#endif
}

// Half as many lanes: what one turn of the spin phase decides on.
constexpr int kHalf = 8;
typedef float HalfFloats __attribute__((vector_size(4 * kHalf)));
typedef std::int32_t HalfInts __attribute__((vector_size(4 * kHalf)));

// A bit for each lane of a mask.
DEEPGLASS_LANES unsigned mask_bits(HalfInts mask) {
#if defined(__AVX__)
  return static_cast<unsigned>(_mm256_movemask_ps(reinterpret_cast<__m256>(mask)));
#else
  unsigned bits = 0;
  for (int k = 0; k < kHalf; ++k) bits |= static_cast<unsigned>(mask[k] & 1) << k;
  return bits;
#endif
}

DEEPGLASS_LANES unsigned mask_bits(FourInts mask) {
#if defined(__SSE2__)
  return static_cast<unsigned>(_mm_movemask_ps(reinterpret_cast<__m128>(mask)));
#else
  unsigned bits = 0;
  for (int k = 0; k < 4; ++k) bits |= static_cast<unsigned>(mask[k] & 1) << k;
  return bits;
#endif
}

// Lanes of a and b, which count on from those of a; GCC knows clang's name from version 12 on.
#if defined(__clang__)
#define DEEPGLASS_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define DEEPGLASS_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, FourInts{__VA_ARGS__})
#endif

// Four rows of four to four columns.
DEEPGLASS_LANES void transpose_four(FourFloats& a, FourFloats& b, FourFloats& c, FourFloats& d) {
  const FourFloats ab_low = DEEPGLASS_SHUFFLE(a, b, 0, 4, 1, 5),
                   ab_high = DEEPGLASS_SHUFFLE(a, b, 2, 6, 3, 7);
  const FourFloats cd_low = DEEPGLASS_SHUFFLE(c, d, 0, 4, 1, 5),
                   cd_high = DEEPGLASS_SHUFFLE(c, d, 2, 6, 3, 7);
  a = DEEPGLASS_SHUFFLE(ab_low, cd_low, 0, 1, 4, 5);
  b = DEEPGLASS_SHUFFLE(ab_low, cd_low, 2, 3, 6, 7);
  c = DEEPGLASS_SHUFFLE(ab_high, cd_high, 0, 1, 4, 5);
  d = DEEPGLASS_SHUFFLE(ab_high, cd_high, 2, 3, 6, 7);
}

// to[c][r] = from[r][c], sixteen rows and columns.
inline void transpose_lanes(const float* from, Index from_row, float* to, Index to_row) {
  for (int r = 0; r < kLanes; r += 4) {
    for (int c = 0; c < kLanes; c += 4) {
      const float* source = from + r * from_row + c;
      FourFloats x = load<FourFloats>(source), y = load<FourFloats>(source + from_row),
                 z = load<FourFloats>(source + 2 * from_row), w = load<FourFloats>(source + 3 * from_row);
      transpose_four(x, y, z, w);
      float* target = to + c * to_row + r;
      store(target, x);
      store(target + to_row, y);
      store(target + 2 * to_row, z);
      store(target + 3 * to_row, w);
    }
  }
}

template <class V>
struct Parts {  // kLanes numbers
  V part[kParts] = {};
};

// Sums of sixteen lanes go by a fixed tree: k + (k+8), k + (k+4), k + (k+2), k + (k+1).  Its first step:
template <class V>
DEEPGLASS_LANES auto fold_lanes(const Parts<V>& x) {
#if defined(__AVX512F__)
  const V& all = x.part[0];
  return __builtin_shufflevector(all, all, 0, 1, 2, 3, 4, 5, 6, 7) +
         __builtin_shufflevector(all, all, 8, 9, 10, 11, 12, 13, 14, 15);
#else
  using T = std::decay_t<decltype(x.part[0][0])>;
  typedef T Eight __attribute__((vector_size(4 * kHalf)));
  Eight half[2];
  std::memcpy(half, &x, sizeof half);
  return half[0] + half[1];
#endif
}

// The sums of four rows, from their first step on; then of eight.
template <class Eight>
DEEPGLASS_LANES auto add_four_rows(const Eight* row) {
  using T = std::decay_t<decltype(row[0][0])>;
  typedef T Four __attribute__((vector_size(16)));
  Four four[4], two[2];
  for (int r = 0; r < 4; ++r) {
    const T* x = reinterpret_cast<const T*>(row + r);
    four[r] = load<Four>(x) + load<Four>(x + 4);
  }
  for (int r = 0; r < 2; ++r) {
    two[r] = __builtin_shufflevector(four[2 * r], four[2 * r + 1], 0, 1, 4, 5) +
             __builtin_shufflevector(four[2 * r], four[2 * r + 1], 2, 3, 6, 7);
  }
  return __builtin_shufflevector(two[0], two[1], 0, 2, 4, 6) +
         __builtin_shufflevector(two[0], two[1], 1, 3, 5, 7);
}
template <class Eight>
DEEPGLASS_LANES Eight add_halves(Eight a, Eight b) {
  return __builtin_shufflevector(a, b, 0, 1, 2, 3, 12, 13, 14, 15) +
         __builtin_shufflevector(a, b, 4, 5, 6, 7, 8, 9, 10, 11);
}
template <class Eight>
DEEPGLASS_LANES Eight add_quarters(Eight a, Eight b) {
  return __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13) +
         __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
}
template <class Eight>
DEEPGLASS_LANES Eight add_rows(const Eight* row) {
  const Eight x = add_quarters(add_halves(row[0], row[4]), add_halves(row[1], row[5])),
              y = add_quarters(add_halves(row[2], row[6]), add_halves(row[3], row[7]));
  return __builtin_shufflevector(x, y, 0, 2, 8, 10, 4, 6, 12, 14) +
         __builtin_shufflevector(x, y, 1, 3, 9, 11, 5, 7, 13, 15);
}

// -log(u), u = ((word >> 1) + 1/2) / 2^31, to 2e-8 absolutely: a Metropolis move is accepted where
// beta dE <= -log(u).  Chebyshev series of (log(1+f) - f + f^2/2) / f^3 on sqrt(1/2) - 1 .. sqrt(2) - 1.
DEEPGLASS_LANES Floats minus_log_uniform(Ints word) {
  const Ints half = reinterpret_cast<Ints>(reinterpret_cast<Ints>(word) >> 1) & 0x7FFFFFFF;
  const Floats x = __builtin_convertvector(half, Floats) + 0.5f;  // in 1/2 .. 2^31
  const Ints bits = reinterpret_cast<Ints>(x);
  const Ints exponent = (bits - 0x3F3504F3) >> 23;
  const Floats f = reinterpret_cast<Floats>(bits - (exponent << 23)) - 1.0f;
  const Floats z = f * f;
  const Floats z2 = z * z;  // even and odd powers apart: short chains
  const Floats even = ((z * 0.1262231985f + 0.1421449592f) * z2 + (z * 0.2000104509f + 0.3333333073f));
  const Floats odd = ((z * -0.07902743772f - 0.1299818376f) * z2 + (z * -0.1664128146f - 0.2500030642f));
  const Floats p = even + f * odd;
  const Floats log_mantissa = f - (z * 0.5f - z * f * p);
  return __builtin_convertvector(31 - exponent, Floats) * 0.69314718056f - log_mantissa;
}

// The same to 1e-3, u = (number + 1/2) / 2^16: log2(x) is nearly linear in the bits of x.
DEEPGLASS_LANES Floats rough_minus_log(const std::uint16_t* number) {
  const Floats x = __builtin_convertvector(widen(number), Floats) + 0.5f;
  const Ints bits = reinterpret_cast<Ints>(x);
  const Floats m = reinterpret_cast<Floats>((bits & 0x7FFFFF) | 0x3F800000);
  const Floats rest = ((m * 0.15824864f - 1.05187474f) * m + 2.04788374f) * m - 1.15362052f;
  return ((16.0f + 127.0f - rest) - __builtin_convertvector(bits, Floats) * 0x1p-23f) * 0.69314718056f;
}

// cos and sin of an angle in -pi .. pi, to 2e-7, from the half angle; Chebyshev series in its square.
DEEPGLASS_LANES void cos_sin(Floats angle, Floats& cosine, Floats& sine) {
  const Floats x = angle * 0.5f, z = x * x;
  Floats s = z * 2.634756392e-6f - 0.0001982273949f;
  s = s * z + 0.008333242135f;
  s = s * z - 0.1666666596f;
  s = x + x * (z * s);
  Floats c = z * -2.629751742e-7f + 2.477457975e-5f;
  c = c * z - 0.001388865165f;
  c = c * z + 0.04166665936f;
  c = c * z - 0.4999999996f;
  c = 1.0f + z * c;
  cosine = 1.0f - 2.0f * (s * s);
  sine = 2.0f * (s * c);
}

// An array that begins at a cache line.
template <class T>
class Aligned {
 public:
  Aligned() = default;
  explicit Aligned(Index size, T value = T{})
      : size_(std::max<Index>(size, 0)),  // GCC 12 warns of negative sizes
        line_((static_cast<std::size_t>(size_) * sizeof(T) + 63) / 64) {
    std::fill_n(data(), size_, value);
  }
  T* data() { return reinterpret_cast<T*>(line_.data()); }
  const T* data() const { return reinterpret_cast<const T*>(line_.data()); }
  Index size() const { return size_; }

 private:
  struct alignas(64) Line {
    unsigned char bytes[64];
  };
  Index size_ = 0;
  std::vector<Line> line_;
};

inline Index round_up(Index n, Index multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

}  // namespace deepglass::mc
