// Mean field: plain arrays in, plain arrays out.
#include "deepglass/meanfield.hpp"

#include <memory>

#include "bindings.hpp"
#include "deepglass/parallel.hpp"

namespace deepglass::bindings {

namespace {

using namespace deepglass::meanfield;

using Two = py::typing::Tuple<Array, Array>;
using Four = py::typing::Tuple<Array, Array, Array, Array>;
using Callable = py::typing::Callable<Array(Array)>;

Activation built_in(const std::string& name, double alpha) {
  require(std::isfinite(alpha), "alpha must be finite, got " + std::to_string(alpha));
  for (const KindName& known : kKindNames) {
    if (name == known.name) return Activation(known.kind, alpha);
  }
  throw std::invalid_argument("no activation is called '" + name + "'");
}

// One Python callable over arrays.  Kernels call it from any thread, without the GIL.
class PythonFunction {
 public:
  PythonFunction(py::function function, const char* name)
      : function_(new py::function(std::move(function)),
                  [](py::function* f) {
                    const py::gil_scoped_acquire gil;
                    delete f;
                  }),
        name_(name) {}

  void operator()(Span<const double> u, Span<double> out) const {
    const py::gil_scoped_acquire gil;
    const py::object answer = (*function_)(Array(u.size(), u.data()));
    const Array y = Array::ensure(answer);
    if (!y) throw py::error_already_set();
    if (y.ndim() != 1 || y.shape(0) != u.size()) {
      throw std::invalid_argument(std::string(name_) + " must give an array of the shape of its argument, (" +
                                  std::to_string(u.size()) + ",), got " + shape_text(y));
    }
    std::copy(y.data(), y.data() + u.size(), out.data());
  }

 private:
  std::shared_ptr<py::function> function_;
  const char* name_;
};

Activation from_callable(Callable function, Callable derivative, std::vector<double> kinks) {
  const PythonFunction phi(std::move(function), "activation");
  const PythonFunction slope(std::move(derivative), "derivative");
  const auto both = [phi, slope](Span<const double> u, Span<double> value, Span<double> d) {
    phi(u, value);
    slope(u, d);
  };
  require_finite(Span<const double>(kinks), "kinks");
  return Activation(both, std::move(kinks));
}

Two evaluate(const Activation& activation, const Array& u) {
  const auto in = vector(u, "u");
  Array value(in.size()), slope(in.size());
  const auto value_out = mutable_view(value), slope_out = mutable_view(slope);
  {
    const py::gil_scoped_release release;
    activation.evaluate(in, value_out, slope_out);
  }
  return py::make_tuple(value, slope);
}

Array to_array(const std::vector<double>& x) {
  return Array(static_cast<Index>(x.size()), x.data());
}

Four nodes(const Activation& activation, double q) {
  GaussianNodes n;
  {
    const py::gil_scoped_release release;
    n = gaussian_nodes(activation, q);
  }
  return py::make_tuple(to_array(n.z), to_array(n.weight), to_array(n.phi), to_array(n.slope));
}

// Arrays (n,) that kernels fill by index, under their names.
class Columns {
 public:
  explicit Columns(Index n) : n_(n) {}
  double* add(const char* name) {
    Array column(n_);
    double* data = column.mutable_data();
    arrays_[name] = column;
    return data;
  }
  bool* add_flags(const char* name) {
    py::array_t<bool> column(n_);
    bool* data = column.mutable_data();
    arrays_[name] = column;
    return data;
  }
  Arrays arrays() const { return arrays_; }

 private:
  Index n_;
  Arrays arrays_;
};

Arrays moments_of(const Activation& activation, const Array& variance, int threads) {
  const auto q = vector(variance, "variance");
  Columns columns(q.size());
  double *mean = columns.add("mean"), *square = columns.add("square"), *slope = columns.add("slope");
  double *slope_square = columns.add("slope_square"), *slope_fourth = columns.add("slope_fourth");
  double* cross = columns.add("cross");
  const StopToken stop = stop_token();
  {
    const py::gil_scoped_release release;
    const auto one = [&](Index i) {
      const Moments m = moments(activation, q[i]);
      mean[i] = m.mean;
      square[i] = m.square;
      slope[i] = m.slope;
      slope_square[i] = m.slope_square;
      slope_fourth[i] = m.slope_fourth;
      cross[i] = m.cross;
    };
    parallel_for(q.size(), {threads, 2e3 * static_cast<double>(q.size())}, one, stop);
  }
  return columns.arrays();
}

Arrays two_point(const Activation& activation, const Array& variance_1, const Array& variance_2,
                 const Array& correlation, bool quadrature, int threads) {
  const auto c = vector(correlation, "correlation");
  const auto q1 = vector(variance_1, "variance_1", c.size());
  const auto q2 = vector(variance_2, "variance_2", c.size());
  Columns columns(c.size());
  double *value = columns.add("value"), *slope = columns.add("slope"), *gap = columns.add("gap");
  const StopToken stop = stop_token();
  {
    const py::gil_scoped_release release;
    // Neighbours often share their variances, and then the series.
    const auto range = [&](Index first, Index last) {
      TimedStop timed(stop);
      std::optional<TwoPointAverage> average;
      for (Index i = first; i < last; ++i) {
        if (timed.requested()) return;
        if (i == first || q1[i] != q1[i - 1] || q2[i] != q2[i - 1]) {
          average.emplace(activation, q1[i], q2[i]);
        }
        const TwoPoint t = quadrature ? average->by_quadrature(c[i]) : (*average)(c[i]);
        value[i] = t.value;
        slope[i] = t.slope;
        gap[i] = t.gap;
      }
    };
    parallel_chunks(c.size(), 16, {threads, 3e4 * static_cast<double>(c.size())}, range, stop);
    if (TimedStop(stop).requested()) throw Stopped{};
  }
  return columns.arrays();
}

Two hermite_series(const Activation& activation, double q, Index terms) {
  require(terms >= 1 && terms <= 512, "terms must be from 1 to 512, got " + std::to_string(terms));
  std::optional<HermiteSeries> series;
  {
    const py::gil_scoped_release release;
    series.emplace(activation, q);
    series->extend(terms);
  }
  return py::make_tuple(to_array(series->phi), to_array(series->slope));
}

Variances check_variances(double weight, double bias) {
  require_variance(weight, "weight_variance");
  require_variance(bias, "bias_variance");
  return {weight, bias};
}

Arrays fixed_points(const Activation& activation, const Array& weight_variance, const Array& bias_variance,
                    double q0, bool correlation, int threads) {
  const auto sw2 = vector(weight_variance, "weight_variance");
  const auto sb2 = vector(bias_variance, "bias_variance", sw2.size());
  for (Index i = 0; i < sw2.size(); ++i) check_variances(sw2[i], sb2[i]);
  require(q0 > 0 && std::isfinite(q0), "q0 must be a finite number > 0, got " + std::to_string(q0));
  Columns columns(sw2.size());
  double *q = columns.add("q"), *c = columns.add("c"), *chi_1 = columns.add("chi_1");
  double *chi_c = columns.add("chi_c"), *chi_q = columns.add("chi_q"), *residual = columns.add("residual");
  bool *exists = columns.add_flags("exists"), *converged = columns.add_flags("converged");
  const StopToken stop = stop_token();
  {
    const py::gil_scoped_release release;
    const auto one = [&](Index i) {
      GaussianNodes workspace;
      const FixedPoint p = fixed_point(activation, {sw2[i], sb2[i]}, q0, correlation, workspace);
      q[i] = p.q;
      c[i] = p.c;
      chi_1[i] = p.chi_1;
      chi_c[i] = p.chi_c;
      chi_q[i] = p.chi_q;
      residual[i] = p.residual;
      exists[i] = p.exists;
      converged[i] = p.converged;
    };
    parallel_for_uneven(sw2.size(), {threads, 3e4 * static_cast<double>(sw2.size())}, one, stop);
  }
  return columns.arrays();
}

Array critical(const Activation& activation, const Array& bias_variance, int threads) {
  const auto sb2 = vector(bias_variance, "bias_variance");
  for (const double b : sb2) require_variance(b, "bias_variance");
  Array result(sb2.size());
  double* out = result.mutable_data();
  const StopToken stop = stop_token();
  {
    const py::gil_scoped_release release;
    const auto one = [&](Index i) { out[i] = critical_weight_variance(activation, sb2[i]); };
    parallel_for_uneven(sb2.size(), {threads, 1e5 * static_cast<double>(sb2.size())}, one, stop);
  }
  return result;
}

Arrays propagate_layers(const Activation& activation, double weight_variance, double bias_variance,
                        Index depth, double qhat_a, double qhat_b, double qhat_ab, double mean_a,
                        double mean_b, std::optional<double> skip) {
  const Variances v = check_variances(weight_variance, bias_variance);
  require(depth >= 1, "depth must be at least 1, got " + std::to_string(depth));
  LayerMoments input{};
  input.qhat_a = qhat_a;
  input.qhat_b = qhat_b;
  input.qhat_ab = qhat_ab;
  const StopToken stop = stop_token();
  std::vector<LayerMoments> layers;
  {
    const py::gil_scoped_release release;
    layers = propagate(activation, v, depth, input, mean_a, mean_b, skip, stop);
  }
  struct Field {
    const char* name;
    double LayerMoments::* member;
  };
  constexpr Field fields[] = {
      {"c", &LayerMoments::c},
      {"q_a", &LayerMoments::q_a},
      {"q_b", &LayerMoments::q_b},
      {"q_ab", &LayerMoments::q_ab},
      {"qhat_a", &LayerMoments::qhat_a},
      {"qhat_b", &LayerMoments::qhat_b},
      {"qhat_ab", &LayerMoments::qhat_ab},
      {"chi_a", &LayerMoments::chi_a},
      {"chi_b", &LayerMoments::chi_b},
      {"chi_ab", &LayerMoments::chi_ab},
  };
  Columns columns(depth);
  for (const Field& field : fields) {
    double* out = columns.add(field.name);
    for (const LayerMoments& m : layers) *out++ = m.*field.member;
  }
  return columns.arrays();
}

Array convolution_layers(const Activation& activation, double weight_variance, double bias_variance,
                         Index depth, const Array& filter, Index first, const Array& covariance,
                         int threads) {
  const Variances v = check_variances(weight_variance, bias_variance);
  require(depth >= 1, "depth must be at least 1, got " + std::to_string(depth));
  const auto f = vector(filter, "filter");
  require(covariance.ndim() == 2,
          "covariance must have shape (n_positions, n_positions), got " + shape_text(covariance));
  const Index n = covariance.shape(0);
  const auto start = table(covariance, "covariance", n, n);
  require_finite(start, "covariance");
  for (Index p = 0; p < n; ++p) require_variance(start[p * n + p], "diagonal of covariance");
  Array result({depth, n, n});
  double* out = result.mutable_data();
  const StopToken stop = stop_token();
  {
    const py::gil_scoped_release release;
    std::vector<double> current(start.begin(), start.end());
    for (Index l = 0; l < depth; ++l) {
      if (l > 0) activate(activation, n, current, threads, stop);
      convolve(v, f, first, n, current);
      std::copy(current.begin(), current.end(), out + l * n * n);
    }
  }
  return result;
}

}  // namespace

void bind_meanfield(py::module_& m) {
  py::class_<Activation>(m, "Activation", py::module_local(), R"(An activation function and its derivative.

``Activation(name, alpha)``: a built-in one; ``alpha`` is the parameter of leaky_relu and elu.)")
      .def(py::init(&built_in), py::arg("name"), py::arg("alpha") = 1.0)
      .def_static("from_callable", &from_callable, py::arg("function"), py::arg("derivative"),
                  py::arg("kinks"), "Any two callables over arrays; panels are found at once.")
      .def("dressed", &Activation::dressed, py::arg("out_scale"), py::arg("in_scale"), py::arg("out_shift"),
           "out_scale phi(in_scale u) + out_shift")
      .def("evaluate", &evaluate, py::arg("u"), "phi(u) and phi'(u), u of shape (n,).")
      .def_property_readonly("kinks", &Activation::kinks);
  m.def("activation_names", [] {
    std::vector<std::string> names;
    for (const KindName& known : kKindNames) names.emplace_back(known.name);
    return names;
  });

  m.def("meanfield_nodes", &nodes, py::arg("activation"), py::arg("variance"),
        "Nodes z, weights of E f(z), phi and phi' at sqrt(variance) z.");
  m.def("meanfield_moments", &moments_of, py::arg("activation"), py::arg("variance"), py::kw_only(),
        py::arg("threads") = 0, "E phi, E phi^2, E phi', E phi'^2, E phi'^4, E z phi phi'; variance (n,).");
  m.def("meanfield_two_point", &two_point, py::arg("activation"), py::arg("variance_1"),
        py::arg("variance_2"), py::arg("correlation"), py::kw_only(), py::arg("quadrature") = false,
        py::arg("threads") = 0,
        R"(E phi(u1) phi(u2), E phi'(u1) phi'(u2) and E (phi(u1) - phi(u2))^2 / 2; all arrays (n,).

``quadrature``: always by quadrature in two dimensions.)");
  m.def("meanfield_hermite_series", &hermite_series, py::arg("activation"), py::arg("variance"),
        py::arg("terms"),
        "E phi h_k and E phi' h_k at sqrt(variance) z, h_k the orthonormal Hermite polynomials.");
  m.def("meanfield_fixed_points", &fixed_points, py::arg("activation"), py::arg("weight_variance"),
        py::arg("bias_variance"), py::arg("q0") = 1.0, py::kw_only(), py::arg("correlation") = true,
        py::arg("threads") = 0, "Stable fixed points of q and c and the slopes there; variances (n,).");
  m.def("meanfield_critical_weight_variance", &critical, py::arg("activation"), py::arg("bias_variance"),
        py::kw_only(), py::arg("threads") = 0,
        "Weight variance with chi_1 = 1, NaN where there is none; (n,).");
  m.def("meanfield_propagate", &propagate_layers, py::arg("activation"), py::arg("weight_variance"),
        py::arg("bias_variance"), py::arg("depth"), py::arg("qhat_a"), py::arg("qhat_b"), py::arg("qhat_ab"),
        py::arg("mean_a") = 0.0, py::arg("mean_b") = 0.0, py::arg("skip") = py::none(),
        "Moments of two inputs at layers 1 .. depth; qhat: mean squares and product of the input.");
  m.def("meanfield_convolve", &convolution_layers, py::arg("activation"), py::arg("weight_variance"),
        py::arg("bias_variance"), py::arg("depth"), py::arg("filter"), py::arg("first"),
        py::arg("covariance"), py::kw_only(), py::arg("threads") = 0,
        R"(Covariance of pre-activations at layers 1 .. depth (depth, n, n) from that of the input (n, n).

``filter`` holds the variances at offsets first, first + 1, ...)");
}

}  // namespace deepglass::bindings
