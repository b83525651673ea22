#pragma once
// Which parameters learn, how fast, and which of them decay.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mica/tensor/safetensors.h"
#include "mica/tensor/tensor.h"
#include "mica/training/optimizers/optimizer.h"
#include "mica/training/training_arguments.h"

namespace mica {

/// Whether weight decay holds for a parameter of that name: not for biases, nor for what belongs to a norm.
bool decays(std::string_view name);

/// The place of a parameter from the input up: 0 the embeddings, 1 the first layer, ..., the number of layers + 1
/// what stands above them.
int64_t depth_of(std::string_view name, int64_t num_layers);

/// Groups as the arguments say; parameters that arguments.freeze names, or that need no gradient, are in none. Throws
/// Error when a pattern of `freeze` fits no parameter, or nothing is left to learn.
std::vector<ParameterGroup> parameter_groups(const NamedTensors& parameters, const TrainingArguments& arguments);

/// The optimizer that arguments.optim names, with arguments.optim_args. Throws Error for a setting that it lacks.
std::unique_ptr<Optimizer> make_optimizer(const TrainingArguments& arguments, std::vector<ParameterGroup> groups);

}  // namespace mica
