// Inverse and determinant of a small complex matrix of each chain.
#pragma once

#include <algorithm>
#include <vector>

#include "deepglass/contour/lanes.hpp"

namespace deepglass::contour {

// Gauss-Jordan elimination in place, kBlock pivots at a time, with row exchanges.
//
// The pivots of a block are found and eliminated in its kBlock columns alone.  These then hold the columns of
// the accumulated row operation, which differs from the identity there only, and the other columns take it as
// one update of rank kBlock: n^3 complex multiplications in all, at kBlock for each number read and written.
class Inverse {
 public:
  static constexpr Index kBlock = 4;

  explicit Inverse(Index n)  // a multiple of kBlock
      : n_(n), pivots_(index(n)), exchanged_(index(n)), old_(index(kBlock * n)) {}

  // The determinant is the product of these.
  const std::vector<Site>& pivots() const { return pivots_; }

  void operator()(Site* a) {
    for (Index first = 0; first < n_; first += kBlock) {
      for (Index k = first; k < first + kBlock; ++k) eliminate(a, first, k);
      std::copy_n(a + first * n_, kBlock * n_, old_.data());
      for (Index i = 0; i < n_; ++i) {
        const bool inside = i >= first && i < first + kBlock;
        update(a + i * n_, first, 0, first, inside);
        update(a + i * n_, first, first + kBlock, n_, inside);
      }
    }
    for (Index k = n_; k-- > 0;) {
      for (int lane = 0; lane < kLanes; ++lane) {
        const Index other = exchanged_[index(k)].row[lane];
        if (other == k) continue;
        for (Index i = 0; i < n_; ++i) exchange(a[i * n_ + k], a[i * n_ + other], lane);
      }
    }
  }

 private:
  struct Rows {
    Index row[kLanes];
  };
  static std::size_t index(Index i) { return static_cast<std::size_t>(i); }

  static void exchange(Site& a, Site& b, int lane) {
    const double re = a.re[lane], im = a.im[lane];
    a.re.set(lane, b.re[lane]);
    a.im.set(lane, b.im[lane]);
    b.re.set(lane, re);
    b.im.set(lane, im);
  }

  static Site minus_product(const Site& sum, const Site& a, const Site& b) {
    using contour::minus_product;
    return {plus_product(minus_product(sum.re, a.re, b.re), a.im, b.im),
            minus_product(minus_product(sum.im, a.re, b.im), a.im, b.re)};
  }

  // Elimination by pivot k within the columns of its block.
  void eliminate(Site* a, Index first, Index k) {
    choose_pivot(a, k);
    Site* const row = a + k * n_ + first;
    const Site pivot = row[k - first];
    const Lanes square = pivot.re * pivot.re + pivot.im * pivot.im;
    const Site reciprocal = {pivot.re / square, (every_lane(0) - pivot.im) / square};
    Site& signed_pivot = pivots_[index(k)];
    signed_pivot = pivot;
    for (int lane = 0; lane < kLanes; ++lane) {
      if (exchanged_[index(k)].row[lane] == k) continue;
      signed_pivot.re.set(lane, -pivot.re[lane]);
      signed_pivot.im.set(lane, -pivot.im[lane]);
    }
    row[k - first] = {every_lane(1), every_lane(0)};
    for (Index c = 0; c < kBlock; ++c) row[c] = row[c] * reciprocal;
    for (Index i = 0; i < n_; ++i) {
      if (i == k) continue;
      Site* const to = a + i * n_ + first;
      const Site factor = to[k - first];
      to[k - first] = {every_lane(0), every_lane(0)};
      for (Index c = 0; c < kBlock; ++c) to[c] = minus_product(to[c], factor, row[c]);
    }
  }

  // The diagonal, unless a number below it is more than twice as large: numbers grow little, and rows of
  // 1 + i X, as met here, seldom move.
  void choose_pivot(Site* a, Index k) {
    const auto square = [&](Index i) {
      const Site& s = a[i * n_ + k];
      return s.re * s.re + s.im * s.im;
    };
    const Lanes diagonal = square(k);
    Lanes largest = diagonal;
    for (Index i = k + 1; i < n_; ++i) largest = maximum(largest, square(i));
    for (int lane = 0; lane < kLanes; ++lane) {
      Index chosen = k;
      if (largest[lane] > 4 * diagonal[lane]) {
        for (Index i = k + 1; i < n_ && chosen == k; ++i) {
          if (square(i)[lane] == largest[lane]) chosen = i;
        }
        if (chosen != k) {
          for (Index c = 0; c < n_; ++c) exchange(a[k * n_ + c], a[chosen * n_ + c], lane);
        }
      }
      exchanged_[index(k)].row[lane] = chosen;
    }
  }

  // A row of the other columns, from the rows of the block before them.
  void update(Site* row, Index first, Index begin, Index end, bool inside) const {
    Lanes re[kBlock], im[kBlock];
    for (Index j = 0; j < kBlock; ++j) re[j] = row[first + j].re, im[j] = row[first + j].im;
    for (Index c = begin; c < end; ++c) {
      Site sum = inside ? Site{every_lane(0), every_lane(0)} : row[c];
      for (Index j = 0; j < kBlock; ++j) {
        const Site& old = old_[index(j * n_ + c)];
        sum.re = contour::minus_product(plus_product(sum.re, re[j], old.re), im[j], old.im);
        sum.im = plus_product(plus_product(sum.im, re[j], old.im), im[j], old.re);
      }
      row[c] = sum;
    }
  }

  Index n_;
  std::vector<Site> pivots_;
  std::vector<Rows> exchanged_;
  std::vector<Site> old_;
};

}  // namespace deepglass::contour
