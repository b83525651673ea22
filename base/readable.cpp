#include "mica/base/readable.h"

#include <cerrno>

#include <sys/mman.h>
#include <unistd.h>

namespace mica {

#ifdef MADV_POPULATE_READ
bool make_readable(const void* data, int64_t bytes) {
  if (bytes <= 0) return true;
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const uintptr_t before = reinterpret_cast<uintptr_t>(data) % page;
  char* const begin = const_cast<char*>(static_cast<const char*>(data)) - before;
  if (::madvise(begin, before + static_cast<uintptr_t>(bytes), MADV_POPULATE_READ) == 0) return true;
  return errno != EFAULT && errno != EHWPOISON && errno != ENOMEM;
}
#else
bool make_readable(const void* /*data*/, int64_t /*bytes*/) {
  return true;
}
#endif

}  // namespace mica
