#include "mica/tensor/checkpoint.h"

#include "mica/base/error.h"
#include "mica/tests/tensor/safetensors_files.h"

namespace mica {
namespace {

// A file with one-byte tensors of these names.
std::string file_with(const std::vector<std::string>& names) {
  std::string header = "{";
  for (size_t i = 0; i < names.size(); ++i) {
    header += i > 0 ? ",\"" : "\"";
    header += names[i];
    header += R"(":{"dtype":"U8","shape":[1],"data_offsets":[)";
    header += std::to_string(i) + "," + std::to_string(i + 1) + "]}";
  }
  return file_text(header + "}", names.size());
}

constexpr const char* kIndex = "model.safetensors.index.json";

// A folder with shards one.safetensors (a, b) and two.safetensors (c), and the index given.
struct Sharded {
  explicit Sharded(std::string_view index) {
    write_file_atomically(folder.file("one.safetensors"), file_with({"a", "b"}));
    write_file_atomically(folder.file("two.safetensors"), file_with({"c"}));
    write_file_atomically(folder.file(kIndex), index);
  }
  ScratchFolder folder;
};

constexpr const char* kGood =
    R"({"metadata": {"total_size": 1.5e300}, "weight_map": {"c": "two.safetensors", "a": "one.safetensors",
        "b": "one.safetensors"}})";

TEST(Checkpoint, OpensAFolderWithOneFile) {
  const Sharded sharded(kGood);
  write_file_atomically(sharded.folder.file("model.safetensors"), file_with({"x"}));
  const Checkpoint checkpoint = Checkpoint::open(sharded.folder.path());
  EXPECT_EQ(checkpoint.names(), std::vector<std::string_view>{"x"}) << "one file outranks an index";
  EXPECT_EQ(checkpoint.files(), std::vector<std::string>{sharded.folder.file("model.safetensors")});
}

TEST(Checkpoint, OpensShards) {
  const Sharded sharded(kGood);
  for (const std::string& path : {sharded.folder.path(), sharded.folder.path() + "/", sharded.folder.file(kIndex)}) {
    const Checkpoint checkpoint = Checkpoint::open(path);
    EXPECT_EQ(checkpoint.names(), (std::vector<std::string_view>{"a", "b", "c"}));
    EXPECT_EQ(checkpoint.files().size(), 2U);
    EXPECT_EQ(*static_cast<const uint8_t*>(checkpoint.tensor("b").raw_data()), 1);
    EXPECT_EQ(checkpoint.find("d"), nullptr);
    EXPECT_THROW(checkpoint.tensor("d"), Error);
  }
  EXPECT_EQ(Checkpoint::open(sharded.folder.file("one.safetensors")).names().size(), 2U);
}

TEST(Checkpoint, FollowsLinksAsTheHubCacheHasThem) {
  const Sharded sharded(kGood);
  const ScratchFolder snapshot;
  for (const char* name : {"one.safetensors", "two.safetensors", kIndex}) {
    std::filesystem::create_symlink(sharded.folder.file(name), snapshot.file(name));
  }
  EXPECT_EQ(Checkpoint::open(snapshot.path()).names().size(), 3U);
}

TEST(Checkpoint, KeepsNamesThatTheIndexLacks) {
  const Sharded sharded(R"({"weight_map": {"a": "one.safetensors"}})");
  EXPECT_EQ(Checkpoint::open(sharded.folder.path()).names(), (std::vector<std::string_view>{"a", "b"}));
}

TEST(Checkpoint, RefusesHostileIndexes) {
  const std::pair<const char*, std::string> cases[] = {
      {"empty", ""},
      {"a list", "[]"},
      {"text", "\"weight_map\""},
      {"cut", R"({"weight_map": {"a")"},
      {"no map", R"({"metadata": {}})"},
      {"empty map", R"({"weight_map": {}})"},
      {"map is a list", R"({"weight_map": ["one.safetensors"]})"},
      {"map is null", R"({"weight_map": null})"},
      {"two maps", R"({"weight_map": {"a": "one.safetensors"}, "weight_map": {"c": "two.safetensors"}})"},
      {"name twice", R"({"weight_map": {"a": "one.safetensors", "a": "two.safetensors"}})"},
      {"file is a number", R"({"weight_map": {"a": 1}})"},
      {"file is a list", R"({"weight_map": {"a": ["one.safetensors"]}})"},
      {"file has no name", R"({"weight_map": {"a": ""}})"},
      {"the folder", R"({"weight_map": {"a": "."}})"},
      {"the folder above", R"({"weight_map": {"a": ".."}})"},
      {"out of the folder", R"({"weight_map": {"a": "../one.safetensors"}})"},
      {"absolute", R"({"weight_map": {"a": "/dev/zero"}})"},
      {"within a folder", R"({"weight_map": {"a": "./one.safetensors"}})"},
      {"backslash", R"({"weight_map": {"a": "..\\one.safetensors"}})"},
      {"zero byte", "{\"weight_map\": {\"a\": \"one.safetensors\\u0000.txt\"}}"},
      {"shard missing", R"({"weight_map": {"a": "three.safetensors"}})"},
      {"shard is the index", R"({"weight_map": {"a": "model.safetensors.index.json"}})"},
      {"tensor not in its shard", R"({"weight_map": {"a": "two.safetensors"}})"},
      {"tensor in no shard", R"({"weight_map": {"a": "one.safetensors", "z": "one.safetensors"}})"},
      {"text after the end", R"({"weight_map": {"a": "one.safetensors"}} {})"},
      {"zero byte after the end", std::string(R"({"weight_map": {"a": "one.safetensors"}})") + '\0' + "{}"},
      {"deep", R"({"weight_map": {"a": )" + std::string(100'000, '[')},
  };
  for (const auto& [what, index] : cases) {
    SCOPED_TRACE(what);
    const Sharded sharded(index);
    try {
      Checkpoint::open(sharded.folder.path());
      ADD_FAILURE() << "was accepted";
    } catch (const Error& error) {
      EXPECT_FALSE(error.where().empty());
      EXPECT_FALSE(error.mend().empty());
    }
  }
}

TEST(Checkpoint, RefusesATensorInTwoShards) {
  const Sharded sharded(R"({"weight_map": {"a": "one.safetensors", "c": "three.safetensors"}})");
  write_file_atomically(sharded.folder.file("three.safetensors"), file_with({"c", "b"}));
  EXPECT_THROW(Checkpoint::open(sharded.folder.path()), Error);
}

TEST(Checkpoint, RefusesADamagedShard) {
  const Sharded sharded(kGood);
  write_file_atomically(sharded.folder.file("two.safetensors"), file_with({"c"}) + "!");
  EXPECT_THROW(Checkpoint::open(sharded.folder.path()), Error);
  EXPECT_EQ(Checkpoint::open(sharded.folder.path(), {.allow_trailing_bytes = true}).names().size(), 3U);
}

TEST(Checkpoint, SaysWhatAFolderHasInstead) {
  const ScratchFolder folder;
  const auto error = [&]() -> std::string {
    try {
      Checkpoint::open(folder.path());
      return "was accepted";
    } catch (const Error& thrown) {
      return thrown.what();
    }
  };
  EXPECT_NE(error().find("neither model.safetensors nor pytorch_model.bin"), std::string::npos) << error();
  write_file_atomically(folder.file("tf_model.h5"), "");
  EXPECT_NE(error().find("convert its tf_model.h5"), std::string::npos) << error();
  EXPECT_THROW(Checkpoint::open(folder.file("missing")), Error);
}

}  // namespace
}  // namespace mica
