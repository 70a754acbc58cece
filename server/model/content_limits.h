#pragma once

#include <chrono>

/// When carriers' rejections of one text are a cluster, and how far is looked for one.
namespace postrider {

/// Fewer may be chance: of 25 answers, where one in a hundred is a rejection anyway, five are
/// rejections once in 220,000 times.
inline constexpr int kClusterRejections = 5;
/// Of the answers that messages with the text got; 15 % of all stop a tenant
/// (kBreakerFailureShare).
inline constexpr int kClusterPercent = 20;
inline constexpr auto kClusterWindow =
    std::chrono::minutes(10);  ///< What was answered before is old.

inline constexpr int kClusterAnswers = 200;    ///< Answered messages that are judged by ...
inline constexpr int kClusterLooked = 2000;    ///< ... of so many that are looked at.
inline constexpr int kRejectionsAtOnce = 256;  ///< Judged by one transaction, of each slot.
inline constexpr auto kContentSweep = std::chrono::seconds(1);  ///< Looks, when idle.

}  // namespace postrider
