// Covariance (NNGP) and tangent (NTK) kernels of infinitely wide networks.
#pragma once

#include "deepglass/kernels/hermite_table.hpp"
#include "deepglass/kernels/inputs.hpp"
#include "deepglass/kernels/layer_maps.hpp"
#include "deepglass/kernels/near_one.hpp"
#include "deepglass/kernels/tiles.hpp"
