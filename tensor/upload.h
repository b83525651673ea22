#pragma once
// Tensors that are still on their way to a device.

#include "mica/tensor/tensor.h"

namespace mica {

/// As host.to(device), but it may return before the elements are there: whoever asks for a view of the result comes
/// after them. Nobody may write to the host's elements from here on. An Error of the copy is thrown where a view is
/// asked for.
Tensor upload(const Tensor& host, Device device);

}  // namespace mica
