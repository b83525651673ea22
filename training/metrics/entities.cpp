#include "mica/training/metrics/entities.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "mica/base/error.h"

namespace mica {
namespace {

enum Prefix : uint8_t { I = 1, O = 2, B = 4, E = 8, S = 16, U = 32, L = 64, any_prefix = 127 };
enum class Types : uint8_t { any, same, different };

// The tag before, this tag, and how their types compare.
struct Pattern {
  int before, here;
  Types types;
};

struct Scheme {
  std::string_view name;
  int allowed;
  std::vector<Pattern> start, inside, end;
};

// Where an entity starts, goes on, and has ended before this tag, by each strict scheme. As in seqeval, an entity that
// doesn't end by these rules is none.
const std::array<Scheme, 6>& schemes() {
  constexpr Types any = Types::any, same = Types::same, different = Types::different;
  static const std::array<Scheme, 6> all{{
      {"IOB1",
       I | O | B,
       {{O, I, any}, {I, I, different}, {B, I, any}, {I | B, B, same}},
       {{B | I, I, same}},
       {{I, I, different}, {I, O | B, any}, {B, O, any}, {B, I, different}, {B, B, same}}},
      {"IOB2",
       I | O | B,
       {{any_prefix, B, any}},
       {{B | I, I, same}},
       {{I, O | B, any}, {I, I, different}, {B, O | B, any}, {B, I, different}}},
      {"IOE1",
       I | O | E,
       {{O, I, any}, {I, I, different}, {E, I, any}, {E, E, same}},
       {{I, I | E, same}},
       {{I, I, different}, {I, O, any}, {I, E, different}, {E, I | E, same}}},
      {"IOE2", I | O | E, {{O | E, I | E, any}, {I, I | E, different}}, {{I, I | E, same}}, {{E, any_prefix, any}}},
      {"IOBES", I | O | B | E | S, {{any_prefix, B | S, any}}, {{B | I, I | E, same}}, {{S | E, any_prefix, any}}},
      {"BILOU", B | I | L | O | U, {{any_prefix, B | U, any}}, {{B | I, I | L, same}}, {{U | L, any_prefix, any}}},
  }};
  return all;
}

struct Tag {
  int prefix = O;
  std::string type{};
};

int prefix_of(char c) {
  constexpr std::string_view letters = "IOBESUL";
  const size_t at = letters.find(c);
  return at == std::string_view::npos ? 0 : 1 << at;
}

[[noreturn]] void refuse(const std::string& tag, std::string_view scheme) {
  throw Error("tag \"" + printable(tag) + "\" is none of " + std::string(scheme), "entities",
              "name the scheme that the tags follow, or lenient");
}

Tag strict_tag(const std::string& text, const Scheme& scheme) {
  Tag tag{.prefix = text.empty() ? 0 : prefix_of(text[0]), .type = {}};
  if ((tag.prefix & scheme.allowed) == 0) refuse(text, scheme.name);
  const size_t first = text.find_first_not_of('-', 1);
  tag.type = first == std::string::npos ? "_" : text.substr(first, text.find_last_not_of('-') - first + 1);
  return tag;
}

bool fits(const Tag& before, const Tag& here, const std::vector<Pattern>& patterns) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const Pattern& each) {
    return (before.prefix & each.before) != 0 && (here.prefix & each.here) != 0 &&
           (each.types == Types::any || (before.type == here.type) == (each.types == Types::same));
  });
}

std::vector<EntitySpan> strict_entities(const Tags& tags, const Scheme& scheme) {
  std::vector<Tag> all;
  for (const std::string& each : tags) all.push_back(strict_tag(each, scheme));
  all.push_back({.prefix = O, .type = "_"});
  std::vector<EntitySpan> found;
  const Tag outside{.prefix = O, .type = "_"};
  const Tag* before = &outside;
  for (size_t i = 0; i < all.size();) {
    const size_t begin = i++;
    if (fits(*before, all[begin], scheme.start)) {
      while (fits(all[i - 1], all[i], scheme.inside)) ++i;  // the O at the end is inside of nothing
      if (fits(all[i - 1], all[i], scheme.end)) {
        found.push_back({all[begin].type, static_cast<int64_t>(begin), static_cast<int64_t>(i)});
      }
    }
    before = &all[i - 1];
  }
  return found;
}

// By the rules of conlleval: which letters end the entity before, and which start one.
bool lenient_end(char before, char here, bool same_type) {
  if (before == 'E' || before == 'S') return true;
  if ((before == 'B' || before == 'I') && (here == 'B' || here == 'S' || here == 'O')) return true;
  return before != 'O' && before != '.' && !same_type;
}

bool lenient_start(char before, char here, bool same_type) {
  if (here == 'B' || here == 'S') return true;
  if ((before == 'E' || before == 'S' || before == 'O') && (here == 'E' || here == 'I')) return true;
  return here != 'O' && here != '.' && !same_type;
}

std::vector<EntitySpan> lenient_entities(const Tags& tags) {
  std::vector<EntitySpan> found;
  char before = 'O';
  std::string type_before = "_";
  int64_t begin = 0;
  for (size_t i = 0; i <= tags.size(); ++i) {
    const std::string tag = i < tags.size() ? tags[i] : "O";
    if (tag.empty()) refuse(tag, "any scheme");
    const size_t dash = tag.find('-', 1);
    std::string type = tag.substr(dash == std::string::npos ? 1 : dash + 1);
    if (type.empty()) type = "_";
    const bool same = type == type_before;
    if (lenient_end(before, tag[0], same)) found.push_back({type_before, begin, static_cast<int64_t>(i)});
    if (lenient_start(before, tag[0], same)) begin = static_cast<int64_t>(i);
    before = tag[0];
    type_before = std::move(type);
  }
  return found;
}

}  // namespace

EntityScheme entity_scheme(std::string_view name) {
  std::string upper(name);
  for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  if (upper == "LENIENT") return EntityScheme::lenient;
  std::string all = "lenient";
  for (size_t i = 0; i < schemes().size(); ++i) {
    if (schemes()[i].name == upper) return static_cast<EntityScheme>(i + 1);
    all += ", " + std::string(schemes()[i].name);
  }
  throw Error("unknown scheme " + printable(name), "entities", "use one of " + all);
}

std::vector<EntitySpan> entities(const Tags& tags, EntityScheme scheme) {
  if (scheme == EntityScheme::lenient) return lenient_entities(tags);
  return strict_entities(tags, schemes()[static_cast<size_t>(scheme) - 1]);
}

EntityReport entity_scores(const std::vector<Tags>& predictions, const std::vector<Tags>& references,
                           EntityScheme scheme) {
  if (predictions.size() != references.size()) {
    throw Error(
        std::to_string(predictions.size()) + " predictions, " + std::to_string(references.size()) + " references",
        "entity_scores", "give one prediction for each reference");
  }
  struct Counts {
    int64_t both = 0, predicted = 0, actual = 0;
  };
  std::map<std::string, Counts> types;
  int64_t equal = 0, words = 0;
  for (size_t i = 0; i < references.size(); ++i) {
    if (predictions[i].size() != references[i].size()) {
      throw Error("sentence " + std::to_string(i) + " has " + std::to_string(references[i].size()) + " tags, " +
                      std::to_string(predictions[i].size()) + " predicted",
                  "entity_scores", "predict one tag a word");
    }
    for (size_t k = 0; k < references[i].size(); ++k) equal += predictions[i][k] == references[i][k] ? 1 : 0;
    words += static_cast<int64_t>(references[i].size());
    const std::vector<EntitySpan> predicted = entities(predictions[i], scheme),
                                  actual = entities(references[i], scheme);
    const std::set<EntitySpan> known(actual.begin(), actual.end());
    for (const EntitySpan& each : actual) ++types[each.type].actual;
    for (const EntitySpan& each : predicted) {
      Counts& counts = types[each.type];
      ++counts.predicted;
      if (known.contains(each)) ++counts.both;
    }
  }
  EntityReport report;
  report.accuracy = words == 0 ? 0 : static_cast<double>(equal) / static_cast<double>(words);
  Counts all;
  std::vector<PrecisionRecallF1> scores;
  for (const auto& [type, each] : types) {
    all = {all.both + each.both, all.predicted + each.predicted, all.actual + each.actual};
    scores.push_back(score_of_counts(each.both, each.predicted, each.actual));
    report.types.push_back({type, scores.back()});
  }
  report.micro = score_of_counts(all.both, all.predicted, all.actual);
  report.macro = mean_score(scores, false);
  report.weighted = mean_score(scores, true);
  return report;
}

}  // namespace mica
