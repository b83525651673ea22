#pragma once
// Files: mapped reading, bounded reading, and writing that never leaves half a file behind.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mica {

/// A file mapped into memory for the lifetime of the object. The mapping is private: writes through `data()` stay in
/// this process (copy on write) and never reach the file.
class MappedFile {
 public:
  /// Throws Error when the path is no readable regular file. An empty file maps to an empty span.
  static std::shared_ptr<MappedFile> open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::byte* data() const { return data_; }
  int64_t size() const { return size_; }
  const std::string& path() const { return path_; }

  /// Tells the system that these bytes will not be read again soon, so that their pages need not stay resident. Pages
  /// that were written to are left alone only if the caller never wrote: call it on untouched ranges.
  void release(int64_t offset, int64_t length) const;

 private:
  MappedFile(std::string path, std::byte* data, int64_t size);
  std::string path_;
  std::byte* data_ = nullptr;
  int64_t size_ = 0;
};

bool file_exists(const std::string& path);
bool directory_exists(const std::string& path);

/// The whole file as a string; throws when it is missing, no regular file, or larger than `max_bytes`.
std::string read_file(const std::string& path, int64_t max_bytes = int64_t{1} << 30);

/// Receives a sink to which the content is written in pieces.
using FileWriter = std::function<void(const std::function<void(std::span<const std::byte>)>& sink)>;

/// Writes beside the target, syncs, and renames: the target is either the old file or the whole new one, also when the
/// disk fills up or the process dies half-way. Throws Error and removes the partial file on failure.
void write_file_atomically(const std::string& path, const FileWriter& writer);
void write_file_atomically(const std::string& path, std::string_view content);

/// A file that grows: each append() is in the file when it returns. Throws Error when that fails.
class GrowingFile {
 public:
  /// Opens it for appending, made anew where `fresh` or missing.
  GrowingFile(std::string path, bool fresh);
  ~GrowingFile();
  GrowingFile(const GrowingFile&) = delete;
  GrowingFile& operator=(const GrowingFile&) = delete;
  void append(std::string_view bytes) const;

 private:
  std::string path_;
  int fd_;
};

/// Renames a folder that was written as a whole, its files synced first: `to`, which must not exist, appears complete
/// or not at all.
void publish_directory(const std::string& from, const std::string& to);
/// Removes a folder and all that is in it; nothing where there is none.
void remove_directory(const std::string& path);
/// Names of what is in a folder, sorted; empty where there is none.
std::vector<std::string> list_directory(const std::string& path);

/// Makes the directory and its parents; throws when that is not possible.
void make_directories(const std::string& path);

/// "folder" + "name" with one slash between.
std::string join_path(std::string_view folder, std::string_view name);

/// True for a plain file name: not empty, no slash, not "." or "..", no NUL. Names inside published files (shards of an
/// index, modules.json) must be plain, so that a hostile folder cannot reach outside itself.
bool is_plain_file_name(std::string_view name);

}  // namespace mica
