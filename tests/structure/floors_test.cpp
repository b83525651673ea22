// Who may include whom. A room includes what lies on its own floor or below; this table says which floors those are.

#include <algorithm>
#include <filesystem>
#include <map>
#include <regex>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mica/models/auto/table.h"
#include "mica/tests/structure/source_tree.h"

namespace mica::structure {
namespace {

// Each room may include itself and the rooms named beside it. A floor of models/ may use all floors below models/ but
// the tokenizers, which only those that take text may know.
const std::map<std::string, std::vector<std::string>>& floors() {
  static const std::vector<std::string> core{"base", "kernels", "tensor", "autograd"};
  static const auto above = [](std::vector<std::string> rooms, const std::vector<std::string>& more) {
    rooms.insert(rooms.end(), more.begin(), more.end());
    return rooms;
  };
  static const auto modules = above(core, {"models", "models/modules"});
  static const auto architectures = above(modules, {"models/architectures"});
  static const auto wholes = above(architectures, {"models/families", "models/heads"});
  static const auto automatic = above(wholes, {"models/auto", "tokenizers"});
  static const auto tops = above(automatic, {"models/generation", "models/processors", "models/pipelines"});
  static const std::map<std::string, std::vector<std::string>> table{
      {"base", {}},
      {"kernels", {"base"}},
      {"tensor", {"base", "kernels"}},
      {"autograd", {"base", "kernels", "tensor"}},
      {"tokenizers", {"base"}},
      {"models", core},  // config, scope, inputs: what all models share
      {"models/modules", above(core, {"models"})},
      {"models/architectures", modules},
      {"models/families", wholes},
      {"models/heads", wholes},
      {"models/auto", automatic},
      {"models/generation", tops},
      {"models/processors", tops},
      {"models/pipelines", tops},
      {"training", tops},
      {"cli", above(tops, {"training"})},
  };
  return table;
}

const std::vector<std::string> rooms{"base",       "kernels", "tensor",   "autograd",
                                     "tokenizers", "models",  "training", "cli"};

// models/auto/table.h lies in models/auto, models/config.h in models, kernels/cpu/norm.cpp in kernels.
std::string room_of(const std::string& path) {
  const size_t first = path.find('/');
  if (first == std::string::npos) return "";
  const std::string room = path.substr(0, first);
  const size_t second = path.find('/', first + 1);
  if (room != "models" || second == std::string::npos) return room;
  return path.substr(0, second);
}

TEST(Floors, EveryRoomIncludesItselfAndWhatLiesBelow) {
  for (const std::string& file : code_files(rooms)) {
    const std::string room = room_of(file);
    const auto floor = floors().find(room);
    ASSERT_NE(floor, floors().end()) << file << ": add the room " << room << " to the table of floors";
    for (const Include& include : includes_of(file)) {
      if (!starts_with(include.path, "mica/")) continue;
      const std::string other = room_of(include.path.substr(5));
      const bool allowed =
          other == room || std::find(floor->second.begin(), floor->second.end(), other) != floor->second.end();
      EXPECT_TRUE(allowed) << file << " includes " << include.path << ": " << room << " may not know "
                           << (other.empty() ? "the whole house" : other);
    }
  }
}

// "mica/room/file.h" in the library's rooms; programs may spell their own files from the root as well.
TEST(Floors, IncludesAreSpelledFromTheRoot) {
  const std::vector<std::string> programs{"cli", "bench", "tests"};
  std::vector<std::string> folders = rooms;
  folders.insert(folders.end(), programs.begin() + 1, programs.end());
  for (const std::string& file : code_files(folders)) {
    const std::string room = file.substr(0, file.find('/'));
    const bool program = std::find(programs.begin(), programs.end(), room) != programs.end();
    for (const Include& include : includes_of(file)) {
      if (starts_with(include.path, "mica/")) {
        EXPECT_TRUE(include.quoted) << file << " includes <" << include.path << ">: own files take quotes";
        EXPECT_TRUE(std::filesystem::exists(root() + "/" + include.path.substr(5)))
            << file << " includes " << include.path << ", which does not exist";
      } else if (include.quoted) {
        // Highway's headers that are included again for every target are spelled with quotes by its rules.
        EXPECT_TRUE(starts_with(include.path, "hwy/") || (program && starts_with(include.path, room + "/") &&
                                                          std::filesystem::exists(root() + "/" + include.path)))
            << file << " includes \"" << include.path << "\": spell it \"mica/...\"";
      }
    }
  }
}

TEST(Floors, OnlyTheCudaKernelsIncludeCudaHeaders) {
  const std::regex cuda("(cuda|cublas|cudnn|curand|cufft|cusparse|cusolver|nccl|nvrtc|nvtx|nvml|mma|cutlass).*");
  for (const std::string& file : code_files({"base", "kernels", "tensor", "autograd", "tokenizers", "models",
                                             "training", "cli", "bench", "tests", "examples"})) {
    if (starts_with(file, "kernels/cuda/")) continue;
    for (const Include& include : includes_of(file)) {
      EXPECT_FALSE(std::regex_match(include.path, cuda)) << file << " includes " << include.path;
    }
  }
}

TEST(Floors, OnlyTheCpuKernelsIncludeEigenAndHighway) {
  for (const std::string& file : code_files(rooms)) {
    if (starts_with(file, "kernels/cpu/")) continue;
    for (const Include& include : includes_of(file)) {
      EXPECT_FALSE(starts_with(include.path, "Eigen/") || starts_with(include.path, "hwy/"))
          << file << " includes " << include.path;
    }
  }
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// A family's name with '-' or '_' alike.
std::string plain(const std::string& text) {
  std::string result = lower(text);
  std::replace(result.begin(), result.end(), '_', '-');
  return result;
}

bool is_family(const std::string& word) {
  const auto& table = families_table();
  return std::any_of(table.begin(), table.end(),
                     [&](const Family& each) { return plain(word) == plain(std::string(each.model_type)); });
}

TEST(Floors, NothingBelowModelsKnowsAFamily) {
  for (const std::string& file : code_files({"base", "kernels", "tensor", "autograd"})) {
    for (const std::string& word : words_of(without_comments(read(file)))) {
      EXPECT_FALSE(is_family(word)) << file << " names the family " << word;
    }
  }
  // Published tokenizers have kinds named after families (BertNormalizer), and folders of the first years tell the kind
  // by the model's type alone, so the readers of folders know those. Behind them nothing may ask for the model's type.
  for (const std::string& file : code_files({"tokenizers"})) {
    if (starts_with(file, "tokenizers/readers/")) continue;
    for (const std::string& literal : literals_of(read(file))) {
      EXPECT_FALSE(is_family(literal)) << file << " names the model type " << literal;
    }
  }
}

TEST(Floors, TheReaderOfSourcesSeesWhatItShould) {
  EXPECT_EQ(without_comments("a /* bert */ b // bert\nc \"//bert\""), "a  b \nc \"//bert\"");
  EXPECT_EQ(literals_of("f(\"a\\\"b\", '\"', 1'000, R\"x(c\")x\")"), (std::vector<std::string>{"a\\\"b", "c\""}));
  EXPECT_EQ(words_of("bert-base x_y(z)"), (std::vector<std::string>{"bert-base", "x_y", "z"}));
  EXPECT_TRUE(is_family("roberta_prelayernorm"));
  EXPECT_FALSE(is_family("bert-base"));
  EXPECT_EQ(room_of("models/config.h"), "models");
  EXPECT_EQ(room_of("models/auto/table.h"), "models/auto");
  EXPECT_EQ(room_of("mica.h"), "");
}

}  // namespace
}  // namespace mica::structure
