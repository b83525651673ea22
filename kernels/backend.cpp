#include "mica/kernels/backend.h"

#include <algorithm>
#include <mutex>
#include <string>
#include <vector>

#include "mica/base/error.h"
#include "mica/kernels/collective.h"
#include "mica/kernels/cpu/backend.h"
#include "mica/kernels/cuda/find.h"
#include "mica/kernels/recording.h"

namespace mica {
namespace {

struct Registry {
  std::mutex mutex;
  std::vector<Backend*> backends;
};

Registry& registry() {
  static Registry instance;
  return instance;
}

}  // namespace

// Of a device that nobody registered.
Backend* find_on_machine(Device device, std::string& why) {
#ifdef MICA_WITH_CUDA
  Backend* found = cuda::cuda_backend(device.index);
  if (found == nullptr) why = cuda::why_no_device();
  return found;
#else
  static_cast<void>(device);
  why = "this build has no CUDA: configure it with -DMICA_CUDA=ON";
  return nullptr;
#endif
}

// The CPU's backend is named here rather than registering itself: the call keeps it from being dropped by the linker,
// and it is there whenever static initialisers ask for it.
Backend& backend(Device device) {
  if (device.is_cpu()) return cpu_backend();
  Registry& known = registry();
  const std::scoped_lock lock(known.mutex);
  const auto found = std::find_if(known.backends.begin(), known.backends.end(),
                                  [&](const Backend* candidate) { return candidate->device() == device; });
  if (found != known.backends.end()) return **found;
  std::string why;
  Backend* made = find_on_machine(device, why);
  if (made == nullptr) throw Error("no device " + to_string(device), why, "use cpu, or a machine with this device");
  return *made;
}

std::unique_ptr<Recording> Backend::record(const std::function<void()>& /*work*/) {
  throw Error("recorded work on " + to_string(device()), "record", "use a device that records: a GPU");
}

void Backend::find_collective() {
  throw Error("no way from " + to_string(device()) + " to devices of other processes", "collective",
              "train with one process, or on devices that have one: GPUs");
}

GroupId Backend::make_group_id() {
  find_collective();
  return {};
}

std::unique_ptr<Collective> Backend::join_group(const GroupId& /*id*/, int /*rank*/, int /*size*/) {
  find_collective();
  return nullptr;
}

void register_backend(Backend& backend) {
  Registry& known = registry();
  const std::scoped_lock lock(known.mutex);
  const Device device = backend.device();
  std::erase_if(known.backends, [&](const Backend* candidate) { return candidate->device() == device; });
  known.backends.push_back(&backend);
}

void unsupported(const char* kernel, DType dtype, Device device) {
  throw Error("kernel " + std::string(kernel) + " does not support " + std::string(name(dtype)), to_string(device),
              "convert to float32 first");
}

}  // namespace mica
