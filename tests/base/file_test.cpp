#include "mica/base/file.h"

#include <filesystem>

#include <gtest/gtest.h>
#include <unistd.h>

#include "mica/base/error.h"

namespace mica {
namespace {

std::string scratch(const std::string& name) {
  const std::string folder = ::testing::TempDir() + "mica_file_test_" + std::to_string(::getpid());
  make_directories(folder);
  return join_path(folder, name);
}

TEST(File, WritesWholeOrNotAtAll) {
  const std::string path = scratch("a.txt");
  write_file_atomically(path, "one");
  EXPECT_EQ(read_file(path), "one");
  EXPECT_THROW(write_file_atomically(path,
                                     [](const auto& sink) {
                                       sink(std::as_bytes(std::span("half", 4)));
                                       throw Error("the writer fails", "", "");
                                     }),
               Error);
  EXPECT_EQ(read_file(path), "one");
  size_t files = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(path).parent_path()))
    ++files;
  EXPECT_EQ(files, 1U) << "a partial file was left behind";
}

TEST(File, AFolderThatCannotBeWrittenIsAnError) {
  EXPECT_THROW(write_file_atomically("/proc/self/no-such-file", "x"), Error);
}

TEST(File, MapsPrivately) {
  const std::string path = scratch("b.bin");
  write_file_atomically(path, "abc");
  const auto file = MappedFile::open(path);
  ASSERT_EQ(file->size(), 3);
  file->data()[0] = std::byte{'z'};
  EXPECT_EQ(read_file(path), "abc");
}

TEST(File, RefusesWhatIsNoFile) {
  EXPECT_THROW(MappedFile::open("/nowhere/at/all"), Error);
  EXPECT_THROW(read_file("/"), Error);
  EXPECT_THROW(read_file(scratch("missing")), Error);
}

TEST(File, KnowsPlainNames) {
  EXPECT_TRUE(is_plain_file_name("model.safetensors"));
  for (const char* name : {"", ".", "..", "../a", "/a", "a/b", "a\\b"}) EXPECT_FALSE(is_plain_file_name(name)) << name;
}

}  // namespace
}  // namespace mica
