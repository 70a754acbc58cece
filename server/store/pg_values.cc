#include <charconv>

#include "absl/base/config.h"
#include "absl/strings/escaping.h"

#include "server/base/check.h"
#include "server/base/digest.h"
#include "server/base/strings.h"
#include "server/store/pg_rows.h"
#include "server/store/pg_session.h"

namespace postrider {

namespace {

/// Of valid hex digits.
std::string BytesOfHex(std::string_view hex) {
#if ABSL_LTS_RELEASE_VERSION < 20240116  // Debian 12
  return absl::HexStringToBytes(ToAbsl(hex));
#else
  std::string bytes;
  PR_CHECK(absl::HexStringToBytes(ToAbsl(hex), &bytes));
  return bytes;
#endif
}

}  // namespace

int PgRows::size() const { return static_cast<int>(data_->result.size()); }
int PgRows::affected() const { return static_cast<int>(data_->result.affected_rows()); }

namespace {
pqxx::field FieldAt(const pqxx::result& result, int row, int column) {
  return result[static_cast<pqxx::result::size_type>(row)]
               [static_cast<pqxx::row::size_type>(column)];
}
}  // namespace

bool PgRows::IsNull(int row, int column) const {
  return FieldAt(data_->result, row, column).is_null();
}

std::string_view PgRows::Text(int row, int column) const {
  const pqxx::field field = FieldAt(data_->result, row, column);
  return {field.c_str(), field.size()};
}

// Source: PostgreSQL manual, 8.15.6.
std::vector<std::string> PgRows::Texts(int row, int column) const {
  const std::string_view literal = Text(row, column);
  if (literal == "{}") return {};
  std::vector<std::string> elements;
  std::string element;
  bool quoted = false;
  for (std::size_t i = 1; i < literal.size(); ++i) {
    const char c = literal[i];
    if (c == '\\') {
      element += literal[++i];
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && (c == ',' || c == '}')) {
      elements.push_back(std::move(element));
      element.clear();
    } else {
      element += c;
    }
  }
  return elements;
}

std::int64_t PgRows::Int(int row, int column) const {
  const std::string_view text = Text(row, column);
  std::int64_t value = 0;
  if (!text.empty()) {
    const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
    PR_CHECK(end.ec == std::errc());
  }
  return value;
}

bool PgRows::Bool(int row, int column) const { return Text(row, column) == "t"; }

Uuid PgRows::UuidAt(int row, int column) const {
  const std::string_view text = Text(row, column);
  if (text.empty()) return {};  // NULL
  const absl::StatusOr<Uuid> id = ParseUuid(text);
  PR_CHECK(id.ok());
  return *id;
}

std::string PgRows::Bytes(int row, int column) const {
  std::string_view text = Text(row, column);
  if (text.empty()) return {};
  PR_CHECK(text.substr(0, 2) == "\\x");
  text.remove_prefix(2);
  return BytesOfHex(text);
}

WallTime PgRows::Time(int row, int column) const {
  return WallTime{std::chrono::microseconds(Int(row, column))};
}

PgParams& PgParams::Add(std::string_view text) {
  values_.emplace_back(std::string(text));
  return *this;
}

PgParams& PgParams::Add(std::int64_t number) {
  values_.emplace_back(StrCat(number));
  return *this;
}

PgParams& PgParams::Add(const Uuid& id) {
  values_.emplace_back(id.ToString());
  return *this;
}

PgParams& PgParams::AddNull() {
  values_.emplace_back(std::nullopt);
  return *this;
}

PgParams& PgParams::AddBytes(std::string_view bytes) {
  values_.emplace_back(StrCat("\\x", HexOf(bytes)));
  return *this;
}

PgParams& PgParams::AddArray(std::size_t count,
                             const std::function<void(std::string&, std::size_t)>& append) {
  std::string literal;
  literal.reserve(2 + count * 40);
  literal += '{';
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) literal += ',';
    append(literal, i);
  }
  literal += '}';
  values_.emplace_back(std::move(literal));
  return *this;
}

void AppendText(std::string& literal, std::string_view text) {
  literal += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') literal += '\\';
    literal += c;
  }
  literal += '"';
}

void AppendBytes(std::string& literal, std::string_view bytes) {
  literal += "\"\\\\x";
  literal += HexOf(bytes);
  literal += '"';
}

void AppendUuid(std::string& literal, const Uuid& id) { literal += id.ToString(); }

void AppendTime(std::string& literal, WallTime time) {
  if (time == WallTime{}) {
    literal += "NULL";
    return;
  }
  const auto since_epoch = time.time_since_epoch();
  StrAppend(literal, std::chrono::duration_cast<std::chrono::microseconds>(since_epoch).count());
}

}  // namespace postrider
