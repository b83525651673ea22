#pragma once
// Steps of training that are recorded once for each shape of a batch and replayed: the host starts forward, loss,
// backward, clipping and the optimizer's move with one call.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mica/kernels/recording.h"
#include "mica/models/auto/model.h"
#include "mica/training/optimizers/optimizer.h"

namespace mica {

/// A batch of a shape that was not met before is left to the caller; when the shape comes again its step is recorded,
/// and replayed from then on. What differs from step to step lies in device memory that is written before: the batch,
/// the seed of dropout, the optimizer's numbers. Results are those of a step that is not recorded, to the bit.
class RecordedTraining {
 public:
  using LossFunction = std::function<Tensor(const ModelInputs&)>;
  using ZeroGradFunction = std::function<void()>;
  /// `loss`: of a batch whose tensors lie on the model's device, on the tape. The optimizer must live as long as this.
  RecordedTraining(Model model, Optimizer& optimizer, double max_grad_norm, LossFunction loss,
                   ZeroGradFunction zero_grad);

  /// A step of the batch, whose random numbers have this seed. Returns the norm of its gradients (where that is not
  /// finite, nothing has moved) and adds its loss to `loss_sum`, a float64 on the device; undefined, it starts from
  /// `loss_before`. Nothing is done, and nothing returned, where the batch's step is not recorded.
  std::optional<double> run(const ModelInputs& batch, uint64_t seed, Tensor* loss_sum, double loss_before);
  /// A batch whose step is the caller's: its shape is known from here on.
  void meet(const ModelInputs& batch);
  /// Gives the recordings and their memory back. Shapes stay known: the next batch of one is recorded.
  void forget() { steps_.clear(); }
  bool empty() const { return steps_.empty(); }

 private:
  struct Step;
  /// Its shape with whether it can be recorded; whether it is the first of it.
  std::pair<std::map<std::string, bool>::iterator, bool> known(const std::string& shape);
  std::unique_ptr<Step> record(const ModelInputs& batch);
  bool room();

  Model model_;
  Optimizer& optimizer_;
  double max_grad_norm_;
  LossFunction loss_;
  ZeroGradFunction zero_grad_;
  Tensor loss_sum_, squares_;
  std::map<std::string, std::shared_ptr<Step>> steps_;  // by shape
  std::map<std::string, bool> known_;                   // shapes met so far; false: cannot be recorded
  int64_t count_ = 0;
  int64_t refused_ = 0;
};

}  // namespace mica
