#include "server/api/wire.h"

#include <map>
#include <string>
#include <utility>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include "server/api/field_rules.h"
#include "server/base/check.h"
#include "server/base/strings.h"
#include "server/base/utf8.h"

namespace postrider {

namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::io::CodedInputStream;
using WireFormat = google::protobuf::internal::WireFormatLite;

/// Reads the fields of a message that protobuf refused, for those that are not UTF-8. Each
/// function returns false when the bytes are no message.
class Utf8Search {
 public:
  bool Message(CodedInputStream& in, const google::protobuf::Descriptor& type);
  std::vector<ApiError::FieldViolation> Take() { return rules_.Take(); }

 private:
  bool String(CodedInputStream& in, const FieldDescriptor& field);
  bool Pair(CodedInputStream& in, const FieldDescriptor& field);
  void Violate(const std::string& field);

  FieldRules rules_;
  std::map<int, int> seen_;  ///< How many values of a repeated field have been read.
  std::string last_;
};

/// The field of `type` that `tag` begins, if it is a length-delimited one that we know.
const FieldDescriptor* KnownField(const google::protobuf::Descriptor& type, std::uint32_t tag) {
  if (WireFormat::GetTagWireType(tag) != WireFormat::WIRETYPE_LENGTH_DELIMITED) return nullptr;
  return type.FindFieldByNumber(WireFormat::GetTagFieldNumber(tag));
}

bool ReadString(CodedInputStream& in, std::string& out) {
  std::uint32_t size = 0;
  return in.ReadVarint32(&size) && in.ReadString(&out, static_cast<int>(size));
}

bool Utf8Search::Message(CodedInputStream& in, const google::protobuf::Descriptor& type) {
  while (const std::uint32_t tag = in.ReadTag()) {
    const FieldDescriptor* field = KnownField(type, tag);
    bool ok = true;
    if (field != nullptr && field->type() == FieldDescriptor::TYPE_STRING) {
      ok = String(in, *field);
    } else if (field != nullptr && field->is_map()) {
      ok = Pair(in, *field);
    } else {
      ok = WireFormat::SkipField(&in, tag);
    }
    if (!ok) return false;
  }
  return in.ConsumedEntireMessage();
}

bool Utf8Search::String(CodedInputStream& in, const FieldDescriptor& field) {
  std::string value;
  if (!ReadString(in, value)) return false;
  const int index = seen_[field.number()]++;
  if (CharactersOf(value)) return true;
  Violate(field.is_repeated() ? StrCat(field.name(), "[", index, "]") : field.name());
  return true;
}

bool Utf8Search::Pair(CodedInputStream& in, const FieldDescriptor& field) {
  std::string bytes;
  if (!ReadString(in, bytes)) return false;
  CodedInputStream pair(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                        static_cast<int>(bytes.size()));
  std::string key;
  std::string value;
  while (const std::uint32_t tag = pair.ReadTag()) {
    const FieldDescriptor* part = KnownField(*field.message_type(), tag);
    const bool known = part != nullptr && part->type() == FieldDescriptor::TYPE_STRING;
    std::string& to = known && part->number() == 1 ? key : value;
    if (known ? !ReadString(pair, to) : !WireFormat::SkipField(&pair, tag)) return false;
  }
  if (!CharactersOf(key) || !CharactersOf(value)) Violate(NameOfPair(field.name(), key));
  return pair.ConsumedEntireMessage();
}

void Utf8Search::Violate(const std::string& field) {
  // Of a field that was written twice the last one counts, but protobuf refuses both.
  if (field != last_) rules_.Violate(field, "must be UTF-8");
  last_ = field;
}

ApiError ErrorOf(grpc::ByteBuffer bytes, const google::protobuf::Descriptor& type) {
  grpc::ProtoBufferReader reader(&bytes);
  CodedInputStream in(&reader);
  Utf8Search search;
  const bool whole = reader.status().ok() && search.Message(in, type);
  ApiError error = InvalidField(search.Take());
  if (!whole || error.violations.empty()) {
    error.violations.clear();
    error.message = StrCat("the request is not a valid ", type.name());
  }
  return error;
}

}  // namespace

std::optional<ApiError> ParseRequest(const grpc::ByteBuffer& bytes,
                                     google::protobuf::Message& out) {
  grpc::ByteBuffer shared(bytes);  // the bytes themselves are not copied; parsing takes them
  const grpc::Status parsed =
      grpc::SerializationTraits<google::protobuf::Message>::Deserialize(&shared, &out);
  if (parsed.ok()) return std::nullopt;
  return ErrorOf(bytes, *out.GetDescriptor());
}

void WriteResponse(const google::protobuf::Message& message, grpc::ByteBuffer& out) {
  out.Clear();  // the writer begins with an empty one
  bool owns = false;
  const grpc::Status written =
      grpc::SerializationTraits<google::protobuf::Message>::Serialize(message, &out, &owns);
  PR_CHECK(written.ok());
}

}  // namespace postrider
