#pragma once
// Model folders made while a test runs: a tiny network whose weights a rule makes from their names, a WordPiece
// vocabulary, and whatever else a test wants in the folder. tests/pipelines/data holds the descriptions.

#include <string>
#include <string_view>

#include "mica/base/json.h"

namespace mica::tiny {

/// A folder below the system's temporary directory, removed with the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

/// tests/pipelines/data/NAME.json.
Json read_data(const std::string& name);

/// Writes the model of data["models"][index]: {"config", "task", "scales", "files", "weights"}, with the vocabulary and
/// tokenizer settings of `data`.
void write_model(const std::string& folder, const Json& data, size_t index);

/// A bert of two layers with that head, its vocabulary that of the text classification data.
void write_bert(const std::string& folder, const std::string& task, const std::vector<std::string>& labels = {});

/// What differs between two JSON values, numbers within `tolerance`; empty when nothing does.
std::string difference(const Json& have, const Json& wanted, double tolerance, const std::string& path = "");

void write_text(const std::string& path, std::string_view content);

}  // namespace mica::tiny
