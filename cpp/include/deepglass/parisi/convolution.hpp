// Convolution with a symmetric filter of finite reach,
//   out_x = sum_{|d| <= reach} g_d in_{x+d},
// at the speed of the multiply-add units: kSums vectors of neighbouring points are summed in registers, each
// term a vector of weights times one number of `in`.  (One weight times a vector of `in` loads a vector for
// every term, at an address that crosses cache lines.)  In lane l of a vector that starts at x the weight of
// in_{x+o} is g_{o-l} = g_{l-o}, consecutive numbers.  Each sum runs over increasing d, whatever the width of
// vectors is.
#pragma once

#if defined(__AVX512F__) || (defined(__FMA__) && defined(__AVX__))
#include <immintrin.h>
#endif

#include <algorithm>
#include <cstring>
#include <vector>

#include "deepglass/vmath.hpp"

namespace deepglass::parisi {

class SymmetricFilter {
#if defined(__AVX512F__)
  static constexpr Index kWidth = 8;
#elif defined(__AVX__)
  static constexpr Index kWidth = 4;
#else
  static constexpr Index kWidth = 2;
#endif
  // So many are under way in two units of four cycles; twice as many would not find registers at every level.
  static constexpr Index kSums = 8, kBlock = kSums * kWidth;

 public:
  static constexpr Index kBeyond = kBlock;

  // half: (reach + 1,)  g_0, g_1, ..
  explicit SymmetricFilter(const std::vector<double>& half)
      : reach_(static_cast<Index>(half.size()) - 1), weights_(2 * (half.size() + kWidth) - 3, 0.0) {
    for (Index d = 0; d <= reach_; ++d)
      weights_[at(-d)] = weights_[at(d)] = half[static_cast<std::size_t>(d)];
  }

  Index reach() const { return reach_; }
  double operator[](Index d) const { return weights_[at(d)]; }

  // in: from -reach to n + reach + kBeyond, and finite there; out: (n,), not of `in`
  void apply(const double* in, Index n, double* out) const {
    for (Index start = 0; start < n; start += kBlock) {
      Vector sum[kSums] = {};
      for (Index o = -reach_; o < reach_ + kWidth; ++o) {
        Vector weight;
        std::memcpy(&weight, &weights_[at(-o)], sizeof weight);
        const double* const here = in + start + o;
#pragma GCC unroll 8
        for (Index b = 0; b < kSums; ++b) sum[b] = plus_product(sum[b], weight, here[b * kWidth]);
      }
      // One by one: an array whose address is taken would be kept in memory all the time.
      double block[kBlock];
#pragma GCC unroll 8
      for (Index b = 0; b < kSums; ++b) std::memcpy(block + b * kWidth, &sum[b], sizeof(Vector));
      std::copy(block, block + std::min(kBlock, n - start), out + start);
    }
  }

 private:
  typedef double Vector __attribute__((vector_size(8 * kWidth)));

  DEEPGLASS_INLINE static Vector plus_product(Vector sum, Vector a, double b) {
#if defined(__AVX512F__)
    return _mm512_fmadd_pd(a, _mm512_set1_pd(b), sum);
#elif defined(__FMA__) && defined(__AVX__)
    return _mm256_fmadd_pd(a, _mm256_set1_pd(b), sum);
#else
    return sum + a * b;
#endif
  }

  std::size_t at(Index d) const { return static_cast<std::size_t>(d + reach_ + kWidth - 1); }

  Index reach_;
  std::vector<double> weights_;  // of d = -reach .. reach, and zeros on either side
};

}  // namespace deepglass::parisi
