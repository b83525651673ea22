#include "mica/tokenizers/moses_characters.h"

#include <array>
#include <memory>
#include <utility>

namespace mica::moses {
namespace {

constexpr char32_t kEnd = 0x20000;  // of all tables

using Flags = std::array<uint8_t, kEnd>;

std::unique_ptr<const Flags> make_flags() {
  auto flags = std::make_unique<Flags>();
  const std::pair<std::span<const tables::Run>, Property> sets[] = {
      {tables::letter, kLetter},        {tables::sign, kSign},
      {tables::digit, kDigit},          {tables::number, kNumber},
      {tables::lower_case, kLowerCase}, {tables::currency, kCurrency}};
  for (const auto& [runs, property] : sets) {
    for (const tables::Run& run : runs) {
      for (uint32_t c = run.first; c <= run.last; c += run.step) flags->at(c) |= property;
    }
  }
  return flags;
}

}  // namespace

bool has(char32_t c, uint8_t properties) {
  static const std::unique_ptr<const Flags> flags = make_flags();
  return c < kEnd && ((*flags)[c] & properties) != 0;
}

}  // namespace mica::moses
