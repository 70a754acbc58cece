#pragma once

#include <fstream>
#include <string>
#include <vector>

#include "server/base/check.h"
#include "server/base/strings.h"

namespace postrider {

/// A query of the page for auditors (migrations/AUDIT.md), as it stands there.
struct PageQuery {
  std::string sql;
  int line = 0;  ///< Where it begins.
};

/// All queries of the page in file `page`, in its order. Dies when there is no such file.
inline std::vector<PageQuery> QueriesOfPage(const std::string& page) {
  std::vector<PageQuery> queries;
  std::ifstream file(page);
  PR_CHECK(file.is_open());
  bool inside = false;
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.starts_with("```")) {
      inside = line == "```sql";
      if (inside) queries.push_back({"", number});
    } else if (inside) {
      StrAppend(queries.back().sql, line, "\n");
    }
  }
  return queries;
}

}  // namespace postrider
