// The derivative of the deep network's saddle-point map, one overlap a layer, and what its sign tells.
//
// The map x -> T(x) is monotone (no overlap decreases when another grows), so its derivative J is a
// nonnegative matrix, I - J is a Z-matrix, and elimination without pivoting has only positive pivots exactly
// when the spectral radius of J is below one.  The same few lines therefore solve the Newton step, tell a
// stable solution from an unstable one, and bracket the replicon's eigenvalue.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "deepglass/core.hpp"

namespace deepglass::parisi {

// A matrix of five diagonals: shift * I - J for the unknowns in the order Q(1), q(1), Q(2), q(2), ..., Q(L).
class Pentadiagonal {
 public:
  explicit Pentadiagonal(Index size) : size_(size), rows_(static_cast<std::size_t>(5 * size), 0.0) {}
  double& operator()(Index row, Index column) {
    return rows_[static_cast<std::size_t>(5 * row + column - row + 2)];
  }
  Index size() const { return size_; }
  void set_multiple_of_identity(double value) {
    std::fill(rows_.begin(), rows_.end(), 0.0);
    for (Index i = 0; i < size_; ++i) (*this)(i, i) = value;
  }

  // Elimination without pivoting, in place.  False as soon as a pivot is not positive: for a Z-matrix this
  // means that it is no M-matrix, that is, that the spectral radius of J is not below the diagonal shift.
  bool factorise() {
    Pentadiagonal& a = *this;
    for (Index k = 0; k < size_; ++k) {
      if (!(a(k, k) > 0.0)) return false;
      for (Index i = k + 1; i <= std::min(k + 2, size_ - 1); ++i) {
        const double factor = a(i, k) /= a(k, k);
        for (Index j = k + 1; j <= std::min(k + 2, size_ - 1); ++j) a(i, j) -= factor * a(k, j);
      }
    }
    return true;
  }

  // After factorise().
  void solve(std::vector<double>& x) {
    Pentadiagonal& a = *this;
    const auto at = [&](Index i) -> double& { return x[static_cast<std::size_t>(i)]; };
    for (Index i = 0; i < size_; ++i) {
      for (Index j = std::max<Index>(0, i - 2); j < i; ++j) at(i) -= a(i, j) * at(j);
    }
    for (Index i = size_ - 1; i >= 0; --i) {
      for (Index j = i + 1; j <= std::min(i + 2, size_ - 1); ++j) at(i) -= a(i, j) * at(j);
      at(i) /= a(i, i);
    }
  }

 private:
  Index size_;
  std::vector<double> rows_;
};

// J is set by the overlaps, the walls' slopes g, and three responses a layer:
//     dlambda = product rule in q(l-1) Q(l) q(l),   dg = wall_response dlambda,
//     dA = load d(q(l-1) q(l) g),                    dQ = bond_response dA,
//     deps by the product rule,                      dq = spin_response deps.
struct LayerMap {
  double load = 0.0;
  std::vector<double> q, spin_response;                    // (L+1)
  std::vector<double> Q, g, wall_response, bond_response;  // (L)

  explicit LayerMap(Index depth)
      : q(static_cast<std::size_t>(depth + 1)),
        spin_response(q.size()),
        Q(static_cast<std::size_t>(depth)),
        g(Q.size()),
        wall_response(Q.size()),
        bond_response(Q.size()) {}

  // shift * I - J.  Unless `all`, liquid layers are held fixed (their rows of J are left out).
  void fill(Pentadiagonal& matrix, double shift, bool all) const {
    const auto L = static_cast<Index>(Q.size());
    const auto at = [](const std::vector<double>& v, Index i) { return v[static_cast<std::size_t>(i)]; };
    // Column of q(l), or -1 where it is data.
    const auto column = [&](Index l) { return l >= 1 && l < L ? 2 * l - 1 : Index{-1}; };
    const auto subtract = [&](Index row, Index col, double value) {
      if (col >= 0) matrix(row, col) -= value;
    };
    matrix.set_multiple_of_identity(shift);
    for (Index b = 0; b < L; ++b) {
      if (!all && at(Q, b) == 0.0) continue;
      const double left = at(q, b), right = at(q, b + 1), dg = at(wall_response, b);
      const double factor = load * at(bond_response, b);
      subtract(2 * b, 2 * b, factor * left * right * dg * left * right);
      subtract(2 * b, column(b), factor * right * (at(g, b) + left * dg * at(Q, b) * right));
      subtract(2 * b, column(b + 1), factor * left * (at(g, b) + right * dg * at(Q, b) * left));
    }
    for (Index l = 1; l < L; ++l) {
      if (!all && at(q, l) == 0.0) continue;
      const Index row = column(l);
      const double kappa = at(spin_response, l), near = at(q, l);
      for (const Index b : {l - 1, l}) {             // the neuron's two bonds,
        const Index other = b == l ? l + 1 : l - 1;  // and the neuron at the far end
        const double far = at(q, other), bond = at(Q, b), dg = at(wall_response, b);
        subtract(row, 2 * b, kappa * far * (at(g, b) + bond * dg * near * far));
        subtract(row, column(other), kappa * bond * (at(g, b) + far * dg * bond * near));
        subtract(row, row, kappa * far * bond * dg * bond * far);
      }
    }
  }

  // Largest eigenvalue of J, all layers, bracketed by the sign of the pivots.
  double spectral_radius(Pentadiagonal& matrix) const {
    const auto below = [&](double shift) {
      fill(matrix, shift, true);
      return matrix.factorise();
    };
    double high = 1.0;
    while (!below(high)) {
      high *= 2.0;
      if (!(high < 1e12)) return std::numeric_limits<double>::infinity();
    }
    double low = high > 1.0 ? 0.5 * high : 0.0;
    while (high - low > 1e-14 * high) {
      const double middle = 0.5 * (low + high);
      if (middle <= low || middle >= high) break;
      (below(middle) ? high : low) = middle;
    }
    return high;
  }
};

}  // namespace deepglass::parisi
