#pragma once
// The Error of a device that has no memory left.

#include "mica/base/error.h"

namespace mica {

class OutOfMemory : public Error {
 public:
  using Error::Error;
};

}  // namespace mica
