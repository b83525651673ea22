#include "mica/tokenizers/fast_path.h"

#include "mica/tokenizers/bert_fast.h"
#include "mica/tokenizers/byte_level_fast.h"
#include "mica/tokenizers/unigram_fast.h"

namespace mica {

std::shared_ptr<const FastPath> make_fast_path(const Normalizer* normalizer, const PreTokenizer* pre_tokenizer,
                                               const TokenModel* model) {
  if (auto path = BertFast::make(normalizer, pre_tokenizer, model)) return path;
  if (auto path = ByteLevelFast::make(normalizer, pre_tokenizer, model)) return path;
  if (auto path = UnigramFast::make(normalizer, pre_tokenizer, model)) return path;
  return nullptr;
}

}  // namespace mica
