#include "mica/base/image.h"

#include <array>
#include <bit>
#include <cstdlib>
#include <system_error>

#include <sys/stat.h>

#include "mica/base/error.h"
#include "mica/base/file.h"

namespace mica {
namespace {

// Raise it whenever a table that is kept in images changes its meaning or its layout.
constexpr uint64_t kFormat = 1;
constexpr uint64_t kMagic = 0x6567616d6961636dU;  // "mcaimage" on the machines that read it right
constexpr size_t kLongestPath = 4096;

struct Header {
  uint64_t magic = kMagic;
  uint64_t format = kFormat;
  uint64_t checksum = 0;  // of everything after the header
  uint64_t bytes = 0;     // after the header
  int64_t source_size = 0, source_modified_ns = 0;
  uint64_t source_path = 0;  // its checksum
  uint64_t reserved = 0;
};
static_assert(sizeof(Header) == 64);

struct Section {
  uint64_t bytes, item;
};

// Eight chains side by side, so that the multiplications overlap: faster than memory delivers.
uint64_t checksum(std::string_view data) {
  constexpr uint64_t k = 0x9e3779b97f4a7c15U;
  std::array<uint64_t, 8> chains{1, 2, 3, 4, 5, 6, 7, 8};
  size_t at = 0;
  for (; at + 64 <= data.size(); at += 64) {
    for (size_t i = 0; i < 8; ++i) {
      uint64_t word = 0;
      std::memcpy(&word, data.data() + at + 8 * i, 8);
      chains[i] = std::rotl((chains[i] ^ word) * k, 29);
    }
  }
  std::array<char, 64> tail{};
  std::memcpy(tail.data(), data.data() + at, data.size() - at);
  uint64_t sum = data.size();
  for (size_t i = 0; i < 8; ++i) {
    uint64_t word = 0;
    std::memcpy(&word, tail.data() + 8 * i, 8);
    sum = std::rotl((sum ^ std::rotl((chains[i] ^ word) * k, 29)) * k, 31);
  }
  return sum ^ sum >> 32;
}

size_t padded(size_t bytes) {
  return (bytes + 63) / 64 * 64;
}

}  // namespace

std::optional<ImageSource> ImageSource::of(const std::string& path) {
  struct stat found {};
  if (path.size() > kLongestPath || ::stat(path.c_str(), &found) != 0 || !S_ISREG(found.st_mode)) return std::nullopt;
  std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr), &std::free);
  ImageSource source;
  source.path = real ? real.get() : path;
  source.size = found.st_size;
  source.modified_ns = int64_t{found.st_mtim.tv_sec} * 1'000'000'000 + found.st_mtim.tv_nsec;
  return source;
}

void ImageWriter::add_bytes(const void* data, size_t bytes, size_t item) {
  const Section section{bytes, item};
  const size_t at = body_.size();
  body_.resize(at + kAlignment + padded(bytes));
  std::memcpy(body_.data() + at, &section, sizeof(section));
  if (bytes > 0) std::memcpy(body_.data() + at + kAlignment, data, bytes);
}

void ImageWriter::write(const std::string& path, const ImageSource& source) const {
  Header header;
  header.bytes = body_.size();
  header.checksum = checksum({body_.data(), body_.size()});
  header.source_size = source.size;
  header.source_modified_ns = source.modified_ns;
  header.source_path = checksum(source.path);
  write_file_atomically(path, [&](const std::function<void(std::span<const std::byte>)>& sink) {
    sink(std::as_bytes(std::span(&header, 1)));
    sink(std::as_bytes(std::span(body_)));
  });
}

std::optional<ImageReader> ImageReader::open(const std::string& path, const ImageSource& source) {
  try {
    if (!file_exists(path)) return std::nullopt;
    const std::shared_ptr<MappedFile> file = MappedFile::open(path);
    const std::string_view all(reinterpret_cast<const char*>(file->data()), static_cast<size_t>(file->size()));
    if (all.size() < sizeof(Header)) return std::nullopt;
    Header header;
    std::memcpy(&header, all.data(), sizeof(header));
    const std::string_view body = all.substr(sizeof(Header));
    if (header.magic != kMagic || header.format != kFormat || header.bytes != body.size() ||
        header.source_size != source.size || header.source_modified_ns != source.modified_ns ||
        header.source_path != checksum(source.path) || header.reserved != 0 || header.checksum != checksum(body)) {
      return std::nullopt;
    }
    ImageReader reader;
    reader.keep_ = file;
    reader.rest_ = body;
    return reader;
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::string_view ImageReader::take_bytes(size_t item) {
  Section section{};
  if (rest_.size() < ImageWriter::kAlignment) wrong_section();
  std::memcpy(&section, rest_.data(), sizeof(section));
  const std::string_view after = rest_.substr(ImageWriter::kAlignment);
  if (section.item != item || section.bytes > after.size() || padded(section.bytes) > after.size() ||
      section.bytes % item != 0) {
    wrong_section();
  }
  rest_ = after.substr(padded(section.bytes));
  return after.substr(0, section.bytes);
}

void ImageReader::wrong_section() {
  throw Error("the next section is another", "image", "remove the cache file");
}

std::optional<std::string> image_path(const ImageSource& source, std::string_view kind) {
  std::string folder;
  if (const char* own = std::getenv("MICA_CACHE_DIR")) {
    folder = own;
  } else if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != '\0') {
    folder = join_path(cache, "mica");
  } else if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') {
    folder = join_path(home, ".cache/mica");
  }
  if (folder.empty()) return std::nullopt;
  constexpr char digits[] = "0123456789abcdef";
  std::string name;
  for (uint64_t sum = checksum(source.path); name.size() < 16; sum >>= 4) name += digits[sum & 15];
  return join_path(folder, std::string(kind) + "-" + name + ".image");
}

}  // namespace mica
