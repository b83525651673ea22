// mica run: named tensors in, named outputs and gradients out; how mica is held against another implementation.

#include <algorithm>
#include <memory>
#include <utility>

#include "cli/common.h"
#include "cli/subcommands.h"

#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/base/json.h"
#include "mica/models/generation/greedy.h"
#include "mica/tensor/safetensors.h"

namespace mica::cli {
namespace {

constexpr std::string_view kGradient = "grad.";  // before the name of an output: the gradient that flows into it

struct Options : CommonOptions {
  std::string task, inputs, outputs, arguments;
  std::optional<std::string> gradients;
  std::optional<int64_t> generate;
};

struct Feed {
  ModelInputs inputs;
  NamedTensors output_gradients;
};

Feed read_feed(const std::string& path) {
  const SafeTensors file = SafeTensors::open(path);
  Feed feed;
  for (const TensorEntry& entry : file.entries()) {
    if (entry.name.starts_with(kGradient)) {
      feed.output_gradients.emplace_back(entry.name.substr(kGradient.size()), file.tensor(entry.name));
      continue;
    }
    Tensor* input = nullptr;
    try {
      input = &feed.inputs[entry.name];
    } catch (const Error& error) {
      std::string known;
      for (const std::string& name : ModelInputs::names()) known += (known.empty() ? "" : ", ") + name;
      throw Error(error.problem(), path, "use " + known + ", or grad.<output>");
    }
    *input = file.tensor(entry.name);
  }
  return feed;
}

void read_arguments(const std::string& text, ModelInputs* inputs) {
  if (text.empty()) return;
  const Json json = parse_json(text, "--options");
  if (!json.is_object())
    throw Error("not a JSON object", "--options", "give one such as {\"output_hidden_states\": true}");
  for (const auto& [key, value] : json.items()) {
    if (key != "output_hidden_states") {
      throw Error("unknown option \"" + printable(key) + "\"", "--options", "models here take output_hidden_states");
    }
    if (!value.is_boolean()) throw Error("output_hidden_states is no boolean", "--options", "use true or false");
    inputs->output_hidden_states = value.get<bool>();
  }
}

// Runs the tape backwards from the loss, or from the outputs whose gradients were given.
void run_backward(const Feed& feed, const ModelOutput& output, const std::string& path) {
  if (feed.output_gradients.empty()) {
    if (!output.loss.defined()) {
      throw Error("no gradient to follow: there is no loss", path, "give labels, or grad.<output>");
    }
    return backward(output.loss);
  }
  std::vector<Tensor> outputs;
  std::vector<Tensor> gradients;
  const NamedTensors named = output.named();
  for (const auto& [name, gradient] : feed.output_gradients) {
    const Tensor* found = nullptr;
    std::string known;
    for (const auto& [each, tensor] : named) {
      if (each == name) found = &tensor;
      known += (known.empty() ? "" : ", ") + each;
    }
    if (found == nullptr) throw Error("grad." + printable(name) + " names no output", path, "the outputs are " + known);
    if (!(found->shape() == gradient.shape()) || !is_floating(gradient.dtype())) {
      throw Error(
          "grad." + name + " is " + std::string(mica::name(gradient.dtype())) + " " + to_string(gradient.shape()), path,
          "it must be floating point " + to_string(found->shape()) + ", as the output");
    }
    outputs.push_back(*found);
    gradients.push_back(gradient.to(found->dtype()).to(found->device()).contiguous());
  }
  backward(outputs, gradients);
}

NamedTensors parameter_gradients(const Model& model) {
  NamedTensors gradients;
  for (const auto& [name, parameter] : model.parameters()) {
    const Tensor gradient = parameter.grad();
    // A parameter that the objective does not depend on has gradient zero.
    gradients.emplace_back(name, gradient.defined() ? gradient : Tensor::zeros(parameter.shape()));
  }
  return gradients;
}

// Greedy decoding numbers tokens from the first on and looks at all of them: it has no place for padding.
Tensor generate(const Model& model, const ModelInputs& inputs, int64_t new_tokens, const std::string& path) {
  if (inputs.attention_mask.defined()) {
    const std::vector<int64_t> mask = inputs.attention_mask.to_vector<int64_t>();
    if (std::find(mask.begin(), mask.end(), 0) != mask.end()) {
      throw Error("--generate with padding in attention_mask", path, "give prompts of one length, without padding");
    }
  }
  return greedy(model, inputs, new_tokens);
}

ModelOutput forward(const Model& model, const ModelInputs& inputs, bool tracked) {
  if (tracked) return model(inputs);
  const NoGrad no_grad;
  return model(inputs);
}

void execute(const Options& options) {
  const LoadOptions load = options.load_options();
  const Task task = task_from_name(options.task);
  Feed feed = read_feed(options.inputs);
  read_arguments(options.arguments, &feed.inputs);
  const Model model = Model::from_pretrained(options.model, task, load);
  const ModelOutput output = forward(model, feed.inputs, options.gradients.has_value());
  NamedTensors named;
  for (const auto& [name, tensor] : output.named()) named.emplace_back(name, tensor.detach());
  if (options.generate) {
    named.emplace_back("sequences", generate(model, feed.inputs, *options.generate, options.inputs));
  }
  if (options.gradients) run_backward(feed, output, options.inputs);
  // Nothing is written before everything is computed.
  save_safetensors(options.outputs, named);
  if (options.gradients) save_safetensors(*options.gradients, parameter_gradients(model));
  for (const auto& [name, tensor] : named) {
    write_line(name + " " + std::string(mica::name(tensor.dtype())) + " " + to_string(tensor.shape()));
  }
}

}  // namespace

Action run(Arguments& arguments) {
  auto options = std::make_shared<Options>();
  options->declare(arguments);
  arguments.required_text("--task", options->task, "base, masked_lm, sequence_classification, ...");
  arguments.required_text("--inputs", options->inputs, "safetensors with input_ids, attention_mask, labels, ...");
  arguments.required_text("--outputs", options->outputs, "safetensors to write the outputs to, by their names");
  arguments.text("--gradients", options->gradients,
                 "safetensors to write gradients to: of the loss, or of the sum of output x grad.<output>");
  arguments.integer("--generate", options->generate, 0, 1 << 20,
                    "also write sequences: N greedy tokens after the prompt");
  arguments.text("--options", options->arguments, "plain arguments of the forward call, as JSON");
  return [options] { execute(*options); };
}

}  // namespace mica::cli
