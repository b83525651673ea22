// Products of float16 and bfloat16 factors on sm_90a: the copying unit brings pieces of both factors into a ring, and
// two warpgroups multiply them with wgmma out of shared memory, summed in float32.
//
// Operations: 2 m n k; bytes at least those of a, b and y. The floor is the matrix units' rate for large products.
// Why it is fast: wgmma alone reaches that rate, and reads both factors from shared memory as they lie, transposed or
// not; a block multiplies 128 x 256 elements over pieces of 64 of the depth, so that a byte of a from the second-level
// cache is used 256 times and one of b 128 times; four pieces are in shared memory or on their way; one thread asks for
// copies, so that the others have the registers for a warpgroup's 64 x 256 sums. The sums pass through shared memory at
// the end, so that bias, residual and y move in whole rows. Products with few tiles take tiles of 128 x 64.
// What is left: a block's last step and the next block's first copies do not overlap, and blocks that read the same
// pieces each read them from the second-level cache.
//
// A matrix whose lines are not whole pieces of 16 bytes is copied into such first, so that its products have the bits
// that they have as they are packed. An element's sum runs over the depth in steps of 16, whatever the tile: its bits
// depend on its row and column alone.

#include "mica/kernels/cuda/device/warpgroup.h"
#include "mica/kernels/cuda/linear_finish.h"
#include "mica/kernels/cuda/linear_tiles.h"
#include "mica/kernels/cuda/support.h"
#include "mica/kernels/cuda/tensor_map.h"

namespace mica::cuda {
namespace {

constexpr int kDepth = 64, kStages = 4, kGroups = 2, kRows = 64 * kGroups;
constexpr int kMultipliers = kGroups * static_cast<int>(kWarpgroup), kThreads = kMultipliers + 128;

// Where one block fills a multiprocessor, the copying warpgroup leaves its registers to the multiplying ones.
template <int kTileColumns, int kBlocksAtOnce>
struct HopperTile {
  static constexpr int kColumns = kTileColumns, kBlocks = kBlocksAtOnce;
};
using Large = HopperTile<256, 1>;
using Small = HopperTile<64, 2>;

struct Factors {
  TensorMap a, b;                   // [outer, inner, lines, elements of a line], in boxes of 64 elements of a line
  bool a_batches[2], b_batches[2];  // whether a batch of its own lies at each of them
  Product product;
};

template <typename F, int kColumns>
struct Ring {
  alignas(1024) F a[kStages][kRows * kDepth];
  alignas(1024) F b[kStages][kColumns * kDepth];
  BarrierObject full[kStages], empty[kStages];
};

// One factor's piece: kWidth rows of it, along the depth in one box of kWidth lines, else in boxes of 64 rows.
template <bool kAlongDepth, int kWidth, typename F>
__device__ __forceinline__ void bring(F* piece, const TensorMap& map, BarrierObject& full, int row, int depth,
                                      int inner, int outer) {
  if constexpr (kAlongDepth) {
    copy_box(piece, map, full, depth, row, inner, outer);
  } else {
#pragma unroll
    for (int i = 0; i < kWidth / 64; ++i) {
      copy_box(piece + i * 64 * kDepth, map, full, row + 64 * i, depth, inner, outer);
    }
  }
}

template <typename F, typename Tile, bool kAlongA, bool kAlongB>
__device__ __forceinline__ void bring_all(const Factors& f, const TilePlace& at, Ring<F, Tile::kColumns>& ring) {
  const auto batch = [&](const bool(&own)[2], int which) {
    const int64_t i = which == 0 ? at.batch / f.product.inner : at.batch % f.product.inner;
    return own[which] ? static_cast<int>(i) : 0;
  };
  const int a_outer = batch(f.a_batches, 0), a_inner = batch(f.a_batches, 1);
  const int b_outer = batch(f.b_batches, 0), b_inner = batch(f.b_batches, 1);
  int stage = 0;
  unsigned parity = 1;  // a fresh slot is empty
#pragma unroll 1
  for (int depth = 0; depth < f.product.k; depth += kDepth) {
    ring.empty[stage].wait(parity);
    ring.full[stage].arrive_expecting((kRows + Tile::kColumns) * kDepth * sizeof(F));
    bring<kAlongA, kRows>(ring.a[stage], f.a, ring.full[stage], static_cast<int>(at.row), depth, a_inner, a_outer);
    bring<kAlongB, Tile::kColumns>(ring.b[stage], f.b, ring.full[stage], static_cast<int>(at.column), depth, b_inner,
                                   b_outer);
    if (++stage == kStages) {
      stage = 0;
      parity ^= 1;
    }
  }
}

// 64 rows of the tile by a warpgroup.
template <typename F, typename Tile, bool kAlongA, bool kAlongB>
__device__ __forceinline__ void multiply_tile(const Product& p, const TilePlace& at, Ring<F, Tile::kColumns>& ring) {
  constexpr int kN = Tile::kColumns / 8;
  constexpr Major kA = kAlongA ? Major::depth : Major::width, kB = kAlongB ? Major::depth : Major::width;
  const int group = static_cast<int>(thread_x() / kWarpgroup), lane = static_cast<int>(lane_index());
  FragmentC sums[kN] = {};
  int stage = 0, before = 0;
  unsigned parity = 0;
#pragma unroll 1
  for (int depth = 0; depth < p.k; depth += kDepth) {
    ring.full[stage].wait(parity);
    // A group's 64 rows start 8192 bytes further in both layouts.
    const MatrixPlace a = matrix_place(ring.a[stage] + group * 64 * kDepth), b = matrix_place(ring.b[stage], 8192);
    settle(sums);
    products_fence();
#pragma unroll
    for (int i = 0; i < kDepth; i += 16) {
      multiply<F, kA, kB>(sums, a.further(kAlongA ? 2 * i : 128 * i), b.further(kAlongB ? 2 * i : 128 * i), true);
    }
    commit_products();
    wait_products<1>();  // those of the step before
    if (depth > 0 && lane == 0) ring.empty[before].arrive();
    before = stage;
    if (++stage == kStages) {
      stage = 0;
      parity ^= 1;
    }
  }
  wait_products<0>();
  settle(sums);

  auto* out = reinterpret_cast<float*>(&ring);
  static_assert(kRows * kSumsStride<Tile::kColumns> * 4 <= static_cast<int>(sizeof(ring.a) + sizeof(ring.b)));
  part_barrier(1, kMultipliers);  // all copies are there, and nobody reads what is overwritten now
#pragma unroll
  for (int j = 0; j < kN; ++j) {
    const int row = static_cast<int>(warp_index()) * 16 + lane / 4, column = 8 * j + lane % 4 * 2;
    float* to = out + row * kSumsStride<Tile::kColumns> + column;
    store_pack(to, Pack<float, 2>{{sums[j].r[0], sums[j].r[1]}});
    store_pack(to + 8 * kSumsStride<Tile::kColumns>, Pack<float, 2>{{sums[j].r[2], sums[j].r[3]}});
  }
  part_barrier(1, kMultipliers);
  finish_tile<kRows, Tile::kColumns, kMultipliers>(p, finish_place(p, at.batch), out, at.row, at.column);
}

template <typename F, typename Tile, bool kAlongA, bool kAlongB>
__global__ void __launch_bounds__(kThreads, Tile::kBlocks) linear_hopper_kernel(const MICA_GRID_CONSTANT Factors f) {
#ifdef MICA_WARPGROUP_PRODUCTS
  auto& ring = shared_memory<Ring<F, Tile::kColumns>>();
  const TilePlace at = tile_place(f.product, block_x(), kRows, Tile::kColumns);
  if (thread_x() == 0) {
    for (int i = 0; i < kStages; ++i) {
      ring.full[i].init(1);
      ring.empty[i].init(kMultipliers / kWarp);
    }
    barrier_objects_ready();
  }
  block_barrier();
  if (thread_x() >= kMultipliers) {
    if constexpr (Tile::kBlocks == 1) give_registers<24>();
    if (thread_x() == kMultipliers) bring_all<F, Tile, kAlongA, kAlongB>(f, at, ring);
  } else {
    if constexpr (Tile::kBlocks == 1) take_registers<240>();
    multiply_tile<F, Tile, kAlongA, kAlongB>(f.product, at, ring);
  }
#else
  static_cast<void>(f);
  __trap();  // the host chooses it where it was built for sm_90a
#endif
}

// `rows` of the factor in a tile.
TensorMap map_of(const char* name, const Factor& x, DType dtype, int64_t count, const Product& p, int rows) {
  const bool along = x.depth_stride == 1;
  const auto batches = [](int64_t stride, int64_t n) { return stride != 0 ? n : 1; };
  return make_tensor_map({.name = name,
                          .data = x.data,
                          .dtype = dtype,
                          .rank = 4,
                          .sizes = {along ? p.k : count, along ? count : p.k, batches(x.batch_strides[1], p.inner),
                                    batches(x.batch_strides[0], p.outer)},
                          .strides = {1, along ? x.row_stride : x.depth_stride, x.batch_strides[1], x.batch_strides[0]},
                          .box = {64, along ? rows : kDepth, 1, 1}});
}

template <typename F, typename Tile, bool kAlongA, bool kAlongB>
void start(CudaDevice& on, const char* name, const Product& p, DType dtype) {
  const auto own = [](const Factor& x, int which) { return x.batch_strides[which] != 0; };
  const Factors f{map_of("linear.a", p.a, dtype, p.m, p, kRows),
                  map_of("linear.b", p.b, dtype, p.n, p, Tile::kColumns),
                  {own(p.a, 0), own(p.a, 1)},
                  {own(p.b, 0), own(p.b, 1)},
                  p};
  launch(name, on.stream,
         {{tile_count(p, kRows, Tile::kColumns)}, {kThreads}, static_cast<int64_t>(sizeof(Ring<F, Tile::kColumns>))},
         linear_hopper_kernel<F, Tile, kAlongA, kAlongB>, f);
}

template <typename F, typename Tile>
void start(CudaDevice& on, const char* name, const Product& p, DType dtype) {
  const bool a = p.a.depth_stride == 1, b = p.b.depth_stride == 1;
  if (a && b) return start<F, Tile, true, true>(on, name, p, dtype);
  if (a) return start<F, Tile, true, false>(on, name, p, dtype);
  if (b) return start<F, Tile, false, true>(on, name, p, dtype);
  return start<F, Tile, false, false>(on, name, p, dtype);
}

// A factor in lines of whole 16 bytes at such an address: itself, or a copy while this lives. (Its memory may be handed
// out again while the product still reads it: all work is on one stream.)
class InLines {
 public:
  InLines(CudaDevice& on, const Factor& factor, int64_t rows, int64_t depth) : on_(on), factor_(factor) {
    if (source_of(factor, factor.dtype) == Source::same) return;
    const int64_t line = round_up(depth, 8);
    bytes_ = rows * line * item_size(factor.dtype);
    data_ = on.memory.allocate(bytes_);
    View from;
    from.data = const_cast<void*>(factor.data);
    from.dtype = factor.dtype;
    from.rank = 2;
    from.shape = {rows, depth};
    from.strides = {factor.row_stride, factor.depth_stride};
    View to = from;
    to.data = data_;
    to.strides = {line, 1};
    CudaShape(on).copy(from, to);
    factor_ = {data_, factor.dtype, line, 1, {0, 0}};
  }
  InLines(const InLines&) = delete;
  InLines& operator=(const InLines&) = delete;
  ~InLines() {
    if (data_ != nullptr) on_.memory.free(data_, bytes_);
  }
  const Factor& factor() const { return factor_; }

 private:
  CudaDevice& on_;
  Factor factor_;
  void* data_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace

// By what can't change a row's bits: the dtypes, not the number of rows; and of one matrix not how the factors lie.
bool hopper_multiplies(const CudaDevice& on, const Product& p, DType factors) {
  const bool sums = p.a_sums != nullptr || p.b_sums != nullptr;
  return kBuiltForHopper && properties(on.index).compute_major == 9 && p.k > 0 && p.a.dtype == factors &&
         p.b.dtype == factors && !(sums && sums_by_the_way(p, factors)) &&
         (p.outer * p.inner == 1 ||
          (source_of(p.a, factors) == Source::same && source_of(p.b, factors) == Source::same));
}

void multiply_hopper(CudaDevice& on, const char* name, const Product& given, DType factors) {
  const InLines a(on, given.a, given.m, given.k), b(on, given.b, given.n, given.k);
  Product product = given;
  product.a = a.factor();
  product.b = b.factor();
  const auto run = [&](auto zero) {
    using F = decltype(zero);
    // Fewer than a wave of large tiles leaves multiprocessors idle.
    if (tile_count(product, kRows, Large::kColumns) >= static_cast<unsigned>(multiprocessors(on))) {
      start<F, Large>(on, name, product, factors);
    } else {
      start<F, Small>(on, name, product, factors);
    }
  };
  if (factors == DType::float16) return run(float16{});
  return run(bfloat16{});
}

}  // namespace mica::cuda
