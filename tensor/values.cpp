// Numbers out of tensors: reductions without gradients, conversion to host values, and text.

#include <algorithm>
#include <sstream>

#include "mica/base/error.h"
#include "mica/kernels/reduce.h"
#include "mica/tensor/tensor.h"

namespace mica {
namespace {

// x as [outer, size, inner] around `dim`.
Tensor around(const Tensor& x, int dim) {
  const int d = x.shape().index(dim);
  int64_t outer = 1;
  int64_t inner = 1;
  for (int i = 0; i < d; ++i) outer *= x.size(i);
  for (int i = d + 1; i < x.rank(); ++i) inner *= x.size(i);
  return x.detach().contiguous().reshape({outer, x.size(d), inner});
}

Shape without(const Shape& shape, int dim) {
  std::vector<int64_t> dims(shape.begin(), shape.end());
  dims.erase(dims.begin() + shape.index(dim));
  return Shape(dims);
}

Tensor reduce_all(const Tensor& x, ReduceOp op) {
  if (x.numel() == 0 && op == ReduceOp::max)
    throw Error("maximum of no elements", "tensor", "pass a tensor that has some");
  const Tensor result = Tensor::empty({}, x.dtype(), x.device());
  backend(x.device())
      .reduce()
      .reduce(op, x.detach().contiguous().reshape({1, x.numel(), 1}).view(), result.reshape({1, 1}).view());
  return result;
}

}  // namespace

Tensor Tensor::argmax(int dim) const {
  const Tensor x = around(*this, dim);
  if (x.size(1) == 0) throw Error("argmax of no elements", "tensor", "pass a tensor that has some");
  const Tensor result = empty({x.size(0), x.size(2)}, DType::int64, device());
  backend(device()).reduce().argmax(x.view(), result.view());
  return result.reshape(without(shape(), dim));
}

Tensor Tensor::softmax(int dim) const {
  const int d = shape().index(dim);
  const bool last = d == rank() - 1;
  const Tensor x = last ? detach().contiguous() : detach().transpose(d, -1).contiguous();
  const Tensor result = empty(x.shape(), dtype(), device());
  backend(device()).reduce().softmax(x.view(), false, result.view());
  return last ? result : result.transpose(d, -1);
}

Tensor Tensor::sum() const {
  return reduce_all(*this, ReduceOp::sum);
}
Tensor Tensor::mean() const {
  return reduce_all(*this, ReduceOp::mean);
}
Tensor Tensor::max() const {
  return reduce_all(*this, ReduceOp::max);
}

void* Tensor::host_data(DType dtype) const {
  if (dtype != this->dtype() || !is_contiguous() || !device().is_cpu()) {
    throw Error("data<" + std::string(name(dtype)) + ">() of a tensor that is " + std::string(name(this->dtype())) +
                    (is_contiguous() ? "" : ", strided") + ", on " + to_string(device()),
                "tensor", "convert it first with to(...) and contiguous()");
  }
  backend(device()).queue().synchronize();
  return raw_data();
}

template <typename T>
std::vector<T> Tensor::to_vector() const {
  const Tensor host = detach().to(Device{}).to(dtype_of<T>()).contiguous();
  const T* values = host.data<T>();
  return std::vector<T>(values, values + host.numel());
}

template std::vector<float> Tensor::to_vector() const;
template std::vector<double> Tensor::to_vector() const;
template std::vector<int64_t> Tensor::to_vector() const;
template std::vector<int32_t> Tensor::to_vector() const;
template std::vector<uint8_t> Tensor::to_vector() const;

template <typename T>
T Tensor::convert_item() const {
  if (numel() != 1) {
    throw Error("item() of a tensor of shape " + to_string(shape()), "tensor", "it must have exactly one element");
  }
  return to_vector<T>()[0];
}

template float Tensor::convert_item() const;
template double Tensor::convert_item() const;
template int64_t Tensor::convert_item() const;
template int32_t Tensor::convert_item() const;

std::string to_string(const Tensor& tensor) {
  if (!tensor.defined()) return "Tensor (undefined)";
  std::ostringstream out;
  out << "Tensor " << name(tensor.dtype()) << " " << to_string(tensor.shape()) << " " << to_string(tensor.device());
  if (tensor.numel() <= 256) {
    out << " {";
    const std::vector<double> values = tensor.to_vector<double>();
    for (size_t i = 0; i < values.size(); ++i) out << (i > 0 ? ", " : "") << values[i];
    out << "}";
  }
  return out.str();
}

}  // namespace mica
