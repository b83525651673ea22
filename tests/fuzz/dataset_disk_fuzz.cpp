// Any bytes as a data set on disk: an Error, or rows that can be read. The input is dataset.json up to a NUL, and then
// one file of rows.

#include <algorithm>
#include <cstring>

#include "mica/base/error.h"
#include "mica/tests/fuzz/fuzz.h"
#include "mica/training/dataset/disk.h"

namespace mica::fuzz {
namespace {

void read_all(const Dataset& dataset) {
  for (const Example& row : dataset) {
    for (const auto& [name, value] : row.fields())
      fuzz::require(value == dataset.cell(row.row(), name), "a cell is itself");
  }
}

void open(std::string_view info_text, std::vector<std::byte> rows_file) {
  const DatasetInfo info = dataset_info(parse_json(info_text, "fuzz"), "fuzz");
  const SafeTensors file = SafeTensors::from_bytes(std::move(rows_file), "fuzz");
  const int64_t rows = info.shards.empty() ? 0 : info.shards.front().rows;
  std::vector<RowBlock> blocks{block_of(file, info.features, rows)};
  read_all(Dataset(std::make_shared<const Dataset::Impl>(info.features, std::move(blocks), std::nullopt, "")));
}

}  // namespace
}  // namespace mica::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mica;
  const auto* end = static_cast<const uint8_t*>(size == 0 ? nullptr : std::memchr(data, 0, size));
  if (end == nullptr) return 0;
  const auto head = static_cast<size_t>(end - data);
  std::vector<std::byte> file = fuzz::bytes(end + 1, size - head - 1);
  // Most changes make the length of the file's header wrong and end there. So once more with a length that is right:
  // the header ends with the last brace.
  for (const bool mend : {false, true}) {
    try {
      if (mend) {
        const auto brace = std::find(file.rbegin(), file.rend(), std::byte{'}'}).base() - file.begin();
        if (brace <= 8) return 0;
        const uint64_t length = static_cast<uint64_t>(brace) - 8;
        std::memcpy(file.data(), &length, sizeof(length));
      }
      fuzz::open(fuzz::text(data, head), file);
    } catch (const Error&) {
    }
  }
  return 0;
}
