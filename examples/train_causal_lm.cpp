// Trains a language model on a text, block by block: train_causal_lm [model] [output]
#include <cmath>
#include <iostream>

#include <mica/mica.h>
using namespace mica;

int main(int argc, char** argv) try {
  const std::string name = argc > 1 ? argv[1] : "gpt2";
  const std::string output = argc > 2 ? argv[2] : "story-model";

  auto tokenizer = AutoTokenizer::from_pretrained(name);
  auto model = AutoModelForCausalLM::from_pretrained(name);

  std::string text;
  for (int i = 0; i < 40; ++i) text += "Once upon a time there was a little girl who liked to read. ";
  const std::vector<int32_t> ids = tokenizer.encode(text);
  constexpr size_t kBlock = 32;
  std::vector<Example> blocks;
  for (size_t begin = 0; begin + kBlock <= ids.size(); begin += kBlock) {
    Example block;
    block.set("input_ids", std::vector<int64_t>(ids.begin() + static_cast<std::ptrdiff_t>(begin),
                                                ids.begin() + static_cast<std::ptrdiff_t>(begin + kBlock)));
    blocks.push_back(block);
  }
  Dataset dataset = Dataset::from_list(blocks);

  Trainer trainer(
      model, {.output_dir = output, .per_device_train_batch_size = 4, .num_train_epochs = 2, .learning_rate = 1e-4},
      dataset,
      {.eval_dataset = dataset,
       .processing_class = tokenizer,
       .data_collator =
           std::make_shared<DataCollatorForLanguageModeling>(tokenizer, LanguageModelingOptions{.mlm = false})});
  trainer.train();
  const LogEntry metrics = trainer.evaluate();
  std::cout << "perplexity: " << std::exp(find(metrics, "eval_loss").value_or(0)) << '\n';
  trainer.save_model();

  auto generated = model.generate(tokenizer("Once upon a time"), {.max_new_tokens = 12});
  std::cout << tokenizer.decode(std::span<const int64_t>(generated.tokens[0])) << '\n';
} catch (const Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
