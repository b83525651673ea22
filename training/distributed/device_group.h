#pragma once
// Groups of processes whose tensors lie on GPUs.

#include <memory>

#include "mica/kernels/device.h"
#include "mica/training/distributed/communicator.h"

namespace mica {

/// The group, for tensors on `device` as well: those go from device to device (kernels/collective.h: by NCCL), all
/// others as before. All processes must call it, each with a device of its own. The group itself where it supports the
/// device, or is null. Throws Error, on all of them, where one has no way between devices.
std::shared_ptr<Communicator> with_device(std::shared_ptr<Communicator> group, Device device);

}  // namespace mica
