// Barriers and collectives: what is right runs in every order, what is wrong is found.

#include "mica/tests/emulate/support.h"

namespace mica::cuda {
namespace {

using namespace test;

struct Slots {
  int at[64];
};

// Each thread reads what its opposite wrote. Without the barrier this is a race.
__global__ void reverse_kernel(int* y, bool with_barrier) {
  auto& slots = shared_memory<Slots>();
  slots.at[thread_x()] = static_cast<int>(thread_x());
  if (with_barrier) block_barrier();
  y[thread_x()] = slots.at[63 - thread_x()];
}

int wrong_runs(bool with_barrier) {
  int wrong = 0;
  for_seeds([&] {
    const DeviceArray<int> y(64);
    launch("test.reverse", nullptr, {{1}, {64}, sizeof(Slots)}, reverse_kernel, y.data(), with_barrier);
    const std::vector<int> got = y.values();
    bool right = true;
    for (int i = 0; i < 64; ++i) right = right && got[static_cast<size_t>(i)] == 63 - i;
    wrong += right ? 0 : 1;
  });
  return wrong;
}

TEST(Emulation, AMissingBarrierShowsInEveryOrderOfThreads) {
  EXPECT_EQ(wrong_runs(true), 0);
  EXPECT_EQ(wrong_runs(false), 8);
}

__global__ void apart_kernel() {
  if (thread_x() < 7) {
    block_barrier();
  } else {
    block_barrier();
  }
}

__global__ void left_out_kernel() {
  if (thread_x() == 3) return;
  block_barrier();
}

__global__ void lanes_apart_kernel(unsigned* y) {
  if (thread_x() < 16) {
    y[thread_x()] = shuffle_xor(thread_x(), 1);
  } else {
    y[thread_x()] = shuffle_xor(thread_x(), 2);
  }
}

TEST(Emulation, ABarrierThatNotAllReachIsAnErrorThatNamesTheLine) {
  for_seeds([] {
    const std::string apart = error_of([] { launch("test.apart", nullptr, {{1}, {64}}, apart_kernel); });
    EXPECT_NE(apart.find("test.apart"), std::string::npos) << apart;
    EXPECT_NE(apart.find("barrier_test.cpp:"), std::string::npos) << apart;
    EXPECT_NE(apart.find("stand apart"), std::string::npos) << apart;
    const std::string ended = error_of([] { launch("test.left_out", nullptr, {{2}, {64}}, left_out_kernel); });
    EXPECT_NE(ended.find("barrier_test.cpp:"), std::string::npos) << ended;
    EXPECT_NE(ended.find("ended"), std::string::npos) << ended;
    const DeviceArray<unsigned> y(32);
    const std::string lanes = error_of([&] {
      launch("test.lanes", nullptr, {{1}, {32}}, lanes_apart_kernel, y.data());
    });
    EXPECT_NE(lanes.find("shuffle_xor"), std::string::npos) << lanes;
  });
  // The machine is whole afterwards.
  EXPECT_EQ(wrong_runs(true), 0);
}

__global__ void half_kernel(int* y) {
  if (thread_x() >= 64) return;  // barriers of a part do not ask for the others
  auto& slots = shared_memory<Slots>();
  slots.at[thread_x()] = static_cast<int>(thread_x());
  part_barrier(2, 64);
  y[thread_x()] = slots.at[63 - thread_x()];
}

TEST(Emulation, BarriersOfAPart) {
  for_seeds([] {
    const DeviceArray<int> y(64);
    launch("test.half", nullptr, {{1}, {128}, sizeof(Slots)}, half_kernel, y.data());
    for (int i = 0; i < 64; ++i) EXPECT_EQ(y.values()[static_cast<size_t>(i)], 63 - i);
  });
}

__global__ void waits_for_ever_kernel(const int* flag) {
  emulate::wait_until([=] { return *flag == 7; }, "a flag", emulate::Line::here());
}
__global__ void sets_flag_kernel(int* flag, int* y) {
  if (block_x() == 0 && thread_x() == 5) *flag = 7;
  if (thread_x() == 9) {
    emulate::wait_until([=] { return *flag == 7; }, "a flag", emulate::Line::here());
    y[0] = 1;
  }
}

TEST(Emulation, ThreadsThatWaitForEachOtherForEverAreAnError) {
  const DeviceArray<int> flag(std::vector<int>{0});
  const DeviceArray<int> y(std::vector<int>{0});
  const std::string stuck = error_of([&] {
    launch("test.stuck", nullptr, {{1}, {32}}, waits_for_ever_kernel, flag.data());
  });
  EXPECT_NE(stuck.find("for ever"), std::string::npos) << stuck;
  EXPECT_NE(stuck.find("a flag"), std::string::npos) << stuck;
  launch("test.flag", nullptr, {{1}, {32}}, sets_flag_kernel, flag.data(), y.data());
  EXPECT_EQ(y.values()[0], 1);
}

__global__ void lanes_kernel(unsigned* y) {
  const unsigned lane = lane_index();
  y[lane] = shuffle(lane * 10, 5);
  y[32 + lane] = shuffle_xor(lane, 3);
  y[64 + lane] = shuffle_up(lane, 4);
  y[96 + lane] = shuffle_down(lane, 4);
  y[128 + lane] = ballot(lane % 3 == 0);
  if (lane < 8) y[160 + lane] = shuffle_xor(lane, 1, 0xffU);
}

TEST(Emulation, LanesExchangeWhatTheGpuExchanges) {
  for_seeds([] {
    const DeviceArray<unsigned> y(168);
    launch("test.lanes", nullptr, {{1}, {32}}, lanes_kernel, y.data());
    const auto got = y.values();
    unsigned votes = 0;
    for (unsigned lane = 0; lane < 32; lane += 3) votes |= 1U << lane;
    for (unsigned lane = 0; lane < 32; ++lane) {
      EXPECT_EQ(got[lane], 50U);
      EXPECT_EQ(got[32 + lane], lane ^ 3U);
      EXPECT_EQ(got[64 + lane], lane < 4 ? lane : lane - 4);
      EXPECT_EQ(got[96 + lane], lane + 4 < 32 ? lane + 4 : lane);
      EXPECT_EQ(got[128 + lane], votes);
      if (lane >= 8) continue;
      EXPECT_EQ(got[160 + lane], lane ^ 1U);
    }
  });
}

TEST(Emulation, ALaunchThatNoGpuTakesIsAnError) {
  EXPECT_NE(error_of([] {
              launch("test.large", nullptr, {{1}, {2048}}, apart_kernel);
            }).find("2048 threads"),
            std::string::npos);
  EXPECT_NE(error_of([] {
              launch("test.shared", nullptr, {{1}, {32}, 1 << 20}, apart_kernel);
            }).find("test.shared"),
            std::string::npos);
  EXPECT_NE(error_of([] {
              launch("test.grid", nullptr, {{1, 70000}, {32}}, apart_kernel);
            }).find("70000"),
            std::string::npos);
}

}  // namespace
}  // namespace mica::cuda
