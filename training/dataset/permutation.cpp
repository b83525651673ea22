#include "mica/training/dataset/permutation.h"

#include <numeric>
#include <utility>

#include "mica/kernels/random.h"

namespace mica {

uint64_t draw_below(uint64_t n, uint64_t seed, uint64_t stream, uint64_t index) {
  const uint64_t word = uint64_t{philox_word(seed, stream, 2 * index)} << 32 | philox_word(seed, stream, 2 * index + 1);
  return static_cast<uint64_t>(static_cast<unsigned __int128>(word) * n >> 64);
}

std::vector<int64_t> permutation(int64_t n, uint64_t seed, uint64_t stream) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), int64_t{0});
  for (size_t i = order.size(); i > 1; --i) {
    std::swap(order[i - 1], order[draw_below(i, seed, stream, i)]);
  }
  return order;
}

}  // namespace mica
