#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "server/model/campaign.h"
#include "server/policy/message_template.h"

namespace postrider {

/// Which rule of its campaign a text breaks, and where.
struct ContentFinding {
  std::string rule;      ///< "forbidden_word", "link", "shortener", "template"
  std::size_t at = 0;    ///< Its first character, from 1; 0: the text as a whole.
  std::size_t size = 0;  ///< Characters.
  std::string why;       ///< For people; has nothing of the text.

  friend bool operator==(const ContentFinding&, const ContentFinding&) = default;
};

/// What `text` breaks of `campaign`'s rules: all of it, kMaxFindings at most, by place.
/// `templates`: those that the campaign names. Words are found in any case, as whole words. `text`:
/// UTF-8. Pure.
std::vector<ContentFinding> CheckContent(std::string_view text, const Campaign& campaign,
                                         const std::vector<ParsedTemplate>& templates);

/// Whether `text` has `part`, in any case of ASCII letters.
bool HasText(std::string_view text, std::string_view part);

}  // namespace postrider
