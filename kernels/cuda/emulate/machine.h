#pragma once
// Runs CUDA kernels on the host, thread by thread, for tests on machines without a GPU.
//
// Each thread of a block is a fiber. A fiber runs until it has to wait for others: at a barrier, in a collective of its
// warp or warpgroup, or for a condition that another thread brings about. Whoever may go on is picked at random (by a
// seed), blocks run in random order, shared memory starts as bytes 0xff (NaN), and copies that the GPU makes in the
// background land at the latest or the earliest moment allowed, so that a missing barrier or wait shows as a wrong
// result. Checked as well, and thrown as Error with the kernel's name and the line: threads of one barrier that stand
// at different lines or have ended without it, lanes of a collective likewise, threads that wait for each other for
// ever, and addresses given to the wrappers in device/ that lie outside the block's shared memory or outside any
// allocation. Plain reads and writes through pointers are checked by the address sanitizer, where it is on: device and
// shared memory have poisoned bytes around each piece.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

namespace mica::cuda::emulate {

struct Index {
  unsigned x = 0, y = 0, z = 0;
};

struct Geometry {
  Index grid, block;  ///< sizes
  int64_t shared_bytes = 0;
  unsigned cluster = 1;
};

/// A line of kernel code: the caller's, as a default argument.
struct Line {
  const char* file;
  int number;
  static Line here(const char* file = __builtin_FILE(), int number = __builtin_LINE()) { return {file, number}; }
};

/// Runs body once for each thread; returns when all are done, or throws the Error of the first fault. While the stream
/// records a graph, keeps the body instead.
void launch(const char* kernel, void* stream, const Geometry& geometry, std::function<void()> body);

/// The order in which threads and blocks run depends on this alone. At first MICA_EMULATE_SEED, or 1.
void set_seed(uint64_t seed);

// ---- what the wrappers in device/ are made of; to be called by a running kernel -------------------------------------

Index thread_index();
Index block_index();
Index block_size();
Index grid_size();
unsigned thread_rank();   ///< in its block, x fastest; lane = rank % 32
unsigned cluster_rank();  ///< of the block in its cluster

std::byte* shared_memory();
int64_t shared_bytes();
/// The shared memory of another block of the cluster.
std::byte* shared_memory_of(unsigned rank);

/// What meets: `expected` threads with the same key. Each gives a pointer to what it brings and takes; the last to come
/// calls `collective` with all pointers, by position, and all go on. The pointers of those that are absent are null.
struct Gathering {
  uint64_t key;
  unsigned expected;
  unsigned position;   ///< of this thread in the array of pointers
  unsigned positions;  ///< the array's size
  bool across_cluster = false;
};
using Collective = void (*)(void* const* members, unsigned count);
void meet(const Gathering& gathering, void* mine, Collective collective, const char* what, Line line);

/// All threads of the block. Barrier 0 is __syncthreads; others take some of the block's threads.
void barrier(unsigned id, unsigned threads, Line line);
void cluster_barrier(Line line);
/// The lanes of this thread's warp that `mask` names.
void meet_warp(uint32_t mask, void* mine, Collective collective, const char* what, Line line);
/// The 128 threads of this thread's warpgroup.
void meet_warpgroup(void* mine, Collective collective, const char* what, Line line);

/// Goes on when the condition holds; other threads run meanwhile.
void wait_until(const std::function<bool()>& condition, const char* what, Line line);

/// Throws unless [address, address + bytes) lies in the shared memory of a block of the cluster, or in one allocation
/// of device memory, aligned to `alignment`.
void check_shared(const void* address, int64_t bytes, int64_t alignment, const char* what, Line line);
void check_global(const void* address, int64_t bytes, int64_t alignment, const char* what, Line line);

/// Copies in the background (cp.async): in groups, in order. `bytes` of `filled` are zeros past `bytes_read`.
void copy_later(void* to, const void* from, int64_t bytes_read, int64_t filled);
void commit_copies();
void wait_copies(int64_t groups_left);

/// Whether what goes on beside the threads is done as late as it may be, in this run of the block. By the seed.
bool lazy();

/// A copy that no thread waits for by itself (bulk copies): lands at once, or some time, or when no thread can go on,
/// by the seed. Until then [to, to + bytes) holds bytes 0xff. A block must not end before its copies.
void start_copy(void* to, int64_t bytes, std::function<void()> land, const char* what, Line line);
/// Throws while such a copy into these bytes is under way.
void check_landed(const void* address, int64_t bytes, const char* what, Line line);

/// What wrappers keep of the running block; null when it starts.
struct BlockState {
  virtual ~BlockState() = default;
  /// What is still under way that a block must not end with; null: nothing.
  virtual const char* unfinished() const = 0;
};
std::unique_ptr<BlockState>& block_state();

/// Throws an Error at this line of the running kernel.
[[noreturn]] void fault(const char* what, Line line);

}  // namespace mica::cuda::emulate
