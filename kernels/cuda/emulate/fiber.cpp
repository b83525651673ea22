#include "mica/kernels/cuda/emulate/fiber.h"

#include <utility>

#include <boost/context/fixedsize_stack.hpp>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace mica::cuda::emulate {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kStackBytes = 512 << 10;
void start_switch(void** frames, const void* bottom, size_t size) {
  __sanitizer_start_switch_fiber(frames, bottom, size);
}
void finish_switch(void* frames, const void** bottom, size_t* size) {
  __sanitizer_finish_switch_fiber(frames, bottom, size);
}
#else
constexpr size_t kStackBytes = 128 << 10;
void start_switch(void** /*frames*/, const void* /*bottom*/, size_t /*size*/) {}
void finish_switch(void* /*frames*/, const void** /*bottom*/, size_t* /*size*/) {}
#endif

// The fiber that has been left last, for those who arrive; null where it was none.
thread_local Fiber* left = nullptr;

}  // namespace

Fiber::Fiber(std::function<void()> body) : body_(std::move(body)) {
  boost::context::fixedsize_stack stacks(kStackBytes);
  boost::context::stack_context stack = stacks.allocate();
  size_ = stack.size;
  bottom_ = static_cast<const char*>(stack.sp) - stack.size;
  inside_ = boost::context::fiber(std::allocator_arg, boost::context::preallocated(stack.sp, stack.size, stack), stacks,
                                  [this](boost::context::fiber&& from) {
                                    arrive(std::move(from), nullptr);
                                    try {
                                      if (!abandoned_) body_();
                                    } catch (const Abandoned&) {
                                    }
                                    left = this;
                                    start_switch(nullptr, outside_bottom_, outside_size_);
                                    return std::move(outside_);
                                  });
}

Fiber::~Fiber() {
  abandoned_ = true;
  if (inside_) resume();
}

void Fiber::resume() {
  void* frames = nullptr;
  left = nullptr;
  start_switch(&frames, bottom_, size_);
  boost::context::fiber from = std::move(inside_).resume();
  finish_switch(frames, nullptr, nullptr);
  left->inside_ = std::move(from);
}

void Fiber::leave() {
  left = this;
  start_switch(&inside_frames_, outside_bottom_, outside_size_);
  boost::context::fiber from = std::move(outside_).resume();
  arrive(std::move(from), inside_frames_);
  if (abandoned_) throw Abandoned{};
}

void Fiber::switch_to(Fiber& other) {
  other.outside_ = std::move(outside_);
  other.outside_bottom_ = outside_bottom_;
  other.outside_size_ = outside_size_;
  left = this;
  start_switch(&inside_frames_, other.bottom_, other.size_);
  boost::context::fiber from = std::move(other.inside_).resume();
  arrive(std::move(from), inside_frames_);
  if (abandoned_) throw Abandoned{};
}

void Fiber::arrive(boost::context::fiber&& from, void* frames) {
  const void* bottom = nullptr;
  size_t size = 0;
  finish_switch(frames, &bottom, &size);
  if (left != nullptr) {  // another fiber, which has left what is outside here
    left->inside_ = std::move(from);
  } else {
    outside_ = std::move(from);
    outside_bottom_ = bottom;
    outside_size_ = size;
  }
}

}  // namespace mica::cuda::emulate
