// Weights that are on their way while the first layers run: there for whoever asks for them, in whatever order, and
// nobody is held up before. Emulation brings what passes through a side stream as late as it may.

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include <unistd.h>

#include "mica/base/file.h"
#include "mica/kernels/cuda/backend.h"
#include "mica/kernels/cuda/emulate/runtime.h"
#include "mica/kernels/recording.h"
#include "mica/kernels/upload.h"
#include "mica/models/auto/auto_config.h"
#include "mica/models/auto/auto_model.h"
#include "mica/tensor/checkpoint.h"
#include "mica/tensor/upload.h"
#include "mica/tests/emulate/support.h"

namespace mica::cuda {
namespace {

using namespace test;

constexpr Device kDevice{DeviceType::cuda, 0};

std::vector<float> numbers(int64_t n, float first) {
  std::vector<float> values(static_cast<size_t>(n));
  for (size_t i = 0; i < values.size(); ++i) values[i] = first + static_cast<float>(i % 1000);
  return values;
}

Tensor on_its_way(int64_t n, float first) {
  return upload(Tensor::from(numbers(n, first)), kDevice);
}

// What the device's memory holds right now, whatever is on its way to it.
std::vector<float> held(const Tensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.numel()));
  copy_to_host(values.data(), tensor.storage()->data(), tensor.storage()->bytes(), nullptr);
  return values;
}

// A folder for one test.
class Uploads : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "mica_uploads_" + std::to_string(::getpid());
    make_directories(folder_);
  }
  void TearDown() override {
    remove_directory(folder_);
    EXPECT_EQ(unsettled_uploads, 0) << "blocks that are gone are still waited for";
  }
  std::string folder_;
};

TEST_F(Uploads, AreThereForWhoAsks) {
  const Tensor x = on_its_way(5, 1), y = on_its_way(5, 10);
  const std::vector<float> early = held(y);
  EXPECT_TRUE(early[0] != early[0]);  // NaN: else the test shows nothing
  const Tensor z = Tensor::empty({5}, DType::float32, kDevice);
  backend(kDevice).elementwise().binary(BinaryOp::add, x.view(), y.view(), z.view());
  EXPECT_EQ(z.to_vector<float>(), (std::vector<float>{11, 13, 15, 17, 19}));
  EXPECT_EQ(unsettled_uploads, 0);
}

TEST_F(Uploads, OfOneAreNotWaitedForByThoseWhoReadTheOneBefore) {
  const Tensor x = on_its_way(5, 1), y = on_its_way(5, 10);
  EXPECT_EQ(x.to_vector<float>(), numbers(5, 1));
  const std::vector<float> early = held(y);
  EXPECT_TRUE(early[0] != early[0]);
  EXPECT_EQ(unsettled_uploads, 1);
}

TEST_F(Uploads, OfManyPiecesAndOfManyBlocksPassThroughTheSameMemory) {
  constexpr int64_t kLarge = (int64_t{9} << 18) + 7;  // of floats: some megabytes, and not a whole number of pieces
  std::vector<Tensor> tensors;
  for (int i = 0; i < 3; ++i) {
    tensors.push_back(on_its_way(kLarge, static_cast<float>(i)));
    for (int k = 0; k < 7; ++k) tensors.push_back(on_its_way(3, static_cast<float>(10 * k)));
  }
  // The last first, then backward.
  for (size_t i = tensors.size(); i-- > 0;) {
    const bool large = i % 8 == 0;
    EXPECT_EQ(tensors[i].to_vector<float>(),
              large ? numbers(kLarge, static_cast<float>(i / 8)) : numbers(3, static_cast<float>(10 * (i % 8 - 1))));
  }
}

// What another tensor gets is not written to any more.
TEST_F(Uploads, OfBlocksThatAreFreedDoNotReachTheNextOwner) {
  for (int round = 0; round < 20; ++round) {
    { const Tensor freed = on_its_way(600'000, 5); }
    const Tensor next = Tensor::full({600'000}, 7, DType::float32, kDevice);
    const Tensor last = on_its_way(4, 1);
    EXPECT_EQ(last.to_vector<float>(), numbers(4, 1));
    EXPECT_EQ(next.to_vector<float>(), std::vector<float>(600'000, 7));
  }
}

// Memory that a kernel still writes to when it is freed, and handed out again.
TEST_F(Uploads, WaitForTheLastWorkInTheirMemory) {
  emulate::set_side_late(false);
  const void* before = nullptr;
  {
    const Tensor freed = Tensor::full({5}, 7, DType::float32, kDevice);
    before = freed.storage()->data();
  }
  const Tensor x = on_its_way(5, 1);
  EXPECT_EQ(x.storage()->data(), before);  // else the test shows nothing
  EXPECT_EQ(x.to_vector<float>(), numbers(5, 1));
  emulate::set_side_late(true);
}

// Parts that a task leaves out: nobody ever asks for them.
TEST_F(Uploads, ThatNobodyAsksForAreForgottenInTheEnd) {
  const Tensor unused = on_its_way(4, 1), x = Tensor::full({2}, 3, DType::float32, kDevice);
  EXPECT_EQ(unsettled_uploads, 1);
  for (int i = 0; i < 2000 && unsettled_uploads != 0; ++i) static_cast<void>(x.view());
  EXPECT_EQ(unsettled_uploads, 0);
  EXPECT_EQ(held(unused), numbers(4, 1));
}

TEST_F(Uploads, AreOverWhenARecordingBegins) {
  const Tensor x = on_its_way(5, 1), y = Tensor::full({5}, 0, DType::float32, kDevice);
  const auto recording = backend(kDevice).record(
      [&] { backend(kDevice).elementwise().binary(BinaryOp::add, x.view(), x.view(), y.view()); });
  EXPECT_EQ(unsettled_uploads, 0);
  recording->replay();
  EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{2, 4, 6, 8, 10}));
}

TEST_F(Uploads, OfAFileThatBecameShorterAreAnErrorForWhoAsks) {
  const std::string path = folder_ + "/weights";
  constexpr int64_t kNumbers = 1 << 20;
  {
    std::ofstream file(path, std::ios::binary);
    const std::vector<float> values = numbers(kNumbers, 0);
    file.write(reinterpret_cast<const char*>(values.data()), kNumbers * 4);
  }
  const auto mapped = MappedFile::open(path);
  const auto part = [&](int64_t begin) {
    const auto storage = Storage::borrow(mapped->data() + begin * 4, kNumbers / 2 * 4, mapped);
    return upload(Tensor(storage, 0, {kNumbers / 2}, DType::float32), kDevice);
  };
  std::filesystem::resize_file(path, kNumbers / 2 * 4);
  const Tensor there = part(0), lost = part(kNumbers / 2), after = on_its_way(3, 1);
  for (int i = 0; i < 2; ++i) {
    const std::string error = error_of([&] { static_cast<void>(lost.view()); });
    EXPECT_NE(error.find("weights could not be read while they were copied to cuda:0"), std::string::npos) << error;
  }
  EXPECT_EQ(there.to_vector<float>()[1001], 1);
  EXPECT_EQ(after.to_vector<float>(), numbers(3, 1));
}

// ---- models

std::string config(int layers) {
  return R"({"model_type": "llama", "vocab_size": 60, "hidden_size": 32, "num_attention_heads": 4,
             "num_key_value_heads": 2, "intermediate_size": 48, "max_position_embeddings": 64, "initializer_range": 0.6,
             "bos_token_id": 0, "eos_token_id": 1, "tie_word_embeddings": true, "num_hidden_layers": )" +
         std::to_string(layers) + "}";
}

class OpenedModels : public Uploads {
 protected:
  std::string saved(int layers) {
    const std::string folder = folder_ + "/" + std::to_string(layers);
    Model::from_config(AutoConfig::from_json(config(layers), "test"), Task::causal_lm, {}).save_pretrained(folder);
    return folder;
  }
  static Model open(const std::string& folder, Device device = kDevice, std::optional<DType> dtype = {}) {
    return Model::from_pretrained(folder, Task::causal_lm, {.dtype = dtype, .device = device});
  }
};

std::vector<float> logits(const Model& model) {
  const NoGrad no_grad;
  ModelInputs inputs;
  inputs.input_ids = Tensor::from<int64_t>({5, 17, 9, 30}, {1, 4});
  return model(inputs).logits.to_vector<float>();
}

// As they are when every weight has arrived before the model runs.
std::vector<float> logits_of_moved(const std::string& folder, std::optional<DType> dtype = {}) {
  Model model = Model::from_pretrained(folder, Task::causal_lm, {.dtype = dtype});
  model.to(kDevice);
  return logits(model);
}

TEST_F(OpenedModels, HoldNobodyUp) {
  const std::string small = saved(1), large = saved(4);
  const int64_t before = emulate::host_waits();
  const Model one = open(small), other = open(large);
  EXPECT_EQ(emulate::host_waits() - before, 0);
  EXPECT_GT(unsettled_uploads, 0);
}

TEST_F(OpenedModels, GiveTheSameNumbers) {
  const std::string folder = saved(2);
  EXPECT_EQ(logits(open(folder)), logits_of_moved(folder));
  EXPECT_EQ(logits(open(folder, kDevice, DType::bfloat16)), logits_of_moved(folder, DType::bfloat16));
  const Model one = open(folder), other = open(saved(3)), third = open(folder, {DeviceType::cuda, 1});
  const std::vector<float> wanted = logits_of_moved(folder);
  EXPECT_EQ(logits(third), wanted);
  EXPECT_EQ(logits(other), logits_of_moved(folder_ + "/3"));
  EXPECT_EQ(logits(one), wanted);
}

TEST_F(OpenedModels, AreSavedAndMovedAsTheyAreInTheFile) {
  const std::string folder = saved(2);
  const std::string bytes = read_file(folder + "/model.safetensors");
  open(folder).save_pretrained(folder_ + "/again");
  EXPECT_EQ(read_file(folder_ + "/again/model.safetensors"), bytes);
  Model model = open(folder);
  model.to(Device{});
  const std::vector<float> on_host = logits(model);
  EXPECT_EQ(on_host, logits(open(folder, Device{})));
  model.to(kDevice);
  EXPECT_EQ(logits(model), logits_of_moved(folder));
}

// Weights of 16 bits that are widened on the way are in no file: the queue keeps them.
TEST_F(OpenedModels, AreWidenedOnTheWay) {
  const std::string folder = saved(2);
  NamedTensors narrow;
  {
    const Checkpoint checkpoint = Checkpoint::open(folder);
    for (const std::string_view name : checkpoint.names()) {
      narrow.emplace_back(std::string(name), checkpoint.tensor(name).to(DType::bfloat16));
    }
    save_safetensors(folder_ + "/narrow.safetensors", narrow, {});
  }
  std::filesystem::rename(folder_ + "/narrow.safetensors", folder + "/model.safetensors");
  EXPECT_EQ(logits(open(folder, kDevice, DType::float32)), logits_of_moved(folder, DType::float32));
  EXPECT_EQ(logits(open(folder)), logits_of_moved(folder));
}

}  // namespace
}  // namespace mica::cuda
