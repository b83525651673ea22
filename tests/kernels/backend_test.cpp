#include "mica/kernels/backend.h"

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/kernels/activation.h"
#include "mica/kernels/cpu/backend.h"
#include "mica/tests/kernels/support.h"

namespace mica {
namespace {

// Asked for while other globals are still being initialised.
Backend& early = backend(Device{});

TEST(Backend, TheCpuIsThereFromTheStart) {
  EXPECT_EQ(&early, &backend(Device{}));
  EXPECT_EQ(early.device(), Device{});
}

TEST(Backend, AnUnknownDeviceIsAnError) {
  EXPECT_THROW(backend({DeviceType::cuda, 97}), Error);
}

TEST(Backend, RegisteredDevicesAreFound) {
  class Other final : public Backend {
   public:
    explicit Other(Backend& inner) : inner_(inner) {}
    Device device() const override { return {DeviceType::cuda, 98}; }
    Memory& memory() override { return inner_.memory(); }
    Queue& queue() override { return inner_.queue(); }
    DType activation_dtype(DType weight_dtype) const override { return inner_.activation_dtype(weight_dtype); }
    ActivationKernels& activation() override { return inner_.activation(); }
    AttentionKernels& attention() override { return inner_.attention(); }
    ConvolutionKernels& convolution() override { return inner_.convolution(); }
    ElementwiseKernels& elementwise() override { return inner_.elementwise(); }
    EmbeddingKernels& embedding() override { return inner_.embedding(); }
    LinearKernels& linear() override { return inner_.linear(); }
    LossKernels& loss() override { return inner_.loss(); }
    NormKernels& norm() override { return inner_.norm(); }
    OptimizerKernels& optimizer() override { return inner_.optimizer(); }
    QuantizeKernels& quantize() override { return inner_.quantize(); }
    RandomKernels& random() override { return inner_.random(); }
    ReduceKernels& reduce() override { return inner_.reduce(); }
    RotaryKernels& rotary() override { return inner_.rotary(); }
    SamplingKernels& sampling() override { return inner_.sampling(); }
    ScanKernels& scan() override { return inner_.scan(); }
    ShapeKernels& shape() override { return inner_.shape(); }

   private:
    Backend& inner_;
  };
  static Other other(backend(Device{}));
  register_backend(other);
  EXPECT_EQ(&backend({DeviceType::cuda, 98}), &other);
}

TEST(Backend, AMissingKernelIsNamed) {
  try {
    unsupported("norm.layer_norm", DType::int8, Device{});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()),
              "kernel norm.layer_norm does not support int8 (cpu): convert to float32 first");
  }
  const test::Array<int64_t> x({2}, {1, 2});
  EXPECT_THROW(test::tested().activation().forward(Activation::relu, x.view(), x.view()), Error);
}

TEST(Backend, ActivationsOfHalfWeightsAreFloats) {
  EXPECT_EQ(early.activation_dtype(DType::bfloat16), DType::float32);
  EXPECT_EQ(early.activation_dtype(DType::float32), DType::float32);
  EXPECT_EQ(early.activation_dtype(DType::float64), DType::float64);
}

}  // namespace
}  // namespace mica
