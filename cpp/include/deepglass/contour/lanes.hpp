// Several chains side by side: one number of each is a Lanes, and arithmetic acts on all of them.
//
// The operators are plain + - * /, so that one seed gives one trajectory at every CPU level; plus_product and
// minus_product, for the networks, have one rounding where the CPU level can.
#pragma once

#if defined(__FMA__) && defined(__AVX__)
#include <immintrin.h>
#endif

#include <cstring>

#include "deepglass/core.hpp"

namespace deepglass::contour {

constexpr int kLanes = 4;

namespace detail {
#if defined(__GNUC__) && defined(__AVX__)
constexpr int kWidth = 4;
typedef double Part __attribute__((vector_size(8 * kWidth)));
#elif defined(__GNUC__)
constexpr int kWidth = 2;
typedef double Part __attribute__((vector_size(8 * kWidth)));
#else
constexpr int kWidth = 1;
using Part = double;
#endif
constexpr int kParts = kLanes / kWidth;
}  // namespace detail

struct alignas(8 * kLanes) Lanes {
  detail::Part part[detail::kParts];

  double operator[](int lane) const {
    double value;
    std::memcpy(&value, reinterpret_cast<const char*>(part) + sizeof(double) * static_cast<std::size_t>(lane),
                sizeof value);
    return value;
  }
  void set(int lane, double value) {
    std::memcpy(reinterpret_cast<char*>(part) + sizeof(double) * static_cast<std::size_t>(lane), &value,
                sizeof value);
  }
};

inline Lanes operator+(const Lanes& a, const Lanes& b) {
  Lanes c;
  for (int i = 0; i < detail::kParts; ++i) c.part[i] = a.part[i] + b.part[i];
  return c;
}
inline Lanes operator-(const Lanes& a, const Lanes& b) {
  Lanes c;
  for (int i = 0; i < detail::kParts; ++i) c.part[i] = a.part[i] - b.part[i];
  return c;
}
inline Lanes operator*(const Lanes& a, const Lanes& b) {
  Lanes c;
  for (int i = 0; i < detail::kParts; ++i) c.part[i] = a.part[i] * b.part[i];
  return c;
}
inline Lanes operator*(double a, const Lanes& b) {
  Lanes c;
  for (int i = 0; i < detail::kParts; ++i) c.part[i] = a * b.part[i];
  return c;
}
inline Lanes operator/(const Lanes& a, const Lanes& b) {
  Lanes c;
  for (int i = 0; i < detail::kParts; ++i) c.part[i] = a.part[i] / b.part[i];
  return c;
}
inline Lanes& operator+=(Lanes& a, const Lanes& b) {
  return a = a + b;
}

inline Lanes every_lane(double x) {
  Lanes a;
  for (int i = 0; i < detail::kParts; ++i) a.part[i] = x - detail::Part{};
  return a;
}

inline double sum_of_lanes(const Lanes& a) {
#if defined(__GNUC__)
  const detail::Part half = detail::kParts > 1 ? a.part[0] + a.part[detail::kParts - 1] : a.part[0];
  double sum = half[0] + half[1];
  if constexpr (detail::kWidth > 2) sum += half[detail::kWidth - 2] + half[detail::kWidth - 1];
  return sum;
#else
  return a.part[0] + a.part[1] + a.part[2] + a.part[3];
#endif
}
inline Lanes maximum(const Lanes& a, const Lanes& b) {
  Lanes c;
  for (int i = 0; i < detail::kParts; ++i) c.part[i] = a.part[i] > b.part[i] ? a.part[i] : b.part[i];
  return c;
}

// sum + a b and sum - a b.
inline Lanes plus_product(const Lanes& sum, const Lanes& a, const Lanes& b) {
#if defined(__GNUC__) && defined(__FMA__) && defined(__AVX__)
  return {{_mm256_fmadd_pd(a.part[0], b.part[0], sum.part[0])}};
#else
  return sum + a * b;
#endif
}
inline Lanes minus_product(const Lanes& sum, const Lanes& a, const Lanes& b) {
#if defined(__GNUC__) && defined(__FMA__) && defined(__AVX__)
  return {{_mm256_fnmadd_pd(a.part[0], b.part[0], sum.part[0])}};
#else
  return sum - a * b;
#endif
}

// A complex number of each chain.
struct Site {
  Lanes re, im;
};

inline Site operator+(const Site& a, const Site& b) {
  return {a.re + b.re, a.im + b.im};
}
inline Site operator-(const Site& a, const Site& b) {
  return {a.re - b.re, a.im - b.im};
}
inline Site operator*(const Site& a, const Site& b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
inline Site operator*(double a, const Site& b) {
  return {a * b.re, a * b.im};
}
inline Site& operator+=(Site& a, const Site& b) {
  return a = a + b;
}

// (re + i im) b; i b
inline Site rotated(double re, double im, const Site& b) {
  return {re * b.re - im * b.im, re * b.im + im * b.re};
}
inline Site times_i(const Site& b) {
  return {every_lane(0) - b.im, b.re};
}

}  // namespace deepglass::contour
