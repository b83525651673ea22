#pragma once
// Tables in a file as they lie in memory: written once, mapped later, used without being read.
//
// For caches of what takes long to make. An image is good for one source (see ImageSource) and one version of this
// library on one kind of machine; any other, and any damage, counts as no image at all. What it holds is trusted once
// its checksum fits: images belong where only the user writes.

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "mica/base/table.h"

namespace mica {

/// What an image was made from: a file as it was then.
struct ImageSource {
  std::string path;
  int64_t size = 0;
  int64_t modified_ns = 0;  ///< since 1970
  /// Nothing when there is no such file.
  static std::optional<ImageSource> of(const std::string& path);
};

/// Collects sections, each an array, in the order in which they will be read.
class ImageWriter {
 public:
  template <typename T>
  void add(std::span<const T> values) {
    static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= kAlignment);
    add_bytes(values.data(), values.size_bytes(), sizeof(T));
  }
  template <typename T>
  void add(const Table<T>& table) {
    add(std::span<const T>(table.data(), table.size()));
  }
  void add_text(std::string_view text) { add_bytes(text.data(), text.size(), 1); }
  template <typename T>
  void add_value(const T& value) {
    add(std::span<const T>(&value, 1));
  }

  /// Writes the image atomically; throws Error.
  void write(const std::string& path, const ImageSource& source) const;

 private:
  friend class ImageReader;
  static constexpr size_t kAlignment = 64;
  void add_bytes(const void* data, size_t bytes, size_t item);
  std::vector<char> body_;
};

/// Hands the sections out in the order in which they were added.
class ImageReader {
 public:
  /// Nothing unless the file is an undamaged image of this source, written by this version.
  static std::optional<ImageReader> open(const std::string& path, const ImageSource& source);

  /// Throws Error where the next section holds no such items.
  template <typename T>
  Table<T> take() {
    static_assert(std::is_trivially_copyable_v<T>);
    const std::string_view bytes = take_bytes(sizeof(T));
    return {std::span<const T>(reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)), keep_};
  }
  std::string_view take_text() { return take_bytes(1); }
  template <typename T>
  T take_value() {
    const Table<T> table = take<T>();
    if (table.size() != 1) wrong_section();
    return table[0];
  }
  const std::shared_ptr<const void>& keep() const { return keep_; }

 private:
  std::string_view take_bytes(size_t item);
  [[noreturn]] static void wrong_section();

  std::shared_ptr<const void> keep_;
  std::string_view rest_;
};

/// Where images of this kind are kept: MICA_CACHE_DIR, or mica/ in the user's cache folder (XDG_CACHE_HOME, ~/.cache).
/// Nothing when there is no such folder, or MICA_CACHE_DIR is empty.
std::optional<std::string> image_path(const ImageSource& source, std::string_view kind);

}  // namespace mica
