#include "mica/tokenizers/readers/sentencepiece_parts.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/tokenizers/marian_decoder.h"
#include "mica/tokenizers/utf8.h"

namespace mica {

using PieceType = SentencePieceModel::PieceType;

std::shared_ptr<const SentencePieceModel> read_model_of_class(const TokenizerClass& owner, const std::string& folder) {
  const std::string path = join_path(folder, files_of_class(owner, folder).front());
  return std::make_shared<SentencePieceModel>(read_sentencepiece_model(read_file(path), path));
}

std::shared_ptr<const SentencePieceModel> read_bpe_model(const TokenizerClass& owner, const std::string& folder) {
  auto model = read_model_of_class(owner, folder);
  if (model->kind != SentencePieceModel::Kind::bpe) {
    throw Error(std::string(owner.name) + " reads BPE models only", printable(model->file, 400),
                "name the class that the model was made for in tokenizer_config.json");
  }
  return model;
}

int32_t need_token(const Vocabulary& vocabulary, const std::optional<std::string>& token, const char* key,
                   const std::string& path) {
  const auto id = token ? vocabulary.find(*token) : std::nullopt;
  if (!id) {
    throw Error(std::string(key) + " \"" + printable(token.value_or(""), 60) + "\" is not in the vocabulary",
                printable(path, 400), "add it, or name another in tokenizer_config.json");
  }
  return *id;
}

NormalizerPtr normalizer_of(const char* json, const std::string& file) {
  const Json config = Json::parse(json);
  return make_normalizer(Fields(config, file, "normalizer"));
}

DecoderPtr make_marks_decoder(const std::string& file, std::vector<std::string> apart) {
  const Json marks = Json::parse(R"({"type":"Replace","pattern":{"String":"▁"},"content":" "})");
  return make_marian_decoder(make_decoder(Fields(marks, file, "decoder")), std::move(apart), Special::apart);
}

AddedToken added_token(std::string content, bool special) {
  AddedToken token;
  token.content = std::move(content);
  token.normalized = false;
  token.special = special;
  return token;
}

void add_control_pieces(const SentencePieceModel& model, Engine& engine) {
  std::vector<AddedToken> tokens;
  for (int32_t id = 0; id < model.size(); ++id) {
    const PieceType type = model.type(id);
    if (type != PieceType::control && type != PieceType::user_defined) continue;
    tokens.push_back(added_token(std::string(model.piece(id)), type == PieceType::control));
  }
  engine.added.add(tokens, engine.model->vocabulary());
}

Merges merges_of_pieces(const SentencePieceModel& model, bool by_score) {
  struct Split {
    double rank;  // the largest first
    size_t left_length, right_length;
    int32_t left, right;
  };
  std::vector<Split> splits;
  for (int32_t id = 0; id < model.size(); ++id) {
    const std::string_view piece = model.piece(id);
    const size_t length = utf8::count(piece);
    const size_t first = splits.size();
    size_t characters = 0;
    for (size_t at = 0; at < piece.size();) {
      at += static_cast<size_t>(utf8::length(static_cast<unsigned char>(piece[at])));
      ++characters;
      if (at == piece.size()) break;
      const auto left = model.vocabulary->find(piece.substr(0, at));
      const auto right = left ? model.vocabulary->find(piece.substr(at)) : std::nullopt;
      if (right)
        splits.push_back(
            {by_score ? model.scores[static_cast<size_t>(id)] : -id, characters, length - characters, *left, *right});
    }
    std::sort(splits.begin() + static_cast<std::ptrdiff_t>(first), splits.end(),
              [](const Split& x, const Split& y) { return std::tie(x.left, x.right) < std::tie(y.left, y.right); });
  }
  std::stable_sort(splits.begin(), splits.end(), [&](const Split& x, const Split& y) {
    if (x.rank != y.rank) return x.rank > y.rank;
    const auto a = std::tie(x.left_length, x.right_length), b = std::tie(y.left_length, y.right_length);
    return by_score ? a > b : a < b;
  });
  Merges merges;
  for (const Split& split : splits) merges.add(model.piece(split.left), model.piece(split.right));
  return merges;
}

std::string named_token(std::string_view name, const SpecialTokens& special) {
  if (name.size() < 2 || name.front() != '{') return std::string(name);
  const std::string key = std::string(name.substr(1, name.size() - 2)) + "_token";
  for (const NamedToken& named : named_special_tokens()) {
    if (key == named.name) return (special.*named.value).value_or("");
  }
  return "";
}

PostProcessor make_template(const Template& around, const Engine& engine, const SpecialTokens& special,
                            std::string_view class_name, const std::string& file, std::string_view language) {
  Json table = Json::object();
  const auto pieces = [&](std::string_view text) {
    Json list = Json::array();
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find(' ', at), text.size());
      std::string_view item = text.substr(at, end - at);
      at = end + 1;
      int type = 0;
      if (const size_t colon = item.rfind(':'); colon != item.npos) {
        type = item[colon + 1] - '0';
        item = item.substr(0, colon);
      }
      if (item == "$A" || item == "$B") {
        list.push_back(Json{{"Sequence", Json{{"id", std::string(item.substr(1))}, {"type_id", type}}}});
        continue;
      }
      const std::string token = item == "{language}" ? std::string(language) : named_token(item, special);
      const auto id = engine.find(token);
      if (!id) {
        throw Error("the vocabulary lacks \"" + printable(token, 60) + "\", which " + std::string(class_name) +
                        " puts around texts",
                    printable(file, 400), "name the class that the model was made for in tokenizer_config.json");
      }
      list.push_back(Json{{"SpecialToken", Json{{"id", token}, {"type_id", type}}}});
      table[token] = Json{{"id", token}, {"ids", Json::array({*id})}, {"tokens", Json::array({token})}};
    }
    return list;
  };
  Json single = pieces(around.single), pair = pieces(around.pair);
  const Json json = {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", table}};
  return PostProcessor(Fields(json, file, "post_processor"));
}

}  // namespace mica
