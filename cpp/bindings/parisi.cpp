// The Parisi recursion for one Gaussian-field term.
#include <vector>

#include "bindings.hpp"
#include "deepglass/parisi/recursion.hpp"

namespace deepglass::bindings {

namespace {

py::dict parisi_recursion(const std::string& terminal, const Array& variance, const Array& breakpoints,
                          double deficit, double width, double shift, double outer_breakpoint,
                          double resolution, int repeats) {
  const Span<const double> d = vector(variance, "variance");
  if (d.size() < 1) throw std::invalid_argument("variance must have shape (k+1,), got (0,)");
  const Index k = d.size() - 1;
  const Span<const double> m = vector(breakpoints, "breakpoints", k);
  require_finite(d, "variance");
  require_finite(m, "breakpoints");
  if (outer_breakpoint == 0.0) {
    for (Index i = 0; i < k; ++i) {
      if (!(m[i] > 0.0 && m[i] <= 1.0) || (i > 0 && m[i] < m[i - 1])) {
        throw std::invalid_argument("breakpoints must increase within (0, 1], got " + std::to_string(m[i]) +
                                    " at position " + std::to_string(i));
      }
    }
  }
  const bool wall = terminal == "wall";
  if (!wall && terminal != "spin") {
    throw std::invalid_argument("terminal must be \"wall\" or \"spin\", got \"" + terminal + "\"");
  }
  Array slope_square(k + 1), mass(k + 1), breakpoint_slope(k);
  parisi::Slopes out;
  out.slope_square = mutable_view(slope_square);
  out.mass = mutable_view(mass);
  out.breakpoint_slope = mutable_view(breakpoint_slope);
  parisi::Workspace workspace;
  {
    py::gil_scoped_release release;
    const parisi::Levels levels{d, m, deficit, outer_breakpoint};
    for (int r = 0; r < repeats; ++r) {
      if (wall) {
        parisi::recursion(parisi::HardWall{width, shift}, levels, workspace, out, resolution);
      } else {
        parisi::recursion(parisi::IsingSpin{}, levels, workspace, out, resolution);
      }
    }
  }
  py::dict result;
  result["value"] = out.value;
  result["slope_square"] = slope_square;
  result["replicon"] = out.replicon;
  result["one_minus_last"] = out.one_minus_last;
  result["mass"] = mass;
  result["breakpoint_slope"] = breakpoint_slope;
  result["n_steps"] = workspace.n_steps();
  result["n_items"] = workspace.n_items();
  return result;
}

}  // namespace

void bind_parisi(py::module_& m) {
  using namespace py::literals;
  m.def("parisi_recursion", &parisi_recursion, "terminal"_a, "variance"_a, "breakpoints"_a, py::kw_only(),
        "deficit"_a = 1.0, "width"_a = 0.0, "shift"_a = 0.0, "outer_breakpoint"_a = 0.0, "resolution"_a = 1.0,
        "repeats"_a = 1,
        R"(The k-step recursion of one Gaussian-field term; see deepglass.reference.parisi_recursion.

``terminal`` is "wall" or "spin", ``variance`` (k+1,) the increments of the covariance, ``breakpoints`` (k,).
``repeats`` runs the kernel so many times with one workspace, for timing.)");
}

}  // namespace deepglass::bindings
