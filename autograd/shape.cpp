#include "mica/autograd/shape.h"

#include <string>

#include "mica/autograd/adjacent.h"
#include "mica/autograd/embedding.h"
#include "mica/autograd/reduce.h"
#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/kernels/elementwise.h"
#include "mica/kernels/embedding.h"

namespace mica {

Tensor reshape(const Tensor& x, const Shape& shape) {
  Tensor y = x.detach().reshape(shape);
  if (wants_grad({&x})) {
    record("reshape", {x}, {y}, [shape = x.shape()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
      return {g[0].contiguous().reshape(shape)};
    });
  }
  return y;
}

Tensor split_heads(const Tensor& x, const Shape& by_head) {
  Tensor y = x.detach().unflatten(1, by_head[1]);
  if (wants_grad({&x})) {
    record("split_heads", {x}, {y}, [shape = x.shape()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
      const Tensor rows = g[0].flatten(1);
      return {rows.stride(1) == 1 || shape[1] == 1 ? rows : rows.contiguous()};
    });
  }
  return y;
}

Tensor transpose(const Tensor& x, int dim0, int dim1) {
  Tensor y = x.detach().transpose(dim0, dim1);
  if (wants_grad({&x})) {
    record("transpose", {x}, {y},
           [dim0, dim1](const std::vector<Tensor>& g) -> std::vector<Tensor> { return {g[0].transpose(dim0, dim1)}; });
  }
  return y;
}

Tensor slice(const Tensor& x, int dim, int64_t begin, int64_t end) {
  Tensor y = x.detach().slice(dim, begin, end);
  if (wants_grad({&x})) {
    record("slice", {x}, {y},
           [shape = x.shape(), dim, begin, end](const std::vector<Tensor>& g) -> std::vector<Tensor> {
             const Tensor dx = Tensor::zeros(shape, g[0].dtype(), g[0].device());
             dx.slice(dim, begin, end).copy_(g[0]);
             return {dx};
           });
  }
  return y;
}

Tensor select(const Tensor& x, int dim, int64_t index) {
  const int64_t i = index < 0 ? index + x.size(dim) : index;
  Tensor y = x.detach().select(dim, i);
  if (wants_grad({&x})) {
    record("select", {x}, {y}, [shape = x.shape(), dim, i](const std::vector<Tensor>& g) -> std::vector<Tensor> {
      const Tensor dx = Tensor::zeros(shape, g[0].dtype(), g[0].device());
      dx.select(dim, i).copy_(g[0]);
      return {dx};
    });
  }
  return y;
}

Tensor expand(const Tensor& x, const Shape& shape) {
  Tensor y = x.detach().expand(shape);
  if (wants_grad({&x})) {
    record("expand", {x}, {y},
           [from = x.shape()](const std::vector<Tensor>& g) -> std::vector<Tensor> { return {sum_to(g[0], from)}; });
  }
  return y;
}

Tensor cat(const std::vector<Tensor>& parts, int dim) {
  if (parts.empty()) throw Error("nothing to join", "cat", "pass at least one tensor");
  const Tensor& first = parts[0];
  const int d = first.shape().index(dim);
  Shape shape = first.shape();
  std::vector<int64_t> sizes;
  int64_t total = 0;
  bool tracked = false;
  for (const Tensor& part : parts) {
    Shape expected = first.shape();
    if (part.rank() == first.rank()) expected.set(d, part.size(d));
    if (!(part.shape() == expected) || part.dtype() != first.dtype() || !(part.device() == first.device())) {
      throw Error("cannot join " + std::string(name(first.dtype())) + " " + to_string(first.shape()) + " and " +
                      std::string(name(part.dtype())) + " " + to_string(part.shape()) + " along dimension " +
                      std::to_string(d),
                  "cat", "all other sizes, the dtype and the device must agree");
    }
    sizes.push_back(part.size(d));
    total += part.size(d);
    tracked = tracked || wants_grad({&part});
  }
  shape.set(d, total);
  Tensor y = Tensor::empty(shape, first.dtype(), first.device());
  int64_t begin = 0;
  for (const Tensor& part : parts) {
    y.slice(d, begin, begin + part.size(d)).copy_(part.detach());
    begin += part.size(d);
  }
  if (tracked) {
    record("cat", parts, {y}, [sizes, d](const std::vector<Tensor>& g) -> std::vector<Tensor> {
      std::vector<Tensor> gradients;
      int64_t from = 0;
      for (const int64_t size : sizes) {
        gradients.push_back(g[0].slice(d, from, from + size).contiguous());
        from += size;
      }
      return gradients;
    });
  }
  return y;
}

std::vector<Tensor> split(const Tensor& x, const std::vector<int64_t>& sizes, int dim) {
  const int d = x.shape().index(dim);
  int64_t left = x.size(d);
  for (const int64_t size : sizes) left = size < 0 || size > left ? -1 : left - size;
  if (left != 0) {
    throw Error("cannot split dimension " + std::to_string(d) + " of " + to_string(x.shape()) + " into " +
                    std::to_string(sizes.size()) + " parts",
                "split", "their sizes must add up to the dimension's");
  }
  std::vector<Tensor> parts;
  int64_t begin = 0;
  for (const int64_t size : sizes) {
    parts.push_back(x.detach().slice(d, begin, begin + size));
    begin += size;
  }
  if (wants_grad({&x})) {
    record("split", {x}, parts, [shape = x.shape(), sizes, d](const std::vector<Tensor>& g) -> std::vector<Tensor> {
      return {join_slices(g, sizes, d, shape)};
    });
  }
  return parts;
}

Tensor cast(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  Tensor y = x.detach().to(dtype);
  if (wants_grad({&x})) {
    record("cast", {x}, {y},
           [from = x.dtype()](const std::vector<Tensor>& g) -> std::vector<Tensor> { return {g[0].to(from)}; });
  }
  return y;
}

Tensor index_select(const Tensor& x, const Tensor& index) {
  const int64_t rows = x.size(0);
  const Tensor table = reshape(x, Shape{rows, rows > 0 ? x.numel() / rows : 0});
  const Tensor picked = embedding(table, index);
  std::vector<int64_t> dims(x.shape().begin(), x.shape().end());
  dims[0] = index.numel();
  return reshape(picked, Shape(dims));
}

Tensor index_add(int64_t rows, const Tensor& index, const Tensor& source) {
  if (source.rank() < 1 || rows < 0 || index.dtype() != DType::int64 || !(index.shape() == Shape{source.size(0)})) {
    throw Error("source " + to_string(source.shape()) + ", index " + std::string(name(index.dtype())) + " " +
                    to_string(index.shape()) + ", " + std::to_string(rows) + " rows",
                "index_add", "need one int64 index for each row of the source");
  }
  const Tensor places = index.contiguous().to(source.device());
  const int64_t count = source.size(0);
  const int64_t size = count > 0 ? source.numel() / count : 0;
  Shape shape = source.shape();
  shape.set(0, rows);
  Tensor y = Tensor::zeros(shape, source.dtype(), source.device());
  if (size > 0) {
    backend(y.device())
        .embedding()
        .backward(source.detach().contiguous().reshape({count, size}).view(), places.view(), -1,
                  y.reshape({rows, size}).view());
  }
  if (wants_grad({&source})) {
    record("index_add", {source}, {y}, [places](const std::vector<Tensor>& g) -> std::vector<Tensor> {
      return {index_select(g[0].contiguous(), places)};
    });
  }
  return y;
}

Tensor gather(const Tensor& x, const Tensor& index) {
  if (x.rank() != 2 || index.rank() != 2 || index.size(0) != x.size(0) || index.dtype() != DType::int64) {
    throw Error(
        "x " + to_string(x.shape()) + ", index " + std::string(name(index.dtype())) + " " + to_string(index.shape()),
        "gather", "need x [rows, size] and int64 index [rows, k]");
  }
  // Where the elements lie in x read as one long column: index_select takes them from there, and adds the gradients up.
  const int64_t rows = x.size(0), k = index.size(1), size = x.size(1);
  if (!index.device().is_cpu()) {  // as everywhere, indices on a device are trusted: nobody waits for them
    std::vector<int64_t> starts(static_cast<size_t>(rows));
    for (int64_t row = 0; row < rows; ++row) starts[static_cast<size_t>(row)] = row * size;
    const Tensor places = Tensor::empty(index.shape(), DType::int64, index.device());
    backend(index.device())
        .elementwise()
        .binary(BinaryOp::add, index.view(),
                Tensor::from(starts, {rows, 1}, index.device()).expand(index.shape()).view(), places.view());
    return reshape(index_select(reshape(x, Shape{rows * size}), places.reshape({rows * k})), index.shape());
  }
  const std::vector<int64_t> chosen = index.to_vector<int64_t>();
  std::vector<int64_t> places;
  places.reserve(chosen.size());
  for (const int64_t column : chosen) {
    if (column < 0 || column >= size) {
      throw Error("index " + std::to_string(column) + " of " + std::to_string(size) + " columns", "gather",
                  "stay inside the dimension");
    }
    places.push_back(static_cast<int64_t>(places.size()) / k * size + column);
  }
  const Tensor flat = index_select(reshape(x, Shape{rows * size}), Tensor::from(places, {rows * k}, x.device()));
  return reshape(flat, index.shape());
}

}  // namespace mica
