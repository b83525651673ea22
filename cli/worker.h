#pragma once
// mica bench --worker: timings for a program that compares implementations, over standard input and output.
//
// One JSON object a line in, one a line out:
//   {"op": "forward", "batch": B, "tokens": T, "ids": [[...], ...], "runs": R, "output": PATH?}
//   {"op": "encode", "sentences": [...], "batch_size": 32, "runs": R, "output": PATH?}
//   {"op": "generate", "ids": [[...], ...], "new_tokens": N, "beams": 1}
//   {"op": "quit"}
// generate gives {"ms": a number, "tokens": [[...], ...]}; its prompts may be of any lengths. The others give
// {"ms": [one number a run]}, or {"error": "..."}; `output` is a safetensors file that then holds
// last_hidden_state [B, T, hidden] or embeddings [sentences, size]. An idle worker sleeps.

#include <functional>
#include <string>

#include "mica/models/auto/model.h"
#include "mica/tokenizers/readers/fields.h"

namespace mica::cli {

/// Reads requests until the end or {"op": "quit"}; `answer` makes the line for each, and its Errors become one.
void serve(const std::function<std::string(Fields& request, const std::string& op)>& answer);

void serve_worker(const std::string& model, const LoadOptions& options);

}  // namespace mica::cli
