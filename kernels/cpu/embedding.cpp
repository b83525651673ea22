// Rows looked up by index. The gradient is scattered in the order of the indices, columns in parallel.

#include "mica/kernels/embedding.h"

#include <string>

#include "mica/base/error.h"
#include "mica/kernels/cpu/backend.h"
#include "mica/kernels/cpu/support.h"

namespace mica {
namespace cpu {
namespace {

int64_t checked_id(const View& ids, int64_t i, int64_t rows) {
  const int64_t id = ids.as<const int64_t>()[i * ids.stride(0)];
  if (id < 0 || id >= rows) {
    throw Error("index " + std::to_string(id) + " is outside the table of " + std::to_string(rows) + " rows",
                "embedding", "use ids that the model's vocabulary has");
  }
  return id;
}

const char* row_of(const View& table, int64_t id) {
  return table.as<const char>() + id * table.stride(0) * item_size(table.dtype);
}

template <typename T>
void forward_sum(const View* tables, const View* ids, int count, const View& y) {
  const int64_t size = y.size(1);
  parallel_for(y.size(0), row_grain(size * count), [&](int64_t begin, int64_t end) {
    T* row = scratch<T>(Scratch::row, size);
    for (int64_t i = begin; i < end; ++i) {
      T* sum = y.as<T>() + i * size;
      for (int t = 0; t < count; ++t) {
        const int64_t id = checked_id(ids[t], i, tables[t].size(0));
        convert(row_of(tables[t], id), tables[t].dtype, tables[t].stride(1), row, y.dtype, 1, size);
        for (int64_t j = 0; j < size; ++j) sum[j] = t == 0 ? row[j] : sum[j] + row[j];
      }
    }
  });
}

template <typename T>
void backward(const View& dy, const View& ids, int64_t padding_idx, const View& dtable) {
  constexpr int64_t kColumns = 64;
  const int64_t size = dtable.size(1);
  const int64_t n = ids.numel();
  const int64_t blocks = (size + kColumns - 1) / kColumns;
  for (int64_t i = 0; i < n; ++i) checked_id(ids, i, dtable.size(0));
  parallel_for(blocks, row_grain(n * kColumns), [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kColumns;
    const int64_t last = std::min(size, end * kColumns);
    for (int64_t i = 0; i < n; ++i) {
      const int64_t id = ids.as<const int64_t>()[i * ids.stride(0)];
      if (id == padding_idx) continue;
      T* target = dtable.as<T>() + id * size;
      const T* source = dy.as<const T>() + i * dy.stride(0);
      for (int64_t j = first; j < last; ++j) target[j] += source[j];
    }
  });
}

}  // namespace
}  // namespace cpu

using namespace cpu;

void CpuEmbedding::forward(const View& table, const View& ids, const View& y) {
  const int64_t size = y.size(1);
  parallel_for(y.size(0), row_grain(size), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      convert(row_of(table, checked_id(ids, i, table.size(0))), table.dtype, table.stride(1),
              y.as<char>() + i * size * item_size(y.dtype), y.dtype, 1, size);
    }
  });
}

void CpuEmbedding::forward_sum(const View* tables, const View* ids, int count, const View& y) {
  with_floating("embedding.forward_sum", y.dtype,
                [&](auto tag) { cpu::forward_sum<decltype(tag)>(tables, ids, count, y); });
}

void CpuEmbedding::backward(const View& dy, const View& ids, int64_t padding_idx, const View& dtable) {
  with_floating("embedding.backward", dtable.dtype,
                [&](auto tag) { cpu::backward<decltype(tag)>(dy, ids, padding_idx, dtable); });
}

}  // namespace mica
