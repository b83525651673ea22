#pragma once
// LoRA (Hu et al. 2021): adapters of linear layers, trained while the model stays as it is, in the folders that the
// PEFT library writes and reads (adapter_config.json, adapter_model.safetensors).
//
//     add_adapter(model, {.r = 8, .lora_alpha = 16, .target_modules = {"query", "value"}});
//     Trainer(model, ...).train();
//     save_adapter(model, "my-adapter");
//     load_adapter(another, "my-adapter");    merge_adapters(another);

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "mica/models/auto/model.h"

namespace mica {

struct LoraConfig {
  int64_t r = 8;            ///< rank of each adapter
  double lora_alpha = 8;    ///< an adapter's result is scaled by lora_alpha / r; with rslora by lora_alpha / sqrt(r)
  double lora_dropout = 0;  ///< of what adapters read, in training
  /// Modules by name: "query" fits every module whose last part, or last parts, it is; "all-linear" all but the head's;
  /// a text with characters of a regular expression (one alone) must match the whole name. Empty: the family's usual
  /// ones, those that project queries and values.
  std::vector<std::string> target_modules{};
  bool use_rslora = false;
  /// Modules that are trained as a whole and saved with the adapter. Heads of classification always are.
  std::vector<std::string> modules_to_save{};
};

/// Gives the model an adapter, which changes nothing until it is trained (B starts at zero, A by `manual_seed` as PEFT
/// draws it), and makes it the active one. From then on the adapter learns, and of the model what modules_to_save
/// names. Returns the names of the modules that got one. Throws Error for a name that is taken, a rank out of range,
/// and targets that fit no module.
std::vector<std::string> add_adapter(const Model& model, const LoraConfig& config, const std::string& name = "default");

// What follows is for adapters of every kind: low ranks, and the virtual tokens of models/auto/prompt_tuning.h.

/// Reads an adapter from a folder of PEFT's and makes it active, frozen unless `trainable`. Throws Error, naming file
/// and key, for another kind, an option that mica lacks (DoRA, biases, starts that change the base), and tensors that
/// don't fit.
void load_adapter(const Model& model, const std::string& folder, const std::string& name = "default",
                  bool trainable = false);
/// Gives an adapter that the model has the values of a folder's, which must be of the same layers and rank.
void load_adapter_values(const Model& model, const std::string& folder, const std::string& name = "default");
/// Writes one; PEFT opens it. `base_model` is what base_model_name_or_path says, by default nothing.
void save_adapter(const Model& model, const std::string& folder, const std::string& name = "default",
                  const std::string& base_model = "");

/// The adapters that take part, all at once; none: the model as it was. Virtual tokens are active alone.
void set_active_adapters(const Model& model, const std::vector<std::string>& names);
std::vector<std::string> adapter_names(const Model& model);
bool has_adapters(const Model& model);
/// Adds what the active adapters do to the weights themselves, and takes all adapters away: the model runs at full
/// speed and saves as any other. Throws Error for virtual tokens.
void merge_adapters(const Model& model);
/// Takes all adapters away.
void remove_adapters(const Model& model);

/// "<module>.lora_A.weight" and "<module>.lora_B.weight" of every active adapter, or "prompt_encoder...".
std::vector<std::pair<std::string, Tensor>> adapter_parameters(const Model& model);

/// Whether a folder holds an adapter and no weights of a model.
bool is_adapter_folder(const std::string& folder);
/// What load_adapter's folder says of the model that it belongs to; empty for a folder without an adapter.
std::string adapter_base_model(const std::string& folder);

}  // namespace mica
