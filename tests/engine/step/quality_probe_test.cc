#include "engine/step/quality_probe.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/engine/conversation.h"

namespace sinkstream {
namespace {

// A step of sequences that want so many rows' logits.
StepBatch Batch(const std::vector<int32_t>& logit_rows) {
  StepBatch batch;
  for (const int32_t rows : logit_rows) {
    batch.sequences.emplace_back();
    batch.sequences.back().logit_rows = rows;
  }
  return batch;
}

// Of each look's step until there have been `looks`.
std::vector<int32_t> Looks(QualityProbe& probe, StepBatch batch, size_t looks) {
  std::vector<int32_t> chosen;
  for (int64_t step = 1; step <= QualityProbe::kEverySteps * static_cast<int64_t>(looks); ++step) {
    const auto look = probe.Choose(batch);
    EXPECT_EQ(look.has_value(), step % QualityProbe::kEverySteps == 0) << step;
    if (look) chosen.push_back(*look);
  }
  return chosen;
}

TEST(QualityProbe, LooksAtASequenceOfEvery16thStepInTurn) {
  QualityProbe probe;
  EXPECT_EQ(Looks(probe, Batch({1, 1, 1}), 5), (std::vector<int32_t>{0, 1, 2, 0, 1}));
}

TEST(QualityProbe, PassesOverSequencesWithoutLogits) {
  QualityProbe probe;
  EXPECT_EQ(Looks(probe, Batch({0, 1, 0, 2}), 3), (std::vector<int32_t>{1, 1, 3}));
}

TEST(QualityProbe, LooksAtNoneWhereThereIsNone) {
  QualityProbe probe;
  StepBatch batch = Batch({0, 0});
  for (int step = 0; step < 100; ++step) EXPECT_FALSE(probe.Choose(batch).has_value());
}

// What the look at the second of two sequences has asked the model for; the first look is at the
// first.
StepBatch SecondLook(const StepSequence& second) {
  QualityProbe probe;
  StepBatch batch = Batch({1, 1});
  batch.sequences[0].peaks_alone = true;
  batch.sequences[1] = second;
  for (int64_t step = 1; step < 2 * QualityProbe::kEverySteps; ++step) probe.Choose(batch);
  batch.sequences[0].peaks_alone = true;
  EXPECT_EQ(probe.Choose(batch), 1);
  return batch;
}

TEST(QualityProbe, AsksForTheLogitsOfWhatItLooksAtAlone) {
  StepSequence sequence;
  sequence.peaks_alone = true;
  const StepBatch batch = SecondLook(sequence);
  EXPECT_TRUE(batch.sequences[0].peaks_alone);
  EXPECT_FALSE(batch.sequences[1].peaks_alone);
}

TEST(QualityProbe, AsksForAttentionOnceARecentTokenIsThere) {
  const std::vector<TokenId> tokens = {1, 2, 3};
  StepSequence sequence;
  sequence.tokens = tokens;
  sequence.sinks = 5;
  sequence.start = 2;
  EXPECT_EQ(SecondLook(sequence).probed_sequence, -1);
  sequence.start = 3;
  EXPECT_EQ(SecondLook(sequence).probed_sequence, 1);
  sequence.sinks = 0;
  EXPECT_EQ(SecondLook(sequence).probed_sequence, -1);
}

TEST(QualityProbe, ALikelihoodIsThatOfTheSoftmax) {
  const std::vector<float> logits = {0, std::log(2.0f), std::log(5.0f)};
  EXPECT_NEAR(NegativeLogLikelihood(logits, 0), std::log(8.0), 1e-6);
  EXPECT_NEAR(NegativeLogLikelihood(logits, 2), std::log(8.0 / 5), 1e-6);
  const std::vector<float> sure = {100, 0};
  EXPECT_EQ(NegativeLogLikelihood(sure, 0), 0);
}

TEST(QualityProbe, TellsTheObserverOfWhatIsSampled) {
  FakeModel::Options model;
  Conversation world(model, WideOptions());
  Stream& stream = world.OpenStream();
  stream.Say("hi", Greedy(40));
  world.Run();
  int likelihoods = 0, attentions = 0;
  for (const StepStats& step : world.observer().steps) {
    if (step.negative_log_likelihood) {
      ++likelihoods;
      EXPECT_NEAR(*step.negative_log_likelihood, 0.0, 0.1) << "the fake model is sure";
      EXPECT_GT(*step.negative_log_likelihood, 0.0) << "of its logits, though the turn is greedy";
    }
    if (step.pinned_attention) {
      ++attentions;
      EXPECT_DOUBLE_EQ(*step.pinned_attention, FakeModel::kPinnedAttention);
    }
  }
  EXPECT_EQ(likelihoods, 2) << "of 40 steps and a prefill";
  EXPECT_EQ(attentions, 2);
}

TEST(QualityProbe, LooksAtNoAttentionWithoutSinks) {
  Conversation world({}, WideOptions());
  Stream& stream = world.OpenStream(With(0, 50));
  stream.Say("hi", Greedy(40));
  world.Run();
  int likelihoods = 0;
  for (const StepStats& step : world.observer().steps) {
    likelihoods += step.negative_log_likelihood ? 1 : 0;
    EXPECT_FALSE(step.pinned_attention.has_value());
  }
  EXPECT_EQ(likelihoods, 2);
}

}  // namespace
}  // namespace sinkstream
