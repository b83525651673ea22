#pragma once
// vocab.json, an object of ids, and merges.txt, a pair of tokens a line in the order of their ranks.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mica/tokenizers/models/model.h"

namespace mica {

/// Throws Error naming the file for anything but an object of ids, and for a token or an id that occurs twice.
std::shared_ptr<const Vocabulary> read_vocab_json(const std::string& path);
std::shared_ptr<const Vocabulary> parse_vocab_json(std::string_view text, const std::string& path);

/// Lines that begin with "#version", and empty ones, are none. Throws Error naming the line that is no pair.
Merges read_merges_txt(const std::string& path);
Merges parse_merges_txt(std::string_view text, const std::string& path);

/// subword-nmt's merges, whose tokens end in </w> where words do: a pair a line behind a first line, which says a
/// version; or pairs from the first line on, each with a count behind it. What no line end closes does not count.
Merges parse_marked_merges(std::string_view text, bool counts, const std::string& path);
/// Those of XLM and its relatives: a pair a line from the first line on, and whatever follows it. What no line end
/// closes does not count.
Merges parse_moses_merges(std::string_view text, const std::string& path);
/// A vocab.txt with a token and its count a line, behind tokens that it does not list.
std::shared_ptr<const Vocabulary> parse_counted_vocab(std::string_view text, const std::vector<std::string>& first,
                                                      const std::string& path);

/// BARTpho's dict.txt: the first word of each line is a token; `first` come before and `last` behind, if it is not
/// there.
std::shared_ptr<const Vocabulary> parse_piece_list(std::string_view text, const std::vector<std::string>& first,
                                                   const std::string& last, const std::string& path);

}  // namespace mica
