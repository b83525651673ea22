#pragma once
// Recording on again inside of NoGrad.

namespace mica {

/// While alive, ops record themselves on this thread, whatever NoGrad stands around it.
class EnableGrad {
 public:
  EnableGrad();
  ~EnableGrad();
  EnableGrad(const EnableGrad&) = delete;
  EnableGrad& operator=(const EnableGrad&) = delete;

 private:
  bool previous_;
};

}  // namespace mica
