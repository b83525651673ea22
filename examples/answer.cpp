// Answers from a text, by the pipeline and by hand: answer [model]
#include <iostream>

#include <mica/mica.h>
using namespace mica;

int main(int argc, char** argv) try {
  const std::string name = argc > 1 ? argv[1] : "distilbert-base-cased-distilled-squad";
  const std::string question = "Where do I live?";
  const std::string context = "My name is Wolfgang and I live in Berlin";

  QuestionAnsweringPipeline reader = pipeline("question-answering", name);
  Answer best = reader(question, context)[0];
  std::cout << best.answer << "  " << best.score << "  " << best.start << "-" << best.end << "\n";

  auto tokenizer = AutoTokenizer::from_pretrained(name);
  auto model = AutoModelForQuestionAnswering::from_pretrained(name);
  auto inputs = tokenizer(question, context);
  NoGrad no_grad;
  auto outputs = model(inputs);
  int64_t start = outputs.start_logits.argmax(-1).item<int64_t>();
  int64_t end = outputs.end_logits.argmax(-1).item<int64_t>();
  if (start <= end) {
    std::cout << tokenizer.decode(inputs.input_ids[0].subspan(start, end - start + 1)) << "\n";
  }
} catch (const Error& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
