#pragma once
// What several tokenizer tests share: the packed data, unpacked into a scratch folder.

#include <atomic>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <unistd.h>
#include <zlib.h>

#include "mica/base/json.h"

namespace mica::test {

inline std::string read_gz(const std::string& path) {
  gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr) throw std::runtime_error("cannot open " + path);
  std::string all;
  std::vector<char> buffer(1 << 16);
  for (int n = 0; (n = gzread(file, buffer.data(), static_cast<unsigned>(buffer.size()))) > 0;) {
    all.append(buffer.data(), static_cast<size_t>(n));
  }
  gzclose(file);
  return all;
}

inline std::string data_folder(const std::string& tokenizer) {
  return std::string(MICA_SOURCE_DIR) + "/tests/tokenizers/data/" + tokenizer;
}

/// A folder that goes away with the object.
class ScratchFolder {
 public:
  ScratchFolder() {
    static std::atomic<int> counter{0};
    path_ = std::filesystem::temp_directory_path() /
            ("mica-tokenizers-" + std::to_string(::getpid()) + "-" + std::to_string(counter++));
    std::filesystem::create_directories(path_);
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  std::string path() const { return path_.string(); }
  std::string file(const std::string& name) const { return (path_ / name).string(); }
  void write(const std::string& name, std::string_view content) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(file(name), std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
  }

 private:
  std::filesystem::path path_;
};

/// Unpacks the named files of a tokenizer ("vocab.txt", "tokenizer.json", "tokenizer_config.json") into a folder.
inline void unpack(const std::string& tokenizer, const ScratchFolder& folder, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const std::string packed = data_folder(tokenizer) + "/" + name;
    folder.write(name, read_gz(std::filesystem::exists(packed + ".gz") ? packed + ".gz" : packed));
  }
}

/// The lines of a packed file, each a JSON value.
inline std::vector<Json> lines_of_file(const std::string& path) {
  std::vector<Json> lines;
  const std::string text = read_gz(path);
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(Json::parse(text.substr(at, end - at)));
    at = end + 1;
  }
  return lines;
}

/// Those of a file under data/.
inline std::vector<Json> json_lines(const std::string& file) {
  return lines_of_file(data_folder(file));
}

inline std::vector<Json> expected_cases(const std::string& tokenizer) {
  return json_lines(tokenizer + "/expected.jsonl.gz");
}

}  // namespace mica::test
