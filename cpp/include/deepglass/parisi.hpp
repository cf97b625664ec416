// The family parisi: replica-symmetry-breaking iteration.
#pragma once

#include "deepglass/parisi/deep_perceptron.hpp"
#include "deepglass/parisi/franz_parisi.hpp"
#include "deepglass/parisi/gaussian_field.hpp"
#include "deepglass/parisi/hierarchical.hpp"
#include "deepglass/parisi/hierarchical_equations.hpp"
#include "deepglass/parisi/layer_map.hpp"
#include "deepglass/parisi/message_passing.hpp"
#include "deepglass/parisi/perceptron.hpp"
#include "deepglass/parisi/recursion.hpp"
#include "deepglass/parisi/spin_glass.hpp"
#include "deepglass/parisi/wall.hpp"
