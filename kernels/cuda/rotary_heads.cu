// Queries, keys and values from the projections to where attention reads them: norm, rotary positions and the way into
// the cache in one kernel. Bytes: each element read once and written once, against up to three times; in decoding,
// where a step's rows are a few KiB, the launches that it saves are what counts. A warp takes a head of a row, 16 bytes
// a lane, and keeps it in shared memory between the norm and the turn, whose pairs lie in different lanes. Bits: those
// of norm.cu's RMS norm of heads of up to 512 elements (the same elements a lane, the same order), rounded to the
// element's type, and of rotary.cu behind it.

#include "mica/kernels/cuda/backend.h"
#include "mica/kernels/cuda/device/combine.h"
#include "mica/kernels/cuda/support.h"
#include "mica/kernels/rotary.h"

namespace mica::cuda {
namespace {

constexpr unsigned kHeadsOfBlock = 4;

template <typename T, typename W>
struct Heads {
  const T* from;
  T* to;
  const W* weight;  // null: no norm
  int64_t heads, from_row, from_head, to_row, to_head;
  bool turned, placed;  // rows by the index
  bool wide;            // `to` takes 16 bytes at a time
};

template <typename T, typename W>
struct Placing {
  Heads<T, W> kinds[3];  // query, key, value
  const int64_t* index;
  const T *cos, *sin;
  int64_t cos_row, sin_row, half;
  int64_t rows, heads, size;
  Computed<T> weight_offset, eps;
  bool interleaved;
};

// Element e of a head that lies in shared memory, turned.
template <typename C, typename T, typename W>
__device__ __forceinline__ C turned(const Placing<T, W>& a, const C* head, int64_t row, int64_t e) {
  const int64_t pair = a.interleaved ? e / 2 : e < a.half ? e : e - a.half;
  const bool first = a.interleaved ? e % 2 == 0 : e < a.half;
  const C c = widen(a.cos[row * a.cos_row + pair]), s = widen(a.sin[row * a.sin_row + pair]);
  const int64_t other = a.interleaved ? (first ? e + 1 : e - 1) : first ? e + a.half : e - a.half;
  const C x1 = head[first ? e : other], x2 = head[first ? other : e];
  return first ? c * x1 - s * x2 : s * x1 + c * x2;
}

template <typename T, typename W, int kPack>
__global__ void place_heads_kernel(Placing<T, W> a) {
  using C = Computed<T>;
  const int64_t vector = int64_t{block_x()} * kHeadsOfBlock + thread_y();
  if (vector >= a.rows * a.heads) return;  // whole warps
  const int64_t row = vector / a.heads;
  int64_t head = vector - row * a.heads;
  int kind = 0;
  while (head >= a.kinds[kind].heads) head -= a.kinds[kind++].heads;
  const Heads<T, W>& h = a.kinds[kind];
  const T* from = h.from + row * h.from_row + head * h.from_head;
  T* to = h.to + (h.placed ? a.index[row] : row) * h.to_row + head * h.to_head;
  C* kept = &shared_memory<C>() + thread_y() * a.size;
  const int64_t packs = a.size / kPack;
  C squares = 0;
  for (int64_t pack = lane_index(); pack < packs; pack += kWarp) {
    const auto x = load_pack<kPack>(from + pack * kPack);
#pragma unroll
    for (int i = 0; i < kPack; ++i) {
      const C value = widen(x.values[i]);
      squares += value * value;
      kept[pack * kPack + i] = value;
    }
  }
  if (h.weight != nullptr) {
    const C rstd = 1 / std::sqrt(combine_lanes(squares, Add{}) / static_cast<C>(a.size) + a.eps);
    for (int64_t pack = lane_index(); pack < packs; pack += kWarp) {
#pragma unroll
      for (int i = 0; i < kPack; ++i) {
        const int64_t e = pack * kPack + i;
        const C factor = a.weight_offset + static_cast<C>(widen(h.weight[e]));
        kept[e] = widen(narrow<T>(kept[e] * rstd * factor));
      }
    }
  }
  warp_barrier();
  for (int64_t pack = lane_index(); pack < packs; pack += kWarp) {
    Pack<T, kPack> y;
#pragma unroll
    for (int i = 0; i < kPack; ++i) {
      const int64_t e = pack * kPack + i;
      y.values[i] = narrow<T>(h.turned && e < 2 * a.half ? turned(a, kept, row, e) : kept[e]);
    }
    if (h.wide) {
      store_pack(to + pack * kPack, y);
    } else {
#pragma unroll
      for (int i = 0; i < kPack; ++i) to[pack * kPack + i] = y.values[i];
    }
  }
}

bool wide_heads(const View& view) {
  return !view || (wide_rows(view, view.size(2), view.stride(0)) && wide_rows(view, view.size(2), view.stride(1)));
}

template <typename T, typename W>
void place(CudaDevice& on, const HeadRows& r) {
  using C = Computed<T>;
  const auto kind = [&](const View& from, const View& to, const View& weight, bool turned, bool placed) {
    Heads<T, W> h{};
    if (!from) return h;
    h.from = from.as<const T>();
    h.to = to.as<T>();
    h.weight = weight.as<const W>();
    h.heads = from.size(1);
    h.from_row = from.stride(0);
    h.from_head = from.stride(1);
    h.to_row = to.stride(0);
    h.to_head = to.stride(1);
    h.turned = turned;
    h.placed = placed;
    h.wide = wide_heads(to);
    return h;
  };
  const bool indexed = static_cast<bool>(r.index);
  const Placing<T, W> a{
      {kind(r.query, r.query_out, r.query_weight, true, false), kind(r.key, r.key_out, r.key_weight, true, indexed),
       kind(r.value, r.value_out, {}, false, indexed)},
      r.index.as<const int64_t>(),
      r.cos.as<const T>(),
      r.sin.as<const T>(),
      r.cos.stride(0),
      r.sin.stride(0),
      r.cos.size(1),
      r.query.size(0),
      r.query.size(1) + r.key.size(1) + (r.value ? r.value.size(1) : 0),
      r.query.size(2),
      static_cast<C>(r.weight_offset),
      static_cast<C>(r.eps),
      r.layout == RotaryLayout::interleaved};
  const bool wide = wide_heads(r.query) && wide_heads(r.key) && wide_heads(r.value) &&
                    wide_rows(r.query_weight, a.size) && wide_rows(r.key_weight, a.size);
  const LaunchShape shape{{static_cast<unsigned>(ceil_div(a.rows * a.heads, kHeadsOfBlock))},
                          {kWarp, kHeadsOfBlock},
                          a.size * kHeadsOfBlock * static_cast<int64_t>(sizeof(C))};
  launch("rotary.place_heads", on.stream, shape,
         wide ? place_heads_kernel<T, W, kWide<T>> : place_heads_kernel<T, W, 1>, a);
}

}  // namespace

void CudaRotary::place_heads(const HeadRows& heads) {
  const char* name = "rotary.place_heads";
  with_floating(name, heads.query.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    const View& weight = heads.query_weight;
    if (!weight || weight.dtype == heads.query.dtype) return place<T, T>(device_, heads);
    if (weight.dtype != DType::float32 || std::is_same_v<T, double>) unsupported(name, weight.dtype, device_.device());
    place<T, float>(device_, heads);
  });
}

}  // namespace mica::cuda
