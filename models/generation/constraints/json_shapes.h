#pragma once
// What a schema says, with references followed and combinations worked out.
//
// A value must fit a set of schemas at once: first one, then those that $ref and allOf add, then one of each anyOf. The
// keywords of such a set are gathered in a Shape; each choice of alternatives gives one. Properties and items are
// again sets of schemas, so that schemas that contain themselves stay finite.

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mica/base/json.h"
#include "mica/models/generation/constraints/json_numbers.h"

namespace mica::constraint_detail {

/// A schema and where it stands, as a JSON pointer.
struct SchemaNode {
  const Json* json = nullptr;
  std::string pointer;
};
/// Schemas that a value must fit at once; none: any value.
using SchemaSet = std::vector<SchemaNode>;

enum JsonType : unsigned {
  kNull = 1,
  kBoolean = 2,
  kInteger = 4,
  kFraction = 8,  ///< numbers that are no integers
  kString = 16,
  kArray = 32,
  kObject = 64,
  kAnyType = 127,
};

struct Shape {
  /// What one schema says of properties; a member that it does not name must fit `additional`.
  struct Members {
    std::vector<std::pair<std::string, SchemaNode>> named = {};
    std::optional<SchemaNode> additional = {};  // nothing: the schema does not say
  };
  struct Items {
    std::vector<SchemaNode> prefix = {};
    std::optional<SchemaNode> rest = {};
  };
  struct Pattern {
    std::string expression, where;
  };

  unsigned types = kAnyType;  // those that `type` and multipleOf leave
  bool typed = false;         // there was a `type`
  unsigned implied = 0;       // those that other keywords speak of
  std::optional<std::vector<Json>> values = {};
  std::string values_at = {};
  NumberRange numbers = {};
  int64_t min_length = 0, max_length = -1;  // -1: without end
  std::vector<Pattern> patterns = {};
  std::vector<Items> items = {};
  int64_t min_items = 0, max_items = -1;
  std::string items_at = {};
  std::vector<Members> members = {};
  std::vector<std::string> required = {};
  int64_t min_properties = 0, max_properties = -1;
  std::string properties_at = {};

  unsigned allowed_types() const { return types & (typed || implied == 0 ? kAnyType : implied); }
};

[[noreturn]] void schema_error(const std::string& problem, const std::string& pointer, const std::string& mend);

class SchemaReader {
 public:
  explicit SchemaReader(const Json& root) : root_(root) {}
  /// The shapes of values that fit all of these; none when that cannot be. Throws Error for keywords that are malformed
  /// or not known.
  std::vector<Shape> shapes(const SchemaSet& schemas) const;

 private:
  struct Ancestry;
  struct Pending;
  struct Work;
  void expand(Work work, int depth, std::vector<Shape>& out) const;
  void read(const Pending& pending, Work& work) const;
  void read_keyword(const std::string& key, const Json& value, const std::string& at, const Pending& pending,
                    Work& work) const;
  SchemaNode resolve(const std::string& reference, const std::string& at) const;

  const Json& root_;
};

}  // namespace mica::constraint_detail
