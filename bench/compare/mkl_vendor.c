// mkl_vendor.c: lets the MKL inside PyTorch use its AVX-512 and AVX2 kernels on an AMD processor.
//
// MKL asks these two functions whether the processor is Intel's and falls back to slower kernels where it is not,
// whatever instructions the processor has. Both are exported, so a preloaded library can answer instead. PyTorch is
// measured with this on AMD, because a comparison should meet each peer at its best. (LD_PRELOAD applies to the PyTorch
// worker alone.)
//
// Build: gcc -O2 -shared -fPIC mkl_vendor.c -o mkl_vendor.so

int mkl_serv_intel_cpu(void) { return 1; }
int mkl_serv_intel_cpu_true(void) { return 1; }
