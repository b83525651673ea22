#pragma once
// A text under rules, followed token by token.

#include <memory>
#include <set>
#include <tuple>
#include <vector>

#include "mica/models/generation/constraint.h"
#include "mica/models/generation/constraints/stacks.h"
#include "mica/models/generation/constraints/token_masks.h"

namespace mica::constraint_detail {

class Matcher : public TokenConstraint {
 public:
  explicit Matcher(std::shared_ptr<TokenMasks> masks);

  void mask(std::span<uint64_t> allowed_bits) override;
  void advance(int64_t token) override;
  std::unique_ptr<TokenConstraint> clone() const override { return std::make_unique<Matcher>(*this); }
  bool finished() const override { return ended_ || (may_end_ && !may_go_on_); }

  const TokenMasks& masks() const { return *masks_; }

 private:
  using Visit = std::tuple<uint32_t, StackId, const void*>;
  void collect(uint32_t node, StackId below, const TokenMasks::Start& start, std::set<Visit>& visited);
  void settle(StackId state);
  std::string expected();

  std::shared_ptr<TokenMasks> masks_;
  Stepper stepper_;
  StackStore store_;
  StackId state_ = kNoStacks;
  bool may_end_ = false, may_go_on_ = false, ended_ = false;
  size_t tidy_at_ = 4096;  // sets in the store
  std::vector<uint64_t> bits_;
};

}  // namespace mica::constraint_detail
