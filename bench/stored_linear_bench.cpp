// Products with weights as they are stored, which are read from memory: stored_linear_bench [rows...]
// [--offset bytes]. The share is that of a loop beside it that reads the same memory and does nothing with it. The
// offset is that of the weights from whole lines of the cache: data in a safetensors file begins at any multiple of 8.

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "mica/bench/peak.h"
#include "mica/kernels/cpu/simd/stored_linear.h"

namespace mica::bench {
namespace {

constexpr int64_t kPool = int64_t{160} << 20;  // floats

struct Case {
  DType dtype;
  int64_t out, in;
  bool transposed;
};

// Bytes a second, the fastest of some runs over all of the pool.
double run(const Array& pool, const Case& c, int64_t rows, int64_t offset) {
  const Array x(rows * c.in), y(rows * c.out);
  const int64_t bytes = c.out * c.in * item_size(c.dtype), copies = (kPool * 4 - offset) / bytes;
  View weight{.data = pool.get(), .dtype = c.dtype, .rank = 2, .shape = {c.out, c.in}};
  weight.strides = {c.transposed ? 1 : c.in, c.transposed ? c.out : 1};
  const View vx{.data = x.get(), .rank = 2, .shape = {rows, c.in}, .strides = {c.in, 1}};
  const View vy{.data = y.get(), .rank = 2, .shape = {rows, c.out}, .strides = {c.out, 1}};
  double best = 0;
  for (int repeat = 0; repeat < 4; ++repeat) {
    int64_t runs = 0;
    const double start = seconds();
    for (; runs < copies && seconds() - start < 0.3; ++runs) {
      weight.data = reinterpret_cast<char*>(pool.get()) + (runs * bytes) + offset;
      cpu::simd::linear(vx, weight, {}, vy);
    }
    best = std::max(best, static_cast<double>(runs * bytes) / (seconds() - start));
  }
  return best;
}

void all(const std::vector<int64_t>& rows, int64_t offset) {
  const Array pool(kPool);
  // Random floats read as halves: make those finite.
  auto* halves = reinterpret_cast<uint16_t*>(pool.get());
  for (int64_t i = 0; i < 2 * kPool; ++i) halves[i] = static_cast<uint16_t>((halves[i] & 0x87ff) | 0x3800);
  for (const int threads : {1, 2}) {
    const double reads = read_bandwidth(pool.get(), kPool, threads);
    std::printf("%d threads: memory is read at %.1f GB/s\n", threads, reads * 1e-9);
    set_num_threads(threads);
    for (const Case& c : {Case{DType::bfloat16, 2048, 2048, false}, Case{DType::bfloat16, 8192, 2048, false},
                          Case{DType::bfloat16, 2048, 8192, false}, Case{DType::bfloat16, 128256, 2048, false},
                          Case{DType::bfloat16, 3072, 768, true}, Case{DType::bfloat16, 768, 3072, true},
                          Case{DType::float32, 3072, 768, true}, Case{DType::float32, 768, 3072, true},
                          Case{DType::float32, 50257, 768, false}, Case{DType::float16, 8192, 2048, false}}) {
      std::printf("%-9s %6ld x %4ld%s", std::string(name(c.dtype)).c_str(), static_cast<long>(c.out),
                  static_cast<long>(c.in), c.transposed ? "^T" : "  ");
      for (const int64_t r : rows) {
        const double speed = run(pool, c, r, offset);
        std::printf("  %ld: %5.1f GB/s %3.0f %%", static_cast<long>(r), speed * 1e-9, 100 * speed / reads);
        if (r > 16) {
          std::printf(" %5.0f GFLOP/s",
                      speed * 2e-9 / static_cast<double>(item_size(c.dtype)) * static_cast<double>(r));
        }
      }
      std::printf("\n");
    }
  }
}

}  // namespace
}  // namespace mica::bench

int main(int argc, char** argv) {
  std::vector<int64_t> rows;
  int64_t offset = 0;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--offset" && i + 1 < argc) {
      offset = std::atoll(argv[++i]);
    } else {
      rows.push_back(std::atoll(argv[i]));
    }
  }
  mica::bench::all(rows.empty() ? std::vector<int64_t>{1, 4, 8} : rows, offset);
  return 0;
}
