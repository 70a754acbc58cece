#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/unit/api/message_service_fixture.h"

namespace postrider {

/// Sends by the rules of a tenant's setup.
class RulesTest : public MessageServiceTest {
 protected:
  /// Requests are called `ids` and a number.
  explicit RulesTest(const char* ids) : ids_(ids) {}

  /// The tenant of the fixture with another setup.
  void Change(const std::function<void(TenantRow&)>& change) {
    const auto tenants = store_.LoadTenants();
    ASSERT_TRUE(tenants.ok());
    TenantRow tenant = tenants->front();
    change(tenant);
    store_.SetSetup(tenant);
    ASSERT_TRUE(tenants_.Refresh().ok());
  }
  /// A new request.
  v1::SendMessageRequest OfCampaign(const std::string& campaign, const std::string& text) {
    v1::SendMessageRequest request = Good(StrCat(ids_, ++requests_));
    request.set_campaign_id(campaign);
    request.set_text(text);
    return request;
  }
  /// Empty: it was accepted.
  std::string ReasonOf(const v1::SendMessageRequest& request) {
    response_.Clear();
    const grpc::Status status = Send(request, response_);
    last_.emplace(status);
    return status.ok() ? "" : last_->info.reason();
  }
  std::vector<RefusalRow> Refused() {
    MutexLock lock(refused_mu_);
    return refused_;
  }

  const char* const ids_;
  int requests_ = 0;
  v1::SendMessageResponse response_;
  std::optional<Decoded> last_;
};

}  // namespace postrider
