#pragma once
// Packed blocks for language models: no padding, no token left out but at the very end.

#include <cstdint>

#include "mica/training/dataset/dataset.h"

namespace mica {

/// All rows' tokens one after the other, cut into rows of `block_size`; what is left at the end, less than a block, is
/// dropped. Columns that hold one integer for each token (input_ids, token_type_ids, attention_mask, ...) are kept, all
/// others left out. `cache_folder`: as in MapOptions. Throws Error for a data set without input_ids, for rows whose
/// columns differ in length, and for fewer tokens than a block.
Dataset group_texts(const Dataset& dataset, int64_t block_size, const std::string& cache_folder = {});

}  // namespace mica
