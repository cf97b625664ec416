// Threads, errors and signals as Python sees them.
#include "deepglass/parallel.hpp"

#include "bindings.hpp"

namespace deepglass::bindings {

bool python_signal_pending() {
  py::gil_scoped_acquire gil;
  return PyErr_CheckSignals() != 0;
}

void bind_errors(py::module_& m) {
  // Local: another level of the kernels in the same process has exceptions of its own.
  py::register_local_exception<NumericalError>(m, "NumericalError", PyExc_ArithmeticError);
  py::register_local_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const Stopped&) {
      // The signal handler has already set KeyboardInterrupt (or whatever it raised).
      if (!PyErr_Occurred()) PyErr_SetNone(PyExc_KeyboardInterrupt);
    }
  });
}

namespace {

// Sum of 1 / (1 + i), i = 0 .. n-1; throws at index throw_at, and after it, if that is not negative.
double self_test(Index n, int threads, Index throw_at) {
  const auto body = [throw_at](Index first, Index last) {
    double sum = 0;
    for (Index i = first; i < last; ++i) {
      if (throw_at >= 0 && i >= throw_at) throw NumericalError("thrown at index " + std::to_string(i));
      sum += 1.0 / (1.0 + static_cast<double>(i));
    }
    return sum;
  };
  return ordered_sum<double>(n, 1024, {threads}, body, stop_token());
}

// Keeps the threads busy, in steps of a millisecond; gives the number of steps.
Index spin(double seconds, int threads, bool uneven) {
  using Clock = std::chrono::steady_clock;
  const auto wait = [](Clock::duration time) {
    for (const auto start = Clock::now(); Clock::now() - start < time;) continue;
  };
  const Index steps = static_cast<Index>(seconds * 1e3) * thread_count(threads);
  std::atomic<Index> done{0};
  const auto body = [&](Index) {
    wait(std::chrono::milliseconds(1));
    ++done;
  };
  if (uneven) {
    parallel_for_uneven(steps, {threads}, body, stop_token());
  } else {
    parallel_for(steps, {threads}, body, stop_token());
  }
  return done;
}

}  // namespace

void bind_parallel(py::module_& m) {
  install_fork_handler();
  m.attr("has_openmp") = kHasOpenMP;
  m.def("thread_count", &thread_count, py::arg("threads") = 0, R"(Number of threads that a request gets.

``threads = 0`` is the OpenMP default, which OMP_NUM_THREADS and threadpoolctl set.  Always 1 in a forked child
and in a build without OpenMP.)");
  m.def("in_forked_child", &in_forked_child, "True in a process forked after this module was imported.");
  m.def("parallel_self_test", &self_test, py::arg("n"), py::arg("threads") = 0, py::kw_only(),
        py::arg("throw_at") = -1, py::call_guard<py::gil_scoped_release>(),
        R"(Sum of 1 / (1 + i) for i = 0 .. n-1; the same bits for any number of threads.

From index ``throw_at`` on, if not negative, every term raises NumericalError; the one of ``throw_at`` arrives.)");
  m.def(
      "spin", &spin, py::arg("seconds"), py::arg("threads") = 0, py::kw_only(), py::arg("uneven") = false,
      py::call_guard<py::gil_scoped_release>(),
      "Keep ``threads`` threads busy for a time; gives the number of milliseconds worked.  Ctrl-C ends it.");
}

}  // namespace deepglass::bindings
