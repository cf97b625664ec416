#include "deepglass/rng.hpp"

#include <limits>

#include "bindings.hpp"

namespace deepglass::bindings {

namespace {

// An array of n numbers of a stream, beginning with number offset.
template <class T, class Fill>
py::array_t<T> numbers(std::uint64_t seed, std::uint64_t stream, py::ssize_t n, std::uint64_t offset,
                       Fill&& fill) {
  if (n < 0) throw std::invalid_argument("n must be >= 0, got " + std::to_string(n));
  if (offset > std::numeric_limits<std::uint64_t>::max() - static_cast<std::uint64_t>(n)) {
    throw std::invalid_argument("offset must be below 2^64 - n, got " + std::to_string(offset));
  }
  py::array_t<T> out(n);
  const Span<T> view(out.mutable_data(), n);
  const py::gil_scoped_release release;
  fill(Philox(seed, stream), view, offset);
  return out;
}

}  // namespace

void bind_rng(py::module_& m) {
  m.def("philox_block", &philox_block, py::arg("counter"), py::arg("key"),
        "The Philox4x32-10 bijection: 4 words of counter and 2 of key to 4 random words.");
  m.def(
      "philox_uniform",
      [](std::uint64_t seed, std::uint64_t stream, py::ssize_t n, std::uint64_t offset) {
        return numbers<double>(
            seed, stream, n, offset,
            [](const Philox& p, Span<double> out, std::uint64_t k) { p.fill_uniform(out, k); });
      },
      py::arg("seed"), py::arg("stream"), py::arg("n"), py::arg("offset") = 0,
      "Uniforms in (0, 1], of 53 bits: numbers offset .. offset + n - 1 of the stream.");
  m.def(
      "philox_normal",
      [](std::uint64_t seed, std::uint64_t stream, py::ssize_t n, std::uint64_t offset) {
        return numbers<double>(
            seed, stream, n, offset,
            [](const Philox& p, Span<double> out, std::uint64_t k) { p.fill_normal(out, k); });
      },
      py::arg("seed"), py::arg("stream"), py::arg("n"), py::arg("offset") = 0,
      "Standard normals by Box and Muller; made of the same bits as the uniforms of the same number.");
  m.def(
      "philox_sign",
      [](std::uint64_t seed, std::uint64_t stream, py::ssize_t n, std::uint64_t offset) {
        return numbers<std::int8_t>(
            seed, stream, n, offset,
            [](const Philox& p, Span<std::int8_t> out, std::uint64_t k) { p.fill_sign(out, k); });
      },
      py::arg("seed"), py::arg("stream"), py::arg("n"), py::arg("offset") = 0,
      "Signs +1 and -1, as int8: one bit each.");
  m.def(
      "philox_words",
      [](std::uint64_t seed, std::uint64_t stream, py::ssize_t n, std::uint64_t offset) {
        return numbers<std::uint32_t>(
            seed, stream, n, offset,
            [](const Philox& p, Span<std::uint32_t> out, std::uint64_t k) { p.fill_words(out, k); });
      },
      py::arg("seed"), py::arg("stream"), py::arg("n"), py::arg("offset") = 0, "Random words of 32 bits.");
}

}  // namespace deepglass::bindings
