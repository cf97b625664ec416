// Ising and Potts chains: plain arrays in, plain arrays out.
#include "deepglass/lattice.hpp"

#include "bindings.hpp"

namespace deepglass::bindings {

namespace {

using lattice::Chains;
using Counts = py::array_t<std::int32_t>;
using States = py::array_t<std::uint8_t>;

constexpr Index kMostSites = Index{1} << 24, kMostChains = Index{1} << 24;

void require_range(const char* name, Index value, Index low, Index high) {
  require(value >= low && value <= high, std::string(name) + " must be from " + std::to_string(low) + " to " +
                                             std::to_string(high) + ", got " + std::to_string(value));
}

std::unique_ptr<Chains> make_chains(const std::vector<Index>& shape, int n_states, const Array& betas,
                                    const std::string& algorithm, bool ordered, std::uint64_t seed) {
  require_range("the number of extents of shape", static_cast<Index>(shape.size()), 1, lattice::kMostDims);
  Index n_sites = 1;
  for (const Index extent : shape) {
    require_range("extents of shape", extent, 2, kMostSites / n_sites);
    n_sites *= extent;
  }
  require_range("n_states", n_states, 2, 255);
  const auto beta = vector(betas, "beta");
  require_range("the number of chains", beta.size(), 1, kMostChains);
  require_finite(beta, "beta");
  for (const double b : beta) require(b >= 0, "beta must be >= 0, got " + std::to_string(b));
  require(algorithm == "heat_bath" || algorithm == "clusters",
          "algorithm must be 'heat_bath' or 'clusters', got '" + algorithm + "'");
  const py::gil_scoped_release release;
  const lattice::Lattice sites(shape);
  if (algorithm == "clusters") {
    return std::make_unique<lattice::PottsClusters>(sites, n_states, beta, seed, ordered);
  }
  require(n_states == 2, "n_states must be 2 with algorithm='heat_bath', got " + std::to_string(n_states));
  return std::make_unique<lattice::IsingHeatBath>(sites, beta, seed, ordered);
}

py::typing::Tuple<Counts, Counts> run(Chains& chains, Index n_draws, Index every, int threads) {
  require_range("n_draws", n_draws, 1, Index{1} << 31);
  require_range("every", every, 0, (Index{1} << 31) / n_draws);
  Counts satisfied({chains.n_chains(), n_draws});
  Counts counts({chains.n_chains(), n_draws, static_cast<Index>(chains.n_states())});
  const Span<std::int32_t> bonds(satisfied.mutable_data(), satisfied.size());
  const Span<std::int32_t> states(counts.mutable_data(), counts.size());
  {
    const py::gil_scoped_release release;
    chains.run(n_draws, every, threads, bonds, states, stop_token());
  }
  return py::make_tuple(satisfied, counts);
}

States spins(const Chains& chains) {
  const Index n = chains.lattice().n_sites();
  States out({chains.n_chains(), n});
  std::uint8_t* const to = out.mutable_data();
  const py::gil_scoped_release release;
  for (Index c = 0; c < chains.n_chains(); ++c) {
    for (Index i = 0; i < n; ++i) to[c * n + i] = chains.spin(c, i);
  }
  return out;
}

void set_spins(Chains& chains,
               const py::array_t<std::uint8_t, py::array::c_style | py::array::forcecast>& a) {
  const Index n = chains.lattice().n_sites();
  require(a.ndim() == 2 && a.shape(0) == chains.n_chains() && a.shape(1) == n,
          "spins must have shape (" + std::to_string(chains.n_chains()) + ", " + std::to_string(n) +
              "), got " + shape_text(a));
  for (Index k = 0; k < a.size(); ++k) {
    require(a.data()[k] < chains.n_states(), "spins must be below " + std::to_string(chains.n_states()) +
                                                 ", got " + std::to_string(int{a.data()[k]}));
  }
  for (Index k = 0; k < a.size(); ++k) chains.set_spin(k / n, k % n, a.data()[k]);
}

}  // namespace

void bind_lattice(py::module_& m) {
  py::class_<Chains>(
      m, "LatticeChains", py::module_local(),
      R"(Ising and Potts models on a periodic lattice: independent chains; see reference.lattice.

``shape`` has 1 to 3 extents >= 2, ``beta`` (n_chains,) is that of the energy -sum delta(s_i, s_j) (for the Ising
model twice that of -sum s_i s_j) with 'clusters', and of -sum s_i s_j with 'heat_bath', for two states.)")
      .def(py::init(&make_chains), py::arg("shape"), py::arg("n_states"), py::arg("beta"), py::kw_only(),
           py::arg("algorithm"), py::arg("ordered") = false, py::arg("seed") = 0)
      .def("run", &run, py::arg("n_draws"), py::arg("every"), py::kw_only(), py::arg("threads") = 0,
           "Bonds between equal spins (n_chains, n_draws) and numbers of sites in each state (..., "
           "n_states),\n"
           "after each `every` sweeps.")
      .def_property("spins", &spins, &set_spins, "States 0 .. n_states-1, (n_chains, n_sites).")
      .def_property_readonly("sweep", &Chains::sweep, "Number of sweeps done.");
}

}  // namespace deepglass::bindings
