#include "mica/models/generation/constraints/json_shapes.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <unordered_map>

#include "mica/base/error.h"
#include "mica/models/generation/constraints/json_text.h"

namespace mica::constraint_detail {
namespace {

constexpr size_t kMaxShapes = 1000;
constexpr int kMaxDepth = 200;
constexpr int64_t kMaxMultiple = 1000;

std::string escaped(std::string_view key) {
  std::string out;
  for (const char c : key) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

const Json& want(const Json& value, bool holds, const std::string& at, const char* what) {
  if (!holds) schema_error("not " + std::string(what), at, "write " + std::string(what));
  return value;
}

int64_t count(const Json& value, const std::string& at) {
  const bool whole =
      value.is_number() && std::isfinite(value.get<double>()) && value.get<double>() == std::floor(value.get<double>());
  want(value, whole && value.get<double>() >= 0 && value.get<double>() <= 1e9, at, "an integer from 0 to 1000000000");
  return static_cast<int64_t>(value.get<double>());
}

const Json& number(const Json& value, const std::string& at) {
  return want(value, value.is_number() && std::isfinite(value.get<double>()), at, "a number");
}

std::string string(const Json& value, const std::string& at) {
  return want(value, value.is_string(), at, "a string").get<std::string>();
}

bool boolean(const Json& value, const std::string& at) {
  return want(value, value.is_boolean(), at, "true or false").get<bool>();
}

const Json& list(const Json& value, const std::string& at) {
  return want(value, value.is_array() && !value.empty(), at, "an array that is not empty");
}

unsigned type_named(const Json& value, const std::string& at) {
  const std::string name = string(value, at);
  if (name == "null") return kNull;
  if (name == "boolean") return kBoolean;
  if (name == "integer") return kInteger;
  if (name == "number") return kInteger | kFraction;
  if (name == "string") return kString;
  if (name == "array") return kArray;
  if (name == "object") return kObject;
  schema_error("unknown type \"" + printable(name, 40) + "\"", at,
               "known are null, boolean, integer, number, string, array, object");
}

bool is_one_of(const std::string& key, std::initializer_list<const char*> keys) {
  return std::any_of(keys.begin(), keys.end(), [&](const char* other) { return key == other; });
}

// Keywords that say nothing about which values fit.
bool is_annotation(const std::string& key) {
  return is_one_of(key,
                   {"title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly",
                    "$schema", "$comment", "$defs", "definitions", "discriminator", "externalDocs"}) ||
         key.starts_with("x-");
}

void raise_low(std::optional<Bound>& low, Bound bound) {
  if (low) {
    const int order = bound.value.compare(low->value);
    if (order < 0 || (order == 0 && !bound.strict)) return;
  }
  low = std::move(bound);
}
void lower_high(std::optional<Bound>& high, Bound bound) {
  if (high) {
    const int order = bound.value.compare(high->value);
    if (order > 0 || (order == 0 && !bound.strict)) return;
  }
  high = std::move(bound);
}
void lower_max(int64_t& max, int64_t bound) {
  if (max < 0 || bound < max) max = bound;
}

}  // namespace

void schema_error(const std::string& problem, const std::string& pointer, const std::string& mend) {
  throw Error(problem + " at #" + printable(pointer, 200), "JSON schema", mend);
}

// The schemas through which $ref, allOf and anyOf led to one: meeting one of them again would go on without end.
struct SchemaReader::Ancestry {
  const Json* schema;
  std::shared_ptr<const Ancestry> parent;
};

struct SchemaReader::Pending {
  SchemaNode node;
  std::shared_ptr<const Ancestry> ancestry;
};

struct SchemaReader::Work {
  std::vector<Pending> pending;
  std::vector<std::vector<Pending>> choices;  // one of each must fit
  std::set<const Json*> seen;
  Shape shape;
};

std::vector<Shape> SchemaReader::shapes(const SchemaSet& schemas) const {
  Work work;
  for (const SchemaNode& node : schemas) work.pending.push_back({node, nullptr});
  std::vector<Shape> out;
  expand(std::move(work), 0, out);
  return out;
}

void SchemaReader::expand(Work work, int depth, std::vector<Shape>& out) const {
  while (!work.pending.empty()) {
    const Pending next = std::move(work.pending.front());
    work.pending.erase(work.pending.begin());
    const Json& json = *next.node.json;
    if (json.is_boolean()) {
      if (!json.get<bool>()) return;
      continue;
    }
    want(json, json.is_object(), next.node.pointer, "a schema, which is an object, true or false");
    for (const Ancestry* a = next.ancestry.get(); a != nullptr; a = a->parent.get()) {
      if (a->schema == &json) {
        schema_error("the schema refers to itself without end", next.node.pointer,
                     "let references to itself stand in properties or items");
      }
    }
    if (work.seen.insert(&json).second) read(next, work);
  }
  if (work.choices.empty()) {
    if (out.size() >= kMaxShapes) {
      schema_error("more than " + std::to_string(kMaxShapes) + " combinations of alternatives", "",
                   "use fewer anyOf and oneOf side by side");
    }
    out.push_back(std::move(work.shape));
    return;
  }
  if (depth > kMaxDepth) schema_error("alternatives are nested too deeply", "", "use fewer levels of anyOf and oneOf");
  const std::vector<Pending> ways = std::move(work.choices.back());
  work.choices.pop_back();
  for (const Pending& way : ways) {
    Work branch = work;
    branch.pending.push_back(way);
    expand(std::move(branch), depth + 1, out);
  }
}

void SchemaReader::read(const Pending& pending, Work& work) const {
  const Json& schema = *pending.node.json;
  for (const auto& [key, value] : schema.items()) {
    if (is_annotation(key)) continue;
    read_keyword(key, value, pending.node.pointer + "/" + escaped(key), pending, work);
  }
}

SchemaNode SchemaReader::resolve(const std::string& reference, const std::string& at) const {
  if (reference.empty() || reference[0] != '#' || (reference.size() > 1 && reference[1] != '/')) {
    schema_error("reference to \"" + printable(reference, 80) + "\", which is not in this schema", at,
                 "write a JSON pointer, as in #/$defs/name");
  }
  const Json* target = &root_;
  for (size_t from = 1; from < reference.size();) {
    const size_t end = std::min(reference.find('/', from + 1), reference.size());
    std::string key;
    for (size_t i = from + 1; i < end; ++i) {
      if (reference[i] == '~' && i + 1 < end && (reference[i + 1] == '0' || reference[i + 1] == '1')) {
        key += reference[++i] == '0' ? '~' : '/';
      } else if (reference[i] == '%' && i + 2 < end &&
                 std::isxdigit(static_cast<unsigned char>(reference[i + 1])) != 0 &&
                 std::isxdigit(static_cast<unsigned char>(reference[i + 2])) != 0) {
        key += static_cast<char>(std::stoi(reference.substr(i + 1, 2), nullptr, 16));
        i += 2;
      } else {
        key += reference[i];
      }
    }
    const Json* next = nullptr;
    if (target->is_object() && target->contains(key)) next = &target->at(key);
    if (target->is_array() && !key.empty() && key.size() < 7 && key.find_first_not_of("0123456789") == key.npos) {
      const auto index = static_cast<size_t>(std::stoi(key));
      if (index < target->size()) next = &(*target)[index];
    }
    if (next == nullptr) {
      schema_error("reference to \"" + printable(reference, 80) + "\", which does not exist", at, "define it");
    }
    target = next;
    from = end;
  }
  return {target, reference.substr(1)};
}

void SchemaReader::read_keyword(const std::string& key, const Json& value, const std::string& at,
                                const Pending& pending, Work& work) const {
  const Json& schema = *pending.node.json;
  Shape& shape = work.shape;
  const auto below = [&](const Json& json, const std::string& pointer) {
    return Pending{{&json, pointer}, std::make_shared<Ancestry>(Ancestry{&schema, pending.ancestry})};
  };

  if (key == "$ref") {
    const SchemaNode target = resolve(string(value, at), at);
    work.pending.push_back(below(*target.json, target.pointer));
  } else if (key == "allOf") {
    for (size_t i = 0; i < list(value, at).size(); ++i) {
      work.pending.push_back(below(value[i], at + "/" + std::to_string(i)));
    }
  } else if (key == "anyOf" || key == "oneOf") {
    std::vector<Pending> ways;
    for (size_t i = 0; i < list(value, at).size(); ++i) ways.push_back(below(value[i], at + "/" + std::to_string(i)));
    work.choices.push_back(std::move(ways));
  } else if (key == "type") {
    unsigned types = 0;
    if (value.is_array()) {
      for (const Json& one : list(value, at)) types |= type_named(one, at);
    } else {
      types = type_named(value, at);
    }
    if (schema.contains("nullable") && boolean(schema["nullable"], pending.node.pointer + "/nullable")) types |= kNull;
    shape.types &= types;
    shape.typed = true;
  } else if (key == "nullable") {
    if (boolean(value, at) && !schema.contains("type"))
      schema_error("nullable without a type", at, "write type beside it");
  } else if (key == "enum" || key == "const") {
    std::vector<Json> values;
    if (key == "const") {
      values.push_back(value);
    } else {
      for (const Json& one : list(value, at)) values.push_back(one);
    }
    if (shape.values) {
      std::erase_if(values, [&](const Json& one) {
        return std::find(shape.values->begin(), shape.values->end(), one) == shape.values->end();
      });
    }
    shape.values = std::move(values);
    shape.values_at = at;
  } else if (is_one_of(key, {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"})) {
    const Bound bound{Decimal::of(number(value, at)), key.starts_with("exclusive")};
    if (bound.value.fraction.size() > 60) schema_error("a bound with more than 60 digits", at, "round it");
    if (key == "minimum" || key == "exclusiveMinimum") {
      raise_low(shape.numbers.low, bound);
    } else {
      lower_high(shape.numbers.high, bound);
    }
    shape.implied |= kInteger | kFraction;
  } else if (key == "multipleOf") {
    const double of = number(value, at).get<double>();
    if (of != std::floor(of) || of < 1 || of > static_cast<double>(kMaxMultiple) || shape.numbers.multiple_of != 1) {
      schema_error("multipleOf is known for one integer from 1 to " + std::to_string(kMaxMultiple), at, "take it out");
    }
    shape.numbers.multiple_of = static_cast<int64_t>(of);
    shape.types &= ~unsigned{kFraction};
    shape.implied |= kInteger;
  } else if (key == "minLength") {
    shape.min_length = std::max(shape.min_length, count(value, at));
    shape.implied |= kString;
  } else if (key == "maxLength") {
    lower_max(shape.max_length, count(value, at));
    shape.implied |= kString;
  } else if (key == "pattern") {
    shape.patterns.push_back({string(value, at), "JSON schema, #" + printable(at, 200)});
    shape.implied |= kString;
  } else if (key == "format") {
    const std::string format = string(value, at);
    if (format == "int32") {
      raise_low(shape.numbers.low, {Decimal::of(-2147483648LL), false});
      lower_high(shape.numbers.high, {Decimal::of(2147483647LL), false});
    } else if (!is_one_of(format, {"int64", "float", "double"})) {
      const char* pattern = format_pattern(format);
      if (pattern == nullptr) {
        schema_error("unknown format \"" + printable(format, 40) + "\"", at,
                     "known are " + known_formats() + ", int32, int64, float, double; or write a pattern");
      }
      shape.patterns.push_back({pattern, "format " + format});
      shape.implied |= kString;
    }
  } else if (key == "properties" || key == "additionalProperties") {
    if (key == "additionalProperties" && schema.contains("properties")) return;  // read with them
    Shape::Members members;
    if (key == "properties") {
      for (const auto& [name, property] : want(value, value.is_object(), at, "an object").items()) {
        members.named.emplace_back(name, SchemaNode{&property, at + "/" + escaped(name)});
      }
    }
    if (schema.contains("additionalProperties")) {
      members.additional = {&schema["additionalProperties"], pending.node.pointer + "/additionalProperties"};
    }
    shape.members.push_back(std::move(members));
    shape.implied |= kObject;
  } else if (key == "required") {
    for (const Json& name : want(value, value.is_array(), at, "an array of names")) {
      const std::string read = string(name, at);
      if (std::find(shape.required.begin(), shape.required.end(), read) == shape.required.end()) {
        shape.required.push_back(read);
      }
    }
    shape.implied |= kObject;
  } else if (key == "minProperties") {
    shape.min_properties = std::max(shape.min_properties, count(value, at));
    shape.properties_at = at;
    shape.implied |= kObject;
  } else if (key == "maxProperties") {
    lower_max(shape.max_properties, count(value, at));
    shape.properties_at = at;
    shape.implied |= kObject;
  } else if (key == "items" || key == "prefixItems") {
    if (value.is_array() && key == "items") {
      schema_error("items is an array", at, "name the schemas of the first items prefixItems");
    }
    if (key == "items" && schema.contains("prefixItems")) return;  // read with them
    Shape::Items items;
    if (key == "prefixItems") {
      for (size_t i = 0; i < list(value, at).size(); ++i) {
        items.prefix.push_back({&value[i], at + "/" + std::to_string(i)});
      }
    }
    if (schema.contains("items")) items.rest = {&schema["items"], pending.node.pointer + "/items"};
    shape.items.push_back(std::move(items));
    shape.items_at = at;
    shape.implied |= kArray;
  } else if (key == "minItems") {
    shape.min_items = std::max(shape.min_items, count(value, at));
    shape.implied |= kArray;
    if (shape.items_at.empty()) shape.items_at = at;
  } else if (key == "maxItems") {
    lower_max(shape.max_items, count(value, at));
    shape.implied |= kArray;
    if (shape.items_at.empty()) shape.items_at = at;
  } else if (key == "uniqueItems" && value == false) {
  } else if ((key == "unevaluatedProperties" || key == "unevaluatedItems") && value.is_boolean()) {
    // Members and items that no schema speaks of are never made.
  } else if (key == "$id" && pending.node.pointer.empty()) {
  } else {
    schema_error("keyword \"" + printable(key, 40) + "\" is not known", at,
                 "take it out, or say the same with the keywords of docs/constraints.md");
  }
}

}  // namespace mica::constraint_detail
