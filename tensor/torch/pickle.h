#pragma once
// Internal: the pickles that torch.save writes.
//
// A pickle is a program for a machine with a stack, a memo and the right to call anything that Python can import. Here
// it is read by a closed machine: nothing is imported, called or built. It knows the opcodes that plain data and
// tensors need, and the handful of globals of globals.cpp, whose effect is written out in rebuild.cpp. Everything else
// is refused with an Error that names it and its place, before anything after it is looked at.
//
// Text and bytes are not copied: a value says where they stand in the pickle. All work and memory is bounded by the
// length of the pickle and by the limits below.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mica/tensor/safetensors_header.h"
#include "mica/tensor/shape.h"
#include "mica/tensor/torch/globals.h"

namespace mica::torch {

// A published file of ten thousand tensors has a pickle of 1.5 MB.
inline constexpr int64_t kMaxPickleBytes = int64_t{1} << 26;
inline constexpr size_t kMaxValues = size_t{1} << 22;  // that are pushed or memorised
inline constexpr size_t kMaxStack = size_t{1} << 20;
inline constexpr size_t kMaxMarks = 1000;

/// What the machine knows of a Python object.
struct Value {
  enum class Kind : uint8_t { none, boolean, integer, text, bytes, tuple, list, dict, global, storage, tensor, opaque };
  Kind kind = Kind::none;
  uint32_t size = 0;   ///< of text, bytes (a large integer, too) and a tuple
  int64_t number = 0;  ///< an integer's or boolean's value; else where the content is: see Pickle
};

/// The memory that tensors view, as the pickle names it: `items` elements under the name `key`, of which those from
/// `begin` on, `count` of them, are meant. Without a type, an element is a byte.
struct StorageRef {
  std::string_view key;
  const safetensors::TypeInfo* type = nullptr;
  int64_t items = 0, begin = 0, count = 0;

  int64_t item_bytes() const { return type == nullptr ? 1 : type->bits / 8; }
  int64_t bytes() const { return items * item_bytes(); }  // checked when it was read
};

/// A strided view of a storage. Checked: every element lies inside the storage.
struct TensorRef {
  size_t storage = 0;
  const safetensors::TypeInfo* type = nullptr;
  int64_t offset = 0;  ///< of the first element, in bytes from the beginning of what the storage's key names
  Shape shape;
  std::array<int64_t, kMaxRank> strides{};  ///< in elements, none negative
};

/// Where a pickle stands, for errors.
struct PicklePlace {
  std::string file;
  int64_t base = 0;  ///< added to offsets
};

/// A pickle that has been read.
struct Pickle {
  using Dict = std::vector<std::pair<Value, Value>>;

  std::span<const std::byte> bytes;  ///< up to and with its last opcode
  Value root;
  std::vector<Value> items;               ///< of all tuples: [number, number + size)
  std::vector<std::vector<Value>> lists;  ///< [number]
  std::vector<Dict> dicts;                ///< [number]; as written: a key may occur twice
  std::vector<StorageRef> storages;       ///< [number]
  std::vector<TensorRef> tensors;         ///< [number]

  /// Of a text or of bytes.
  std::string_view text(const Value& value) const {
    return {reinterpret_cast<const char*>(bytes.data()) + value.number, value.size};
  }
  std::span<const Value> tuple(const Value& value) const {
    return std::span(items).subspan(static_cast<size_t>(value.number), value.size);
  }
  const std::vector<Value>& list(const Value& value) const { return lists[static_cast<size_t>(value.number)]; }
  const Dict& dict(const Value& value) const { return dicts[static_cast<size_t>(value.number)]; }
};

/// Reads the one pickle at the beginning of `bytes`, which must outlive the result.
Pickle read_pickle(std::span<const std::byte> bytes, const PicklePlace& place);

}  // namespace mica::torch
