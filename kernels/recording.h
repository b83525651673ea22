#pragma once
// Work of a device that was recorded (Backend::record): a step of kernels that the host starts with one call.

#include "mica/kernels/backend.h"

namespace mica {

/// The kernels that were recorded, with their operands: the same addresses in each replay. What is to differ from one
/// replay to the next lies in device memory that the kernels read. Memory that the work allocated stays the
/// recording's, also where the work freed it, and is given back with it; memory from before must outlive it.
class Recording {
 public:
  virtual ~Recording() = default;
  Recording() = default;
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;
  /// Puts the work on the queue once more.
  virtual void replay() = 0;
};

}  // namespace mica
