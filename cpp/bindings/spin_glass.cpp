// Ising spin glasses: plain arrays in, plain arrays out.
#include "deepglass/parisi/spin_glass.hpp"

#include "bindings.hpp"

namespace deepglass::bindings {

namespace {

py::typing::Dict<py::str, py::object> spin_glass_recursion(const Array& covariance, const Array& breakpoints,
                                                           double field, bool jacobian, double resolution,
                                                           int repeats) {
  const auto lambda = vector(covariance, "covariance");
  const Index levels = lambda.size();
  require(levels >= 1 && levels <= 257,
          "covariance must have 1 to 257 entries, got " + std::to_string(levels));
  const auto m = vector(breakpoints, "breakpoints", levels - 1);
  for (Index i = 0; i < levels; ++i) {
    require(std::isfinite(lambda[i]) && lambda[i] >= (i == 0 ? 0.0 : lambda[i - 1]),
            "covariance must be >= 0, finite and must not decrease, got " + std::to_string(lambda[i]) +
                " at position " + std::to_string(i));
  }
  for (Index i = 0; i < m.size(); ++i) {
    require(m[i] > (i == 0 ? 0.0 : m[i - 1]) && m[i] <= 1.0,
            "breakpoints must increase strictly within (0, 1], got " + std::to_string(m[i]) +
                " at position " + std::to_string(i));
  }
  require(std::isfinite(field), "field must be finite, got " + std::to_string(field));
  require(resolution >= 0.5 && resolution <= 8.0,
          "resolution must be in [0.5, 8], got " + std::to_string(resolution));
  require(repeats >= 1, "repeats must be at least 1, got " + std::to_string(repeats));
  const StopToken stop = stop_token();
  parisi::SpinGlassRecursion recursion(lambda, m, field, resolution);
  {
    py::gil_scoped_release release;
    for (int r = 0; r < repeats; ++r) {
      recursion.run(stop);
      if (jacobian) recursion.differentiate(stop);
    }
  }
  const auto array = [](const std::vector<double>& values) {
    return Array(static_cast<Index>(values.size()), values.data());
  };
  py::typing::Dict<py::str, py::object> result;
  result["value"] = recursion.value;
  result["slope_square"] = array(recursion.slope_square);
  result["breakpoint_slope"] = array(recursion.breakpoint_slope);
  result["magnetisation"] = recursion.magnetisation;
  result["mass"] = recursion.mass;
  result["n_points"] = recursion.points();
  if (jacobian) {
    result["jacobian"] = Array({levels, levels}, recursion.jacobian.data());
    result["curvature2"] = array(recursion.curvature2);
    result["curvature3"] = array(recursion.curvature3);
    result["third2"] = array(recursion.third2);
  }
  return result;
}

}  // namespace

void bind_spin_glass(py::module_& m) {
  using namespace py::literals;
  m.def("spin_glass_recursion", &spin_glass_recursion, "covariance"_a, "breakpoints"_a, "field"_a = 0.0,
        py::kw_only(), "jacobian"_a = false, "resolution"_a = 1.0, "repeats"_a = 1,
        R"(The Parisi recursion of Ising spins; see deepglass.reference.spin_glass.

``covariance`` (k+1,) of u = beta h, ``breakpoints`` (k,), ``field`` u_0.  With ``jacobian`` there are also the
derivatives of slope_square by the covariance (k+1, k+1) and the moments of f'' and f''' on each level.  ``repeats``
runs the kernel so many times, for timing.)");
}

}  // namespace deepglass::bindings
