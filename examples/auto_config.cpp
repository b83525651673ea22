// A model's config: read, changed, and a fresh model made from it.
#include <iostream>

#include <mica/base/error.h>
#include <mica/models/auto/auto_model.h>

using namespace mica;

int main(int argc, char** argv) try {
  Config config = AutoConfig::from_pretrained(argc > 1 ? argv[1] : "bert-base-uncased");
  std::cout << config.model_type.value() << ": " << config.num_hidden_layers << " layers of " << config.hidden_size
            << '\n';

  config.num_hidden_layers = 1;
  Model model = AutoModel::from_config(config);
  std::cout << "with one layer: " << model.num_parameters() << " parameters\n";
} catch (const Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
