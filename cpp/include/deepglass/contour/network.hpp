// Complex phi^4 on the contour of a network,  z = t + i (B t + y),
//
//   a = tanh(W1 t + b1),   f = tanh(W2 a + b2),   y = alpha f + beta,
//
// B the slope of a linear contour or 0.  With s = alpha (1 - f^2), a' = 1 - a^2 and Q = W1 (1 + i B)^-1,
//
//   det dz/dt = det(1 + i B) det(1 + i diag(s) W2 diag(a') Q),
//
// of which the smaller of two equal determinants (Sylvester) is taken,
//
//   K = 1 + i diag(o) P diag(m) R,   (o, P, m, R) = (a', Q, s, W2) or, transposed, (s, Q^T, a', W2^T),
//
// n x n with n = min(hidden, variables): no larger matrix is formed.  With T = i K^-1,
//
//   o_j d/do_j Re ln det K = 1 - Re (K^-1)_jj,   d/dm_i = sum_j R_ij U_ij,
//   d/dR_ij = m_i U_ij,   U = Re (T diag(o) P)^T,   d/dP_ji = o_j m_i V_ij,   V = R T.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "deepglass/contour/inverse.hpp"
#include "deepglass/contour/phi4.hpp"
#include "deepglass/vmath.hpp"

namespace deepglass::contour {

// Variables are ordered as (component, site); matrices row by row.
struct NetworkWeights {
  Index hidden;
  const double *w1, *b1, *w2, *b2, *alpha, *beta;  // (hidden, N), (hidden), (N, hidden), (N) three times
  const double *q_re, *q_im;                       // (hidden, N); q_im = nullptr without B
};

class NetworkContour {
 public:
  // transform and log_base: s(p) of the slope B, and ln det(1 + i B), which is real.
  NetworkContour(const Phi4& model, Span<const double> transform, double log_base, const NetworkWeights& of)
      : model_(model),
        base_(model, transform),
        tilted_(of.q_im != nullptr),
        log_base_(log_base),
        variables_(2 * base_.n_sites()),
        hidden_(of.hidden),
        narrow_(hidden_ < variables_),
        outer_(padded(std::min(hidden_, variables_))),
        inner_(padded(std::max(hidden_, variables_))),
        w1_(index(hidden_ * variables_)),
        w1_back_(w1_),
        w2_(w1_),
        w2_back_(w1_),
        p_re_(index(outer_ * inner_)),
        p_im_(tilted_ ? p_re_.size() : 0),
        p_back_re_(p_re_),
        p_back_im_(p_im_),
        r_(p_re_),
        b1_(of.b1, of.b1 + hidden_),
        b2_(index(variables_)),
        alpha_(b2_),
        beta_(b2_) {
    for (Index k = 0; k < variables_; ++k) {
      const Index from = source(k);
      b2_[index(k)] = of.b2[from];
      alpha_[index(k)] = of.alpha[from];
      beta_[index(k)] = of.beta[from];
      for (Index h = 0; h < hidden_; ++h) {
        const Index one = h * variables_ + from, two = from * hidden_ + h;
        w1_[index(h * variables_ + k)] = w1_back_[index(k * hidden_ + h)] = of.w1[one];
        w2_[index(k * hidden_ + h)] = w2_back_[index(h * variables_ + k)] = of.w2[two];
        const Index i = narrow_ ? k : h, j = narrow_ ? h : k;
        p_re_[index(j * inner_ + i)] = p_back_re_[index(i * outer_ + j)] = of.q_re[one];
        if (tilted_) p_im_[index(j * inner_ + i)] = p_back_im_[index(i * outer_ + j)] = of.q_im[one];
        r_[index(i * outer_ + j)] = of.w2[two];
      }
    }
  }

  Index n_sites() const { return base_.n_sites(); }
  bool tilted() const { return tilted_; }
  double nanoseconds_per_site() const {  // about, of a gradient
    const double n = static_cast<double>(outer_);
    return 0.2 * n * (4 * static_cast<double>(inner_) + 8 * n) * n / static_cast<double>(2 * n_sites());
  }

  struct Room {
    explicit Room(const NetworkContour& of)
        : base(of.base_),
          inverse(of.outer_),
          u(index(of.n_sites())),
          v(u),
          slope_u(u),
          slope_v(u),
          k(index(of.outer_ * of.outer_)),
          t(index(of.variables_)),
          f(t),
          s(t),
          y(t),
          real(t),
          imag(t),
          by_log_s(t),
          visible(t),
          a(index(of.hidden_)),
          a_slope(a),
          by_log_a(a),
          hidden(a),
          outer(index(of.outer_)),
          by_outer(outer),
          inner(index(of.inner_)),
          by_inner(inner),
          columns(index(2 * of.inner_)),
          more_columns(columns),
          product(index(of.inner_ * of.outer_)) {}
    LinearContour::Room base;
    Inverse inverse;
    std::vector<Site> u, v, slope_u, slope_v, k;
    std::vector<Lanes> t, f, s, y, real, imag;  // real, imag: of F = dS/dz
    std::vector<Lanes> by_log_s, visible;  // d Re L by ln s, where it stands in the Jacobian; by W2 a + b2
    std::vector<Lanes> a, a_slope, by_log_a, hidden;  // and so for ln a', W1 t + b1
    std::vector<Lanes> outer, by_outer, inner, by_inner, columns, more_columns, product;
  };

  // -(d Re L / d t_1 + i d Re L / d t_2).
  void gradient(const Site* w, Site* out, Room& room) const {
    evaluate<false>(w, room);
    if (tilted_) base_.shifted(through(room.imag, room), room.base);
    rows(w1_back_, room.hidden, room.y);
    for (Index x = 0; x < n_sites(); ++x) {
      const std::size_t i = index(2 * x);
      out[x] = {room.real[i] - room.y[i], room.real[i + 1] - room.y[i + 1]};
      if (tilted_) out[x] += times_i(room.base.shift[index(x)]);
    }
  }

  // action: -L = S - ln det dz/dt.
  Measured measure(const Site* w, Room& room) const {
    deform(w, room);
    invert(room);
    Measured now = phi4_measure(model_, room.u.data(), room.v.data());
    for (int lane = 0; lane < kLanes; ++lane) {
      double log = log_base_, angle = 0;
      for (const Site& pivot : room.inverse.pivots()) {
        const double re = pivot.re[lane], im = pivot.im[lane];
        log += 0.5 * std::log(re * re + im * im);
        angle += std::atan2(im, re);
      }
      now.action.re.set(lane, now.action.re[lane] - log);
      now.action.im.set(lane, now.action.im[lane] - angle);
    }
    return now;
  }

  // Derivatives of Re L summed over chains, laid out as the weights.  q: by Q, at fixed W1 elsewhere, of
  // which those by W1 have the share Re[q (1 + i B)^-1^T]; without B it is in w1 already.
  struct Sums {
    Sums() = default;
    explicit Sums(const NetworkContour& of)
        : w1(of.w1_.size()),
          q_re(of.tilted_ ? w1.size() : 0),
          q_im(q_re),
          w2(w1),
          b1(of.b1_.size()),
          b2(of.b2_.size()),
          alpha(b2),
          beta(b2) {}
    std::vector<double> w1, q_re, q_im, w2, b1, b2, alpha, beta;

    Sums& operator+=(const Sums& other) {
      constexpr std::vector<double> Sums::* parts[] = {&Sums::w1, &Sums::q_re, &Sums::q_im,  &Sums::w2,
                                                       &Sums::b1, &Sums::b2,   &Sums::alpha, &Sums::beta};
      for (const auto part : parts) {
        std::vector<double>& to = this->*part;
        to.resize((other.*part).size());
        for (std::size_t i = 0; i < to.size(); ++i) to[i] += (other.*part)[i];
      }
      return *this;
    }
  };

  // Adds the first `lanes` chains.
  void accumulate(const Site* w, int lanes, Sums& sums, Room& room) const {
    evaluate<true>(w, room);
    Lanes counts = every_lane(1);
    for (int lane = lanes; lane < kLanes; ++lane) counts.set(lane, 0);
    const auto total = [&counts](const Lanes& x) { return sum_of_lanes(counts * x); };
    std::fill(room.by_outer.begin(), room.by_outer.end(), every_lane(0));
    for (Index j = 0; j < outer_; j += kColumns) {
      gather(j, room, [](const Site& k) { return zero_minus(k.im); }, room.columns);
      if (tilted_) gather(j, room, [](const Site& k) { return k.re; }, room.more_columns);
      for (Index i = 0; i < inner_; i += kRows) {
        Block re = {}, im = {};
        re.add(r_.data() + i * outer_, outer_, outer_, room.columns.data());
        if (tilted_) im.add(r_.data() + i * outer_, outer_, outer_, room.more_columns.data());
        for (Index row = i; row < i + kRows; ++row) {
          for (Index column = j; column < j + kColumns; ++column) {
            const Index variable = narrow_ ? row : column, h = narrow_ ? column : row;
            if (variable >= variables_ || h >= hidden_) continue;
            const Lanes v_re = room.inner[index(row)] * re.at[row - i][column - j];
            const Lanes v_im = room.inner[index(row)] * im.at[row - i][column - j];
            const std::size_t p = index(row * outer_ + column);
            Lanes& by = room.by_outer[index(column)];
            by = by + p_back_re_[p] * v_re;
            if (tilted_) by = by - p_back_im_[p] * v_im;
            const Lanes direct = room.hidden[index(h)] * room.t[index(variable)];
            const std::size_t one = index(h * variables_ + source(variable));
            if (tilted_) {
              sums.w1[one] += total(direct);
              sums.q_re[one] += total(room.outer[index(column)] * v_re);
              sums.q_im[one] += total(room.outer[index(column)] * v_im);
            } else {
              sums.w1[one] += total(direct + room.outer[index(column)] * v_re);
            }
            sums.w2[index(source(variable) * hidden_ + h)] += total(
                room.visible[index(variable)] * room.a[index(h)] + room.inner[index(row)] * room.product[p]);
          }
        }
      }
    }
    for (Index h = 0; h < hidden_; ++h) sums.b1[index(h)] += total(room.hidden[index(h)]);
    const std::vector<Lanes>& by_s = narrow_ ? room.by_inner : room.by_outer;
    for (Index k = 0; k < variables_; ++k) {
      const std::size_t i = index(k), to = index(source(k));
      const Lanes f = room.f[i];
      sums.b2[to] += total(room.visible[i]);
      sums.beta[to] += total(room.imag[i]);
      sums.alpha[to] += total(room.imag[i] * f + (every_lane(1) - f * f) * by_s[i]);
    }
  }

 private:
  static constexpr Index kRows = 4, kColumns = 2;
  static_assert(Inverse::kBlock == kRows && kRows % kColumns == 0);

  static std::size_t index(Index i) { return static_cast<std::size_t>(i); }
  static Index padded(Index n) { return (n + kRows - 1) / kRows * kRows; }
  static Lanes zero_minus(const Lanes& x) { return every_lane(0) - x; }

  // Variables run over sites, then components here, so that a site is a complex number.
  Index source(Index variable) const { return variable % 2 * n_sites() + variable / 2; }

  // Part of a product of a matrix of numbers with one of Lanes, of which kColumns columns lie side by side.
  struct Block {
    Lanes at[kRows][kColumns];

    void add(const double* rows, Index stride, Index length, const Lanes* columns) {
      Block sum = *this;
      for (Index l = 0; l < length; ++l) {
        for (Index i = 0; i < kRows; ++i) {
          const Lanes number = every_lane(rows[i * stride + l]);
          for (Index j = 0; j < kColumns; ++j) {
            sum.at[i][j] = plus_product(sum.at[i][j], number, columns[kColumns * l + j]);
          }
        }
      }
      *this = sum;
    }
  };

  // Columns j, j + 1 of a matrix made from K^-1 entry by entry.
  template <class Entry>
  void gather(Index j, const Room& room, const Entry& entry, std::vector<Lanes>& columns) const {
    for (Index i = 0; i < outer_; ++i) {
      for (Index c = 0; c < kColumns; ++c) {
        columns[index(kColumns * i + c)] = entry(room.k[index(i * outer_ + j + c)]);
      }
    }
  }

  // out = M x, with four rows at a time.
  static void rows(const std::vector<double>& matrix, const std::vector<Lanes>& x, std::vector<Lanes>& out) {
    const Index n = static_cast<Index>(x.size()), m = static_cast<Index>(out.size());
    Index i = 0;
    for (; i + 4 <= m; i += 4) {
      const double* const row = matrix.data() + i * n;
      Lanes sum[4] = {every_lane(0), every_lane(0), every_lane(0), every_lane(0)};
      for (Index j = 0; j < n; ++j) {
        for (Index c = 0; c < 4; ++c) sum[c] = plus_product(sum[c], every_lane(row[c * n + j]), x[index(j)]);
      }
      std::copy_n(sum, 4, out.data() + i);
    }
    for (; i < m; ++i) {
      Lanes sum = every_lane(0);
      for (Index j = 0; j < n; ++j)
        sum = plus_product(sum, every_lane(matrix[index(i * n + j)]), x[index(j)]);
      out[index(i)] = sum;
    }
  }

  static void tanh(std::vector<Lanes>& x) {
    constexpr std::size_t kPart = 16;
    double numbers[kPart * kLanes];
    for (std::size_t first = 0; first < x.size(); first += kPart) {
      const std::size_t bytes = sizeof(Lanes) * std::min(kPart, x.size() - first);
      std::memcpy(numbers, &x[first], bytes);
      const Span<double> part(numbers, static_cast<Index>(bytes / sizeof(double)));
      vmath::tanh(part, part);
      std::memcpy(static_cast<void*>(&x[first]), numbers, bytes);
    }
  }

  // Real and imaginary parts of one number for each variable as one complex number for each site.
  const Site* through(const std::vector<Lanes>& numbers, Room& room) const {
    for (Index x = 0; x < n_sites(); ++x)
      room.slope_u[index(x)] = {numbers[index(2 * x)], numbers[index(2 * x + 1)]};
    return room.slope_u.data();
  }

  // The units, and u = z_1 + i z_2, v = z_1 - i z_2.
  void deform(const Site* w, Room& room) const {
    for (Index x = 0; x < n_sites(); ++x) {
      room.t[index(2 * x)] = w[x].re;
      room.t[index(2 * x + 1)] = w[x].im;
    }
    rows(w1_, room.t, room.a);
    for (std::size_t h = 0; h < room.a.size(); ++h) room.a[h] = room.a[h] + every_lane(b1_[h]);
    tanh(room.a);
    rows(w2_, room.a, room.f);
    for (std::size_t k = 0; k < room.f.size(); ++k) room.f[k] = room.f[k] + every_lane(b2_[k]);
    tanh(room.f);
    for (std::size_t h = 0; h < room.a.size(); ++h) room.a_slope[h] = every_lane(1) - room.a[h] * room.a[h];
    for (std::size_t k = 0; k < room.f.size(); ++k) {
      room.s[k] = alpha_[k] * (every_lane(1) - room.f[k] * room.f[k]);
      room.y[k] = alpha_[k] * room.f[k] + every_lane(beta_[k]);
    }
    if (tilted_) base_.shifted(w, room.base);  // B t is (Im, -Re) of it
    for (Index x = 0; x < n_sites(); ++x) {
      Lanes y1 = room.y[index(2 * x)], y2 = room.y[index(2 * x + 1)];
      if (tilted_) {
        y1 = y1 + room.base.shift[index(x)].im;
        y2 = y2 - room.base.shift[index(x)].re;
      }
      room.u[index(x)] = {w[x].re - y2, w[x].im + y1};
      room.v[index(x)] = {w[x].re + y2, y1 - w[x].im};
    }
    std::copy(room.a_slope.begin(), room.a_slope.end(), (narrow_ ? room.outer : room.inner).begin());
    std::copy(room.s.begin(), room.s.end(), (narrow_ ? room.inner : room.outer).begin());
  }

  // room.k = K^-1
  void invert(Room& room) const {
    for (Index j = 0; j < outer_; j += kColumns) {
      for (Index i = 0; i < inner_; ++i) {
        for (Index c = 0; c < kColumns; ++c) {
          room.columns[index(kColumns * i + c)] = r_[index(i * outer_ + j + c)] * room.inner[index(i)];
        }
      }
      for (Index g = 0; g < outer_; g += kRows) {
        Block re = {}, im = {};
        re.add(p_re_.data() + g * inner_, inner_, inner_, room.columns.data());
        if (tilted_) im.add(p_im_.data() + g * inner_, inner_, inner_, room.columns.data());
        for (Index row = g; row < g + kRows; ++row) {
          for (Index column = j; column < j + kColumns; ++column) {
            const Lanes o = room.outer[index(row)];
            room.k[index(row * outer_ + column)] = {
                every_lane(row == column ? 1 : 0) - o * im.at[row - g][column - j],
                o * re.at[row - g][column - j]};
          }
        }
      }
    }
    room.inverse(room.k.data());
  }

  // All that derivatives by t and by the weights have in common; U is kept in room.product on request.
  template <bool kKeep>
  void evaluate(const Site* w, Room& room) const {
    deform(w, room);
    invert(room);
    std::fill(room.by_inner.begin(), room.by_inner.end(), every_lane(0));
    for (Index j = 0; j < outer_; j += kColumns) {
      for (Index g = 0; g < outer_; ++g) {
        for (Index c = 0; c < kColumns; ++c) {
          const Site& inverse = room.k[index((j + c) * outer_ + g)];
          const std::size_t to = index(kColumns * g + c);
          room.columns[to] = zero_minus(room.outer[index(g)] * inverse.im);
          if (tilted_) room.more_columns[to] = zero_minus(room.outer[index(g)] * inverse.re);
        }
      }
      for (Index i = 0; i < inner_; i += kRows) {
        Block sum = {};
        sum.add(p_back_re_.data() + i * outer_, outer_, outer_, room.columns.data());
        if (tilted_) sum.add(p_back_im_.data() + i * outer_, outer_, outer_, room.more_columns.data());
        for (Index row = i; row < i + kRows; ++row) {
          for (Index c = 0; c < kColumns; ++c) {
            const std::size_t at = index(row * outer_ + j + c);
            Lanes& by = room.by_inner[index(row)];
            by = plus_product(by, every_lane(r_[at]), sum.at[row - i][c]);
            if (kKeep) room.product[at] = sum.at[row - i][c];
          }
        }
      }
    }
    const auto by_log_outer = [&](std::size_t j) { return every_lane(1) - room.k[j * index(outer_) + j].re; };
    for (std::size_t k = 0; k < room.s.size(); ++k) {
      room.by_log_s[k] = narrow_ ? room.s[k] * room.by_inner[k] : by_log_outer(k);
    }
    for (std::size_t h = 0; h < room.a.size(); ++h) {
      room.by_log_a[h] = narrow_ ? by_log_outer(h) : room.a_slope[h] * room.by_inner[h];
    }
    phi4_slopes(model_, room.u.data(), room.v.data(), room.slope_u.data(), room.slope_v.data());
    for (Index x = 0; x < n_sites(); ++x) {  // dS/dz_1 = S_u + S_v, dS/dz_2 = i (S_u - S_v)
      const Site sum = room.slope_u[index(x)] + room.slope_v[index(x)];
      const Site turned = times_i(room.slope_u[index(x)] - room.slope_v[index(x)]);
      room.real[index(2 * x)] = sum.re, room.imag[index(2 * x)] = sum.im;
      room.real[index(2 * x + 1)] = turned.re, room.imag[index(2 * x + 1)] = turned.im;
    }
    for (std::size_t k = 0; k < room.s.size(); ++k) {
      room.visible[k] = room.imag[k] * room.s[k] - 2 * (room.f[k] * room.by_log_s[k]);
    }
    rows(w2_back_, room.visible, room.hidden);
    for (std::size_t h = 0; h < room.a.size(); ++h) {
      room.hidden[h] = room.a_slope[h] * room.hidden[h] - 2 * (room.a[h] * room.by_log_a[h]);
    }
  }

  Phi4 model_;
  LinearContour base_;
  bool tilted_;
  double log_base_;
  Index variables_, hidden_;
  bool narrow_;  // hidden < variables
  Index outer_, inner_;
  std::vector<double> w1_, w1_back_, w2_, w2_back_;  // (hidden, N), (N, hidden), (N, hidden), (hidden, N)
  std::vector<double> p_re_, p_im_, p_back_re_, p_back_im_, r_;  // (outer, inner) twice, (inner, outer)
  std::vector<double> b1_, b2_, alpha_, beta_;
};

}  // namespace deepglass::contour
