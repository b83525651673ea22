// Batches out of rows.

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/tests/support/tiny_model.h"
#include "mica/training/collators/padding.h"
#include "mica/training/dataset/dataset.h"

namespace mica {
namespace {

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

#define EXPECT_ERROR(call, part) EXPECT_PRED_FORMAT2(::testing::IsSubstring, part, message_of([&] { call; }))

std::vector<Example> rows_of(const Dataset& dataset) {
  std::vector<Example> rows;
  for (int64_t i = 0; i < dataset.size(); ++i) rows.push_back(dataset[i]);
  return rows;
}

std::vector<int64_t> ints(const Tensor& tensor) {
  return tensor.to_vector<int64_t>();
}

using Ints = std::vector<int64_t>;

class Collators : public testing::Test {
 protected:
  Collators() {
    tiny::write_bert(folder_.path(), "sequence_classification");
    tokenizer_.emplace(AutoTokenizer::from_pretrained(folder_.path()));
  }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  int64_t pad() const { return *tokenizer().pad_token_id(); }

 private:
  tiny::TemporaryFolder folder_;
  std::optional<Tokenizer> tokenizer_;
};

const Dataset& two_rows() {
  static const Dataset dataset = Dataset::from_dict(
      {{"input_ids", {{5, 6, 7}, {8}}}, {"token_type_ids", {{0, 0, 1}, {1}}}, {"label", {2, 3}}, {"text", {"a", "b"}}});
  return dataset;
}

TEST_F(Collators, DefaultStacks) {
  const auto rows = rows_of(Dataset::from_dict(
      {{"input_ids", {{1, 2}, {3, 4}}}, {"label", {0.5, 1}}, {"text", {"a", "b"}}, {"start_positions", {4, 5}}}));
  const ModelInputs inputs = DefaultDataCollator()(rows);
  EXPECT_EQ(inputs.input_ids.shape(), (Shape{2, 2}));
  EXPECT_EQ(ints(inputs.input_ids), (Ints{1, 2, 3, 4}));
  EXPECT_EQ(inputs.labels.dtype(), DType::float32);
  EXPECT_EQ(inputs.labels.to_vector<double>(), (std::vector<double>{0.5, 1}));
  EXPECT_EQ(ints(inputs.start_positions), (Ints{4, 5}));
  EXPECT_FALSE(inputs.attention_mask.defined());
}

TEST_F(Collators, DefaultRefusesWhatDoesNotStack) {
  const DefaultDataCollator collate;
  EXPECT_ERROR(collate({}), "no rows");
  EXPECT_ERROR(collate(rows_of(two_rows())), "column \"input_ids\" of row 1");
  EXPECT_ERROR(collate(rows_of(Dataset::from_dict({{"label", {"good", "bad"}}}))), "class_encode_column(\"label\")");
  EXPECT_ERROR(collate(rows_of(Dataset::from_dict({{"labels", {1, Value()}}}))), "column \"labels\" of row 1");
  EXPECT_ERROR(collate(rows_of(Dataset::from_dict({{"label", {1}}, {"labels", {1}}}))), "two columns for labels");
}

TEST_F(Collators, PadsToTheLongest) {
  const ModelInputs inputs = DataCollatorWithPadding(tokenizer())(rows_of(two_rows()));
  EXPECT_EQ(inputs.input_ids.shape(), (Shape{2, 3}));
  EXPECT_EQ(ints(inputs.input_ids), (Ints{5, 6, 7, 8, pad(), pad()}));
  EXPECT_EQ(ints(inputs.token_type_ids), (Ints{0, 0, 1, 1, 0, 0}));
  EXPECT_EQ(ints(inputs.attention_mask), (Ints{1, 1, 1, 1, 0, 0}));
  EXPECT_EQ(ints(inputs.labels), (Ints{2, 3}));
  EXPECT_TRUE(inputs.lengths.empty());
}

TEST_F(Collators, PadsAsAsked) {
  const auto rows = rows_of(two_rows());
  EXPECT_EQ(DataCollatorWithPadding(tokenizer(), {.pad_to_multiple_of = 8})(rows).input_ids.shape(), (Shape{2, 8}));
  EXPECT_EQ(
      DataCollatorWithPadding(tokenizer(), {.padding = Padding::max_length, .max_length = 5})(rows).input_ids.shape(),
      (Shape{2, 5}));
  Tokenizer left = tokenizer();
  left.set_padding_side(Side::left);
  EXPECT_EQ(ints(DataCollatorWithPadding(left)(rows).input_ids), (Ints{5, 6, 7, pad(), pad(), 8}));
  EXPECT_ERROR(DataCollatorWithPadding(tokenizer(), {.max_length = 2})(rows), "column \"input_ids\" of row 0");
  EXPECT_ERROR(DataCollatorWithPadding(tokenizer(), {.padding = Padding::max_length}), "without max_length");
  EXPECT_ERROR(DataCollatorWithPadding(tokenizer(), {.padding = false})(rows), "unequal lengths");
  EXPECT_ERROR(DataCollatorWithPadding(tokenizer(), {.pad_to_multiple_of = 0}), "pad_to_multiple_of is 0");
}

TEST_F(Collators, RaggedHasNoPadding) {
  const ModelInputs inputs = DataCollatorWithPadding(tokenizer(), {.ragged = true})(rows_of(two_rows()));
  EXPECT_EQ(inputs.lengths, (Ints{3, 1}));
  EXPECT_EQ(inputs.input_ids.shape(), (Shape{4}));
  EXPECT_EQ(ints(inputs.input_ids), (Ints{5, 6, 7, 8}));
  EXPECT_EQ(ints(inputs.token_type_ids), (Ints{0, 0, 1, 1}));
  EXPECT_FALSE(inputs.attention_mask.defined());
  EXPECT_EQ(ints(inputs.labels), (Ints{2, 3}));
}

TEST_F(Collators, PaddingRefusesRowsThatAreNotTokenised) {
  const DataCollatorWithPadding collate(tokenizer());
  EXPECT_ERROR(collate(rows_of(Dataset::from_dict({{"text", {"a"}}}))), "not tokenised");
  EXPECT_ERROR(collate(rows_of(Dataset::from_dict({{"input_ids", {{1}, Value()}}}))), "column \"input_ids\" of row 1");
  EXPECT_ERROR(collate(rows_of(Dataset::from_dict({{"input_ids", {{1, 2}}}, {"token_type_ids", {{1}}}}))),
               "1 token_type_ids, but 2 tokens");
}

}  // namespace
}  // namespace mica
