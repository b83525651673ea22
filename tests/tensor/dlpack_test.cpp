#include "mica/tensor/dlpack.h"

#include <array>
#include <functional>

#include <gtest/gtest.h>

#include "mica/base/error.h"

namespace mica {
namespace {

// A foreign tensor over `values`, which counts how often it is let go.
struct Foreign {
  std::vector<float> values = {0, 1, 2, 3, 4, 5};
  std::array<int64_t, 9> shape = {2, 3, 1, 1, 1, 1, 1, 1, 1};
  std::array<int64_t, 2> strides = {3, 1};
  int deleted = 0;
  dlpack::ManagedTensor managed{};

  Foreign() {
    managed.view.data = values.data();
    managed.view.device = {dlpack::DeviceKind::cpu, 0};
    managed.view.rank = 2;
    managed.view.dtype = {dlpack::TypeCode::floating, 32, 1};
    managed.view.shape = shape.data();
    managed.view.strides = strides.data();
    managed.context = &deleted;
    managed.deleter = [](dlpack::ManagedTensor* self) { ++*static_cast<int*>(self->context); };
  }
  DlpackHandle handle() { return DlpackHandle(&managed); }
};

TEST(Dlpack, SharesMemoryBothWays) {
  Tensor tensor = Tensor::from(std::vector<float>{0, 1, 2, 3, 4, 5}, {2, 3});
  const float* const data = tensor.data<float>();
  DlpackHandle handle = to_dlpack(tensor.transpose(0, 1));
  EXPECT_EQ(handle->view.data, data);
  EXPECT_EQ(handle->view.rank, 2);
  EXPECT_EQ(handle->view.shape[0], 3);
  EXPECT_EQ(handle->view.strides[0], 1);
  EXPECT_EQ(handle->view.strides[1], 3);
  tensor = Tensor();
  const Tensor back = from_dlpack(std::move(handle));
  EXPECT_EQ(back.to_vector<float>(), (std::vector<float>{0, 3, 1, 4, 2, 5}));

  handle = to_dlpack(back);
  const Tensor again = from_dlpack(std::move(handle));
  EXPECT_EQ(again.raw_data(), back.raw_data());
}

TEST(Dlpack, RoundTripsEveryTypeItKnows) {
  for (const DType dtype :
       {DType::float32, DType::float16, DType::bfloat16, DType::float64, DType::int64, DType::int32, DType::int16,
        DType::uint8, DType::int8, DType::boolean, DType::uint16, DType::uint32, DType::uint64}) {
    const Tensor tensor = Tensor::empty({2, 0, 3}, dtype);
    EXPECT_EQ(from_dlpack(to_dlpack(tensor)).dtype(), dtype);
    EXPECT_EQ(from_dlpack(to_dlpack(tensor)).shape(), tensor.shape());
    const Tensor scalar = Tensor::empty({}, dtype);
    EXPECT_EQ(from_dlpack(to_dlpack(scalar)).raw_data(), scalar.raw_data());
  }
  EXPECT_THROW(to_dlpack(Tensor::empty({1}, DType::float8_e4m3)), Error);
  EXPECT_THROW(to_dlpack(Tensor()), Error);
  const Tensor tracked = Tensor::zeros({1});
  tracked.set_requires_grad();
  EXPECT_THROW(to_dlpack(tracked), Error);
}

TEST(Dlpack, LetsGoWithTheLastUser) {
  Foreign foreign;
  {
    Tensor view;
    {
      const Tensor tensor = from_dlpack(foreign.handle());
      EXPECT_EQ(tensor.raw_data(), foreign.values.data());
      view = tensor.select(0, 1);
    }
    EXPECT_EQ(foreign.deleted, 0);
    EXPECT_EQ(view.to_vector<float>(), (std::vector<float>{3, 4, 5}));
  }
  EXPECT_EQ(foreign.deleted, 1);
}

TEST(Dlpack, OtherStridesAreCopied) {
  Foreign foreign;
  foreign.strides = {0, -1};
  foreign.managed.view.byte_offset = 3 * sizeof(float);
  const Tensor tensor = from_dlpack(foreign.handle());
  EXPECT_EQ(foreign.deleted, 1);
  EXPECT_EQ(tensor.to_vector<float>(), (std::vector<float>{3, 2, 1, 3, 2, 1}));
}

TEST(Dlpack, RefusesAndLetsGo) {
  const std::function<void(dlpack::TensorView&)> changes[] = {
      [](dlpack::TensorView& view) { view.device.kind = dlpack::DeviceKind::cuda; },
      [](dlpack::TensorView& view) { view.dtype.lanes = 4; },
      [](dlpack::TensorView& view) { view.dtype.code = dlpack::TypeCode::complex; },
      [](dlpack::TensorView& view) { view.dtype.bits = 128; },
      [](dlpack::TensorView& view) { view.rank = 9; },
      [](dlpack::TensorView& view) { view.rank = -1; },
      [](dlpack::TensorView& view) { view.data = nullptr; },
      [](dlpack::TensorView& view) { view.byte_offset = 1; },
      [](dlpack::TensorView& view) { view.shape[0] = -2; },
      [](dlpack::TensorView& view) { view.shape[0] = int64_t{1} << 62; },
  };
  for (const auto& change : changes) {
    Foreign foreign;
    change(foreign.managed.view);
    EXPECT_THROW(from_dlpack(foreign.handle()), Error);
    EXPECT_EQ(foreign.deleted, 1);
  }
  EXPECT_THROW(from_dlpack(nullptr), Error);
}

}  // namespace
}  // namespace mica
