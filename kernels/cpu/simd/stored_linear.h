#pragma once
// Linear layers on weights as they are stored: nothing is packed, nothing kept.

#include "mica/kernels/linear.h"

namespace mica::cpu::simd {

/// As LinearKernels::forward, for x of float32; the weight of any floating dtype and strides. The same bits as
/// packed_linear() gives with the weight packed in packed_dtype() of its dtype.
void linear(const View& x, const View& weight, const Epilogue& epilogue, const View& y);

}  // namespace mica::cpu::simd
