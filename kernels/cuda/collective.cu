// Sums and copies between GPUs, by NCCL: one communicator a process. Bytes: an all-reduce of n bytes over p processes
// sends and receives 2 n (p - 1) / p of them over the links between the GPUs, and nothing through the host's memory;
// NCCL chooses rings or trees by the machine. A communicator has a stream of its own: a call waits there for the
// kernels that made its operands (an event of the device's stream), and the device's stream for the call, at once or,
// for sums that go on beside a backward pass, in join(). The links are busy then while the matrix units are. All calls
// are on that one stream, in the order that all processes have.

#include <algorithm>
#include <atomic>
#include <iterator>
#include <memory>
#include <string>

#include "mica/base/error.h"
#include "mica/kernels/collective.h"
#include "mica/kernels/cuda/backend.h"
#include "mica/kernels/cuda/event.h"
#include "mica/kernels/cuda/nccl.h"

namespace mica::cuda {
namespace {

constexpr const char* kMend = "start all processes again; NCCL_DEBUG=WARN makes NCCL say more";

void check(const Nccl& nccl, int result, const std::string& what) {
  if (result == kNcclSuccess) return;
  throw Error(what + ": " + printable(nccl.error_string(result), 300), "NCCL", kMend);
}

// The communicator's stream, and how it is ordered with the device's.
struct SideStream {
  SideStream() = default;
  ~SideStream() {
    destroy_event(given);
    destroy_event(done);
    destroy_stream(side);
  }
  SideStream(const SideStream&) = delete;
  SideStream& operator=(const SideStream&) = delete;

  Stream side = make_side_stream();
  Event given = make_event(), done = make_event();
};

class NcclCollective final : public Collective {
 public:
  NcclCollective(CudaDevice& device, const Nccl& nccl, NcclCommunicator communicator)
      : device_(device), nccl_(nccl), communicator_(communicator) {}
  ~NcclCollective() override {
    if (NcclCommunicator mine = communicator_.exchange(nullptr); mine != nullptr) {
      try {
        device_.enter();
        synchronize(order_.side);
        nccl_.destroy(mine);
      } catch (...) {  // work that failed: nobody waits for the others
        nccl_.abort(mine);
      }
    }
  }
  NcclCollective(const NcclCollective&) = delete;
  NcclCollective& operator=(const NcclCollective&) = delete;

  void all_reduce(const View& values) override {
    begin_all_reduce(values);
    join();
  }
  void begin_all_reduce(const View& values) override {
    const int type = type_of(values.dtype);
    if (type == kNcclUint8) unsupported("collective.all_reduce", values.dtype, device_.device());
    begin("a sum over the processes", [&](NcclCommunicator mine) {
      return nccl_.all_reduce(values.data, values.data, static_cast<size_t>(values.numel()), type, kNcclSum, mine,
                              order_.side);
    });
  }
  void join() override {
    device_.enter();
    record_event(order_.done, order_.side);
    wait_for_event(order_.done, device_.stream);
  }
  void all_gather(const View& given, const View& all) override {
    begin("a gathering over the processes", [&](NcclCommunicator mine) {
      return nccl_.all_gather(given.data, all.data, bytes_of(given), kNcclUint8, mine, order_.side);
    });
    join();
  }
  void broadcast(const View& values, int root) override {
    begin("a broadcast to the processes", [&](NcclCommunicator mine) {
      return nccl_.broadcast(values.data, values.data, bytes_of(values), kNcclUint8, root, mine, order_.side);
    });
    join();
  }
  void abort() noexcept override {
    if (NcclCommunicator mine = communicator_.exchange(nullptr); mine != nullptr) nccl_.abort(mine);
  }

 private:
  static size_t bytes_of(const View& view) { return static_cast<size_t>(view.numel() * item_size(view.dtype)); }
  // Of sums; others move as bytes.
  static int type_of(DType dtype) {
    switch (dtype) {
      case DType::float32:
        return kNcclFloat32;
      case DType::float64:
        return kNcclFloat64;
      case DType::float16:
        return kNcclFloat16;
      case DType::bfloat16:
        return kNcclBfloat16;
      case DType::int64:
        return kNcclInt64;
      default:
        return kNcclUint8;
    }
  }

  template <typename Call>
  void begin(const char* what, const Call& call) {
    NcclCommunicator mine = communicator_.load();
    if (mine == nullptr) throw Error("the group was given up", "NCCL", kMend);
    device_.enter();
    int earlier = kNcclSuccess;
    check(nccl_, nccl_.async_error(mine, &earlier), what);
    check(nccl_, earlier, std::string("before ") + what);
    record_event(order_.given, device_.stream);
    wait_for_event(order_.given, order_.side);
    check(nccl_, call(mine), what);
  }

  CudaDevice& device_;
  const Nccl& nccl_;
  SideStream order_;
  std::atomic<NcclCommunicator> communicator_;
};

}  // namespace

void CudaBackend::find_collective() {
  on_.enter();
  nccl();
}

GroupId CudaBackend::make_group_id() {
  on_.enter();
  const Nccl& functions = nccl();
  NcclId made{};
  check(functions, functions.get_unique_id(&made), "a name for the group");
  GroupId id;
  std::copy(std::begin(made.bytes), std::end(made.bytes), id.begin());
  return id;
}

std::unique_ptr<Collective> CudaBackend::join_group(const GroupId& id, int rank, int size) {
  on_.enter();
  const Nccl& functions = nccl();
  NcclId given{};
  std::copy(id.begin(), id.end(), std::begin(given.bytes));
  NcclCommunicator made = nullptr;
  check(functions, functions.init_rank(&made, size, given, rank),
        "process " + std::to_string(rank) + " with " + to_string(on_.device()) + " joins no group of " +
            std::to_string(size));
  return std::make_unique<NcclCollective>(on_, functions, made);
}

}  // namespace mica::cuda
