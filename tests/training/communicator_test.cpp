// Groups of threads: what they send each other, and that nobody waits for one that is lost.

#include "mica/training/distributed/communicator.h"

#include <gtest/gtest.h>

#include "mica/tests/training/group.h"

namespace mica {
namespace {

using test::in_group;

TEST(CommunicatorThreads, SumsGathersAndBroadcasts) {
  const auto errors = in_group(3, [](const std::shared_ptr<Communicator>& group) {
    const int rank = group->rank();
    ASSERT_EQ(group->size(), 3);
    for (int round = 0; round < 20; ++round) {
      const Tensor sums = Tensor::from(std::vector<float>{1.5F * static_cast<float>(rank), 2});
      group->all_reduce(sums);
      EXPECT_EQ(sums.to_vector<float>(), (std::vector<float>{4.5F, 6}));
      const Tensor all = Tensor::zeros({3, 1}, DType::int64);
      group->all_gather(Tensor::from(std::vector<int64_t>{10 + rank}), all);
      EXPECT_EQ(all.to_vector<int64_t>(), (std::vector<int64_t>{10, 11, 12}));
      const Tensor values = Tensor::from(std::vector<double>{0.25 * rank});
      group->broadcast(values, 2);
      EXPECT_EQ(values.item<double>(), 0.5);
      EXPECT_EQ(broadcast_text(group, rank == 0 ? "first" : "other"), "first");
      EXPECT_EQ(broadcast_text(group, rank == 0 ? "" : "other"), "");
      group->barrier();
    }
  });
  EXPECT_EQ(errors, (std::vector<std::string>(3)));
}

TEST(CommunicatorThreads, AFailureIsThrownByAllAndTheyGoOn) {
  in_group(3, [](const std::shared_ptr<Communicator>& group) {
    for (int round = 0; round < 3; ++round) {
      together(group, [] {});
      try {
        together(group, [&] {
          if (group->rank() > 0) throw Error("rank " + std::to_string(group->rank()), "here", "so");
        });
        ADD_FAILURE() << "no error";
      } catch (const GroupError& error) {
        EXPECT_EQ(error.failed_rank(), 1);
        EXPECT_EQ(error.problem(), "rank 1");
        EXPECT_EQ(error.where(), "here");
        EXPECT_EQ(error.mend(), "so");
      }
    }
  });
}

TEST(CommunicatorThreads, NobodyWaitsForOneThatIsGone) {
  auto errors = in_group(3, [](const std::shared_ptr<Communicator>& group) {
    group->barrier();
    if (group->rank() != 1) group->barrier();
  });
  EXPECT_EQ(errors[1], "");
  for (const size_t rank : {0U, 2U}) EXPECT_NE(errors[rank].find("process 1 of the group is gone"), std::string::npos);
  errors = in_group(2, [](const std::shared_ptr<Communicator>& group) {
    if (group->rank() == 1) return group->fail("no more");
    group->barrier();
  });
  EXPECT_NE(errors[0].find("process 1 of the group failed: no more"), std::string::npos);
}

TEST(CommunicatorThreads, DifferentCallsAreAnErrorEverywhere) {
  const auto errors = in_group(
      2, [](const std::shared_ptr<Communicator>& group) { group->all_reduce(Tensor::zeros({3 + group->rank()})); });
  for (const std::string& each : errors) EXPECT_NE(each.find("different things"), std::string::npos) << each;
}

}  // namespace
}  // namespace mica
