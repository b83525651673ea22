#pragma once
// A stack of its own that can be left and entered again, over Boost.Context, with what the address sanitizer wants to
// know of each switch.

#include <cstddef>
#include <functional>

#include <boost/context/fiber.hpp>

namespace mica::cuda::emulate {

class Fiber {
 public:
  /// Runs body on a new stack at the first resume().
  explicit Fiber(std::function<void()> body);
  /// A fiber that was left in the middle has its stack unwound.
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Enters the fiber; returns when it calls leave() or its body ends.
  void resume();
  /// Called inside: goes back to who resumed it. Throws Abandoned, for the body to let through, when the fiber is
  /// destroyed meanwhile.
  void leave();
  /// Called inside: enters another fiber, which has not begun or was left. When that one leaves, it goes back to who
  /// resumed this one. Half the switches of leaving and being resumed. Throws as leave().
  void switch_to(Fiber& other);
  struct Abandoned {};

 private:
  void arrive(boost::context::fiber&& from, void* frames);

  std::function<void()> body_;
  boost::context::fiber inside_, outside_;
  // Of the sanitizer: where each side's stack lies, and its record of frames while it is away.
  const void* outside_bottom_ = nullptr;
  size_t outside_size_ = 0;
  const void* bottom_ = nullptr;
  size_t size_ = 0;
  void* inside_frames_ = nullptr;
  bool abandoned_ = false;
};

}  // namespace mica::cuda::emulate
