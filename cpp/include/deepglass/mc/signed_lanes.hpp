// Short vectors of floats whose signs are spins: what the slaved network with real bonds is computed in.
//
// Every operation acts on each lane by itself, with plain + and -, so the number of lanes is of no effect on
// the bits.
#pragma once

#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

#if defined(__SSE2__) && defined(__GNUC__)
#include <immintrin.h>
#endif

#include "deepglass/core.hpp"

namespace deepglass::mc::detail {

#if defined(__GNUC__)
#if defined(__AVX2__)
constexpr int kVectorLanes = 8;
#else
constexpr int kVectorLanes = 4;
#endif
typedef float Values __attribute__((vector_size(4 * kVectorLanes)));
typedef std::uint32_t Signs __attribute__((vector_size(4 * kVectorLanes)));
#else
constexpr int kVectorLanes = 1;
using Values = float;
using Signs = std::uint32_t;
#endif
constexpr std::uint32_t kSign = std::uint32_t{1} << 31;

inline Values load(const float* from) {
  Values x;
  std::memcpy(&x, from, sizeof x);
  return x;
}
inline void store(float* to, Values x) {
  std::memcpy(to, &x, sizeof x);
}
inline Signs bits_of(Values x) {
  Signs bits;
  std::memcpy(&bits, &x, sizeof x);
  return bits;
}

// The sign bit alone; all of them alike.
inline Signs sign_of(Signs bits) {
  return bits & (Signs{} + kSign);
}
inline Signs same_sign(bool negative) {
  return Signs{} + (negative ? kSign : 0);
}

// x + y, or x - y where the sign is set.
inline Values add_signed(Values x, Values y, Signs sign) {
  const Signs bits = bits_of(y) ^ sign;
  Values signed_y;
  std::memcpy(&signed_y, &bits, sizeof bits);
  return x + signed_y;
}

// The highest bit of every lane, lane 0 lowest.
inline std::uint64_t top_bits(Signs x) {
#if defined(__GNUC__) && defined(__AVX2__)
  return static_cast<std::uint32_t>(_mm256_movemask_ps((__m256)x));
#elif defined(__GNUC__) && defined(__SSE2__)
  return static_cast<std::uint32_t>(_mm_movemask_ps((__m128)x));
#else
  std::uint32_t lane[kVectorLanes];
  std::memcpy(lane, &x, sizeof x);
  std::uint64_t bits = 0;
  for (int k = 0; k < kVectorLanes; ++k) bits |= static_cast<std::uint64_t>(lane[k] >> 31) << k;
  return bits;
#endif
}

inline int lowest_bit(std::uint64_t bits) {
#if defined(__GNUC__)
  return __builtin_ctzll(bits);
#else
  int k = 0;
  for (; !(bits & 1); bits >>= 1) ++k;
  return k;
#endif
}

inline int count_bits(std::uint64_t bits) {
#if defined(__GNUC__) && defined(__POPCNT__)
  return __builtin_popcountll(bits);
#else
  bits -= bits >> 1 & 0x5555555555555555;
  bits = (bits & 0x3333333333333333) + (bits >> 2 & 0x3333333333333333);
  return static_cast<int>(((bits + (bits >> 4)) & 0x0F0F0F0F0F0F0F0F) * 0x0101010101010101 >> 56);
#endif
}

// Vectors that begin at a cache line.
template <class T>
struct CacheAligned {
  using value_type = T;
  static constexpr std::align_val_t kLine{64};
  CacheAligned() = default;
  template <class U>
  CacheAligned(const CacheAligned<U>&) {}
  T* allocate(std::size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), kLine)); }
  void deallocate(T* p, std::size_t) { ::operator delete(p, kLine); }
  template <class U>
  bool operator==(const CacheAligned<U>&) const {
    return true;
  }
  template <class U>
  bool operator!=(const CacheAligned<U>&) const {
    return false;
  }
};
template <class T>
using AlignedVector = std::vector<T, CacheAligned<T>>;

}  // namespace deepglass::mc::detail
