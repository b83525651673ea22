#include "mica/tensor/torch/opcodes.h"

#include <algorithm>
#include <cstdio>
#include <iterator>

namespace mica::torch {

std::string describe(uint8_t opcode) {
  struct Name {
    uint8_t opcode;
    const char* name;
  };
  constexpr Name kNames[] = {{'i', "INST"},        {'o', "OBJ"},         {'P', "PERSID"},    {0x81, "NEWOBJ"},
                             {0x92, "NEWOBJ_EX"},  {0x82, "EXT1"},       {0x83, "EXT2"},     {0x84, "EXT4"},
                             {'0', "POP"},         {'1', "POP_MARK"},    {'2', "DUP"},       {'I', "INT"},
                             {'L', "LONG"},        {'F', "FLOAT"},       {'S', "STRING"},    {'V', "UNICODE"},
                             {'g', "GET"},         {'p', "PUT"},         {'l', "LIST"},      {'d', "DICT"},
                             {0x8b, "LONG4"},      {0x8f, "EMPTY_SET"},  {0x90, "ADDITEMS"}, {0x91, "FROZENSET"},
                             {0x96, "BYTEARRAY8"}, {0x97, "NEXT_BUFFER"}};
  char hex[8];
  std::snprintf(hex, sizeof hex, "0x%02x", static_cast<unsigned>(opcode));
  const auto* const it =
      std::find_if(std::begin(kNames), std::end(kNames), [&](const Name& each) { return each.opcode == opcode; });
  return it == std::end(kNames) ? hex : std::string(it->name) + " (" + hex + ")";
}

}  // namespace mica::torch
