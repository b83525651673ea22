// Constrained decoding: how long a mask takes, first and later, and how long a constraint takes to compile.
// MICA_BENCH_TOKENIZER names a model folder with a tokenizer.
//
// Texts are made by choosing uniformly among the allowed tokens, up to 200 each. "first" are the masks of one text of a
// constraint that was just compiled, where walks are done for the first time; "later" those of 50 more texts.

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

#include "mica/models/generation/constraints/constraints.h"
#include "mica/tokenizers/tokenizer.h"

namespace {

// The thread's own time: what else the machine does at the moment is no part of it.
double now() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

double microseconds(double since) {
  return now() - since;
}

const mica::Tokenizer& tokenizer() {
  const char* folder = std::getenv("MICA_BENCH_TOKENIZER");
  static const auto loaded = mica::AutoTokenizer::from_pretrained(folder == nullptr ? "qwen2.5" : folder);
  return loaded;
}

const mica::ConstraintVocabulary& vocabulary() {
  static const mica::ConstraintVocabulary made(tokenizer(), {tokenizer().eos_token_id().value_or(0)});
  return made;
}

struct Subject {
  const char* name;
  enum Kind { schema, regex, grammar } kind;
  std::string text;
};

std::vector<Subject> subjects() {
  std::string many = R"({"type": "object", "properties": {)";
  for (int i = 0; i < 60; ++i) {
    many += (i == 0 ? "" : ", ") + ("\"field_" + std::to_string(i)) +
            R"(": {"type": "array", "items": {"type": "string"}})";
  }
  many += "}}";
  return {
      {"any_object", Subject::schema, R"({"type": "object"})"},
      {"person", Subject::schema,
       R"({"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0,
           "maximum": 150}, "email": {"type": "string", "format": "email"}, "tags": {"type": "array", "items": {"enum":
           ["red", "green", "blue"]}, "maxItems": 5}, "address": {"type": "object", "properties": {"street": {"type":
           "string"}, "city": {"type": "string"}}, "required": ["street", "city"]}}, "required": ["name", "age", "tags",
           "address"]})"},
      {"tree", Subject::schema,
       R"({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {"value": {"type": "number"},
           "text": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
           "required": ["value", "children"]}}})"},
      {"long_strings", Subject::schema,
       R"({"type": "array", "items": {"type": "string", "minLength": 5, "maxLength": 2000}})"},
      {"short_strings", Subject::schema, R"({"type": "array", "items": {"type": "string", "maxLength": 12}})"},
      {"sixty_optional", Subject::schema, many},
      {"regex_text", Subject::regex, "[^<]*</answer>"},
      {"regex_words", Subject::regex, "([A-Z][a-z]+ ){3,10}\\d{4}"},
      {"arithmetic", Subject::grammar,
       "root ::= sum \"\\n\"\nsum ::= product (\" \"? [-+] \" \"? product)*\nproduct ::= atom ([*/] atom)*\n"
       "atom ::= [0-9]{1,6} | [a-z]+ | \"(\" sum \")\""},
      {"tool_call", Subject::grammar,
       "root ::= free (\"<tool>\" [a-z_]+ \"(\" args? \")</tool>\" free)*\nfree ::= [^<]*\n"
       "args ::= arg (\", \" arg)*\narg ::= [a-z]+ \"=\" (\"\\\"\" [^\"\\n]* \"\\\"\" | [0-9]+)"},
  };
}

std::unique_ptr<mica::TokenConstraint> compile(const Subject& subject) {
  switch (subject.kind) {
    case Subject::schema:
      return mica::json_schema_constraint(vocabulary(), subject.text);
    case Subject::regex:
      return mica::regex_constraint(vocabulary(), subject.text);
    default:
      return mica::grammar_constraint(vocabulary(), subject.text);
  }
}

void one_text(mica::TokenConstraint& constraint, std::mt19937& random, std::vector<double>& masks,
              std::vector<double>& advances) {
  std::vector<uint64_t> bits(static_cast<size_t>(vocabulary().size() + 63) / 64);
  std::vector<int64_t> allowed;
  for (int step = 0; step < 200 && !constraint.finished(); ++step) {
    std::fill(bits.begin(), bits.end(), ~uint64_t{0});
    const auto start = now();
    constraint.mask(bits);
    masks.push_back(microseconds(start));
    allowed.clear();
    for (size_t i = 0; i < bits.size(); ++i) {
      for (uint64_t word = bits[i]; word != 0; word &= word - 1) {
        allowed.push_back(static_cast<int64_t>(i) * 64 + std::countr_zero(word));
      }
    }
    const auto chosen = now();
    constraint.advance(allowed[random() % allowed.size()]);
    advances.push_back(microseconds(chosen));
  }
}

double part(std::vector<double> values, double which) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<size_t>(which * static_cast<double>(values.size())))];
}

void BM_Masks(benchmark::State& state, const Subject& subject) {
  vocabulary();
  std::vector<double> compiles, first, later, advances;
  std::mt19937 random(1);
  for (auto _ : state) {
    const auto start = now();
    const auto fresh = compile(subject);
    compiles.push_back(microseconds(start) / 1000);
    one_text(*fresh->clone(), random, first, advances);
    for (int i = 0; i < 50; ++i) one_text(*fresh->clone(), random, later, advances);
  }
  double sum = 0;
  for (const double value : first) sum += value;
  state.counters["compile_ms"] = part(compiles, 0.5);
  state.counters["first_mean_us"] = sum / static_cast<double>(first.size());
  state.counters["first_p99_us"] = part(first, 0.99);
  state.counters["first_worst_us"] = part(first, 1);
  state.counters["later_median_us"] = part(later, 0.5);
  state.counters["later_p99_us"] = part(later, 0.99);
  state.counters["later_worst_us"] = part(later, 1);
  state.counters["advance_median_us"] = part(advances, 0.5);
}

void BM_Vocabulary(benchmark::State& state) {
  const auto texts = tokenizer().token_bytes();
  for (auto _ : state) benchmark::DoNotOptimize(mica::ConstraintVocabulary(texts, {}));
  state.counters["tokens"] = static_cast<double>(vocabulary().size());
  state.counters["MB"] = static_cast<double>(vocabulary().memory()) / 1e6;
}
BENCHMARK(BM_Vocabulary)->Unit(benchmark::kMillisecond)->Iterations(3);

}  // namespace

int main(int argc, char** argv) {
  static const std::vector<Subject> all = subjects();
  for (const Subject& subject : all) {
    benchmark::RegisterBenchmark((std::string("BM_Masks/") + subject.name).c_str(), BM_Masks, subject)
        ->Unit(benchmark::kMillisecond)
        ->Iterations(5);
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
