// The subcommands that take texts: what they print, where texts come from, and how they fail.

#include <fstream>

#include "tests/cli/program.h"
#include "tests/support/tiny_model.h"
#include <gtest/gtest.h>

#include "mica/base/json.h"

namespace mica {
namespace {

using testing_program::lines;
using testing_program::mica;
using testing_program::Outcome;

// A folder a task, each made once.
const std::string& folder(const std::string& task) {
  static std::map<std::string, tiny::TemporaryFolder> folders;
  const auto [entry, is_new] = folders.try_emplace(task);
  if (is_new) {
    const bool labelled = task.ends_with("classification");
    tiny::write_bert(entry->second.path(), task,
                     labelled ? std::vector<std::string>{"B-A", "I-A", "C"} : std::vector<std::string>{});
  }
  return entry->second.path();
}

// Every line of standard output as JSON.
std::vector<Json> json_lines(const Outcome& outcome) {
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  std::vector<Json> values;
  for (const std::string& line : lines(outcome.out)) values.push_back(parse_json(line, "line"));
  return values;
}

void expect_keys(const Json& object, const std::vector<std::string>& keys) {
  ASSERT_TRUE(object.is_object()) << object;
  for (const std::string& key : keys) EXPECT_TRUE(object.contains(key)) << key << " of " << object;
  EXPECT_EQ(object.size(), keys.size()) << object;
}

// One line "mica: error: ..." and nothing else.
void expect_failure(const Outcome& outcome, int status, const std::string& part) {
  EXPECT_EQ(outcome.status, status) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  const std::vector<std::string> all = lines(outcome.err);
  ASSERT_FALSE(all.empty());
  EXPECT_TRUE(all.back().starts_with("mica: error: ")) << outcome.err;
  for (size_t i = 0; i + 1 < all.size(); ++i) EXPECT_TRUE(all[i].starts_with("mica: warning: ")) << all[i];
  EXPECT_NE(all.back().find(part), std::string::npos) << outcome.err;
}

TEST(Program, TokenizerTrain) {
  tiny::TemporaryFolder scratch;
  const std::string file = scratch.path() + "/corpus.txt", out = scratch.path() + "/out";
  std::ofstream(file) << "the cat sat on the mat\nthe dog sat on the log\n";
  const Outcome trained =
      mica({"tokenizer", "train", "--type", "wordlevel", "--special-tokens", "[A],[B]", "-o", out, file});
  EXPECT_EQ(trained.status, 0) << trained.err;
  EXPECT_EQ(trained.out, out + ": WordLevel with 11 tokens\n");
  const auto rows = json_lines(mica({"tokenize", out, "the dog [B]", "--json"}));
  EXPECT_EQ(rows[0]["tokens"], Json({"the", "dog", "[B]"}));
  const std::string like = scratch.path() + "/like";
  EXPECT_EQ(mica({"tokenizer", "train", "--from", out, "--vocab-size", "6", "-o", like, file}).out,
            like + ": WordLevel with 6 tokens\n");
  expect_failure(mica({"tokenizer"}), 2, "subcommand");
  expect_failure(mica({"tokenizer", "train", "--type", "bpe", file}), 2, "--output");
  expect_failure(mica({"tokenizer", "train", "-o", out, file}), 2, "--type");
  expect_failure(mica({"tokenizer", "train", "--type", "bpe", "-o", out}), 2, "files");
  expect_failure(mica({"tokenizer", "train", "--type", "bpe", "-o", out, file + "2"}), 1, "no such file");
  expect_failure(mica({"tokenizer", "train", "--type", "unigram", "--min-frequency", "2", "-o", out, file}), 1,
                 "min_frequency");
}

TEST(Program, Tokenize) {
  const std::string model = folder("base");
  const auto rows = json_lines(mica({"tokenize", model, "ada", "Wörld", "--json"}));
  ASSERT_EQ(rows.size(), 2U);
  expect_keys(rows[0], {"ids", "tokens", "offsets", "type_ids", "attention_mask", "special_tokens_mask"});
  EXPECT_EQ(rows[0]["tokens"], Json({"[CLS]", "ada", "[SEP]"}));
  EXPECT_EQ(rows[1]["offsets"].back(), Json({0, 0}));
  const Json pair = json_lines(mica({"tokenize", model, "ada", "--pair", "turin", "--json"}))[0];
  EXPECT_EQ(pair["type_ids"], Json({0, 0, 0, 1, 1}));
  const Json bare = json_lines(mica({"tokenize", model, "ada", "--no-special", "--json"}))[0];
  EXPECT_EQ(bare["tokens"], Json::array({"ada"}));
  const Json cut = json_lines(mica({"tokenize", model, "the river of turin", "--max-length", "5", "--truncation",
                                    "longest_first", "--stride", "1", "--json"}))[0];
  EXPECT_EQ(cut["tokens"].size(), 5U);
  EXPECT_EQ(cut["overflowing"].size(), 1U);
  const Json padded =
      json_lines(mica({"tokenize", model, "ada", "--max-length", "6", "--padding", "max_length", "--json"}))[0];
  EXPECT_EQ(padded["attention_mask"], Json({1, 1, 1, 0, 0, 0}));
  const Json object = json_lines(mica({"tokenize", model, "--jsonl", "--json"}, R"({"text":"ada","pair":"turin"})"))[0];
  EXPECT_EQ(object["ids"], pair["ids"]);
  EXPECT_NE(mica({"tokenize", model, "ada"}).out.find("[CLS]"), std::string::npos);
}

TEST(Program, Decode) {
  const std::string model = folder("base");
  const Json ids = json_lines(mica({"tokenize", model, "ada lives", "--json"}))[0]["ids"];
  std::vector<std::string> arguments{"decode", model};
  for (const Json& id : ids) arguments.push_back(id.dump());
  EXPECT_EQ(mica(arguments).out.substr(0, 5), "[CLS]");
  arguments.push_back("--skip-special");
  const std::string text = mica(arguments).out;
  EXPECT_EQ(text.substr(0, 5), "ada l");
  EXPECT_EQ(mica({"decode", model, "-", "--skip-special"}, ids.dump() + "\n" + ids.dump() + "\n").out, text + text);
  expect_failure(mica({"decode", model, "99999"}), 1, "99999");
  expect_failure(mica({"decode", model, "x1"}), 1, "x1");
  expect_failure(mica({"decode", model, "99999999999999999999999"}), 1, "no token id");
  expect_failure(mica({"decode", model}), 2, "ids");
}

TEST(Program, Embed) {
  const std::string model = folder("base");
  const auto rows = json_lines(mica({"embed", model, "ada", "turin", "--json"}));
  ASSERT_EQ(rows.size(), 2U);
  expect_keys(rows[0], {"text", "embedding"});
  EXPECT_EQ(rows[0]["text"], "ada");
  EXPECT_EQ(rows[0]["embedding"].size(), 32U);
  EXPECT_EQ(json_lines(mica({"embed", model, "-", "--json", "--batch-size", "1", "--threads", "1"}, "ada\r\nturin\n")),
            rows);
  EXPECT_EQ(json_lines(mica({"embed", model, "--jsonl", "--json"}, "\"ada\"\n\n{\"text\": \"turin\"}\n")), rows);
  const auto scores = json_lines(mica({"embed", model, "ada", "turin", "--similarity", "--json"}));
  EXPECT_NEAR(scores[0]["similarity"][0].get<double>(), 1, 1e-6);
  EXPECT_EQ(scores[0]["similarity"][1], scores[1]["similarity"][0]);
  EXPECT_EQ(lines(mica({"embed", model, "ada", "turin", "--similarity"}).out).size(), 2U);
  EXPECT_EQ(lines(mica({"embed", model, "ada"}).out).size(), 2U);
  const auto half = json_lines(mica({"embed", model, "ada", "--json", "--dtype", "bfloat16"}));
  EXPECT_NEAR(half[0]["embedding"][0].get<double>(), rows[0]["embedding"][0].get<double>(), 0.1);
}

TEST(Program, Classify) {
  const std::string model = folder("sequence_classification");
  const auto best = json_lines(mica({"classify", model, "ada", "", "--json"}));
  ASSERT_EQ(best.size(), 2U);
  expect_keys(best[0], {"label", "score"});
  const Json all = json_lines(mica({"classify", model, "ada", "--json", "--top-k", "5"}))[0];
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0], best[0]);
  const Json raw = json_lines(mica({"classify", model, "ada", "--json", "--function", "none"}))[0];
  EXPECT_EQ(raw["label"], best[0]["label"]);
  EXPECT_NE(raw["score"], best[0]["score"]);
  const Json paired = json_lines(mica({"classify", model, "ada", "--pair", "turin", "--json"}))[0];
  EXPECT_EQ(json_lines(mica({"classify", model, "--jsonl", "--json"}, R"({"text":"ada","pair":"turin"})"))[0], paired);
  EXPECT_EQ(lines(mica({"classify", model, "ada", "--top-k", "3"}).out).size(), 4U);
  expect_failure(mica({"classify", model, "--jsonl"}, "\"ada\"\n{\"text\":\"a\",\"pair\":\"b\"}"), 2, "pair");
}

TEST(Program, ClassifyByLabelsOfOnesOwn) {
  const tiny::TemporaryFolder inference;
  tiny::write_bert(inference.path(), "sequence_classification", {"contradiction", "neutral", "entailment"});
  const std::string model = inference.path();
  const Json chosen =
      json_lines(mica({"classify", model, "ada", "--candidate-labels", "city, river,love", "--json"}))[0];
  expect_keys(chosen, {"sequence", "labels", "scores"});
  ASSERT_EQ(chosen["labels"].size(), 3U);
  EXPECT_GE(chosen["scores"][0], chosen["scores"][2]);
  const Json alone = json_lines(mica({"classify", model, "ada", "--candidate-labels", "city,river", "--multi-label",
                                      "--hypothesis-template", "a {}", "--top-k", "1", "--json"}))[0];
  EXPECT_EQ(alone["scores"].size(), 1U);
  EXPECT_EQ(lines(mica({"classify", model, "ada", "--candidate-labels", "city,river"}).out).size(), 3U);
  expect_failure(mica({"classify", model, "ada", "--candidate-labels", " ,"}), 2, "candidate-labels");
  expect_failure(mica({"classify", model, "ada", "--multi-label"}), 2, "multi-label");
  expect_failure(mica({"classify", model, "ada", "--candidate-labels", "a", "--pair", "b"}), 2, "pair");
  expect_failure(mica({"classify", model, "ada", "--candidate-labels", "a", "--hypothesis-template", "b"}), 1, "{}");
}

TEST(Program, Rank) {
  const tiny::TemporaryFolder one;
  tiny::write_bert(one.path(), "sequence_classification", {"one"});
  const std::vector<Json> ranked = json_lines(mica({"rank", one.path(), "--query", "ada", "river", "turin", "--json"}));
  ASSERT_EQ(ranked.size(), 2U);
  expect_keys(ranked[0], {"corpus_id", "score", "text"});
  EXPECT_GE(ranked[0]["score"], ranked[1]["score"]);
  EXPECT_EQ(json_lines(mica({"rank", one.path(), "--query", "ada", "-", "--json"}, "river\nturin\n")), ranked);
  const auto logits = json_lines(
      mica({"rank", one.path(), "--query", "ada", "river", "turin", "--json", "--top-k", "1", "--function", "none"}));
  ASSERT_EQ(logits.size(), 1U);
  EXPECT_EQ(logits[0]["corpus_id"], ranked[0]["corpus_id"]);
  EXPECT_NE(logits[0]["score"], ranked[0]["score"]);
  expect_failure(mica({"rank", one.path(), "river"}), 2, "query");
  expect_failure(mica({"rank", folder("sequence_classification"), "--query", "a", "river"}), 1, "label");
}

TEST(Program, Tag) {
  const std::string model = folder("token_classification");
  const Json tokens = json_lines(mica({"tag", model, "ada lives in turin", "--json"}))[0];
  ASSERT_EQ(tokens.size(), 4U);
  expect_keys(tokens[0], {"entity", "score", "index", "word", "start", "end"});
  const Json groups = json_lines(mica({"tag", model, "ada lives in turin", "--json", "--aggregation", "simple"}))[0];
  ASSERT_FALSE(groups.empty());
  expect_keys(groups[0], {"entity_group", "score", "word", "start", "end"});
  EXPECT_EQ(json_lines(mica({"tag", model, "", "--json"}))[0], Json::array());
  EXPECT_EQ(json_lines(mica({"tag", model, "--ignore", "B-A,I-A,C", "--json", "ada lives"}))[0], Json::array());
  EXPECT_GT(lines(mica({"tag", model, "ada"}).out).size(), 1U);
}

TEST(Program, Answer) {
  const std::string model = folder("question_answering");
  const Json answer = json_lines(mica({"answer", model, "--question", "who?", "--context", "ada lives", "--json"}))[0];
  expect_keys(answer, {"answer", "score", "start", "end"});
  EXPECT_EQ(json_lines(mica({"answer", model, "--jsonl", "--json"}, R"({"question":"who?","context":"ada lives"})"))[0],
            answer);
  EXPECT_EQ(json_lines(mica({"answer", model, "--question", "who?", "--context", "-", "--json"}, "ada lives\n"))[0],
            answer);
  EXPECT_TRUE(
      json_lines(mica({"answer", model, "--question", "who?", "--context", "ada lives", "--top-k", "3", "--json"}))[0]
          .is_array());
  expect_failure(mica({"answer", model, "--question", "who?"}), 2, "--context");
  expect_failure(mica({"answer", model, "--question", "", "--context", "ada"}), 1, "empty question");
  expect_failure(mica({"answer", model, "--jsonl"}, R"({"question":"who?"})"), 1, "context");
  expect_failure(mica({"answer", model, "--jsonl"}, "\"who?\""), 1, "string");
}

TEST(Program, Fill) {
  const std::string model = folder("masked_lm");
  const Json words = json_lines(mica({"fill", model, "ada [MASK] turin", "--json"}))[0];
  ASSERT_EQ(words.size(), 5U);
  expect_keys(words[0], {"sequence", "score", "token", "token_str"});
  const Json two = json_lines(mica({"fill", model, "[MASK] [MASK]", "--json", "--top-k", "2"}))[0];
  ASSERT_EQ(two.size(), 2U);
  EXPECT_EQ(two[1].size(), 2U);
  const Json chosen =
      json_lines(mica({"fill", model, "--targets", "love,hate", "--targets", "city", "--json", "[MASK]"}))[0];
  EXPECT_EQ(chosen.size(), 3U);
  expect_failure(mica({"fill", model, "ada"}), 1, "[MASK]");
}

TEST(Program, Info) {
  const Outcome table = mica({"info"});
  EXPECT_EQ(table.status, 0);
  EXPECT_NE(table.out.find("| bert |"), std::string::npos);
  EXPECT_TRUE(json_lines(mica({"info", "--json"}))[0].contains("models"));
  const Json model = json_lines(mica({"info", folder("masked_lm"), "--json"}))[0];
  EXPECT_EQ(model["architectures"], Json::array({"BertForMaskedLM"}));
  EXPECT_GT(model["weights"]["parameters"].get<int64_t>(), 1000);
  EXPECT_EQ(model["tokenizer"]["type"], "WordPiece");
  EXPECT_NE(mica({"info", folder("masked_lm")}).out.find("model.safetensors"), std::string::npos);
}

// A published folder of before safetensors: its numbers are the reference's.
TEST(Program, OpensWeightsOfTorch) {
  const std::string model = MICA_SOURCE_DIR "/tests/data/models/bert-torch";
  const Json weights = json_lines(mica({"info", model, "--json"}))[0]["weights"];
  EXPECT_EQ(weights["tensors"], 23);
  EXPECT_GT(weights["dtypes"]["F32"].get<int64_t>(), 500);
  for (const Json& expected : read_json_file(model + "/expected.json")) {
    const Json embedded = json_lines(mica({"embed", model, "--json", expected["text"].get<std::string>()}))[0];
    EXPECT_EQ(tiny::difference(embedded, expected, 1e-5), "");
  }
}

TEST(Program, HelpAndUsage) {
  EXPECT_EQ(mica({"--help"}).status, 0);
  EXPECT_NE(mica({"--help"}).out.find("embed"), std::string::npos);
  EXPECT_NE(mica({"embed", "--help"}).out.find("--similarity"), std::string::npos);
  EXPECT_EQ(mica({"--version"}).status, 0);
  const std::string model = folder("base");
  expect_failure(mica({}), 2, "subcommand");
  expect_failure(mica({"generate2", model, "ada"}), 2, "generate2");
  expect_failure(mica({"embed"}), 2, "model");
  expect_failure(mica({"embed", model}), 2, "text");
  expect_failure(mica({"embed", model, "ada", "--colour"}), 2, "--colour");
  expect_failure(mica({"embed", model, "ada", "--threads", "0"}), 2, "--threads");
  expect_failure(mica({"embed", model, "ada", "--threads", "many"}), 2, "--threads");
  expect_failure(mica({"embed", model, "ada", "--batch-size", "-1"}), 2, "--batch-size");
  expect_failure(mica({"embed", model, "ada", "--dtype", "float8"}), 2, "float8");
  expect_failure(mica({"embed", model, "ada", "--jsonl"}), 2, "--jsonl");
  expect_failure(mica({"classify", model, "ada", "--function", "tanh"}), 2, "tanh");
  expect_failure(mica({"embed", model, "ada", "--dtype", "int8"}), 1, "int8");
  expect_failure(mica({"embed", model, "ada", "--dtype", "float16"}), 1, "float16");
  expect_failure(mica({"embed", model, "ada", "--device", "tpu"}), 1, "tpu");
  expect_failure(mica({"embed", model, "ada", "--device", "cuda:7"}), 1, "cuda:7");
}

// What the command line's parser might take for something else.
TEST(Program, OddTexts) {
  const std::string model = folder("base");
  for (const std::string text : {"[a, b]", "[ada]", "{}", "[]", "", "%", "a=b", "/ada", "'ada'", "\"ada\""}) {
    const auto rows = json_lines(mica({"embed", model, text, "--json"}));
    ASSERT_EQ(rows.size(), 1U) << text;
    EXPECT_EQ(rows[0]["text"], text);
    EXPECT_EQ(json_lines(mica({"embed", model, "--json", "--", "ada", text, "--json"}))[1]["text"], text);
    EXPECT_EQ(mica({"embed", model, "ada", "--prompt", text}).status, 0) << text;
  }
  EXPECT_EQ(json_lines(mica({"embed", model, "--json", "--", "-5 degrees", "--json"}))[1]["text"], "--json");
}

TEST(Program, BadTextsAndFolders) {
  const std::string model = folder("base");
  expect_failure(mica({"embed", model, "-"}, "ada\n\xff\xfe\n"), 1, "line 2");
  expect_failure(mica({"embed", model, "a\xc3"}), 1, "UTF-8");
  expect_failure(mica({"embed", model, "-"}), 1, "no text");
  expect_failure(mica({"embed", model, "--jsonl"}, "{"), 1, "line 1");
  expect_failure(mica({"embed", model, "--jsonl"}, "3"), 1, "line 1");
  expect_failure(mica({"embed", model, "--jsonl"}, R"({"text":"a","context":"b"})"), 1, "context");
  expect_failure(mica({"embed", model, "--jsonl"}, R"({"text":3})"), 1, "text");
  expect_failure(mica({"embed", model, "--jsonl"}, R"({})"), 1, "text");
  expect_failure(mica({"embed", model + "/nowhere", "ada"}), 1, "nowhere");
  std::string text = "river";
  for (int i = 0; i < 200; ++i) text += " river";
  const Outcome cut = mica({"embed", model, text, text, "--json"});
  EXPECT_EQ(cut.status, 0);
  EXPECT_EQ(lines(cut.err).size(), 1U);
  EXPECT_TRUE(cut.err.starts_with("mica: warning: ")) << cut.err;

  const tiny::TemporaryFolder broken;
  expect_failure(mica({"embed", broken.path(), "ada"}), 1, "config.json");
  tiny::write_text(broken / "config.json", R"({"model_type":"gpt9"})");
  expect_failure(mica({"embed", broken.path(), "ada"}), 1, "gpt9");
  expect_failure(mica({"info", broken.path()}), 1, "gpt9");
  tiny::write_text(broken / "config.json", R"({"model_type":"bert-generation"})");
  expect_failure(mica({"fill", broken.path(), "[MASK]"}), 1, "masked_lm");
  tiny::write_text(broken / "config.json", R"({"model_type":"bert","hidden_size":-3})");
  expect_failure(mica({"embed", broken.path(), "ada"}), 1, broken.path());
  tiny::write_text(broken / "config.json", "{\"model_type\":");
  expect_failure(mica({"embed", broken.path(), "ada"}), 1, "config.json");
}

}  // namespace
}  // namespace mica
