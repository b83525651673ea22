#include "mica/training/distributed/device_group.h"

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "mica/kernels/backend.h"
#include "mica/kernels/collective.h"

namespace mica {
namespace {

class DeviceCommunicator final : public Communicator {
 public:
  DeviceCommunicator(std::shared_ptr<Communicator> group, Device device, std::unique_ptr<Collective> between)
      : group_(std::move(group)), device_(device), between_(std::move(between)) {}

  int rank() const override { return group_->rank(); }
  int size() const override { return group_->size(); }
  bool supports(Device device) const override { return device == device_ || group_->supports(device); }

  void all_reduce(const Tensor& values) override {
    if (values.device() != device_) return host(values).all_reduce(values);
    between_->all_reduce(values.view());
  }
  void begin_all_reduce(const Tensor& values) override {
    if (values.device() != device_) return host(values).begin_all_reduce(values);
    between_->begin_all_reduce(values.view());
  }
  void join() override {
    group_->join();
    between_->join();
  }
  void all_gather(const Tensor& mine, const Tensor& all) override {
    if (mine.device() != device_) return host(mine).all_gather(mine, all);
    if (all.device() != device_ || all.numel() != mine.numel() * size() || all.dtype() != mine.dtype()) {
      throw Error("room for " + std::to_string(all.numel()) + " values", "communicator, all_gather",
                  "give it [size, ...], on the same device");
    }
    between_->all_gather(mine.view(), all.view());
  }
  void broadcast(const Tensor& values, int root) override {
    if (values.device() != device_) return host(values).broadcast(values, root);
    between_->broadcast(values.view(), root);
  }
  void barrier() override { group_->barrier(); }
  void fail(const std::string& reason) noexcept override {
    group_->fail(reason);
    between_->abort();
  }

 private:
  Communicator& host(const Tensor& values) const {
    if (group_->supports(values.device())) return *group_;
    throw Error("a tensor on " + to_string(values.device()), "communicator",
                "this group's tensors lie on " + to_string(device_) + " or on the host");
  }

  std::shared_ptr<Communicator> group_;
  Device device_;
  std::unique_ptr<Collective> between_;
};

}  // namespace

std::shared_ptr<Communicator> with_device(std::shared_ptr<Communicator> group, Device device) {
  if (size_of(group) == 1) return group;
  const Tensor all = Tensor::from(std::vector<int64_t>{group->supports(device) ? 0 : 1});
  group->all_reduce(all);
  const auto count = all.item<int64_t>();
  if (count == 0) return group;
  GroupId id{};
  together(group, [&] {
    if (count != group->size()) {
      throw Error("some processes of a group are on GPUs and some are not", "training together",
                  "start all with the same --device");
    }
    backend(device).find_collective();  // of everyone: who lacks it would be waited for
    if (group->rank() == 0) id = backend(device).make_group_id();
  });
  const Tensor bytes = Tensor::zeros({static_cast<int64_t>(id.size())}, DType::uint8);
  std::memcpy(bytes.raw_data(), id.data(), id.size());
  group->broadcast(bytes, 0);
  std::memcpy(id.data(), bytes.raw_data(), id.size());
  std::unique_ptr<Collective> between;
  together(group, [&] { between = backend(device).join_group(id, group->rank(), group->size()); });
  return std::make_shared<DeviceCommunicator>(std::move(group), device, std::move(between));
}

}  // namespace mica
