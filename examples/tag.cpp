// Named entities: tag [model]
#include <iostream>

#include <mica/mica.h>
using namespace mica;

int main(int argc, char** argv) try {
  TokenClassificationPipeline tagger =
      pipeline("token-classification", argc > 1 ? argv[1] : "dbmdz/bert-large-cased-finetuned-conll03-english");
  for (const Entity& entity :
       tagger("My name is Wolfgang and I live in Berlin", {.aggregation_strategy = Aggregation::simple})) {
    std::cout << entity.label << "  " << entity.word << "  " << entity.start << "-" << entity.end << "\n";
  }
} catch (const Error& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
