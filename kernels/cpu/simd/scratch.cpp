#include "mica/kernels/cpu/simd/scratch.h"

#include <array>
#include <cstdlib>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace mica::cpu::simd {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

struct Buffer {
  struct Free {
    void operator()(float* data) const { std::free(data); }
  };
  std::unique_ptr<float, Free> data;
  size_t bytes = 0;

  void grow(size_t wanted) {
    const size_t unit = wanted >= kHugePage ? kHugePage : 4096;
    const size_t rounded = (wanted + wanted / 4 + unit - 1) / unit * unit;
    data.reset();
    bytes = 0;
    data.reset(static_cast<float*>(std::aligned_alloc(unit, rounded)));
    if (!data) throw std::bad_alloc();
    bytes = rounded;
#if defined(__linux__)
    if (unit == kHugePage) madvise(data.get(), rounded, MADV_HUGEPAGE);
#endif
  }
};

}  // namespace

float* scratch(Scratch slot, int64_t count) {
  thread_local std::array<Buffer, static_cast<size_t>(Scratch::count)> buffers;
  Buffer& buffer = buffers[static_cast<size_t>(slot)];
  const size_t bytes = static_cast<size_t>(count) * sizeof(float);
  if (buffer.bytes < bytes) buffer.grow(bytes);
  return buffer.data.get();
}

}  // namespace mica::cpu::simd
