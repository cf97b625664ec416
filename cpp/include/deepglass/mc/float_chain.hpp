// A chain in single precision: what float_kernels.hpp works on, laid out and cut into tasks.
#pragma once

#include <algorithm>
#include <cmath>

#include "deepglass/mc/float_kernels.hpp"
#include "deepglass/mc/network.hpp"
#include "deepglass/mc/trajectory.hpp"

namespace deepglass::mc {

template <class Potential>
class FloatChain final : public Chain {
 public:
  FloatChain(const Problem& problem, std::uint64_t seed, Index number)
      : problem_(problem), seed_(seed), number_(number), row_(round_up(problem.n_patterns, kLanes)) {
    // Rows an odd number of cache lines apart: a power of two would put all of them into the same few sets.
    stride_ = row_ + (row_ / kLanes % 2 == 0 ? kLanes : 0);
    for (Index l = 0; l <= depth(); ++l) {
      const Index rows = round_up(problem.width(l), kLanes);
      spins_.emplace_back(rows * stride_, 1.0f);
      gaps_.emplace_back(l > 0 ? rows * stride_ : 0, kPad);
      bonds_.emplace_back(l > 0 ? problem.width(l - 1) * rows : 0, 0.0f);
    }
    set_spins(0, problem.data_inputs.data());
    set_spins(depth(), problem.data_outputs.data());
  }

  void bond_pass(const Schedule& schedule, std::uint64_t sweep, Index pass, int threads,
                 Accepted& accepted) override {
    if constexpr (std::is_same_v<Potential, Soft>) {
      if (schedule.trajectory_steps > 0) return trajectory_pass(schedule, sweep, pass, threads, accepted);
    }
    if (orders_.empty()) {
      orders_.resize(static_cast<std::size_t>(depth() + 1));
      bytes_.resize(orders_.size());
    }
    // By layer: the matching and, for each move and pattern, which of four numbers is added.
    parallel_for(depth(), {threads, 0.3 * static_cast<double>(row_ * total_width())}, [&](Index k) {
      const Index layer = k + 1;
      MoveOrder& order = orders_[index(layer)];
      std::vector<std::int32_t> all(static_cast<std::size_t>(problem_.n_inputs(layer)));
      order.draw(Words(seed_, number_, Purpose::kMatching, layer, pass, sweep), all, !rotates(layer));
      Aligned<std::uint8_t>& bytes = bytes_[index(layer)];
      if (!problem_.dense(layer)) return;
      if (bytes.size() == 0) bytes = Aligned<std::uint8_t>(order.n * row_ + kLanes);
      for (Index q = 0; q < order.n; ++q)
        write_bytes(layer, order.first[index(q)], order.second[index(q)], bytes.data() + q * row_);
    });
    std::vector<Index> first_strip(index(depth() + 2), 0);
    for (Index l = 1; l <= depth(); ++l)
      first_strip[index(l + 1)] = first_strip[index(l)] + (problem_.width(l) + kStrip - 1) / kStrip;
    const Index n_strips = first_strip.back();
    std::vector<Index> counts(index(n_strips));
    parallel_for(n_strips, {threads, 0.05 * problem_.bond_updates()}, [&](Index task) {
      const Index layer =
          std::upper_bound(first_strip.begin(), first_strip.end(), task) - first_strip.begin() - 1;
      const Index strip = task - first_strip[index(layer)];
      const MoveOrder& order = orders_[index(layer)];
      thread_local BondRoom room;
      room.reserve(order.n, stride_, row_, problem_.dense(layer) ? 0 : order.n);
      const float temperature = temperature_of(schedule.beta);
      const bool rotation = rotates(layer);
      const float step = rotation ? static_cast<float>(schedule.step[index(layer - 1)]) : 0;
      bond_numbers(Words(seed_, number_, Purpose::kBond, layer, pass, sweep),
                   Words(seed_, number_, Purpose::kAngle, layer, pass, sweep), strip, order.n, temperature,
                   step, room.numbers);
      BondStrip part;
      Moves moves;
      part.row = row_;
      part.bonds = bonds_[index(layer)].data() + strip * kStrip;
      part.bond_row = bond_row(layer);
      if ((strip + 1) * kStrip < problem_.width(layer)) {
        part.n_coming = kStrip * stride_;
        part.coming[0] = gaps_[index(layer)].data() + (strip + 1) * kStrip * stride_;
        part.coming[1] = spins_[index(layer)].data() + (strip + 1) * kStrip * stride_;
      }
      moves.n = order.n;
      const int n_real = static_cast<int>(std::min<Index>(kStrip, problem_.width(layer) - strip * kStrip));
      for (int p = 0; p < kStrip; ++p) {
        const Index i = strip * kStrip + p;
        part.gap[p] = gaps_[index(layer)].data() + i * stride_;
        part.spin[p] = spins_[index(layer)].data() + i * stride_;
        part.room[p] = room.gaps.data() + p * stride_;
        if (problem_.dense(layer)) {
          moves.first[p] = order.first.data();
          moves.second[p] = order.second.data();
          moves.index[p] = bytes_[index(layer)].data();
        } else {
          own_moves(layer, std::min(i, problem_.width(layer) - 1), order, room, p);
          moves.first[p] = room.first[p].data();
          moves.second[p] = room.second[p].data();
          moves.index[p] = room.bytes[p].data();
        }
      }
      counts[index(task)] = problem_.dense(layer)
                                ? move_bonds<Potential, true>(part, moves, room.numbers, rotation, n_real)
                                : move_bonds<Potential, false>(part, moves, room.numbers, rotation, n_real);
    });
    for (Index l = 1; l <= depth(); ++l) {
      for (Index t = first_strip[index(l)]; t < first_strip[index(l + 1)]; ++t)
        accepted.bonds[index(l)] += counts[index(t)];
    }
  }

  void spin_pass(const Schedule& schedule, std::uint64_t sweep, Index pass, int threads,
                 Accepted& accepted) override {
    const Index n_hidden = depth() - 1;
    if (n_hidden == 0) return;
    const Index widest = *std::max_element(problem_.widths.begin(), problem_.widths.end());
    // As many patterns together as the first cache holds.
    const Index groups = round_up(widest, kLanes) <= 112 ? 2 : 1, block = groups * kLanes;
    const Index n_blocks = round_up(row_, block) / block;
    std::vector<Index> counts(index(n_blocks * n_hidden));
    parallel_for(n_blocks, {threads, 0.1 * problem_.spin_updates()}, [&](Index b) {
      thread_local SpinTile tile(0);
      if (tile.row < round_up(widest, kLanes)) tile = SpinTile(widest);
      for (Index k = 0; k < n_hidden; ++k) {
        const Index l = k + 1, first = b * block;
        SpinLayer layer{problem_.width(l),          problem_.width(l + 1),       stride_,
                        spins_[index(l)].data(),    gaps_[index(l)].data(),      spins_[index(l + 1)].data(),
                        gaps_[index(l + 1)].data(), bonds_[index(l + 1)].data(), bond_row(l + 1)};
        const Index next = k + 1 < n_hidden ? l + 2 : 2, then = k + 1 < n_hidden ? first : first + block;
        if (then < row_) {
          layer.n_coming = problem_.width(next);
          layer.coming[0] = gaps_[index(next)].data() + then;
          layer.coming[1] = spins_[index(next)].data() + then;
        }
        const SpinNumbers numbers{Words(seed_, number_, Purpose::kSpin, l, pass, sweep),
                                  Words(seed_, number_, Purpose::kSpinLow, l, pass, sweep),
                                  temperature_of(schedule.beta)};
        const bool two = row_ - first >= 2 * kLanes && groups == 2;
        counts[index(b * n_hidden + k)] = two ? flip_spins<Potential, 2>(layer, numbers, first, tile)
                                              : flip_spins<Potential, 1>(layer, numbers, first, tile);
      }
    });
    for (Index b = 0; b < n_blocks; ++b) {
      for (Index k = 0; k < n_hidden; ++k) accepted.spins[index(k + 1)] += counts[index(b * n_hidden + k)];
    }
  }

  void energy(Span<double> per_layer) const override {
    for (Index l = 1; l <= depth(); ++l) {
      double sum = 0;
      for (Index i = 0; i < problem_.width(l); ++i) {
        const auto eight = row_energy<Potential>(row_, gaps_[index(l)].data() + i * stride_);
        double row_sum = 0;
        for (int k = 0; k < kHalf; ++k) row_sum += static_cast<double>(eight[k]);
        sum += row_sum;
      }
      per_layer[l - 1] = sum;
    }
  }

  double rebuild() override {
    double largest = 0;
    std::vector<double> field(index(row_));
    for (Index l = 1; l <= depth(); ++l) {
      const Index below = problem_.width(l - 1), bond_stride = bond_row(l);
      for (Index i = 0; i < problem_.width(l); ++i) {
        float* const bond = bonds_[index(l)].data() + i;
        if (!problem_.binary) normalise(bond, bond_stride, below);
        std::fill(field.begin(), field.end(), 0.0);
        for (Index k = 0; k < below; ++k) {
          const double half = 0.5 * static_cast<double>(bond[k * bond_stride]);
          const float* const spin = spins_[index(l - 1)].data() + k * stride_;
          for (Index m = 0; m < row_; ++m) field[index(m)] += half * static_cast<double>(spin[m]);
        }
        float* const gap = gaps_[index(l)].data() + i * stride_;
        const float* const spin = spins_[index(l)].data() + i * stride_;
        for (Index m = 0; m < problem_.n_patterns; ++m) {
          const double fresh = field[index(m)] * static_cast<double>(spin[m]);
          const double change = std::abs(fresh - static_cast<double>(gap[m]));
          if (!(change <= largest)) largest = change;
          gap[m] = static_cast<float>(fresh);
        }
      }
    }
    return largest;
  }

  void set_spins(Index layer, const std::int8_t* spins) override {
    for (Index m = 0; m < problem_.n_patterns; ++m) {
      for (Index i = 0; i < problem_.width(layer); ++i) {
        spins_[index(layer)].data()[i * stride_ + m] =
            static_cast<float>(spins[m * problem_.width(layer) + i]);
      }
    }
  }
  void get_spins(Index layer, std::int8_t* spins) const override {
    const Index width = problem_.width(layer), n_patterns = problem_.n_patterns;
    for (Index first = 0; first < n_patterns; first += kLanes) {  // whole cache lines of a row
      for (Index i = 0; i < width; ++i) {
        const float* const row = spins_[index(layer)].data() + i * stride_;
        for (Index m = first; m < std::min(first + kLanes, n_patterns); ++m)
          spins[m * width + i] = static_cast<std::int8_t>(row[m]);
      }
    }
  }
  void set_bonds(Index layer, const double* bonds) override {
    const Index below = problem_.width(layer - 1);
    for (Index i = 0; i < problem_.width(layer); ++i) {
      for (Index k = 0; k < below; ++k) {
        bonds_[index(layer)].data()[k * bond_row(layer) + i] =
            static_cast<float>(bonds[i * below + k] * unit(layer));
      }
    }
  }
  void get_bonds(Index layer, double* bonds) const override {
    const Index below = problem_.width(layer - 1);
    for (Index i = 0; i < problem_.width(layer); ++i) {
      for (Index k = 0; k < below; ++k) {
        bonds[i * below + k] =
            static_cast<double>(bonds_[index(layer)].data()[k * bond_row(layer) + i]) / unit(layer);
      }
    }
  }
  std::vector<Span<unsigned char>> memory() override {
    std::vector<Span<unsigned char>> all;
    for (auto* arrays : {&bonds_, &gaps_, &spins_}) {
      for (Aligned<float>& array : *arrays) {
        all.push_back({reinterpret_cast<unsigned char*>(array.data()), array.size() * Index{sizeof(float)}});
      }
    }
    return all;
  }

 private:
  struct BondRoom {
    BondNumbers numbers{0};
    Aligned<float> gaps;
    std::vector<std::int32_t> first[kStrip], second[kStrip];
    Aligned<std::uint8_t> bytes[kStrip];

    void reserve(Index n_moves, Index stride, Index row, Index own_moves) {
      if (numbers.limit.size() < round_up(n_moves * kStrip, Words::kTile)) numbers = BondNumbers(n_moves);
      if (gaps.size() < kStrip * stride) gaps = Aligned<float>(kStrip * stride);
      for (int p = 0; p < kStrip && own_moves > 0; ++p) {
        if (bytes[p].size() < own_moves * row + kLanes)
          bytes[p] = Aligned<std::uint8_t>(own_moves * row + kLanes);
      }
    }
  };

  static std::size_t index(Index k) { return static_cast<std::size_t>(k); }
  Index depth() const { return problem_.depth(); }
  Index bond_row(Index layer) const { return round_up(problem_.width(layer), kLanes); }
  double unit(Index layer) const { return 2 / std::sqrt(static_cast<double>(problem_.n_inputs(layer))); }
  Index total_width() const {
    Index sum = 0;
    for (const Index n : problem_.widths) sum += n;
    return sum;
  }
  // A single real bond, of which only the sign is free, is flipped.
  bool rotates(Index layer) const { return !problem_.binary && problem_.n_inputs(layer) > 1; }

  // One trajectory for every perceptron, sixteen at a time.
  void trajectory_pass(const Schedule& schedule, std::uint64_t sweep, Index pass, int threads,
                       Accepted& accepted) {
    std::vector<Index> first_strip(index(depth() + 2), 0);
    for (Index l = 1; l <= depth(); ++l)
      first_strip[index(l + 1)] = first_strip[index(l)] + bond_row(l) / kLanes;
    const Index n_strips = first_strip.back();
    std::vector<Index> counts(index(n_strips));
    const double work = 0.1 * problem_.bond_updates() * static_cast<double>(schedule.trajectory_steps);
    parallel_for(n_strips, {threads, work}, [&](Index task) {
      const Index layer =
          std::upper_bound(first_strip.begin(), first_strip.end(), task) - first_strip.begin() - 1;
      const Index below = problem_.width(layer - 1), first = (task - first_strip[index(layer)]) * kLanes;
      const int n_real = static_cast<int>(std::min<Index>(kLanes, problem_.width(layer) - first));
      TrajectoryRoom room(below, row_);
      float* const gaps = gaps_[index(layer)].data() + first * stride_;
      for (Index m = 0; m < row_; m += kLanes) {
        transpose_lanes(gaps + m, stride_, room.gap.data() + m * kLanes, kLanes);
        transpose_lanes(spins_[index(layer)].data() + first * stride_ + m, stride_,
                        room.spin.data() + m * kLanes, kLanes);
      }
      float* const bonds = bonds_[index(layer)].data() + first;
      for (Index k = 0; k < below; ++k) {
        for (int lane = 0; lane < kLanes; ++lane)
          room.direction.data()[k * kLanes + lane] = 0.5f * bonds[k * bond_row(layer) + lane];
      }
      const Words words(seed_, number_, Purpose::kTrajectory, layer, pass, sweep);
      double limit[kLanes], rise[kLanes];
      for (int lane = 0; lane < n_real; ++lane)
        limit[lane] = trajectory_numbers(words, first + lane, below, lane, room.momentum.data());
      if (!problem_.dense(layer)) keep_present(layer, first, n_real, room);
      follow_trajectory(
          {below, problem_.n_inputs(layer), problem_.n_patterns, stride_, spins_[index(layer - 1)].data()},
          schedule.beta, schedule.trajectory_steps, schedule.trajectory_step, room, rise);
      bool moved[kLanes] = {};
      for (int lane = 0; lane < n_real; ++lane) {
        moved[lane] = rise[lane] <= limit[lane];
        counts[index(task)] += moved[lane];
      }
      for (Index k = 0; k < below; ++k) {
        for (int lane = 0; lane < n_real; ++lane) {
          float& bond = bonds[k * bond_row(layer) + lane];
          if (moved[lane]) bond = 2 * room.direction.data()[k * kLanes + lane];
        }
      }
      std::fill(room.gap.data() + problem_.n_patterns * kLanes, room.gap.data() + row_ * kLanes, kPad);
      alignas(64) float block[kLanes * kLanes];
      for (Index m = 0; m < row_; m += kLanes) {
        transpose_lanes(room.gap.data() + m * kLanes, kLanes, block, kLanes);
        for (int lane = 0; lane < n_real; ++lane) {
          if (moved[lane])
            std::memcpy(gaps + lane * stride_ + m, block + lane * kLanes, kLanes * sizeof(float));
        }
      }
    });
    for (Index l = 1; l <= depth(); ++l) {
      for (Index t = first_strip[index(l)]; t < first_strip[index(l + 1)]; ++t)
        accepted.bonds[index(l)] += counts[index(t)];
    }
  }

  // Bonds that are not there do not move.
  void keep_present(Index layer, Index first, int n_real, TrajectoryRoom& room) const {
    std::fill_n(room.present.data(), room.present.size(), 0.0f);
    for (int lane = 0; lane < n_real; ++lane) {
      const std::int32_t* const inputs =
          problem_.graph(layer).data() + (first + lane) * problem_.n_inputs(layer);
      for (Index q = 0; q < problem_.n_inputs(layer); ++q) room.present.data()[inputs[q] * kLanes + lane] = 1;
    }
    for (Index at = 0; at < room.present.size(); ++at) room.momentum.data()[at] *= room.present.data()[at];
  }

  // Byte 2 [S_a < 0] + [S_b < 0].
  void write_bytes(Index layer, Index a, Index b, std::uint8_t* bytes) const {
    const float* const below = spins_[index(layer - 1)].data();
    const float *first = below + a * stride_, *second = below + b * stride_;
    for (Index m = 0; m < row_; m += kLanes)
      store(bytes + m, (below_zero_bytes(first + m) & 2) - below_zero_bytes(second + m));
  }

  // A perceptron with inputs of its own takes the order of the layer among them.
  void own_moves(Index layer, Index i, const MoveOrder& order, BondRoom& room, int p) const {
    const std::int32_t* const inputs = problem_.graph(layer).data() + i * problem_.n_inputs(layer);
    room.first[p].resize(index(order.n));
    room.second[p].resize(index(order.n));
    for (Index q = 0; q < order.n; ++q) {
      const Index a = inputs[order.first[index(q)]], b = inputs[order.second[index(q)]];
      room.first[p][index(q)] = static_cast<std::int32_t>(a);
      room.second[p][index(q)] = static_cast<std::int32_t>(b);
      write_bytes(layer, a, b, room.bytes[p].data() + q * row_);
    }
  }

  static void normalise(float* bond, Index stride, Index n) {  // |J|^2 = n_inputs, that is |w|^2 = 4
    double norm = 0;
    for (Index k = 0; k < n; ++k)
      norm += static_cast<double>(bond[k * stride]) * static_cast<double>(bond[k * stride]);
    const double factor = 2 / std::sqrt(norm);
    for (Index k = 0; k < n; ++k)
      bond[k * stride] = static_cast<float>(static_cast<double>(bond[k * stride]) * factor);
  }

  const Problem& problem_;
  std::uint64_t seed_;
  Index number_, row_, stride_;                       // patterns, padded; from row to row
  std::vector<Aligned<float>> spins_, gaps_, bonds_;  // of layers 0 .. L
  std::vector<MoveOrder> orders_;
  std::vector<Aligned<std::uint8_t>> bytes_;
};

}  // namespace deepglass::mc
