#include <algorithm>
#include <cstdint>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/base/parallel.h"
#include "mica/kernels/cpu/backend.h"

namespace mica {
namespace {

constexpr int64_t kMega = int64_t{1} << 20;
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kCaching = false;
#else
constexpr bool kCaching = true;
#endif

TEST(Memory, IsAlignedAndWritable) {
  for (const int64_t bytes : {int64_t{0}, int64_t{1}, int64_t{63}, int64_t{65}, int64_t{4097}, kMega, 2 * kMega,
                              2 * kMega + 1, 33 * kMega + 5}) {
    CpuMemory memory;
    void* data = memory.allocate(bytes);
    ASSERT_NE(data, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % 64, 0U) << bytes;
    std::memset(data, 1, static_cast<size_t>(bytes));
    if (kCaching && bytes >= kMega / 4) {  // from the front of a mapping
      EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % (2 * kMega), 0U) << bytes;
    }
    memory.free(data, bytes);
    EXPECT_EQ(memory.used(), 0);
  }
}

TEST(Memory, FreedBlocksAreHandedOutAgain) {
  if (!kCaching) GTEST_SKIP();
  CpuMemory memory;
  for (const int64_t bytes : {int64_t{100}, int64_t{100000}, 5 * kMega}) {
    void* first = memory.allocate(bytes);
    memory.free(first, bytes);
    EXPECT_EQ(memory.allocate(bytes - 1), first) << bytes;
    memory.free(first, bytes - 1);
  }
  EXPECT_GT(memory.cached(), 5 * kMega);
  memory.trim();
  EXPECT_EQ(memory.cached(), 0);
}

TEST(Memory, FreedBlocksServeRequestsOfOtherSizes) {
  if (!kCaching) GTEST_SKIP();
  CpuMemory memory;
  char* const large = static_cast<char*>(memory.allocate(24 * kMega));
  memory.free(large, 24 * kMega);
  // Cut into three.
  std::vector<char*> parts;
  for (const int64_t size : {4, 12, 8}) parts.push_back(static_cast<char*>(memory.allocate(size * kMega)));
  EXPECT_EQ(memory.cached(), 0);
  for (size_t i = 0; i < parts.size(); ++i) {
    EXPECT_GE(parts[i], large);
    EXPECT_LT(parts[i], large + 24 * kMega);
    std::memset(parts[i], static_cast<int>(i), 4 * kMega);
  }
  EXPECT_EQ(parts[0][0], 0);
  EXPECT_EQ(parts[1][0], 1);
  EXPECT_EQ(parts[2][0], 2);
  // And one again, in whatever order they come back.
  memory.free(parts[0], 4 * kMega);
  memory.free(parts[2], 8 * kMega);
  memory.free(parts[1], 12 * kMega);
  EXPECT_EQ(memory.cached(), 24 * kMega);
  EXPECT_EQ(memory.allocate(24 * kMega), large);
  memory.free(large, 24 * kMega);
}

TEST(Memory, WhatIsCachedIsBoundedByWhatWasUsed) {
  CpuMemory memory;
  // Each size is used once only: without a bound 40 + 41 + ... MiB would pile up.
  for (int64_t size = 40; size < 120; ++size) {
    void* data = memory.allocate(size * kMega);
    memory.free(data, size * kMega);
    EXPECT_LE(memory.cached(), 2 * 140 * kMega);
  }
  memory.trim();
  EXPECT_EQ(memory.cached(), 0);
}

TEST(Memory, TooMuchIsAnError) {
  CpuMemory memory;
  EXPECT_THROW(memory.allocate(-1), Error);
  EXPECT_THROW(memory.allocate(INT64_MAX), Error);
  EXPECT_THROW(memory.allocate(int64_t{1} << 46), Error);
  EXPECT_EQ(memory.used(), 0);
}

TEST(Memory, ServesManyThreads) {
  CpuMemory memory;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&memory, t] {
      std::vector<std::pair<unsigned char*, int64_t>> held;
      for (int i = 0; i < 500; ++i) {
        const int64_t bytes = 1 + (i * 7919 + t * 104729) % 50000;
        auto* data = static_cast<unsigned char*>(memory.allocate(bytes));
        std::memset(data, t, static_cast<size_t>(bytes));
        held.emplace_back(data, bytes);
        if (i % 3 != 0) continue;
        const auto [old, size] = held.front();
        held.erase(held.begin());
        EXPECT_TRUE(std::all_of(old, old + size, [t](unsigned char c) { return c == t; }));
        memory.free(old, size);
      }
      for (const auto& [data, bytes] : held) memory.free(data, bytes);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(memory.used(), 0);
}

TEST(Queue, WorkspaceGrowsAndBelongsToItsThread) {
  CpuQueue queue;
  void* small = queue.workspace(10);
  ASSERT_NE(small, nullptr);
  EXPECT_EQ(queue.workspace(10), small);
  void* large = queue.workspace(kMega);
  std::memset(large, 1, static_cast<size_t>(kMega));
  void* other = nullptr;
  std::thread([&] { other = queue.workspace(10); }).join();
  EXPECT_NE(other, large);
  queue.synchronize();
}

}  // namespace
}  // namespace mica
