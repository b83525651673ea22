// The file of what was measured to be the fastest: kept, read again, shared, and not trusted.

#include "mica/kernels/cuda/choices.h"

#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>

#include "mica/base/file.h"

namespace mica::cuda {
namespace {

class ChoicesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "mica_choices_XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    path_ = folder_ + "/not yet there/choices.json";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void write(const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(path_).parent_path());
    write_file_atomically(path_, text);
  }
  std::string folder_, path_;
};

const Choices::Choice kOne{1, 2, 3, 0xfedcba9876543210U, 0, 0, 7, 8}, kTwo{9};

TEST_F(ChoicesTest, AreReadAgain) {
  Choices choices(path_);
  EXPECT_FALSE(choices.find("128 x 256"));
  choices.add("128 x 256", kOne);
  EXPECT_EQ(choices.find("128 x 256"), kOne);
  const Choices again(path_);
  EXPECT_EQ(again.find("128 x 256"), kOne);
  EXPECT_FALSE(again.find("128 x 257"));
  EXPECT_EQ(list_directory(folder_ + "/not yet there").size(), 1U) << "nothing but the file itself";
}

TEST_F(ChoicesTest, OfSeveralProcessesComeTogether) {
  Choices first(path_), second(path_);
  first.add("a", kOne);
  second.add("b", kTwo);
  const Choices all(path_);
  EXPECT_EQ(all.find("a"), kOne);
  EXPECT_EQ(all.find("b"), kTwo);
}

TEST_F(ChoicesTest, OfAFileThatIsNotAsItShouldBeAreNone) {
  const std::string good = R"(["1", "2", "3", "4", "5", "6", "7", "8"])";
  write(R"({"format": 1, "choices": {"a": )" + good + "}}");
  EXPECT_TRUE(Choices(path_).find("a"));
  for (const std::string& bad :
       {std::string(), std::string("no JSON"), std::string("[]"), R"({"format": 2, "choices": {"a": )" + good + "}}",
        R"({"choices": {"a": )" + good + "}}", R"({"format": 1, "choices": [)" + good + "]}",
        R"({"format": 1, "choices": {"a": )" + good + R"(, "b": ["1"]}})",
        std::string(R"({"format": 1, "choices": {"a": ["1", "2", "3", "4", "5", "6", "7", 8]}})"),
        std::string(R"({"format": 1, "choices": {"a": ["1", "2", "3", "4", "5", "6", "7", "x"]}})"),
        std::string(R"({"format": 1, "choices": {"a": ["1", "2", "3", "4", "5", "6", "7", "10000000000000000"]}})")}) {
    write(bad);
    Choices choices(path_);
    EXPECT_FALSE(choices.find("a")) << bad;
    choices.add("c", kTwo);
    EXPECT_EQ(Choices(path_).find("c"), kTwo) << bad;
  }
}

TEST_F(ChoicesTest, AreKeptInMemoryWhereThereIsNoFile) {
  Choices none("");
  none.add("a", kOne);
  EXPECT_EQ(none.find("a"), kOne);
  Choices refused("/proc/none/choices.json");
  refused.add("a", kOne);
  EXPECT_EQ(refused.find("a"), kOne);
}

TEST(ChoicesPath, LiesInTheCacheFolder) {
  const auto keep = [](const char* variable) {
    const char* value = std::getenv(variable);
    return std::pair(value != nullptr, std::string(value != nullptr ? value : ""));
  };
  const auto put_back = [](const char* variable, const std::pair<bool, std::string>& before) {
    if (before.first) {
      setenv(variable, before.second.c_str(), 1);
    } else {
      unsetenv(variable);
    }
  };
  const auto cache = keep("XDG_CACHE_HOME"), home = keep("HOME");
  setenv("XDG_CACHE_HOME", "/cache", 1);
  EXPECT_EQ(choices_path("NVIDIA H200", "130000"), "/cache/mica/cublaslt-NVIDIA-H200-130000.json");
  unsetenv("XDG_CACHE_HOME");
  setenv("HOME", "/someone", 1);
  EXPECT_EQ(choices_path("../a", "1"), "/someone/.cache/mica/cublaslt----a-1.json");
  unsetenv("HOME");
  EXPECT_EQ(choices_path("NVIDIA H200", "1"), "");
  put_back("XDG_CACHE_HOME", cache);
  put_back("HOME", home);
}

}  // namespace
}  // namespace mica::cuda
