// Discrete Fourier transforms of periodic lattices, in place, of all chains of a Lanes at once.
//
//   forward:  X(p) = sum_x e^{-i p x} x(x),  left in the order position -> frequency(position);
//   backward: from that order, x(x) = sum_p e^{+i p x} X(p),  no factor 1/n.
//
// Decimation in frequency forward, the same steps undone backward: nothing is ever sorted, the multipliers in
// between are stored in that order once.  A factor r of n costs r^2; 4 and 2 are written out.
#pragma once

#include <cmath>
#include <utility>
#include <vector>

#include "deepglass/contour/lanes.hpp"

namespace deepglass::contour {

class Fourier {
 public:
  explicit Fourier(Index n) : n_(n), frequency_(static_cast<std::size_t>(n)) {
    Index rest = n, block = n;
    for (Index radix = 4; rest > 1;) {
      if (rest % radix != 0) {
        radix = radix == 4 ? 2 : radix == 2 ? 3 : radix + 2;
        continue;
      }
      steps_.push_back(make_step(radix, block));
      rest /= radix;
      block /= radix;
    }
    for (Index position = 0; position < n; ++position) {  // digit k of radix r: frequency = r (rest) + k
      Index frequency = 0, weight = 1, left = position, m = n;
      for (const Step& step : steps_) {
        m /= step.radix;
        frequency += weight * (left / m);
        left %= m;
        weight *= step.radix;
      }
      frequency_[static_cast<std::size_t>(position)] = frequency;
    }
  }

  Index frequency(Index position) const { return frequency_[static_cast<std::size_t>(position)]; }

  // Of n sites one after the other; room for n more.
  void forward(Site* x, Site* room) const {
    for (const Step& step : steps_) apply<true>(step, x, room);
  }
  void backward(Site* x, Site* room) const {
    for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) apply<false>(*step, x, room);
  }

 private:
  struct Phase {
    double cosine, sine;
  };
  struct Step {
    Index radix, m;              // blocks of radix * m elements
    std::vector<Phase> twiddle;  // (m, radix): e^{2 pi i j k / (radix m)}
    std::vector<Phase> root;     // (radix,): e^{2 pi i k / radix}
  };

  static Phase phase(Index k, Index n) {
    const double angle = 6.283185307179586477 * static_cast<double>(k % n) / static_cast<double>(n);
    return {std::cos(angle), std::sin(angle)};
  }

  static Step make_step(Index radix, Index block) {
    Step step{radix, block / radix, {}, {}};
    for (Index j = 0; j < step.m; ++j) {
      for (Index k = 0; k < radix; ++k) step.twiddle.push_back(phase(j * k, block));
    }
    for (Index k = 0; k < radix; ++k) step.root.push_back(phase(k, radix));
    return step;
  }

  template <bool ahead>
  static Site turned(const Phase& phase, const Site& x) {
    return rotated(phase.cosine, ahead ? -phase.sine : phase.sine, x);
  }

  template <bool ahead>
  void apply(const Step& step, Site* x, Site* room) const {
    const Index m = step.m;
    for (Index block = 0; block < n_; block += step.radix * m) {
      Site* at = x + block;
      const Phase* twiddle = step.twiddle.data();
      if (step.radix == 4) {
        four<ahead, false>(at++, m, twiddle);
        for (Index j = 1; j < m; ++j) four<ahead, true>(at++, m, twiddle += 4);
      } else if (step.radix == 2) {
        for (Index j = 0; j < m; ++j, twiddle += 2) two<ahead>(at++, m, twiddle);
      } else {
        for (Index j = 0; j < m; ++j, twiddle += step.radix) any<ahead>(at++, m, twiddle, step, room);
      }
    }
  }

  template <bool ahead, bool turn>
  static void four(Site* x, Index far, const Phase* twiddle) {
    Site x0 = x[0], x1 = x[far], x2 = x[2 * far], x3 = x[3 * far];
    if constexpr (!ahead && turn) {
      x1 = turned<ahead>(twiddle[1], x1);
      x2 = turned<ahead>(twiddle[2], x2);
      x3 = turned<ahead>(twiddle[3], x3);
    }
    const Site a = x0 + x2, b = x0 - x2, c = x1 + x3, d = x1 - x3;
    const Site plus = {b.re - d.im, b.im + d.re}, minus = {b.re + d.im, b.im - d.re};  // b +- i d
    x0 = a + c;
    x1 = ahead ? minus : plus;
    x2 = a - c;
    x3 = ahead ? plus : minus;
    if constexpr (ahead && turn) {
      x1 = turned<ahead>(twiddle[1], x1);
      x2 = turned<ahead>(twiddle[2], x2);
      x3 = turned<ahead>(twiddle[3], x3);
    }
    x[0] = x0;
    x[far] = x1;
    x[2 * far] = x2;
    x[3 * far] = x3;
  }

  template <bool ahead>
  static void two(Site* x, Index far, const Phase* twiddle) {
    const Site x0 = x[0], x1 = ahead ? x[far] : turned<ahead>(twiddle[1], x[far]);
    x[0] = x0 + x1;
    x[far] = ahead ? turned<ahead>(twiddle[1], x0 - x1) : x0 - x1;
  }

  template <bool ahead>
  static void any(Site* x, Index far, const Phase* twiddle, const Step& step, Site* room) {
    for (Index k = 0; k < step.radix; ++k) {
      room[k] = ahead ? x[k * far] : turned<ahead>(twiddle[k], x[k * far]);
    }
    for (Index k = 0; k < step.radix; ++k) {
      Site sum = room[0];
      for (Index l = 1, kl = k; l < step.radix;
           ++l, kl = kl + k < step.radix ? kl + k : kl + k - step.radix) {
        sum += turned<ahead>(step.root[static_cast<std::size_t>(kl)], room[l]);
      }
      x[k * far] = ahead ? turned<ahead>(twiddle[k], sum) : sum;
    }
  }

  Index n_;
  std::vector<Index> frequency_;
  std::vector<Step> steps_;
};

}  // namespace deepglass::contour
