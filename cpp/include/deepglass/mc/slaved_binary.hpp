// One chain of the slaved network with binary bonds, in bits.
//
// Spins and bonds are bits, set for -1.  A field of n inputs is n - 2c, c the number of negative J_k S_k, so
// the spin is -1 for c > floor(n/2).  A flip of a bond or an input changes c by 1 and turns the spin only at
// the edge, c = floor(n/2) or one more, and there the spin then is what J_k S_k was with the other sign:
//
//     turned = edge & (spin ^ ~(J_k ^ S_k)).
//
// Kept are, for each neuron and pattern, the spin and whether it is at the edge: in words of patterns, where
// that formula tries the flip of a bond in 64 patterns at once, and in words of neurons, where it gives what
// a turned spin does to 64 neurons of the next layer at once.  In the layers after that several spins may
// have turned, and c is added up from a table: what each four inputs give, in bytes side by side for all
// neurons.
#pragma once

#include <limits>

#include "deepglass/mc/signed_lanes.hpp"
#include "deepglass/mc/slaved_moves.hpp"
#include "deepglass/parallel.hpp"

#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wpsabi"  // how wide vectors are passed: nobody else calls these functions
#endif

namespace deepglass::mc {

namespace detail {

using Word = std::uint64_t;

inline Index words_for(Index n_bits) {
  return (n_bits + 63) / 64;
}
inline bool bit_of(const Word* words, Index bit) {
  return words[bit / 64] >> (bit % 64) & 1;
}
inline void flip_bit(Word* words, Index bit) {
  words[bit / 64] ^= Word{1} << (bit % 64);
}
inline Word every_bit(bool set) {
  return Word{0} - static_cast<Word>(set);
}
template <class Action>
inline void for_ones(Word word, Index first, Action action) {
  for (; word != 0; word &= word - 1) action(first + lowest_bit(word));
}

typedef std::uint8_t Bytes __attribute__((vector_size(32)));
constexpr Index kBytes = 32;

inline Bytes every_byte(Index x) {
  Bytes bytes;
  std::memset(&bytes, static_cast<int>(x), sizeof bytes);
  return bytes;
}
inline Word top_bits(Bytes x) {
#if defined(__AVX2__)
  return static_cast<std::uint32_t>(_mm256_movemask_epi8((__m256i)x));
#elif defined(__SSE2__)
  __m128i half[2];
  std::memcpy(half, &x, sizeof half);
  return static_cast<Word>(_mm_movemask_epi8(half[0])) | static_cast<Word>(_mm_movemask_epi8(half[1])) << 16;
#else
  Word bits = 0;
  for (int k = 0; k < kBytes; ++k) bits |= Word{x[k]} >> 7 << k;
  return bits;
#endif
}

}  // namespace detail

class BinarySlavedChain {
 public:
  using Bond = std::int8_t;
  using Problem = SlavedProblem;

  BinarySlavedChain(const Problem& problem, std::uint64_t seed, std::uint64_t chain)
      : problem_(&problem),
        seed_(seed),
        stream_(kSlavedStream + chain),
        pattern_words_(detail::words_for(problem.n_patterns)) {
    const Problem& p = problem;
    for (const Index n : p.widths) {
      Neurons neurons;
      neurons.words = detail::words_for(n);
      neurons.spin = neurons.edge = {std::vector<Word>(size(n * pattern_words_)),
                                     std::vector<Word>(size(p.n_patterns * neurons.words))};
      neurons_.push_back(std::move(neurons));
    }
    wanted_ = neurons_.back();
    const auto set = [&](Neurons& neurons, Index n, const std::vector<std::int8_t>& spins) {
      for (Index mu = 0; mu < p.n_patterns; ++mu) {
        for (Index i = 0; i < n; ++i) {
          if (spins[size(mu * n + i)] < 0) flip(neurons, neurons.spin, i, mu);
        }
      }
    };
    set(neurons_.front(), p.widths.front(), p.inputs);
    set(wanted_, p.widths.back(), p.outputs);
    for (int l = 0; l < p.depth(); ++l) {
      Layer layer;
      layer.n_in = p.widths[size(l)];
      layer.n_out = p.widths[size(l) + 1];
      layer.bonds.assign(size(layer.n_out * layer.n_in), Bond{1});
      layers_.push_back(std::move(layer));
    }
    n_wrong_.assign(size(p.n_patterns), 0);
    trial_n_wrong_ = reached_ = n_wrong_;
    turned_.assign(size(pattern_words_), 0);
    const Index widest = *std::max_element(p.widths.begin(), p.widths.end());
    const bool narrow = *std::max_element(p.widths.begin() + 1, p.widths.end()) <= 64;
    energy_behind_ =
        narrow ? &BinarySlavedChain::energy_behind<true> : &BinarySlavedChain::energy_behind<false>;
    touched_.assign(size(64 * pattern_words_ + 8), 0);
    spin_.assign(size(detail::words_for(widest)), 0);
    inputs_ = edge_ = spin_;
    rebuild();
  }

  // bonds (N_l, N_{l-1}) of layer l = 1..L; rebuild() when all are set.
  void set_bonds(int l, Span<const Bond> bonds) {
    std::copy(bonds.begin(), bonds.end(), layers_[size(l - 1)].bonds.begin());
  }
  Span<const Bond> bonds(int l) const { return layers_[size(l - 1)].bonds; }

  // Spins of neuron i of layer l = 0..L in all patterns.
  std::vector<std::int8_t> signs(int l, Index i) const {
    const Neurons& neurons = neurons_[size(l)];
    std::vector<std::int8_t> spins;
    for (Index mu = 0; mu < problem_->n_patterns; ++mu)
      spins.push_back(detail::bit_of(neurons.spin.of_neuron(i, pattern_words_), mu) ? -1 : 1);
    return spins;
  }

  std::int64_t energy() const { return energy_; }

  // By a forward pass from the bonds.
  std::int64_t fresh_energy() const {
    BinarySlavedChain fresh = *this;
    fresh.rebuild();
    return fresh.energy_;
  }

  // All that follows from the bonds.
  void rebuild() {
    const Problem& p = *problem_;
    for (int l = 0; l < p.depth(); ++l) {
      Layer& layer = layers_[size(l)];
      const Index in_words = neurons_[size(l)].words, out_words = neurons_[size(l) + 1].words;
      layer.start = detail::every_byte(127 - layer.n_in / 2);
      layer.rows.assign(size(layer.n_out * in_words), 0);
      layer.columns.assign(size(layer.n_in * out_words), 0);
      layer.table.assign(size(64 * out_words * 16 * layer.groups()), 0);
      for (Index i = 0; i < layer.n_out; ++i) {
        for (Index k = 0; k < layer.n_in; ++k) {
          const bool negative = layer.bonds[size(i * layer.n_in + k)] < 0;
          for (Index four = 0; four < 16; ++four)
            layer.entry(i, k / 4, four) += (four >> (k % 4) & 1) != Index{negative};
          if (!negative) continue;
          detail::flip_bit(layer.rows.data() + i * in_words, k);
          detail::flip_bit(layer.columns.data() + k * out_words, i);
        }
      }
      for (Index i = 0; i < layer.n_out; ++i) update_neuron(l, i);
    }
    energy_ = 0;
    const Neurons& last = neurons_.back();
    for (Index mu = 0; mu < p.n_patterns; ++mu) {
      const Word *out = last.spin.of_pattern(mu, last.words), *want = wanted_.spin.of_pattern(mu, last.words);
      n_wrong_[size(mu)] = count_different(out, want, last.words);
      energy_ += n_wrong_[size(mu)];
    }
  }

  // Sweeps first, first + 1, ...; with a stop token it may throw Stopped in the middle of one.
  void run(std::uint64_t first, std::uint64_t n_sweeps, double beta, Span<const double> step, bool early_stop,
           TimedStop* stop) {
    detail::Moves moves(*problem_, seed_, stream_, beta, step);
    const std::uint64_t per_sweep = problem_->attempts_per_sweep();
    for (std::uint64_t n = first * per_sweep; n < (first + n_sweeps) * per_sweep; ++n) {
      if (stop != nullptr && n % detail::Moves::kBatch == 0) stop->check();
      attempt(moves(n), early_stop);
    }
  }

  std::vector<std::int64_t> attempts() const { return counter(&Layer::attempts); }
  std::vector<std::int64_t> acceptances() const { return counter(&Layer::acceptances); }
  void set_counters(int l, std::int64_t attempts, std::int64_t acceptances) {
    layers_[size(l - 1)].attempts = attempts;
    layers_[size(l - 1)].acceptances = acceptances;
  }

 private:
  using Word = detail::Word;
  static constexpr Index kWordEntries = 16 * 32;  // vectors of the table for a word of inputs

  struct BothWays {
    std::vector<Word> by_neuron;   // (N_l, words of patterns)
    std::vector<Word> by_pattern;  // (M, words of neurons)

    const Word* of_neuron(Index i, Index words) const { return by_neuron.data() + i * words; }
    Word* of_neuron(Index i, Index words) { return by_neuron.data() + i * words; }
    const Word* of_pattern(Index mu, Index words) const { return by_pattern.data() + mu * words; }
    Word* of_pattern(Index mu, Index words) { return by_pattern.data() + mu * words; }
  };
  struct Neurons {  // of one layer
    Index words = 0;
    BothWays spin, edge;
  };
  struct Layer {
    Index n_in = 0, n_out = 0;
    std::vector<Bond> bonds;    // (n_out, n_in)
    std::vector<Word> rows;     // (n_out, words of inputs)
    std::vector<Word> columns;  // (n_in, words of outputs)
    // (words of outputs, groups of four inputs, 16, 64): how many products of the four are negative
    detail::AlignedVector<std::uint8_t> table;
    detail::Bytes start = {};  // of sums
    std::int64_t attempts = 0, acceptances = 0;

    Index groups() const { return (n_in + 63) / 64 * 16; }
    const detail::Bytes* table_of(Index word) const {
      return reinterpret_cast<const detail::Bytes*>(table.data()) + 32 * word * groups();
    }
    // For neuron i and inputs of the signs `four`.
    std::uint8_t& entry(Index i, Index group, Index four) {
      return table[size(((i / 64 * groups() + group) * 16 + four) * 64 + i % 64)];
    }
  };

  static std::size_t size(Index n) { return static_cast<std::size_t>(n); }

  std::vector<std::int64_t> counter(std::int64_t Layer::* member) const {
    std::vector<std::int64_t> all;
    for (const Layer& layer : layers_) all.push_back(layer.*member);
    return all;
  }

  static int count_different(const Word* x, const Word* y, Index words) {
    int n = 0;
    for (Index w = 0; w < words; ++w) n += detail::count_bits(x[w] ^ y[w]);
    return n;
  }

  void flip(Neurons& neurons, BothWays& bits, Index i, Index mu) const {
    detail::flip_bit(bits.of_neuron(i, pattern_words_), mu);
    detail::flip_bit(bits.of_pattern(mu, neurons.words), i);
  }

  // Spins and edges of neuron i of layer l + 1 in all patterns.
  void update_neuron(int l, Index i) {
    const Neurons& below = neurons_[size(l)];
    Neurons& own = neurons_[size(l) + 1];
    const Layer& layer = layers_[size(l)];
    const Word* const row = layer.rows.data() + i * below.words;
    const Index half = layer.n_in / 2;
    for (Index w = 0; w < pattern_words_; ++w) {
      Word spin = 0, edge = 0;
      const Index first = 64 * w, last = std::min(first + 64, problem_->n_patterns);
      for (Index mu = first; mu < last; ++mu) {
        const Index c = count_different(row, below.spin.of_pattern(mu, below.words), below.words);
        spin |= Word{c > half} << (mu - first);
        edge |= Word{c == half || c == half + 1} << (mu - first);
      }
      const auto set = [&](BothWays& bits, Word now) {
        Word& before = bits.of_neuron(i, pattern_words_)[w];
        detail::for_ones(before ^ now, first,
                         [&](Index mu) { detail::flip_bit(bits.of_pattern(mu, own.words), i); });
        before = now;
      };
      set(own.spin, spin);
      set(own.edge, edge);
    }
  }

  // Spins of the neurons of layer l + 1 with inputs x, and edges if wanted.
  void forward(int l, const Word* x, Word* spin, Word* edge) const {
    const Layer& layer = layers_[size(l)];
    const Index in_words = neurons_[size(l)].words, out_words = neurons_[size(l) + 1].words;
    // Bytes count from 127 - floor(n/2), so that their highest bit is the spin.
    const Index shift = 127 - layer.n_in / 2;
    for (Index w = 0; w < out_words; ++w) {
      const detail::Bytes* table = layer.table_of(w);
      detail::Bytes sum[2];
      if (layer.n_in < 256) {
        sum[0] = sum[1] = layer.start;
        add_entries(x, in_words, table, sum);
      } else {
        add_many_entries(x, in_words, table, shift, sum);
      }
      // What lies behind the last neuron means nothing.
      const Word real = ~Word{0} >> (w + 1 == out_words ? 64 * out_words - layer.n_out : 0);
      spin[w] = (detail::top_bits(sum[0]) | detail::top_bits(sum[1]) << 32) & real;
      if (edge == nullptr) continue;
      const detail::Bytes below = detail::every_byte(127), above = detail::every_byte(128);
      Word bits[2];
      for (int h = 0; h < 2; ++h)
        bits[h] = detail::top_bits(reinterpret_cast<detail::Bytes>((sum[h] == below) | (sum[h] == above)));
      edge[w] = (bits[0] | bits[1] << 32) & real;
    }
  }

  // The same for a layer of up to 64 inputs and neurons.
  static Word forward_one(const Layer& layer, Word x) {
    detail::Bytes sum[2] = {layer.start, layer.start};
    add_entries(x, (layer.n_in + 3) / 4, layer.table_of(0), sum);
    return (detail::top_bits(sum[0]) | detail::top_bits(sum[1]) << 32) & ~Word{0} >> (64 - layer.n_out);
  }

  // Adds what each four of n_groups inputs, and some that are not there, give to 64 neurons.
  static void add_entries(Word x, Index n_groups, const detail::Bytes* table, detail::Bytes* sum) {
    detail::Bytes first = sum[0], second = sum[1];
    for (Index group = 0; group < n_groups; group += 4, x >>= 16, table += 4 * 32) {
#pragma GCC unroll 4
      for (int g = 0; g < 4; ++g) {
        const detail::Bytes* const entry = table + 32 * g + 2 * (x >> (4 * g) & 15);
        first += entry[0];
        second += entry[1];
      }
    }
    sum[0] = first;
    sum[1] = second;
  }
  static void add_entries(const Word* x, Index words, const detail::Bytes* table, detail::Bytes* sum) {
    for (Index v = 0; v < words; ++v) add_entries(x[v], 16, table + v * kWordEntries, sum);
  }

  // For so many inputs that a byte does not hold the sum: it is wanted next to n/2 only.
  static void add_many_entries(const Word* x, Index words, const detail::Bytes* table, Index shift,
                               detail::Bytes* sum) {
    constexpr Index kAtOnce = 3;  // words whose sum a byte holds
    std::uint8_t part[64];
    std::int32_t total[64];
    std::fill_n(total, 64, static_cast<std::int32_t>(shift));
    for (Index v = 0; v < words; v += kAtOnce, table += kAtOnce * kWordEntries) {
      sum[0] = sum[1] = detail::Bytes{};
      add_entries(x + v, std::min(kAtOnce, words - v), table, sum);
      std::memcpy(part, sum, sizeof part);
      for (int i = 0; i < 64; ++i) total[i] += part[i];
    }
    for (int i = 0; i < 64; ++i) part[i] = static_cast<std::uint8_t>(std::clamp(total[i], 0, 255));
    std::memcpy(sum, part, sizeof part);
  }

  void attempt(const detail::Move& move, bool early_stop) {
    const Problem& p = *problem_;
    Layer& layer = layers_[size(move.layer)];
    const Neurons& own = neurons_[size(move.layer) + 1];
    const Word* const x = neurons_[size(move.layer)].spin.of_neuron(move.a, pattern_words_);
    const Word* const spin = own.spin.of_neuron(move.neuron, pattern_words_);
    const Word* const edge = own.edge.of_neuron(move.neuron, pattern_words_);
    const Word negative = detail::every_bit(layer.bonds[size(move.neuron * layer.n_in + move.a)] < 0);
    for (Index w = 0; w < pattern_words_; ++w) turned_[size(w)] = edge[w] & (spin[w] ^ ~(negative ^ x[w]));
    ++layer.attempts;

    const std::int64_t limit = energy_ + move.allowance;
    std::int64_t energy = energy_;
    if (move.layer + 1 == p.depth()) {
      const Word* const want = wanted_.spin.of_neuron(move.neuron, pattern_words_);
      for (Index w = 0; w < pattern_words_; ++w) {
        energy += detail::count_bits(turned_[size(w)]) -
                  2 * detail::count_bits(turned_[size(w)] & (spin[w] ^ want[w]));
      }
    } else {
      const int n_touched = list_touched();
      for (int t = 0; t < n_touched; ++t) energy -= n_wrong_[size(touched_[size(t)])];
      constexpr auto kNoLimit = std::numeric_limits<std::int64_t>::max();
      energy = (this->*energy_behind_)(move, n_touched, energy, early_stop ? limit : kNoLimit);
    }
    if (energy <= limit) accept(move, energy);
  }

  // The patterns in which the perceptron turns, to touched_.  Eight at once, and rubbish behind the last: a
  // branch for each would often be predicted wrongly, which costs as much as all else.
  int list_touched() {
    int n = 0;
    for (Index w = 0; w < pattern_words_; ++w) {
      Word turned = turned_[size(w)];
      const int count = detail::count_bits(turned);
      for (int k = 0; k < count; k += 8) {
        for (int e = 0; e < 8; ++e, turned &= turned - 1)
          touched_[size(n + k + e)] = static_cast<int>(64 * w) + detail::lowest_bit(turned | Word{1} << 63);
      }
      n += count;
    }
    return n;
  }

  // The energy after a move, from that of the patterns that it does not touch.  It may be left as soon as it
  // is above `limit`.  kNarrow: no more than 64 neurons in any layer.
  template <bool kNarrow>
  std::int64_t energy_behind(const detail::Move& move, int n_touched, std::int64_t energy,
                             std::int64_t limit) {
    const int depth = problem_->depth(), next = move.layer + 1;
    const Neurons &own = neurons_[size(next)], &behind = neurons_[size(next) + 1];
    const Index words = kNarrow ? 1 : behind.words, wanted_words = kNarrow ? 1 : wanted_.words;
    const Word* const own_spin = own.spin.of_neuron(move.neuron, pattern_words_);
    const Word* const column = layers_[size(next)].columns.data() + move.neuron * words;
    const Word *const spin = behind.spin.by_pattern.data(), *const edge = behind.edge.by_pattern.data();
    const Word* const wanted = wanted_.spin.by_pattern.data();
    for (int t = 0; t < n_touched; ++t) {
      const Index mu = touched_[size(t)];
      const Word negative = detail::every_bit(detail::bit_of(own_spin, mu));
      Word *out = spin_.data(), *in = inputs_.data();
      Word different = 0;
      for (Index v = 0; v < words; ++v) {
        const Word before = spin[mu * words + v];
        const Word change = edge[mu * words + v] & (before ^ ~(column[v] ^ negative));
        out[v] = before ^ change;
        different |= change;
      }
      int l = next + 1;  // layers up to this one are known
      for (; l < depth && different != 0; ++l) {
        const Neurons& layer = neurons_[size(l) + 1];
        if constexpr (kNarrow) {
          out[0] = forward_one(layers_[size(l)], out[0]);
          different = out[0] ^ layer.spin.by_pattern[size(mu)];
        } else {
          std::swap(in, out);
          forward(l, in, out, nullptr);
          different =
              static_cast<Word>(count_different(out, layer.spin.of_pattern(mu, layer.words), layer.words));
        }
      }
      // Where nothing is different in the end, the outputs are what they were.
      const int n_wrong = different == 0 ? n_wrong_[size(mu)]
                                         : count_different(out, wanted + mu * wanted_words, wanted_words);
      reached_[size(t)] = l;
      trial_n_wrong_[size(t)] = n_wrong;
      energy += n_wrong;
      if (energy > limit) return energy;
    }
    return energy;
  }

  void accept(const detail::Move& move, std::int64_t energy) {
    const int depth = problem_->depth(), next = move.layer + 1;
    Layer& layer = layers_[size(move.layer)];
    ++layer.acceptances;
    energy_ = energy;
    Bond& bond = layer.bonds[size(move.neuron * layer.n_in + move.a)];
    for (Index four = 0; four < 16; ++four) {
      const bool was_negative = (four >> (move.a % 4) & 1) != Index{bond < 0};
      layer.entry(move.neuron, move.a / 4, four) += was_negative ? -1 : 1;
    }
    bond = static_cast<Bond>(-bond);
    detail::flip_bit(layer.rows.data() + move.neuron * neurons_[size(move.layer)].words, move.a);
    detail::flip_bit(layer.columns.data() + move.a * neurons_[size(next)].words, move.neuron);
    update_neuron(move.layer, move.neuron);
    const int n_touched = list_touched();
    for (int t = 0; t < n_touched; ++t) {
      const Index mu = touched_[size(t)];
      if (next == depth) {
        const Word* const out = neurons_.back().spin.of_pattern(mu, wanted_.words);
        n_wrong_[size(mu)] = count_different(out, wanted_.spin.of_pattern(mu, wanted_.words), wanted_.words);
        continue;
      }
      for (int l = next; l < reached_[size(t)]; ++l) update_pattern(l, mu);
      n_wrong_[size(mu)] = trial_n_wrong_[size(t)];
    }
  }

  // Spins and edges of all neurons of layer l + 1 in one pattern.
  void update_pattern(int l, Index mu) {
    const Neurons& below = neurons_[size(l)];
    Neurons& own = neurons_[size(l) + 1];
    forward(l, below.spin.of_pattern(mu, below.words), spin_.data(), edge_.data());
    const auto set = [&](BothWays& bits, const std::vector<Word>& now) {
      Word* const before = bits.of_pattern(mu, own.words);
      for (Index w = 0; w < own.words; ++w) {
        detail::for_ones(before[w] ^ now[size(w)], 64 * w,
                         [&](Index i) { detail::flip_bit(bits.of_neuron(i, pattern_words_), mu); });
        before[w] = now[size(w)];
      }
    };
    set(own.spin, spin_);
    set(own.edge, edge_);
  }

  const Problem* problem_;
  std::uint64_t seed_, stream_;
  Index pattern_words_;
  std::int64_t (BinarySlavedChain::*energy_behind_)(const detail::Move&, int, std::int64_t, std::int64_t);
  std::vector<Neurons> neurons_;  // (L + 1,)
  Neurons wanted_;                // the outputs of the data
  std::vector<Layer> layers_;     // (L,)
  std::vector<int> n_wrong_;      // (M,)
  std::int64_t energy_ = 0;

  // A move being tried: patterns in which its perceptron turns, and what happens behind it in these.
  std::vector<Word> turned_;  // (words of patterns,)
  std::vector<int> touched_;  // these patterns: (n_touched,), as are the next two
  std::vector<int> trial_n_wrong_;
  std::vector<int> reached_;                // layers below this changed
  std::vector<Word> inputs_, spin_, edge_;  // of one layer and pattern
};

}  // namespace deepglass::mc
