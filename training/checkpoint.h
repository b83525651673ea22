#pragma once
// Checkpoints of a training run: folders OUTPUT_DIR/checkpoint-STEP that open as models, with what resuming needs
// beside. One appears whole or not at all, whenever the process dies.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "mica/models/auto/model.h"

namespace mica {

/// "OUTPUT_DIR/checkpoint-STEP".
std::string checkpoint_folder(const std::string& output_dir, int64_t step);
/// Steps of the checkpoints in a folder, ascending.
std::vector<int64_t> checkpoint_steps(const std::string& output_dir);
/// The folder of the last checkpoint that can be resumed from; nothing where there is none.
std::optional<std::string> last_checkpoint(const std::string& output_dir);

/// Has `write` fill a folder beside it, and gives that its name once it is whole and on disk. A checkpoint of the same
/// step is replaced. What a run that died left behind is removed.
void write_checkpoint(const std::string& output_dir, int64_t step,
                      const std::function<void(const std::string&)>& write);

/// Removes the oldest checkpoints until `limit` are left; `kept`, a step, always stays (and one of the last does).
void rotate_checkpoints(const std::string& output_dir, int64_t limit, std::optional<int64_t> kept);

/// Gives the model's parameters the values of a folder's weights. Throws Error for a folder with others.
void load_weights(const Model& model, const std::string& folder);

}  // namespace mica
