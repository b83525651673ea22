// Fine-tunes a tagger of words: train_token_classification [model] [output]
#include <iostream>

#include <mica/mica.h>
using namespace mica;

int main(int argc, char** argv) try {
  const std::string name = argc > 1 ? argv[1] : "bert-base-cased";
  const std::string output = argc > 2 ? argv[2] : "ner-model";
  const std::vector<std::string> labels{"O", "B-PER", "I-PER", "B-LOC"};

  auto tokenizer = AutoTokenizer::from_pretrained(name);
  auto model = AutoModelForTokenClassification::from_pretrained(name, {.labels = labels});

  Dataset dataset = Dataset::from_dict({{"tokens", {{"Ada", "Lovelace", "lived", "in", "London"}, {"It", "rains"}}},
                                        {"tags", {{1, 2, 0, 0, 3}, {0, 0}}}});
  // A word's first token carries its label; the others, and special tokens, none.
  Dataset tokenized = dataset.map(
      [&](const Example& e) {
        BatchEncoding encoding = tokenizer(e["tokens"].as_strings(), {.truncation = true, .is_split_into_words = true});
        std::vector<int64_t> tags;
        int32_t before = -1;
        for (const int32_t word : encoding.word_ids()) {
          tags.push_back(word < 0 || word == before ? -100 : e["tags"].as_ints()[static_cast<size_t>(word)]);
          before = word;
        }
        Example row = MappedRow(encoding).row();
        row.set("labels", tags);
        return row;
      },
      {.remove_columns = {"tokens", "tags"}});

  Trainer trainer(model, {.output_dir = output, .num_train_epochs = 3, .learning_rate = 3e-5}, tokenized,
                  {.processing_class = tokenizer,
                   .data_collator = std::make_shared<DataCollatorForTokenClassification>(tokenizer)});
  std::cout << "mean loss: " << trainer.train().training_loss << '\n';
  trainer.save_model();

  TokenClassificationPipeline tagger = pipeline("token-classification", output);
  for (const auto& entity : tagger("Ada Lovelace lived in London", {.aggregation_strategy = Aggregation::simple})) {
    std::cout << entity.word << "  " << entity.label << '\n';
  }
} catch (const Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
