#pragma once

#include <string>

namespace postrider {

/// A database of a test's own on a real Postgres, dropped with the object.
///
/// The server is the one that ctest's fixture started (its URL is in the file that
/// POSTGRES_TEST_URL_FILE names); a test program that is run by hand starts one and stops it at
/// its end. A database is a copy of a template, which is made once a server and has all migrations.
/// Aborts, with the reason, when any of that fails: a test cannot go on.
class TestDatabase {
 public:
  TestDatabase();
  ~TestDatabase();
  TestDatabase(const TestDatabase&) = delete;
  TestDatabase& operator=(const TestDatabase&) = delete;

  /// For libpq.
  const std::string& url() const { return url_; }

  /// Makes a backup of it as it is now, instead of the one before. Nobody may be connected.
  void BackUp() const;
  /// Puts the backup in its place, whoever is connected. Once a backup.
  void Restore() const;

 private:
  std::string BackupName() const;

  std::string name_;
  std::string url_;
};

/// A new directory that the server's user can reach, below $TMPDIR; removed with the object.
class TestDir {
 public:
  TestDir();
  ~TestDir();
  TestDir(const TestDir&) = delete;
  TestDir& operator=(const TestDir&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace postrider
