// Fine-tunes an encoder-decoder to shorten texts: train_seq2seq [model] [output]
#include <iostream>

#include <mica/mica.h>
using namespace mica;

int main(int argc, char** argv) try {
  const std::string name = argc > 1 ? argv[1] : "t5-small";
  const std::string output = argc > 2 ? argv[2] : "summary-model";

  auto tokenizer = AutoTokenizer::from_pretrained(name);
  auto model = AutoModelForSeq2SeqLM::from_pretrained(name);

  Dataset dataset = Dataset::from_dict(
      {{"document",
        {"The cat sat on the mat all day long and slept.", "It rained for three days, and then the sun came."}},
       {"summary", {"A cat slept.", "Rain, then sun."}}});
  Dataset tokenized = dataset.map(
      [&](const Example& e) {
        Example row =
            MappedRow(tokenizer("summarize: " + std::string(e["document"].as_string()), {.truncation = true})).row();
        row.set("labels", tokenizer.encode(e["summary"], {.truncation = true, .text_target = true}));
        return row;
      },
      {.remove_columns = {"document", "summary"}});

  Trainer trainer(
      model, {.output_dir = output, .per_device_train_batch_size = 2, .num_train_epochs = 3, .learning_rate = 1e-4},
      tokenized, {.processing_class = tokenizer, .data_collator = std::make_shared<DataCollatorForSeq2Seq>(tokenizer)});
  std::cout << "mean loss: " << trainer.train().training_loss << '\n';
  trainer.save_model();

  auto generated = model.generate(tokenizer("summarize: The dog ran."), {.max_new_tokens = 8});
  std::cout << tokenizer.decode(std::span<const int64_t>(generated.tokens[0]), {.skip_special_tokens = true}) << '\n';
} catch (const Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
