// The NCCL of this machine.

#include "mica/kernels/cuda/nccl.h"

namespace mica::cuda {

const Nccl& nccl() {
  static constexpr const char* kNames[] = {"libnccl.so.2"};
  static const Nccl found = load_nccl(kNames);  // a failure is tried again by the next call
  return found;
}

}  // namespace mica::cuda
