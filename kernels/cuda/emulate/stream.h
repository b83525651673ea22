#pragma once
// Internal: what an emulated stream is made of.

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace mica::cuda::emulate {

struct Recorded {
  std::vector<std::function<void()>> work;
};

// Work that waits for somebody who needs it.
class LateWork {
 public:
  void put(std::function<void()> work) {
    const std::scoped_lock lock(mutex_);
    waiting_.push_back(std::move(work));
    ++put_;
  }
  uint64_t end() {
    const std::scoped_lock lock(mutex_);
    return put_;
  }
  bool done(uint64_t position) {
    const std::scoped_lock lock(mutex_);
    return done_ >= position;
  }
  void run_until(uint64_t position) {
    if (done(position)) return;  // not held up by who runs other work of the stream, which may wait for the caller's
    const std::scoped_lock one_at_a_time(running_);
    while (!done(position)) {
      std::unique_lock lock(mutex_);
      const std::function<void()> work = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      const Ending ending{*this};
      work();
    }
  }

 private:
  struct Ending {  // done, or failed
    LateWork& of;
    ~Ending() {
      const std::scoped_lock lock(of.mutex_);
      ++of.done_;
    }
  };
  std::recursive_mutex running_;  // work may wait for another stream, and that for this one's work before it
  std::mutex mutex_;
  std::deque<std::function<void()>> waiting_;
  uint64_t put_ = 0, done_ = 0;
};

struct EmulatedStream {
  std::unique_ptr<Recorded> recorded;
  bool spoiled = false;  // what is recorded, by a call that may not be
  bool side = false;
  LateWork work;
};

EmulatedStream& stream_of(void* stream);
/// Throws while the stream records, whose recording is spoiled then.
void refuse_while_recording(void* stream, const char* what);
/// All that was put on it is done.
void finish(void* stream);

}  // namespace mica::cuda::emulate
