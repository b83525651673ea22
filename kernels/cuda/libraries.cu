// cuBLASLt, opened when it is first asked for: a program that was built with it in reach runs without it.
//
// A row-major product y = a bᵀ is the column-major yᵀ = b aᵀ, so that b is cuBLASLt's A and a its B. Bias, ReLU and
// tanh's GELU are its epilogues, the residual its C. Which of the algorithms that its heuristic names first is the
// fastest is measured when a shape comes up for the first time, and kept (choices.h).

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include <cublasLt.h>
#include <cuda_runtime.h>
#include <dlfcn.h>

#include "mica/kernels/cuda/choices.h"
#include "mica/kernels/cuda/libraries.h"
#include "mica/kernels/cuda/runtime.h"

namespace mica::cuda {
namespace {

struct Functions {
  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtGetVersion) version = nullptr;
  decltype(&cublasLtMatmul) matmul = nullptr;
  decltype(&cublasLtMatmulDescCreate) create_operation = nullptr;
  decltype(&cublasLtMatmulDescSetAttribute) set_operation = nullptr;
  decltype(&cublasLtMatmulDescDestroy) destroy_operation = nullptr;
  decltype(&cublasLtMatrixLayoutCreate) create_layout = nullptr;
  decltype(&cublasLtMatrixLayoutSetAttribute) set_layout = nullptr;
  decltype(&cublasLtMatrixLayoutDestroy) destroy_layout = nullptr;
  decltype(&cublasLtMatmulPreferenceCreate) create_preference = nullptr;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference = nullptr;
  decltype(&cublasLtMatmulPreferenceDestroy) destroy_preference = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic = nullptr;
  decltype(&cublasLtMatmulAlgoCheck) check = nullptr;
};

template <typename F>
bool find(void* library, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(library, name));
  return function != nullptr;
}

// Null where the library is not to be had. It stays open until the program ends.
const Functions* functions() {
  static const Functions* const found = []() -> const Functions* {
    static Functions f;
    void* library = nullptr;
    for (const char* name : {"libcublasLt.so.13", "libcublasLt.so.12"}) {
      if (library == nullptr) library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    }
    const bool complete = library != nullptr && find(library, "cublasLtCreate", f.create) &&
                          find(library, "cublasLtGetVersion", f.version) && find(library, "cublasLtMatmul", f.matmul) &&
                          find(library, "cublasLtMatmulDescCreate", f.create_operation) &&
                          find(library, "cublasLtMatmulDescSetAttribute", f.set_operation) &&
                          find(library, "cublasLtMatmulDescDestroy", f.destroy_operation) &&
                          find(library, "cublasLtMatrixLayoutCreate", f.create_layout) &&
                          find(library, "cublasLtMatrixLayoutSetAttribute", f.set_layout) &&
                          find(library, "cublasLtMatrixLayoutDestroy", f.destroy_layout) &&
                          find(library, "cublasLtMatmulPreferenceCreate", f.create_preference) &&
                          find(library, "cublasLtMatmulPreferenceSetAttribute", f.set_preference) &&
                          find(library, "cublasLtMatmulPreferenceDestroy", f.destroy_preference) &&
                          find(library, "cublasLtMatmulAlgoGetHeuristic", f.heuristic) &&
                          find(library, "cublasLtMatmulAlgoCheck", f.check);
    return complete ? &f : nullptr;
  }();
  return found;
}

cudaDataType_t type_of(DType dtype) {
  return dtype == DType::float16 ? CUDA_R_16F : dtype == DType::bfloat16 ? CUDA_R_16BF : CUDA_R_32F;
}

// The library's type has no name of its own, which nvcc's containers do not take.
struct Algorithm {
  cublasLtMatmulAlgo_t words;
};

// A matrix as the library sees it: column-major.
struct Columns {
  DType dtype = DType::float32;
  int64_t rows = 0, columns = 0, leading = 0, batch_stride = 0;
  const void* data = nullptr;
  bool transposed = false;

  // Aligned for 16-byte accesses, which is what the heuristic is told.
  bool fits() const {
    const int64_t wide = 16 / item_size(dtype);
    return leading >= rows && leading % wide == 0 && batch_stride % wide == 0 &&
           reinterpret_cast<uintptr_t>(data) % 16 == 0;
  }
  std::string spelled() const {
    std::string text(name(dtype));
    for (const int64_t number : {rows, columns, leading, batch_stride}) {
      text += ' ';
      text += std::to_string(number);
    }
    return text + (transposed ? " t" : "");
  }
};

// The batches' strides as one; false when they are none.
bool one_stride(const int64_t (&strides)[2], const Product& p, int64_t& stride) {
  stride = p.inner > 1 ? strides[1] : p.outer > 1 ? strides[0] : 0;
  return p.outer == 1 || p.inner == 1 || strides[0] == p.inner * strides[1];
}

bool columns_of(const Factor& factor, int64_t rows, const Product& p, Columns& to) {
  const bool along_depth = factor.depth_stride == 1;
  if (!along_depth && factor.row_stride != 1) return false;
  to = {factor.dtype,
        along_depth ? p.k : rows,
        along_depth ? rows : p.k,
        along_depth ? factor.row_stride : factor.depth_stride,
        0,
        factor.data,
        along_depth};
  return one_stride(factor.batch_strides, p, to.batch_stride) && to.fits();
}

struct Call {
  Columns a, b, c, d;  // the library's
  bool add = false;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  int64_t batches = 1;

  std::string key() const {
    return "a " + a.spelled() + ", b " + b.spelled() + ", c " + c.spelled() + ", d " + d.spelled() + ", batches " +
           std::to_string(batches) + ", epilogue " + std::to_string(static_cast<int>(epilogue)) + (add ? ", add" : "");
  }
};

// False when the library can't do all of the product.
bool call_of(const Product& p, DType factors, Call& call) {
  const Finish& f = p.finish;
  if (factors == DType::float64 || p.a.dtype != factors || p.b.dtype != factors || p.k == 0) return false;
  if (f.dtype != factors && f.dtype != DType::float32) return false;
  call.batches = p.outer * p.inner;
  if (!columns_of(p.b, p.n, p, call.a) || !columns_of(p.a, p.m, p, call.b)) return false;
  call.b.transposed = !call.b.transposed;  // along its depth a is the library's B as it lies
  call.d = {f.dtype, p.n, p.m, f.row_stride, 0, f.y, false};
  call.c = call.d;
  call.add = f.residual != nullptr;
  if (!one_stride(f.batch_strides, p, call.d.batch_stride)) return false;
  if (call.add) {
    if (f.activation != Activation::none) return false;
    call.c.leading = f.residual_row;
    call.c.data = f.residual;
    if (!one_stride(f.residual_batch, p, call.c.batch_stride)) return false;
  } else {
    call.c.batch_stride = call.d.batch_stride;
  }
  if (!call.c.fits() || !call.d.fits()) return false;
  const bool bias = f.bias.data != nullptr;
  if (bias && (f.bias.dtype != f.dtype || f.bias.stride != 1 || call.batches > 1 ||
               reinterpret_cast<uintptr_t>(f.bias.data) % 16 != 0)) {
    return false;
  }
  switch (f.activation) {
    case Activation::none:
      call.epilogue = bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
      return true;
    case Activation::relu:
      call.epilogue = bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
      return true;
    case Activation::gelu_tanh:
      call.epilogue = bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
      return true;
    default:
      return false;
  }
}

// The library's descriptions of a call. Made once a shape.
class Plan {
 public:
  Plan(const Functions& f, const Call& call) : f_(f) {
    bool good = f_.create_operation(&operation_, CUBLAS_COMPUTE_32F, CUDA_R_32F) == CUBLAS_STATUS_SUCCESS;
    const cublasOperation_t a = call.a.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasOperation_t b = call.b.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    good = good && set(CUBLASLT_MATMUL_DESC_TRANSA, a) && set(CUBLASLT_MATMUL_DESC_TRANSB, b) &&
           set(CUBLASLT_MATMUL_DESC_EPILOGUE, call.epilogue);
    const Columns* matrices[] = {&call.a, &call.b, &call.c, &call.d};
    for (size_t i = 0; i < layouts_.size() && good; ++i) good = describe(*matrices[i], call.batches, layouts_[i]);
    good_ = good;
  }
  ~Plan() {
    for (const auto& layout : layouts_) {
      if (layout != nullptr) f_.destroy_layout(layout);
    }
    if (operation_ != nullptr) f_.destroy_operation(operation_);
  }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  bool good() const { return good_; }
  bool set_bias(const void* bias) { return set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias); }

  cublasStatus_t run(cublasLtHandle_t handle, const Call& call, void* d, float alpha, const Algorithm& algorithm,
                     void* workspace, cudaStream_t stream) const {
    const float beta = call.add ? 1.0F : 0.0F;
    return f_.matmul(handle, operation_, &alpha, call.a.data, layouts_[0], call.b.data, layouts_[1], &beta,
                     call.add ? call.c.data : d, layouts_[2], d, layouts_[3], &algorithm.words, workspace,
                     static_cast<size_t>(LibraryProducts::kWorkspaceBytes), stream);
  }

  // Whether an algorithm that was kept can run this.
  bool accepts(cublasLtHandle_t handle, const Algorithm& algorithm) const {
    cublasLtMatmulHeuristicResult_t result{};
    return f_.check(handle, operation_, layouts_[0], layouts_[1], layouts_[2], layouts_[3], &algorithm.words,
                    &result) == CUBLAS_STATUS_SUCCESS &&
           result.state == CUBLAS_STATUS_SUCCESS &&
           result.workspaceSize <= static_cast<size_t>(LibraryProducts::kWorkspaceBytes);
  }

  std::vector<Algorithm> candidates(cublasLtHandle_t handle) const {
    constexpr int kMost = 8;
    std::vector<Algorithm> result;
    cublasLtMatmulPreference_t preference = nullptr;
    if (f_.create_preference(&preference) != CUBLAS_STATUS_SUCCESS) return result;
    const auto bytes = static_cast<uint64_t>(LibraryProducts::kWorkspaceBytes);
    bool good = f_.set_preference(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof(bytes)) ==
                CUBLAS_STATUS_SUCCESS;
    const uint32_t alignment = 16;
    for (const auto which : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                             CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
      good = good && f_.set_preference(preference, which, &alignment, sizeof(alignment)) == CUBLAS_STATUS_SUCCESS;
    }
    std::array<cublasLtMatmulHeuristicResult_t, kMost> found{};
    int count = 0;
    good = good && f_.heuristic(handle, operation_, layouts_[0], layouts_[1], layouts_[2], layouts_[3], preference,
                                kMost, found.data(), &count) == CUBLAS_STATUS_SUCCESS;
    for (int i = 0; good && i < count; ++i) {
      if (found[static_cast<size_t>(i)].state == CUBLAS_STATUS_SUCCESS) {
        result.push_back({found[static_cast<size_t>(i)].algo});
      }
    }
    f_.destroy_preference(preference);
    return result;
  }

 private:
  template <typename T>
  bool set(cublasLtMatmulDescAttributes_t which, const T& value) {
    return f_.set_operation(operation_, which, &value, sizeof(value)) == CUBLAS_STATUS_SUCCESS;
  }
  bool describe(const Columns& m, int64_t batches, cublasLtMatrixLayout_t& layout) {
    const auto count = static_cast<int32_t>(batches);
    return f_.create_layout(&layout, type_of(m.dtype), static_cast<uint64_t>(m.rows), static_cast<uint64_t>(m.columns),
                            m.leading) == CUBLAS_STATUS_SUCCESS &&
           f_.set_layout(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof(count)) == CUBLAS_STATUS_SUCCESS &&
           f_.set_layout(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &m.batch_stride,
                         sizeof(m.batch_stride)) == CUBLAS_STATUS_SUCCESS;
  }

  const Functions& f_;
  cublasLtMatmulDesc_t operation_ = nullptr;
  std::array<cublasLtMatrixLayout_t, 4> layouts_{};
  bool good_ = false;
};

// Between two points of a stream.
class Stopwatch {
 public:
  Stopwatch() : good_(cudaEventCreate(&from_) == cudaSuccess && cudaEventCreate(&to_) == cudaSuccess) {}
  ~Stopwatch() {
    if (from_ != nullptr) cudaEventDestroy(from_);
    if (to_ != nullptr) cudaEventDestroy(to_);
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;
  void start(cudaStream_t stream) { good_ = good_ && cudaEventRecord(from_, stream) == cudaSuccess; }
  // Waits; negative when something failed.
  float stop(cudaStream_t stream) {
    float milliseconds = -1;
    good_ = good_ && cudaEventRecord(to_, stream) == cudaSuccess && cudaEventSynchronize(to_) == cudaSuccess &&
            cudaEventElapsedTime(&milliseconds, from_, to_) == cudaSuccess;
    return good_ ? milliseconds : -1;
  }

 private:
  cudaEvent_t from_ = nullptr, to_ = nullptr;
  bool good_;
};

bool recorded(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  return cudaStreamIsCapturing(stream, &status) != cudaSuccess || status != cudaStreamCaptureStatusNone;
}

// What is known of a shape.
struct Known {
  std::unique_ptr<Plan> plan;
  std::vector<Algorithm> algorithms;  // the one chosen, or all that are to be measured
  bool looked = false, to_measure = false;
};

class Cublaslt final : public LibraryProducts {
 public:
  static std::unique_ptr<Cublaslt> make(int index) {
    const Functions* f = functions();
    cublasLtHandle_t handle = nullptr;
    if (f == nullptr || f->create(&handle) != CUBLAS_STATUS_SUCCESS) return nullptr;
    return std::unique_ptr<Cublaslt>(
        new Cublaslt(*f, handle, choices_path(properties(index).name, std::to_string(f->version()))));
  }

  bool multiply(const Product& product, DType factors, Stream untyped, void* workspace) override {
    Call call;
    if (!call_of(product, factors, call)) return false;
    auto* const stream = static_cast<cudaStream_t>(untyped);
    const auto alpha = static_cast<float>(product.finish.alpha);
    const std::scoped_lock lock(mutex_);
    const std::string key = call.key();
    Known& known = known_[key];
    if (known.plan == nullptr) known.plan = std::make_unique<Plan>(f_, call);
    Plan& plan = *known.plan;
    if (!plan.good() || (product.finish.bias.data != nullptr && !plan.set_bias(product.finish.bias.data))) return false;
    if (!known.looked) {
      Algorithm kept{};
      if (const auto choice = choices_.find(key)) {
        std::memcpy(&kept, choice->data(), sizeof(kept));
        if (plan.accepts(handle_, kept)) known.algorithms = {kept};
      }
      if (known.algorithms.empty()) {
        known.algorithms = plan.candidates(handle_);
        known.to_measure = known.algorithms.size() > 1;
      }
      known.looked = true;
    }
    if (known.algorithms.empty()) return false;
    if (known.to_measure && !recorded(stream)) {
      known.algorithms = {fastest(known, call, product, alpha, workspace, stream)};
      known.to_measure = false;
      Choices::Choice choice{};
      std::memcpy(choice.data(), known.algorithms.data(), sizeof(choice));
      choices_.add(key, choice);
    }
    return plan.run(handle_, call, product.finish.y, alpha, known.algorithms.front(), workspace, stream) ==
           CUBLAS_STATUS_SUCCESS;
  }

 private:
  static_assert(sizeof(Algorithm) == sizeof(Choices::Choice));
  Cublaslt(const Functions& f, cublasLtHandle_t handle, std::string path)
      : f_(f), handle_(handle), choices_(std::move(path)) {}

  // Of three runs each, the first of which warms up. A result that is added to itself goes to memory of its own.
  Algorithm fastest(const Known& known, const Call& call, const Product& product, float alpha, void* workspace,
                    cudaStream_t stream) const {
    void* d = product.finish.y;
    void* own = nullptr;
    if (call.add && call.c.data == d) {
      const int64_t elements =
          (call.batches - 1) * call.d.batch_stride + (call.d.columns - 1) * call.d.leading + call.d.rows;
      own = d = device_allocate(elements * item_size(call.d.dtype));
      if (own == nullptr) return known.algorithms.front();
    }
    size_t best = 0;
    float least = -1;
    Stopwatch watch;
    for (size_t i = 0; i < known.algorithms.size(); ++i) {
      const auto run = [&] {
        return known.plan->run(handle_, call, d, alpha, known.algorithms[i], workspace, stream) ==
               CUBLAS_STATUS_SUCCESS;
      };
      if (!run()) continue;
      watch.start(stream);
      const bool good = run() && run();
      const float time = watch.stop(stream);
      if (good && time >= 0 && (least < 0 || time < least)) {
        least = time;
        best = i;
      }
    }
    if (own != nullptr) device_free(own);
    return known.algorithms[best];
  }

  const Functions& f_;
  cublasLtHandle_t handle_;
  Choices choices_;
  std::mutex mutex_;
  std::unordered_map<std::string, Known> known_;
};

}  // namespace

LibraryProducts* find_cublaslt(int index) {
  static const bool wanted = [] {
    const char* text = std::getenv("MICA_CUBLASLT");
    return text == nullptr || std::string(text) != "0";
  }();
  constexpr int kMost = 64;
  if (!wanted || index < 0 || index >= kMost) return nullptr;
  static std::array<std::once_flag, kMost> made;
  // Never destroyed: the driver may be gone when static storage is.
  static std::array<Cublaslt*, kMost> libraries{};
  const auto at = static_cast<size_t>(index);
  std::call_once(made[at], [&] { libraries[at] = Cublaslt::make(index).release(); });
  return libraries[at];
}

}  // namespace mica::cuda
