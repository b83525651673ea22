#pragma once
// Low-rank adapters of linear layers (LoRA: Hu et al. 2021): what a layer adds to its product while its own weight
// stays as it is,
//
//   y = x · Wᵀ + b + sum over active adapters of scale · dropout(x) · Aᵀ · Bᵀ,   A [rank, in], B [out, rank].

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mica/models/virtual_tokens.h"
#include "mica/tensor/tensor.h"

namespace mica {

struct LowRank {
  Tensor a, b;
  double scale = 1;
  double dropout = 0;
};

/// The adapters of one layer. Layers share theirs with their copies.
class AdapterSlot {
 public:
  /// `transposed`: the layer's weight is [in, out].
  AdapterSlot(int64_t in, int64_t out, bool transposed) : in_(in), out_(out), transposed_(transposed) {}
  int64_t in() const { return in_; }
  int64_t out() const { return out_; }
  bool transposed() const { return transposed_; }

  std::map<std::string, LowRank>& adapters() { return adapters_; }
  const std::map<std::string, LowRank>& adapters() const { return adapters_; }
  void set_active(std::vector<std::string> names) { active_ = std::move(names); }
  void set_training(bool on) { training_ = on; }
  /// Whether any of the active adapters is here.
  bool any_active() const;
  /// y with what the active adapters make of x [..., in].
  Tensor add_to(const Tensor& y, const Tensor& x) const;

 private:
  int64_t in_, out_;
  bool transposed_;
  std::map<std::string, LowRank> adapters_;
  std::vector<std::string> active_;
  bool training_ = false;
};

/// The layers of a model that can have adapters, by the names of their modules, and the settings of each adapter.
struct AdapterRegistry {
  std::vector<std::pair<std::string, std::shared_ptr<AdapterSlot>>> slots{};
  /// adapter_config.json by the adapter's name.
  std::map<std::string, std::string> configs{};
  std::vector<std::string> active{};
  /// Of the adapters that are virtual tokens in place of low ranks; one that is active is so alone.
  std::map<std::string, VirtualTokens> virtual_tokens{};

  /// Null: none is active.
  const VirtualTokens* active_virtual_tokens() const;
};

}  // namespace mica
