// Which GPUs and shapes the kernels of sm_90a are chosen for.

#include "mica/kernels/attention.h"
#include "mica/kernels/cuda/attention_kernels.h"
#include "mica/kernels/cuda/emulate/runtime.h"
#include "mica/kernels/cuda/linear_product.h"
#include "mica/tests/emulate/support.h"

namespace mica::cuda {
namespace {

using namespace test;

View rows(const DeviceArray<uint16_t>& memory, DType dtype, int64_t heads, int64_t size) {
  View view;
  view.data = memory.data();
  view.dtype = dtype;
  view.rank = 3;
  view.shape = {16, heads, size};
  view.strides = {heads * size, size, 1};
  return view;
}

bool chosen(int major, DType dtype, int64_t size, int64_t value_size) {
  const DeviceArray<uint16_t> memory(16 * 2 * 256 * 2);
  AttentionArguments a;
  a.query = a.key = rows(memory, dtype, 2, size);
  a.value = rows(memory, dtype, 2, value_size);
  const CudaDevice device(0);
  emulate::set_capability(major, 0);
  const bool fits = attention_fits_hopper(device, a);
  emulate::set_capability(9, 0);
  return fits;
}

TEST(HopperChoice, AttentionOfSizesThatFillTheProducts) {
  for (const DType dtype : {DType::float16, DType::bfloat16}) {
    for (const int64_t size : {40, 64, 80, 128}) {
      EXPECT_TRUE(chosen(9, dtype, size, size)) << size;
      EXPECT_FALSE(chosen(8, dtype, size, size)) << size;
      EXPECT_FALSE(chosen(12, dtype, size, size)) << size;
    }
    EXPECT_TRUE(chosen(9, dtype, 24, 72));
    EXPECT_FALSE(chosen(9, dtype, 32, 32));
    EXPECT_FALSE(chosen(9, dtype, 64, 256));
    EXPECT_FALSE(chosen(9, dtype, 68, 68));  // rows of no whole 16 bytes
  }
  EXPECT_FALSE(chosen(9, DType::float32, 64, 64));
}

struct Multiplied {
  DType a = DType::bfloat16, b = DType::bfloat16, factors = DType::bfloat16;
  int64_t line = 64, batches = 1, k = 64;
  int major = 9;
};

bool chosen(const Multiplied& m) {
  const DeviceArray<uint16_t> memory(256 * 80);
  Product p{};
  p.a = {memory.data(), m.a, m.line, 1, {0, 16 * m.line}};
  p.b = {memory.data(), m.b, 64, 1, {0, 0}};
  p.m = p.n = 16;
  p.k = m.k;
  p.outer = 1;
  p.inner = m.batches;
  const CudaDevice device(0);
  emulate::set_capability(m.major, 0);
  const bool fits = hopper_multiplies(device, p, m.factors);
  emulate::set_capability(9, 0);
  return fits;
}

TEST(HopperChoice, ProductsByDtype) {
  EXPECT_TRUE(chosen({}));
  EXPECT_TRUE(chosen({.a = DType::float16, .b = DType::float16, .factors = DType::float16}));
  EXPECT_FALSE(chosen({.a = DType::float32}));  // rounded on the way into shared memory, by threads
  EXPECT_FALSE(chosen({.major = 8}));
  EXPECT_FALSE(chosen({.major = 12}));
  EXPECT_FALSE(chosen({.k = 0}));
  EXPECT_TRUE(chosen({.line = 67}));  // copied into whole lines: bits do not depend on how a matrix lies
  EXPECT_TRUE(chosen({.batches = 3}));
  EXPECT_FALSE(chosen({.line = 67, .batches = 3}));
}

}  // namespace
}  // namespace mica::cuda
