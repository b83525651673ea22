#pragma once
// The plainest reading of rules, to hold masks against: every way to read a text from the left, one after another.

#include <cstdint>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "mica/models/generation/constraints/expression.h"

namespace mica::test {

/// For rules without left recursion, in which every part fits some text.
class Recogniser {
 public:
  explicit Recogniser(const constraint_detail::Rules& rules) : rules_(rules) {}

  struct Answer {
    bool whole = false;   // the text fits
    bool begins = false;  // it fits, or it is the beginning of a text that does
  };
  Answer read(std::string_view text);

 private:
  using Places = std::set<size_t>;
  const Places& ends(const constraint_detail::ExpressionPtr& expression, size_t from);
  Places find_ends(const constraint_detail::Expression& e, size_t from);
  Places after_each(const constraint_detail::ExpressionPtr& expression, const Places& from);

  const constraint_detail::Rules& rules_;
  std::string_view text_;
  bool wants_more_ = false;
  std::map<std::pair<const constraint_detail::Expression*, size_t>, Places> known_;
};

}  // namespace mica::test
