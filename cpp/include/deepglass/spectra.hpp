// Free probability and the spectra built on it.
#pragma once

#include "deepglass/spectra/density.hpp"
#include "deepglass/spectra/evaluate.hpp"
#include "deepglass/spectra/free_convolution.hpp"
