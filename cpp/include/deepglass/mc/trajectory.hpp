// A trajectory of Hamiltonian dynamics for each perceptron (spherical bonds, soft potential): many bonds move
// far at once, where pair rotations diffuse.
//
// Given the spins perceptrons are independent.  One has the direction e = J / sqrt(c), c = n_inputs, a unit
// vector, the fields h = e . S, and a momentum p tangent to the sphere; H = beta sum_mu v(r) + |p|^2 / 2.
// A step of length eps (leapfrog on the sphere of radius sqrt(c)) is
//   half a kick:  p += eps/2 F,  F = -beta c^{-1/2} sum_mu v'(r) S_out S_in,  then p -= e (e . p);
//   a drift along a great circle, by the angle a = eps |p| / sqrt(c):
//                 e' = e cos a + (p / |p|) sin a,   p' = p cos a - e |p| sin a;
//   half a kick.
// The second half of one step and the first of the next are one kick: taking the tangent part is linear.
//
// The lane is the perceptron, so that no sum runs across lanes; sums over inputs and patterns go in order.
// Products with spins are exact.  So the bits do not depend on the CPU level.
#pragma once

#include <algorithm>
#include <cmath>

#include "deepglass/mc/float_kernels.hpp"

namespace deepglass::mc {

typedef double Doubles __attribute__((vector_size(8 * kWidth)));

// The surroundings of sixteen perceptrons of a layer.
struct TrajectoryStrip {
  Index n_inputs;  // neurons below
  Index n_bonds;   // of each perceptron
  Index n_patterns;
  Index stride;             // from neuron to neuron
  const float* spin_below;  // (n_inputs padded to 16, stride), aligned
};

// What moves.  Pads of perceptrons have direction and momentum 0 and end as NaN: they are never accepted.
struct TrajectoryRoom {
  TrajectoryRoom(Index most_inputs, Index most_patterns)
      : direction(round_up(most_inputs, kLanes) * kLanes),
        momentum(direction.size()),
        force(direction.size()),
        present(direction.size(), 1.0f),
        gap(round_up(most_patterns, kLanes) * kLanes),
        spin(gap.size()),
        pull(gap.size()) {}
  Aligned<float> direction, momentum, force;  // (n_inputs, 16)
  Aligned<float> present;                     // (n_inputs, 16): 1 for a bond, 0 where there is none
  Aligned<float> gap, spin;                   // (n_patterns padded to 16, 16)
  Aligned<float> pull;                        // the same: min(r, 0) S_out
};

// Rows of sums that are made together, in registers.
constexpr int kTogether = kWidth == 4 ? 2 : kWidth == 8 ? 4 : 8;

// r = S_out sum_k e_k S_k
inline void find_gaps(const TrajectoryStrip& strip, TrajectoryRoom& room) {
  for (Index m = 0; m < round_up(strip.n_patterns, kLanes); m += kTogether) {
    Parts<Floats> sum[kTogether];
    const float* below = strip.spin_below + m;
    const float* direction = room.direction.data();
    for (Index k = 0; k < strip.n_inputs; ++k, below += strip.stride, direction += kLanes) {
#pragma GCC unroll 4
      for (int part = 0; part < kParts; ++part) {
        const Floats e = load<Floats>(direction + part * kWidth);
#pragma GCC unroll 8
        for (int t = 0; t < kTogether; ++t)
          sum[t].part[part] = add_exact_product(every<Floats>(below[t]), e, sum[t].part[part]);
      }
    }
    for (int t = 0; t < kTogether; ++t) {
      for (int part = 0; part < kParts; ++part) {
        const Index at = (m + t) * kLanes + part * kWidth;
        store(room.gap.data() + at, load<Floats>(room.spin.data() + at) * sum[t].part[part]);
      }
    }
  }
}

// sum_mu min(r, 0) S_out S_in.  The patterns are taken in chunks that stay in the first cache.
inline void find_forces(const TrajectoryStrip& strip, TrajectoryRoom& room) {
  const Index n_rows = round_up(strip.n_inputs, kTogether);
  for (Index at = 0; at < strip.n_patterns * kLanes; at += kWidth) {
    store(room.pull.data() + at,
          below_zero(load<Floats>(room.gap.data() + at)) * load<Floats>(room.spin.data() + at));
  }
  std::fill_n(room.force.data(), n_rows * kLanes, 0.0f);
  constexpr Index kChunk = 128;
  for (Index first = 0; first < strip.n_patterns; first += kChunk) {
    const Index last = std::min(first + kChunk, strip.n_patterns);
    for (Index k = 0; k < n_rows; k += kTogether) {
      Parts<Floats> sum[kTogether];
      float* const force = room.force.data() + k * kLanes;
      for (int t = 0; t < kTogether; ++t) {
        for (int part = 0; part < kParts; ++part)
          sum[t].part[part] = load<Floats>(force + t * kLanes + part * kWidth);
      }
      const float* const below = strip.spin_below + k * strip.stride;
      const float* pull = room.pull.data() + first * kLanes;
      for (Index m = first; m < last; ++m, pull += kLanes) {
#pragma GCC unroll 4
        for (int part = 0; part < kParts; ++part) {
          const Floats g = load<Floats>(pull + part * kWidth);
#pragma GCC unroll 8
          for (int t = 0; t < kTogether; ++t) {
            sum[t].part[part] =
                add_exact_product(every<Floats>(below[t * strip.stride + m]), g, sum[t].part[part]);
          }
        }
      }
      for (int t = 0; t < kTogether; ++t) {
        for (int part = 0; part < kParts; ++part)
          store(force + t * kLanes + part * kWidth, sum[t].part[part]);
      }
    }
  }
}

// sum_mu v(r)
inline void find_energies(const TrajectoryStrip& strip, const TrajectoryRoom& room, double* energy) {
  Parts<Doubles> sum;
  for (Index m = 0; m < strip.n_patterns; ++m) {
    for (int part = 0; part < kParts; ++part) {
      const Doubles r = __builtin_convertvector(
          below_zero(load<Floats>(room.gap.data() + m * kLanes + part * kWidth)), Doubles);
      sum.part[part] += r * r;
    }
  }
  std::memcpy(energy, &sum, sizeof sum);
}

// What is needed of a momentum: e . p and, of its tangent part, |p|^2.
struct Momentum {
  alignas(64) double radial[kLanes], square[kLanes];
};

// p += factor F
inline void kick(const TrajectoryStrip& strip, float factor, TrajectoryRoom& room, Momentum& momentum) {
  Parts<Doubles> radial, square;
  for (Index k = 0; k < strip.n_inputs; ++k) {
    for (int part = 0; part < kParts; ++part) {
      const Index at = k * kLanes + part * kWidth;
      const Floats p =
          load<Floats>(room.momentum.data() + at) +
          load<Floats>(room.force.data() + at) * (load<Floats>(room.present.data() + at) * factor);
      store(room.momentum.data() + at, p);
      const Doubles precise = __builtin_convertvector(p, Doubles);
      radial.part[part] +=
          precise * __builtin_convertvector(load<Floats>(room.direction.data() + at), Doubles);
      square.part[part] += precise * precise;
    }
  }
  std::memcpy(momentum.radial, &radial, sizeof radial);
  std::memcpy(momentum.square, &square, sizeof square);
  for (int lane = 0; lane < kLanes; ++lane) {
    momentum.square[lane] =
        std::max(momentum.square[lane] - momentum.radial[lane] * momentum.radial[lane], 0.0);
  }
}

// Takes the tangent part of the momentum, and moves along it for the given time (of the unit sphere).
inline void drift(const TrajectoryStrip& strip, double time, TrajectoryRoom& room, const Momentum& momentum) {
  constexpr double kTurn = 6.283185307179586, kRound = 0x1.8p52;
  alignas(64) float radial[kLanes], angle[kLanes], cosine[kLanes], sine[kLanes], forth[kLanes], back[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    const double all = std::sqrt(momentum.square[lane]) * time;
    const double turns = (all * (1 / kTurn) + kRound) - kRound;
    angle[lane] = static_cast<float>(all - turns * kTurn);
    radial[lane] = static_cast<float>(momentum.radial[lane]);
  }
  for (int at = 0; at < kLanes; at += kWidth) {
    Floats c, s;
    cos_sin(load<Floats>(angle + at), c, s);
    store(cosine + at, c);
    store(sine + at, s);
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    const double speed = std::sqrt(momentum.square[lane]);
    forth[lane] = static_cast<float>(speed > 0 ? static_cast<double>(sine[lane]) / speed : time);
    back[lane] = static_cast<float>(static_cast<double>(sine[lane]) * speed);
  }
  for (Index k = 0; k < strip.n_inputs; ++k) {
    for (int part = 0; part < kParts; ++part) {
      const int lane = part * kWidth;
      const Index at = k * kLanes + lane;
      const Floats e = load<Floats>(room.direction.data() + at), c = load<Floats>(cosine + lane);
      const Floats p = load<Floats>(room.momentum.data() + at) - e * load<Floats>(radial + lane);
      store(room.direction.data() + at, e * c + p * load<Floats>(forth + lane));
      store(room.momentum.data() + at, p * c - e * load<Floats>(back + lane));
    }
  }
}

// Makes the directions unit vectors: rounding is not to add up from one trajectory to the next.
inline void normalise(const TrajectoryStrip& strip, TrajectoryRoom& room) {
  double square[kLanes] = {};
  for (Index k = 0; k < strip.n_inputs; ++k) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const double e = static_cast<double>(room.direction.data()[k * kLanes + lane]);
      square[lane] += e * e;
    }
  }
  for (double& x : square) x = 1 / std::sqrt(x);
  for (Index k = 0; k < strip.n_inputs; ++k) {
    for (int lane = 0; lane < kLanes; ++lane) {
      float& e = room.direction.data()[k * kLanes + lane];
      e = static_cast<float>(static_cast<double>(e) * square[lane]);
    }
  }
}

// n_steps > 0 steps of length `step` from the directions, momenta and gaps in `room`, which end there too.
// Gives the changes of H (16,).
inline void follow_trajectory(const TrajectoryStrip& strip, double beta, Index n_steps, double step,
                              TrajectoryRoom& room, double* rise) {
  const double radius = std::sqrt(static_cast<double>(strip.n_bonds));
  const float half_kick = static_cast<float>(-step * beta / radius);  // v' = 2 min(r, 0)
  double before[kLanes], after[kLanes];
  Momentum momentum;
  normalise(strip, room);
  find_energies(strip, room, before);
  find_forces(strip, room);
  kick(strip, 0.0f, room, momentum);
  for (int lane = 0; lane < kLanes; ++lane) rise[lane] = -momentum.square[lane] / 2;
  kick(strip, half_kick, room, momentum);
  for (Index s = 1; s <= n_steps; ++s) {
    drift(strip, step / radius, room, momentum);
    find_gaps(strip, room);
    find_forces(strip, room);
    kick(strip, s < n_steps ? 2 * half_kick : half_kick, room, momentum);
  }
  find_energies(strip, room, after);
  for (int lane = 0; lane < kLanes; ++lane)
    rise[lane] += beta * (after[lane] - before[lane]) + momentum.square[lane] / 2;
  drift(strip, 0, room, momentum);  // only the tangent part
}

// The momentum of a perceptron, standard normal numbers, and -log(u): the trajectory is accepted where H
// rises by no more.  A perceptron has tiles of its own: the first block is for u, each further one for the
// momenta of two inputs.
inline double trajectory_numbers(const Words& words, Index perceptron, Index n_inputs, int lane,
                                 float* momentum) {
  constexpr int kBlocks = Words::kTile / 4;
  const Index n_tiles = (1 + (n_inputs + 1) / 2 + kBlocks - 1) / kBlocks;
  alignas(64) std::int32_t word[Words::kTile];
  double first[kBlocks], second[kBlocks], limit = 0;
  for (Index t = 0; t < n_tiles; ++t) {
    words.tile(perceptron * n_tiles + t, word);
    const auto uniform = [&](int low, int b) {
      return uniform_from_bits(static_cast<std::uint32_t>(word[low * kBlocks + b]),
                               static_cast<std::uint32_t>(word[(low + 1) * kBlocks + b]));
    };
    for (int b = 0; b < kBlocks; ++b)
      deepglass::detail::normal_pair(uniform(0, b), uniform(2, b), first[b], second[b]);
    if (t == 0) limit = deepglass::detail::minus_log_unit(uniform(0, 0));
    for (int b = t == 0 ? 1 : 0; b < kBlocks; ++b) {
      const Index k = 2 * (t * kBlocks + b - 1);
      if (k < n_inputs) momentum[k * kLanes + lane] = static_cast<float>(first[b]);
      if (k + 1 < n_inputs) momentum[(k + 1) * kLanes + lane] = static_cast<float>(second[b]);
    }
  }
  return limit;
}

}  // namespace deepglass::mc
