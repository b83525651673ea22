#include "mica/models/generation/session.h"

#include "mica/base/error.h"

namespace mica {

std::vector<int64_t> GenerationSession::append_and_choose(std::span<const std::vector<int64_t>> /*tokens*/,
                                                          const SamplingRule& /*rule*/,
                                                          std::span<const RowDraw> /*texts*/) {
  throw Error("a session that gives logits only", "generate", "call append()");
}

}  // namespace mica
