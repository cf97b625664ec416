// Short vectors of float, int8 and int16 whose signs are spins: what the slaved network is computed in.
//
// Every operation acts on each lane by itself, with plain + and -, so the number of lanes is of no effect on
// the bits.  Integers are held unsigned, for there overflow (of lanes that mean nothing) is defined.
#pragma once

#include <cstdint>
#include <cstring>
#include <new>
#include <type_traits>
#include <vector>

#if defined(__SSE2__) && defined(__GNUC__)
#include <immintrin.h>
#endif

#include "deepglass/core.hpp"

namespace deepglass::mc::detail {

template <class Field>
using Word = std::conditional_t<sizeof(Field) == 4, std::uint32_t,
                                std::conditional_t<sizeof(Field) == 2, std::uint16_t, std::uint8_t>>;
// What an addition is done in.
template <class Field>
using Number = std::conditional_t<std::is_floating_point_v<Field>, Field, Word<Field>>;

#if defined(__GNUC__)
#if defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif
template <class Field>
struct Lanes {
  static constexpr int kCount = kVectorBytes / static_cast<int>(sizeof(Field));
  typedef Number<Field> Values __attribute__((vector_size(kVectorBytes)));
  typedef Word<Field> Words __attribute__((vector_size(kVectorBytes)));
};
#else
template <class Field>
struct Lanes {
  static constexpr int kCount = 1;
  using Values = Number<Field>;
  using Words = Word<Field>;
};
#endif

template <class Field>
using Values = typename Lanes<Field>::Values;
template <class Field>
using Words = typename Lanes<Field>::Words;

template <class Field>
inline Values<Field> load(const Field* from) {
  Values<Field> x;
  std::memcpy(&x, from, sizeof x);
  return x;
}
template <class Field>
inline void store(Field* to, Values<Field> x) {
  std::memcpy(to, &x, sizeof x);
}
template <class Field>
inline Words<Field> bits_of(Values<Field> x) {
  Words<Field> bits;
  std::memcpy(&bits, &x, sizeof x);
  return bits;
}

// The highest bit, moved to where `add_signed` wants it.
template <class Field>
inline Words<Field> sign_of(Words<Field> bits) {
  constexpr int kTop = 8 * static_cast<int>(sizeof(Field)) - 1;
  if constexpr (std::is_floating_point_v<Field>) {
    return bits & (Words<Field>{} + (Word<Field>{1} << kTop));
  } else {
#if defined(__GNUC__)
    typedef std::make_signed_t<Word<Field>> Signed __attribute__((vector_size(kVectorBytes)));
    return (Words<Field>)((Signed)bits < Signed{});
#else
    return static_cast<Word<Field>>(0 - (bits >> kTop));
#endif
  }
}

// The same sign in all lanes.
template <class Field>
inline Words<Field> same_sign(bool negative) {
  constexpr int kTop = 8 * static_cast<int>(sizeof(Field)) - 1;
  const Word<Field> minus = std::is_floating_point_v<Field>
                                ? static_cast<Word<Field>>(std::uint64_t{1} << kTop)
                                : static_cast<Word<Field>>(~std::uint64_t{0});
  const Word<Field> mask = negative ? minus : Word<Field>{0};
  return Words<Field>{} + mask;
}

// x + y, or x - y where the sign is set.
template <class Field>
inline Values<Field> add_signed(Values<Field> x, Values<Field> y, Words<Field> sign) {
  if constexpr (std::is_floating_point_v<Field>) {
    const Words<Field> bits = bits_of<Field>(y) ^ sign;
    Values<Field> signed_y;
    std::memcpy(&signed_y, &bits, sizeof bits);
    return x + signed_y;
  } else {
    return x + ((y ^ sign) - sign);
  }
}

// The highest bit of every lane, lane 0 lowest.
template <class Field>
inline std::uint64_t top_bits(Words<Field> x) {
#if defined(__GNUC__) && defined(__AVX2__)
  if constexpr (sizeof(Field) == 4) {
    return static_cast<std::uint32_t>(_mm256_movemask_ps((__m256)x));
  } else if constexpr (sizeof(Field) == 1) {
    return static_cast<std::uint32_t>(_mm256_movemask_epi8((__m256i)x));
  } else {
    const auto m =
        static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_packs_epi16((__m256i)x, (__m256i)x)));
    return (m & 0xFF) | (m >> 8 & 0xFF00);
  }
#elif defined(__GNUC__) && defined(__SSE2__)
  if constexpr (sizeof(Field) == 4) {
    return static_cast<std::uint32_t>(_mm_movemask_ps((__m128)x));
  } else if constexpr (sizeof(Field) == 1) {
    return static_cast<std::uint32_t>(_mm_movemask_epi8((__m128i)x));
  } else {
    return static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_packs_epi16((__m128i)x, (__m128i)x))) & 0xFF;
  }
#else
  Word<Field> lane[Lanes<Field>::kCount];
  std::memcpy(lane, &x, sizeof x);
  std::uint64_t bits = 0;
  for (int k = 0; k < Lanes<Field>::kCount; ++k) {
    bits |= static_cast<std::uint64_t>(lane[k] >> (8 * sizeof(Field) - 1) & 1) << k;
  }
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
