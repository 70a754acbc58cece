// What the store answers when Postgres goes away, refuses or forgets to answer, and that it
// recovers by itself.
#include <array>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/store/group_commit.h"
#include "server/store/migrate.h"
#include "server/store/pg_ping.h"
#include "server/store/private_cluster.h"
#include "tests/integration/store/pg_fixture.h"
#include "tests/support/pg_gate.h"
#include "tests/support/shifted_clock.h"

namespace postrider {
namespace {

using Kind = Acceptance::Kind;

Acceptance MustAccept(PgStore& store, const NewMessage& message) {
  const auto verdicts = store.Accept({&message, 1});
  EXPECT_TRUE(verdicts.ok()) << verdicts.status();
  return verdicts.ok() ? verdicts->front() : Acceptance{};
}

/// Repeats `attempt` until it works; a pool pauses after a failed connection.
void AwaitRecovery(const std::function<absl::Status()>& attempt) {
  absl::Status last;
  for (int tries = 0; tries < 2000; ++tries) {
    last = attempt();
    if (last.ok()) return;
    ASSERT_TRUE(absl::IsUnavailable(last)) << last;
    WaitOrStop(std::stop_token(), std::chrono::milliseconds(5));
  }
  FAIL() << last;
}

TEST(PgFailureTest, WhatIsAwayIsToldFromWhatWaitingDoesNotMend) {
  const TestDatabase database;
  std::string no_such = database.url();
  no_such.replace(no_such.find("/test_"), 6, "/absent_");
  struct Case {
    const char* what;
    std::string url;
    bool away;
    absl::StatusCode schema;
  };
  const Case cases[] = {
      {"there", database.url(), false, absl::StatusCode::kOk},
      {"no such database", no_such, false, absl::StatusCode::kUnavailable},
      {"no URL", "postgresql://[", false, absl::StatusCode::kUnavailable},
      {"nobody listens", "postgresql://postgres@127.0.0.1:1/x", true,
       absl::StatusCode::kUnavailable},
      {"no socket", "postgresql://postgres@/x?host=/nowhere", true, absl::StatusCode::kUnavailable},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(IsAway(c.url), c.away) << c.what;
    EXPECT_EQ(VerifySchema(c.url).code(), c.schema) << c.what;
  }
}

TEST(PgFailureTest, AnIdleConnectionThatWasKilledIsFoundOutAndReplaced) {
  PgFixture pg(1);
  const TenantId tenant = pg.NewTenant("acme");
  const NewMessage message = pg.Fresh(tenant, "+15550000001");
  MustAccept(pg.store, message);
  ASSERT_EQ(pg.KillConnections(), 1);
  const NewMessage next = pg.Fresh(tenant, "+15550000002");
  EXPECT_TRUE(absl::IsUnavailable(pg.store.Accept({&next, 1}).status()));
  AwaitRecovery([&] { return pg.store.Accept({&next, 1}).status(); });
  EXPECT_TRUE(pg.store.GetMessage({tenant, next.message_id}).ok());
  EXPECT_TRUE(pg.store.GetMessage({tenant, message.message_id}).ok());
}

/// What becomes of a database while a gateway is not connected, and whether it may use it then.
struct ReplacedCase {
  const char* name;
  const char* change;
  bool admitted;
};

/// Changes it, and ends the store's only connection; what the next one is told.
absl::Status ConnectedAfter(const ReplacedCase& c, PgFixture& pg) {
  pg.sql.Run(c.change);
  EXPECT_EQ(pg.KillConnections(), 1);
  EXPECT_TRUE(absl::IsUnavailable(pg.store.pool().Ping())) << "the connection is gone";
  return pg.store.pool().Ping();
}

TEST(PgFailureTest, NoConnectionIsMadeToADatabaseThatLacksWhatWasSeen) {
  const ReplacedCase cases[] = {
      {"as it was", "SELECT 1", true},
      {"gone on, and the tick that was seen is not kept any more",
       "INSERT INTO tick (tick_no, snap, nonce) SELECT max(tick_no) + 1, pg_current_snapshot(), "
       "gen_random_uuid() FROM tick; "
       "DELETE FROM tick WHERE tick_no < (SELECT max(tick_no) FROM tick)",
       true},
      {"older", "DELETE FROM tick WHERE tick_no = (SELECT max(tick_no) FROM tick)", false},
      {"older, and gone on since",
       "UPDATE tick SET nonce = gen_random_uuid(); "
       "INSERT INTO tick (tick_no, snap, nonce) SELECT max(tick_no) + 1, pg_current_snapshot(), "
       "gen_random_uuid() FROM tick",
       false}};
  for (const ReplacedCase& c : cases) {
    SCOPED_TRACE(c.name);
    PgFixture pg(1);
    const auto seen = pg.store.MakeTick();
    ASSERT_TRUE(seen.ok()) << seen.status();
    ASSERT_GT(seen->number, 1);
    const absl::Status after = ConnectedAfter(c, pg);
    EXPECT_EQ(after.ok(), c.admitted) << after;
    if (c.admitted) continue;
    EXPECT_TRUE(absl::IsUnavailable(after)) << after;
    EXPECT_THAT(ToStd(after.message()), ::testing::HasSubstr("stop every gateway"));
    pg.sql.Run(
        "DELETE FROM tick; INSERT INTO tick (tick_no, snap, nonce) "
        "VALUES (1000, pg_current_snapshot(), gen_random_uuid())");
    const PgPool::Body admit = [&](PgTransaction& reads) { return pg.store.seen().Admit(reads); };
    PgPool beside(pg.clock, pg.random, {.conninfo = pg.database.url(), .max_sessions = 1});
    EXPECT_FALSE(beside.Read("admit", admit).ok()) << "whatever is forgotten there meanwhile";
  }
}

TEST(PgFailureTest, NoConnectionIsMadeToADatabaseThatLacksAnIntent) {
  const ReplacedCase cases[] = {
      {"as it was", "SELECT 1", true},
      {"a standby took over that lagged behind by the intent alone", "DELETE FROM attempt", false},
      {"retention has dropped both", "DELETE FROM attempt; DELETE FROM message", true}};
  for (const ReplacedCase& c : cases) {
    SCOPED_TRACE(c.name);
    PgFixture pg(1);
    const NewMessage message = pg.Fresh(pg.NewTenant("acme"), "+15550000001");
    MustAccept(pg.store, message);
    const ReplicaId replica{MakeUuidV4(pg.random)};
    ASSERT_TRUE(pg.store.RenewReplica(replica, "one").ok());
    const auto share = pg.store.AcquireSlots(replica);
    ASSERT_TRUE(share.ok()) << share.status();
    const MessageKey key{message.request.tenant_id, message.message_id};
    ASSERT_EQ(pg.store.Intend(replica, share->owned, {&key, 1})->front().kind, Intent::Kind::kPost);
    EXPECT_EQ(ConnectedAfter(c, pg).ok(), c.admitted);
  }
}

TEST(PgFailureTest, AConnectionThatIsKilledInsideATransactionIsFoundOutAndReplaced) {
  struct Case {
    const char* name;
    const char* statement;
  };
  const Case cases[] = {
      {"by another session", ""},
      {"in the middle of a statement", "SELECT pg_terminate_backend(pg_backend_pid())"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    PgFixture pg;
    PgPool pool(pg.clock, pg.random, {.conninfo = pg.database.url(), .max_sessions = 1});
    int runs = 0;
    const absl::Status lost = pool.Transact("victim", [&](PgTransaction& transaction) {
      ++runs;
      transaction.RunOnce("CREATE TABLE half_done ()");
      if (*c.statement == '\0') pg.KillConnections();
      transaction.RunOnce(*c.statement == '\0' ? "SELECT 1" : c.statement);
      return absl::OkStatus();
    });
    EXPECT_TRUE(absl::IsUnavailable(lost)) << lost;
    EXPECT_EQ(runs, 1) << "only serialisation failures are repeated";
    AwaitRecovery([&] { return pool.Ping(); });
    EXPECT_EQ(pg.sql.Value("SELECT to_regclass('half_done') IS NULL"), "t");
  }
}

TEST(PgFailureTest, EveryOperationSaysUnavailableAndThenRecovers) {
  PgFixture pg(1);
  const TenantId tenant = pg.NewTenant("acme");
  const NewMessage message = pg.Fresh(tenant, "+15550000001");
  MustAccept(pg.store, message);
  const MessageKey key{tenant, message.message_id};
  const ReplicaId replica{MakeUuidV4(pg.random)};
  const InboxRow row{tenant, {MakeUuidV7(pg.clock.Wall(), pg.random)}, "guide", "{}"};
  const ParsedReceipt receipt{row, absl::InvalidArgumentError("unreadable")};
  const AttemptOutcome outcome{.key = key, .attempt = 1, .outcome = {}};
  const int slot = SlotOf(tenant);
  const FlowRoom room{{.tenant_id = tenant, .campaign_id = {}, .sender_id = {}}, 1};
  PgStore& s = pg.store;
  struct Case {
    const char* name;
    std::function<absl::Status()> call;
  };
  const Case cases[] = {
      {"Ping", [&] { return s.pool().Ping(); }},
      {"WouldAccept", [&] { return s.WouldAccept(message).status(); }},
      {"GetMessage", [&] { return s.GetMessage(key).status(); }},
      {"Cancel", [&] { return s.Cancel(key).status(); }},
      {"RenewReplica", [&] { return s.RenewReplica(replica, "test").status(); }},
      {"AcquireSlots", [&] { return s.AcquireSlots(replica).status(); }},
      {"FlowsWithWork", [&] { return s.FlowsWithWork({&slot, 1}).status(); }},
      {"ChooseDue", [&] { return s.ChooseDue({&room, 1}).status(); }},
      {"Intend", [&] { return s.Intend(replica, {}, {&key, 1}).status(); }},
      {"RecordOutcomes", [&] { return s.RecordOutcomes(replica, {&outcome, 1}); }},
      {"TakeDoubtful", [&] { return s.TakeDoubtful(replica, {}, 1).status(); }},
      {"RecordLooks", [&] { return s.RecordLooks(replica, {}, {}, {}).status(); }},
      {"CloseWindows", [&] { return s.CloseWindows(replica, {}, {}).status(); }},
      {"ReplayMessage", [&] { return s.ReplayMessage(key, {Uuid{}, "ops", "why"}).status(); }},
      {"AppendInbox", [&] { return s.AppendInbox({&row, 1}); }},
      {"ApplyReceipts", [&] { return s.ApplyReceipts({&receipt, 1}).status(); }},
      {"Maintain", [&] { return s.Maintain(); }},
      {"DropOld", [&] { return s.DropOld({}, {}).status(); }},
      {"ForgetOld", [&] { return s.ForgetOld({}).status(); }},
      {"EraseSome", [&] { return s.EraseSome().status(); }},
      {"MakeTick", [&] { return s.MakeTick().status(); }},
      {"OldestTick", [&] { return s.OldestTick().status(); }},
      {"LoadTenants", [&] { return s.LoadTenants().status(); }},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    ASSERT_EQ(pg.KillConnections(), 1);
    const absl::Status lost = c.call();
    EXPECT_TRUE(absl::IsUnavailable(lost)) << lost;
    AwaitRecovery(c.call);
  }
}

TEST(PgFailureTest, ACommitInDoubtIsUnavailableAndItsRepetitionTellsTheTruth) {
  struct Case {
    const char* name;
    PgGate::AtCommit at_commit;
    Kind repeated;
  };
  const Case cases[] = {{"committed, reply lost", PgGate::AtCommit::kDropReply, Kind::kDuplicate},
                        {"never arrived", PgGate::AtCommit::kDropRequest, Kind::kNew}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    PgFixture pg;
    const TenantId tenant = pg.NewTenant("acme");
    PgGate gate(pg.database.url());
    int nudges = 0;
    PgStore store(pg.clock, pg.random,
                  {.pool = {.conninfo = gate.url()}, .on_events = [&] { ++nudges; }});
    ASSERT_TRUE(store.pool().Ping().ok());
    const NewMessage first = pg.Fresh(tenant, "+15550000001");
    gate.NextCommit(c.at_commit);
    const absl::Status lost = store.Accept({&first, 1}).status();
    EXPECT_TRUE(absl::IsUnavailable(lost)) << lost;
    EXPECT_EQ(gate.dropped(), 1);
    EXPECT_EQ(nudges, 1) << "there may be events to tell";
    // As a caller repeats it: the same request, a message of its own.
    NewMessage again = first;
    again.message_id = {MakeUuidV7(pg.clock.Wall(), pg.random)};
    AwaitRecovery([&] { return store.pool().Ping(); });
    const Acceptance verdict = MustAccept(store, again);
    EXPECT_EQ(verdict.kind, c.repeated);
    EXPECT_EQ(verdict.message_id,
              c.repeated == Kind::kDuplicate ? first.message_id : again.message_id);
    EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM message"), 1);
    EXPECT_EQ(pg.sql.Number("SELECT sum(depth) FROM queue_depth"), 1);
  }
}

TEST(PgFailureTest, ABackendThatDiesWhileItCommitsLeavesNothing) {
  PgFixture pg;
  pg.sql.Run(R"(
CREATE TABLE public.fuse (burnt boolean);
CREATE FUNCTION public.die() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER dies AFTER INSERT ON public.fuse DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION public.die();)");
  PgPool pool(pg.clock, pg.random, {.conninfo = pg.database.url(), .max_sessions = 1});
  const absl::Status lost = pool.Transact("burn", [](PgTransaction& transaction) {
    transaction.RunOnce("INSERT INTO public.fuse VALUES (true)");
    return absl::OkStatus();
  });
  EXPECT_TRUE(absl::IsUnavailable(lost)) << lost;
  AwaitRecovery([&] { return pool.Ping(); });
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM public.fuse"), 0);
}

TEST(PgFailureTest, ADeadlockAndASerialisationFailureAreRepeated) {
  for (const char* state : {"40001", "40P01"}) {
    SCOPED_TRACE(state);
    PgFixture pg;
    PgPool pool(pg.clock, pg.random, {.conninfo = pg.database.url(), .max_sessions = 1});
    const std::string raise =
        StrCat("DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '", state, "'; END $$");
    int runs = 0;
    const absl::Status repeated = pool.Transact("repeated", [&](PgTransaction& transaction) {
      if (++runs < kMaxTransactionTries) transaction.RunOnce(raise);
      return absl::OkStatus();
    });
    EXPECT_TRUE(repeated.ok()) << repeated;
    EXPECT_EQ(runs, kMaxTransactionTries);

    runs = 0;
    const absl::Status given_up = pool.Transact("hopeless", [&](PgTransaction& transaction) {
      ++runs;
      transaction.RunOnce(raise);
      return absl::OkStatus();
    });
    EXPECT_TRUE(absl::IsAborted(given_up)) << given_up;
    EXPECT_EQ(runs, kMaxTransactionTries);
    EXPECT_TRUE(pool.Ping().ok());
  }
}

TEST(PgFailureTest, SqlStatesBecomeTheCodesOfTheStore) {
  struct Case {
    const char* state;
    absl::StatusCode wants;
  };
  const Case cases[] = {{"22021", absl::StatusCode::kInvalidArgument},
                        {"23505", absl::StatusCode::kInvalidArgument},
                        {"53100", absl::StatusCode::kUnavailable},  // disk full
                        {"57014", absl::StatusCode::kUnavailable},  // statement_timeout
                        {"58030", absl::StatusCode::kUnavailable},  // I/O error
                        {"25006", absl::StatusCode::kUnavailable},  // a standby
                        {"42P01", absl::StatusCode::kInternal}};
  PgFixture pg;
  PgPool pool(pg.clock, pg.random, {.conninfo = pg.database.url(), .max_sessions = 1});
  for (const Case& c : cases) {
    const absl::Status status = pool.Transact("raise", [&](PgTransaction& transaction) {
      transaction.RunOnce(StrCat("DO $$ BEGIN RAISE EXCEPTION 'key (a)=(secret)' USING ERRCODE = '",
                                 c.state, "'; END $$"));
      return absl::OkStatus();
    });
    EXPECT_EQ(status.code(), c.wants) << status;
    if (absl::IsInvalidArgument(status)) {
      EXPECT_THAT(std::string(status.message()), ::testing::Not(::testing::HasSubstr("secret")));
    }
    EXPECT_TRUE(pool.Ping().ok()) << c.state;
  }
}

TEST(PgFailureTest, AWarningOfAStatementIsNotTakenForALostStandby) {
  PgFixture pg;
  PgPool pool(pg.clock, pg.random, {.conninfo = pg.database.url(), .max_sessions = 1});
  const absl::Status fine = pool.Transact("warns", [](PgTransaction& transaction) {
    transaction.RunOnce("DO $$ BEGIN RAISE WARNING 'of a statement'; END $$");
    return absl::OkStatus();
  });
  EXPECT_TRUE(fine.ok()) << fine;

  pg.sql.Run(R"(
CREATE TABLE public.fuse (burnt boolean);
CREATE FUNCTION public.warn() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE WARNING 'of the commit'; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER warns AFTER INSERT ON public.fuse DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION public.warn();)");
  const absl::Status doubtful = pool.Transact("warns", [](PgTransaction& transaction) {
    transaction.RunOnce("INSERT INTO public.fuse VALUES (true)");
    return absl::OkStatus();
  });
  EXPECT_TRUE(absl::IsUnavailable(doubtful)) << doubtful;
}

TEST(PgFailureTest, AStatementThatCouldNotBePreparedIsPreparedLater) {
  PgFixture pg;
  PgPool pool(pg.clock, pg.random, {.conninfo = pg.database.url(), .max_sessions = 1});
  constexpr Query kLater{"later", "SELECT x FROM public.later"};
  const auto run = [&] {
    return pool.Transact("later", [&](PgTransaction& transaction) {
      transaction.Run(kLater, {});
      return absl::OkStatus();
    });
  };
  EXPECT_EQ(run().code(), absl::StatusCode::kInternal);
  pg.sql.Run("CREATE TABLE public.later (x integer)");
  EXPECT_TRUE(run().ok());
}

TEST(PgFailureTest, ATransactionThatHangsIsCutOff) {
  PgFixture pg;
  ShiftedClock clock;
  PgPool pool(clock, pg.random, {.conninfo = pg.database.url(), .max_sessions = 1});
  ASSERT_TRUE(pool.Ping().ok());
  pg.sql.Run("SELECT pg_advisory_lock(1)");
  const absl::Status cut = pool.Transact("hangs", [&](PgTransaction& transaction) {
    clock.Advance(std::chrono::seconds(31));
    transaction.RunOnce("SELECT pg_advisory_xact_lock(1)");
    return absl::OkStatus();
  });
  EXPECT_TRUE(absl::IsUnavailable(cut)) << cut;
  AwaitRecovery([&] { return pool.Ping(); });
}

TEST(PgFailureTest, RowsThatPostgresRefusesFallOutAndTheirNeighboursAreAccepted) {
  PgFixture pg;
  const TenantId tenant = pg.NewTenant("acme");
  Metrics metrics;
  AcceptCommit commit(pg.clock, metrics, {.name = "accept"},
                      [&](std::span<const NewMessage> rows) { return pg.store.Accept(rows); });
  constexpr std::size_t kRows = 40;
  std::array<absl::StatusOr<Acceptance>, kRows> verdicts;
  std::vector<NewMessage> messages;
  const auto bad = [](std::size_t i) { return i == 0 || i == 17 || i == 18 || i == kRows - 1; };
  for (std::size_t i = 0; i < kRows; ++i) {
    messages.push_back(pg.Fresh(tenant, StrCat("+1555000", 1000 + i)));
    if (bad(i)) messages.back().request.text = "caf\xe9";  // Latin-1, no UTF-8
    ASSERT_TRUE(commit.TrySubmit(messages[i], [&verdicts, i](absl::StatusOr<Acceptance> verdict) {
      verdicts[i] = std::move(verdict);
    }));
  }
  EXPECT_TRUE(commit.Drain(std::chrono::minutes(1)));
  for (std::size_t i = 0; i < kRows; ++i) {
    if (bad(i)) {
      EXPECT_TRUE(absl::IsInvalidArgument(verdicts[i].status())) << i << verdicts[i].status();
    } else {
      ASSERT_TRUE(verdicts[i].ok()) << i << verdicts[i].status();
      EXPECT_EQ(verdicts[i]->message_id, messages[i].message_id);
    }
  }
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM message"), kRows - 4);
  EXPECT_EQ(pg.sql.Number("SELECT count(*) FROM request_key"), kRows - 4);
}

TEST(PgFailureTest, AServerThatStopsAndComesBackIsFoundAgain) {
  const TestDir dir;
  auto cluster = PrivateCluster::Start(dir.path());
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  const std::string url = (*cluster)->database_url();
  const SystemClock clock;
  OsRandom random;
  ASSERT_TRUE(MigrateUp(url, clock).ok());
  PgStore store(clock, random, {.pool = {.conninfo = url, .max_sessions = 2}});
  ASSERT_TRUE(store.Prepare().ok());
  ASSERT_TRUE((*cluster)->Stop().ok());
  EXPECT_TRUE(absl::IsUnavailable(store.pool().Ping()));
  EXPECT_TRUE(absl::IsUnavailable(store.MakeTick().status()));
  EXPECT_TRUE(absl::IsUnavailable(MigrateUp(url, clock).status()));
  cluster->reset();
  cluster = PrivateCluster::Start(dir.path());
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  AwaitRecovery([&] { return store.MakeTick().status(); });
}

}  // namespace
}  // namespace postrider
