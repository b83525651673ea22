#include "mica/base/json.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "mica/base/error.h"
#include "mica/base/file.h"

namespace mica {
namespace {

// An infinite or undefined number, as it passes through the strict grammar: {"__float__": "Infinity"}.
constexpr std::string_view kFloatKey = "__float__";

bool special_number(const std::string& name, double* value) {
  if (name == "NaN")
    *value = std::numeric_limits<double>::quiet_NaN();
  else if (name == "Infinity")
    *value = std::numeric_limits<double>::infinity();
  else if (name == "-Infinity")
    *value = -std::numeric_limits<double>::infinity();
  else
    return false;
  return true;
}

// Replaces the bare words NaN, Infinity and -Infinity outside strings by their object form. Returns false (and leaves
// `out` alone) when there are none, which is nearly always.
bool rewrite_special_numbers(std::string_view text, std::string* out) {
  if (text.find("NaN") == text.npos && text.find("Infinity") == text.npos) return false;
  std::string result;
  bool inside_string = false;
  bool changed = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (inside_string) {
      if (text[i] == '\\' && i + 1 < text.size())
        result += text[i++];
      else if (text[i] == '"')
        inside_string = false;
    } else if (text[i] == '"') {
      inside_string = true;
    } else {
      bool replaced = false;
      for (const std::string_view word : {"NaN", "Infinity", "-Infinity"}) {
        if (text.substr(i, word.size()) == word) {
          result.append("{\"").append(kFloatKey).append("\":\"").append(word).append("\"}");
          i += word.size() - 1;
          replaced = changed = true;
          break;
        }
      }
      if (replaced) continue;
    }
    result += text[i];
  }
  if (changed) *out = std::move(result);
  return changed;
}

// Builds the value while it checks the limits, so that a hostile text is refused before it costs memory.
class Builder {
 public:
  Builder(const std::string& where, JsonLimits limits) : where_(where), limits_(limits) {}

  bool null() { return add(Json(nullptr)); }
  bool boolean(bool value) { return add(Json(value)); }
  bool number_integer(Json::number_integer_t value) { return add(Json(value)); }
  bool number_unsigned(Json::number_unsigned_t value) { return add(Json(value)); }
  bool number_float(Json::number_float_t value, const std::string& text) {
    if (!std::isfinite(value)) fail("number out of range: " + printable(text));
    return add(Json(value));
  }
  bool string(std::string& value) { return add(Json(std::move(value))); }
  bool binary(Json::binary_t&) { return false; }

  bool start_object(size_t) { return open(Json::object()); }
  bool key(std::string& name) {
    Level& level = levels_.back();
    if (!level.keys.insert(name).second) fail("key occurs twice: \"" + printable(name) + "\"");
    // Keys made to share a hash would make the look-up above take forever. Chance gives a dozen in a bucket at most.
    if (level.keys.bucket_size(level.keys.bucket(name)) > 100) fail("keys collide: \"" + printable(name) + "\"");
    level.key = std::move(name);
    return true;
  }
  bool end_object() { return close(); }
  bool start_array(size_t) { return open(Json::array()); }
  bool end_array() { return close(); }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) {
    // The library's message starts with its own tag in brackets; what follows is for people.
    std::string message = error.what();
    if (const size_t end = message.find("] "); end != message.npos) message = message.substr(end + 2);
    fail("invalid JSON at byte " + std::to_string(position) + ": " + printable(message, 200));
  }

  Json take() { return std::move(root_); }

 private:
  struct Level {
    Json value;
    std::string key;
    std::unordered_set<std::string> keys;
  };

  [[noreturn]] void fail(const std::string& problem) const {
    throw Error(problem, printable(where_, 400), "mend the file or fetch it again");
  }

  bool add(Json value) {
    if (++count_ > limits_.max_values) fail("more than " + std::to_string(limits_.max_values) + " values");
    if (levels_.empty()) {
      root_ = std::move(value);
    } else if (Level& level = levels_.back(); level.value.is_object()) {
      level.value.get_ref<Json::object_t&>().emplace_back(std::move(level.key), std::move(value));
    } else {
      level.value.push_back(std::move(value));
    }
    return true;
  }

  bool open(Json value) {
    if (levels_.size() >= static_cast<size_t>(limits_.max_depth)) {
      fail("nested deeper than " + std::to_string(limits_.max_depth));
    }
    levels_.push_back({std::move(value), {}, {}});
    return true;
  }

  bool close() {
    Json value = std::move(levels_.back().value);
    levels_.pop_back();
    if (value.is_object() && value.size() == 1) {
      const auto it = value.find(std::string(kFloatKey));
      double number = 0;
      if (it != value.end() && it->is_string() && special_number(it->get_ref<const std::string&>(), &number)) {
        value = number;
      }
    }
    return add(std::move(value));
  }

  std::string where_;
  JsonLimits limits_;
  std::vector<Level> levels_;
  Json root_;
  int64_t count_ = 0;
};

bool is_special(const Json& value) {
  return value.is_number_float() && !std::isfinite(value.get<double>());
}

bool has_special_numbers(const Json& value) {
  if (!value.is_structured()) return is_special(value);
  return std::any_of(value.begin(), value.end(), has_special_numbers);
}

// Replaces each by the text of mark and name.
void mark_special_numbers(Json& value, const std::string& mark) {
  if (value.is_structured()) {
    for (Json& element : value) mark_special_numbers(element, mark);
  } else if (is_special(value)) {
    const double number = value.get<double>();
    value = mark + (std::isnan(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity");
  }
}

}  // namespace

Json parse_json(std::string_view text, const std::string& where, JsonLimits limits) {
  // The parser takes a zero byte for the end of the text, and would not see what stands behind it.
  if (const size_t zero = text.find('\0'); zero != text.npos) {
    throw Error("invalid JSON at byte " + std::to_string(zero + 1) + ": a zero byte", printable(where, 400),
                "mend the file or fetch it again");
  }
  std::string rewritten;
  if (rewrite_special_numbers(text, &rewritten)) text = rewritten;
  Builder builder(where, limits);
  Json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

Json read_json_file(const std::string& path, JsonLimits limits) {
  return parse_json(read_file(path), path, limits);
}

std::string dump_json(const Json& value) {
  const auto dump = [](const Json& any) { return any.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; };
  std::string text = dump(value);
  if (!has_special_numbers(value)) return text;
  // The library can only write them as null: they pass through it as texts with a mark that nothing else has.
  std::string mark = "__float__";
  while (text.find(mark) != text.npos) mark += '_';
  Json marked = value;
  mark_special_numbers(marked, mark);
  text = dump(marked);
  for (size_t i = text.find(mark); i != text.npos; i = text.find(mark, i)) {
    const size_t end = text.find('"', i);
    const size_t begin = i + mark.size();
    text.replace(i - 1, end + 1 - (i - 1), text.substr(begin, end - begin));
  }
  return text;
}

}  // namespace mica
