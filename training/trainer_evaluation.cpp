// A Trainer's evaluations.

#include <algorithm>
#include <utility>

#include "mica/autograd/autocast.h"
#include "mica/autograd/random.h"
#include "mica/base/error.h"
#include "mica/training/trainer_impl.h"

namespace mica {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

PredictionOutput Trainer::Impl::predict(const Dataset& dataset, const std::string& prefix, bool loss_only) {
  if (dataset.empty()) throw Error("no rows to evaluate on", "trainer", "give a data set with at least one row");
  const Autocast products(arguments.bf16 ? std::optional(DType::bfloat16) : std::nullopt);
  const auto begin = Clock::now();
  if (recorded != nullptr) recorded->forget();  // the memory is needed here
  model.eval();
  EvaluationOptions how;
  how.loss_only = loss_only;
  how.preprocess_logits = options.preprocess_logits_for_metrics;
  how.compute_loss = options.compute_loss;
  how.predict = options.predict;
  how.generate = arguments.predict_with_generate;
  how.generation_max_length = arguments.generation_max_length;
  how.generation_num_beams = arguments.generation_num_beams;
  if (how.generate && !model.network().shape().encoder_decoder) {
    throw Error("predict_with_generate with a model of one stack", "training arguments",
                "it is for encoder-decoders; leave it out");
  }
  const int64_t batch = arguments.per_device_eval_batch_size;
  const int64_t batches = (dataset.size() + batch - 1) / batch;
  Evaluation evaluation(model, how);
  BatchStream stream = evaluation_loader(dataset).epoch(0);
  int64_t done = 0;
  while (std::optional<ModelInputs> each = stream.next()) {
    evaluation.add(*each);
    ++done;
    for (const auto& callback : callbacks) callback->on_prediction_step(context(), done, batches);
  }
  model.train(in_training);
  EvaluationResult result = evaluation.finish();
  PredictionOutput output;
  if (result.loss) output.metrics.emplace_back(prefix + "_loss", *result.loss);
  if (!loss_only && options.compute_metrics) {
    for (const auto& [name, value] : options.compute_metrics(result.prediction)) {
      output.metrics.emplace_back(name.starts_with(prefix + "_") ? name : prefix + "_" + name, value);
    }
  }
  const double runtime = std::chrono::duration<double>(Clock::now() - begin).count();
  output.metrics.emplace_back(prefix + "_runtime", runtime);
  output.metrics.emplace_back(prefix + "_samples_per_second",
                              static_cast<double>(result.rows) / std::max(runtime, 1e-9));
  output.metrics.emplace_back(prefix + "_steps_per_second", static_cast<double>(done) / std::max(runtime, 1e-9));
  output.prediction = std::move(result.prediction);
  return output;
}

LogEntry Trainer::Impl::evaluate(const Dataset& dataset, const std::string& prefix) {
  LogEntry metrics;
  together(group, [&] {
    if (!is_first()) return;
    metrics = predict(dataset, prefix, arguments.prediction_loss_only || !options.compute_metrics).metrics;
  });
  metrics = share_metrics(metrics);
  log(metrics);
  metrics.emplace_back("epoch", state.epoch);
  announce(&TrainerCallback::on_evaluate, metrics);
  return metrics;
}

}  // namespace mica
