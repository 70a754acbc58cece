#pragma once

#include <string_view>

namespace postrider {

/// Segments a second that carriers take from a sender: 1 from a long code of the US and Canada (all
/// of +1 is taken for such), 3 from a toll-free number, 10 from a number outside North America and
/// from an alphanumeric name, 100 from a short code (3 to 8 digits without "+"). Pure.
/// Source: the provider's throughput per sending number; short codes: the CTIA's usual 100 a
/// second.
double SegmentsPerSecondOf(std::string_view address);

}  // namespace postrider
