// SentenceTransformer against sentence-transformers on tiny models, with every pooling and module; and bad folders.

#include "mica/models/pipelines/sentence_transformer.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "tests/support/guarded_device.h"
#include "tests/support/tiny_model.h"
#include <gtest/gtest.h>

#include "mica/autograd/random.h"
#include "mica/autograd/reduce.h"
#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/warnings.h"
#include "mica/models/auto/auto_config.h"
#include "mica/tests/autograd/support.h"

namespace mica {
namespace {

using Texts = std::vector<std::string>;

EncodeOptions options_of(const Json& json) {
  EncodeOptions options;
  if (json.contains("prompt_name")) options.prompt_name = json["prompt_name"].get<std::string>();
  if (json.contains("prompt")) options.prompt = json["prompt"].get<std::string>();
  if (json.contains("truncate_dim")) options.truncate_dim = json["truncate_dim"].get<int64_t>();
  options.normalize_embeddings = json.value("normalize_embeddings", false);
  return options;
}

Json matrix(const Tensor& tensor, size_t columns) {
  const std::vector<float> values = tensor.to_vector<float>();
  const auto width = static_cast<size_t>(tensor.size(-1));
  Json rows = Json::array();
  for (size_t begin = 0; begin < values.size(); begin += width) {
    Json row = Json::array();
    for (size_t i = 0; i < std::min(columns, width); ++i) row.push_back(values[begin + i]);
    rows.push_back(row);
  }
  return rows;
}

Json norms(const Tensor& tensor) {
  const std::vector<float> values = tensor.to_vector<float>();
  const auto width = static_cast<size_t>(tensor.size(-1));
  Json result = Json::array();
  for (size_t begin = 0; begin < values.size(); begin += width) {
    double sum = 0;
    for (size_t i = 0; i < width; ++i)
      sum += static_cast<double>(values[begin + i]) * static_cast<double>(values[begin + i]);
    result.push_back(std::sqrt(sum));
  }
  return result;
}

TEST(SentenceTransformer, EveryPoolingModuleAndPrompt) {
  const Json data = tiny::read_data("sentence_transformer");
  for (size_t m = 0; m < data.at("models").size(); ++m) {
    const Json& entry = data["models"][m];
    const tiny::TemporaryFolder folder;
    tiny::write_model(folder.path(), data, m);
    const WarningCatcher catcher;
    const SentenceTransformer model(folder.path(), {.device = test::test_device()});
    EXPECT_TRUE(catcher.messages().empty()) << entry.at("name") << ": " << catcher.messages().front();
    for (const Json& each : entry.at("cases")) {
      SCOPED_TRACE(entry.at("name").get<std::string>() + " " + each.at("options").dump());
      for (const int64_t batch_size : {1, 3, 32}) {
        EncodeOptions options = options_of(each.at("options"));
        options.batch_size = batch_size;
        const Tensor vectors = model.encode(each.at("texts").get<Texts>(), options);
        EXPECT_EQ(vectors.size(1), each.at("size").get<int64_t>());
        EXPECT_EQ(tiny::difference(matrix(vectors, 8), each.at("expected"), 5e-6), "");
        EXPECT_EQ(tiny::difference(norms(vectors), each.at("norms"), 5e-6), "");
      }
    }
  }
}

class Tiny : public testing::Test {
 protected:
  void SetUp() override {
    const Json data = tiny::read_data("sentence_transformer");
    for (size_t m = 0; m < data.at("models").size(); ++m) {
      if (data["models"][m].at("name") == "default_prompt") tiny::write_model(folder_.path(), data, m);
    }
    similarity_ = data.at("similarity");
  }
  // The Error of opening the folder after `content` was written to a file of it.
  std::string refusal(const std::string& file, const std::string& content) {
    const std::string path = folder_ / file;
    const std::string before = read_file(path);
    tiny::write_text(path, content);
    std::string message = "no error";
    try {
      const SentenceTransformer model(folder_.path(), {.device = test::test_device()});
    } catch (const Error& error) {
      message = error.what();
    }
    tiny::write_text(path, before);
    return message;
  }
  static bool names(const std::string& message, std::initializer_list<const char*> parts) {
    for (const char* part : parts) {
      if (message.find(part) == std::string::npos) return false;
    }
    return true;
  }

  tiny::TemporaryFolder folder_;
  Json similarity_;
};

TEST_F(Tiny, Similarity) {
  const SentenceTransformer model(folder_.path(), {.device = test::test_device()});
  const Tensor a = model.encode(similarity_.at("a").get<Texts>());
  const Tensor b = model.encode(similarity_.at("b").get<Texts>());
  for (const auto& [kind, wanted] : similarity_.at("scores").items()) {
    const SimilarityFunction function = similarity_function_from_name(kind);
    EXPECT_EQ(tiny::difference(matrix(similarity(a, b, function), 100), wanted.at("all"), 1e-5), "") << kind;
    const Tensor pairs = pairwise_similarity(a.slice(0, 0, 3), b, function);
    EXPECT_EQ(tiny::difference(Json(pairs.to_vector<float>()), wanted.at("pairs"), 1e-5), "") << kind;
  }
  EXPECT_EQ(model.similarity_fn_name(), SimilarityFunction::euclidean);
  EXPECT_EQ(model.similarity(a, b).to_vector<float>(), euclidean_sim(a, b).to_vector<float>());
  EXPECT_EQ(cos_sim(a.select(0, 0), b).shape(), (Shape{1, 3}));
  EXPECT_THROW(cos_sim(a, b.slice(1, 0, 5).contiguous()), Error);
  EXPECT_THROW(pairwise_similarity(a, b, SimilarityFunction::dot), Error);
  EXPECT_THROW(cos_sim(a, Tensor()), Error);
  EXPECT_THROW(similarity_function_from_name("hamming"), Error);
}

TEST_F(Tiny, SearchAndMining) {
  const SentenceTransformer model(folder_.path(), {.device = test::test_device()});
  Texts texts = similarity_.at("a").get<Texts>();
  const Texts queries = similarity_.at("b").get<Texts>();
  const Tensor corpus = model.encode(texts);
  for (const int64_t chunk : {1, 4, 1000}) {
    const auto hits = semantic_search(model.encode(queries), corpus,
                                      {.top_k = 3, .query_chunk_size = chunk, .corpus_chunk_size = chunk});
    Json have = Json::array();
    for (const auto& row : hits) {
      Json list = Json::array();
      for (const SearchHit& hit : row) list.push_back(Json::array({hit.corpus_id, hit.score}));
      have.push_back(list);
    }
    EXPECT_EQ(tiny::difference(have, similarity_.at("search"), 1e-5), "");

    texts.insert(texts.end(), queries.begin(), queries.end());
    const auto pairs = paraphrase_mining(
        model, texts, {}, {.top_k = 3, .max_pairs = 10, .query_chunk_size = chunk, .corpus_chunk_size = chunk});
    texts.resize(texts.size() - queries.size());
    have = Json::array();
    for (const ParaphrasePair& pair : pairs) have.push_back(Json::array({pair.score, pair.first, pair.second}));
    EXPECT_EQ(tiny::difference(have, similarity_.at("mining"), 1e-5), "");
  }
  EXPECT_THROW(semantic_search(corpus, corpus, {.top_k = 0}), Error);
}

TEST_F(Tiny, Calls) {
  SentenceTransformer model(folder_.path(), {.device = test::test_device()});
  EXPECT_EQ(model.encode("ada").shape(), (Shape{32}));
  EXPECT_EQ(model.encode({"ada", "turin"}).shape(), (Shape{2, 32}));
  EXPECT_EQ(model.encode(Texts{}).shape(), (Shape{0, 32}));
  EXPECT_EQ(model.get_embedding_dimension(), 32);
  EXPECT_EQ(model.max_seq_length(), 64);
  EXPECT_EQ(model.default_prompt_name(), "long");
  EXPECT_EQ(model.encode_query({"ada"}).to_vector<float>(),
            model.encode(Texts{"ada"}, {.prompt_name = "query"}).to_vector<float>());
  EXPECT_EQ(model.encode_document({"ada"}).to_vector<float>(),
            model.encode(Texts{"ada"}, {.prompt = ""}).to_vector<float>());
  EXPECT_THROW(model.encode("ada", {.prompt_name = "passage"}), Error);
  EXPECT_THROW(model.encode("ada", {.batch_size = 0}), Error);
  EXPECT_THROW(model.encode("ada", {.truncate_dim = 33}), Error);
  EXPECT_THROW(model.encode("\xff"), Error);
  EXPECT_THROW(model.encode("ada", {.prompt = "\xff"}), Error);
  EXPECT_THROW(model.set_max_seq_length(65), Error);
  model.set_max_seq_length(8);
  const WarningCatcher catcher;
  model.encode({"a b c d e f g h i j k l", "a b c d e f g h i j k l"}, {.prompt = ""});
  EXPECT_EQ(catcher.messages().size(), 1U);
  model.encode("a b c d e f", {.prompt = ""});  // just fits
  EXPECT_EQ(catcher.messages().size(), 1U);
}

TEST_F(Tiny, BadFolders) {
  const std::string pooling = "1_Pooling/config.json";
  const auto modules = [](const std::string& path, const std::string& type) {
    return R"([{"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"},{"idx":1,"name":"1","path":")" +
           path + R"(","type":")" + type + R"("}])";
  };
  const std::string kind = "sentence_transformers.models.Pooling";
  EXPECT_PRED2(names, refusal("modules.json", "["), (std::initializer_list<const char*>{"modules.json"}));
  EXPECT_PRED2(names, refusal("modules.json", "[]"), (std::initializer_list<const char*>{"modules.json"}));
  EXPECT_PRED2(names, refusal("modules.json", "{}"), (std::initializer_list<const char*>{"modules.json"}));
  EXPECT_PRED2(names, refusal("modules.json", "[1]"), (std::initializer_list<const char*>{"modules.json"}));
  for (const char* path : {"../outside", "/etc", "..", "a/../../b", ".", "1_Pooling/../1_Pooling"}) {
    EXPECT_PRED2(names, refusal("modules.json", modules(path, kind)),
                 (std::initializer_list<const char*>{"modules.json", "path", "without slashes"}))
        << path;
  }
  EXPECT_PRED2(names, refusal("modules.json", modules("2_None", kind)),
               (std::initializer_list<const char*>{"2_None/config.json"}));
  EXPECT_PRED2(names, refusal("modules.json", modules("1_Pooling", "os.system")),
               (std::initializer_list<const char*>{"modules.json", "type", "os.system"}));
  EXPECT_PRED2(names, refusal("modules.json", modules("1_Pooling", "sentence_transformers.models.LSTM")),
               (std::initializer_list<const char*>{"modules.json", "Pooling"}));

  EXPECT_PRED2(names, refusal(pooling, "{"), (std::initializer_list<const char*>{pooling.c_str()}));
  EXPECT_PRED2(names, refusal(pooling, "{}"),
               (std::initializer_list<const char*>{pooling.c_str(), "word_embedding_dimension"}));
  for (const char* size : {"31", "0", "-1", "1e99", "\"32\"", "null", "99999999999999999999"}) {
    EXPECT_PRED2(names, refusal(pooling, std::string(R"({"word_embedding_dimension":)") + size + "}"),
                 (std::initializer_list<const char*>{pooling.c_str(), "word_embedding_dimension"}))
        << size;
  }
  EXPECT_PRED2(names, refusal(pooling, R"({"word_embedding_dimension":32,"pooling_mode_max_tokens":1})"),
               (std::initializer_list<const char*>{pooling.c_str(), "pooling_mode_max_tokens"}));
  EXPECT_PRED2(names, refusal(pooling, R"({"word_embedding_dimension":32,"pooling_mode":"median"})"),
               (std::initializer_list<const char*>{pooling.c_str(), "pooling_mode", "median"}));
  EXPECT_PRED2(names, refusal(pooling, R"({"word_embedding_dimension":32,"pooling_mode":[]})"),
               (std::initializer_list<const char*>{pooling.c_str(), "pooling_mode"}));

  const std::string prompts = "config_sentence_transformers.json";
  EXPECT_PRED2(names, refusal(prompts, R"({"prompts":{"a":1}})"),
               (std::initializer_list<const char*>{prompts.c_str(), "prompts.a"}));
  EXPECT_PRED2(names, refusal(prompts, R"({"default_prompt_name":"a"})"),
               (std::initializer_list<const char*>{prompts.c_str(), "default_prompt_name"}));
  EXPECT_PRED2(names, refusal(prompts, R"({"similarity_fn_name":"a"})"),
               (std::initializer_list<const char*>{prompts.c_str(), "similarity_fn_name"}));
  EXPECT_EQ(refusal(pooling, R"({"word_embedding_dimension":32})"), "no error");  // the mean, as in the reference
}

TEST(SentenceTransformerFolder, KeepsTheFirstElementsOnlyWhereItSaysSo) {
  const Json data = tiny::read_data("sentence_transformer");
  const tiny::TemporaryFolder folder, again;
  tiny::write_model(folder.path(), data, 0);
  const SentenceTransformer whole(folder.path());
  Json settings = {{"truncate_dim", 5}};
  tiny::write_text(folder / "config_sentence_transformers.json", settings.dump());
  const SentenceTransformer cut(folder.path());
  EXPECT_EQ(cut.get_embedding_dimension(), 5);
  const Tensor expected = whole.encode({"a", "b"}, {.prompt = "", .truncate_dim = 5});
  EXPECT_EQ(cut.encode({"a", "b"}, {.prompt = ""}).to_vector<float>(), expected.to_vector<float>());
  EXPECT_EQ(cut.encode({"a"}, {.prompt = "", .truncate_dim = 7}).size(1), 7);
  cut.save_pretrained(again.path());
  EXPECT_EQ(SentenceTransformer(again.path()).get_embedding_dimension(), 5);
  settings["truncate_dim"] = 1000;  // more than there is
  tiny::write_text(folder / "config_sentence_transformers.json", settings.dump());
  EXPECT_EQ(SentenceTransformer(folder.path()).get_embedding_dimension(), whole.get_embedding_dimension());
}

TEST(SentenceModules, BadWeights) {
  const Json data = tiny::read_data("sentence_transformer");
  for (size_t m = 0; m < data.at("models").size(); ++m) {
    if (data["models"][m].at("name") != "dense") continue;
    const tiny::TemporaryFolder folder;
    tiny::write_model(folder.path(), data, m);
    const auto refused = [&](const char* file, const std::string& content) {
      tiny::write_text(folder / file, content);
      EXPECT_THROW(SentenceTransformer(folder.path()), Error) << file << " " << content;
      tiny::write_model(folder.path(), data, m);
    };
    const std::string dense = R"({"in_features":32,"out_features":12,"bias":true,"activation_function":)";
    refused("2_Dense/config.json", dense + R"("torch.nn.modules.activation.Hardshrink"})");
    refused("2_Dense/config.json", dense + R"("os.system"})");
    refused("2_Dense/config.json", R"({"in_features":32,"out_features":13})");
    refused("2_Dense/config.json", R"({"in_features":31,"out_features":12})");
    refused("2_Dense/config.json", R"({"in_features":32,"out_features":1000000000000})");
    refused("2_Dense/model.safetensors", "cut");
    refused("3_LayerNorm/config.json", R"({"dimension":11})");
    std::filesystem::remove(folder / "2_Dense/model.safetensors");
    EXPECT_THROW(SentenceTransformer(folder.path()), Error);
  }
}

// One batch of texts as embed() takes it.
ModelInputs inputs_of(const SentenceTransformer& model, const Texts& texts) {
  return to_inputs(model.tokenize(views_of(texts)));
}

TEST(SentenceTransformerTraining, EveryFolderIsSavedAsItWasAndEmbedsAsItEncodes) {
  const Json data = tiny::read_data("sentence_transformer");
  const Texts texts{"Ada lives in Turin.", "", "the river of Turin, hating a learner"};
  for (size_t m = 0; m < data.at("models").size(); ++m) {
    SCOPED_TRACE(data["models"][m].at("name").get<std::string>());
    const tiny::TemporaryFolder folder, copy;
    tiny::write_model(folder.path(), data, m);
    const SentenceTransformer model(folder.path(), {.device = test::test_device()});
    model.save_pretrained(copy.path());
    const SentenceTransformer opened(copy.path());
    EXPECT_EQ(opened.encode(texts).to_vector<float>(), model.encode(texts).to_vector<float>());
    EXPECT_EQ(opened.prompts(), model.prompts());
    EXPECT_EQ(opened.default_prompt_name(), model.default_prompt_name());
    EXPECT_EQ(opened.similarity_fn_name(), model.similarity_fn_name());
    EXPECT_EQ(opened.max_seq_length(), model.max_seq_length());
    ASSERT_EQ(opened.parameters().size(), model.parameters().size());
    for (size_t i = 0; i < model.parameters().size(); ++i) {
      EXPECT_EQ(opened.parameters()[i].first, model.parameters()[i].first);
    }

    const Tensor embedded = model.embed(inputs_of(model, texts));
    EXPECT_EQ(tiny::difference(matrix(embedded, 100), matrix(model.encode(texts, {.prompt = ""}), 100), 1e-6), "");
    // Everything learns: only the embeddings of tokens and types that do not occur may have a gradient of zeros.
    backward(embedded, Tensor::ones(embedded.shape(), DType::float32, embedded.device()));
    for (const auto& [name, parameter] : model.parameters()) EXPECT_TRUE(parameter.grad().defined()) << name;
  }
}

TEST(SentenceTransformerTraining, GradientsOfEveryPoolingAreThoseOfFiniteDifferences) {
  const SequenceOffsets offsets = SequenceOffsets::from_lengths({3, 1, 4, 2}, test_device());
  for (const PoolingMode mode : {PoolingMode::cls, PoolingMode::max, PoolingMode::mean, PoolingMode::mean_sqrt_len,
                                 PoolingMode::weightedmean, PoolingMode::lasttoken}) {
    SCOPED_TRACE(name(mode));
    // A prompt of two tokens leaves one sentence empty.
    for (const int64_t prompt : {0, 2, 4}) {
      const Pooling pooling({mode}, false);
      const auto pool = [&](const std::vector<Tensor>& in) { return pooling(in[0], offsets, prompt); };
      if (prompt < 4) check_gradients(pool, {random_input({10, 3}, 7)});
      const std::vector<double> second = pool({random_input({10, 3}, 7)}).detach().select(0, 1).to_vector<double>();
      EXPECT_EQ(second == std::vector<double>(3, 0.0), prompt > 0);
    }
  }
  const Pooling both({PoolingMode::max, PoolingMode::mean});
  check_gradients([&](const std::vector<Tensor>& in) { return both(in[0], offsets); }, {random_input({10, 3}, 8)});
}

TEST(SentenceTransformerTraining, DropoutIsOfTrainingAlone) {
  const tiny::TemporaryFolder folder, copy;
  tiny::write_bert(folder.path(), "base");
  const Model base = Model::from_pretrained(folder.path(), Task::base, {.add_pooling_layer = false});
  const SentenceTransformer model(base, Tokenizer::from_pretrained(folder.path()), PoolingMode::max, true);
  const Texts texts{"ada", "the city of turin"};
  const ModelInputs inputs = inputs_of(model, texts);
  const std::vector<float> still = model.encode(texts).to_vector<float>();
  const NoGrad no_grad;
  EXPECT_EQ(model.embed(inputs).to_vector<float>(), still);
  model.train();
  EXPECT_NE(model.embed(inputs).to_vector<float>(), still);
  EXPECT_EQ(model.encode(texts).to_vector<float>(), still);
  EXPECT_TRUE(model.model().training());
  model.eval();
  for (const Json& row : norms(model.encode(texts))) EXPECT_NEAR(row.get<double>(), 1, 1e-6);
  model.save_pretrained(copy.path());
  EXPECT_EQ(SentenceTransformer(copy.path()).encode(texts).to_vector<float>(), still);

  ModelInputs padded;
  padded.input_ids = Tensor::from(std::vector<int64_t>{2, 5, 3, 2, 3, 0}, {2, 3});
  EXPECT_EQ(model.embed(padded).shape(), (Shape{2, 32}));
  padded.attention_mask = Tensor::from(std::vector<int64_t>{1, 1, 1, 1, 1, 0}, {2, 3});
  EXPECT_THROW(model.embed(padded), Error);
  EXPECT_THROW(SentenceTransformer(Model::from_pretrained(folder.path(), Task::masked_lm), model.tokenizer()), Error);
}

// A Dropout module is kept, and drops in training.
TEST(SentenceTransformerTraining, DropoutModulesAreKept) {
  const tiny::TemporaryFolder folder, copy;
  tiny::write_bert(folder.path(), "base");
  SentenceTransformer(Model::from_pretrained(folder.path(), Task::base, {.add_pooling_layer = false}),
                      Tokenizer::from_pretrained(folder.path()))
      .save_pretrained(folder.path());
  Json modules = read_json_file(folder / "modules.json");
  modules.push_back(
      {{"idx", 2}, {"name", "2"}, {"path", "2_Dropout"}, {"type", "sentence_transformers.models.Dropout"}});
  tiny::write_text(folder / "modules.json", modules.dump());
  make_directories(folder / "2_Dropout");
  tiny::write_text(folder / "2_Dropout/config.json", R"({"dropout": 0.5})");
  const SentenceTransformer model(folder.path(),
                                  {.config = {{"hidden_dropout_prob", "0"}, {"attention_probs_dropout_prob", "0"}}});
  model.save_pretrained(copy.path());
  EXPECT_EQ(read_json_file(copy / "2_Dropout/config.json").at("dropout"), 0.5);
  model.train();
  manual_seed(1);
  const std::vector<float> dropped = model.embed(inputs_of(model, {"the city of turin"})).to_vector<float>();
  const auto zeros = std::count(dropped.begin(), dropped.end(), 0.0F);
  EXPECT_GT(zeros, 4);
  EXPECT_LT(zeros, 28);
  tiny::write_text(folder / "2_Dropout/config.json", R"({"dropout": 1.5})");
  EXPECT_THROW(SentenceTransformer(folder.path()), Error);
}

}  // namespace
}  // namespace mica
