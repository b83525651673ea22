// Stands in for libFuzzer where there is none: replays files and a fixed number of mutations of each.
//
//   NAME_fuzz FOLDER_OR_FILE... [--mutations N] [--seed N]
//
// While an input runs it is kept in NAME_fuzz.input in the working folder, so after a crash, a sanitizer's report or a
// time-out that file is the culprit: `NAME_fuzz NAME_fuzz.input` runs it alone. Add it to the corpus when it is mended.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "mica/tests/fuzz/mutate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

// Read by AddressSanitizer where that is linked: an allocation without bound is a failure, not a slow success.
extern "C" const char* __asan_default_options() {  // NOLINT(bugprone-reserved-identifier): the sanitizer's name
  return "max_allocation_size_mb=256";
}

namespace {

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

class Runner {
 public:
  explicit Runner(std::string program)
      : path_(std::filesystem::path(std::move(program)).filename().string() + ".input") {}
  ~Runner() {
    if (fd_ >= 0) ::close(fd_);
  }
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  void run(const std::string& input) {
    keep(input);
    // A block of exactly this size, so that a sanitizer sees a read past its end.
    const std::vector<uint8_t> bytes(input.begin(), input.end());
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    ++count_;
  }
  void finish() const {
    std::filesystem::remove(path_);
    std::printf("%zu inputs\n", count_);
  }
  const std::string& path() const { return path_; }

 private:
  void keep(const std::string& input) {
    if (fd_ < 0) fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (::ftruncate(fd_, static_cast<off_t>(input.size())) != 0 ||
        ::pwrite(fd_, input.data(), input.size(), 0) != static_cast<ssize_t>(input.size())) {
      std::fprintf(stderr, "cannot keep the input in %s\n", path_.c_str());
    }
  }

  std::string path_;
  int fd_ = -1;
  size_t count_ = 0;
};

int replay(const std::vector<std::string>& arguments) {
  size_t mutations = 0;
  uint64_t seed = 1;
  std::vector<std::filesystem::path> files;
  for (size_t i = 1; i < arguments.size(); ++i) {
    if (arguments[i] == "--mutations" && i + 1 < arguments.size()) {
      mutations = std::stoul(arguments[++i]);
    } else if (arguments[i] == "--seed" && i + 1 < arguments.size()) {
      seed = std::stoull(arguments[++i]);
    } else if (std::filesystem::is_directory(arguments[i])) {
      for (const auto& entry : std::filesystem::directory_iterator(arguments[i])) files.push_back(entry.path());
    } else {
      files.emplace_back(arguments[i]);
    }
  }
  if (files.empty()) {
    std::fprintf(stderr, "no input files: name the corpus folder\n");
    return 2;
  }
  std::sort(files.begin(), files.end());
  std::vector<std::string> corpus;
  std::transform(files.begin(), files.end(), std::back_inserter(corpus), read);

  Runner runner(arguments[0]);
  std::fprintf(stderr, "after a failure, %s is the input that made it\n", runner.path().c_str());
  runner.run("");
  for (const std::string& input : corpus) runner.run(input);
  for (size_t i = 0; i < corpus.size(); ++i) {
    // Each file has numbers of its own, so that a new file does not change what the others become.
    const std::string name = files[i].filename().string();
    std::seed_seq mixed(name.begin(), name.end());
    mica::fuzz::Random random(mixed);
    random.discard(seed);
    for (size_t k = 0; k < mutations; ++k) runner.run(mica::fuzz::mutate(corpus[i], corpus, random));
  }
  runner.finish();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return replay({argv, argv + argc});
}
