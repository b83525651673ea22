#pragma once
// One row of the hidden states for each sequence.

#include <optional>
#include <vector>

#include "mica/models/architectures/network.h"

namespace mica {

/// Of hidden [rows, size], each sequence's last row whose token is not pad_token_id, [batch, size]: as decoders
/// classify. Without a padding token the last row, in a batch of one or a ragged one; otherwise throws Error.
Tensor last_rows(const Tensor& hidden, const Rows& rows, const std::optional<int64_t>& pad_token_id);

/// Each sequence's last row, [batch, size].
Tensor last_rows(const Tensor& hidden, const Rows& rows);

/// Each sequence's row at the last eos_token_id of input_ids [batch, tokens] (those that the hidden states belong to,
/// or the encoder's of the same length). Throws Error where a sequence has none, where their numbers differ, or where
/// there is not one such token but several or none.
Tensor end_rows(const Tensor& hidden, const Rows& rows, const Tensor& input_ids,
                const std::vector<double>& eos_token_ids);

/// Each sequence's first visible row.
Tensor first_shown_rows(const Tensor& hidden, const Rows& rows);

/// The mean of each sequence's visible rows.
Tensor mean_rows(const Tensor& hidden, const Rows& rows);

}  // namespace mica
