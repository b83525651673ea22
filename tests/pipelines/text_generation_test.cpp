// Stories by a small published Llama, as the reference writes them: tests/data/models/stories260K.

#include <algorithm>

#include "tests/support/guarded_device.h"
#include "tests/support/tiny_model.h"
#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/json.h"
#include "mica/base/warnings.h"
#include "mica/models/generation/generate.h"
#include "mica/models/generation/prompts.h"
#include "mica/models/pipelines/pipeline.h"
#include "mica/tensor/safetensors.h"

namespace mica {
namespace {

const std::string kStories = std::string(MICA_SOURCE_DIR) + "/tests/data/models/stories260K";

const Json& expected() {
  static const Json json = read_json_file(kStories + "/expected.json");
  return json;
}
const TextGenerationPipeline& stories() {
  static const TextGenerationPipeline pipeline(kStories, {.device = test::test_device()});
  return pipeline;
}
std::vector<int64_t> ids_of(const Json& json) {
  return json.get<std::vector<int64_t>>();
}

// A case's prompt and what follows, by the reference.
struct Story {
  std::string prompt, text;
  std::vector<int64_t> ids, added;
};
std::vector<Story> all_stories() {
  std::vector<Story> result;
  for (const Json& each : expected().at("cases")) {
    Story story{each.at("prompt").get<std::string>(), each.at("greedy_text").get<std::string>(),
                ids_of(each.at("input_ids")), ids_of(each.at("greedy_ids"))};
    story.added.erase(story.added.begin(), story.added.begin() + static_cast<std::ptrdiff_t>(story.ids.size()));
    result.push_back(std::move(story));
  }
  return result;
}

GenerationConfig new_tokens(size_t count) {
  return {.max_new_tokens = static_cast<int64_t>(count)};
}

TEST(TextGeneration, ContinuesAsTheReferenceDoes) {
  for (const Story& story : all_stories()) {
    SCOPED_TRACE(story.prompt);
    const BatchEncoding inputs = stories().tokenizer()(story.prompt);
    const GenerationOutput output = stories().model().generate(inputs, new_tokens(story.added.size()));
    EXPECT_EQ(output.tokens, Prompts{story.added});
    const auto texts = stories()(story.prompt, {.generation = new_tokens(story.added.size())});
    ASSERT_EQ(texts.size(), 1U);
    EXPECT_EQ(texts[0].generated_text, story.text);
    EXPECT_EQ(texts[0].finish, FinishReason::length);
  }
}

TEST(TextGeneration, LogitsLossAndGradientsAreTheReferences) {
  const SafeTensors tensors = SafeTensors::open(kStories + "/expected.safetensors");
  const Json& first = expected().at("cases")[0];
  const Tensor logits = tensors.tensor("case0.logits");
  ModelInputs inputs;
  inputs.input_ids = tensors.tensor("case0.input_ids");
  const NoGrad no_grad;
  const std::vector<float> have = stories().model()(inputs).logits.to_vector<float>();
  const std::vector<float> wanted = logits.to_vector<float>();
  ASSERT_EQ(have.size(), wanted.size());
  for (size_t i = 0; i < have.size(); ++i) ASSERT_NEAR(have[i], wanted[i], 1e-4) << i;
  const std::vector<int64_t> ids = ids_of(first.at("train").at("input_ids"));
  inputs.input_ids = inputs.labels = Tensor::from(ids, {1, static_cast<int64_t>(ids.size())});
  const double loss = first["train"].at("loss").get<double>();
  EXPECT_NEAR(stories().model()(inputs).loss.item<double>(), loss, 1e-5 * loss);
}

// Padding on either side, by a mask, and several prompts at once change nothing.
TEST(TextGeneration, PaddingAndCompanyMakeNoDifference) {
  const std::vector<Story> all = all_stories();
  std::vector<std::string> prompts;
  size_t longest = 0;
  for (const Story& story : all) {
    prompts.push_back(story.prompt);
    longest = std::max(longest, story.ids.size());
  }
  const auto check = [&](const GenerationOutput& output) {
    ASSERT_EQ(output.tokens.size(), all.size());
    for (size_t i = 0; i < all.size(); ++i) {
      EXPECT_EQ(output.tokens[i], std::vector(all[i].added.begin(), all[i].added.begin() + 40)) << i;
    }
  };
  const Model& model = stories().model();
  check(model.generate(stories().tokenizer()(prompts), new_tokens(40)));
  for (const bool left : {true, false}) {
    std::vector<int64_t> ids, mask;
    for (const Story& story : all) {
      const size_t padding = longest + 2 - story.ids.size();
      const size_t before = left ? padding : 1;
      ids.insert(ids.end(), before, 0);
      ids.insert(ids.end(), story.ids.begin(), story.ids.end());
      ids.insert(ids.end(), padding - before, 0);
      mask.insert(mask.end(), before, 0);
      mask.insert(mask.end(), story.ids.size(), 1);
      mask.insert(mask.end(), padding - before, 0);
    }
    const Shape shape{static_cast<int64_t>(all.size()), static_cast<int64_t>(longest + 2)};
    ModelInputs inputs;
    inputs.input_ids = Tensor::from(ids, shape);
    inputs.attention_mask = Tensor::from(mask, shape);
    check(model.generate(inputs, new_tokens(40)));
    mask[0] = 1;
    mask[1] = 0;
    inputs.attention_mask = Tensor::from(mask, shape);
    EXPECT_THROW(model.generate(inputs, new_tokens(4)), Error) << "a gap";
  }
  const auto texts = stories()(prompts, {.generation = new_tokens(40), .batch_size = 2});
  ASSERT_EQ(texts.size(), all.size());
  for (size_t i = 0; i < all.size(); ++i) EXPECT_TRUE(all[i].text.starts_with(texts[i][0].generated_text)) << i;
}

TEST(TextGeneration, ResultsHaveTheUsualShape) {
  const Story story = all_stories()[0];
  TextGenerationOptions options{.generation = new_tokens(3), .return_full_text = false};
  EXPECT_EQ(to_json(stories()(story.prompt, options)), R"([{"generated_text": ", there was"}])");
  options.generation.num_return_sequences = 3;
  options.generation.do_sample = true;
  options.generation.seed = 7;
  const auto three = stories()(story.prompt, options);
  ASSERT_EQ(three.size(), 3U);
  EXPECT_EQ(to_json(stories()(story.prompt, options)), to_json(three));
  options.generation.seed = 8;
  EXPECT_NE(to_json(stories()(story.prompt, options)), to_json(three));
  const Pipeline any = pipeline("text-generation", kStories);
  const Json result = parse_json(any(story.prompt).to_json(), "result");
  EXPECT_TRUE(result.at(0).at("generated_text").get<std::string>().starts_with(story.text.substr(0, 60)));
  EXPECT_TRUE(stories()(std::vector<std::string>{}).empty());
}

TEST(TextGeneration, StreamsWhatItReturns) {
  const Story story = all_stories()[0];
  std::string streamed;
  size_t pieces = 0;
  TextGenerationOptions options{.generation = new_tokens(story.added.size()), .return_full_text = false};
  options.extras.on_text = [&](size_t input, std::string_view text) {
    EXPECT_EQ(input, 0U);
    EXPECT_FALSE(text.empty());
    streamed += text;
    ++pieces;
  };
  EXPECT_EQ(stories()(story.prompt, options)[0].generated_text, streamed);
  EXPECT_EQ(story.prompt + streamed, story.text);
  EXPECT_GT(pieces, story.added.size() / 2);
}

TEST(TextGeneration, AnInterruptEndsTheText) {
  std::atomic<bool> interrupt{false};
  TextGenerationOptions options{.generation = new_tokens(100)};
  options.extras.interrupt = &interrupt;
  options.extras.on_text = [&](size_t, std::string_view) { interrupt = true; };
  options.batch_size = 1;
  const auto texts = stories()(std::vector<std::string>{"Once upon a time", "The dog"}, options);
  ASSERT_EQ(texts.size(), 2U);
  EXPECT_EQ(texts[0].at(0).finish, FinishReason::interrupted);
  EXPECT_LT(texts[0][0].generated_text.size(), 60U);
  EXPECT_TRUE(texts[1].empty());
}

TEST(TextGeneration, DraftsChangeNothing) {
  const Story story = all_stories()[1];
  TextGenerationOptions options{.generation = new_tokens(story.added.size())};
  options.extras.assistant = stories().model();
  EXPECT_EQ(stories()(story.prompt, options)[0].generated_text, story.text);
  options.extras.assistant.reset();
  options.generation.prompt_lookup_num_tokens = 4;
  EXPECT_EQ(stories()(story.prompt, options)[0].generated_text, story.text);
}

TEST(TextGeneration, StopsAtAString) {
  TextGenerationOptions options{.generation = {.max_new_tokens = 100, .stop_strings = {"Lily"}}};
  const auto texts = stories()("Once upon a time", options);
  EXPECT_EQ(texts[0].generated_text, "Once upon a time, there was a little girl named Lily");
  EXPECT_EQ(texts[0].finish, FinishReason::stop_string);
}

TEST(TextGeneration, PromptsBeyondTheContext) {
  const Model& model = stories().model();
  std::vector<int64_t> ids{1};
  for (int64_t i = 0; i < 600; ++i) ids.push_back(260 + i % 200);
  ModelInputs inputs;
  inputs.input_ids = Tensor::from(ids, {1, static_cast<int64_t>(ids.size())});
  try {
    model.generate(inputs, {.max_new_tokens = 5});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("601 tokens"), std::string::npos) << error.what();
    EXPECT_NE(error.mend().find("truncate_prompt"), std::string::npos);
  }
  const GenerationOutput cut = model.generate(inputs, {.max_new_tokens = 5, .truncate_prompt = true});
  EXPECT_EQ(cut.prompt_length, 512 + 1 - 5);
  EXPECT_EQ(cut.tokens[0].size(), 5U);
  // The start token and the newest of the others.
  std::vector<int64_t> kept{1};
  kept.insert(kept.end(), ids.end() - (512 + 1 - 5 - 1), ids.end());
  inputs.input_ids = Tensor::from(kept, {1, static_cast<int64_t>(kept.size())});
  EXPECT_EQ(model.generate(inputs, {.max_new_tokens = 5}).tokens, cut.tokens);
}

TEST(TextGeneration, SettingsComeAndGoWithTheModel) {
  const Model& model = stories().model();
  EXPECT_EQ(model.generation_config().max_length, 512);
  EXPECT_EQ(model.generation_config().eos_token_id, TokenIds(2));
  const tiny::TemporaryFolder folder;
  const Model copy = Model::from_pretrained(kStories, Task::causal_lm);
  copy.set_generation_config(copy.generation_config().with({.max_new_tokens = 7, .top_p = 0.5}));
  copy.save_pretrained(folder.path());
  const Model again = Model::from_pretrained(folder.path(), Task::causal_lm);
  EXPECT_EQ(again.generation_config().max_new_tokens, 7);
  EXPECT_EQ(again.generation_config().top_p, 0.5);
  EXPECT_EQ(again.generate(stories().tokenizer()("Once")).tokens[0].size(), 7U);
  tiny::write_text(folder / "generation_config.json", "{\"top_k\": \"many\"}");
  EXPECT_THROW(Model::from_pretrained(folder.path(), Task::causal_lm), Error);
  const Model base = Model::from_pretrained(kStories, Task::base);
  EXPECT_THROW(base.generation_config(), Error);
  EXPECT_THROW(base.generate(stories().tokenizer()("Once")), Error);
}

constexpr const char* kTemplate =
    "{{ bos_token }}{% for m in messages %}{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}Once{% endif %}";

TEST(TextGeneration, Chats) {
  Tokenizer tokenizer = stories().tokenizer();
  tokenizer.set_chat_template(kTemplate);
  const TextGenerationPipeline chatter(stories().model(), tokenizer);
  const Conversation chat{{"user", "Tell me a story."}};
  const TextGenerationOptions options{.generation = new_tokens(12)};
  const auto answers = chatter(chat, options);
  const auto plain = stories()("Tell me a story.\nOnce", {.generation = new_tokens(12), .return_full_text = false});
  EXPECT_EQ(answers[0].generated_text, plain[0].generated_text);
  const Json all = parse_json(answers[0].messages, "messages");
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0], Json({{"role", "user"}, {"content", "Tell me a story."}}));
  EXPECT_EQ(all[1], Json({{"role", "assistant"}, {"content", answers[0].generated_text}}));
  EXPECT_EQ(parse_json(to_json(answers), "json")[0]["generated_text"], all);
  // The same from JSON; and the assistant's own words, continued.
  const auto same = chatter(Conversation::from_json(R"([{"role":"user","content":"Tell me a story."}])"), options);
  EXPECT_EQ(same[0].messages, answers[0].messages);
  const auto on = chatter(Conversation{{"user", "A story."}, {"assistant", "There was"}}, options);
  const Json continued = parse_json(on[0].messages, "messages");
  ASSERT_EQ(continued.size(), 2U);
  EXPECT_EQ(continued[1]["content"], "There was" + on[0].generated_text);
}

TEST(TextGeneration, Refusals) {
  EXPECT_THROW(stories()("a", {.generation = {.max_new_tokens = 0}}), Error);
  EXPECT_THROW(stories()("a", {.generation = {.do_sample = true, .temperature = -1.0}}), Error);
  EXPECT_THROW(stories()("a", {.batch_size = 0}), Error);
  EXPECT_THROW(stories()("\xff", {}), Error);
  EXPECT_THROW(stories()(Conversation{{"user", "hello"}}), Error) << "no chat template";
  EXPECT_THROW(pipeline("summarization", kStories), Error);
  EXPECT_EQ(stories()("", {.generation = new_tokens(4), .return_full_text = false})[0].finish, FinishReason::length);
}

}  // namespace
}  // namespace mica
