// Batches out of rows.

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "mica/tests/training/dataset_support.h"
#include "mica/training/collators/language_modeling.h"
#include "mica/training/collators/multiple_choice.h"
#include "mica/training/collators/padding.h"
#include "mica/training/collators/seq2seq.h"
#include "mica/training/collators/token_classification.h"

namespace mica {
namespace {

using datasets::rows_of;

std::vector<int64_t> ints(const Tensor& tensor) {
  return tensor.to_vector<int64_t>();
}

using Ints = std::vector<int64_t>;

class Collators : public datasets::WithTokenizer {};

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

TEST_F(Collators, TokenClassificationPadsLabels) {
  const auto rows = rows_of(Dataset::from_dict({{"input_ids", {{5, 6, 7}, {8}}}, {"labels", {{1, -100, 2}, {3}}}}));
  const DataCollatorForTokenClassification collate(tokenizer());
  const ModelInputs inputs = collate(rows);
  EXPECT_EQ(inputs.labels.shape(), (Shape{2, 3}));
  EXPECT_EQ(ints(inputs.labels), (Ints{1, -100, 2, 3, -100, -100}));
  EXPECT_EQ(ints(inputs.input_ids), (Ints{5, 6, 7, 8, pad(), pad()}));
  Tokenizer left = tokenizer();
  left.set_padding_side(Side::left);
  EXPECT_EQ(ints(DataCollatorForTokenClassification(left)(rows).labels), (Ints{1, -100, 2, -100, -100, 3}));
  const ModelInputs ragged = DataCollatorForTokenClassification(tokenizer(), {.ragged = true})(rows);
  EXPECT_EQ(ints(ragged.labels), (Ints{1, -100, 2, 3}));
  EXPECT_EQ(ragged.lengths, (Ints{3, 1}));
  const auto wrong = rows_of(Dataset::from_dict({{"input_ids", {{5, 6, 7}, {8}}}, {"label", {{1, 0, 2}, {3, 4}}}}));
  EXPECT_ERROR(collate(wrong), "column \"label\" of row 1");
  const auto words = rows_of(Dataset::from_dict({{"input_ids", {{5}, {8}}}, {"labels", {{"O"}, {"B"}}}}));
  EXPECT_ERROR(collate(words), "column \"labels\" of row 0");
}

TEST_F(Collators, MultipleChoiceFoldsChoices) {
  const auto rows = rows_of(
      Dataset::from_dict({{"input_ids", {Value::List{{1}, {2, 3}}, Value::List{{4, 5, 6}, {7}}}}, {"label", {1, 0}}}));
  const DataCollatorForMultipleChoice collate(tokenizer());
  const ModelInputs inputs = collate(rows);
  EXPECT_EQ(inputs.input_ids.shape(), (Shape{2, 2, 3}));
  EXPECT_EQ(ints(inputs.input_ids), (Ints{1, pad(), pad(), 2, 3, pad(), 4, 5, 6, 7, pad(), pad()}));
  EXPECT_EQ(inputs.attention_mask.shape(), (Shape{2, 2, 3}));
  EXPECT_EQ(ints(inputs.labels), (Ints{1, 0}));
  const auto uneven = rows_of(Dataset::from_dict({{"input_ids", {Value::List{{1}, {2, 3}}, Value::List{{4, 5, 6}}}}}));
  EXPECT_ERROR(collate(uneven), "column \"input_ids\" of row 1");
  EXPECT_ERROR(DataCollatorForMultipleChoice(tokenizer(), {.ragged = true}), "pad them");
}

TEST_F(Collators, Seq2SeqPadsLabelsOnTheirOwn) {
  const auto rows = rows_of(Dataset::from_dict({{"input_ids", {{5, 6, 7}, {8}}}, {"labels", {{1}, {2, 3}}}}));
  const ModelInputs inputs = DataCollatorForSeq2Seq(tokenizer())(rows);
  EXPECT_EQ(inputs.labels.shape(), (Shape{2, 2}));
  EXPECT_EQ(ints(inputs.labels), (Ints{1, -100, 2, 3}));
  EXPECT_FALSE(inputs.decoder_input_ids.defined());
  EXPECT_EQ(DataCollatorForSeq2Seq(tokenizer(), {.pad_to_multiple_of = 4})(rows).labels.shape(), (Shape{2, 4}));
  EXPECT_ERROR(DataCollatorForSeq2Seq(tokenizer(), {.padding = Padding::max_length, .max_length = 1})(rows),
               "column \"input_ids\" of row 0");
}

TEST_F(Collators, CausalLabelsAreTheIds) {
  const auto rows =
      rows_of(Dataset::from_dict({{"input_ids", {{5, 6, 7}, {8, 9}}}, {"attention_mask", {{1, 1, 1}, {1, 0}}}}));
  const ModelInputs inputs = DataCollatorForLanguageModeling(tokenizer(), {.mlm = false})(rows);
  EXPECT_EQ(ints(inputs.labels), (Ints{5, 6, 7, 8, -100, -100}));
  const ModelInputs ragged =
      DataCollatorForLanguageModeling(tokenizer(), {.mlm = false, .padding = {.ragged = true}})(rows);
  EXPECT_EQ(ints(ragged.labels), (Ints{5, 6, 7, 8, -100}));
  EXPECT_EQ(ints(ragged.attention_mask), (Ints{1, 1, 1, 1, 0}));
}

// 200 rows of 100 ordinary tokens between two special ones.
Dataset plain_rows(const Tokenizer& tokenizer) {
  std::vector<Value> ids;
  for (int row = 0; row < 200; ++row) {
    Ints list{*tokenizer.cls_token_id()};
    for (int i = 0; i < 100; ++i) list.push_back(10 + (row + i) % 5);
    list.push_back(*tokenizer.sep_token_id());
    ids.emplace_back(list);
  }
  return Dataset::from_dict(Dataset::Columns{{"input_ids", ids}});
}

TEST_F(Collators, MaskingChoosesAsManyAsAsked) {
  const Dataset dataset = plain_rows(tokenizer());
  const ModelInputs inputs = DataCollatorForLanguageModeling(tokenizer())(rows_of(dataset), {.seed = 1});
  const Ints ids = ints(inputs.input_ids), labels = ints(inputs.labels);
  double chosen = 0, masked = 0, changed = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    const size_t row = i / 102, column = i % 102;
    const int64_t original = dataset.cell(static_cast<int64_t>(row), "input_ids").as_ints()[column];
    if (labels[i] == -100) {
      EXPECT_EQ(ids[i], original);
      continue;
    }
    ASSERT_TRUE(column != 0 && column != 101) << "special tokens are never chosen";
    EXPECT_EQ(labels[i], original);
    ++chosen;
    if (ids[i] == *tokenizer().mask_token_id()) {
      ++masked;
    } else if (ids[i] != original) {
      EXPECT_TRUE(ids[i] >= 0 && ids[i] < tokenizer().size());
      ++changed;
    }
  }
  // Five standard deviations of binomial counts. A random token may be the mask or the one that was there.
  const auto expect_share = [](double count, double of, double p) {
    EXPECT_NEAR(count, of * p, 5 * std::sqrt(of * p * (1 - p)));
  };
  const double same = 1.0 / static_cast<double>(tokenizer().size());
  expect_share(chosen, 200 * 100, 0.15);
  expect_share(masked, chosen, 0.8 + 0.1 * same);
  expect_share(changed, chosen, 0.1 - 0.2 * same);
}

TEST_F(Collators, MaskingDependsOnSeedEpochAndRowAlone) {
  const Dataset dataset = plain_rows(tokenizer());
  const DataCollatorForLanguageModeling collate(tokenizer());
  const auto rows = rows_of(dataset);
  const Ints whole = ints(collate(rows, {.seed = 1, .epoch = 2}).input_ids);
  const Ints part = ints(collate(std::span(rows).subspan(50, 3), {.seed = 1, .epoch = 2}).input_ids);
  EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + 50 * 102));
  EXPECT_NE(whole, ints(collate(rows, {.seed = 1, .epoch = 3}).input_ids));
  EXPECT_NE(whole, ints(collate(rows, {.seed = 2, .epoch = 2}).input_ids));
  EXPECT_FALSE(std::equal(whole.begin(), whole.begin() + 102, whole.begin() + 5 * 102)) << "rows draw on their own";
}

TEST_F(Collators, WholeWordsAreMaskedTogether) {
  const auto rows = rows_of(
      Dataset::from_dict({{"input_ids", {{2, 10, 11, 12, 13, 14, 3}}}, {"word_ids", {{-1, 0, 0, 1, 2, 2, -1}}}}));
  const DataCollatorForLanguageModeling collate(
      tokenizer(), {.mlm_probability = 0.5, .whole_word_mask = true, .mask_replace_prob = 1, .random_replace_prob = 0});
  int first = 0, apart = 0;
  for (uint64_t seed = 0; seed < 64; ++seed) {
    const Ints labels = ints(collate(rows, {.seed = seed}).labels);
    EXPECT_EQ(labels[1] == -100, labels[2] == -100);
    EXPECT_EQ(labels[4] == -100, labels[5] == -100);
    EXPECT_EQ(labels[0], -100);
    first += labels[1] != -100;
    apart += (labels[1] == -100) != (labels[3] == -100);
  }
  EXPECT_GT(first, 10);
  EXPECT_GT(apart, 10);
}

TEST_F(Collators, WordsBeginWhereTheTokenizerSaysSo) {
  // A word of several pieces among words of one.
  const BatchEncoding encoding = tokenizer()("the movie is unbelievably bad");
  const std::vector<std::string> tokens = encoding.tokens();
  ASSERT_TRUE(std::any_of(tokens.begin(), tokens.end(), [](const auto& t) { return t.starts_with("##"); }));
  const Value ids = std::vector<int32_t>(encoding.input_ids[0].begin(), encoding.input_ids[0].end());
  const std::vector<Example> rows{Example{{"input_ids", ids}}};
  const DataCollatorForLanguageModeling collate(tokenizer(), {.mlm_probability = 0.5, .whole_word_mask = true});
  for (uint64_t seed = 0; seed < 64; ++seed) {
    const Ints labels = ints(collate(rows, {.seed = seed}).labels);
    for (size_t i = 1; i < tokens.size(); ++i) {
      const bool goes_on = tokens[i].starts_with("##");
      EXPECT_TRUE(!goes_on || (labels[i] == -100) == (labels[i - 1] == -100)) << tokens[i];
    }
  }
}

TEST_F(Collators, LanguageModelingRefusesWhatMakesNoSense) {
  EXPECT_ERROR(DataCollatorForLanguageModeling(tokenizer(), {.mlm_probability = 1.5}), "mlm_probability is 1.5");
  EXPECT_ERROR(DataCollatorForLanguageModeling(tokenizer(), {.random_replace_prob = 0.5}), "mask_replace_prob + ");
  EXPECT_ERROR(DataCollatorForLanguageModeling(tokenizer(), {.mlm = false, .whole_word_mask = true}), "without mlm");
}

}  // namespace
}  // namespace mica
