#pragma once
// Rotary positions: angles from a config, as tables of cosines and sines. Su et al., "RoFormer", 2021.

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "mica/autograd/rotary.h"
#include "mica/models/config.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// How angles depend on the position and the length of the text.
enum class RotaryKind : uint8_t {
  standard,  ///< position * theta^(-2i / size)
  linear,    ///< positions divided by factor
  dynamic,   ///< theta grows with the text beyond the trained length
  yarn,      ///< high frequencies kept, low ones divided by factor, a ramp between. Peng et al. 2023
  longrope,  ///< one factor a frequency, of two lists: for short and for long texts. Ding et al. 2024
  llama3,    ///< low frequencies divided by factor, a smooth passage in between
};

struct RotarySpec {
  RotaryKind kind = RotaryKind::standard;
  int64_t size = 0;  ///< rotated elements of a head, even
  int64_t span = 0;  ///< what exponents are a share of: size, or one less for an odd share of a head; 0: size
  double theta = 10000;
  double factor = 1;
  double max_positions = 0;       ///< as the config says
  double original_positions = 0;  ///< that the model was trained with first
  double beta_fast = 32, beta_slow = 1;
  bool truncate = true;  ///< yarn: the ramp's ends at whole frequencies
  double low_frequency_factor = 1, high_frequency_factor = 4;
  std::vector<double> short_factors, long_factors;
  double attention_factor = 1;  ///< of cosines and sines
};

/// From a config's rope settings, in the old spelling (rope_theta, rope_scaling) or the new one (rope_parameters, which
/// may hold an entry for each type of layer: `layer_type`). head_dim elements a head, of which partial_rotary_factor
/// are rotated. Throws Error for an unknown kind or a setting that is missing or out of range.
RotarySpec rotary_spec(const Config& config, int64_t head_dim, std::string_view layer_type = {});

/// Cosines and sines [rows, size / 2] of some rows' positions.
struct RotaryAngles {
  Tensor cos, sin;
  bool defined() const { return cos.defined(); }
};

class Rotary {
 public:
  Rotary() = default;
  /// `frequencies` [size / 2]: those of a file, in place of the spec's (standard kind only).
  explicit Rotary(RotarySpec spec, Tensor frequencies = {});
  const RotarySpec& spec() const { return spec_; }
  /// [size / 2], as the spec gives them.
  Tensor frequencies() const { return Tensor::from(short_); }
  /// Whether a position's angles are the same in all texts of up to `length` tokens.
  bool fixed(int64_t length) const;
  /// positions: int64 [rows] on the host.
  RotaryAngles angles(std::span<const int64_t> positions, Device device) const;

 private:
  // A file's frequencies, and the copy of them that the host computes with.
  struct Stored;

  std::vector<float> frequencies(int64_t length) const;  // of a text of so many tokens

  RotarySpec spec_;
  std::vector<float> short_;  // what most texts use
  std::shared_ptr<Stored> stored_;
};

}  // namespace mica
