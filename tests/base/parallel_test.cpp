#include "mica/base/parallel.h"

#include <atomic>
#include <numeric>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "mica/base/error.h"

namespace mica {
namespace {

class Parallel : public ::testing::Test {
 protected:
  void TearDown() override { set_num_threads(threads_); }
  const int threads_ = num_threads();
};

TEST_F(Parallel, CoversEveryElementOnceInPiecesOfTheGrain) {
  for (const int threads : {1, 2, 3, 8}) {
    set_num_threads(threads);
    for (const int64_t n : {0, 1, 7, 64, 1000}) {
      for (const int64_t grain : {1, 3, 64, 5000}) {
        std::vector<std::atomic<int>> touched(static_cast<size_t>(n));
        parallel_for(n, grain, [&](int64_t begin, int64_t end) {
          EXPECT_EQ(begin % grain, 0);
          EXPECT_TRUE(end % grain == 0 || end == n);
          for (int64_t i = begin; i < end; ++i) ++touched[static_cast<size_t>(i)];
        });
        for (const auto& count : touched) ASSERT_EQ(count, 1) << n << " by " << grain << " on " << threads;
      }
    }
  }
}

TEST_F(Parallel, UsesSeveralThreads) {
  set_num_threads(2);
  std::atomic<int> arrived{0};
  std::atomic<bool> met{false};
  // Each of two shares waits, for a while, until the other one runs too.
  for (int attempt = 0; attempt < 100 && !met; ++attempt) {
    arrived = 0;
    parallel_for(2, 1, [&](int64_t, int64_t) {
      ++arrived;
      for (int i = 0; i < 1000 && arrived < 2; ++i) std::this_thread::yield();
      if (arrived == 2) met = true;
    });
    if (arrived == 2) met = true;
  }
  EXPECT_TRUE(met);
}

TEST_F(Parallel, RunsSeriallyInsideItself) {
  set_num_threads(4);
  std::atomic<int64_t> total{0};
  parallel_for(8, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const std::thread::id here = std::this_thread::get_id();
      parallel_for(100, 1, [&](int64_t first, int64_t last) {
        EXPECT_EQ(std::this_thread::get_id(), here);
        total += last - first;
      });
    }
  });
  EXPECT_EQ(total, 800);
}

TEST_F(Parallel, HandsExceptionsToTheCallerAndGoesOn) {
  set_num_threads(3);
  for (int i = 0; i < 50; ++i) {
    EXPECT_THROW(parallel_for(9, 1,
                              [](int64_t begin, int64_t) {
                                if (begin > 0) throw Error("a share fails", "", "");
                              }),
                 Error);
    std::atomic<int> done{0};
    parallel_for(9, 1, [&](int64_t begin, int64_t end) { done += static_cast<int>(end - begin); });
    EXPECT_EQ(done, 9);
  }
}

// Short calls one after the other, with and without a pause in which the workers fall asleep.
TEST_F(Parallel, SurvivesManyShortCalls) {
  set_num_threads(3);
  for (int i = 0; i < 3000; ++i) {
    std::vector<int64_t> values(6);
    parallel_for(6, 1, [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) values[static_cast<size_t>(k)] = k + i;
    });
    ASSERT_EQ(std::accumulate(values.begin(), values.end(), int64_t{0}), 15 + 6 * i);
    if (i % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

TEST_F(Parallel, ServesSeveralThreadsOfAProgram) {
  set_num_threads(2);
  std::vector<std::thread> callers;
  std::atomic<int64_t> total{0};
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int i = 0; i < 300; ++i) {
        parallel_for(10, 1, [&](int64_t begin, int64_t end) { total += end - begin; });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(total, 4 * 300 * 10);
}

TEST_F(Parallel, RefusesSillyNumbers) {
  EXPECT_THROW(set_num_threads(0), Error);
  EXPECT_THROW(set_num_threads(-1), Error);
  EXPECT_THROW(set_num_threads(100000), Error);
}

}  // namespace
}  // namespace mica
