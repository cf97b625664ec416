// Kernels of infinitely wide networks: plain arrays in, plain arrays out.
#include "deepglass/kernels.hpp"

#include <optional>
#include <tuple>

#include "bindings.hpp"

namespace deepglass::bindings {

namespace {

using namespace deepglass::kernels;

void require_variance(double value, const char* name) {
  require(value >= 0 && std::isfinite(value),
          std::string(name) + " must be a finite number >= 0, got " + std::to_string(value));
}

// The kernel keeps the activation it was made with.
struct KernelOfInputs {
  Activation activation;
  std::unique_ptr<Kernel> kernel;
};

void require_inputs(const Array& x, const char* name) {
  require(x.ndim() == 2 && x.shape(0) >= 1 && x.shape(1) >= 1,
          std::string(name) + " must have shape (n, d), n and d >= 1, got " + shape_text(x));
  require_finite(view(x), name);
}

std::unique_ptr<KernelOfInputs> make_kernel(const Activation& activation, Index hidden_layers,
                                            double weight_variance, double bias_variance, const Array& x1,
                                            const std::optional<Array>& x2, int threads) {
  require(hidden_layers >= 0, "hidden_layers must be >= 0, got " + std::to_string(hidden_layers));
  require_variance(weight_variance, "weight_variance");
  require_variance(bias_variance, "bias_variance");
  require_inputs(x1, "x1");
  if (x2) {
    require_inputs(*x2, "x2");
    require(x2->shape(1) == x1.shape(1), "x2 must have shape (n2, " + std::to_string(x1.shape(1)) +
                                             "), as x1 has, got " + shape_text(*x2));
  }
  auto made = std::make_unique<KernelOfInputs>(KernelOfInputs{activation, nullptr});
  const StopToken stop = stop_token();
  const Span<const double> rows = view(x1), columns = x2 ? view(*x2) : rows;
  const Index n1 = x1.shape(0), n2 = x2 ? x2->shape(0) : n1, d = x1.shape(1);
  {
    const py::gil_scoped_release release;
    const Network network{&made->activation, hidden_layers, weight_variance, bias_variance};
    made->kernel = std::make_unique<Kernel>(network, rows, n1, x2 ? &columns : nullptr, n2, d, threads, stop);
  }
  return made;
}

template <class Number>
using Out = py::array_t<Number, py::array::c_style>;

// Where a block goes: an array that is written in place.
template <class Number>
Number* place(std::optional<Out<Number>>& out, const Block& block, const char* name) {
  if (!out) return nullptr;
  require(out->ndim() == 2 && out->shape(0) == block.n_rows && out->shape(1) == block.n_columns,
          std::string(name) + " must have shape (" + std::to_string(block.n_rows) + ", " +
              std::to_string(block.n_columns) + "), got " + shape_text(*out));
  return out->mutable_data();
}

template <class Number>
void compute(const KernelOfInputs& made, std::pair<Index, Index> rows, std::pair<Index, Index> columns,
             std::optional<Out<Number>> covariance, std::optional<Out<Number>> tangent, int threads) {
  const Kernel& kernel = *made.kernel;
  const auto inside = [](const std::pair<Index, Index>& range, Index n, const char* name) {
    require(0 <= range.first && range.first < range.second && range.second <= n && range.first % kTile == 0,
            std::string(name) + " must be a range within 0.." + std::to_string(n) +
                " that begins at a multiple of " + std::to_string(kTile) + ", got " +
                std::to_string(range.first) + ".." + std::to_string(range.second));
  };
  inside(rows, kernel.n_rows(), "rows");
  inside(columns, kernel.n_columns(), "columns");
  const Block block{rows.first, rows.second - rows.first, columns.first, columns.second - columns.first};
  Number *k = place(covariance, block, "covariance"), *theta = place(tangent, block, "tangent");
  const StopToken stop = stop_token();
  const py::gil_scoped_release release;
  kernel.compute(block, k, theta, block.n_columns, threads, stop);
}

py::typing::Tuple<Array, Array> diagonal(const KernelOfInputs& made) {
  const Index n = made.kernel->n_rows();
  Array k(n), theta(n);
  for (Index i = 0; i < n; ++i) {
    std::tie(k.mutable_data()[i], theta.mutable_data()[i]) = made.kernel->diagonal(i);
  }
  return py::make_tuple(k, theta);
}

}  // namespace

void bind_kernels(py::module_& m) {
  m.attr("kernels_tile") = kTile;
  py::class_<KernelOfInputs>(m, "InfiniteKernel", py::module_local(),
                             "Covariance and tangent kernel of the rows of x1 with those of x2, or of x1.")
      .def(py::init(&make_kernel), py::arg("activation"), py::arg("hidden_layers"),
           py::arg("weight_variance"), py::arg("bias_variance"), py::arg("x1"), py::arg("x2") = py::none(),
           py::kw_only(), py::arg("threads") = 0)
      .def("diagonal", &diagonal, "K(x, x) and Theta(x, x) of each row of x1.")
      .def("compute", &compute<double>, py::arg("rows"), py::arg("columns"),
           py::arg("covariance").noconvert() = py::none(), py::arg("tangent").noconvert() = py::none(),
           py::kw_only(), py::arg("threads") = 0,
           "Write a block, rows [r0, r1) and columns [c0, c1), that begin at multiples of kernels_tile.")
      .def("compute", &compute<float>, py::arg("rows"), py::arg("columns"),
           py::arg("covariance").noconvert() = py::none(), py::arg("tangent").noconvert() = py::none(),
           py::kw_only(), py::arg("threads") = 0);
}

}  // namespace deepglass::bindings
