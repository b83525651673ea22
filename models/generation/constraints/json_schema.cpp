#include "mica/models/generation/constraints/json_schema.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "mica/base/error.h"
#include "mica/base/json.h"
#include "mica/models/generation/constraints/automata.h"
#include "mica/models/generation/constraints/json_shapes.h"
#include "mica/models/generation/constraints/json_text.h"
#include "mica/models/generation/constraints/regex.h"

namespace mica::constraint_detail {
namespace {

constexpr size_t kMaxPrefix = 500;
constexpr size_t kMaxRules = 100'000;

void refuse_nonfinite(const Json& value) {
  if (value.is_number_float() && !std::isfinite(value.get<double>())) {
    schema_error("a number that is not finite", "", "write finite numbers");
  }
  if (value.is_structured()) {
    for (const Json& item : value) refuse_nonfinite(item);
  }
}

class Compiler {
 public:
  Compiler(const Json& root, int64_t max_states) : reader_(root), max_states_(max_states) { rule_for({{&root, ""}}); }

  Rules compile() {
    for (size_t i = 0; i < wanted_.size(); ++i) {
      const auto [rule, schemas] = wanted_[i];
      rules_[rule].body = value_of(schemas);
    }
    return std::move(rules_);
  }

 private:
  // A rule for the values that fit these schemas; its body is made later, so that schemas may contain themselves.
  size_t rule_for(SchemaSet schemas) {
    std::erase_if(schemas, [](const SchemaNode& node) { return *node.json == true; });
    std::vector<const Json*> key;
    for (const SchemaNode& node : schemas) key.push_back(node.json);
    std::sort(key.begin(), key.end());
    key.erase(std::unique(key.begin(), key.end()), key.end());
    const auto [it, added] = rule_of_.try_emplace(key, rules_.size());
    if (added) {
      if (rules_.size() > kMaxRules) schema_error("too many combinations of schemas", "", "make the schema smaller");
      rules_.push_back({schemas.empty() ? "any value" : "#" + schemas[0].pointer, nullptr});
      wanted_.emplace_back(it->second, std::move(schemas));
    }
    return it->second;
  }
  ExpressionPtr value(SchemaSet schemas) { return call(rule_for(std::move(schemas))); }

  // Rules that every schema may share.
  ExpressionPtr shared(const std::string& name, const ExpressionPtr& body) {
    const auto [it, added] = shared_.try_emplace(name, rules_.size());
    if (added) rules_.push_back({name, body});
    return call(it->second);
  }
  ExpressionPtr string_rule() { return shared("string", any_string(0, -1)); }

  ExpressionPtr value_of(const SchemaSet& schemas) {
    std::vector<ExpressionPtr> ways;
    for (const Shape& shape : reader_.shapes(schemas)) ways.push_back(value_of(shape));
    return choice(std::move(ways));
  }

  ExpressionPtr value_of(const Shape& shape) {
    if (shape.values) return one_of_values(shape);
    const unsigned types = shape.allowed_types();
    std::vector<ExpressionPtr> ways;
    if ((types & kObject) != 0) ways.push_back(object(shape));
    if ((types & kArray) != 0) ways.push_back(array(shape));
    if ((types & kString) != 0) ways.push_back(string(shape));
    const NumberRange& range = shape.numbers;
    const bool bounded = range.low || range.high;
    if ((types & kFraction) != 0 && range.multiple_of == 1) {
      ways.push_back(bounded ? numbers_in(range, max_states_) : shared("number", numbers_in({}, max_states_)));
    } else if ((types & kInteger) != 0) {
      const bool plain = !bounded && range.multiple_of == 1;
      ways.push_back(plain ? shared("integer", integers_in({}, max_states_)) : integers_in(range, max_states_));
    }
    if ((types & kBoolean) != 0) ways.push_back(choice({text("true"), text("false")}));
    if ((types & kNull) != 0) ways.push_back(text("null"));
    return choice(std::move(ways));
  }

  // ---- values that are listed

  ExpressionPtr one_of_values(const Shape& shape) {
    std::vector<ExpressionPtr> ways;
    for (const Json& value : *shape.values) {
      if (admits(shape, value)) ways.push_back(json_literal(value));
    }
    return choice(std::move(ways));
  }

  bool admits(const Shape& shape, const Json& value) {
    if (value.is_number()) {
      const Decimal number = Decimal::of(value);
      return (shape.types & (number.is_integer() ? kInteger : kFraction)) != 0 && shape.numbers.contains(number);
    }
    if (value.is_string()) {
      if ((shape.types & kString) == 0) return false;
      const std::string spelled = json_string(value.get<std::string>());
      const bool open = shape.patterns.empty() && shape.min_length == 0 && shape.max_length < 0;
      return open || contents(shape).accepts(std::string_view(spelled).substr(1, spelled.size() - 2));
    }
    if (value.is_structured()) {
      if ((shape.types & (value.is_array() ? kArray : kObject)) == 0) return false;
      const bool more = value.is_array()
                            ? !shape.items.empty() || shape.min_items > 0 || shape.max_items >= 0
                            : !shape.members.empty() || !shape.required.empty() || !shape.properties_at.empty();
      if (more) {
        schema_error("a list of values that holds arrays or objects, beside keywords for these", shape.values_at,
                     "take the other keywords out");
      }
      return true;
    }
    return (shape.types & (value.is_null() ? kNull : kBoolean)) != 0;
  }

  // ---- strings

  ByteDfa contents(const Shape& shape) const {
    const ExpressionPtr character = spell_in_string(CodePointSet::all());
    ByteDfa all = build_dfa(repeat(character, shape.min_length, shape.max_length), max_states_);
    for (const Shape::Pattern& pattern : shape.patterns) {
      all = intersection(all, build_dfa(expression_of(pattern), max_states_), max_states_);
    }
    return all;
  }

  static ExpressionPtr expression_of(const Shape::Pattern& pattern) {
    return parse_regex(pattern.expression, {.spell = spell_in_string, .is_pattern = true, .where = pattern.where});
  }

  ExpressionPtr string(const Shape& shape) {
    const bool any_length = shape.min_length == 0 && shape.max_length < 0;
    if (shape.max_length >= 0 && shape.min_length > shape.max_length) return choice({});
    if (shape.patterns.empty()) {
      return any_length ? string_rule() : any_string(shape.min_length, shape.max_length);
    }
    if (any_length && shape.patterns.size() == 1) return in_quotes(expression_of(shape.patterns[0]));
    return in_quotes(automaton(std::make_shared<const ByteDfa>(contents(shape))));
  }

  // ---- objects

  static const SchemaNode* find(const Shape::Members& members, const std::string& name) {
    for (const auto& [known, node] : members.named) {
      if (known == name) return &node;
    }
    return nullptr;
  }

  ExpressionPtr object(const Shape& shape) {
    std::vector<std::string> names;
    const auto add = [&](const std::string& name) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    };
    bool says_which = false;
    for (const Shape::Members& members : shape.members) {
      for (const auto& [name, node] : members.named) add(name);
      says_which |= !members.named.empty();
    }
    for (const std::string& name : shape.required) add(name);

    auto made = std::make_shared<Expression>(Expression{.kind = Expression::Kind::list});
    size_t required = 0;
    for (const std::string& name : names) {
      SchemaSet schemas;
      bool possible = true;
      for (const Shape::Members& members : shape.members) {
        const SchemaNode* node = find(members, name);
        if (node == nullptr && members.additional) node = &*members.additional;
        if (node == nullptr) continue;
        possible &= *node->json != false;
        schemas.push_back(*node);
      }
      const bool needed = std::find(shape.required.begin(), shape.required.end(), name) != shape.required.end();
      if (!possible && needed) return choice({});
      if (!possible) continue;
      made->parts.push_back(sequence({text(json_string(name)), colon(), value(std::move(schemas))}));
      made->required.push_back(needed);
      required += needed ? 1 : 0;
    }

    // Members without a name here are made only where a schema speaks of them, or where none names any.
    SchemaSet others;
    bool open = !says_which;
    for (const Shape::Members& members : shape.members) {
      if (!members.additional) continue;
      others.push_back(*members.additional);
      open = true;
    }
    open &= std::none_of(others.begin(), others.end(), [](const SchemaNode& node) { return *node.json == false; });
    check_counts(shape, required, made->parts.size(), open);
    if (open && shape.max_properties != 0) {
      const ExpressionPtr key = names.empty() ? string_rule() : key_besides(names);
      made->parts.push_back(sequence({key, colon(), value(std::move(others))}));
      made->required.push_back(names.empty() && shape.min_properties == 1);
      made->repeats_last = !(names.empty() && shape.max_properties == 1);
    }
    made->parts.push_back(comma());
    return sequence({text("{"), made, text("}")});
  }

  // How many members there are cannot be counted, apart from what follows from the names.
  static void check_counts(const Shape& shape, size_t required, size_t names, bool open) {
    const auto at_least = static_cast<size_t>(shape.min_properties);
    const bool enough = at_least <= required || (names == 0 && open && at_least == 1);
    const bool few = shape.max_properties < 0 || shape.max_properties == 0 ||
                     (names == 0 && open && shape.max_properties == 1) ||
                     (!open && names <= static_cast<size_t>(shape.max_properties));
    if (enough && few && (shape.max_properties != 0 || names == 0)) return;
    schema_error("a number of properties that does not follow from their names", shape.properties_at,
                 "use required, and additionalProperties: false");
  }

  ExpressionPtr key_besides(const std::vector<std::string>& names) {
    std::vector<ExpressionPtr> known;
    for (const std::string& name : names) known.push_back(text(json_string(name)));
    const ByteDfa all = build_dfa(in_quotes(repeat(spell_in_string(CodePointSet::all()), 0, -1)), max_states_);
    return automaton(std::make_shared<const ByteDfa>(
        difference(all, build_dfa(choice(std::move(known)), max_states_), max_states_)));
  }

  // ---- arrays

  ExpressionPtr array(const Shape& shape) {
    size_t prefix = 0;
    for (const Shape::Items& items : shape.items) prefix = std::max(prefix, items.prefix.size());
    if (prefix > kMaxPrefix) {
      schema_error("more than " + std::to_string(kMaxPrefix) + " schemas for the first items", shape.items_at,
                   "use items for those that are alike");
    }
    int64_t max = shape.max_items;
    const auto limit = [&](size_t count) {
      if (max < 0 || static_cast<int64_t>(count) < max) max = static_cast<int64_t>(count);
    };
    const auto item = [&](size_t i) {  // where false stands in the way, the array ends before
      SchemaSet schemas;
      for (const Shape::Items& items : shape.items) {
        if (i < items.prefix.size()) {
          schemas.push_back(items.prefix[i]);
        } else if (items.rest) {
          schemas.push_back(*items.rest);
        }
      }
      if (std::any_of(schemas.begin(), schemas.end(), [](const SchemaNode& n) { return *n.json == false; })) limit(i);
      return schemas;
    };
    std::vector<SchemaSet> first;
    for (size_t i = 0; i < prefix; ++i) first.push_back(item(i));
    const SchemaSet rest = item(prefix);
    // Items that no schema speaks of are made only where the count asks for them.
    if (prefix > 0 && rest.empty()) limit(std::max(prefix, static_cast<size_t>(shape.min_items)));
    if (max >= 0 && max < shape.min_items) return choice({});
    if (max == 0) return text("[]");

    const auto fixed = static_cast<int64_t>(prefix);
    ExpressionPtr tail = sequence({});
    if (max < 0 || max > fixed) {
      const ExpressionPtr more = value(rest);
      if (prefix == 0) {
        tail = sequence({more, repeat(sequence({comma(), more}), std::max<int64_t>(0, shape.min_items - 1),
                                      max < 0 ? -1 : max - 1)});
        if (shape.min_items == 0) tail = optional(tail);
      } else {
        tail = repeat(sequence({comma(), more}), std::max<int64_t>(0, shape.min_items - fixed),
                      max < 0 ? -1 : max - fixed);
      }
    }
    for (int64_t i = std::min(fixed, max < 0 ? fixed : max) - 1; i >= 0; --i) {
      const ExpressionPtr one = value(first[static_cast<size_t>(i)]);
      tail = i > 0 ? sequence({comma(), one, tail}) : sequence({one, tail});
      if (i >= shape.min_items) tail = optional(tail);
    }
    return sequence({text("["), tail, text("]")});
  }

  SchemaReader reader_;
  int64_t max_states_;
  Rules rules_;
  std::map<std::vector<const Json*>, size_t> rule_of_;
  std::map<std::string, size_t> shared_;
  std::vector<std::pair<size_t, SchemaSet>> wanted_;
};

}  // namespace

Rules json_schema_rules(std::string_view schema, int64_t max_states) {
  const Json root = parse_json(schema, "JSON schema", {.max_values = 1'000'000});
  refuse_nonfinite(root);
  return Compiler(root, max_states).compile();
}

}  // namespace mica::constraint_detail
