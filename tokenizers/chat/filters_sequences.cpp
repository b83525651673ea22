// Filters that take sequences as wholes: their length, ends, order, groups.

#include <algorithm>
#include <functional>

#include "mica/base/error.h"
#include "mica/tokenizers/chat/characters.h"
#include "mica/tokenizers/chat/filters.h"
#include "mica/tokenizers/chat/operators.h"
#include "mica/tokenizers/chat/text_of.h"

namespace mica::jinja {
namespace {

Value length(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "length", args, {});
  const auto found = length_of(value);
  if (!found) runtime.fail(std::string("a value of type ") + type_name(value) + " has no length");
  return Value::integer(*found);
}

Value list(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "list", args, {});
  return runtime.list(runtime.iterate(value));
}

Value join(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "join", args, {"d", "attribute"});
  const std::string between = reader.has(0) ? str(reader.value(0)) : "";
  std::string out;
  bool first = true;
  for (const Value& each : runtime.iterate(value)) {
    if (!first) out += between;
    first = false;
    append_str(reader.is_none(1) ? each : along_path(runtime, each, reader.value(1)), out);
    runtime.meter().room(static_cast<int64_t>(out.size()));
  }
  return runtime.text(std::move(out));
}

Value first(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "first", args, {});
  if (value.is(Kind::iterator)) {
    Iterator& iterator = value.object<Iterator>();
    if (iterator.next < iterator.values.size()) return iterator.values[iterator.next++];
  } else if (value.is(Kind::list) || value.is(Kind::tuple)) {
    if (!value.items().empty()) return value.items().front();
  } else if (value.is(Kind::string) && length_of(value) > 0) {
    return item(runtime, value, Value::integer(0));
  } else if (std::vector<Value> all = runtime.iterate(value); !all.empty()) {
    return all.front();
  }
  return Value::undefined("No first item, sequence was empty.");
}

Value last(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "last", args, {});
  if (value.is(Kind::iterator)) runtime.fail("last wants a sequence: put the filter list before it");
  if (value.is(Kind::string) && length_of(value) > 0) return item(runtime, value, Value::integer(-1));
  if (value.is(Kind::list) || value.is(Kind::tuple)) {
    if (!value.items().empty()) return value.items().back();
  } else if (std::vector<Value> all = runtime.iterate(value); !all.empty()) {
    return all.back();
  }
  return Value::undefined("No last item, sequence was empty.");
}

Value reverse(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "reverse", args, {});
  if (value.is(Kind::string)) {
    std::u32string text = decode(value.as_text());
    std::reverse(text.begin(), text.end());
    return runtime.text(text);
  }
  const bool once = value.is(Kind::iterator);
  std::vector<Value> all = runtime.iterate(value);
  std::reverse(all.begin(), all.end());
  return once ? runtime.list(std::move(all)) : runtime.iterator(std::move(all), "list_reverseiterator");
}

using Key = std::function<Value(const Value&)>;

// Stable, as Python's sorted().
std::vector<Value> sorted(Runtime& runtime, std::vector<Value> values, const Key& key, bool reverse) {
  std::vector<std::pair<Value, Value>> keyed;
  for (Value& value : values) {
    Value of = key(value);
    keyed.emplace_back(std::move(of), std::move(value));
  }
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return reverse ? less(runtime, b.first, a.first) : less(runtime, a.first, b.first);
  });
  for (size_t i = 0; i < keyed.size(); ++i) values[i] = std::move(keyed[i].second);
  return values;
}

Value sort(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "sort", args, {"reverse", "case_sensitive", "attribute"});
  const bool case_sensitive = reader.flag(1, false);
  // "age,name" sorts by two attributes.
  std::vector<Value> paths;
  if (reader.is_none(2) || !reader.value(2).is(Kind::string)) {
    paths.push_back(reader.is_none(2) ? Value::none() : reader.value(2));
  } else {
    const std::string& text = reader.value(2).as_text();
    for (size_t begin = 0; begin <= text.size();) {
      const size_t end = std::min(text.find(',', begin), text.size());
      paths.push_back(runtime.text(text.substr(begin, end - begin)));
      begin = end + 1;
    }
  }
  const auto key = [&](const Value& item) {
    std::vector<Value> parts;
    for (const Value& path : paths) {
      const Value part = along_path(runtime, item, path);
      parts.push_back(case_sensitive ? part : ignore_case(runtime, part));
    }
    return runtime.list(std::move(parts));
  };
  return runtime.list(sorted(runtime, runtime.iterate(value), key, reader.flag(0, false)));
}

Value dictsort(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "dictsort", args, {"case_sensitive", "by", "reverse"});
  const std::string by = reader.has(1) ? reader.text(1) : "key";
  if (by != "key" && by != "value") runtime.fail("dictsort sorts by \"key\" or \"value\"");
  runtime.check_defined(value);
  if (!value.is(Kind::dict)) runtime.fail(std::string("dictsort wants a dict, not ") + type_name(value));
  const bool case_sensitive = reader.flag(0, false);
  const auto key = [&](const Value& pair) {
    const Value& part = pair.items()[by == "key" ? 0 : 1];
    return case_sensitive ? part : ignore_case(runtime, part);
  };
  std::vector<Value> pairs = runtime.iterate(runtime.view(View::Part::items, value));
  return runtime.list(sorted(runtime, std::move(pairs), key, reader.flag(2, false)));
}

Value unique(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "unique", args, {"case_sensitive", "attribute"});
  Dict seen;
  std::vector<Value> out;
  for (const Value& each : runtime.iterate(value)) {
    Value key = along_path(runtime, each, reader.value(1, Value::none()));
    if (!reader.flag(0, false)) key = ignore_case(runtime, key);
    if (!hashable(key)) runtime.fail(std::string("unique can't take values of type ") + type_name(key));
    if (seen.find(key) != nullptr) continue;
    seen.set(key, Value::none());
    out.push_back(each);
  }
  return runtime.iterator(std::move(out));
}

template <bool greatest>
Value extreme(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, greatest ? "max" : "min", args, {"case_sensitive", "attribute"});
  Value best = Value::undefined("No aggregated item, sequence was empty."), best_key;
  for (const Value& each : runtime.iterate(value)) {
    Value key = along_path(runtime, each, reader.value(1, Value::none()));
    if (!reader.flag(0, false)) key = ignore_case(runtime, key);
    if (best_key.is(Kind::missing) || (greatest ? less(runtime, best_key, key) : less(runtime, key, best_key))) {
      best = each;
      best_key = key;
    }
  }
  return best;
}

Value sum(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "sum", args, {"attribute", "start"});
  Value total = reader.value(1, Value::integer(0));
  if (total.is(Kind::string)) runtime.fail("sum can't add strings: use join");
  for (const Value& each : runtime.iterate(value)) {
    const Value part = reader.is_none(0) ? each : along_path(runtime, each, reader.value(0));
    total = arithmetic(runtime, Operator::add, total, part);
  }
  return total;
}

Value groupby(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "groupby", args, {"attribute", "default", "case_sensitive"});
  const bool case_sensitive = reader.flag(2, false);
  const auto own_key = [&](const Value& item) {
    return along_path(runtime, item, reader.value(0), reader.value(1, Value::none()));
  };
  const auto key = [&](const Value& item) {
    const Value own = own_key(item);
    return case_sensitive ? own : ignore_case(runtime, own);
  };
  std::vector<Value> groups, members;
  Value current;
  const auto finish = [&] {
    if (members.empty()) return;
    const Value shown = own_key(members[0]);
    Value group = runtime.tuple({shown, runtime.list(std::move(members))});
    group.object<Items>().group = true;
    groups.push_back(std::move(group));
    members.clear();
  };
  for (Value& each : sorted(runtime, runtime.iterate(value), key, false)) {
    const Value next = key(each);
    if (!members.empty() && !equal(current, next)) finish();
    current = next;
    members.push_back(std::move(each));
  }
  finish();
  return runtime.list(std::move(groups));
}

// A size for parts or lines; they are filled up to it, so it must fit.
int64_t size_argument(Runtime& runtime, const Reader& reader, size_t least) {
  const int64_t size = reader.integer(0);
  if (size < static_cast<int64_t>(least)) runtime.fail("a number of parts must be positive");
  runtime.meter().room(std::min<int64_t>(size, int64_t{1} << 50) * static_cast<int64_t>(sizeof(Value)));
  return size;
}

Value batch(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "batch", args, {"linecount", "fill_with"});
  const auto size = static_cast<size_t>(size_argument(runtime, reader, 1));
  std::vector<Value> lines, line;
  for (const Value& each : runtime.iterate(value)) {
    if (line.size() == size) lines.push_back(runtime.list(std::exchange(line, {})));
    line.push_back(each);
  }
  if (!line.empty()) {
    if (!reader.is_none(1) && line.size() < size) line.resize(size, reader.value(1));
    lines.push_back(runtime.list(std::move(line)));
  }
  return runtime.iterator(std::move(lines));
}

Value slice_filter(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "slice", args, {"slices", "fill_with"});
  const auto count = static_cast<size_t>(size_argument(runtime, reader, 1));
  const std::vector<Value> all = runtime.iterate(value);
  const size_t each = all.size() / count, longer = all.size() % count;
  std::vector<Value> parts;
  size_t begin = 0;
  for (size_t i = 0; i < count; ++i) {
    const size_t end = begin + each + (i < longer ? 1 : 0);
    std::vector<Value> part(all.begin() + static_cast<std::ptrdiff_t>(begin),
                            all.begin() + static_cast<std::ptrdiff_t>(end));
    if (!reader.is_none(1) && i >= longer) part.push_back(reader.value(1));
    parts.push_back(runtime.list(std::move(part)));
    begin = end;
  }
  return runtime.iterator(std::move(parts));
}

Value items(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "items", args, {});
  if (value.is(Kind::undefined)) return runtime.iterator({});
  if (!value.is(Kind::dict)) runtime.fail("Can only get item pairs from a mapping.");
  return runtime.iterator(runtime.iterate(runtime.view(View::Part::items, value)));
}

Value default_filter(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "default", args, {"default_value", "boolean"});
  if (!value.is(Kind::undefined) && !(reader.flag(1, false) && !truthy(value))) return value;
  return reader.has(0) ? reader.value(0) : runtime.text("");
}

Value attr(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "attr", args, {"name"});
  const std::string& name = reader.text(0);
  runtime.check_defined(value);
  const Value found = find_attribute(runtime, value, name);
  if (!found.is(Kind::missing)) return found;
  return Value::undefined(std::string("'") + type_name(value) + " object' has no attribute '" + printable(name, 60) +
                          "'");
}

}  // namespace

void add_sequence_filters(Table& table) {
  table["length"] = table["count"] = length;
  table["list"] = list;
  table["join"] = join;
  table["first"] = first;
  table["last"] = last;
  table["reverse"] = reverse;
  table["sort"] = sort;
  table["dictsort"] = dictsort;
  table["unique"] = unique;
  table["min"] = extreme<false>;
  table["max"] = extreme<true>;
  table["sum"] = sum;
  table["groupby"] = groupby;
  table["batch"] = batch;
  table["slice"] = slice_filter;
  table["items"] = items;
  table["default"] = table["d"] = default_filter;
  table["attr"] = attr;
}

}  // namespace mica::jinja
