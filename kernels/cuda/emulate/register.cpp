// Whoever links the emulated kernels has the devices cuda:0 and cuda:1.

#include "mica/kernels/cuda/find.h"
#include "mica/kernels/cuda/runtime.h"

namespace mica::cuda {
namespace {

const bool registered = [] {
  for (int index = 0; index < device_count(); ++index) register_backend(*cuda_backend(index));
  return true;
}();

}  // namespace
}  // namespace mica::cuda
