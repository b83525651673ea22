#pragma once
// Normalizers rewrite the text before it is cut into words. One class a component of tokenizer.json.

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mica/base/json.h"
#include "mica/tokenizers/normalized_text.h"
#include "mica/tokenizers/readers/fields.h"

namespace mica {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual void normalize(NormalizedText& text) const = 0;
  virtual Json to_json() const = 0;
};

using NormalizerPtr = std::shared_ptr<const Normalizer>;

/// Reads {"type": ..., ...}. Throws Error that names an unknown type.
NormalizerPtr make_normalizer(Fields fields);

/// Leaves every text as it is: null, or a sequence of nothing.
bool is_identity(const Normalizer* normalizer);

/// BERT's: cleaning, spaces around Chinese characters, accents off, lower case; each optional.
class BertNormalizer : public Normalizer {
 public:
  struct Settings {
    bool clean_text = true;
    bool handle_chinese_chars = true;
    std::optional<bool> strip_accents = {};  ///< default: as lowercase
    bool lowercase = true;
    bool strips_accents() const { return strip_accents.value_or(lowercase); }
  };
  explicit BertNormalizer(Settings settings) : settings_(settings) {}
  const Settings& settings() const { return settings_; }
  void normalize(NormalizedText& text) const override;
  Json to_json() const override;

 private:
  Settings settings_;
};

/// One normalizer after another.
class NormalizerSequence : public Normalizer {
 public:
  explicit NormalizerSequence(std::vector<NormalizerPtr> parts) : parts_(std::move(parts)) {}
  const std::vector<NormalizerPtr>& parts() const { return parts_; }
  void normalize(NormalizedText& text) const override;
  Json to_json() const override;

 private:
  std::vector<NormalizerPtr> parts_;
};

enum class NormalForm { nfc, nfd, nfkc, nfkd };
void apply_normal_form(NormalForm form, NormalizedText& text);
void apply_lowercase(NormalizedText& text);

}  // namespace mica
