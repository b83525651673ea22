#pragma once
// Reports of a training run: what it logs, for people and for programs. Each is a callback.

#include <memory>
#include <string>

#include "mica/training/callback.h"

namespace mica {

/// Every log entry as one JSON object a line. A resumed run's file holds what was logged before, too.
std::shared_ptr<TrainerCallback> json_log(const std::string& path);

/// Event files that TensorBoard shows, in a folder that is made: scalars named train/loss, train/learning_rate,
/// eval/loss, ... over the steps.
std::shared_ptr<TrainerCallback> tensorboard_log(const std::string& folder);

/// One HTML file with curves of everything that was logged, and the settings; it needs no other file and no network.
/// Written after each evaluation, checkpoint, and at the end.
std::shared_ptr<TrainerCallback> html_report(const std::string& path);

/// The text of such a file. `title` heads it; `settings` is a JSON object.
std::string html_report_text(const std::string& title, const TrainerState& state, const std::string& settings);

}  // namespace mica
