#include "deepglass/vmath.hpp"

#include <algorithm>
#include <functional>
#include <optional>

#include "bindings.hpp"

namespace deepglass::bindings {

namespace {

using ArrayFunction = void (*)(Span<const double>, Span<double>);
using OutArray = py::array_t<double, py::array::c_style>;  // written in place, hence never converted

// y = f(x), a new array or `out`, which may be x itself but not overlap it otherwise.
OutArray apply(ArrayFunction f, const Array& x, const std::optional<OutArray>& out) {
  const std::vector<py::ssize_t> shape(x.shape(), x.shape() + x.ndim());
  OutArray y = out ? *out : OutArray(shape);
  if (!std::equal(shape.begin(), shape.end(), y.shape(), y.shape() + y.ndim())) {
    throw std::invalid_argument("out must have shape " + shape_text(x) + ", got " + shape_text(y));
  }
  const Span<const double> from = view(x);
  const Span<double> to{y.mutable_data(), from.size()};
  const std::less<const double*> before;
  if (from.data() != to.data() && before(from.begin(), to.end()) && before(to.begin(), from.end())) {
    throw std::invalid_argument("out must be x itself or not overlap it");
  }
  py::gil_scoped_release release;
  f(from, to);
  return y;
}

void bind(py::module_& m, const char* name, ArrayFunction f, const char* doc) {
  m.def(
      name, [f](const Array& x, const std::optional<OutArray>& out) { return apply(f, x, out); },
      py::arg("x"), py::arg("out").noconvert() = py::none(), doc);
}

}  // namespace

void bind_vmath(py::module_& m) {
  bind(m, "vmath_exp", vmath::exp, "e^x.");
  bind(m, "vmath_expm1", vmath::expm1, "e^x - 1.");
  bind(m, "vmath_log", vmath::log, "ln x.");
  bind(m, "vmath_log1p", vmath::log1p, "ln(1 + x).");
  bind(m, "vmath_tanh", vmath::tanh, "tanh x.");
  bind(m, "vmath_log_2cosh", vmath::log_2cosh, "ln(2 cosh x).");
  bind(m, "vmath_asin", vmath::asin, "asin x.");
  bind(m, "vmath_erf", vmath::erf, "erf x = (2 / sqrt(pi)) int_0^x exp(-t^2) dt.");
  bind(m, "vmath_erfc", vmath::erfc, "erfc x = 1 - erf x.");
  bind(m, "vmath_normal_cdf", vmath::normal_cdf,
       "Phi(x), the distribution function of the standard normal law.");
  bind(m, "vmath_log_normal_cdf", vmath::log_normal_cdf, "ln Phi(x).");
  bind(m, "vmath_log_normal_sf", vmath::log_normal_sf, "ln Phi(-x).");
  bind(m, "vmath_inverse_mills_ratio", vmath::inverse_mills_ratio,
       "R(x) = phi(x) / Phi(x) = (d/dx) ln Phi(x).");
  bind(m, "vmath_inverse_mills_ratio_slope", vmath::inverse_mills_ratio_slope, "(d/dx) R(x) = -R (R + x).");
}

}  // namespace deepglass::bindings
