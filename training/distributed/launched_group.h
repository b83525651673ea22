#pragma once
// The group of processes that mpirun, or another launcher of MPI programs, started.

#include <memory>

#include "mica/training/distributed/communicator.h"

namespace mica {

/// The communicator of all processes of this job, the same one at every call; null where no launcher started several.
/// MPI is started by the first call, on the thread that makes it, and ended when the program ends: with the whole job
/// at once after fail(). Throws Error where several were started and libmica_mpi.so, which knows MPI, is not found
/// (beside the program, in the library folder, or where MICA_MPI_LIBRARY says), or is of another MPI than the launcher:
/// otherwise each would go its own way.
std::shared_ptr<Communicator> launched_group();

/// Which of the job's processes on this machine this is, from 0 on, by what the launcher says; 0 where it says nothing.
int local_rank();

}  // namespace mica
