// Contour deformation for the sign problem, and exact references for it.
#pragma once

#include "deepglass/contour/flux.hpp"
