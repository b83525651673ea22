// A product with everything that follows is one launch; a layer norm at the end is a second one.

#include "mica/kernels/linear.h"
#include "mica/tests/emulate/support.h"

namespace mica::cuda {
namespace {

using namespace test;

View matrix(void* data, int64_t rows, int64_t columns) {
  View view{data, DType::float32, 2, {}, {}};
  view.shape = {rows, columns};
  view.strides = {columns, 1};
  return view;
}
View vector(void* data, int64_t size) {
  View view{data, DType::float32, 1, {}, {}};
  view.shape[0] = size;
  view.strides[0] = 1;
  return view;
}

TEST(LinearLaunches, OneAndOneForTheNorm) {
  constexpr int64_t kIn = 20, kOut = 24;
  for (const int64_t rows : {3, 40}) {
    const auto zeros = [](int64_t n) { return std::vector<float>(static_cast<size_t>(n)); };
    const DeviceArray<float> x(zeros(rows * kIn)), w(zeros(kOut * kIn)), bias(zeros(kOut)), y(zeros(rows * kOut));
    Epilogue epilogue;
    epilogue.bias = vector(bias.data(), kOut);
    epilogue.activation = Activation::gelu;
    epilogue.residual = matrix(y.data(), rows, kOut);
    LinearKernels& linear = backend({DeviceType::cuda, 0}).linear();
    const auto launches = [&] {
      const int64_t before = launch_count();
      linear.forward(matrix(x.data(), rows, kIn), matrix(w.data(), kOut, kIn), epilogue, matrix(y.data(), rows, kOut));
      return launch_count() - before;
    };
    EXPECT_EQ(launches(), 1);
    epilogue.norm_weight = epilogue.bias;
    EXPECT_EQ(launches(), 2);
  }
}

}  // namespace
}  // namespace mica::cuda
