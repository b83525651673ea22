// General products at the shapes of a training step (BERT-base, 1024 rows) and of unpacked linear layers.

#include <string>

#include "mica/bench/peak.h"
#include "mica/kernels/cpu/simd/matmul.h"

namespace mica::bench {
namespace {

void matmul(benchmark::State& state, int64_t m, int64_t n, int64_t k, bool transpose_a, bool transpose_b, int threads) {
  Array a(m * k), b(k * n), c(m * n);
  const auto view = [](float* data, int64_t rows, int64_t columns) {
    return View{.data = data, .dtype = DType::float32, .rank = 2, .shape = {rows, columns}, .strides = {columns, 1}};
  };
  const View left = transpose_a ? view(a.get(), k, m) : view(a.get(), m, k);
  const View right = transpose_b ? view(b.get(), n, k) : view(b.get(), k, n);
  report(state, 2.0 * static_cast<double>(m * n * k), threads, false,
         [&] { cpu::simd::matmul(left, transpose_a, right, transpose_b, view(c.get(), m, n), 1, 0); });
}

void add_all() {
  struct Shape {
    const char* title;
    int64_t m, n, k;
    bool transpose_a, transpose_b;
  };
  for (const int threads : {1, 2}) {
    for (const Shape s : {Shape{"forward", 1024, 3072, 768, false, true},
                          {"forward", 16, 768, 768, false, true},
                          {"d_input", 1024, 768, 3072, false, false},
                          {"d_weight", 3072, 768, 1024, true, false},
                          {"d_weight", 768, 768, 1024, true, false},
                          {"square", 256, 256, 256, false, false}}) {
      const std::string title = std::string(s.title) + "/threads:" + std::to_string(threads) + "/" +
                                std::to_string(s.m) + "x" + std::to_string(s.n) + "x" + std::to_string(s.k);
      benchmark::RegisterBenchmark(
          title.c_str(),
          [=](benchmark::State& state) { matmul(state, s.m, s.n, s.k, s.transpose_a, s.transpose_b, threads); })
          ->UseManualTime()
          ->MinTime(0.1);
    }
  }
}

}  // namespace
}  // namespace mica::bench

int main(int argc, char** argv) {
  mica::bench::add_all();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
