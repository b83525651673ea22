#pragma once
// mica bench --worker: timings for a program that compares implementations, over standard input and output.
//
// One JSON object a line in, one a line out:
//   {"op": "forward", "batch": B, "tokens": T, "ids": [[...], ...], "runs": R, "output": PATH?}
//   {"op": "encode", "sentences": [...], "batch_size": 32, "runs": R, "output": PATH?}
//   {"op": "quit"}
// gives {"ms": [one number a run]}, or {"error": "..."}; `output` is a safetensors file that then holds
// last_hidden_state [B, T, hidden] or embeddings [sentences, size]. An idle worker sleeps.

#include <string>

#include "mica/models/auto/model.h"

namespace mica::cli {

void serve_worker(const std::string& model, const LoadOptions& options);

}  // namespace mica::cli
