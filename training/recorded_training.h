#pragma once
// Steps of training that are recorded once for each shape of their batches and replayed: the host starts forward, loss,
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

/// A step of a shape that was not met before is left to the caller; when the shape comes again the step is recorded,
/// and replayed from then on. What differs from step to step lies in device memory that is written before: the batches,
/// the seeds of dropout, the optimizer's numbers. Results are those of a step that is not recorded, to the bit.
class RecordedTraining {
 public:
  /// A batch of a step, whose gradients are added up.
  struct Part {
    ModelInputs batch;
    uint64_t seed = 0;  ///< of its random numbers
    double share = 1;   ///< what its loss is multiplied by
  };

  using LossFunction = std::function<Tensor(const ModelInputs&)>;
  using ZeroGradFunction = std::function<void()>;
  /// `loss`: of a batch whose tensors lie on the model's device, on the tape. The optimizer must live as long as this.
  RecordedTraining(Model model, Optimizer& optimizer, double max_grad_norm, LossFunction loss,
                   ZeroGradFunction zero_grad);

  /// A step of these batches. Returns the norm of its gradients (where that is not finite, nothing has moved) and adds
  /// its loss to `loss_sum`, a float64 on the device; undefined, it starts from `loss_before`. Nothing is done, and
  /// nothing returned, where the step is not recorded.
  std::optional<double> run(const std::vector<Part>& parts, Tensor* loss_sum, double loss_before);
  /// A step that is the caller's: its shape is known from here on.
  void meet(const std::vector<Part>& parts);
  /// Gives the recordings and their memory back. Shapes stay known: the next step of one is recorded.
  void forget() { steps_.clear(); }
  bool empty() const { return steps_.empty(); }

 private:
  struct Step;
  /// Its shape with whether it can be recorded; whether it is the first of it.
  std::pair<std::map<std::string, bool>::iterator, bool> known(const std::string& shape);
  std::unique_ptr<Step> record(const std::vector<Part>& parts);
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
