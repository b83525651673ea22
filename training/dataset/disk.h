#pragma once
// Internal: data sets on disk.
//
// A folder holds dataset.json, which says what columns there are and which files hold the rows, and these files, each a
// safetensors file with the columns of some rows. Column 2's items' offsets are the tensor "2.item.offsets"; the file's
// metadata tells the types under "columns". Files are mapped, so a data set may be larger than memory.
//
//   {"format": "mica.dataset", "version": 1, "fingerprint": F, "features": [{"name": "text", "type": "string"}, ...],
//    "shards": [{"file": "data-F-00000.safetensors", "rows": 1000}, ...]}
//
// Files are written under names of their own, dataset.json last and at once: a folder opens as it was, or as it shall
// be.

#include <memory>
#include <string>
#include <vector>

#include "mica/base/json.h"
#include "mica/tensor/safetensors.h"
#include "mica/training/dataset/storage.h"

namespace mica {

struct DatasetInfo {
  struct Shard {
    std::string file;
    int64_t rows = 0;
  };
  std::string fingerprint;
  Features features;
  std::vector<Shard> shards;
};

/// Throws Error for anything malformed.
DatasetInfo dataset_info(const Json& json, const std::string& where);
/// The rows of a file; throws Error where its columns are not whole or do not fit the features.
RowBlock block_of(const SafeTensors& file, const Features& features, int64_t rows);

/// Writes a data set into a folder, block by block.
class DatasetWriter {
 public:
  /// `fingerprint` becomes part of the files' names.
  DatasetWriter(std::string folder, std::string fingerprint);
  /// Writes the block and gives it back as the file holds it.
  RowBlock write(const RowBlock& block);
  /// Makes the folder whole: what it held before is gone.
  void finish(const Features& features);

 private:
  std::string folder_;
  DatasetInfo info_;
};

std::shared_ptr<const Dataset::Impl> load_dataset(const std::string& folder);
/// Nothing where there is no undamaged data set of that fingerprint.
std::shared_ptr<const Dataset::Impl> find_dataset(const std::string& folder, const std::string& fingerprint);

/// What tells the content of a data set: its own fingerprint, or one of all its cells.
std::string fingerprint_of(const Dataset::Impl& dataset);

/// The data set that `gather` makes, from the folder `cache_folder`/`fingerprint` if it lies there, else gathered and
/// written there. Without a cache folder it is gathered in memory. `gather` adds the rows; `source`: see with_features.
std::shared_ptr<const Dataset::Impl> cached(const std::string& cache_folder, const std::string& fingerprint,
                                            const Features& source, const std::function<void(RowGatherer&)>& gather);

}  // namespace mica
