// Monte Carlo of perceptron networks at finite width (H. Yoshino, SciPost Phys. Core 2, 005 (2020)).
#pragma once

#include "deepglass/mc/free_networks.hpp"
#include "deepglass/mc/slaved.hpp"
