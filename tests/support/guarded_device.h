#pragma once
// Devices for tests made of the CPU's kernels: cuda:9, and cuda:8 whose activations are of the weights' dtype, as a
// GPU's are (float32 kernels see copies of what is narrower). Their memory can be read and written only while one of
// their kernels or copies runs: a floor above that dereferences a device's address crashes, and the crash says so.
// Every view that a kernel is given must lie in one live block of that memory.

#include <cstdint>

#include "mica/kernels/device.h"

namespace mica::test {

/// Each registers its device on the first call.
Device guarded_device();
Device narrow_guarded_device();

/// The device that MICA_TEST_DEVICE names, the CPU without it.
Device test_device();

/// Calls of Memory::copy_to_host and copy_from_host so far, of all threads.
int64_t copies_to_host();
int64_t copies_from_host();

}  // namespace mica::test
