#include "mica/models/modules/rotary.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <mutex>
#include <numbers>
#include <string>
#include <utility>

#include "mica/base/error.h"

namespace mica {
namespace {

constexpr double kPi = std::numbers::pi;
constexpr double kMaxPositions = 1e9;

RotaryKind kind_of(const std::string& name, const std::string& where) {
  static const std::pair<const char*, RotaryKind> names[] = {
      {"default", RotaryKind::standard}, {"linear", RotaryKind::linear},     {"dynamic", RotaryKind::dynamic},
      {"yarn", RotaryKind::yarn},        {"longrope", RotaryKind::longrope}, {"su", RotaryKind::longrope},
      {"llama3", RotaryKind::llama3}};
  for (const auto& [known, kind] : names) {
    if (name == known) return kind;
  }
  throw Error("rope_type \"" + printable(name) + "\"", where,
              "mica knows default, linear, dynamic, yarn, longrope and llama3");
}

std::vector<double> factors(const Config& settings, const char* key, int64_t count) {
  const std::vector<double> values = settings.numbers(key);
  if (static_cast<int64_t>(values.size()) != count) {
    throw Error(std::string(key) + " has " + std::to_string(values.size()) + " entries", settings.where(),
                "it needs " + std::to_string(count) + ", one a frequency");
  }
  for (const double value : values) {
    if (!(value > 0)) throw Error(std::string(key) + " holds " + std::to_string(value), settings.where(), "use > 0");
  }
  return values;
}

// yarn's scale of attention: 1 for a factor that does not stretch.
double yarn_scale(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

// The settings of one type of layer: the entry of that name, the object itself, or the old spelling.
Config settings_of(const Config& config, std::string_view layer_type) {
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    if (!config.has(key)) continue;
    Config object = config.object(key);
    if (!layer_type.empty() && object.has(layer_type)) return object.object(layer_type);
    return object;
  }
  return Config::from_json("{}", config.where());
}

// Whether the family can leave a part of each head unrotated: its defaults then say which part. The others' plain
// positions turn whole heads, whatever a file says.
bool rotates_parts(Config config) {
  config.remove("partial_rotary_factor");
  return config.has("partial_rotary_factor");
}

double first_number(const Config& settings, const Config& config, std::initializer_list<const char*> keys,
                    double fallback) {
  for (const Config* each : {&settings, &config}) {
    for (const char* key : keys) {
      if (each->has(key)) return each->number(key);
    }
  }
  return fallback;
}

}  // namespace

RotarySpec rotary_spec(const Config& config, int64_t head_dim, std::string_view layer_type) {
  const Config settings = settings_of(config, layer_type);
  const std::string& where = settings.where();
  RotarySpec spec;
  const std::string type = settings.has("rope_type") ? settings.text("rope_type") : settings.text("type", "default");
  spec.kind = kind_of(type, where);
  const double part = config.has("rotary_dim") ? config.number_in("rotary_dim", 1, static_cast<double>(head_dim)) /
                                                     static_cast<double>(head_dim)
                      : rotates_parts(config) || spec.kind != RotaryKind::standard
                          ? first_number(settings, config, {"partial_rotary_factor", "rotary_pct"}, 1.0)
                          : 1.0;
  spec.span = static_cast<int64_t>(static_cast<double>(head_dim) * part + 1e-9);
  spec.size = spec.span + spec.span % 2;  // an odd one's last frequency turns a pair as well
  if (!(part > 0 && part <= 1) || spec.size < 2 || spec.size > head_dim) {
    throw Error("partial_rotary_factor " + std::to_string(part) + " of " + std::to_string(head_dim) + " elements",
                where, "at least two elements of a head, at most all, are rotated");
  }
  spec.theta = first_number(settings, config, {"rope_theta", "rotary_emb_base"}, 10000.0);
  if (!(spec.theta > 1)) throw Error("rope_theta is " + std::to_string(spec.theta), where, "it must be above 1");
  spec.max_positions = config.number("max_position_embeddings", 2048);
  spec.original_positions = spec.max_positions;
  const bool stretches = spec.kind != RotaryKind::standard;
  if (stretches && spec.kind != RotaryKind::dynamic && spec.kind != RotaryKind::linear) {
    const Config& source = config.has("original_max_position_embeddings") ? config : settings;
    if (source.has("original_max_position_embeddings")) {
      spec.original_positions = source.number_in("original_max_position_embeddings", 1, kMaxPositions);
    }
  }
  if (stretches) {
    spec.factor =
        settings.has("factor") ? settings.number_in("factor", 1e-6, 1e9) : spec.max_positions / spec.original_positions;
  }
  switch (spec.kind) {
    case RotaryKind::standard:
    case RotaryKind::linear:
    case RotaryKind::dynamic:
      return spec;
    case RotaryKind::yarn: {
      spec.beta_fast = settings.number("beta_fast", 32);
      spec.beta_slow = settings.number("beta_slow", 1);
      spec.truncate = settings.flag("truncate", true);
      if (!(spec.beta_fast > 0 && spec.beta_slow > 0)) throw Error("beta_fast or beta_slow", where, "use numbers > 0");
      const double mscale = settings.number("mscale", 0);
      const double all = settings.number("mscale_all_dim", 0);
      spec.attention_factor = settings.has("attention_factor") ? settings.number("attention_factor")
                              : mscale != 0 && all != 0 ? yarn_scale(spec.factor, mscale) / yarn_scale(spec.factor, all)
                                                        : yarn_scale(spec.factor, 1);
      return spec;
    }
    case RotaryKind::longrope:
      spec.short_factors = factors(settings, "short_factor", spec.size / 2);
      spec.long_factors = factors(settings, "long_factor", spec.size / 2);
      spec.attention_factor = settings.has("attention_factor") ? settings.number("attention_factor")
                              : spec.factor <= 1
                                  ? 1.0
                                  : std::sqrt(1 + std::log(spec.factor) / std::log(spec.original_positions));
      return spec;
    case RotaryKind::llama3:
      spec.low_frequency_factor = settings.number_in("low_freq_factor", 1e-6, 1e6);
      spec.high_frequency_factor = settings.number_in("high_freq_factor", 1e-6, 1e6);
      if (!(spec.high_frequency_factor > spec.low_frequency_factor)) {
        throw Error("high_freq_factor is not above low_freq_factor", where, "swap them");
      }
      return spec;
  }
  return spec;
}

struct Rotary::Stored {
  Tensor tensor;
  std::mutex mutex;
  std::shared_ptr<Storage> of;  // what `host` was read from, at that version
  uint64_t version = 0;
  std::vector<float> host;

  explicit Stored(Tensor frequencies) : tensor(std::move(frequencies)) {}

  std::vector<float> read() {
    const std::scoped_lock lock(mutex);
    if (of != tensor.storage() || version != of->version()) {
      of = tensor.storage();
      version = of->version();
      host = tensor.to_vector<float>();
    }
    return host;
  }
};

namespace {

RotarySpec with_span(RotarySpec spec) {
  if (spec.span == 0) spec.span = spec.size;
  return spec;
}

}  // namespace

Rotary::Rotary(RotarySpec spec, Tensor frequencies)
    : spec_(with_span(std::move(spec))),
      short_(this->frequencies(0)),
      stored_(frequencies.defined() ? std::make_shared<Stored>(std::move(frequencies)) : nullptr) {}

// Frequencies are single-precision numbers, computed step by step as the reference does: at position 100,000 the last
// bit of a frequency is an angle of a hundredth.
std::vector<float> Rotary::frequencies(int64_t length) const {
  const int64_t half = spec_.size / 2;
  double theta = spec_.theta;
  if (spec_.kind == RotaryKind::dynamic) {
    const double size = static_cast<double>(spec_.span);
    const double seen = std::max(static_cast<double>(length), spec_.max_positions);
    theta *= std::pow(spec_.factor * seen / spec_.max_positions - (spec_.factor - 1), size / (size - 2));
  }
  std::vector<float> result(static_cast<size_t>(half));
  const auto power = [&](int64_t i) {  // theta^(2i / span)
    return std::pow(static_cast<float>(theta), static_cast<float>(2 * i) / static_cast<float>(spec_.span));
  };
  for (int64_t i = 0; i < half; ++i) result[static_cast<size_t>(i)] = 1.0F / power(i);
  const auto factor = static_cast<float>(spec_.factor);
  switch (spec_.kind) {
    case RotaryKind::standard:
    case RotaryKind::dynamic:
      break;
    case RotaryKind::linear:
      for (float& each : result) each /= factor;
      break;
    case RotaryKind::longrope: {
      const bool is_long = static_cast<double>(length) > spec_.original_positions;
      const std::vector<double>& list = is_long ? spec_.long_factors : spec_.short_factors;
      for (int64_t i = 0; i < half; ++i) {
        result[static_cast<size_t>(i)] = 1.0F / (static_cast<float>(list[static_cast<size_t>(i)]) * power(i));
      }
      break;
    }
    case RotaryKind::llama3: {
      const double low = spec_.original_positions / spec_.low_frequency_factor;
      const double high = spec_.original_positions / spec_.high_frequency_factor;
      for (float& each : result) {
        const double wave = 2 * kPi / static_cast<double>(each);
        if (wave < high) continue;
        if (wave > low) {
          each /= factor;
          continue;
        }
        const double smooth = (spec_.original_positions / wave - spec_.low_frequency_factor) /
                              (spec_.high_frequency_factor - spec_.low_frequency_factor);
        each = static_cast<float>((1 - smooth) * static_cast<double>(each) / spec_.factor +
                                  smooth * static_cast<double>(each));
      }
      break;
    }
    case RotaryKind::yarn: {
      const double size = static_cast<double>(spec_.span);
      const auto dimension = [&](double rotations) {
        return size * std::log(spec_.original_positions / (rotations * 2 * kPi)) / (2 * std::log(spec_.theta));
      };
      double low = dimension(spec_.beta_fast);
      double high = dimension(spec_.beta_slow);
      if (spec_.truncate) {
        low = std::floor(low);
        high = std::ceil(high);
      }
      low = std::max(low, 0.0);
      high = std::min(high, size - 1);
      if (low == high) high += 0.001;
      for (int64_t i = 0; i < half; ++i) {
        float& each = result[static_cast<size_t>(i)];
        const auto ramp = static_cast<float>(std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0));
        each = 1.0F / (factor * power(i)) * ramp + each * (1 - ramp);
      }
      break;
    }
  }
  return result;
}

bool Rotary::fixed(int64_t length) const {
  const auto tokens = static_cast<double>(length);
  if (spec_.kind == RotaryKind::dynamic) return tokens <= spec_.max_positions;
  return spec_.kind != RotaryKind::longrope || tokens <= spec_.original_positions;
}

RotaryAngles Rotary::angles(std::span<const int64_t> positions, Device device) const {
  const int64_t longest = positions.empty() ? 0 : *std::max_element(positions.begin(), positions.end()) + 1;
  std::vector<float> of_long;
  if (!fixed(longest)) of_long = frequencies(longest);
  if (stored_ != nullptr) of_long = stored_->read();
  const std::vector<float>& list = of_long.empty() ? short_ : of_long;
  const auto factor = static_cast<float>(spec_.attention_factor);
  const auto rows = static_cast<int64_t>(positions.size());
  const auto half = static_cast<int64_t>(list.size());
  const Tensor cos = Tensor::empty({rows, half});
  const Tensor sin = Tensor::empty({rows, half});
  float* c = cos.data<float>();
  float* s = sin.data<float>();
  for (int64_t row = 0; row < rows; ++row) {
    const auto same = row > 0 && positions[static_cast<size_t>(row)] == positions[static_cast<size_t>(row - 1)];
    for (int64_t i = 0; i < half; ++i, ++c, ++s) {
      if (same) {
        *c = *(c - half);
        *s = *(s - half);
        continue;
      }
      const float angle = static_cast<float>(positions[static_cast<size_t>(row)]) * list[static_cast<size_t>(i)];
      *c = std::cos(angle) * factor;
      *s = std::sin(angle) * factor;
    }
  }
  return {cos.to(device), sin.to(device)};
}

}  // namespace mica
