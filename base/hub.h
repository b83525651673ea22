#pragma once
// Where a model's files are: a directory, or a snapshot in the local Hugging Face cache. Nothing is fetched.

#include <string>

namespace mica {

/// The folder of a model given by `name`: a directory, or a hub id ("org/name" or "name") whose snapshot lies in the
/// hub cache: $HF_HUB_CACHE, else $HF_HOME/hub, else ~/.cache/huggingface/hub. The snapshot that refs/main names is
/// taken, else the newest one. Throws Error that says what was looked for.
std::string resolve_model_folder(const std::string& name);

}  // namespace mica
