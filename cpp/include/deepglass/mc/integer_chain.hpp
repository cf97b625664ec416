// A chain in integers, with binary bonds and the count potential: what integer_kernels.hpp works on.
//
// Random numbers, order of moves and decisions are those of FloatChain<Count>; the trajectory is the one that
// it would have without rounding.
#pragma once

#include <algorithm>
#include <cmath>

#include "deepglass/mc/integer_kernels.hpp"
#include "deepglass/mc/network.hpp"

namespace deepglass::mc {

// Widest perceptron whose u fits: from -n/2 to n/2, or from -(n+1)/2 to (n-1)/2 for odd n.
template <class T>
constexpr Index kMostInputs = 2 * Index{std::numeric_limits<T>::max()} + 1;

constexpr Index kMostNeurons = std::numeric_limits<std::int16_t>::max() - 1;  // whose sums sixteen bits hold

template <class T>  // of u
class IntegerChain final : public Chain {
 public:
  IntegerChain(const Problem& problem, std::uint64_t seed, Index number)
      : problem_(problem),
        seed_(seed),
        number_(number),
        row_(round_up(problem.n_patterns, kTilePatterns)),
        // Rows an odd number of cache lines apart: a power of two would put all of them into a few sets.
        stride_(row_ + (row_ / kTilePatterns % 2 == 0 ? kTilePatterns : 0)) {
    for (Index l = 0; l <= depth(); ++l) {
      spins_.emplace_back(problem.width(l) * stride_);
      gaps_.emplace_back(l > 0 ? problem.width(l) * stride_ : 0);
      bonds_.emplace_back(l > 0 ? problem.width(l - 1) * bond_row(l) : 0);
      for (Index i = 0; i < problem.width(l); ++i)
        std::fill_n(spins_.back().data() + i * stride_, problem.n_patterns, std::int8_t{1});
      for (Index i = 0; l > 0 && i < problem.width(l); ++i) {
        for (Index q = 0; q < problem.n_inputs(l); ++q) bond(l, i, input(l, i, q)) = 1;
      }
    }
    set_spins(0, problem.data_inputs.data());
    set_spins(depth(), problem.data_outputs.data());
    rebuild();
  }

  void bond_pass(const Schedule& schedule, std::uint64_t sweep, Index pass, int threads,
                 Accepted& accepted) override {
    const float temperature = temperature_of(schedule.beta);
    std::vector<MoveOrder> orders(index(depth() + 1));
    std::vector<Index> first_strip(index(depth() + 2), 0);
    for (Index l = 1; l <= depth(); ++l) {
      std::vector<std::int32_t> all(index(problem_.n_inputs(l)));
      orders[index(l)].draw(Words(seed_, number_, Purpose::kMatching, l, pass, sweep), all, true);
      first_strip[index(l + 1)] =
          first_strip[index(l)] + (problem_.width(l) + kPerceptrons - 1) / kPerceptrons;
    }
    const Index n_strips = first_strip.back();
    std::vector<Index> counts(index(n_strips));
    parallel_for(n_strips, {threads, 0.02 * problem_.bond_updates()}, [&](Index task) {
      const Index layer =
          std::upper_bound(first_strip.begin(), first_strip.end(), task) - first_strip.begin() - 1;
      const Index number = task - first_strip[index(layer)], first = number * kPerceptrons;
      const int n_real = static_cast<int>(std::min<Index>(kPerceptrons, problem_.width(layer) - first));
      const MoveOrder& order = orders[index(layer)];
      thread_local BondRoom room;
      room.reserve(stride_, order.n);
      bond_rises(Words(seed_, number_, Purpose::kBond, layer, pass, sweep), number, order.n, temperature,
                 room.most.data(), room.most_row);
      IntegerStrip<T> strip;
      strip.row = row_;
      strip.n_moves = order.n;
      strip.spins_below = spins_[index(layer - 1)].data();
      strip.stride = stride_;
      strip.bonds = bonds_[index(layer)].data() + first;
      strip.bond_row = bond_row(layer);
      strip.most = room.most.data();
      strip.most_row = room.most_row;
      for (int p = 0; p < n_real; ++p) {
        const Index i = first + p;
        strip.gap[p] = gaps_[index(layer)].data() + i * stride_;
        strip.room[p] = room.rows.data() + 3 * p * stride_;
        T* const turn[2] = {strip.room[p] + stride_, strip.room[p] + 2 * stride_};
        turns(row_, spins_[index(layer)].data() + i * stride_, turn[0], turn[1]);
        strip.turn[p][0] = turn[0];
        strip.turn[p][1] = turn[1];
        strip.input[p] = order.first.data();
        if (!problem_.dense(layer)) {
          for (Index q = 0; q < order.n; ++q)
            room.inputs[p][index(q)] = static_cast<std::int32_t>(input(layer, i, order.first[index(q)]));
          strip.input[p] = room.inputs[p].data();
        }
      }
      counts[index(task)] = flip_bonds(strip, n_real);
    });
    for (Index l = 1; l <= depth(); ++l) {
      for (Index t = first_strip[index(l)]; t < first_strip[index(l + 1)]; ++t)
        accepted.bonds[index(l)] += counts[index(t)];
    }
  }

  void spin_pass(const Schedule& schedule, std::uint64_t sweep, Index pass, int threads,
                 Accepted& accepted) override {
    const Index n_tiles = row_ / kTilePatterns, n_hidden = depth() - 1;
    if (n_hidden == 0) return;
    const Index widest = *std::max_element(problem_.widths.begin(), problem_.widths.end());
    std::vector<Index> counts(index(n_tiles * n_hidden));
    parallel_for(n_tiles, {threads, 0.03 * problem_.spin_updates()}, [&](Index tile_number) {
      thread_local IntegerTile<T> tile(0);
      if (tile.most < widest) tile = IntegerTile<T>(widest);
      for (Index k = 0; k < n_hidden; ++k) {
        const Index l = k + 1;
        const IntegerSpinLayer<T> layer{problem_.width(l),
                                        problem_.width(l + 1),
                                        stride_,
                                        spins_[index(l)].data(),
                                        gaps_[index(l)].data(),
                                        static_cast<int>(problem_.n_inputs(l) % 2),
                                        spins_[index(l + 1)].data(),
                                        gaps_[index(l + 1)].data(),
                                        bonds_[index(l + 1)].data(),
                                        bond_row(l + 1),
                                        temperature_of(schedule.beta)};
        const Words words(seed_, number_, Purpose::kSpin, l, pass, sweep);
        const Index first = tile_number * kTilePatterns;
        constexpr Index kNarrow = std::numeric_limits<T>::max() - 1;  // neurons whose sum T holds
        counts[index(tile_number * n_hidden + k)] = layer.width_above <= kNarrow
                                                        ? flip_spins<T>(layer, words, first, tile)
                                                        : flip_spins<std::int16_t>(layer, words, first, tile);
      }
    });
    for (Index tile = 0; tile < n_tiles; ++tile) {
      for (Index k = 0; k < n_hidden; ++k) accepted.spins[index(k + 1)] += counts[index(tile * n_hidden + k)];
    }
  }

  void energy(Span<double> per_layer) const override {
    for (Index l = 1; l <= depth(); ++l) {
      Index n_errors = 0;
      for (Index i = 0; i < problem_.width(l); ++i)
        n_errors += row_errors(row_, gaps_[index(l)].data() + i * stride_);
      per_layer[l - 1] = static_cast<double>(n_errors);
    }
  }

  double rebuild() override {
    double largest = 0;
    std::vector<std::int32_t> field(index(row_));
    for (Index l = 1; l <= depth(); ++l) {
      const double unit = 2 / std::sqrt(static_cast<double>(problem_.n_inputs(l)));
      for (Index i = 0; i < problem_.width(l); ++i) {
        std::fill(field.begin(), field.end(), 0);
        for (Index q = 0; q < problem_.n_inputs(l); ++q) {
          const Index k = input(l, i, q);
          const std::int32_t sign = bond(l, i, k);
          const std::int8_t* const spin = spins_[index(l - 1)].data() + k * stride_;
          for (Index m = 0; m < row_; ++m) field[index(m)] += sign * spin[m];
        }
        const std::int8_t* const spin = spins_[index(l)].data() + i * stride_;
        T* const gap = gaps_[index(l)].data() + i * stride_;
        std::int32_t change = 0;
        for (Index m = 0; m < row_; ++m) {
          const std::int32_t fresh = (field[index(m)] * spin[m]) >> 1;
          change = std::max(change, std::abs(fresh - gap[m]));
          gap[m] = static_cast<T>(fresh);
        }
        largest = std::max(largest, change * unit);
      }
    }
    return largest;
  }

  void set_spins(Index layer, const std::int8_t* spins) override {
    for (Index m = 0; m < problem_.n_patterns; ++m) {
      for (Index i = 0; i < problem_.width(layer); ++i)
        spins_[index(layer)].data()[i * stride_ + m] = spins[m * problem_.width(layer) + i];
    }
  }
  void get_spins(Index layer, std::int8_t* spins) const override {
    for (Index m = 0; m < problem_.n_patterns; ++m) {
      for (Index i = 0; i < problem_.width(layer); ++i)
        spins[m * problem_.width(layer) + i] = spins_[index(layer)].data()[i * stride_ + m];
    }
  }
  void set_bonds(Index layer, const double* bonds) override {
    const Index below = problem_.width(layer - 1);
    for (Index i = 0; i < problem_.width(layer); ++i) {
      for (Index q = 0; q < problem_.n_inputs(layer); ++q) {
        const double value = bonds[i * below + input(layer, i, q)];
        if (value != 1 && value != -1)
          throw std::invalid_argument("binary bonds must be +1 or -1, got " + std::to_string(value));
      }
    }
    for (Index i = 0; i < problem_.width(layer); ++i) {
      for (Index q = 0; q < problem_.n_inputs(layer); ++q) {
        const Index k = input(layer, i, q);
        bond(layer, i, k) = static_cast<std::int8_t>(bonds[i * below + k]);
      }
    }
  }
  void get_bonds(Index layer, double* bonds) const override {
    const Index below = problem_.width(layer - 1);
    for (Index i = 0; i < problem_.width(layer); ++i) {
      for (Index k = 0; k < below; ++k)
        bonds[i * below + k] = bonds_[index(layer)].data()[k * bond_row(layer) + i];
    }
  }
  std::vector<Span<unsigned char>> memory() override {
    std::vector<Span<unsigned char>> all;
    const auto add = [&](auto& arrays) {
      for (auto& array : arrays) {
        const Index size = array.size() * static_cast<Index>(sizeof *array.data());
        all.push_back({reinterpret_cast<unsigned char*>(array.data()), size});
      }
    };
    add(bonds_);
    add(gaps_);
    add(spins_);
    return all;
  }

 private:
  struct BondRoom {
    Aligned<T> rows;  // (kPerceptrons, 3, stride): a trial, and what turns spins
    Aligned<std::int32_t> most;
    Index most_row = 0;
    std::vector<std::int32_t> inputs[kPerceptrons];

    void reserve(Index stride, Index n_moves) {
      if (rows.size() < 3 * kPerceptrons * stride) rows = Aligned<T>(3 * kPerceptrons * stride);
      if (most_row >= n_moves) return;
      most_row = round_up(n_moves, Words::kTile / kPerceptrons);
      most = Aligned<std::int32_t>(kPerceptrons * most_row);
      for (auto& list : inputs) list.resize(index(most_row));
    }
  };

  static std::size_t index(Index k) { return static_cast<std::size_t>(k); }
  Index depth() const { return problem_.depth(); }
  Index bond_row(Index layer) const { return problem_.width(layer); }
  std::int8_t& bond(Index layer, Index i, Index k) {
    return bonds_[index(layer)].data()[k * bond_row(layer) + i];
  }
  // Number q of the inputs of a perceptron.
  Index input(Index layer, Index i, Index q) const {
    return problem_.dense(layer) ? q : problem_.graph(layer)[index(i * problem_.n_inputs(layer) + q)];
  }

  const Problem& problem_;
  std::uint64_t seed_;
  Index number_, row_, stride_;                      // patterns, padded; from row to row
  std::vector<Aligned<std::int8_t>> spins_, bonds_;  // of layers 0 .. L
  std::vector<Aligned<T>> gaps_;
};

}  // namespace deepglass::mc
