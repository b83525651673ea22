#include "mica/training/schedule.h"

#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <numbers>
#include <optional>
#include <utility>
#include <vector>

#include "mica/base/error.h"
#include "mica/base/json.h"

namespace mica {
namespace {

using Factor = std::function<double(int64_t step)>;

constexpr std::array<std::pair<std::string_view, SchedulerType>, 11> kNames{{
    {"linear", SchedulerType::linear},
    {"cosine", SchedulerType::cosine},
    {"cosine_with_restarts", SchedulerType::cosine_with_restarts},
    {"polynomial", SchedulerType::polynomial},
    {"constant", SchedulerType::constant},
    {"constant_with_warmup", SchedulerType::constant_with_warmup},
    {"inverse_sqrt", SchedulerType::inverse_sqrt},
    {"cosine_with_min_lr", SchedulerType::cosine_with_min_lr},
    {"cosine_warmup_with_min_lr", SchedulerType::cosine_warmup_with_min_lr},
    {"warmup_stable_decay", SchedulerType::warmup_stable_decay},
    {"reduce_lr_on_plateau", SchedulerType::reduce_lr_on_plateau},
}};

// The settings of a schedule: each is asked for once, and what nobody asked for is an error.
class Settings {
 public:
  Settings(std::string_view text, std::string_view schedule)
      : where_("lr_scheduler_kwargs of " + std::string(schedule)) {
    if (text.empty()) return;
    values_ = parse_json(text, where_);
    if (!values_.is_object()) throw Error("not a JSON object", where_, "write {\"name\": value}");
  }

  double number(const char* name, double otherwise, double low = -kAny, double high = kAny) {
    return maybe_number(name, low, high).value_or(otherwise);
  }

  std::optional<double> maybe_number(const char* name, double low = -kAny, double high = kAny) {
    const auto value = take(name);
    if (!value) return std::nullopt;
    const double number = value->is_number() ? value->get<double>() : std::nan("");
    if (!(number >= low && number <= high)) {
      throw Error(std::string(name) + " is " + printable(value->dump()), where_, "give a number in its range");
    }
    return number;
  }

  std::optional<int64_t> maybe_count(const char* name) {
    const auto number = maybe_number(name, 0, 1e15);
    if (number && *number != std::floor(*number)) {
      throw Error(std::string(name) + " is no whole number", where_, "give a number of steps");
    }
    return number ? std::optional(static_cast<int64_t>(*number)) : std::nullopt;
  }

  std::string choice(const char* name, const std::vector<std::string>& choices) {
    const auto value = take(name);
    if (!value) return choices.front();
    std::string all;
    for (const std::string& each : choices) {
      if (value->is_string() && value->get<std::string>() == each) return each;
      all += (all.empty() ? "" : ", ") + each;
    }
    throw Error(std::string(name) + " is " + printable(value->dump()), where_, "use one of " + all);
  }

  void finish() const {
    if (values_.empty()) return;
    throw Error("unknown setting " + printable(values_.begin().key()), where_, "this schedule has: " + asked_);
  }

  [[noreturn]] void refuse(const char* problem, const char* mend) const { throw Error(problem, where_, mend); }

 private:
  static constexpr double kAny = std::numeric_limits<double>::max();

  std::optional<Json> take(const char* name) {
    asked_ += (asked_.empty() ? "" : ", ") + std::string(name);
    const auto found = values_.find(name);
    if (found == values_.end()) return std::nullopt;
    Json value = *found;
    values_.erase(name);
    return value.is_null() ? std::nullopt : std::optional(std::move(value));
  }

  std::string where_, asked_;
  Json values_ = Json::object();
};

double share(int64_t part, int64_t whole) {
  return static_cast<double>(part) / static_cast<double>(std::max<int64_t>(1, whole));
}

double wave(double cycles, double progress) {
  return 0.5 * (1 + std::cos(std::numbers::pi * cycles * 2 * progress));
}

// What all schedules but two share: a straight line up to the highest rate, then `after`.
Factor with_warmup(int64_t warmup, Factor after) {
  return [warmup, after = std::move(after)](int64_t step) { return step < warmup ? share(step, warmup) : after(step); };
}

Factor polynomial(Settings& settings, int64_t warmup, int64_t total, double rate) {
  const double end = settings.number("lr_end", 1e-7, 0), power = settings.number("power", 1, 0);
  if (!(rate > end)) settings.refuse("lr_end is not below the learning rate", "lower it");
  return with_warmup(warmup, [=](int64_t step) {
    if (step > total || total <= warmup) return end / rate;
    const double remaining = 1 - share(step - warmup, total - warmup);
    return ((rate - end) * std::pow(remaining, power) + end) / rate;
  });
}

double least_rate(Settings& settings, double rate) {
  const auto least = settings.maybe_number("min_lr", 0), least_share = settings.maybe_number("min_lr_rate", 0);
  if (least.has_value() == least_share.has_value()) {
    settings.refuse(least ? "both min_lr and min_lr_rate" : "neither min_lr nor min_lr_rate", "give one of the two");
  }
  return least ? *least / rate : *least_share;
}

Factor cosine_warmup_with_min_lr(Settings& settings, int64_t warmup, int64_t total, double rate) {
  const double cycles = settings.number("num_cycles", 0.5, 0), least = least_rate(settings, rate);
  const auto first = settings.maybe_number("warmup_lr_rate", 0);
  return [=](int64_t step) {
    if (step < warmup) {
      return first ? *first + (1 - *first) * share(step, warmup - 1) : share(step + 1, warmup);
    }
    const double factor = wave(cycles, share(step - warmup + 1, total - warmup));
    return std::max(0.0, factor * (1 - least) + least);
  };
}

Factor warmup_stable_decay(Settings& settings, int64_t warmup, int64_t total) {
  const auto decay = settings.maybe_count("num_decay_steps");
  if (!decay) settings.refuse("no num_decay_steps", "say how many steps at the end decay");
  const int64_t stable = settings.maybe_count("num_stable_steps").value_or(total - warmup - *decay);
  const std::string up = settings.choice("warmup_type", {"linear", "cosine", "1-sqrt"});
  const std::string down = settings.choice("decay_type", {"cosine", "linear", "1-sqrt"});
  const double least = settings.number("min_lr_ratio", 0, 0), cycles = settings.number("num_cycles", 0.5, 0);
  return [=, end = warmup + stable + *decay](int64_t step) {
    double factor = 1;
    if (step < warmup) {
      const double progress = share(step, warmup);
      factor = up == "linear"   ? progress
               : up == "cosine" ? 0.5 * (1 - std::cos(std::numbers::pi * progress))
                                : 1 - std::sqrt(1 - progress);
    } else if (step < warmup + stable) {
      return 1.0;
    } else if (step < end) {
      const double progress = share(step - warmup - stable, *decay);
      factor = down == "linear" ? 1 - progress : down == "cosine" ? wave(cycles, progress) : 1 - std::sqrt(progress);
    } else {
      return least;
    }
    return std::max(0.0, factor * (1 - least) + least);
  };
}

Factor rule_of(SchedulerType type, Settings& settings, int64_t warmup, int64_t total, double rate) {
  const auto progress = [=](int64_t step) { return share(step - warmup, total - warmup); };
  switch (type) {
    case SchedulerType::linear:
      return with_warmup(warmup, [=](int64_t step) { return std::max(0.0, share(total - step, total - warmup)); });
    case SchedulerType::cosine: {
      const double cycles = settings.number("num_cycles", 0.5, 0);
      return with_warmup(warmup, [=](int64_t step) { return std::max(0.0, wave(cycles, progress(step))); });
    }
    case SchedulerType::cosine_with_restarts: {
      const double cycles = settings.number("num_cycles", 1, 0);
      return with_warmup(warmup, [=](int64_t step) {
        return progress(step) >= 1 ? 0.0 : std::max(0.0, wave(0.5, std::fmod(cycles * progress(step), 1.0)));
      });
    }
    case SchedulerType::polynomial:
      return polynomial(settings, warmup, total, rate);
    case SchedulerType::constant_with_warmup:
      return with_warmup(warmup, [](int64_t) { return 1.0; });
    case SchedulerType::inverse_sqrt: {
      const int64_t timescale = settings.maybe_count("timescale").value_or(warmup > 0 ? warmup : 10000);
      if (timescale < 1) settings.refuse("timescale is 0", "give a number of steps");
      return with_warmup(warmup, [=](int64_t step) {
        return 1 / std::sqrt(static_cast<double>(step + timescale - warmup) / static_cast<double>(timescale));
      });
    }
    case SchedulerType::cosine_with_min_lr: {
      const double cycles = settings.number("num_cycles", 0.5, 0), least = least_rate(settings, rate);
      return with_warmup(
          warmup, [=](int64_t step) { return std::max(0.0, wave(cycles, progress(step)) * (1 - least) + least); });
    }
    case SchedulerType::cosine_warmup_with_min_lr:
      return cosine_warmup_with_min_lr(settings, warmup, total, rate);
    case SchedulerType::warmup_stable_decay:
      return warmup_stable_decay(settings, warmup, total);
    case SchedulerType::constant:
    case SchedulerType::reduce_lr_on_plateau:
      break;
  }
  return [](int64_t) { return 1.0; };
}

// As torch.optim.lr_scheduler.ReduceLROnPlateau.
struct Plateau {
  bool max = false, relative = true;
  double factor = 0.1, threshold = 1e-4, least = 0, eps = 1e-8, rate = 1;
  int64_t patience = 10, cooldown = 0;

  double best = std::numeric_limits<double>::infinity();
  int64_t bad = 0, cooling = 0;
  double current = 1;  // factor of the rate

  Plateau(Settings& settings, double learning_rate) : rate(learning_rate) {
    max = settings.choice("mode", {"min", "max"}) == "max";
    relative = settings.choice("threshold_mode", {"rel", "abs"}) == "rel";
    factor = settings.number("factor", factor, 0, 1);
    if (factor == 1) settings.refuse("factor is 1", "use one below 1");
    threshold = settings.number("threshold", threshold, 0);
    least = settings.number("min_lr", least, 0);
    eps = settings.number("eps", eps, 0);
    patience = settings.maybe_count("patience").value_or(patience);
    cooldown = settings.maybe_count("cooldown").value_or(cooldown);
    if (max) best = -best;
  }

  bool better(double metric) const {
    if (max) return metric > (relative ? best * (1 + threshold) : best + threshold);
    return metric < (relative ? best * (1 - threshold) : best - threshold);
  }

  void observe(double metric) {
    if (better(metric)) {
      best = metric;
      bad = 0;
    } else {
      ++bad;
    }
    if (cooling > 0) {
      --cooling;
      bad = 0;
    }
    if (bad <= patience) return;
    const double lower = std::max(rate * current * factor, least);
    if (rate * current - lower > eps) current = lower / rate;
    cooling = cooldown;
    bad = 0;
  }
};

}  // namespace

struct Schedule::Rule {
  Factor factor;
  std::optional<Plateau> plateau;
};

SchedulerType scheduler_type(std::string_view name) {
  std::string all;
  for (const auto& [known, type] : kNames) {
    if (known == name) return type;
    all += (all.empty() ? "" : ", ") + std::string(known);
  }
  throw Error("unknown schedule " + printable(name), "lr_scheduler_type", "use one of " + all);
}

std::string_view name(SchedulerType type) {
  for (const auto& [known, each] : kNames) {
    if (each == type) return known;
  }
  return "unknown";
}

Schedule::Schedule(std::shared_ptr<Rule> rule) : rule_(std::move(rule)) {}

double Schedule::operator()(int64_t step) const {
  return rule_->plateau ? rule_->plateau->current : rule_->factor(step);
}

bool Schedule::follows_metric() const {
  return rule_->plateau.has_value();
}

void Schedule::observe(double metric) {
  if (rule_->plateau) rule_->plateau->observe(metric);
}

std::string Schedule::state() const {
  if (!rule_->plateau) return "{}";
  const Plateau& plateau = *rule_->plateau;
  Json state{{"bad", plateau.bad}, {"cooling", plateau.cooling}, {"factor", plateau.current}};
  if (std::isfinite(plateau.best)) state["best"] = plateau.best;
  return state.dump();
}

void Schedule::load_state(std::string_view text, const std::string& where) {
  if (!rule_->plateau) return;
  const Json state = parse_json(text, where);
  const auto number = [&](const char* key) {
    const bool there = state.is_object() && state.contains(key) && state[key].is_number();
    const double value = there ? state[key].get<double>() : -1;
    if (!(value >= 0 && value <= 1e15)) {
      throw Error("no number \"" + std::string(key) + "\"", where, "it is not the state of reduce_lr_on_plateau");
    }
    return value;
  };
  Plateau plateau = *rule_->plateau;
  plateau.bad = static_cast<int64_t>(number("bad"));
  plateau.cooling = static_cast<int64_t>(number("cooling"));
  plateau.current = number("factor");
  if (state.contains("best") && state["best"].is_number()) plateau.best = state["best"].get<double>();
  rule_->plateau = plateau;
}

Schedule make_schedule(SchedulerType type, int64_t warmup_steps, int64_t training_steps, double learning_rate,
                       std::string_view settings) {
  const std::string_view schedule = name(type);
  if (warmup_steps < 0 || training_steps < 0) {
    throw Error("a negative number of steps", std::string(schedule), "use 0 or more");
  }
  Settings wanted(settings, schedule);
  const auto rule = std::make_shared<Schedule::Rule>();
  if (type == SchedulerType::reduce_lr_on_plateau) {
    rule->plateau.emplace(wanted, learning_rate);
  } else {
    rule->factor = rule_of(type, wanted, warmup_steps, training_steps, learning_rate);
  }
  wanted.finish();
  return Schedule(rule);
}

}  // namespace mica
