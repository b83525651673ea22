#pragma once
// CTC: what a model gives for each frame of sound, put together (A. Graves et al. 2006): repeats are one token, and a
// pad token stands for nothing or parts two equal letters.

#include <string>
#include <utility>

#include "mica/tokenizers/decoders.h"

namespace mica {

class CtcDecoder : public Decoder {
 public:
  struct Settings {
    std::string pad_token = "<pad>";
    std::string word_delimiter_token = "|";
    bool cleanup = true;  ///< delimiters become spaces, and spaces before punctuation go
  };
  explicit CtcDecoder(Settings settings) : settings_(std::move(settings)) {}
  void decode(std::vector<std::string>& tokens) const override;
  Json to_json() const override;

 private:
  Settings settings_;
};

}  // namespace mica
