// Processes with a device each, as threads: what NCCL moves between GPUs, its stand-in moves between emulated ones. On
// machines with two GPUs these are the tests of NCCL.

#include "mica/training/distributed/device_group.h"

#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "mica/autograd/tape.h"
#include "mica/kernels/backend.h"
#include "mica/tests/support/tiny_model.h"
#include "mica/tests/training/group.h"
#include "mica/tests/training/learning.h"
#include "mica/training/distributed/gradient_buckets.h"

namespace mica {
namespace {

using test::all_parameters;
using test::case_named;
using test::Collator;
using test::in_group;
using test::logged;
using test::model_of;
using test::rows_of;
using test::settings;

using Group = std::shared_ptr<Communicator>;

Device cuda(int index) {
  return {DeviceType::cuda, index};
}

class DeviceGroup : public ::testing::Test {
 protected:
  void SetUp() override {
    try {
      backend(cuda(1));
    } catch (const Error&) {
      GTEST_SKIP() << "there are no two devices";
    }
  }
  tiny::TemporaryFolder folder_;
};

template <typename T>
Tensor on(Device device, const std::vector<T>& values, DType dtype) {
  return Tensor::from(values).to(dtype).to(device);
}

TEST_F(DeviceGroup, SumsGatheringsAndBroadcastsGoBetweenDevices) {
  const auto errors = in_group(2, [](const Group& host) {
    const int rank = host->rank();
    const Device mine = cuda(rank);
    const Group group = with_device(host, mine);
    EXPECT_TRUE(group->supports(mine));
    EXPECT_TRUE(group->supports(Device{}));
    EXPECT_EQ(with_device(group, mine), group);
    for (const DType dtype : {DType::float32, DType::float64, DType::float16, DType::bfloat16, DType::int64}) {
      SCOPED_TRACE(name(dtype));
      const Tensor values = on<double>(mine, {1.0 + rank, 2, -3.0 * rank}, dtype);
      group->all_reduce(values);
      EXPECT_EQ(values.device(), mine);
      EXPECT_EQ(values.to_vector<double>(), (std::vector<double>{3, 4, -3}));
      const Tensor all = Tensor::zeros({2, 3}, dtype, mine);
      group->all_gather(on<double>(mine, {5.0 + rank, 6, 7}, dtype), all);
      EXPECT_EQ(all.to_vector<double>(), (std::vector<double>{5, 6, 7, 6, 6, 7}));
      const Tensor told = on<double>(mine, {10.0 * rank, 1}, dtype);
      group->broadcast(told, 1);
      EXPECT_EQ(told.to_vector<double>(), (std::vector<double>{10, 1}));
    }
    const Tensor on_host = Tensor::from(std::vector<int64_t>{rank + 1});
    group->all_reduce(on_host);
    EXPECT_EQ(on_host.item<int64_t>(), 3);
    EXPECT_THROW(group->all_reduce(Tensor::zeros({2}, DType::uint8, mine)), Error);
    EXPECT_THROW(group->all_reduce(Tensor::zeros({2}, DType::float32, cuda(1 - rank))), Error);
    group->barrier();
  });
  EXPECT_EQ(errors, std::vector<std::string>(2));
}

TEST_F(DeviceGroup, UnlikeCallsAreAnErrorEverywhere) {
  const auto errors = in_group(2, [](const Group& host) {
    const Group group = with_device(host, cuda(host->rank()));
    group->all_reduce(Tensor::zeros({host->rank() + 2}, DType::float32, cuda(host->rank())));
  });
  for (const std::string& each : errors) EXPECT_NE(each.find("NCCL"), std::string::npos) << each;
}

TEST_F(DeviceGroup, OneDeviceForTwoIsAnError) {
  if (std::getenv("MICA_TEST_DEVICE") != nullptr) GTEST_SKIP() << "NCCL itself refuses it when the group is formed";
  const auto errors = in_group(2, [](const Group& host) {
    const Group group = with_device(host, cuda(0));
    group->all_reduce(Tensor::zeros({2}, DType::float32, cuda(0)));
  });
  for (const std::string& each : errors) EXPECT_NE(each.find("two ranks on one device"), std::string::npos) << each;
}

TEST_F(DeviceGroup, DevicesForSomeAreAnError) {
  const auto errors = in_group(2, [](const Group& host) { with_device(host, host->rank() == 0 ? Device{} : cuda(1)); });
  for (const std::string& each : errors) EXPECT_NE(each.find("--device"), std::string::npos) << each;
}

TEST_F(DeviceGroup, WhoFailsWakesTheOthers) {
  const auto errors = in_group(2, [](const Group& host) {
    const Group group = with_device(host, cuda(host->rank()));
    if (host->rank() == 1) return group->fail("no more rows");
    group->all_reduce(Tensor::zeros({2}, DType::float32, cuda(0)));
  });
  EXPECT_NE(errors[0].find("NCCL"), std::string::npos) << errors[0];
  EXPECT_EQ(errors[1], "");
}

// A device of no kind that has a way to others.
TEST_F(DeviceGroup, ADeviceWithoutAWayToOthersIsAnError) {
  const auto errors = in_group(2, [](const Group& host) { with_device(host, test::guarded_device()); });
  for (const std::string& each : errors) EXPECT_NE(each.find("no way from cuda:9"), std::string::npos) << each;
}

// ---- training

ModelInputs batch_of(const Json& which, int64_t begin, int64_t end) {
  const Dataset rows = rows_of(which);
  std::vector<Example> taken;
  for (int64_t i = begin; i < end; ++i) taken.push_back(rows[i]);
  return Collator(true)(taken);
}

std::vector<Tensor> parameters_of(const Model& model) {
  std::vector<Tensor> result;
  for (const auto& [name, tensor] : model.parameters()) result.push_back(tensor);
  return result;
}

// Each process's loss is the mean over its rows, of which there are as many: the mean of the gradients is that of the
// whole batch's mean. In another order of sums: each of some dozens of terms, whose roundings differ by 2^-24 of their
// partial sums, which may be as large as any gradient where the sum is not: keys' biases have none but by rounding.
TEST_F(DeviceGroup, MeanGradientsAreThoseOfTwiceTheBatch) {
  const Json& which = case_named("bert");
  std::vector<std::vector<float>> wanted;
  float most = 0;
  {
    const Model model = model_of(which, cuda(0));
    backward(model(batch_of(which, 0, 8)).loss);
    for (const Tensor& each : parameters_of(model)) {
      wanted.push_back(each.grad() ? each.grad().to_vector<float>() : std::vector<float>());
      for (const float element : wanted.back()) most = std::max(most, std::abs(element));
    }
  }
  const auto errors = in_group(2, [&](const Group& host) {
    const int rank = host->rank();
    const Group group = with_device(host, cuda(rank));
    const Model model = model_of(which, cuda(rank));
    const std::vector<Tensor> parameters = parameters_of(model);
    std::vector<size_t> order(parameters.size());
    std::iota(order.begin(), order.end(), size_t{0});
    GradientBuckets buckets(group, parameters, order);
    EXPECT_GT(buckets.count(), 1U);
    buckets.begin();
    backward(model(batch_of(which, 4 * rank, 4 * rank + 4)).loss);
    buckets.finish();
    for (size_t i = 0; i < parameters.size(); ++i) {
      ASSERT_EQ(static_cast<bool>(parameters[i].grad()), !wanted[i].empty());
      if (wanted[i].empty()) continue;
      EXPECT_EQ(parameters[i].grad().device(), cuda(rank));
      const std::vector<float> have = parameters[i].grad().to_vector<float>();
      for (size_t k = 0; k < have.size(); ++k) {
        ASSERT_NEAR(have[k] / 2, wanted[i][k], 64 * 0x1p-24 * static_cast<double>(most)) << "parameter " << i;
      }
    }
  });
  EXPECT_EQ(errors, std::vector<std::string>(2));
}

// Says what is asked of a group.
class Watched final : public Communicator {
 public:
  explicit Watched(Group group) : group_(std::move(group)) {}
  int rank() const override { return group_->rank(); }
  int size() const override { return group_->size(); }
  bool supports(Device device) const override { return group_->supports(device); }
  void all_reduce(const Tensor& values) override { group_->all_reduce(values); }
  void begin_all_reduce(const Tensor& values) override {
    ++begun;
    group_->begin_all_reduce(values);
  }
  void join() override {
    joined_after.push_back(begun);
    group_->join();
  }
  void all_gather(const Tensor& mine, const Tensor& all) override { group_->all_gather(mine, all); }
  void broadcast(const Tensor& values, int root) override { group_->broadcast(values, root); }
  void barrier() override { group_->barrier(); }
  void fail(const std::string& reason) noexcept override { group_->fail(reason); }

  size_t begun = 0;
  std::vector<size_t> joined_after;

 private:
  Group group_;
};

// The device's queue goes on until the last bucket is on its way.
TEST_F(DeviceGroup, AQueueIsJoinedOnceAStep) {
  const auto errors = in_group(2, [](const Group& host) {
    const Device mine = cuda(host->rank());
    const auto watched = std::make_shared<Watched>(with_device(host, mine));
    std::vector<Tensor> parameters;
    for (int i = 0; i < 8; ++i) {
      parameters.push_back(Tensor::full({4}, i, DType::float32, mine).set_requires_grad());
      parameters.back().set_grad(Tensor::full({4}, i + host->rank(), DType::float32, mine));
    }
    GradientBuckets buckets(watched, parameters, {0, 1, 2, 3, 4, 5, 6, 7});
    ASSERT_GT(buckets.count(), 1U);
    buckets.begin();
    for (const Tensor& each : parameters) buckets.ready(*each.autograd_meta());
    buckets.finish();
    EXPECT_EQ(watched->joined_after, std::vector<size_t>{buckets.count()});
    for (int i = 0; i < 8; ++i) {
      EXPECT_EQ(parameters[static_cast<size_t>(i)].grad().to_vector<float>(),
                std::vector<float>(4, static_cast<float>(2 * i + 1)));
    }
  });
  EXPECT_EQ(errors, std::vector<std::string>(2));
}

// Added in the order of ranks, as one process adds its batches.
TEST_F(DeviceGroup, TwoDevicesTrainToTheBitsOfOneThatAccumulatesTwice) {
  for (const char* type : {"bert", "gpt2"}) {
    SCOPED_TRACE(type);
    const Json& which = case_named(type);
    const Dataset rows = rows_of(which);
    const auto run = [&](int processes, int64_t accumulate) {
      TrainingArguments arguments = settings(folder_.path());
      arguments.per_device_train_batch_size = 2;
      arguments.gradient_accumulation_steps = accumulate;
      arguments.train_sampling_strategy = SamplingStrategy::random;
      arguments.max_steps = 3;
      std::vector<std::vector<float>> results(static_cast<size_t>(processes));
      const auto errors = in_group(processes, [&](const Group& group) {
        const Model model = model_of(which, cuda(group->rank()));
        Trainer trainer(model, arguments, rows,
                        {.data_collator = std::make_shared<Collator>(true), .communicator = group});
        trainer.train();
        results[static_cast<size_t>(group->rank())] = all_parameters(model);
      });
      EXPECT_EQ(errors, std::vector<std::string>(static_cast<size_t>(processes)));
      return results;
    };
    const auto two = run(2, 1);
    EXPECT_EQ(two[0], two[1]);
    const auto one = run(1, 2)[0];
    ASSERT_EQ(two[0].size(), one.size());
    // Tied weights get their two gradients in another order.
    if (std::string(type) == "bert") {
      EXPECT_EQ(two[0], one);
      continue;
    }
    for (size_t i = 0; i < one.size(); ++i) ASSERT_NEAR(two[0][i], one[i], 1e-5) << i;
  }
}

}  // namespace
}  // namespace mica
