#include "mica/models/pipelines/feature_extraction.h"

#include <utility>

#include "mica/models/pipelines/json_writer.h"

namespace mica {

FeatureExtractionPipeline::FeatureExtractionPipeline(const std::string& name_or_folder, const PipelineOptions& options)
    : parts_(PipelineParts::open(name_or_folder, Task::base, options)) {}

FeatureExtractionPipeline::FeatureExtractionPipeline(Model model, Tokenizer tokenizer)
    : parts_{std::move(model), std::move(tokenizer)} {}

Tensor FeatureExtractionPipeline::operator()(std::string_view text, const CallOptions& options) const {
  return (*this)(std::vector<std::string>{std::string(text)}, options)[0];
}

std::vector<Tensor> FeatureExtractionPipeline::operator()(const std::vector<std::string>& texts,
                                                          const CallOptions& options) const {
  const auto& [model, tokenizer] = parts_;
  const BatchEncoding encoding = tokenize_rows(tokenizer, views_of(texts), {}, token_limit(model, tokenizer));
  std::vector<Tensor> results(texts.size());
  run_batches(model, encoding, options.batch_size, options.progress,
              [&](std::span<const size_t> rows, const ModelOutput& output) {
                const Tensor hidden = output.last_hidden_state.to(Device{}).to(DType::float32);
                int64_t begin = 0;
                for (const size_t row : rows) {
                  const auto length = static_cast<int64_t>(encoding.input_ids[row].size());
                  results[row] = hidden.slice(0, begin, begin + length).clone();
                  begin += length;
                }
              });
  return results;
}

std::string features_to_json(const Tensor& features) {
  const std::vector<float> values = features.to_vector<float>();
  const auto size = static_cast<size_t>(features.size(1));
  JsonWriter json;
  json.begin_array().begin_array();
  for (size_t begin = 0; begin < values.size(); begin += size) json.value(std::span(values).subspan(begin, size));
  return json.end_array().end_array().text();
}

}  // namespace mica
