// Parisi family: plain arrays in, plain arrays out.
#include "deepglass/parisi.hpp"

#include "bindings.hpp"
#include "deepglass/parallel.hpp"

namespace deepglass::bindings {

namespace {

using namespace deepglass::parisi;

DeepPerceptron make_model(Index depth, double load, int replicas, double wall_width, double wall_shift) {
  require(depth >= 2, "depth must be at least 2, got " + std::to_string(depth));
  require(load > 0.0 && std::isfinite(load), "load must be positive and finite, got " + std::to_string(load));
  require(replicas == 0 || replicas == 1, "replicas must be 0 or 1, got " + std::to_string(replicas));
  require(wall_width >= 0.0 && std::isfinite(wall_width),
          "wall_width must be >= 0 and finite, got " + std::to_string(wall_width));
  require(std::abs(wall_shift) <= 5.0,
          "wall_shift must be between -5 and 5, got " + std::to_string(wall_shift));
  return {depth, load, replicas, wall_width, wall_shift};
}

SolverOptions make_options(double tolerance, Index max_iter) {
  require(tolerance > 0.0, "atol must be positive, got " + std::to_string(tolerance));
  require(max_iter >= 1, "max_iter must be at least 1, got " + std::to_string(max_iter));
  SolverOptions options;
  options.tolerance = tolerance;
  options.max_iter = max_iter;
  return options;
}

// Overlaps from their complements to one, which lose nothing close to one.
Overlaps make_start(Index depth, const Array& neuron_complement, const Array& bond_complement) {
  const auto q = vector(neuron_complement, "start neuron_deficit", depth + 1);
  const auto Q = vector(bond_complement, "start bond_deficit", depth);
  Overlaps start(depth);
  for (Index l = 1; l < depth; ++l) {
    require(q[l] >= 0.0 && q[l] <= 1.0, "start overlaps must lie in [0, 1]");
    start.q_complement[static_cast<std::size_t>(l)] = q[l];
    start.q[static_cast<std::size_t>(l)] = 1.0 - q[l];
  }
  for (Index b = 0; b < depth; ++b) {
    require(Q[b] > 0.0 && Q[b] <= 1.0, "start bond overlaps must lie in [0, 1)");
    start.Q_complement[static_cast<std::size_t>(b)] = Q[b];
    start.Q[static_cast<std::size_t>(b)] = 1.0 - Q[b];
  }
  return start;
}

Arrays solve(Index depth, const Array& loads, int replicas, double wall_width, double wall_shift,
             const Array& start_neuron_deficit, const Array& start_bond_deficit, double tolerance,
             Index max_iter, int threads) {
  const auto load = vector(loads, "load");
  for (const double a : load) make_model(depth, a, replicas, wall_width, wall_shift);
  const SolverOptions options = make_options(tolerance, max_iter);
  const Overlaps start = make_start(depth, start_neuron_deficit, start_bond_deficit);
  const Index n = load.size();

  Array q({n, depth + 1}), q_complement({n, depth + 1}), Q({n, depth}), Q_complement({n, depth});
  Array free_entropy(n), replicon(n), residual(n);
  py::array_t<Index> iterations(n);
  py::array_t<bool> converged(n), jammed(n);
  double *q_out = q.mutable_data(), *qc_out = q_complement.mutable_data();
  double *Q_out = Q.mutable_data(), *Qc_out = Q_complement.mutable_data();
  double *s_out = free_entropy.mutable_data(), *replicon_out = replicon.mutable_data();
  double* residual_out = residual.mutable_data();
  Index* iterations_out = iterations.mutable_data();
  bool *converged_out = converged.mutable_data(), *jammed_out = jammed.mutable_data();
  const StopToken stop = stop_token();
  std::vector<double> history;  // of a single solution
  {
    py::gil_scoped_release release;
    const auto solve_one = [&](Index i) {
      DeepPerceptronSolver solver(make_model(depth, load[i], replicas, wall_width, wall_shift), options,
                                  stop);
      const Solution s = solver.solve(start);
      std::copy(s.overlaps.q.begin(), s.overlaps.q.end(), q_out + i * (depth + 1));
      std::copy(s.overlaps.q_complement.begin(), s.overlaps.q_complement.end(), qc_out + i * (depth + 1));
      std::copy(s.overlaps.Q.begin(), s.overlaps.Q.end(), Q_out + i * depth);
      std::copy(s.overlaps.Q_complement.begin(), s.overlaps.Q_complement.end(), Qc_out + i * depth);
      s_out[i] = s.free_entropy;
      replicon_out[i] = s.replicon;
      residual_out[i] = s.residual;
      iterations_out[i] = s.iterations;
      converged_out[i] = s.converged;
      jammed_out[i] = s.jammed;
      if (n == 1) history = s.history;
    };
    // A solution takes about a hundred sweeps of 1.5 us a layer.
    const Team team{threads, 1.5e5 * static_cast<double>(n * depth)};
    parallel_for_uneven(n, team, solve_one, stop);
  }
  Array history_out(static_cast<Index>(history.size()));
  std::copy(history.begin(), history.end(), history_out.mutable_data());
  Arrays result;
  result["neuron_overlap"] = q;
  result["neuron_deficit"] = q_complement;
  result["bond_overlap"] = Q;
  result["bond_deficit"] = Q_complement;
  result["free_entropy"] = free_entropy;
  result["replicon"] = replicon;
  result["residual"] = residual;
  result["iterations"] = iterations;
  result["converged"] = converged;
  result["jammed"] = jammed;
  if (n == 1) result["residual_history"] = history_out;
  return result;
}

Span<const double> breakpoints_of(const Array& breakpoints) {
  const auto m = vector(breakpoints, "breakpoints");
  require(m.size() >= 1 && m.size() <= 64,
          "breakpoints must have 1 to 64 entries, got " + std::to_string(m.size()));
  for (Index i = 0; i < m.size(); ++i) {
    require(m[i] > (i == 0 ? 0.0 : m[i - 1]) && m[i] <= 1.0,
            "breakpoints must increase strictly within (0, 1], got " + std::to_string(m[i]) +
                " at position " + std::to_string(i));
  }
  return m;
}

// Overlaps from their complements to one; none where the arrays are empty.
HierarchicalStart make_start(Index depth, Index levels, const Array& neuron_complement,
                             const Array& bond_complement) {
  HierarchicalStart start;
  if (neuron_complement.size() == 0) return start;
  start.q_complement = table(neuron_complement, "start neuron_deficit", depth + 1, levels);
  start.Q_complement = table(bond_complement, "start bond_deficit", depth, levels);
  for (const auto& view : {start.q_complement, start.Q_complement}) {
    for (const double c : view) require(c >= 0.0 && c <= 1.0, "start overlaps must lie in [0, 1]");
  }
  return start;
}

// T(u) of the k-step equations, u = -ln(1 - q): what the tests hold against the reference, and the benches
// time.
Arrays hierarchical_sweep(Index depth, double load, const Array& breakpoints, double wall_width,
                          double wall_shift, const Array& neuron_deficit, const Array& bond_deficit,
                          bool jacobian, Index repeats, int threads) {
  const DeepPerceptron model = make_model(depth, load, 0, wall_width, wall_shift);
  const auto m = breakpoints_of(breakpoints);
  const Index levels = m.size() + 1;
  const HierarchicalStart start = make_start(depth, levels, neuron_deficit, bond_deficit);
  require(neuron_deficit.size() > 0, "neuron_deficit must not be empty");
  require(repeats >= 1, "repeats must be at least 1, got " + std::to_string(repeats));
  const StopToken stop = stop_token();
  HierarchicalEquations equations(model, m);
  Array image({equations.blocks(), levels}), slopes(levels - 1), number(2);
  Eigen::MatrixXd derivative;
  {
    py::gil_scoped_release release;
    equations.set(start.q_complement, start.Q_complement);
    for (Index r = 0; r < repeats; ++r) {
      TimedStop(stop).check();
      equations.evaluate(threads, stop);
    }
    if (jacobian) derivative = equations.jacobian(threads, stop).matrix;
  }
  std::copy(equations.image.begin(), equations.image.end(), image.mutable_data());
  std::vector<double> slope;
  number.mutable_at(0) = equations.free_entropy(slope);
  number.mutable_at(1) = equations.replicon();
  std::copy(slope.begin(), slope.end(), slopes.mutable_data());
  Array matrix({static_cast<Index>(derivative.rows()), static_cast<Index>(derivative.cols())});
  for (Index r = 0; r < derivative.rows(); ++r) {
    for (Index c = 0; c < derivative.cols(); ++c) matrix.mutable_at(r, c) = derivative(r, c);
  }
  Arrays result;
  result["image"] = image;
  result["free_entropy_and_replicon"] = number;
  result["breakpoint_slope"] = slopes;
  result["jacobian"] = matrix;
  return result;
}

Arrays solve_hierarchical(Index depth, double load, const Array& breakpoints, double wall_width,
                          double wall_shift, const Array& start_neuron_deficit,
                          const Array& start_bond_deficit, Index solid_layers, double tolerance,
                          Index max_iter, int threads) {
  const DeepPerceptron model = make_model(depth, load, 0, wall_width, wall_shift);
  const auto m = breakpoints_of(breakpoints);
  SolverOptions options = make_options(tolerance, max_iter);
  options.solid_layers = solid_layers;
  const Index levels = m.size() + 1;
  const HierarchicalStart start = make_start(depth, levels, start_neuron_deficit, start_bond_deficit);
  const StopToken stop = stop_token();
  HierarchicalSolution s;
  {
    py::gil_scoped_release release;
    s = HierarchicalSolver(model, m, options, threads, stop).solve(start);
  }
  const auto levels_last = [levels](const std::vector<double>& values) {
    Array out({static_cast<Index>(values.size()) / levels, levels});
    std::copy(values.begin(), values.end(), out.mutable_data());
    return out;
  };
  const auto number = [](auto value) {
    py::array_t<decltype(value)> out(1);
    out.mutable_at(0) = value;
    return out;
  };
  const auto line = [](const std::vector<double>& values) {
    Array out(static_cast<Index>(values.size()));
    std::copy(values.begin(), values.end(), out.mutable_data());
    return out;
  };
  Arrays result;
  result["neuron_overlap"] = levels_last(s.q);
  result["neuron_deficit"] = levels_last(s.q_complement);
  result["bond_overlap"] = levels_last(s.Q);
  result["bond_deficit"] = levels_last(s.Q_complement);
  result["free_entropy"] = number(s.free_entropy);
  result["breakpoint_slope"] = line(s.breakpoint_slope);
  result["replicon"] = number(s.replicon);
  result["stability"] = number(s.stability);
  result["residual"] = number(s.residual);
  result["min_gap"] = number(s.min_gap);
  result["residual_history"] = line(s.history);
  result["iterations"] = number(s.iterations);
  result["converged"] = number(s.converged);
  result["jammed"] = number(s.jammed);
  return result;
}

Arrays transitions(Index depth, int replicas, double wall_width, double wall_shift, Index first, Index last,
                   double tolerance, Index max_iter) {
  const DeepPerceptron model = make_model(depth, 1.0, replicas, wall_width, wall_shift);
  require(1 <= first && first <= last && last <= depth / 2,
          "layers must satisfy 1 <= first <= last <= depth // 2, got " + std::to_string(first) + ", " +
              std::to_string(last));
  const SolverOptions options = make_options(tolerance, max_iter);
  const StopToken stop = stop_token();
  std::vector<TransitionLoad> found;
  {
    py::gil_scoped_release release;
    found = transition_loads(model, first, last, options, stop);
  }
  const Index n_layers = last - first + 1;
  Array load(n_layers), error(n_layers), jump(n_layers);
  for (Index i = 0; i < n_layers; ++i) {
    const TransitionLoad& t = found[static_cast<std::size_t>(i)];
    load.mutable_at(i) = t.load;
    error.mutable_at(i) = t.error;
    jump.mutable_at(i) = t.jump;
  }
  Arrays result;
  result["load"] = load;
  result["load_error"] = error;
  result["jump"] = jump;
  return result;
}

// The central layer's transition load for each depth.
py::array_t<double> wetting_loads(const py::array_t<Index, py::array::c_style>& depths, int replicas,
                                  double wall_width, double wall_shift, double tolerance, Index max_iter,
                                  int threads) {
  require(depths.ndim() == 1, "depth must have shape (n,), got " + shape_text(depths));
  const Index n = depths.shape(0);
  const Index* depth = depths.data();
  double work = 0.0;
  for (Index i = 0; i < n; ++i) {
    make_model(depth[i], 1.0, replicas, wall_width, wall_shift);
    work += 1e6 * static_cast<double>(depth[i]);
  }
  const SolverOptions options = make_options(tolerance, max_iter);
  const StopToken stop = stop_token();
  py::array_t<double> out(n);
  double* load = out.mutable_data();
  {
    py::gil_scoped_release release;
    parallel_for_uneven(
        n, Team{threads, work},
        [&](Index i) {
          const DeepPerceptron model = make_model(depth[i], 1.0, replicas, wall_width, wall_shift);
          load[i] = transition_loads(model, depth[i] / 2, depth[i] / 2, options, stop).front().load;
        },
        stop);
  }
  return out;
}

// Field moments for arrays of variances: what the solver's tests hold against the reference.
py::array_t<double> wall_moments(const Array& variance, const Array& complement, int replicas,
                                 double wall_width, double wall_shift) {
  const auto v = vector(variance, "variance");
  const auto c = vector(complement, "complement", v.size());
  require_finite(v, "variance");
  require_finite(c, "complement");
  for (Index i = 0; i < v.size(); ++i) {
    require(v[i] >= 0.0 && c[i] >= 0.0 && c[i] + wall_width > 0.0,
            "variance and complement must be >= 0, and one of complement, wall_width positive");
  }
  make_model(2, 1.0, replicas, wall_width, wall_shift);
  py::array_t<double> out({v.size(), Index{4}});
  for (Index i = 0; i < v.size(); ++i) {
    const FieldMoments m = wall_field(v[i], c[i], replicas, wall_width, wall_shift);
    const double row[] = {m.value, m.slope, m.curvature, m.response};
    for (Index k = 0; k < 4; ++k) out.mutable_at(i, k) = row[k];
  }
  return out;
}

py::array_t<double> ising_moments(const Array& variance, int replicas) {
  const auto v = vector(variance, "variance");
  require_finite(v, "variance");
  require(replicas == 0 || replicas == 1, "replicas must be 0 or 1, got " + std::to_string(replicas));
  for (const double value : v) require(value >= 0.0, "variance must be >= 0");
  py::array_t<double> out({v.size(), Index{5}});
  for (Index i = 0; i < v.size(); ++i) {
    const FieldMoments m = ising_field(v[i], replicas);
    const double row[] = {m.value, m.slope, m.complement, m.curvature, m.response};
    for (Index k = 0; k < 5; ++k) out.mutable_at(i, k) = row[k];
  }
  return out;
}

py::typing::Dict<py::str, py::object> parisi_recursion(const std::string& terminal, const Array& variance,
                                                       const Array& breakpoints, double deficit, double width,
                                                       double shift, double outer_breakpoint,
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
  require(repeats >= 1, "repeats must be at least 1, got " + std::to_string(repeats));
  const StopToken stop = stop_token();
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
      TimedStop(stop).check();
      if (wall) {
        parisi::recursion(parisi::HardWall{width, shift}, levels, workspace, out, resolution);
      } else {
        parisi::recursion(parisi::IsingSpin{}, levels, workspace, out, resolution);
      }
    }
  }
  py::typing::Dict<py::str, py::object> result;
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
  m.def("deep_perceptron_solve", &solve, py::arg("depth"), py::arg("load"), py::arg("replicas"),
        py::arg("wall_width"), py::arg("wall_shift"), py::arg("start_neuron_deficit"),
        py::arg("start_bond_deficit"), py::arg("atol") = 1e-13, py::arg("max_iter") = 20000,
        py::arg("threads") = 0,
        "Replica-symmetric saddle points of the deep perceptron network, one for each load (n_loads,), each\n"
        "from the same start, given as 1 - q (depth+1,) and 1 - Q (depth,).");
  m.def("deep_perceptron_solve_hierarchical", &solve_hierarchical, "depth"_a, "load"_a, "breakpoints"_a,
        "wall_width"_a, "wall_shift"_a, "start_neuron_deficit"_a, "start_bond_deficit"_a,
        "solid_layers"_a = -1, "atol"_a = 1e-8, "max_iter"_a = 20000, "threads"_a = 0,
        "Saddle point of the deep perceptron network with k = len(breakpoints) steps of replica symmetry\n"
        "breaking, random data, wetting branch; overlaps (layer, k+1).");
  m.def(
      "deep_perceptron_sweep", &hierarchical_sweep, "depth"_a, "load"_a, "breakpoints"_a, "wall_width"_a,
      "wall_shift"_a, "neuron_deficit"_a, "bond_deficit"_a, py::kw_only(), "jacobian"_a = false,
      "repeats"_a = 1, "threads"_a = 0,
      "One sweep of the k-step equations in u = -ln(1 - q): image (blocks, k+1), the blocks being the bonds\n"
      "and then the neurons of one half; free entropy, replicon and ds/dm at that point; dT/du of the solid "
      "blocks on request.");
  m.def("deep_perceptron_transition_loads", &transitions, py::arg("depth"), py::arg("replicas"),
        py::arg("wall_width"), py::arg("wall_shift"), py::arg("first"), py::arg("last"),
        py::arg("atol") = 1e-13, py::arg("max_iter") = 20000,
        "Loads at which layers first..last leave the liquid as the load grows.");
  m.def("deep_perceptron_wetting_loads", &wetting_loads, py::arg("depth"), py::arg("replicas"),
        py::arg("wall_width"), py::arg("wall_shift"), py::arg("atol") = 1e-13, py::arg("max_iter") = 200000,
        py::arg("threads") = 0, "Load above which no liquid layer remains, for each depth (n,).");
  m.def("wall_moments", &wall_moments, py::arg("variance"), py::arg("complement"), py::arg("replicas"),
        py::arg("wall_width") = 0.0, py::arg("wall_shift") = 0.0,
        "E f, E f'^2, E f''^2 and d E f'^2 / d variance of the perceptron wall, (n, 4).");
  m.def("ising_moments", &ising_moments, py::arg("variance"), py::arg("replicas"),
        "Spin term, E tanh^2, E sech^2, E sech^4 and d E tanh^2 / d variance, (n, 5).");
  m.def("parisi_recursion", &parisi_recursion, "terminal"_a, "variance"_a, "breakpoints"_a, py::kw_only(),
        "deficit"_a = 1.0, "width"_a = 0.0, "shift"_a = 0.0, "outer_breakpoint"_a = 0.0, "resolution"_a = 1.0,
        "repeats"_a = 1,
        R"(The k-step recursion of one Gaussian-field term; see deepglass.reference.parisi_recursion.

``terminal`` is "wall" or "spin", ``variance`` (k+1,) the increments of the covariance, ``breakpoints`` (k,).
``repeats`` runs the kernel so many times with one workspace, for timing.)");
}

}  // namespace deepglass::bindings
