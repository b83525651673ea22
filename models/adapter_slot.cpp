#include "mica/models/adapter_slot.h"

#include <algorithm>

#include "mica/autograd/elementwise.h"
#include "mica/autograd/linear.h"
#include "mica/autograd/random.h"

namespace mica {

bool AdapterSlot::any_active() const {
  return std::any_of(active_.begin(), active_.end(), [&](const std::string& name) { return adapters_.contains(name); });
}

Tensor AdapterSlot::add_to(const Tensor& y, const Tensor& x) const {
  Tensor sum = y;
  for (const std::string& name : active_) {
    const auto found = adapters_.find(name);
    if (found == adapters_.end()) continue;
    const LowRank& adapter = found->second;
    const Tensor seen = dropout(x, training_ ? adapter.dropout : 0);
    const Tensor added = linear(linear(seen, adapter.a), adapter.b);
    sum = add(sum, adapter.scale == 1 ? added : affine(added, adapter.scale));
  }
  return sum;
}

const VirtualTokens* AdapterRegistry::active_virtual_tokens() const {
  for (const std::string& name : active) {
    const auto found = virtual_tokens.find(name);
    if (found != virtual_tokens.end()) return &found->second;
  }
  return nullptr;
}

}  // namespace mica
