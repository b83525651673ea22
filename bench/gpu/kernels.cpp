// Kernels of a device: milliseconds of each case, with the bytes and operations it must move. Cases have the names and
// shapes that torch_kernels.py gives PyTorch; report.py joins the two.
//
//   gpu_kernels [--device cuda] [--quick] [--only PART]
//
// Results are lines of JSON. --quick takes small shapes and one run of each, to see that every case runs.

#include <cmath>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "mica/base/error.h"
#include "mica/bench/gpu/measured.h"
#include "mica/kernels/attention.h"
#include "mica/kernels/convolution.h"
#include "mica/kernels/linear.h"
#include "mica/kernels/loss.h"
#include "mica/kernels/norm.h"
#include "mica/kernels/optimizer.h"
#include "mica/kernels/scan.h"
#include "mica/kernels/shape.h"

namespace mica::bench {
namespace {

const char* short_name(DType dtype) {
  return dtype == DType::bfloat16 ? "bf16" : dtype == DType::float16 ? "f16" : "f32";
}

std::string title(const char* kind, std::initializer_list<int64_t> sizes, DType dtype) {
  std::string name = kind;
  char separator = '/';
  for (const int64_t size : sizes) {
    name += separator + std::to_string(size);
    separator = 'x';
  }
  return name + "/" + short_name(dtype);
}

// Sequences one after the other, as unpadded batches have them.
struct Offsets {
  std::vector<int32_t> host{0};
  Tensor on_device;
  Offsets(const std::vector<int64_t>& lengths, Device device) {
    for (const int64_t length : lengths) host.push_back(host.back() + static_cast<int32_t>(length));
    on_device = Tensor::from(host).to(device);
  }
  Segments segments() const { return {.host = host, .device = static_cast<const int32_t*>(on_device.raw_data())}; }
};

void attention_of(const Measured& m, const std::string& suffix, const std::vector<int64_t>& lengths, int64_t heads,
                  int64_t size, bool causal, DType dtype) {
  const Offsets offsets(lengths, m.device().device());
  const int64_t rows = offsets.host.back();
  const Shape shape{rows, heads, size};
  const Tensor q = m.random(shape, dtype), k = m.random(shape, dtype), v = m.random(shape, dtype),
               d_output = m.random(shape, dtype);
  const Tensor output = m.empty(shape, dtype), sums = m.empty({heads, rows}, dtype);
  const Tensor dq = m.empty(shape, dtype), dk = m.empty(shape, dtype), dv = m.empty(shape, dtype);
  AttentionArguments a;
  a.query = q.view();
  a.key = k.view();
  a.value = v.view();
  a.query_segments = a.key_segments = offsets.segments();
  a.scale = 1 / std::sqrt(static_cast<float>(size));
  a.causal = causal;
  double pairs = 0;
  for (const int64_t length : lengths) pairs += static_cast<double>(length * length) * (causal ? 0.5 : 1);
  const double operations = 4 * pairs * static_cast<double>(heads * size);
  const double bytes = static_cast<double>(rows * heads * size * item_size(dtype));
  AttentionKernels& kernels = m.device().attention();
  m.run("attention_forward" + suffix, 4 * bytes, operations, [&] { kernels.forward(a, output.view(), sums.view()); });
  m.run("attention_backward" + suffix, 8 * bytes, 2.5 * operations, [&] {
    kernels.backward(a, output.view(), sums.view(), d_output.view(), dq.view(), dk.view(), dv.view(), {}, {});
  });
}

void attention(const Measured& m) {
  const DType dtype = DType::bfloat16;
  for (const int64_t size : {int64_t{64}, int64_t{128}}) {
    for (const int64_t length :
         m.quick() ? std::vector<int64_t>{128} : std::vector<int64_t>{128, 256, 512, 1024, 2048, 4096, 8192, 16384}) {
      for (const bool causal : {false, true}) {
        const int64_t tokens = m.quick() ? 256 : 16384, heads = m.quick() ? 1 : 2048 / size;
        const std::vector<int64_t> lengths(static_cast<size_t>(tokens / length), length);
        attention_of(m, title(causal ? "_causal" : "", {tokens / length, heads, length, size}, dtype), lengths, heads,
                     size, causal, dtype);
      }
    }
  }
  std::vector<int64_t> ragged;  // 8 to 128, evenly spread, in no order
  for (int64_t i = 0; i < (m.quick() ? 4 : 256); ++i) ragged.push_back(8 + i * 13 % 32 * 120 / 31);
  attention_of(m, title("_ragged", {static_cast<int64_t>(ragged.size()), 12, 128, 64}, dtype), ragged, 12, 64, false,
               dtype);
}

void norms(const Measured& m) {
  const int64_t rows = m.quick() ? 8 : 16384;
  for (const DType dtype : {DType::bfloat16, DType::float32}) {
    for (const int64_t size : m.quick() ? std::vector<int64_t>{768} : std::vector<int64_t>{768, 1024, 4096, 8192}) {
      const Tensor x = m.random({rows, size}, dtype), residual = m.random({rows, size}, dtype),
                   weight = m.random({size}, dtype), bias = m.random({size}, dtype);
      const Tensor y = m.empty({rows, size}, dtype), sum = m.empty({rows, size}, dtype), mean = m.empty({rows}, dtype),
                   rstd = m.empty({rows}, dtype), dweight = m.empty({size}, dtype), dbias = m.empty({size}, dtype);
      const double bytes = static_cast<double>(rows * size * item_size(dtype));
      NormKernels& norm = m.device().norm();
      m.run(title("copy", {rows, size}, dtype), 2 * bytes, 0, [&] { m.device().shape().copy(x.view(), y.view()); });
      m.run(title("layer_norm_residual", {rows, size}, dtype), 4 * bytes, 0, [&] {
        norm.layer_norm(x.view(), residual.view(), weight.view(), bias.view(), 1e-5, y.view(), sum.view(), mean.view(),
                        rstd.view());
      });
      m.run(title("layer_norm_backward", {rows, size}, dtype), 3 * bytes, 0, [&] {
        norm.layer_norm_backward(x.view(), sum.view(), mean.view(), rstd.view(), weight.view(), {}, {}, y.view(), {},
                                 dweight.view(), dbias.view());
      });
      m.run(title("rms_norm", {rows, size}, dtype), 2 * bytes, 0,
            [&] { norm.rms_norm(x.view(), weight.view(), 0, 1e-5, y.view(), rstd.view()); });
      m.run(title("rms_norm_backward", {rows, size}, dtype), 3 * bytes, 0, [&] {
        norm.rms_norm_backward(residual.view(), x.view(), rstd.view(), weight.view(), 0, y.view(), dweight.view());
      });
    }
  }
}

// Texts of 1024 tokens through filters of four taps that see the past, as gated recurrent layers have them, and through
// a linear recurrence.
void recurrences(const Measured& m) {
  const int64_t texts = m.quick() ? 2 : 16, length = m.quick() ? 20 : 1024, kernel_size = 4, rows = texts * length;
  const Offsets offsets(std::vector<int64_t>(static_cast<size_t>(texts), length), m.device().device());
  for (const DType dtype : {DType::bfloat16, DType::float32}) {
    for (const int64_t channels : m.quick() ? std::vector<int64_t>{70} : std::vector<int64_t>{1024, 4096}) {
      const Shape shape{rows, channels};
      const Tensor x = m.random(shape, dtype), dy = m.random(shape, dtype), y = m.empty(shape, dtype),
                   dx = m.empty(shape, dtype), weight = m.random({channels, kernel_size}, dtype),
                   bias = m.random({channels}, dtype), dweight = m.empty({channels, kernel_size}, dtype),
                   dbias = m.empty({channels}, dtype);
      const double bytes = static_cast<double>(rows * channels * item_size(dtype));
      const double operations = static_cast<double>(2 * rows * channels * kernel_size);
      ConvolutionKernels& convolution = m.device().convolution();
      m.run(title("depthwise", {texts, channels, length, kernel_size}, dtype), 2 * bytes, operations, [&] {
        convolution.depthwise(x.view(), offsets.segments(), weight.view(), bias.view(), kernel_size - 1, false,
                              y.view());
      });
      m.run(title("depthwise_backward", {texts, channels, length, kernel_size}, dtype), 4 * bytes, 2 * operations, [&] {
        convolution.depthwise(dy.view(), offsets.segments(), weight.view(), {}, 0, true, dx.view());
        convolution.depthwise_backward(x.view(), dy.view(), offsets.segments(), kernel_size - 1, dweight.view(),
                                       dbias.view());
      });
      ScanKernels& scan = m.device().scan();
      m.run(title("linear_recurrence", {texts, channels, length}, dtype), 3 * bytes, 0,
            [&] { scan.linear(x.view(), dy.view(), {}, offsets.segments(), y.view()); });
      m.run(title("linear_recurrence_backward", {texts, channels, length}, dtype), 5 * bytes, 0, [&] {
        scan.linear_backward(x.view(), y.view(), {}, dy.view(), offsets.segments(), dx.view(), y.view(), {});
      });
    }
  }
}

void losses(const Measured& m) {
  const int64_t rows = m.quick() ? 4 : 8192, classes = m.quick() ? 500 : 50304;
  for (const DType dtype : {DType::bfloat16, DType::float32}) {
    const Tensor logits = m.random({rows, classes}, dtype), gradient = m.empty({rows, classes}, dtype);
    std::vector<int64_t> chosen;
    for (int64_t i = 0; i < rows; ++i) chosen.push_back(i * 7919 % classes);
    const Tensor labels = Tensor::from(chosen).to(m.device().device());
    const Tensor loss = m.empty({}, dtype), sums = m.empty({rows}, dtype), one = m.random({}, dtype);
    LossKernels& kernels = m.device().loss();
    m.run(title("cross_entropy", {rows, classes}, dtype), 3.0 * static_cast<double>(rows * classes * item_size(dtype)),
          0, [&] {
            kernels.cross_entropy(logits.view(), labels.view(), -100, loss.view(), sums.view());
            kernels.cross_entropy_backward(one.view(), logits.view(), labels.view(), -100, sums.view(),
                                           gradient.view());
          });
  }
}

void optimizers(const Measured& m) {
  const int64_t size = m.quick() ? 5000 : 7077888, count = m.quick() ? 3 : 16;  // 113M parameters
  std::vector<Tensor> held;
  std::vector<AdamWItem> items;
  for (int64_t i = 0; i < count; ++i) {
    for (int part = 0; part < 4; ++part) held.push_back(Tensor::zeros({size}, DType::float32, m.device().device()));
    const size_t at = held.size() - 4;
    items.push_back({.parameter = held[at].view(),
                     .gradient = held[at + 1].view(),
                     .mean = held[at + 2].view(),
                     .variance = held[at + 3].view(),
                     .lr = 1e-4,
                     .beta1 = 0.9,
                     .beta2 = 0.999,
                     .eps = 1e-8,
                     .weight_decay = 0.01});
  }
  m.run(title("adamw", {count, size}, DType::float32), 28.0 * static_cast<double>(size * count), 0,
        [&] { m.device().optimizer().adamw(items, 1); });
}

void products(const Measured& m) {
  struct Case {
    int64_t rows, out, in;
    Activation activation;
  };
  const std::vector<Case> cases =
      m.quick() ? std::vector<Case>{{40, 96, 64, Activation::gelu}}
                : std::vector<Case>{{8192, 3072, 768, Activation::gelu},  {8192, 768, 3072, Activation::none},
                                    {8192, 2304, 768, Activation::none},  {8192, 50304, 768, Activation::none},
                                    {8192, 8192, 8192, Activation::none}, {1, 4096, 4096, Activation::none},
                                    {8, 4096, 4096, Activation::none}};
  for (const DType dtype : {DType::bfloat16, DType::float32}) {
    for (const Case& c : cases) {
      const Tensor x = m.random({c.rows, c.in}, dtype), weight = m.random({c.out, c.in}, dtype),
                   bias = m.random({c.out}, dtype), y = m.empty({c.rows, c.out}, dtype);
      Epilogue epilogue;
      epilogue.bias = bias.view();
      epilogue.activation = c.activation;
      const std::string kind = c.activation == Activation::gelu ? "linear_gelu" : "linear";
      m.run(title(kind.c_str(), {c.rows, c.out, c.in}, dtype),
            static_cast<double>((c.rows * c.in + c.out * c.in + c.rows * c.out) * item_size(dtype)),
            2.0 * static_cast<double>(c.rows * c.out * c.in),
            [&] { m.device().linear().forward(x.view(), weight.view(), epilogue, y.view()); });
    }
  }
}

int run(int count, char** arguments) {
  Settings settings;
  for (int i = 1; i < count; ++i) {
    const std::string flag = arguments[i];
    if (flag == "--quick") {
      settings.quick = true;
    } else if (flag == "--device" && i + 1 < count) {
      settings.device = device_from_string(arguments[++i]);
    } else if (flag == "--only" && i + 1 < count) {
      settings.only = arguments[++i];
    } else {
      std::fprintf(stderr, "usage: %s [--device cuda] [--quick] [--only PART]\n", arguments[0]);
      return 2;
    }
  }
  const Measured m(settings);
  norms(m);
  recurrences(m);
  losses(m);
  optimizers(m);
  products(m);
  attention(m);
  models(m);
  return 0;
}

}  // namespace
}  // namespace mica::bench

int main(int count, char** arguments) {
  try {
    return mica::bench::run(count, arguments);
  } catch (const mica::Error& error) {
    std::fprintf(stderr, "gpu_kernels: error: %s\n", error.what());
    return 1;
  }
}
