#pragma once
// mica bench --tokenizer --worker: timings of a tokenizer for a program that compares implementations.
//
// One JSON object a line in, one a line out:
//   {"op": "load", "runs": R}                                  opens the tokenizer R times
//   {"op": "texts", "path": PATH}                              reads texts, a JSON string a line: {"texts": N, "bytes":
//   B}
//   {"op": "encode", "runs": R, "threads": T, "batch": BOOL}   encodes them all, one call each or as one batch
//   {"op": "decode", "runs": R}                                decodes their ids, one call each: also {"tokens": N}
//   {"op": "save", "path": PATH}                               writes {"ids", "offsets"}, a line for each text
//   {"op": "quit"}
// Timed requests give {"ms": [one number a run]}, or {"error": "..."}. No special tokens are added.

#include <string>

namespace mica::cli {

void serve_tokenizer(const std::string& model);

}  // namespace mica::cli
