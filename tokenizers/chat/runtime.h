#pragma once
// One rendering: what the parts of the interpreter share. Makes values, counts what they cost, and knows where the
// template is, for errors.

#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mica/tokenizers/chat/chat_template.h"
#include "mica/tokenizers/chat/meter.h"
#include "mica/tokenizers/chat/value.h"

namespace mica::jinja {

class Runtime {
 public:
  Runtime(std::string name, const ChatTemplateLimits& limits, std::function<std::tm()> clock);
  virtual ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  Meter& meter() { return meter_; }
  const ChatTemplateLimits& limits() const { return limits_; }
  std::tm now() const;

  // Values. Each is counted against the limits.
  Value text(std::string bytes);
  Value text(std::u32string_view characters);
  Value list(std::vector<Value> values);
  Value tuple(std::vector<Value> values);
  Value dict(std::vector<std::pair<Value, Value>> entries);
  Value range(int64_t start, int64_t stop, int64_t step);
  Value iterator(std::vector<Value> values, const char* type = "generator");
  Value view(View::Part part, Value dict);
  Value names(std::vector<std::pair<Value, Value>> entries);
  Value cycler(std::vector<Value> values);
  Value joiner(Value separator);
  Value function(const char* name, Native run, Value self = {});
  Value from_json(const Json& json);
  /// For objects that others make.
  template <typename T>
  Value make(Kind kind, std::shared_ptr<T> object, int64_t bytes);

  /// Whatever Python would iterate over; an iterator is used up. Fails for what can't be iterated.
  std::vector<Value> iterate(const Value& value);

  /// Fails with "'x' is undefined" and the like where the value is undefined.
  void check_defined(const Value& value);

  virtual Value call(const Value& callee, Args& args) = 0;
  Value filter(const std::string& name, const Value& value, Args& args);
  bool test(const std::string& name, const Value& value, Args& args);

  void set_line(int32_t line) { line_ = line; }
  int32_t line() const { return line_; }
  /// Throws Error, naming template and line.
  [[noreturn]] void fail(const std::string& problem) const;
  [[noreturn]] void fail(const std::string& problem, const std::string& mend) const;
  const std::string& name() const { return name_; }

 protected:
  Meter meter_;

 private:
  std::string name_;
  ChatTemplateLimits limits_;
  std::function<std::tm()> clock_;
  int32_t line_ = 1;
  // Namespaces can hold themselves: they are emptied at the end.
  std::vector<std::shared_ptr<Names>> all_names_;
  Meter::Use use_;
};

/// Reads the arguments of a native function: by position or by name, as Python binds them.
class Reader {
 public:
  Reader(Runtime& runtime, const char* function, Args& args, std::initializer_list<const char*> names);

  bool has(size_t i) const { return !values_[i].is(Kind::missing); }
  /// Fails where the argument is missing.
  const Value& value(size_t i) const;
  Value value(size_t i, Value fallback) const { return has(i) ? values_[i] : std::move(fallback); }
  bool flag(size_t i, bool fallback) const { return has(i) ? truthy(values_[i]) : fallback; }
  int64_t integer(size_t i) const;
  int64_t integer(size_t i, int64_t fallback) const { return has(i) ? integer(i) : fallback; }
  /// Fails unless the argument is a string.
  const std::string& text(size_t i) const;
  bool is_none(size_t i) const { return !has(i) || values_[i].is(Kind::none); }

 private:
  Runtime& runtime_;
  const char* function_;
  std::vector<const char*> names_;
  std::vector<Value> values_;
};

template <typename T>
Value Runtime::make(Kind kind, std::shared_ptr<T> object, int64_t bytes) {
  meter_.step();
  object->charge = Charge(meter_, bytes + kObjectBytes);
  if (object->depth > limits_.max_depth) fail("values nest deeper than " + std::to_string(limits_.max_depth));
  return {kind, std::move(object)};
}

}  // namespace mica::jinja
