// mica train under mpirun: two processes learn as one with twice the batch, and stop together.

#include <chrono>
#include <cmath>
#include <csignal>
#include <fstream>
#include <thread>

#include "tests/cli/program.h"
#include "tests/support/tiny_model.h"
#include <gtest/gtest.h>

#include "mica/base/file.h"
#include "mica/base/json.h"

namespace mica {
namespace {

using testing_program::lines;
using testing_program::Outcome;

const std::vector<std::string> mpirun{"mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n",
                                      "2"};

class TrainGroup : public ::testing::Test {
 protected:
  void SetUp() override {
    make_directories(scratch_ / "bert");
    tiny::write_bert(scratch_ / "bert", "masked_lm", {});
    std::ofstream data(scratch_ / "train.jsonl");
    for (int i = 0; i < 19; ++i) {
      data << R"({"text": "love the city)" << (i % 3 == 0 ? " of turin" : "") << R"(", "label": "good"})" << '\n'
           << R"({"text": "hate a machine)" << (i % 4 == 0 ? " or the river" : "") << R"(", "label": "bad"})" << '\n';
    }
  }
  static bool can_start_several() {
    std::vector<std::string> words = mpirun;
    words.emplace_back("true");
    return file_exists(MICA_BINARY_DIR "/libmica_mpi.so") && testing_program::run(words).status == 0;
  }
  std::vector<std::string> training(const std::string& output, const std::vector<std::string>& more,
                                    const std::string& learning_rate = "2e-3") {
    const std::string model = scratch_ / "bert", data = scratch_ / "train.jsonl", out = scratch_ / output;
    std::vector<std::string> words{MICA_PROGRAM, "train", "--task", "sequence_classification", "--model", model};
    words.insert(words.end(), {"--train", data, "--output", out, "--threads", "1", "--logging_steps", "1"});
    words.insert(words.end(), {"--learning_rate", learning_rate, "--config"});
    words.emplace_back("hidden_dropout_prob=0,attention_probs_dropout_prob=0");
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  // Rank 1 gets a signal once a checkpoint is there.
  std::vector<std::string> interrupted(const std::string& signal, const std::vector<std::string>& training) {
    const std::string script = scratch_ / "interrupted.sh";
    std::ofstream(script) << "if [ \"$OMPI_COMM_WORLD_RANK\" = 1 ]; then\n"
                             "  (until compgen -G '" +
                                 scratch_.path() +
                                 "/*/checkpoint-*' > /dev/null\n"
                                 "  do sleep 0.01; done; kill -"
                          << signal << " $$) &\nfi\nexec \"$@\"\n";
    std::vector<std::string> words{"bash", script};
    words.insert(words.end(), training.begin(), training.end());
    return words;
  }
  static Outcome by_two(const std::vector<std::string>& words) {
    std::vector<std::string> all = mpirun;
    all.insert(all.end(), words.begin(), words.end());
    return testing_program::run(all);
  }
  std::vector<double> logged(const std::string& folder, const char* what) {
    std::vector<double> all;
    const Json state = read_json_file(scratch_ / (folder + "/trainer_state.json"));
    for (const Json& entry : state.at("log_history")) {
      if (entry.contains(what)) all.push_back(entry.at(what).get<double>());
    }
    return all;
  }
  tiny::TemporaryFolder scratch_;
};

TEST_F(TrainGroup, TwoProcessesLearnAsOneWithTwiceTheBatch) {
  if (!can_start_several()) GTEST_SKIP() << "there is no mpirun, or mica was built without MPI";
  const std::vector<std::string> eval{"--eval", scratch_ / "train.jsonl", "--eval_strategy", "epoch", "--json"};
  const auto with = [&](const char* batch) {
    std::vector<std::string> more{"--per_device_train_batch_size", batch, "--num_train_epochs", "4"};
    more.insert(more.end(), eval.begin(), eval.end());
    return more;
  };
  const Outcome two = by_two(training("two", with("2")));
  ASSERT_EQ(two.status, 0) << two.err;
  EXPECT_EQ(lines(two.out).size(), 1U) << "one process speaks: " << two.out;
  const Outcome one = testing_program::run(training("one", with("4")));
  ASSERT_EQ(one.status, 0) << one.err;
  for (const char* what : {"loss", "eval_loss"}) {
    const std::vector<double> losses = logged("two", what), wanted = logged("one", what);
    ASSERT_EQ(losses.size(), wanted.size());
    ASSERT_GE(losses.size(), 4U);
    double most = 0;
    for (size_t i = 0; i < losses.size(); ++i) most = std::max(most, std::abs(losses[i] - wanted[i]) / wanted[i]);
    EXPECT_LT(most, 1e-4) << what;
    RecordProperty(std::string(what) + "_difference_in_1e9", static_cast<int>(most * 1e9));
  }
  for (const char* file : {"model.safetensors", "report.html", "log.jsonl", "tokenizer_config.json"}) {
    EXPECT_TRUE(file_exists(scratch_ / ("two/" + std::string(file)))) << file;
  }
}

TEST_F(TrainGroup, AnErrorIsSaidOnceAndALostProcessEndsTheJob) {
  if (!can_start_several()) GTEST_SKIP() << "there is no mpirun, or mica was built without MPI";
  const Outcome nowhere = by_two(training("train.jsonl/out", {"--max_steps", "5"}));
  EXPECT_NE(nowhere.status, 0);
  size_t said = 0;
  for (const std::string& line : lines(nowhere.err)) said += line.starts_with("mica: error: ") ? 1 : 0;
  EXPECT_EQ(said, 1U) << nowhere.err;
  EXPECT_NE(nowhere.err.find("train.jsonl/out"), std::string::npos) << nowhere.err;

  const auto words =
      interrupted("KILL", training("lost", {"--max_steps", "100000", "--save_steps", "20", "--save_total_limit", "2"}));
  const auto start = std::chrono::steady_clock::now();
  const Outcome lost = by_two(words);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
  EXPECT_NE(lost.status, 0);
  EXPECT_NE(lost.err.find("signal 9"), std::string::npos) << lost.err;
  std::string last;
  for (const std::string& name : list_directory(scratch_ / "lost")) {
    if (name.starts_with("checkpoint-")) last = name;
  }
  ASSERT_NE(last, "");
  const int step = std::stoi(last.substr(last.find('-') + 1));
  const Outcome again = by_two(training(
      "lost", {"--max_steps", std::to_string(step + 3), "--resume_from_checkpoint", (scratch_ / "lost/") + last}));
  EXPECT_EQ(again.status, 0) << again.err;
}

TEST_F(TrainGroup, ASignalToOneSavesAndEndsAll) {
  if (!can_start_several()) GTEST_SKIP() << "there is no mpirun, or mica was built without MPI";
  const Outcome stopped = by_two(interrupted("TERM", training("out", {"--max_steps", "100000", "--save_steps", "20"})));
  EXPECT_NE(stopped.status, 0);
  const size_t at = stopped.err.find("mica: error: interrupted at step ");
  ASSERT_NE(at, std::string::npos) << stopped.err;
  EXPECT_EQ(stopped.err.find("mica: error: ", at + 1), std::string::npos) << stopped.err;
  const int step = std::stoi(stopped.err.substr(at + 33));
  EXPECT_TRUE(file_exists(scratch_ / ("out/checkpoint-" + std::to_string(step) + "/optimizer.safetensors")));
}

// Never two trainings that know nothing of each other, in one folder.
TEST_F(TrainGroup, WithoutMpiALauncherIsRefused) {
  for (const char* variable : {"OMPI_COMM_WORLD_SIZE=2", "PMI_SIZE=2"}) {
    std::vector<std::string> words{"env", variable, "MICA_MPI_LIBRARY=/nowhere/libmica_mpi.so"};
    for (const std::string& each : training("out", {})) words.push_back(each);
    const Outcome outcome = testing_program::run(words);
    EXPECT_EQ(outcome.status, 1);
    EXPECT_NE(outcome.err.find("started 2 processes, but this mica has no MPI"), std::string::npos) << outcome.err;
    EXPECT_FALSE(directory_exists(scratch_ / "out"));
  }
}

}  // namespace
}  // namespace mica
