#include "bindings.hpp"

namespace deepglass::bindings {

void bind_parisi(py::module_&) {}

}  // namespace deepglass::bindings
