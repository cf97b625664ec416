// Shared by all bindings: array checks, the stop token that sees Python's signals, and the list of families.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/typing.h>

#include <cmath>
#include <string>
#include <vector>

#include "deepglass/core.hpp"

namespace py = pybind11;

namespace deepglass::bindings {

// C-contiguous doubles; anything numeric is converted, a copy is made only where needed.
using Array = py::array_t<double, py::array::c_style | py::array::forcecast>;
using Arrays = py::typing::Dict<py::str, py::array>;  // results by name

void bind_errors(py::module_& m);  // in parallel.cpp, next to the stop token
void bind_parallel(py::module_& m);
void bind_vmath(py::module_& m);
void bind_quadrature(py::module_& m);
void bind_rng(py::module_& m);
void bind_parisi(py::module_& m);
void bind_franz_parisi(py::module_& m);
void bind_mc(py::module_& m);
void bind_mc_slaved(py::module_& m);
void bind_meanfield(py::module_& m);
void bind_perceptron(py::module_& m);
void bind_kernels(py::module_& m);
void bind_spin_glass(py::module_& m);
void bind_hard_wall(py::module_& m);
void bind_spectra(py::module_& m);
void bind_network_spectra(py::module_& m);
void bind_contour(py::module_& m);
void bind_contour_flux(py::module_& m);
void bind_lattice(py::module_& m);

inline void require(bool ok, const std::string& message) {
  if (!ok) throw std::invalid_argument(message);
}

inline std::string shape_text(const py::array& a) {
  std::string text = "(";
  for (py::ssize_t d = 0; d < a.ndim(); ++d) text += (d ? ", " : "") + std::to_string(a.shape(d));
  return text + (a.ndim() == 1 ? ",)" : ")");
}

inline Span<const double> view(const Array& a) {
  return {a.data(), static_cast<Index>(a.size())};
}
inline Span<double> mutable_view(Array& a) {
  return {a.mutable_data(), static_cast<Index>(a.size())};
}

// One dimension, of the given length where size >= 0.
inline Span<const double> vector(const Array& a, const char* name, Index size = -1) {
  if (a.ndim() != 1 || (size >= 0 && a.shape(0) != size)) {
    const std::string wanted = size >= 0 ? "(" + std::to_string(size) + ",)" : "(n,)";
    throw std::invalid_argument(std::string(name) + " must have shape " + wanted + ", got " + shape_text(a));
  }
  return view(a);
}

inline std::vector<double> numbers(const Array& a, const char* name) {
  const Span<const double> x = vector(a, name);
  return {x.begin(), x.end()};
}

// Two dimensions, of the given shape; rows one after the other.
inline Span<const double> table(const Array& a, const char* name, Index rows, Index columns) {
  if (a.ndim() != 2 || a.shape(0) != rows || a.shape(1) != columns) {
    throw std::invalid_argument(std::string(name) + " must have shape (" + std::to_string(rows) + ", " +
                                std::to_string(columns) + "), got " + shape_text(a));
  }
  return view(a);
}

inline void require_finite(Span<const double> x, const char* name) {
  for (const double value : x) {
    if (!std::isfinite(value)) {
      throw std::invalid_argument(std::string(name) + " must be finite, got " + std::to_string(value));
    }
  }
}

// True when a Python signal (Ctrl-C) is pending; the Python error is then set.  Takes the GIL.
bool python_signal_pending();

// For kernels that run with the GIL released; called on the thread that entered the binding.
inline StopToken stop_token() {
  return StopToken(&python_signal_pending);
}

}  // namespace deepglass::bindings
