#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/model/campaign.h"

namespace postrider {

/// What verdicts on a text are kept by: 32 bytes each.
struct ContentFingerprint {
  /// What an approval is good for. Of a text by template: the template, whatever is in its places,
  /// with the hosts of the text's links. Of another text: as `text`.
  std::string approval;
  /// What a refusal is good for: the text with its numbers left out, and of its links the hosts.
  std::string text;
  std::string template_name;  ///< The first that the text fits; empty: none.

  friend bool operator==(const ContentFingerprint&, const ContentFingerprint&) = default;
};

/// Of `text`, UTF-8 without NUL. `templates`: those that it may be of, the likeliest first. Pure.
ContentFingerprint ContentFingerprintOf(std::string_view text,
                                        const std::vector<const MessageTemplate*>& templates);

/// What is the same of messages that say the same to different people: the approval of the text by
/// `templates`, the likeliest first. Pure.
std::string ContentKeyOf(std::string_view text, const std::vector<MessageTemplate>& templates);

/// 32 bytes: another one whenever `campaign` or one of the templates that it names changes, and
/// with them what its texts were approved for. `templates`: the tenant's. Pure.
std::string CampaignVersion(const Campaign& campaign,
                            const std::vector<MessageTemplate>& templates);

/// Those of `templates` that `campaign` names, in their order. Pure.
std::vector<const MessageTemplate*> TemplatesOf(const Campaign& campaign,
                                                const std::vector<MessageTemplate>& templates);

}  // namespace postrider
