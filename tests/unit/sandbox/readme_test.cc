#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/sandbox/magic_numbers.h"

namespace postrider {
namespace {

/// The rows of README's table of magic numbers, as they stand there.
std::vector<std::string> RowsInReadme() {
  std::ifstream readme(POSTRIDER_README);
  EXPECT_TRUE(readme.is_open()) << POSTRIDER_README;
  std::vector<std::string> rows;
  for (std::string line; std::getline(readme, line);) {
    if (line.starts_with("| +1555")) rows.push_back(line);
  }
  return rows;
}

TEST(ReadmeTest, ItsTableOfMagicNumbersIsTheSandboxes) {
  std::vector<std::string> rows;
  for (const MagicNumber& row : MagicNumbers()) {
    rows.push_back(StrCat("| ", row.number, " | ", row.name, " | ", row.shows, " |"));
  }
  EXPECT_THAT(RowsInReadme(), ::testing::ElementsAreArray(rows));
}

}  // namespace
}  // namespace postrider
