// mica train, as a user would: a model folder and a file of data to a trained model, its log and its report.

#include <fstream>

#include "tests/cli/program.h"
#include "tests/support/tiny_model.h"
#include <gtest/gtest.h>

#include "mica/base/file.h"
#include "mica/base/json.h"

namespace mica {
namespace {

using testing_program::lines;
using testing_program::mica;
using testing_program::Outcome;

class Train : public ::testing::Test {
 protected:
  std::string file(const std::string& name, const std::string& content) {
    std::ofstream(scratch_ / name) << content;
    return scratch_ / name;
  }
  std::string repeated(const std::string& rows, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) all += rows;
    return all;
  }
  // The figures that the program ends with.
  Json run(const std::string& task, const std::string& model, std::vector<std::string> more) {
    std::vector<std::string> arguments{"train",  "--task",          task, "--model",         model, "--output", out(),
                                       "--json", "--logging_steps", "1",  "--save_strategy", "no"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = mica(arguments);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    if (outcome.status != 0) return Json::object();
    const Json figures = parse_json(lines(outcome.out).back(), "figures");
    EXPECT_TRUE(figures.contains("train_loss")) << figures;
    for (const char* name : {"config.json", "model.safetensors", "tokenizer_config.json", "trainer_state.json",
                             "training_args.json", "report.html", "log.jsonl"}) {
      EXPECT_TRUE(file_exists(out() + "/" + name)) << name;
    }
    return figures;
  }
  std::string out() { return scratch_ / "out"; }
  std::string bert(const std::string& task, const std::vector<std::string>& labels = {}) {
    const std::string folder = scratch_ / ("bert-" + task);
    make_directories(folder);
    tiny::write_bert(folder, task, labels);
    return folder;
  }
  std::vector<double> losses() {
    std::vector<double> all;
    const Json state = read_json_file(out() + "/trainer_state.json");
    for (const Json& entry : state.at("log_history")) {
      if (entry.contains("loss")) all.push_back(entry.at("loss").get<double>());
    }
    return all;
  }
  tiny::TemporaryFolder scratch_;
};

TEST_F(Train, ClassifiesTextsByLabelsWithNames) {
  const std::string data = file("train.jsonl", repeated(R"({"text": "love the city", "label": "good"}
{"text": "hate the river", "label": "bad"}
{"text": "love to learn", "label": "good"}
{"text": "hate a machine", "label": "bad"}
)",
                                                        6));
  const Json figures = run("sequence_classification", bert("masked_lm"),
                           {"--train", data, "--eval", data, "--learning_rate", "3e-3", "--num_train_epochs", "6",
                            "--per_device_train_batch_size", "4", "--eval_strategy", "epoch", "--config",
                            "hidden_dropout_prob=0, attention_probs_dropout_prob=0"});
  EXPECT_EQ(figures.at("eval_accuracy"), 1.0) << figures;
  EXPECT_LT(losses().back(), 0.3 * losses().front());
  const Json config = read_json_file(out() + "/config.json");
  EXPECT_EQ(config.at("id2label"), parse_json(R"({"0": "bad", "1": "good"})", "labels"));
  EXPECT_EQ(config.at("hidden_dropout_prob"), 0);
  const Outcome said = mica({"classify", out(), "i love turin", "--json"});
  EXPECT_EQ(said.status, 0) << said.err;
  EXPECT_EQ(parse_json(said.out, "said").at("label"), "good");
}

TEST_F(Train, NumbersAndSeveralLabelsMakeOtherProblems) {
  const std::string scores = file("scores.csv", repeated("text,label\nlove,1.5\nhate,-0.5\n", 1));
  Json figures =
      run("sequence_classification", bert("masked_lm"), {"--train", scores, "--eval", scores, "--max_steps", "2"});
  EXPECT_TRUE(figures.contains("eval_mse")) << figures;
  EXPECT_EQ(read_json_file(out() + "/config.json").at("problem_type"), "regression");
  const std::string several = file("several.jsonl", R"({"text": "love", "label": ["a", "b"]}
{"text": "hate", "label": []}
)");
  figures =
      run("sequence_classification", bert("masked_lm"), {"--train", several, "--eval", several, "--max_steps", "2"});
  EXPECT_TRUE(figures.contains("eval_f1")) << figures;
  EXPECT_EQ(read_json_file(out() + "/config.json").at("problem_type"), "multi_label_classification");
}

TEST_F(Train, TagsWords) {
  const std::string data =
      file("train.jsonl", repeated(R"({"tokens": ["Ada", "lives", "in", "Turin"], "upos": ["N", "V", "P", "N"]}
{"tokens": ["the", "river", "is"], "upos": ["D", "N", "V"]}
)",
                                   8));
  const Json figures = run("token_classification", bert("masked_lm"),
                           {"--train", data, "--eval", data, "--label_column", "upos", "--learning_rate", "5e-3",
                            "--num_train_epochs", "20"});
  EXPECT_GT(figures.at("eval_accuracy").get<double>(), 0.9) << figures;
  // Tags of entities are measured as entities.
  const std::string entities = file("entities.conll", repeated("Ada B-PER\nlives O\nin O\nTurin B-LOC\n\n", 4));
  EXPECT_TRUE(
      run("token_classification", bert("masked_lm"), {"--train", entities, "--eval", entities, "--max_steps", "3"})
          .contains("eval_f1"));
}

TEST_F(Train, FindsAnswers) {
  const std::string data =
      file("train.json", R"({"data": [{"title": "t", "paragraphs": [{"context": "Ada lives in Turin, a city.",
    "qas": [{"id": "1", "question": "where is Ada?", "answers": [{"text": "Turin", "answer_start": 13}]},
            {"id": "2", "question": "who lives?", "answers": [{"text": "Ada", "answer_start": 0}]}]}]}]})");
  const Json figures = run("question_answering", bert("masked_lm"),
                           {"--train", data, "--eval", data, "--learning_rate", "5e-3", "--num_train_epochs", "40",
                            "--config", "hidden_dropout_prob=0", "attention_probs_dropout_prob=0"});
  EXPECT_EQ(figures.at("eval_exact_match"), 100) << figures;
}

TEST_F(Train, LearnsLanguages) {
  const std::string text = file("text.txt", repeated("the river is in the city\nada lives in turin\n", 30));
  Json figures =
      run("masked_lm", bert("masked_lm"),
          {"--train", text, "--eval", text, "--block_size", "24", "--max_steps", "20", "--learning_rate", "3e-3"});
  EXPECT_LT(losses().back(), losses().front()) << figures;
  EXPECT_TRUE(figures.contains("eval_loss"));
  figures = run("causal_lm", MICA_SOURCE_DIR "/tests/data/models/stories260K",
                {"--train", text, "--line_by_line", "--max_steps", "10", "--learning_rate", "1e-3",
                 "--train_sampling_strategy", "sequential"});
  EXPECT_LT(losses().back(), losses().front()) << figures;
}

TEST_F(Train, TurnsTextsIntoOthers) {
  const std::string data = file("train.tsv", "source\ttarget\n" + repeated("hello\tworld\nabc\txyz\n", 6));
  const Json figures = run(
      "seq2seq_lm", MICA_SOURCE_DIR "/tests/data/models/aren-transliteration",
      {"--train", data, "--eval", data, "--max_steps", "6", "--learning_rate", "1e-3", "--max_target_length", "16"});
  EXPECT_TRUE(figures.contains("eval_rougeL")) << figures;
  EXPECT_TRUE(figures.contains("eval_chrf")) << figures;
}

TEST_F(Train, ChoosesAmongEndings) {
  const std::string data =
      file("train.jsonl", repeated(R"({"sent1": "ada", "choices": ["lives", "the the the"], "label": 0}
{"sent1": "turin", "choices": ["of of of", "is a city"], "label": 1}
)",
                                   6));
  const Json figures = run("multiple_choice", bert("masked_lm"),
                           {"--train", data, "--eval", data, "--learning_rate", "5e-3", "--num_train_epochs", "10"});
  EXPECT_GE(figures.at("eval_accuracy").get<double>(), 0.5) << figures;
}

TEST_F(Train, LearnsSentenceEmbeddings) {
  const std::string model = bert("base");
  const std::string pairs = file("pairs.jsonl", repeated(R"({"anchor": "where is ada", "positive": "ada lives in turin"}
{"anchor": "who is to learn", "positive": "love the machine"}
{"anchor": "in the river", "positive": "the city of turin is in a river"}
{"anchor": "hate", "positive": "to hate a machine"}
)",
                                                         4));
  const std::string graded =
      file("graded.tsv", "sentence1\tsentence2\tscore\nada\tada lives\t0.9\nriver\thate\t0.1\nturin\tcity\t0.6\n");
  const std::vector<std::string> common{"--learning_rate",           "3e-3",      "--per_device_train_batch_size", "4",
                                        "--train_sampling_strategy", "sequential"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.end(), common.begin(), common.end());
    return more;
  };
  Json figures = run("sentence_similarity", model,
                     with({"--train", pairs, "--eval", pairs, "--test", graded, "--num_train_epochs", "6"}));
  EXPECT_LT(losses().back(), 0.5 * losses().front());
  EXPECT_EQ(figures.at("eval_cosine_accuracy@1"), 1.0) << figures;
  EXPECT_TRUE(figures.contains("test_spearman_cosine")) << figures;
  EXPECT_TRUE(file_exists(out() + "/modules.json"));
  const Outcome said =
      mica({"embed", out(), "where is ada", "ada lives in turin", "to hate a machine", "--similarity", "--json"});
  ASSERT_EQ(said.status, 0) << said.err;
  const Json row = parse_json(lines(said.out).front(), "row").at("similarity");
  EXPECT_GT(row.at(1).get<double>(), row.at(2).get<double>() + 0.2);

  figures = run("sentence_similarity", out(),
                with({"--train", graded, "--eval", graded, "--loss", "cosent", "--scale", "10", "--matryoshka_dims",
                      "32,8", "--max_steps", "3"}));
  EXPECT_TRUE(figures.contains("eval_loss")) << figures;
  EXPECT_TRUE(figures.contains("eval_pearson_manhattan")) << figures;
  const std::string labelled = file("labelled.csv", "a,b,same\nada,ada lives,1\nriver,hate,0\n");
  figures = run(
      "sentence_similarity", model,
      with({"--train", labelled, "--eval", labelled, "--text_column", "a", "--text_pair_column", "b", "--label_column",
            "same", "--loss", "online_contrastive", "--margin", "0.4", "--max_steps", "2", "--from_scratch"}));
  EXPECT_TRUE(figures.contains("eval_cosine_ap")) << figures;

  // Of a low-rank adapter no weights of the model are saved, and the folder opens none the less.
  remove_directory(out());
  const Outcome adapted = mica(with({"train", "--task", "sentence_similarity", "--model", model, "--output", out(),
                                     "--train", pairs, "--max_steps", "2", "--lora", "r=2", "--disable_tqdm", "true"}));
  EXPECT_EQ(adapted.status, 0) << adapted.err;
  EXPECT_TRUE(file_exists(out() + "/adapter_config.json"));
  EXPECT_TRUE(file_exists(out() + "/modules.json"));
  EXPECT_FALSE(file_exists(out() + "/model.safetensors"));
  const Outcome embedded = mica({"embed", out(), "ada"});
  EXPECT_EQ(embedded.status, 0) << embedded.err;
}

TEST_F(Train, StartsFromNothing) {
  const std::string text =
      file("text.txt", repeated("the river is in the city\nada lives in turin by the river\n", 60));
  run("pretraining", "gpt2",
      {"--train", text, "--vocab_size", "300", "--block_size", "16", "--max_steps", "30", "--learning_rate", "3e-3",
       "--config", "n_embd=32,n_layer=2,n_head=2,n_positions=32"});
  EXPECT_LT(losses().back(), 0.8 * losses().front());
  const Outcome said = mica({"generate", out(), "the river", "--max-new-tokens", "5"});
  EXPECT_EQ(said.status, 0) << said.err;
}

TEST_F(Train, TrainsAnAdapterThatOpensLikeAModel) {
  const std::string data = file("train.jsonl", repeated(R"({"text": "love the city", "label": "good"}
{"text": "hate the river", "label": "bad"}
)",
                                                        8));
  const std::string model = bert("masked_lm");
  const std::vector<std::string> arguments{"train",
                                           "--task",
                                           "sequence_classification",
                                           "--model",
                                           model,
                                           "--output",
                                           out(),
                                           "--train",
                                           data,
                                           "--eval",
                                           data,
                                           "--learning_rate",
                                           "1e-2",
                                           "--num_train_epochs",
                                           "12",
                                           "--save_steps",
                                           "10",
                                           "--lora",
                                           "r=4,alpha=8,target_modules=query|value"};
  const Outcome trained = mica(arguments);
  ASSERT_EQ(trained.status, 0) << trained.err;
  EXPECT_TRUE(file_exists(out() + "/adapter_model.safetensors"));
  EXPECT_FALSE(file_exists(out() + "/model.safetensors"));
  EXPECT_TRUE(file_exists(out() + "/checkpoint-10/adapter_model.safetensors"));
  EXPECT_EQ(read_json_file(out() + "/adapter_config.json").at("target_modules").size(), 2U);
  const Outcome said = mica({"classify", out(), "i love turin", "--json"});
  ASSERT_EQ(said.status, 0) << said.err;
  EXPECT_EQ(parse_json(said.out, "said").at("label"), "good");
  EXPECT_EQ(mica({"train", "--task", "sequence_classification", "--model", model, "--output", out(), "--train", data,
                  "--lora", "rank=4"})
                .status,
            2);
}

TEST_F(Train, TrainsVirtualTokensThatOpenLikeAModel) {
  const std::string data = file("train.jsonl", repeated(R"({"text": "love the city", "label": "good"}
{"text": "hate the river", "label": "bad"}
)",
                                                        8));
  // With a pooler of its own: one made anew would be frozen, and not saved.
  const std::string model = bert("sequence_classification", {"good", "bad"});
  const std::vector<std::string> common{"train",
                                        "--task",
                                        "sequence_classification",
                                        "--model",
                                        model,
                                        "--output",
                                        out(),
                                        "--train",
                                        data,
                                        "--learning_rate",
                                        "0.1",
                                        "--seed",
                                        "3",
                                        "--num_train_epochs",
                                        "30",
                                        "--save_steps",
                                        "40",
                                        "--logging_steps",
                                        "1",
                                        "--config",
                                        "hidden_dropout_prob=0,attention_probs_dropout_prob=0"};
  const auto with = [](std::vector<std::string> all, const std::vector<std::string>& more) {
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  const std::pair<std::string, std::string> kinds[] = {
      {"--prompt_tuning", "num_virtual_tokens=3,prompt_tuning_init=TEXT,prompt_tuning_init_text=\"love, hate\""},
      {"--prefix_tuning", "num_virtual_tokens=3,prefix_projection=true,encoder_hidden_size=6"}};
  for (const auto& [flag, fields] : kinds) {
    remove_directory(out());
    const Outcome trained = mica(with(common, {flag, fields}));
    ASSERT_EQ(trained.status, 0) << trained.err;
    EXPECT_FALSE(file_exists(out() + "/model.safetensors"));
    EXPECT_EQ(read_json_file(out() + "/adapter_config.json").at("num_virtual_tokens"), 3);
    for (const auto& [text, label] : {std::pair("love the city", "good"), std::pair("hate the river", "bad")}) {
      const Outcome said = mica({"classify", out(), text, "--json"});
      ASSERT_EQ(said.status, 0) << said.err;
      EXPECT_EQ(parse_json(said.out, "said").at("label"), label) << flag;
    }
    // A run that was stopped goes on to the same losses, through the projection as well.
    const std::vector<double> straight = losses();
    EXPECT_LT(straight.back(), 0.5 * straight.front()) << flag;
    ASSERT_TRUE(file_exists(out() + "/checkpoint-40/adapter_model.safetensors"));
    const Outcome again = mica(with(common, {flag, fields, "--resume_from_checkpoint", "true"}));
    ASSERT_EQ(again.status, 0) << again.err;
    EXPECT_EQ(losses(), straight) << flag;
  }
  const auto refused = [&](const std::vector<std::string>& flags) { return mica(with(common, flags)).status; };
  EXPECT_EQ(refused({"--prompt_tuning", "tokens=3"}), 2);
  EXPECT_EQ(refused({"--prompt_tuning", "num_virtual_tokens=many"}), 2);
  EXPECT_EQ(refused({"--prompt_tuning", "prompt_tuning_init=TEXT"}), 2);
  EXPECT_EQ(refused({"--prompt_tuning", "prompt_tuning_init=WORDS"}), 2);
  EXPECT_EQ(refused({"--prefix_tuning", "encoder_hidden_size=6"}), 2);
  EXPECT_EQ(refused({"--prefix_tuning", "num_virtual_tokens=2", "--lora", "r=2"}), 2);
  EXPECT_EQ(refused({"--prefix_tuning", "num_virtual_tokens=0"}), 1);
}

TEST_F(Train, GoesOnFromACheckpoint) {
  const std::string text = file("text.txt", repeated("the river is in the city\n", 40));
  const std::string model = bert("masked_lm");
  const std::vector<std::string> common{
      "train",          "--task",      "masked_lm", "--model",         model, "--output",     out(), "--train", text,
      "--line_by_line", "--max_steps", "6",         "--logging_steps", "1",   "--save_steps", "3"};
  ASSERT_EQ(mica(common).status, 0);
  const std::vector<double> straight = losses();
  remove_directory(out() + "/checkpoint-6");
  std::vector<std::string> again = common;
  again.insert(again.end(), {"--resume_from_checkpoint", "true"});
  const Outcome outcome = mica(again);
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(losses(), straight);
}

TEST_F(Train, RefusesInOneLine) {
  const std::string model = bert("masked_lm");
  const std::string data = file("train.jsonl", "{\"text\": \"a\", \"label\": 0}\n{\"text\": \"b\", \"label\": 1}\n");
  const auto expect_refusal = [&](int status, const std::string& part, std::vector<std::string> more) {
    std::vector<std::string> arguments{"train", "--model", model, "--output", out()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = mica(arguments);
    EXPECT_EQ(outcome.status, status) << outcome.err;
    const std::vector<std::string> all = lines(outcome.err);  // warnings of new heads may stand before
    ASSERT_FALSE(all.empty());
    EXPECT_TRUE(all.back().starts_with("mica: error: ")) << outcome.err;
    EXPECT_NE(all.back().find(part), std::string::npos) << outcome.err;
  };
  expect_refusal(2, "--task", {"--train", data});
  expect_refusal(2, "dancing", {"--task", "dancing", "--train", data});
  expect_refusal(1, "no column", {"--task", "sequence_classification", "--train", data, "--text_column", "words"});
  expect_refusal(1, "learning_rate", {"--task", "sequence_classification", "--train", data, "--learning_rate", "fast"});
  expect_refusal(1, "nothing.jsonl", {"--task", "sequence_classification", "--train", scratch_ / "nothing.jsonl"});
  expect_refusal(1, "row",
                 {"--task", "sequence_classification", "--train",
                  file("bad.jsonl", "{\"text\": \"a\", \"label\": 0}\n{\"text\": 7, \"label\": 1}\n")});
  expect_refusal(2, "--scale", {"--task", "sentence_similarity", "--train", data, "--scale", "2x"});
  expect_refusal(2, "--matryoshka_dims",
                 {"--task", "sentence_similarity", "--train", data, "--matryoshka_dims", "8,x"});
  expect_refusal(1, "no loss",
                 {"--task", "sentence_similarity", "--train", data, "--text_pair_column", "text", "--loss", "hinge"});
  expect_refusal(2, "--config", {"--task", "sequence_classification", "--train", data, "--config", "dropout"});
}

}  // namespace
}  // namespace mica
