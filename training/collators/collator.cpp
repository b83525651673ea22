#include "mica/training/collators/collator.h"

#include <algorithm>

#include "mica/base/error.h"
#include "mica/training/collators/rows.h"

namespace mica {
namespace {

// The model's name of a column; empty for one that no model takes.
std::string_view input_name(std::string_view column) {
  if (column == "label" || column == "label_ids") return "labels";
  const std::vector<std::string>& names = ModelInputs::names();
  return std::find(names.begin(), names.end(), column) == names.end() ? std::string_view() : column;
}

// Lists within lists, of one length on each level, or numbers.
class Stack {
 public:
  Stack(size_t rows, std::string_view column) : column_(column) { dims_.push_back(static_cast<int64_t>(rows)); }

  void add(const Value& value, const Value& cell, size_t depth = 1) {
    if (value.kind() == ValueKind::integers) {
      check_size(value, cell, depth, true);
      for (const int64_t each : value.as_ints()) add_number(static_cast<double>(each), each);
    } else if (value.is_list()) {
      const bool numbers = value.kind() == ValueKind::numbers;
      check_size(value, cell, depth, numbers);
      for (int64_t i = 0; i < value.size(); ++i) add(value.at(i), cell, depth + 1);
    } else {
      if (!deepest(depth)) mismatch(cell);
      if (value.kind() == ValueKind::integer || value.kind() == ValueKind::boolean) {
        add_number(static_cast<double>(value.as_int()), value.as_int());
      } else if (value.kind() == ValueKind::number) {
        fractions_ = true;
        add_number(value.as_double(), 0);
      } else {
        wrong_kind(cell);
      }
    }
  }

  Tensor tensor() const {
    const Shape shape{std::span<const int64_t>(dims_)};
    return fractions_ ? Tensor::from(numbers_, shape) : Tensor::from(integers_, shape);
  }

 private:
  void add_number(double number, int64_t integer) {
    numbers_.push_back(static_cast<float>(number));
    integers_.push_back(integer);
  }

  // All numbers lie at one depth.
  bool deepest(size_t depth) {
    if (depth_ == 0) depth_ = depth;
    return depth_ == depth;
  }

  void check_size(const Value& value, const Value& cell, size_t depth, bool numbers) {
    if (numbers && value.size() > 0 && !deepest(depth + 1)) mismatch(cell);
    if (depth > 4) throw Error("lists within lists beyond four", cell.origin().text(), "flatten them with map()");
    if (dims_.size() == depth) dims_.push_back(value.size());
    if (dims_[depth] != value.size()) {
      throw Error(
          "a list of " + std::to_string(value.size()) + ", where the rows before have " + std::to_string(dims_[depth]),
          cell.origin().text(), "pad with a collator, or with the tokenizer's padding");
    }
  }

  [[noreturn]] static void mismatch(const Value& cell) {
    throw Error("numbers and lists are mixed", cell.origin().text(), "give every row the same shape");
  }

  [[noreturn]] void wrong_kind(const Value& cell) const {
    if (input_name(column_) == "labels" && cell.is_string()) {
      throw Error("the label is a text: " + cell.text(), cell.origin().text(),
                  "number the classes first: class_encode_column(\"" + printable(column_) + "\")");
    }
    cell.fail("a number or a list of numbers");
  }

  std::string_view column_;
  std::vector<int64_t> dims_;
  size_t depth_ = 0;
  bool fractions_ = false;
  std::vector<float> numbers_;
  std::vector<int64_t> integers_;
};

}  // namespace

ModelInputs DataCollator::operator()(std::span<const Example> rows, const BatchContext& context) const {
  if (rows.empty()) throw Error("a batch of no rows", "data collator", "is the data set empty?");
  return collate(rows, context);
}

ModelInputs DefaultDataCollator::collate(std::span<const Example> rows, const BatchContext& /*context*/) const {
  ModelInputs inputs;
  add_others(&inputs, rows, {});
  return inputs;
}

void add_others(ModelInputs* inputs, std::span<const Example> rows, std::initializer_list<std::string_view> done) {
  for (const auto& [column, value] : rows.front().fields()) {
    const std::string_view name = input_name(column);
    if (name.empty() || std::find(done.begin(), done.end(), name) != done.end()) continue;
    Tensor& input = (*inputs)[name];
    if (input.defined()) throw Error("two columns for " + std::string(name), "data collator", "remove one of them");
    // A column that holds nothing in any row is none.
    if (std::all_of(rows.begin(), rows.end(), [&](const Example& each) { return each[column].is_null(); })) continue;
    Stack stack(rows.size(), column);
    for (const Example& each : rows) stack.add(each[column], each[column]);
    input = stack.tensor();
  }
}

}  // namespace mica
