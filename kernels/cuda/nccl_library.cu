// Opening NCCL. It is no part of the CUDA toolkit, and a program that was built on a machine without it finds it where
// it runs.

#include <string>
#include <type_traits>

#include <dlfcn.h>

#include "mica/base/error.h"
#include "mica/kernels/cuda/nccl.h"

namespace mica::cuda {

Nccl load_nccl(std::span<const char* const> names) {
  constexpr const char* kMend =
      "install NCCL 2 (Debian: libnccl2; pip: nvidia-nccl-cu13), name its folder in LD_LIBRARY_PATH, or train with one "
      "process";
  void* library = nullptr;
  std::string problem;
  for (const char* name : names) {
    if (library != nullptr) break;
    library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr && problem.empty()) problem = dlerror();
  }
  if (library == nullptr) {
    throw Error("several processes with tensors on GPUs, and no libnccl.so.2: " + printable(problem, 300), "NCCL",
                kMend);
  }
  Nccl result;
  const auto find = [&](const char* name, auto& function) {
    void* symbol = dlsym(library, name);
    if (symbol == nullptr) throw Error("libnccl.so.2 lacks " + std::string(name), "NCCL", kMend);
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(symbol);
  };
  find("ncclGetUniqueId", result.get_unique_id);
  find("ncclCommInitRank", result.init_rank);
  find("ncclCommDestroy", result.destroy);
  find("ncclCommAbort", result.abort);
  find("ncclCommGetAsyncError", result.async_error);
  find("ncclGetErrorString", result.error_string);
  find("ncclAllReduce", result.all_reduce);
  find("ncclAllGather", result.all_gather);
  find("ncclBroadcast", result.broadcast);
  return result;
}

}  // namespace mica::cuda
