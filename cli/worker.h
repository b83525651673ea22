#pragma once
// mica bench --worker: timings for a program that compares implementations, over standard input and output.
//
// One JSON object a line in, one a line out:
//   {"op": "forward", "batch": B, "tokens": T, "ids": [[...], ...], "runs": R, "output": PATH?}
//   {"op": "encode", "sentences": [...], "batch_size": 32, "runs": R, "output": PATH?}
//   {"op": "quit"}
// gives {"ms": [one number a run]}, or {"error": "..."}; `output` is a safetensors file that then holds
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
