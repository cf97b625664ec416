// The kernels of two sets of inputs, tile by tile: the product of the inputs, all layers, and one write.
//
// What bounds the time, for n inputs of dimension d and L hidden layers: the product takes n^2 d fma (half of
// them where the kernel is symmetric); a pair and layer 43 operations (relu) or 45 (erf) at two a cycle and
// vector, which is 5.5 cycles with AVX2 and 2.8 with AVX-512; in a unit of their own two roots and a
// division, or one and two (Zen 5: a root takes 7 cycles a vector, a division 4: 4.6 and 3.8 cycles, or half
// of them). A series of k terms takes 3 k operations, k being half the number of the longest Hermite
// polynomial where phi is even or odd.  A tile's state (64 kB) stays in the second-level cache; main memory
// sees the inputs once a row of tiles, and 8 bytes a pair and kernel.
#pragma once

#include <Eigen/Core>
#include <memory>
#include <utility>

#include "deepglass/kernels/near_one.hpp"
#include "deepglass/parallel.hpp"

namespace deepglass::kernels {

// A rectangle of a kernel: rows [row, row + n_rows) of the first set, and columns of the second.
struct Block {
  Index row, n_rows, column, n_columns;
};

class Kernel {
 public:
  // x1: (n1, d), x2: (n2, d); no x2: the symmetric kernel of x1.
  Kernel(const Network& network, Span<const double> x1, Index n1, const Span<const double>* x2, Index n2,
         Index d, int threads, const StopToken& stop)
      : network_(network), form_(form_of(*network.activation)), piecewise_linear_(*network.activation) {
    rows_ = std::make_unique<Inputs>(network, x1, n1, d, threads, stop);
    if (x2 != nullptr) other_ = std::make_unique<Inputs>(network, *x2, n2, d, threads, stop);
    if (form_ != Form::kSeries) return;
    std::vector<double> q;
    for (Index l = 0; l < network.hidden_layers; ++l) {
      q.clear();
      for (Index i = 0; i < n1; ++i) q.push_back(rows_->variance(l, i));
      for (Index j = 0; other_ && j < n2; ++j) q.push_back(other_->variance(l, j));
      tables_.emplace_back(*network.activation, q, threads, stop);
    }
  }

  bool symmetric() const { return !other_; }
  Index n_rows() const { return rows_->size(); }
  Index n_columns() const { return columns().size(); }

  // K(x, x) and Theta(x, x) of a row.
  std::pair<double, double> diagonal(Index i) const {
    return {rows_->variance(network_.hidden_layers, i), rows_->tangent(i)};
  }

  // Fills covariance and tangent kernel, either may be null; each (n_rows, n_columns) of the block, rows
  // `stride` apart.  A block on the diagonal of a symmetric kernel is computed once and mirrored.
  template <class Number>
  void compute(const Block& block, Number* covariance, Number* tangent, Index stride, int threads,
               const StopToken& stop) const {
    const Index n_down = (block.n_rows + kTile - 1) / kTile, n_across = (block.n_columns + kTile - 1) / kTile;
    const bool mirrored = symmetric() && block.row == block.column && block.n_rows == block.n_columns;
    std::vector<std::pair<Index, Index>> tiles;
    for (Index i = 0; i < n_down; ++i) {
      for (Index j = mirrored ? i : 0; j < n_across; ++j) tiles.emplace_back(i, j);
    }
    const auto n_tiles = static_cast<Index>(tiles.size());
    const double pairs = static_cast<double>(n_tiles * kTile * kTile);
    const double cost = (form_ == Form::kSeries ? 100.0 : 8.0) * static_cast<double>(network_.hidden_layers);
    parallel_for_uneven(
        n_tiles, {threads, pairs * (cost + 0.1 * static_cast<double>(rows_->dimension()))},
        [&](Index which) {
          const auto [down, across] = tiles[static_cast<std::size_t>(which)];
          const Index i = down * kTile, j = across * kTile;
          Tile tile{*this,
                    *rows_,
                    columns(),
                    block.row + i,
                    std::min(kTile, block.n_rows - i),
                    block.column + j,
                    std::min(kTile, block.n_columns - j)};
          tile.run(stop);
          if (covariance != nullptr) tile.write(tile.k(), covariance, stride, i, j, mirrored && i != j);
          if (tangent != nullptr) tile.write(tile.theta, tangent, stride, i, j, mirrored && i != j);
        },
        stop);
  }

 private:
  const Inputs& columns() const { return other_ ? *other_ : *rows_; }

  struct Tile {
    const Kernel& kernel;
    const Inputs &rows, &columns;
    Index row, n_rows, column, n_columns;  // the columns are filled up to kTile
    // (n_rows, kTile), on the stack: every tile from the heap would be new pages each time.  g becomes K and
    // theta Theta in the end.
    alignas(64) double g[kTile * kTile] = {}, theta[kTile * kTile] = {};
    std::vector<double> row_terms = {}, column_terms = {};  // (n_rows, n_terms), (n_terms, kTile)

    const double* k() const { return g; }

    void run(const StopToken& stop) {
      TimedStop timed(stop);
      multiply();
      const double no_slope[kTile] = {};
      for (Index i = 0; i < n_rows; ++i) mix(0, i, at(g, i), no_slope);
      for (Index l = 1; l <= kernel.network_.hidden_layers; ++l) {
        timed.check();
        layer(l, timed);
      }
      scale();
      if (kernel.symmetric()) set_diagonal();
      if (diagonal()) mirror(g);
      if (diagonal()) mirror(theta);
    }

    bool diagonal() const { return kernel.symmetric() && row == column && n_rows == n_columns; }

    void mirror(double* x) const {
      for (Index i = 0; i < n_rows; ++i) {
        for (Index j = 0; j < i; ++j) at(x, i)[j] = at(x, j)[i];
      }
    }

    // The products of the directions, as gaps.
    void multiply() {
      using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
      const Index d = rows.dimension();
      const Eigen::Map<const Matrix> a(rows.direction(row), n_rows, d);
      const Eigen::Map<const Matrix> b(columns.direction(column), n_columns, d);
      Eigen::Map<Matrix, 0, Eigen::OuterStride<>> c(g, n_rows, n_columns, Eigen::OuterStride<>(kTile));
      c.noalias() = a * b.transpose();
      constexpr double kNear = 1e-3;  // here the rounding errors of c, 1e-16, would be 1e-13 of the gap
      for (Index i = 0; i < n_rows; ++i) {
        double *gap = at(g, i), nearest = 1;
#pragma omp simd reduction(min : nearest)
        for (Index j = 0; j < kTile; ++j) {
          const double m = vmath::detail::at_least(1.0 - vmath::detail::abs(gap[j]), 0.0);
          nearest = m < nearest ? m : nearest;
          gap[j] = detail::with_sign_of(m, gap[j]);
        }
        for (Index j = 0; nearest < kNear && j < n_columns; ++j) {
          if (std::abs(gap[j]) < kNear) gap[j] = gap_of(row + i, column + j, gap[j]);
        }
      }
    }

    // |x^ -+ y^|^2 / 2
    double gap_of(Index i, Index j, double sign) const {
      const double *x = rows.direction(i), *y = columns.direction(j), s = std::copysign(1.0, sign);
      const Index d = rows.dimension();
      double sum = 0;
#pragma omp simd reduction(+ : sum)
      for (Index m = 0; m < d; ++m) sum += (x[m] - s * y[m]) * (x[m] - s * y[m]);
      return std::copysign(0.5 * sum, sign);
    }

    void mix(Index l, Index i, const double* v, const double* slope) {
      kernels::mix(rows.layer(l), row + i, columns.layer(l), column, v, slope, at(g, i), at(theta, i));
    }

    void layer(Index l, TimedStop& timed) {
      double v[kTile], slope[kTile];
      prepare_series(l);
      for (Index i = 0; i < n_rows; ++i) {
        switch (kernel.form_) {
          case Form::kPiecewiseLinear:
            kernel.piecewise_linear_(at(g, i), v, slope);
            break;
          case Form::kErf:
            ErfMap{}(rows.layer(l), row + i, columns.layer(l), column, at(g, i), v, slope);
            break;
          case Form::kSeries:
            series(l, i, v, slope, timed);
            break;
        }
        mix(l, i, v, slope);
      }
    }

    // K = (K_ii K_jj)^{1/2} c, and Theta likewise.
    void scale() {
      const Index last = kernel.network_.hidden_layers;
      const double *qi = rows.layer(last).root_q.data() + row,
                   *qj = columns.layer(last).root_q.data() + column;
      for (Index i = 0; i < n_rows; ++i) {
        double *k = at(g, i), *t = at(theta, i);
#pragma omp simd
        for (Index j = 0; j < kTile; ++j) {
          const double size = qi[i] * qj[j];
          k[j] = size * detail::with_sign_of(1.0 - vmath::detail::abs(k[j]), k[j]);
          t[j] *= size;
        }
      }
    }

    void prepare_series(Index l) {
      if (kernel.form_ != Form::kSeries) return;
      const HermiteTable& table = kernel.tables_[static_cast<std::size_t>(l - 1)];
      const Index n = table.n_terms();
      row_terms.assign(static_cast<std::size_t>(n_rows * n), 0.0);
      column_terms.assign(static_cast<std::size_t>(n * kTile), 0.0);
      for (Index i = 0; i < n_rows; ++i) {
        table.coefficients(rows.variance(l - 1, row + i), row_terms.data() + i * n);
      }
      std::vector<double> one(static_cast<std::size_t>(n));
      for (Index j = 0; j < n_columns; ++j) {
        table.coefficients(columns.variance(l - 1, column + j), one.data());
        for (Index m = 0; m < n; ++m)
          column_terms[static_cast<std::size_t>(m * kTile + j)] = one[static_cast<std::size_t>(m)];
      }
    }

    void series(Index l, Index i, double* v, double* slope, TimedStop& timed) const {
      const HermiteTable& table = kernel.tables_[static_cast<std::size_t>(l - 1)];
      bool left_out[kTile];
      const double* gap = g + i * kTile;
      if (SeriesMap{}(table, row_terms.data() + i * table.n_terms(), column_terms.data(), gap, v, slope,
                      left_out)) {
        return;
      }
      const LayerShares &r = rows.layer(l), &c = columns.layer(l);
      for (Index j = 0; j < n_columns; ++j) {
        if (!left_out[j] || (diagonal() && j <= i)) continue;
        timed.check();
        const NearResult result =
            near_one(table,
                     {rows.variance(l - 1, row + i), columns.variance(l - 1, column + j),
                      r.root_s[static_cast<std::size_t>(row + i)],
                      c.root_s[static_cast<std::size_t>(column + j)], gap[j]},
                     row_terms.data() + i * table.n_terms(), column_terms.data() + j);
        v[j] = result.v;
        slope[j] = result.slope;
      }
    }

    NearResult near_one(const HermiteTable& table, const NearPair& pair, const double* bi,
                        const double* bj) const {
      const Activation& phi = *kernel.network_.activation;
      const bool by_angle = phi.kind() == Kind::kHardTanh && std::abs(pair.g) > HardTanhEnd::kNearest;
      if (!by_angle) return by_quadrature(phi, pair);
      const double c0 = table.reach();
      double value, slope;
      SeriesMap::one(table, bi, bj, std::copysign(c0, pair.g), value, slope);
      return HardTanhEnd::run(phi, pair, c0, value, slope);
    }

    void set_diagonal() {
      for (Index i = 0; i < n_rows; ++i) {
        const Index j = row + i - column;
        if (j < 0 || j >= n_columns) continue;
        at(g, i)[j] = rows.variance(kernel.network_.hidden_layers, row + i);
        at(theta, i)[j] = rows.tangent(row + i);
      }
    }

    // To the block, this tile being at (i, j) there, and its mirror image.
    template <class Number>
    void write(const double* from, Number* out, Index stride, Index i, Index j, bool mirror) const {
      for (Index a = 0; a < n_rows; ++a) {
        Number* to = out + (i + a) * stride + j;
        for (Index b = 0; b < n_columns; ++b) to[b] = static_cast<Number>(from[a * kTile + b]);
      }
      for (Index b = 0; mirror && b < n_columns; ++b) {
        Number* to = out + (j + b) * stride + i;
        for (Index a = 0; a < n_rows; ++a) to[a] = static_cast<Number>(from[a * kTile + b]);
      }
    }

    static double* at(double* x, Index i) { return x + i * kTile; }
  };

  Network network_;
  Form form_;
  PiecewiseLinearMap piecewise_linear_;
  std::unique_ptr<Inputs> rows_, other_;
  std::vector<HermiteTable> tables_;  // of hidden layers 1, 2, ...
};

}  // namespace deepglass::kernels
