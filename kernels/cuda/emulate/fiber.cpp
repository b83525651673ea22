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

}  // namespace

Fiber::Fiber(std::function<void()> body) : body_(std::move(body)) {
  boost::context::fixedsize_stack stacks(kStackBytes);
  boost::context::stack_context stack = stacks.allocate();
  size_ = stack.size;
  bottom_ = static_cast<const char*>(stack.sp) - stack.size;
  inside_ = boost::context::fiber(std::allocator_arg, boost::context::preallocated(stack.sp, stack.size, stack), stacks,
                                  [this](boost::context::fiber&& outside) {
                                    finish_switch(nullptr, &outside_bottom_, &outside_size_);
                                    outside_ = std::move(outside);
                                    try {
                                      if (!abandoned_) body_();
                                    } catch (const Abandoned&) {
                                    }
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
  start_switch(&frames, bottom_, size_);
  inside_ = std::move(inside_).resume();
  finish_switch(frames, nullptr, nullptr);
}

void Fiber::leave() {
  start_switch(&inside_frames_, outside_bottom_, outside_size_);
  outside_ = std::move(outside_).resume();
  finish_switch(inside_frames_, &outside_bottom_, &outside_size_);
  if (abandoned_) throw Abandoned{};
}

}  // namespace mica::cuda::emulate
