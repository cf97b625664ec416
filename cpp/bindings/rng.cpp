#include "bindings.hpp"

namespace deepglass::bindings {

void bind_rng(py::module_&) {}

}  // namespace deepglass::bindings
