// Contour family: complex phi^4 on linear contours.  Plain arrays in, plain arrays out.
#include <complex>

#include "bindings.hpp"
#include "deepglass/contour/hmc.hpp"

namespace deepglass::bindings {

namespace {

using namespace deepglass::contour;

LinearContour make_contour(const Array& transform, double mass, double coupling, double chemical_potential) {
  require(transform.ndim() == 2 && transform.size() > 0,
          "transform must have shape (n_space, n_time), got " + shape_text(transform));
  require_finite(view(transform), "transform");
  require(std::isfinite(mass), "mass must be finite, got " + std::to_string(mass));
  require(std::isfinite(coupling), "coupling must be finite, got " + std::to_string(coupling));
  require(std::isfinite(chemical_potential),
          "chemical_potential must be finite, got " + std::to_string(chemical_potential));
  const Phi4 model = {transform.shape(0), transform.shape(1), mass * mass, coupling, chemical_potential};
  return LinearContour(model, view(transform));
}

// Fields of shape (n_chains, 2, n_space, n_time), kLanes chains at a time.
void load(const double* t, Index n_chains, Index n, Index first, std::vector<Site>& w) {
  for (int lane = 0; lane < kLanes; ++lane) {
    const double* from = t + std::min(first + lane, n_chains - 1) * 2 * n;
    for (Index x = 0; x < n; ++x) {
      w[static_cast<std::size_t>(x)].re.set(lane, from[x]);
      w[static_cast<std::size_t>(x)].im.set(lane, from[n + x]);
    }
  }
}

Index chains_of(const Array& field, const Array& transform) {
  require(field.ndim() == 4 && field.shape(1) == 2 && field.shape(2) == transform.shape(0) &&
              field.shape(3) == transform.shape(1),
          "field must have shape (n_chains, 2, " + std::to_string(transform.shape(0)) + ", " +
              std::to_string(transform.shape(1)) + "), got " + shape_text(field));
  return field.shape(0);
}

Array phi4_gradient(const Array& field, const Array& transform, double mass, double coupling,
                    double chemical_potential, int threads) {
  const LinearContour contour = make_contour(transform, mass, coupling, chemical_potential);
  const Index n_chains = chains_of(field, transform), n = contour.n_sites();
  Array out(std::vector<py::ssize_t>(field.shape(), field.shape() + 4));
  const double* const t = field.data();
  double* const to = out.mutable_data();
  const StopToken stop = stop_token();
  {
    py::gil_scoped_release release;
    parallel_chunks(
        n_chains, kLanes, Team{threads, 30.0 * static_cast<double>(n * n_chains)},
        [&](Index first, Index last) {
          std::vector<Site> w(static_cast<std::size_t>(n)), g(w.size());
          LinearContour::Room room(contour);
          load(t, n_chains, n, first, w);
          contour.gradient(w.data(), g.data(), room);
          for (Index chain = first; chain < last; ++chain) {
            const int lane = static_cast<int>(chain - first);
            for (Index x = 0; x < n; ++x) {
              to[chain * 2 * n + x] = g[static_cast<std::size_t>(x)].re[lane];
              to[(chain * 2 + 1) * n + x] = g[static_cast<std::size_t>(x)].im[lane];
            }
          }
        },
        stop);
  }
  return out;
}

Arrays phi4_measure(const Array& field, const Array& transform, double mass, double coupling,
                    double chemical_potential) {
  const LinearContour contour = make_contour(transform, mass, coupling, chemical_potential);
  const Index n_chains = chains_of(field, transform), n = contour.n_sites();
  py::array_t<std::complex<double>> action(n_chains), density(n_chains), phi2(n_chains);
  std::complex<double>*const action_to = action.mutable_data(), *const density_to = density.mutable_data(),
                             *const phi2_to = phi2.mutable_data();
  const double* const t = field.data();
  {
    py::gil_scoped_release release;
    std::vector<Site> w(static_cast<std::size_t>(n));
    LinearContour::Room room(contour);
    for (Index first = 0; first < n_chains; first += kLanes) {
      load(t, n_chains, n, first, w);
      const Measured now = contour.measure(w.data(), room);
      for (Index chain = first; chain < std::min(first + kLanes, n_chains); ++chain) {
        const int lane = static_cast<int>(chain - first);
        action_to[chain] = {now.action.re[lane], now.action.im[lane]};
        density_to[chain] = {now.density.re[lane], now.density.im[lane]};
        phi2_to[chain] = {now.phi2.re[lane], now.phi2.im[lane]};
      }
    }
  }
  Arrays result;
  result["action"] = action;
  result["density"] = density;
  result["phi2"] = phi2;
  return result;
}

Arrays phi4_sample(const Array& transform, double mass, double coupling, double chemical_potential,
                   Index n_chains, Index n_draws, Index n_thermal, Index every, Index n_steps, double step,
                   std::uint64_t seed, int threads) {
  const LinearContour contour = make_contour(transform, mass, coupling, chemical_potential);
  require(n_chains >= 1, "n_chains must be at least 1, got " + std::to_string(n_chains));
  require(n_draws >= 1, "n_draws must be at least 1, got " + std::to_string(n_draws));
  require(n_thermal >= 0, "n_thermal must be at least 0, got " + std::to_string(n_thermal));
  require(every >= 1, "every must be at least 1, got " + std::to_string(every));
  require(n_steps >= 1, "n_steps must be at least 1, got " + std::to_string(n_steps));
  require(step > 0 && std::isfinite(step), "step must be positive and finite, got " + std::to_string(step));
  Arrays result;
  const auto table = [&](const char* name, std::vector<py::ssize_t> shape) {
    Array array(std::move(shape));
    result[name] = array;
    return array.mutable_data();
  };
  const std::vector<py::ssize_t> shape = {n_chains, n_draws};
  const Draws out = {table("action_re", shape),    table("action_im", shape), table("density_re", shape),
                     table("density_im", shape),   table("phi2_re", shape),   table("phi2_im", shape),
                     table("accepted", {n_chains})};
  const StopToken stop = stop_token();
  {
    py::gil_scoped_release release;
    sample(contour, {n_chains, n_draws, n_thermal, every, n_steps, step}, seed, out, threads, stop);
  }
  return result;
}

}  // namespace

void bind_contour(py::module_& m) {
  using py::literals::operator""_a;
  m.def("contour_phi4_gradient", &phi4_gradient, "field"_a, "transform"_a, "mass"_a, "coupling"_a,
        "chemical_potential"_a, py::kw_only(), "threads"_a = 0,
        "Gradient of Re S(z(t)) with respect to t, (n_chains, 2, n_space, n_time).  transform: s(p), the\n"
        "kernel of the contour being i s(p) in Fourier space.");
  m.def("contour_phi4_measure", &phi4_measure, "field"_a, "transform"_a, "mass"_a, "coupling"_a,
        "chemical_potential"_a, "Complex action, density and phi2 at z(t), (n_chains,) each.");
  m.def("contour_phi4_sample", &phi4_sample, "transform"_a, "mass"_a, "coupling"_a, "chemical_potential"_a,
        py::kw_only(), "n_chains"_a, "n_draws"_a, "n_thermal"_a, "every"_a, "n_steps"_a, "step"_a, "seed"_a,
        "threads"_a = 0,
        "Hybrid Monte Carlo of the weight exp(-Re S); action, density, phi2 (n_chains, n_draws), accepted\n"
        "trajectories (n_chains,).");
}

}  // namespace deepglass::bindings
