#include "mica/tensor/torch/globals.h"

#include <algorithm>
#include <array>

namespace mica::torch {
namespace {

using What = Global::What;

constexpr std::array kGlobals = std::to_array<Global>({
    {"collections", "OrderedDict", What::ordered_dict, ""},
    {"torch._utils", "_rebuild_tensor_v2", What::rebuild_tensor_v2, ""},
    {"torch._utils", "_rebuild_tensor_v3", What::rebuild_tensor_v3, ""},
    {"torch._utils", "_rebuild_tensor", What::rebuild_tensor, ""},
    {"torch._utils", "_rebuild_parameter", What::rebuild_parameter, ""},
    {"torch._utils", "_rebuild_parameter_with_state", What::rebuild_parameter_with_state, ""},
    // What extra entries of training scripts hold.
    {"torch", "Size", What::size, ""},
    {"torch", "device", What::plain, ""},
    {"_codecs", "encode", What::plain, ""},  // bytes, before protocol 3
    {"__builtin__", "set", What::plain, ""},
    {"builtins", "set", What::plain, ""},

    {"torch", "FloatStorage", What::storage_type, "F32"},
    {"torch", "HalfStorage", What::storage_type, "F16"},
    {"torch", "BFloat16Storage", What::storage_type, "BF16"},
    {"torch", "DoubleStorage", What::storage_type, "F64"},
    {"torch", "LongStorage", What::storage_type, "I64"},
    {"torch", "IntStorage", What::storage_type, "I32"},
    {"torch", "ShortStorage", What::storage_type, "I16"},
    {"torch", "CharStorage", What::storage_type, "I8"},
    {"torch", "ByteStorage", What::storage_type, "U8"},
    {"torch", "BoolStorage", What::storage_type, "BOOL"},
    {"torch", "ComplexFloatStorage", What::storage_type, "C64"},
    {"torch.storage", "UntypedStorage", What::storage_type, ""},
    {"torch.storage", "_UntypedStorage", What::storage_type, ""},  // its name in torch 1.11 and 1.12
    {"torch", "UntypedStorage", What::storage_type, ""},

    {"torch", "float32", What::dtype, "F32"},
    {"torch", "float16", What::dtype, "F16"},
    {"torch", "bfloat16", What::dtype, "BF16"},
    {"torch", "float64", What::dtype, "F64"},
    {"torch", "int64", What::dtype, "I64"},
    {"torch", "int32", What::dtype, "I32"},
    {"torch", "int16", What::dtype, "I16"},
    {"torch", "int8", What::dtype, "I8"},
    {"torch", "uint8", What::dtype, "U8"},
    {"torch", "uint16", What::dtype, "U16"},
    {"torch", "uint32", What::dtype, "U32"},
    {"torch", "uint64", What::dtype, "U64"},
    {"torch", "bool", What::dtype, "BOOL"},
    {"torch", "complex64", What::dtype, "C64"},
    {"torch", "float8_e4m3fn", What::dtype, "F8_E4M3"},
    {"torch", "float8_e5m2", What::dtype, "F8_E5M2"},
    {"torch", "float8_e8m0fnu", What::dtype, "F8_E8M0"},
});

}  // namespace

const Global* find_global(std::string_view module, std::string_view name) {
  const auto* const it = std::find_if(kGlobals.begin(), kGlobals.end(), [&](const Global& global) {
    return global.module == module && global.name == name;
  });
  return it == kGlobals.end() ? nullptr : it;
}

const Global& global_at(int64_t number) {
  return kGlobals.at(static_cast<size_t>(number));
}

int64_t number_of(const Global& global) {
  return &global - kGlobals.data();
}

}  // namespace mica::torch
