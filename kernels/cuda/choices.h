#pragma once
// What was measured to be the fastest, kept in the user's cache folder so that it is measured once and is the same in
// the next run.

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace mica::cuda {

/// $XDG_CACHE_HOME/mica/cublaslt-<device>-<version>.json, else under ~/.cache; empty where neither is set. Letters and
/// digits of the device's name stay as they are.
std::string choices_path(const std::string& device_name, const std::string& library_version);

/// By a key that says what was chosen for; a choice is 64 bytes that only the library understands that gave them.
class Choices {
 public:
  using Choice = std::array<uint64_t, 8>;
  /// Reads the file. One that is missing, or not as add() writes it, counts as empty. An empty path keeps nothing.
  explicit Choices(std::string path);
  std::optional<Choice> find(const std::string& key) const;
  /// Kept in the file together with what other processes have added meanwhile. A file that can't be written is no
  /// error: it will be measured again.
  void add(const std::string& key, const Choice& choice);

 private:
  std::string path_;
  std::map<std::string, Choice> choices_;
};

}  // namespace mica::cuda
