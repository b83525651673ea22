#include "mica/base/hub.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>

#include "mica/base/error.h"

namespace mica {
namespace {

namespace fs = std::filesystem;

class Hub : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("mica-hub-" + std::to_string(::getpid()));
    fs::create_directories(root_ / "hub/models--org--name/snapshots/abc");
    fs::create_directories(root_ / "hub/models--org--name/snapshots/def");
    fs::create_directories(root_ / "hub/models--org--name/refs");
    fs::create_directories(root_ / "hub/models--solo/snapshots/only");
    std::ofstream(root_ / "hub/models--org--name/refs/main") << "abc\n";
    ::setenv("HF_HOME", root_.c_str(), 1);
    ::unsetenv("HF_HUB_CACHE");
  }
  void TearDown() override {
    ::unsetenv("HF_HOME");
    fs::remove_all(root_);
  }
  fs::path root_;
};

TEST_F(Hub, FindsFoldersAndSnapshots) {
  EXPECT_EQ(resolve_model_folder(root_.string()), root_.string());
  EXPECT_EQ(fs::path(resolve_model_folder("org/name")).filename(), "abc");
  EXPECT_EQ(fs::path(resolve_model_folder("solo")).filename(), "only");
  fs::remove(root_ / "hub/models--org--name/refs/main");
  const auto now = fs::file_time_type::clock::now();
  fs::last_write_time(root_ / "hub/models--org--name/snapshots/def", now + std::chrono::hours(1));
  EXPECT_EQ(fs::path(resolve_model_folder("org/name")).filename(), "def");
}

TEST_F(Hub, SaysWhatItLookedFor) {
  try {
    resolve_model_folder("org/other");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("models--org--other"), std::string::npos) << error.what();
  }
  std::ofstream(root_ / "hub/models--org--name/refs/main") << "../../../etc";
  EXPECT_NE(resolve_model_folder("org/name").find("snapshots/"), std::string::npos);
  for (const char* name : {"", "../x", "/nowhere", "a/b/c", "a//b", "-a", "a/..", "a b", "org/na--me", "a\nb"}) {
    EXPECT_THROW(resolve_model_folder(name), Error) << name;
  }
}

}  // namespace
}  // namespace mica
