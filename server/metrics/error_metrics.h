// Errors told to clients, by where and by code; refusals for want of room, by reason.
#pragma once

#include "absl/status/status.h"
#include "engine/errors.h"
#include "server/metrics/metric_store.h"

namespace sinkstream {

// In the order of the catalog's values.
enum class ErrorScope { kRequest, kStream, kCall };

// Nothing for OK. What is no canonical code counts as UNKNOWN.
void CountError(MetricStore& store, ErrorScope scope, absl::StatusCode code);

void CountRejection(MetricStore& store, Refusal refusal);

}  // namespace sinkstream
