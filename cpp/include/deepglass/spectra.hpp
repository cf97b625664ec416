// Free probability and the spectra built on it.
#pragma once

#include "deepglass/spectra/density.hpp"
#include "deepglass/spectra/evaluate.hpp"
#include "deepglass/spectra/free_convolution.hpp"
#include "deepglass/spectra/jacobian.hpp"
#include "deepglass/spectra/layer_chain.hpp"
#include "deepglass/spectra/neural_tangent_kernel.hpp"
#include "deepglass/spectra/symmetric.hpp"
