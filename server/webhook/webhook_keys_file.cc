#include "server/webhook/webhook_keys_file.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

#include "server/base/digest.h"
#include "server/base/log.h"
#include "server/base/private_file.h"
#include "server/base/strings.h"
#include "server/json/json.h"
#include "server/model/intake_limits.h"

namespace postrider {

namespace {

constexpr std::string_view kKeysMark = "POSTRIDER-WEBHOOK-KEYS 1 ";

std::string HexSumOf(std::string_view text) { return HexOf(Sha256Bytes(text)); }

std::string LineOf(const TenantRow& tenant) {
  const auto until = tenant.webhook_key_before_until.time_since_epoch();
  return JsonObject()
      .Set("tenant_id", tenant.tenant_id.ToString())
      .Set("name", tenant.name)
      .Set("profile", tenant.profile)
      .Set("key", tenant.webhook_key)
      .Set("key_before", tenant.webhook_key_before)
      .Set("key_before_until_us",
           std::int64_t{std::chrono::duration_cast<std::chrono::microseconds>(until).count()})
      .Set("secret_file", tenant.webhook_secret_file)
      .Set("window_s", std::int64_t{tenant.webhook_window.count()})
      .Dump();
}

std::optional<TenantRow> TenantOf(std::string_view line) {
  const absl::StatusOr<Json> json = ParseJson(line);
  if (!json.ok()) return std::nullopt;
  const absl::StatusOr<TenantId> id = TenantId::Parse(json->GetString("tenant_id").value_or(""));
  const auto name = json->GetString("name");
  const auto profile = json->GetString("profile");
  const auto key = json->GetString("key");
  const auto before = json->GetString("key_before");
  const auto until = json->GetInt("key_before_until_us");
  const auto secret_file = json->GetString("secret_file");
  const auto window = json->GetInt("window_s");
  if (!id.ok() || !name || !profile || !key || !before || !until || !secret_file || !window) {
    return std::nullopt;
  }
  TenantRow row;
  row.tenant_id = *id;
  row.name = *name;
  row.profile = *profile;
  row.webhook_key = *key;
  row.webhook_key_before = *before;
  row.webhook_key_before_until = WallTime{std::chrono::microseconds(*until)};
  row.webhook_secret_file = *secret_file;
  row.webhook_window = std::chrono::seconds(*window);
  return row;
}

/// Takes a line with its end off the front of `text`; nothing when there is no whole one.
std::optional<std::string_view> TakeLine(std::string_view& text) {
  const std::size_t end = text.find('\n');
  if (end == text.npos) return std::nullopt;
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

}  // namespace

WebhookKeysFile::WebhookKeysFile(std::string path, std::string_view database)
    : path_(std::move(path)), database_(HexSumOf(database)) {}

absl::StatusOr<std::vector<TenantRow>> WebhookKeysFile::Read() const {
  const auto unusable = [this](std::string_view why) {
    return absl::FailedPreconditionError(StrCat(path_, " cannot be used: ", why));
  };
  std::error_code error;
  const auto size = std::filesystem::file_size(path_, error);
  if (error == std::errc::no_such_file_or_directory) {
    return absl::NotFoundError(StrCat("there is no ", path_));
  }
  if (error) return unusable(error.message());
  if (size > kWebhookKeysBytes) return unusable("it is too long");
  std::ifstream in(path_, std::ios::binary);
  const std::string all{std::istreambuf_iterator<char>(in), {}};

  std::string_view text = all;
  if (!text.starts_with(kKeysMark)) return unusable("it is of another version, or damaged");
  text.remove_prefix(kKeysMark.size());
  const auto sum = TakeLine(text);
  if (!sum || *sum != HexSumOf(text)) return unusable("it is damaged");
  if (TakeLine(text) != database_) return unusable("its tenants are of another --database-url");
  std::vector<TenantRow> tenants;
  while (const auto line = TakeLine(text)) {
    std::optional<TenantRow> tenant = TenantOf(*line);
    if (!tenant) return unusable(StrCat("tenant ", tenants.size() + 1, " cannot be read"));
    tenants.push_back(*std::move(tenant));
  }
  return tenants;
}

void WebhookKeysFile::Keep(const TenantSnapshot& tenants) {
  std::string text = StrCat(database_, "\n");
  for (const TenantRow& tenant : tenants.tenants()) StrAppend(text, LineOf(tenant), "\n");
  if (text == kept_) return;
  const std::string all = StrCat(kKeysMark, HexSumOf(text), "\n", text);
  const absl::Status written =
      all.size() > kWebhookKeysBytes
          ? absl::ResourceExhaustedError(StrCat(path_, " would have more than ", kWebhookKeysBytes,
                                                " bytes: too many tenants"))
          : WritePrivateFile(path_, all);
  if (!written.ok()) {
    LogFailure(repeated_, "webhook keys not kept for a start without the database", written);
    return;
  }
  LogWorksAgain(repeated_, "webhook keys are kept again");
  kept_ = std::move(text);
}

}  // namespace postrider
