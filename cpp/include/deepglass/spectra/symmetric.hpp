// Singular values with random signs, and back: what sums of free R-diagonal elements are made of.
#pragma once

#include "deepglass/spectra/measure.hpp"

namespace deepglass::spectra {

// Law of +-sqrt(x), both signs equally likely, x >= 0 of law mu:  G(z) = z G_mu(z^2).
class SignedRoot final : public Measure {
 public:
  explicit SignedRoot(MeasurePointer mu) : mu_(std::move(mu)) {}

  Value cauchy(Complex z) const override {
    const bool left = z.real() < 0;  // G(-conj z) = -conj G(z)
    if (left) z = -std::conj(z);
    const Value g = mu_->cauchy(z * z);
    const Value out{z * g.value, g.value + 2.0 * z * z * g.slope};
    return left ? Value{-std::conj(out.value), std::conj(out.slope)} : out;
  }

  std::vector<Interval> support() const override {
    std::vector<Interval> parts;
    for (const Interval& part : mu_->support())
      parts.push_back({std::sqrt(part.left), std::sqrt(part.right)});
    std::vector<Interval> all;
    for (auto part = parts.rbegin(); part != parts.rend(); ++part) all.push_back({-part->right, -part->left});
    for (const Interval& part : parts) {
      if (!all.empty() && all.back().right >= part.left) {
        all.back().right = part.right;
      } else {
        all.push_back(part);
      }
    }
    return all;
  }

  std::vector<Atom> atoms() const override {
    const std::vector<Atom> squares = mu_->atoms();
    std::vector<Atom> all;
    for (auto atom = squares.rbegin(); atom != squares.rend(); ++atom) {
      if (atom->position > 0) all.push_back({-std::sqrt(atom->position), 0.5 * atom->mass});
    }
    for (const Atom& atom : squares) {
      all.push_back({std::sqrt(atom.position), atom.position > 0 ? 0.5 * atom.mass : atom.mass});
    }
    return all;
  }

 private:
  MeasurePointer mu_;
};

// Law of x^2, x of a symmetric law mu:  G(z) = G_mu(sqrt z)/sqrt z.
class Square final : public Measure {
 public:
  explicit Square(MeasurePointer mu) : mu_(std::move(mu)) {}

  Value cauchy(Complex z) const override {
    const Complex root = std::sqrt(Complex(z.real(), z.imag() > 0 ? z.imag() : 0.0));
    return from(z, root, mu_->cauchy(root));
  }

  void cauchy_in_order(Span<const Complex> z, Span<Value> out) const override {
    std::vector<Complex> roots;
    for (const Complex each : z)
      roots.push_back(std::sqrt(Complex(each.real(), each.imag() > 0 ? each.imag() : 0.0)));
    mu_->cauchy_in_order(roots, out);
    for (Index i = 0; i < z.size(); ++i) out[i] = from(z[i], roots[static_cast<std::size_t>(i)], out[i]);
  }

  std::vector<Interval> support() const override {
    std::vector<Interval> parts;
    for (const Interval& part : mu_->support()) {
      if (part.right <= 0) continue;
      const double left = std::max(part.left, 0.0);
      parts.push_back({left * left, part.right * part.right});
    }
    return parts;
  }

  std::vector<Atom> atoms() const override {
    std::vector<Atom> all;
    for (const Atom& atom : mu_->atoms()) {
      if (atom.position >= 0) {
        all.push_back({atom.position * atom.position, atom.position > 0 ? 2 * atom.mass : atom.mass});
      }
    }
    return all;
  }

 private:
  static Value from(Complex z, Complex root, const Value& g) {
    const Complex value = g.value / root;
    return {value, (g.slope - value) / (2.0 * z)};
  }

  MeasurePointer mu_;
};

}  // namespace deepglass::spectra
