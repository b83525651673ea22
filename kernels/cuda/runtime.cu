// The runtime of real devices, over the CUDA runtime library. It is linked statically and looks for the driver at its
// first call: on a machine without one, device_count() is 0.

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

#include "mica/base/error.h"
#include "mica/kernels/cuda/event.h"
#include "mica/kernels/cuda/runtime.h"

namespace mica::cuda {
namespace {

std::string message(cudaError_t status) {
  return std::string(cudaGetErrorName(status)) + ": " + cudaGetErrorString(status);
}

// Faults of kernels that ran earlier come back from whatever call is next.
void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());
  throw Error(std::string(what) + " failed: " + message(status), "cuda",
              "if a kernel faulted, run the tests under compute-sanitizer; if the device is lost, restart the program");
}

std::atomic<int64_t>& counted() {
  static std::atomic<int64_t> count{0};
  return count;
}

cudaStream_t of(Stream stream) {
  return static_cast<cudaStream_t>(stream);
}

// Devices, and why there are none.
struct Machine {
  int count = 0;
  std::string why;
  std::map<int, DeviceProperties> properties;

  Machine() {
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status != cudaSuccess) {
      static_cast<void>(cudaGetLastError());
      count = 0;
      int driver = 0, runtime = 0;
      static_cast<void>(cudaDriverGetVersion(&driver));
      static_cast<void>(cudaRuntimeGetVersion(&runtime));
      if (driver == 0) {
        why = "this machine has no CUDA driver";
      } else if (driver < runtime) {
        why = "the driver supports CUDA " + version(driver) + ", and this build needs " + version(runtime) +
              ": update the driver";
      } else {
        why = message(status);
      }
      return;
    }
    if (count == 0) why = "this machine has no CUDA device";
    for (int device = 0; device < count; ++device) {
      cudaDeviceProp found{};
      if (cudaGetDeviceProperties(&found, device) != cudaSuccess) continue;
      properties[device] = {found.name,
                            found.major,
                            found.minor,
                            found.multiProcessorCount,
                            static_cast<int64_t>(found.totalGlobalMem),
                            static_cast<int64_t>(found.sharedMemPerBlockOptin),
                            found.l2CacheSize};
    }
  }

  static std::string version(int number) {
    return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
  }
};

Machine& machine() {
  static Machine instance;
  return instance;
}

}  // namespace

int64_t launch_count() {
  return counted();
}

namespace detail {

void count_launch(const char* /*name*/, const LaunchShape& /*shape*/) {
  ++counted();
}

void check_launch(const char* name, const LaunchShape& shape, cudaError_t status) {
  if (status == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());
  throw Error("kernel " + std::string(name) + " could not start: " + message(status),
              std::to_string(shape.grid.x) + " x " + std::to_string(shape.grid.y) + " x " +
                  std::to_string(shape.grid.z) + " blocks of " + std::to_string(shape.block.count()) + " threads, " +
                  std::to_string(shape.shared_bytes) + " bytes of shared memory",
              status == cudaErrorNoKernelImageForDevice ? "build with CMAKE_CUDA_ARCHITECTURES set for this GPU"
                                                        : "report it; an earlier kernel may be at fault");
}

}  // namespace detail

int device_count() {
  return machine().count;
}

std::string why_no_device() {
  return machine().count == 0 ? machine().why : "this machine has " + std::to_string(machine().count) + " CUDA devices";
}

const DeviceProperties& properties(int device) {
  return machine().properties.at(device);
}

void set_device(int device) {
  thread_local int current = -1;
  if (current == device) return;
  check(cudaSetDevice(device), "choosing the device");
  current = device;
}

// A thread that records a graph may allocate all the same: the recording does not see it.
void* device_allocate(int64_t bytes) {
  void* data = nullptr;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  static_cast<void>(cudaThreadExchangeStreamCaptureMode(&mode));
  const cudaError_t status = cudaMalloc(&data, static_cast<size_t>(bytes));
  static_cast<void>(cudaThreadExchangeStreamCaptureMode(&mode));
  if (status == cudaSuccess) return data;
  static_cast<void>(cudaGetLastError());
  return nullptr;
}
void device_free(void* data) noexcept {
  static_cast<void>(cudaFree(data));
}
void* shared_allocate(int64_t bytes) {
  void* data = nullptr;
  check(cudaHostAlloc(&data, static_cast<size_t>(bytes), cudaHostAllocMapped | cudaHostAllocPortable),
        "allocating memory of host and device");
  return data;
}
void shared_free(void* data) noexcept {
  static_cast<void>(cudaFreeHost(data));
}
int64_t device_free_bytes() {
  size_t free_bytes = 0, total = 0;
  if (cudaMemGetInfo(&free_bytes, &total) != cudaSuccess) return 0;
  return static_cast<int64_t>(free_bytes);
}

Stream make_stream() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
  return stream;
}
void destroy_stream(Stream stream) noexcept {
  static_cast<void>(cudaStreamDestroy(of(stream)));
}
void synchronize(Stream stream) {
  check(cudaStreamSynchronize(of(stream)), "work on the device");
}

// The driver would record a copy, and read the host's memory again in each replay.
namespace {
void refuse_while_recording(Stream stream, const char* what) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(of(stream), &status), what);
  if (status == cudaStreamCaptureStatusNone) return;
  abandon_recording(stream);  // end_recording() fails now
  throw Error(std::string(what) + " while a graph is recorded", "cuda", "do it before or after");
}
}  // namespace

// Pageable memory is staged by the driver before the call returns.
void copy_from_host(void* to, const void* from, int64_t bytes, Stream stream) {
  refuse_while_recording(stream, "a copy from the host");
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, of(stream)),
        "a copy to the device");
}
void copy_to_host(void* to, const void* from, int64_t bytes, Stream stream) {
  refuse_while_recording(stream, "a copy to the host");
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, of(stream)),
        "a copy from the device");
  synchronize(stream);
}
void copy_on_device(void* to, const void* from, int64_t bytes, Stream stream) {
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice, of(stream)),
        "a copy on the device");
}

Stream make_side_stream() {
  return make_stream();
}

namespace {
cudaEvent_t event_of(Event event) {
  return static_cast<cudaEvent_t>(event);
}
}  // namespace

Event make_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming | cudaEventBlockingSync), "making an event");
  return event;
}
void destroy_event(Event event) noexcept {
  static_cast<void>(cudaEventDestroy(event_of(event)));
}
void record_event(Event event, Stream stream) {
  refuse_while_recording(stream, "an event");
  check(cudaEventRecord(event_of(event), of(stream)), "recording an event");
}
void wait_for_event(Event event, Stream stream) {
  refuse_while_recording(stream, "waiting for another stream");
  check(cudaStreamWaitEvent(of(stream), event_of(event), 0), "waiting for another stream");
}
void wait_for_event(Event event) {
  check(cudaEventSynchronize(event_of(event)), "work on the device");
}
bool event_is_done(Event event) {
  const cudaError_t status = cudaEventQuery(event_of(event));
  if (status == cudaErrorNotReady) {
    static_cast<void>(cudaGetLastError());
    return false;
  }
  check(status, "work on the device");
  return true;
}

void copy_from_staging(void* to, const void* from, int64_t bytes, Stream stream) {
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, of(stream)),
        "a copy to the device");
}

void begin_recording(Stream stream) {
  check(cudaStreamBeginCapture(of(stream), cudaStreamCaptureModeThreadLocal), "recording a graph");
}
Graph end_recording(Stream stream) {
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(of(stream), &graph), "recording a graph");
  cudaGraphExec_t instance = nullptr;
  const cudaError_t status = cudaGraphInstantiate(&instance, graph, 0);
  static_cast<void>(cudaGraphDestroy(graph));
  check(status, "making a graph ready");
  return instance;
}
void abandon_recording(Stream stream) noexcept {
  cudaGraph_t graph = nullptr;
  if (cudaStreamEndCapture(of(stream), &graph) == cudaSuccess && graph != nullptr) {
    static_cast<void>(cudaGraphDestroy(graph));
  }
  static_cast<void>(cudaGetLastError());
}
void replay(Graph graph, Stream stream) {
  ++counted();
  check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), of(stream)), "starting a graph");
}
void destroy_graph(Graph graph) noexcept {
  static_cast<void>(cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph)));
}

}  // namespace mica::cuda
