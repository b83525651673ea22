// Words for a mask: fill [model]
#include <iostream>

#include <mica/mica.h>
using namespace mica;

int main(int argc, char** argv) try {
  FillMaskPipeline unmasker = pipeline("fill-mask", argc > 1 ? argv[1] : "bert-base-uncased");
  auto masks = unmasker("Paris is the [MASK] of France.");  // a list of words for each mask
  for (const Fill& fill : masks[0]) {
    std::cout << fill.score << "  " << fill.token_str << "  " << fill.sequence << "\n";
  }
} catch (const Error& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
