// Scans along the rows of each text.
//
// linear: bytes: a and b read and h written once, 2 operations an element: the memory's floor. Rows depend on each
// other, so a block takes kTile of them at a time: each warp composes its kRows rows into one step of its own, h' = A h
// + B (steps compose: (A2, B2) after (A1, B1) is (A2 A1, A2 B1 + B2)); the warps exchange these through shared memory,
// each walks the ones before it, and then its rows with what they left, which are in registers still. One barrier a
// tile (two buffers alternate), a launch in all; a lane owns a channel, so that a row is read in whole lines.
// linear_backward: the same walk from the last row, with a of the row after; dh, a and h read, da and db written once.
// Bits do not depend on the rest of the batch: tiles begin where the text does.

#include <algorithm>

#include "mica/kernels/cuda/backend.h"
#include "mica/kernels/cuda/device/number.h"
#include "mica/kernels/cuda/device/thread.h"
#include "mica/kernels/cuda/support.h"
#include "mica/kernels/scan.h"

namespace mica::cuda {
namespace {

constexpr unsigned kWarps = 8;
constexpr int kRows = 8;  // of a warp
constexpr int64_t kTile = int64_t{kWarps} * kRows;

template <typename C>
struct Steps {
  C factor[2][kWarps][kWarp], term[2][kWarps][kWarp];
};

// state' = factor state + term; an overflown factor leaves a state of zero what it is.
template <typename C>
__device__ __forceinline__ C stepped(C factor, C state, C term) {
  return state == C{0} ? term : factor * state + term;
}

// Walks `length` steps from `state`: load(i, factor, term), and store(i, state after it). Returns the last state.
template <typename C, typename Load, typename Store>
__device__ __forceinline__ C walk(int64_t length, C state, bool alive, const Load& load, const Store& store) {
  auto& shared = shared_memory<Steps<C>>();
  const unsigned warp = warp_index(), lane = lane_index();
  unsigned buffer = 0;
  for (int64_t tile = 0; tile < length; tile += kTile) {
    const int64_t first = tile + int64_t{warp} * kRows;
    C factors[kRows], terms[kRows], factor = 1, term = 0;
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      factors[i] = 1;
      terms[i] = 0;
      if (alive && first + i < length) load(first + i, factors[i], terms[i]);
      term = stepped(factors[i], term, terms[i]);
      factor *= factors[i];
    }
    shared.factor[buffer][warp][lane] = factor;
    shared.term[buffer][warp][lane] = term;
    block_barrier();
    C mine = state;
    for (unsigned w = 0; w < kWarps; ++w) {
      if (w == warp) mine = state;
      state = stepped(shared.factor[buffer][w][lane], state, shared.term[buffer][w][lane]);
    }
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      mine = stepped(factors[i], mine, terms[i]);
      if (alive && first + i < length) store(first + i, mine);
    }
    buffer ^= 1U;
  }
  return state;
}

template <typename T>
struct Linear {
  const T *a, *b, *initial;
  T* h;
  int64_t channels;
};

template <typename T>
__global__ void linear_kernel(Linear<T> op, const int32_t* begins, int64_t texts) {
  using C = Computed<T>;
  const int64_t channel = int64_t{block_x()} * kWarp + lane_index();
  const bool alive = channel < op.channels;
  for (int64_t text = block_y(); text < texts; text += blocks_y()) {
    const int64_t begin = begins[text], length = begins[text + 1] - begin;
    const int64_t base = begin * op.channels + channel;
    const C start = alive && op.initial != nullptr ? widen(op.initial[text * op.channels + channel]) : C{0};
    walk(
        length, start, alive,
        [&](int64_t i, C& factor, C& term) {
          factor = widen(op.a[base + i * op.channels]);
          term = widen(op.b[base + i * op.channels]);
        },
        [&](int64_t i, C state) { op.h[base + i * op.channels] = narrow<T>(state); });
    block_barrier();  // before the next text fills the first buffer
  }
}

template <typename T>
struct LinearBackward {
  const T *a, *h, *initial, *dh;
  T *da, *db, *dinitial;
  int64_t channels;
};

template <typename T>
__global__ void linear_backward_kernel(LinearBackward<T> op, const int32_t* begins, int64_t texts) {
  using C = Computed<T>;
  const int64_t channel = int64_t{block_x()} * kWarp + lane_index();
  const bool alive = channel < op.channels;
  for (int64_t text = block_y(); text < texts; text += blocks_y()) {
    const int64_t begin = begins[text], length = begins[text + 1] - begin;
    // Step i stands at the text's i-th row from its end.
    const auto at = [&](int64_t i) { return (begin + length - 1 - i) * op.channels + channel; };
    const int64_t of_text = text * op.channels + channel;
    const C start = alive && op.initial != nullptr ? widen(op.initial[of_text]) : C{0};
    const C last = walk(
        length, C{0}, alive,
        [&](int64_t i, C& factor, C& term) {
          factor = i == 0 ? C{0} : widen(op.a[at(i) + op.channels]);
          term = widen(op.dh[at(i)]);
        },
        [&](int64_t i, C g) {
          op.db[at(i)] = narrow<T>(g);
          op.da[at(i)] = narrow<T>(g * (i == length - 1 ? start : widen(op.h[at(i) - op.channels])));
        });
    if (alive && op.dinitial != nullptr && warp_index() == 0) {
      op.dinitial[of_text] = narrow<T>(length > 0 ? widen(op.a[at(length - 1)]) * last : C{0});
    }
    block_barrier();
  }
}

template <typename C>
LaunchShape shape_of(int64_t channels, int64_t texts) {
  constexpr int64_t kMostTexts = 65535;
  return {{static_cast<unsigned>(ceil_div(channels, kWarp)), static_cast<unsigned>(std::min(texts, kMostTexts))},
          {kWarp * kWarps},
          static_cast<int64_t>(sizeof(Steps<C>))};
}

}  // namespace

void CudaScan::linear(const View& a, const View& b, const View& initial, const Segments& texts, const View& h) {
  with_floating("scan.linear", a.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    launch("scan.linear", device_.stream, shape_of<Computed<T>>(a.size(1), texts.count()), linear_kernel<T>,
           {a.as<const T>(), b.as<const T>(), initial.as<const T>(), h.as<T>(), a.size(1)}, texts.device,
           texts.count());
  });
}

void CudaScan::linear_backward(const View& a, const View& h, const View& initial, const View& dh, const Segments& texts,
                               const View& da, const View& db, const View& dinitial) {
  with_floating("scan.linear_backward", a.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    launch("scan.linear_backward", device_.stream, shape_of<Computed<T>>(a.size(1), texts.count()),
           linear_backward_kernel<T>,
           {a.as<const T>(), h.as<const T>(), initial.as<const T>(), dh.as<const T>(), da.as<T>(), db.as<T>(),
            dinitial.as<T>(), a.size(1)},
           texts.device, texts.count());
  });
}

}  // namespace mica::cuda
