#pragma once
// What libmica_mpi.so offers. That library is the one piece that is compiled against an MPI, and everything between it
// and mica is plain C: so mica runs where there is no MPI, and one mica serves with any, each having its own
// libmica_mpi.so.

#include <cstdint>

extern "C" {

enum { kMpiTableVersion = 1 };
enum MpiNumber { kMpiFloat32, kMpiFloat64, kMpiInt64 };

/// Calls return 0, or an MPI error code. Those that begin something give a request, which poll() frees once `done`.
struct MpiTable {
  int rank, size;
  int (*all_reduce)(void* values, int count, int number, void** request);
  int (*all_gather)(const void* mine, void* all, int bytes, void** request);
  int (*broadcast)(void* values, int bytes, int root, void** request);
  int (*barrier)(void** request);
  int (*poll)(void* request, int* done);
  void (*describe)(int code, char* text, int room);
  /// The end: all together, or, of one that failed, of the whole job at once.
  void (*finish)(int failed);
};

/// Starts MPI. Not 0: it cannot, and `problem` says why.
using MpiStart = int (*)(int version, MpiTable* table, char* problem, int room);
}
