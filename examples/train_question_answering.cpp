// Fine-tunes a model that finds answers in a text: train_question_answering [model] [output]
#include <iostream>

#include <mica/mica.h>
using namespace mica;

int main(int argc, char** argv) try {
  const std::string name = argc > 1 ? argv[1] : "distilbert-base-uncased";
  const std::string output = argc > 2 ? argv[2] : "answer-model";

  auto tokenizer = AutoTokenizer::from_pretrained(name);
  auto model = AutoModelForQuestionAnswering::from_pretrained(name);

  const std::string context = "My name is Wolfgang and I live in Berlin.";
  Dataset dataset = Dataset::from_dict({{"question", {"Where do I live?", "What is my name?"}},
                                        {"context", {context, context}},
                                        {"answer", {"Berlin", "Wolfgang"}}});
  // Labels are the tokens in which the answer begins and ends.
  Dataset tokenized = dataset.map(
      [&](const Example& e) {
        const std::string text(e["context"].as_string()), answer(e["answer"].as_string());
        BatchEncoding encoding = tokenizer(e["question"].as_string(), text, {.truncation = Truncation::only_second});
        const auto begin = static_cast<int64_t>(text.find(answer));
        Example row = MappedRow(encoding).row();
        row.set("start_positions", encoding.char_to_token(0, begin, 1).value_or(0));
        row.set("end_positions",
                encoding.char_to_token(0, begin + static_cast<int64_t>(answer.size()) - 1, 1).value_or(0));
        return row;
      },
      {.remove_columns = {"question", "context", "answer"}});

  Trainer trainer(
      model, {.output_dir = output, .per_device_train_batch_size = 2, .num_train_epochs = 5, .learning_rate = 3e-5},
      tokenized, {.processing_class = tokenizer});
  std::cout << "mean loss: " << trainer.train().training_loss << '\n';
  trainer.save_model();

  QuestionAnsweringPipeline reader = pipeline("question-answering", output);
  std::cout << reader("Where do I live?", context)[0].answer << '\n';
} catch (const Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
