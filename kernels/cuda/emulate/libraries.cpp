// Emulated devices have no libraries.

#include "mica/kernels/cuda/libraries.h"

namespace mica::cuda {

LibraryProducts* find_cublaslt(int /*index*/) {
  return nullptr;
}

}  // namespace mica::cuda
