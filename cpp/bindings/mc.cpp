#include "deepglass/mc.hpp"

#include <algorithm>
#include <cmath>

#include "bindings.hpp"

namespace deepglass::bindings {

namespace {

using mc::FreeNetworks;

using Spins = py::array_t<std::int8_t, py::array::c_style>;  // no other numbers are taken for spins
using Inputs = py::array_t<std::int32_t, py::array::c_style | py::array::forcecast>;

std::vector<std::int8_t> checked_spins(const Spins& spins, const char* name, Index n_patterns, Index width) {
  if (spins.ndim() != 2 || (n_patterns >= 0 && spins.shape(0) != n_patterns) || spins.shape(1) != width) {
    const std::string rows = n_patterns >= 0 ? std::to_string(n_patterns) : "n_patterns";
    throw std::invalid_argument(std::string(name) + " must have shape (" + rows + ", " +
                                std::to_string(width) + "), got " + shape_text(spins));
  }
  const std::int8_t* const first = spins.data();
  for (py::ssize_t k = 0; k < spins.size(); ++k) {
    if (first[k] != 1 && first[k] != -1) {
      throw std::invalid_argument(std::string(name) + " must be +1 or -1, got " + std::to_string(first[k]));
    }
  }
  return {first, first + spins.size()};
}

FreeNetworks make_networks(std::vector<Index> widths, const Spins& inputs, const Spins& outputs,
                           const std::string& potential, bool binary,
                           const std::vector<std::optional<Inputs>>& graph, Index n_chains,
                           std::uint64_t seed, Index first_chain) {
  mc::Problem problem;
  if (widths.size() < 2) throw std::invalid_argument("widths must have at least two entries");
  for (const Index n : widths) {
    if (n < 1) throw std::invalid_argument("widths must be >= 1, got " + std::to_string(n));
  }
  problem.widths = std::move(widths);
  const Index depth = problem.depth();
  if (depth > mc::kMostLayers) throw std::invalid_argument("widths must have at most 4096 entries");
  if (potential != "soft" && potential != "count") {
    throw std::invalid_argument("potential must be 'soft' or 'count', got '" + potential + "'");
  }
  if (n_chains < 1 || first_chain < 0 || first_chain + n_chains > mc::kMostChains) {
    throw std::invalid_argument(
        "n_chains must be >= 1, with first_chain >= 0 and their sum at most 2^24, got " +
        std::to_string(n_chains) + " and " + std::to_string(first_chain));
  }
  problem.data_inputs = checked_spins(inputs, "inputs", -1, problem.width(0));
  problem.n_patterns = static_cast<Index>(inputs.shape(0));
  if (problem.n_patterns < 1) throw std::invalid_argument("inputs must have at least one pattern");
  problem.data_outputs = checked_spins(outputs, "outputs", problem.n_patterns, problem.width(depth));
  problem.binary = binary;
  problem.inputs.resize(problem.widths.size());
  if (!graph.empty()) {
    if (static_cast<Index>(graph.size()) != depth)
      throw std::invalid_argument("graph must have an entry for each layer");
    for (Index l = 1; l <= depth; ++l) {
      const auto& layer = graph[static_cast<std::size_t>(l - 1)];
      if (!layer) continue;
      if (layer->ndim() != 2 || layer->shape(0) != problem.width(l) || layer->shape(1) < 1) {
        throw std::invalid_argument("graph must have entries of shape (N_l, n_inputs), got " +
                                    shape_text(*layer));
      }
      for (py::ssize_t k = 0; k < layer->size(); ++k) {
        if (layer->data()[k] < 0 || layer->data()[k] >= problem.width(l - 1)) {
          throw std::invalid_argument("graph must name inputs that exist, got " +
                                      std::to_string(layer->data()[k]));
        }
      }
      for (Index i = 0; i < problem.width(l); ++i) {
        std::vector<std::int32_t> row(layer->data(i, 0), layer->data(i, 0) + layer->shape(1));
        std::sort(row.begin(), row.end());
        if (std::adjacent_find(row.begin(), row.end()) != row.end()) {
          throw std::invalid_argument("graph must name each input of a perceptron once");
        }
      }
      problem.inputs[static_cast<std::size_t>(l)].assign(layer->data(), layer->data() + layer->size());
    }
  }
  return FreeNetworks(std::move(problem), potential == "soft" ? mc::Potential::kSoft : mc::Potential::kCount,
                      n_chains, seed, first_chain);
}

mc::Chain& chain_of(FreeNetworks& networks, Index c) {
  if (c < 0 || c >= networks.n_chains()) {
    throw std::out_of_range("chain must be from 0 to " + std::to_string(networks.n_chains() - 1) + ", got " +
                            std::to_string(c));
  }
  return networks.chain(c);
}

// Real bonds that do not vanish or signs, and zeros outside the graph.
void check_bonds(const mc::Problem& problem, Index layer, Span<const double> bonds) {
  const Index below = problem.width(layer - 1);
  std::vector<char> there(static_cast<std::size_t>(below), problem.dense(layer));
  for (Index i = 0; i < problem.width(layer); ++i) {
    if (!problem.dense(layer)) {
      std::fill(there.begin(), there.end(), 0);
      const Index n = problem.n_inputs(layer);
      for (Index q = 0; q < n; ++q) {
        there[static_cast<std::size_t>(problem.graph(layer)[static_cast<std::size_t>(i * n + q)])] = 1;
      }
    }
    double norm = 0;
    for (Index k = 0; k < below; ++k) {
      const double bond = bonds[i * below + k];
      norm += bond * bond;
      const bool connected = there[static_cast<std::size_t>(k)] != 0;
      if (!connected && bond != 0) throw std::invalid_argument("bonds must be 0 outside the graph");
      if (connected && problem.binary && std::abs(bond) != 1) {
        throw std::invalid_argument("bonds must be +1 or -1 for binary bonds, got " + std::to_string(bond));
      }
    }
    if (!(norm > 0)) {
      throw std::invalid_argument("bonds must not vanish, those of a perceptron of layer " +
                                  std::to_string(layer) + " do");
    }
  }
}

void set_state(FreeNetworks& networks, Index c, const std::vector<Spins>& spins,
               const std::vector<Array>& bonds) {
  const mc::Problem& problem = networks.problem();
  mc::Chain& chain = chain_of(networks, c);
  const Index depth = problem.depth();
  if (static_cast<Index>(spins.size()) != depth - 1)
    throw std::invalid_argument("spins must have an entry for each hidden layer");
  if (static_cast<Index>(bonds.size()) != depth)
    throw std::invalid_argument("bonds must have an entry for each layer");
  std::vector<std::vector<std::int8_t>> checked;
  for (Index l = 1; l < depth; ++l) {
    checked.push_back(
        checked_spins(spins[static_cast<std::size_t>(l - 1)], "spins", problem.n_patterns, problem.width(l)));
  }
  for (Index l = 1; l <= depth; ++l) {
    const Array& layer = bonds[static_cast<std::size_t>(l - 1)];
    const auto view = table(layer, "bonds", problem.width(l), problem.width(l - 1));
    require_finite(view, "bonds");
    check_bonds(problem, l, view);
  }
  for (Index l = 1; l < depth; ++l) chain.set_spins(l, checked[static_cast<std::size_t>(l - 1)].data());
  for (Index l = 1; l <= depth; ++l) chain.set_bonds(l, bonds[static_cast<std::size_t>(l - 1)].data());
  const py::gil_scoped_release release;
  chain.rebuild();
}

py::typing::List<Spins> spins_of(FreeNetworks& networks, Index c) {
  mc::Chain& chain = chain_of(networks, c);
  py::typing::List<Spins> all;
  for (Index l = 0; l <= networks.problem().depth(); ++l) {
    py::array_t<std::int8_t> layer({networks.problem().n_patterns, networks.problem().width(l)});
    chain.get_spins(l, layer.mutable_data());
    all.append(layer);
  }
  return all;
}

py::typing::List<Array> bonds_of(FreeNetworks& networks, Index c) {
  mc::Chain& chain = chain_of(networks, c);
  py::typing::List<Array> all;
  for (Index l = 1; l <= networks.problem().depth(); ++l) {
    py::array_t<double> layer({networks.problem().width(l), networks.problem().width(l - 1)});
    chain.get_bonds(l, layer.mutable_data());
    all.append(layer);
  }
  return all;
}

void check_trajectory_step(double step) {
  if (!(step > 0 && std::isfinite(step))) {
    throw std::invalid_argument("trajectory_step must be positive and finite, got " + std::to_string(step));
  }
}

// follow_trajectory for any number of perceptrons of a dense layer.
py::typing::Tuple<Array, Array, Array> trajectory(const Array& bonds, const Array& momentum,
                                                  const Spins& inputs, const Spins& outputs, double beta,
                                                  Index n_steps, double step) {
  if (bonds.ndim() != 2 || bonds.shape(1) < 1) {
    throw std::invalid_argument("bonds must have shape (n_perceptrons, n_inputs), got " + shape_text(bonds));
  }
  const Index n = bonds.shape(0), n_inputs = bonds.shape(1);
  require_finite(view(bonds), "bonds");
  for (Index i = 0; i < n; ++i) {
    const double* const first = bonds.data(i, 0);
    if (std::all_of(first, first + n_inputs, [](double bond) { return bond == 0; }))
      throw std::invalid_argument("bonds must not vanish, those of perceptron " + std::to_string(i) + " do");
  }
  require_finite(table(momentum, "momentum", n, n_inputs), "momentum");
  const std::vector<std::int8_t> below = checked_spins(inputs, "inputs", -1, n_inputs);
  const Index n_patterns = inputs.shape(0), row = mc::round_up(n_patterns, mc::kLanes);
  const std::vector<std::int8_t> own = checked_spins(outputs, "outputs", n_patterns, n);
  if (!(beta >= 0 && std::isfinite(beta)))
    throw std::invalid_argument("beta must be >= 0 and finite, got " + std::to_string(beta));
  if (n_steps < 1) throw std::invalid_argument("n_steps must be >= 1, got " + std::to_string(n_steps));
  check_trajectory_step(step);
  Array new_bonds({n, n_inputs}), new_momentum({n, n_inputs}), rise(n);
  const double *const old_J = bonds.data(), *const old_w = momentum.data();
  double *const J = new_bonds.mutable_data(), *const w = new_momentum.mutable_data(),
                *const dH = rise.mutable_data();
  {
    const py::gil_scoped_release release;
    const double radius = std::sqrt(static_cast<double>(n_inputs));
    mc::Aligned<float> spins(mc::round_up(n_inputs, mc::kLanes) * row, 1.0f);
    for (Index m = 0; m < n_patterns; ++m) {
      for (Index k = 0; k < n_inputs; ++k)
        spins.data()[k * row + m] = below[static_cast<std::size_t>(m * n_inputs + k)];
    }
    const mc::TrajectoryStrip strip{n_inputs, n_inputs, n_patterns, row, spins.data()};
    for (Index first = 0; first < n; first += mc::kLanes) {
      mc::TrajectoryRoom room(n_inputs, n_patterns);
      const Index n_real = std::min<Index>(mc::kLanes, n - first);
      for (Index i = first; i < first + n_real; ++i) {
        for (Index k = 0; k < n_inputs; ++k) {
          const Index at = k * mc::kLanes + i - first;
          room.direction.data()[at] = static_cast<float>(old_J[i * n_inputs + k] / radius);
          room.momentum.data()[at] = static_cast<float>(old_w[i * n_inputs + k]);
        }
        for (Index m = 0; m < n_patterns; ++m)
          room.spin.data()[m * mc::kLanes + i - first] = own[static_cast<std::size_t>(m * n + i)];
      }
      double change[mc::kLanes];
      mc::normalise(strip, room);
      mc::find_gaps(strip, room);
      mc::follow_trajectory(strip, beta, n_steps, step, room, change);
      for (Index i = first; i < first + n_real; ++i) {
        dH[i] = change[i - first];
        for (Index k = 0; k < n_inputs; ++k) {
          const Index at = k * mc::kLanes + i - first;
          J[i * n_inputs + k] = static_cast<double>(room.direction.data()[at]) * radius;
          w[i * n_inputs + k] = static_cast<double>(room.momentum.data()[at]);
        }
      }
    }
  }
  return py::make_tuple(new_bonds, new_momentum, rise);
}

py::typing::Dict<py::str, Array> run(FreeNetworks& networks, Index n_draws, Index every, const Array& beta,
                                     const Array& step, Index bond_passes, Index spin_passes,
                                     Index trajectory_steps, double trajectory_step, int threads) {
  const Index n_chains = networks.n_chains(), depth = networks.problem().depth();
  if (n_draws < 0) throw std::invalid_argument("n_draws must be >= 0, got " + std::to_string(n_draws));
  if (every < 1) throw std::invalid_argument("every must be >= 1, got " + std::to_string(every));
  for (const Index passes : {bond_passes, spin_passes}) {
    if (passes < 0 || passes > mc::kMostPasses) {
      throw std::invalid_argument("bond_passes and spin_passes must be from 0 to 256, got " +
                                  std::to_string(passes));
    }
  }
  if (trajectory_steps < 0) {
    throw std::invalid_argument("trajectory_steps must be >= 0, got " + std::to_string(trajectory_steps));
  }
  if (trajectory_steps > 0) {
    if (networks.potential() != mc::Potential::kSoft || networks.problem().binary) {
      throw std::invalid_argument(
          "trajectory_steps must be 0 unless the potential is soft and bonds are spherical, got " +
          std::to_string(trajectory_steps));
    }
    check_trajectory_step(trajectory_step);
  }
  constexpr std::uint64_t kMostSweeps = std::uint64_t{1} << 32;
  if (static_cast<std::uint64_t>(n_draws) >
      (kMostSweeps - std::min(networks.sweep(), kMostSweeps)) / static_cast<std::uint64_t>(every)) {
    throw std::invalid_argument("a chain has at most 2^32 sweeps");
  }
  vector(beta, "beta", n_chains);
  table(step, "step", n_chains, depth);
  std::vector<mc::Schedule> schedules;
  for (Index c = 0; c < n_chains; ++c) {
    mc::Schedule schedule;
    schedule.beta = beta.data()[c];
    if (!(schedule.beta >= 0))
      throw std::invalid_argument("beta must be >= 0, got " + std::to_string(schedule.beta));
    if (trajectory_steps > 0 && !std::isfinite(schedule.beta))
      throw std::invalid_argument("beta must be finite for trajectories, got inf");
    schedule.step.assign(step.data() + c * depth, step.data() + (c + 1) * depth);
    for (const double angle : schedule.step) {
      if (!(angle > 0 && angle <= 3.141592653589794)) {
        throw std::invalid_argument("step must be in (0, pi], got " + std::to_string(angle));
      }
    }
    schedule.bond_passes = bond_passes;
    schedule.spin_passes = spin_passes;
    schedule.trajectory_steps = trajectory_steps;
    schedule.trajectory_step = trajectory_step;
    schedules.push_back(std::move(schedule));
  }
  Array energy({n_chains, n_draws, depth}), bonds({n_chains, n_draws, depth + 1}),
      spins({n_chains, n_draws, depth + 1}), drift(n_chains);
  {
    const mc::Record record{mutable_view(energy), mutable_view(bonds), mutable_view(spins),
                            mutable_view(drift)};
    const py::gil_scoped_release release;
    networks.run(n_draws, every, schedules, threads, record);
  }
  py::typing::Dict<py::str, Array> result;
  result["energy"] = energy;
  result["bonds_accepted"] = bonds;
  result["spins_accepted"] = spins;
  result["drift"] = drift;
  return result;
}

Array energy(FreeNetworks& networks) {
  const Index depth = networks.problem().depth();
  Array all({networks.n_chains(), depth});
  for (Index c = 0; c < networks.n_chains(); ++c) networks.chain(c).energy({all.mutable_data(c, 0), depth});
  return all;
}

py::typing::List<py::array_t<std::uint8_t>> memory(FreeNetworks& networks, Index c) {
  py::typing::List<py::array_t<std::uint8_t>> all;
  for (const Span<unsigned char>& part : chain_of(networks, c).memory()) {
    all.append(py::array_t<std::uint8_t>(part.size(), part.data()));
  }
  return all;
}

void set_memory(FreeNetworks& networks, Index c,
                const std::vector<py::array_t<std::uint8_t, py::array::c_style>>& memory) {
  const auto parts = chain_of(networks, c).memory();
  if (memory.size() != parts.size())
    throw std::invalid_argument("memory must have " + std::to_string(parts.size()) + " parts");
  for (std::size_t k = 0; k < parts.size(); ++k) {
    if (memory[k].size() != parts[k].size()) {
      throw std::invalid_argument("memory is not that of such a network: part " + std::to_string(k) +
                                  " has " + std::to_string(memory[k].size()) + " bytes, expected " +
                                  std::to_string(parts[k].size()));
    }
  }
  for (std::size_t k = 0; k < parts.size(); ++k)
    std::copy_n(memory[k].data(), parts[k].size(), parts[k].data());
}

}  // namespace

void bind_mc(py::module_& m) {
  m.def("mc_trajectory", &trajectory, py::arg("bonds"), py::arg("momentum"), py::arg("inputs"),
        py::arg("outputs"), py::arg("beta"), py::arg("n_steps"), py::arg("step"),
        R"(Geodesic leapfrog of the bonds of independent perceptrons (soft potential, spherical bonds).

bonds, momentum (n_perceptrons, n_inputs), inputs (n_patterns, n_inputs), outputs (n_patterns, n_perceptrons).
Gives bonds, momentum and the changes (n_perceptrons,) of beta E + |p|^2/2; calculates in single precision.)");
  py::class_<FreeNetworks>(m, "FreeNetworks", py::module_local(),
                           R"(Chains of a perceptron network with free hidden neurons, on one data set.

The trajectory of chain ``first_chain + c`` is a function of the seed, that number and the arguments of ``run``.
A new object has all hidden spins +1 and no bonds: call ``set_state`` first.)")
      .def(py::init(&make_networks), py::arg("widths"), py::arg("inputs"), py::arg("outputs"), py::kw_only(),
           py::arg("potential") = "soft", py::arg("binary") = false,
           py::arg("graph") = std::vector<std::optional<Inputs>>{}, py::arg("n_chains") = 1,
           py::arg("seed") = 0, py::arg("first_chain") = 0,
           "inputs (n_patterns, N_0) and outputs (n_patterns, N_L) of +1 and -1; graph: for each layer the "
           "inputs of "
           "its perceptrons (N_l, c), or None where all are.")
      .def("set_state", &set_state, py::arg("chain"), py::arg("spins"), py::arg("bonds"),
           "Spins (n_patterns, N_l) of the hidden layers and bonds (N_l, N_{l-1}) of all; spherical bonds "
           "are normalised.")
      .def("spins", &spins_of, py::arg("chain"), "Spins (n_patterns, N_l) of layers 0 .. L.")
      .def("bonds", &bonds_of, py::arg("chain"), "Bonds (N_l, N_{l-1}) of layers 1 .. L.")
      .def_property("sweep", &FreeNetworks::sweep, &FreeNetworks::set_sweep,
                    "Number of sweeps done: the clock of the random numbers.")
      .def(
          "run", &run, py::arg("n_draws"), py::arg("every"), py::arg("beta"), py::arg("step"), py::kw_only(),
          py::arg("bond_passes") = 1, py::arg("spin_passes") = 1, py::arg("trajectory_steps") = 0,
          py::arg("trajectory_step") = 0.0, py::arg("threads") = 0,
          "n_draws times `every` sweeps; beta (n_chains,), step (n_chains, depth).  For trajectory_steps > 0 "
          "a bond "
          "pass is a trajectory of so many steps of length trajectory_step for every perceptron (soft "
          "potential, "
          "spherical bonds, finite beta), else a sweep of rotations or flips.  Gives energy (n_chains, "
          "n_draws, "
          "depth), the numbers of accepted moves since the last draw (n_chains, n_draws, depth + 1) and the "
          "largest "
          "drift of a field (n_chains,).")
      .def("energy", &energy, "Energies (n_chains, depth) by layer, from the fields as they are kept.")
      .def(
          "rebuild", [](FreeNetworks& networks, Index c) { return chain_of(networks, c).rebuild(); },
          py::arg("chain"), py::call_guard<py::gil_scoped_release>(),
          "Compute the fields anew; gives the largest change.")
      .def("memory", &memory, py::arg("chain"),
           "The bytes of bonds, gaps and spins, for a continuation to the last bit.")
      .def("set_memory", &set_memory, py::arg("chain"), py::arg("memory"), "What ``memory`` gave.");
}

}  // namespace deepglass::bindings
