#include "deepglass/spectra.hpp"

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "bindings.hpp"

namespace deepglass::bindings {

namespace {

using namespace spectra;  // NOLINT: this file is about nothing else

using ComplexArray = py::array_t<Complex, py::array::c_style | py::array::forcecast>;

ComplexArray like(const ComplexArray& z) {
  return ComplexArray(std::vector<py::ssize_t>(z.shape(), z.shape() + z.ndim()));
}

Convolution convolution(bool product) {
  return product ? Convolution::kProduct : Convolution::kSum;
}

ComplexArray cauchy_transform(const Measure& mu, const ComplexArray& z, int threads) {
  for (py::ssize_t i = 0; i < z.size(); ++i) {
    if (z.data()[i].imag() < 0) {
      throw std::invalid_argument("z must have an imaginary part >= 0, got " +
                                  std::to_string(z.data()[i].imag()));
    }
  }
  ComplexArray out = like(z);
  const Span<const Complex> points(z.data(), z.size());
  const Span<Complex> values(out.mutable_data(), z.size());
  {
    const py::gil_scoped_release release;
    cauchy(mu, points, values, threads, stop_token());
  }
  return out;
}

Array density_at(const Measure& mu, const Array& x, int threads) {
  Array out(std::vector<py::ssize_t>(x.shape(), x.shape() + x.ndim()));
  const Span<const double> points = view(x);
  const Span<double> values = mutable_view(out);
  {
    const py::gil_scoped_release release;
    density(mu, points, values, threads, stop_token());
  }
  return out;
}

ComplexArray inverse(const Measure& mu, const ComplexArray& v, bool product) {
  ComplexArray out = like(v);
  const Complex* points = v.data();
  Complex* values = out.mutable_data();
  const Index n = v.size();
  {
    const py::gil_scoped_release release;
    const StopToken token = stop_token();
    TimedStop stop(token);
    for (Index i = 0; i < n; ++i) {
      stop.check();
      values[i] = inverse_transform(mu, convolution(product), points[i]);
    }
  }
  return out;
}

MeasurePointer density_measure(const Array& breaks, const Array& coefficients, const Array& positions,
                               const Array& masses) {
  if (breaks.ndim() != 2 || breaks.shape(1) != 2) {
    throw std::invalid_argument("panels must have shape (n, 2), got " + shape_text(breaks));
  }
  const Span<const double> ends = table(breaks, "panels", breaks.shape(0), 2);
  const Span<const double> c = table(coefficients, "coefficients", breaks.shape(0), Density::kTerms);
  require_finite(c, "coefficients");
  std::vector<Interval> panels;
  for (Index i = 0; i + 1 < ends.size(); i += 2) panels.push_back({ends[i], ends[i + 1]});
  std::vector<Atom> atoms;
  const std::vector<double> x = numbers(positions, "positions");
  const Span<const double> w = vector(masses, "masses", static_cast<Index>(x.size()));
  for (std::size_t i = 0; i < x.size(); ++i) atoms.push_back({x[i], w[static_cast<Index>(i)]});
  return std::make_shared<Density>(std::move(panels), std::vector<double>(c.begin(), c.end()),
                                   std::move(atoms));
}

template <class Map, class... Parts>
MeasurePointer subordinated(Parts&&... parts) {
  return std::make_shared<Subordinated<Map>>(Map(std::forward<Parts>(parts)...));
}

}  // namespace

void bind_spectra(py::module_& m) {
  py::class_<Measure, std::shared_ptr<Measure>>(m, "Measure", py::module_local(),
                                                "A probability measure known by its Cauchy transform.")
      .def("cauchy", &cauchy_transform, py::arg("z"), py::arg("threads") = 0,
           "G(z) = int dmu(x)/(z - x) for Im z >= 0; real z is the limit from above.  NaN where no solution "
           "was "
           "accepted.")
      .def("density", &density_at, py::arg("x"), py::arg("threads") = 0,
           "Density of the continuous part at x; 0 off the support, NaN where no solution was accepted.")
      .def(
          "support",
          [](const Measure& mu) {
            std::vector<Interval> parts;
            {
              const py::gil_scoped_release release;
              parts = mu.support();
            }
            std::vector<std::pair<double, double>> out;
            for (const Interval& part : parts) out.emplace_back(part.left, part.right);
            return out;
          },
          "Intervals of the continuous part, increasing.")
      .def(
          "atoms",
          [](const Measure& mu) {
            std::vector<std::pair<double, double>> out;
            for (const Atom& atom : mu.atoms()) out.emplace_back(atom.position, atom.mass);
            return out;
          },
          "Positions and masses, increasing.")
      .def("inverse", &inverse, py::arg("v"), py::arg("product"),
           "R(v), or S(v) for products, on the branch that is regular at 0; NaN beyond its end.");

  m.def(
      "semicircle",
      [](double mean, double variance) -> MeasurePointer {
        return std::make_shared<Semicircle>(mean, variance);
      },
      py::arg("mean"), py::arg("variance"), "Semicircle law.");
  m.def(
      "marchenko_pastur",
      [](double ratio) -> MeasurePointer { return std::make_shared<MarchenkoPastur>(ratio); },
      py::arg("ratio"), "Law of Y Y^T/p, Y of shape (n, p) with unit variances, ratio = n/p.");
  m.def(
      "atoms",
      [](const Array& positions, const Array& masses) -> MeasurePointer {
        return std::make_shared<Atoms>(numbers(positions, "positions"), numbers(masses, "masses"));
      },
      py::arg("positions"), py::arg("masses"), "Atoms at increasing positions.");
  m.def("density_measure", &density_measure, py::arg("panels"), py::arg("coefficients"), py::arg("positions"),
        py::arg("masses"), "Legendre series of a density on panels, and atoms.");
  m.def(
      "affine",
      [](const MeasurePointer& mu, double shift, double scale) -> MeasurePointer {
        return std::make_shared<Affine>(mu, shift, scale);
      },
      py::arg("mu"), py::arg("shift"), py::arg("scale"), "Law of shift + scale x, x of law mu.");
  m.def(
      "free_convolution",
      [](const MeasurePointer& mu1, const MeasurePointer& mu2, bool product) {
        return product ? subordinated<FreeProduct>(mu1, mu2) : subordinated<FreeSum>(mu1, mu2);
      },
      py::arg("mu1"), py::arg("mu2"), py::arg("product"), "Law of the sum or product of free elements.");
  m.def(
      "free_power",
      [](const MeasurePointer& mu, double power, bool product) {
        return product ? subordinated<FreePowerProduct>(mu, power) : subordinated<FreePowerSum>(mu, power);
      },
      py::arg("mu"), py::arg("power"), py::arg("product"), "Free power of a measure.");
  m.def(
      "free_outliers",
      [](const MeasurePointer& mu, const MeasurePointer& other, const Array& spikes, bool product) {
        Array out(spikes.size());
        for (py::ssize_t i = 0; i < spikes.size(); ++i) {
          out.mutable_data()[i] = outlier(convolution(product), *mu, *other, spikes.data()[i]);
        }
        return out;
      },
      py::arg("mu"), py::arg("other"), py::arg("spikes"), py::arg("product"),
      "Positions of outliers of mu in the sum or product; NaN where the bulk absorbs them.");
}

}  // namespace deepglass::bindings
