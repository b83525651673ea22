// Pairs and triplets of texts to sentence embeddings.

#include <string>
#include <unordered_map>

#include "mica/autograd/shape.h"
#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/warnings.h"
#include "mica/models/auto/auto_config.h"
#include "mica/models/auto/lora.h"
#include "mica/tensor/checkpoint.h"
#include "mica/training/checkpoint.h"
#include "mica/training/collators/sentences.h"
#include "mica/training/tasks/recipes.h"
#include "mica/training/tasks/sentence_measures.h"
#include "mica/training/tasks/sentence_objective.h"

namespace mica {
namespace {

// The parameters that are not the transformer's own: "FOLDER.NAME".
NamedTensors parameters_behind(const SentenceTransformer& transformer) {
  const NamedTensors all = transformer.parameters();
  const size_t own = transformer.model().parameters().size();
  return {all.begin() + static_cast<std::ptrdiff_t>(own), all.end()};
}

// Gives a transformer the values of a folder that its save_pretrained() wrote.
void load_values(const SentenceTransformer& transformer, const std::string& folder) {
  const Model& model = transformer.model();
  if (has_adapters(model)) {
    load_adapter_values(model, folder, adapter_names(model).front());
  } else {
    load_weights(model, folder);
  }
  const NoGrad no_grad;
  for (const auto& [name, parameter] : parameters_behind(transformer)) {
    const size_t dot = name.find('.');
    const std::string module = join_path(folder, name.substr(0, dot));
    const Checkpoint weights = Checkpoint::open(module);
    const TensorEntry* entry = weights.find(name.substr(dot + 1));
    if (entry == nullptr || entry->shape != parameter.shape()) {
      throw Error("no weights " + name.substr(dot + 1) + " of shape " + to_string(parameter.shape()), module,
                  "take a checkpoint of the same model");
    }
    parameter.detach().copy_(weights.tensor(name.substr(dot + 1)));
  }
}

// Embeddings [rows * count, size], row after row, as one tensor [rows, size] for each of a row's texts.
std::vector<Tensor> columns_of(const Tensor& embeddings, int64_t count) {
  std::vector<Tensor> columns;
  for (int64_t text = 0; text < count; ++text) {
    std::vector<int64_t> places;
    for (int64_t place = text; place < embeddings.size(0); place += count) places.push_back(place);
    columns.push_back(index_select(embeddings, Tensor::from(places).to(embeddings.device())));
  }
  return columns;
}

std::vector<double> labels_of(const ModelInputs& inputs) {
  return inputs.labels.defined() ? inputs.labels.to_vector<double>() : std::vector<double>();
}

SentenceIds ids_of(const Dataset& data, const std::vector<std::string>& texts) {
  SentenceIds ids;
  std::unordered_map<std::string, int64_t> queries, documents;
  const auto number = [](std::unordered_map<std::string, int64_t>& known, const Value& cell) {
    return known.try_emplace(std::string(cell.as_string()), static_cast<int64_t>(known.size())).first->second;
  };
  for (int64_t row = 0; row < data.size(); ++row) {
    ids.queries.push_back(number(queries, data.cell(row, texts[0])));
    ids.documents.emplace_back();
    for (size_t i = 1; i < texts.size(); ++i) {
      ids.documents.back().push_back(number(documents, data.cell(row, texts[i])));
    }
  }
  return ids;
}

class SentenceSimilarity : public Recipe {
 public:
  explicit SentenceSimilarity(RecipeOptions options) : options_(std::move(options)) {}

  Task model_task() const override { return Task::base; }

  std::optional<ModelAndTokenizer> open(const RecipeModel& which) override {
    if (which.from_scratch) {
      LoadOptions load = which.load;
      load.add_pooling_layer = false;
      bind(SentenceTransformer(Model::from_config(AutoConfig::from_pretrained(which.folder), Task::base, load),
                               Tokenizer::from_pretrained(which.tokenizer.empty() ? which.folder : which.tokenizer)));
    } else {
      bind(SentenceTransformer(which.folder, {.dtype = which.load.dtype,
                                              .device = which.load.device,
                                              .tokenizer = which.tokenizer,
                                              .config = which.load.config}));
    }
    return ModelAndTokenizer{transformer_->model(), transformer_->tokenizer()};
  }

  void bind(const SentenceTransformer& transformer) {
    transformer_ = transformer;
    if (options_.max_length) transformer_->set_max_seq_length(*options_.max_length);
    for (const int64_t size : options_.matryoshka_dims) {
      if (size >= 1 && size <= transformer.get_embedding_dimension()) continue;
      throw Error("matryoshka_dims has " + std::to_string(size), "sentence_similarity",
                  "use 1 to " + std::to_string(transformer.get_embedding_dimension()));
    }
  }

  // The first data set prepared is the one that is trained on: its loss is that of every other one that has such rows.
  PreparedData prepare(const Dataset& data, const Model& model, const Tokenizer& tokenizer) override {
    if (!transformer_) bind(SentenceTransformer(model, tokenizer));
    const SentenceColumns columns = sentence_columns(data, options_);
    if (!objective_) objective_ = SentenceObjective(columns, options_);
    PreparedData prepared;
    const bool has_loss = objective_->fits(columns);
    prepared.rows = data.map([&](const Example& row) { return row_of(row, columns, has_loss); },
                             {.remove_columns = data.column_names()});
    const SentenceTransformer transformer = *transformer_;
    const SentenceObjective objective = *objective_;
    const auto count = static_cast<int64_t>(columns.texts.size());
    prepared.loss = [transformer, objective, count](const Model&, const ModelInputs& inputs) {
      return objective(columns_of(transformer.embed(inputs), count), labels_of(inputs));
    };
    prepared.predict = [transformer, objective, count, has_loss](const Model&, const ModelInputs& inputs) {
      ModelOutput output;
      const Tensor embeddings = transformer.embed(inputs);
      output.logits = embeddings.reshape({embeddings.size(0) / count, count, embeddings.size(1)});
      if (has_loss) output.loss = objective(columns_of(embeddings, count), labels_of(inputs));
      return output;
    };
    const SimilarityFunction function = transformer.similarity_fn_name();
    prepared.metrics = columns.rows == SentenceRows::scored ? embedding_similarity_metrics()
                       : columns.rows == SentenceRows::labelled
                           ? pair_classification_metrics(function)
                           : ranking_metrics(ids_of(data, columns.texts), function);
    return prepared;
  }

  std::shared_ptr<const DataCollator> collator(const Model&, const Tokenizer& tokenizer) override {
    return std::make_shared<DataCollatorForSentences>(tokenizer);
  }

  void complete(TrainerParts* parts) const override {
    const SentenceTransformer transformer = transformer_.value();
    parts->more_parameters = parameters_behind(transformer);
    parts->save = [transformer, base = parts->adapter_base_model](const std::string& folder) {
      transformer.save_pretrained(folder, base);
    };
    parts->load = [transformer](const std::string& folder) { load_values(transformer, folder); };
  }

 private:
  Example row_of(const Example& row, const SentenceColumns& columns, bool has_loss) const {
    std::vector<std::string_view> texts;
    for (const std::string& column : columns.texts) texts.push_back(row[column].as_string());
    const WarningCatcher cut;  // texts that are too long are cut, as those of every task
    const BatchEncoding encoding = transformer_->tokenize(texts);
    int64_t tokens = 0;
    for (const auto ids : encoding.input_ids) tokens += static_cast<int64_t>(ids.size());
    Example made = MappedRow(encoding).row();
    made.set("length", tokens);
    if (columns.label.empty()) return made;
    const double label = sentence_label(row[columns.label]);
    if (has_loss && objective_->name() == "cosine_similarity" && (label < -1 || label > 1)) {
      row[columns.label].fail("a cosine, from -1 to 1; scale the scores, or choose the loss cosent");
    }
    made.set("labels", label);
    return made;
  }

  RecipeOptions options_;
  std::optional<SentenceTransformer> transformer_;
  std::optional<SentenceObjective> objective_;
};

}  // namespace

std::unique_ptr<Recipe> sentence_similarity_recipe(const RecipeOptions& options) {
  return std::make_unique<SentenceSimilarity>(options);
}

std::unique_ptr<Recipe> sentence_similarity_recipe(const RecipeOptions& options,
                                                   const SentenceTransformer& transformer) {
  auto recipe = std::make_unique<SentenceSimilarity>(options);
  recipe->bind(transformer);
  return recipe;
}

}  // namespace mica
