#pragma once
// What this machine can do at most, measured, so that a benchmark can say what share of it a kernel reaches.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <random>
#include <vector>

#include <benchmark/benchmark.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "mica/base/parallel.h"
#include "mica/kernels/cpu/simd/tile.h"

namespace mica::bench {

inline double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Floats on huge pages where the system gives them, filled with random numbers.
struct Array {
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  std::unique_ptr<float, Free> data;
  explicit Array(int64_t count) {
    constexpr size_t kUnit = size_t{2} << 20;
    const size_t bytes = (static_cast<size_t>(count) * 4 + kUnit - 1) / kUnit * kUnit;
    data.reset(static_cast<float*>(std::aligned_alloc(kUnit, bytes)));
#if defined(__linux__)
    madvise(data.get(), bytes, MADV_HUGEPAGE);
#endif
    std::minstd_rand generator(1);
    for (int64_t i = 0; i < count; ++i) data.get()[i] = static_cast<float>(generator() % 2001) * 1e-3F - 1;
  }
  float* get() const {
    return data.get();
  }
};

/// FLOP/s of the bare tile loop on operands that lie in L1, on this many threads: the peak that products can reach.
inline double peak_flops(int threads, bool bfloat16) {
  const cpu::simd::TileKernels& kernels = bfloat16 ? *cpu::simd::bfloat16_tile_kernels() : cpu::simd::tile_kernels();
  const int before = num_threads();
  set_num_threads(threads);
  constexpr int64_t kDepth = 96, kRuns = 2000;
  double best = 0;
  for (int repeat = 0; repeat < 20; ++repeat) {
    const double start = seconds();
    parallel_for(threads, 1, [&](int64_t begin, int64_t end) {
      alignas(64) static thread_local float a[cpu::simd::kMaxTileRows * kDepth], b[cpu::simd::kMaxTileWidth * kDepth],
          c[cpu::simd::kMaxTileRows * cpu::simd::kMaxTileWidth];
      cpu::simd::TileTask task{
          .a = a, .a_row = kDepth, .b = b, .b_row = kernels.width(), .depth = kDepth, .c = c, .c_row = kernels.width()};
      for (int64_t i = 0; i < (end - begin) * kRuns; ++i)
        kernels.product[cpu::simd::kTileVectors - 1][static_cast<size_t>(kernels.rows - 1)](task);
    });
    const double operations = 2.0 * static_cast<double>(kDepth * kernels.rows * kernels.width() * kRuns * threads);
    best = std::max(best, operations * (bfloat16 ? 2 : 1) / (seconds() - start));
  }
  set_num_threads(before);
  return best;
}

/// The measured peak, once for each argument.
inline double known_peak(int threads, bool bfloat16) {
  static double peaks[2][2] = {};
  double& peak = peaks[threads > 1 ? 1 : 0][bfloat16 ? 1 : 0];
  if (peak == 0) peak = peak_flops(threads, bfloat16);
  return peak;
}

/// Seconds of this thread alone, which do not run while another program has the core.
inline double thread_seconds() {
#if defined(__linux__)
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
#else
  return seconds();
#endif
}

/// Bytes a second at which this many threads read an array front to back, again and again, fetching a little ahead, and
/// do nothing with it.
inline double read_bandwidth(const float* data, int64_t count, int threads) {
  typedef float Vector __attribute__((vector_size(16), may_alias));
  const int before = num_threads();
  set_num_threads(threads);
  constexpr int64_t kStep = 32, kAhead = 1024;  // floats
  double best = 0;
  const auto repeats = std::max<int64_t>(8, (int64_t{1} << 28) / count);
  for (int64_t repeat = 0; repeat < repeats; ++repeat) {
    const double start = threads == 1 ? thread_seconds() : seconds();
    parallel_for(count / kStep, std::max<int64_t>(1, count / kStep / threads), [&](int64_t begin, int64_t end) {
      Vector s0 = {}, s1 = {}, s2 = {}, s3 = {}, s4 = {}, s5 = {}, s6 = {}, s7 = {};
      for (int64_t i = begin; i < end; ++i) {
        const auto* from = reinterpret_cast<const Vector*>(data + i * kStep);
        __builtin_prefetch(data + i * kStep + kAhead);
        __builtin_prefetch(data + i * kStep + kAhead + 16);
        s0 += from[0], s1 += from[1], s2 += from[2], s3 += from[3];
        s4 += from[4], s5 += from[5], s6 += from[6], s7 += from[7];
      }
      Vector sum = s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7;
      benchmark::DoNotOptimize(sum);
    });
    best = std::max(best, static_cast<double>(count) * 4 / ((threads == 1 ? thread_seconds() : seconds()) - start));
  }
  set_num_threads(before);
  return best;
}

/// Runs body often, and reports GFLOP/s and the share of the peak by the fastest run, which a busy neighbour moves
/// least; on one thread by the thread's own time.
template <typename Body>
void report(benchmark::State& state, double operations, int threads, bool bfloat16, const Body& body) {
  set_num_threads(threads);
  const double peak = known_peak(threads, bfloat16);
  body();
  std::vector<double> times;
  for (auto _ : state) {
    const double start = threads == 1 ? thread_seconds() : seconds();
    body();
    times.push_back((threads == 1 ? thread_seconds() : seconds()) - start);
    state.SetIterationTime(times.back());
  }
  const double time = *std::min_element(times.begin(), times.end());
  state.counters["us"] = time * 1e6;
  state.counters["GFLOPs"] = operations / time * 1e-9;
  state.counters["share"] = operations / time / peak;
}

}  // namespace mica::bench
