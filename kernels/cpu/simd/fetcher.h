#pragma once
// Fetches memory ahead of those who read it.

#include <cstdint>

namespace mica::cpu::simd {

/// `rows` runs of `bytes`, `stride` bytes apart.
struct Region {
  const char* data = nullptr;
  int64_t rows = 0, bytes = 0, stride = 0;
};

/// Brings a region into L2, some lines at a time, front to back. (Into L2 alone: a fetch to L1 holds one of its few
/// fill buffers until memory answers, and the loads of what is worked on wait for one.)
class Fetcher {
 public:
  static constexpr int64_t kLine = 64;

  /// Begins another region, which fetch() is to bring in `steps` calls.
  void start(const Region& region, int64_t steps) {
    at_ = region.data;
    end_ = region.data + region.bytes;
    row_ = region.data;
    region_ = region;
    rows_ = region.rows;
    const int64_t lines = region.rows * ((region.bytes + kLine - 1) / kLine);
    lines_ = steps > 0 ? (lines + steps - 1) / steps : 0;
  }
  void fetch() {
    for (int64_t left = lines_; left > 0 && rows_ > 0;) {
      const int64_t run = (end_ - at_ + kLine - 1) / kLine, count = left < run ? left : run;
      for (int64_t i = 0; i < count; ++i) __builtin_prefetch(at_ + i * kLine, 0, 2);
      left -= count;
      at_ += count * kLine;
      if (count < run) return;
      --rows_;
      row_ += region_.stride;
      at_ = row_;
      end_ = row_ + region_.bytes;
    }
  }

 private:
  Region region_;
  const char *at_ = nullptr, *end_ = nullptr, *row_ = nullptr;
  int64_t rows_ = 0, lines_ = 0;
};

}  // namespace mica::cpu::simd
