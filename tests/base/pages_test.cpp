#include "mica/base/pages.h"

#include <cstring>
#include <thread>

#include <gtest/gtest.h>

namespace mica {
namespace {

TEST(Pages, AreAlignedAndClear) {
  auto* data = static_cast<unsigned char*>(map_pages(2 * kHugePage));
  ASSERT_NE(data, nullptr);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % kHugePage, 0u);
  EXPECT_EQ(data[0], 0);
  EXPECT_EQ(data[2 * kHugePage - 1], 0);
  unmap_pages(data, 2 * kHugePage);
}

#if !defined(__SANITIZE_ADDRESS__)
TEST(Blocks, AreKeptForTheNext) {
  void* first = take_block(3 << 20);
  give_block(first, 3 << 20);
  void* again = take_block((3 << 20) + 100'000);  // of the same class
  EXPECT_EQ(again, first);
  give_block(again, (3 << 20) + 100'000);
}
#endif

TEST(Blocks, HoldWhatWasAskedForFromManyThreads) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (size_t i = 0; i < 300; ++i) {
        const size_t bytes = (i * 7919 + 1) % (5 << 20) + 1;
        auto* data = static_cast<unsigned char*>(take_block(bytes));
        data[0] = data[bytes - 1] = static_cast<unsigned char>(t);
        std::this_thread::yield();
        EXPECT_EQ(data[bytes - 1], t);
        give_block(data, bytes);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Blocks, CarryVectorsOfAnySize) {
  BlockVector<int32_t> values;
  for (int32_t i = 0; i < 2'000'000; ++i) values.push_back(i);
  const BlockVector<int32_t> copy = values;
  values.clear();
  values.shrink_to_fit();
  EXPECT_EQ(copy.back(), 1'999'999);
  EXPECT_EQ(copy[12'345], 12'345);
}

}  // namespace
}  // namespace mica
