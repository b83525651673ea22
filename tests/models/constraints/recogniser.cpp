#include "mica/tests/models/constraints/recogniser.h"

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "mica/tokenizers/utf8.h"

namespace mica::test {
namespace {

using constraint_detail::ByteDfa;
using constraint_detail::CodePointSet;
using constraint_detail::Expression;
using constraint_detail::ExpressionPtr;
using Kind = Expression::Kind;

bool contains(const CodePointSet& set, char32_t c) {
  return std::any_of(set.ranges().begin(), set.ranges().end(),
                     [&](const auto& range) { return range.first <= c && c <= range.last; });
}

// Whether some character of the set begins with these bytes: each is spelled and looked at.
bool some_begins(const CodePointSet& set, std::string_view bytes) {
  for (const auto& range : set.ranges()) {
    for (char32_t c = std::max<char32_t>(range.first, 0x80); c <= range.last; ++c) {
      std::string spelled;
      utf8::append(c, spelled);
      if (spelled.starts_with(bytes) && spelled.size() > bytes.size()) return true;
      // All characters with the same bytes but the last begin alike.
      c |= 0x3f;
    }
  }
  return false;
}

bool leads_on(const ByteDfa& dfa, uint32_t state) {
  std::set<uint32_t> seen{state};
  std::vector<uint32_t> open{state};
  while (!open.empty()) {
    const uint32_t at = open.back();
    open.pop_back();
    for (const auto& edge : dfa.states[at].edges) {
      if (dfa.states[edge.to].accepting) return true;
      if (seen.insert(edge.to).second) open.push_back(edge.to);
    }
  }
  return false;
}

}  // namespace

Recogniser::Answer Recogniser::read(std::string_view text) {
  text_ = text;
  wants_more_ = false;
  known_.clear();
  Answer answer;
  answer.whole = ends(rules_[0].body, 0).count(text.size()) != 0;
  answer.begins = answer.whole || wants_more_;
  return answer;
}

const Recogniser::Places& Recogniser::ends(const ExpressionPtr& expression, size_t from) {
  const std::pair key(expression.get(), from);
  const auto known = known_.find(key);
  if (known != known_.end()) return known->second;
  Places found = find_ends(*expression, from);
  return known_.emplace(key, std::move(found)).first->second;
}

Recogniser::Places Recogniser::after_each(const ExpressionPtr& expression, const Places& from) {
  Places all;
  for (const size_t at : from) {
    const Places& found = ends(expression, at);
    all.insert(found.begin(), found.end());
  }
  return all;
}

Recogniser::Places Recogniser::find_ends(const Expression& e, size_t from) {
  const std::string_view rest = text_.substr(from);
  switch (e.kind) {
    case Kind::text:
      if (rest.starts_with(e.text)) return {from + e.text.size()};
      wants_more_ |= std::string_view(e.text).starts_with(rest);
      return {};
    case Kind::set: {
      if (rest.empty()) {
        wants_more_ |= !e.set.empty();
        return {};
      }
      const auto lead = static_cast<unsigned char>(rest[0]);
      const auto length = static_cast<size_t>(utf8::length(lead));
      if (rest.size() < length) {
        wants_more_ |= lead >= 0xc0 && some_begins(e.set, rest);
        return {};
      }
      if (!utf8::is_valid(rest.substr(0, length))) return {};
      const char* p = rest.data();
      return contains(e.set, utf8::next(p)) ? Places{from + length} : Places{};
    }
    case Kind::sequence: {
      Places at{from};
      for (const ExpressionPtr& part : e.parts) at = after_each(part, at);
      return at;
    }
    case Kind::choice: {
      Places all;
      for (const ExpressionPtr& part : e.parts) all.merge(Places(ends(part, from)));
      return all;
    }
    case Kind::repeat: {
      Places at{from}, all;
      for (int64_t i = 0; i < e.min; ++i) at = after_each(e.parts[0], at);
      all = at;
      for (int64_t i = e.min; (e.max < 0 || i < e.max) && !at.empty(); ++i) {
        Places fresh;
        for (const size_t end : after_each(e.parts[0], at)) {
          if (all.insert(end).second) fresh.insert(end);
        }
        at = std::move(fresh);
      }
      return all;
    }
    case Kind::rule:
      return ends(rules_[e.rule].body, from);
    case Kind::list: {
      const size_t items = e.parts.size() - 1;
      Places none{from}, some;
      for (size_t i = 0; i < items; ++i) {
        Places done = after_each(e.parts[i], none);
        done.merge(after_each(e.parts[i], after_each(e.parts.back(), some)));
        for (Places more = done; e.repeats_last && i + 1 == items && !more.empty();) {
          Places fresh;
          for (const size_t end : after_each(e.parts[i], after_each(e.parts.back(), more))) {
            if (done.insert(end).second) fresh.insert(end);
          }
          more = std::move(fresh);
        }
        if (e.required[i]) {
          none.clear();
          some = std::move(done);
        } else {
          some.merge(done);
        }
      }
      some.merge(none);
      return some;
    }
    case Kind::automaton: {
      Places all;
      uint32_t state = 0;
      if (e.automaton->states.empty()) return all;
      for (size_t at = from;; ++at) {
        if (e.automaton->states[state].accepting) all.insert(at);
        if (at == text_.size()) {
          wants_more_ |= leads_on(*e.automaton, state);
          return all;
        }
        const auto byte = static_cast<uint8_t>(text_[at]);
        const auto& edges = e.automaton->states[state].edges;
        const auto edge = std::find_if(edges.begin(), edges.end(),
                                       [&](const auto& one) { return one.first <= byte && byte <= one.last; });
        if (edge == edges.end()) return all;
        state = edge->to;
      }
    }
  }
  return {};
}

}  // namespace mica::test
