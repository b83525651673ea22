#pragma once
// NCCL: its C interface, as far as it is called, by our own declarations, so that building needs no header of it. Found
// when the program runs (nccl.cu); emulated devices have a stand-in (emulate/nccl.cpp).

#include <cstddef>
#include <span>

#include "mica/kernels/cuda/launch.h"

namespace mica::cuda {

struct NcclId {
  char bytes[128];
};
using NcclCommunicator = void*;

// Values of its enumerations, which are ints to the ABI.
constexpr int kNcclSuccess = 0, kNcclInvalidArgument = 4, kNcclInvalidUsage = 5, kNcclRemoteError = 6;
constexpr int kNcclSum = 0;
constexpr int kNcclUint8 = 1, kNcclInt64 = 4, kNcclFloat16 = 6, kNcclFloat32 = 7, kNcclFloat64 = 8, kNcclBfloat16 = 9;

/// Its functions; each gives an ncclResult_t.
struct Nccl {
  int (*get_unique_id)(NcclId* id) = nullptr;
  int (*init_rank)(NcclCommunicator* made, int size, NcclId id, int rank) = nullptr;
  int (*destroy)(NcclCommunicator) = nullptr;
  int (*abort)(NcclCommunicator) = nullptr;
  int (*async_error)(NcclCommunicator, int* result) = nullptr;
  const char* (*error_string)(int result) = nullptr;
  int (*all_reduce)(const void* from, void* to, size_t count, int type, int op, NcclCommunicator, Stream) = nullptr;
  int (*all_gather)(const void* from, void* to, size_t count, int type, NcclCommunicator, Stream) = nullptr;
  int (*broadcast)(const void* from, void* to, size_t count, int type, int root, NcclCommunicator, Stream) = nullptr;
};

/// Opens the first of these libraries that is there. Throws Error where none is, or it lacks a function.
Nccl load_nccl(std::span<const char* const> names);

/// The functions of this machine's NCCL, which stays open until the program ends; throws as load_nccl().
const Nccl& nccl();

}  // namespace mica::cuda
