// Index type, views, errors and the stop token: what every kernel is written in terms of.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace deepglass {

using Index = std::ptrdiff_t;

// A contiguous one-dimensional view; owns nothing.
template <class T>
class Span {
 public:
  constexpr Span() = default;
  constexpr Span(T* data, Index size) : data_(data), size_(size) {}
  Span(std::vector<std::remove_const_t<T>>& v) : data_(v.data()), size_(static_cast<Index>(v.size())) {}
  template <class U = T, class = std::enable_if_t<std::is_const_v<U>>>
  Span(const std::vector<std::remove_const_t<T>>& v) : data_(v.data()), size_(static_cast<Index>(v.size())) {}
  template <class U, class = std::enable_if_t<std::is_same_v<const U, T>>>
  constexpr Span(Span<U> other) : data_(other.data()), size_(other.size()) {}

  constexpr T* data() const { return data_; }
  constexpr Index size() const { return size_; }
  constexpr T& operator[](Index i) const { return data_[i]; }
  constexpr T* begin() const { return data_; }
  constexpr T* end() const { return data_ + size_; }
  constexpr Span subspan(Index first, Index count) const { return Span(data_ + first, count); }

 private:
  T* data_ = nullptr;
  Index size_ = 0;
};

// A computation that cannot give the number asked for (Python: deepglass.NumericalError).
class NumericalError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Thrown on the calling thread when the stop token said stop.
class Stopped : public std::exception {
 public:
  const char* what() const noexcept override { return "stopped on request"; }
};

// Asks the host whether to stop (Python: a pending signal).  Only the calling thread may ask.
class StopToken {
 public:
  using Poll = bool (*)();
  StopToken() = default;
  explicit StopToken(Poll poll) : poll_(poll) {}
  bool polls() const { return poll_ != nullptr; }
  bool stop_requested() const { return polls() && poll_(); }
  void check() const {
    if (stop_requested()) throw Stopped{};
  }

 private:
  Poll poll_ = nullptr;
};

}  // namespace deepglass
