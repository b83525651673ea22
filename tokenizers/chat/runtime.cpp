#include "mica/tokenizers/chat/runtime.h"

#include <algorithm>
#include <limits>

#include "mica/base/error.h"
#include "mica/tokenizers/chat/characters.h"
#include "mica/tokenizers/utf8.h"

namespace mica::jinja {
namespace {

constexpr auto kValueBytes = static_cast<int64_t>(sizeof(Value));

int depth_of(const std::vector<Value>& values) {
  int depth = 0;
  for (const Value& value : values) depth = std::max(depth, value.depth() + 1);
  return depth;
}

int64_t bytes_of(const std::vector<Value>& values) {
  return static_cast<int64_t>(values.size()) * kValueBytes;
}

}  // namespace

Runtime::Runtime(std::string name, const ChatTemplateLimits& limits, std::function<std::tm()> clock)
    : meter_(limits.max_steps, limits.max_memory_bytes),
      name_(std::move(name)),
      limits_(limits),
      clock_(std::move(clock)),
      use_(meter_) {}

Runtime::~Runtime() {
  for (const auto& names : all_names_) names->values.entries.clear();
}

std::tm Runtime::now() const {
  if (clock_) return clock_();
  const std::time_t seconds = std::time(nullptr);
  std::tm result{};
  localtime_r(&seconds, &result);
  return result;
}

void Runtime::fail(const std::string& problem) const {
  fail(problem, "mend the template, or give it what it expects");
}

void Runtime::fail(const std::string& problem, const std::string& mend) const {
  throw Error(problem, name_ + ", line " + std::to_string(line_), mend);
}

Value Runtime::text(std::string bytes) {
  auto object = std::make_shared<Text>();
  const auto size = static_cast<int64_t>(bytes.size());
  meter_.step(size / 64);
  object->length = static_cast<int64_t>(utf8::count(bytes));
  object->bytes = std::move(bytes);
  return make(Kind::string, std::move(object), size);
}

Value Runtime::text(std::u32string_view characters) {
  return text(encode(characters));
}

Value Runtime::list(std::vector<Value> values) {
  auto object = std::make_shared<Items>();
  const int64_t bytes = bytes_of(values);
  object->depth = depth_of(values);
  object->values = std::move(values);
  meter_.step(bytes / kValueBytes);
  return make(Kind::list, std::move(object), bytes);
}

Value Runtime::tuple(std::vector<Value> values) {
  const Value items = list(std::move(values));
  return {Kind::tuple, items.pointer()};
}

Value Runtime::dict(std::vector<std::pair<Value, Value>> entries) {
  auto object = std::make_shared<Dict>();
  const int64_t bytes = static_cast<int64_t>(entries.size()) * 3 * kValueBytes;
  for (auto& [key, value] : entries) {
    meter_.step();
    if (!hashable(key)) fail(std::string("a value of type ") + type_name(key) + " can't be a key");
    object->set(std::move(key), std::move(value));
  }
  return make(Kind::dict, std::move(object), bytes);
}

Value Runtime::range(int64_t start, int64_t stop, int64_t step) {
  if (step == 0) fail("range() with a step of 0");
  constexpr int64_t kMaxRange = 100'000;  // Jinja's own limit in its sandbox
  // In 128 bits, where no difference overflows.
  const __int128 span = step > 0 ? static_cast<__int128>(stop) - start : static_cast<__int128>(start) - stop;
  const __int128 size = step > 0 ? step : -static_cast<__int128>(step);
  const __int128 length = span <= 0 ? 0 : (span + size - 1) / size;
  if (length > kMaxRange) fail("a range of more than " + std::to_string(kMaxRange) + " numbers");
  auto object = std::make_shared<Range>();
  object->start = start;
  object->step = step;
  object->length = static_cast<int64_t>(length);
  object->stop = stop;
  return make(Kind::range, std::move(object), 0);
}

Value Runtime::iterator(std::vector<Value> values, const char* type) {
  auto object = std::make_shared<Iterator>();
  const int64_t bytes = bytes_of(values);
  object->depth = depth_of(values);
  object->values = std::move(values);
  object->type = type;
  return make(Kind::iterator, std::move(object), bytes);
}

Value Runtime::view(View::Part part, Value dict) {
  auto object = std::make_shared<View>();
  object->part = part;
  object->depth = dict.depth() + 1;
  object->dict = std::move(dict);
  return make(Kind::view, std::move(object), 0);
}

Value Runtime::names(std::vector<std::pair<Value, Value>> entries) {
  auto object = std::make_shared<Names>();
  for (auto& [name, value] : entries) object->values.set(std::move(name), std::move(value));
  all_names_.push_back(object);
  return make(Kind::names, std::move(object), kValueBytes * 4);
}

Value Runtime::cycler(std::vector<Value> values) {
  auto object = std::make_shared<Cycler>();
  const int64_t bytes = bytes_of(values);
  object->depth = depth_of(values);
  object->values = std::move(values);
  return make(Kind::cycler, std::move(object), bytes);
}

Value Runtime::joiner(Value separator) {
  auto object = std::make_shared<Joiner>();
  object->depth = separator.depth() + 1;
  object->separator = std::move(separator);
  return make(Kind::joiner, std::move(object), 0);
}

Value Runtime::function(const char* name, Native run, Value self) {
  auto object = std::make_shared<Function>();
  object->name = name;
  object->run = run;
  object->depth = self.depth() + 1;
  object->self = std::move(self);
  return make(Kind::function, std::move(object), 0);
}

Value Runtime::from_json(const Json& json) {
  switch (json.type()) {
    case Json::value_t::null:
      return Value::none();
    case Json::value_t::boolean:
      return Value::boolean(json.get<bool>());
    case Json::value_t::number_unsigned:
      if (json.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        fail("an integer beyond 64 bits: " + json.dump(), "give it as a string");
      }
      return Value::integer(static_cast<int64_t>(json.get<uint64_t>()));
    case Json::value_t::number_integer:
      return Value::integer(json.get<int64_t>());
    case Json::value_t::number_float:
      return Value::real(json.get<double>());
    case Json::value_t::string:
      return text(json.get_ref<const std::string&>());
    case Json::value_t::array: {
      std::vector<Value> values;
      values.reserve(json.size());
      for (const Json& each : json) values.push_back(from_json(each));
      return list(std::move(values));
    }
    case Json::value_t::object: {
      std::vector<std::pair<Value, Value>> entries;
      entries.reserve(json.size());
      for (const auto& [key, value] : json.items()) entries.emplace_back(text(key), from_json(value));
      return dict(std::move(entries));
    }
    default:
      fail("JSON of a kind that templates don't know");
  }
}

std::vector<Value> Runtime::iterate(const Value& value) {
  std::vector<Value> out;
  const auto reserve = [&](size_t count) {
    meter_.step(static_cast<int64_t>(count));
    meter_.room(static_cast<int64_t>(count) * kValueBytes);
    out.reserve(count);
  };
  switch (value.kind()) {
    case Kind::undefined:
      return out;
    case Kind::list:
    case Kind::tuple:
      reserve(value.items().size());
      return value.items();
    case Kind::string: {
      // Each character is a value of its own, which the room must hold.
      reserve(static_cast<size_t>(value.object<Text>().length));
      const std::string& bytes = value.as_text();
      for (const char* p = bytes.data(); p < bytes.data() + bytes.size();) {
        const char* begin = p;
        utf8::next(p);
        out.push_back(text(std::string(begin, p)));
      }
      return out;
    }
    case Kind::dict:
      reserve(value.dict().entries.size());
      for (const auto& [key, entry] : value.dict().entries) out.push_back(key);
      return out;
    case Kind::range: {
      const Range& range = value.object<Range>();
      reserve(static_cast<size_t>(range.length));
      for (int64_t i = 0; i < range.length; ++i) out.push_back(Value::integer(range.start + i * range.step));
      return out;
    }
    case Kind::iterator: {
      Iterator& iterator = value.object<Iterator>();
      reserve(iterator.values.size() - iterator.next);
      out.assign(iterator.values.begin() + static_cast<std::ptrdiff_t>(iterator.next), iterator.values.end());
      iterator.next = iterator.values.size();
      return out;
    }
    case Kind::view: {
      const View& view = value.object<View>();
      const auto& entries = view.dict.dict().entries;
      reserve(entries.size());
      for (const auto& [key, entry] : entries) {
        if (view.part == View::Part::keys) out.push_back(key);
        if (view.part == View::Part::values) out.push_back(entry);
        if (view.part == View::Part::items) out.push_back(tuple({key, entry}));
      }
      return out;
    }
    default:
      fail(std::string("a value of type ") + type_name(value) + " can't be iterated over");
  }
}

void Runtime::check_defined(const Value& value) {
  if (!value.is(Kind::undefined)) return;
  const std::string& why = value.as_text();
  fail(why.empty() ? "a value is undefined" : why);
}

Reader::Reader(Runtime& runtime, const char* function, Args& args, std::initializer_list<const char*> names)
    : runtime_(runtime), function_(function), names_(names), values_(names.size()) {
  if (args.positional.size() > names_.size()) {
    runtime.fail(std::string(function) + "() takes at most " + std::to_string(names_.size()) + " arguments, not " +
                 std::to_string(args.positional.size()));
  }
  std::copy(args.positional.begin(), args.positional.end(), values_.begin());
  for (const auto& argument : args.named) {
    const std::string& name = argument.first;
    const auto same = [&](const char* known) { return name == known; };
    const auto it = std::find_if(names_.begin(), names_.end(), same);
    if (it == names_.end()) {
      runtime.fail(std::string(function) + "() has no argument \"" + printable(name, 40) + "\"");
    }
    Value& slot = values_[static_cast<size_t>(it - names_.begin())];
    if (!slot.is(Kind::missing)) runtime.fail(std::string(function) + "() got \"" + name + "\" twice");
    slot = argument.second;
  }
}

const Value& Reader::value(size_t i) const {
  if (!has(i)) runtime_.fail(std::string(function_) + "() lacks its argument \"" + names_[i] + "\"");
  return values_[i];
}

int64_t Reader::integer(size_t i) const {
  const Value& given = value(i);
  runtime_.check_defined(given);
  if (!given.is_integral()) {
    runtime_.fail(std::string("argument \"") + names_[i] + "\" of " + function_ + "() is no integer but of type " +
                  type_name(given));
  }
  return given.as_integer();
}

const std::string& Reader::text(size_t i) const {
  const Value& given = value(i);
  runtime_.check_defined(given);
  if (!given.is(Kind::string)) {
    runtime_.fail(std::string("argument \"") + names_[i] + "\" of " + function_ + "() is no string but of type " +
                  type_name(given));
  }
  return given.as_text();
}

}  // namespace mica::jinja
