// The extension module: one bind_<family> call each, nothing else.
#include "bindings.hpp"

PYBIND11_MODULE(DEEPGLASS_MODULE, m, py::mod_gil_not_used()) {
  m.doc() = "deepglass kernels, compiled for one CPU level; plain arrays in, plain arrays out.";
  m.attr("isa") = DEEPGLASS_ISA;
  m.attr("version") = DEEPGLASS_VERSION;
  deepglass::bindings::bind_errors(m);
  deepglass::bindings::bind_parallel(m);
  deepglass::bindings::bind_vmath(m);
  deepglass::bindings::bind_quadrature(m);
  deepglass::bindings::bind_rng(m);
  deepglass::bindings::bind_parisi(m);
  deepglass::bindings::bind_franz_parisi(m);
  deepglass::bindings::bind_hard_wall(m);
  deepglass::bindings::bind_mc(m);
  deepglass::bindings::bind_mc_slaved(m);
  deepglass::bindings::bind_meanfield(m);
  deepglass::bindings::bind_perceptron(m);
  deepglass::bindings::bind_kernels(m);
  deepglass::bindings::bind_spin_glass(m);
  deepglass::bindings::bind_spectra(m);
  deepglass::bindings::bind_network_spectra(m);
  deepglass::bindings::bind_contour(m);
  deepglass::bindings::bind_contour_flux(m);
  deepglass::bindings::bind_lattice(m);
}
