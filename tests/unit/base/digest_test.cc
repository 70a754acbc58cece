#include "server/base/digest.h"

#include <set>

#include <gtest/gtest.h>

namespace postrider {
namespace {

TEST(DigestTest, Sha256Table) {
  struct Case {
    std::string bytes;
    const char* hex;
  };
  // FIPS 180-4's examples.
  const Case cases[] = {
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(HexOf(Sha256Bytes(c.bytes)), c.hex);
    EXPECT_EQ(Sha256Bytes(c.bytes).size(), 32U);
  }
  EXPECT_NE(Sha256(std::string("a\0b", 3)), Sha256(std::string("a\0c", 3))) << "NULs count";
}

TEST(DigestTest, HexIsLowerCaseTwoCharactersAByte) {
  EXPECT_EQ(HexOf(std::string("\x00\xff\x0a", 3)), "00ff0a");
  EXPECT_EQ(HexOf(""), "");
}

TEST(Base64UrlTest, RoundTripTable) {
  struct Case {
    std::string bytes;
    const char* text;
  };
  // RFC 4648 section 10, without padding, and the two characters of the URL alphabet.
  const Case cases[] = {
      {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
      {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff", "-_8"}};
  for (const Case& c : cases) {
    EXPECT_EQ(Base64UrlOf(c.bytes), c.text);
    const auto parsed = ParseBase64Url(c.text);
    ASSERT_TRUE(parsed.ok()) << c.text;
    EXPECT_EQ(*parsed, c.bytes);
  }
  EXPECT_EQ(Base64Of("\xfb\xff"), "+/8=");
}

TEST(Base64UrlTest, OnlyTheOneTextOfTheBytesIsTaken) {
  for (const char* text :
       {"Z", "Zg==", "Zg=", "Zm9v Yg", "Zm9v\n", "+/8", "Zm9v!", "Zh", "====", "Zm9vY"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseBase64Url(text).status())) << text;
  }
}

TEST(RandomTokenTest, HasItsBitsAndIsNeverTheSame) {
  OsRandom random;
  std::set<std::string> tokens;
  for (int i = 0; i < 100; ++i) tokens.insert(RandomToken(random));
  EXPECT_EQ(tokens.size(), 100U);
  EXPECT_EQ(ParseBase64Url(*tokens.begin())->size(), 32U);
  EXPECT_EQ(ParseBase64Url(RandomToken(random, 128))->size(), 16U);
}

}  // namespace
}  // namespace postrider
