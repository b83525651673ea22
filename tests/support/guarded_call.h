#pragma once
// The checks around each kernel of the guarded device.

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "mica/base/error.h"
#include "mica/kernels/attention.h"
#include "mica/kernels/linear.h"
#include "mica/kernels/optimizer.h"
#include "mica/kernels/shape.h"
#include "mica/tests/support/guarded_memory.h"

namespace mica::test {

/// A kernel's call: its operands are checked, then the memory is open until it ends.
class GuardedCall {
 public:
  template <typename... Operands>
  explicit GuardedCall(const char* kernel, const Operands&... operands)
      : kernel_(kernel), open_(((check(operands), ...), &guarded_memory())) {
    (compare(operands), ...);
  }

  ~GuardedCall() {
    for (const Copy& each : copies_) backend(Device{}).shape().copy(each.wide, each.narrow);
  }
  GuardedCall(const GuardedCall&) = delete;
  GuardedCall& operator=(const GuardedCall&) = delete;

  /// An operand of 16 bits as float32, written back when the call ends; others as they are.
  View wide(const View& view) {
    if (view.empty() || !is_floating(view.dtype) || item_size(view.dtype) >= 4) return view;
    View copy = view;
    copy.dtype = DType::float32;
    int64_t stride = 1;
    for (int i = view.rank - 1; i >= 0; --i) {
      copy.strides[static_cast<size_t>(i)] = stride;
      stride *= view.size(i);
    }
    for (const Copy& each : copies_) {  // an output may be an input
      if (each.narrow.data != view.data || each.narrow.numel() != view.numel()) continue;
      copy.data = each.wide.data;
      return copy;
    }
    buffers_.emplace_back(static_cast<size_t>(view.numel()));
    copy.data = buffers_.back().data();
    backend(Device{}).shape().copy(view, copy);
    copies_.push_back({view, copy});
    return copy;
  }
  Epilogue wide(Epilogue of) {
    for (View* each : {&of.bias, &of.residual, &of.norm_weight, &of.norm_bias}) *each = wide(*each);
    return of;
  }
  /// In the forward pass kernels take narrow keys and values.
  AttentionArguments wide(AttentionArguments of, bool backward = false) {
    for (View* each : {&of.query, &of.bias, &of.alibi_slopes, &of.sinks}) *each = wide(*each);
    if (backward) {
      for (View* each : {&of.key, &of.value}) *each = wide(*each);
    }
    return of;
  }
  std::span<const ChainStep> wide(std::span<const ChainStep> steps) {
    for (const ChainStep& step : steps) steps_.push_back({step.weight, wide(step.epilogue), wide(step.y)});
    return steps_;
  }

 private:
  struct Copy {
    View narrow, wide;
  };

  void check(const View& view) const {
    if (view.empty()) return;
    int64_t last = 0;
    for (int i = 0; i < view.rank; ++i) last += (view.size(i) - 1) * view.stride(i);
    guarded_memory().check(kernel_, view.data, view.numel() > 0 ? (last + 1) * item_size(view.dtype) : 0);
  }
  template <typename T>
  void check(std::span<const T> items) const {
    for (const T& item : items) check(item);
  }
  void check(const Segments& segments) const {
    if (segments.count() == 0) return;
    guarded_memory().check(kernel_, segments.device, static_cast<int64_t>(segments.host.size_bytes()));
    if (segments.lengths.empty()) return;
    guarded_memory().check(kernel_, segments.device_lengths, static_cast<int64_t>(segments.lengths.size_bytes()));
  }
  void check(const AttentionArguments& of) const {
    for (const View* each : {&of.query, &of.key, &of.value, &of.key_mask, &of.bias, &of.alibi_slopes, &of.sinks}) {
      check(*each);
    }
    check(of.query_segments);
    check(of.key_segments);
  }
  void check(const Epilogue& of) const {
    for (const View* each : {&of.bias, &of.residual, &of.norm_weight, &of.norm_bias}) check(*each);
  }
  void check(const PackedWeight& packed) const {
    guarded_memory().check(kernel_, packed.data,
                           backend(Device{}).linear().packed_bytes(packed.out, packed.in, packed.dtype));
  }
  void check(const ChainStep& step) const {
    check(step.weight);
    check(step.epilogue);
    check(step.y);
  }
  void check(const AdamWItem& of) const {
    for (const View* each : {&of.parameter, &of.gradient, &of.mean, &of.variance, &of.factors}) check(*each);
  }
  void check(const SgdItem& of) const {
    for (const View* each : {&of.parameter, &of.gradient, &of.buffer}) check(*each);
  }
  void check(const LionItem& of) const {
    for (const View* each : {&of.parameter, &of.gradient, &of.mean}) check(*each);
  }
  void check(const AdafactorItem& of) const {
    for (const View* each : {&of.parameter, &of.gradient, &of.mean, &of.row, &of.column, &of.variance}) check(*each);
  }

  // What a device's kernel would read must be what the CPU's reads on the host.
  template <typename Operand>
  void compare(const Operand&) const {}
  void compare(const Segments& segments) const {
    if (segments.count() == 0) return;
    const auto same = [](std::span<const int32_t> host, const int32_t* device) {
      return std::equal(host.begin(), host.end(), device);
    };
    if (same(segments.host, segments.device) && same(segments.lengths, segments.device_lengths)) return;
    throw Error("segments of kernel " + std::string(kernel_) + " differ between host and device", "cuda:9",
                "upload them again after a change");
  }
  void compare(const AttentionArguments& arguments) const {
    compare(arguments.query_segments);
    compare(arguments.key_segments);
  }

  const char* kernel_;
  GuardedMemory::Open open_;
  std::vector<std::vector<float>> buffers_;
  std::vector<Copy> copies_;
  std::vector<ChainStep> steps_;
};

}  // namespace mica::test
