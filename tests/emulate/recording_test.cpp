// Work that is recorded: replayed as it is, in memory of its own, and nothing in it that a device could not repeat.

#include "mica/kernels/recording.h"

#include <cstdlib>
#include <memory>
#include <vector>

#include "mica/autograd/attention.h"
#include "mica/autograd/random.h"
#include "mica/kernels/cuda/backend.h"
#include "mica/tensor/tensor.h"
#include "mica/tests/emulate/support.h"

namespace mica::cuda {
namespace {

using namespace test;

constexpr Device kDevice{DeviceType::cuda, 0};

Backend& device() {
  return backend(kDevice);
}
CudaMemory& memory() {
  return static_cast<CudaMemory&>(device().memory());
}

void add(const Tensor& a, const Tensor& b, const Tensor& y) {
  device().elementwise().binary(BinaryOp::add, a.view(), b.view(), y.view());
}

// y = 4 x, by way of a tensor that is freed.
void quadruple(const Tensor& x, const Tensor& y) {
  const Tensor twice = Tensor::empty(x.shape(), x.dtype(), kDevice);
  add(x, x, twice);
  add(twice, twice, y);
}

// Other work takes whatever memory is free, and writes to it.
void disturb(int64_t size) {
  std::vector<Tensor> others;
  for (int i = 0; i < 20; ++i) others.push_back(Tensor::full({size}, -77, DType::float32, kDevice));
  device().queue().synchronize();
}

TEST(Recording, IsReplayedOnWhatTheMemoryHolds) {
  const Tensor x = Tensor::full({5}, 1, DType::float32, kDevice), y = Tensor::full({5}, 0, DType::float32, kDevice);
  const auto recording = device().record([&] { quadruple(x, y); });
  EXPECT_EQ(y.to_vector<float>(), std::vector<float>(5, 0));  // recorded, not run
  for (const float value : {3.0F, -2.0F, 0.5F}) {
    device().shape().fill(x.view(), static_cast<double>(value));
    const int64_t before = launch_count();
    recording->replay();
    EXPECT_EQ(launch_count() - before, 1);
    EXPECT_EQ(y.to_vector<float>(), std::vector<float>(5, 4 * value));
  }
}

TEST(Recording, KeepsItsMemoryUntilItGoes) {
  const Tensor x = Tensor::full({300}, 1, DType::float32, kDevice), y = Tensor::full({300}, 0, DType::float32, kDevice);
  const int64_t before = memory().used();
  auto recording = device().record([&] { quadruple(x, y); });
  EXPECT_EQ(memory().used() - before, 1200);  // the tensor that was freed
  for (int i = 0; i < 3; ++i) {
    disturb(300);
    device().shape().fill(x.view(), i);
    recording->replay();
    EXPECT_EQ(y.to_vector<float>(), std::vector<float>(300, static_cast<float>(4 * i)));
  }
  recording.reset();
  EXPECT_EQ(memory().used(), before);
  device().queue().synchronize();
}

TEST(Recording, SharesMemoryWithItselfOnly) {
  const Tensor x = Tensor::full({300}, 1, DType::float32, kDevice), y = Tensor::full({300}, 0, DType::float32, kDevice);
  const int64_t before = memory().used();
  const auto one = device().record([&] {
    quadruple(x, y);
    quadruple(y, y);  // the first one's tensor again
  });
  EXPECT_EQ(memory().used() - before, 1200);
  const auto other = device().record([&] { quadruple(x, y); });
  EXPECT_EQ(memory().used() - before, 2400);
  one->replay();
  EXPECT_EQ(y.to_vector<float>(), std::vector<float>(300, 16));
}

TEST(Recording, WhatOutlivesItIsOrdinaryMemory) {
  const int64_t before = memory().used();
  {
    Tensor y;
    {
      const auto recording = device().record([&] { y = Tensor::full({50}, 3, DType::float32, kDevice); });
      recording->replay();
      EXPECT_EQ(memory().used() - before, 200);
    }
    EXPECT_EQ(memory().used() - before, 200);
    disturb(50);
    EXPECT_EQ(y.to_vector<float>(), std::vector<float>(50, 3));
  }
  EXPECT_EQ(memory().used(), before);
}

// Summing 2000 gradients of a table of two rows takes scratch.
TEST(Recording, HasScratchOfItsOwn) {
  const Tensor ids = Tensor::full({2000}, 1, DType::int64, kDevice);
  const Tensor dy = Tensor::full({2000, 4}, 1, DType::float32, kDevice);
  const Tensor table = Tensor::full({2, 4}, 0, DType::float32, kDevice);
  const auto sum = [&] { device().embedding().backward(dy.view(), ids.view(), -1, table.view()); };
  sum();  // with the scratch of everyone
  const int64_t before = memory().used();
  const auto recording = device().record(sum);
  EXPECT_EQ(memory().used() - before, 1024);  // 32 parts of the table
  device().queue().workspace(1 << 22);        // which moves: others get the memory
  std::vector<Tensor> others;
  for (int i = 0; i < 20; ++i) others.push_back(Tensor::full({256}, -77, DType::float32, kDevice));
  recording->replay();
  for (const Tensor& each : others) EXPECT_EQ(each.to_vector<float>(), std::vector<float>(256, -77));
  EXPECT_EQ(table.to_vector<float>(), (std::vector<float>{0, 0, 0, 0, 4000, 4000, 4000, 4000}));
}

TEST(Recording, RefusesWhatADeviceCannotRepeat) {
  const Tensor x = Tensor::full({5}, 1, DType::float32, kDevice);
  const int64_t before = memory().used();
  const auto refused = [&](const auto& work) {
    const std::string error = error_of([&] { static_cast<void>(device().record(work)); });
    EXPECT_FALSE(device().recording());
    return error;
  };
  EXPECT_NE(refused([&] { static_cast<void>(x.to_vector<float>()); }).find("a copy to the host while a graph"),
            std::string::npos);
  EXPECT_NE(refused([&] {
              static_cast<void>(Tensor::from<float>({1, 2}).to(kDevice));
            }).find("a copy from the host while a graph"),
            std::string::npos);
  EXPECT_NE(refused([&] { device().queue().synchronize(); }).find("synchronize while a graph"), std::string::npos);
  EXPECT_NE(refused([&] { static_cast<void>(device().record([] {})); }).find("a recording within another"),
            std::string::npos);
  // An error that is caught leaves a recording that is no good.
  EXPECT_NE(refused([&] { error_of([&] { static_cast<void>(x.to_vector<float>()); }); }), "");
  EXPECT_EQ(memory().used(), before);
  EXPECT_EQ(x.to_vector<float>(), std::vector<float>(5, 1));
}

// Dropout, alone and in attention, of a seed that the device holds.
TEST(Recording, DrawsByASeedInTheDevicesMemory) {
  const Tensor seed = Tensor::full({}, 0, DType::int64, kDevice);
  const Tensor x = Tensor::full({90}, 1, DType::float32, kDevice), y = Tensor::full({90}, 0, DType::float32, kDevice);
  const Tensor noise = Tensor::full({20}, 0, DType::float32, kDevice);
  const Tensor rows = Tensor::full({12, 2, 8}, 0.1, DType::float32, kDevice);
  const SequenceOffsets offsets = SequenceOffsets::uniform(2, 6, kDevice);
  const Tensor mixed = Tensor::full(rows.shape(), 0, DType::float32, kDevice);
  const auto draw = [&](uint64_t first) {
    device().random().dropout({0.5, first, 3}, x.view(), {}, y.view());
    device().random().uniform(first, 4, 0, 1, noise.slice(0, 0, 10).view());
    device().random().normal(first, 5, 0, 1, noise.slice(0, 10, 20).view());
    manual_seed(first);
    mixed.copy_(attention(rows, rows, rows, offsets, offsets, {.dropout = 0.5}));
  };
  const auto all = [&] {
    std::vector<float> values = y.to_vector<float>();
    for (const Tensor* each : {&noise, &mixed}) {
      const std::vector<float> more = each->to_vector<float>();
      values.insert(values.end(), more.begin(), more.end());
    }
    return values;
  };
  const auto recording = record(device(), {.seed = seed.view()}, [&] { draw(uint64_t{9} << 40 | 5); });
  std::vector<float> last;
  for (const int64_t each : {int64_t{0}, int64_t{77}, int64_t{-3}}) {
    draw((uint64_t{9} << 40 | 5) ^ static_cast<uint64_t>(each));
    const std::vector<float> wanted = all();
    EXPECT_NE(wanted, last);
    device().memory().copy_from_host(seed.raw_data(), &each, sizeof(each));
    for (const Tensor* old : {&y, &noise, &mixed}) old->fill_(-1);
    recording->replay();
    EXPECT_EQ(all(), wanted);
    last = wanted;
  }
}

TEST(Recording, RepeatsUploadsWhereTheTermsSaySo) {
  const Tensor y = Tensor::full({3}, 0, DType::float32, kDevice);
  const int64_t before = memory().used();
  auto recording = record(device(), {.repeats_uploads = true}, [&] {
    const Tensor once = Tensor::from<float>({1, 2, 3}).to(kDevice);
    add(once, y, y);
    add(once, once, once);  // over what was brought
  });
  for (int i = 1; i < 4; ++i) {
    disturb(3);
    recording->replay();
    const auto n = static_cast<float>(i);
    EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{n, 2 * n, 3 * n}));
  }
  recording.reset();
  EXPECT_EQ(memory().used(), before);
  // The other way it stays refused, and terms end with their recording.
  EXPECT_NE(error_of([&] {
              static_cast<void>(
                  record(device(), {.repeats_uploads = true}, [&] { static_cast<void>(y.to_vector<float>()); }));
            }).find("a copy to the host while a graph"),
            std::string::npos);
  EXPECT_EQ(recording_terms(), nullptr);
  EXPECT_EQ(memory().used(), before);
}

// What is brought lies where no earlier work of the recording has been: a replay does that work again.
TEST(Recording, UploadsKeepClearOfWorkBeforeThem) {
  const Tensor y = Tensor::full({3}, 0, DType::float32, kDevice), five = Tensor::full({3}, 5, DType::float32, kDevice);
  auto recording = record(device(), {.repeats_uploads = true}, [&] {
    {
      const Tensor first = Tensor::empty({3}, DType::float32, kDevice),
                   second = Tensor::empty({3}, DType::float32, kDevice);
      add(five, five, first);
      add(five, five, second);
    }
    const Tensor once = Tensor::from<float>({1, 2, 3}).to(kDevice);
    add(once, y, y);
  });
  for (int i = 1; i < 4; ++i) {
    recording->replay();
    const auto n = static_cast<float>(i);
    EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{n, 2 * n, 3 * n}));
  }
}

// Each part of the work may have a seed of its own.
TEST(Recording, SeedsChangeOnTheWay) {
  const Tensor seeds = Tensor::from<int64_t>({11, 12}).to(kDevice),
               ones = Tensor::full({64}, 1, DType::float32, kDevice),
               first = Tensor::empty({64}, DType::float32, kDevice),
               second = Tensor::empty({64}, DType::float32, kDevice);
  const auto drop = [&](uint64_t seed, const Tensor& y) {
    device().random().dropout({0.5, seed, 3}, ones.view(), {}, y.view());
  };
  auto recording = record(device(), {}, [&] {
    record_seed(seeds.select(0, 0).view());
    drop(0, first);
    record_seed(seeds.select(0, 1).view());
    drop(0, second);
  });
  const Tensor wanted = Tensor::empty({64}, DType::float32, kDevice);
  for (const int64_t add : {0, 7}) {
    seeds.copy_(Tensor::from<int64_t>({11 + add, 12 + add}).to(kDevice));
    recording->replay();
    drop(static_cast<uint64_t>(11 + add), wanted);
    EXPECT_EQ(first.to_vector<float>(), wanted.to_vector<float>());
    drop(static_cast<uint64_t>(12 + add), wanted);
    EXPECT_EQ(second.to_vector<float>(), wanted.to_vector<float>());
  }
  record_seed(seeds.select(0, 0).view());  // nothing is recorded: no effect
  drop(0, first);
  drop(0, second);
  EXPECT_EQ(first.to_vector<float>(), second.to_vector<float>());
}

TEST(Recording, CanBeTurnedOff) {
  ASSERT_TRUE(device().records());
  ::setenv("MICA_CUDA_GRAPHS", "0", 1);
  EXPECT_FALSE(device().records());
  EXPECT_NE(error_of([] { static_cast<void>(device().record([] {})); }), "");
  ::unsetenv("MICA_CUDA_GRAPHS");
  EXPECT_TRUE(device().records());
}

}  // namespace
}  // namespace mica::cuda
