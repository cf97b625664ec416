// Mean field of wide random networks: activations, Gaussian averages of them, propagation of signals.
#pragma once

#include "deepglass/meanfield/activation.hpp"
#include "deepglass/meanfield/averages.hpp"
#include "deepglass/meanfield/fixed_point.hpp"
#include "deepglass/meanfield/propagation.hpp"
#include "deepglass/meanfield/two_point.hpp"
