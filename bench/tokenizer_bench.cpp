// Speed of the WordPiece tokenizer: long text with offsets, hostile text, decoding, loading.
// MICA_BENCH_TOKENIZER names a model folder with a tokenizer, MICA_BENCH_TEXT a text file.

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

#include "mica/base/file.h"
#include "mica/tokenizers/tokenizer.h"

namespace {

std::string setting(const char* name, const char* fallback) {
  const char* value = std::getenv(name);
  return value == nullptr ? fallback : value;
}

std::string folder() {
  return setting("MICA_BENCH_TOKENIZER", "bert-base-uncased");
}

const mica::Tokenizer& tokenizer() {
  static const mica::Tokenizer loaded = mica::AutoTokenizer::from_pretrained(folder());
  return loaded;
}

const std::string& text() {
  static const std::string all = mica::read_file(setting("MICA_BENCH_TEXT", "tinyshakespeare.txt"));
  return all;
}

std::vector<std::string> lines(size_t at_least) {
  std::vector<std::string> all;
  std::string open;
  for (const char c : text()) {
    open += c;
    if (c == '\n' && open.size() >= at_least) all.push_back(std::exchange(open, ""));
  }
  if (!open.empty()) all.push_back(open);
  return all;
}

void encode(benchmark::State& state, const std::string& input) {
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer()(input));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * input.size()));
}

void BM_EncodeOneText(benchmark::State& state) {
  encode(state, text());
}
BENCHMARK(BM_EncodeOneText);

void BM_EncodeLines(benchmark::State& state) {
  const auto batch = lines(static_cast<size_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer()(batch, {.num_threads = static_cast<int>(state.range(1))}));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text().size()));
}
BENCHMARK(BM_EncodeLines)->ArgsProduct({{1, 1000}, {1, 2}})->UseRealTime();

void BM_EncodeOneLetter(benchmark::State& state) {
  encode(state, std::string(static_cast<size_t>(state.range(0)), 'a'));
}
BENCHMARK(BM_EncodeOneLetter)->Arg(1 << 19)->Arg(1 << 20);

void BM_EncodeAccents(benchmark::State& state) {
  std::string input;
  for (int i = 0; i < 50000; ++i) input += "déjà vu ünïcode ";
  encode(state, input);
}
BENCHMARK(BM_EncodeAccents);

void BM_EncodeChinese(benchmark::State& state) {
  std::string input;
  for (int i = 0; i < 50000; ++i) input += "当动量单向运动时，";
  encode(state, input);
}
BENCHMARK(BM_EncodeChinese);

void BM_Decode(benchmark::State& state) {
  const auto ids = tokenizer().encode(text());
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer().decode(ids));
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * ids.size()));
}
BENCHMARK(BM_Decode);

void BM_Load(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(mica::AutoTokenizer::from_pretrained(folder()));
}
BENCHMARK(BM_Load)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
