#include "mica/training/distributed/launched_group.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>

#include <dlfcn.h>
#include <unistd.h>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/training/distributed/mpi/mpi_table.h"

namespace mica {
namespace {

constexpr int64_t kMostBytes = int64_t{1} << 30;  // of one call: MPI counts in int

class MpiCommunicator final : public Communicator {
 public:
  explicit MpiCommunicator(const MpiTable& mpi) : mpi_(mpi) {}
  ~MpiCommunicator() override { mpi_.finish(failed_ ? 1 : 0); }

  int rank() const override { return mpi_.rank; }
  int size() const override { return mpi_.size; }
  bool supports(Device device) const override { return device.is_cpu(); }

  void all_reduce(const Tensor& values) override {
    const int number = number_of(values.dtype());
    const int64_t item = item_size(values.dtype());
    in_pieces(values.numel(), kMostBytes / item, [&](int64_t begin, int count, void** request) {
      return mpi_.all_reduce(at(values, begin * item), count, number, request);
    });
  }
  void all_gather(const Tensor& mine, const Tensor& all) override {
    const int64_t bytes = bytes_of(mine);
    if (all.numel() != mine.numel() * size() || all.dtype() != mine.dtype() || bytes > kMostBytes / size()) {
      throw Error("room for " + std::to_string(all.numel()) + " values", "communicator, all_gather",
                  "give it [size, ...], at most 1 GiB");
    }
    wait([&](void** request) {
      return mpi_.all_gather(mine.raw_data(), all.raw_data(), static_cast<int>(bytes), request);
    });
  }
  void broadcast(const Tensor& values, int root) override {
    in_pieces(bytes_of(values), kMostBytes, [&](int64_t begin, int count, void** request) {
      return mpi_.broadcast(at(values, begin), count, root, request);
    });
  }
  void barrier() override { wait(mpi_.barrier); }
  void fail(const std::string& /*reason*/) noexcept override { failed_ = true; }

 private:
  static int64_t bytes_of(const Tensor& tensor) { return tensor.numel() * item_size(tensor.dtype()); }
  static void* at(const Tensor& tensor, int64_t byte) { return static_cast<char*>(tensor.raw_data()) + byte; }
  static int number_of(DType dtype) {
    switch (dtype) {
      case DType::float32:
        return kMpiFloat32;
      case DType::float64:
        return kMpiFloat64;
      case DType::int64:
        return kMpiInt64;
      default:
        throw Error("sums of " + std::string(name(dtype)), "communicator", "add up float32, float64 or int64");
    }
  }

  template <typename Begin>
  void in_pieces(int64_t count, int64_t most, const Begin& begin) {
    for (int64_t first = 0; first < count; first += most) {
      const auto piece = static_cast<int>(std::min(most, count - first));
      wait([&](void** request) { return begin(first, piece, request); });
    }
  }

  // MPI moves data while it is asked whether it is done. Asked without pause it would take a core from those who
  // compute; what takes longer is asked for now and then.
  template <typename Begin>
  void wait(const Begin& begin) {
    if (failed_) throw Error("this process has failed before", "communicator", "start all processes again");
    void* request = nullptr;
    check(begin(&request));
    int done = 0;
    for (int asked = 0; done == 0; ++asked) {
      check(mpi_.poll(request, &done));
      if (done != 0) return;
      if (asked < 100) {
        std::this_thread::yield();
      } else {
        std::this_thread::sleep_for(std::chrono::microseconds(20));
      }
    }
  }
  static std::string text_of(const MpiTable& mpi, int code) {
    char text[500] = "";
    mpi.describe(code, text, sizeof text);
    return text;
  }
  void check(int code) {
    if (code == 0) return;
    failed_ = true;
    throw Error("the processes lost each other: " + printable(text_of(mpi_, code), 300), "MPI",
                "start all processes again; --resume_from_checkpoint true goes on from the last checkpoint");
  }

  MpiTable mpi_;
  std::atomic<bool> failed_ = false;
};

int number_in(const char* variable) {
  const char* text = std::getenv(variable);
  return text == nullptr ? 0 : std::atoi(text);
}

// Processes of this job, by what launchers say: Open MPI's mpirun, those of MPICH, Intel and others, Slurm's srun.
int launched_processes() {
  return std::max({number_in("OMPI_COMM_WORLD_SIZE"), number_in("PMI_SIZE"), number_in("SLURM_STEP_NUM_TASKS")});
}

std::string program_folder() {
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path);
  const std::string program(path, length > 0 ? static_cast<size_t>(length) : 0);
  return program.substr(0, program.rfind('/') == std::string::npos ? 0 : program.rfind('/'));
}

void* open_library(std::string* problem) {
  constexpr const char* kName = "libmica_mpi.so";
  std::vector<std::string> paths;
  if (const char* given = std::getenv("MICA_MPI_LIBRARY")) {
    paths.emplace_back(given);
  } else {
    const std::string folder = program_folder();
    for (const char* place : {".", "../" MICA_LIBRARY_FOLDER, "../lib"}) {
      std::string path = join_path(join_path(folder, place), kName);
      if (file_exists(path)) paths.push_back(std::move(path));
    }
    paths.emplace_back(kName);  // wherever the system looks
  }
  for (const std::string& path : paths) {
    // Plug-ins of MPI look for the symbols of MPI among those that all see.
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (library != nullptr) return library;
    if (problem->empty()) *problem = dlerror();
  }
  return nullptr;
}

std::shared_ptr<Communicator> start() {
  const int launched = launched_processes();
  if (launched <= 1) return nullptr;
  const std::string what = "a launcher of MPI started " + std::to_string(launched) + " processes";
  std::string problem;
  void* library = open_library(&problem);
  if (library == nullptr) {
    throw Error(what + ", but this mica has no MPI: " + printable(problem, 300), "training together",
                "build mica where MPI is installed (libopenmpi-dev), name its libmica_mpi.so in MICA_MPI_LIBRARY, or "
                "start one process");
  }
  const auto begin = reinterpret_cast<MpiStart>(dlsym(library, "mica_mpi_start"));
  MpiTable table{};
  char text[500] = "it is none of mica's";
  if (begin == nullptr || begin(kMpiTableVersion, &table, text, sizeof text) != 0) {
    throw Error(what + ", but libmica_mpi.so does not start: " + printable(text, 300), "training together",
                "build it with this mica and with the MPI that started it");
  }
  auto group = std::make_shared<MpiCommunicator>(table);
  if (group->size() != launched) {
    throw Error(what + ", but MPI knows of " + std::to_string(group->size()), "training together",
                "take the mpirun of the MPI that libmica_mpi.so was built with");
  }
  return group;
}

}  // namespace

// Of the same launchers as launched_processes().
int local_rank() {
  return std::max(
      {number_in("OMPI_COMM_WORLD_LOCAL_RANK"), number_in("MPI_LOCALRANKID"), number_in("SLURM_LOCALID"), 0});
}

std::shared_ptr<Communicator> launched_group() {
  static const std::shared_ptr<Communicator> group = start();
  return group;
}

}  // namespace mica
