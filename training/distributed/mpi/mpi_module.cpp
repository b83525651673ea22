// libmica_mpi.so: MPI behind the table of mpi_table.h.

#include <cstdio>
#include <string>

#include <mpi.h>

#include "mica/training/distributed/mpi/mpi_table.h"

namespace {

MPI_Comm world = MPI_COMM_NULL;  // a copy of MPI_COMM_WORLD that is mica's own

int begun(int code, MPI_Request* made, void** request) {
  if (code == MPI_SUCCESS) {
    *request = made;
  } else {
    delete made;
  }
  return code;
}

MPI_Datatype type_of(int number) {
  return number == kMpiFloat32 ? MPI_FLOAT : number == kMpiFloat64 ? MPI_DOUBLE : MPI_INT64_T;
}

int all_reduce(void* values, int count, int number, void** request) {
  auto* made = new MPI_Request;
  return begun(MPI_Iallreduce(MPI_IN_PLACE, values, count, type_of(number), MPI_SUM, world, made), made, request);
}

int all_gather(const void* mine, void* all, int bytes, void** request) {
  auto* made = new MPI_Request;
  return begun(MPI_Iallgather(mine, bytes, MPI_BYTE, all, bytes, MPI_BYTE, world, made), made, request);
}

int broadcast(void* values, int bytes, int root, void** request) {
  auto* made = new MPI_Request;
  return begun(MPI_Ibcast(values, bytes, MPI_BYTE, root, world, made), made, request);
}

int barrier(void** request) {
  auto* made = new MPI_Request;
  return begun(MPI_Ibarrier(world, made), made, request);
}

int poll(void* request, int* done) {
  auto* made = static_cast<MPI_Request*>(request);
  const int code = MPI_Test(made, done, MPI_STATUS_IGNORE);
  if (code != MPI_SUCCESS || *done != 0) delete made;
  return code;
}

void describe(int code, char* text, int room) {
  char described[MPI_MAX_ERROR_STRING + 1] = "";
  int length = 0;
  MPI_Error_string(code, described, &length);
  std::snprintf(text, static_cast<size_t>(room), "%s", described);
}

void finish(int failed) {
  if (failed != 0) MPI_Abort(MPI_COMM_WORLD, 1);
  MPI_Finalize();
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int mica_mpi_start(int version, MpiTable* table, char* problem,
                                                                     int room) {
  const auto refuse = [&](const std::string& why) {
    std::snprintf(problem, static_cast<size_t>(room), "%s", why.c_str());
    return 1;
  };
  if (version != kMpiTableVersion) return refuse("it is of another version of mica");
  int given = MPI_THREAD_SINGLE;
  // One thread at a time calls, but not always the same.
  if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &given) != MPI_SUCCESS) return refuse("MPI_Init failed");
  if (given < MPI_THREAD_SERIALIZED) return refuse("this MPI may be used from its first thread alone");
  if (MPI_Comm_dup(MPI_COMM_WORLD, &world) != MPI_SUCCESS) return refuse("MPI_Comm_dup failed");
  MPI_Comm_set_errhandler(world, MPI_ERRORS_RETURN);
  MPI_Comm_rank(world, &table->rank);
  MPI_Comm_size(world, &table->size);
  table->all_reduce = all_reduce;
  table->all_gather = all_gather;
  table->broadcast = broadcast;
  table->barrier = barrier;
  table->poll = poll;
  table->describe = describe;
  table->finish = finish;
  return 0;
}
