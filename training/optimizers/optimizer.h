#pragma once
// What all optimizers share: groups of parameters, the state kept for each parameter, the norm of all gradients.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mica/tensor/safetensors.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// Parameters that one learning rate and one weight decay hold for.
struct ParameterGroup {
  std::vector<std::pair<std::string, Tensor>> parameters{};  ///< by name, which their state is saved under
  double learning_rate_scale = 1;                            ///< times the optimizer's rate
  double weight_decay = 0;
};

/// Steps go by the gradients that backward() left in the parameters. A parameter without one is not moved, and its
/// state, which is made with its first step, stays. State has the parameter's dtype.
class Optimizer {
 public:
  virtual ~Optimizer();
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  double learning_rate() const { return learning_rate_; }
  /// Holds from the next step on. Throws Error unless it is a finite number, at least 0.
  void set_learning_rate(double learning_rate);
  std::vector<ParameterGroup>& groups() { return groups_; }
  const std::vector<ParameterGroup>& groups() const { return groups_; }

  /// Moves the parameters in place, by gradients times gradient_scale. Throws Error, before anything moves, for a scale
  /// that is not finite and for a gradient whose shape, dtype or device is not the parameter's.
  void step(double gradient_scale = 1);
  void zero_grad() const;
  /// The square root of the sum of the squares of all gradients' elements; the same for any number of threads. NaN or
  /// infinite exactly when a gradient is.
  double gradient_norm() const;

  // Steps that are recorded together with the kernels that make the gradients, and replayed (kernels/recording.h):
  // recorded_step.cpp.
  /// How many numbers of a parameter's step are others at the next one; 0: steps of this optimizer are not recorded.
  virtual int64_t step_numbers() const { return 0; }
  /// Those of the next step, [parameters, step_numbers()].
  std::vector<double> next_numbers() const;
  /// In the work of a recording: the sum of the gradients' squares into `squares` (float64, one element), and the step,
  /// by gradients that are clipped to the norm `max_norm` (0: they are not) and by the numbers in `numbers`,
  /// next_numbers() in the device's memory. Where the norm is not finite the step moves nothing. Returns the parameters
  /// that it moves. Throws Error for a parameter's first step, which makes its state.
  std::vector<size_t> record_step(const Tensor& numbers, const Tensor& squares, double max_norm);
  /// After a replay that moved them.
  void count_step(const std::vector<size_t>& parameters);
  /// Where the parameters and their state lie: a recording holds as long as they stay there. Null for those that need
  /// no gradient.
  std::vector<const void*> addresses() const;

  /// For processes that share the work: this one moves, and keeps the state of, only the parameters (counted through
  /// all groups) that `mine` says yes to. Call it before the first step.
  void set_share(const std::function<bool(size_t parameter)>& mine);

  /// State by name, as safetensors files hold it: "<parameter>.<what>" ("encoder.weight.exp_avg") and the number of
  /// steps as "<parameter>.step", int64. Tensors are the state itself, no copies.
  NamedTensors state() const;
  /// The same one by one, each with the number of its parameter: of a parameter that is not of this process's share, a
  /// new tensor for the values that another process has.
  void visit_state(
      const std::function<void(const std::string& name, size_t parameter, const Tensor& value)>& visit) const;
  /// Goes on from a copy of a saved state. Throws Error, and keeps the state it has, where a tensor is missing, of
  /// another shape or dtype, or of no parameter here; `where` names the file.
  void load_state(const NamedTensors& state, const std::string& where);

 protected:
  struct Slot {
    std::string name;
    Tensor parameter;
    size_t group = 0;
    int64_t step = 0;
    std::vector<Tensor> state{};  ///< as state_of() lays it out; empty before the first step
    bool mine = true;
  };
  /// What is to be done with one parameter now; `step` counts this one.
  struct Move {
    View parameter, gradient;
    int64_t step = 0;
    double learning_rate = 0;        ///< of its group
    double learning_rate_scale = 1;  ///< which has this factor in it
    double weight_decay = 0;
    const std::vector<Tensor>* state = nullptr;
    View numbers{};  ///< of a recorded step: step_numbers() of them, in the device's memory
  };
  /// One tensor of a parameter's state: what it is called, and its shape.
  using StateShape = std::pair<std::string, Shape>;

  /// Throws Error for a parameter that is not contiguous float32 or float64, that occurs twice or has another's name,
  /// and where parameters lie on several devices.
  Optimizer(std::vector<ParameterGroup> groups, double learning_rate);

  virtual std::vector<StateShape> state_of(const Tensor& parameter) const = 0;
  virtual void move(const std::vector<Move>& moves, double gradient_scale) = 0;
  /// What an optimizer with step_numbers() has: those of a step, and a move that reads them, and the gradients' scale,
  /// in the device's memory; one that is not finite moves nothing.
  virtual std::vector<double> numbers_of(const Move& move) const;
  virtual void move_recorded(const std::vector<Move>& moves, const View& gradient_scale);
  Device device() const { return device_; }

 private:
  std::vector<Tensor> new_state(const Tensor& parameter) const;
  std::vector<Tensor> gradients() const;
  Move move_of(const Slot& slot) const;

  std::vector<ParameterGroup> groups_;
  std::vector<Slot> slots_;
  double learning_rate_;
  Device device_;
};

}  // namespace mica
