#pragma once

#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "server/api/stream_session.h"
#include "server/base/strings.h"

namespace postrider {

/// A caller that reads when the test says so.
class FakeSink final : public StreamSink {
 public:
  void Write(const StreamElement& element) override {
    ASSERT_FALSE(writing) << "one write at a time";
    ASSERT_FALSE(ended) << "nothing after the end";
    writing = true;
    elements.push_back(element);
  }
  void Cut(const ApiError& with) override { cut = with; }
  void End(const std::optional<ApiError>& with) override {
    ASSERT_FALSE(ended) << "ends once";
    ended = true;
    error = with;
  }
  /// The elements as "snapshot 5:1", "change 5:2", "checkpoint".
  std::vector<std::string> Said() const {
    std::vector<std::string> said;
    for (const StreamElement& element : elements) {
      if (!element.event) {
        said.emplace_back("checkpoint");
        continue;
      }
      const bool snapshot = element.kind == StreamElement::Kind::kSnapshot;
      said.push_back(StrCat(snapshot ? "snapshot " : "change ",
                            element.event->message_id.uuid.bytes[15], ":",
                            element.event->status.revision));
    }
    return said;
  }
  std::string Reason() const { return error ? error->reason : ended ? "OK" : "open"; }

  std::vector<StreamElement> elements;
  bool writing = false;
  bool ended = false;
  std::optional<ApiError> error;
  std::optional<ApiError> cut;
};

}  // namespace postrider
