// The k-step replica-symmetry-breaking recursion of one Gaussian-field term, with all its derivatives.
//
// Levels lambda_0 <= .. <= lambda_k of the covariance of the field, breakpoints m_0 < m_1 < .. < m_k (m_0 =
// 0), d_0 = lambda_0, d_i = lambda_i - lambda_{i-1}, gamma_v = Gaussian of variance v:
//
//   hard wall   f_{k+1}(h) = ln Phi((h - kappa)/sqrt(1 - lambda_k + w^2)),    Ising spin   f_{k+1}(h) = ln
//   2cosh h f_i(h)   = (1/m_i) ln int dh' gamma_{d_i}(h'-h) exp(m_i f_{i+1}(h')),     F = f_0(0) T_i(h,h')=
//   gamma_{d_i}(h'-h) exp(m_i [f_{i+1}(h') - f_i(h)]),             f_i' = T_i f_{i+1}',  P_i = P_{i-1} T_i
//   g_i      = int P_i (f_{i+1}')^2,   dF/dlambda_i = -(1/2)(m_{i+1}-m_i) g_i,   K = int P_k (f_{k+1}'')^2
//   dF/dm_i  = (1/m_i)(E_{P_i} f_{i+1} - E_{P_{i-1}} f_i)
//
// Scheme (all of it restated in python/deepglass/reference/parisi_recursion.py):
// * Every f_i has its own grid h - kappa = b sinh(j dt), b = 1.2 sqrt(S): S = 1 - lambda_{i-1} + w^2 is the
// square
//   of the length on which f_i varies near the wall, and far from the wall that length is the distance.
//   So 50 to 150 points serve every deficit; a spin has S = 1 and, f being even, half a grid.
// * A step is a Gauss-Hermite rule; values between the points are 8-point Lagrange interpolations in t, and P
// is
//   moved by the transposed weights, so its mass stays 1 to rounding.  A large variance is cut into parts no
//   larger than S (same m: exact), and the number of nodes follows from variance/S.
// * Left of the wall f ~ -h^2/(2s), s = 1 - lambda_k + w^2 + sum m_j d_j.  There the factor exp(-m h'^2/(2s))
// goes
//   into the Gaussian: nodes c h + sqrt(c d) z, c = s/(s + m d).  Stored are chi = f + q^2/(2s) and f' - q/s
//   with q = (sqrt(h^2+b^2) - h)/2, which are smooth and of order one also where f is of order 1/s.
//
// Cost: rows * nodes items a step, ~420 at k = 19.  Each item: 7 flops for the node, a root and a logarithm,
// 50 flops of interpolation (3 fma + 4 per pair of weights, 2 x 8 fma), an exponential, 10 flops of sums;
// forward 30 flops again; it keeps 28 bytes (weight, place).  8e3 items a term: 1e6 flops, 2.3e5 bytes:
// within the L2 cache.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "deepglass/core.hpp"

namespace deepglass::parisi {

// f_{k+1}(h) = ln Phi((h - shift)/sqrt(deficit + width^2)), deficit = 1 - lambda_k.
struct HardWall {
  double width = 0.0;
  double shift = 0.0;
};

// f_{k+1}(h) = ln 2cosh h.  Here `variance` are the increments of eps, and `deficit` is not used.
struct IsingSpin {};

struct Levels {
  Span<const double> variance;     // (k+1,)  lambda_0, lambda_1 - lambda_0, ..: >= 0, zeros are skipped
  Span<const double> breakpoints;  // (k,)    m_1 .. m_k
  double deficit = 1.0;            // 1 - lambda_k, from variables that know it to full relative accuracy
  double outer_breakpoint = 0.0;   // m_0: 0, or the number of replicas where that is finite
};

struct Slopes {
  double value = 0.0;             // F = f_0(0)
  double replicon = 0.0;          // K
  double one_minus_last = 0.0;    // 1 - g_k = int P_k sech^2 for a spin; NaN for a wall
  Span<double> slope_square;      // (k+1,)  g_i
  Span<double> mass;              // (k+1,)  int P_i: 1 up to rounding
  Span<double> breakpoint_slope;  // (k,)    dF/dm_i, i = 1..k
};

constexpr double kSmallestDeficit = 1e-14;

namespace detail {

constexpr int kStencil = 8;
constexpr int kGhosts = kStencil / 2;
constexpr int kLanes = 8;
constexpr int kMostNodes = 40;
constexpr int kMostSteps = 4096;
constexpr double kGridScale = 1.2;
constexpr double kGridSpacing = 0.065;
constexpr double kLogTolerance = 21.0;

// STANDIN
inline double madd(double a, double b, double c) {
#ifdef __FMA__
  return __builtin_fma(a, b, c);
#else
  return a * b + c;
#endif
}
inline double bits_to_double(std::int64_t i) {
  double d;
  std::memcpy(&d, &i, 8);
  return d;
}
inline std::int64_t double_to_bits(double d) {
  std::int64_t i;
  std::memcpy(&i, &d, 8);
  return i;
}
inline double vexp(double x) {
  x = x < -700.0 ? -700.0 : x;
  x = x > 700.0 ? 700.0 : x;
  const double magic = 6755399441055744.0;
  const double kd = madd(x, 1.4426950408889634, magic);
  const std::int64_t ki = double_to_bits(kd);
  const double n = kd - magic;
  double r = madd(-n, 0.693147180369123816490, x);
  r = madd(-n, 1.90821492927058770002e-10, r);
  double p = 1.0 / 6227020800.0;
  p = madd(p, r, 1.0 / 479001600.0);
  p = madd(p, r, 1.0 / 39916800.0);
  p = madd(p, r, 1.0 / 3628800.0);
  p = madd(p, r, 1.0 / 362880.0);
  p = madd(p, r, 1.0 / 40320.0);
  p = madd(p, r, 1.0 / 5040.0);
  p = madd(p, r, 1.0 / 720.0);
  p = madd(p, r, 1.0 / 120.0);
  p = madd(p, r, 1.0 / 24.0);
  p = madd(p, r, 1.0 / 6.0);
  p = madd(p, r, 0.5);
  p = madd(p, r, 1.0);
  p = madd(p, r, 1.0);
  return p * bits_to_double((ki + 1023) << 52);
}
inline double vlog(double x) {
  const std::int64_t u = double_to_bits(x);
  const std::int64_t e = (u - 0x3fe6a09e667f3bcdLL) & static_cast<std::int64_t>(0xfff0000000000000ULL);
  const double m = bits_to_double(u - e);
  // exponent as a double without a 64-bit conversion
  const double ed =
      bits_to_double((static_cast<std::int64_t>(static_cast<std::uint64_t>(e + (1023LL << 52)) >> 52)) |
                     0x4330000000000000LL) -
      4503599627370496.0 - 1023.0;
  const double f = (m - 1.0) / (m + 1.0);
  const double s = f * f;
  double p = 2.0 / 21.0;
  p = madd(p, s, 2.0 / 19.0);
  p = madd(p, s, 2.0 / 17.0);
  p = madd(p, s, 2.0 / 15.0);
  p = madd(p, s, 2.0 / 13.0);
  p = madd(p, s, 2.0 / 11.0);
  p = madd(p, s, 2.0 / 9.0);
  p = madd(p, s, 2.0 / 7.0);
  p = madd(p, s, 2.0 / 5.0);
  p = madd(p, s, 2.0 / 3.0);
  return madd(ed, 0.6931471805599453, madd(p * s, f, 2.0 * f));
}
inline double inverse_mills_ratio(double u) {
  if (u > -8.0)
    return std::exp(-0.5 * u * u) * 0.39894228040143268 / (0.5 * std::erfc(-u * 0.70710678118654752));
  double c = 0.0;
  const double a = -u;
  for (int j = 200; j > 0; --j) c = j / (a + c);
  return a + c;
}
inline double log_normal_cdf(double u) {
  return std::log1p(-0.5 * std::erfc(u * 0.70710678118654752));
}

struct HermiteRule {
  double z[kMostNodes];
  double w[kMostNodes];
};
inline const std::vector<HermiteRule>& hermite_rules() {
  static const std::vector<HermiteRule> rules = [] {
    std::vector<HermiteRule> all(kMostNodes + 1);
    for (int n = 1; n <= kMostNodes; ++n) {
      for (int i = 0; i < n; ++i) {
        auto count = [&](long double x) {  // Sturm sequence: roots below x
          long double p0 = 1, p1 = x;
          int neg = p1 < 0 ? 1 : 0;
          for (int j = 1; j < n; ++j) {
            const long double p2 =
                (x * p1 - std::sqrt((long double)j) * p0) / std::sqrt((long double)(j + 1));
            neg += (p2 < 0) != (p1 < 0);
            p0 = p1;
            p1 = p2;
          }
          return n - neg;
        };
        long double lo = -20, hi = 20;
        for (int it = 0; it < 70; ++it) {
          const long double mid = 0.5L * (lo + hi);
          (count(mid) > i ? hi : lo) = mid;
        }
        const long double x = 0.5L * (lo + hi);
        long double p0 = 1, p1 = x, sum = 1;
        for (int j = 1; j < n; ++j) {
          sum += p1 * p1;
          const long double p2 = (x * p1 - std::sqrt((long double)j) * p0) / std::sqrt((long double)(j + 1));
          p0 = p1;
          p1 = p2;
        }
        all[n].z[i] = static_cast<double>(x);
        all[n].w[i] = static_cast<double>(1 / sum);
      }
    }
    return all;
  }();
  return rules;
}
// END STANDIN

// Where one f lives: x_j = b sinh(t_j) for j < rows, t_j = (first + j) dt; or the one point x where the level
// ends.
struct Grid {
  double b = 0.0;
  double curvature = 0.0;  // 1/s; 0 for a spin
  double first = 0.0;      // t_0/dt: an integer for a wall, 1/2 for a spin
  Index rows = 0;
  Index padded = 0;  // rows rounded up to whole vectors
  Index offset = 0;  // into the pools of values
};

// One application of the Markov kernel, from the rows of grid j+1 to the points of grid j (j counts
// outwards).
struct Step {
  double m = 0.0;
  double variance = 0.0;
  double s = 0.0;  // before the step
  int nodes = 0;
  int level = 0;
  Index offset = 0;  // into the pools of items
};

// (7) The places a and the coefficients of prod_{q != a} (xi^2 - q^2)/(2a (a^2 - q^2)), a = 1/2, 3/2, 5/2,
// 7/2.
struct Lagrange {
  double place[4];
  double coefficient[4][4];  // [power of xi^2][a]
};

constexpr Lagrange make_lagrange() {
  Lagrange l{};
  for (int a = 0; a < 4; ++a) {
    l.place[a] = a + 0.5;
    double poly[4] = {1.0, 0.0, 0.0, 0.0}, scale = 2.0 * l.place[a];
    int degree = 0;
    for (int q = 0; q < 4; ++q) {
      if (q == a) continue;
      const double square = (q + 0.5) * (q + 0.5);
      scale *= l.place[a] * l.place[a] - square;
      ++degree;
      for (int j = degree; j >= 0; --j) poly[j] = (j > 0 ? poly[j - 1] : 0.0) - square * poly[j];
    }
    for (int j = 0; j < 4; ++j) l.coefficient[j][a] = poly[j] / scale;
  }
  return l;
}

inline constexpr Lagrange kLagrange = make_lagrange();

// Weights of the points at -7/2 .. 7/2 for a value at xi; they sum to 1.
inline void lagrange_weights(double xi, double* weights /* (8,) */) {
  const double square = xi * xi;
  double half[4];
#pragma omp simd
  for (int a = 0; a < 4; ++a) {
    double p = kLagrange.coefficient[3][a];
    p = madd(p, square, kLagrange.coefficient[2][a]);
    p = madd(p, square, kLagrange.coefficient[1][a]);
    half[a] = madd(p, square, kLagrange.coefficient[0][a]);
  }
#pragma omp simd
  for (int a = 0; a < 4; ++a) weights[4 + a] = half[a] * (kLagrange.place[a] + xi);
#pragma omp simd
  for (int a = 0; a < 4; ++a) weights[3 - a] = half[a] * (kLagrange.place[a] - xi);
}

}  // namespace detail

// Memory of the recursion, kept from call to call; one for each thread.
class Workspace {
 public:
  Index n_steps() const { return static_cast<Index>(steps.size()); }
  Index n_items() const { return total_items; }

  std::vector<detail::Grid> grids;  // (n_steps+1,)  from f_{k+1} outwards
  std::vector<detail::Step> steps;  // (n_steps,)
  std::vector<Index> level_grid;    // (k+2,)  the grid of f_i
  std::vector<double> cumulative;   // (2, k+1)  lambda_i, sum_{j<=i} m_j d_j
  std::vector<double> sinh_table;   // sinh(j dt) or sinh((j+1/2) dt), j >= 0
  double table_spacing = 0.0;
  double table_shift = 0.0;
  // Values on the grids, each grid with kGhosts entries in front: f and f' stripped of their tails, f', f,
  // 1/sum of weights, int T f - f.
  std::vector<double> x, chi, psi, slope, f, inverse_norm, gain;
  // Items of the steps, node by node: weight before normalisation, place in the cell, first point of the
  // stencil.
  std::vector<double> weight, place;
  std::vector<std::int32_t> cell;
  std::vector<double> scratch;    // (n, padded)
  std::vector<double> curvature;  // f_{k+1}'' on the first grid
  std::vector<double> p, cells;   // measure on a grid; the same by cells, (rows, 8)
  Index total_items = 0;
};

namespace detail {

template <bool kWall>
struct Numbers {
  double scale, spacing, log_tolerance, largest_step, range;
  explicit Numbers(double resolution)
      : scale(kGridScale),
        spacing(kGridSpacing / resolution),
        log_tolerance(kLogTolerance + 8.0 * std::log(resolution)) {
    const double l = log_tolerance;
    // A spin's f has poles at distance pi/2 from the axis, a wall's at 2.8 sqrt(S): both fitted to the error
    // of one step, see tests.
    largest_step = kWall ? 1.0 : (25.0 - 0.13 * l) / (0.17 * l * l);
    range = std::sqrt(2.0 * l);
  }
  int nodes(double ratio) const {
    const double l = log_tolerance;
    const double n = kWall ? 1.0 + l / std::log(1.0 + 2.0 / ratio) : 3.0 + 0.13 * l + 0.17 * l * l * ratio;
    return std::min(kMostNodes, std::max(3, static_cast<int>(std::ceil(n - 1e-9))));
  }
};

inline void refuse(bool bad, const std::string& message) {
  if (bad) throw std::invalid_argument(message);
}

// Cuts the levels into steps and lays out the grids; everything is allocated here.
template <bool kWall>
void plan(const HardWall& wall, const Levels& levels, const Numbers<kWall>& numbers, Workspace& ws) {
  const Index k = levels.variance.size() - 1;
  const auto breakpoint = [&](Index i) { return i ? levels.breakpoints[i - 1] : levels.outer_breakpoint; };
  ws.cumulative.resize(static_cast<std::size_t>(2 * (k + 1)));
  double* const lambda = ws.cumulative.data();
  double* const drift = lambda + (k + 1);
  for (Index i = 0; i <= k; ++i) {
    lambda[i] = (i ? lambda[i - 1] : 0.0) + levels.variance[i];
    drift[i] = (i ? drift[i - 1] : 0.0) + breakpoint(i) * levels.variance[i];
  }
  double width2 = kWall ? levels.deficit + wall.width * wall.width : 1.0;  // S
  double s = width2;
  ws.grids.clear();
  ws.steps.clear();
  ws.level_grid.assign(static_cast<std::size_t>(k + 2), 0);
  ws.total_items = 0;
  Index values = 0, most = 0;

  const auto add_grid = [&](double variance, double tilt) {
    Grid g;
    g.b = numbers.scale * std::sqrt(kWall ? width2 : 1.0);
    g.curvature = kWall ? 1.0 / s : 0.0;
    if (variance <= 0.0) {
      g.rows = 1;
    } else if (kWall) {
      const double reach = numbers.range * std::sqrt(variance);
      const double left = std::floor(std::asinh((-reach - wall.shift) / g.b) / numbers.spacing) - 3.0;
      const double right =
          std::ceil(std::asinh((reach + std::max(wall.shift, 0.0) - wall.shift) / g.b) / numbers.spacing) +
          3.0;
      g.first = left;
      g.rows = std::max<Index>(kStencil, static_cast<Index>(right - left) + 1);
    } else {
      const double reach = numbers.range * std::sqrt(variance) + tilt;
      g.first = 0.5;
      g.rows = std::max<Index>(
          kStencil, static_cast<Index>(std::ceil(std::asinh(reach / g.b) / numbers.spacing + 0.5)) + 3);
    }
    g.padded = (g.rows + kLanes - 1) / kLanes * kLanes;
    g.offset = values + kGhosts;
    values += kGhosts + g.padded;
    most = std::max(most, g.padded);
    ws.grids.push_back(g);
  };

  add_grid(lambda[k], drift[k]);
  for (Index i = k; i >= 0; --i) {
    const double m = breakpoint(i);
    double rest = levels.variance[i], inside = lambda[i], tilt = drift[i];
    while (rest > 0.0) {
      double scale = width2;
      if (m > 0.0) scale = std::min(scale, kWall ? s / m : 1.0 / (m * m));
      double v = numbers.largest_step * scale;
      if (rest <= v * (1.0 + 1e-12)) {
        v = rest;
      } else if (rest < 2.0 * v) {
        v = 0.5 * rest;
      }
      rest -= v;
      Step step;
      step.m = m;
      step.variance = v;
      step.s = s;
      step.nodes = numbers.nodes(v / scale);
      step.level = static_cast<int>(i);
      step.offset = ws.total_items;
      if (kWall) {
        width2 += v;
        s += m * v;
      } else {
        width2 = m > 0.0 ? std::min(width2 + v, std::max(width2, 1.0 / (m * m))) : width2 + v;
      }
      inside = rest > 0.0 ? inside - v : (i ? lambda[i - 1] : 0.0);
      tilt = rest > 0.0 ? tilt - m * v : (i ? drift[i - 1] : 0.0);
      add_grid(inside, tilt);
      ws.total_items += step.nodes * ws.grids.back().padded;
      ws.steps.push_back(step);
      if (ws.steps.size() > static_cast<std::size_t>(kMostSteps)) {
        throw NumericalError("the recursion needs more than " + std::to_string(kMostSteps) +
                             " steps: the variances are too large");
      }
    }
    ws.level_grid[static_cast<std::size_t>(i)] = static_cast<Index>(ws.steps.size());
  }

  const auto grow = [](auto& v, Index size) {
    if (static_cast<Index>(v.size()) < size) v.resize(static_cast<std::size_t>(size));
  };
  for (auto* pool : {&ws.x, &ws.chi, &ws.psi, &ws.slope, &ws.f, &ws.inverse_norm, &ws.gain})
    grow(*pool, values);
  grow(ws.weight, ws.total_items);
  grow(ws.place, ws.total_items);
  grow(ws.cell, ws.total_items);
  grow(ws.scratch, 10 * most);
  grow(ws.curvature, ws.grids[0].padded);
  grow(ws.p, most + kStencil);
  grow(ws.cells, (most + kStencil) * kStencil);

  const double shift = kWall ? 0.0 : 0.5;
  if (ws.table_spacing != numbers.spacing || ws.table_shift != shift) {
    ws.sinh_table.clear();
    ws.table_spacing = numbers.spacing;
    ws.table_shift = shift;
  }
  Index longest = 0;
  for (const Grid& g : ws.grids) {
    longest = std::max({longest, static_cast<Index>(-g.first), static_cast<Index>(g.first) + g.rows});
  }
  for (Index j = static_cast<Index>(ws.sinh_table.size()); j <= longest; ++j) {
    ws.sinh_table.push_back(std::sinh((static_cast<double>(j) + shift) * numbers.spacing));
  }
  for (const Grid& g : ws.grids) {
    double* const x = ws.x.data() + g.offset;
    if (g.rows == 1) {
      x[0] = kWall ? -wall.shift : 0.0;
    } else {
      const Index first = kWall ? static_cast<Index>(g.first) : 0;
      for (Index j = 0; j < g.rows; ++j) {
        const Index n = first + j;
        x[j] = g.b * (n < 0 ? -ws.sinh_table[static_cast<std::size_t>(-n)]
                            : ws.sinh_table[static_cast<std::size_t>(n)]);
      }
    }
    for (Index j = g.rows; j < g.padded; ++j) x[j] = x[g.rows - 1];
  }
}

// The tail of a wall: q = (sqrt(x^2+b^2) - x)/2 and x^2 - q^2, neither with cancellation.
struct Tail {
  double q, rest, root;
};
inline Tail tail(double x, double b) {
  const double root = std::sqrt(madd(x, x, b * b)), size = std::fabs(x);
  const double large = 0.5 * (root + size), small = 0.25 * (b * b) / large;
  return {x < 0.0 ? large : small,
          x < 0.0 ? madd(small, small, -0.5 * (b * b)) : madd(x, x, -(small * small)), root};
}

// f_{k+1}, f_{k+1}', f_{k+1}'' on the first grid.
template <bool kWall>
void terminal(const HardWall& wall, const Levels& levels, Workspace& ws) {
  const Grid& g = ws.grids[0];
  const double* const x = ws.x.data() + g.offset;
  double *const chi = ws.chi.data() + g.offset, *const psi = ws.psi.data() + g.offset;
  double *const slope = ws.slope.data() + g.offset, *const f = ws.f.data() + g.offset;
  double* const curvature = ws.curvature.data();
  if constexpr (kWall) {
    const double s = levels.deficit + wall.width * wall.width, inverse_s = 1.0 / s;
    const double inverse_width = 1.0 / std::sqrt(s);
    for (Index j = 0; j < g.padded; ++j) {
      const Tail t = tail(x[j], g.b);
      const double u = x[j] * inverse_width, ratio = inverse_mills_ratio(u);
      // ln Phi = -u^2/2 - ln sqrt(2 pi) - ln(phi/Phi): on the left only this form has no cancellation.
      chi[j] = u < 0.0 ? -0.91893853320467274178 - std::log(ratio) - 0.5 * inverse_s * t.rest
                       : log_normal_cdf(u) + 0.5 * inverse_s * (t.q * t.q);
      f[j] = chi[j] - 0.5 * inverse_s * (t.q * t.q);
      slope[j] = ratio * inverse_width;
      psi[j] = slope[j] - t.q * inverse_s;
      curvature[j] = -ratio * (u + ratio) * inverse_s;
    }
  } else {
    for (Index j = 0; j < g.padded; ++j) {
      const double e = std::exp(-2.0 * std::fabs(x[j]));
      f[j] = chi[j] = std::fabs(x[j]) + std::log1p(e);
      slope[j] = psi[j] = std::tanh(x[j]);
      curvature[j] = 4.0 * e / ((1.0 + e) * (1.0 + e));
    }
  }
}

// One step outwards: f and f' at the rows x of `to` from those of `from`.
//   f(x) = base(x) + (1/m) ln sum_n w_n exp(m phi(y_n)),  f'(x) = sum_n T_n f'(y_n),
//   x >= 0:  y = x + sqrt(v) z,          phi = f,             base = 0
//   x <  0:  y = c x + sqrt(c v) z,      phi = f + y^2/(2s),  base = -x^2/(2(s + m v)) + ln(c)/(2m)   (wall
//   only)
template <bool kWall>
void step_outwards(const Step& step, const Grid& from, const Grid& to, double spacing, Workspace& ws) {
  const HermiteRule& rule = hermite_rules()[static_cast<std::size_t>(step.nodes)];
  const Index padded = to.padded;
  const double m = step.m, v = step.variance;
  const double c = kWall ? step.s / (step.s + m * v) : 1.0;
  const double deviation = std::sqrt(v), left_deviation = std::sqrt(c * v);
  const double b = from.b, inverse_b = 1.0 / from.b, inverse_spacing = 1.0 / spacing;
  const double inverse_s = from.curvature, half_inverse_s = 0.5 * from.curvature;
  const double shift = from.first, last = static_cast<double>(from.rows - 1);
  const double lowest = kWall ? 0.0 : -0.5;
  const double last_cell = static_cast<double>(from.rows - kStencil);
  const double first_cell = kWall ? 0.0 : -static_cast<double>(kGhosts);
  const double* const x = ws.x.data() + to.offset;
  double *const chi = ws.chi.data() + from.offset, *const psi = ws.psi.data() + from.offset;
  if (!kWall) {
    for (int j = 1; j <= kGhosts; ++j) {
      chi[-j] = chi[j - 1];
      psi[-j] = -psi[j - 1];
    }
  }
  double* const scratch = ws.scratch.data();
  double *const middle = scratch, *const norm = scratch + padded, *const sum_phi = scratch + 2 * padded;
  double *const sum_f = scratch + 3 * padded, *const sum_slope = scratch + 4 * padded;
  double *const at_chi = scratch + 5 * padded, *const at_psi = scratch + 6 * padded;
  double *const to_phi = scratch + 7 * padded, *const at_q = scratch + 8 * padded,
                *const to_f = scratch + 9 * padded;
  std::fill(norm, norm + 4 * padded, 0.0);

  for (int order = 0; order < step.nodes; ++order) {
    // The middle node comes first: its phi is the reference of the exponentials of its row.
    const int centre = step.nodes / 2;
    const int node = order == 0 ? centre : order <= centre ? order - 1 : order;
    const double z = rule.z[node], w = rule.w[node];
    const double right_move = deviation * z, left_move = left_deviation * z;
    double* const weight = ws.weight.data() + step.offset + node * padded;
    double* const place = ws.place.data() + step.offset + node * padded;
    std::int32_t* const cell = ws.cell.data() + step.offset + node * padded;

#pragma omp simd
    for (Index i = 0; i < padded; ++i) {
      const bool left = kWall && x[i] < 0.0;
      const double y = left ? madd(c, x[i], left_move) : x[i] + right_move;
      const Tail t = tail(y, b);
      const double size = vlog((t.root + std::fabs(y)) * inverse_b) * inverse_spacing;
      double tau = (kWall && y < 0.0 ? -size : size) - shift;
      tau = tau < lowest ? lowest : tau;
      tau = tau > last ? last : tau;
      // Truncation is the floor here: the argument is positive.
      double lo = static_cast<double>(static_cast<std::int32_t>(tau + (kGhosts + 1))) -
                  (kStencil / 2 - 1 + kGhosts + 1);
      lo = lo < first_cell ? first_cell : lo;
      lo = lo > last_cell ? last_cell : lo;
      cell[i] = static_cast<std::int32_t>(lo);
      place[i] = tau - lo - 0.5 * (kStencil - 1);
      if (kWall) {
        to_f[i] = -half_inverse_s * (t.q * t.q);
        to_phi[i] = left ? half_inverse_s * t.rest : to_f[i];
        at_q[i] = inverse_s * t.q;
      } else {
        at_q[i] = y < 0.0 ? -1.0 : 1.0;
      }
    }

    for (Index i = 0; i < padded; ++i) {
      double weights[kStencil];
      lagrange_weights(place[i], weights);
      const double *const a = chi + cell[i], *const d = psi + cell[i];
      double sum_a = 0.0, sum_d = 0.0;
#pragma omp simd reduction(+ : sum_a, sum_d)
      for (int j = 0; j < kStencil; ++j) {
        sum_a += weights[j] * a[j];
        sum_d += weights[j] * d[j];
      }
      at_chi[i] = sum_a;
      at_psi[i] = sum_d;
    }

#pragma omp simd
    for (Index i = 0; i < padded; ++i) {
      const double phi = kWall ? at_chi[i] + to_phi[i] : at_chi[i];
      const double value = kWall ? at_chi[i] + to_f[i] : at_chi[i];
      const double derivative = kWall ? at_psi[i] + at_q[i] : at_psi[i] * at_q[i];
      const double reference = order == 0 ? phi : middle[i];
      middle[i] = reference;
      const double e = w * vexp(m * (phi - reference));
      weight[i] = e;
      norm[i] += e;
      sum_phi[i] = madd(e, phi - reference, sum_phi[i]);
      sum_f[i] = madd(e, value, sum_f[i]);
      sum_slope[i] = madd(e, derivative, sum_slope[i]);
    }
  }

  const double base = !kWall ? 0.0 : m > 0.0 ? -0.5 * std::log1p(m * v / step.s) / m : -0.5 * v / step.s;
  const double half_curvature = 0.5 * to.curvature, inverse_m = m > 0.0 ? 1.0 / m : 0.0;
  double *const new_chi = ws.chi.data() + to.offset, *const new_psi = ws.psi.data() + to.offset;
  double *const slope = ws.slope.data() + to.offset, *const f = ws.f.data() + to.offset;
  double *const inverse_norm = ws.inverse_norm.data() + to.offset, *const gain = ws.gain.data() + to.offset;
#pragma omp simd
  for (Index i = 0; i < padded; ++i) {
    inverse_norm[i] = 1.0 / norm[i];
    const double value = (m > 0.0 ? vlog(norm[i]) * inverse_m : sum_phi[i]) + middle[i];
    slope[i] = sum_slope[i] * inverse_norm[i];
    if (kWall) {
      const Tail t = tail(x[i], to.b);
      new_chi[i] = value + (x[i] < 0.0 ? base - half_curvature * t.rest : half_curvature * (t.q * t.q));
      new_psi[i] = slope[i] - t.q * to.curvature;
      f[i] = new_chi[i] - half_curvature * (t.q * t.q);
    } else {
      new_chi[i] = f[i] = value;
      new_psi[i] = slope[i];
    }
    gain[i] = sum_f[i] * inverse_norm[i] - f[i];
  }
}

// One step inwards: the measure ws.p on the rows of `to` becomes the one on the points of `from`.
template <bool kWall>
void step_inwards(const Step& step, const Grid& from, const Grid& to, Workspace& ws) {
  const Index padded = to.padded;
  double* const p = ws.p.data();
  double* const cells = ws.cells.data() + kGhosts * kStencil;
  std::fill(ws.cells.begin(), ws.cells.begin() + (from.rows + kGhosts) * kStencil, 0.0);
  const double* const inverse_norm = ws.inverse_norm.data() + to.offset;
#pragma omp simd
  for (Index i = 0; i < to.rows; ++i) p[i] *= inverse_norm[i];
  for (int node = 0; node < step.nodes; ++node) {
    const double* const weight = ws.weight.data() + step.offset + node * padded;
    const double* const place = ws.place.data() + step.offset + node * padded;
    const std::int32_t* const cell = ws.cell.data() + step.offset + node * padded;
    for (Index i = 0; i < to.rows; ++i) {
      double weights[kStencil];
      lagrange_weights(place[i], weights);
      const double share = p[i] * weight[i];
      // Whole cells, not points: neighbouring rows then never touch half of what the last one wrote.
      double* const here = cells + static_cast<Index>(cell[i]) * kStencil;
#pragma omp simd
      for (int j = 0; j < kStencil; ++j) here[j] = madd(share, weights[j], here[j]);
    }
  }
  std::fill(p, p + from.padded, 0.0);
  for (Index j = 0; j + kStencil <= from.rows; ++j) {
    for (int n = 0; n < kStencil; ++n) p[j + n] += cells[j * kStencil + n];
  }
  if (!kWall) {
    for (int j = -kGhosts; j < 0; ++j) {
      for (int n = 0; n < kStencil; ++n) p[j + n < 0 ? -1 - (j + n) : j + n] += cells[j * kStencil + n];
    }
  }
}

template <bool kWall>
void run(const HardWall& wall, const Levels& levels, double resolution, Workspace& ws, Slopes& out) {
  const Index k = levels.variance.size() - 1;
  refuse(k < 0, "variance must have shape (k+1,), got (0,)");
  const auto size_text = [](Index n) { return "(" + std::to_string(n) + ",)"; };
  refuse(levels.breakpoints.size() != k,
         "breakpoints must have shape " + size_text(k) + ", got " + size_text(levels.breakpoints.size()));
  refuse(out.slope_square.size() != k + 1 || out.mass.size() != k + 1 || out.breakpoint_slope.size() != k,
         "slope_square, mass must have shape (k+1,) and breakpoint_slope (k,)");
  for (const double v : levels.variance) {
    refuse(!(v >= 0.0) || !std::isfinite(v), "variance must be finite and >= 0, got " + std::to_string(v));
  }
  for (const double m : levels.breakpoints) {
    refuse(!(m > 0.0) || !std::isfinite(m), "breakpoints must be finite and > 0, got " + std::to_string(m));
  }
  const double m0 = levels.outer_breakpoint;
  refuse(!(m0 >= 0.0) || !std::isfinite(m0),
         "outer_breakpoint must be finite and >= 0, got " + std::to_string(m0));
  refuse(!(resolution >= 0.5 && resolution <= 4.0),
         "resolution must be in [0.5, 4], got " + std::to_string(resolution));
  if constexpr (kWall) {
    refuse(!std::isfinite(wall.width), "width must be finite, got " + std::to_string(wall.width));
    refuse(!std::isfinite(wall.shift), "shift must be finite, got " + std::to_string(wall.shift));
    refuse(!(levels.deficit >= 0.0) || !std::isfinite(levels.deficit),
           "deficit must be finite and >= 0, got " + std::to_string(levels.deficit));
    if (levels.deficit + wall.width * wall.width < kSmallestDeficit) {
      throw NumericalError("deficit + width^2 must be at least 1e-14");
    }
  }

  const Numbers<kWall> numbers(resolution);
  plan<kWall>(wall, levels, numbers, ws);
  terminal<kWall>(wall, levels, ws);
  for (std::size_t n = 0; n < ws.steps.size(); ++n) {
    step_outwards<kWall>(ws.steps[n], ws.grids[n], ws.grids[n + 1], numbers.spacing, ws);
  }
  ws.level_grid[static_cast<std::size_t>(k + 1)] = 0;

  std::size_t n = ws.steps.size();
  out.value = ws.f[static_cast<std::size_t>(ws.grids[n].offset)];
  std::fill(ws.p.begin(), ws.p.begin() + ws.grids[n].padded, 0.0);
  ws.p[0] = 1.0;
  std::fill(out.breakpoint_slope.begin(), out.breakpoint_slope.end(), 0.0);
  const double* const p = ws.p.data();
  for (Index i = 0; i <= k; ++i) {
    // P_i lives on the grid of f_{i+1}.
    for (; n > static_cast<std::size_t>(ws.level_grid[static_cast<std::size_t>(i + 1)]); --n) {
      const Step& step = ws.steps[n - 1];
      if (step.level > 0) {
        const double* const gain = ws.gain.data() + ws.grids[n].offset;
        double sum = 0.0;
        for (Index j = 0; j < ws.grids[n].rows; ++j) sum += p[j] * gain[j];
        out.breakpoint_slope[step.level - 1] += sum / step.m;
      }
      step_inwards<kWall>(step, ws.grids[n - 1], ws.grids[n], ws);
    }
    const Grid& g = ws.grids[n];
    const double* const slope = ws.slope.data() + g.offset;
    double mass = 0.0, square = 0.0;
    for (Index j = 0; j < g.rows; ++j) {
      mass += p[j];
      square += p[j] * (slope[j] * slope[j]);
    }
    out.mass[i] = mass;
    out.slope_square[i] = square;
  }
  double replicon = 0.0, one_minus = 0.0;
  for (Index j = 0; j < ws.grids[0].rows; ++j) {
    replicon +=
        p[j] * (ws.curvature[static_cast<std::size_t>(j)] * ws.curvature[static_cast<std::size_t>(j)]);
    one_minus += p[j] * ws.curvature[static_cast<std::size_t>(j)];
  }
  out.replicon = replicon;
  out.one_minus_last = kWall ? std::numeric_limits<double>::quiet_NaN() : one_minus;
  if (!std::isfinite(out.value) || !std::isfinite(out.replicon)) {
    throw NumericalError("the recursion left the range of numbers");
  }
}

}  // namespace detail

// The recursion of the head of this file.  `resolution` r divides the spacing of the grids and makes the
// rules longer: errors fall as r^-8.
inline void recursion(const HardWall& wall, const Levels& levels, Workspace& workspace, Slopes& out,
                      double resolution = 1.0) {
  detail::run<true>(wall, levels, resolution, workspace, out);
}

inline void recursion(const IsingSpin&, const Levels& levels, Workspace& workspace, Slopes& out,
                      double resolution = 1.0) {
  detail::run<false>(HardWall{}, levels, resolution, workspace, out);
}

}  // namespace deepglass::parisi
