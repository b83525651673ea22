// Steps that are recorded: a graph of the runtime, and the memory that its kernels work in.
//
// A decoding step of a small model is hundreds of kernels of some microseconds, and starting each takes the host as
// long; a graph is started at once. Its kernels have the operands that they were recorded with, so that everything the
// work allocated, scratch too, comes from a pool that nobody else is served from.

#include <cstdlib>
#include <string_view>

#include "mica/base/error.h"
#include "mica/kernels/cuda/backend.h"
#include "mica/kernels/cuda/runtime.h"
#include "mica/kernels/recording.h"

namespace mica::cuda {
namespace {

// The pool, as long as it is recorded into.
class Pooling {
 public:
  Pooling(CudaDevice& on, MemoryPool& pool) : on_(on) { on_.memory.begin_pool(pool); }
  ~Pooling() {
    on_.queue.end_pool();
    on_.memory.end_pool();
  }
  Pooling(const Pooling&) = delete;
  Pooling& operator=(const Pooling&) = delete;

 private:
  CudaDevice& on_;
};

class CudaRecording final : public Recording {
 public:
  CudaRecording(CudaDevice& on, const std::function<void()>& work) : on_(on) {
    const RecordingTerms* terms = recording_terms();
    pool_.keeps_uploads = terms != nullptr && terms->repeats_uploads;
    on_.memory.settle_all();
    begin_recording(on_.stream);
    try {
      const Pooling pooling(on_, pool_);
      work();
    } catch (...) {
      abandon_recording(on_.stream);
      release();
      throw;
    }
    try {
      graph_ = end_recording(on_.stream);
      for (MemoryPool::Upload& each : pool_.uploads) {
        copy_from_host(each.data, each.bytes.data(), static_cast<int64_t>(each.bytes.size()), on_.stream);
      }
    } catch (...) {
      destroy();
      throw;
    }
  }

  ~CudaRecording() override { destroy(); }
  CudaRecording(const CudaRecording&) = delete;
  CudaRecording& operator=(const CudaRecording&) = delete;

  void replay() override {
    on_.enter();
    cuda::replay(graph_, on_.stream);
  }

 private:
  // What is on its way still is ahead of whatever gets the memory next.
  void destroy() noexcept {
    if (graph_ != nullptr) destroy_graph(graph_);
    release();
  }
  void release() noexcept {
    for (const MemoryPool::Upload& each : pool_.uploads) {
      on_.memory.free(each.data, static_cast<int64_t>(each.bytes.size()));
    }
    on_.memory.release_pool(pool_);
  }

  CudaDevice& on_;
  MemoryPool pool_;
  Graph graph_ = nullptr;
};

}  // namespace

bool CudaBackend::records() const {
  const char* text = std::getenv("MICA_CUDA_GRAPHS");
  return text == nullptr || std::string_view(text) != "0";
}

std::unique_ptr<Recording> CudaBackend::record(const std::function<void()>& work) {
  if (!records()) return Backend::record(work);
  if (recording()) throw Error("a recording within another", to_string(device()), "end the first one before");
  on_.enter();
  return std::make_unique<CudaRecording>(on_, work);
}

}  // namespace mica::cuda
