#pragma once
// Deterministic mutations of an input: the same seed gives the same bytes on every machine.

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace mica::fuzz {

using Random = std::mt19937_64;

/// A changed copy of `input`: a few of truncation, changed, inserted, repeated and removed bytes, numbers replaced by
/// ones that overflow or end a range, JSON words and punctuation put in, and splices with another of the `corpus`.
std::string mutate(const std::string& input, const std::vector<std::string>& corpus, Random& random);

}  // namespace mica::fuzz
