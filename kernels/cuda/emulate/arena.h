#pragma once
// The emulated device's memory: one reserved region that can be read and written while a kernel or a copy runs, and at
// no other time, so that a device pointer used on the host is a crash. Allocations are filled with bytes 0xff (NaN) and
// followed by bytes that nobody owns: the address sanitizer knows them, and they are looked at when the piece is freed.

#include <cstddef>
#include <cstdint>

namespace mica::cuda::emulate {

/// 256-byte aligned; null when the device (MICA_EMULATE_BYTES, 4 GiB at first) has no more.
void* arena_allocate(int64_t bytes);
/// Looks at the bytes behind the piece; what is wrong is thrown by the next check_arena().
void arena_free(void* data) noexcept;
void check_arena();
bool inside_allocation(const void* address, int64_t bytes);
bool inside_arena(const void* address);
int64_t arena_total();
int64_t arena_used();

/// While one lives, the arena can be read and written.
class OpenArena {
 public:
  OpenArena();
  ~OpenArena();
  OpenArena(const OpenArena&) = delete;
  OpenArena& operator=(const OpenArena&) = delete;
};

/// Reserved pages, readable and writable. Throws Error.
std::byte* map_region(int64_t bytes);

/// For the address sanitizer, where it is on.
void poison(void* data, int64_t bytes);
void unpoison(void* data, int64_t bytes);

}  // namespace mica::cuda::emulate
