#include "mica/base/image.h"

#include <cstdlib>

#include <gtest/gtest.h>
#include <unistd.h>

#include "mica/base/error.h"
#include "mica/base/file.h"

namespace mica {
namespace {

struct Entry {
  uint32_t begin, length;
  int32_t id;
  friend bool operator==(const Entry&, const Entry&) = default;
};

class Image : public ::testing::Test {
 protected:
  void SetUp() override {
    source_path_ = ::testing::TempDir() + "mica_image_source_" + std::to_string(::getpid());
    path_ = source_path_ + ".image";
    write_file_atomically(source_path_, "source");
    ImageWriter writer;
    writer.add(std::span<const Entry>(entries_));
    writer.add_text("some text");
    writer.add_text("");
    writer.add_value(uint64_t{7});
    writer.add(Table<double>(std::vector<double>(1000, 0.5)));
    writer.write(path_, source());
  }
  void TearDown() override {
    ::unlink(path_.c_str());
    ::unlink(source_path_.c_str());
  }
  ImageSource source() const { return *ImageSource::of(source_path_); }

  const std::vector<Entry> entries_ = {{1, 2, 3}, {4, 5, -6}};
  std::string source_path_, path_;
};

TEST_F(Image, HoldsWhatWasWritten) {
  Table<double> last;
  {
    auto reader = ImageReader::open(path_, source());
    ASSERT_TRUE(reader);
    const Table<Entry> entries = reader->take<Entry>();
    EXPECT_EQ(std::vector<Entry>(entries.begin(), entries.end()), entries_);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(entries.data()) % 64, 0u);
    EXPECT_EQ(reader->take_text(), "some text");
    EXPECT_EQ(reader->take_text(), "");
    EXPECT_EQ(reader->take_value<uint64_t>(), 7u);
    last = reader->take<double>();
    EXPECT_THROW(reader->take<double>(), Error);
  }
  EXPECT_EQ(last.size(), 1000u);  // the table keeps the mapping
  EXPECT_EQ(last[999], 0.5);
}

TEST_F(Image, RefusesSectionsOfAnotherKind) {
  auto reader = ImageReader::open(path_, source());
  ASSERT_TRUE(reader);
  EXPECT_THROW(reader->take<uint64_t>(), Error);
}

TEST_F(Image, IsGoodForItsSourceAlone) {
  ImageSource other = source();
  other.modified_ns += 1;
  EXPECT_FALSE(ImageReader::open(path_, other));
  other = source();
  other.size = 1;
  EXPECT_FALSE(ImageReader::open(path_, other));
  other = source();
  other.path += "x";
  EXPECT_FALSE(ImageReader::open(path_, other));
  EXPECT_FALSE(ImageReader::open(path_ + "-none", source()));
  EXPECT_FALSE(ImageSource::of(path_ + "-none"));
}

TEST_F(Image, AnyDamageCountsAsNoImage) {
  const std::string good = read_file(path_);
  for (size_t at = 0; at < good.size(); at += at < 64 ? 3 : 397) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 16);
    write_file_atomically(path_, bad);
    EXPECT_FALSE(ImageReader::open(path_, source())) << at;
  }
  for (const size_t size : {size_t{0}, size_t{10}, size_t{64}, good.size() - 1}) {
    write_file_atomically(path_, good.substr(0, size));
    EXPECT_FALSE(ImageReader::open(path_, source())) << size;
  }
}

TEST(ImagePath, FollowsTheUsersWish) {
  const ImageSource source{"/a/b", 1, 2};
  ::setenv("MICA_CACHE_DIR", "/somewhere", 1);
  const auto path = image_path(source, "tokenizer");
  ASSERT_TRUE(path);
  EXPECT_EQ(path->rfind("/somewhere/tokenizer-", 0), 0u);
  EXPECT_NE(path, image_path({"/a/c", 1, 2}, "tokenizer"));
  ::setenv("MICA_CACHE_DIR", "", 1);
  EXPECT_FALSE(image_path(source, "tokenizer"));
  ::unsetenv("MICA_CACHE_DIR");
}

}  // namespace
}  // namespace mica
