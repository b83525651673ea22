#include "mica/models/generation/generate.h"

#include "mica/base/error.h"
#include "mica/models/generation/decoding.h"

namespace mica {

GenerationOutput generate(GenerationSession& session, const std::vector<std::vector<int64_t>>& prompts,
                          const GenerationConfig& config, const GenerationHooks& hooks) {
  const NoGrad no_grad;
  Decoding decoding(session, prompts, config, hooks);
  const bool assisted = hooks.draft != nullptr || decoding.config().prompt_lookup_num_tokens.has_value();
  if (*decoding.config().num_beams == 1) return assisted ? assisted_decoding(decoding) : sample_texts(decoding);
  if (assisted) throw Error("assisted beam search", "generate", "set num_beams to 1, or leave the drafts out");
  if (hooks.streamer != nullptr) {
    throw Error("a streamer for beam search", "generate", "set num_beams to 1: beams settle their tokens at the end");
  }
  return beam_search(decoding);
}

}  // namespace mica
