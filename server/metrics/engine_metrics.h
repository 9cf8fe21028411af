// EngineMetrics: counts what the engine tells. Its cells are looked up once, so that a call takes
// no lock and no memory.
#pragma once

#include <array>

#include "engine/engine.h"
#include "engine/observer.h"
#include "server/metrics/metric_store.h"

namespace sinkstream {

class EngineMetrics final : public EngineObserver {
 public:
  // `store` outlives this.
  explicit EngineMetrics(MetricStore& store);

  // What is constant: the model, the limits. Once, when the engine is there.
  void Describe(const Engine& engine);

  void OnStep(const StepStats& stats) override;
  void OnPool(const PoolStats& stats) override;
  void OnSessionStart(const SessionStart& start) override;
  void OnPrefixJoined(int64_t tokens) override;
  void OnSessionEnd(const SessionEnd& end) override;
  void OnRejected(Refusal refusal) override;
  void OnRequestEnd(const RequestEnd& end) override;
  void OnRequestFailed(const absl::Status& status) override;
  void OnParkEnd(const ParkEnd& end) override;
  void OnPaused() override { decode_pauses_.Add(); }

 private:
  struct Parking {
    std::array<Counter*, 2> operations;  // ok, error
    HistogramCell* seconds;
    Counter* bytes;
  };

  static Parking ParkingOf(MetricStore& store, ParkOperation operation);
  void CountTurn(const RequestEnd& end);
  void SetBlocks(const PoolStats& stats);

  MetricStore& store_;

  std::array<Gauge*, 5> sessions_;
  Counter &opened_, &resumed_;
  std::array<Counter*, kCloseReasons.size()> closed_;
  HistogramCell& session_seconds_;
  Counter& decode_pauses_;

  std::array<Counter*, kFinishReasons.size() + 1> turns_;
  std::array<Counter*, 3> appends_;
  Gauge &running_, &waiting_;
  HistogramCell &queue_seconds_, &turn_seconds_, &unanswered_seconds_;
  Counter &prompt_tokens_, &generated_tokens_, &evicted_tokens_, &scored_tokens_;
  Counter &accepted_guesses_, &rejected_guesses_;

  Gauge &kv_reserved_, &kv_used_, &kv_peak_, &kv_tokens_;
  std::array<Gauge*, 4> blocks_;
  Counter &evicted_blocks_, &freed_blocks_;
  Counter &prefix_lookups_, &prefix_hits_, &prefix_tokens_;
  Gauge &distribution_bytes_, &parked_bytes_;
  std::array<Parking, 2> parking_;

  std::array<Counter*, 2> steps_;
  HistogramCell& step_seconds_;
  std::array<Counter*, 4> phase_seconds_;
  HistogramCell &prefill_rows_, &decode_rows_;
  HistogramCell &pinned_attention_, &nll_;
  Counter& nonfinite_;
};

}  // namespace sinkstream
