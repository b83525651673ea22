// Barrier objects and bulk copies: what is right runs in every order, planted mistakes are found.

#include "mica/kernels/cuda/device/bulk_copy.h"

#include "mica/kernels/cuda/device/number.h"
#include "mica/kernels/cuda/tensor_map.h"
#include "mica/tests/emulate/support.h"

namespace mica::cuda {
namespace {

using namespace test;

constexpr int kRows = 16, kColumns = 64, kBoxBytes = kRows * kColumns * 2;

struct Box {
  alignas(1024) uint16_t at[kRows * kColumns];
  BarrierObject landed;
};

struct Mistakes {
  bool wait = true, swizzle = true, make = true;
  int expected = kBoxBytes;
};

// One box at (column, head, row) of a [rows, heads, 64] tensor, to y [16, 64].
__global__ void box_kernel(const MICA_GRID_CONSTANT TensorMap map, int column, int head, int row, uint16_t* y,
                           Mistakes m) {
  auto& box = shared_memory<Box>();
  if (thread_x() == 0) {
    if (m.make) box.landed.init(1);
    barrier_objects_ready();
  }
  block_barrier();
  if (thread_x() == 0) {
    box.landed.arrive_expecting(static_cast<unsigned>(m.expected));
    copy_box(box.at, map, box.landed, column, head, row);
  }
  if (m.wait) box.landed.wait(0);
  for (int i = static_cast<int>(thread_x()); i < kRows * kColumns; i += 64) {
    const int r = i / kColumns, c = i % kColumns;
    y[i] = box.at[r * kColumns + (m.swizzle ? (c / 8) ^ (r % 8) : c / 8) * 8 + c % 8];
  }
  block_barrier();
  box.landed.wait(0);  // a block must not end before its copies
}

constexpr int64_t kTensorRows = 40, kHeads = 3, kSize = 80, kRowStride = kHeads * kSize + 8;

uint16_t number_at(int64_t i) {
  return static_cast<uint16_t>(i * 31 % 30011);
}

BoxedTensor tensor_of(const void* data) {
  return {.name = "test.x",
          .data = data,
          .rank = 3,
          .sizes = {kSize, kHeads, kTensorRows},
          .strides = {1, kSize, kRowStride},
          .box = {kColumns, 1, kRows}};
}

// Wrong elements of the box.
int wrong_elements(int column, int head, int row, const Mistakes& mistakes) {
  std::vector<uint16_t> x;
  for (int64_t i = 0; i < kTensorRows * kRowStride; ++i) x.push_back(number_at(i));
  const DeviceArray<uint16_t> tensor(x), y(kRows * kColumns);
  launch("test.box", nullptr, {{1}, {64}, sizeof(Box)}, box_kernel, make_tensor_map(tensor_of(tensor.data())), column,
         head, row, y.data(), mistakes);
  const auto got = y.values();
  int wrong = 0;
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < kColumns; ++c) {
      const int64_t tr = row + r, tc = column + c;
      const bool inside = tr >= 0 && tr < kTensorRows && tc >= 0 && tc < kSize && head < kHeads;
      const uint16_t want = inside ? number_at(tr * kRowStride + head * kSize + tc) : uint16_t{0};
      wrong += got[static_cast<size_t>(r * kColumns + c)] != want ? 1 : 0;
    }
  }
  return wrong;
}

TEST(EmulatedBulkCopy, BringsBoxesAndZerosOutside) {
  for_seeds([] {
    EXPECT_EQ(wrong_elements(0, 1, 5, {}), 0);
    EXPECT_EQ(wrong_elements(64, 2, 30, {}), 0);  // past the last column and row
    EXPECT_EQ(wrong_elements(-8, 0, -3, {}), 0);  // before the first
    EXPECT_EQ(wrong_elements(0, 0, 100, {}), 0);  // nothing of it
  });
}

TEST(EmulatedBulkCopy, AWrongSwizzleGivesWrongNumbers) {
  for_seeds([] { EXPECT_GT(wrong_elements(0, 1, 5, {.swizzle = false}), 0); });
}

TEST(EmulatedBulkCopy, AMissingWaitIsFound) {
  int found = 0;
  for_seeds([&] { found += wrong_elements(0, 1, 5, {.wait = false}) > 0 ? 1 : 0; });
  EXPECT_GE(found, 2);  // where copies land late
}

TEST(EmulatedBulkCopy, AWrongCountOfBytesIsAnErrorThatNamesTheLine) {
  for (const int off : {-128, 128}) {
    for_seeds([&] {
      const std::string error = error_of([&] { wrong_elements(0, 1, 5, {.expected = kBoxBytes + off}); });
      EXPECT_NE(error.find("for ever"), std::string::npos) << error;
      EXPECT_NE(error.find("test.box"), std::string::npos) << error;
      EXPECT_NE(error.find("phase of a barrier object"), std::string::npos) << error;
      EXPECT_NE(error.find("bulk_copy_test.cpp:"), std::string::npos) << error;
    });
  }
}

TEST(EmulatedBulkCopy, ABarrierThatWasNotMadeReadyIsAnError) {
  const std::string error = error_of([] { wrong_elements(0, 1, 5, {.make = false}); });
  EXPECT_NE(error.find("not made ready"), std::string::npos) << error;
}

__global__ void leaves_kernel(const MICA_GRID_CONSTANT TensorMap map) {
  auto& box = shared_memory<Box>();
  box.landed.init(1);
  box.landed.arrive_expecting(kBoxBytes);
  copy_box(box.at, map, box.landed, 0, 0, 0);
}

TEST(EmulatedBulkCopy, ABlockThatEndsBeforeItsCopyIsAnError) {
  const DeviceArray<uint16_t> tensor(kTensorRows * kRowStride);
  int found = 0;
  for_seeds([&] {
    const std::string error = error_of([&] {
      launch("test.leaves", nullptr, {{1}, {1}, sizeof(Box)}, leaves_kernel, make_tensor_map(tensor_of(tensor.data())));
    });
    found += error.find("ended while a bulk copy") != std::string::npos ? 1 : 0;
  });
  EXPECT_GE(found, 2);
}

// Two and four dimensions, without a swizzle.
__global__ void ranks_kernel(const MICA_GRID_CONSTANT TensorMap two, const MICA_GRID_CONSTANT TensorMap four,
                             uint16_t* y) {
  struct Shared {
    alignas(128) uint16_t at[2][64];
    BarrierObject landed;
  };
  auto& shared = shared_memory<Shared>();
  if (thread_x() == 0) {
    shared.landed.init(1);
    shared.landed.arrive_expecting(128);
    copy_box(shared.at[1], four, shared.landed, 8, 1, 1, 0);
    copy_box(shared.at[0], two, shared.landed, 8, 1);
  }
  block_barrier();
  shared.landed.wait(0);
  for (unsigned i = thread_x(); i < 64; i += 32) y[i] = shared.at[i / 32][i % 32];
}

TEST(EmulatedBulkCopy, TwoAndFourDimensions) {
  std::vector<uint16_t> x;
  for (int64_t i = 0; i < 2 * 3 * 4 * 24; ++i) x.push_back(number_at(i));
  const DeviceArray<uint16_t> tensor(x), y(64);
  const BoxedTensor two{.name = "test.two",
                        .data = tensor.data(),
                        .rank = 2,
                        .sizes = {24, 24},
                        .strides = {1, 24},
                        .box = {16, 2},
                        .swizzled = false};
  const BoxedTensor four{.name = "test.four",
                         .data = tensor.data(),
                         .rank = 4,
                         .sizes = {24, 4, 3, 2},
                         .strides = {1, 24, 4 * 24, 12 * 24},
                         .box = {8, 2, 1, 2},
                         .swizzled = false};
  for_seeds([&] {
    launch("test.ranks", nullptr, {{1}, {32}, 1024}, ranks_kernel, make_tensor_map(two), make_tensor_map(four),
           y.data());
    const auto got = y.values();
    for (int64_t i = 0; i < 32; ++i) {
      EXPECT_EQ(got[static_cast<size_t>(i)], number_at((1 + i / 16) * 24 + 8 + i % 16));
      const int64_t row = i / 8;
      EXPECT_EQ(got[static_cast<size_t>(32 + i)],
                number_at(row / 2 * 12 * 24 + 4 * 24 + (1 + row % 2) * 24 + 8 + i % 8));
    }
  });
}

TEST(EmulatedBulkCopy, TensorsThatTheUnitDoesNotTakeAreRefusedByName) {
  const DeviceArray<uint16_t> tensor(kTensorRows * kRowStride);
  const auto refused = [&](auto change) {
    BoxedTensor t = tensor_of(tensor.data());
    change(t);
    const std::string error = error_of([&] { make_tensor_map(t); });
    EXPECT_NE(error.find("test.x"), std::string::npos) << error;
    return error;
  };
  EXPECT_NE(refused([](BoxedTensor& t) { t.strides[2] = 249; }).find("a stride is not a multiple of 16 bytes"),
            std::string::npos);
  EXPECT_NE(refused([](BoxedTensor& t) { t.strides[2] = 249; }).find("strides [1, 80, 249]"), std::string::npos);
  EXPECT_NE(refused([](BoxedTensor& t) { t.box[0] = 32; }).find("128 bytes"), std::string::npos);
  EXPECT_NE(refused([](BoxedTensor& t) { t.box[2] = 257; }).find("1 to 256"), std::string::npos);
  EXPECT_NE(refused([](BoxedTensor& t) { t.sizes[1] = 0; }).find("a size"), std::string::npos);
  EXPECT_NE(refused([&](BoxedTensor& t) { t.data = tensor.data() + 1; }).find("the address"), std::string::npos);
}

// A ring of two slots between a thread that writes and a warp that reads, through many phases.
struct Ring {
  int at[2];
  BarrierObject full[2], empty[2];
};

__global__ void ring_kernel(int* y, int rounds, bool wait_empty, bool read_late) {
  auto& ring = shared_memory<Ring>();
  if (thread_x() == 0) {
    for (int slot = 0; slot < 2; ++slot) {
      ring.full[slot].init(1);
      ring.empty[slot].init(32);
    }
    barrier_objects_ready();
  }
  block_barrier();
  if (thread_x() == 32) {
    for (int i = 0; i < rounds; ++i) {
      const unsigned parity = static_cast<unsigned>(i / 2 & 1);
      if (wait_empty) ring.empty[i % 2].wait(parity ^ 1);
      ring.at[i % 2] = i;
      ring.full[i % 2].arrive();
    }
  } else if (thread_x() < 32) {
    for (int i = 0; i < rounds; ++i) {
      ring.full[i % 2].wait(static_cast<unsigned>(i / 2 & 1));
      if (read_late) ring.empty[i % 2].arrive();
      if (read_late) warp_barrier();
      y[i * 32 + static_cast<int>(thread_x())] = ring.at[i % 2];
      if (!read_late) ring.empty[i % 2].arrive();
    }
  }
}

TEST(EmulatedBarrierObject, ARingOfSlots) {
  constexpr int kRounds = 21;
  for_seeds([] {
    const DeviceArray<int> y(kRounds * 32);
    launch("test.ring", nullptr, {{1}, {64}, sizeof(Ring)}, ring_kernel, y.data(), kRounds, true, false);
    const auto got = y.values();
    for (int i = 0; i < kRounds * 32; ++i) EXPECT_EQ(got[static_cast<size_t>(i)], i / 32);
    // Without waiting for empty slots the writer runs away: the readers wait for phases long past.
    const std::string error = error_of([&] {
      launch("test.ring", nullptr, {{1}, {64}, sizeof(Ring)}, ring_kernel, y.data(), kRounds, false, false);
    });
    EXPECT_NE(error.find("for ever"), std::string::npos) << error;
  });
}

TEST(EmulatedBarrierObject, ASlotGivenBackBeforeItIsReadIsFound) {
  constexpr int kRounds = 200;
  int found = 0;
  for_seeds([&] {
    const DeviceArray<int> y(kRounds * 32);
    launch("test.ring", nullptr, {{1}, {64}, sizeof(Ring)}, ring_kernel, y.data(), kRounds, true, true);
    const auto got = y.values();
    bool right = true;
    for (int i = 0; i < kRounds * 32; ++i) right = right && got[static_cast<size_t>(i)] == i / 32;
    found += right ? 0 : 1;
  });
  EXPECT_EQ(found, 8);
}

__global__ void too_many_kernel() {
  auto& ring = shared_memory<Ring>();
  if (thread_x() == 0) {
    ring.full[0].init(2);
    ring.full[0].arrive_expecting(16);
    ring.full[0].arrive();
    ring.full[0].arrive();
  }
}

TEST(EmulatedBarrierObject, MoreArrivalsThanItWasMadeForAreAnError) {
  const std::string error = error_of([] {
    launch("test.too_many", nullptr, {{1}, {32}, sizeof(Ring)}, too_many_kernel);
  });
  EXPECT_NE(error.find("more threads arrive"), std::string::npos) << error;
}

}  // namespace
}  // namespace mica::cuda
