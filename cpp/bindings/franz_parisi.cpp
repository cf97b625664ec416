// The Franz-Parisi potential: plain arrays in, plain arrays out.
#include "deepglass/parisi/franz_parisi.hpp"

#include "bindings.hpp"
#include "deepglass/parallel.hpp"

namespace deepglass::bindings {

namespace {

using namespace deepglass::parisi;

Arrays franz_parisi(Index depth, double load, double wall_width, double wall_shift, Index layer,
                    const Array& overlaps, const Array& start_deficits, double tolerance, Index max_iter,
                    int threads) {
  require(depth >= 2, "depth must be at least 2, got " + std::to_string(depth));
  require(load > 0.0 && std::isfinite(load), "load must be positive and finite, got " + std::to_string(load));
  require(wall_width >= 0.0 && std::isfinite(wall_width),
          "wall_width must be >= 0 and finite, got " + std::to_string(wall_width));
  require(std::abs(wall_shift) <= 5.0,
          "wall_shift must be between -5 and 5, got " + std::to_string(wall_shift));
  require(layer == -1 || (layer >= 1 && layer < depth),
          "layer must be between 1 and depth - 1, or -1, got " + std::to_string(layer));
  require(tolerance > 0.0, "atol must be positive, got " + std::to_string(tolerance));
  require(max_iter >= 1, "max_iter must be at least 1, got " + std::to_string(max_iter));
  const auto x = vector(overlaps, "overlaps");
  const auto deficit = vector(start_deficits, "start_deficits");
  for (const double value : x) {
    require(value >= 0.0 && value < 1.0, "overlaps must lie in [0, 1), got " + std::to_string(value));
  }
  for (const double value : deficit) {
    require(value > 0.0 && value <= 1.0, "start_deficits must lie in (0, 1], got " + std::to_string(value));
  }
  const DeepPerceptron model{depth, load, 1, wall_width, wall_shift};
  SolverOptions options;
  options.tolerance = tolerance;
  options.max_iter = max_iter;

  const Index n = x.size(), n_points = deficit.size() * n;
  const auto table = [&](Index columns) { return Array({deficit.size(), n, columns}); };
  const auto column = [&](auto value) { return py::array_t<decltype(value)>({deficit.size(), n}); };
  Array q = table(depth + 1), q_complement = table(depth + 1), r = table(depth + 1);
  Array r_complement = table(depth + 1);
  Array Q = table(depth), Q_complement = table(depth), R = table(depth), R_complement = table(depth);
  auto potential = column(0.0), field = column(0.0), replicon = column(0.0), residual = column(0.0);
  auto iterations = column(Index{0});
  auto converged = column(false), jammed = column(false);
  const auto write = [](const std::vector<double>& from, double* to, Index i) {
    std::copy(from.begin(), from.end(), to + i * static_cast<Index>(from.size()));
  };
  double *q_out = q.mutable_data(), *qc_out = q_complement.mutable_data();
  double *r_out = r.mutable_data(), *rc_out = r_complement.mutable_data();
  double *Q_out = Q.mutable_data(), *Qc_out = Q_complement.mutable_data();
  double *R_out = R.mutable_data(), *Rc_out = R_complement.mutable_data();
  double *potential_out = potential.mutable_data(), *field_out = field.mutable_data();
  double *replicon_out = replicon.mutable_data(), *residual_out = residual.mutable_data();
  Index* iterations_out = iterations.mutable_data();
  bool *converged_out = converged.mutable_data(), *jammed_out = jammed.mutable_data();
  const StopToken stop = stop_token();
  {
    py::gil_scoped_release release;
    // A point takes about a hundred sweeps of 3 us a layer.
    const Team team{threads, 3e5 * static_cast<double>(n_points * depth)};
    parallel_for_uneven(
        n_points, team,
        [&](Index i) {
          Overlaps start(depth);
          const double d = deficit[i / n];
          for (Index l = 1; l < depth; ++l) {
            start.q[static_cast<std::size_t>(l)] = 1.0 - d;
            start.q_complement[static_cast<std::size_t>(l)] = d;
          }
          std::fill(start.Q.begin(), start.Q.end(), 1.0 - d);
          std::fill(start.Q_complement.begin(), start.Q_complement.end(), d);
          FranzParisiSolver solver(model, options, stop);
          const ConstrainedSolution s = solver.solve(start, layer, x[i % n]);
          write(s.student.q, q_out, i);
          write(s.student.q_complement, qc_out, i);
          write(s.student.Q, Q_out, i);
          write(s.student.Q_complement, Qc_out, i);
          write(s.teacher.q, r_out, i);
          write(s.teacher.q_complement, rc_out, i);
          write(s.teacher.Q, R_out, i);
          write(s.teacher.Q_complement, Rc_out, i);
          potential_out[i] = s.potential;
          field_out[i] = s.field;
          replicon_out[i] = s.replicon;
          residual_out[i] = s.residual;
          iterations_out[i] = s.iterations;
          converged_out[i] = s.converged;
          jammed_out[i] = s.jammed;
        },
        stop);
  }
  Arrays result;
  result["neuron_overlap"] = q;
  result["neuron_deficit"] = q_complement;
  result["bond_overlap"] = Q;
  result["bond_deficit"] = Q_complement;
  result["teacher_neuron_overlap"] = r;
  result["teacher_neuron_deficit"] = r_complement;
  result["teacher_bond_overlap"] = R;
  result["teacher_bond_deficit"] = R_complement;
  result["potential"] = potential;
  result["field"] = field;
  result["replicon"] = replicon;
  result["residual"] = residual;
  result["iterations"] = iterations;
  result["converged"] = converged;
  result["jammed"] = jammed;
  return result;
}

// Field moments: what the solver's tests hold against the reference.
py::array_t<double> planted_wall_moments(const Array& variance, const Array& complement,
                                         const Array& covariance, const Array& teacher_complement,
                                         double wall_width, double wall_shift) {
  const auto v = vector(variance, "variance");
  const auto c = vector(complement, "complement", v.size());
  const auto t = vector(covariance, "covariance", v.size());
  const auto d = vector(teacher_complement, "teacher_complement", v.size());
  py::array_t<double> out({v.size(), Index{7}});
  for (Index i = 0; i < v.size(); ++i) {
    require(v[i] >= 0.0 && v[i] < 1.0 && t[i] >= 0.0 && t[i] * t[i] <= v[i] && c[i] > 0.0 && d[i] > 0.0,
            "variance must be in [0, 1), covariance in [0, sqrt(variance)], and both complements positive");
    const PlantedWall m = planted_wall_field(v[i], c[i], t[i], d[i], wall_width, wall_shift);
    const double row[] = {m.value, m.slope, m.teacher_slope, m.curvature, m.response, m.cross, m.teacher};
    for (Index k = 0; k < 7; ++k) out.mutable_at(i, k) = row[k];
  }
  return out;
}

py::array_t<double> planted_ising_moments(const Array& variance, const Array& mean) {
  const auto v = vector(variance, "variance");
  const auto m = vector(mean, "mean", v.size());
  require_finite(v, "variance");
  require_finite(m, "mean");
  py::array_t<double> out({v.size(), Index{7}});
  for (Index i = 0; i < v.size(); ++i) {
    require(v[i] >= 0.0 && m[i] >= 0.0, "variance and mean must be >= 0");
    const PlantedSpin s = planted_ising_field(v[i], m[i]);
    const double row[] = {s.value, s.q, s.q_complement, s.r, s.r_complement, s.curvature, s.skew};
    for (Index k = 0; k < 7; ++k) out.mutable_at(i, k) = row[k];
  }
  return out;
}

}  // namespace

void bind_franz_parisi(py::module_& m) {
  m.def(
      "deep_perceptron_franz_parisi", &franz_parisi, py::arg("depth"), py::arg("load"), py::arg("wall_width"),
      py::arg("wall_shift"), py::arg("layer"), py::arg("overlaps"), py::arg("start_deficits"),
      py::arg("atol") = 1e-13, py::arg("max_iter") = 20000, py::arg("threads") = 0,
      "Saddle points with the teacher-student overlap of one layer imposed (layer -1: none), each from flat\n"
      "profiles: results (n_starts, n_overlaps, ...).");
  m.def("planted_wall_moments", &planted_wall_moments, py::arg("variance"), py::arg("complement"),
        py::arg("covariance"), py::arg("teacher_complement"), py::arg("wall_width") = 0.0,
        py::arg("wall_shift") = 0.0,
        "W, g_S, g_T, E p f''^2, dg_S/dlambda_S, E p' f' f'', dg_T/dlambda_T beside a teacher, (n, 7).");
  m.def("planted_ising_moments", &planted_ising_moments, py::arg("variance"), py::arg("mean"),
        "Spin term, q, 1 - q, r, 1 - r, E sech^4, E tanh sech^2 in the field N(mean, variance), (n, 7).");
}

}  // namespace deepglass::bindings
