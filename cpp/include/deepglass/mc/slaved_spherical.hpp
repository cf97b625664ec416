// One chain of the slaved network with bonds on spheres.
//
// Fields sum_k J_k S_k (no 1/sqrt(N): signs alone matter) of all neurons and patterns are kept.  A move
// changes the M fields of one perceptron, by two additions each; where a sign turns the pattern is
// "touched".  For a touched pattern each turned spin adds a column of 2 J to the fields of the next layer,
// and so on.  The sum over touched patterns of their wrong bits, with what they had taken off, only grows: it
// is left as soon as it passes the largest energy allowed.
//
// Cost of an attempt: M (2 additions, 16 bytes) for the perceptron; for each touched pattern N_l additions in
// the next layer and about (2/pi) sqrt(N) N in the one after it.  About M / (11 sqrt(N)) patterns are touched
// at step 0.5.
#pragma once

#include <limits>

#include "deepglass/mc/signed_lanes.hpp"
#include "deepglass/mc/slaved_moves.hpp"
#include "deepglass/parallel.hpp"

namespace deepglass::mc {

// Rounding in the fields and norms of real bonds is taken away after sweeps of these numbers, whoever calls
// for how many of them, so runs may be split at will.  A field next to zero may then change sign, and the
// energy by some bits.
constexpr std::uint64_t kRebuildEvery = 20;

// What chains on the same data share.
struct SphericalSlavedProblem : SlavedProblem {
  explicit SphericalSlavedProblem(SlavedProblem problem) : SlavedProblem(std::move(problem)) {
    constexpr Index kCount = detail::kVectorLanes;
    const auto padded = [](Index n) { return (n + kCount - 1) / kCount * kCount; };
    pattern_stride = padded(n_patterns);
    // Neurons of one pattern must not all fall into the same set of the cache.
    if (pattern_stride * static_cast<Index>(sizeof(float)) % 1024 == 0) pattern_stride += 64;
    for (const Index n : widths) row_stride.push_back(padded(n));
    input_fields.assign(static_cast<std::size_t>(widths[0] * pattern_stride), 1.0F);
    output_words = (widths.back() + 63) / 64;
    wanted.assign(static_cast<std::size_t>(n_patterns * output_words), 0);
    for (Index mu = 0; mu < n_patterns; ++mu) {
      for (Index k = 0; k < widths[0]; ++k)
        input_fields[at(k, pattern_stride, mu)] = inputs[at(mu, widths[0], k)];
      for (Index j = 0; j < widths.back(); ++j) {
        const bool negative = outputs[at(mu, widths.back(), j)] < 0;
        wanted[at(mu, output_words, j / 64)] |= std::uint64_t{negative} << (j % 64);
      }
    }
  }

  static std::size_t at(Index row, Index stride, Index column) {
    return static_cast<std::size_t>(row * stride + column);
  }

  Index output_words = 0;                     // words of 64 output bits
  Index pattern_stride = 0;                   // M and some rubbish
  std::vector<Index> row_stride;              // (L + 1,) N_l and some rubbish
  detail::AlignedVector<float> input_fields;  // (N_0, pattern_stride)
  std::vector<std::uint64_t> wanted;          // (M, output_words), bit j set where output j is -1
};

namespace detail {

// out[i] = sum_k bonds[i][k] sgn(x[k]) for all patterns; rows of `stride` patterns each.  The order of the
// sum is that of k, in double; x and out do not overlap.
inline void forward_layer(const float* bonds, Index n_out, Index n_in, const float* x, Index stride,
                          float* out) {
  constexpr Index kBlock = 256;
  double sum[kBlock];
  for (Index first = 0; first < stride; first += kBlock) {
    const Index count = std::min(kBlock, stride - first);
    for (Index i = 0; i < n_out; ++i) {
      std::fill_n(sum, count, 0.0);
      for (Index k = 0; k < n_in; ++k) {
        const double bond = bonds[i * n_in + k];
        const float* spin = x + k * stride + first;
        for (Index mu = 0; mu < count; ++mu) sum[mu] += spin[mu] < 0 ? -bond : bond;
      }
      // + 0: a tiny negative sum may round to -0, whose sign bit is not that of sgn(0).
      for (Index mu = 0; mu < count; ++mu) out[i * stride + first + mu] = static_cast<float>(sum[mu]) + 0.0F;
    }
  }
}

}  // namespace detail

// ---- One chain

class SphericalSlavedChain {
 public:
  using Bond = float;
  using Problem = SphericalSlavedProblem;

  SphericalSlavedChain(const Problem& problem, std::uint64_t seed, std::uint64_t chain)
      : problem_(&problem), seed_(seed), stream_(kSlavedStream + chain) {
    const Problem& p = problem;
    std::size_t row = 0;
    for (int l = 0; l < p.depth(); ++l) {
      Layer layer;
      layer.n_in = p.widths[l];
      layer.n_out = p.widths[l + 1];
      layer.row_stride = p.row_stride[l + 1];
      layer.bonds.assign(size(layer.n_out * layer.n_in), Bond{1});
      layer.fields.assign(size(layer.n_out * p.pattern_stride), 0.0F);
      if (l > 0) {  // the first layer is behind no other
        layer.columns.assign(size((std::max<Index>(layer.n_in, 64) + 1) * layer.row_stride), 0.0F);
        const bool narrow = layer.n_in <= 64 && layer.n_out <= 64;
        const Index n_vectors = narrow ? layer.row_stride / detail::kVectorLanes : 0;
        n_vectors_ = l == 1 || n_vectors == n_vectors_ ? n_vectors : 0;
        layer.rows.assign(size(p.n_patterns * layer.row_stride), 0.0F);
        layer.trial_offset = row;
        row += size(layer.row_stride);
      }
      layers_.push_back(std::move(layer));
    }
    trial_stride_ = row;
    const Index widest = *std::max_element(p.widths.begin(), p.widths.end());
    trial_fields_.assign(size(p.pattern_stride), 0.0F);
    trial_rows_.assign(row * size(p.n_patterns), 0.0F);
    trial_wrong_.assign(size(p.n_patterns * p.output_words), 0);
    trial_n_wrong_.assign(size(p.n_patterns), 0);
    reached_.assign(size(p.n_patterns), 0);
    touched_.assign(size(p.pattern_stride), 0);
    changed_.assign(size(widest) + 1, Change{});
    flips_.assign(size(widest / 64 + 2), 0);
    wrong_.assign(size(p.n_patterns * p.output_words), 0);
    n_wrong_.assign(size(p.n_patterns), 0);
    rebuild();
  }

  // bonds (N_l, N_{l-1}) of layer l = 1..L; rows of real bonds get their norm.  rebuild() when all are set.
  void set_bonds(int l, Span<const Bond> bonds) {
    std::copy(bonds.begin(), bonds.end(), layers_[size(l - 1)].bonds.begin());
  }
  Span<const Bond> bonds(int l) const { return layers_[size(l - 1)].bonds; }

  // floats of (l, i), l = 1..L: M numbers.
  Span<const float> fields(int l, Index i) const {
    return {layers_[size(l - 1)].fields.data() + i * problem_->pattern_stride, problem_->n_patterns};
  }
  Span<float> fields(int l, Index i) {
    return {layers_[size(l - 1)].fields.data() + i * problem_->pattern_stride, problem_->n_patterns};
  }
  // The inputs of layer l + 1 whatever they are: signs of these are spins.
  Span<const float> signs(int l, Index i) const {
    return {spins_of(l) + i * problem_->pattern_stride, problem_->n_patterns};
  }

  std::int64_t energy() const { return energy_; }

  // By a forward pass.
  std::int64_t fresh_energy() const {
    const Problem& p = *problem_;
    detail::AlignedVector<float> x = p.input_fields, y;
    for (const Layer& layer : layers_) {
      y.assign(layer.fields.size(), 0.0F);
      detail::forward_layer(layer.bonds.data(), layer.n_out, layer.n_in, x.data(), p.pattern_stride,
                            y.data());
      std::swap(x, y);
    }
    std::int64_t wrong = 0;
    for (Index mu = 0; mu < p.n_patterns; ++mu) {
      for (Index j = 0; j < p.widths.back(); ++j) {
        wrong += (x[size(j * p.pattern_stride + mu)] < 0) != wants_negative(mu, j);
      }
    }
    return wrong;
  }

  // Largest rounding error of the fields of layer l = 1..L, over sqrt(N_{l-1}); its inputs are taken as kept.
  double drift(int l) const {
    const Layer& layer = layers_[size(l - 1)];
    detail::AlignedVector<float> fresh(layer.fields.size());
    detail::forward_layer(layer.bonds.data(), layer.n_out, layer.n_in, spins_of(l - 1),
                          problem_->pattern_stride, fresh.data());
    double largest = 0;
    for (Index i = 0; i < layer.n_out; ++i) {
      const Index from = i * problem_->pattern_stride;
      for (Index at = from; at < from + problem_->n_patterns; ++at) {
        const double kept = static_cast<double>(layer.fields[size(at)]);
        largest = std::max(largest, std::abs(kept - static_cast<double>(fresh[size(at)])));
      }
    }
    return largest / std::sqrt(static_cast<double>(layer.n_in));
  }

  // Norms, fields, energy from the bonds.
  void rebuild() {
    const Problem& p = *problem_;
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      Layer& layer = layers_[l];
      normalise(layer);
      detail::forward_layer(layer.bonds.data(), layer.n_out, layer.n_in, spins_of(static_cast<int>(l)),
                            p.pattern_stride, layer.fields.data());
    }
    derive();
  }

  // All that follows from bonds and fields.
  void derive() {
    const Problem& p = *problem_;
    for (std::size_t l = 1; l < layers_.size(); ++l) {
      Layer& layer = layers_[l];
      for (Index i = 0; i < layer.n_out; ++i) {
        for (Index k = 0; k < layer.n_in; ++k) {
          layer.columns[size(k * layer.row_stride + i)] = 2 * layer.bonds[size(i * layer.n_in + k)];
        }
        for (Index mu = 0; mu < p.n_patterns; ++mu) {
          layer.rows[size(mu * layer.row_stride + i)] = layer.fields[size(i * p.pattern_stride + mu)];
        }
      }
    }
    std::fill(wrong_.begin(), wrong_.end(), 0);
    energy_ = 0;
    for (Index mu = 0; mu < p.n_patterns; ++mu) {
      n_wrong_[size(mu)] = 0;
      for (Index j = 0; j < p.widths.back(); ++j) {
        const bool wrong =
            (layers_.back().fields[size(j * p.pattern_stride + mu)] < 0) != wants_negative(mu, j);
        wrong_[size(mu * p.output_words + j / 64)] |= std::uint64_t{wrong} << (j % 64);
        n_wrong_[size(mu)] += wrong;
      }
      energy_ += n_wrong_[size(mu)];
    }
  }

  // Sweeps first, first + 1, ...; with a stop token it may throw Stopped in the middle of one.
  void run(std::uint64_t first, std::uint64_t n_sweeps, double beta, Span<const double> step, bool early_stop,
           TimedStop* stop) {
    detail::Moves moves(*problem_, seed_, stream_, beta, step);
    const std::uint64_t per_sweep = problem_->attempts_per_sweep();
    for (std::uint64_t sweep = first; sweep < first + n_sweeps; ++sweep) {
      for (std::uint64_t n = 0; n < per_sweep; ++n) {
        if (stop != nullptr && n % detail::Moves::kBatch == 0) stop->check();
        attempt(moves(sweep * per_sweep + n), early_stop);
      }
      if ((sweep + 1) % kRebuildEvery == 0) rebuild();
    }
  }

  std::vector<std::int64_t> attempts() const { return counter(&Layer::attempts); }
  std::vector<std::int64_t> acceptances() const { return counter(&Layer::acceptances); }
  void set_counters(int l, std::int64_t attempts, std::int64_t acceptances) {
    layers_[size(l - 1)].attempts = attempts;
    layers_[size(l - 1)].acceptances = acceptances;
  }

 private:
  struct Layer {
    Index n_in = 0, n_out = 0, row_stride = 0;
    std::vector<Bond> bonds;               // (n_out, n_in)
    detail::AlignedVector<float> columns;  // (65 or more, row_stride): 2 J transposed, then zeros
    detail::AlignedVector<float> fields;   // (n_out, pattern_stride)
    detail::AlignedVector<float> rows;     // (M, row_stride): the fields once more, transposed
    std::size_t trial_offset = 0;
    std::int64_t attempts = 0, acceptances = 0;
  };
  struct Change {  // of a spin: this column is added to the fields of the next layer, or taken off
    const float* column;
    bool down;
  };

  static std::size_t size(Index n) { return static_cast<std::size_t>(n); }

  const float* spins_of(int l) const {  // fields of layer l, whose signs are its spins
    return l == 0 ? problem_->input_fields.data() : layers_[size(l - 1)].fields.data();
  }
  const float* fields_of(const detail::Move& move) const {
    return layers_[size(move.layer)].fields.data() + move.neuron * problem_->pattern_stride;
  }
  float* fields_of(const detail::Move& move) {
    return layers_[size(move.layer)].fields.data() + move.neuron * problem_->pattern_stride;
  }
  bool wants_negative(Index mu, Index j) const {
    return problem_->wanted[size(mu * problem_->output_words + j / 64)] >> (j % 64) & 1;
  }
  std::vector<std::int64_t> counter(std::int64_t Layer::* member) const {
    std::vector<std::int64_t> all;
    for (const Layer& layer : layers_) all.push_back(layer.*member);
    return all;
  }

  static void normalise(Layer& layer) {
    for (Index i = 0; i < layer.n_out; ++i) {
      Bond* row = layer.bonds.data() + i * layer.n_in;
      double norm = 0;
      for (Index k = 0; k < layer.n_in; ++k)
        norm += static_cast<double>(row[k]) * static_cast<double>(row[k]);
      const double scale = std::sqrt(static_cast<double>(layer.n_in) / norm);
      for (Index k = 0; k < layer.n_in; ++k) row[k] = static_cast<Bond>(static_cast<double>(row[k]) * scale);
    }
  }

  // trial_fields_ = fields of a perceptron after its bonds to x (and y) have grown by dx (and dy); gives the
  // number of patterns whose sign turns, and the patterns themselves in touched_.
  int propose(const float* old, const float* x, float dx, const float* y, float dy) {
    using detail::Values;
    constexpr Index kCount = detail::kVectorLanes;
    const Index n_patterns = problem_->n_patterns;
    const Values add_x = Values{} + dx;
    const Values add_y = Values{} + dy;
    float* trial = trial_fields_.data();
    int* touched = touched_.data();
    int n_touched = 0;
    for (Index first = 0; first < n_patterns; first += 64) {
      const Index end = std::min<Index>(64, n_patterns - first);
      std::uint64_t flips = 0;
      for (Index k = 0; k < end; k += kCount) {
        const Values h = detail::load(old + first + k);
        Values h_new =
            detail::add_signed(h, add_x, detail::sign_of(detail::bits_of(detail::load(x + first + k))));
        h_new =
            detail::add_signed(h_new, add_y, detail::sign_of(detail::bits_of(detail::load(y + first + k))));
        detail::store(trial + first + k, h_new);
        flips |= detail::top_bits(detail::bits_of(h) ^ detail::bits_of(h_new)) << k;
      }
      if (end < 64) flips &= (std::uint64_t{1} << end) - 1;
      for (; flips != 0; flips &= flips - 1) {
        touched[n_touched++] = static_cast<int>(first) + detail::lowest_bit(flips);
      }
    }
    return n_touched;
  }

  // The energy after a move, from that of the untouched patterns and the rows behind the perceptron.  It may
  // be left as soon as it is above `limit`.
  std::int64_t energy_behind(const detail::Move& move, int n_touched, std::int64_t energy,
                             std::int64_t limit) {
    switch (n_vectors_) {
      case 1:
        return narrow<1>(move, n_touched, energy, limit);
      case 2:
        return narrow<2>(move, n_touched, energy, limit);
      case 3:
        return narrow<3>(move, n_touched, energy, limit);
      case 4:
        return narrow<4>(move, n_touched, energy, limit);
      case 5:
        return narrow<5>(move, n_touched, energy, limit);
      case 6:
        return narrow<6>(move, n_touched, energy, limit);
      case 7:
        return narrow<7>(move, n_touched, energy, limit);
      case 8:
        return narrow<8>(move, n_touched, energy, limit);
      default:
        return wide(move, n_touched, energy, limit);
    }
  }

  // For layers of up to 64 neurons in kVectors vectors.  What turned is kept in words of bits: spins turned
  // up and down.  Columns are added four at a time, of which the last may be column 64, zero: few branches,
  // whose wrong prediction costs as much as all the rest.
  template <int kVectors>
  std::int64_t narrow(const detail::Move& move, int n_touched, std::int64_t energy, std::int64_t limit) {
    using detail::Values;
    constexpr int kCount = detail::kVectorLanes;
    constexpr Index kStride = kVectors * kCount;
    constexpr int kAtOnce = 4;
    const int depth = problem_->depth();
    const Layer* const first = layers_.data() + move.layer + 1;
    const float* const fields = fields_of(move);
    for (int t = 0; t < n_touched; ++t) {
      const Index mu = touched_[size(t)];
      float* to = trial_rows_.data() + size(t) * trial_stride_ + first->trial_offset;
      std::uint64_t up = 0, down = 0;
      int l = move.layer + 1, n_wrong = n_wrong_[size(mu)];
      for (const Layer* layer = first;; ++layer, to += kStride) {
        const float* const row = layer->rows.data() + mu * kStride;
        const float* const columns = layer->columns.data();
        Values h[kVectors];
        for (int v = 0; v < kVectors; ++v) h[v] = detail::load(row + v * kCount);
        if (layer == first) {
          const auto sign = detail::same_sign(!(fields[mu] < 0));
          const float* const c = columns + move.neuron * kStride;
          for (int v = 0; v < kVectors; ++v) {
            h[v] = detail::add_signed(h[v], detail::load(c + v * kCount), sign);
          }
        } else {
          const auto column = [&](std::uint64_t& bits) {
            const int j = bits != 0 ? detail::lowest_bit(bits) : 64;
            bits &= bits - 1;
            return columns + j * kStride;
          };
          do {
            for (int u = 0; u < kAtOnce; ++u) {
              const float* const c = column(up);
              for (int v = 0; v < kVectors; ++v) h[v] = h[v] + detail::load(c + v * kCount);
            }
          } while (up != 0);
          do {
            for (int u = 0; u < kAtOnce; ++u) {
              const float* const c = column(down);
              for (int v = 0; v < kVectors; ++v) h[v] = h[v] - detail::load(c + v * kCount);
            }
          } while (down != 0);
        }
        for (int v = 0; v < kVectors; ++v) {
          detail::store(to + v * kCount, h[v]);
          const auto before = detail::bits_of(detail::load(row + v * kCount));
          const auto after = detail::bits_of(h[v]);
          up |= detail::top_bits(before & ~after) << (v * kCount);
          down |= detail::top_bits(after & ~before) << (v * kCount);
        }
        ++l;
        if (l == depth) {
          trial_wrong_[size(t)] = wrong_[size(mu)] ^ (up | down);
          trial_n_wrong_[size(t)] = n_wrong = detail::count_bits(trial_wrong_[size(t)]);
          break;
        }
        if ((up | down) == 0) break;
      }
      reached_[size(t)] = l;
      energy += n_wrong;
      if (energy > limit) return energy;
    }
    return energy;
  }

  // to = from + all changes, for kVectors vectors of neurons, 64 neurons at most; gives which signs turn.
  template <int kVectors>
  static std::uint64_t add_columns(const float* from, float* to, const Change* changed, int n_changed,
                                   Index first) {
    using detail::Values;
    constexpr int kCount = detail::kVectorLanes;
    Values h[kVectors];
    for (int v = 0; v < kVectors; ++v) h[v] = detail::load(from + first + v * kCount);
    for (const Change* c = changed; c != changed + n_changed; ++c) {
      const float* column = c->column + first;
      const auto sign = detail::same_sign(c->down);
      for (int v = 0; v < kVectors; ++v) {
        h[v] = detail::add_signed(h[v], detail::load(column + v * kCount), sign);
      }
    }
    std::uint64_t turned = 0;
    for (int v = 0; v < kVectors; ++v) {
      const Index at = first + v * kCount;
      detail::store(to + at, h[v]);
      const auto changed_bits = detail::bits_of(h[v]) ^ detail::bits_of(detail::load(from + at));
      turned |= detail::top_bits(changed_bits) << (v * kCount);
    }
    return turned;
  }

  // The same for a whole row; flips (ceil(row_stride / 64),).
  static void add_changes(const float* from, float* to, Index row_stride, const Change* changed,
                          int n_changed, std::uint64_t* flips) {
    constexpr Index kCount = detail::kVectorLanes;
    constexpr int kGroup = static_cast<int>(std::min<Index>(4, 64 / kCount));
    for (Index start = 0; start < row_stride; start += 64) {
      const Index end = std::min(start + 64, row_stride);
      std::uint64_t turned = 0;
      Index first = start;
      for (; first + kGroup * kCount <= end; first += kGroup * kCount) {
        turned |= add_columns<kGroup>(from, to, changed, n_changed, first) << (first - start);
      }
      for (; first < end; first += kCount) {
        turned |= add_columns<1>(from, to, changed, n_changed, first) << (first - start);
      }
      flips[start / 64] = turned;
    }
  }

  // For layers of any width: a list of turned spins, in the order of narrow().
  std::int64_t wide(const detail::Move& move, int n_touched, std::int64_t energy, std::int64_t limit) {
    const int depth = problem_->depth();
    const float* const fields = fields_of(move);
    Change* const changed = changed_.data();
    std::uint64_t* const flips = flips_.data();
    for (int t = 0; t < n_touched; ++t) {
      const Index mu = touched_[size(t)];
      int l = move.layer + 1, n_wrong = n_wrong_[size(mu)], n_changed = 1;
      const Layer* layer = layers_.data() + l;
      changed[0] = {layer->columns.data() + move.neuron * layer->row_stride, !(fields[mu] < 0)};
      for (;; ++layer) {
        const float* row = layer->rows.data() + mu * layer->row_stride;
        float* to = trial_rows_.data() + size(t) * trial_stride_ + layer->trial_offset;
        const Index n_words = (layer->n_out + 63) / 64;
        add_changes(row, to, layer->row_stride, changed, n_changed, flips);
        ++l;
        if (l == depth) {
          n_wrong = 0;
          for (Index w = 0; w < n_words; ++w) {
            const std::uint64_t wrong = wrong_[size(mu * n_words + w)] ^ flips[w];
            trial_wrong_[size(t * n_words + w)] = wrong;
            n_wrong += detail::count_bits(wrong);
          }
          trial_n_wrong_[size(t)] = n_wrong;
          break;
        }
        const Layer& next = layer[1];
        n_changed = 0;
        for (const bool down : {false, true}) {
          for (Index w = 0; w < n_words; ++w) {
            for (std::uint64_t bits = flips[w]; bits != 0; bits &= bits - 1) {
              const Index j = 64 * w + detail::lowest_bit(bits);
              changed[n_changed] = {next.columns.data() + j * next.row_stride, down};
              n_changed += (row[j] < 0) != down;
            }
          }
        }
        if (n_changed == 0) break;
      }
      reached_[size(t)] = l;
      energy += n_wrong;
      if (energy > limit) return energy;
    }
    return energy;
  }

  void attempt(const detail::Move& move, bool early_stop) {
    const Problem& p = *problem_;
    Layer& own = layers_[size(move.layer)];
    Bond* bonds = own.bonds.data() + move.neuron * own.n_in;
    const float* inputs = spins_of(move.layer);
    float* fields = fields_of(move);
    const float *x = inputs + move.a * p.pattern_stride, *y = inputs + move.b * p.pattern_stride;
    const float new_a = bonds[move.a] * move.cosine - bonds[move.b] * move.sine;
    const float new_b = bonds[move.a] * move.sine + bonds[move.b] * move.cosine;
    const int n_touched = propose(fields, x, new_a - bonds[move.a], y, new_b - bonds[move.b]);
    ++own.attempts;

    const std::int64_t limit = energy_ + move.allowance;
    const bool last = move.layer + 1 == p.depth();
    std::int64_t energy = energy_;
    if (last) {
      for (int t = 0; t < n_touched; ++t) {
        const auto word = wrong_[size(touched_[size(t)] * p.output_words + move.neuron / 64)];
        energy += 1 - 2 * static_cast<std::int64_t>(word >> (move.neuron % 64) & 1);
      }
    } else {
      for (int t = 0; t < n_touched; ++t) energy -= n_wrong_[size(touched_[size(t)])];
      constexpr auto kNoLimit = std::numeric_limits<std::int64_t>::max();
      energy = energy_behind(move, n_touched, energy, early_stop ? limit : kNoLimit);
    }
    if (energy > limit) return;

    ++own.acceptances;
    energy_ = energy;
    bonds[move.a] = new_a;
    bonds[move.b] = new_b;
    std::copy_n(trial_fields_.data(), p.pattern_stride, fields);
    if (move.layer > 0) {
      own.columns[size(move.a * own.row_stride + move.neuron)] = 2 * new_a;
      own.columns[size(move.b * own.row_stride + move.neuron)] = 2 * new_b;
      float* to = own.rows.data() + move.neuron;
      for (Index mu = 0; mu < p.n_patterns; ++mu) to[mu * own.row_stride] = fields[mu];
    }
    for (int t = 0; t < n_touched; ++t) accept(t, touched_[size(t)], move.layer, move.neuron, last);
  }

  // Takes over what was found behind the perceptron.
  void accept(int t, Index mu, int own, Index neuron, bool last) {
    const Problem& p = *problem_;
    if (last) {
      std::uint64_t& word = wrong_[size(mu * p.output_words + neuron / 64)];
      word ^= std::uint64_t{1} << (neuron % 64);
      n_wrong_[size(mu)] += (word >> (neuron % 64) & 1) ? 1 : -1;
      return;
    }
    for (int l = own + 1; l < reached_[size(t)]; ++l) {
      Layer& layer = layers_[size(l)];
      const float* row = trial_rows_.data() + size(t) * trial_stride_ + layer.trial_offset;
      std::copy_n(row, layer.row_stride, layer.rows.data() + mu * layer.row_stride);
      float* to = layer.fields.data() + mu;
      for (Index j = 0; j < layer.n_out; ++j) to[j * p.pattern_stride] = row[j];
    }
    if (reached_[size(t)] == p.depth()) {
      std::copy_n(trial_wrong_.data() + t * p.output_words, p.output_words,
                  wrong_.data() + mu * p.output_words);
      n_wrong_[size(mu)] = trial_n_wrong_[size(t)];
    }
  }

  const Problem* problem_;
  std::uint64_t seed_, stream_;
  std::vector<Layer> layers_;         // (L,)
  std::vector<std::uint64_t> wrong_;  // (M, output_words), bit j set where output j is wrong
  std::vector<int> n_wrong_;          // (M,)
  std::int64_t energy_ = 0;

  // A move being tried: fields of its perceptron, patterns touched, and for these the rows of the layers
  // behind.
  detail::AlignedVector<float> trial_fields_;  // (pattern_stride,)
  std::vector<int> touched_;
  detail::AlignedVector<float> trial_rows_;  // (n_touched, trial_stride_)
  std::size_t trial_stride_ = 0;
  Index n_vectors_ = 0;  // of a row, where all layers behind the first are narrow and alike
  std::vector<std::uint64_t> trial_wrong_;
  std::vector<int> trial_n_wrong_;
  std::vector<int> reached_;  // layers below this changed; for a pattern that healed, not all
  std::vector<Change> changed_;
  std::vector<std::uint64_t> flips_;
};

}  // namespace deepglass::mc
