// The packed product at the shapes of BERT-base and MiniLM: linear_bench [--benchmark_filter=...].
// Weights "hot" are the same at every call, "cold" ones go round through more memory than the last cache holds.

#include "mica/bench/peak.h"
#include "mica/kernels/cpu/simd/packed_linear.h"

namespace mica::bench {
namespace {

View view(float* data, int64_t rows, int64_t columns) {
  return {.data = data, .dtype = DType::float32, .rank = 2, .shape = {rows, columns}, .strides = {columns, 1}};
}

enum class Tail { none, gelu, norm };

void linear(benchmark::State& state, int64_t rows, int64_t out, int64_t in, int threads, DType dtype, Tail tail,
            bool cold) {
  const DType packed_dtype = cpu::simd::packed_dtype(dtype);
  const int64_t floats = cpu::simd::packed_bytes(out, in, packed_dtype) / 4;
  const int64_t copies = cold ? std::max<int64_t>(1, (int64_t{48} << 18) / floats) : 1;
  Array x(rows * in), y(rows * out), weight(out * in), packed(floats * copies), row(out);
  for (int64_t i = 0; i < copies; ++i)
    cpu::simd::pack_weight(view(weight.get(), out, in), 0, {packed.get() + i * floats, out, in, packed_dtype});
  View vector{.data = row.get(), .dtype = DType::float32, .rank = 1, .shape = {out}, .strides = {1}};
  Epilogue epilogue;
  if (tail != Tail::none) epilogue.bias = vector;
  if (tail == Tail::gelu) epilogue.activation = Activation::gelu;
  if (tail == Tail::norm) {
    epilogue.residual = view(y.get(), rows, out);
    epilogue.norm_weight = epilogue.norm_bias = vector;
    epilogue.norm_eps = 1e-5F;
  }
  int64_t turn = 0;
  report(state, 2.0 * static_cast<double>(rows * out * in), threads, packed_dtype == DType::bfloat16, [&] {
    const PackedWeight w{packed.get() + turn++ % copies * floats, out, in, packed_dtype};
    cpu::simd::packed_linear(view(x.get(), rows, in), w, epilogue, view(y.get(), rows, out));
  });
}

void add_all() {
  struct Size {
    int64_t out, in;
  };
  for (const DType dtype : {DType::float32, DType::bfloat16}) {
    for (const int threads : {1, 2}) {
      for (const Size size :
           {Size{384, 384}, {1152, 384}, {1536, 384}, {384, 1536}, {768, 768}, {3072, 768}, {768, 3072}}) {
        for (const int64_t rows : {1, 16, 128, 512, 1024, 4096}) {
          for (const Tail tail : {Tail::none, Tail::gelu, Tail::norm}) {
            for (const bool cold : {false, true}) {
              if (cold && (rows > 128 || tail != Tail::none)) continue;
              if (tail != Tail::none && rows != 16 && rows != 128) continue;
              const std::string title = std::string(name(dtype)) + "/threads:" + std::to_string(threads) + "/" +
                                        std::to_string(rows) + "x" + std::to_string(size.out) + "x" +
                                        std::to_string(size.in) +
                                        (tail == Tail::gelu   ? "/gelu"
                                         : tail == Tail::norm ? "/norm"
                                                              : "") +
                                        (cold ? "/cold" : "");
              benchmark::RegisterBenchmark(
                  title.c_str(),
                  [=](benchmark::State& state) { linear(state, rows, size.out, size.in, threads, dtype, tail, cold); })
                  ->UseManualTime()
                  ->MinTime(0.1);
            }
          }
        }
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
