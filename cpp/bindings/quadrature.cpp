#include "deepglass/quadrature.hpp"

#include <optional>

#include "bindings.hpp"

namespace deepglass::bindings {

namespace {

py::typing::Tuple<py::array_t<double>, py::array_t<double>> arrays(const Rule& rule) {
  const auto copy = [](const std::vector<double>& v) {
    return Array(static_cast<py::ssize_t>(v.size()), v.data());
  };
  return py::make_tuple(copy(rule.nodes), copy(rule.weights));
}

}  // namespace

void bind_quadrature(py::module_& m) {
  m.def(
      "gauss_hermite", [](int n) { return arrays(gauss_hermite(n)); }, py::arg("n"),
      R"(Nodes and weights with sum w f(x) = E f(z), z standard normal.

Exact for polynomials of degree below 2 n; nodes increase, weights sum to 1.)");
  m.def(
      "gauss_legendre", [](int n, double a, double b) { return arrays(gauss_legendre(n, a, b)); },
      py::arg("n"), py::arg("a") = -1.0, py::arg("b") = 1.0,
      R"(Nodes and weights for the integral over [a, b]; exact for polynomials of degree below 2 n.)");
  m.def(
      "panel_rule",
      [](const Array& breaks, int n_nodes) { return arrays(panel_rule(vector(breaks, "breaks"), n_nodes)); },
      py::arg("breaks"), py::arg("n_nodes"),
      R"(Gauss-Legendre with n_nodes in each panel between consecutive breaks, an increasing array.)");
  m.def(
      "sinh_rule",
      [](double scale, double left, double right, double dt) {
        return arrays(sinh_rule(scale, left, right, dt));
      },
      py::arg("scale"), py::arg("left"), py::arg("right"), py::arg("dt"),
      R"(Trapezoidal rule on the graded nodes h_j = scale sinh(j dt) that cover [left, right].

For integrands that vary on ``scale`` near 0 and have decayed at the ends.)");
  m.def(
      "log_sum_exp",
      [](const Array& x, const std::optional<Array>& weights) {
        if (!weights) return log_sum_exp(vector(x, "x"));
        return log_sum_exp(vector(x, "x"), vector(*weights, "weights", x.shape(0)));
      },
      py::arg("x"), py::arg("weights") = py::none(),
      R"(log sum_j weights_j exp(x_j), without overflow; -inf for an empty sum.)");
}

}  // namespace deepglass::bindings
