#pragma once
// The words that mark functions for the GPU. nvcc knows them; for the host compiler, which compiles the same sources
// for emulation, they mean nothing.

#ifdef __CUDACC__
#include <cuda_runtime.h>
#else
#ifndef MICA_EMULATED
#error "the CUDA kernels are compiled by nvcc, or for emulation with MICA_EMULATED"
#endif
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#endif
