#include "server/policy/links.h"

#include <algorithm>

#include "server/policy/letters.h"

namespace postrider {

namespace {

// Of generic and country domains those that texts are full of. What has a scheme, "www." or a path
// is a link whatever its domain.
constexpr std::string_view kDomains[] = {
    "app", "at",  "au",   "be",   "biz", "br",   "ca",  "cc",  "ch", "cn",     "co",  "com",  "de",
    "dev", "edu", "es",   "eu",   "fr",  "gg",   "gl",  "gov", "gy", "health", "in",  "info", "io",
    "it",  "jp",  "link", "ly",   "me",  "mx",   "net", "nl",  "no", "nz",     "org", "page", "pl",
    "pt",  "ru",  "se",   "shop", "sh",  "site", "to",  "tv",  "uk", "us",     "xyz"};

constexpr std::string_view kShorteners[] = {
    "bit.do",   "bit.ly",      "bl.ink",  "buff.ly", "cutt.ly", "dlvr.it",     "goo.gl",
    "is.gd",    "j.mp",        "lnkd.in", "ow.ly",   "rb.gy",   "rebrand.ly",  "s.id",
    "short.io", "shorturl.at", "t.co",    "t.ly",    "tiny.cc", "tinyurl.com", "v.gd"};

bool IsAlnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/// How many bytes of a host `text` has at `at`, of any script; 0: none.
std::size_t HostCharAt(std::string_view text, std::size_t at) {
  if (at < text.size() && (text[at] == '-' || text[at] == '.')) return 1;
  return LetterAt(text, at);
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

bool IsDomain(std::string_view label) {
  return std::find(std::begin(kDomains), std::end(kDomains), label) != std::end(kDomains);
}

/// Whether the labels of `host` are such: none empty, the last one no number.
bool IsHost(std::string_view host) {
  if (host.find('.') == std::string_view::npos || host.find("..") != std::string_view::npos) {
    return false;
  }
  const std::string_view last = host.substr(host.rfind('.') + 1);
  return host.front() != '.' && last.size() >= 2 &&
         std::none_of(last.begin(), last.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// How long the scheme before a host at `at` is: "https://" and the like; 0: there is none.
std::size_t SchemeBefore(std::string_view text, std::size_t at) {
  constexpr std::string_view kMark = "://";
  if (at < kMark.size() || text.substr(at - kMark.size(), kMark.size()) != kMark) return 0;
  std::size_t begin = at - kMark.size();
  while (begin > 0 && IsAlnum(text[begin - 1])) --begin;
  const std::size_t size = at - begin;
  return size > kMark.size() ? size : 0;
}

/// Where what follows a scheme ends: before its path, or a blank.
std::size_t AuthorityEnd(std::string_view text, std::size_t at) {
  while (at < text.size() && static_cast<unsigned char>(text[at]) > 0x20 &&
         std::string_view("/?#\"<>").find(text[at]) == std::string_view::npos) {
    ++at;
  }
  return at;
}

/// Of an authority: without user and port. Who reads "https://good.example@evil.example" goes to
/// the latter. Source: RFC 3986, section 3.2.
std::string_view HostOf(std::string_view authority) {
  const std::size_t user = authority.rfind('@');
  if (user != std::string_view::npos) authority.remove_prefix(user + 1);
  std::size_t end = 0;
  while (const std::size_t size = HostCharAt(authority, end)) end += size;
  return authority.substr(0, end);
}

}  // namespace

std::vector<Link> LinksOf(std::string_view text) {
  std::vector<Link> links;
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t end = at;
    while (const std::size_t size = HostCharAt(text, end)) end += size;
    if (end == at) {
      ++at;
      continue;
    }
    const std::size_t scheme = SchemeBefore(text, at);
    if (scheme > 0) end = std::max(end, AuthorityEnd(text, at));
    std::string_view host = text.substr(at, end - at);
    while (!host.empty() && (host.back() == '.' || host.back() == '-')) host.remove_suffix(1);
    const std::size_t after = at + host.size();
    const std::string name = Lower(scheme > 0 ? HostOf(host) : host);
    const bool mail = at > 0 && text[at - 1] == '@';
    const bool path = after < text.size() && (text[after] == '/' || text[after] == '?');
    const bool known =
        name.compare(0, 4, "www.") == 0 || IsDomain(name.substr(name.rfind('.') + 1));
    if (scheme > 0 ? !name.empty() : IsHost(name) && !mail && (path || known)) {
      std::size_t tail = after;
      // Its path goes to the next blank.
      if (path || (after < text.size() && text[after] == ':')) {
        while (tail < text.size() && static_cast<unsigned char>(text[tail]) > 0x20) ++tail;
      }
      links.push_back({at - scheme, tail - at + scheme, name});
      end = std::max(end, tail);
    }
    at = end;
  }
  return links;
}

bool IsShortener(std::string_view host) {
  return std::any_of(std::begin(kShorteners), std::end(kShorteners),
                     [&](std::string_view shortener) { return IsBelow(host, shortener); });
}

bool IsBelow(std::string_view host, std::string_view domain) {
  if (host.size() < domain.size() || domain.empty()) return false;
  const std::size_t before = host.size() - domain.size();
  return host.substr(before) == domain && (before == 0 || host[before - 1] == '.');
}

}  // namespace postrider
