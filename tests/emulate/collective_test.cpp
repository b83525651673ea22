// Sums between devices beside the work on their queues: behind what made the values, before what reads them after
// join(), and nothing in between waits for them.

#include "mica/kernels/collective.h"

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "mica/kernels/backend.h"
#include "mica/kernels/cuda/emulate/runtime.h"
#include "mica/tensor/tensor.h"
#include "mica/tests/emulate/support.h"

namespace mica::cuda {
namespace {

using namespace test;
using Values = std::vector<float>;

// Both ranks, a thread and a device each.
void in_both(const std::function<void(int rank, Device device, Collective& group)>& body) {
  const GroupId id = backend({DeviceType::cuda, 0}).make_group_id();
  std::vector<std::string> errors(2);
  {
    std::vector<std::jthread> ranks;
    for (int rank = 0; rank < 2; ++rank) {
      ranks.emplace_back([&, rank] {
        errors[static_cast<size_t>(rank)] = error_of([&] {
          const Device device{DeviceType::cuda, rank};
          const std::unique_ptr<Collective> group = backend(device).join_group(id, rank, 2);
          body(rank, device, *group);
        });
      });
    }
  }
  EXPECT_EQ(errors, std::vector<std::string>(2));
}

TEST(CollectiveOrder, SumsThatWereBegunGoOnBesideOtherWork) {
  in_both([](int rank, Device device, Collective& group) {
    const Tensor values = Tensor::full({3}, 1 + rank, DType::float32, device);
    const Tensor more = Tensor::full({2}, 10 * rank, DType::float32, device);
    const Tensor other = Tensor::full({3}, 5, DType::float32, device);
    const int64_t before = emulate::host_waits();
    group.begin_all_reduce(values.view());
    group.begin_all_reduce(more.view());
    EXPECT_EQ(emulate::host_waits() - before, 0);
    EXPECT_EQ(other.to_vector<float>(), Values(3, 5));
    EXPECT_EQ(values.to_vector<float>(), Values(3, static_cast<float>(1 + rank)));  // not waited for, nor done
    group.join();
    EXPECT_EQ(values.to_vector<float>(), Values(3, 3));
    EXPECT_EQ(more.to_vector<float>(), Values(2, 10));
  });
}

TEST(CollectiveOrder, SumsWaitForWhatMadeTheValues) {
  emulate::set_side_late(false);
  in_both([](int rank, Device device, Collective& group) {
    const Tensor values = Tensor::full({3}, 1 + rank, DType::float32, device);
    group.begin_all_reduce(values.view());
    group.join();
    EXPECT_EQ(values.to_vector<float>(), Values(3, 3));
    const Tensor told = Tensor::full({3}, 7 + rank, DType::float32, device);
    group.broadcast(told.view(), 1);
    EXPECT_EQ(told.to_vector<float>(), Values(3, 8));
  });
  emulate::set_side_late(true);
}

}  // namespace
}  // namespace mica::cuda
