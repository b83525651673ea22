#pragma once
// Whether memory can be read: a page of a mapped file that has become shorter, or whose disk fails, ends the program
// when it is touched.

#include <cstdint>

namespace mica {

/// Brings the pages of these bytes into memory; false where some cannot be read. Always true on systems that give no
/// answer (Linux before 5.14).
bool make_readable(const void* data, int64_t bytes);

}  // namespace mica
