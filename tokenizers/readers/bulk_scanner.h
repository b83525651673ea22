#pragma once
// The bulk of a tokenizer.json, model.vocab and model.merges, read without a general JSON reader.
//
// Nine tenths of such a file are these two lists. They are read here at some hundreds of MB/s; what is left, a few
// kilobytes, goes through the general reader. Whatever is unusual, and everything wrong, is left to the general reader
// as well, which then reads the whole file and says what is wrong and where.

#include <string>
#include <string_view>

#include "mica/tokenizers/models/model.h"

namespace mica {

/// What is left of a file once its bulk was read.
struct ScannedFile {
  std::string rest;  ///< the file with null in the places of what was read
  ModelData data;    ///< its vocabulary not yet finished
  bool vocabulary = false, merges = false;
};

/// Returns false for a file that the general reader must read. `file` names it in errors.
bool scan_bulk(std::string_view text, const std::string& file, ScannedFile& out);

}  // namespace mica
