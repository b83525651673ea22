#include "mica/tensor/torch/pickle.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "mica/base/error.h"
#include "mica/tensor/torch/opcodes.h"
#include "mica/tensor/torch/rebuild.h"

namespace mica::torch {
namespace {

using Kind = Value::Kind;

constexpr const char* kDistrust =
    "the file is damaged or holds more than tensors: ask its source for safetensors, or for a saved model.state_dict()";

class Machine {
 public:
  Machine(std::span<const std::byte> bytes, const PicklePlace& place)
      : bytes_(bytes.first(std::min(bytes.size(), static_cast<size_t>(kMaxPickleBytes)))),
        cut_(bytes.size() > bytes_.size()),
        place_(place),
        fail_([this](const std::string& problem) { fail(problem); }) {
    pickle_.bytes = bytes_;
  }

  Pickle run() {
    do {
      opcode_at_ = next_;
    } while (step(static_cast<uint8_t>(take(1)[0])));
    if (stack_.size() != 1 || !marks_.empty()) fail("pickle ends with more or less than one value");
    pickle_.root = stack_.back();
    pickle_.bytes = bytes_.first(next_);
    return std::move(pickle_);
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const {
    throw Error(problem + " at byte " + std::to_string(place_.base + static_cast<int64_t>(opcode_at_)),
                printable(place_.file, 400), kDistrust);
  }

  // ---- Bytes

  std::span<const std::byte> take(uint64_t count) {
    if (count > bytes_.size() - next_) {
      if (cut_) fail("pickle of more than " + std::to_string(kMaxPickleBytes >> 20) + " MiB");
      fail("pickle is cut short");
    }
    const auto taken = bytes_.subspan(next_, static_cast<size_t>(count));
    next_ += static_cast<size_t>(count);
    return taken;
  }
  template <typename T>
  T number() {
    T value{};
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  // What stands up to the next line feed.
  std::string_view line() {
    constexpr size_t kMaxLine = 1000;
    const auto* const begin = reinterpret_cast<const char*>(bytes_.data()) + next_;
    const size_t room = std::min(bytes_.size() - next_, kMaxLine);
    const auto* const end = static_cast<const char*>(room == 0 ? nullptr : std::memchr(begin, '\n', room));
    if (end == nullptr) fail("name of a global without an end");
    take(static_cast<uint64_t>(end - begin) + 1);
    return {begin, static_cast<size_t>(end - begin)};
  }
  // Text or bytes of that length stand next.
  void push_bytes(Kind kind, uint64_t length) {
    const auto at = static_cast<int64_t>(next_);
    take(length);  // fits 32 bits, as the pickle does
    push({kind, static_cast<uint32_t>(length), at});
  }

  // ---- Stack

  void count_value() {
    if (++values_ > kMaxValues) fail("pickle of more than " + std::to_string(kMaxValues) + " values");
  }
  void push(const Value& value) {
    count_value();
    if (stack_.size() >= kMaxStack) fail("pickle stacks more than " + std::to_string(kMaxStack) + " values");
    stack_.push_back(value);
  }
  // The lowest place that an opcode may take from: what stands below a mark is out of reach.
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  void need(size_t count) const {
    if (stack_.size() - floor() < count) fail("pickle takes a value that is not there");
  }
  Value pop() {
    need(1);
    const Value value = stack_.back();
    stack_.pop_back();
    return value;
  }
  const Value& top() const {
    need(1);
    return stack_.back();
  }
  // Where the values above the last mark begin; the mark is gone.
  size_t pop_mark() {
    if (marks_.empty()) fail("pickle lacks a mark");
    const size_t begin = marks_.back();
    marks_.pop_back();
    return begin;
  }

  // ---- Containers

  void push_tuple(size_t begin) {
    const auto first = static_cast<int64_t>(pickle_.items.size());
    const auto from = stack_.begin() + static_cast<std::ptrdiff_t>(begin);
    pickle_.items.insert(pickle_.items.end(), from, stack_.end());
    const auto size = static_cast<uint32_t>(stack_.size() - begin);
    stack_.resize(begin);
    push({Kind::tuple, size, first});
  }
  void push_short_tuple(size_t size) {
    need(size);
    push_tuple(stack_.size() - size);
  }
  void append(size_t begin) {
    const std::vector<Value> values(stack_.begin() + static_cast<std::ptrdiff_t>(begin), stack_.end());
    stack_.resize(begin);
    if (top().kind != Kind::list) fail("items are added to something that is no list");
    std::vector<Value>& list = pickle_.lists[static_cast<size_t>(top().number)];
    list.insert(list.end(), values.begin(), values.end());
  }
  void set_items(size_t begin) {
    const std::vector<Value> values(stack_.begin() + static_cast<std::ptrdiff_t>(begin), stack_.end());
    stack_.resize(begin);
    if (values.size() % 2 != 0) fail("key without a value");
    if (top().kind != Kind::dict) fail("items are set in something that is no dict");
    Pickle::Dict& dict = pickle_.dicts[static_cast<size_t>(top().number)];
    for (size_t i = 0; i < values.size(); i += 2) dict.emplace_back(values[i], values[i + 1]);
  }

  // ---- Memo

  // Writers number what they memorise one after the other, from 0 or (Python 2) from 1 on.
  void memorise(uint64_t index) {
    if (index > ++puts_) fail("memo number " + std::to_string(index) + " out of turn");
    count_value();
    if (index >= memo_.size()) memo_.resize(static_cast<size_t>(index) + 1);
    memo_[static_cast<size_t>(index)] = top();
  }
  void recall(uint64_t index) {
    if (index >= memo_.size() || !memo_[static_cast<size_t>(index)]) {
      fail("memo number " + std::to_string(index) + " was never set");
    }
    push(*memo_[static_cast<size_t>(index)]);
  }

  // ---- Globals

  void push_global(std::string_view module, std::string_view name) {
    const Global* const global = find_global(module, name);
    if (global == nullptr) {
      fail("global " + printable(std::string(module) + "." + std::string(name)) + " has no place among weights");
    }
    push({Kind::global, 0, number_of(*global)});
  }
  void stack_global() {
    const Value name = pop();
    const Value module = pop();
    if (name.kind != Kind::text || module.kind != Kind::text) fail("name of a global is no text");
    push_global(pickle_.text(module), pickle_.text(name));
  }
  void reduce() {
    const Value arguments = pop();
    const Value function = pop();
    if (function.kind != Kind::global) fail("call of something that is no global");
    if (arguments.kind != Kind::tuple) fail("call without a tuple of arguments");
    push(call(pickle_, global_at(function.number), arguments, fail_));
  }
  // Attributes of an OrderedDict: torch keeps versions of modules there ("_metadata"). They have no bearing on weights.
  void build() {
    pop();
    if (top().kind != Kind::dict) fail("attributes are set on something that is no dict");
  }
  void push_long(uint8_t length) {
    if (length > sizeof(int64_t)) return push_bytes(Kind::bytes, length);
    uint64_t value = 0;
    const std::span<const std::byte> digits = take(length);
    if (length > 0) std::memcpy(&value, digits.data(), length);
    const unsigned unused = 64U - 8U * length;  // two's complement, little-endian
    const auto extended = length == 0 ? 0 : static_cast<int64_t>(value << unused) >> unused;
    push({Kind::integer, 0, extended});
  }

  bool step(uint8_t opcode);

  std::span<const std::byte> bytes_;
  bool cut_;
  const PicklePlace& place_;
  Fail fail_;
  size_t next_ = 0, opcode_at_ = 0;
  size_t values_ = 0;
  std::vector<Value> stack_;
  std::vector<size_t> marks_;
  std::vector<std::optional<Value>> memo_;
  uint64_t puts_ = 0;
  Pickle pickle_;
};

// One opcode; false after the last.
bool Machine::step(uint8_t opcode) {
  switch (opcode) {
    case PROTO:
      if (number<uint8_t>() > 5) fail("pickle of an unknown protocol");
      return true;
    case FRAME:
      if (number<uint64_t>() > bytes_.size() - next_) fail("frame reaches beyond the pickle");
      return true;
    case STOP:
      return false;
    case MARK:
      if (marks_.size() >= kMaxMarks) fail("pickle is nested more than " + std::to_string(kMaxMarks) + " levels deep");
      marks_.push_back(stack_.size());
      return true;

    case NONE:
      push({Kind::none});
      return true;
    case NEWTRUE:
      push({Kind::boolean, 0, 1});
      return true;
    case NEWFALSE:
      push({Kind::boolean, 0, 0});
      return true;
    case BININT:
      push({Kind::integer, 0, number<int32_t>()});
      return true;
    case BININT1:
      push({Kind::integer, 0, number<uint8_t>()});
      return true;
    case BININT2:
      push({Kind::integer, 0, number<uint16_t>()});
      return true;
    case LONG1:
      push_long(number<uint8_t>());
      return true;
    case BINFLOAT:
      take(sizeof(double));
      push({Kind::opaque});
      return true;
    case SHORT_BINUNICODE:
    case SHORT_BINSTRING:
      push_bytes(Kind::text, number<uint8_t>());
      return true;
    case BINUNICODE:
    case BINSTRING:
      push_bytes(Kind::text, number<uint32_t>());
      return true;
    case BINUNICODE8:
      push_bytes(Kind::text, number<uint64_t>());
      return true;
    case SHORT_BINBYTES:
      push_bytes(Kind::bytes, number<uint8_t>());
      return true;
    case BINBYTES:
      push_bytes(Kind::bytes, number<uint32_t>());
      return true;
    case BINBYTES8:
      push_bytes(Kind::bytes, number<uint64_t>());
      return true;

    case EMPTY_TUPLE:
      push_short_tuple(0);
      return true;
    case TUPLE1:
      push_short_tuple(1);
      return true;
    case TUPLE2:
      push_short_tuple(2);
      return true;
    case TUPLE3:
      push_short_tuple(3);
      return true;
    case TUPLE:
      push_tuple(pop_mark());
      return true;
    case EMPTY_LIST:
      pickle_.lists.emplace_back();
      push({Kind::list, 0, static_cast<int64_t>(pickle_.lists.size() - 1)});
      return true;
    case APPEND:
      need(2);
      append(stack_.size() - 1);
      return true;
    case APPENDS:
      append(pop_mark());
      return true;
    case EMPTY_DICT:
      pickle_.dicts.emplace_back();
      push({Kind::dict, 0, static_cast<int64_t>(pickle_.dicts.size() - 1)});
      return true;
    case SETITEM:
      need(3);
      set_items(stack_.size() - 2);
      return true;
    case SETITEMS:
      set_items(pop_mark());
      return true;

    case BINPUT:
      memorise(number<uint8_t>());
      return true;
    case LONG_BINPUT:
      memorise(number<uint32_t>());
      return true;
    case MEMOIZE:
      memorise(puts_);
      return true;
    case BINGET:
      recall(number<uint8_t>());
      return true;
    case LONG_BINGET:
      recall(number<uint32_t>());
      return true;

    case GLOBAL: {
      const std::string_view module = line();
      push_global(module, line());
      return true;
    }
    case STACK_GLOBAL:
      stack_global();
      return true;
    case REDUCE:
      reduce();
      return true;
    case BUILD:
      build();
      return true;
    case BINPERSID:
      push(persistent(pickle_, pop(), fail_));
      return true;
    default:
      fail("opcode " + describe(opcode) + " has no place among weights");
  }
}

}  // namespace

Pickle read_pickle(std::span<const std::byte> bytes, const PicklePlace& place) {
  return Machine(bytes, place).run();
}

}  // namespace mica::torch
