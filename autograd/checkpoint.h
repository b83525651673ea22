#pragma once
// Memory for time: a part of a network whose activations are not kept but made again when its gradient is wanted
// (Chen et al. 2016, "Training deep nets with sublinear memory cost").

#include <functional>

#include "mica/tensor/tensor.h"

namespace mica {

/// part()'s result, on the tape as one node that keeps nothing but what `part` holds. The backward pass runs part()
/// again, with the random numbers that it drew the first time, so that `part` must read nothing that changes meanwhile.
/// Gradients reach every tracked tensor that part() uses, parameters and results of earlier ops alike, with the bits
/// that they have without a checkpoint. Under NoGrad it is part().
Tensor checkpoint(const std::function<Tensor()>& part);

/// While alive, stacks of layers on this thread make a checkpoint of each of their layers.
class Checkpointing {
 public:
  explicit Checkpointing(bool on);
  ~Checkpointing();
  Checkpointing(const Checkpointing&) = delete;
  Checkpointing& operator=(const Checkpointing&) = delete;

 private:
  bool previous_;
};

/// Whether one is alive on this thread.
bool checkpointing();

/// part() as a checkpoint where Checkpointing is on, else as it is.
Tensor run_layer(const std::function<Tensor()>& part);

}  // namespace mica
