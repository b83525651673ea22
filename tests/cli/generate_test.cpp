// mica generate and mica chat, as a user would run them, with the two small published models of tests/data/models.

#include <csignal>
#include <sstream>

#include "tests/cli/program.h"
#include "tests/support/tiny_model.h"
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mica/base/file.h"
#include "mica/base/json.h"

namespace mica {
namespace {

using testing_program::lines;
using testing_program::mica;
using testing_program::Outcome;

const std::string kModels = std::string(MICA_SOURCE_DIR) + "/tests/data/models";
const std::string kStories = kModels + "/stories260K";
const std::string kNames = kModels + "/aren-transliteration";
const std::string kBegin = "Once upon a time, there was a little girl named Lily.";

void expect_failure(const Outcome& outcome, int status, const std::string& part) {
  EXPECT_EQ(outcome.status, status) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  ASSERT_EQ(lines(outcome.err).size(), 1U) << outcome.err;
  EXPECT_TRUE(outcome.err.starts_with("mica: error: ")) << outcome.err;
  EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
}

Json only_line(const Outcome& outcome) {
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  const std::vector<std::string> all = lines(outcome.out);
  EXPECT_EQ(all.size(), 1U) << outcome.out;
  return parse_json(all.at(0), "line");
}

TEST(Generate, TellsAStory) {
  const Json expected = read_json_file(kStories + "/expected.json")["cases"][0];
  const auto count = std::to_string(expected["greedy_ids"].size() - expected["input_ids"].size());
  const Outcome told = mica({"generate", kStories, "Once upon a time", "--max-new-tokens", count});
  EXPECT_EQ(told.err, "");
  EXPECT_EQ(told.out, expected["greedy_text"].get<std::string>() + "\n");
  EXPECT_EQ(mica({"generate", kStories, "Once upon a time", "--max-new-tokens", count, "--stream"}).out, told.out);
  EXPECT_EQ(mica({"generate", kStories, "Once upon a time", "--max-new-tokens", count, "--prompt-lookup", "5"}).out,
            told.out);
  EXPECT_EQ(mica({"generate", kStories, "Once upon a time", "--max-new-tokens", count, "--assistant", kStories}).out,
            told.out);
  const Json json = only_line(mica({"generate", kStories, "Once upon a time", "--max-new-tokens", count, "--json"}));
  EXPECT_EQ(json, Json::array({{{"generated_text", expected["greedy_text"]}}}));
}

TEST(Generate, TextsComeFromEverywhere) {
  const std::vector<std::string> flags{"--max-new-tokens", "4", "--json"};
  const auto run = [&](std::vector<std::string> arguments, const std::string& input = "") {
    arguments.insert(arguments.begin(), {"generate", kStories});
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    return mica(arguments, input).out;
  };
  const std::string two = run({"Once", "The dog"});
  EXPECT_EQ(lines(two).size(), 2U);
  EXPECT_EQ(run({"-"}, "Once\nThe dog\n"), two);
  EXPECT_EQ(run({"--jsonl"}, "\"Once\"\n{\"text\": \"The dog\"}\n"), two);
  EXPECT_EQ(run({"Once", "The dog", "--batch-size", "1", "--threads", "1"}), two);
  EXPECT_EQ(run({"Once"}) + run({"The dog"}), two);
  const Outcome streamed = mica({"generate", kStories, "Once", "The dog", "--stream", "--max-new-tokens", "4"});
  EXPECT_EQ(streamed.out, mica({"generate", kStories, "Once", "The dog", "--max-new-tokens", "4"}).out);
}

TEST(Generate, Settings) {
  const auto tell = [&](std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"generate", kStories, "Once upon a time"});
    const Outcome outcome = mica(flags);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return outcome.out;
  };
  const std::string drawn = tell({"--max-new-tokens", "20", "--temperature", "1.5", "--seed", "3"});
  EXPECT_EQ(tell({"--max-new-tokens", "20", "--temperature", "1.5", "--seed", "3"}), drawn);
  EXPECT_NE(tell({"--max-new-tokens", "20", "--temperature", "1.5", "--seed", "4"}), drawn);
  EXPECT_EQ(
      tell({"--set", "max_new_tokens=20", "--set", "do_sample=true", "--set", "temperature=1.5", "--set", "seed=3"}),
      drawn);
  EXPECT_EQ(tell({"--stop", "Lily", "--new-only", "--stop", "a, b"}), ", there was a little girl named Lily\n");
  EXPECT_EQ(tell({"--max-new-tokens", "1", "--num-beams", "2", "--num-return-sequences", "2", "--new-only"}),
            ",\n there\n");
  EXPECT_EQ(tell({"--max-new-tokens", "20", "--set", "suppress_tokens=[432]"}).find(','), std::string::npos);
  EXPECT_EQ(tell({"--top-k", "1", "--max-new-tokens", "12"}).substr(0, kBegin.size()), kBegin);
}

TEST(Generate, ACacheInEightBits) {
  const auto tell = [&](std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"generate", kStories, "Once upon a time", "--max-new-tokens", "400", "--new-only"});
    const Outcome outcome = mica(flags);
    EXPECT_EQ(outcome.err, "");
    return outcome.out;
  };
  const std::string whole = tell({}), all = R"({"residual_length": 0})";
  EXPECT_EQ(tell({"--cache-implementation", "dynamic"}), whole);
  // More is kept as it is than the text has tokens.
  EXPECT_EQ(tell({"--cache-implementation", "quantized", "--cache-config", R"({"residual_length": 500})"}), whole);
  const std::string rounded = tell({"--cache_implementation", "quantized", "--cache_config", all});
  EXPECT_EQ(rounded.substr(0, 300), whole.substr(0, 300));
  EXPECT_EQ(tell({"--set", "cache_implementation=quantized", "--set", "cache_config=" + all}), rounded);
}

TEST(Generate, TextsForTexts) {
  const Json expected = read_json_file(kNames + "/expected.json")["cases"][0];
  const auto word = expected["word"].get<std::string>();
  EXPECT_EQ(only_line(mica({"generate", kNames, word, "--json"})),
            Json::array({{{"generated_text", expected["greedy"]}}}));
  EXPECT_EQ(only_line(mica({"generate", kNames, word, "--json", "--task", "summarization", "--num-beams", "4"})),
            Json::array({{{"summary_text", expected["beam4"]}}}));
  EXPECT_EQ(only_line(mica({"generate", kNames, word, "--json", "--task", "translation"})),
            Json::array({{{"translation_text", expected["greedy"]}}}));
  EXPECT_EQ(mica({"generate", kNames, word, "--stream"}).out, expected["greedy"].get<std::string>() + "\n");
  expect_failure(mica({"generate", kNames, word, "--task", "translation", "--tgt-lang", "tlh"}), 1, "tlh");
  expect_failure(mica({"generate", kNames, ""}), 1, "no tokens");
  expect_failure(mica({"generate", kNames, word, "--chat"}), 2, "--chat");
}

TEST(Generate, BadInput) {
  const auto fails = [&](std::vector<std::string> flags, int status, const std::string& part) {
    flags.insert(flags.begin(), {"generate", kStories, "Once"});
    expect_failure(mica(flags), status, part);
  };
  fails({"--max-new-tokens", "0"}, 1, "max_new_tokens");
  fails({"--max-new-tokens", "many"}, 2, "--max-new-tokens");
  fails({"--temperature", "-1"}, 1, "temperature");
  fails({"--top-p", "1.5"}, 1, "top_p");
  fails({"--set", "top_q=5"}, 2, "top_q");
  fails({"--cache-config", "8"}, 2, "cache_config");
  fails({"--cache-implementation", "offloaded"}, 1, "offloaded");
  fails({"--cache-implementation", "quantized", "--cache-config", R"({"nbits": 4})"}, 1, "nbits is 4");
  fails({"--set", "top_k"}, 2, "key=value");
  fails({"--set", "top_k=\"x\""}, 2, "top_k");
  fails({"--num-return-sequences", "2"}, 1, "num_return_sequences");
  fails({"--num-beams", "2", "--stream"}, 2, "--stream");
  fails({"--tgt-lang", "de"}, 2, "--task translation");
  fails({"--task", "haiku"}, 2, "haiku");
  fails({"--chat"}, 1, "template");
  fails({"--system", "Be kind."}, 2, "--chat");
  const Outcome stranger = mica({"generate", kStories, "Once", "--assistant", kNames});
  EXPECT_EQ(stranger.status, 1);
  EXPECT_NE(stranger.err.find("the draft model has 94 tokens"), std::string::npos) << stranger.err;
  fails({"--assistant", "/nowhere"}, 1, "/nowhere");
  expect_failure(mica({"generate", kStories}), 2, "text");
  expect_failure(mica({"generate", kStories, "-"}), 1, "standard input");
  expect_failure(mica({"generate", kStories, "\xff"}), 1, "UTF-8");
  std::string endless;
  for (int i = 0; i < 600; ++i) endless += " dog";
  expect_failure(mica({"generate", kStories, endless}), 1, "truncate_prompt");
  EXPECT_EQ(mica({"generate", kStories, endless, "--truncate-prompt", "--max-new-tokens", "3"}).status, 0);
  // An empty prompt starts from the start token.
  EXPECT_EQ(mica({"generate", kStories, "", "--max-new-tokens", "5"}).status, 0);
}

TEST(Generate, HeldToARule) {
  const tiny::TemporaryFolder folder;
  const std::string schema = folder / "schema.json", grammar = folder / "rules.gbnf";
  tiny::write_text(schema, R"({"type": "object", "properties": {"big": {"type": "boolean"}, "size": {"enum": [1, 20]}},
                              "required": ["big", "size"], "additionalProperties": false})");
  tiny::write_text(grammar, "root ::= (\"ball\" | \"dog\") \"!\"");
  const auto tell = [&](std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"generate", kStories, "Once upon a time", "--new-only", "--max-new-tokens", "60"});
    const Outcome outcome = mica(flags);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return outcome.out;
  };
  const Json value = parse_json(tell({"--json-schema", schema}), "text");
  EXPECT_TRUE(value.at("big").is_boolean());
  EXPECT_TRUE(value.at("size") == 1 || value.at("size") == 20) << value;
  const std::string word = tell({"--grammar", grammar});
  EXPECT_TRUE(word == "ball!\n" || word == "dog!\n") << word;
  const std::string date = tell({"--regex", "[12][0-9]{3}-[01][0-9]", "--temperature", "3", "--seed", "5"});
  ASSERT_EQ(date.size(), 8U) << date;
  EXPECT_EQ(date[4], '-');
  tiny::write_text(schema, R"({"type": "integer", "minimum": 5, "maximum": 4})");
  const auto fails = [&](std::vector<std::string> flags, int status, const std::string& part) {
    flags.insert(flags.begin(), {"generate", kStories, "Once"});
    expect_failure(mica(flags), status, part);
  };
  fails({"--json-schema", schema}, 1, "");
  fails({"--json-schema", "/nowhere"}, 1, "/nowhere");
  fails({"--regex", "(a"}, 1, "");
  fails({"--regex", "a", "--grammar", grammar}, 2, "more than one rule");
  tiny::write_text(schema, "{");
  fails({"--json-schema", schema}, 1, "");
  tiny::write_text(grammar, "root ::= other");
  fails({"--grammar", grammar}, 1, "other");
}

// Runs mica and sends SIGINT once it has begun to write. Its standard output is a pipe that is full but for a few
// bytes, so that it cannot be done before.
Outcome interrupted(const std::vector<std::string>& arguments, const std::string& input) {
  constexpr size_t kFree = 24;
  const tiny::TemporaryFolder folder;
  tiny::write_text(folder / "in", input);
  const std::string in = folder / "in", err = folder / "err";
  std::vector<char*> argv{const_cast<char*>(MICA_PROGRAM)};
  for (const std::string& each : arguments) argv.push_back(const_cast<char*>(each.c_str()));
  argv.push_back(nullptr);
  int ends[2];
  if (pipe(ends) != 0) return {};
  const int size = fcntl(ends[1], F_SETPIPE_SZ, 4096);
  const std::string filler(static_cast<size_t>(size) - kFree, '.');
  if (write(ends[1], filler.data(), filler.size()) != static_cast<ssize_t>(filler.size())) return {};
  const pid_t child = fork();
  if (child == 0) {
    dup2(open(in.c_str(), O_RDONLY), 0);
    dup2(ends[1], 1);
    dup2(open(err.c_str(), O_WRONLY | O_CREAT, 0600), 2);
    close(ends[0]);
    close(ends[1]);
    execv(MICA_PROGRAM, argv.data());
    _exit(127);
  }
  close(ends[1]);
  for (int held = 0, tries = 0; held <= static_cast<int>(filler.size()) && tries < 60'000; ++tries) {
    usleep(1000);
    ioctl(ends[0], FIONREAD, &held);
  }
  kill(child, SIGINT);
  Outcome outcome;
  char buffer[4096];
  for (ssize_t count = 0; (count = read(ends[0], buffer, sizeof(buffer))) > 0;) {
    outcome.out.append(buffer, static_cast<size_t>(count));
  }
  close(ends[0]);
  outcome.out.erase(0, filler.size());
  int status = 0;
  waitpid(child, &status, 0);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  outcome.err = read_file(err);
  return outcome;
}

TEST(Generate, AnInterruptLeavesWhatThereIs) {
  const Outcome outcome = interrupted({"generate", kStories, "Once", "The", "--stream", "--max-new-tokens", "400"}, "");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(lines(outcome.out).size(), 1U) << outcome.out;
  EXPECT_TRUE(outcome.out.starts_with("Once"));
  EXPECT_LT(outcome.out.size(), 100U);
  EXPECT_EQ(outcome.err, "mica: error: interrupted (mica generate): what was written so far is all there is\n");
}

// ---- chat ----------------------------------------------------------------------------------------------------------

struct Template {
  tiny::TemporaryFolder folder;
  std::string path = folder / "template.jinja";
  Template() {
    tiny::write_text(
        path,
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}Once{% endif %}{{ m.content }}\n"
        "{% endfor %}"
        "{% if add_generation_prompt %}Once{% endif %}");
  }
};

Outcome chat(const Template& with, const std::string& input, std::vector<std::string> flags = {}) {
  flags.insert(flags.begin(), {"chat", kStories, "--chat-template", with.path, "--max-new-tokens", "16"});
  return mica(flags, input);
}

TEST(Chat, TurnsAndCommands) {
  const Template with;
  const Outcome one = chat(with, "Tell me a story.\n", {"--json"});
  const Json first = only_line(one);
  EXPECT_EQ(first["role"], "assistant");
  EXPECT_EQ(first["reused_tokens"], 0);
  EXPECT_EQ(first["finish"], "length");
  EXPECT_EQ(chat(with, "Tell me a story.\n").out, first["content"].get<std::string>() + "\n");

  const std::string saved = with.folder / "chat.json";
  const Outcome more =
      chat(with, "Tell me a story.\nAnd then?\n/regenerate\n/save " + saved + "\n/clear\nTell me a story.\n/exit\nno\n",
           {"--json"});
  ASSERT_EQ(more.status, 0) << more.err;
  const std::vector<std::string> answers = lines(more.out);
  ASSERT_EQ(answers.size(), 4U);
  const auto answer = [&](size_t i) { return parse_json(answers[i], "answer"); };
  EXPECT_EQ(answer(0), first);
  EXPECT_GT(answer(1)["reused_tokens"].get<int64_t>(), 20);
  EXPECT_EQ(answer(2)["content"], answer(1)["content"]);
  EXPECT_EQ(answer(2)["reused_tokens"], answer(2)["prompt_tokens"].get<int64_t>() - 1);
  EXPECT_EQ(answer(3)["content"], first["content"]);
  const Json messages = read_json_file(saved);
  ASSERT_EQ(messages.size(), 4U);
  EXPECT_EQ(messages[2], Json({{"role", "user"}, {"content", "And then?"}}));
  EXPECT_EQ(messages[3]["content"], answer(1)["content"]);

  // Going on with what was saved.
  const Json loaded = only_line(chat(with, "/load " + saved + "\n/regenerate\n", {"--json"}));
  EXPECT_EQ(loaded["content"], answer(1)["content"]);
  EXPECT_EQ(only_line(chat(with, "/regenerate\n", {"--json", "--load", saved}))["content"], answer(1)["content"]);
}

TEST(Chat, SystemMessagesAndSettings) {
  const Template with;
  const std::string saved = with.folder / "chat.json";
  const Outcome outcome = chat(with, "/set max_new_tokens=2\nHello\n/system Be brief.\n/save " + saved + "\n/help\n",
                               {"--system", "Be kind.", "--json"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(parse_json(lines(outcome.out).at(0), "answer")["new_tokens"], 2);
  EXPECT_NE(outcome.err.find("/regenerate"), std::string::npos);
  const Json messages = read_json_file(saved);
  ASSERT_EQ(messages.size(), 3U);
  EXPECT_EQ(messages[0], Json({{"role", "system"}, {"content", "Be brief."}}));
}

TEST(Chat, AnswersKeepARule) {
  const Template with;
  const Outcome outcome = chat(with, "How many?\nAnd now?\n/regenerate\n", {"--regex", "(one|two) (cats|dogs)"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  std::istringstream lines(outcome.out);
  int answers = 0;
  for (std::string line; std::getline(lines, line); ++answers) {
    EXPECT_TRUE(line == "one cats" || line == "one dogs" || line == "two cats" || line == "two dogs") << line;
  }
  EXPECT_EQ(answers, 3);
  EXPECT_EQ(chat(with, "Hello\n", {"--regex", "(", "--json"}).status, 1);
  EXPECT_EQ(chat(with, "Hello\n", {"--regex", "a", "--json-schema", "/nowhere"}).status, 2);
}

// An error of one turn leaves the chat going; the exit status tells.
TEST(Chat, ErrorsKeepTheSession) {
  const Template with;
  const Outcome outcome = chat(with,
                               "/nothing\n/set top_p=7\n/set nothing=1\n/load /nowhere\n/save\n/regenerate\n\xff\n"
                               "Hello\n",
                               {"--json"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(lines(outcome.out).size(), 1U);
  size_t errors = 0;
  for (const std::string& line : lines(outcome.err)) errors += line.starts_with("mica: error: ") ? 1 : 0;
  EXPECT_EQ(errors, 8U) << outcome.err;
  expect_failure(mica({"chat", kStories}, "Hello\n"), 1, "chat template");
  expect_failure(mica({"chat", kStories, "--chat-template", "/nowhere"}, "Hello\n"), 1, "/nowhere");
}

TEST(Chat, AnInterruptEndsTheAnswerOnly) {
  const Template with;
  const Outcome outcome = interrupted({"chat", kStories, "--chat-template", with.path, "--max-new-tokens", "300"},
                                      "Tell me a story.\n/set max_new_tokens=5\nAnd then?\n");
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("(interrupted)"), std::string::npos) << outcome.err;
  EXPECT_GE(lines(outcome.out).size(), 2U) << outcome.out;
  EXPECT_LT(outcome.out.size(), 200U);
}

TEST(Chat, AFullContextIsNoEnd) {
  const Template with;
  std::string input;
  for (int i = 0; i < 9; ++i) input += "Tell me a long story about the little dog and the big red ball in the park.\n";
  const Outcome outcome = chat(with, input, {"--json", "--set", "max_new_tokens=60"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(lines(outcome.out).size(), 9U);
  EXPECT_NE(outcome.err.find("the context is full"), std::string::npos);
}

}  // namespace
}  // namespace mica
