// The guarded device guards.

#include "mica/tests/support/guarded_device.h"

#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/kernels/activation.h"
#include "mica/kernels/backend.h"
#include "mica/kernels/reduce.h"

namespace mica {
namespace {

// Tests of kernels that run on it by MICA_TEST_DEVICE find it there.
const Device registered = test::guarded_device();

class GuardedDevice : public ::testing::Test {
 protected:
  static constexpr int64_t kCount = 4, kBytes = kCount * 4;

  static View view_of(void* data, int64_t count = kCount) {
    View view;
    view.data = data;
    view.rank = 1;
    view.shape[0] = count;
    view.strides[0] = 1;
    return view;
  }
  static std::string error_of(const std::function<void()>& call) {
    try {
      call();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  Backend& device_ = backend(registered);
  Memory& memory_ = device_.memory();
};

using GuardedDeviceDeathTest = GuardedDevice;

TEST_F(GuardedDeviceDeathTest, AReadOnTheHostSaysSo) {
  auto* data = static_cast<float*>(memory_.allocate(kBytes));
  EXPECT_DEATH(*const_cast<volatile float*>(data) = 1, "device memory was read on the host");
  memory_.free(data, kBytes);
  EXPECT_DEATH(memory_.free(this, kBytes), "never gave");
}

TEST_F(GuardedDevice, KernelsAndCopiesReachItsMemory) {
  void* data = memory_.allocate(kBytes);
  const std::vector<float> values{-1, 2, -3, 4};
  const int64_t to = test::copies_to_host(), from = test::copies_from_host();
  memory_.copy_from_host(data, values.data(), kBytes);
  device_.activation().forward(Activation::relu, view_of(data), view_of(data));
  std::vector<float> result(kCount);
  memory_.copy_to_host(result.data(), data, kBytes);
  EXPECT_EQ(result, (std::vector<float>{0, 2, 0, 4}));
  EXPECT_EQ(test::copies_to_host(), to + 1);
  EXPECT_EQ(test::copies_from_host(), from + 1);
  memory_.free(data, kBytes);
}

TEST_F(GuardedDevice, OperandsLieInOneLiveBlock) {
  void* data = memory_.allocate(kBytes);
  std::vector<float> host(kCount);
  const auto relu = [&](const View& x, const View& y) {
    return error_of([&] { device_.activation().forward(Activation::relu, x, y); });
  };
  EXPECT_EQ(relu(view_of(data), view_of(data)), "");
  EXPECT_NE(relu(view_of(data), view_of(host.data())).find("kernel activation.forward lies in the host's memory"),
            std::string::npos);
  EXPECT_NE(relu(view_of(data, 17), view_of(data, 17)).find("beyond its block"), std::string::npos);
  memory_.free(data, kBytes);
  EXPECT_NE(relu(view_of(data), view_of(data)).find("a freed one"), std::string::npos);
}

TEST_F(GuardedDevice, SegmentsLieOnBothSides) {
  void* x = memory_.allocate(kBytes);
  void* y = memory_.allocate(kBytes);
  void* copy = memory_.allocate(kBytes);
  const std::vector<int32_t> offsets{0, 1, 2}, others{0, 2, 2};
  View rows = view_of(x, 2), sums = view_of(y, 2);
  for (View* each : {&rows, &sums}) {
    each->rank = 2;
    each->shape[1] = each->strides[0] = each->strides[1] = 1;
  }
  const auto reduce = [&](const int32_t* device) {
    return error_of([&] { device_.reduce().segment_reduce(ReduceOp::sum, rows, {offsets, device}, {}, sums); });
  };
  memory_.copy_from_host(copy, offsets.data(), 12);
  EXPECT_EQ(reduce(static_cast<const int32_t*>(copy)), "");
  EXPECT_NE(reduce(offsets.data()).find("host's memory"), std::string::npos);
  memory_.copy_from_host(copy, others.data(), 12);
  EXPECT_NE(reduce(static_cast<const int32_t*>(copy)).find("differ"), std::string::npos);
  for (void* each : {x, y, copy}) memory_.free(each, kBytes);
}

}  // namespace
}  // namespace mica
