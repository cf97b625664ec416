// Perceptrons: plain arrays in, plain arrays out.
#include "deepglass/parisi/perceptron.hpp"

#include <tuple>

#include "bindings.hpp"
#include "deepglass/parisi/message_passing.hpp"
#include "gap_potential.hpp"

namespace deepglass::bindings {

namespace {

using parisi::PerceptronModel;
using parisi::PerceptronSaddle;

PerceptronModel perceptron_model(const std::string& bonds, const std::string& scenario,
                                 const std::string& potential, double beta, double margin) {
  require(bonds == "spherical" || bonds == "binary",
          "bonds must be 'spherical' or 'binary', got '" + bonds + "'");
  require(scenario == "random" || scenario == "teacher",
          "scenario must be 'random' or 'teacher', got '" + scenario + "'");
  require(std::fabs(margin) <= 5.0, "margin must be from -5 to 5, got " + std::to_string(margin));
  PerceptronModel model;
  model.binary = bonds == "binary";
  model.teacher = scenario == "teacher";
  model.margin = margin;
  set_potential(model, potential, beta);
  return model;
}

double checked_resolution(double resolution) {
  require(resolution >= 0.25 && resolution <= 8.0,
          "resolution must be in [0.25, 8], got " + std::to_string(resolution));
  return resolution;
}

Arrays perceptron_point(const Array& conjugate, const std::string& bonds, const std::string& scenario,
                        const std::string& potential, double beta, double margin, double resolution,
                        int threads) {
  const auto e = vector(conjugate, "conjugate");
  const PerceptronModel model = perceptron_model(bonds, scenario, potential, beta, margin);
  checked_resolution(resolution);
  const Index n = e.size();
  Array load(n), overlap(n), deficit(n), free_entropy(n), energy(n), replicon(n);
  double* const out[] = {load.mutable_data(),         overlap.mutable_data(), deficit.mutable_data(),
                         free_entropy.mutable_data(), energy.mutable_data(),  replicon.mutable_data()};
  const StopToken stop = stop_token();
  {
    py::gil_scoped_release release;
    const PerceptronSaddle saddle(model, resolution);
    for (const double x : e) {
      require(x > 0.0 && x <= saddle.largest(), "conjugate must be > 0 and at most " +
                                                    std::to_string(saddle.largest()) + ", got " +
                                                    std::to_string(x));
    }
    parallel_for(
        n, {threads, static_cast<double>(n) * 1e4},
        [&](Index i) {
          const parisi::PerceptronPoint p = saddle.at(e[i]);
          const double values[] = {p.load, p.overlap, p.deficit, p.free_entropy, p.energy, p.replicon};
          for (int k = 0; k < 6; ++k) out[k][i] = values[k];
        },
        stop);
  }
  Arrays result;
  result["load"] = load;
  result["overlap"] = overlap;
  result["deficit"] = deficit;
  result["free_entropy"] = free_entropy;
  result["energy"] = energy;
  result["replicon"] = replicon;
  return result;
}

std::tuple<Array, Array> perceptron_roots(const Array& loads, const std::string& bonds,
                                          const std::string& scenario, const std::string& potential,
                                          double beta, double margin, int threads) {
  const auto load = vector(loads, "loads");
  const PerceptronModel model = perceptron_model(bonds, scenario, potential, beta, margin);
  for (const double x : load) {
    require(x > 0.0 && std::isfinite(x), "loads must be finite and > 0, got " + std::to_string(x));
  }
  constexpr int kMost = parisi::PerceptronCurve::kMostRoots;
  const Index n = load.size();
  Array roots({n, static_cast<Index>(kMost)});
  double* const out = roots.mutable_data();
  std::vector<double> spinodals;
  const StopToken stop = stop_token();
  {
    py::gil_scoped_release release;
    const PerceptronSaddle saddle(model);
    const parisi::PerceptronCurve curve(saddle, stop);
    spinodals = curve.spinodals();
    parallel_for(
        n, {threads, static_cast<double>(n) * 1e5},
        [&](Index i) {
          const auto found = curve.roots(load[i]);
          std::copy(found.begin(), found.end(), out + i * kMost);
        },
        stop);
  }
  Array extrema(static_cast<Index>(spinodals.size()));
  for (std::size_t i = 0; i < spinodals.size(); ++i) extrema.mutable_data()[i] = std::exp(spinodals[i]);
  return {roots, extrema};
}

Array perceptron_gap_density(const Array& gaps, double overlap, double deficit, const std::string& bonds,
                             const std::string& scenario, const std::string& potential, double beta,
                             double margin, double resolution, int threads) {
  const auto r = vector(gaps, "gaps");
  require_finite(r, "gaps");
  require(overlap > 0.0 && overlap <= 1.0 && deficit > 0.0 && deficit < 1.0,
          "overlap and deficit must be in (0, 1), got " + std::to_string(overlap) + " and " +
              std::to_string(deficit));
  const PerceptronModel model = perceptron_model(bonds, scenario, potential, beta, margin);
  checked_resolution(resolution);
  Array density(r.size());
  const Span<double> out = mutable_view(density);
  const StopToken stop = stop_token();
  {
    py::gil_scoped_release release;
    const PerceptronSaddle saddle(model, resolution);
    parallel_for(
        r.size(), {threads, static_cast<double>(r.size()) * 1e4},
        [&](Index i) { out[i] = saddle.gap_density(r[i], overlap, deficit); }, stop);
  }
  return density;
}

std::tuple<Array, Array, bool> perceptron_evolution(double load, double overlap, double deficit,
                                                    const std::string& bonds, const std::string& scenario,
                                                    const std::string& potential, double beta, double margin,
                                                    double atol, Index max_iter) {
  require(load > 0.0 && std::isfinite(load), "load must be finite and > 0, got " + std::to_string(load));
  require(overlap >= 0.0 && overlap <= 1.0 && deficit > 0.0 && deficit <= 1.0,
          "overlap must be in [0, 1) and deficit in (0, 1], got " + std::to_string(overlap) + " and " +
              std::to_string(deficit));
  const PerceptronModel model = perceptron_model(bonds, scenario, potential, beta, margin);
  std::vector<double> overlaps{overlap}, deficits{deficit};
  bool converged = false;
  const StopToken stop = stop_token();
  {
    py::gil_scoped_release release;
    const PerceptronSaddle saddle(model);
    converged = parisi::perceptron_evolution(saddle, load, atol, max_iter, overlaps, deficits, stop);
  }
  const auto size = static_cast<Index>(overlaps.size());
  return {Array(size, overlaps.data()), Array(size, deficits.data()), converged};
}

template <class T>
py::typing::Dict<py::str, py::object> message_passing(const py::array_t<T, py::array::c_style>& inputs,
                                                      const Array& labels, const Array& start,
                                                      const std::string& bonds, const std::string& potential,
                                                      double beta, double margin, double damping, double atol,
                                                      Index max_iter, int threads) {
  require(inputs.ndim() == 2, "inputs must have shape (n_patterns, n_inputs), got " + shape_text(inputs));
  const Index n_patterns = inputs.shape(0), n_inputs = inputs.shape(1);
  const auto label = vector(labels, "labels", n_patterns);
  const PerceptronModel model = perceptron_model(bonds, "random", potential, beta, margin);
  parisi::MessagePassing<T> state(model, {inputs.data(), n_patterns * n_inputs}, label,
                                  vector(start, "start", n_inputs));
  std::vector<double> residuals, overlaps;
  bool converged = false;
  const StopToken stop = stop_token();
  {
    py::gil_scoped_release release;
    for (Index t = 0; t < max_iter && !converged; ++t) {
      residuals.push_back(state.iterate(damping, threads, stop));
      overlaps.push_back(state.overlap());
      converged = residuals.back() <= atol;
    }
  }
  const auto array = [](const std::vector<double>& x) {
    return Array(static_cast<Index>(x.size()), x.data());
  };
  py::typing::Dict<py::str, py::object> result;
  result["mean"] = array(state.mean);
  result["field"] = array(state.field);
  result["response"] = array(state.response);
  result["variance"] = state.variance;
  result["free_entropy"] = state.free_entropy;
  result["residual"] = array(residuals);
  result["overlap"] = array(overlaps);
  result["converged"] = converged;
  return result;
}

}  // namespace

void bind_perceptron(py::module_& m) {
  using namespace py::literals;
  m.def(
      "perceptron_point", &perceptron_point, "conjugate"_a, "bonds"_a, "scenario"_a, "potential"_a, "beta"_a,
      "margin"_a, py::kw_only(), "resolution"_a = 1.0, "threads"_a = 0,
      R"(Load, overlap, 1 - overlap, free entropy, energy per pattern and replicon of given conjugate fields.

See deepglass.reference.perceptron.  Arrays of the shape of ``conjugate`` (n,).)");
  m.def(
      "perceptron_roots", &perceptron_roots, "loads"_a, "bonds"_a, "scenario"_a, "potential"_a, "beta"_a,
      "margin"_a, py::kw_only(), "threads"_a = 0,
      R"(Conjugate fields that solve the saddle-point equation of each load, (n, 3), increasing, NaN where there are
fewer; and those of the extrema of the load, the spinodals.)");
  m.def("perceptron_gap_density", &perceptron_gap_density, "gaps"_a, "overlap"_a, "deficit"_a, "bonds"_a,
        "scenario"_a, "potential"_a, "beta"_a, "margin"_a, py::kw_only(), "resolution"_a = 1.0,
        "threads"_a = 0, "Density of the gaps, (n,), at a given overlap.");
  m.def("perceptron_evolution", &perceptron_evolution, "load"_a, "overlap"_a, "deficit"_a, "bonds"_a,
        "scenario"_a, "potential"_a, "beta"_a, "margin"_a, "atol"_a, "max_iter"_a,
        "State evolution: overlaps, their complements, and whether they came to rest.");
  const auto pass = [&](auto type) {
    using T = decltype(type);
    m.def(
        "perceptron_messages", &message_passing<T>, py::arg("inputs").noconvert(), "labels"_a, "start"_a,
        "bonds"_a, "potential"_a, "beta"_a, "margin"_a, "damping"_a, "atol"_a, "max_iter"_a, "threads"_a = 0,
        "Approximate message passing on one instance, inputs (n_patterns, n_inputs) of type int8 or float.");
  };
  pass(std::int8_t{});
  pass(float{});
  pass(double{});
}

}  // namespace deepglass::bindings
