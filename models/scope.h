#pragma once
// Scope: a name prefix plus where values come from. A module asks its scope for its parameters by name while it is
// built; the names are those of the published file.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "mica/kernels/device.h"
#include "mica/models/adapter_slot.h"
#include "mica/tensor/checkpoint.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// How a parameter starts when no file has it.
struct Initialization {
  enum class Kind { zeros, ones, normal };
  Kind kind = Kind::normal;
  double deviation = 0.02;
  int64_t zero_row = -1;  ///< a row of an embedding that starts (and, by its gradient, stays) at zero
};

struct BuildOptions {
  Device device;
  /// The dtype of matrix products. Parameters that the checkpoint has in float32 keep it on a CPU, which packs its
  /// weights in this dtype.
  DType dtype = DType::float32;
  /// Matrices that a checkpoint has in bfloat16 or float16 stay as they are, in the file; otherwise they are widened to
  /// float32.
  bool keep_dtype = false;
  double initializer_range = 0.02;
  bool ignore_mismatched_sizes = false;
  /// An Error before anything is allocated beyond so many parameters in all; 0: as many as memory holds.
  int64_t max_parameters = 0;
};

/// Everything that one model's scopes share: the checkpoint, if any, the parameters made so far, and what was amiss.
class ParameterStore {
 public:
  explicit ParameterStore(BuildOptions options) : options_(options) {}
  /// `base_prefix` ("bert"): a checkpoint may spell every name with or without it. Old spellings of norm parameters
  /// ("gamma", "beta") and both of normalised weights ("weight_g", "parametrizations.weight.original0") are understood.
  ParameterStore(BuildOptions options, Checkpoint checkpoint, std::string base_prefix);
  /// For a model with another vocabulary: parameters of the same shape are those of `before` themselves; one with other
  /// rows (embeddings, output layers) gets its first rows from there, and new ones as `add_rows` makes them: mean and
  /// covariance of the old ones, the latter scaled down (J. Hewitt 2021), or normal with the initializer_range.
  enum class NewRows { mean, normal };
  ParameterStore(BuildOptions options, const ParameterStore& before, NewRows new_rows);

  /// `matrix`: it may keep a dtype of 16 bits.
  Tensor parameter(const std::string& name, const Shape& shape, const Initialization& init, bool may_be_new,
                   bool matrix = false);
  /// A tensor that files hold and nothing trains; `value` where there is no file.
  Tensor buffer(const std::string& name, const Tensor& value, bool may_be_new);
  /// A parameter that starts as `value`; a file may leave it out.
  Tensor computed(const std::string& name, const Tensor& value);
  void ignore(const std::string& name);
  bool in_file(const std::string& name) const { return checkpoint_ != nullptr && !find(name).empty(); }
  /// Files may spell `name` as `other`.
  void spell(const std::string& name, const std::string& other) { other_names_.emplace(name, other); }
  Tensor tied(const std::string& name, const Tensor& of);

  bool has_file() const { return checkpoint_ != nullptr; }
  const BuildOptions& options() const { return options_; }
  const std::vector<std::pair<std::string, Tensor>>& parameters() const { return parameters_; }
  AdapterRegistry& adapters() { return adapters_; }
  /// Throws one Error that lists missing and mis-shaped tensors; warns once about new and unused ones.
  void finish(const std::string& where, const std::string& model) const;

  /// Whether some parameter has 16 bits; widen() makes float32 of all, in place: every module sees it.
  bool has_narrow() const { return has_narrow_; }
  void widen();
  /// The parameters as files should have them: those that were widened only to compute with them as they were.
  std::vector<std::pair<std::string, Tensor>> to_save() const;
  /// Takes a tensor to the model's device that no file holds, and wherever the parameters go later.
  Tensor constant(const Tensor& value);
  /// A view of a parameter or buffer in another shape, which stays one when that moves.
  Tensor reshaped(const Tensor& of, const Shape& shape);
  /// Moves parameters, constants and adapters, in place: every module sees it. Gradients move along.
  void to(Device device);
  /// Bytes of all parameters.
  int64_t bytes() const { return bytes_; }

 private:
  void count(const std::string& name, const Shape& shape, DType dtype);
  std::string find(const std::string& name) const;  // its name in the checkpoint, or ""
  std::string find_spelled(const std::string& name) const;
  bool same_in_file(const std::string& spelling, const Tensor& as) const;
  Tensor make(const Shape& shape, const Initialization& init) const;
  Tensor resized(const Tensor& before, const Shape& shape, const Initialization& init) const;

  BuildOptions options_;
  std::shared_ptr<const Checkpoint> checkpoint_;
  std::string base_prefix_;
  std::vector<std::pair<std::string, Tensor>> parameters_;
  std::vector<Tensor> constants_;
  std::vector<std::pair<Tensor, Tensor>> reshaped_;  // a view, and whose
  AdapterRegistry adapters_;
  std::unordered_multimap<std::string, std::string> other_names_;
  std::unordered_map<std::string, Tensor> before_;
  NewRows new_rows_ = NewRows::mean;
  std::unordered_map<std::string, DType> narrow_in_file_;  // parameters of 16 bits there
  bool has_narrow_ = false;
  int64_t num_parameters_ = 0, bytes_ = 0;
  std::unordered_set<std::string> used_;
  std::vector<std::string> missing_, fresh_, misshaped_;
};

class Scope {
 public:
  explicit Scope(ParameterStore& store) : store_(&store) {}

  /// The scope of a part: "encoder" inside "bert." gives "bert.encoder."; a dotted path goes several levels down, and
  /// an empty one stays.
  Scope operator/(std::string_view part) const;
  Scope operator/(int64_t index) const { return *this / std::to_string(index); }
  /// The same names; parameters that a checkpoint lacks are made anew instead of being an error.
  Scope may_be_new() const;

  /// The parameter `name` of this scope, from the checkpoint or initialised.
  Tensor parameter(std::string_view name, const Shape& shape, const Initialization& init) const;
  /// A weight matrix that only products and look-ups read: it may stay in a checkpoint's 16 bits. Normal with the
  /// config's initializer_range.
  Tensor matrix(std::string_view name, const Shape& shape, int64_t zero_row = -1) const;
  /// A weight of float32, otherwise the same.
  Tensor weight(std::string_view name, const Shape& shape, int64_t zero_row = -1) const;
  Tensor zeros(std::string_view name, const Shape& shape) const;
  Tensor ones(std::string_view name, const Shape& shape) const;
  /// A tensor that files hold and nothing trains (a table of sines); `value` where there is no file.
  Tensor buffer(std::string_view name, const Tensor& value) const;
  /// A parameter that starts as `value`, and whose value that is where a file leaves it out.
  Tensor computed(std::string_view name, const Tensor& value) const;
  /// A tensor that no file holds, on the model's device.
  Tensor constant(const Tensor& value) const { return store_->constant(value); }
  /// A buffer or parameter in another shape.
  Tensor reshaped(const Tensor& of, const Shape& shape) const { return store_->reshaped(of, shape); }
  /// A tensor that files may hold although the model has no use for it (a copy of a tied weight, a buffer).
  void ignore(std::string_view name) const;
  /// `of`, a parameter that files may hold once more under this name; a parameter of this name where a file has other
  /// values there, so that the two are not tied whatever its config says.
  Tensor tied(std::string_view name, const Tensor& of) const;
  /// Where a file lacks the parameter `name`, it may have it as `other`.
  void spell(std::string_view name, std::string_view other) const;
  /// Whether weights come from a file, and whether it has this one.
  bool has_file() const { return store_->has_file(); }
  bool in_file(std::string_view name) const { return store_->in_file(prefix_ + std::string(name)); }

  /// Where the linear layer of this scope finds its adapters.
  std::shared_ptr<AdapterSlot> adapter_slot(int64_t in, int64_t out, bool transposed) const;

  const BuildOptions& options() const { return store_->options(); }
  const std::string& prefix() const { return prefix_; }

 private:
  ParameterStore* store_;
  std::string prefix_;
  bool may_be_new_ = false;
};

}  // namespace mica
