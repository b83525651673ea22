// Matrix products: which kernel takes which. The kernels say in their files what they cost and why they are fast.
//
// forward() and the packed forms take up to kFewRows rows with the kernels that read the weight once (linear_rows_*),
// more with the tiles (linear_float, linear_half, on sm_90 linear_hopper); matmul() and product() always take the
// tiles. Which kernel runs depends on the dtypes and on whether rows are few, never on how x and the weight lie, so
// that forward() has the bits of forward_packed(), and a row's bits depend on the number of rows only in whether they
// are few. Packing is a copy of the weight's rows side by side: the kernels read weights as they are stored. Where
// cuBLASLt is found it takes the products with more rows that it can do whole (libraries.h).

#include <algorithm>
#include <array>

#include "mica/base/checked.h"
#include "mica/kernels/cuda/backend.h"
#include "mica/kernels/cuda/libraries.h"
#include "mica/kernels/cuda/linear_product.h"
#include "mica/kernels/cuda/linear_tiles.h"
#include "mica/kernels/cuda/support.h"
#include "mica/kernels/linear.h"

namespace mica::cuda {

DType multiplied_as(DType x, DType weight) {
  if (x == DType::float64 || weight == DType::float64) return DType::float64;
  if (weight == DType::bfloat16 && x != DType::float16) return DType::bfloat16;
  return weight == DType::float16 && x == DType::float16 ? DType::float16 : DType::float32;
}

bool sums_by_the_way(const Product& p, DType factors) {
  const auto along_rows = [&](const Factor& factor) {
    return factor.row_stride == 1 && factor.depth_stride != 1 && source_of(factor, factors) == Source::same;
  };
  return factors != DType::float64 && along_rows(p.a) && along_rows(p.b);
}

namespace {

void require_floating(const char* kernel, const View& view, Device device) {
  with_floating(kernel, view.dtype, device, [](auto) {});
}

Factor factor_of(const View& view, bool transposed) {
  return {.data = view.data,
          .dtype = view.dtype,
          .row_stride = view.stride(transposed ? -1 : -2),
          .depth_stride = view.stride(transposed ? -2 : -1),
          .batch_strides = {0, 0}};
}

Parameter parameter_of(const View& view) {
  return {view.data, view.dtype, view ? view.stride(0) : 0};
}

// Of the last two dimensions of y, with nothing else to be done.
Finish finish_of(const View& y) {
  Finish f{};
  f.alpha = 1;
  f.activation = Activation::none;
  f.y = y.data;
  f.dtype = y.dtype;
  f.row_stride = y.stride(-2);
  return f;
}

void run_tiles(CudaDevice& on, const char* name, Product product, DType factors) {
  Finish& f = product.finish;
  const int64_t no_batches[2] = {0, 0};
  f.wide = in_fours(f.y, f.dtype, f.row_stride, f.batch_strides) &&
           (f.residual == nullptr || in_fours(f.residual, f.dtype, f.residual_row, f.residual_batch)) &&
           in_fours(f.before, f.dtype, f.has_extras() ? product.n : 0, no_batches) &&
           in_fours(f.activated, f.dtype, 0, no_batches);
  switch (factors) {
    case DType::float64:
      return multiply_double(on, name, product);
    case DType::float32:
      return multiply_float(on, name, product);
    default:
      return multiply_half(on, name, product, factors);
  }
}

// Where the tiles do not make the sums on the way.
void sum_depths(CudaDevice& on, const View& factor, const View& sums) {
  if (sums.dtype != factor.dtype) {
    View made = sums;
    made.data = on.queue.workspace(sums.size(0) * item_size(factor.dtype));
    made.dtype = factor.dtype;
    sum_depths(on, factor, made);
    return CudaShape(on).copy(made, sums);
  }
  View rows = factor, result = sums;
  rows.rank = 3;
  rows.shape = {1, factor.size(0), factor.size(1)};
  rows.strides = {factor.size(0) * factor.size(1), factor.size(1), 1};
  result.rank = 2;
  result.shape = {1, factor.size(1)};
  result.strides = {factor.size(1), 1};
  CudaReduce(on).reduce(ReduceOp::sum, rows, result);
}

bool empty(const Product& p) {
  return p.m == 0 || p.n == 0 || p.outer * p.inner == 0;
}

bool by_library(CudaDevice& on, const Product& product, DType factors) {
  LibraryProducts* library = find_cublaslt(on.index);
  return library != nullptr &&
         library->multiply(product, factors, on.stream, on.queue.workspace(LibraryProducts::kWorkspaceBytes));
}

// The weight of a forward product, as it lies.
struct Weight {
  const void* data;
  DType dtype;
  int64_t out, in, row_stride, depth_stride;
  explicit Weight(const View& view)
      : Weight{view.data, view.dtype, view.size(0), view.size(1), view.stride(0), view.stride(1)} {}
  explicit Weight(const PackedWeight& packed)
      : Weight{packed.data, packed.dtype, packed.out, packed.in, packed.in, 1} {}

  View view() const {
    View view{const_cast<void*>(data), dtype, 2, {}, {}};
    view.shape = {out, in};
    view.strides = {row_stride, depth_stride};
    return view;
  }
  // As packed weights lie.
  bool by_rows() const { return depth_stride == 1 && row_stride == in && reinterpret_cast<uintptr_t>(data) % 16 == 0; }
  int64_t bytes() const { return out * in * item_size(dtype); }

 private:
  Weight(const void* from, DType type, int64_t rows, int64_t columns, int64_t row, int64_t depth)
      : data(from), dtype(type), out(rows), in(columns), row_stride(row), depth_stride(depth) {}
};

constexpr int64_t kPiece = 256;  // parts of the scratch start at multiples of it

// Scratch that forward() needs: for the norm's parameters in y's dtype, for the library, and for the weight in rows
// where the library is to give the bits that it gives of the packed one.
struct ForwardScratch {
  int64_t norm_weight = 0, norm_bias = 0, library = 0, weight = 0;

  static bool to_convert(const View& parameter, DType dtype) {
    return parameter && (parameter.dtype != dtype || parameter.stride(0) != 1);
  }
  ForwardScratch(const CudaDevice& on, const View& x, const Weight& w, const Epilogue& epilogue) {
    const int64_t vector = round_up(w.out * item_size(x.dtype), kPiece);
    if (to_convert(epilogue.norm_weight, x.dtype)) norm_weight = vector;
    if (epilogue.norm_weight && to_convert(epilogue.norm_bias, x.dtype)) norm_bias = vector;
    if (x.size(0) > kFewRows && find_cublaslt(on.index) != nullptr) {
      library = LibraryProducts::kWorkspaceBytes;
      if (!w.by_rows()) weight = round_up(w.bytes(), kPiece);
    }
  }
  int64_t bytes() const { return norm_weight + norm_bias + library + weight; }
};

View vector_view(void* data, DType dtype, int64_t size) {
  View view{data, dtype, 1, {}, {}};
  view.shape[0] = size;
  view.strides[0] = 1;
  return view;
}

View matrix_view(void* data, DType dtype, int64_t rows, int64_t columns) {
  View view{data, dtype, 2, {}, {}};
  view.shape = {rows, columns};
  view.strides = {columns, 1};
  return view;
}

// The layer norm over y's rows, in place.
void norm_rows(CudaDevice& on, const Epilogue& epilogue, const View& y, const ForwardScratch& scratch, char* memory) {
  const auto parameter = [&](const View& view, int64_t bytes) {
    if (bytes == 0) return view;
    const View converted = vector_view(memory, y.dtype, view.size(0));
    CudaShape(on).copy(view, converted);
    memory += bytes;
    return converted;
  };
  const View weight = parameter(epilogue.norm_weight, scratch.norm_weight);
  const View bias = parameter(epilogue.norm_bias, scratch.norm_bias);
  CudaNorm(on).layer_norm(y, {}, weight, bias, static_cast<double>(epilogue.norm_eps), y, {}, {}, {}, {});
}

void forward_rows(CudaDevice& on, const char* name, const View& x, const Weight& w, const Epilogue& epilogue,
                  const View& y, const ForwardScratch& scratch, char* memory) {
  Product product{};
  product.a = factor_of(x, false);
  product.b = factor_of(w.view(), false);
  product.m = x.size(0);
  product.n = w.out;
  product.k = w.in;
  product.outer = product.inner = 1;
  Finish& f = product.finish = finish_of(y);
  f.bias = parameter_of(epilogue.bias);
  f.activation = epilogue.activation;
  if (epilogue.residual) {
    f.residual = epilogue.residual.data;
    f.residual_row = epilogue.residual.stride(0);
  }
  if (empty(product)) return;
  const DType factors = multiplied_as(x.dtype, w.dtype);
  bool done = false;
  if (scratch.library > 0) {
    Product by_rows = product;
    char* rows = memory + scratch.norm_weight + scratch.norm_bias + scratch.library;
    if (scratch.weight > 0) {
      const View copied = matrix_view(rows, w.dtype, w.out, w.in);
      CudaShape(on).copy(w.view(), copied);
      by_rows.b = factor_of(copied, false);
    }
    done = find_cublaslt(on.index)->multiply(by_rows, factors, on.stream,
                                             memory + scratch.norm_weight + scratch.norm_bias);
  }
  if (!done && product.m <= kFewRows && factors != DType::float64) {
    if (factors == DType::float32) {
      multiply_rows_float(on, name, product);
    } else {
      multiply_rows_half(on, name, product, factors);
    }
  } else if (!done) {
    run_tiles(on, name, product, factors);
  }
  if (epilogue.norm_weight) norm_rows(on, epilogue, y, scratch, memory);
}

void forward(CudaDevice& on, const char* name, const View& x, const Weight& w, const Epilogue& epilogue,
             const View& y) {
  const ForwardScratch scratch(on, x, w, epilogue);
  char* memory = scratch.bytes() > 0 ? static_cast<char*>(on.queue.workspace(scratch.bytes())) : nullptr;
  forward_rows(on, name, x, w, epilogue, y, scratch, memory);
}

}  // namespace

void CudaLinear::matmul(const View& a, bool transpose_a, const View& b, bool transpose_b, const View& c, double alpha,
                        double beta) {
  require_floating("linear.matmul", c, device_.device());
  Product product{};
  product.a = factor_of(a, transpose_a);
  product.b = factor_of(b, !transpose_b);
  product.m = c.size(-2);
  product.n = c.size(-1);
  product.k = a.size(transpose_a ? -2 : -1);
  product.outer = c.rank > 3 ? c.size(0) : 1;
  product.inner = c.rank > 2 ? c.size(-3) : 1;
  Finish& f = product.finish = finish_of(c);
  f.alpha = alpha;
  const auto batch = [&](const View& view, int64_t(&strides)[2]) {
    strides[0] = view.rank > 3 ? view.stride(0) : 0;
    strides[1] = view.rank > 2 ? view.stride(-3) : 0;
  };
  batch(a, product.a.batch_strides);
  batch(b, product.b.batch_strides);
  batch(c, f.batch_strides);
  if (beta != 0) {
    f.residual = c.data;
    f.residual_row = f.row_stride;
    batch(c, f.residual_batch);
  }
  if (empty(product) || by_library(device_, product, c.dtype)) return;
  run_tiles(device_, "linear.matmul", product, c.dtype);
}

void CudaLinear::product(const View& a, bool transpose_a, const View& b, bool transpose_b, const View& bias,
                         const View& c, DType factors, bool add, const ProductExtras& extras) {
  require_floating("linear.product", c, device_.device());
  Product product{};
  product.a = factor_of(a, transpose_a);
  product.b = factor_of(b, !transpose_b);
  product.m = c.size(0);
  product.n = c.size(1);
  product.k = a.size(transpose_a ? 0 : 1);
  product.outer = product.inner = 1;
  Finish& f = product.finish = finish_of(c);
  f.bias = parameter_of(bias);
  if (add) {
    f.residual = c.data;
    f.residual_row = f.row_stride;
  }
  const bool narrow = a.dtype == b.dtype && item_size(a.dtype) == 2;
  const bool rounded = c.dtype == DType::float32 && factors == DType::bfloat16;
  const DType multiplied = narrow ? a.dtype : rounded ? DType::bfloat16 : c.dtype;
  if (!empty(product) && by_library(device_, product, multiplied)) {
    CudaActivation activation(device_);
    if (extras.before) activation.backward(extras.activation, extras.before, c, c);
    if (extras.activated) activation.forward(extras.activation, extras.before ? extras.before : c, extras.activated);
  } else if (!empty(product)) {
    if (extras.before || extras.activated) f.activation = extras.activation;
    f.before = extras.before.data;
    f.activated = extras.activated.data;
    product.a_sums = extras.a_sums.data;
    product.b_sums = extras.b_sums.data;
    run_tiles(device_, "linear.product", product, multiplied);
    if (sums_by_the_way(product, multiplied)) return;
  }
  if (extras.a_sums) sum_depths(device_, a, extras.a_sums);
  if (extras.b_sums) sum_depths(device_, b, extras.b_sums);
}

void CudaLinear::forward(const View& x, const View& weight, const Epilogue& epilogue, const View& y) {
  require_floating("linear.forward", x, device_.device());
  require_floating("linear.forward", weight, device_.device());
  cuda::forward(device_, "linear.forward", x, Weight(weight), epilogue, y);
}

DType CudaLinear::packed_dtype(DType weight_dtype) const {
  return weight_dtype;
}

int64_t CudaLinear::packed_bytes(int64_t out, int64_t in, DType packed_dtype) const {
  return checked_mul(checked_mul(out, in, "linear.pack"), item_size(packed_dtype), "linear.pack");
}

void CudaLinear::pack(const View& weight, int64_t first_row, const PackedWeight& packed) {
  require_floating("linear.pack", weight, device_.device());
  char* rows = static_cast<char*>(packed.data) + first_row * packed.in * item_size(packed.dtype);
  CudaShape(device_).copy(weight, matrix_view(rows, packed.dtype, weight.size(0), packed.in));
}

void CudaLinear::forward_packed(const View& x, const PackedWeight& weight, const Epilogue& epilogue, const View& y) {
  require_floating("linear.forward_packed", x, device_.device());
  cuda::forward(device_, "linear.forward_packed", x, Weight(weight), epilogue, y);
}

// Rows between the steps take turns in two pieces of the scratch.
void CudaLinear::forward_packed_chain(const View& x, std::span<const ChainStep> steps) {
  require_floating("linear.forward_packed", x, device_.device());
  const int64_t rows = x.size(0);
  int64_t between[2] = {0, 0}, most = 0;
  for (size_t i = 0; i < steps.size(); ++i) {
    const ChainStep& step = steps[i];
    if (!step.y) {
      between[i % 2] = std::max(between[i % 2], round_up(rows * step.weight.out * item_size(x.dtype), kPiece));
    }
    most = std::max(most, ForwardScratch(device_, x, Weight(step.weight), step.epilogue).bytes());
  }
  const int64_t bytes = between[0] + between[1] + most;
  char* memory = bytes > 0 ? static_cast<char*>(device_.queue.workspace(bytes)) : nullptr;
  View input = x;
  for (size_t i = 0; i < steps.size(); ++i) {
    const ChainStep& step = steps[i];
    const View y = step.y ? step.y : matrix_view(memory + (i % 2) * between[0], x.dtype, rows, step.weight.out);
    const Weight weight(step.weight);
    const ForwardScratch scratch(device_, input, weight, step.epilogue);
    forward_rows(device_, "linear.forward_packed", input, weight, step.epilogue, y, scratch,
                 memory + between[0] + between[1]);
    input = y;
  }
}

}  // namespace mica::cuda
