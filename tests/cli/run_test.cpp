// mica run, and the worker of mica bench.

#include <algorithm>
#include <filesystem>

#include "tests/cli/program.h"
#include "tests/support/tiny_model.h"
#include <gtest/gtest.h>

#include "mica/autograd/tape.h"
#include "mica/base/json.h"
#include "mica/models/auto/auto_model.h"
#include "mica/models/generation/greedy.h"
#include "mica/tensor/safetensors.h"

namespace mica {
namespace {

using testing_program::lines;
using testing_program::mica;
using testing_program::Outcome;

Tensor ids() {
  return Tensor::from(std::vector<int64_t>{2, 7, 8, 9, 3, 2, 10, 11, 12, 3}, {2, 5});
}

class Run : public testing::Test {
 protected:
  void make(const std::string& task, const std::vector<std::string>& labels = {}) {
    tiny::write_bert(folder_.path(), task, labels);
    arguments_ = {"run",       folder_.path(),
                  "--task",    task,
                  "--inputs",  folder_ / "in.safetensors",
                  "--outputs", folder_ / "out.safetensors"};
  }
  Outcome run(const NamedTensors& inputs, const std::vector<std::string>& more = {}) {
    save_safetensors(folder_ / "in.safetensors", inputs);
    std::filesystem::remove(folder_ / "out.safetensors");
    std::vector<std::string> arguments = arguments_;
    arguments.insert(arguments.end(), more.begin(), more.end());
    return mica(arguments);
  }
  void expect_failure(const Outcome& outcome, int status, const std::string& part) {
    EXPECT_EQ(outcome.status, status) << outcome.err;
    EXPECT_NE(lines(outcome.err).back().find(part), std::string::npos) << outcome.err;
    EXPECT_TRUE(lines(outcome.err).back().starts_with("mica: error: "));
    EXPECT_FALSE(std::filesystem::exists(folder_ / "out.safetensors"));
  }
  SafeTensors outputs() { return SafeTensors::open(folder_ / "out.safetensors"); }

  tiny::TemporaryFolder folder_;
  std::vector<std::string> arguments_;
};

void expect_equal(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.shape(), b.shape());
  EXPECT_EQ(a.to_vector<float>(), b.to_vector<float>());
}

TEST_F(Run, OutputsLossAndGradients) {
  make("sequence_classification", {"A", "B", "C"});
  const Tensor labels = Tensor::from(std::vector<int64_t>{2, 0});
  const Outcome outcome = run({{"input_ids", ids()}, {"labels", labels}}, {"--gradients", folder_ / "g.safetensors"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Model model = AutoModelForSequenceClassification::from_pretrained(folder_.path());
  ModelInputs inputs;
  inputs.input_ids = ids();
  inputs.labels = labels;
  const ModelOutput output = model(inputs);
  backward(output.loss);
  expect_equal(outputs().tensor("logits"), output.logits.detach());
  expect_equal(outputs().tensor("loss"), output.loss.detach());
  const SafeTensors gradients = SafeTensors::open(folder_ / "g.safetensors");
  EXPECT_EQ(gradients.entries().size(), model.parameters().size());
  for (const auto& [name, parameter] : model.parameters()) expect_equal(gradients.tensor(name), parameter.grad());
}

TEST_F(Run, GradientsOfChosenOutputs) {
  make("base");
  const Tensor flow = Tensor::ones({2, 5, 32});
  const Outcome outcome =
      run({{"input_ids", ids()}, {"grad.last_hidden_state", flow}},
          {"--gradients", folder_ / "g.safetensors", "--options", R"({"output_hidden_states":true})"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outputs().find("hidden_states.2"), nullptr);
  EXPECT_NE(outputs().find("pooler_output"), nullptr);
  const SafeTensors gradients = SafeTensors::open(folder_ / "g.safetensors");
  // The pooler has no part in it.
  for (const float value : gradients.tensor("pooler.dense.weight").to_vector<float>()) EXPECT_EQ(value, 0);
  const std::vector<float> words = gradients.tensor("embeddings.word_embeddings.weight").to_vector<float>();
  EXPECT_TRUE(std::any_of(words.begin(), words.end(), [](float value) { return value != 0; }));
}

TEST_F(Run, Generates) {
  make("causal_lm");
  const Outcome outcome = run({{"input_ids", ids()}}, {"--generate", "3"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Tensor sequences = outputs().tensor("sequences");
  EXPECT_EQ(sequences.shape(), (Shape{2, 8}));
  EXPECT_NE(outputs().find("logits"), nullptr);
  const Tensor padded = Tensor::from(std::vector<int64_t>{1, 1, 1, 1, 1, 1, 1, 1, 1, 0}, {2, 5});
  expect_failure(run({{"input_ids", ids()}, {"attention_mask", padded}}, {"--generate", "3"}), 1, "padding");
}

TEST_F(Run, RegressionTakesFloatLabels) {
  make("sequence_classification", {"A"});
  const Outcome outcome = run({{"input_ids", ids()}, {"labels", Tensor::from(std::vector<float>{0.5F, -1.0F})}});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outputs().find("loss"), nullptr);
}

TEST_F(Run, BadInput) {
  make("base");
  const NamedTensors good{{"input_ids", ids()}};
  expect_failure(run({{"input_id", ids()}}), 1, "input_id");
  expect_failure(run({{"input_ids", Tensor::from(std::vector<float>{1, 2}, {1, 2})}}), 1, "input_ids");
  expect_failure(run({{"input_ids", Tensor::from(std::vector<int64_t>{1, 93}, {1, 2})}}), 1, "93");
  expect_failure(run({{"input_ids", Tensor::from(std::vector<int64_t>{-1}, {1, 1})}}), 1, "-1");
  expect_failure(run({{"input_ids", Tensor::ones({1, 65}, DType::int64)}}), 1, "64");
  expect_failure(run({{"input_ids", ids()}, {"attention_mask", Tensor::ones({2, 4}, DType::int64)}}), 1,
                 "attention_mask");
  expect_failure(run({}), 1, "input_ids");
  expect_failure(run(good, {"--options", R"({"use_cash":true})"}), 1, "use_cash");
  expect_failure(run(good, {"--options", R"({"output_hidden_states":3})"}), 1, "output_hidden_states");
  expect_failure(run(good, {"--options", "{"}), 1, "--options");
  expect_failure(run(good, {"--task", "base"}), 2, "--task");  // given twice
  expect_failure(run(good, {"--generate", "2"}), 1, "causal_lm");
  arguments_[3] = "poetry";
  expect_failure(run(good), 1, "poetry");
  arguments_[3] = "base";
  std::filesystem::remove(folder_ / "in.safetensors");
  expect_failure(mica(arguments_), 1, "in.safetensors");
  tiny::write_text(folder_ / "in.safetensors", "not tensors");
  expect_failure(mica(arguments_), 1, "in.safetensors");
}

// What cannot have gradients fails before anything is written.
TEST_F(Run, BadGradients) {
  make("base");
  const std::vector<std::string> wanted{"--gradients", folder_ / "g.safetensors"};
  expect_failure(run({{"input_ids", ids()}}, wanted), 1, "no loss");
  expect_failure(run({{"input_ids", ids()}, {"grad.logits", Tensor::ones({1})}}, wanted), 1, "grad.logits");
  expect_failure(run({{"input_ids", ids()}, {"grad.last_hidden_state", Tensor::ones({1})}}, wanted), 1, "[2, 5, 32]");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "g.safetensors"));
}

TEST_F(Run, UnwritableOutputsLeaveTheOldOnes) {
  make("base");
  arguments_[7] = folder_ / "none/out.safetensors";
  EXPECT_EQ(run({{"input_ids", ids()}}).status, 1);
}

TEST(Worker, AnswersLineByLine) {
  const tiny::TemporaryFolder folder;
  tiny::write_bert(folder.path(), "base");
  const std::string out = folder / "out.safetensors";
  const Outcome outcome =
      mica({"bench", folder.path(), "--worker"},
           R"({"op":"forward","batch":1,"tokens":3,"ids":[[2,7,3]],"runs":2,"output":")" + out + "\"}\n" +
               R"({"op":"forward","batch":1,"tokens":2,"ids":[[2,7,3]]})" + "\n" + "nonsense\n" +
               R"({"op":"encode","sentences":["ada","turin"],"batch_size":1,"runs":3})" + "\n" + R"({"op":"quit"})" +
               "\nnever read\n");
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  const std::vector<std::string> answers = lines(outcome.out);
  ASSERT_EQ(answers.size(), 4U);
  EXPECT_EQ(parse_json(answers[0], "answer").at("ms").size(), 2U);
  EXPECT_TRUE(parse_json(answers[1], "answer").contains("error"));
  EXPECT_TRUE(parse_json(answers[2], "answer").contains("error"));
  EXPECT_EQ(parse_json(answers[3], "answer").at("ms").size(), 3U);
  EXPECT_EQ(SafeTensors::open(out).tensor("last_hidden_state").shape(), (Shape{1, 3, 32}));
}

TEST(Bench, Table) {
  const tiny::TemporaryFolder folder;
  tiny::write_bert(folder.path(), "base");
  const Outcome outcome = mica({"bench", folder.path(), "--json", "--seconds", "1"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const std::vector<std::string> rows = lines(outcome.out);
  ASSERT_EQ(rows.size(), 1U);  // this model takes no more than 64 tokens
  EXPECT_EQ(parse_json(rows[0], "row").at("tokens"), 16);
}

}  // namespace
}  // namespace mica
