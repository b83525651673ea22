#include "mica/training/sampler.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include "mica/base/error.h"
#include "mica/training/dataset/permutation.h"

namespace mica {

std::vector<int64_t> SequentialSampler::order(uint64_t /*epoch*/) const {
  std::vector<int64_t> rows(static_cast<size_t>(rows_));
  std::iota(rows.begin(), rows.end(), int64_t{0});
  return rows;
}

std::vector<int64_t> RandomSampler::order(uint64_t epoch) const {
  return permutation(rows_, seed_, epoch + 1);
}

LengthGroupedSampler::LengthGroupedSampler(std::vector<int64_t> lengths, int64_t batch_size, uint64_t seed)
    : lengths_(std::move(lengths)), batch_size_(batch_size), seed_(seed) {
  if (batch_size < 1) throw Error("a batch size of " + std::to_string(batch_size), "sampler", "give at least 1");
}

std::vector<int64_t> LengthGroupedSampler::order(uint64_t epoch) const {
  std::vector<int64_t> rows = permutation(size(), seed_, epoch + 1);
  const int64_t batches = std::clamp<int64_t>(size() / batch_size_ / 4, 1, 50);
  const auto length = [&](int64_t row) { return lengths_[static_cast<size_t>(row)]; };
  const int64_t group = std::min(batches * std::min(batch_size_, size()), size());
  int64_t longest = 0;  // the place of the longest row: some group's first
  for (int64_t first = 0; first < size(); first += group) {
    const auto begin = rows.begin() + first;
    std::stable_sort(begin, begin + std::min(group, size() - first),
                     [&](int64_t a, int64_t b) { return length(a) > length(b); });
    if (length(*begin) > length(rows[static_cast<size_t>(longest)])) longest = first;
  }
  if (!rows.empty()) std::swap(rows.front(), rows[static_cast<size_t>(longest)]);
  return rows;
}

}  // namespace mica
