#pragma once
// Internal: what is where in a zip archive whose entries are stored as they are, as torch.save writes them.
//
// The directory at the end of the archive is read and held against the header before each entry. Refused: compressed or
// encrypted entries, archives in several parts, names that occur twice, entries that overlap each other or the
// directory, fields of the 64-bit extension that contradict their 32-bit ones, bytes before the archive or after it.
// Checksums are not compared: that would read every byte of the weights.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mica::torch {

struct ZipEntry {
  std::string_view name;  ///< points into the archive
  int64_t offset = 0;     ///< of the entry's content
  int64_t size = 0;
};

class ZipDirectory {
 public:
  /// `where` stands for the archive in errors. The archive must outlive the directory.
  ZipDirectory(std::span<const std::byte> archive, const std::string& where);

  const std::vector<ZipEntry>& entries() const { return entries_; }  ///< sorted by name
  const ZipEntry* find(std::string_view name) const;

 private:
  std::vector<ZipEntry> entries_;
};

}  // namespace mica::torch
