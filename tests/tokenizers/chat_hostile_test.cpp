// Templates that are broken, or made to exhaust whoever runs them: each is one clear error, soon.

#include <chrono>
#include <string>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/tokenizers/chat/chat_template.h"

namespace mica {
namespace {

std::string render(const std::string& source, const ChatTemplateOptions& options = {}) {
  return ChatTemplate::parse(source, "test", options.limits)
      .render(R"({"one": [1], "d": {"a": 1}, "l": [1, 2, 3]})", options)
      .text;
}

// The error's whole text.
std::string failure(const std::string& source, const ChatTemplateOptions& options = {}) {
  const auto start = std::chrono::steady_clock::now();
  try {
    return "no error: " + render(source, options).substr(0, 200);
  } catch (const Error& error) {
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60)) << source;
    return error.what();
  }
}

void expect_failure(const std::string& source, const std::string& part, const ChatTemplateOptions& options = {}) {
  const std::string text = failure(source, options);
  EXPECT_NE(text.find(part), std::string::npos) << source.substr(0, 200) << "\n" << text;
}

ChatTemplateOptions small() {
  ChatTemplateOptions options;
  options.limits.max_steps = 200'000;
  options.limits.max_memory_bytes = 4 << 20;
  options.limits.max_output_bytes = 1 << 20;
  return options;
}

std::string repeated(const std::string& text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

TEST(HostileTemplates, LoopsEnd) {
  const std::string nested =
      "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}"
      "{% endfor %}{% endfor %}{% endfor %}";
  expect_failure(nested, "steps", small());
  expect_failure("{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
                 "memory", small());
  expect_failure("{{ range(10**12) }}", "range of more than 100000");
  expect_failure("{{ range(0, 9223372036854775807, 1)|list }}", "range of more than 100000");
  expect_failure("{{ range(-9223372036854775807, 9223372036854775807) }}", "range of more than 100000");
  expect_failure("{% for i in range(9) recursive %}{{ loop(range(9)) }}{% endfor %}", "more than 200 deep", small());
}

TEST(HostileTemplates, CallsEnd) {
  expect_failure("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "macros call each other more than 200 deep");
  expect_failure("{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}", "200 deep");
  expect_failure(
      "{% macro m(x) %}{{ caller() }}{% endmacro %}{% macro n() %}{% call m() %}{{ n() }}{% endcall %}{% endmacro %}{{ "
      "n() }}",
      "deep");
  // 2^60 calls, never more than 60 of them inside each other.
  expect_failure("{% macro m(n) %}{% if n > 0 %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
                 "steps", small());
  EXPECT_EQ(render("{% macro m(n) %}{{ n }}{% if n > 0 %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(150) }}").size(),
            343U);
}

TEST(HostileTemplates, OutputEnds) {
  const std::string growing = "{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s = ns.s ";
  expect_failure(growing + "+ ns.s %}{% endfor %}", "memory");
  expect_failure(growing + "~ ns.s %}{% endfor %}", "memory");
  expect_failure(growing + "* 2 %}{% endfor %}", "memory");
  expect_failure(growing + "|replace('a', ns.s) %}{% endfor %}", "memory", small());
  expect_failure(growing + "|replace('', ns.s) %}{% endfor %}", "memory", small());
  expect_failure("{{ 'x' * 10**15 }}", "memory");
  expect_failure("{{ [1] * 10**15 }}", "memory");
  expect_failure("{{ 'x' * 9223372036854775807 }}", "memory");
  expect_failure("{{ 'x'.ljust(10**15) }}", "memory");
  expect_failure("{{ 'x'.center(9223372036854775807) }}", "memory");
  expect_failure("{{ '1'.zfill(10**15) }}", "memory");
  expect_failure("{{ '\\t'.expandtabs(10**15) }}", "memory");
  expect_failure("{{ 'x'|center(10**15) }}", "memory");
  expect_failure("{{ 'a\\nb'|indent(10**15) }}", "memory");
  expect_failure("{{ one|batch(10**15, 0)|list }}", "memory");
  expect_failure("{{ one|slice(10**15)|list }}", "memory");
  expect_failure("{{ '%99999999999d' % 1 }}", "too large");
  expect_failure("{{ '{:99999999999}'.format(1) }}", "too large");
  expect_failure("{{ '%.99999f' % 1 }}", "too large");
  expect_failure("{{ one|tojson(indent=100000) }}", "indent");
  expect_failure("{% for i in range(99999) %}{{ 'x' * 100000 }}{% endfor %}", "writes more than 1048576 bytes",
                 small());
  expect_failure("{% for i in range(99999) %}" + std::string(2000, 'x') + "{% endfor %}", "writes more than", small());
  expect_failure("{% set x %}{% for i in range(99999) %}" + std::string(2000, 'x') + "{% endfor %}{% endset %}",
                 "writes more than", small());
}

TEST(HostileTemplates, NumbersStayInRange) {
  expect_failure("{{ 10**100 }}", "64 bits");
  expect_failure("{{ 2**63 }}", "64 bits");
  expect_failure("{{ 9223372036854775807 + 1 }}", "64 bits");
  expect_failure("{{ -9223372036854775807 - 2 }}", "64 bits");
  expect_failure("{{ (-9223372036854775807 - 1) // -1 }}", "64 bits");
  expect_failure("{{ -(-9223372036854775807 - 1) }}", "64 bits");
  expect_failure("{{ (-9223372036854775807 - 1)|abs }}", "64 bits");
  expect_failure("{{ 99999999999999999999 }}", "64 bits");
  expect_failure("{{ '99999999999999999999'|int }}", "64 bits");
  expect_failure("{{ 1e300|int }}", "64 bits");
  expect_failure("{{ 10.0**400 }}", "out of range");
  EXPECT_EQ(render("{{ (-9223372036854775807 - 1) % -1 }}"), "0");
  EXPECT_EQ(render("{{ l[::9223372036854775807] }}{{ l[::-9223372036854775807] }}"), "[1][3]");
  EXPECT_EQ(render("{{ l[-9223372036854775807:9223372036854775807] }}"), "[1, 2, 3]");
  EXPECT_EQ(render("{{ 'abc'[9223372036854775807:] }}|{{ 'abc'[:-9223372036854775807] }}"), "|");
}

TEST(HostileTemplates, ValuesDoNotNestWithoutEnd) {
  const std::string start = "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = ";
  const std::string end = " %}{% endfor %}{{ ns.x }}";
  expect_failure(start + "[ns.x]" + end, "nest deeper");
  expect_failure(start + "{'a': ns.x}" + end, "nest deeper");
  expect_failure(start + "(ns.x, 1)" + end, "nest deeper");
  expect_failure(start + "[ns.x]|map('list')" + end, "nest deeper");
  expect_failure(start + "dict(a=ns.x).items()" + end, "nest deeper");
  expect_failure(start + "cycler(ns.x)" + end, "nest deeper");
  expect_failure(start + "joiner(ns.x)" + end, "nest deeper");
  // Shared parts: 2^100 elements when they are walked.
  const std::string shared =
      "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(100) %}{% set ns.x = [ns.x, ns.x] %}"
      "{% set ns.y = [ns.y, ns.y] %}{% endfor %}";
  expect_failure(shared + "{{ ns.x }}", "more than", small());
  expect_failure(shared + "{{ ns.x == ns.y }}", "steps", small());
  expect_failure(shared + "{{ ns.x|tojson }}", "more than", small());
  expect_failure(shared + "{{ ns.x < ns.y }}", "steps", small());
  // What holds itself, or a long chain of namespaces, is printed and freed.
  EXPECT_EQ(render("{% set ns = namespace() %}{% set ns.self = ns %}{{ ns.self.self is defined }}"), "True");
  EXPECT_FALSE(render("{% set ns = namespace() %}{% set ns.me = [ns] %}{{ ns }}").empty());
  EXPECT_EQ(render("{% set a = namespace(n=none) %}{% for i in range(50000) %}{% set a.n = namespace(n=a.n) %}{% "
                   "endfor %}{{ a.n.n is none }}"),
            "False");
  EXPECT_EQ(render("{% set ns = namespace() %}{% for i in l %}{% set ns.loop = loop %}{% endfor %}{{ ns.loop.index }}"),
            "3");
  EXPECT_EQ(render("{% set ns = namespace() %}{% for i in l %}{% macro m() %}x{{ i }}{% endmacro %}{% set ns.m = m "
                   "%}{% endfor %}{{ ns.m() }}"),
            "x3");
}

TEST(HostileTemplates, TextsDoNotNestWithoutEnd) {
  expect_failure("{{ " + repeated("(", 5000) + "1" + repeated(")", 5000) + " }}", "nest too deep");
  expect_failure("{{ " + repeated("[", 5000) + repeated("]", 5000) + " }}", "nest too deep");
  expect_failure("{{ " + repeated("-", 5000) + "1 }}", "nest too deep");
  expect_failure("{{ " + repeated("not ", 5000) + "1 }}", "nest too deep");
  expect_failure("{{ 1" + repeated(" + 1", 5000) + " }}", "too long or nests too deep");
  expect_failure("{{ 1" + repeated(" if 1 else 1", 5000) + " }}", "too deep");
  expect_failure("{{ d" + repeated(".a", 5000) + " }}", "too long or nests too deep");
  expect_failure("{{ d" + repeated("|list", 5000) + " }}", "too long or nests too deep");
  expect_failure("{{ d" + repeated("[0]", 5000) + " }}", "too long or nests too deep");
  expect_failure("{{ d" + repeated("()", 5000) + " }}", "too long or nests too deep");
  expect_failure("{% set " + repeated("(", 5000) + "a" + repeated(")", 5000) + " = 1 %}", "nest too deep");
  expect_failure(repeated("{% if 1 %}", 5000) + repeated("{% endif %}", 5000), "nest too deep");
  expect_failure(repeated("{% for i in l %}", 5000) + repeated("{% endfor %}", 5000), "nest too deep");
  expect_failure(std::string((1 << 20) + 1, 'x'), "more than 1048576");
  EXPECT_EQ(render("{{ 1" + repeated(" + 1", 200) + " }}"), "201");
  EXPECT_EQ(render("{{ 'a'" + repeated(" ~ 'a'", 5000) + " }}").size(), 5001U);
  EXPECT_EQ(render("{% if 0 %}" + repeated("{% elif 0 %}", 2000) + "{% else %}x{% endif %}"), "x");
}

TEST(HostileTemplates, WhatIsNotSupportedIsNamed) {
  for (const char* tag : {"include 'a'", "import 'a' as b", "from 'a' import b", "extends 'a'", "block a"}) {
    expect_failure(std::string("{% ") + tag + " %}", "is not supported in chat templates (test, line 1)");
  }
  expect_failure("\n\n{% do 1 %}", "unknown statement \"do\" (test, line 3)");
  expect_failure("{{ 'a'|wordwrap(2) }}", "not supported");
  expect_failure("{{ 'a'.encode() }}", "not supported");
  expect_failure("{{ lipsum() }}", "not supported");
  expect_failure("{{ 1|nothing }}", "no filter is called \"nothing\"");
  expect_failure("{{ 1 is nothing }}", "no test is called \"nothing\"");
}

TEST(HostileTemplates, ErrorsNameTemplateAndLine) {
  expect_failure("a\nb {{ nobody.name }}", "'nobody' is undefined (test, line 2)");
  expect_failure("{{ d.b.c }}", "'dict object' has no attribute 'b' (test, line 1)");
  expect_failure("\n{{ raise_exception('No \\n' ~ 'way!') }}", "No ?way! (test, line 2)");
  expect_failure("{% if 1 %}\n\n", "a block {% if %} is never closed (test, line 2)");
  expect_failure("{{ 1 + 'a' }}", "\"+\" can't take int and str");
  expect_failure("{{ l.append(4) }}", "unsafe");
  expect_failure("{{ d.update({}) }}", "unsafe");
  expect_failure("{{ ''.__class__ }}{{ ''.__class__.__mro__ }}", "unsafe");
  expect_failure("{% set ns = namespace(__init__=1) %}", "starts with _");
  expect_failure("{{ strftime_now('%9999999d') }}", "width");
  EXPECT_NO_THROW(render("{{ '\xff\xfe' }}\xc3"));
}

TEST(HostileTemplates, LimitsHoldFromTheStart) {
  for (const int64_t steps : {0, 1, 10}) {
    ChatTemplateOptions options;
    options.limits.max_steps = steps;
    expect_failure("{{ l }}", "steps", options);
  }
  ChatTemplateOptions options;
  options.limits.max_memory_bytes = 10;
  expect_failure("{{ l }}", "memory", options);
}

}  // namespace
}  // namespace mica
