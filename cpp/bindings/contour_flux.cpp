#include "bindings.hpp"
#include "deepglass/contour/flux.hpp"

namespace deepglass::bindings {

namespace {

using contour::FluxChain;
using contour::FluxChains;
using contour::FluxModel;
using Integers = py::array_t<std::int32_t>;

constexpr Index kMostSites = Index{1} << 24, kMostRatios = Index{1} << 20;

void require_range(const char* name, Index value, Index low, Index high) {
  require(value >= low && value <= high, std::string(name) + " must be from " + std::to_string(low) + " to " +
                                             std::to_string(high) + ", got " + std::to_string(value));
}

void require_couplings(double mass, double coupling) {
  require(std::isfinite(mass), "mass must be finite, got " + std::to_string(mass));
  require(coupling >= 0 && std::isfinite(coupling),
          "coupling must be >= 0 and finite, got " + std::to_string(coupling));
}

py::typing::Tuple<Array, Array> site_weights(Index n_max, double mass, double coupling) {
  require_range("n_max", n_max, 0, 2 * kMostRatios);
  require_couplings(mass, coupling);
  Array log_weight(n_max + 1), ratio(n_max + 1);
  double *const logs = log_weight.mutable_data(), *const ratios = ratio.mutable_data();
  {
    const py::gil_scoped_release release;
    for (Index n = 0; n <= n_max; ++n) {
      const contour::SiteWeight weight = contour::site_weight(n, 4 + mass * mass, coupling);
      logs[n] = weight.log_weight;
      ratios[n] = weight.ratio;
    }
  }
  return py::make_tuple(log_weight, ratio);
}

FluxChains make_chains(Index n_space, Index n_time, double mass, double coupling, double chemical_potential,
                       bool quenched, Index n_ratios, Index n_chains, std::uint64_t seed) {
  require_range("n_space", n_space, 1, kMostSites);
  require_range("n_time", n_time, 1, kMostSites / n_space);
  require_couplings(mass, coupling);
  require(std::isfinite(chemical_potential),
          "chemical_potential must be finite, got " + std::to_string(chemical_potential));
  require_range("n_ratios", n_ratios, 4, kMostRatios);
  require_range("n_chains", n_chains, 1, 1 << 20);
  const FluxModel model{n_space, n_time, mass, coupling, chemical_potential, quenched};
  const py::gil_scoped_release release;
  return FluxChains(model, n_ratios, n_chains, seed);
}

py::typing::Tuple<Array, Array> run(FluxChains& chains, Index n_draws, Index every, int threads) {
  require_range("n_draws", n_draws, 0, Index{1} << 40);
  require_range("every", every, 1, Index{1} << 32);
  Array density({chains.n_chains(), n_draws}), square({chains.n_chains(), n_draws});
  const Span<double> densities = mutable_view(density), squares = mutable_view(square);
  {
    const py::gil_scoped_release release;
    chains.run(n_draws, every, threads, densities, squares, stop_token());
  }
  return py::make_tuple(density, square);
}

// k and l of a chain, (2, n_space, n_time) each; the first axis is the direction of the link.
py::typing::Tuple<Integers, Integers> state(const FluxChains& chains, Index c) {
  require_range("chain", c, 0, chains.n_chains() - 1);
  const FluxModel& model = chains.model();
  const FluxChain& chain = chains.chain(c);
  Integers flux({Index{2}, model.n_space, model.n_time}), pairs({Index{2}, model.n_space, model.n_time});
  std::copy(chain.flux().begin(), chain.flux().end(), flux.mutable_data());
  std::copy(chain.pairs().begin(), chain.pairs().end(), pairs.mutable_data());
  return py::make_tuple(flux, pairs);
}

}  // namespace

void bind_contour_flux(py::module_& m) {
  m.def("flux_site_weights", &site_weights, py::arg("n_max"), py::arg("mass"), py::arg("coupling"),
        R"(ln W(n) and W(n + 2) / W(n) for n = 0 .. n_max, of the site weights of the flux representation.)");
  py::class_<FluxChains>(m, "FluxChains", py::module_local(),
                         R"(Worm algorithm for complex phi^4 at chemical potential: independent chains.

Chain c is a function of the seed and c.  ``n_ratios`` bounds half the power of the field at a site; a chain that
gets beyond raises NumericalError.)")
      .def(py::init(&make_chains), py::arg("n_space"), py::arg("n_time"), py::arg("mass"),
           py::arg("coupling"), py::arg("chemical_potential"), py::kw_only(), py::arg("quenched") = false,
           py::arg("n_ratios") = 4096, py::arg("n_chains") = 1, py::arg("seed") = 0)
      .def(
          "thermalise",
          [](FluxChains& chains, Index n_sweeps, int threads) {
            require_range("n_sweeps", n_sweeps, 1, Index{1} << 40);
            const py::gil_scoped_release release;
            chains.thermalise(n_sweeps, threads, stop_token());
          },
          py::arg("n_sweeps"), py::arg("threads") = 0,
          "Sweeps that are not measured; they fix the number of worms of the later ones.")
      .def("run", &run, py::arg("n_draws"), py::arg("every") = 1, py::arg("threads") = 0,
           "Density and <phi^2> (n_chains, n_draws), each draw a mean over `every` sweeps.")
      .def("state", &state, py::arg("chain"), "k and l of a chain, (2, n_space, n_time) each.")
      .def(
          "count",
          [](const FluxChains& chains, Index c) {
            require_range("chain", c, 0, chains.n_chains() - 1);
            const contour::FluxCount& count = chains.chain(c).count();
            return std::array<std::uint64_t, 3>{count.worms, count.moves, count.accepted};
          },
          py::arg("chain"), "Numbers of worms, of moves tried and of moves accepted so far.")
      .def(
          "worms_in_sweep",
          [](const FluxChains& chains, Index c) {
            require_range("chain", c, 0, chains.n_chains() - 1);
            return chains.chain(c).worms_in_sweep();
          },
          py::arg("chain"), "Number of worms of a sweep.");
}

}  // namespace deepglass::bindings
