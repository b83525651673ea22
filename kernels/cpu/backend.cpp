#include "mica/kernels/cpu/backend.h"

#include <memory>

namespace mica {
namespace {

// A value whose destructor never runs.
struct Immortal {
  union {
    CpuBackend value;
  };
  Immortal() { std::construct_at(&value); }
  Immortal(const Immortal&) = delete;
  Immortal& operator=(const Immortal&) = delete;
  ~Immortal() {}
};

}  // namespace

Backend& cpu_backend() {
  static Immortal instance;
  return instance.value;
}

}  // namespace mica
