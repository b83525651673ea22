#include "mica/autograd/checkpoint.h"

#include <memory>
#include <utility>
#include <vector>

#include "mica/autograd/random.h"
#include "mica/autograd/tape.h"
#include "mica/tensor/grad_mode.h"

namespace mica {
namespace {

thread_local bool layers_are_checkpoints = false;

// Draws from `state` while alive, and goes on afterwards where it was.
class RandomState {
 public:
  explicit RandomState(const RandomStream& state) : previous_(random_state()) { set_random_state(state); }
  ~RandomState() { set_random_state(previous_); }
  RandomState(const RandomState&) = delete;
  RandomState& operator=(const RandomState&) = delete;

 private:
  RandomStream previous_;
};

}  // namespace

Tensor checkpoint(const std::function<Tensor()>& part) {
  if (!grad_enabled()) return part();
  const RandomStream random = random_state();
  const uint64_t start = tape_position();
  const Tensor first = part();
  Tensor result = first.detach();
  if (!first.requires_grad()) return result;
  // The part only handed on what was there.
  if (first.autograd_meta()->node == nullptr || first.autograd_meta()->node->position < start) return first;
  // What the part used of the tape before it, found on the tape that is let go now.
  const TapeInputs used = tape_inputs(first, start);
  record_checkpoint(used, result,
                    [part, random, results = used.results](const std::vector<Tensor>& g) -> std::vector<Tensor> {
                      const RandomState state(random);
                      const uint64_t again = tape_position();
                      Tensor made;
                      {
                        const EnableGrad enable;
                        made = part();
                      }
                      return backward_to(made, g[0], again, results);
                    });
  return result;
}

Checkpointing::Checkpointing(bool on) : previous_(std::exchange(layers_are_checkpoints, on)) {}
Checkpointing::~Checkpointing() {
  layers_are_checkpoints = previous_;
}

bool checkpointing() {
  return layers_are_checkpoints;
}

Tensor run_layer(const std::function<Tensor()>& part) {
  return layers_are_checkpoints ? checkpoint(part) : part();
}

}  // namespace mica
