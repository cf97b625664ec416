// The k-step replica-symmetry-breaking recursion of one Gaussian-field term, with all its derivatives.
//
// Levels lambda_0 <= .. <= lambda_k of the covariance of the field, breakpoints m_0 < .. < m_k (m_0 = 0);
// d_0 = lambda_0, d_i = lambda_i - lambda_{i-1};  gamma_d is the Gaussian density of variance d.
//
//   hard wall   f_{k+1}(h) = ln Phi((h - kappa)/sqrt(1 - lambda_k + w^2))
//   Ising spin  f_{k+1}(h) = ln 2cosh(h)
//   f_i(h)    = (1/m_i) ln int dh' gamma_{d_i}(h' - h) exp(m_i f_{i+1}(h')),  F = f_0(0)
//   T_i(h,h') = gamma_{d_i}(h' - h) exp(m_i [f_{i+1}(h') - f_i(h)]),  f_i' = T_i f_{i+1}',  P_i = P_{i-1} T_i
//   g_i       = int P_i (f_{i+1}')^2,  dF/dlambda_i = -(1/2)(m_{i+1} - m_i) g_i,  K = int P_k (f_{k+1}'')^2
//   dF/dm_i   = (1/m_i)(E_{P_i} f_{i+1} - E_{P_{i-1}} f_i)
//
// Scheme (restated in plain NumPy in python/deepglass/reference/parisi_recursion.py):
//
// * Each f_i has a grid of its own, h - kappa = b sinh(j dt), b = 1.2 sqrt(S).  S = 1 - lambda_{i-1} + w^2 is
//   the square of the length on which f_i varies near the wall; away from the wall that length is the
//   distance.  So about 60 points serve every deficit.  A spin has S = 1 and, f being even, half a grid.
//
// * A step is a Gauss-Hermite rule, or, of a spin, a trapezoidal one where that has fewer nodes.  Values
// between the points are 8-point Lagrange interpolations in t; P is
//   moved by the transposed weights, so that its mass stays 1 to rounding.  A variance larger than S is cut
//   (with the same m: exact); the number of nodes follows from variance/S.
//
// * Left of the wall f ~ -h^2/(2s), s = 1 - lambda_k + w^2 + sum m_j d_j over the inner levels.  There the
//   factor exp(-m h'^2/(2s)) goes into the Gaussian: nodes c h + sqrt(c d) z, c = s/(s + m d).  Stored are
//   chi = f + q^2/(2s) and psi = f' - q/s, q = (sqrt(h^2 + b^2) - h)/2: smooth, and of order one also where f
//   is of order 1/s.
//
// Cost: (rows * nodes) items a step, 300 to 700 at k = 19, where a step has about 60 rows and 5 to 12 nodes.
// An item takes some 130 flops: its place (a root, a logarithm), 8 weights (3 fma + 4 flops a pair), two sums
// of 8, an exponential, three running sums; and the weights once more on the way in.  It keeps 24 bytes.  A
// term of 1e4 items is 1.3e6 flops on 0.24 MB, which the second-level cache holds: bound by arithmetic.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "deepglass/core.hpp"
#include "deepglass/quadrature.hpp"
#include "deepglass/vmath.hpp"

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
constexpr int kLanes = 4;
constexpr double kShift = 0x1.8p52;
constexpr int kMostNodes = 40;
constexpr int kMostSteps = 4096;
// How far, in cells, the last stencil is used beyond its points.  A value held constant there would be wrong
// by its slope, and many small steps carry the error 4 cells inwards each.
constexpr double kBeyond = 1.0;
constexpr double kGridScale = 1.2;
constexpr double kGridSpacing = 0.07;
constexpr double kLogTolerance = 19.5;

using vmath::madd;

// e^x for |x| < 700 and ln x for normal x > 0: all that the inner loops need.
DEEPGLASS_INLINE double exp_bounded(double x) {
  const auto [k, r] = vmath::detail::reduce(x);
  return vmath::detail::exp2_integer(k) * (1.0 + vmath::detail::expm1_reduced(r));
}
DEEPGLASS_INLINE double log_bounded(double x) {
  const auto [k, m] = vmath::detail::split(x);
  return vmath::detail::log1p_reduced(m - 1.0, k);
}

// The rules of 1..kMostNodes nodes for the standard normal: made once, never changed.
inline const std::vector<Rule>& hermite_rules() {
  static const std::vector<Rule> rules = [] {
    std::vector<Rule> all(1);
    for (int n = 1; n <= kMostNodes; ++n) all.push_back(gauss_hermite(n));
    return all;
  }();
  return rules;
}

// Where one f lives: x_j = b sinh(t_j), t_j = (first + j) dt, j < rows; or one point, where all walks begin.
struct Grid {
  double b = 0.0;
  double curvature = 0.0;   // 1/s; 0 for a spin
  double first = 0.0;       // t_0/dt: an integer for a wall, 1/2 for a spin
  double lowest = 0.0;      // smallest place, in units of dt from t_0; a spin's grid goes on to h = 0
  double first_cell = 0.0;  // smallest start of a stencil; a spin's grid has mirror images
  bool closed = false;      // the last point stands for all beyond it
  Index rows = 0;
  Index padded = 0;  // rows rounded up to whole vectors
  Index offset = 0;  // into the pools of values
};

// One Markov kernel, from the rows of grid j+1 to the points of grid j (j counts outwards).
struct Step {
  double m = 0.0;
  double variance = 0.0;
  double s = 0.0;       // before the step
  double growth = 0.0;  // (1/2) sum of m_j d_j of the steps before and this one
  int nodes = 0;
  double spacing = 0.0;  // of a trapezoidal rule's nodes; 0 for Gauss-Hermite
  double density = 0.0;  // its weights are density * exp(-z^2/2), with sum 1
  int level = 0;
  Index offset = 0;  // into the pools of items
};

// The places a and the coefficients of prod_{q != a} (xi^2 - q^2)/(2a (a^2 - q^2)), a = 1/2, 3/2, 5/2,
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
  std::vector<double> sinh_table;   // sinh(j dt) or sinh((j+1/2) dt), j >= 0
  double table_spacing = 0.0;
  double table_shift = 0.0;
  // Values on the grids, each grid with kGhosts entries in front: f and f' stripped of their tails, f', f,
  // 1/sum of weights, int T f - f.
  std::vector<double> x, chi, psi, slope, f, inverse_norm, gain;
  // Items of the steps, node by node: weight before normalisation, place in the cell, first point of the
  // stencil.
  std::vector<double> weight, place;
  std::vector<std::int64_t> cell;
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
    range = std::sqrt((kWall ? 1.5 : 2.0) * l);
  }
  int nodes(double ratio) const {
    const double l = log_tolerance;
    const double n = kWall ? 1.0 + l / std::log(1.0 + 2.0 / ratio) : 5.0 + 0.13 * l + 0.17 * l * l * ratio;
    return std::min(kMostNodes, std::max(3, static_cast<int>(std::ceil(n - 1e-9))));
  }
  // A spin's wide step, x -> x + sqrt(v) z: the poles of f at +-i pi/2 (steps before move them little) and
  // the Gaussian allow a spacing; exp(m f) moves the largest term to z = +-m sqrt(v).  With m = 0 it starts
  // from one point, and has no limit.
  Step wide_step(double m, double rest) const {
    constexpr double kWidest = 64.0;
    constexpr double kMore = 6.0;  // sums of f'^2 are worse by (4 pi/spacing)^2, and steps are many
    Step step;
    step.variance = m > 0.0 ? std::min(rest, kWidest) : rest;
    const double width = std::sqrt(step.variance), pi = 3.14159265358979323846, l = log_tolerance + kMore;
    step.spacing = std::min(std::sqrt(2.0 * pi * pi / l), pi * pi / (l * width));
    const double count = std::ceil(2.0 * (range + m * width) / step.spacing) + 1.0;
    if (!(count < 1e7)) throw NumericalError("the variances of a spin are too large");
    step.nodes = static_cast<int>(count);
    double sum = 0.0;
    for (int n = 0; n < step.nodes; ++n) {
      const double z = (n - 0.5 * (step.nodes - 1)) * step.spacing;
      sum += std::exp(-0.5 * z * z);
    }
    step.density = 1.0 / sum;
    return step;
  }
};

inline void refuse(bool bad, const std::string& message) {
  if (bad) throw std::invalid_argument(message);
}

// Cuts the levels into steps and lays out the grids; everything is allocated here.
template <bool kWall>
void plan(const HardWall& wall, const Levels& levels, const Numbers<kWall>& numbers, Workspace& ws) {
  const Index k = levels.variance.size() - 1;
  double scale = kWall ? levels.deficit + wall.width * wall.width : 1.0;  // S
  double s = scale;
  double growth = 0.0;
  ws.steps.clear();
  ws.level_grid.assign(static_cast<std::size_t>(k + 2), 0);
  ws.grids.clear();
  const auto add_grid = [&] {
    Grid g;
    g.b = numbers.scale * std::sqrt(kWall ? scale : 1.0);
    g.curvature = kWall ? 1.0 / s : 0.0;
    g.lowest = kWall ? -kBeyond : -0.5;
    g.first_cell = kWall ? 0.0 : -static_cast<double>(kGhosts);
    ws.grids.push_back(g);
  };
  add_grid();
  for (Index i = k; i >= 0; --i) {
    const double m = i ? levels.breakpoints[i - 1] : levels.outer_breakpoint;
    double rest = levels.variance[i];
    while (rest > 0.0) {
      double smooth = scale;
      if (m > 0.0) smooth = std::min(smooth, kWall ? s / m : 1.0 / (m * m));
      Step step;
      double v = numbers.largest_step * smooth;
      if (rest <= v * (1.0 + 1e-12)) {
        v = rest;
      } else if (rest < 2.0 * v) {
        v = 0.5 * rest;
      }
      step.nodes = numbers.nodes(v / smooth);
      if (!kWall) {
        const Step wide = numbers.wide_step(m, rest);
        // Whichever costs less for its variance.
        if (wide.nodes * v < step.nodes * wide.variance) {
          step = wide;
          v = wide.variance;
        }
      }
      rest -= v;
      step.m = m;
      step.variance = v;
      step.s = s;
      growth += 0.5 * m * v;
      step.growth = growth;
      step.level = static_cast<int>(i);
      ws.steps.push_back(step);
      if (kWall) {
        scale += v;
        s += m * v;
      } else {
        scale = m > 0.0 ? std::min(scale + v, std::max(scale, 1.0 / (m * m))) : scale + v;
      }
      add_grid();
      if (ws.steps.size() > static_cast<std::size_t>(kMostSteps)) {
        throw NumericalError("the recursion needs more than " + std::to_string(kMostSteps) +
                             " steps: the variances are too large");
      }
    }
    ws.level_grid[static_cast<std::size_t>(i)] = static_cast<Index>(ws.steps.size());
  }

  // The reach of the grids, from outside, where the field is certain.  `left_mean` and `left_variance` are
  // those of the walk x -> c x + sqrt(c v) z on the left of the wall; what is not there is further right.
  Index values = 0, most = 0;
  double variance = 0.0, tilt = 0.0;
  double left_mean = std::min(-wall.shift, 0.0), left_variance = 0.0;
  ws.total_items = 0;
  for (std::size_t n = ws.grids.size(); n-- > 0;) {
    Grid& g = ws.grids[n];
    if (n + 1 == ws.grids.size()) {
      g.rows = 1;
    } else {
      Step& step = ws.steps[n];
      variance += step.variance;
      tilt += step.m * step.variance;
      if (kWall) {
        const double c = step.s / (step.s + step.m * step.variance);
        left_mean *= c;
        left_variance = c * (c * left_variance + step.variance);
        const double free = numbers.range * std::sqrt(variance);
        // From further right a field does not come back to the wall: the last point stands for all of it.
        // There f' ~ exp(-x^2/(2S))/sqrt(S) must be small against the f' of the outer levels.
        const double width = g.b / numbers.scale;
        const double safe = std::sqrt(1.5 * (numbers.log_tolerance + std::max(0.0, -2.0 * std::log(width))));
        const double end = free + std::max(-wall.shift, 0.0), right = std::min(end, safe * width);
        g.closed = end > safe * width;
        const double left =
            std::max(left_mean - numbers.range * std::sqrt(left_variance), -wall.shift - free);
        const double last = std::ceil(std::asinh(right / g.b) / numbers.spacing) + 3.0;
        g.first = std::min(std::floor(std::asinh(left / g.b) / numbers.spacing) - 3.0, last - (kStencil - 1));
        g.rows = static_cast<Index>(last - g.first) + 1;
      } else {
        const double reach = numbers.range * std::sqrt(variance) + tilt;
        g.first = 0.5;
        g.rows = std::max<Index>(
            kStencil, static_cast<Index>(std::ceil(std::asinh(reach / g.b) / numbers.spacing + 0.5)) + 3);
      }
      step.offset = ws.total_items;
      ws.total_items += step.nodes * ws.grids[n + 1].padded;
    }
    g.padded = (g.rows + kLanes - 1) / kLanes * kLanes;
    g.offset = values + kGhosts;
    values += kGhosts + g.padded;
    most = std::max(most, g.padded);
  }

  const auto grow = [](auto& v, Index size) {
    if (static_cast<Index>(v.size()) < size) v.resize(static_cast<std::size_t>(size));
  };
  for (auto* pool : {&ws.x, &ws.chi, &ws.psi, &ws.slope, &ws.f, &ws.inverse_norm, &ws.gain})
    grow(*pool, values);
  grow(ws.weight, ws.total_items);
  grow(ws.place, ws.total_items);
  grow(ws.cell, ws.total_items);
  grow(ws.scratch, 17 * most);
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
    longest = std::max(
        {longest, static_cast<Index>(std::fabs(g.first)), static_cast<Index>(std::fabs(g.first)) + g.rows});
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

// The tail of a wall: q = (sqrt(x^2+b^2) - x)/2 and x^2 - q^2, to errors of epsilon |x| and epsilon b^2.
struct Tail {
  double q, rest, root;
};
DEEPGLASS_INLINE Tail tail(double x, double b) {
  const double root = std::sqrt(madd(x, x, b * b)), size = std::fabs(x);
  // The rounding error of `small` is epsilon |x|, that of its square epsilon b^2.
  const double large = 0.5 * (root + size), small = 0.5 * (root - size);
  const double square = small * small, rest = x < 0.0 ? square - 0.5 * (b * b) : x * x - square;
  return {x < 0.0 ? large : small, rest, root};
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
      const double u = x[j] * inverse_width, ratio = vmath::inverse_mills_ratio(u);
      // ln Phi = -u^2/2 - ln sqrt(2 pi) - ln(phi/Phi): on the left only this form has no cancellation.
      chi[j] = u < 0.0 ? -0.91893853320467274178 - vmath::log(ratio) - 0.5 * inverse_s * t.rest
                       : vmath::log_normal_cdf(u) + 0.5 * inverse_s * (t.q * t.q);
      f[j] = chi[j] - 0.5 * inverse_s * (t.q * t.q);
      slope[j] = ratio * inverse_width;
      psi[j] = slope[j] - t.q * inverse_s;
      curvature[j] = vmath::inverse_mills_ratio_slope(u) * inverse_s;
    }
  } else {
    for (Index j = 0; j < g.padded; ++j) {
      const double e = vmath::exp(-2.0 * std::fabs(x[j]));
      f[j] = chi[j] = vmath::log_2cosh(x[j]);
      slope[j] = psi[j] = vmath::tanh(x[j]);
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
  const bool hermite = step.spacing == 0.0;
  const Rule& rule = hermite_rules()[static_cast<std::size_t>(hermite ? step.nodes : 0)];
  const double middle = 0.5 * (step.nodes - 1);
  const Index padded = to.padded;
  const double m = step.m, v = step.variance;
  const double c = kWall ? step.s / (step.s + m * v) : 1.0;
  const double deviation = std::sqrt(v), left_deviation = std::sqrt(c * v);
  const double b = from.b, inverse_b = 1.0 / from.b, inverse_spacing = 1.0 / spacing;
  const double inverse_s = from.curvature, half_inverse_s = 0.5 * from.curvature;
  const double shift = from.first, last = static_cast<double>(from.rows - 1) + kBeyond;
  // Bounds known at compile time would be propagated into branches, and the loop over rows not vectorised.
  const double lowest = from.lowest;
  const double rightmost = from.closed ? ws.x[static_cast<std::size_t>(from.offset + from.rows - 1)]
                                       : std::numeric_limits<double>::max();
  const double last_cell = static_cast<double>(from.rows - kStencil);
  const double first_cell = from.first_cell;
  const double* const x = ws.x.data() + to.offset;
  double *const chi = ws.chi.data() + from.offset, *const psi = ws.psi.data() + from.offset;
  if (!kWall) {
    for (int j = 1; j <= kGhosts; ++j) {
      chi[-j] = chi[j - 1];
      psi[-j] = -psi[j - 1];
    }
  }
  double* const scratch = ws.scratch.data();
  double *const norm = scratch, *const sum_f = norm + padded, *const sum_slope = sum_f + padded;
  double *const reference = sum_slope + padded, *const centre = reference + padded,
                *const deviations = centre + padded;
  double *const to_phi = deviations + padded, *const to_f = to_phi + padded, *const to_slope = to_f + padded;
  double* const parts = to_slope + padded;  // (padded, 2, 2)
  std::fill(norm, norm + 3 * padded, 0.0);
#pragma omp simd
  for (Index i = 0; i < padded; ++i) {
    const double row = x[i], contracted = c * row;
    centre[i] = row < 0.0 ? contracted : row;
    // m phi is of order one at a wall; a spin's f is |h| and half the drift.
    reference[i] = kWall ? 0.0 : std::fabs(row) + step.growth;
    deviations[i] = row < 0.0 ? left_deviation : deviation;
  }

  for (int node = 0; node < step.nodes; ++node) {
    const double z = hermite ? rule.nodes[static_cast<std::size_t>(node)] : (node - middle) * step.spacing;
    const double w =
        hermite ? rule.weights[static_cast<std::size_t>(node)] : step.density * std::exp(-0.5 * z * z);
    double* const weight = ws.weight.data() + step.offset + node * padded;
    double* const place = ws.place.data() + step.offset + node * padded;
    std::int64_t* const cell = ws.cell.data() + step.offset + node * padded;

#pragma omp simd
    for (Index i = 0; i < padded; ++i) {
      const double row = x[i], node_at = madd(deviations[i], z, centre[i]);
      const double y = node_at > rightmost ? rightmost : node_at;
      const Tail t = tail(y, b);
      place[i] = std::copysign((t.root + std::fabs(y)) * inverse_b, y);
      if constexpr (kWall) {
        const double plain = -half_inverse_s * (t.q * t.q), stripped = half_inverse_s * t.rest;
        to_f[i] = plain;
        to_phi[i] = row < 0.0 ? stripped : plain;
        to_slope[i] = inverse_s * t.q;
      } else {
        to_slope[i] = std::copysign(1.0, y);
      }
    }
    // A loop of its own: the chain of a root and a logarithm is too long for the processor to look beyond.
#pragma omp simd
    for (Index i = 0; i < padded; ++i) {
      const double at = place[i], size = log_bounded(std::fabs(at)) * inverse_spacing;
      double tau = (kWall ? std::copysign(size, at) : size) - shift;
      tau = tau < lowest ? lowest : tau;
      tau = tau > last ? last : tau;
      // All in doubles, the low bits of a large one being the integer: mixed widths would halve the vectors.
      const double floor = ((tau - 0.5) + kShift) - kShift, below = floor - (kStencil / 2 - 1);
      double lo = below < first_cell ? first_cell : below;
      lo = lo > last_cell ? last_cell : lo;
      cell[i] = static_cast<std::int64_t>(vmath::detail::bits(lo + kShift) - vmath::detail::bits(kShift));
      place[i] = tau - lo - 0.5 * (kStencil - 1);
    }

    for (Index i = 0; i < padded; ++i) {
      double weights[kStencil];
      lagrange_weights(place[i], weights);
      const double *const a = chi + cell[i], *const d = psi + cell[i];
      double sum_a = 0.0, sum_d = 0.0;
#pragma omp simd reduction(+ : sum_a, sum_d)
      for (int j = 0; j < kStencil; ++j) {
        sum_a = madd(weights[j], a[j], sum_a);
        sum_d = madd(weights[j], d[j], sum_d);
      }
      parts[i] = sum_a;
      parts[padded + i] = sum_d;
    }

#pragma omp simd
    for (Index i = 0; i < padded; ++i) {
      // The ends of the sums are taken here, across rows: along a vector they are a chain of waits.
      const double at_chi = parts[i], at_psi = parts[padded + i];
      const double phi = kWall ? at_chi + to_phi[i] : at_chi;
      const double value = kWall ? at_chi + to_f[i] : at_chi;
      const double derivative = kWall ? at_psi + to_slope[i] : at_psi * to_slope[i];
      const double e = w * exp_bounded(m * (phi - reference[i]));
      weight[i] = e;
      norm[i] += e;
      sum_f[i] = madd(e, value, sum_f[i]);
      sum_slope[i] = madd(e, derivative, sum_slope[i]);
    }
  }

  const bool average = m == 0.0;  // then the result is f itself, on both sides of the wall
  const double base = kWall && !average ? -0.5 * std::log1p(m * v / step.s) / m : 0.0;
  const double half_curvature = 0.5 * to.curvature, inverse_m = average ? 0.0 : 1.0 / m;
  const double left_end = average ? -std::numeric_limits<double>::infinity() : 0.0;
  double *const new_chi = ws.chi.data() + to.offset, *const new_psi = ws.psi.data() + to.offset;
  double *const slope = ws.slope.data() + to.offset, *const f = ws.f.data() + to.offset;
  double *const inverse_norm = ws.inverse_norm.data() + to.offset, *const gain = ws.gain.data() + to.offset;
#pragma omp simd
  for (Index i = 0; i < padded; ++i) {
    const double row = x[i], one_over = 1.0 / norm[i], mean = sum_f[i] * one_over;
    const double tilted = madd(log_bounded(norm[i]), inverse_m, reference[i]);
    const double value = average ? mean : tilted, derivative = sum_slope[i] * one_over;
    inverse_norm[i] = one_over;
    slope[i] = derivative;
    double end = value;
    if constexpr (kWall) {
      const Tail t = tail(row, to.b);
      const double square = half_curvature * (t.q * t.q), stripped = base - half_curvature * t.rest;
      const double smooth = value + (row < left_end ? stripped : square);
      new_chi[i] = smooth;
      new_psi[i] = madd(-t.q, to.curvature, derivative);
      end = smooth - square;
    } else {
      new_chi[i] = value;
      new_psi[i] = derivative;
    }
    f[i] = end;
    gain[i] = mean - end;
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
    const std::int64_t* const cell = ws.cell.data() + step.offset + node * padded;
    for (Index i = 0; i < to.rows; ++i) {
      double weights[kStencil];
      lagrange_weights(place[i], weights);
      const double share = p[i] * weight[i];
      // Whole cells, not points: neighbouring rows then never touch half of what the last one wrote.
      double* const here = cells + cell[i] * kStencil;
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
