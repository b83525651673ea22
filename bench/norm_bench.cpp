// Layer norm with residual, RMS norm, rotary embedding, softmax, depthwise convolution and activations over rows of 384
// and 768: nanoseconds an element.

#include <string>

#include "mica/bench/peak.h"
#include "mica/kernels/cpu/simd/activation.h"
#include "mica/kernels/cpu/simd/convolution.h"
#include "mica/kernels/cpu/simd/norm.h"
#include "mica/kernels/cpu/simd/random.h"
#include "mica/kernels/cpu/simd/rotary.h"

namespace mica::bench {
namespace {

// `body` works on arrays x, y, z of rows * size floats and a row of `size`.
template <typename Body>
void add(const std::string& name, const Body& body) {
  for (const int threads : {1, 2}) {
    for (const auto& [rows, size] : {std::pair<int64_t, int64_t>{16, 384}, {128, 384}, {128, 768}, {1024, 768}}) {
      const std::string title =
          name + "/threads:" + std::to_string(threads) + "/" + std::to_string(rows) + "x" + std::to_string(size);
      benchmark::RegisterBenchmark(title.c_str(),
                                   [=, rows = rows, size = size](benchmark::State& state) {
                                     Array x(rows * size), y(rows * size), z(rows * size), row(size);
                                     const auto elements = static_cast<double>(rows * size);
                                     report(state, elements, threads, false,
                                            [&] { body(x.get(), y.get(), z.get(), row.get(), rows, size); });
                                     state.counters["ns_element"] = state.counters["us"] * 1e3 / elements;
                                   })
          ->UseManualTime()
          ->MinTime(0.05);
    }
  }
}

void add_all() {
  add("layer_norm", [](const float* x, const float* residual, float* y, const float* row, int64_t rows, int64_t size) {
    cpu::simd::layer_norm({.x = x,
                           .x_row = size,
                           .residual = residual,
                           .residual_row = size,
                           .weight = row,
                           .bias = row,
                           .epsilon = 1e-5F,
                           .y = y,
                           .y_row = size,
                           .size = size},
                          rows);
  });
  add("layer_norm_backward", [](const float* x, float* dy, float* dx, float* row, int64_t rows, int64_t size) {
    static std::vector<float> statistics(4096, 0.5F), sums(4096);
    cpu::simd::layer_norm_backward({.dy = dy,
                                    .sum = x,
                                    .mean = statistics.data(),
                                    .rstd = statistics.data(),
                                    .weight = row,
                                    .ds = dx,
                                    .dweight = sums.data(),
                                    .dbias = sums.data() + 2048,
                                    .size = size},
                                   rows);
  });
  add("softmax", [](const float* x, float* y, float*, const float*, int64_t rows, int64_t size) {
    cpu::simd::softmax(x, y, rows, size, false);
  });
  for (const Activation activation : {Activation::gelu, Activation::gelu_tanh, Activation::silu, Activation::tanh}) {
    add(std::string(name(activation)), [=](const float* x, float* y, float*, const float*, int64_t rows, int64_t size) {
      cpu::simd::activation_forward(activation, x, y, rows * size);
    });
  }
  add("rms_norm", [](const float* x, float* y, float*, const float* row, int64_t rows, int64_t size) {
    cpu::simd::rms_norm({.x = x, .x_row = size, .x_head = size, .factor = row, .epsilon = 1e-5F, .y = y, .size = size},
                        rows);
  });
  add("rms_norm_backward", [](const float* x, float* dy, float* dx, float* row, int64_t rows, int64_t size) {
    static std::vector<float> statistics(4096, 0.5F), sums(4096);
    cpu::simd::rms_norm_backward({.dy = dy,
                                  .x = x,
                                  .x_row = size,
                                  .x_head = size,
                                  .rstd = statistics.data(),
                                  .factor = row,
                                  .dx = dx,
                                  .dweight = sums.data(),
                                  .size = size},
                                 rows);
  });
  for (const RotaryLayout layout : {RotaryLayout::half_split, RotaryLayout::interleaved}) {
    const std::string title = layout == RotaryLayout::half_split ? "rotary_half_split" : "rotary_interleaved";
    add(title, [=](const float* x, float* y, const float* table, const float*, int64_t rows, int64_t size) {
      constexpr int64_t kHead = 64;
      cpu::simd::rotary({.x = x,
                         .x_row = size,
                         .x_head = kHead,
                         .cos = table,
                         .cos_row = kHead / 2,
                         .sin = table,
                         .sin_row = kHead / 2,
                         .y = y,
                         .y_row = size,
                         .y_head = kHead,
                         .heads = size / kHead,
                         .head_size = kHead,
                         .half = kHead / 2,
                         .layout = layout},
                        rows);
    });
  }
  add("silu_and_multiply", [](const float* x, const float* up, float* y, const float*, int64_t rows, int64_t size) {
    cpu::simd::gated({.activation = Activation::silu,
                      .gate = x,
                      .gate_row = size,
                      .up = up,
                      .up_row = size,
                      .y = y,
                      .y_row = size,
                      .size = size},
                     rows);
  });
  add("dropout", [](const float* x, float* y, float*, const float*, int64_t rows, int64_t size) {
    cpu::simd::drop_elements({.p = 0.1, .seed = 1, .stream = 2}, 0, x, nullptr, y, rows * size);
  });
  add("depthwise_4", [](const float* x, float* y, const float* weight, const float* bias, int64_t rows, int64_t size) {
    cpu::simd::depthwise({x, weight, bias, y, size, 4, 3, 0, rows}, 0, rows);  // on one thread
  });
  add("gelu_backward", [](const float* x, const float* dy, float* dx, const float*, int64_t rows, int64_t size) {
    cpu::simd::activation_backward(Activation::gelu, x, dy, dx, rows * size);
  });
}

}  // namespace
}  // namespace mica::bench

int main(int argc, char** argv) {
  mica::bench::add_all();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
