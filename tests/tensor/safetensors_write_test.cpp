#include <algorithm>
#include <csignal>
#include <functional>

#include <sys/resource.h>
#include <sys/wait.h>

#include "mica/base/error.h"
#include "mica/tensor/checkpoint.h"
#include "mica/tensor/safetensors.h"
#include "mica/tests/tensor/safetensors_files.h"

namespace mica {
namespace {

// A tensor over its own host memory, filled with bytes 0, 1, 0, 1, ... (fit for every dtype, bool included).
Tensor made(DType dtype, const Shape& shape) {
  const auto bytes = static_cast<size_t>(shape.numel() * item_size(dtype));
  const auto owner = std::make_shared<std::vector<uint64_t>>(bytes / 8 + 1, 0x0100010001000100U);
  return {Storage::borrow(owner->data(), static_cast<int64_t>(bytes), owner), 0, shape, dtype};
}

std::string text_of(const Tensor& tensor) {
  return {static_cast<const char*>(tensor.raw_data()), static_cast<size_t>(tensor.numel() * item_size(tensor.dtype()))};
}

void expect_equal(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.dtype(), b.dtype());
  EXPECT_EQ(a.shape(), b.shape());
  EXPECT_EQ(text_of(a), text_of(b));
}

TEST(SaveSafetensors, RoundTripsEveryType) {
  const ScratchFolder folder;
  for (const DType dtype : {DType::float32, DType::float16, DType::bfloat16, DType::float64, DType::int64, DType::int32,
                            DType::int16, DType::uint8, DType::int8, DType::boolean, DType::uint16, DType::uint32,
                            DType::uint64, DType::float8_e4m3, DType::float8_e5m2}) {
    SCOPED_TRACE(name(dtype));
    const NamedTensors tensors = {{"matrix", made(dtype, {3, 5})},
                                  {"scalar", made(dtype, {})},
                                  {"none", made(dtype, {2, 0, 3})},
                                  {"deep", made(dtype, {1, 2, 1, 2, 1, 2, 1, 2})}};
    const std::string path = folder.file("a.safetensors");
    save_safetensors(path, tensors, {{"format", "pt"}, {"é\n", "\"\\"}});
    const SafeTensors file = SafeTensors::open(path);
    EXPECT_EQ(file.entries().size(), tensors.size());
    EXPECT_EQ(file.metadata().at("é\n"), "\"\\");
    for (const auto& [name, tensor] : tensors) expect_equal(file.tensor(name), tensor);
  }
}

TEST(SaveSafetensors, WritesWhatThePythonLibraryWrites) {
  const ScratchFolder folder;
  const SafeTensors original = SafeTensors::open(test_file("python_all_types.safetensors"));
  NamedTensors tensors;
  for (const TensorEntry& entry : original.entries()) tensors.emplace_back(entry.name, original.tensor(entry.name));
  std::reverse(tensors.begin(), tensors.end());
  save_safetensors(folder.file("a.safetensors"), tensors, original.metadata());
  EXPECT_EQ(read_file(folder.file("a.safetensors")), read_file(original.path()));
}

TEST(SaveSafetensors, WritesStridedTensorsInOrder) {
  const ScratchFolder folder;
  const std::vector<float> values = {0, 1, 2, 3, 4, 5};
  const Tensor matrix = Tensor::from(values, {2, 3});
  save_safetensors(folder.file("a.safetensors"), {{"t", matrix.transpose(0, 1)}, {"s", matrix.slice(1, 1, 2)}});
  const SafeTensors file = SafeTensors::open(folder.file("a.safetensors"));
  EXPECT_EQ(file.tensor("t").to_vector<float>(), (std::vector<float>{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(file.tensor("s").to_vector<float>(), (std::vector<float>{1, 4}));
}

TEST(SaveSafetensors, NoTensorsMakeAFile) {
  const ScratchFolder folder;
  save_safetensors(folder.file("a.safetensors"), {});
  EXPECT_TRUE(SafeTensors::open(folder.file("a.safetensors")).entries().empty());
}

TEST(SaveSafetensors, RefusesWhatCannotBeRead) {
  const ScratchFolder folder;
  const std::string path = folder.file("a.safetensors");
  const Tensor one = made(DType::uint8, {1});
  EXPECT_THROW(save_safetensors(path, {{"a", one}, {"a", one}}), Error);
  EXPECT_THROW(save_safetensors(path, {{"a", Tensor()}}), Error);
  EXPECT_THROW(save_safetensors(path, {{"\xff", one}}), Error);
  EXPECT_THROW(save_safetensors(path, {{"__metadata__", one}}), Error);
  EXPECT_THROW(save_safetensors(path, {{"a", one}}, {{"k", "\xff"}}), Error);
  EXPECT_THROW(save_safetensors(folder.file("no/such/folder"), {{"a", one}}), Error);
  EXPECT_TRUE(folder.names().empty());
}

// Runs `save` in a child process whose files cannot grow beyond 4 KB, as on a full disk; true when it threw Error.
bool fails_on_a_full_disk(const std::function<void()>& save) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{4096, 4096};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      save();
      ::_exit(1);
    } catch (const Error&) {
      ::_exit(0);
    }
  }
  int status = 0;
  return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(SaveSafetensors, AFullDiskLeavesTheOldFile) {
  const ScratchFolder folder;
  const std::string path = folder.file("a.safetensors");
  const Tensor old = made(DType::uint8, {100});
  save_safetensors(path, {{"a", old}});
  EXPECT_TRUE(fails_on_a_full_disk([&] { save_safetensors(path, {{"a", made(DType::uint8, {100'000})}}); }));
  EXPECT_EQ(folder.names(), std::vector<std::string>{"a.safetensors"});
  expect_equal(SafeTensors::open(path).tensor("a"), old);
}

TEST(SaveCheckpoint, AFullDiskLeavesTheOldFolder) {
  const NamedTensors small = {{"a", made(DType::uint8, {100})}, {"b", made(DType::uint8, {100})}};
  const NamedTensors large = {{"a", made(DType::uint8, {1000})}, {"b", made(DType::uint8, {100'000})}};
  for (const int64_t old_size : {int64_t{150}, kMaxShardBytes}) {
    for (const int64_t new_size : {int64_t{1500}, kMaxShardBytes}) {
      const ScratchFolder folder;
      save_checkpoint(folder.path(), small, {}, old_size);
      const std::vector<std::string> before = folder.names();
      EXPECT_TRUE(fails_on_a_full_disk([&] { save_checkpoint(folder.path(), large, {}, new_size); }));
      EXPECT_EQ(folder.names(), before);
      const Checkpoint checkpoint = Checkpoint::open(folder.path());
      for (const auto& [name, tensor] : small) expect_equal(checkpoint.tensor(name), tensor);
    }
  }
}

TEST(SaveCheckpoint, SplitsBySizeAndKeepsOrder) {
  const ScratchFolder folder;
  const NamedTensors tensors = {{"d", made(DType::uint8, {60})},
                                {"c", made(DType::float32, {10})},
                                {"b", made(DType::uint8, {500})},
                                {"a", made(DType::uint8, {1})}};
  save_checkpoint(folder.path(), tensors, {{"format", "pt"}}, 100);
  EXPECT_EQ(folder.names(),
            (std::vector<std::string>{"model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
                                      "model-00003-of-00003.safetensors", "model.safetensors.index.json"}));
  EXPECT_EQ(read_file(folder.file("model.safetensors.index.json")), R"({
  "metadata": {
    "total_size": 601
  },
  "weight_map": {
    "a": "model-00003-of-00003.safetensors",
    "b": "model-00002-of-00003.safetensors",
    "c": "model-00001-of-00003.safetensors",
    "d": "model-00001-of-00003.safetensors"
  }
}
)");
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  EXPECT_EQ(checkpoint.names(), (std::vector<std::string_view>{"c", "d", "b", "a"}));
  EXPECT_EQ(checkpoint.metadata().at("format"), "pt");
  for (const auto& [name, tensor] : tensors) expect_equal(checkpoint.tensor(name), tensor);
}

TEST(SaveCheckpoint, ReplacesAnEarlierSave) {
  const ScratchFolder folder;
  write_file_atomically(folder.file("config.json"), "{}");
  write_file_atomically(folder.file("model-of-mine.safetensors"), "kept");
  // Shards over a file, a file over shards, the same number of shards, and another one.
  for (const int64_t size : {kMaxShardBytes, int64_t{100}, int64_t{100}, int64_t{200}, kMaxShardBytes, int64_t{300}}) {
    static int64_t generation = 0;
    ++generation;
    NamedTensors tensors;
    for (const char* name : {"a", "b", "c", "d"}) tensors.emplace_back(name, made(DType::uint8, {90 + generation}));
    save_checkpoint(folder.path(), tensors, {}, size);
    const Checkpoint checkpoint = Checkpoint::open(folder.path());
    EXPECT_EQ(checkpoint.names().size(), 4U);
    for (const auto& [name, tensor] : tensors) expect_equal(checkpoint.tensor(name), tensor);
    const size_t shards = checkpoint.files().size();
    EXPECT_EQ(folder.names().size(), 2 + shards + (shards > 1 ? 1 : 0)) << "files of an earlier save are left";
    for (const std::string& file : checkpoint.files()) EXPECT_EQ(file.find(".new"), std::string::npos);
  }
  EXPECT_EQ(read_file(folder.file("model-of-mine.safetensors")), "kept");
}

// A model is saved over the very files that its tensors are views of.
TEST(SaveCheckpoint, SavesOverTheFilesItReads) {
  const ScratchFolder folder;
  const NamedTensors tensors = {{"a", made(DType::uint8, {90})}, {"b", made(DType::uint8, {90})}};
  save_checkpoint(folder.path(), tensors, {}, 100);
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  save_checkpoint(folder.path(), {{"a", checkpoint.tensor("a")}, {"b", checkpoint.tensor("b")}}, {}, 100);
  for (const auto& [name, tensor] : tensors) expect_equal(Checkpoint::open(folder.path()).tensor(name), tensor);
}

// A process that saves one generation after the other is killed at many moments: what is left is always one of them.
TEST(SaveCheckpoint, AKilledSaveLeavesOneOrTheOther) {
  const ScratchFolder folder;
  const auto save = [&](int64_t generation) {
    NamedTensors tensors;
    for (const char* name : {"a", "b", "c"}) tensors.emplace_back(name, made(DType::uint8, {100 + generation % 7}));
    save_checkpoint(folder.path(), tensors, {}, generation % 5 == 0 ? kMaxShardBytes : 150);
  };
  save(0);
  for (int round = 0; round < 30; ++round) {
    const pid_t child = ::fork();
    if (child == 0) {
      for (int64_t generation = round;; ++generation) save(generation);
    }
    ::usleep(static_cast<useconds_t>(1000 + round * 531));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    const Checkpoint checkpoint = Checkpoint::open(folder.path());
    ASSERT_EQ(checkpoint.names().size(), 3U);
    const int64_t size = checkpoint.find("a")->bytes;
    for (const char* name : {"b", "c"}) ASSERT_EQ(checkpoint.find(name)->bytes, size) << "generations are mixed";
  }
}

}  // namespace
}  // namespace mica
