// EngineObservers: several observers as one, told one after the other.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "engine/observer.h"

namespace sinkstream {

class EngineObservers final : public EngineObserver {
 public:
  // They outlive this.
  explicit EngineObservers(std::vector<EngineObserver*> observers)
      : observers_(std::move(observers)) {}

  void OnRoundBegun() override { Tell(&EngineObserver::OnRoundBegun); }
  void OnRoundEnded() override { Tell(&EngineObserver::OnRoundEnded); }
  void OnStep(const StepStats& stats) override { Tell(&EngineObserver::OnStep, stats); }
  void OnPool(const PoolStats& stats) override { Tell(&EngineObserver::OnPool, stats); }
  void OnSessionStart(const SessionStart& start) override {
    Tell(&EngineObserver::OnSessionStart, start);
  }
  void OnPrefixJoined(int64_t tokens) override { Tell(&EngineObserver::OnPrefixJoined, tokens); }
  void OnSessionEnd(const SessionEnd& end) override { Tell(&EngineObserver::OnSessionEnd, end); }
  void OnRejected(Refusal refusal) override { Tell(&EngineObserver::OnRejected, refusal); }
  void OnRequestEnd(const RequestEnd& end) override { Tell(&EngineObserver::OnRequestEnd, end); }
  void OnRequestFailed(const absl::Status& status) override {
    Tell(&EngineObserver::OnRequestFailed, status);
  }
  void OnParkEnd(const ParkEnd& end) override { Tell(&EngineObserver::OnParkEnd, end); }
  void OnDraining() override { Tell(&EngineObserver::OnDraining); }
  void OnPaused() override { Tell(&EngineObserver::OnPaused); }

 private:
  template <typename Method, typename... Facts>
  void Tell(Method method, const Facts&... facts) {
    for (EngineObserver* const observer : observers_) (observer->*method)(facts...);
  }

  const std::vector<EngineObserver*> observers_;
};

}  // namespace sinkstream
