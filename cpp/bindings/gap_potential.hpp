// The potential of a gap by its name.
#pragma once

#include <string>

#include "bindings.hpp"
#include "deepglass/parisi/perceptron.hpp"

namespace deepglass::bindings {

inline void set_potential(parisi::PerceptronModel& model, const std::string& potential, double beta) {
  using parisi::GapPotential;
  require(potential == "hard" || potential == "soft" || potential == "count",
          "potential must be 'hard', 'soft' or 'count', got '" + potential + "'");
  model.potential = potential == "hard"   ? GapPotential::kHard
                    : potential == "soft" ? GapPotential::kSoft
                                          : GapPotential::kCount;
  if (model.potential == GapPotential::kHard) return;
  const double most = model.potential == GapPotential::kSoft ? 1e6 : 100.0;
  require(beta > 0.0 && beta <= most,
          "beta must be > 0 and at most " + std::to_string(most) + ", got " + std::to_string(beta));
  model.beta = beta;
}

}  // namespace deepglass::bindings
