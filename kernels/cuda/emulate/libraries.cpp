// Emulated devices have no libraries, unless a test puts one in their place.

#include "mica/kernels/cuda/emulate/libraries.h"

namespace mica::cuda {
namespace {

LibraryProducts* stand_in = nullptr;

}  // namespace

namespace emulate {

LibraryProducts* set_library(LibraryProducts* library) {
  LibraryProducts* const before = stand_in;
  stand_in = library;
  return before;
}

}  // namespace emulate

LibraryProducts* find_cublaslt(int /*index*/) {
  return stand_in;
}

}  // namespace mica::cuda
