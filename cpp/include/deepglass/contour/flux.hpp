// Complex phi^4 on a periodic Lx x Lt lattice at chemical potential mu, in its flux representation, whose
// weights are positive (C. Gattringer, T. Kloiber, arXiv:1206.2954):
//
//   Z = sum_{k, l} delta(div k = 0) prod_links h^{|k| + 2l} e^{-mu k_time} / (l! (|k| + l)!) prod_x W(n_x),
//   W(n) = 2 pi int_0^inf dr r^{n+1} e^{-(4 + m^2) r^2 / 2 - lambda r^4 / 4},   n_x = sum_{links at x} |k| +
//   2l,
//
// with k in Z and l >= 0 on the links, h = 1/2.  Phase-quenched: no e^{-mu k}, h = cosh(mu)/2 on time links.
//
// Worm algorithm (N. Prokof'ev, B. Svistunov, Phys. Rev. Lett. 87, 160601 (2001)): flux is allowed to end at
// a head and a tail, which count as one more power of r each.  So the power of r at a site is always even,
// and changes by 0 or 2 in a move.  The l are changed by 1, link by link, while the worm is closed.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "deepglass/core.hpp"
#include "deepglass/parallel.hpp"
#include "deepglass/rng.hpp"

namespace deepglass::contour {

struct SiteWeight {
  double log_weight;  // ln W(n)
  double ratio;       // W(n + 2) / W(n)
};

// With r = e^s the integrand is log-concave in s, smooth, and falls off at both ends at least exponentially:
// the trapezoidal rule converges exponentially.  The peak is at  a r^2 + lambda r^4 = n + 2,  a = 4 + m^2 >
// 0.
inline SiteWeight site_weight(Index n, double a, double coupling) {
  const double power = static_cast<double>(n + 2);
  const double peak = 2 * power / (a + std::sqrt(a * a + 4 * coupling * power));  // r^2
  const double quadratic = a * peak / 2, quartic = coupling * peak * peak / 4;
  const double step = 1 / (6 * std::sqrt(2 * power + 8 * quartic));  // a sixth of the width
  double sum = 1, sum_square = 1;
  for (const int side : {-1, 1}) {
    for (int i = 1;; ++i) {
      const double t = side * i * step;
      const double term = std::exp(power * t - quadratic * std::expm1(2 * t) - quartic * std::expm1(4 * t));
      sum += term;
      sum_square += term * std::exp(2 * t);
      if (term * (1 + std::exp(2 * t)) < 1e-20) break;
    }
  }
  constexpr double kLogTwoPi = 1.83787706640934548356;
  return {kLogTwoPi + std::log(step * sum) + power * std::log(peak) / 2 - quadratic - quartic,
          peak * sum_square / sum};
}

struct FluxModel {
  Index n_space = 1, n_time = 1;  // Lx, Lt
  double mass = 1, coupling = 1, chemical_potential = 1;
  bool quenched = false;

  Index volume() const { return n_space * n_time; }
};

// What all chains of a model share.  Directions: 0 and 1 are +space and -space, 2 and 3 are +time and -time.
struct FluxTables {
  FluxTables(const FluxModel& physics, Index n_ratios) : model(physics) {
    const Index volume = model.volume();
    for (auto& sites : neighbour) sites.resize(static_cast<std::size_t>(volume));
    for (Index x = 0; x < model.n_space; ++x) {
      for (Index t = 0; t < model.n_time; ++t) {
        const Index right = (x + 1) % model.n_space * model.n_time + t;
        const Index later = x * model.n_time + (t + 1) % model.n_time;
        const Index site = x * model.n_time + t;
        neighbour[0][static_cast<std::size_t>(site)] = static_cast<std::int32_t>(right);
        neighbour[1][static_cast<std::size_t>(right)] = static_cast<std::int32_t>(site);
        neighbour[2][static_cast<std::size_t>(site)] = static_cast<std::int32_t>(later);
        neighbour[3][static_cast<std::size_t>(later)] = static_cast<std::int32_t>(site);
      }
    }
    const double mu = model.chemical_potential;
    hop = {0.5, model.quenched ? std::cosh(mu) / 2 : 0.5};
    const double forward = model.quenched ? 1 : std::exp(-mu);
    for (int d = 0; d < 4; ++d) {
      const double bias = d == 2 ? forward : d == 3 ? 1 / forward : 1;
      grow[d] = bias * hop[d / 2];
      shrink[d] = bias / hop[d / 2];
    }
    up.reserve(static_cast<std::size_t>(n_ratios));
    for (Index j = 0; j < n_ratios; ++j)
      up.push_back(site_weight(2 * j, 4 + model.mass * model.mass, model.coupling).ratio);
    down.push_back(0);
    for (const double ratio : up) down.push_back(1 / ratio);
  }

  FluxModel model;
  std::array<std::vector<std::int32_t>, 4> neighbour;  // [direction][site]
  std::array<double, 2> hop;                           // h of space and time links
  std::array<double, 4> grow, shrink;  // factors for |k| + 1 and |k| - 1, moving in a direction
  std::vector<double> up, down;        // W(2j + 2) / W(2j) and W(2j - 2) / W(2j)
};

struct FluxCount {
  std::uint64_t worms = 0, moves = 0, accepted = 0;
};

class FluxChain {
 public:
  FluxChain(const FluxTables& tables, std::uint64_t seed, std::uint64_t stream)
      : tables_(tables),
        volume_(tables.model.volume()),
        random_(seed, stream),
        words_(kWords),
        flux_(static_cast<std::size_t>(2 * volume_)),
        pairs_(static_cast<std::size_t>(2 * volume_)),
        half_power_(static_cast<std::size_t>(volume_)) {}

  // Worms until as many moves as links have been tried.  This stops where the state decides, so nothing may
  // be measured; their number becomes that of the worms of a sweep.
  void thermalise(Index n_sweeps, TimedStop& stop) {
    FluxCount second_half;
    for (Index s = 0; s < n_sweeps; ++s) {
      stop.check();
      if (s == n_sweeps / 2) second_half = count_;
      const std::uint64_t enough = count_.moves + static_cast<std::uint64_t>(2 * volume_);
      while (count_.moves < enough) worm();
      change_pairs();
    }
    const double moves = static_cast<double>(count_.moves - second_half.moves);
    const double worms = static_cast<double>(count_.worms - second_half.worms);
    worms_in_sweep_ = std::max<Index>(1, std::lround(static_cast<double>(2 * volume_) * worms / moves));
  }

  void sweep() {
    for (Index w = 0; w < worms_in_sweep_; ++w) worm();
    change_pairs();
  }

  // n = -(1/V) sum k_time;  quenched  tanh(mu) (1/V) sum_time (|k| + 2 l).
  double density() const {
    double sum = 0;
    for (std::size_t link = static_cast<std::size_t>(volume_); link < flux_.size(); ++link)
      sum += tables_.model.quenched ? std::abs(flux_[link]) + 2 * pairs_[link] : -flux_[link];
    const double factor = tables_.model.quenched ? std::tanh(tables_.model.chemical_potential) : 1;
    return factor * sum / static_cast<double>(volume_);
  }

  // <phi^2> = (1/V) sum_x W(n_x + 2) / W(n_x).
  double square() const {
    double sum = 0;
    for (const std::int32_t j : half_power_) sum += tables_.up[static_cast<std::size_t>(j)];
    return sum / static_cast<double>(volume_);
  }

  const FluxCount& count() const { return count_; }
  const std::vector<std::int32_t>& flux() const { return flux_; }    // k: (2, V)
  const std::vector<std::int32_t>& pairs() const { return pairs_; }  // l: (2, V)
  Index worms_in_sweep() const { return worms_in_sweep_; }

 private:
  static constexpr Index kWords = 1024;

  struct Draw {
    std::uint32_t low;
    double uniform;  // in (0, 1], of bits that are not among the lower 11 of low
  };
  Draw draw() {
    if (next_word_ == kWords) {
      random_.fill_words(Span<std::uint32_t>(words_), filled_);
      filled_ += kWords;
      next_word_ = 0;
    }
    const std::uint32_t low = words_[static_cast<std::size_t>(next_word_)],
                        high = words_[static_cast<std::size_t>(next_word_ + 1)];
    next_word_ += 2;
    return {low, uniform_from_bits(low, high)};
  }

  void change_power(std::int32_t site, std::int32_t change) {
    std::int32_t& j = half_power_[static_cast<std::size_t>(site)];
    j += change;
    if (static_cast<std::size_t>(j) + 2 >= tables_.up.size()) {
      throw NumericalError("the power of the field at a site has left the table of " +
                           std::to_string(tables_.up.size()) + " weights");
    }
  }
  double up(std::int32_t site, int more = 0) const {
    return tables_.up[static_cast<std::size_t>(half_power_[static_cast<std::size_t>(site)] + more)];
  }
  double down(std::int32_t site, int less = 0) const {
    return tables_.down[static_cast<std::size_t>(half_power_[static_cast<std::size_t>(site)] - less)];
  }

  // From a random site until head and tail meet again, be it that the first move is rejected.  The states
  // after worms are those of the extended chain whenever it visits the closed ones: their law is that of Z.
  void worm() {
    const double place = (1 - draw().uniform) * static_cast<double>(volume_);
    const auto tail = static_cast<std::int32_t>(std::min(static_cast<Index>(place), volume_ - 1));
    std::int32_t head = tail;
    do {
      move(head, tail);
    } while (head != tail);
    ++count_.worms;
  }

  // Move the head over a link in a random direction, which changes k there by one.
  void move(std::int32_t& head, std::int32_t tail) {
    const Draw random = draw();
    const unsigned direction = random.low & 3;
    const std::int32_t to = tables_.neighbour[direction][static_cast<std::size_t>(head)];
    const std::size_t link = direction / 2 * static_cast<std::size_t>(volume_) +
                             static_cast<std::size_t>(direction % 2 ? to : head);
    const std::int32_t change = direction % 2 ? -1 : 1, k = flux_[link];
    const std::int32_t sum = std::abs(k) + pairs_[link];
    const bool grows = k * change >= 0, opens = head == tail, loop = to == head;
    // Sites whose power of r changes, by +2 where |k| grows and by -2 where it falls.
    const bool here = loop || opens == grows, there = !loop && (to == tail) != grows;
    double ratio = grows ? tables_.grow[direction] / (sum + 1) : tables_.shrink[direction] * sum;
    if (here) ratio *= grows ? up(head) : down(head);
    if (there) ratio *= grows ? up(to) : down(to);
    ++count_.moves;
    if (random.uniform > ratio) return;
    ++count_.accepted;
    flux_[link] = k + change;
    if (here) change_power(head, grows ? 1 : -1);
    if (there) change_power(to, grows ? 1 : -1);
    head = to;
  }

  // Try l + 1 or l - 1 on each link.
  void change_pairs() {
    for (unsigned axis = 0; axis < 2; ++axis) {
      const double square = tables_.hop[axis] * tables_.hop[axis];
      for (std::int32_t site = 0; site < volume_; ++site) {
        const std::int32_t to = tables_.neighbour[2 * axis][static_cast<std::size_t>(site)];
        const std::size_t link = axis * static_cast<std::size_t>(volume_) + static_cast<std::size_t>(site);
        const std::int32_t k = std::abs(flux_[link]), l = pairs_[link];
        const Draw random = draw();
        const bool more = (random.low & 1) == 0, loop = to == site;
        double ratio;
        if (more) {
          ratio = square / (static_cast<double>(l + 1) * (k + l + 1)) * up(site) * up(to, loop);
        } else {
          if (l == 0) continue;
          ratio = static_cast<double>(l) * (k + l) / square * down(site) * down(to, loop);
        }
        if (random.uniform > ratio) continue;
        pairs_[link] = more ? l + 1 : l - 1;
        change_power(site, more ? 1 : -1);
        change_power(to, more ? 1 : -1);
      }
    }
  }

  const FluxTables& tables_;
  Index volume_;
  Philox random_;
  std::vector<std::uint32_t> words_;
  std::uint64_t filled_ = 0;
  Index next_word_ = kWords;
  std::vector<std::int32_t> flux_, pairs_;  // k and l: (2, V)
  std::vector<std::int32_t> half_power_;    // half the power of r: (V,)
  Index worms_in_sweep_ = 1;
  FluxCount count_;
};

// Independent chains; chain c depends on the seed and c only.
class FluxChains {
 public:
  FluxChains(const FluxModel& model, Index n_ratios, Index n_chains, std::uint64_t seed)
      : tables_(std::make_unique<FluxTables>(model, n_ratios)) {
    for (Index c = 0; c < n_chains; ++c) chains_.emplace_back(*tables_, seed, static_cast<std::uint64_t>(c));
  }

  Index n_chains() const { return static_cast<Index>(chains_.size()); }
  const FluxModel& model() const { return tables_->model; }
  const FluxChain& chain(Index c) const { return chains_[static_cast<std::size_t>(c)]; }

  void thermalise(Index n_sweeps, int threads, const StopToken& stop) {
    parallel_for_uneven(
        n_chains(), {threads, work(n_sweeps)},
        [&](Index c) {
          TimedStop timed(stop);
          chains_[static_cast<std::size_t>(c)].thermalise(n_sweeps, timed);
        },
        stop);
  }

  // Each draw is the mean over `every` sweeps.
  void run(Index n_draws, Index every, int threads, Span<double> density /* (n_chains, n_draws) */,
           Span<double> square /* (n_chains, n_draws) */, const StopToken& stop) {
    const auto one = [&](Index c) {
      FluxChain& chain = chains_[static_cast<std::size_t>(c)];
      TimedStop timed(stop);
      for (Index draw = 0; draw < n_draws; ++draw) {
        double sum_density = 0, sum_square = 0;
        for (Index s = 0; s < every; ++s) {
          timed.check();
          chain.sweep();
          sum_density += chain.density();
          sum_square += chain.square();
        }
        density[c * n_draws + draw] = sum_density / static_cast<double>(every);
        square[c * n_draws + draw] = sum_square / static_cast<double>(every);
      }
    };
    parallel_for_uneven(n_chains(), {threads, work(n_draws * every)}, one, stop);
  }

 private:
  double work(Index n_sweeps) const {  // nanoseconds: 20 for a move, as many moves and changes of l as links
    return 80.0 * static_cast<double>(model().volume() * n_chains()) * static_cast<double>(n_sweeps);
  }

  std::unique_ptr<FluxTables> tables_;
  std::vector<FluxChain> chains_;
};

}  // namespace deepglass::contour
