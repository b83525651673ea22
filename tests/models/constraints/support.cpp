#include "mica/tests/models/constraints/support.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <set>

#include "mica/tests/models/constraints/pcre.h"
#include "mica/tests/tokenizers/test_data.h"
#include "mica/tokenizers/tokenizer.h"
#include "mica/tokenizers/utf8.h"

namespace mica::test {
namespace {

struct Published {
  explicit Published(const std::string& name)
      : tokenizer(Tokenizer::from_json(read_gz(data_folder(name) + "/tokenizer.json.gz"))),
        tokens(tokenizer.token_bytes()),
        vocabulary(tokenizer, {tokenizer.token_to_id("<|endoftext|>").value_or(0)}) {}
  Tokenizer tokenizer;
  std::vector<std::string> tokens;
  ConstraintVocabulary vocabulary;
};

const Published& published(const std::string& name) {
  static std::map<std::string, Published> all;
  const auto known = all.find(name);
  return known != all.end() ? known->second : all.emplace(name, Published(name)).first->second;
}

}  // namespace

const ConstraintVocabulary& published_vocabulary(const std::string& name) {
  return published(name).vocabulary;
}
const std::vector<std::string>& published_tokens(const std::string& name) {
  return published(name).tokens;
}

std::vector<std::string> small_vocabulary(size_t more, unsigned seed) {
  static const std::string source =
      R"({"name": "Zoë", "age": 37, "tags": ["a", "b\n", "\u00e9\ud83d\ude00"], "ok": true, "none": null, "x": -1.5e+10}, )"
      R"([[], {}, [{"a":[1,2,{"b":"c"}]}]], "日本語 текст 😀", "", "\\", "\"", false, 0.25, 100, -7, "2024-02-29T12:30:00Z")"
      "answer: yes no maybe (1+2)*3 - x/y\n\tif (a < b) { return \"s\"; } aaaa abab bbba 0123456789 ]]]} }]} \"}]";
  std::mt19937 random(seed);
  std::set<std::string> known;
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) {
    tokens.emplace_back(1, static_cast<char>(byte));
    known.insert(tokens.back());
  }
  for (size_t tries = 0; tokens.size() < 256 + more && tries < 100 * more; ++tries) {
    const size_t from = random() % source.size(), length = 2 + random() % 7;
    std::string piece = source.substr(from, length);
    if (random() % 8 == 0) piece += source.substr(random() % source.size(), 3);
    if (known.insert(piece).second) tokens.push_back(piece);
  }
  tokens.emplace_back();
  return tokens;
}

std::vector<int64_t> allowed_tokens(TokenConstraint& constraint, int64_t vocabulary) {
  std::vector<uint64_t> bits(static_cast<size_t>(vocabulary + 63) / 64, ~uint64_t{0});
  constraint.mask(bits);
  std::vector<int64_t> tokens;
  for (size_t i = 0; i < bits.size(); ++i) {
    for (uint64_t word = bits[i]; word != 0; word &= word - 1) {
      tokens.push_back(static_cast<int64_t>(i) * 64 + std::countr_zero(word));
    }
  }
  return tokens;
}

Made random_text(TokenConstraint& constraint, const std::vector<std::string>& tokens, std::mt19937& random,
                 int64_t patience, int64_t most) {
  Made made;
  for (; made.steps < most && !made.ended; ++made.steps) {
    if (constraint.finished()) {
      made.ended = true;
      break;
    }
    std::vector<int64_t> allowed = allowed_tokens(constraint, static_cast<int64_t>(tokens.size()));
    if (made.steps >= patience) {
      for (const char* const marks : {"", "\"", "]", "}", "\"]}"}) {
        std::vector<int64_t> closing;
        for (const int64_t token : allowed) {
          const std::string& text = tokens[static_cast<size_t>(token)];
          if (text.find_first_not_of(marks) == text.npos) closing.push_back(token);
        }
        if (closing.empty()) continue;
        allowed = closing;
        break;
      }
    }
    const int64_t token = allowed[random() % allowed.size()];
    constraint.advance(token);
    // Of the tokens that a mask allows, only an end token adds nothing.
    made.ended = tokens[static_cast<size_t>(token)].empty();
    made.text += tokens[static_cast<size_t>(token)];
  }
  return made;
}

namespace {

bool is_integer(const Json& value) {
  return value.is_number() && std::floor(value.get<double>()) == value.get<double>();
}

bool has_type(const Json& value, const std::string& type) {
  if (type == "integer") return is_integer(value);
  if (type == "number") return value.is_number();
  return type == value.type_name();
}

const Json& target_of(const Json& root, const std::string& reference) {
  return root.at(Json::json_pointer(reference.substr(1)));
}

std::string first_wrong(const Json& schema, const Json& value, const Json& root) {
  const auto fails = [](const std::string& keyword) { return keyword; };
  if (schema.is_boolean()) return schema.get<bool>() ? "" : "false";
  for (const auto& [key, k] : schema.items()) {
    if (key == "$ref") {
      if (std::string w = why_invalid(target_of(root, k), value, root); !w.empty()) return w;
    } else if (key == "type") {
      bool fits = false;
      for (const Json& type : k.is_array() ? k : Json::array({k})) fits |= has_type(value, type);
      fits |= value.is_null() && schema.value("nullable", false);
      if (!fits) return fails("type");
    } else if (key == "enum") {
      if (std::find(k.begin(), k.end(), value) == k.end()) return fails("enum");
    } else if (key == "const") {
      if (k != value) return fails("const");
    } else if (key == "allOf") {
      for (const Json& one : k) {
        if (std::string w = why_invalid(one, value, root); !w.empty()) return w;
      }
    } else if (key == "anyOf") {
      if (std::none_of(k.begin(), k.end(), [&](const Json& one) { return why_invalid(one, value, root).empty(); })) {
        return fails("anyOf");
      }
    } else if (value.is_number() && key == "minimum") {
      if (value.get<double>() < k.get<double>()) return fails(key);
    } else if (value.is_number() && key == "maximum") {
      if (value.get<double>() > k.get<double>()) return fails(key);
    } else if (value.is_number() && key == "exclusiveMinimum") {
      if (value.get<double>() <= k.get<double>()) return fails(key);
    } else if (value.is_number() && key == "exclusiveMaximum") {
      if (value.get<double>() >= k.get<double>()) return fails(key);
    } else if (value.is_number() && key == "multipleOf") {
      if (!is_integer(value) || value.get<int64_t>() % k.get<int64_t>() != 0) return fails(key);
    } else if (value.is_string() && key == "minLength") {
      if (utf8::count(value.get<std::string>()) < k.get<size_t>()) return fails(key);
    } else if (value.is_string() && key == "maxLength") {
      if (utf8::count(value.get<std::string>()) > k.get<size_t>()) return fails(key);
    } else if (value.is_string() && key == "pattern") {
      if (!Pcre(k.get<std::string>(), {.utf = true}).finds(value.get<std::string>())) return fails(key);
    } else if (value.is_array() && key == "minItems") {
      if (value.size() < k.get<size_t>()) return fails(key);
    } else if (value.is_array() && key == "maxItems") {
      if (value.size() > k.get<size_t>()) return fails(key);
    } else if (value.is_array() && (key == "items" || key == "prefixItems")) {
      const size_t prefix = schema.contains("prefixItems") ? schema["prefixItems"].size() : 0;
      for (size_t i = key == "items" ? prefix : 0; i < (key == "items" ? value.size() : std::min(prefix, value.size()));
           ++i) {
        if (std::string w = why_invalid(key == "items" ? k : k[i], value[i], root); !w.empty()) return w;
      }
    } else if (value.is_object() && key == "required") {
      for (const Json& name : k) {
        if (!value.contains(name.get<std::string>())) return fails(key);
      }
    } else if (value.is_object() && (key == "minProperties" || key == "maxProperties")) {
      if (key[1] == 'i' ? value.size() < k.get<size_t>() : value.size() > k.get<size_t>()) return fails(key);
    } else if (value.is_object() && (key == "properties" || key == "additionalProperties")) {
      for (const auto& [name, member] : value.items()) {
        const bool named = schema.contains("properties") && schema["properties"].contains(name);
        if (named != (key == "properties")) continue;
        if (std::string w = why_invalid(named ? k[name] : k, member, root); !w.empty()) return w;
      }
    }
  }
  return "";
}

}  // namespace

std::string why_invalid(const Json& schema, const Json& value, const Json& root) {
  const std::string wrong = first_wrong(schema, value, root);
  return wrong.empty() ? "" : wrong + " of " + schema.dump();
}

}  // namespace mica::test
