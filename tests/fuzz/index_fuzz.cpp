// Any bytes as the index of a sharded checkpoint whose shard NAME.safetensors holds the one tensor NAME.

#include <algorithm>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/tensor/checkpoint.h"
#include "mica/tests/fuzz/fuzz.h"

namespace {

mica::SafeTensors shard(const std::string& file) {
  mica::fuzz::require(mica::is_plain_file_name(file), "only plain names are opened");
  const std::string tensor = file.substr(0, file.find('.'));
  const bool fit = !tensor.empty() && tensor.size() < 100 &&
                   tensor.find_first_not_of("abcdefghijklmnopqrstuvwxyz") == std::string::npos;
  const std::string header = "{\"" + (fit ? tensor : "x") + R"(":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
  std::vector<std::byte> bytes(8 + header.size() + 1);
  bytes[0] = static_cast<std::byte>(header.size());
  std::transform(header.begin(), header.end(), bytes.begin() + 8, [](char c) { return static_cast<std::byte>(c); });
  return mica::SafeTensors::from_bytes(std::move(bytes), file);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const mica::Checkpoint checkpoint = mica::Checkpoint::from_index(mica::fuzz::text(data, size), "fuzz", shard);
    mica::fuzz::require(checkpoint.names().size() == checkpoint.files().size(), "each shard has one tensor");
    for (const std::string_view name : checkpoint.names()) {
      mica::fuzz::require(checkpoint.tensor(name).numel() == 1, "each name has its tensor");
    }
  } catch (const mica::Error&) {
  }
  return 0;
}
