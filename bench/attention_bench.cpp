// Attention forward at the shapes of MiniLM and BERT-base, from one fused [rows, 3 * hidden] matrix.
// The share is that of the product peak: the exponentials count nothing. And steps of decoding: one query for each
// sequence against a cache [batch, capacity, key heads, size]; GB/s of keys and values, and the share of what bare
// reading of the same memory reaches.

#include <cstring>

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

void decode(benchmark::State& state, int64_t batch, int64_t length, int64_t heads, int64_t key_heads, int64_t size,
            int threads, DType dtype) {
  const int64_t rows = batch * length, row = key_heads * size;
  const int64_t cache_floats = rows * row * item_size(dtype) / 4;
  Array cache(2 * cache_floats), query(batch * heads * size), output(batch * heads * size);
  if (dtype != DType::float32) std::memset(cache.get(), 0x3c, static_cast<size_t>(cache_floats) * 8);
  std::vector<int32_t> offsets, starts, lengths;
  for (int64_t i = 0; i <= batch; ++i) offsets.push_back(static_cast<int32_t>(i));
  for (int64_t i = 0; i < batch; ++i) {
    starts.push_back(static_cast<int32_t>(i * length));
    lengths.push_back(static_cast<int32_t>(length));
  }
  const auto view = [&](float* data, DType type, int64_t count, int64_t h) {
    return View{.data = data, .dtype = type, .rank = 3, .shape = {count, h, size}, .strides = {h * size, size, 1}};
  };
  AttentionArguments arguments;
  arguments.query = view(query.get(), DType::float32, batch, heads);
  arguments.key = view(cache.get(), dtype, rows, key_heads);
  arguments.value = view(cache.get() + cache_floats, dtype, rows, key_heads);
  arguments.query_segments = {offsets, offsets.data()};
  arguments.key_segments = {starts, starts.data(), lengths, lengths.data()};
  arguments.causal = true;
  arguments.scale = 1 / std::sqrt(static_cast<float>(size));
  const double peak = read_bandwidth(cache.get(), 2 * cache_floats, threads);
  const View result = view(output.get(), DType::float32, batch, heads);
  set_num_threads(threads);
  std::vector<double> times;
  for (auto _ : state) {
    const double start = threads == 1 ? thread_seconds() : seconds();
    cpu::simd::attention_forward(arguments, result, View());
    times.push_back((threads == 1 ? thread_seconds() : seconds()) - start);
    state.SetIterationTime(times.back());
  }
  const double best = *std::min_element(times.begin(), times.end());
  const double bytes = static_cast<double>(cache_floats) * 8;
  state.counters["us"] = best * 1e6;
  state.counters["GBs"] = bytes / best * 1e-9;
  state.counters["reading"] = peak * 1e-9;
  state.counters["share"] = bytes / best / peak;
}

struct DecodeShape {
  const char* name;
  int64_t heads, key_heads, size;
};

void add_decoding() {
  for (const DType dtype : {DType::float32, DType::bfloat16, DType::float16})
    for (const int threads : {1, 2})
      for (const DecodeShape& shape : {DecodeShape{"gpt2", 12, 12, 64}, {"llama8b", 32, 8, 128}, {"mqa", 32, 1, 128}})
        // From the second-level cache, the third, and memory.
        for (const auto& [batch, length] : {std::pair<int64_t, int64_t>{1, 128}, {1, 4096}, {16, 8192}}) {
          if (batch > 1 && shape.key_heads == 1) continue;
          const std::string title = "decode/" + std::string(name(dtype)) + "/threads:" + std::to_string(threads) + "/" +
                                    shape.name + "/" + std::to_string(batch) + "x" + std::to_string(length);
          benchmark::RegisterBenchmark(title.c_str(),
                                       [=, s = shape, b = batch, l = length](benchmark::State& state) {
                                         decode(state, b, l, s.heads, s.key_heads, s.size, threads, dtype);
                                       })
              ->UseManualTime()
              ->MinTime(0.2);
        }
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
  mica::bench::add_decoding();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
