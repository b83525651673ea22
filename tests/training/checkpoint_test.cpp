// Checkpoints are whole whenever the process dies.

#include "mica/training/checkpoint.h"

#include <chrono>
#include <csignal>
#include <random>
#include <thread>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/tests/support/tiny_model.h"

namespace mica {
namespace {

constexpr const char* kFiles[] = {"model.safetensors", "optimizer.safetensors", "trainer_state.json"};

std::string content(int64_t step) {
  std::string text;
  for (int i = 0; i < 3000; ++i) text += std::to_string(step) + " ";
  return text + "end";
}

void write_one(const std::string& output, int64_t step) {
  write_checkpoint(output, step, [&](const std::string& folder) {
    for (const char* name : kFiles) write_file_atomically(join_path(folder, name), content(step));
  });
}

TEST(Checkpoints, AreNamedByTheirSteps) {
  const tiny::TemporaryFolder folder;
  EXPECT_EQ(last_checkpoint(folder.path()), std::nullopt);
  for (const int64_t step : {3, 20, 100}) write_one(folder.path(), step);
  make_directories(folder / "checkpoint-x");
  make_directories(folder / "checkpoint-300");  // not one of ours: nothing in it
  EXPECT_EQ(checkpoint_steps(folder.path()), (std::vector<int64_t>{3, 20, 100, 300}));
  EXPECT_EQ(last_checkpoint(folder.path()), checkpoint_folder(folder.path(), 100));
  remove_directory(folder / "checkpoint-300");
  rotate_checkpoints(folder.path(), 2, 3);
  EXPECT_EQ(checkpoint_steps(folder.path()), (std::vector<int64_t>{3, 100}));
  rotate_checkpoints(folder.path(), 1, std::nullopt);
  EXPECT_EQ(checkpoint_steps(folder.path()), (std::vector<int64_t>{100}));
  write_one(folder.path(), 100);  // again
  EXPECT_EQ(checkpoint_steps(folder.path()), (std::vector<int64_t>{100}));
}

TEST(Checkpoints, AFailedOneLeavesNothing) {
  const tiny::TemporaryFolder folder;
  write_one(folder.path(), 1);
  EXPECT_THROW(write_checkpoint(folder.path(), 2,
                                [&](const std::string& inside) {
                                  write_file_atomically(join_path(inside, "model.safetensors"), "half");
                                  throw Error("no space left", "test", "none");
                                }),
               Error);
  EXPECT_EQ(list_directory(folder.path()), (std::vector<std::string>{"checkpoint-1"}));
}

TEST(Checkpoints, SurviveBeingKilledAtAnyMoment) {
  const tiny::TemporaryFolder folder;
  std::mt19937 random(3);
  // How long one takes on this disk: the moments of death are spread over some of them.
  const auto begin = std::chrono::steady_clock::now();
  for (const int64_t step : {1, 2, 3}) write_one(folder.path(), step);
  const auto each = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin) / 3;
  rotate_checkpoints(folder.path(), 1, std::nullopt);
  int64_t first = 4;
  int resumed = 0;
  // Fifty deaths, fewer where the disk is slow.
  int attempts = 0;
  for (; attempts < 50 && (attempts < 8 || std::chrono::steady_clock::now() - begin < std::chrono::seconds(8));
       ++attempts) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      for (int64_t step = first;; ++step) {
        write_one(folder.path(), step);
        rotate_checkpoints(folder.path(), 2, std::nullopt);
      }
    }
    std::this_thread::sleep_for(std::chrono::microseconds(1000 + random() % (3 * static_cast<uint64_t>(each.count()))));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child failed by itself";
    for (const int64_t step : checkpoint_steps(folder.path())) {
      for (const char* name : kFiles) {
        EXPECT_EQ(read_file(join_path(checkpoint_folder(folder.path(), step), name)), content(step)) << step;
      }
    }
    const auto last = last_checkpoint(folder.path());
    const std::vector<int64_t> steps = checkpoint_steps(folder.path());
    EXPECT_TRUE(last) << "there was one before, and none is now";
    if (last) {
      ++resumed;
      EXPECT_GE(steps.back(), first - 1) << "older than what there was before";
      first = steps.back() + 1;
    }
  }
  EXPECT_EQ(resumed, attempts);
  EXPECT_GT(first, 5) << "hardly anything was written";
}

}  // namespace
}  // namespace mica
