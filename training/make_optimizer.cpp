// Arguments to an optimizer.

#include <charconv>
#include <map>
#include <utility>

#include "mica/base/error.h"
#include "mica/training/optimizers/adafactor.h"
#include "mica/training/optimizers/adamw.h"
#include "mica/training/optimizers/lion.h"
#include "mica/training/optimizers/sgd.h"
#include "mica/training/parameter_groups.h"

namespace mica {
namespace {

// optim_args, "momentum=0.9,nesterov=true", of which every one must be asked for.
class Settings {
 public:
  explicit Settings(const std::string& text) {
    size_t begin = 0;
    while (begin < text.size()) {
      const size_t end = std::min(text.find(',', begin), text.size());
      const std::string part = text.substr(begin, end - begin);
      const size_t equals = part.find('=');
      if (equals == 0 || equals == std::string::npos) refuse(part, "write NAME=VALUE,NAME=VALUE");
      values_[trimmed(part.substr(0, equals))] = trimmed(part.substr(equals + 1));
      begin = end + 1;
    }
  }

  void take(const char* name, double& value) {
    const auto found = values_.find(name);
    known_ += (known_.empty() ? "" : ", ") + std::string(name);
    if (found == values_.end()) return;
    const std::string& text = found->second;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) refuse(found->first + "=" + text, "give a number");
    values_.erase(found);
  }
  void take(const char* name, bool& value) {
    const auto found = values_.find(name);
    known_ += (known_.empty() ? "" : ", ") + std::string(name);
    if (found == values_.end()) return;
    const std::string& text = found->second;
    const bool yes = text == "true" || text == "True" || text == "1";
    if (!yes && text != "false" && text != "False" && text != "0") refuse(found->first + "=" + text, "true or false");
    value = yes;
    values_.erase(found);
  }
  void finish() const {
    if (values_.empty()) return;
    refuse(values_.begin()->first, known_.empty() ? "this optimizer has no settings" : "this optimizer has " + known_);
  }

 private:
  static std::string trimmed(const std::string& text) {
    const size_t begin = text.find_first_not_of(' ');
    return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(' ') + 1 - begin);
  }
  [[noreturn]] static void refuse(const std::string& what, const std::string& mend) {
    throw Error("\"" + printable(what) + "\"", "training arguments, optim_args", mend);
  }
  std::map<std::string, std::string> values_;
  std::string known_;
};

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(const TrainingArguments& arguments, std::vector<ParameterGroup> groups) {
  Settings settings(arguments.optim_args);
  const double rate = arguments.learning_rate;
  switch (arguments.optim) {
    case OptimizerType::adamw_torch: {
      settings.finish();
      return std::make_unique<AdamW>(std::move(groups), AdamWOptions{.learning_rate = rate,
                                                                     .beta1 = arguments.adam_beta1,
                                                                     .beta2 = arguments.adam_beta2,
                                                                     .eps = arguments.adam_epsilon});
    }
    case OptimizerType::sgd: {
      SgdOptions options{.learning_rate = rate};
      settings.take("momentum", options.momentum);
      settings.take("dampening", options.dampening);
      settings.take("nesterov", options.nesterov);
      settings.finish();
      return std::make_unique<Sgd>(std::move(groups), options);
    }
    case OptimizerType::adafactor: {
      // As a Trainer sets it: the schedule's rate instead of relative steps.
      AdafactorOptions options{.learning_rate = rate, .scale_parameter = false, .relative_step = false};
      settings.take("scale_parameter", options.scale_parameter);
      settings.take("relative_step", options.relative_step);
      settings.take("warmup_init", options.warmup_init);
      settings.take("clip_threshold", options.clip_threshold);
      settings.take("decay_rate", options.decay_rate);
      settings.finish();
      if (options.relative_step) options.learning_rate.reset();
      return std::make_unique<Adafactor>(std::move(groups), options);
    }
    case OptimizerType::lion: {
      settings.finish();
      return std::make_unique<Lion>(
          std::move(groups),
          LionOptions{.learning_rate = rate, .beta1 = arguments.adam_beta1, .beta2 = arguments.adam_beta2});
    }
  }
  throw Error("unknown optimizer", "training arguments, optim", "name one that there is");
}

}  // namespace mica
