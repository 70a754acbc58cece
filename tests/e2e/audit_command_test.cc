// `postriderd audit`: who may read whose record with psql.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "tests/e2e/rig.h"

namespace postrider {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// The database as another user.
std::string UrlOfUser(std::string url, const std::string& user) {
  return url.replace(url.find("postgres@"), 8, user);
}

/// A gateway with a Postgres of its own, so that roles are nobody else's.
class AuditCommandTest : public ::testing::Test {
 protected:
  CommandResult Audit(std::vector<std::string> arguments, const std::string& database_url = {}) {
    arguments.insert(arguments.begin(), {POSTRIDERD, "audit"});
    if (database_url.empty()) {
      arguments.insert(arguments.end(), {"--state-dir", rig_.gateway.state_dir()});
    } else {
      arguments.insert(arguments.end(), {"--database-url", database_url});
    }
    return RunCommand(arguments);
  }
  CommandResult Grant(const std::string& role, const std::string& database_url = {}) {
    return Audit({"grant", "--role", role, "--tenant", "default", "--reason", "the yearly audit"},
                 database_url);
  }

  Rig rig_{{.private_postgres = true}};
};

TEST_F(AuditCommandTest, AnAuditorReadsWhatHappenedToAMessage) {
  const std::string id = rig_.Send(RequestTo(kRecipient));
  rig_.AwaitState(id, v1::MESSAGE_STATE_DELIVERED);
  const CommandResult no_role = Grant("bob");
  EXPECT_EQ(no_role.exit.status, 1);
  EXPECT_THAT(no_role.err, AllOf(HasSubstr("no database role bob"), HasSubstr("CREATE ROLE")));
  rig_.sql.Ask("CREATE ROLE bob LOGIN");
  EXPECT_EQ(Audit({"grant", "--role", "bob", "--tenant", "default"}).exit.status, 2)
      << "a reason is needed";
  const CommandResult granted = Grant("bob");
  EXPECT_EQ(granted.exit.status, 0) << granted.err;
  EXPECT_EQ(granted.out, "bob sees default in schema audit\n");
  EXPECT_EQ(Grant("bob").out, "bob saw default already in schema audit\n");
  EXPECT_EQ(Audit({"list"}).out, "bob  default  granted by postgres\n");

  const Sql bob(UrlOfUser(rig_.gateway.database_url(), "bob"));
  const std::vector<Sql::Row> timeline = bob.Ask(StrCat(
      "SELECT what, state, cause FROM audit.timeline WHERE message_id = '", id, "' ORDER BY at"));
  EXPECT_THAT(timeline,
              ::testing::IsSupersetOf(std::vector<Sql::Row>{{"CHANGE", "QUEUED", "ACCEPTED"},
                                                            {"CHANGE", "DISPATCHING", "INTENDED"},
                                                            {"POST_INTENDED", "", ""},
                                                            {"POST_ACCEPTED", "", ""},
                                                            {"CHANGE", "DELIVERED", "RECEIPT"},
                                                            {"WEBHOOK_APPLIED", "", ""}}));
  EXPECT_EQ(bob.Text("SELECT concat_ws(' ', accepted, delivered, under_way) FROM audit.send_day"),
            "1 1 0");
  EXPECT_EQ(bob.Text("SELECT recipient FROM audit.message"), "+*********67");

  const CommandResult revoked =
      Audit({"revoke", "--role", "bob", "--tenant", "default", "--reason", "done"});
  EXPECT_EQ(revoked.out, "bob sees default no more\n") << revoked.err;
  EXPECT_EQ(bob.Number("SELECT count(*) FROM audit.message"), 0);
  EXPECT_EQ(Audit({"list"}).out, "");
}

TEST_F(AuditCommandTest, VerifyFindsWhatWasChangedAndSaysWhere) {
  const std::string id = rig_.Send(RequestTo(kRecipient));
  rig_.AwaitState(id, v1::MESSAGE_STATE_DELIVERED);
  ASSERT_TRUE(Await([&] {
    return rig_.sql.Number("SELECT coalesce(sum(rows), 0) FROM chain_link WHERE kind = 1") ==
           rig_.sql.Number("SELECT count(*) FROM status_event");
  })) << "it is sealed by itself";
  const CommandResult holds = Audit({"verify", "--tenant", "default"});
  EXPECT_EQ(holds.exit.status, 0) << holds.err << holds.out;
  EXPECT_THAT(holds.out, AllOf(HasSubstr("default  holds  links "), HasSubstr("  head ")));
  const std::string head = holds.out.substr(holds.out.find("  head ") + 7, 64);
  EXPECT_EQ(Audit({"verify"}).exit.status, 0);

  const auto expect_head = [&](const std::string& noted) {
    return Audit({"verify", "--tenant", "default", "--expect-head", noted});
  };
  EXPECT_THAT(expect_head(head).out, HasSubstr("the head that was noted is link "));
  const CommandResult other = expect_head(std::string(64, 'a'));
  EXPECT_EQ(other.exit.status, 1);
  EXPECT_THAT(other.err, HasSubstr("it is another chain"));
  EXPECT_EQ(expect_head("short").exit.status, 2);
  EXPECT_THAT(Audit({"verify", "--tenant", "nobody"}).err, HasSubstr("there is no tenant nobody"));
  EXPECT_THAT(Audit({"verify", "--help"}).out, HasSubstr("shortest")) << "of keep times";

  rig_.sql.Ask("UPDATE status_event SET cause = 3 WHERE revision = 2");
  const CommandResult broken = Audit({"verify"});
  EXPECT_EQ(broken.exit.status, 1);
  EXPECT_THAT(broken.out, AllOf(HasSubstr("default  DOES NOT HOLD"), HasSubstr("ROWS_CHANGED"),
                                HasSubstr("status_event  link "), HasSubstr(id)));
  EXPECT_THAT(broken.err, HasSubstr("the record does not hold in 1 place"));
}

TEST_F(AuditCommandTest, AChainThatLostItsPositionIsBegunAnewInTheOpen) {
  const std::string id = rig_.Send(RequestTo(kRecipient));
  rig_.AwaitState(id, v1::MESSAGE_STATE_DELIVERED);
  const auto all_sealed = [&] {
    return rig_.sql.Number("SELECT count(*) FROM status_event") ==
           rig_.sql.Number(
               "SELECT coalesce(sum(l.rows), 0) FROM chain_link l JOIN chain_seal s "
               "USING (seal_no) WHERE l.kind = 1 AND NOT s.of_before");
  };
  ASSERT_TRUE(Await(all_sealed));
  rig_.sql.Ask("CREATE ROLE bob LOGIN");
  EXPECT_EQ(Grant("bob").exit.status, 0);
  rig_.sql.Ask("DELETE FROM chain_position");
  const CommandResult lost = Audit({"verify"});
  EXPECT_EQ(lost.exit.status, 1);
  EXPECT_THAT(lost.out, HasSubstr("POSITION_WRONG"));

  EXPECT_EQ(Audit({"begin-chain"}).exit.status, 2) << "a reason is needed";
  CommandResult begun;
  ASSERT_TRUE(Await([&] {
    begun = Audit({"begin-chain", "--reason", "the position was lost"});
    return begun.exit.status == 0;
  })) << begun.err;
  EXPECT_THAT(begun.out, HasSubstr("chain 2 has begun, over the last links of 2 chains"));
  rig_.AwaitState(rig_.Send(RequestTo(kRecipient)), v1::MESSAGE_STATE_DELIVERED);
  ASSERT_TRUE(Await(all_sealed)) << "it goes on";
  ASSERT_TRUE(Await([&] {
    return rig_.sql.Number(
               "SELECT count(*) FROM chain_position p JOIN chain_begin b USING "
               "(chain_no) WHERE p.before_sealed::text = b.before_end::text") == 1;
  })) << "what was there is sealed";
  const CommandResult verified = Audit({"verify"});
  EXPECT_EQ(verified.exit.status, 0) << verified.out << verified.err;
  EXPECT_THAT(verified.out,
              AllOf(HasSubstr("chain 2 was begun anew at "),
                    HasSubstr("by postgres: the position was lost"), HasSubstr("default  holds")));
  const Sql bob(UrlOfUser(rig_.gateway.database_url(), "bob"));
  EXPECT_EQ(bob.Text("SELECT concat_ws('|', tenant, link_no > 1, detail) FROM "
                     "audit.verify_chain() WHERE verdict = 'CHAIN_BEGINS'"),
            "default|t|the position was lost");
  EXPECT_EQ(bob.Number("SELECT count(*) FROM audit.verify_chain() WHERE verdict NOT IN "
                       "('HOLDS', 'CHAIN_BEGINS')"),
            0);
  EXPECT_EQ(bob.Text("SELECT template_name FROM audit.message LIMIT 1"), "");
}

TEST_F(AuditCommandTest, ADatabaseUserWhoMayMakeNoRolesIsToldWhatToRun) {
  rig_.sql.Ask(
      "CREATE ROLE bob LOGIN; CREATE ROLE plain LOGIN; GRANT USAGE ON SCHEMA postrider, audit TO "
      "plain; GRANT ALL ON ALL TABLES IN SCHEMA postrider TO plain");
  const std::string plain = UrlOfUser(rig_.gateway.database_url(), "plain");
  const CommandResult refused = Grant("bob", plain);
  EXPECT_EQ(refused.exit.status, 1);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("may not make the role postrider_auditor"),
                                 HasSubstr("CREATE ROLE postrider_auditor NOLOGIN"),
                                 HasSubstr("GRANT postrider_auditor TO \"bob\"")));
  EXPECT_EQ(rig_.sql.Number("SELECT count(*) FROM auditor_tenant"), 0);
}

}  // namespace
}  // namespace postrider
