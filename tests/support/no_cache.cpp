// Tests leave nothing in the user's cache folder; those of the cache name one of their own.

#include <cstdlib>

namespace {
const bool kNoCache = ::setenv("MICA_CACHE_DIR", "", 1) == 0;
}  // namespace
