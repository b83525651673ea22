#include "mica/training/schedule.h"

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/tests/training/support.h"

namespace mica {
namespace {

TEST(Schedule, FollowsTheReference) {
  const Json data = test::reference("schedules.json");
  const double rate = data["learning_rate"];
  int checked = 0;
  for (const Json& each : data["schedules"]) {
    SCOPED_TRACE(each.dump().substr(0, 120));
    const Schedule schedule = make_schedule(scheduler_type(each["name"].get<std::string>()), each["warmup"],
                                            data["steps"], rate, each["settings"].dump());
    for (size_t step = 0; step < each["rates"].size(); ++step) {
      const double want = each["rates"][step];
      // The reference's numbers are rounded to 15 digits; the cosines differ in their last places.
      EXPECT_NEAR(rate * schedule(static_cast<int64_t>(step)), want, 1e-16) << "step " << step;
      ++checked;
    }
  }
  EXPECT_EQ(checked, 32 * 30);
}

TEST(Schedule, PlateauFollowsTheReferenceAndGoesOnFromItsState) {
  const Json data = test::reference("schedules.json");
  const double rate = data["learning_rate"];
  ASSERT_EQ(data["plateaus"].size(), 3U);
  for (const Json& each : data["plateaus"]) {
    const auto make = [&] {
      return make_schedule(SchedulerType::reduce_lr_on_plateau, 0, 100, rate, each["settings"].dump());
    };
    Schedule schedule = make();
    EXPECT_TRUE(schedule.follows_metric());
    for (size_t i = 0; i < data["metrics"].size(); ++i) {
      Schedule next = make();
      next.load_state(schedule.state(), "test");
      next.observe(data["metrics"][i]);
      EXPECT_NEAR(rate * next(0), each["rates"][i].get<double>(), 1e-16) << each["settings"] << " at " << i;
      schedule = next;
    }
  }
}

TEST(Schedule, NamesAreThoseOfTheReference) {
  for (const char* text :
       {"linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt",
        "cosine_with_min_lr", "cosine_warmup_with_min_lr", "warmup_stable_decay", "reduce_lr_on_plateau"}) {
    EXPECT_EQ(name(scheduler_type(text)), text);
  }
  try {
    scheduler_type("cosin");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(error.mend().find("inverse_sqrt"), std::string::npos);
  }
}

TEST(Schedule, BadSettingsAreRefused) {
  const auto make = [](SchedulerType type, const char* settings) { make_schedule(type, 2, 10, 0.01, settings); };
  EXPECT_THROW(make(SchedulerType::linear, R"({"num_cycles": 1})"), Error);
  EXPECT_THROW(make(SchedulerType::cosine, R"({"num_cycles": "1"})"), Error);
  EXPECT_THROW(make(SchedulerType::cosine, "[]"), Error);
  EXPECT_THROW(make(SchedulerType::cosine, "{"), Error);
  EXPECT_THROW(make(SchedulerType::polynomial, R"({"lr_end": 0.02})"), Error);
  EXPECT_THROW(make(SchedulerType::cosine_with_min_lr, ""), Error);
  EXPECT_THROW(make(SchedulerType::cosine_with_min_lr, R"({"min_lr": 0, "min_lr_rate": 0})"), Error);
  EXPECT_THROW(make(SchedulerType::warmup_stable_decay, ""), Error);
  EXPECT_THROW(make(SchedulerType::warmup_stable_decay, R"({"num_decay_steps": 1.5})"), Error);
  EXPECT_THROW(make(SchedulerType::warmup_stable_decay, R"({"num_decay_steps": 1, "decay_type": "sine"})"), Error);
  EXPECT_THROW(make(SchedulerType::inverse_sqrt, R"({"timescale": 0})"), Error);
  EXPECT_THROW(make(SchedulerType::reduce_lr_on_plateau, R"({"factor": 1})"), Error);
  EXPECT_THROW(make_schedule(SchedulerType::linear, -1, 10, 0.01), Error);
  EXPECT_NO_THROW(make(SchedulerType::cosine, R"({"num_cycles": null})"));
  Schedule plateau = make_schedule(SchedulerType::reduce_lr_on_plateau, 0, 10, 0.01);
  EXPECT_THROW(plateau.load_state("{}", "test"), Error);
}

}  // namespace
}  // namespace mica
