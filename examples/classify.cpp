// Text classification, by the pipeline and by hand: classify [model]
#include <iostream>

#include <mica/mica.h>
using namespace mica;

int main(int argc, char** argv) try {
  const std::string name = argc > 1 ? argv[1] : "distilbert-base-uncased-finetuned-sst-2-english";

  TextClassificationPipeline classifier = pipeline("text-classification", name);
  for (const auto& [label, score] : classifier("I love this product", {.top_k = 2})) {
    std::cout << label << " " << score << "\n";
  }

  auto tokenizer = AutoTokenizer::from_pretrained(name);
  auto model = AutoModelForSequenceClassification::from_pretrained(name);
  NoGrad no_grad;
  auto outputs = model(tokenizer("I really enjoyed this movie"));
  int64_t label = outputs.logits.argmax(-1).item<int64_t>();
  std::cout << model.config().labels()[label] << "\n";
} catch (const Error& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
