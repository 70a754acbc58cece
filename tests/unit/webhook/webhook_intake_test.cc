#include "server/webhook/webhook_intake.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"
#include "tests/support/fake_store.h"

namespace postrider {
namespace {

/// An intake whose workers are the test's own steps.
class WebhookIntakeTest : public ::testing::Test {
 protected:
  WebhookIntakeTest() {
    std::string dir = ::testing::TempDir() + "intake-XXXXXX";
    EXPECT_NE(mkdtemp(dir.data()), nullptr);
    dir_ = dir;
    spool_ = *Spool::Open({.dir = dir + "/spool", .max_bytes = 4000}, metrics_);
    intake_ = std::make_unique<WebhookIntake>(
        store_, inbox_, spool_.get(), clock_, random_,
        WebhookIntake::Options{.on_stored = [this](const InboxRow&) { ++told_; }});
  }
  ~WebhookIntakeTest() override {
    inbox_.Drain({});  // Answers what still waits, while there is somebody to tell.
    intake_.reset();
    std::filesystem::remove_all(dir_);
  }

  /// The place of its answer among `answers_`.
  std::size_t Receive(const std::string& body = "{}") {
    const std::size_t place = answers_.size();
    answers_.emplace_back();
    intake_->Keep({.tenant_id = tenant_,
                   .inbox_id = {MakeUuidV7(clock_.Wall(), random_)},
                   .profile = "guide",
                   .body = body},
                  [this, place](absl::Status status) {
                    EXPECT_FALSE(answers_[place].has_value()) << "answered twice";
                    answers_[place] = std::move(status);
                  });
    return place;
  }
  bool IsDurable(std::size_t place) const { return answers_[place] && answers_[place]->ok(); }

  FakeClock clock_;
  FakeStore store_{clock_};
  SeededRandom random_{5};
  Metrics metrics_;
  TenantId tenant_{MakeUuidV4(random_)};
  std::string dir_;
  std::unique_ptr<Spool> spool_;
  InboxCommit inbox_{clock_,
                     metrics_,
                     {.name = "inbox", .writers = 1, .max_queue = 8},
                     [this](std::span<const InboxRow> rows) -> absl::StatusOr<std::vector<bool>> {
                       PR_RETURN_IF_ERROR(store_.AppendInbox(rows));
                       return std::vector<bool>(rows.size(), true);
                     }};
  std::unique_ptr<WebhookIntake> intake_;
  std::vector<std::optional<absl::Status>> answers_;
  int told_ = 0;
};

TEST_F(WebhookIntakeTest, WhatTheDatabaseStoresInTimeIsNotSpooled) {
  const std::size_t first = Receive();
  EXPECT_FALSE(answers_[first].has_value());
  inbox_.Step({});
  EXPECT_TRUE(IsDurable(first));
  EXPECT_EQ(told_, 1);
  clock_.Advance(1s);
  EXPECT_EQ(intake_->SpoolStep(), 0U);
  EXPECT_EQ(spool_->size(), 0U);
}

TEST_F(WebhookIntakeTest, WhatItHasNotStoredInTimeIsSpooledAndAnswered) {
  const std::size_t first = Receive();
  clock_.Advance(kStoreWithin - 1ms);
  EXPECT_EQ(intake_->SpoolStep(), 0U) << "not yet";
  clock_.Advance(1ms);
  EXPECT_EQ(intake_->SpoolStep(), 1U);
  EXPECT_TRUE(IsDurable(first));
  EXPECT_EQ(spool_->size(), 1U);
  EXPECT_EQ(told_, 0) << "nobody can apply it yet";

  // The database comes to it after all, and then the spool does, too: one row.
  inbox_.Step({});
  EXPECT_EQ(intake_->UnspoolStep(), 1U);
  EXPECT_EQ(store_.Inbox().open, 1);
  EXPECT_EQ(spool_->size(), 0U);
}

TEST_F(WebhookIntakeTest, WhatItRefusesIsSpooledAtOnce) {
  store_.FailNext(1);
  const std::size_t first = Receive();
  inbox_.Step({});
  EXPECT_FALSE(answers_[first].has_value());
  EXPECT_EQ(intake_->SpoolStep(), 1U);
  EXPECT_TRUE(IsDurable(first));
}

TEST_F(WebhookIntakeTest, AFullInboxIsNoReasonToRefuse) {
  for (int i = 0; i < 8; ++i) Receive();
  const std::size_t ninth = Receive();
  EXPECT_EQ(intake_->SpoolStep(), 1U) << "only that one";
  EXPECT_TRUE(IsDurable(ninth));
}

TEST_F(WebhookIntakeTest, InTheSpoolRowsWaitForTheDatabaseInTheirOrder) {
  store_.FailNext(2);
  std::vector<std::size_t> places;
  for (int i = 0; i < 5; ++i) places.push_back(Receive(StrCat("{\"n\":", i, "}")));
  inbox_.Step({});
  intake_->SpoolStep();
  for (const std::size_t place : places) EXPECT_TRUE(IsDurable(place));
  EXPECT_EQ(intake_->UnspoolStep(), 0U) << "it is still away";
  EXPECT_EQ(spool_->size(), 5U);
  EXPECT_EQ(intake_->UnspoolStep(), 5U);
  EXPECT_EQ(store_.Inbox().open, 5);
  EXPECT_EQ(told_, 5);
  EXPECT_EQ(spool_->size(), 0U);
}

TEST_F(WebhookIntakeTest, ARowThatWaitedLongIsFoundByTheSweepToo) {
  store_.FailNext(1);
  Receive();
  inbox_.Step({});
  intake_->SpoolStep();
  clock_.Advance(10min);
  EXPECT_EQ(intake_->UnspoolStep(), 1U);
  clock_.Advance(kSweepAge + 1s);
  // A sweep that looked a minute ago looks from there.
  const auto found = store_.SweepInbox({&tenant_, 1}, clock_.Wall() - kSweepOverlap, 10);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->size(), 1U);
}

TEST_F(WebhookIntakeTest, ARowWhoseCommitWasInDoubtIsKeptOnceAlsoWhenItIsOld) {
  store_.FailNext(1);
  Receive();
  inbox_.Step({});
  intake_->SpoolStep();
  clock_.Advance(10min);
  store_.FailNext(1, FakeStore::When::kAfter);
  EXPECT_EQ(intake_->UnspoolStep(), 0U);
  clock_.Advance(1s);
  EXPECT_EQ(intake_->UnspoolStep(), 1U);
  EXPECT_EQ(store_.Inbox().open, 1);
  EXPECT_EQ(told_, 1);
}

TEST_F(WebhookIntakeTest, NeitherStoredNorSpooledIsToldAsItIs) {
  store_.FailNext(100);
  std::vector<std::size_t> places;
  for (int i = 0; i < 6; ++i) {
    places.push_back(Receive(std::string(1000, 'x')));
    inbox_.Step({});
    intake_->SpoolStep();
  }
  EXPECT_TRUE(IsDurable(places[0]));
  ASSERT_TRUE(answers_[places[5]].has_value());
  EXPECT_TRUE(absl::IsResourceExhausted(*answers_[places[5]])) << *answers_[places[5]];
}

TEST_F(WebhookIntakeTest, ADrainAnswersAllThatWaitFromTheSpool) {
  store_.FailNext(100);
  const std::size_t first = Receive();
  EXPECT_FALSE(answers_[first].has_value());
  intake_->Drain();
  EXPECT_TRUE(IsDurable(first));
  EXPECT_EQ(spool_->size(), 1U);
}

}  // namespace
}  // namespace postrider
