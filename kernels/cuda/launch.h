#pragma once
// Starting a kernel, in place of the chevrons: the same call runs it on the GPU, or in emulation on the host.

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "mica/kernels/cuda/device/keywords.h"

#ifdef MICA_EMULATED
#include "mica/kernels/cuda/emulate/machine.h"
#endif

namespace mica::cuda {

struct Extent {
  unsigned x = 1, y = 1, z = 1;
  int64_t count() const { return int64_t{x} * y * z; }
};

/// What runs: so many blocks of so many threads, with shared memory that is sized here.
struct LaunchShape {
  Extent grid;
  Extent block;
  int64_t shared_bytes = 0;
  unsigned cluster = 1;  ///< blocks (along x) that run together and reach each other's shared memory: sm_90 and later
};

/// A queue of work: a cudaStream_t, kept untyped so that headers need no toolkit.
using Stream = void*;

/// Work put on any stream by launch() and replay() so far, in this process.
int64_t launch_count();

namespace detail {
/// Called before each launch: counts it, and refuses shapes that no GPU takes, naming the kernel.
void count_launch(const char* name, const LaunchShape& shape);
#ifndef MICA_EMULATED
/// Throws the Error for a failed launch, naming kernel and shape.
void check_launch(const char* name, const LaunchShape& shape, cudaError_t status);
#endif
}  // namespace detail

/// Puts kernel(arguments...) on the stream. `name` is subject.kernel, for errors. A grid without blocks is no work.
template <typename... Parameters>
void launch(const char* name, Stream stream, const LaunchShape& shape, void (*kernel)(Parameters...),
            std::type_identity_t<Parameters>... arguments) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...), "arguments are copied byte by byte");
  if (shape.grid.count() == 0) return;
  detail::count_launch(name, shape);
#ifdef MICA_EMULATED
  emulate::launch(name, stream,
                  {{shape.grid.x, shape.grid.y, shape.grid.z},
                   {shape.block.x, shape.block.y, shape.block.z},
                   shape.shared_bytes,
                   shape.cluster},
                  [=] { kernel(arguments...); });
#else
  if (shape.shared_bytes > 48 * 1024) {
    detail::check_launch(name, shape,
                         cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                              static_cast<int>(shape.shared_bytes)));
  }
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(shape.grid.x, shape.grid.y, shape.grid.z);
  config.blockDim = dim3(shape.block.x, shape.block.y, shape.block.z);
  config.dynamicSmemBytes = static_cast<size_t>(shape.shared_bytes);
  config.stream = static_cast<cudaStream_t>(stream);
  cudaLaunchAttribute cluster{};
  if (shape.cluster > 1) {
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim.x = shape.cluster;
    cluster.val.clusterDim.y = 1;
    cluster.val.clusterDim.z = 1;
    config.attrs = &cluster;
    config.numAttrs = 1;
  }
  detail::check_launch(name, shape, cudaLaunchKernelEx(&config, kernel, arguments...));
#endif
}

/// Blocks of `threads` that cover n items, one a thread; kernels stride by the whole grid, so that more items than the
/// most blocks hold are covered too.
inline LaunchShape over(int64_t n, unsigned threads = 256) {
  constexpr int64_t kMostBlocks = 1 << 20;
  const int64_t blocks = std::min((n + threads - 1) / threads, kMostBlocks);
  return {{static_cast<unsigned>(blocks)}, {threads}};
}

}  // namespace mica::cuda
