#pragma once
// What a Trainer knows of losses: over how much a loss is the mean, and labels that are smoothed.

#include <cstdint>

#include "mica/models/auto/model.h"

namespace mica {

/// Rows of a batch: sequences, or questions of multiple choice.
int64_t batch_rows(const ModelInputs& inputs);
/// Tokens of a batch, padding aside, the decoder's not counted.
int64_t batch_tokens(const ModelInputs& inputs);
/// How much the model's loss of this batch is the mean of: labelled tokens, or else rows. Batches of unequal numbers
/// make one step's gradient in these proportions.
int64_t loss_items(const Model& model, const ModelInputs& inputs);

/// (1 - factor) loss + factor x (mean over labelled positions and classes of -log p), as label smoothing has it
/// (Szegedy et al. 2016). `output` is the model's, with logits. Throws Error for a model whose loss is not a cross
/// entropy of one set of classes.
Tensor smoothed_loss(const Model& model, const ModelInputs& inputs, const ModelOutput& output, double factor);

}  // namespace mica
