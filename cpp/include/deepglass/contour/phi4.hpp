// Complex phi^4 at chemical potential on linear contours: action, force, hybrid Monte Carlo.
//
// The two components make one complex field.  On the real plane w = t_1 + i t_2; on the contour
// z_1 = t_1 + i C t_2, z_2 = t_2 - i C t_1, with C a real odd convolution, (C t)(x) = sum_y c(y - x) t(y),
//
//   u = z_1 + i z_2 = w + C w,    v = z_1 - i z_2 = conj(w - C w),    z_a z_a = u v,
//   S = sum_x [ (4 + m^2)/2 u v + lambda/4 (u v)^2 - (u v_{+1} + v u_{+1})/2 - (e^mu u v_{+0} + e^-mu v
//   u_{+0})/2 ],
//
// {+1} the neighbour in space, {+0} in time.  C is i s(p) in Fourier space, s real and odd.  The Jacobian is
// constant, real and positive, so the log weight is L = -S.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "deepglass/contour/fourier.hpp"
#include "deepglass/contour/lanes.hpp"
#include "deepglass/core.hpp"
#include "deepglass/parallel.hpp"
#include "deepglass/rng.hpp"

namespace deepglass::contour {

struct Phi4 {
  Index n_space, n_time;
  double mass_squared, coupling, chemical_potential;
};

// Of one configuration of each chain.
struct Measured {
  Site action, density, phi2;
};

// At u = z_1 + i z_2 and v = z_1 - i z_2.
inline Measured phi4_measure(const Phi4& model, const Site* u, const Site* v) {
  const Index n_space = model.n_space, n_time = model.n_time, n = n_space * n_time;
  const double gain = std::exp(model.chemical_potential), loss = 1 / gain;
  const Site zero = {every_lane(0), every_lane(0)};
  Site local = zero, space = zero, ahead = zero, back = zero, phi2 = zero;
  for (Index i = 0; i < n_space; ++i) {
    const Index next_row = (i + 1 < n_space ? i + 1 : 0) * n_time;
    for (Index j = 0; j < n_time; ++j) {
      const Index x = i * n_time + j, x1 = next_row + j, x0 = i * n_time + (j + 1 < n_time ? j + 1 : 0);
      const Site r = u[x] * v[x];
      phi2 += r;
      local += r * r;
      space += u[x] * v[x1] + v[x] * u[x1];
      ahead += u[x] * v[x0];
      back += v[x] * u[x0];
    }
  }
  const double per_site = 1 / static_cast<double>(n);
  return {(4 + model.mass_squared) / 2 * phi2 + model.coupling / 4 * local -
              0.5 * (space + gain * ahead + loss * back),
          per_site / 2 * (gain * ahead - loss * back), per_site * phi2};
}

// dS/du and dS/dv.
inline void phi4_slopes(const Phi4& model, const Site* u, const Site* v, Site* by_u, Site* by_v) {
  const Index n_space = model.n_space, n_time = model.n_time;
  const double mass = (4 + model.mass_squared) / 2;
  const double gain = std::exp(model.chemical_potential) / 2, loss = std::exp(-model.chemical_potential) / 2;
  for (Index i = 0; i < n_space; ++i) {
    const Index up = (i + 1 < n_space ? i + 1 : 0) * n_time, down = (i > 0 ? i - 1 : n_space - 1) * n_time;
    for (Index j = 0; j < n_time; ++j) {
      const Index x = i * n_time + j, ahead = i * n_time + (j + 1 < n_time ? j + 1 : 0);
      const Index back = i * n_time + (j > 0 ? j - 1 : n_time - 1);
      Site local = (model.coupling / 2) * (u[x] * v[x]);
      local.re = local.re + every_lane(mass);
      by_u[x] = local * v[x] - (0.5 * (v[up + j] + v[down + j]) + gain * v[ahead] + loss * v[back]);
      by_v[x] = local * u[x] - (0.5 * (u[up + j] + u[down + j]) + loss * u[ahead] + gain * u[back]);
    }
  }
}

// A lattice whose sites lie one after the other in time, then in space; fields are (n_space * n_time,) sites.
class LinearContour {
 public:
  // transform: s(p), p = 2 pi (k_1 / n_space, k_0 / n_time), (n_space, n_time)
  LinearContour(const Phi4& model, Span<const double> transform)
      : model_(model),
        space_(model.n_space),
        time_(model.n_time),
        shift_(static_cast<std::size_t>(n_sites())),
        free_(static_cast<std::size_t>(n_sites())) {
    constexpr double kTwoPi = 6.283185307179586477;
    const double volume = static_cast<double>(n_sites());
    for (Index j = 0, at = 0; j < model.n_time; ++j) {
      for (Index i = 0; i < model.n_space; ++i, ++at) {
        const Index k1 = space_.frequency(i), k0 = time_.frequency(j);
        const double s = transform[k1 * model.n_time + k0];
        const double p1 = kTwoPi * static_cast<double>(k1) / static_cast<double>(model.n_space);
        const double p0 = kTwoPi * static_cast<double>(k0) / static_cast<double>(model.n_time);
        // D(p) = 4 + m^2 - 2 cos p_1 - 2 cos(p_0 + i mu)
        const double re = 4 + model.mass_squared - 2 * std::cos(p1) -
                          2 * std::cos(p0) * std::cosh(model.chemical_potential);
        const double im = 2 * std::sin(p0) * std::sinh(model.chemical_potential);
        shift_[static_cast<std::size_t>(at)] = s / volume;
        free_[static_cast<std::size_t>(at)] = (re * (1 - s * s) - im * 2 * s) / volume;  // Re D (1 + i s)^2
      }
    }
  }

  Index n_sites() const { return model_.n_space * model_.n_time; }
  static double nanoseconds_per_site() { return 20; }  // about, of a gradient

  struct Room {
    explicit Room(const LinearContour& contour)
        : mode(index(contour.n_sites())),
          shift(index(contour.n_sites())),
          column(index(contour.model_.n_space)),
          line(index(std::max(contour.model_.n_space, contour.model_.n_time))) {}
    std::vector<Site> mode, shift, column, line;
  };

  // d Re S / d t_1 + i d Re S / d t_2.  With d = C w and r = u v = |w|^2 - |d|^2 + 2 i Im(d conj w) it is
  //
  //   lambda (Re r w + i Im r d) + C q + K w,   q = lambda (i Im r w + Re r d),   K(p) = Re D(p) (1 + i s)^2.
  void gradient(const Site* w, Site* out, Room& room) const {
    const Index n_space = model_.n_space, n_time = model_.n_time;
    Site* const line = room.line.data();
    shifted_modes(w, room);
    for (Index row = 0; row < n_space; ++row) {
      Site* const d = room.shift.data() + row * n_time;
      time_.backward(d, line);
      for (Index at = 0; at < n_time; ++at) {
        const Site a = w[row * n_time + at], b = d[at];
        const Lanes re = model_.coupling * (a.re * a.re + a.im * a.im - (b.re * b.re + b.im * b.im));
        const Lanes im = 2 * model_.coupling * (b.im * a.re - b.re * a.im);
        out[row * n_time + at] = {re * a.re - im * b.im, re * a.im + im * b.re};
        d[at] = {re * b.re - im * a.im, re * b.im + im * a.re};  // q
      }
      time_.forward(d, line);
    }
    for (Index column = 0; column < n_time; ++column) {
      Site* const q = room.column.data();
      const Site* const mode = room.mode.data() + column * n_space;
      const double *const c = shift_.data() + column * n_space, *const k = free_.data() + column * n_space;
      for (Index p = 0; p < n_space; ++p) q[p] = room.shift[index(p * n_time + column)];
      space_.forward(q, line);
      for (Index p = 0; p < n_space; ++p) {
        q[p] = {k[p] * mode[p].re - c[p] * q[p].im, k[p] * mode[p].im + c[p] * q[p].re};
      }
      space_.backward(q, line);
      for (Index p = 0; p < n_space; ++p) room.shift[index(p * n_time + column)] = q[p];
    }
    for (Index row = 0; row < n_space; ++row) {
      Site* const force = room.shift.data() + row * n_time;
      time_.backward(force, line);
      for (Index at = 0; at < n_time; ++at) out[row * n_time + at] += force[at];
    }
  }

  Measured measure(const Site* w, Room& room) const {
    shifted(w, room);
    Site* const u = room.mode.data();
    Site* const v = room.shift.data();
    for (Index x = 0; x < n_sites(); ++x) {
      const Site d = v[x];
      u[x] = w[x] + d;
      v[x] = {w[x].re - d.re, d.im - w[x].im};
    }
    return phi4_measure(model_, u, v);
  }

  // room.shift = C w
  void shifted(const Site* w, Room& room) const {
    shifted_modes(w, room);
    for (Index row = 0; row < model_.n_space; ++row) {
      time_.backward(room.shift.data() + row * model_.n_time, room.line.data());
    }
  }

 private:
  static std::size_t index(Index i) { return static_cast<std::size_t>(i); }

  // room.mode = w in Fourier space, room.shift = C w, of which the last step, backward in time, is left to
  // do. Columns are worked on in a line of their own: they lie far apart, and would share few places of the
  // cache.
  void shifted_modes(const Site* w, Room& room) const {
    const Index n_space = model_.n_space, n_time = model_.n_time;
    Site* const line = room.line.data();
    for (Index row = 0; row < n_space; ++row) {
      Site* const to = room.shift.data() + row * n_time;
      std::copy_n(w + row * n_time, n_time, to);
      time_.forward(to, line);
    }
    for (Index column = 0; column < n_time; ++column) {
      Site* const mode = room.mode.data() + column * n_space;
      Site* const d = room.column.data();
      const double* const c = shift_.data() + column * n_space;
      for (Index p = 0; p < n_space; ++p) mode[p] = room.shift[index(p * n_time + column)];
      space_.forward(mode, line);
      for (Index p = 0; p < n_space; ++p) d[p] = c[p] * times_i(mode[p]);
      space_.backward(d, line);
      for (Index p = 0; p < n_space; ++p) room.shift[index(p * n_time + column)] = d[p];
    }
  }

  Phi4 model_;
  Fourier space_, time_;
  std::vector<double> shift_, free_;  // s(p) / V, K(p) / V, (n_time, n_space), in the order of the transforms
};

}  // namespace deepglass::contour
