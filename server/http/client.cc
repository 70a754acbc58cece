#include "server/http/client.h"

#include <algorithm>
#include <utility>

#include "server/base/log.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/http/client_stream.h"
#include "server/http/httplib_compat.h"

namespace postrider {

namespace {

constexpr std::string_view kOwnHeaders[] = {"Host", "Content-Length", "Connection",
                                            "Transfer-Encoding", "Accept-Encoding"};

/// Empty, or why `call` cannot be sent.
std::string FaultOf(const HttpCall& call) {
  const bool printable =
      std::all_of(call.path.begin(), call.path.end(), [](char c) { return c > ' ' && c <= '~'; });
  if (!printable || !call.path.starts_with('/'))
    return "the path must begin with / and be printable ASCII";
  if (!std::all_of(call.method.begin(), call.method.end(),
                   [](char c) { return c >= 'A' && c <= 'Z'; }) ||
      call.method.empty())
    return "the method must be upper-case letters";
  if (!IsOneLine(call.content_type)) return "the content type must be one line";
  for (const HttpHeader& line : call.headers)
    if (!IsOneLine(line.name) || !IsOneLine(line.value)) return "each header must be one line";
  return {};
}

httplib::Request RequestOf(const HttpCall& call, const BaseUrl& url) {
  httplib::Request request;
  request.method = call.method;
  request.path = url.prefix + call.path;
  request.body = call.body;
  for (const HttpHeader& line : call.headers) {
    const bool own =
        std::any_of(std::begin(kOwnHeaders), std::end(kOwnHeaders),
                    [&](std::string_view name) { return SameButCase(line.name, name); });
    if (!own) request.set_header(line.name, line.value);
  }
  request.set_header("Host", url.Authority());
  // Nothing is decompressed: a few bytes could become very many.
  request.set_header("Accept-Encoding", "identity");
  if (!call.content_type.empty()) request.set_header("Content-Type", call.content_type);
  if (!request.has_header("User-Agent"))
    request.set_header("User-Agent", "postrider/" POSTRIDER_VERSION);
  return request;
}

/// Whether `response` was read to its last byte, which only its framing can tell, and neither
/// side wants the connection closed.
bool MayReuse(const httplib::Response& response, const std::string& method) {
  if (response.version != "HTTP/1.1") return false;
  if (SameButCase(response.get_header_value("Connection"), "close")) return false;
  constexpr int kNoContent = 204;
  return response.has_header("Content-Length") || response.has_header("Transfer-Encoding") ||
         response.status == kNoContent || method == "HEAD";
}

HttpResult::Sent SentOf(const ClientStream& stream) {
  if (stream.all_left()) return HttpResult::Sent::kAll;
  return stream.some_left() ? HttpResult::Sent::kMaybe : HttpResult::Sent::kNothing;
}

/// Lets httplib write the request and read the answer, as far as it comes.
bool Converse(ClientStream& stream, const BaseUrl& url, httplib::Request& request,
              httplib::Response& answer, std::string& error) {
  HttplibExchange exchange(url.host, url.port);
  exchange.set_url_encode(false);
  exchange.set_decompress(false);
  exchange.set_follow_location(false);
  try {
    httplib::Error failure = httplib::Error::Success;
    if (exchange.Process(stream, request, answer, failure)) return true;
    error = answer.status < 0 && stream.all_left() ? "the reply is not HTTP, or there is none"
                                                   : "the reply ended early or is malformed";
  } catch (...) {
    PR_LOG(kError, "http client threw");
    error = "the reply cannot be read";
  }
  if (!stream.error().empty()) error = stream.error();
  return false;
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpClient>> HttpClient::Create(Options options,
                                                               const Clock& clock) {
  PR_ASSIGN_OR_RETURN(BaseUrl url, ParseBaseUrl(options.base_url));
  if (url.tls && options.tls == nullptr) {
    PR_ASSIGN_OR_RETURN(options.tls, TlsContext::Create(options.ca_file));
  }
  return std::unique_ptr<HttpClient>(new HttpClient(std::move(options), std::move(url), clock));
}

HttpClient::HttpClient(Options options, BaseUrl url, const Clock& clock)
    : options_(std::move(options)), url_(std::move(url)), clock_(clock) {}

HttpClient::~HttpClient() = default;

HttpResult HttpClient::Send(const HttpCall& call) {
  if (std::string fault = FaultOf(call); !fault.empty())
    return {.sent = HttpResult::Sent::kNothing, .error = std::move(fault)};
  const MonotonicTime now = clock_.Now();
  const MonotonicTime deadline = now + call.timeout;
  if (stream_ != nullptr && (now - idle_since_ > options_.keep_alive || !stream_->IsIdle()))
    stream_ = nullptr;
  const bool reused = stream_ != nullptr;
  HttpResult result = Exchange(call, deadline);
  // Closed between the look and the first byte: nothing left, so this is no second sending.
  if (reused && result.sent == HttpResult::Sent::kNothing) result = Exchange(call, deadline);
  return result;
}

HttpResult HttpClient::Exchange(const HttpCall& call, MonotonicTime deadline) {
  if (stream_ == nullptr) {
    auto opened =
        ClientStream::Open(url_, options_.tls.get(), options_.connect_timeout, deadline, clock_);
    if (!opened.ok()) return {.error = std::string(opened.status().message())};
    stream_ = *std::move(opened);
  }
  // Room for the head and for chunk sizes besides the body.
  constexpr std::size_t kMostHead = 1 << 16;
  stream_->Begin(deadline, kMostHead + 2 * options_.response_bytes);

  HttpResult result;
  HttpResult::Response response;
  httplib::Request request = RequestOf(call, url_);
  request.content_receiver = [&](const char* bytes, std::size_t size, std::uint64_t,
                                 std::uint64_t) {
    const std::size_t room = options_.response_bytes - response.body.size();
    response.body.append(bytes, std::min(size, room));
    response.truncated = size > room;
    return !response.truncated;
  };
  httplib::Response answer;
  const bool whole = Converse(*stream_, url_, request, answer, result.error);
  result.sent = SentOf(*stream_);
  if (response.truncated) result.error = "the reply is too large";

  constexpr int kFirstFinalStatus = 200;
  if (answer.status >= kFirstFinalStatus) {
    response.status = answer.status;
    response.truncated = !whole;
    for (auto& [name, value] : answer.headers) response.headers.Add(name, value);
    result.response = std::move(response);
  } else if (result.error.empty()) {
    result.error = "the reply has no final status";
  }
  idle_since_ = clock_.Now();
  if (!whole || !result.response.has_value() || !MayReuse(answer, call.method)) stream_ = nullptr;
  return result;
}

}  // namespace postrider
