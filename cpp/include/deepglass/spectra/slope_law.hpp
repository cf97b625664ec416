// Law of phi'(sqrt(q) h)^2, h standard normal: what one layer does to the squared length of a gradient.
//
//   G(w) = E 1/(w - d^2),   M(w) = E d^2/(w - d^2),   d = phi'(sqrt(q) h)
//
// up to the real axis.  On panels of h on which d is a polynomial to rounding, Gauss's rule serves while w is
// far from the values d^2 takes there.  Closer, the pole of the integrand is located in the complex plane,
// subtracted and integrated in closed form; panels are halved until this leaves a polynomial.  Pieces where
// d is constant are atoms.
#pragma once

#include "deepglass/meanfield/averages.hpp"
#include "deepglass/spectra/measure.hpp"

namespace deepglass::spectra {

class SlopeLaw final : public Measure {
 public:
  SlopeLaw(const meanfield::Activation& activation, double q) {
    meanfield::require_variance(q);
    constexpr double kLeastVariance = 1e-60;  // q = 0 is the limit: both sides of a kink at 0
    divide(activation, std::sqrt(std::max(q, kLeastVariance)));
    for (const Atom& atom : atoms_) {  // after the nodes
      square_.push_back(atom.position);
      weight_.push_back(atom.mass);
    }
    finish();
  }

  Value cauchy(Complex z) const override {
    const Sums s = sums(z);
    return {s.inverse, -s.inverse_square};
  }
  Transforms transforms(Complex z) const override {
    const Sums s = sums(z);
    return {{s.inverse, -s.inverse_square}, {s.moment, -s.moment_square}};
  }

  // Continuous part; what has less than about 1e-19 of the mass is left out.
  std::vector<Interval> support() const override { return support_; }
  std::vector<Atom> atoms() const override { return atoms_; }

  double mean() const { return mean_; }
  double second_moment() const { return second_moment_; }

 private:
  static constexpr int kNodes = meanfield::kPanelNodes;
  static constexpr double kReach = 36, kVisible = 9;  // standard deviations; E 1/d^2 may need far ones
  static constexpr double kLeastAtom = 1e-18;

  struct Panel {
    double left, right;       // in h
    double centre, radius;    // of the values of d^2
    std::size_t first;        // node
    double legendre[kNodes];  // d = sum_n legendre[n] P_n(t), t in [-1, 1]
  };
  struct Sums {  // E 1/(w - d^2), E d^2/(w - d^2), and with the squares of the denominators
    Complex inverse, moment, inverse_square, moment_square;
  };

  // P_n(x_j) (2 n + 1)/2 w_j, by rows n: Legendre coefficients of a function from its values at the nodes.
  struct Projection {
    double row[kNodes][kNodes];
    Projection() {
      const Rule& unit = meanfield::panel_unit();
      for (std::size_t j = 0; j < kNodes; ++j) {
        double before = 0, p = 1;
        for (int n = 0; n < kNodes; ++n) {
          row[n][j] = (n + 0.5) * unit.weights[j] * p;
          const double next = ((2 * n + 1) * unit.nodes[j] * p - n * before) / (n + 1);
          before = p;
          p = next;
        }
      }
    }
  };
  static const Projection& projection() {
    static const Projection made;
    return made;
  }

  static double value_at(const Panel& panel, double t) {  // d, by Clenshaw's recurrence
    double b1 = 0, b2 = 0;
    for (int n = kNodes - 1; n > 0; --n) {
      const double b0 = panel.legendre[n] + (2 * n + 1.0) / (n + 1) * t * b1 - (n + 1.0) / (n + 2) * b2;
      b2 = b1;
      b1 = b0;
    }
    return panel.legendre[0] + t * b1 - 0.5 * b2;
  }

  template <class T>
  struct Local {  // d, d', d''
    T value, first, second;
  };
  template <class T>
  static Local<T> polynomial(const Panel& panel, T t) {
    T p0 = 1, p1 = t, d0 = 0, d1 = 1, s0 = 0, s1 = 0;
    Local<T> sum{panel.legendre[0] + panel.legendre[1] * t, T(panel.legendre[1]), T(0)};
    for (int n = 1; n + 1 < kNodes; ++n) {
      const double a = (2 * n + 1.0) / (n + 1), b = double(n) / (n + 1), c = panel.legendre[n + 1];
      const T p2 = a * t * p1 - b * p0, d2 = a * (p1 + t * d1) - b * d0;
      const T s2 = a * (2.0 * d1 + t * s1) - b * s0;
      sum.value += c * p2;
      sum.first += c * d2;
      sum.second += c * s2;
      p0 = p1, p1 = p2, d0 = d1, d1 = d2, s0 = s1, s1 = s2;
    }
    return sum;
  }

  static double probability(double left, double right) {  // of a standard normal between them
    const double sign = left < 0 && right <= 0 ? -1 : 1;
    const double a = sign > 0 ? left : -right, b = sign > 0 ? right : -left;
    constexpr double kHalfRoot = 0.70710678118654752440;
    if (a < 0) return 0.5 * (std::erf(b * kHalfRoot) - std::erf(a * kHalfRoot));
    return 0.5 * (std::erfc(a * kHalfRoot) - std::erfc(b * kHalfRoot));
  }

  void divide(const meanfield::Activation& activation, double sd) {
    meanfield::GaussianNodes nodes;
    nodes.set(activation, 0.0, sd, kReach, std::min(1.0, 1 / sd));
    while (halve(nodes)) {
      nodes.set_rule(kReach, std::min(1.0, 1 / sd));
      nodes.evaluate(activation, 0.0, sd);
    }
    const Rule& unit = meanfield::panel_unit();
    const Projection& project = projection();
    std::vector<Panel> panels;
    std::vector<double> ratios;
    double total_ratio = 0;
    for (std::size_t first = 0; first < nodes.z.size(); first += kNodes) {
      const double *h = &nodes.z[first], *d = &nodes.slope[first], *weight = &nodes.weight[first];
      Panel panel{};
      const double half = (h[kNodes - 1] - h[0]) / (unit.nodes[kNodes - 1] - unit.nodes[0]);
      const double middle = 0.5 * (h[0] + h[kNodes - 1]);
      panel.left = middle - half;
      panel.right = middle + half;
      panel.first = first;
      double least = kInfinity, most = -kInfinity;
      for (int j = 0; j < kNodes; ++j) {
        least = std::min(least, d[j]);
        most = std::max(most, d[j]);
      }
      if (most - least <= 1e-14 * std::max(std::fabs(most), std::fabs(least))) {
        add_atom(0.25 * (most + least) * (most + least), probability(panel.left, panel.right));
        continue;
      }
      for (int n = 0; n < kNodes; ++n) {
        for (int j = 0; j < kNodes; ++j) panel.legendre[n] += project.row[n][j] * d[j];
      }
      Interval range = range_of_squares(panel);
      sharpen(activation, sd, panel, range);
      panel.centre = 0.5 * (range.left + range.right);
      panel.radius = 0.5 * (range.right - range.left);
      double ratio = 0;
      for (int j = 0; j < kNodes; ++j) ratio += weight[j] / std::max(d[j] * d[j], 1e-300);
      ratios.push_back(ratio);
      total_ratio += ratio;
      panels.push_back(panel);
    }
    atoms_.erase(
        std::remove_if(atoms_.begin(), atoms_.end(), [](const Atom& a) { return a.mass < kLeastAtom; }),
        atoms_.end());
    for (const Atom& atom : atoms_) total_ratio += atom.mass / std::max(atom.position, 1e-300);
    std::sort(atoms_.begin(), atoms_.end(),
              [](const Atom& a, const Atom& b) { return a.position < b.position; });
    // Far panels count where d is so small that E 1/d^2 feels them.
    for (std::size_t k = 0; k < panels.size(); ++k) {
      Panel panel = panels[k];
      const bool near = panel.left < meanfield::kReach && panel.right > -meanfield::kReach;
      const bool zero = panel.centre <= panel.radius;
      if (!near && (zero || !(ratios[k] > 1e-18 * total_ratio))) continue;
      const std::size_t first = panel.first;
      panel.first = square_.size();
      for (std::size_t j = first; j < first + kNodes; ++j) {
        slope_.push_back(value_at(panel, unit.nodes[j - first]));  // rounded as where the poles are sought
        square_.push_back(nodes.slope[j] * nodes.slope[j]);
        weight_.push_back(nodes.weight[j]);
      }
      panels_.push_back(panel);
    }
  }

  // Adds a break in the middle of panels in which d falls so far that its polynomial, rounded as the largest
  // value, would not tell the least ones: poles are sought there too.  Whether there were any.
  static bool halve(meanfield::GaussianNodes& nodes) {
    constexpr double kLeastRatio = 0.03, kLeastSlope = 1e-165, kNarrowest = 1.0 / 128;
    const std::size_t before = nodes.breaks.size();
    for (std::size_t first = 0; first < nodes.z.size(); first += kNodes) {
      const auto [low, high] = std::minmax_element(&nodes.slope[first], &nodes.slope[first] + kNodes);
      const double least = *low > 0 ? *low : -*high,
                   most = *low > 0 ? *high : -*low;  // without a zero between
      if (least > 0 && least < kLeastRatio * most && most > kLeastSlope &&
          nodes.z[first + kNodes - 1] - nodes.z[first] > kNarrowest) {
        nodes.breaks.push_back(0.5 * (nodes.z[first] + nodes.z[first + kNodes - 1]));
      }
    }
    return nodes.breaks.size() > before;
  }

  void add_atom(double position, double mass) {
    for (Atom& atom : atoms_) {
      if (std::fabs(atom.position - position) <= 1e-13 * std::max(position, atom.position)) {
        atom.mass += mass;
        return;
      }
    }
    atoms_.push_back({position, mass});
  }

  // Smallest and largest d^2: at the ends, where d' = 0 or where d = 0.
  static Interval range_of_squares(const Panel& panel) {
    constexpr int kPieces = 40;
    double least = kInfinity, most = 0;
    const auto see = [&](double t) {
      const double d = polynomial(panel, t).value;
      least = std::min(least, d * d);
      most = std::max(most, d * d);
    };
    Local<double> before{};
    for (int i = 0; i <= kPieces; ++i) {
      const double t = -1 + 2.0 * i / kPieces;
      const Local<double> now = polynomial(panel, t);
      see(t);
      if (i > 0 && before.value * now.value < 0) least = 0;
      if (i > 0 && before.first * now.first < 0) {
        double left = t - 2.0 / kPieces, right = t;
        for (int k = 0; k < 60; ++k) {
          const double middle = 0.5 * (left + right);
          (polynomial(panel, middle).first * before.first > 0 ? left : right) = middle;
        }
        see(0.5 * (left + right));
      }
      before = now;
    }
    return {least, most};
  }

  // The ends by the activation itself, one rounding instead of twenty.
  static void sharpen(const meanfield::Activation& activation, double sd, const Panel& panel,
                      Interval& range) {
    const double u[2] = {sd * panel.left, sd * panel.right};
    double value[2], slope[2];
    activation.evaluate({u, 2}, {value, 2}, {slope, 2});
    for (const double d : slope) {
      const double tolerance = 1e-12 * range.right;
      if (std::fabs(d * d - range.right) < tolerance) range.right = d * d;
      if (std::fabs(d * d - range.left) < tolerance) range.left = d * d;
    }
  }

  void finish() {
    for (std::size_t j = 0; j < square_.size(); ++j) {
      mean_ += weight_[j] * square_[j];
      second_moment_ += weight_[j] * square_[j] * square_[j];
    }
    std::vector<Interval> parts;
    for (const Panel& panel : panels_) {
      if (panel.left < kVisible && panel.right > -kVisible) {
        parts.push_back({panel.centre - panel.radius, panel.centre + panel.radius});
      }
    }
    std::sort(parts.begin(), parts.end(),
              [](const Interval& a, const Interval& b) { return a.left < b.left; });
    double most = 0;
    for (const Interval& part : parts) most = std::max(most, part.right);
    for (const Interval& part : parts) {
      if (!support_.empty() && part.left <= support_.back().right + 1e-11 * most) {
        support_.back().right = std::max(support_.back().right, part.right);
      } else {
        support_.push_back(part);
      }
    }
  }

  Sums sums(Complex w) const {
    const double x = w.real(), y = std::max(w.imag(), 0.0);
    w = {x, y};
    Sums s{};
    std::size_t j = panels_.size() * kNodes;  // the atoms
    add_nodes(w, j, square_.size(), s);
    std::size_t open = 0;
    for (std::size_t k = 0; k < panels_.size(); ++k) {
      const Panel& panel = panels_[k];
      const double reach = 3 * panel.radius, dx = x - panel.centre;
      if (dx * dx + y * y > reach * reach) continue;
      add_nodes(w, open * kNodes, k * kNodes, s);
      open = k + 1;
      const Complex root = std::sqrt(w);
      add_near(panel, -1, 1, w, root, 0, s);
    }
    add_nodes(w, open * kNodes, panels_.size() * kNodes, s);
    return s;
  }

  void add_nodes(Complex w, std::size_t first, std::size_t last, Sums& s) const {
    const double x = w.real(), y = w.imag();
    const double *square = square_.data(), *weight = weight_.data();
    double i_re = 0, i_im = 0, m_re = 0, m_im = 0, is_re = 0, is_im = 0, ms_re = 0, ms_im = 0;
    const auto begin = static_cast<Index>(first), end = static_cast<Index>(last);
#pragma omp simd reduction(+ : i_re, i_im, m_re, m_im, is_re, is_im, ms_re, ms_im)
    for (Index k = begin; k < end; ++k) {
      const double d = x - square[k], inverse = 1 / (d * d + y * y), p = weight[k], ps = p * square[k];
      const double a = d * inverse, b = -y * inverse;  // 1/(w - d^2)
      const double a2 = a * a - b * b, b2 = 2 * a * b;
      i_re += p * a, i_im += p * b, m_re += ps * a, m_im += ps * b;
      is_re += p * a2, is_im += p * b2, ms_re += ps * a2, ms_im += ps * b2;
    }
    s.inverse += Complex(i_re, i_im);
    s.moment += Complex(m_re, m_im);
    s.inverse_square += Complex(is_re, is_im);
    s.moment_square += Complex(ms_re, ms_im);
  }

  // Of density / (w - d^2):  residue / (tau' - tau) near tau, which moves with w by move = d tau/dw.
  struct Pole {
    Complex tau, residue, residue_slope, move;

    // int dtau'/(tau' - tau); for w on the real axis tau lies above or below it as d^2 rises or falls.
    Complex integral() const {
      Complex ratio = (tau - 1.0) / (tau + 1.0);
      if (std::fabs(tau.imag()) < 1e-11) ratio.imag(std::copysign(ratio.imag(), move.real()));
      return std::log(ratio);
    }
  };
  // d = target there, which may be closer to 0 than tau can tell.
  static Pole pole_at(const Panel& panel, Complex target, Complex tau, double middle, double half) {
    const double h_middle = 0.5 * (panel.left + panel.right), h_half = 0.5 * (panel.right - panel.left);
    const Local<Complex> d = polynomial(panel, middle + half * tau);
    const Complex slope = 2.0 * half * target * d.first;  // of d^2 in tau
    const Complex bend = 2.0 * half * half * (d.first * d.first + target * d.second);
    const Complex h = h_middle + h_half * (middle + half * tau), move = 1.0 / slope;
    const Complex rho = half * h_half * vmath::detail::kInvSqrt2Pi * std::exp(-0.5 * h * h);
    const Complex rho_slope = -h * h_half * half * rho;
    return {tau, -rho * move, (rho * bend * move - rho_slope) * move * move, move};
  }

  // The part [a, b] of a panel's [-1, 1].
  void add_near(const Panel& panel, double a, double b, Complex w, Complex root, int level, Sums& s) const {
    const Rule& unit = meanfield::panel_unit();
    const Projection& project = projection();
    const double middle = 0.5 * (a + b), half = 0.5 * (b - a);
    const double h_middle = 0.5 * (panel.left + panel.right), h_half = 0.5 * (panel.right - panel.left);
    double density[kNodes], slope[kNodes];
    Complex inverse[kNodes], values[kNodes];
    double mass = 0, scale = 0, largest = 0;
    for (std::size_t j = 0; j < kNodes; ++j) {
      if (level == 0) {
        slope[j] = slope_[panel.first + j];
        density[j] = weight_[panel.first + j] / unit.weights[j];
      } else {
        const double t = middle + half * unit.nodes[j], h = h_middle + h_half * t;
        slope[j] = value_at(panel, t);
        density[j] = half * h_half * vmath::detail::kInvSqrt2Pi * vmath::exp(-0.5 * h * h);
      }
      const Complex distance = w - slope[j] * slope[j];
      const double square = std::norm(distance);
      const double size = 1 / (square > 1e-280 ? std::sqrt(square) : std::abs(distance));
      inverse[j] = size * (size * std::conj(distance));
      values[j] = density[j] * inverse[j];
      mass += unit.weights[j] * density[j];
      scale = std::max(scale, density[j] * size);
      largest = std::max(largest, size);
    }
    const auto smooth = [&](const Complex* f, double size) {
      // Gauss's rule takes polynomials of twice the degree: its error is 1e-18.  d^2 itself is rounded.
      const double tolerance = (1e-9 + 1e-14 * largest * std::abs(w)) * size;
      for (int n = kNodes - 3; n < kNodes; ++n) {
        double re = 0, im = 0;
        for (int j = 0; j < kNodes; ++j) {
          re += project.row[n][j] * f[j].real();
          im += project.row[n][j] * f[j].imag();
        }
        if (!(re * re + im * im <= tolerance * tolerance)) return false;
      }
      return true;
    };
    constexpr int kDeepest = 40;
    if (smooth(values, scale) || level == kDeepest || !(scale > 0)) {
      Complex sum = 0, square_sum = 0;
      for (std::size_t j = 0; j < kNodes; ++j) {
        sum += unit.weights[j] * values[j];
        square_sum += unit.weights[j] * values[j] * inverse[j];
      }
      return add(w, mass, sum, square_sum, s);
    }
    // The poles d = root and d = -root, each at tau in units of this part.
    Pole poles[2];
    int n_poles = 0;
    double closeness = kInfinity, left_scale = 0;
    for (const Complex target : {root, -root}) {
      std::size_t closest = 0;
      for (std::size_t j = 0; j < kNodes; ++j) {
        if (std::abs(target - slope[j]) < std::abs(target - slope[closest])) closest = j;
      }
      Complex tau = unit.nodes[closest];
      bool found = false;
      for (int i = 0; i < 20 && !found; ++i) {
        const Local<Complex> at = polynomial(panel, middle + half * tau);
        const Complex step = (target - at.value) / (half * at.first);
        if (!(std::abs(tau + step) < 3)) break;
        tau += step;
        found = std::abs(step) < 1e-8;
      }
      if (!found) continue;
      Pole& pole = poles[n_poles++];
      pole = pole_at(panel, target, tau, middle, half);
      left_scale = std::max(left_scale, std::abs(pole.residue));
      for (std::size_t j = 0; j < kNodes; ++j) {
        const double x = unit.nodes[j];
        closeness = std::min(closeness, std::abs(tau - x) / std::sqrt(1 - x * x));
        values[j] -= pole.residue / (x - tau);
      }
    }
    for (const Complex value : values) left_scale = std::max(left_scale, std::abs(value));
    if (n_poles > 0 && closeness > 0.03 && smooth(values, left_scale)) {
      Complex sum = 0, square_sum = 0;
      for (std::size_t j = 0; j < kNodes; ++j) {
        Complex rest = density[j] * inverse[j] * inverse[j];
        for (int k = 0; k < n_poles; ++k) {
          const Complex r = 1.0 / (unit.nodes[j] - poles[k].tau);
          rest += poles[k].residue_slope * r + poles[k].residue * poles[k].move * r * r;
        }
        sum += unit.weights[j] * values[j];
        square_sum += unit.weights[j] * rest;
      }
      for (int k = 0; k < n_poles; ++k) {
        const Pole& pole = poles[k];
        const Complex logarithm = pole.integral(),
                      log_slope = 1.0 / (pole.tau - 1.0) - 1.0 / (pole.tau + 1.0);
        sum += pole.residue * logarithm;
        square_sum -= pole.residue_slope * logarithm + pole.residue * log_slope * pole.move;
      }
      return add(w, mass, sum, square_sum, s);
    }
    add_near(panel, a, middle, w, root, level + 1, s);
    add_near(panel, middle, b, w, root, level + 1, s);
  }

  // From the integrals of 1/(w - d^2) and of its square; d^2/(w - d^2) = w/(w - d^2) - 1.
  static void add(Complex w, double mass, Complex inverse, Complex inverse_square, Sums& s) {
    s.inverse += inverse;
    s.moment += w * inverse - mass;
    s.inverse_square += inverse_square;
    s.moment_square += w * inverse_square - inverse;
  }

  std::vector<Panel> panels_;
  std::vector<double> square_, weight_;  // d^2 and probability: nodes of the panels, then atoms
  std::vector<double> slope_;            // d at the nodes
  std::vector<Atom> atoms_;
  std::vector<Interval> support_;
  double mean_ = 0, second_moment_ = 0;
};

}  // namespace deepglass::spectra
