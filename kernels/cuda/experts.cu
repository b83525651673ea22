// Mixtures of experts: what the products of all experts at once are, for the kernels of experts_half.cu,
// experts_float.cu and experts_double.cu. The rows of the experts lie behind one another, so that those of one are a
// range of rows, and only where it begins and ends is found on the device.

#include "mica/kernels/cuda/backend.h"
#include "mica/kernels/cuda/experts_tiles.h"
#include "mica/kernels/cuda/support.h"
#include "mica/kernels/experts.h"

namespace mica::cuda {
namespace {

void require_floating(const char* kernel, const View& view, Device device) {
  with_floating(kernel, view.dtype, device, [](auto) {});
}

// [rows, columns], last stride 1, as rows, or as columns that are summed over.
Factor rows_of(const View& view) {
  return {view.data, view.dtype, view.stride(0), 1, {0, 0}};
}
Factor columns_of(const View& view) {
  return {view.data, view.dtype, 1, view.stride(0), {0, 0}};
}

bool whole_in_fours(const Finish& f) {
  return in_fours(f.y, f.dtype, f.row_stride, f.batch_strides);
}

}  // namespace

void CudaExperts::product(const View& x, const ExpertMatrices& weights, const ExpertVectors& biases,
                          const ExpertPlaces& places, DType factors, bool add, const View& y) {
  require_floating("experts.product", x, device_.device());
  ExpertsProduct g{};
  g.offsets = places.offsets.as<const int32_t>();
  g.weights = weights.addresses.as<const int64_t>();
  g.biases = biases.addresses.as<const int64_t>();
  g.experts = places.experts();
  g.most_rows = places.rows();
  g.aligned = weights.aligned;
  Product& p = g.product;
  p.a = rows_of(x);
  p.b = {nullptr, weights.dtype, weights.out_stride, weights.in_stride, {0, 0}};
  p.m = x.size(0);
  p.n = weights.out;
  p.k = weights.in;
  p.outer = 1;
  p.inner = weights.addresses.size(0);
  Finish& f = p.finish;
  f.alpha = 1;
  f.activation = Activation::none;
  f.bias = {nullptr, biases.dtype, 1};
  f.y = y.data;
  f.dtype = y.dtype;
  f.row_stride = y.stride(0);
  f.batch_strides[1] = p.inner > 1 ? p.n : 0;
  if (add) {
    f.residual = y.data;
    f.residual_row = f.row_stride;
    f.residual_batch[1] = f.batch_strides[1];
  }
  f.wide = whole_in_fours(f);
  if (p.m == 0 || p.n == 0 || p.inner == 0) return;
  switch (factors) {
    case DType::float64:
      return multiply_experts_double(device_, g);
    case DType::float32:
      return multiply_experts_float(device_, g);
    default:
      return multiply_experts_half(device_, g, factors);
  }
}

void CudaExperts::weight_gradients(const View& a, const View& b, const ExpertPlaces& places, DType factors,
                                   const View& c) {
  require_floating("experts.weight_gradients", a, device_.device());
  ExpertsGradient g{};
  g.offsets = places.offsets.as<const int32_t>();
  Product& p = g.product;
  p.a = columns_of(a);
  p.b = columns_of(b);
  p.outer = c.size(0);
  p.inner = c.size(1);
  p.m = c.size(2);
  p.n = c.size(3);
  p.k = a.size(0);
  p.a.batch_strides[0] = p.outer > 1 ? p.m : 0;
  Finish& f = p.finish;
  f.alpha = 1;
  f.activation = Activation::none;
  f.y = c.data;
  f.dtype = c.dtype;
  f.row_stride = p.n;
  f.batch_strides[0] = c.stride(0);
  f.batch_strides[1] = c.stride(1);
  f.wide = whole_in_fours(f);
  if (c.numel() == 0) return;
  switch (factors) {
    case DType::float64:
      return expert_gradients_double(device_, g);
    case DType::float32:
      return expert_gradients_float(device_, g);
    default:
      return expert_gradients_half(device_, g, factors);
  }
}

}  // namespace mica::cuda
