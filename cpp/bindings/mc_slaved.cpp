// The slaved perceptron network: plain arrays in, plain arrays out.
#include <variant>

#include "bindings.hpp"
#include "deepglass/mc/slaved.hpp"

namespace deepglass::bindings {

// A sequence of whatever NumPy makes an array of.
class ArrayLikes : public py::sequence {
  using py::sequence::sequence;
};

}  // namespace deepglass::bindings

template <>
struct pybind11::detail::handle_type_name<deepglass::bindings::ArrayLikes> {
  static constexpr auto name = const_name("collections.abc.Sequence[numpy.typing.ArrayLike]");
};

namespace deepglass::bindings {

namespace {

using namespace deepglass::mc;

using List = py::typing::List<py::array>;
using State = py::typing::Dict<py::str, py::object>;
using SpinArray = py::array_t<std::int8_t>;

std::string text(double x) {
  return py::str(py::float_(x));
}

void require_signs(Span<const double> x, const std::string& name) {
  for (const double value : x) {
    require(value == 1.0 || value == -1.0, name + " must be +1 or -1, got " + text(value));
  }
}

std::vector<std::int8_t> signs(Span<const double> x, const char* name) {
  require_signs(x, name);
  return {x.begin(), x.end()};
}

// (n_patterns, n) of +1 and -1 from n rows of fields.
template <class Row>
SpinArray transposed(Index n, Index n_patterns, Row row) {
  SpinArray spins({n_patterns, n});
  std::int8_t* to = spins.mutable_data();
  for (Index i = 0; i < n; ++i) {
    const auto fields = row(i);
    for (Index mu = 0; mu < n_patterns; ++mu) to[mu * n + i] = fields[mu] < 0 ? -1 : 1;
  }
  return spins;
}

// Entry number l of a list of tables (N_l, N_{l-1}).
Array entry(const py::sequence& list, Index l) {
  return Array::ensure(list[static_cast<py::size_t>(l)]);
}
Span<const double> layer_table(const Array& a, const std::string& name, Index rows, Index columns) {
  require(static_cast<bool>(a), name + " must be an array of numbers");
  return table(a, name.c_str(), rows, columns);
}

template <class Bond>
std::vector<std::vector<Bond>> checked_bonds(const py::sequence& list, const std::vector<Index>& widths) {
  const auto depth = static_cast<Index>(widths.size()) - 1;
  require(static_cast<Index>(list.size()) == depth,
          "bonds must be a list of " + std::to_string(depth) + " arrays, got " + std::to_string(list.size()));
  std::vector<std::vector<Bond>> all;
  for (Index l = 0; l < depth; ++l) {
    const Index n_in = widths[static_cast<std::size_t>(l)], n_out = widths[static_cast<std::size_t>(l) + 1];
    const std::string name = "bonds[" + std::to_string(l) + "]";
    const Array array = entry(list, l);
    const auto x = layer_table(array, name, n_out, n_in);
    if (!std::is_floating_point_v<Bond>) require_signs(x, name);
    std::vector<Bond> bonds(x.begin(), x.end());
    if constexpr (std::is_floating_point_v<Bond>) {
      for (Index i = 0; i < n_out; ++i) {
        double norm = 0;
        for (Index k = 0; k < n_in; ++k) {
          const double value = static_cast<double>(bonds[static_cast<std::size_t>(i * n_in + k)]);
          require(std::isfinite(value),
                  name + " must be finite in single precision, got " + text(x[i * n_in + k]));
          norm += value * value;
        }
        require(norm > 1e-30, name + " must have no row of norm zero, got row " + std::to_string(i));
      }
    }
    all.push_back(std::move(bonds));
  }
  return all;
}

template <class T>
py::array_t<T> array(const std::vector<T>& values) {
  return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

class Networks {
  template <class One>
  using BondOf = typename std::decay_t<One>::Bond;

  template <class One>
  static constexpr bool kHasFields = std::is_floating_point_v<BondOf<One>>;

  static constexpr double kPi = 3.14159265358979323846;

  template <class Action>
  auto visit(Action action) const {
    return std::visit([&](auto& networks) { return action(*networks); }, networks_);
  }

  template <class Any>
  static auto& chosen(Any& networks, Index chain) {
    const auto n = static_cast<Index>(networks.chains().size());
    require(chain >= 0 && chain < n,
            "chain must lie in [0, " + std::to_string(n) + "), got " + std::to_string(chain));
    return networks.chains()[static_cast<std::size_t>(chain)];
  }

  template <class Value>
  py::array_t<std::int64_t> of_chains(Value value) const {
    return visit([&](auto& networks) {
      std::vector<std::int64_t> all;
      for (const auto& one : networks.chains()) all.push_back(value(one));
      return array(all);
    });
  }

  template <class Values>
  py::array_t<std::int64_t> of_layers(Values values) const {
    return visit([&](auto& networks) {
      py::array_t<std::int64_t> all(
          {static_cast<Index>(networks.chains().size()), static_cast<Index>(networks.problem().depth())});
      std::int64_t* to = all.mutable_data();
      for (const auto& one : networks.chains()) {
        const auto of_one = values(one);
        to = std::copy(of_one.begin(), of_one.end(), to);
      }
      return all;
    });
  }

 public:
  Networks(const std::vector<Index>& widths, const Array& inputs, const Array& outputs, bool binary,
           Index n_chains, std::uint64_t seed, std::uint64_t first_chain) {
    require(widths.size() >= 2, "widths must have at least 2 entries, got " + std::to_string(widths.size()));
    Index most_inputs = 0;
    double n_bonds = 0;
    for (std::size_t l = 0; l < widths.size(); ++l) {
      const Index n = widths[l];
      const bool is_input = l + 1 < widths.size();
      const Index least = is_input && !binary ? 2 : 1;  // one bond on a sphere cannot move
      require(n >= least && n < (Index{1} << 30),
              "widths must lie in [" + std::to_string(least) + ", 2^30), got " + std::to_string(n));
      if (!is_input) continue;
      most_inputs = std::max(most_inputs, n);
      n_bonds += static_cast<double>(n) * static_cast<double>(widths[l + 1]);
    }
    require(n_bonds < 4e9, "widths must give fewer than 4e9 bonds, got " + text(n_bonds));
    require(!binary || most_inputs <= 32767,
            "widths must be at most 32767 for binary bonds, got " + std::to_string(most_inputs));
    require(n_chains >= 1, "n_chains must be at least 1, got " + std::to_string(n_chains));
    require(first_chain < std::uint64_t{1} << 61,
            "first_chain must be below 2^61, got " + std::to_string(first_chain));
    require(
        inputs.ndim() == 2 && inputs.shape(0) >= 1 && inputs.shape(0) < (Index{1} << 30),
        "inputs must have shape (n_patterns, n_inputs), 1 <= n_patterns < 2^30, got " + shape_text(inputs));
    const Index n_patterns = inputs.shape(0);
    const auto in = signs(table(inputs, "inputs", n_patterns, widths.front()), "inputs");
    const auto out = signs(table(outputs, "outputs", n_patterns, widths.back()), "outputs");
    SlavedProblem problem(widths, n_patterns, binary, in, out);
    if (binary) {
      networks_ = std::make_unique<SlavedNetworks<BinarySlavedChain>>(std::move(problem), n_chains, seed,
                                                                      first_chain);
    } else {
      networks_ = std::make_unique<SlavedNetworks<SphericalSlavedChain>>(
          SphericalSlavedProblem(std::move(problem)), n_chains, seed, first_chain);
    }
  }

  void set_bonds(Index chain, const ArrayLikes& bonds) {
    visit([&](auto& networks) {
      auto& one = chosen(networks, chain);
      const auto all = checked_bonds<BondOf<decltype(one)>>(bonds, networks.problem().widths);
      for (std::size_t l = 0; l < all.size(); ++l) one.set_bonds(static_cast<int>(l) + 1, all[l]);
      one.rebuild();
    });
  }

  List bonds(Index chain) const {
    return visit([&](auto& networks) {
      const auto& one = chosen(networks, chain);
      const auto& widths = networks.problem().widths;
      List list;
      for (std::size_t l = 1; l < widths.size(); ++l) {
        py::array_t<BondOf<decltype(one)>> to({widths[l], widths[l - 1]});
        const auto from = one.bonds(static_cast<int>(l));
        std::copy(from.begin(), from.end(), to.mutable_data());
        list.append(to);
      }
      return list;
    });
  }

  List spins(Index chain) const {
    return visit([&](auto& networks) {
      const auto& one = chosen(networks, chain);
      const auto& widths = networks.problem().widths;
      List list;
      for (std::size_t l = 0; l < widths.size(); ++l) {
        list.append(transposed(widths[l], networks.problem().n_patterns,
                               [&](Index i) { return one.signs(static_cast<int>(l), i); }));
      }
      return list;
    });
  }

  std::uint64_t sweep() const {
    return visit([](auto& networks) { return networks.sweep(); });
  }
  void set_sweep(std::uint64_t sweep) {
    visit([&](auto& networks) { networks.set_sweep(sweep); });
  }

  void run(std::uint64_t n_sweeps, const Array& beta, const Array& step, bool early_stop, int threads) {
    visit([&](auto& networks) {
      const auto& problem = networks.problem();
      const auto b = vector(beta, "beta", static_cast<Index>(networks.chains().size()));
      for (const double value : b) require(value >= 0, "beta must be >= 0, got " + text(value));
      Span<const double> angles;
      if (!problem.binary) {
        angles = vector(step, "step", problem.depth());
        for (const double value : angles) {
          require(value > 0 && value <= kPi, "step must lie in (0, pi], got " + text(value));
        }
      }
      const py::gil_scoped_release release;
      networks.run(n_sweeps, b, angles, early_stop, threads, stop_token());
    });
  }

  py::array_t<std::int64_t> energy() const {
    return of_chains([](const auto& one) { return one.energy(); });
  }
  py::array_t<std::int64_t> fresh_energy() const {
    return of_chains([](const auto& one) { return one.fresh_energy(); });
  }
  py::array_t<std::int64_t> attempts() const {
    return of_layers([](const auto& one) { return one.attempts(); });
  }
  py::array_t<std::int64_t> acceptances() const {
    return of_layers([](const auto& one) { return one.acceptances(); });
  }
  void reset_counters() {
    visit([](auto& networks) {
      for (auto& one : networks.chains()) {
        for (int l = 1; l <= networks.problem().depth(); ++l) one.set_counters(l, 0, 0);
      }
    });
  }

  State state(Index chain) const {
    State state;
    state["bonds"] = bonds(chain);
    visit([&](auto& networks) {
      const auto& one = chosen(networks, chain);
      const auto& problem = networks.problem();
      if constexpr (kHasFields<decltype(one)>) {
        py::list fields;
        for (int l = 1; l <= problem.depth(); ++l) {
          const Index n = problem.widths[static_cast<std::size_t>(l)];
          py::array_t<float> layer({n, problem.n_patterns});
          for (Index i = 0; i < n; ++i) {
            const auto from = one.fields(l, i);
            std::copy(from.begin(), from.end(), layer.mutable_data(i, 0));
          }
          fields.append(layer);
        }
        state["fields"] = fields;
      }
      state["attempts"] = array(one.attempts());
      state["acceptances"] = array(one.acceptances());
      state["sweep"] = py::int_(networks.sweep());
    });
    return state;
  }

  void set_state(Index chain, const State& state) {
    visit([&](auto& networks) {
      auto& place = chosen(networks, chain);
      const auto& problem = networks.problem();
      const auto part = [&](const char* name) {
        require(state.contains(name), std::string("state must have an entry '") + name + "'");
        return py::object(state[name]);
      };
      const auto list = [&](const char* name) {
        const py::object found = part(name);
        require(py::isinstance<py::sequence>(found), std::string(name) + " must be a list");
        return py::reinterpret_borrow<py::sequence>(found);
      };
      auto one = place;  // nothing happens to the chain unless all is right
      const auto bonds = checked_bonds<BondOf<decltype(one)>>(list("bonds"), problem.widths);
      for (std::size_t l = 0; l < bonds.size(); ++l) one.set_bonds(static_cast<int>(l) + 1, bonds[l]);
      if constexpr (kHasFields<decltype(one)>) {
        set_fields(one, problem, list("fields"));
      } else {
        one.rebuild();
      }
      const auto n = static_cast<Index>(problem.depth());
      const auto attempts = counts(part("attempts"), "attempts", n);
      const auto acceptances = counts(part("acceptances"), "acceptances", n);
      for (Index l = 0; l < n; ++l) {
        one.set_counters(static_cast<int>(l) + 1, attempts[static_cast<std::size_t>(l)],
                         acceptances[static_cast<std::size_t>(l)]);
      }
      const py::object sweep = part("sweep");
      require(PyIndex_Check(sweep.ptr()) && sweep >= py::int_(0) && sweep <= py::int_(~std::uint64_t{0}),
              "sweep must be an integer in [0, 2^64), got " + std::string(py::str(sweep)));
      place = std::move(one);
      networks.set_sweep(py::cast<std::uint64_t>(py::int_(sweep)));
    });
  }

 private:
  template <class Chain, class Problem>
  static void set_fields(Chain& chain, const Problem& problem, const py::sequence& list) {
    require(static_cast<int>(list.size()) == problem.depth(),
            "fields must be a list of " + std::to_string(problem.depth()) + " arrays, got " +
                std::to_string(list.size()));
    using Field = std::decay_t<decltype(chain.fields(1, 0)[0])>;
    for (int l = 1; l <= problem.depth(); ++l) {
      const std::string name = "fields[" + std::to_string(l - 1) + "]";
      const Array layer = entry(list, l - 1);
      const auto x =
          layer_table(layer, name, problem.widths[static_cast<std::size_t>(l)], problem.n_patterns);
      require_finite(x, name.c_str());
      for (Index i = 0; i < problem.widths[static_cast<std::size_t>(l)]; ++i) {
        const auto to = chain.fields(l, i);
        // + 0: the sign bit of -0 is not that of sgn(0).
        for (Index mu = 0; mu < to.size(); ++mu)
          to[mu] = static_cast<Field>(x[i * to.size() + mu]) + Field{0};
      }
      constexpr double kMostDrift = 1e-3;
      require(chain.drift(l) < kMostDrift,
              name + " must be those of the bonds within 0.001, got a deviation of " + text(chain.drift(l)));
    }
    chain.derive();
  }

  static std::vector<std::int64_t> counts(const py::object& object, const char* name, Index n) {
    using Counts = py::array_t<std::int64_t, py::array::c_style | py::array::forcecast>;
    const auto a = Counts::ensure(object);
    require(a && a.ndim() == 1 && a.shape(0) == n,
            std::string(name) + " must have shape (" + std::to_string(n) + ",)");
    const std::vector<std::int64_t> all(a.data(), a.data() + n);
    for (const auto value : all) {
      require(value >= 0, std::string(name) + " must be >= 0, got " + std::to_string(value));
    }
    return all;
  }

  std::variant<std::unique_ptr<SlavedNetworks<SphericalSlavedChain>>,
               std::unique_ptr<SlavedNetworks<BinarySlavedChain>>>
      networks_;
};

// Spins of all layers, the inputs first, for bonds as they are: sums in double, sgn(0) = +1.
List slaved_forward(const ArrayLikes& bonds, const Array& inputs) {
  require(bonds.size() >= 1, "bonds must be a list of at least 1 array");
  require(inputs.ndim() == 2, "inputs must have shape (n_patterns, n_inputs), got " + shape_text(inputs));
  const Index n_patterns = inputs.shape(0);
  Index n = inputs.shape(1);
  const auto in = signs(view(inputs), "inputs");
  std::vector<float> x(in.size()), y;
  for (Index mu = 0; mu < n_patterns; ++mu) {
    for (Index k = 0; k < n; ++k) {
      x[static_cast<std::size_t>(k * n_patterns + mu)] = in[static_cast<std::size_t>(mu * n + k)];
    }
  }
  const auto spins = [&](Index width) {
    return transposed(width, n_patterns,
                      [&](Index i) { return Span<const float>(x.data() + i * n_patterns, n_patterns); });
  };
  List list;
  list.append(spins(n));
  for (Index l = 0; l < static_cast<Index>(bonds.size()); ++l) {
    const std::string name = "bonds[" + std::to_string(l) + "]";
    const Array array = entry(bonds, l);
    require(array && array.ndim() == 2,
            name + " must have shape (n_outputs, n_inputs)" + (array ? ", got " + shape_text(array) : ""));
    const auto values = layer_table(array, name, array.shape(0), n);
    require_finite(values, name.c_str());
    const std::vector<float> layer(values.begin(), values.end());
    y.assign(static_cast<std::size_t>(array.shape(0) * n_patterns), 0.0F);
    {
      const py::gil_scoped_release release;
      mc::detail::forward_layer(layer.data(), array.shape(0), n, x.data(), n_patterns, y.data());
    }
    std::swap(x, y);
    n = array.shape(0);
    list.append(spins(n));
  }
  return list;
}

}  // namespace

void bind_mc_slaved(py::module_& m) {
  py::class_<Networks>(
      m, "SlavedNetworks", py::module_local(),
      "Chains of slaved perceptron networks on the same data.\n\n"
      "A trajectory is a function of (seed, first_chain + chain, sweep), of nothing else.  Real\n"
      "bonds get norm^2 = number of inputs, and their fields are computed afresh, after sweeps\n"
      "whose number is a multiple of rebuild_every.  After an interrupt all chains stand at the\n"
      "end of the same sweep, the one `sweep` tells, and can be run on.")
      .def(
          py::init<const std::vector<Index>&, const Array&, const Array&, bool, Index, std::uint64_t,
                   std::uint64_t>(),
          py::arg("widths"), py::arg("inputs"), py::arg("outputs"), py::kw_only(), py::arg("binary"),
          py::arg("n_chains"), py::arg("seed"), py::arg("first_chain") = 0,
          "widths N_0 .. N_L; inputs (n_patterns, N_0), outputs (n_patterns, N_L), of +1 and -1.  All bonds\n"
          "are 1 until they are set.")
      .def_property_readonly_static("rebuild_every", [](const py::object&) { return kRebuildEvery; })
      .def_property(
          "sweep", &Networks::sweep, &Networks::set_sweep,
          "Number of sweeps done, the same for all chains: the clock of random numbers and rebuilds.")
      .def("set_bonds", &Networks::set_bonds, py::arg("chain"), py::arg("bonds"),
           "Bonds (N_l, N_{l-1}) of layers l = 1 .. L; rows of real ones are scaled to norm^2 = N_{l-1}.")
      .def("bonds", &Networks::bonds, py::arg("chain"), "Bonds (N_l, N_{l-1}), l = 1 .. L: float32 or int8.")
      .def("spins", &Networks::spins, py::arg("chain"), "Spins (n_patterns, N_l), l = 0 .. L: int8.")
      .def("run", &Networks::run, py::arg("n_sweeps"), py::arg("beta"), py::arg("step"), py::kw_only(),
           py::arg("early_stop") = true, py::arg("threads") = 0,
           "Sweeps at inverse temperatures beta (n_chains,), infinity being greedy, with angles up to step\n"
           "(depth,) (of no effect on binary bonds).  early_stop leaves hopeless moves early: same "
           "trajectory.")
      .def("energy", &Networks::energy, "Wrong output bits (n_chains,).")
      .def("fresh_energy", &Networks::fresh_energy, "The same by a forward pass from the bonds.")
      .def("attempts", &Networks::attempts, "Attempts since reset_counters (n_chains, depth).")
      .def("acceptances", &Networks::acceptances, "Acceptances since reset_counters (n_chains, depth).")
      .def("reset_counters", &Networks::reset_counters, "Set attempts and acceptances to zero.")
      .def("state", &Networks::state, py::arg("chain"),
           "Arrays for set_state, from which the chain goes on bit for bit (same data, seed and number).")
      .def("set_state", &Networks::set_state, py::arg("chain"), py::arg("state"),
           "Take over what state() gave.  Its sweep becomes that of all chains.");
  m.def(
      "slaved_forward", &slaved_forward, py::arg("bonds"), py::arg("inputs"),
      "Spins (n_patterns, N_l), l = 0 .. L, of a feed-forward network S[l] = sgn(J[l] S[l-1]), sgn(0) = +1;\n"
      "bonds are taken in single precision and not scaled, sums in double.");
}

}  // namespace deepglass::bindings
