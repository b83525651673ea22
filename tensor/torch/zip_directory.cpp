#include "mica/tensor/torch/zip_directory.h"

#include <algorithm>
#include <cstring>

#include "mica/base/error.h"

namespace mica::torch {
namespace {

constexpr const char* kFetchAgain = "the file is damaged or cut short: fetch it again";

// Sizes of the fixed parts of the records.
constexpr int64_t kEnd = 22, kEnd64 = 56, kLocator64 = 20, kCentral = 46, kLocal = 30;
constexpr int64_t kMaxComment = 0xffff;
constexpr uint32_t kEndSign = 0x06054b50, kEnd64Sign = 0x06064b50, kLocator64Sign = 0x07064b50;
constexpr uint32_t kCentralSign = 0x02014b50, kLocalSign = 0x04034b50;
constexpr uint64_t kIn64 = 0xffffffff;  // "see the 64-bit extension"

class Reader {
 public:
  Reader(std::span<const std::byte> archive, const std::string& where)
      : archive_(archive), size_(static_cast<int64_t>(archive.size())), where_(where) {}

  std::vector<ZipEntry> read() {
    const int64_t end = find_end();
    read_end(end);
    std::vector<Found> found;
    found.reserve(static_cast<size_t>(count_));
    int64_t at = begin_;
    for (int64_t i = 0; i < count_; ++i) found.push_back(read_central(&at));
    if (at != begin_ + length_) fail("directory of the archive is longer than its entries");
    check_overlap(found);
    std::vector<ZipEntry> entries;
    entries.reserve(found.size());
    std::transform(found.begin(), found.end(), std::back_inserter(entries),
                   [](const Found& each) { return each.entry; });
    return entries;
  }

 private:
  struct Found {
    ZipEntry entry;
    int64_t header = 0;  // where its local header begins
  };

  [[noreturn]] void fail(const std::string& problem, const char* mend = kFetchAgain) const {
    throw Error(problem, printable(where_, 400), mend);
  }
  [[noreturn]] void fail(std::string_view entry, const std::string& problem, const char* mend = kFetchAgain) const {
    throw Error(problem, printable(where_, 400) + ", entry \"" + printable(entry) + "\"", mend);
  }

  // Little-endian; whoever asks has checked that the bytes are there.
  template <typename T>
  T at(int64_t offset) const {
    T value{};
    std::memcpy(&value, archive_.data() + offset, sizeof(T));
    return value;
  }
  bool holds(int64_t offset, int64_t bytes, int64_t end) const {
    return offset >= 0 && bytes <= end && offset <= end - bytes;
  }

  // The last record: it ends, with its comment, where the file ends.
  int64_t find_end() const {
    for (int64_t i = size_ - kEnd; i >= 0 && i >= size_ - kEnd - kMaxComment; --i) {
      if (at<uint32_t>(i) == kEndSign && i + kEnd + at<uint16_t>(i + 20) == size_) return i;
    }
    fail("archive has no directory at its end");
  }

  // Sets where the directory is, and how many entries it has.
  void read_end(int64_t end) {
    if (at<uint16_t>(end + 4) != 0 || at<uint16_t>(end + 6) != 0 || at<uint16_t>(end + 8) != at<uint16_t>(end + 10)) {
      fail("archive in several parts");
    }
    const uint64_t count = at<uint16_t>(end + 10);
    const uint64_t length = at<uint32_t>(end + 12);
    const uint64_t begin = at<uint32_t>(end + 16);
    int64_t directory_end = end;
    uint64_t count64 = count, length64 = length, begin64 = begin;
    const int64_t locator = end - kLocator64;
    if (locator >= 0 && at<uint32_t>(locator) == kLocator64Sign) {
      const auto record = static_cast<int64_t>(at<uint64_t>(locator + 8));
      if (!holds(record, kEnd64, locator) || at<uint32_t>(record) != kEnd64Sign)
        fail("64-bit end record is not where it is said to be");
      if (at<uint32_t>(record + 16) != 0 || at<uint32_t>(record + 20) != 0) fail("archive in several parts");
      count64 = at<uint64_t>(record + 32);
      length64 = at<uint64_t>(record + 40);
      begin64 = at<uint64_t>(record + 48);
      directory_end = record;
    }
    if ((count != 0xffff && count != count64) || (length != kIn64 && length != length64) ||
        (begin != kIn64 && begin != begin64)) {
      fail("archive has two directories");
    }
    const auto room = static_cast<uint64_t>(directory_end);
    if (begin64 > room || length64 != room - begin64) fail("directory of the archive is not where it is said to be");
    if (count64 > length64 / kCentral) fail("directory of the archive is shorter than its entries");
    begin_ = static_cast<int64_t>(begin64);
    length_ = static_cast<int64_t>(length64);
    count_ = static_cast<int64_t>(count64);
  }

  Found read_central(int64_t* next) const {
    const int64_t record = *next;
    const int64_t end = begin_ + length_;
    if (!holds(record, kCentral, end) || at<uint32_t>(record) != kCentralSign)
      fail("entry of the directory is damaged");
    const int64_t name_length = at<uint16_t>(record + 28);
    const int64_t extra_length = at<uint16_t>(record + 30);
    const int64_t comment_length = at<uint16_t>(record + 32);
    if (!holds(record + kCentral, name_length + extra_length + comment_length, end))
      fail("entry of the directory is cut short");
    *next = record + kCentral + name_length + extra_length + comment_length;

    Found found;
    found.entry.name = text(record + kCentral, name_length);
    const std::string_view name = found.entry.name;
    if ((at<uint16_t>(record + 8) & 0x2041U) != 0)
      fail(name, "entry is encrypted", "save the weights without a password");
    if (at<uint16_t>(record + 10) != 0) {
      fail(name, "entry is compressed", "unpack the archive and zip it again without compression (zip -0 -r)");
    }
    uint64_t stored = at<uint32_t>(record + 20);
    uint64_t size = at<uint32_t>(record + 24);
    uint64_t header = at<uint32_t>(record + 42);
    read_extension(record + kCentral + name_length, extra_length, name, {&size, &stored, &header});
    if (stored != size) fail(name, "sizes of the entry differ although it is not compressed");
    locate(&found, header, size);
    return found;
  }

  std::string_view text(int64_t offset, int64_t length) const {
    return {reinterpret_cast<const char*>(archive_.data()) + offset, static_cast<size_t>(length)};
  }

  // The 64-bit extension holds those of the fields, in this order, that say so.
  void read_extension(int64_t at_byte, int64_t length, std::string_view name,
                      std::initializer_list<uint64_t*> fields) const {
    const int64_t end = at_byte + length;
    const auto wanted = [](const uint64_t* field) { return *field == kIn64; };
    if (std::none_of(fields.begin(), fields.end(), wanted)) return;
    while (holds(at_byte, 4, end)) {
      const auto id = at<uint16_t>(at_byte);
      const int64_t bytes = at<uint16_t>(at_byte + 2);
      at_byte += 4;
      if (!holds(at_byte, bytes, end)) break;
      if (id == 1) {
        const int64_t field_end = at_byte + bytes;
        for (uint64_t* const field : fields) {
          if (!wanted(field)) continue;
          if (!holds(at_byte, 8, field_end)) fail(name, "64-bit extension of the entry is too short");
          *field = at<uint64_t>(at_byte);
          at_byte += 8;
        }
        return;
      }
      at_byte += bytes;
    }
    fail(name, "entry lacks its 64-bit extension");
  }

  // Where the content begins, by the local header, which repeats the name.
  void locate(Found* found, uint64_t header, uint64_t size) const {
    const std::string_view name = found->entry.name;
    if (header > static_cast<uint64_t>(begin_) || !holds(static_cast<int64_t>(header), kLocal, begin_)) {
      fail(name, "entry begins after the end of the archive's contents");
    }
    found->header = static_cast<int64_t>(header);
    if (at<uint32_t>(found->header) != kLocalSign) fail(name, "entry is not where the directory says");
    const int64_t name_length = at<uint16_t>(found->header + 26);
    const int64_t extra_length = at<uint16_t>(found->header + 28);
    const int64_t content = found->header + kLocal + name_length + extra_length;
    if (content > begin_) fail(name, "entry begins after the end of the archive's contents");
    if (text(found->header + kLocal, name_length) != name || at<uint16_t>(found->header + 8) != 0) {
      fail(name, "entry and directory disagree");
    }
    if (size > static_cast<uint64_t>(begin_ - content))
      fail(name, "entry reaches beyond the end of the archive's contents");
    found->entry.offset = content;
    found->entry.size = static_cast<int64_t>(size);
  }

  void check_overlap(std::vector<Found>& found) const {
    std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) { return a.header < b.header; });
    for (size_t i = 1; i < found.size(); ++i) {
      if (found[i].header < found[i - 1].entry.offset + found[i - 1].entry.size) {
        fail(found[i].entry.name, "entry overlaps \"" + printable(found[i - 1].entry.name) + "\"");
      }
    }
    std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) { return a.entry.name < b.entry.name; });
    const auto twice = std::adjacent_find(found.begin(), found.end(),
                                          [](const Found& a, const Found& b) { return a.entry.name == b.entry.name; });
    if (twice != found.end()) fail(twice->entry.name, "entry occurs twice");
  }

  std::span<const std::byte> archive_;
  int64_t size_;
  const std::string& where_;
  int64_t begin_ = 0, length_ = 0, count_ = 0;  // of the directory
};

}  // namespace

ZipDirectory::ZipDirectory(std::span<const std::byte> archive, const std::string& where)
    : entries_(Reader(archive, where).read()) {}

const ZipEntry* ZipDirectory::find(std::string_view name) const {
  const auto it = std::lower_bound(entries_.begin(), entries_.end(), name,
                                   [](const ZipEntry& entry, std::string_view wanted) { return entry.name < wanted; });
  return it == entries_.end() || it->name != name ? nullptr : &*it;
}

}  // namespace mica::torch
