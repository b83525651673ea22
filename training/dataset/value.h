#pragma once
// One cell of a data set: nothing, a truth value, a number, a text, a list, or a struct of named values.
//
// A Value never changes and copies are cheap: texts and lists of numbers are views that keep their memory alive, be it
// of their own, a column's, or a mapped file's.

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mica {

enum class ValueKind { null, boolean, integer, number, string, integers, numbers, list, structure };

/// "an integer", "a list of numbers", ...: for messages.
std::string_view describe(ValueKind kind);

/// Where a value stands, for errors: a column, and the row in its data set (-1: none).
struct ValueOrigin {
  std::shared_ptr<const std::string> column;
  int64_t row = -1;
  /// `column "label" of row 17`; empty where nothing is known.
  std::string text() const;
};

class Value {
 public:
  /// A field of a struct.
  using Field = std::pair<std::string, Value>;
  using List = std::vector<Value>;
  using Struct = std::vector<Field>;

  Value() = default;  ///< null
  template <std::same_as<bool> Bool>
  Value(Bool value) : kind_(ValueKind::boolean), integer_(value ? 1 : 0) {}
  template <std::integral Integer>
  requires(!std::same_as<Integer, bool>) Value(Integer value) : kind_(ValueKind::integer), integer_(checked(value)) {}
  template <std::floating_point Number>
  Value(Number value) : kind_(ValueKind::number), number_(static_cast<double>(value)) {}
  Value(const char* text) : Value(std::string(text)) {}
  Value(std::string text);
  Value(std::string_view text) : Value(std::string(text)) {}
  Value(std::vector<int64_t> values);
  Value(const std::vector<int32_t>& values) : Value(std::vector<int64_t>(values.begin(), values.end())) {}
  Value(std::vector<double> values);
  Value(const std::vector<float>& values) : Value(std::vector<double>(values.begin(), values.end())) {}
  Value(const std::vector<std::string>& values);
  /// A list; one of integers alone, or of numbers alone, is kept as such. (`Value{x}` of a Value is a list of one.)
  Value(List values);
  Value(std::initializer_list<Value> values) : Value(List(values)) {}
  /// A struct; throws Error where a name occurs twice.
  static Value structure(Struct fields);
  // Views of memory that `keep` keeps.
  static Value view(std::string_view text, std::shared_ptr<const void> keep);
  static Value view(std::span<const int64_t> values, std::shared_ptr<const void> keep);
  static Value view(std::span<const double> values, std::shared_ptr<const void> keep);

  ValueKind kind() const { return kind_; }
  bool is_null() const { return kind_ == ValueKind::null; }
  bool is_string() const { return kind_ == ValueKind::string; }
  bool is_list() const {
    return kind_ == ValueKind::integers || kind_ == ValueKind::numbers || kind_ == ValueKind::list;
  }

  // What the cell holds. Each throws Error, naming the column and the row, where it is of another kind.
  bool as_bool() const;
  int64_t as_int() const;                    ///< of an integer or a truth value
  double as_double() const;                  ///< of any number
  std::string_view as_string() const;        ///< valid as long as this value or a copy of it
  std::span<const int64_t> as_ints() const;  ///< of a list of integers; likewise
  /// Of a list of numbers; copies, so that lists of integers are welcome.
  std::vector<double> as_doubles() const;
  std::vector<std::string> as_strings() const;  ///< of a list of texts
  /// The items of any list.
  List as_list() const;
  const Struct& as_struct() const;
  /// A field of a struct; throws Error where there is none of that name.
  const Value& operator[](std::string_view field) const;
  /// The item of a list; throws Error where the index is out of range.
  Value at(int64_t index) const;
  /// Items of a list, fields of a struct; throws Error for other kinds.
  int64_t size() const;

  /// A text, where a function takes one: `tokenizer(example["text"])`.
  operator std::string_view() const { return as_string(); }

  /// As JSON, cut short for people.
  std::string text() const;
  /// Same kind and same content; the origin does not count. NaN equals itself.
  friend bool operator==(const Value& a, const Value& b);

  const ValueOrigin& origin() const { return origin_; }
  Value with_origin(ValueOrigin origin) const&;
  Value with_origin(ValueOrigin origin) &&;
  /// "it holds WHAT (column "label" of row 17)": the Error for a value that is not what was `wanted`.
  [[noreturn]] void fail(std::string_view wanted) const;

 private:
  template <std::integral Integer>
  static int64_t checked(Integer value) {
    if (!std::in_range<int64_t>(value)) too_large();
    return static_cast<int64_t>(value);
  }
  [[noreturn]] static void too_large();
  static Value view_of(ValueKind kind, const void* data, size_t size, std::shared_ptr<const void> keep);

  ValueKind kind_ = ValueKind::null;
  union {
    int64_t integer_ = 0;
    double number_;
    const void* data_;  // characters, int64_t, double, Value, or a Struct
  };
  size_t size_ = 0;
  std::shared_ptr<const void> keep_;
  ValueOrigin origin_;
};

}  // namespace mica
