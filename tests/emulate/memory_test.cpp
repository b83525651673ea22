// Device memory in emulation: out of the host's reach, with bytes around each piece that nobody owns.

#include "mica/kernels/cuda/device/async_copy.h"
#include "mica/tests/emulate/support.h"

namespace mica::cuda {
namespace {

using namespace test;

__global__ void read_at_kernel(const float* x, int64_t at, float* y) {
  *y = x[at];
}
__global__ void write_at_kernel(float* x, int64_t at) {
  x[at] = 1;
}

TEST(EmulatedMemory, IsNotReadOnTheHost) {
  const DeviceArray<float> x(std::vector<float>{1, 2, 3});
  EXPECT_DEATH({ *const_cast<volatile float*>(x.data()) = 4; }, "");
  EXPECT_EQ(x.values(), (std::vector<float>{1, 2, 3}));
}

TEST(EmulatedMemory, AReadPastTheEndIsFound) {
  const DeviceArray<float> x(std::vector<float>{1, 2, 3}), y(1);
  launch("test.read", nullptr, {{1}, {1}}, read_at_kernel, x.data(), 2, y.data());
  EXPECT_EQ(y.values()[0], 3);
  if (kAddressesChecked) {
    EXPECT_DEATH(launch("test.read", nullptr, {{1}, {1}}, read_at_kernel, x.data(), 3, y.data()), "use-after-poison");
  } else {
    launch("test.read", nullptr, {{1}, {1}}, read_at_kernel, x.data(), 3, y.data());
    EXPECT_TRUE(y.values()[0] != y.values()[0]);  // NaN
  }
}

TEST(EmulatedMemory, AWritePastTheEndIsFound) {
  if (kAddressesChecked) GTEST_SKIP() << "the sanitizer stops at the write itself";
  {
    const DeviceArray<float> x(3);
    launch("test.write", nullptr, {{1}, {1}}, write_at_kernel, x.data(), 3);
  }
  const std::string found = error_of([] { synchronize(nullptr); });
  EXPECT_NE(found.find("behind the end of 12 bytes"), std::string::npos) << found;
  EXPECT_EQ(error_of([] { synchronize(nullptr); }), "");
}

struct Line16 {
  alignas(16) float at[8];
};

__global__ void copy_kernel(const float* x, int64_t offset, float* y, bool wait, bool valid) {
  auto& line = shared_memory<Line16>();
  copy_async_16(line.at, x + offset, valid);
  commit_copies();
  if (wait) wait_copies<0>();
  for (int i = 0; i < 4; ++i) y[i] = line.at[i];
}

TEST(EmulatedMemory, CopiesInTheBackgroundLandWhenTheyAreWaitedFor) {
  const DeviceArray<float> x(std::vector<float>{1, 2, 3, 4, 5, 6});
  const LaunchShape shape{{1}, {1}, sizeof(Line16)};
  int early = 0;
  for_seeds(
      [&] {
        const DeviceArray<float> y(4);
        launch("test.copy", nullptr, shape, copy_kernel, x.data(), 0, y.data(), true, true);
        EXPECT_EQ(y.values(), (std::vector<float>{1, 2, 3, 4}));
        launch("test.copy", nullptr, shape, copy_kernel, x.data(), 1 << 20, y.data(), true, false);
        EXPECT_EQ(y.values(), (std::vector<float>{0, 0, 0, 0}));
        launch("test.copy", nullptr, shape, copy_kernel, x.data(), 0, y.data(), false, true);
        early += y.values() == std::vector<float>{1, 2, 3, 4} ? 1 : 0;
      },
      16);
  EXPECT_GT(early, 0);
  EXPECT_LT(early, 16);  // a wait that is missing shows in some orders
}

TEST(EmulatedMemory, AddressesGivenToWrappersAreChecked) {
  const DeviceArray<float> x(std::vector<float>{1, 2, 3, 4, 5, 6}), y(4);
  const LaunchShape shape{{1}, {1}, sizeof(Line16)};
  const auto message = [&](int64_t offset) {
    return error_of([&] { launch("test.copy", nullptr, shape, copy_kernel, x.data(), offset, y.data(), true, true); });
  };
  EXPECT_NE(message(4).find("outside every allocation"), std::string::npos) << message(4);
  EXPECT_NE(message(4).find("memory_test.cpp:"), std::string::npos) << message(4);
  EXPECT_NE(message(1).find("not aligned"), std::string::npos) << message(1);
}

__global__ void add_kernel(float* x) {
  x[thread_x()] += 1;
}

TEST(EmulatedMemory, AGraphRunsWhenItIsReplayed) {
  Stream stream = make_stream();
  const DeviceArray<float> x(std::vector<float>{1, 2}), y(2);
  begin_recording(stream);
  launch("test.add", stream, {{1}, {2}}, add_kernel, x.data());
  copy_on_device(y.data(), x.data(), 8, stream);
  const Graph graph = end_recording(stream);
  EXPECT_EQ(x.values(), (std::vector<float>{1, 2}));
  replay(graph, stream);
  replay(graph, stream);
  EXPECT_EQ(y.values(), (std::vector<float>{3, 4}));
  destroy_graph(graph);
  destroy_stream(stream);
}

// As on a device: who waits meanwhile has nothing in the end.
TEST(EmulatedMemory, AGraphIsSpoiledByWaiting) {
  Stream stream = make_stream();
  begin_recording(stream);
  EXPECT_NE(error_of([&] { synchronize(stream); }), "");
  EXPECT_NE(error_of([&] { end_recording(stream); }), "");
  EXPECT_EQ(error_of([&] { synchronize(stream); }), "");
  destroy_stream(stream);
}

TEST(EmulatedMemory, EndsSomewhere) {
  EXPECT_EQ(device_allocate(int64_t{1} << 40), nullptr);
}

}  // namespace
}  // namespace mica::cuda
