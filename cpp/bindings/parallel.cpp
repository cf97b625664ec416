// Threads, errors and signals as Python sees them.
#include "bindings.hpp"

namespace deepglass::bindings {

bool python_signal_pending() {
  py::gil_scoped_acquire gil;
  return PyErr_CheckSignals() != 0;
}

void bind_errors(py::module_& m) {
  py::register_exception<NumericalError>(m, "NumericalError", PyExc_ArithmeticError);
  py::register_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const Stopped&) {
      // The signal handler has already set KeyboardInterrupt (or whatever it raised).
      if (!PyErr_Occurred()) PyErr_SetNone(PyExc_KeyboardInterrupt);
    }
  });
}

void bind_parallel(py::module_&) {}

}  // namespace deepglass::bindings
