#include "mica/tensor/torch/rebuild.h"

#include <algorithm>
#include <limits>

#include "mica/base/error.h"

namespace mica::torch {
namespace {

using Kind = Value::Kind;
using What = Global::What;

// Numbers from a pickle: non-negative, and arithmetic on them refuses to wrap.
struct Sizes {
  const Fail& fail;

  int64_t size(const Value& value, const char* what) const {
    if (value.kind != Kind::integer || value.number < 0) fail(std::string(what) + " is no size");
    return value.number;
  }
  int64_t mul(int64_t a, int64_t b) const {
    int64_t product = 0;
    if (__builtin_mul_overflow(a, b, &product)) fail("size overflows");
    return product;
  }
  int64_t add(int64_t a, int64_t b) const {
    int64_t sum = 0;
    if (__builtin_add_overflow(a, b, &sum)) fail("size overflows");
    return sum;
  }
};

// (storage, offset, sizes, strides): a view of `storage`, whose elements have `type`.
Value tensor(Pickle& pickle, std::span<const Value> arguments, const safetensors::TypeInfo* type, const Fail& fail) {
  const Sizes sizes{fail};
  if (arguments[0].kind != Kind::storage) fail("tensor without a storage");
  const auto storage_index = static_cast<size_t>(arguments[0].number);
  const StorageRef& storage = pickle.storages[storage_index];
  if (type == nullptr) type = storage.type;
  if (type == nullptr || (storage.type != nullptr && storage.type != type))
    fail("tensor whose storage has another type");
  const int64_t item = type->bits / 8;

  const int64_t offset = sizes.size(arguments[1], "offset of the tensor");
  if (arguments[2].kind != Kind::tuple || arguments[3].kind != Kind::tuple) fail("shape or strides are no tuple");
  const std::span<const Value> dims = pickle.tuple(arguments[2]);
  const std::span<const Value> steps = pickle.tuple(arguments[3]);
  if (dims.size() > kMaxRank) fail("tensor of " + std::to_string(dims.size()) + " dimensions; at most 8 are known");
  if (dims.size() != steps.size()) fail("shape and strides differ in length");

  TensorRef ref{.storage = storage_index, .type = type};
  std::array<int64_t, kMaxRank> shape{};
  int64_t bits = type->bits;
  int64_t last = offset;  // element
  bool empty = false;
  for (size_t i = 0; i < dims.size(); ++i) {
    shape[i] = sizes.size(dims[i], "dimension of the tensor");
    ref.strides[i] = sizes.size(steps[i], "stride of the tensor");
    empty = empty || shape[i] == 0;
    bits = sizes.mul(bits, std::max<int64_t>(shape[i], 1));
    last = sizes.add(last, sizes.mul(std::max<int64_t>(shape[i] - 1, 0), ref.strides[i]));
  }
  const int64_t begin = storage.begin * storage.item_bytes();
  const int64_t room = storage.count * storage.item_bytes();
  const int64_t end = sizes.mul(empty ? 0 : sizes.add(last, 1), item);
  if (end > room) {
    fail("tensor reaches to byte " + std::to_string(end) + " of a storage of " + std::to_string(room) + " bytes");
  }
  // An empty tensor shows nothing, wherever it begins.
  ref.offset = empty ? begin : begin + offset * item;
  ref.shape = Shape(std::span<const int64_t>(shape.data(), dims.size()));
  pickle.tensors.push_back(ref);
  return {Kind::tensor, 0, static_cast<int64_t>(pickle.tensors.size() - 1)};
}

void add_pairs(Pickle& pickle, Pickle::Dict& dict, const Value& list, const Fail& fail) {
  for (const Value& each : pickle.list(list)) {
    const bool is_tuple = each.kind == Kind::tuple;
    if (!is_tuple && each.kind != Kind::list) fail("OrderedDict of something that is no pair");
    const std::span<const Value> pair = is_tuple ? pickle.tuple(each) : std::span<const Value>(pickle.list(each));
    if (pair.size() != 2) fail("OrderedDict of something that is no pair");
    dict.emplace_back(pair[0], pair[1]);
  }
}

// Python 3 makes an empty one and sets its items; Python 2 passed a list of pairs.
Value ordered_dict(Pickle& pickle, std::span<const Value> arguments, const Fail& fail) {
  Pickle::Dict dict;
  if (arguments.size() > 1 || (arguments.size() == 1 && arguments[0].kind != Kind::list)) {
    fail("OrderedDict is called with something else than a list of pairs");
  }
  if (arguments.size() == 1) add_pairs(pickle, dict, arguments[0], fail);
  pickle.dicts.push_back(std::move(dict));
  return {Kind::dict, 0, static_cast<int64_t>(pickle.dicts.size() - 1)};
}

// The last argument of newer files: marks such as "conjugated", under which the elements are not what is stored.
void refuse_marks(const Pickle& pickle, const Value& metadata, const Fail& fail) {
  const bool none = metadata.kind == Kind::none || (metadata.kind == Kind::dict && pickle.dict(metadata).empty());
  if (!none) fail("tensor with metadata (a conjugated or negated view), which are not supported");
}

}  // namespace

Value call(Pickle& pickle, const Global& global, const Value& argument_tuple, const Fail& fail) {
  // Stays where it is: nothing below adds to the items that tuples are made of.
  const std::span<const Value> given = pickle.tuple(argument_tuple);
  const auto expect = [&](size_t least, size_t most) {
    if (given.size() < least || given.size() > most) {
      fail(std::string(global.name) + " is called with " + std::to_string(given.size()) + " arguments");
    }
  };
  switch (global.what) {
    case What::ordered_dict:
      return ordered_dict(pickle, given, fail);
    case What::rebuild_tensor:
      expect(4, 4);
      return tensor(pickle, given, nullptr, fail);
    case What::rebuild_tensor_v2:
      expect(6, 7);
      if (given.size() == 7) refuse_marks(pickle, given[6], fail);
      return tensor(pickle, given, nullptr, fail);
    case What::rebuild_tensor_v3: {
      expect(7, 8);
      if (given.size() == 8) refuse_marks(pickle, given[7], fail);
      if (given[6].kind != Kind::global || global_at(given[6].number).what != What::dtype) fail("dtype is none");
      return tensor(pickle, given, safetensors::find_type(global_at(given[6].number).type), fail);
    }
    case What::rebuild_parameter:
    case What::rebuild_parameter_with_state:
      expect(global.what == What::rebuild_parameter ? 3 : 4, global.what == What::rebuild_parameter ? 3 : 4);
      if (given[0].kind != Kind::tensor) fail("parameter without a tensor");
      return given[0];
    case What::size:
      expect(1, 1);
      if (given[0].kind != Kind::tuple) fail("torch.Size of something that is no tuple");
      return given[0];
    case What::plain:
      return {Kind::opaque};
    case What::storage_type:
    case What::dtype:
      break;
  }
  fail("call of " + std::string(global.module) + "." + std::string(global.name) + ", which is no function");
  return {};
}

Value persistent(Pickle& pickle, const Value& id, const Fail& fail) {
  const Sizes sizes{fail};
  if (id.kind != Kind::tuple) fail("persistent id is no tuple");
  const std::span<const Value> parts = pickle.tuple(id);
  if (parts.empty() || parts[0].kind != Kind::text || pickle.text(parts[0]) != "storage") {
    fail("persistent id of something else than a storage" +
         (parts.empty() || parts[0].kind != Kind::text ? "" : ": \"" + printable(pickle.text(parts[0]), 40) + "\""));
  }
  if (parts.size() < 5 || parts.size() > 6) fail("storage with an id of " + std::to_string(parts.size()) + " parts");
  if (parts[1].kind != Kind::global || global_at(parts[1].number).what != What::storage_type) {
    fail("storage without a type");
  }
  if (parts[2].kind != Kind::text || parts[3].kind != Kind::text) fail("storage whose key or location is no text");
  StorageRef storage;
  storage.key = pickle.text(parts[2]);
  storage.type = safetensors::find_type(global_at(parts[1].number).type);
  storage.items = sizes.size(parts[4], "number of elements of the storage");
  sizes.mul(storage.items, storage.item_bytes());
  storage.count = storage.items;
  if (parts.size() == 6 && parts[5].kind != Kind::none) {
    if (parts[5].kind != Kind::tuple || parts[5].size != 3) fail("view of a storage is no tuple of three");
    const std::span<const Value> view = pickle.tuple(parts[5]);
    storage.begin = sizes.size(view[1], "first element of the view");
    storage.count = sizes.size(view[2], "number of elements of the view");
    if (sizes.add(storage.begin, storage.count) > storage.items) fail("view reaches beyond its storage");
  }
  pickle.storages.push_back(storage);
  return {Kind::storage, 0, static_cast<int64_t>(pickle.storages.size() - 1)};
}

}  // namespace mica::torch
