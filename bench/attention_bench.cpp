// Attention forward at the shapes of MiniLM and BERT-base, from one fused [rows, 3 * hidden] matrix.
// The share is that of the product peak: the exponentials count nothing.

#include "mica/bench/peak.h"
#include "mica/kernels/cpu/simd/attention.h"

namespace mica::bench {
namespace {

void attention(benchmark::State& state, int64_t batch, int64_t length, int64_t heads, int64_t size, int threads,
               bool bfloat16) {
  const int64_t rows = batch * length, hidden = heads * size;
  Array fused(rows * 3 * hidden), output(rows * hidden);
  std::vector<int32_t> offsets;
  for (int64_t i = 0; i <= batch; ++i) offsets.push_back(static_cast<int32_t>(i * length));
  const auto view = [&](float* data, int64_t row) {
    return View{
        .data = data, .dtype = DType::float32, .rank = 3, .shape = {rows, heads, size}, .strides = {row, size, 1}};
  };
  AttentionArguments arguments;
  arguments.query = view(fused.get(), 3 * hidden);
  arguments.key = view(fused.get() + hidden, 3 * hidden);
  arguments.value = view(fused.get() + 2 * hidden, 3 * hidden);
  arguments.query_segments = arguments.key_segments = {offsets, offsets.data()};
  arguments.scale = 1 / std::sqrt(static_cast<float>(size));
  report(state, 4.0 * static_cast<double>(rows * length * hidden), threads, bfloat16,
         [&] { cpu::simd::attention_forward(arguments, view(output.get(), hidden), View(), bfloat16); });
}

void add_all() {
  for (const bool bfloat16 : {false, true})
    for (const int threads : {1, 2}) {
      for (const auto& [heads, size] : {std::pair<int64_t, int64_t>{12, 32}, {12, 64}}) {
        for (const auto& [batch, length] :
             {std::pair<int64_t, int64_t>{1, 16}, {1, 128}, {8, 128}, {1, 512}, {1, 2048}}) {
          const std::string title = std::string(bfloat16 ? "bfloat16" : "float32") +
                                    "/threads:" + std::to_string(threads) + "/" + std::to_string(batch) + "x" +
                                    std::to_string(length) + "/heads:" + std::to_string(heads) + "x" +
                                    std::to_string(size);
          benchmark::RegisterBenchmark(title.c_str(),
                                       [=, h = heads, s = size, b = batch, l = length](benchmark::State& state) {
                                         attention(state, b, l, h, s, threads, bfloat16);
                                       })
              ->UseManualTime()
              ->MinTime(0.1);
        }
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
