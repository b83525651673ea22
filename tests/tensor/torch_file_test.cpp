// Files that torch saved: tools/make_torch_files.py made those in data/.

#include "mica/tensor/torch_file.h"

#include <algorithm>
#include <numeric>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/tensor/checkpoint.h"
#include "mica/tests/support/torch_bytes.h"
#include "mica/tests/tensor/safetensors_files.h"

namespace mica {
namespace {

using namespace torch_bytes;

std::vector<double> counted(int64_t count) {
  std::vector<double> values(static_cast<size_t>(count));
  std::iota(values.begin(), values.end(), 0.0);
  return values;
}

std::vector<double> values(const Tensor& tensor) {
  return tensor.to(DType::float64).to_vector<double>();
}

bool starts_at(const Tensor& tensor, const Tensor& other, int64_t bytes) {
  return static_cast<const std::byte*>(tensor.raw_data()) == static_cast<const std::byte*>(other.raw_data()) + bytes;
}

class BothForms : public ::testing::TestWithParam<const char*> {
 protected:
  TorchFile open(const std::string& what) const {
    return TorchFile::open(test_file(std::string("torch_") + GetParam() + "_" + what + ".bin"));
  }
};

TEST_P(BothForms, KeepsEveryDtype) {
  const TorchFile file = open("types");
  ASSERT_EQ(file.entries().size(), 18U);
  for (const TensorEntry& entry : file.entries()) {
    SCOPED_TRACE(entry.name);
    if (entry.name == "complex64") {
      EXPECT_EQ(entry.type, "C64");
      EXPECT_THROW(file.tensor(entry.name), Error);
      continue;
    }
    const Tensor tensor = file.tensor(entry.name);
    if (entry.name == "scalar") {
      EXPECT_EQ(tensor.rank(), 0);
      EXPECT_EQ(tensor.item<float>(), 7);
      continue;
    }
    if (entry.name == "empty") {
      EXPECT_EQ(tensor.shape(), (Shape{0, 4}));
      continue;
    }
    const std::string_view dtype = name(tensor.dtype());
    EXPECT_EQ(dtype, entry.name == "float8_e4m3fn" ? name(DType::float8_e4m3) : std::string_view(entry.name));
    EXPECT_EQ(tensor.shape(), (Shape{2, 3}));
    std::vector<double> expected = counted(6);
    if (tensor.dtype() == DType::boolean) {
      for (double& value : expected) value = static_cast<int>(value) % 2;
    }
    EXPECT_EQ(values(tensor), expected);
  }
}

TEST_P(BothForms, MakesViewsContiguous) {
  const TorchFile file = open("views");
  const auto expect = [&](const char* name, const Shape& shape, const std::vector<double>& expected) {
    SCOPED_TRACE(name);
    const Tensor tensor = file.tensor(name);
    EXPECT_TRUE(tensor.is_contiguous());
    EXPECT_EQ(tensor.shape(), shape);
    EXPECT_EQ(values(tensor), expected);
  };
  expect("whole", {4, 6}, counted(24));
  expect("transposed", {6, 4}, values(file.tensor("whole").transpose(0, 1).contiguous()));
  expect("part", {2, 2}, {8, 9, 14, 15});
  expect("row", {6}, {12, 13, 14, 15, 16, 17});
  expect("column", {4}, {1, 7, 13, 19});
  expect("steps", {2, 2}, {0, 3, 12, 15});
  expect("tied", {4, 6}, counted(24));
  expect("one", {1, 1}, {9});
  expect("repeated", {2, 3}, {0, 1, 2, 0, 1, 2});
  expect("parameter", {3}, counted(3));
  expect("marked", {2}, counted(2));
  EXPECT_EQ(file.entries().size(), 11U);
  EXPECT_EQ(file.entries()[1].name, "transposed") << "names keep their order";
}

INSTANTIATE_TEST_SUITE_P(TorchFile, BothForms, ::testing::Values("zip", "legacy"),
                         [](const auto& each) { return std::string(each.param); });

TEST(TorchFile, ShowsTheMappedBytes) {
  const TorchFile file = TorchFile::open(test_file("torch_zip_views.bin"));
  const Tensor whole = file.tensor("whole");
  EXPECT_TRUE(starts_at(file.tensor("whole"), whole, 0)) << "two calls give the same bytes";
  EXPECT_TRUE(starts_at(file.tensor("tied"), whole, 0)) << "tied tensors stay tied";
  EXPECT_TRUE(starts_at(file.tensor("row"), whole, 48));
  EXPECT_FALSE(starts_at(file.tensor("transposed"), whole, 0));
  whole.fill_(5);  // in this process's copy of the page
  EXPECT_EQ(file.tensor("tied").select(0, 1).select(0, 1).item<float>(), 5);
  EXPECT_EQ(TorchFile::open(file.path()).tensor("whole").select(0, 1).select(0, 1).item<float>(), 7);
}

TEST(TorchFile, SkipsWhatIsNoTensor) {
  const TorchFile module = TorchFile::open(test_file("torch_module.bin"));
  std::vector<std::string> names;
  for (const TensorEntry& entry : module.entries()) names.push_back(entry.name);
  EXPECT_EQ(names, (std::vector<std::string>{"0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean",
                                             "1.running_var", "1.num_batches_tracked"}));
  EXPECT_EQ(module.tensor("1.num_batches_tracked").dtype(), DType::int64);
  EXPECT_EQ(values(module.tensor("0.weight")), counted(6));

  const TorchFile training = TorchFile::open(test_file("torch_training.bin"));
  ASSERT_EQ(training.entries().size(), 1U);
  EXPECT_EQ(values(training.tensor("weight")), counted(4));
  EXPECT_EQ(training.find("version"), nullptr);
  EXPECT_EQ(training.find("loss"), nullptr);
  EXPECT_THROW(training.tensor("loss"), Error);
}

TEST(TorchFile, ReadsALaterProtocol) {
  const TorchFile file = TorchFile::open(test_file("torch_protocol4.bin"));
  EXPECT_EQ(values(file.tensor("a")), counted(6));
  EXPECT_EQ(values(file.tensor("b")), counted(2));
}

// As Python 2 wrote an OrderedDict, and torch 0.3 a view of a storage.
TEST(TorchFile, ReadsWhatPython2Wrote) {
  const std::string view = tuple("U\x01v" + integer(1) + integer(2));
  const std::string pair = "](U\x01w" + tensor(storage("9", 4, "FloatStorage", view), 0, {2}, {1}) + "e";
  const std::string object = pickle(global("collections", "OrderedDict") + "](" + pair + "e\x85R");
  std::string data = little(int64_t{4});
  for (const float value : {4.F, 5.F, 6.F, 7.F}) data += little(value);
  const TorchFile file = TorchFile::from_bytes(bytes_of(legacy(object, pickle("](" + text("9") + "e"), data)), "made");
  EXPECT_EQ(values(file.tensor("w")), (std::vector<double>{5, 6}));
}

TEST(TorchFile, ReadsThe64BitExtension) {
  const std::string object = pickle(dict(text("w") + tensor(storage("0", 2), 0, {2}, {1})));
  const std::string data = little(1.F) + little(2.F);
  for (const ZipOptions& options : {ZipOptions{}, ZipOptions{.in64 = true}, ZipOptions{.end64 = false}}) {
    const TorchFile file = TorchFile::from_bytes(bytes_of(archive(object, {data}, options)), "made");
    EXPECT_EQ(values(file.tensor("w")), (std::vector<double>{1, 2}));
  }
}

TEST(TorchFile, FindsTheStateDictInside) {
  const std::string pair = tensor(storage("0", 2), 0, {2}, {1});
  const std::string weights = dict(text("w") + pair);
  const auto open = [&](const std::string& object) {
    return TorchFile::from_bytes(bytes_of(archive(pickle(object), {little(1.F) + little(2.F)})), "made");
  };
  for (const char* name : {"state_dict", "model", "module"}) {
    EXPECT_NE(open(dict(text("step") + "K\x01" + text(name) + weights)).find("w"), nullptr) << name;
  }
  const std::string scalar = text("loss") + tensor(storage("0", 2), 1, {}, {});
  EXPECT_NE(open(dict(scalar + text("model") + weights)).find("w"), nullptr);
  EXPECT_EQ(open(dict(scalar + text("more") + weights)).entries()[0].name, "loss");

  const auto problem = [&](const std::string& object) -> std::string {
    try {
      open(object);
      return "was accepted";
    } catch (const Error& error) {
      return error.problem();
    }
  };
  EXPECT_EQ(problem(dict(text("ema") + weights)),
            "tensors stand in an inner dict \"ema\", not in \"state_dict\", \"model\" or \"module\"");
  EXPECT_EQ(problem(dict(text("model") + weights + text("ema") + weights)),
            "file holds several dicts of tensors: \"model\", \"ema\"");
  EXPECT_EQ(problem(dict(text("x") + pair + text("model") + weights)),
            "file holds tensors of its own and a dict of tensors, \"model\"");
  EXPECT_EQ(problem(dict("")), "what was saved holds no tensors");
  EXPECT_EQ(problem("]"), "what was saved is no dict of tensors");
  EXPECT_EQ(problem(pair), "what was saved is no dict of tensors");
  EXPECT_EQ(problem(dict("K\x01" + pair)), "tensor whose name is no text");
}

TEST(Checkpoint, OpensAFolderOfTorch) {
  const Checkpoint checkpoint = Checkpoint::open(test_file("torch_sharded"));
  EXPECT_EQ(checkpoint.names(), (std::vector<std::string_view>{"a", "b", "c"}));
  EXPECT_EQ(checkpoint.tensor("c").dtype(), DType::bfloat16);
  EXPECT_EQ(values(checkpoint.tensor("b")), counted(3));
  EXPECT_EQ(checkpoint.files().size(), 2U);
}

TEST(Checkpoint, PrefersSafetensors) {
  const ScratchFolder folder;
  const auto first = [&] { return std::string(Checkpoint::open(folder.path()).names().front()); };
  std::filesystem::copy_file(test_file("torch_module.bin"), folder.file("pytorch_model.bin"));
  EXPECT_EQ(first(), "0.weight");
  EXPECT_EQ(Checkpoint::open(folder.file("pytorch_model.bin")).files().front(), folder.file("pytorch_model.bin"));
  std::filesystem::copy_file(test_file("python_all_types.safetensors"), folder.file("x.safetensors"));
  write_file_atomically(folder.file("model.safetensors.index.json"), R"({"weight_map": {"no": "x.safetensors"}})");
  EXPECT_THROW(first(), Error) << "the index comes first, though it is wrong";
  std::filesystem::rename(folder.file("x.safetensors"), folder.file("model.safetensors"));
  EXPECT_NE(first(), "0.weight");
}

}  // namespace
}  // namespace mica
