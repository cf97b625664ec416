// Elementary functions and the Gaussian tail, branch-free, so that a loop over any of them vectorises.
//
// Each function is always inlined and does the same arithmetic for every argument (selections are blends),
// hence the same bits in every lane, for every array length, on v3 and on v4.  NaN, infinities, signed zeros,
// subnormal numbers and overflow go as in libm.  Errors: exp, log, log1p below 1 ulp, asin, expm1, log_2cosh,
// erf below 2, tanh below 3, the Gaussian tail below 2e-15 relative, wherever the result is a normal number.
//
// All polynomials are truncated Chebyshev series of the function named above them, on the interval named,
// computed with 60 digits from mpmath and rearranged into powers; the first neglected term is below 2^-53.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>

#include "deepglass/core.hpp"

#define DEEPGLASS_INLINE inline __attribute__((always_inline))

namespace deepglass::vmath {

// a b + c: one rounding where the CPU level has it in hardware, two elsewhere.
DEEPGLASS_INLINE double madd(double a, double b, double c) {
#ifdef __FMA__
  return __builtin_fma(a, b, c);
#else
  return a * b + c;
#endif
}

namespace detail {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kTiny = 0x1p-54;  // below: f(x) = x to the last bit, for f(x) = x + O(x^2)

constexpr double kInvLn2 = 1.4426950408889634;
constexpr double kLn2Hi = 0x1.62e42fefp-1;  // 33 bits, so that k * kLn2Hi is exact for |k| < 2^20
constexpr double kLn2Lo = 7.440617110012397e-11;
constexpr double kSqrt2 = 1.4142135623730951;
constexpr double kSqrtHalfPi = 1.2533141373155003;
constexpr double kSqrt2OverPi = 0.7978845608028654;
constexpr double kTwoOverPi = 0.6366197723675814;
constexpr double kInvSqrt2Pi = 0.3989422804014327;
constexpr double kHalfPi = 1.5707963267948966;
constexpr double kHalfPiRest = 6.123233995736766e-17;

// Bounds that let NaN through.
DEEPGLASS_INLINE double at_most(double x, double bound) {
  return bound < x ? bound : x;
}
DEEPGLASS_INLINE double at_least(double x, double bound) {
  return bound > x ? bound : x;
}
DEEPGLASS_INLINE double abs(double x) {
  return __builtin_fabs(x);
}
DEEPGLASS_INLINE double with_sign_of(double x, double sign) {
  return __builtin_copysign(x, sign);
}

DEEPGLASS_INLINE std::uint64_t bits(double x) {
  std::uint64_t u;
  std::memcpy(&u, &x, sizeof u);
  return u;
}
DEEPGLASS_INLINE double from_bits(std::uint64_t u) {
  double x;
  std::memcpy(&x, &u, sizeof x);
  return x;
}
// x where `sign` has the sign +, -x else
DEEPGLASS_INLINE double times_sign_of(double x, double sign) {
  return from_bits(bits(x) ^ (bits(sign) & (std::uint64_t{1} << 63)));
}

// x^n for n a power of two; repeated calls are one computation to the compiler.
template <int n>
DEEPGLASS_INLINE double power(double x) {
  if constexpr (n == 1) {
    return x;
  } else {
    const double root = power<n / 2>(x);
    return root * root;
  }
}

// sum_k c[k] x^k by halves (Estrin): short chains of dependent operations keep the CPU busy.
template <int n>
DEEPGLASS_INLINE double polynomial(double x, const double* c) {
  if constexpr (n == 1) {
    return c[0];
  } else {
    constexpr int half = n > 16 ? 16 : n > 8 ? 8 : n > 4 ? 4 : n > 2 ? 2 : 1;
    static_assert(n <= 2 * half);
    return madd(polynomial<n - half>(x, c + half), power<half>(x), polynomial<half>(x, c));
  }
}
template <int n>
DEEPGLASS_INLINE double polynomial(double x, const double (&c)[n]) {
  return polynomial<n>(x, static_cast<const double*>(c));
}

// ---- exponential ----

// Adding kShift leaves the nearest integer in the low bits of a double.
constexpr double kShift = 0x1.8p52;
DEEPGLASS_INLINE double nearest_integer(double x) {
  return (x + kShift) - kShift;
}

// 2^k for integer k in [-1022, 1023].
DEEPGLASS_INLINE double exp2_integer(double k) {
  return from_bits(bits(k + (kShift + 1023.0)) << 52);
}

// x = k ln2 + r, |r| <= ln2 / 2.
struct Reduced {
  double k, r;
};
DEEPGLASS_INLINE Reduced reduce(double x) {
  const double k = madd(x, kInvLn2, kShift) - kShift;
  return {k, madd(-k, kLn2Lo, madd(-k, kLn2Hi, x))};
}

// e^r - 1 = r + r^2 p(r);  p on |r| <= ln2 / 2.
DEEPGLASS_INLINE double expm1_reduced(double r) {
  constexpr double p[] = {0.5,
                          0.1666666666666667,
                          0.04166666666666668,
                          0.008333333333326134,
                          0.0013888888888879073,
                          0.00019841269874822307,
                          2.4801587336443602e-05,
                          2.755725539833871e-06,
                          2.7557263277791584e-07,
                          2.5105217695684516e-08,
                          2.091813816945801e-09};
  return madd(r * r, polynomial(r, p), r);
}

// Small numbers are carried times 2^200, so that they stay normal and are rounded once, at the end.
constexpr double kUp = 200.0, kDown = 0x1p-200;

// 2^200 exp(-c a^2), 0 <= c a^2 <= 800, c = 1/2 or 1.  The rounding error of a^2 would be multiplied by c
// a^2, so a^2 is split into the square of the upper half of a, which is exact, and the rest.
DEEPGLASS_INLINE double gaussian_up(double a, double c) {
  const double upper = from_bits(bits(a) & ~((std::uint64_t{1} << 27) - 1));
  const auto [k, r] = reduce(-c * upper * upper);
  const double rest = -c * (a - upper) * (a + upper);
  return exp2_integer(k + kUp) * (1.0 + expm1_reduced(r + rest));
}

// ---- logarithm ----

// x = 2^k m, sqrt(1/2) <= m < sqrt(2), for normal x > 0.
struct Split {
  double k, m;
};
DEEPGLASS_INLINE Split split(double x) {
  constexpr std::uint64_t one = 0x3ff0000000000000, sqrt_half = 0x3fe6a09e667f3bcd,
                          two52 = 0x4330000000000000;
  const std::uint64_t u = bits(x) + (one - sqrt_half);
  return {from_bits((u >> 52) | two52) - (0x1p52 + 1023.0), from_bits((u & 0x000fffffffffffff) + sqrt_half)};
}

// k ln2 + ln(1 + f), sqrt(1/2) - 1 <= f <= 1, by  ln(1 + f) = 2 atanh(s) = f - f^2/2 + s (f^2/2 + s^2
// p(s^2)), s = f / (2 + f);  p(z) = (2 atanh(sqrt z) / sqrt z - 2) / z on 0 <= z <= 1/9.
DEEPGLASS_INLINE double log1p_reduced(double f, double k) {
  constexpr double p[] = {0.6666666666666666,  0.4000000000001491,  0.2857142856702906, 0.22222222724818763,
                          0.1818178909298275,  0.15385579010258624, 0.1331400728267029, 0.12002293995427313,
                          0.08794866738949667, 0.16175806908145096};
  const double s = f / (2.0 + f), z = s * s, half_square = 0.5 * f * f;
  const double tail = madd(s, madd(z, polynomial(z, p), half_square), k * kLn2Lo);
  return madd(k, kLn2Hi, f - (half_square - tail));
}

// ln(x + rest), normal x > 0, |rest| <= ulp(x): what is lost in rounding to x is not lost in the logarithm.
DEEPGLASS_INLINE double log_sum(double x, double rest) {
  const auto [k, m] = split(x);
  return log1p_reduced(madd(rest, exp2_integer(-at_most(k, 1000.0)), m - 1.0), k);
}

// ---- arcus sine ----

// asin(sqrt z) / sqrt z = 1 + z p(y) / q(y), y = 1 - z, on 0 <= z <= 1/2.  The cut is where y < 0: the poles
// lie there, and nothing cancels.  p / q interpolates at Chebyshev's 12 nodes, with an error below 2^-53.
DEEPGLASS_INLINE double asin_ratio(double z) {
  constexpr double p[] = {0.015286505528716387, 0.3869929320804692, 1.9100498822207723,
                          2.5969216123899757,   0.9698651288631537, 0.06967122863662874};
  constexpr double q[] = {
      0.030099992908467953, 1.0, 6.944029321491146, 14.81064755466442, 10.541235955754296, 2.269439774782881,
      0.09727113871708598};
  const double y = 1.0 - z;
  return madd(z, polynomial(y, p) / polynomial(y, q), 1.0);
}

// ---- Gaussian tail ----

// S(a) = 1 / (e^{a^2/2} erfc(a / sqrt 2)), a >= 0: the slow factor of the tail, S(0) = 1, as a sum of its
// asymptote sqrt(pi/2) a and an excess that falls as 1/a.  With phi and Phi of the normal law, Phi(-a) =
// e^{-a^2/2} / (2 S(a)) and phi(a) / Phi(-a) = a + sqrt(2/pi) excess(a): nothing cancels. With t = (a - 4) /
// (a + 4):  (a + 4) excess(a) = p(t) on -1 <= t <= 1.
DEEPGLASS_INLINE double excess(double a) {
  constexpr double p[] = {
      2.2620529893442787,     -1.4816736149521366,     0.5037780194690938,      0.08462117358785233,
      -0.17323870929406918,   0.04224128314953408,     0.03967557344125489,     -0.02606950345131213,
      -0.00562561316650777,   0.009978149147530868,    -0.000468220577104642,   -0.0031154785595703598,
      0.0007455414241937603,  0.0008340752753075727,   -0.000362573506240871,   -0.0001884123316746312,
      0.00013145704762643163, 3.208285004597807e-05,   -3.9740829321107205e-05, -1.8254755817006254e-06,
      1.0169607503429823e-05, -1.4121681502974152e-06, -2.1188070834979447e-06, 7.025976962332272e-07,
      3.2046169413854987e-07, -1.6956604685245367e-07, -2.5957568109783498e-08, 1.855425552747502e-08};
  const double w = 1.0 / (a + 4.0);
  return w * polynomial(madd(-8.0, w, 1.0), p);
}
DEEPGLASS_INLINE double slow_factor(double a, double excess) {
  return madd(kSqrtHalfPi, a, excess);
}

// Beyond this argument Phi(-a) and phi(a) are zero, in double precision.
constexpr double kTailEnd = 40.0;

// erfc(a), a >= 0.
DEEPGLASS_INLINE double erfc_positive(double a) {
  a = at_most(a, 28.0);
  const double b = kSqrt2 * a;
  return gaussian_up(a, 1.0) / slow_factor(b, excess(b)) * kDown;
}

// 2^200 phi(a) / Phi(a), 0 <= a <= kTailEnd.
DEEPGLASS_INLINE double inverse_mills_up(double a, double excess) {
  const double gaussian = gaussian_up(a, 0.5), twice = 2.0 * slow_factor(a, excess);
  return kInvSqrt2Pi * gaussian * twice / madd(gaussian, -kDown, twice);
}

}  // namespace detail

// e^x
DEEPGLASS_INLINE double exp(double x) {
  const auto [k, r] = detail::reduce(detail::with_sign_of(detail::at_most(detail::abs(x), 750.0), x));
  // 2^k in two steps: it may be infinite or subnormal where e^x is not.
  const double first = madd(0.5, k, detail::kShift) - detail::kShift, second = k - first;
  return detail::exp2_integer(first) * (1.0 + detail::expm1_reduced(r)) * detail::exp2_integer(second);
}

// e^x - 1
DEEPGLASS_INLINE double expm1(double x) {
  const auto [k, r] = detail::reduce(detail::at_least(detail::at_most(x, 710.0), -40.0));
  const double half = detail::exp2_integer(k - 1.0);  // 2^k itself may overflow
  const double y = 2.0 * madd(half, detail::expm1_reduced(r), half - 0.5);
  return detail::abs(x) < detail::kTiny ? x : y;
}

// ln x
DEEPGLASS_INLINE double log(double x) {
  const bool subnormal = x < std::numeric_limits<double>::min();
  const auto [k, m] = detail::split(subnormal ? x * 0x1p54 : x);
  const double y = detail::log1p_reduced(m - 1.0, subnormal ? k - 54.0 : k);
  const double defined = x > 0.0 ? y : (x == 0.0 ? -detail::kInf : detail::kNaN);
  return x == detail::kInf ? x : defined;
}

// ln(1 + x)
DEEPGLASS_INLINE double log1p(double x) {
  const double sum = 1.0 + x, x_part = sum - 1.0;
  const double rest = (1.0 - (sum - x_part)) + (x - x_part);
  const double y = detail::log_sum(sum, rest);
  const double defined = x > -1.0 ? y : (x == -1.0 ? -detail::kInf : detail::kNaN);
  const double finite = x == detail::kInf ? x : defined;
  return detail::abs(x) < detail::kTiny ? x : finite;
}

// tanh x = e / (2 + e) with e = e^{2x} - 1, for x <= 0
DEEPGLASS_INLINE double tanh(double x) {
  const auto [k, r] = detail::reduce(-2.0 * detail::at_most(detail::abs(x), 20.0));
  const double scale = detail::exp2_integer(k);
  const double e = madd(scale, detail::expm1_reduced(r), scale - 1.0);
  return detail::with_sign_of(e / (2.0 + e), x);
}

// ln(2 cosh h) = |h| + ln(1 + e^{-2|h|})
DEEPGLASS_INLINE double log_2cosh(double h) {
  const double a = detail::abs(h);
  const auto [k, r] = detail::reduce(-2.0 * detail::at_most(a, 50.0));
  return a + detail::log1p_reduced(detail::exp2_integer(k) * (1.0 + detail::expm1_reduced(r)), 0.0);
}

// asin x;  for x^2 > 1/2  pi/2 - asin sqrt(1 - x^2)
DEEPGLASS_INLINE double asin(double x) {
  const double a = detail::abs(x), a2 = a * a;
  const bool outer = a2 > 0.5;
  const double z = outer ? (1.0 - a) * (1.0 + a) : a2, root = outer ? __builtin_sqrt(z) : a;
  const double angle = root * detail::asin_ratio(z);
  const double y = outer ? detail::kHalfPi - (angle - detail::kHalfPiRest) : angle;
  return detail::with_sign_of(a <= 1.0 ? y : detail::kNaN, x);
}

// erfc x = (2 / sqrt(pi)) int_x^inf e^{-t^2} dt
DEEPGLASS_INLINE double erfc(double x) {
  const double tail = detail::erfc_positive(detail::abs(x));
  return x < 0.0 ? 2.0 - tail : tail;
}

// erf x = 1 - erfc x;  for |x| < 1  x + x p(x^2),  p(z) = erf(sqrt z) / sqrt z - 1 on 0 <= z <= 1
DEEPGLASS_INLINE double erf(double x) {
  constexpr double p[] = {0.12837916709551256,     -0.37612638903183543,    0.1128379167094513,
                          -0.026866170643256995,   0.005223977607269946,    -0.0008548325982543225,
                          0.00012055295112667001,  -1.4924740785377576e-05, 1.6447471190594618e-06,
                          -1.6208829856810202e-07, 1.3721520406351094e-08,  -7.798543850549947e-10};
  const double a = detail::abs(x), inner = detail::at_most(a, 1.0);
  const double series = madd(inner, detail::polynomial(inner * inner, p), inner);
  return detail::with_sign_of(a < 1.0 ? series : 1.0 - detail::erfc_positive(a), x);
}

// Phi(x) = int_{-inf}^x phi(z) dz,  phi(z) = e^{-z^2/2} / sqrt(2 pi)
DEEPGLASS_INLINE double normal_cdf(double x) {
  const double a = detail::at_most(detail::abs(x), detail::kTailEnd);
  const double tail =
      detail::gaussian_up(a, 0.5) / (2.0 * detail::slow_factor(a, detail::excess(a))) * detail::kDown;
  return x < 0.0 ? tail : 1.0 - tail;
}

// ln Phi(x):  -x^2/2 - ln 2S(-x) for x < 0,  ln(1 - Phi(-x)) else; one logarithm serves both.
DEEPGLASS_INLINE double log_normal_cdf(double x) {
  const double a = detail::abs(x), twice = 2.0 * detail::slow_factor(a, detail::excess(a));
  const double tail = detail::gaussian_up(detail::at_most(a, detail::kTailEnd), 0.5) / twice * detail::kDown;
  const double body = 1.0 - tail, body_rest = (1.0 - body) - tail;
  const double y = detail::log_sum(x < 0.0 ? twice : body, x < 0.0 ? 0.0 : body_rest);
  return x < 0.0 ? madd(-0.5 * x, x, -y) : y;
}

// ln Phi(-x)
DEEPGLASS_INLINE double log_normal_sf(double x) {
  return log_normal_cdf(-x);
}

// R(x) = phi(x) / Phi(x) = (d/dx) ln Phi(x)
DEEPGLASS_INLINE double inverse_mills_ratio(double x) {
  const double a = detail::abs(x), excess = detail::excess(a);
  const double right = detail::inverse_mills_up(detail::at_most(a, detail::kTailEnd), excess) * detail::kDown;
  return x > 0.0 ? right : madd(detail::kSqrt2OverPi, excess, a);
}

// (d/dx) R(x) = -R (R + x), in [-1, 0);  for x < 0, R + x is sqrt(2/pi) excess(-x).
DEEPGLASS_INLINE double inverse_mills_ratio_slope(double x) {
  const double a = detail::at_most(detail::abs(x), 1e9);  // before -1e9 the slope is -1 to the last bit
  const double excess = detail::excess(a), inside = detail::at_most(a, detail::kTailEnd);
  const double up = detail::inverse_mills_up(inside, excess);
  const double right = up * madd(up, detail::kDown, inside) * detail::kDown;
  const double left = detail::kTwoOverPi * detail::slow_factor(a, excess) * excess;
  return -(x > 0.0 ? right : detail::at_most(left, 1.0));
}

// The same over arrays: y[i] = f(x[i]).  x and y have the same size and either are one array or do not
// overlap.
#define DEEPGLASS_VMATH_ARRAY(f)                                         \
  inline void f(Span<const double> x, Span<double> y) {                  \
    const double* in = x.data();                                         \
    double* out = y.data();                                              \
    const Index n = x.size();                                            \
    _Pragma("omp simd") for (Index i = 0; i < n; ++i) out[i] = f(in[i]); \
  }
DEEPGLASS_VMATH_ARRAY(exp)
DEEPGLASS_VMATH_ARRAY(expm1)
DEEPGLASS_VMATH_ARRAY(log)
DEEPGLASS_VMATH_ARRAY(log1p)
DEEPGLASS_VMATH_ARRAY(tanh)
DEEPGLASS_VMATH_ARRAY(log_2cosh)
DEEPGLASS_VMATH_ARRAY(asin)
DEEPGLASS_VMATH_ARRAY(erf)
DEEPGLASS_VMATH_ARRAY(erfc)
DEEPGLASS_VMATH_ARRAY(normal_cdf)
DEEPGLASS_VMATH_ARRAY(log_normal_cdf)
DEEPGLASS_VMATH_ARRAY(log_normal_sf)
DEEPGLASS_VMATH_ARRAY(inverse_mills_ratio)
DEEPGLASS_VMATH_ARRAY(inverse_mills_ratio_slope)
#undef DEEPGLASS_VMATH_ARRAY

}  // namespace deepglass::vmath
