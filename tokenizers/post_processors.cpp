#include "mica/tokenizers/post_processors.h"

#include <map>
#include <utility>

#include "mica/base/error.h"
#include "mica/tokenizers/models/vocabulary.h"

namespace mica {
namespace {

// Json made here holds signed integers, Json that was read unsigned ones.
bool is_id(const Json& value) {
  return value.is_number_unsigned()
             ? value.get<uint64_t>() <= Vocabulary::kMaxId
             : value.is_number_integer() && value.get<int64_t>() >= 0 && value.get<int64_t>() <= Vocabulary::kMaxId;
}

using SpecialTable = std::map<std::string, TemplatePiece>;

SpecialTable read_special_tokens(Fields fields, const Json& raw) {
  SpecialTable table;
  for (const auto& [name, value] : raw.items()) {
    Fields entry = fields.object(name.c_str());
    entry.string("id");
    const Json& ids = entry.raw("ids");
    const Json& tokens = entry.raw("tokens");
    entry.finish();
    if (!ids.is_array() || !tokens.is_array() || ids.size() != tokens.size()) {
      entry.fail(entry.path() + ": ids and tokens are not two arrays of one length", "give each token one id");
    }
    TemplatePiece piece;
    for (size_t i = 0; i < ids.size(); ++i) {
      if (!is_id(ids[i]) || !tokens[i].is_string()) {
        entry.fail(entry.path() + ": not an id and a token at position " + std::to_string(i), "mend the file");
      }
      piece.ids.push_back(ids[i].get<int32_t>());
      piece.tokens.push_back(tokens[i].get<std::string>());
    }
    table.emplace(name, std::move(piece));
  }
  return table;
}

std::vector<TemplatePiece> read_pieces(Fields& fields, const char* key, bool pair, const SpecialTable& special) {
  std::vector<TemplatePiece> pieces;
  bool seen[2] = {false, false};
  for (Fields& element : fields.objects(key)) {
    TemplatePiece piece;
    if (auto sequence = element.optional_object("Sequence")) {
      const size_t which = sequence->choice("id", {"A", "B"});
      if (which == 1 && !pair) sequence->fail(sequence->path() + ".id is B, but there is no pair", "use A only");
      piece.sequence = static_cast<int>(which);
      piece.type_id = static_cast<int32_t>(sequence->integer("type_id", 0, 1'000'000));
      sequence->finish();
      seen[which] = true;
    } else {
      Fields token = element.object("SpecialToken");
      const std::string name = token.string("id");
      const auto it = special.find(name);
      if (it == special.end()) {
        token.fail(token.path() + ".id names \"" + printable(name, 60) + "\", which special_tokens lacks",
                   "add it to special_tokens");
      }
      piece = it->second;
      piece.type_id = static_cast<int32_t>(token.integer("type_id", 0, 1'000'000));
      token.finish();
    }
    element.finish();
    pieces.push_back(std::move(piece));
  }
  if (!seen[0] || (pair && !seen[1])) {
    fields.fail(fields.path() + "." + key + " leaves a text out", pair ? "use both A and B" : "use A");
  }
  return pieces;
}

// ["[SEP]", 102]
TemplatePiece read_token_and_id(Fields& fields, const char* key) {
  const Json& value = fields.raw(key);
  if (!value.is_array() || value.size() != 2 || !value[0].is_string() || !is_id(value[1])) {
    fields.fail(fields.path() + "." + key + " is not [token, id]", "mend the file");
  }
  TemplatePiece piece;
  piece.ids.push_back(value[1].get<int32_t>());
  piece.tokens.push_back(value[0].get<std::string>());
  return piece;
}

TemplatePiece sequence_piece(int sequence, int32_t type_id) {
  TemplatePiece piece;
  piece.sequence = sequence;
  piece.type_id = type_id;
  return piece;
}

TemplatePiece with_type(TemplatePiece piece, int32_t type_id) {
  piece.type_id = type_id;
  return piece;
}

}  // namespace

PostProcessor::PostProcessor() : single_{sequence_piece(0, 0)}, pair_{sequence_piece(0, 0), sequence_piece(1, 1)} {}

PostProcessor::PostProcessor(Fields fields) : PostProcessor() {
  json_ = fields.json();
  read(fields);
}

void PostProcessor::read(Fields& fields) {
  const std::string type = fields.string("type");
  if (type == "TemplateProcessing") {
    read_template(fields);
  } else if (type == "BertProcessing") {
    read_fixed(fields, false);
  } else if (type == "RobertaProcessing") {
    read_fixed(fields, true);
  } else if (type == "ByteLevel") {
    read_trim(fields);
    fields.boolean("use_regex", true);
  } else if (type == "Sequence") {
    for (Fields& part : fields.objects("processors")) read(part);
  } else {
    fields.fail("unknown post-processor \"" + printable(type, 60) + "\" at " + fields.path(),
                "known are BertProcessing, ByteLevel, RobertaProcessing, Sequence, TemplateProcessing");
  }
  fields.finish();
}

void PostProcessor::read_trim(Fields& fields) {
  const bool add_prefix_space = fields.boolean("add_prefix_space", true);
  if (fields.boolean("trim_offsets", true)) trims_.push_back(add_prefix_space);
}

void PostProcessor::read_template(Fields& fields) {
  if (has_template_) fields.fail("two templates in one post_processor", "keep one of them");
  has_template_ = true;
  const SpecialTable special = read_special_tokens(fields.object("special_tokens"), fields.raw("special_tokens"));
  single_ = read_pieces(fields, "single", false, special);
  pair_ = read_pieces(fields, "pair", true, special);
}

void PostProcessor::read_fixed(Fields& fields, bool roberta) {
  if (has_template_) fields.fail("two templates in one post_processor", "keep one of them");
  has_template_ = true;
  const TemplatePiece sep = read_token_and_id(fields, "sep");
  const TemplatePiece cls = read_token_and_id(fields, "cls");
  single_ = {cls, sequence_piece(0, 0), sep};
  if (roberta) {
    read_trim(fields);
    overflow_keeps_sequence_type_ = false;
    pair_ = {cls, sequence_piece(0, 0), sep, sep, sequence_piece(1, 0), sep};
  } else {
    pair_ = {cls, sequence_piece(0, 0), sep, sequence_piece(1, 1), with_type(sep, 1)};
  }
}

int64_t PostProcessor::added(bool pair) const {
  int64_t n = 0;
  for (const TemplatePiece& piece : pieces(pair)) n += static_cast<int64_t>(piece.ids.size());
  return n;
}

}  // namespace mica
