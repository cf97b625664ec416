// Ising and Potts models on periodic hypercubic lattices: many independent chains.
//
//   P(s) = exp(-beta E) / Z,    E = -sum_bonds s_i s_j  (Ising)  or  -sum_bonds delta(s_i, s_j)  (Potts),
//
// with one bond forward from each site in each direction, so that an extent of 2 has two bonds between the
// same pair. Every chain has a temperature of its own, and is a function of the seed and its number: not of
// the number of chains, nor of threads, nor of the CPU level.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "deepglass/parallel.hpp"
#include "deepglass/rng.hpp"

namespace deepglass::lattice {

constexpr int kMostDims = 3;

class Lattice {
 public:
  explicit Lattice(const std::vector<Index>& shape) : dims_(static_cast<int>(shape.size())) {
    for (const Index extent : shape) n_sites_ *= extent;
    neighbours_.resize(static_cast<std::size_t>(2 * dims_ * n_sites_));
    Index stride = n_sites_;
    for (int a = 0; a < dims_; ++a) {
      const Index extent = shape[static_cast<std::size_t>(a)];
      stride /= extent;
      for (Index i = 0; i < n_sites_; ++i) {
        const Index x = i / stride % extent, row = i - x * stride;
        of(i)[a] = static_cast<std::int32_t>(row + (x + 1) % extent * stride);
        of(i)[dims_ + a] = static_cast<std::int32_t>(row + (x + extent - 1) % extent * stride);
      }
    }
  }

  int dims() const { return dims_; }
  Index n_sites() const { return n_sites_; }
  // The neighbours of a site: forward in each direction, then backward.
  const std::int32_t* neighbours(Index site) const { return neighbours_.data() + 2 * dims_ * site; }

 private:
  std::int32_t* of(Index site) { return neighbours_.data() + 2 * dims_ * site; }

  int dims_;
  Index n_sites_ = 1;
  std::vector<std::int32_t> neighbours_;
};

// What a draw of a chain tells.
struct Measured {
  std::int32_t* satisfied;  // number of bonds between equal spins
  std::int32_t* counts;     // (n_states), number of sites in each state
};

// Chains 0 .. n_chains-1, in groups that are advanced together.
class Chains {
 public:
  Chains(const Lattice& lattice, int n_states, Span<const double> beta, std::uint64_t seed, Index group_size)
      : lattice_(lattice),
        n_states_(n_states),
        n_chains_(beta.size()),
        seed_(seed),
        group_size_(group_size) {}
  virtual ~Chains() = default;
  Chains(const Chains&) = delete;
  Chains& operator=(const Chains&) = delete;

  const Lattice& lattice() const { return lattice_; }
  int n_states() const { return n_states_; }
  Index n_chains() const { return n_chains_; }
  std::uint64_t sweep() const { return sweep_; }

  // n_draws times `every` sweeps and a measurement; satisfied (n_chains, n_draws), counts (n_chains, n_draws,
  // n_states). A run that is stopped leaves the chains at different sweeps, of no use any more.
  void run(Index n_draws, Index every, int threads, Span<std::int32_t> satisfied, Span<std::int32_t> counts,
           const StopToken& stop) {
    const Index n_groups = (n_chains_ + group_size_ - 1) / group_size_;
    const double work = sweep_cost() * static_cast<double>(n_groups) * static_cast<double>(n_draws) *
                        static_cast<double>(every);
    const auto body = [&](Index group) {
      TimedStop timed(stop);
      const Index first = group * group_size_, size = std::min(group_size_, n_chains_ - first);
      std::vector<Measured> to(static_cast<std::size_t>(size));
      std::uint64_t sweep = sweep_;
      for (Index draw = 0; draw < n_draws; ++draw) {
        for (Index s = 0; s < every; ++s) advance(group, ++sweep, timed);
        for (Index c = 0; c < size; ++c) {
          const Index place = (first + c) * n_draws + draw;
          to[static_cast<std::size_t>(c)] = {satisfied.data() + place, counts.data() + place * n_states_};
        }
        measure(group, to);
      }
    };
    parallel_for(n_groups, {threads, work}, body, stop);
    sweep_ += static_cast<std::uint64_t>(n_draws * every);
  }

  virtual std::uint8_t spin(Index chain, Index site) const = 0;
  virtual void set_spin(Index chain, Index site, std::uint8_t state) = 0;

 protected:
  std::uint64_t seed() const { return seed_; }
  virtual double sweep_cost() const = 0;  // of a group, ns
  virtual void advance(Index group, std::uint64_t sweep, TimedStop& timed) = 0;
  virtual void measure(Index group, const std::vector<Measured>& to) const = 0;

 private:
  Lattice lattice_;
  int n_states_;
  Index n_chains_;
  std::uint64_t seed_, sweep_ = 0;
  Index group_size_;
};

// ---- Heat bath of Ising chains, one bit a chain

namespace detail {

constexpr int kWords = 8, kLanes = 64 * kWords;  // chains side by side

// One bit of each of 512 chains.
struct alignas(64) Bits {
  static constexpr int kParts = kWords / deepglass::detail::kPhiloxWidth;
  using Part = deepglass::detail::Lanes;
  Part part[kParts];

  static Bits all(std::uint64_t word) {
    Bits b;
    for (Part& p : b.part) p = deepglass::detail::every(word);
    return b;
  }
  static Bits load(const std::uint64_t* words) {
    Bits b;
    std::memcpy(&b, words, sizeof b);
    return b;
  }
  bool any() const {
    std::array<std::uint64_t, kWords> words;
    std::memcpy(words.data(), this, sizeof words);
    std::uint64_t some = 0;
    for (const std::uint64_t word : words) some |= word;
    return some != 0;
  }
  bool get(int lane) const {
    std::uint64_t word;
    std::memcpy(&word, reinterpret_cast<const char*>(this) + 8 * (lane / 64), sizeof word);
    return (word >> (lane % 64) & 1) != 0;
  }
  void set(int lane, bool bit) {
    char* const place = reinterpret_cast<char*>(this) + 8 * (lane / 64);
    std::uint64_t word;
    std::memcpy(&word, place, sizeof word);
    const std::uint64_t mask = std::uint64_t{1} << (lane % 64);
    word = bit ? word | mask : word & ~mask;
    std::memcpy(place, &word, sizeof word);
  }
};
inline Bits operator&(const Bits& a, const Bits& b) {
  Bits c;
  for (int i = 0; i < Bits::kParts; ++i) c.part[i] = a.part[i] & b.part[i];
  return c;
}
inline Bits operator|(const Bits& a, const Bits& b) {
  Bits c;
  for (int i = 0; i < Bits::kParts; ++i) c.part[i] = a.part[i] | b.part[i];
  return c;
}
inline Bits operator^(const Bits& a, const Bits& b) {
  Bits c;
  for (int i = 0; i < Bits::kParts; ++i) c.part[i] = a.part[i] ^ b.part[i];
  return c;
}
inline Bits operator~(const Bits& a) {
  Bits c;
  for (int i = 0; i < Bits::kParts; ++i) c.part[i] = ~a.part[i];
  return c;
}

// A number of each chain, in binary: bit b of all of them is plane b.
template <int kPlanes>
struct Counter {
  Bits plane[kPlanes];
  Counter() {
    for (Bits& p : plane) p = Bits::all(0);
  }
  void add(const Bits& bit) {
    Bits carry = bit;
    for (Bits& p : plane) {
      const Bits next = p & carry;
      p = p ^ carry;
      carry = next;
    }
  }
  Bits equals(int n) const {
    Bits same = Bits::all(~std::uint64_t{0});
    for (int b = 0; b < kPlanes; ++b) same = same & (n >> b & 1 ? plane[b] : ~plane[b]);
    return same;
  }
  std::int32_t operator[](int lane) const {
    std::int32_t n = 0;
    for (int b = 0; b < kPlanes; ++b) n |= static_cast<std::int32_t>(plane[b].get(lane)) << b;
    return n;
  }
};

constexpr int kDigits = 64;       // of a probability; what is left undecided is not less
constexpr int kDigitsAtOnce = 4;  // each of 4 blocks a chain word: 16 blocks of random numbers
constexpr std::uint64_t kBlocksOfSite = kDigits / kDigitsAtOnce * 2 * kWords;

// Binary digits 4t .. 4t+3 of a uniform number of each chain. Digits 2g and 2g+1 of the chains of word j are
// the first two and the last two words of block 8g + j.
inline void random_digits(std::uint64_t seed, std::uint64_t stream, std::uint64_t position,
                          Bits (&digits)[kDigitsAtOnce]) {
  using Lanes = Bits::Part;
  constexpr int kWidth = deepglass::detail::kPhiloxWidth;
  deepglass::detail::Blocks<2 * kWords> blocks;
  deepglass::detail::philox_tile(seed, stream, position, blocks);
  const Lanes lower = deepglass::detail::every(0xFFFFFFFF);
  for (int g = 0; g < 2; ++g) {
    for (int i = 0; i < Bits::kParts; ++i) {
      Lanes word[4];
      for (int w = 0; w < 4; ++w)
        std::memcpy(&word[w], &blocks.word[w][g * kWords + i * kWidth], sizeof(Lanes));
      digits[2 * g].part[i] = (word[0] & lower) | word[1] << 32;
      digits[2 * g + 1].part[i] = (word[2] & lower) | word[3] << 32;
    }
  }
}

}  // namespace detail

// A spin forgets its value and takes, in the field h of its neighbours, the one against h with probability
// 1 / (1 + exp(2 beta |h|)). A sweep takes the sites in order.
//
// 512 chains are the bits of one word of 512. A uniform number u < p is decided on its binary digits, the
// first one first, until it is decided for all chains: about log2(512) + 1.3 of them. The digits of p are
// words of bits too, so every chain has its p.
class IsingHeatBath final : public Chains {
 public:
  IsingHeatBath(const Lattice& lattice, Span<const double> beta, std::uint64_t seed, bool ordered)
      : Chains(lattice, 2, beta, seed, detail::kLanes) {
    const Index n_blocks = (n_chains() + detail::kLanes - 1) / detail::kLanes;
    blocks_.resize(static_cast<std::size_t>(n_blocks));
    for (Index b = 0; b < n_blocks; ++b) {
      Block& block = blocks_[static_cast<std::size_t>(b)];
      block.against.assign(static_cast<std::size_t>(detail::kDigits * lattice.dims()), detail::Bits::all(0));
      for (Index c = b * detail::kLanes; c < std::min(n_chains(), (b + 1) * detail::kLanes); ++c) {
        for (int k = 1; k <= lattice.dims(); ++k) {
          const double p = 1 / (1 + std::exp(4 * beta[c] * k));
          const std::uint64_t digits = static_cast<std::uint64_t>(std::ldexp(p, 64));  // p <= 1/2
          for (int d = 0; d < detail::kDigits; ++d) {
            block.against[static_cast<std::size_t>(d * lattice.dims() + k - 1)].set(
                static_cast<int>(c % detail::kLanes), (digits >> (63 - d) & 1) != 0);
          }
        }
      }
      block.spins.assign(static_cast<std::size_t>(lattice.n_sites()), detail::Bits::all(0));
      for (Index i = 0; i < lattice.n_sites() && !ordered; ++i) {
        detail::Bits digits[detail::kDigitsAtOnce];
        detail::random_digits(seed, static_cast<std::uint64_t>(b), position(0, i), digits);
        block.spins[static_cast<std::size_t>(i)] = digits[0];
      }
    }
  }

  std::uint8_t spin(Index chain, Index site) const override {
    const Block& block = blocks_[static_cast<std::size_t>(chain / detail::kLanes)];
    return block.spins[static_cast<std::size_t>(site)].get(static_cast<int>(chain % detail::kLanes));
  }
  void set_spin(Index chain, Index site, std::uint8_t state) override {
    Block& block = blocks_[static_cast<std::size_t>(chain / detail::kLanes)];
    block.spins[static_cast<std::size_t>(site)].set(static_cast<int>(chain % detail::kLanes), state != 0);
  }

 protected:
  double sweep_cost() const override { return 150.0 * static_cast<double>(lattice().n_sites()); }

  void advance(Index group, std::uint64_t sweep, TimedStop& timed) override {
    switch (lattice().dims()) {
      case 1:
        return advance<1>(group, sweep, timed);
      case 2:
        return advance<2>(group, sweep, timed);
      default:
        return advance<3>(group, sweep, timed);
    }
  }

  void measure(Index group, const std::vector<Measured>& to) const override {
    const Block& block = blocks_[static_cast<std::size_t>(group)];
    detail::Counter<27> equal, up;  // up to 3 bonds for each of 2^24 sites
    for (Index i = 0; i < lattice().n_sites(); ++i) {
      const detail::Bits spin = block.spins[static_cast<std::size_t>(i)];
      up.add(spin);
      for (int a = 0; a < lattice().dims(); ++a) {
        equal.add(~(spin ^ block.spins[static_cast<std::size_t>(lattice().neighbours(i)[a])]));
      }
    }
    for (std::size_t c = 0; c < to.size(); ++c) {
      *to[c].satisfied = equal[static_cast<int>(c)];
      to[c].counts[1] = up[static_cast<int>(c)];
      to[c].counts[0] = static_cast<std::int32_t>(lattice().n_sites()) - to[c].counts[1];
    }
  }

 private:
  struct Block {
    std::vector<detail::Bits> spins;    // (n_sites)
    std::vector<detail::Bits> against;  // (kDigits, dims): digits of 1 / (1 + exp(4 beta k)), |h| = 2k
  };

  std::uint64_t position(std::uint64_t sweep, Index site) const {
    return (sweep * static_cast<std::uint64_t>(lattice().n_sites()) + static_cast<std::uint64_t>(site)) *
           detail::kBlocksOfSite;
  }

  template <int kDims>
  void advance(Index group, std::uint64_t sweep, TimedStop& timed) {
    using detail::Bits;
    Block& block = blocks_[static_cast<std::size_t>(group)];
    Bits* const spins = block.spins.data();
    const std::uint64_t stream = static_cast<std::uint64_t>(group);
    for (Index i = 0; i < lattice().n_sites(); ++i) {
      if (i % 4096 == 0) timed.check();
      const std::int32_t* const around = lattice().neighbours(i);
      detail::Counter<kDims == 1 ? 2 : 3> n_up;
      for (int a = 0; a < 2 * kDims; ++a) n_up.add(spins[around[a]]);
      Bits up = Bits::all(0), strength[kDims + 1];  // |h| = 2k
      for (int k = 1; k <= kDims; ++k) {
        const Bits above = n_up.equals(kDims + k);
        up = up | above;
        strength[k] = above | n_up.equals(kDims - k);
      }
      strength[0] = n_up.equals(kDims);
      Bits undecided = Bits::all(~std::uint64_t{0}), less = Bits::all(0), digits[detail::kDigitsAtOnce];
      for (int d = 0; d < detail::kDigits && undecided.any(); d += detail::kDigitsAtOnce) {
        detail::random_digits(
            seed(), stream, position(sweep, i) + static_cast<std::uint64_t>(d) * detail::kWords / 2, digits);
        for (int e = 0; e < detail::kDigitsAtOnce; ++e) {
          const Bits* const p = block.against.data() + (d + e) * kDims;
          Bits digit = d + e == 0 ? strength[0] : Bits::all(0);  // p = 1/2 without a field
          for (int k = 1; k <= kDims; ++k) digit = digit | (strength[k] & p[k - 1]);
          less = less | (undecided & digit & ~digits[e]);
          undecided = undecided & ~(digit ^ digits[e]);
        }
      }
      spins[i] = up ^ less;
    }
  }

  std::vector<Block> blocks_;
};

// ---- Clusters of Potts chains

// Equal neighbours are tied with probability 1 - exp(-beta), and every cluster takes a state by chance
// (R. H. Swendsen, J.-S. Wang, PRL 58, 86 (1987)). The Ising model at beta is the one of two states at 2
// beta.
//
// Words of sweep t of a chain: one for each bond (dims, n_sites), one for each site (n_sites) that is the
// first of its cluster; probabilities are multiples of 2^-32.
class PottsClusters final : public Chains {
 public:
  PottsClusters(const Lattice& lattice, int n_states, Span<const double> beta, std::uint64_t seed,
                bool ordered)
      : Chains(lattice, n_states, beta, seed, 1) {
    const auto n = static_cast<std::size_t>(lattice.n_sites());
    spins_.assign(n * static_cast<std::size_t>(n_chains()), 0);
    for (Index c = 0; c < n_chains(); ++c) {
      tie_.push_back(static_cast<std::uint64_t>(std::llround(std::ldexp(-std::expm1(-beta[c]), 32))));
      if (ordered) continue;
      std::vector<std::uint32_t> words(n);
      Philox(seed, static_cast<std::uint64_t>(c)).fill_words(words);
      for (std::size_t i = 0; i < n; ++i) row(c)[i] = state(words[i]);
    }
  }

  std::uint8_t spin(Index chain, Index site) const override { return row(chain)[site]; }
  void set_spin(Index chain, Index site, std::uint8_t state) override { row(chain)[site] = state; }

 protected:
  double sweep_cost() const override { return 12.0 * static_cast<double>(lattice().n_sites()); }

  void advance(Index chain, std::uint64_t sweep, TimedStop& timed) override {
    timed.check();
    const Index n = lattice().n_sites(), dims = lattice().dims();
    std::uint8_t* const spins = row(chain);
    const std::uint64_t tie = tie_[static_cast<std::size_t>(chain)];
    thread_local std::vector<std::uint32_t> words;  // memory of a thread, from sweep to sweep
    thread_local std::vector<std::int32_t> parent;
    words.resize(static_cast<std::size_t>((dims + 1) * n));
    parent.resize(static_cast<std::size_t>(n));
    const std::uint64_t stride = (static_cast<std::uint64_t>((dims + 1) * n) + 3) / 4 * 4;
    Philox(seed(), static_cast<std::uint64_t>(chain)).fill_words(words, sweep * stride);
    std::int32_t* const up = parent.data();
    for (Index i = 0; i < n; ++i) up[i] = static_cast<std::int32_t>(i);
    const auto root = [up](std::int32_t i) {
      while (up[i] != i) i = up[i] = up[up[i]];
      return i;
    };
    for (Index i = 0; i < n; ++i) {
      for (Index a = 0; a < dims; ++a) {
        const std::int32_t j = lattice().neighbours(i)[a];
        const bool equal = spins[i] == spins[j], chosen = words[static_cast<std::size_t>(a * n + i)] < tie;
        if (!(equal & chosen)) continue;  // one branch: neither can be foreseen
        const std::int32_t r = root(static_cast<std::int32_t>(i)), s = root(j);
        up[std::max(r, s)] = std::min(r, s);
      }
    }
    // A parent comes before its children.
    for (Index i = 0; i < n; ++i) {
      spins[i] = up[i] == i ? state(words[static_cast<std::size_t>(dims * n + i)]) : spins[up[i]];
    }
  }

  void measure(Index chain, const std::vector<Measured>& to) const override {
    const std::uint8_t* const spins = row(chain);
    std::int32_t satisfied = 0;
    std::fill_n(to[0].counts, n_states(), 0);
    for (Index i = 0; i < lattice().n_sites(); ++i) {
      ++to[0].counts[spins[i]];
      for (int a = 0; a < lattice().dims(); ++a) satisfied += spins[i] == spins[lattice().neighbours(i)[a]];
    }
    *to[0].satisfied = satisfied;
  }

 private:
  std::uint8_t state(std::uint32_t word) const {
    return static_cast<std::uint8_t>(std::uint64_t{word} * static_cast<std::uint64_t>(n_states()) >> 32);
  }
  std::uint8_t* row(Index chain) { return spins_.data() + chain * lattice().n_sites(); }
  const std::uint8_t* row(Index chain) const { return spins_.data() + chain * lattice().n_sites(); }

  std::vector<std::uint8_t> spins_;  // (n_chains, n_sites)
  std::vector<std::uint64_t> tie_;   // (n_chains), in units of 2^-32
};

}  // namespace deepglass::lattice
