#include "bindings.hpp"

namespace deepglass::bindings {

void bind_quadrature(py::module_&) {}

}  // namespace deepglass::bindings
