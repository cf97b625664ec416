// Contour family: complex phi^4 on linear contours and those of networks.  Plain arrays in, plain arrays out.
#include <algorithm>
#include <complex>
#include <memory>
#include <optional>

#include "bindings.hpp"
#include "deepglass/contour/hmc.hpp"
#include "deepglass/contour/network.hpp"

namespace deepglass::bindings {

namespace {

using namespace deepglass::contour;
using ComplexArray = py::array_t<std::complex<double>, py::array::c_style | py::array::forcecast>;

// A contour and the shape of its fields.
template <class Contour>
struct OnLattice {
  Index n_space, n_time;
  Contour contour;

  Index chains_of(const Array& field) const {
    require(field.ndim() == 4 && field.shape(1) == 2 && field.shape(2) == n_space && field.shape(3) == n_time,
            "field must have shape (n_chains, 2, " + std::to_string(n_space) + ", " + std::to_string(n_time) +
                "), got " + shape_text(field));
    return field.shape(0);
  }
  double nanoseconds(Index n_chains) const {
    return contour.nanoseconds_per_site() * static_cast<double>(contour.n_sites() * n_chains);
  }
};

Phi4 make_model(const Array& transform, double mass, double coupling, double chemical_potential) {
  require(transform.ndim() == 2 && transform.size() > 0,
          "transform must have shape (n_space, n_time), got " + shape_text(transform));
  require_finite(view(transform), "transform");
  require(std::isfinite(mass), "mass must be finite, got " + std::to_string(mass));
  require(std::isfinite(coupling), "coupling must be finite, got " + std::to_string(coupling));
  require(std::isfinite(chemical_potential),
          "chemical_potential must be finite, got " + std::to_string(chemical_potential));
  return {transform.shape(0), transform.shape(1), mass * mass, coupling, chemical_potential};
}

using OnLinear = OnLattice<LinearContour>;
using OnNetwork = OnLattice<NetworkContour>;

std::unique_ptr<OnLinear> make_linear(const Array& transform, double mass, double coupling,
                                      double chemical_potential) {
  const Phi4 model = make_model(transform, mass, coupling, chemical_potential);
  return std::make_unique<OnLinear>(
      OnLinear{model.n_space, model.n_time, LinearContour(model, view(transform))});
}

std::unique_ptr<OnNetwork> make_network(const Array& transform, double mass, double coupling,
                                        double chemical_potential, const Array& w1, const Array& b1,
                                        const Array& w2, const Array& b2, const Array& alpha,
                                        const Array& beta, const std::optional<ComplexArray>& q) {
  const Phi4 model = make_model(transform, mass, coupling, chemical_potential);
  const Index n = 2 * model.n_space * model.n_time, hidden = b1.ndim() == 1 ? b1.shape(0) : 0;
  const auto check = [](bool right, const char* name, const Array& array) {
    require(right, std::string(name) + " has the wrong shape " + shape_text(array));
    require_finite(view(array), name);
  };
  check(hidden > 0, "b1", b1);
  check(w1.ndim() == 2 && w1.shape(0) == hidden && w1.shape(1) == n, "W1", w1);
  check(w2.ndim() == 2 && w2.shape(0) == n && w2.shape(1) == hidden, "W2", w2);
  check(b2.ndim() == 1 && b2.shape(0) == n, "b2", b2);
  check(alpha.ndim() == 1 && alpha.shape(0) == n, "alpha", alpha);
  check(beta.ndim() == 1 && beta.shape(0) == n, "beta", beta);
  std::vector<double> re(w1.data(), w1.data() + hidden * n), im;
  double log_base = 0;
  if (q) {
    require(q->ndim() == 2 && q->shape(0) == hidden && q->shape(1) == n, "Q has the wrong shape");
    im.resize(re.size());
    for (std::size_t i = 0; i < re.size(); ++i) re[i] = q->data()[i].real(), im[i] = q->data()[i].imag();
    for (const double s : view(transform)) log_base += std::log1p(s * s);
  }
  const NetworkWeights weights = {hidden,      w1.data(), b1.data(),
                                  w2.data(),   b2.data(), alpha.data(),
                                  beta.data(), re.data(), q ? im.data() : nullptr};
  return std::make_unique<OnNetwork>(
      OnNetwork{model.n_space, model.n_time, NetworkContour(model, view(transform), log_base, weights)});
}

template <class Contour>
Array gradient(const OnLattice<Contour>& on, const Array& field, int threads) {
  const Index n_chains = on.chains_of(field), n = on.contour.n_sites();
  Array out(std::vector<py::ssize_t>(field.shape(), field.shape() + 4));
  const double* const t = field.data();
  double* const to = out.mutable_data();
  const StopToken stop = stop_token();
  {
    py::gil_scoped_release release;
    parallel_chunks(
        n_chains, kLanes, Team{threads, on.nanoseconds(n_chains)},
        [&](Index first, Index) {
          std::vector<Site> w(static_cast<std::size_t>(n)), g(w.size());
          typename Contour::Room room(on.contour);
          load(t, n_chains, n, first, w);
          on.contour.gradient(w.data(), g.data(), room);
          store(g, n_chains, n, first, to);
        },
        stop);
  }
  return out;
}

template <class Contour>
Arrays measure(const OnLattice<Contour>& on, const Array& field) {
  const Index n_chains = on.chains_of(field), n = on.contour.n_sites();
  py::array_t<std::complex<double>> action(n_chains), density(n_chains), phi2(n_chains);
  std::complex<double>*const action_to = action.mutable_data(), *const density_to = density.mutable_data(),
                             *const phi2_to = phi2.mutable_data();
  const double* const t = field.data();
  {
    py::gil_scoped_release release;
    std::vector<Site> w(static_cast<std::size_t>(n));
    typename Contour::Room room(on.contour);
    for (Index first = 0; first < n_chains; first += kLanes) {
      load(t, n_chains, n, first, w);
      const Measured now = on.contour.measure(w.data(), room);
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

// Goes on from `field` after `trajectory` trajectories; without it, chains start anew.
template <class Contour>
Arrays sample(const OnLattice<Contour>& on, Index n_chains, Index n_draws, Index n_thermal, Index every,
              Index n_steps, double step, std::uint64_t seed, int threads, const std::optional<Array>& field,
              std::uint64_t trajectory) {
  require(n_chains >= 1, "n_chains must be at least 1, got " + std::to_string(n_chains));
  require(n_draws >= 1, "n_draws must be at least 1, got " + std::to_string(n_draws));
  require(n_thermal >= 0, "n_thermal must be at least 0, got " + std::to_string(n_thermal));
  require(every >= 1, "every must be at least 1, got " + std::to_string(every));
  require(n_steps >= 1, "n_steps must be at least 1, got " + std::to_string(n_steps));
  require(step > 0 && std::isfinite(step), "step must be positive and finite, got " + std::to_string(step));
  require(field.has_value() == (trajectory > 0), "trajectory must be at least 1 with a field, else 0");
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
  const Fields fields = {table("field", {n_chains, 2, on.n_space, on.n_time}), trajectory};
  if (field) {
    require(on.chains_of(*field) == n_chains, "field must have n_chains chains, got " + shape_text(*field));
    std::copy_n(field->data(), field->size(), fields.t);
  }
  const StopToken stop = stop_token();
  {
    py::gil_scoped_release release;
    contour::sample(on.contour, {n_chains, n_draws, n_thermal, every, n_steps, step}, seed, fields, out,
                    threads, stop);
  }
  return result;
}

Arrays weight_gradient(const OnNetwork& on, const Array& field, int threads) {
  const Index n_chains = on.chains_of(field), n = on.contour.n_sites();
  require(n_chains >= 1, "field must have at least one chain, got " + shape_text(field));
  const double* const t = field.data();
  const StopToken stop = stop_token();
  // The sum goes over at most kParts parts of the chains, whatever the number of threads.
  constexpr Index kParts = 64;
  const Index groups = (n_chains + kLanes - 1) / kLanes, chunk = kLanes * ((groups + kParts - 1) / kParts);
  NetworkContour::Sums sums;
  {
    py::gil_scoped_release release;
    sums = ordered_sum<NetworkContour::Sums>(
        n_chains, chunk, Team{threads, 1.5 * on.nanoseconds(n_chains)},
        [&](Index begin, Index end) {
          NetworkContour::Sums part(on.contour);
          NetworkContour::Room room(on.contour);
          std::vector<Site> w(static_cast<std::size_t>(n));
          for (Index first = begin; first < end; first += kLanes) {
            load(t, n_chains, n, first, w);
            on.contour.accumulate(w.data(), static_cast<int>(std::min<Index>(kLanes, end - first)), part,
                                  room);
          }
          return part;
        },
        stop);
  }
  Arrays result;
  const auto put = [&](const char* name, const std::vector<double>& sum, std::vector<py::ssize_t> shape) {
    if (sum.empty()) return;
    Array array(std::move(shape));
    double* const to = array.mutable_data();
    for (std::size_t i = 0; i < sum.size(); ++i) to[i] = sum[i] / static_cast<double>(n_chains);
    result[name] = array;
  };
  const Index hidden = static_cast<Index>(sums.b1.size());
  put("W1", sums.w1, {hidden, 2 * n});
  put("Q_re", sums.q_re, {hidden, 2 * n});
  put("Q_im", sums.q_im, {hidden, 2 * n});
  put("b1", sums.b1, {hidden});
  put("W2", sums.w2, {2 * n, hidden});
  put("b2", sums.b2, {2 * n});
  put("alpha", sums.alpha, {2 * n});
  put("beta", sums.beta, {2 * n});
  return result;
}

template <class Contour>
auto bind_contour_class(py::module_& m, const char* name, const char* what) {
  using py::literals::operator""_a;
  using On = OnLattice<Contour>;
  return py::class_<On>(m, name, what)
      .def("gradient", &gradient<Contour>, "field"_a, py::kw_only(), "threads"_a = 0,
           "-d Re L / dt, (n_chains, 2, n_space, n_time), of the log weight L = ln det dz/dt - S(z(t)).")
      .def("measure", &measure<Contour>, "field"_a,
           "Complex action (-L up to a constant), density and phi2 at z(t), (n_chains,) each.")
      .def("sample", &sample<Contour>, py::kw_only(), "n_chains"_a, "n_draws"_a, "n_thermal"_a, "every"_a,
           "n_steps"_a, "step"_a, "seed"_a, "threads"_a = 0, "field"_a = py::none(), "trajectory"_a = 0,
           "Hybrid Monte Carlo of the weight e^{Re L}; action, density, phi2 (n_chains, n_draws), accepted\n"
           "trajectories (n_chains,) and the last field, from which `trajectory` trajectories later it goes\n"
           "on.");
}

}  // namespace

void bind_contour(py::module_& m) {
  using py::literals::operator""_a;
  bind_contour_class<LinearContour>(m, "LinearPhi4", "Complex phi^4 on a linear contour.")
      .def(py::init(&make_linear), "transform"_a, "mass"_a, "coupling"_a, "chemical_potential"_a,
           "transform: s(p), (n_space, n_time), the kernel of the contour being i s(p) in Fourier space.");
  bind_contour_class<NetworkContour>(m, "NetworkPhi4", "Complex phi^4 on the contour of a network.")
      .def(py::init(&make_network), "transform"_a, "mass"_a, "coupling"_a, "chemical_potential"_a, "W1"_a,
           "b1"_a, "W2"_a, "b2"_a, "alpha"_a, "beta"_a, "Q"_a = py::none(),
           "Q = W1 (1 + i B)^-1, with B of the linear contour with this transform; None if that is 0.")
      .def("weight_gradient", &weight_gradient, "field"_a, py::kw_only(), "threads"_a = 0,
           "Means over chains of d Re L by the weights.  With Q, Re[(1 + i B)^-1 Q^T]^T is to be added to "
           "W1,\n"
           "with Q = Q_re + i Q_im from here.");
}

}  // namespace deepglass::bindings
