// Fields before a wall: plain arrays in, plain arrays out.
#include "deepglass/parisi/wall.hpp"

#include "bindings.hpp"
#include "gap_potential.hpp"

namespace deepglass::bindings {

namespace {

py::typing::Dict<py::str, py::object> wall_recursion(const Array& overlap, const Array& breakpoints,
                                                     double margin, const std::string& potential, double beta,
                                                     bool jamming, bool jacobian, bool hessian, bool gaps,
                                                     double resolution) {
  const auto q = vector(overlap, "overlap");
  const Index levels = q.size();
  require(levels >= 1 && levels <= 129, "overlap must have 1 to 129 entries, got " + std::to_string(levels));
  const auto y = vector(breakpoints, "breakpoints", jamming ? levels : levels - 1);
  for (Index i = 0; i < levels; ++i) {
    require(q[i] > (i == 0 ? 0.0 : q[i - 1]) && q[i] < 1.0,
            "overlap must increase strictly within (0, 1), got " + std::to_string(q[i]) + " at position " +
                std::to_string(i));
  }
  for (Index i = 0; i < y.size(); ++i) {
    require(y[i] > (i == 0 ? 0.0 : y[i - 1]) && y[i] < (jamming ? 1e12 : 1.0),
            std::string("breakpoints must increase strictly within ") + (jamming ? "(0, 1e12)" : "(0, 1)") +
                ", got " + std::to_string(y[i]) + " at position " + std::to_string(i));
  }
  require(std::isfinite(margin) && std::fabs(margin) <= 8.0,
          "margin must be in [-8, 8], got " + std::to_string(margin));
  require(!jamming || potential == "hard", "potential must be 'hard' at jamming, got '" + potential + "'");
  require(resolution >= 0.5 && resolution <= 4.0,
          "resolution must be in [0.5, 4], got " + std::to_string(resolution));
  const StopToken stop = stop_token();
  parisi::PerceptronModel model;
  model.margin = margin;
  set_potential(model, potential, beta);
  parisi::WallRecursion recursion(q, y, model, resolution, gaps);
  {
    py::gil_scoped_release release;
    recursion.run(stop);
    if (jacobian || hessian) recursion.differentiate(hessian, stop);
  }
  const auto array = [](const std::vector<double>& x) {
    return Array(static_cast<Index>(x.size()), x.data());
  };
  const auto matrix = [&](const std::vector<double>& x) {
    Array out({x.empty() ? 0 : levels, levels});
    std::copy(x.begin(), x.end(), out.mutable_data());
    return out;
  };
  py::typing::Dict<py::str, py::object> result;
  result["value"] = recursion.value;
  result["slope"] = recursion.slope;
  result["slope_square"] = array(recursion.slope_square);
  result["breakpoint_slope"] = array(recursion.breakpoint_slope);
  result["curvature_square"] = recursion.curvature_square;
  result["energy"] = recursion.energy;
  result["overlap_jacobian"] = matrix(recursion.overlap_jacobian);
  result["breakpoint_jacobian"] = matrix(recursion.breakpoint_jacobian);
  result["breakpoint_hessian"] = matrix(recursion.breakpoint_hessian);
  result["field"] = array(recursion.fields());
  result["log_weight"] = array(recursion.values());
  result["measure"] = array(recursion.measure());
  result["n_entries"] = recursion.entries();
  return result;
}

}  // namespace

void bind_wall(py::module_& m) {
  using namespace py::literals;
  m.def("wall_recursion", &wall_recursion, "overlap"_a, "breakpoints"_a, "margin"_a, py::kw_only(),
        "potential"_a = "hard", "beta"_a = 0.0, "jamming"_a = true, "jacobian"_a = false, "hessian"_a = false,
        "gaps"_a = false, "resolution"_a = 1.0,
        R"(The Parisi recursion of a field before a wall; see deepglass.reference.jamming.

``overlap`` (n,), ``breakpoints`` (n,) y_i at jamming, else (n-1,) m_i.  ``potential`` and ``beta``: of the cost behind
the wall.  ``jacobian``: of slope_square by the overlaps;
``hessian``: also what has to do with the breakpoints.  ``gaps``: the innermost grid (``field``, ``log_weight``,
``measure``) goes on to all fields on the right of the wall.)");
}

}  // namespace deepglass::bindings
