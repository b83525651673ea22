// Writes a tiny BERT with random weights and a vocabulary of single letters: a model folder for tests of programs.
//   make_model FOLDER

#include <cstdio>
#include <fstream>
#include <string>

#include "mica/autograd/random.h"
#include "mica/models/auto/auto_model.h"

namespace {

void write_vocabulary(const std::string& folder) {
  std::ofstream vocabulary(folder + "/vocab.txt");
  for (const char* special : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}) vocabulary << special << '\n';
  for (char c = '!'; c <= '~'; ++c) vocabulary << c << '\n';
  for (char c = 'a'; c <= 'z'; ++c) vocabulary << "##" << c << '\n';
  std::ofstream(folder + "/tokenizer_config.json") << R"({"tokenizer_class": "BertTokenizer", "do_lower_case": true,
  "model_max_length": 64, "pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]",
  "mask_token": "[MASK]"})";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_model FOLDER\n");
    return 2;
  }
  mica::Config config = mica::AutoConfig::for_model("bert");
  config.vocab_size = 128;
  config.hidden_size = 32;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.intermediate_size = 64;
  config.max_position_embeddings = 64;
  mica::manual_seed(1);
  mica::AutoModelForPreTraining::from_config(config).save_pretrained(argv[1]);
  write_vocabulary(argv[1]);
  return 0;
}
