#pragma once
// How far a training is, on a terminal.

#include <memory>

#include "mica/training/callback.h"

namespace mica::cli {

/// A bar with loss, rate and remaining time on a terminal's standard error, and a line for each evaluation; nothing
/// where standard error is no terminal.
std::shared_ptr<TrainerCallback> training_progress();

}  // namespace mica::cli
