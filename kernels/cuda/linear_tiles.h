#pragma once
// Pieces of a product's factors on their way into shared memory, as the tiles of linear_float.cu and linear_half.cu
// read them. A piece of kRows x kDepth elements lies in lines of 16-byte chunks, along the depth or along the rows, as
// it does in global memory; a line's chunks change places so that what a warp reads at once (the same chunk of eight
// neighbouring lines, or neighbouring chunks of one line) lies in different banks.

#include "mica/kernels/cuda/device/async_copy.h"
#include "mica/kernels/cuda/device/thread.h"
#include "mica/kernels/cuda/linear_product.h"

namespace mica::cuda {

/// How a factor reaches shared memory.
enum class Source {
  same,     ///< of the type that is multiplied, lines 16-byte aligned: copied in the background
  float32,  ///< of float32, lines 16-byte aligned: through registers, 16 bytes at a time, rounded there
  any,      ///< through registers, an element at a time
};

/// The fastest way in for a factor that is multiplied as `multiplied`.
inline Source source_of(const Factor& factor, DType multiplied) {
  const bool converted = factor.dtype == DType::float32 && multiplied == DType::bfloat16;
  if (factor.dtype != multiplied && !converted) return Source::any;
  const int64_t wide = 16 / item_size(factor.dtype);
  const int64_t line = factor.depth_stride == 1 ? factor.row_stride : factor.depth_stride;
  const bool lines = (factor.depth_stride == 1 || factor.row_stride == 1) && line % wide == 0 &&
                     factor.batch_strides[0] % wide == 0 && factor.batch_strides[1] % wide == 0 &&
                     reinterpret_cast<uintptr_t>(factor.data) % 16 == 0;
  return !lines ? Source::any : converted ? Source::float32 : Source::same;
}

template <typename F, int kRows, int kDepth, bool kAlongDepth>
struct Piece {
  static constexpr int kChunk = static_cast<int>(16 / sizeof(F));
  static constexpr int kChunksOfLine = (kAlongDepth ? kDepth : kRows) / kChunk;
  static constexpr int kLines = kAlongDepth ? kRows : kDepth;
  static constexpr int kBytes = kRows * kDepth * static_cast<int>(sizeof(F));
  static_assert(kChunksOfLine == 4 || kChunksOfLine % 8 == 0);

  /// What the chunks' numbers in a line are turned by. Lines of float32 along the rows are read chunk by chunk.
  static __device__ __forceinline__ int turn(int line) {
    if constexpr (sizeof(F) == 4 && !kAlongDepth) return 0;
    return kChunksOfLine == 4 ? (line >> 1) & 3 : line & 7;
  }
  /// The chunk at [line, chunk]; then the one `below` lines below and `right` chunks right of it, both multiples of 8
  /// (which turn alike, so that the address is the first one and a constant).
  static __device__ __forceinline__ char* chunk(char* piece, int line, int chunk, int below = 0, int right = 0) {
    return piece + 16 * (line * kChunksOfLine + (chunk ^ turn(line))) + 16 * (below * kChunksOfLine + right);
  }
};

/// Brings the pieces of one factor of one tile, one depth after the other, with the block's kThreads threads.
template <typename F, Source kSource, bool kAlongDepth, int kRows, int kDepth, int kThreads>
class PieceLoader {
  using P = Piece<F, kRows, kDepth, kAlongDepth>;
  static constexpr int kMine = P::kLines * P::kChunksOfLine / kThreads;  // chunks of a thread
  static constexpr int kElements = kMine * P::kChunk;
  static_assert(P::kLines * P::kChunksOfLine % kThreads == 0 && kThreads % P::kChunksOfLine == 0);

 public:
  /// What a thread holds of a piece between start() and finish().
  struct Held {
    float values[kSource == Source::same ? 1 : kElements];
  };

  __device__ __forceinline__ PieceLoader(const Factor& factor, int64_t offset, int64_t first_row, int64_t rows,
                                         int64_t depth)
      : factor_(factor),
        start_(offset + first_row * factor.row_stride),
        rows_left_(static_cast<int>(rows - first_row < kRows ? rows - first_row : kRows)),
        depth_(static_cast<int>(depth)) {
    if constexpr (kSource != Source::any) {
      start_ += first_line() * line_stride() + my_chunk() * P::kChunk;
    }
  }

  /// Copies in the background, or reads into registers.
  __device__ __forceinline__ void start(char* piece, int first_depth, Held& held) const {
    if constexpr (kSource == Source::same) {
      each_chunk(first_depth, [&](int i, int64_t at, int inside) {
        const int elements = inside < 0 ? 0 : inside < P::kChunk ? inside : P::kChunk;
        copy_async_up_to_16(place(piece, i), static_cast<const F*>(factor_.data) + (elements > 0 ? at : 0),
                            elements * static_cast<int>(sizeof(F)));
      });
    } else if constexpr (kSource == Source::float32) {
      each_chunk(first_depth, [&](int i, int64_t at, int inside) {
        const float* from = static_cast<const float*>(factor_.data) + at;
        float* to = held.values + i * P::kChunk;
        if (inside >= P::kChunk) {
#pragma unroll
          for (int part = 0; part < P::kChunk; part += 4) {
            const auto four = load_pack<4>(from + part);
#pragma unroll
            for (int j = 0; j < 4; ++j) to[part + j] = four.values[j];
          }
        } else {
#pragma unroll
          for (int j = 0; j < P::kChunk; ++j) to[j] = j < inside ? from[j] : 0.0F;
        }
      });
    } else {
      switch (factor_.dtype) {
        case DType::float16:
          return read<float16>(first_depth, held);
        case DType::bfloat16:
          return read<bfloat16>(first_depth, held);
        default:
          return read<float>(first_depth, held);
      }
    }
  }

  /// Writes what was read into registers.
  __device__ __forceinline__ void finish(char* piece, const Held& held) const {
    if constexpr (kSource == Source::float32) {
#pragma unroll
      for (int i = 0; i < kMine; ++i) {
        Pack<F, P::kChunk> pack;
#pragma unroll
        for (int j = 0; j < P::kChunk; ++j) pack.values[j] = narrow<F>(held.values[i * P::kChunk + j]);
        store_pack(reinterpret_cast<F*>(place(piece, i)), pack);
      }
    } else if constexpr (kSource == Source::any) {
#pragma unroll
      for (int i = 0; i < kElements; ++i) {
        int row, depth;
        element(i, row, depth);
        const int line = kAlongDepth ? row : depth, along = kAlongDepth ? depth : row;
        reinterpret_cast<F*>(P::chunk(piece, line, along / P::kChunk))[along % P::kChunk] = narrow<F>(held.values[i]);
      }
    }
  }

 private:
  // A thread's chunks stand in one place of every kLineStep-th line.
  static constexpr int kLineStep = kThreads / P::kChunksOfLine;
  static __device__ __forceinline__ int first_line() {
    return static_cast<int>(thread_rank() / static_cast<unsigned>(P::kChunksOfLine));
  }
  static __device__ __forceinline__ int my_chunk() {
    return static_cast<int>(thread_rank() % static_cast<unsigned>(P::kChunksOfLine));
  }
  static __device__ __forceinline__ char* place(char* piece, int i) {
    if constexpr (kLineStep % 8 == 0) return P::chunk(piece, first_line(), my_chunk(), i * kLineStep);
    return P::chunk(piece, first_line() + i * kLineStep, my_chunk());
  }
  __device__ __forceinline__ int64_t line_stride() const {
    return kAlongDepth ? factor_.row_stride : factor_.depth_stride;
  }

  // body(i, where the elements of the thread's i-th chunk start, how many of them lie inside the factor).
  template <typename Body>
  __device__ __forceinline__ void each_chunk(int first_depth, const Body& body) const {
    const int64_t start = start_ + (kAlongDepth ? first_depth : first_depth * line_stride());
    const int lines = kAlongDepth ? rows_left_ : depth_ - first_depth;
    const int along = (kAlongDepth ? depth_ - first_depth : rows_left_) - my_chunk() * P::kChunk;
#pragma unroll
    for (int i = 0; i < kMine; ++i) {
      const bool inside = first_line() + i * kLineStep < lines;
      body(i, start + i * kLineStep * line_stride(), inside ? along : 0);
    }
  }

  // The elements of a thread, so that neighbouring threads read what lies side by side.
  __device__ __forceinline__ void element(int i, int& row, int& depth) const {
    const int e = i * kThreads + static_cast<int>(thread_rank());
    const bool by_depth = factor_.depth_stride == 1;
    row = by_depth ? e / kDepth : e % kRows;
    depth = by_depth ? e % kDepth : e / kRows;
  }

  template <typename T>
  __device__ __forceinline__ void read(int first_depth, Held& held) const {
    const T* data = static_cast<const T*>(factor_.data) + start_;
#pragma unroll
    for (int i = 0; i < kElements; ++i) {
      int row, depth;
      element(i, row, depth);
      const bool inside = row < rows_left_ && first_depth + depth < depth_;
      held.values[i] =
          inside ? widen(data[row * factor_.row_stride + (first_depth + depth) * factor_.depth_stride]) : 0.0F;
    }
  }

  const Factor& factor_;
  int64_t start_;  // of the tile's rows, or of the thread's first chunk, at depth 0
  int rows_left_;  // from the tile's first row on
  int depth_;
};

/// Runs over the depth in steps of kDepth with kStages pieces of each factor in shared memory: while one is multiplied
/// the next are on their way. step(a_piece, b_piece) multiplies; on return all threads have passed the last barrier
/// but may still be reading.
template <int kDepth, int kStages, typename LoaderA, typename LoaderB, typename Step>
__device__ __forceinline__ void over_depth(const LoaderA& a, int a_bytes, const LoaderB& b, int b_bytes, char* shared,
                                           int64_t depth, const Step& step) {
  const int steps = static_cast<int>((depth + kDepth - 1) / kDepth);
  const int stage_bytes = a_bytes + b_bytes;
  typename LoaderA::Held held_a;
  typename LoaderB::Held held_b;
#pragma unroll
  for (int s = 0; s < kStages - 1; ++s) {
    char* stage = shared + s * stage_bytes;
    if (s < steps) {
      a.start(stage, s * kDepth, held_a);
      b.start(stage + a_bytes, s * kDepth, held_b);
      a.finish(stage, held_a);
      b.finish(stage + a_bytes, held_b);
    }
    commit_copies();
  }
  int reading = 0, filling = kStages - 1;
#pragma unroll 1
  for (int s = 0; s < steps; ++s) {
    wait_copies<kStages - 2>();
    block_barrier();  // what all threads brought is there, and nobody reads the stage that is filled now
    const bool more = s + kStages - 1 < steps;
    char* stage = shared + filling * stage_bytes;
    if (more) {
      a.start(stage, (s + kStages - 1) * kDepth, held_a);
      b.start(stage + a_bytes, (s + kStages - 1) * kDepth, held_b);
    }
    commit_copies();
    char* now = shared + reading * stage_bytes;
    step(now, now + a_bytes);
    if (more) {
      a.finish(stage, held_a);
      b.finish(stage + a_bytes, held_b);
    }
    reading = reading + 1 == kStages ? 0 : reading + 1;
    filling = filling + 1 == kStages ? 0 : filling + 1;
  }
}

}  // namespace mica::cuda
