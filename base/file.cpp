#include "mica/base/file.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mica/base/error.h"

namespace mica {
namespace {

// Owns a descriptor, so that every early exit closes it.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

std::string system_message(int code) {
  return std::error_code(code, std::generic_category()).message();
}

// Opens for reading and checks that it is a regular file (a directory or device would hang or surprise the caller).
Descriptor open_regular(const std::string& path, int64_t* size) {
  Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) {
    throw Error("cannot open file: " + system_message(errno), printable(path, 400),
                "check the path and its permissions");
  }
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    throw Error("not a regular file", printable(path, 400), "name a file, not a directory or device");
  }
  *size = info.st_size;
  return fd;
}

[[noreturn]] void write_failed(const std::string& path, int code) {
  throw Error("cannot write file: " + system_message(code), printable(path, 400),
              "check free space and permissions; the previous file, if any, is untouched");
}

// A rename reaches the disk with the directory; failing to sync it loses no data, only its date.
void sync_directory(const std::string& path) {
  const Descriptor directory(::open(path.empty() ? "." : path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() >= 0) ::fsync(directory.get());
}

}  // namespace

MappedFile::MappedFile(std::string path, std::byte* data, int64_t size)
    : path_(std::move(path)), data_(data), size_(size) {}

std::shared_ptr<MappedFile> MappedFile::open(const std::string& path) {
  int64_t size = 0;
  const Descriptor fd = open_regular(path, &size);
  std::byte* data = nullptr;
  if (size > 0) {
    void* mapped = ::mmap(nullptr, static_cast<size_t>(size), PROT_READ | PROT_WRITE, MAP_PRIVATE, fd.get(), 0);
    if (mapped == MAP_FAILED) {
      throw Error("cannot map file: " + system_message(errno), printable(path, 400),
                  "free some address space or memory");
    }
    data = static_cast<std::byte*>(mapped);
  }
  return std::shared_ptr<MappedFile>(new MappedFile(path, data, size));
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(data_, static_cast<size_t>(size_));
}

void MappedFile::release(int64_t offset, int64_t length) const {
  const int64_t page = ::sysconf(_SC_PAGESIZE);
  const int64_t begin = (offset + page - 1) / page * page;
  const int64_t end = (offset + length) / page * page;
  if (data_ != nullptr && begin >= 0 && end <= size_ && begin < end) {
    ::madvise(data_ + begin, static_cast<size_t>(end - begin), MADV_DONTNEED);
  }
}

bool file_exists(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

bool directory_exists(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

std::string read_file(const std::string& path, int64_t max_bytes) {
  int64_t size = 0;
  const Descriptor fd = open_regular(path, &size);
  if (size > max_bytes) {
    throw Error("file is too large: " + std::to_string(size) + " bytes", printable(path, 400),
                "at most " + std::to_string(max_bytes) + " bytes are read here");
  }
  std::string content(static_cast<size_t>(size), '\0');
  size_t done = 0;
  while (done < content.size()) {
    const ssize_t n = ::read(fd.get(), content.data() + done, content.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw Error("cannot read file: " + system_message(errno), printable(path, 400), "check the disk");
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  content.resize(done);
  return content;
}

void write_file_atomically(const std::string& path, const FileWriter& writer) {
  static std::atomic<uint64_t> counter{0};
  const std::string partial = path + ".partial-" + std::to_string(::getpid()) + "-" + std::to_string(counter++);
  Descriptor fd(::open(partial.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (fd.get() < 0) write_failed(path, errno);
  try {
    writer([&](std::span<const std::byte> bytes) {
      while (!bytes.empty()) {
        const ssize_t n = ::write(fd.get(), bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) write_failed(path, errno);
        bytes = bytes.subspan(static_cast<size_t>(n));
      }
    });
    if (::fsync(fd.get()) != 0) write_failed(path, errno);
    if (::close(fd.release()) != 0) write_failed(path, errno);
    if (::rename(partial.c_str(), path.c_str()) != 0) write_failed(path, errno);
  } catch (...) {
    ::unlink(partial.c_str());
    throw;
  }
  sync_directory(std::filesystem::path(path).parent_path().string());
}

void write_file_atomically(const std::string& path, std::string_view content) {
  write_file_atomically(path, [&](const auto& sink) { sink(std::as_bytes(std::span(content))); });
}

void make_directories(const std::string& path) {
  std::error_code code;
  std::filesystem::create_directories(path, code);
  if (code || !directory_exists(path)) {
    throw Error("cannot make directory: " + (code ? code.message() : "a file is in the way"), printable(path, 400),
                "choose a folder that can be written");
  }
}

GrowingFile::GrowingFile(std::string path, bool fresh)
    : path_(std::move(path)),
      fd_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (fresh ? O_TRUNC : 0), 0644)) {
  if (fd_ < 0) write_failed(path_, errno);
}

GrowingFile::~GrowingFile() {
  ::close(fd_);
}

void GrowingFile::append(std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) write_failed(path_, errno);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

void publish_directory(const std::string& from, const std::string& to) {
  sync_directory(from);
  if (::rename(from.c_str(), to.c_str()) != 0) write_failed(to, errno);
  sync_directory(std::filesystem::path(to).parent_path().string());
}

void remove_directory(const std::string& path) {
  std::error_code code;
  std::filesystem::remove_all(path, code);
  if (code) throw Error("cannot remove folder: " + code.message(), printable(path, 400), "check its permissions");
}

std::vector<std::string> list_directory(const std::string& path) {
  std::vector<std::string> names;
  std::error_code code;
  for (std::filesystem::directory_iterator at(path, code), end; !code && at != end; at.increment(code)) {
    names.push_back(at->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string join_path(std::string_view folder, std::string_view name) {
  std::string path(folder);
  if (!path.empty() && path.back() != '/') path += '/';
  path += name;
  return path;
}

bool is_plain_file_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos &&
         name.find('\\') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

}  // namespace mica
