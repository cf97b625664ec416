#include "bindings.hpp"

namespace deepglass::bindings {

void bind_vmath(py::module_&) {}

}  // namespace deepglass::bindings
