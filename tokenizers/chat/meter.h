#pragma once
// What one rendering may use: steps, memory, output. Whatever makes values asks here first.

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

namespace mica::jinja {

/// A limit was reached. Runtime turns it into an Error that names the template and the line.
struct LimitReached {
  std::string problem;
};

class Meter {
 public:
  Meter(int64_t max_steps, int64_t max_memory)
      : steps_left_(max_steps), max_steps_(max_steps), max_memory_(max_memory) {}

  void step(int64_t count = 1) {
    if ((steps_left_ -= count) < 0) {
      throw LimitReached{"the template takes more than " + std::to_string(max_steps_) + " steps"};
    }
  }
  /// Throws unless that many more bytes may be used.
  void room(int64_t bytes) const {
    if (bytes > max_memory_ - memory_) {
      throw LimitReached{"the template needs more than " + std::to_string(max_memory_) + " bytes of memory"};
    }
  }
  void take(int64_t bytes) {
    room(bytes);
    memory_ += bytes;
  }
  void give_back(int64_t bytes) { memory_ -= bytes; }

  /// Counts a step of a walk over a value, and the bytes that it has written so far, for the rendering that this thread
  /// is in. Values share their parts, so that a walk can take far longer than the value is large.
  static void tick(size_t bytes = 0) {
    if (current_ == nullptr) return;
    current_->step();
    if (bytes > 0) current_->room(static_cast<int64_t>(bytes));
  }

  /// The rendering that this thread is in, or null.
  static Meter* current() { return current_; }

  /// Makes a meter the thread's own for a while.
  class Use {
   public:
    explicit Use(Meter& meter) : before_(std::exchange(current_, &meter)) {}
    ~Use() { current_ = before_; }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    Meter* before_;
  };

 private:
  inline static thread_local Meter* current_ = nullptr;
  int64_t steps_left_, max_steps_, max_memory_, memory_ = 0;
};

/// Memory taken, given back with the object that holds it.
class Charge {
 public:
  Charge() = default;
  Charge(Meter& meter, int64_t bytes) : meter_(&meter), bytes_(bytes) { meter.take(bytes); }
  Charge(Charge&& other) noexcept
      : meter_(std::exchange(other.meter_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Charge& operator=(Charge&& other) noexcept {
    std::swap(meter_, other.meter_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  Charge(const Charge&) = delete;
  Charge& operator=(const Charge&) = delete;
  ~Charge() {
    if (meter_ != nullptr) meter_->give_back(bytes_);
  }

 private:
  Meter* meter_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace mica::jinja
