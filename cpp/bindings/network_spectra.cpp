// Spectra of networks: factories of measures, no arithmetic.
#include <memory>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "deepglass/spectra.hpp"

namespace deepglass::bindings {

namespace {

using namespace spectra;  // NOLINT: this file is about nothing else
using meanfield::Activation;

using Law = std::shared_ptr<const SlopeLaw>;

Law slope_law(const Activation& activation, double q) {
  const py::gil_scoped_release release;  // callables take it back
  return std::make_shared<const SlopeLaw>(activation, q);
}

MeasurePointer jacobian(const Activation& activation, double variance, double weight_variance, int depth,
                        bool gaussian) {
  return std::make_shared<Implicit<Jacobian>>(
      Jacobian(slope_law(activation, variance), weight_variance, depth, gaussian));
}

MeasurePointer fisher(const Activation& activation, const Array& variances, const Array& squares,
                      double weight_variance) {
  std::vector<Law> laws;
  const std::vector<double> q = numbers(variances, "variances");
  for (std::size_t l = 0; l < q.size(); ++l) {
    laws.push_back(l > 0 && q[l] == q[l - 1] ? laws.back() : slope_law(activation, q[l]));
  }
  const Span<const double> qhat = vector(squares, "squares", static_cast<Index>(q.size()));
  if (laws.empty()) throw std::invalid_argument("variances must not be empty");
  return conditional_fisher_product({qhat.begin(), qhat.end()}, laws, weight_variance);
}

MeasurePointer tangent_kernel(const MeasurePointer& input, const Array& ratios, double slope_square,
                              double mean_slope_square) {
  std::vector<double> gamma = numbers(ratios, "ratios");
  const py::gil_scoped_release release;
  return std::make_shared<Implicit<NeuralTangentKernel>>(
      NeuralTangentKernel(input, std::move(gamma), slope_square, mean_slope_square));
}

}  // namespace

void bind_network_spectra(py::module_& m) {
  m.def(
      "slope_law",
      [](const Activation& activation, double variance) -> MeasurePointer {
        return slope_law(activation, variance);
      },
      py::arg("activation"), py::arg("variance"), "Law of phi'(sqrt(variance) h)^2, h standard normal.");
  m.def("jacobian_spectrum", &jacobian, py::arg("activation"), py::arg("variance"),
        py::arg("weight_variance"), py::arg("depth"), py::arg("gaussian"),
        "Law of J J^T, J = prod D_l W_l, with orthogonal or Gaussian weights.");
  m.def(
      "residual_limit",
      [](double strength) -> MeasurePointer {
        return std::make_shared<Implicit<ResidualLimit>>(ResidualLimit(strength));
      },
      py::arg("strength"), "Law of J J^T, J = prod (1 + a D_l W_l) of infinitely many factors.");
  m.def(
      "signed_root",
      [](const MeasurePointer& mu) -> MeasurePointer { return std::make_shared<SignedRoot>(mu); },
      py::arg("mu"), "Law of +-sqrt(x), x >= 0.");
  m.def(
      "square", [](const MeasurePointer& mu) -> MeasurePointer { return std::make_shared<Square>(mu); },
      py::arg("mu"), "Law of x^2, x of a symmetric law.");
  m.def(
      "conjugate_kernel_spectrum",
      [](const MeasurePointer& input, const Array& ratios, double slope_square) {
        return conjugate_kernel(input, numbers(ratios, "ratios"), slope_square);
      },
      py::arg("input"), py::arg("ratios"), py::arg("slope_square"), "Limit of X_L^T X_L, 0 < b^2 <= 1.");
  m.def("ntk_spectrum", &tangent_kernel, py::arg("input"), py::arg("ratios"), py::arg("slope_square"),
        py::arg("mean_slope_square"), "Limit of the neural tangent kernel, 0 < b^2 <= 1.");
  m.def(
      "conditional_fisher_product", &fisher, py::arg("activation"), py::arg("variances"), py::arg("squares"),
      py::arg("weight_variance"),
      "Law of D Theta D in the last layer but one; variances q_1 .. q_{L-1}, squares qhat_0 .. qhat_{L-2}.");
}

}  // namespace deepglass::bindings
