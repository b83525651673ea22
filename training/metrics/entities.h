#pragma once
// Entities out of tags ("B-PER", "I-PER", "O"), and how many of them were found, as seqeval counts them.

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mica/training/metrics/classification.h"

namespace mica {

enum class EntityScheme : uint8_t {
  lenient,  ///< as conlleval reads any scheme: an entity also begins where a type changes (seqeval's default)
  iob1,     ///< the others are seqeval's strict mode: what does not fit the scheme is no entity
  iob2,
  ioe1,
  ioe2,
  iobes,
  bilou,
};
/// From "lenient", "IOB1", ..., "BILOU", in any case; throws Error listing the names.
EntityScheme entity_scheme(std::string_view name);

/// Tags [begin, end) of one sequence.
struct EntitySpan {
  std::string type{};
  int64_t begin = 0, end = 0;
  auto operator<=>(const EntitySpan&) const = default;
};

using Tags = std::vector<std::string>;

/// In the order of their place. Throws Error for an empty tag and, by a strict scheme, for a prefix that it lacks.
std::vector<EntitySpan> entities(const Tags& tags, EntityScheme scheme = EntityScheme::lenient);

struct EntityReport {
  PrecisionRecallF1 micro{};  ///< of all entities together: what papers report
  PrecisionRecallF1 macro{}, weighted{};
  double accuracy = 0;  ///< share of equal tags
  struct Type {
    std::string type{};
    PrecisionRecallF1 score{};
  };
  std::vector<Type> types{};  ///< in alphabetical order
};

/// One sequence of tags a sentence. Throws Error where the two sides have not the same sentences, word for word.
EntityReport entity_scores(const std::vector<Tags>& predictions, const std::vector<Tags>& references,
                           EntityScheme scheme = EntityScheme::lenient);

}  // namespace mica
