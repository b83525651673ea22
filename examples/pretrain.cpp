// A language model from nothing but text: its tokenizer, its config, its weights: pretrain [corpus.txt] [output]
#include <iostream>

#include <mica/mica.h>
using namespace mica;

int main(int argc, char** argv) try {
  const std::string corpus = argc > 1 ? argv[1] : "corpus.txt";
  const std::string output = argc > 2 ? argv[2] : "new-model";

  auto tokenizer = train_tokenizer(text_files({corpus}), {.model = "bpe", .vocab_size = 600});
  Config config = AutoConfig::for_model("gpt2");
  config.vocab_size = tokenizer.size();
  config.set("n_embd", 64);
  config.set("n_layer", 2);
  config.set("n_head", 4);
  config.set("n_positions", 64);
  for (const char* key : {"bos_token_id", "eos_token_id"})
    config.set(key, int64_t{tokenizer.eos_token_id().value_or(0)});
  manual_seed(1);
  auto model = AutoModelForCausalLM::from_config(config);
  std::cout << model.num_parameters() << " parameters\n";

  Dataset texts = Dataset::from_text(corpus);
  Dataset tokenized =
      texts.filter([](const Example& e) { return !e["text"].as_string().empty(); })
          .map([&](const Example& e) { return tokenizer(e["text"], {.truncation = true, .max_length = 64}); },
               {.remove_columns = {"text"}});
  Trainer trainer(model,
                  {.output_dir = output,
                   .per_device_train_batch_size = 8,
                   .max_steps = 30,
                   .learning_rate = 1e-3,
                   .lr_scheduler_type = SchedulerType::cosine,
                   .warmup_steps = 5},
                  tokenized,
                  {.processing_class = tokenizer,
                   .data_collator = std::make_shared<DataCollatorForLanguageModeling>(
                       tokenizer, LanguageModelingOptions{.mlm = false, .padding = {.ragged = true}})});
  std::cout << "mean loss: " << trainer.train().training_loss << '\n';
  trainer.save_model();
} catch (const Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
