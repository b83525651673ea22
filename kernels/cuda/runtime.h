#pragma once
// What the backend needs of a device, over the CUDA runtime (runtime.cu) or over emulation (emulate/runtime.cpp).
// Errors are thrown as Error; a call that fails because of earlier work on a stream says so.

#include <cstdint>
#include <string>

#include "mica/kernels/cuda/launch.h"

namespace mica::cuda {

struct DeviceProperties {
  std::string name;
  int compute_major = 0, compute_minor = 0;
  int multiprocessors = 0;
  int64_t memory_bytes = 0;
  int64_t most_shared_bytes = 0;  ///< of one block
  int64_t cache_bytes = 0;        ///< of the second level
};

/// Devices of this machine; 0 without a driver, and then why.
int device_count();
std::string why_no_device();  // declared in find.h, too
const DeviceProperties& properties(int device);
/// Makes it the device of this host thread's calls.
void set_device(int device);

/// Of the current device; null when there is no memory left.
void* device_allocate(int64_t bytes);
void device_free(void* data) noexcept;
/// Memory that host and device reach under one address. Throws Error when there is none.
void* shared_allocate(int64_t bytes);
void shared_free(void* data) noexcept;
/// Bytes free on the current device.
int64_t device_free_bytes();

Stream make_stream();
void destroy_stream(Stream stream) noexcept;
void synchronize(Stream stream);

/// Ordered with the stream. From the host: it may write again when the call returns. To the host: waits.
void copy_from_host(void* to, const void* from, int64_t bytes, Stream stream);
void copy_to_host(void* to, const void* from, int64_t bytes, Stream stream);
void copy_on_device(void* to, const void* from, int64_t bytes, Stream stream);

/// Work of a stream recorded once and started again as a whole. Between begin and end, work put on the stream does not
/// run. It may not copy to or from the host or synchronize: Error then, and from end_recording() as well. Memory that
/// it uses must stay.
using Graph = void*;
void begin_recording(Stream stream);
Graph end_recording(Stream stream);
/// Ends a recording of which nothing is wanted.
void abandon_recording(Stream stream) noexcept;
void replay(Graph graph, Stream stream);
void destroy_graph(Graph graph) noexcept;

}  // namespace mica::cuda
