// What all sessions together hold at a moment, for the observer.
#pragma once

#include "engine/observer.h"
#include "engine/sampling/distribution_budget.h"
#include "engine/session/session_parking.h"
#include "engine/session/session_pool.h"

namespace sinkstream {

// Takes no memory. Engine thread only.
PoolStats CountPool(const SessionPool& pool, const SessionParking& parking,
                    const DistributionBudget& distributions);

}  // namespace sinkstream
