// Ising spin glasses: plain arrays in, plain arrays out.
#include "deepglass/parisi/spin_glass.hpp"

#include "bindings.hpp"
#include "deepglass/parisi/spin_glass_ground_state.hpp"

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

py::typing::Dict<py::str, py::object> spin_glass_ground_state(const Array& covariance,
                                                              const Array& breakpoints, double field,
                                                              bool thermal, bool jacobian, double resolution,
                                                              int repeats) {
  const auto a = vector(breakpoints, "breakpoints");
  const Index levels = a.size();
  require(levels >= 1 && levels <= 257,
          "breakpoints must have 1 to 257 entries, got " + std::to_string(levels));
  const auto lambda = vector(covariance, "covariance", levels + 1);
  for (Index i = 0; i <= levels; ++i) {
    const bool ok = i == 0 ? lambda[i] >= 0.0 : lambda[i] > lambda[i - 1];
    require(ok && std::isfinite(lambda[i]), "covariance must be >= 0, finite and increase strictly, got " +
                                                std::to_string(lambda[i]) + " at position " +
                                                std::to_string(i));
  }
  for (Index i = 0; i < levels; ++i) {
    require(a[i] > (i == 0 ? 0.0 : a[i - 1]) && std::isfinite(a[i]),
            "breakpoints must be finite, > 0 and increase strictly, got " + std::to_string(a[i]) +
                " at position " + std::to_string(i));
  }
  require(std::isfinite(field), "field must be finite, got " + std::to_string(field));
  require(resolution >= 0.5 && resolution <= 8.0,
          "resolution must be in [0.5, 8], got " + std::to_string(resolution));
  require(repeats >= 1, "repeats must be at least 1, got " + std::to_string(repeats));
  const StopToken stop = stop_token();
  parisi::SpinGlassGroundState recursion(lambda, a, field, thermal, resolution);
  {
    py::gil_scoped_release release;
    for (int r = 0; r < repeats; ++r) {
      recursion.run(stop);
      if (jacobian) recursion.differentiate(stop);
    }
  }
  Array slope_square(levels), breakpoint_slope(levels), matrix({jacobian ? levels : 0, levels});
  std::copy(recursion.slope_square.begin(), recursion.slope_square.end(), slope_square.mutable_data());
  std::copy(recursion.breakpoint_slope.begin(), recursion.breakpoint_slope.end(),
            breakpoint_slope.mutable_data());
  std::copy(recursion.jacobian.begin(), recursion.jacobian.end(), matrix.mutable_data());
  py::typing::Dict<py::str, py::object> result;
  result["value"] = recursion.value;
  result["slope_square"] = slope_square;
  result["breakpoint_slope"] = breakpoint_slope;
  result["magnetisation"] = recursion.magnetisation;
  result["curvature2"] = recursion.curvature2;
  result["curvature3"] = recursion.curvature3;
  result["third2"] = recursion.third2;
  result["mass"] = recursion.mass;
  result["jacobian"] = matrix;
  result["n_points"] = recursion.points();
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
  m.def("spin_glass_ground_state", &spin_glass_ground_state, "covariance"_a, "breakpoints"_a, "field"_a = 0.0,
        py::kw_only(), "thermal"_a = false, "jacobian"_a = false, "resolution"_a = 1.0, "repeats"_a = 1,
        R"(The same recursion in units of the field, at zero temperature or (``thermal``) at 1/a_k.

``covariance`` (k+1,) of the field, the last one that of the overlap 1, and ``breakpoints`` a_i = beta m_i (k,);
slope_square and the jacobian are those of the k outer levels.  See deepglass.reference.spin_glass.)");
}

}  // namespace deepglass::bindings
