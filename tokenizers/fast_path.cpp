#include "mica/tokenizers/fast_path.h"

#include "mica/tokenizers/bert_fast.h"
#include "mica/tokenizers/byte_level_fast.h"
#include "mica/tokenizers/unigram_fast.h"

namespace mica {

std::shared_ptr<const FastPath> make_fast_path(const Normalizer* normalizer, const PreTokenizer* pre_tokenizer,
                                               const TokenModel* model, ImageReader* image) {
  const std::string_view kept = image != nullptr ? image->take_text() : std::string_view();
  // Settings beside the image may have led to another path since.
  const auto tables_of = [&](const char* name) { return kept == name ? image : nullptr; };
  if (auto path = BertFast::make(normalizer, pre_tokenizer, model, tables_of(BertFast::kName))) return path;
  if (auto path = ByteLevelFast::make(normalizer, pre_tokenizer, model, tables_of(ByteLevelFast::kName))) return path;
  if (auto path = UnigramFast::make(normalizer, pre_tokenizer, model)) return path;
  return nullptr;
}

void write_fast_path(const FastPath* path, ImageWriter& image) {
  image.add_text(path != nullptr ? path->name() : "");
  if (path != nullptr) path->write(image);
}

}  // namespace mica
