#pragma once
// Where a thread stands, and how threads of a block wait for and talk to each other.

#include <cstdint>

#include "mica/kernels/cuda/device/keywords.h"

#ifdef MICA_EMULATED
#include "mica/kernels/cuda/emulate/machine.h"
#endif

namespace mica::cuda {

constexpr unsigned kWarp = 32;
constexpr uint32_t kAllLanes = 0xffffffffU;

#ifdef MICA_EMULATED

using emulate::Line;

inline unsigned thread_x() {
  return emulate::thread_index().x;
}
inline unsigned thread_y() {
  return emulate::thread_index().y;
}
inline unsigned threads_x() {
  return emulate::block_size().x;
}
inline unsigned threads_y() {
  return emulate::block_size().y;
}
inline unsigned block_x() {
  return emulate::block_index().x;
}
inline unsigned block_y() {
  return emulate::block_index().y;
}
inline unsigned block_z() {
  return emulate::block_index().z;
}
inline unsigned blocks_x() {
  return emulate::grid_size().x;
}
inline unsigned blocks_y() {
  return emulate::grid_size().y;
}
/// In the block, x fastest.
inline unsigned thread_rank() {
  return emulate::thread_rank();
}

/// __syncthreads: all threads of the block.
inline void block_barrier(Line line = Line::here()) {
  const emulate::Index size = emulate::block_size();
  emulate::barrier(0, size.x * size.y * size.z, line);
}
/// A named barrier (1 to 15) of `threads` threads, a multiple of 32.
inline void part_barrier(unsigned id, unsigned threads, Line line = Line::here()) {
  emulate::barrier(id, threads, line);
}
inline void warp_barrier(uint32_t mask = kAllLanes, Line line = Line::here()) {
  emulate::meet_warp(mask, nullptr, nullptr, "warp barrier", line);
}

namespace detail {
template <typename T>
struct Shuffled {
  T in, out;
  unsigned source;
};
template <typename T>
T shuffle(uint32_t mask, T value, unsigned source, const char* what, Line line) {
  Shuffled<T> mine{value, value, source};
  emulate::meet_warp(
      mask, &mine,
      [](void* const* members, unsigned count) {
        for (unsigned lane = 0; lane < count; ++lane) {
          if (members[lane] == nullptr) continue;
          auto& taker = *static_cast<Shuffled<T>*>(members[lane]);
          if (taker.source >= count) continue;  // keeps its own
          const void* giver = members[taker.source];
          // What a lane gives that takes no part is undefined: a pattern that shows.
          if (giver == nullptr) {
            __builtin_memset(&taker.out, 0xff, sizeof(T));
          } else {
            taker.out = static_cast<const Shuffled<T>*>(giver)->in;
          }
        }
      },
      what, line);
  return mine.out;
}
}  // namespace detail

/// The value of another lane.
template <typename T>
T shuffle(T value, unsigned source, uint32_t mask = kAllLanes, Line line = Line::here()) {
  return detail::shuffle(mask, value, source % kWarp, "shuffle", line);
}
template <typename T>
T shuffle_xor(T value, unsigned bits, uint32_t mask = kAllLanes, Line line = Line::here()) {
  return detail::shuffle(mask, value, (thread_rank() % kWarp) ^ bits, "shuffle_xor", line);
}
/// The value of the lane so many below; the lowest lanes keep their own.
template <typename T>
T shuffle_up(T value, unsigned distance, uint32_t mask = kAllLanes, Line line = Line::here()) {
  const unsigned lane = thread_rank() % kWarp;
  return detail::shuffle(mask, value, lane < distance ? lane : lane - distance, "shuffle_up", line);
}
template <typename T>
T shuffle_down(T value, unsigned distance, uint32_t mask = kAllLanes, Line line = Line::here()) {
  const unsigned lane = thread_rank() % kWarp;
  return detail::shuffle(mask, value, lane + distance >= kWarp ? lane : lane + distance, "shuffle_down", line);
}
/// The lanes whose condition holds.
inline uint32_t ballot(bool condition, uint32_t mask = kAllLanes, Line line = Line::here()) {
  struct Vote {
    bool in;
    uint32_t out;
  } mine{condition, 0};
  emulate::meet_warp(
      mask, &mine,
      [](void* const* members, unsigned count) {
        uint32_t votes = 0;
        for (unsigned lane = 0; lane < count; ++lane) {
          if (members[lane] != nullptr && static_cast<const Vote*>(members[lane])->in) votes |= 1U << lane;
        }
        for (unsigned lane = 0; lane < count; ++lane) {
          if (members[lane] != nullptr) static_cast<Vote*>(members[lane])->out = votes;
        }
      },
      "ballot", line);
  return mine.out;
}

/// Returns what was there before.
template <typename T>
T atomic_add(T* address, T value) {
  const T before = *address;
  *address = before + value;
  return before;
}
/// Writes before it are seen by other blocks before writes after it.
inline void device_fence() {}

/// The block's shared memory as a T (launch() says its size; at least sizeof(T)).
template <typename T>
T& shared_memory(Line line = Line::here()) {
  if (static_cast<int64_t>(sizeof(T)) > emulate::shared_bytes()) emulate::fault("too little shared memory", line);
  return *reinterpret_cast<T*>(emulate::shared_memory());
}

#else

__device__ inline unsigned thread_x() {
  return threadIdx.x;
}
__device__ inline unsigned thread_y() {
  return threadIdx.y;
}
__device__ inline unsigned threads_x() {
  return blockDim.x;
}
__device__ inline unsigned threads_y() {
  return blockDim.y;
}
__device__ inline unsigned block_x() {
  return blockIdx.x;
}
__device__ inline unsigned block_y() {
  return blockIdx.y;
}
__device__ inline unsigned block_z() {
  return blockIdx.z;
}
__device__ inline unsigned blocks_x() {
  return gridDim.x;
}
__device__ inline unsigned blocks_y() {
  return gridDim.y;
}
__device__ inline unsigned thread_rank() {
  return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
}

__device__ inline void block_barrier() {
  __syncthreads();
}
__device__ inline void part_barrier(unsigned id, unsigned threads) {
  asm volatile("barrier.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
__device__ inline void warp_barrier(uint32_t mask = kAllLanes) {
  __syncwarp(mask);
}

template <typename T>
__device__ T shuffle(T value, unsigned source, uint32_t mask = kAllLanes) {
  return __shfl_sync(mask, value, static_cast<int>(source));
}
template <typename T>
__device__ T shuffle_xor(T value, unsigned bits, uint32_t mask = kAllLanes) {
  return __shfl_xor_sync(mask, value, static_cast<int>(bits));
}
template <typename T>
__device__ T shuffle_up(T value, unsigned distance, uint32_t mask = kAllLanes) {
  return __shfl_up_sync(mask, value, distance);
}
template <typename T>
__device__ T shuffle_down(T value, unsigned distance, uint32_t mask = kAllLanes) {
  return __shfl_down_sync(mask, value, distance);
}
__device__ inline uint32_t ballot(bool condition, uint32_t mask = kAllLanes) {
  return __ballot_sync(mask, condition);
}

template <typename T>
__device__ T atomic_add(T* address, T value) {
  return atomicAdd(address, value);
}
__device__ inline void device_fence() {
  __threadfence();
}

template <typename T>
__device__ T& shared_memory() {
  extern __shared__ __align__(1024) unsigned char mica_shared_bytes[];
  return *reinterpret_cast<T*>(mica_shared_bytes);
}

#endif

__device__ inline unsigned lane_index() {
  return thread_rank() % kWarp;
}
__device__ inline unsigned warp_index() {
  return thread_rank() / kWarp;
}

}  // namespace mica::cuda
