#pragma once
// The values of a running template: Python's, as far as templates see them.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "mica/base/json.h"
#include "mica/tokenizers/chat/meter.h"

namespace mica::jinja {

enum class Kind : uint8_t {
  missing,  // a variable that was never set; no expression has this value
  undefined,
  none,
  boolean,
  integer,
  real,
  string,
  list,
  tuple,
  dict,
  range,
  iterator,  // read once, as Python's generators
  view,      // d.keys(), d.values(), d.items()
  macro,
  function,
  names,  // namespace()
  loop,
  cycler,
  joiner,
};

/// What a value refers to. `depth` is how deep objects nest inside it, so that hostile nesting is refused before a
/// recursive walk (printing, comparing, freeing) could exhaust the stack.
struct Object {
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() = default;
  int depth = 0;
  Charge charge;
};

/// What an object costs beside what it holds.
inline constexpr int64_t kObjectBytes = 128;

struct Text;
struct Items;
struct Dict;

class Value {
 public:
  Value() = default;
  static Value undefined(std::string why = {});
  static Value none() { return Value(Kind::none); }
  static Value boolean(bool value);
  static Value integer(int64_t value);
  static Value real(double value);
  Value(Kind kind, std::shared_ptr<Object> object) : kind_(kind), object_(std::move(object)) {}

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_number() const { return is(Kind::boolean) || is(Kind::integer) || is(Kind::real); }
  /// Booleans are the integers 0 and 1 in arithmetic.
  bool is_integral() const { return is(Kind::boolean) || is(Kind::integer); }

  bool as_bool() const { return number_.integer != 0; }
  int64_t as_integer() const { return number_.integer; }
  double as_real() const { return is(Kind::real) ? number_.real : static_cast<double>(number_.integer); }
  const std::string& as_text() const;
  /// The elements of a list or tuple.
  const std::vector<Value>& items() const;
  const Dict& dict() const;
  template <typename T>
  T& object() const {
    return static_cast<T&>(*object_);
  }
  const std::shared_ptr<Object>& pointer() const { return object_; }
  int depth() const { return object_ ? object_->depth : 0; }

  /// Text that the filter `safe` or `escape` has marked: what is added to it is escaped.
  bool markup() const { return markup_; }
  Value& set_markup(bool value) {
    markup_ = value;
    return *this;
  }

 private:
  explicit Value(Kind kind) : kind_(kind) {}
  Kind kind_ = Kind::missing;
  bool markup_ = false;
  union {
    int64_t integer = 0;
    double real;
  } number_;
  std::shared_ptr<Object> object_;
};

struct Text : Object {
  std::string bytes;   // UTF-8
  int64_t length = 0;  // code points
  bool ascii() const { return length == static_cast<int64_t>(bytes.size()); }
};

struct Items : Object {
  std::vector<Value> values;
  bool group = false;  // a tuple of the filter groupby, with the attributes grouper and list
};

/// In the order of insertion.
struct Dict : Object {
  struct Hash {
    size_t operator()(const Value& value) const;
  };
  struct Same {
    bool operator()(const Value& a, const Value& b) const;
  };
  std::vector<std::pair<Value, Value>> entries;

  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
  /// Adds an entry, or replaces the value of the key that is there.
  void set(Value key, Value value);

 private:
  // Made once the dict is too long for a walk.
  std::unordered_map<Value, size_t, Hash, Same> index_;
};

struct Range : Object {
  int64_t start = 0, stop = 0, step = 1, length = 0;
};

struct Iterator : Object {
  std::vector<Value> values;
  size_t next = 0;
  const char* type = "generator";
};

struct View : Object {
  enum class Part { keys, values, items } part = Part::keys;
  Value dict;
};

struct Names : Object {
  Dict values;
};

struct Cycler : Object {
  std::vector<Value> values;
  size_t position = 0;
};

struct Joiner : Object {
  Value separator;
  bool used = false;
};

struct Args {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

class Runtime;
using Native = Value (*)(Runtime& runtime, const Value& self, Args& args);

/// A global function, or a method together with its value.
struct Function : Object {
  const char* name = "";
  Native run = nullptr;
  Value self;
};

bool truthy(const Value& value);
/// Python's ==.
bool equal(const Value& a, const Value& b);
/// Python's name of the type: "str", "dict", ...
const char* type_name(const Value& value);
bool hashable(const Value& value);
/// len(), for what has one.
std::optional<int64_t> length_of(const Value& value);

/// The number when the real is one and fits.
std::optional<int64_t> exact_integer(double value);

}  // namespace mica::jinja
