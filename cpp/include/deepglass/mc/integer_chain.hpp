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

// Sums over neurons, and u, that kMostPlanes planes hold.
constexpr Index kMostNeurons = (Index{1} << (kMostPlanes - 1)) - 2;

class IntegerChain final : public Chain {
 public:
  IntegerChain(const Problem& problem, std::uint64_t seed, Index number)
      : problem_(problem),
        seed_(seed),
        number_(number),
        words_(round_up(problem.n_patterns, kBlock) / kBlock * kBlockWords),
        real_(words_) {
    for (Index m = 0; m < problem.n_patterns; ++m) set_bit(real_.data(), m, true);
    for (Index l = 0; l <= depth(); ++l) {
      spins_.emplace_back(problem.width(l) * words_);
      gaps_.emplace_back(l > 0 ? problem.width(l) * n_planes(l) * words_ : 0);
      bonds_.emplace_back(l > 0 ? problem.width(l - 1) * bond_row(l) : 0);
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
    parallel_for(n_strips, {threads, 0.01 * problem_.bond_updates()}, [&](Index task) {
      const Index layer =
          std::upper_bound(first_strip.begin(), first_strip.end(), task) - first_strip.begin() - 1;
      const Index number = task - first_strip[index(layer)], first = number * kPerceptrons;
      const int n_real = static_cast<int>(std::min<Index>(kPerceptrons, problem_.width(layer) - first));
      const MoveOrder& order = orders[index(layer)];
      thread_local BondRoom room;
      room.reserve(words_, order.n);
      bond_rises(Words(seed_, number_, Purpose::kBond, layer, pass, sweep), number, order.n, temperature,
                 n_real, room.most.data());
      IntegerStrip strip{};
      strip.words = words_;
      strip.n_moves = order.n;
      strip.n_planes = n_planes(layer);
      strip.spins_below = spins_[index(layer - 1)].data();
      strip.real = real_.data();
      strip.bond_row = bond_row(layer);
      strip.most = room.most.data();
      for (int p = 0; p < kPerceptrons; ++p) {
        const Index i = first + std::min(p, n_real - 1);
        const Word* const output = spins_[index(layer)].data() + i * words_;
        Word* const edge = room.rows.data() + 2 * p * words_;
        Word* const not_output = edge + words_;
        for (Index w = 0; w < words_; ++w) not_output[w] = ~output[w];
        strip.gap[p] = gap(layer, i);
        strip.edge[p] = edge;
        strip.not_output[p] = not_output;
        strip.bonds[p] = &bonds_[index(layer)].data()[i];
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
    const Index n_blocks = words_ / kBlockWords, n_hidden = depth() - 1;
    if (n_hidden == 0) return;
    std::vector<Index> counts(index(n_blocks * n_hidden));
    parallel_for(n_blocks, {threads, 0.02 * problem_.spin_updates()}, [&](Index block) {
      thread_local IntegerTile tile;
      for (Index k = 0; k < n_hidden; ++k) {
        const Index l = k + 1;
        tile.reserve(problem_.width(l + 1), n_planes(l + 1));
        const IntegerSpinLayer layer{problem_.width(l),
                                     problem_.width(l + 1),
                                     words_,
                                     spins_[index(l)].data(),
                                     gaps_[index(l)].data(),
                                     n_planes(l),
                                     n_planes(l + 1),
                                     static_cast<int>(problem_.n_inputs(l) % 2),
                                     spins_[index(l + 1)].data(),
                                     gaps_[index(l + 1)].data(),
                                     bonds_[index(l + 1)].data(),
                                     bond_row(l + 1),
                                     real_.data(),
                                     problem_.n_patterns,
                                     temperature_of(schedule.beta)};
        const Words words(seed_, number_, Purpose::kSpin, l, pass, sweep);
        counts[index(block * n_hidden + k)] = flip_spins(layer, words, block, tile);
      }
    });
    for (Index block = 0; block < n_blocks; ++block) {
      for (Index k = 0; k < n_hidden; ++k)
        accepted.spins[index(k + 1)] += counts[index(block * n_hidden + k)];
    }
  }

  void energy(Span<double> per_layer) const override {
    for (Index l = 1; l <= depth(); ++l) {
      Index n_errors = 0;
      for (Index i = 0; i < problem_.width(l); ++i) {
        const Word* const sign = gap(l, i) + (n_planes(l) - 1) * words_;
        for (Index w = 0; w < words_; ++w) n_errors += count_ones(sign[w] & real_.data()[w]);
      }
      per_layer[l - 1] = static_cast<double>(n_errors);
    }
  }

  // u = floor(n_inputs / 2) - number of negative J_k S_k S
  double rebuild() override {
    double largest = 0;
    for (Index l = 1; l <= depth(); ++l) {
      const Index n = problem_.n_inputs(l);
      const double unit = 2 / std::sqrt(static_cast<double>(n));
      Aligned<Bits> negative(round_up(n, 8), Bits{});
      Aligned<Word> fresh(n_planes(l) * words_);
      Bits count[kMostPlanes];
      for (Index i = 0; i < problem_.width(l); ++i) {
        for (Index w = 0; w < words_; w += kBlockWords) {
          const Bits output = load<Bits>(spins_[index(l)].data() + i * words_ + w);
          for (Index q = 0; q < n; ++q) {
            const Index k = input(l, i, q);
            negative.data()[q] = load<Bits>(spins_[index(l - 1)].data() + k * words_ + w) ^ output ^
                                 every_bit(bond(l, i, k) < 0);
          }
          count_rows(negative.data(), n, count, std::max(3, bit_length(n)));
          Bits borrow = {};
          for (int p = 0; p < n_planes(l); ++p) {
            const TwoBits difference = add_bits(every_bit(n / 2 >> p & 1), ~count[p], ~borrow);
            store(fresh.data() + p * words_ + w, difference.low);
            borrow = ~difference.high;
          }
        }
        for (Index m = 0; m < problem_.n_patterns; ++m)
          largest = std::max(largest, unit * std::abs(number(fresh.data(), l, m) - number(gap(l, i), l, m)));
        std::copy_n(fresh.data(), fresh.size(), gap(l, i));
      }
    }
    return largest;
  }

  void set_spins(Index layer, const std::int8_t* spins) override {
    for (Index m = 0; m < problem_.n_patterns; ++m) {
      for (Index i = 0; i < problem_.width(layer); ++i)
        set_bit(spins_[index(layer)].data() + i * words_, m, spins[m * problem_.width(layer) + i] < 0);
    }
  }
  void get_spins(Index layer, std::int8_t* spins) const override {
    for (Index m = 0; m < problem_.n_patterns; ++m) {
      for (Index i = 0; i < problem_.width(layer); ++i)
        spins[m * problem_.width(layer) + i] = bit_of(spins_[index(layer)].data() + i * words_, m) ? -1 : 1;
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
    Aligned<Word> rows;  // (kPerceptrons, 2, words): who is at the edge, and the outputs turned over
    Aligned<std::int32_t> most;
    std::vector<std::int32_t> inputs[kPerceptrons];

    void reserve(Index words, Index n_moves) {
      if (rows.size() < 2 * kPerceptrons * words) rows = Aligned<Word>(2 * kPerceptrons * words);
      const Index n_numbers = round_up(kPerceptrons * n_moves, Words::kTile);
      if (most.size() >= n_numbers) return;
      most = Aligned<std::int32_t>(n_numbers);
      for (auto& list : inputs) list.resize(index(n_moves));
    }
  };

  static std::size_t index(Index k) { return static_cast<std::size_t>(k); }
  Index depth() const { return problem_.depth(); }
  int n_planes(Index layer) const { return gap_planes(problem_.n_inputs(layer)); }
  Index bond_row(Index layer) const { return problem_.width(layer); }
  std::int8_t& bond(Index layer, Index i, Index k) {
    return bonds_[index(layer)].data()[k * bond_row(layer) + i];
  }
  const Word* gap(Index layer, Index i) const {
    return gaps_[index(layer)].data() + i * n_planes(layer) * words_;
  }
  Word* gap(Index layer, Index i) { return gaps_[index(layer)].data() + i * n_planes(layer) * words_; }
  // u of a pattern
  double number(const Word* planes, Index layer, Index m) const {
    const int top = n_planes(layer) - 1;
    Index u = -(Index{bit_of(planes + top * words_, m)} << top);
    for (int p = 0; p < top; ++p) u += Index{bit_of(planes + p * words_, m)} << p;
    return static_cast<double>(u);
  }
  // Number q of the inputs of a perceptron.
  Index input(Index layer, Index i, Index q) const {
    return problem_.dense(layer) ? q : problem_.graph(layer)[index(i * problem_.n_inputs(layer) + q)];
  }

  const Problem& problem_;
  std::uint64_t seed_;
  Index number_, words_;                     // words of a row of bits, patterns padded
  Aligned<Word> real_;                       // (words,): no padding
  std::vector<Aligned<std::int8_t>> bonds_;  // of layers 0 .. L
  std::vector<Aligned<Word>> spins_, gaps_;  // (width, words) and (width, n_planes, words)
};

}  // namespace deepglass::mc
