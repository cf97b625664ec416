// Hybrid Monte Carlo of the phase-quenched weight e^{Re L} on a contour, kLanes chains at a time.
//
// A Contour has n_sites(), a Room for its work, gradient() of -Re L and measure(), where action is -L up to a
// constant.  Chain c draws from stream c of the seed: V blocks of normals (start, then momenta of each
// trajectory) and one block of two uniforms (factor of the step, acceptance).  So a chain does not depend on
// how many there are.
#pragma once

#include <algorithm>
#include <vector>

#include "deepglass/contour/phi4.hpp"

namespace deepglass::contour {

struct Trajectories {
  Index n_chains, n_draws, n_thermal, every;  // every: trajectories between draws
  Index n_steps;
  double step;  // each trajectory takes its own, uniform within 20 %: no mode closes its orbit every time
};

// Fields t, (n_chains, 2, V), kLanes chains at a time; lanes beyond the last chain repeat it.
inline void load(const double* t, Index n_chains, Index n, Index first, std::vector<Site>& w) {
  for (int lane = 0; lane < kLanes; ++lane) {
    const double* from = t + std::min(first + lane, n_chains - 1) * 2 * n;
    for (Index x = 0; x < n; ++x) {
      w[static_cast<std::size_t>(x)].re.set(lane, from[x]);
      w[static_cast<std::size_t>(x)].im.set(lane, from[n + x]);
    }
  }
}
inline void store(const std::vector<Site>& w, Index n_chains, Index n, Index first, double* t) {
  for (Index chain = first; chain < std::min(first + kLanes, n_chains); ++chain) {
    const int lane = static_cast<int>(chain - first);
    for (Index x = 0; x < n; ++x) {
      t[chain * 2 * n + x] = w[static_cast<std::size_t>(x)].re[lane];
      t[(chain * 2 + 1) * n + x] = w[static_cast<std::size_t>(x)].im[lane];
    }
  }
}

// Where chains go on: the fields, changed to the last ones, after so many trajectories; they start anew at 0.
struct Fields {
  double* t;
  std::uint64_t trajectory;
};

// What is written down at each draw, (n_chains, n_draws) each; accepted: (n_chains,), trajectories after
// n_thermal.
struct Draws {
  double *action_re, *action_im, *density_re, *density_im, *phi2_re, *phi2_im, *accepted;
};

template <class Contour>
class Walkers {
 public:
  Walkers(const Contour& contour, std::uint64_t seed, Index first_chain, Index n_chains, const Fields& from)
      : contour_(contour),
        seed_(seed),
        first_(first_chain),
        trajectory_(from.trajectory),
        field_(size()),
        momentum_(size()),
        gradient_(size()),
        moved_(size()),
        moved_gradient_(size()),
        normals_(2 * size()),
        room_(contour) {
    if (trajectory_ > 0) {
      load(from.t, n_chains, contour.n_sites(), first_chain, field_);
    } else {
      draw_normals(field_);
      for (Site& w : field_) w = 0.5 * w;
    }
    contour_.gradient(field_.data(), gradient_.data(), room_);
    now_ = contour_.measure(field_.data(), room_);
  }

  const Measured& measured() const { return now_; }
  const std::vector<Site>& field() const { return field_; }

  // One trajectory; 1 where it was accepted.
  Lanes advance(Index n_steps, double step, TimedStop& stop) {
    const std::size_t n = size();
    ++trajectory_;
    draw_normals(momentum_);
    Lanes eps, threshold;
    for (int lane = 0; lane < kLanes; ++lane) {
      double two[2];
      stream(lane).fill_uniform(Span<double>(two, 2), offset() + 2 * n);
      eps.set(lane, step * (0.8 + 0.4 * two[0]));
      threshold.set(lane, deepglass::detail::minus_log_unit(two[1]));
    }
    const Lanes before = now_.action.re + kinetic();
    std::copy(field_.begin(), field_.end(), moved_.begin());
    kick(gradient_, 0.5 * eps);
    for (Index k = 1; k <= n_steps; ++k) {
      stop.check();
      for (std::size_t x = 0; x < n; ++x) {
        moved_[x].re += eps * momentum_[x].re;
        moved_[x].im += eps * momentum_[x].im;
      }
      contour_.gradient(moved_.data(), moved_gradient_.data(), room_);
      kick(moved_gradient_, k < n_steps ? eps : 0.5 * eps);
    }
    const Measured then = contour_.measure(moved_.data(), room_);
    const Lanes rise = then.action.re + kinetic() - before;
    Lanes accepted;
    for (int lane = 0; lane < kLanes; ++lane) accepted.set(lane, rise[lane] <= threshold[lane] ? 1.0 : 0.0);
    take(accepted, then);
    return accepted;
  }

 private:
  std::size_t size() const { return static_cast<std::size_t>(contour_.n_sites()); }
  Philox stream(int lane) const { return Philox(seed_, static_cast<std::uint64_t>(first_ + lane)); }
  std::uint64_t offset() const { return trajectory_ * (2 * size() + 2); }

  void draw_normals(std::vector<Site>& to) {
    for (int lane = 0; lane < kLanes; ++lane) {
      stream(lane).fill_normal(normals_, offset());
      for (std::size_t x = 0; x < size(); ++x) {
        to[x].re.set(lane, normals_[2 * x]);
        to[x].im.set(lane, normals_[2 * x + 1]);
      }
    }
  }

  void kick(const std::vector<Site>& gradient, const Lanes& eps) {
    for (std::size_t x = 0; x < size(); ++x) {
      momentum_[x].re = momentum_[x].re - eps * gradient[x].re;
      momentum_[x].im = momentum_[x].im - eps * gradient[x].im;
    }
  }

  Lanes kinetic() const {
    Lanes sum = every_lane(0);
    for (const Site& p : momentum_) sum += p.re * p.re + p.im * p.im;
    return 0.5 * sum;
  }

  // By lane, not by arithmetic: a rejected trajectory may have run off to infinity.
  void take(const Lanes& accepted, const Measured& then) {
    for (int lane = 0; lane < kLanes; ++lane) {
      if (accepted[lane] == 0.0) continue;
      const auto copy = [lane](Site& to, const Site& from) {
        to.re.set(lane, from.re[lane]);
        to.im.set(lane, from.im[lane]);
      };
      for (std::size_t x = 0; x < size(); ++x) {
        copy(field_[x], moved_[x]);
        copy(gradient_[x], moved_gradient_[x]);
      }
      copy(now_.action, then.action);
      copy(now_.density, then.density);
      copy(now_.phi2, then.phi2);
    }
  }

  const Contour& contour_;
  std::uint64_t seed_;
  Index first_;
  std::uint64_t trajectory_;
  std::vector<Site> field_, momentum_, gradient_, moved_, moved_gradient_;
  std::vector<double> normals_;
  typename Contour::Room room_;
  Measured now_;
};

template <class Contour>
void sample(const Contour& contour, const Trajectories& plan, std::uint64_t seed, const Fields& fields,
            const Draws& out, int threads, const StopToken& stop = {}) {
  const Index groups = (plan.n_chains + kLanes - 1) / kLanes;
  const Index trajectories = plan.n_thermal + plan.n_draws * plan.every;
  const double site_steps = static_cast<double>(groups * kLanes * trajectories * plan.n_steps) *
                            static_cast<double>(contour.n_sites());
  parallel_for_uneven(
      groups, Team{threads, contour.nanoseconds_per_site() * site_steps},
      [&](Index group) {
        TimedStop timed(stop);
        Walkers<Contour> walkers(contour, seed, group * kLanes, plan.n_chains, fields);
        const int lanes = static_cast<int>(std::min<Index>(kLanes, plan.n_chains - group * kLanes));
        for (Index k = 0; k < plan.n_thermal; ++k) walkers.advance(plan.n_steps, plan.step, timed);
        Lanes accepted = every_lane(0);
        for (Index draw = 0; draw < plan.n_draws; ++draw) {
          for (Index k = 0; k < plan.every; ++k) accepted += walkers.advance(plan.n_steps, plan.step, timed);
          const Measured& now = walkers.measured();
          for (int lane = 0; lane < lanes; ++lane) {
            const Index at = (group * kLanes + lane) * plan.n_draws + draw;
            out.action_re[at] = now.action.re[lane];
            out.action_im[at] = now.action.im[lane];
            out.density_re[at] = now.density.re[lane];
            out.density_im[at] = now.density.im[lane];
            out.phi2_re[at] = now.phi2.re[lane];
            out.phi2_im[at] = now.phi2.im[lane];
          }
        }
        for (int lane = 0; lane < lanes; ++lane) out.accepted[group * kLanes + lane] = accepted[lane];
        store(walkers.field(), plan.n_chains, contour.n_sites(), group * kLanes, fields.t);
      },
      stop);
}

}  // namespace deepglass::contour
