#include "mica/base/readable.h"

#include <cerrno>

#include <sys/mman.h>
#include <unistd.h>

namespace mica {

#ifdef MADV_POPULATE_READ
bool make_readable(const void* data, int64_t bytes) {
  if (bytes <= 0) return true;
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(data) / page * page;
  const auto end = reinterpret_cast<uintptr_t>(data) + static_cast<uintptr_t>(bytes);
  if (::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_POPULATE_READ) == 0) return true;
  return errno != EFAULT && errno != EHWPOISON && errno != ENOMEM;
}
#else
bool make_readable(const void* /*data*/, int64_t /*bytes*/) {
  return true;
}
#endif

}  // namespace mica
