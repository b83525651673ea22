// Goes on training a masked language model on one's own texts: train_masked_lm [model] [output]
#include <iostream>

#include <mica/mica.h>
using namespace mica;

int main(int argc, char** argv) try {
  const std::string name = argc > 1 ? argv[1] : "bert-base-uncased";
  const std::string output = argc > 2 ? argv[2] : "domain-model";

  auto tokenizer = AutoTokenizer::from_pretrained(name);
  auto model = AutoModelForMaskedLM::from_pretrained(name);

  Dataset texts = Dataset::from_dict({{"text",
                                       {"The model reads a sentence.", "A word of it is hidden.",
                                        "It guesses which word that was.", "So it learns a language."}}});
  Dataset tokenized = texts.map([&](const Example& e) { return tokenizer(e["text"], {.truncation = true}); },
                                {.remove_columns = {"text"}});

  Trainer trainer(
      model, {.output_dir = output, .per_device_train_batch_size = 4, .num_train_epochs = 5, .learning_rate = 5e-5},
      tokenized,
      {.processing_class = tokenizer,
       .data_collator = std::make_shared<DataCollatorForLanguageModeling>(
           tokenizer, LanguageModelingOptions{.mlm_probability = 0.3})});
  std::cout << "mean loss: " << trainer.train().training_loss << '\n';
  trainer.save_model();

  FillMaskPipeline fill = pipeline("fill-mask", output);
  std::cout << fill("The model reads a " + tokenizer.mask_token().value_or("[MASK]") + ".")[0][0].sequence << '\n';
} catch (const Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
