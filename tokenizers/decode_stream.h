#pragma once
// Ids to text one by one, as a model gives them.

#include <cstdint>
#include <memory>
#include <string>

#include "mica/tokenizers/options.h"

namespace mica {

class Engine;

/// Takes ids one at a time and gives the text that is certain so far: whole characters only, and nothing that a later
/// id could still change. What all calls return, put together, is what Tokenizer::decode gives for all ids. The work
/// for an id does not grow with how many came before. Made by Tokenizer::decode_stream; not for several threads at
/// once.
class DecodeStream {
 public:
  /// `options` with every default filled in.
  DecodeStream(std::shared_ptr<const Engine> engine, const DecodeOptions& options);
  DecodeStream(DecodeStream&&) noexcept;
  DecodeStream& operator=(DecodeStream&&) noexcept;
  ~DecodeStream();

  /// The text that this id makes certain; often empty, at times more than the id's own.
  std::string step(int64_t id);
  /// What was held back, now that no more ids come. The stream begins anew.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mica
