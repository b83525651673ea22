// Fine-tunes a classifier of texts: train_sequence_classification [model] [output]
#include <iostream>

#include <mica/mica.h>
using namespace mica;

int main(int argc, char** argv) try {
  const std::string name = argc > 1 ? argv[1] : "bert-base-uncased";
  const std::string output = argc > 2 ? argv[2] : "sentiment-model";

  auto tokenizer = AutoTokenizer::from_pretrained(name);
  auto model = AutoModelForSequenceClassification::from_pretrained(name, {.num_labels = 2});

  Dataset dataset = Dataset::from_dict(
      {{"text", {"I love this product", "This is terrible", "Great!", "Not for me"}}, {"label", {1, 0, 1, 0}}});
  Dataset tokenized = dataset.map([&](const Example& e) { return tokenizer(e["text"], {.truncation = true}); });

  Trainer trainer(model,
                  {.output_dir = output,
                   .per_device_train_batch_size = 2,
                   .num_train_epochs = 3,
                   .learning_rate = 2e-5,
                   .weight_decay = 0.01,
                   .logging_steps = 1},
                  tokenized, {.processing_class = tokenizer});
  const TrainOutput result = trainer.train();
  std::cout << "steps: " << result.global_step << ", mean loss: " << result.training_loss << '\n';
  model.save_pretrained(output);
  tokenizer.save_pretrained(output);

  NoGrad no_grad;
  auto outputs = model(tokenizer("I really enjoyed this movie"));
  std::cout << "label " << outputs.logits.argmax(-1).item<int64_t>() << '\n';
} catch (const Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
