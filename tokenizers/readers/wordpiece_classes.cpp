#include "mica/tokenizers/readers/folder.h"

namespace mica {
namespace {

constexpr WordPieceClass bert(const char* name, bool type_ids = true) {
  return {name, "[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]", nullptr, nullptr, type_ids, 0, false};
}

constexpr WordPieceClass kClasses[] = {
    bert("BertTokenizer"),
    bert("ConvBertTokenizer"),
    bert("DPRContextEncoderTokenizer"),
    bert("DPRQuestionEncoderTokenizer"),
    bert("DPRReaderTokenizer", false),
    bert("DistilBertTokenizer", false),
    bert("ElectraTokenizer"),
    bert("LayoutLMTokenizer"),
    bert("LxmertTokenizer"),
    bert("MobileBertTokenizer"),
    bert("RealmTokenizer"),
    bert("RetriBertTokenizer", false),
    bert("SplinterTokenizer", false),
    bert("SqueezeBertTokenizer"),
    {"FunnelTokenizer", "<cls>", "<sep>", "<unk>", "<pad>", "<mask>", "<s>", "</s>", true, 2, false},
    {"MPNetTokenizer", "<s>", "</s>", "[UNK]", "<pad>", "<mask>", "<s>", "</s>", false, 0, true},
};

}  // namespace

const WordPieceClass* find_wordpiece_class(const std::string& name) {
  for (const WordPieceClass& entry : kClasses) {
    if (name == entry.name) return &entry;
  }
  return nullptr;
}

const std::vector<NamedToken>& named_special_tokens() {
  static const std::vector<NamedToken> names = {
      {"bos_token", &SpecialTokens::bos_token},  {"eos_token", &SpecialTokens::eos_token},
      {"unk_token", &SpecialTokens::unk_token},  {"sep_token", &SpecialTokens::sep_token},
      {"pad_token", &SpecialTokens::pad_token},  {"cls_token", &SpecialTokens::cls_token},
      {"mask_token", &SpecialTokens::mask_token}};
  return names;
}

}  // namespace mica
