// Text to tokens and back, with the characters that each token stands for: tokenize [model]
#include <iostream>

#include <mica/mica.h>
using namespace mica;

int main(int argc, char** argv) try {
  auto tokenizer = AutoTokenizer::from_pretrained(argc > 1 ? argv[1] : "bert-base-uncased");
  auto inputs = tokenizer({"I love this product", "This is terrible"},
                          {.padding = Padding::max_length, .truncation = true, .max_length = 16});
  for (const std::string& token : inputs.tokens(0)) std::cout << token << " ";
  std::cout << "\n" << tokenizer.decode(inputs.input_ids[0], {.skip_special_tokens = true}) << "\n";
  std::cout << "character 7 of the first text is in token " << *inputs.char_to_token(0, 7) << "\n";
} catch (const Error& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
