// A text that goes on: generate [model] [prompt]
#include <iostream>

#include <mica/mica.h>
using namespace mica;

int main(int argc, char** argv) try {
  TextGenerationPipeline storyteller = pipeline("text-generation", argc > 1 ? argv[1] : "gpt2");
  const std::string prompt = argc > 2 ? argv[2] : "Once upon a time";
  TextGenerationOptions options{.generation = {.max_new_tokens = 50, .do_sample = true, .temperature = 0.7}};
  options.extras.on_text = [](size_t, std::string_view text) { std::cout << text << std::flush; };  // as it comes
  std::cout << prompt;
  storyteller(prompt, options);
  std::cout << "\n";
} catch (const Error& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
