#include "engine/step/step_planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace sinkstream {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

StepCandidate Decode(int32_t index, uint64_t planned_at = 0) {
  return {.index = index, .decodes = true, .planned_at = planned_at};
}
StepCandidate Prompt(int32_t index, int64_t left, uint64_t planned_at = 0) {
  return {.index = index, .prompt_left = left, .planned_at = planned_at};
}
StepCandidate Scored(int32_t index, int64_t left, int64_t before) {
  StepCandidate scored = Prompt(index, left);
  scored.rows_before_scored = before;
  return scored;
}
PlannedRows Rows(int32_t index, int32_t rows) { return {index, rows}; }

std::vector<PlannedRows> Plan(std::vector<StepCandidate> candidates, const StepBudget& budget) {
  std::vector<PlannedRows> plan;
  PlanStep(absl::MakeSpan(candidates), budget, plan);
  return plan;
}

constexpr StepBudget kBudget{
    .step_tokens = 100, .prefill_chunk = 20, .max_prefills = 3, .score_rows = 30};

TEST(StepPlannerTest, NothingToDoGivesAnEmptyPlan) { EXPECT_THAT(Plan({}, kBudget), IsEmpty()); }

TEST(StepPlannerTest, EveryDecodeGetsItsRow) {
  EXPECT_THAT(Plan({Decode(0), Decode(1), Decode(2)}, kBudget),
              ElementsAre(Rows(0, 1), Rows(1, 1), Rows(2, 1)));
}

TEST(StepPlannerTest, GuessesGetRowsAsFarAsTheStepGoes) {
  StepCandidate first = Decode(0), second = Decode(1);
  first.guesses = 90;
  second.guesses = 20;
  EXPECT_THAT(Plan({first, second}, kBudget), ElementsAre(Rows(0, 91), Rows(1, 9)));
}

TEST(StepPlannerTest, BesideAPromptGuessesGetNoRows) {
  StepCandidate decode = Decode(0);
  decode.guesses = 4;
  EXPECT_THAT(Plan({decode, Prompt(1, 1000)}, kBudget), ElementsAre(Rows(0, 1), Rows(1, 20)));
}

TEST(StepPlannerTest, ALonePromptGetsTheWholeStep) {
  EXPECT_THAT(Plan({Prompt(0, 1000)}, kBudget), ElementsAre(Rows(0, 100)));
}

TEST(StepPlannerTest, BesideADecodeAPromptGetsOneChunk) {
  EXPECT_THAT(Plan({Prompt(0, 1000), Decode(1)}, kBudget), ElementsAre(Rows(1, 1), Rows(0, 20)));
}

TEST(StepPlannerTest, PromptsShareEvenlyAndLeaveWhatTheyDoNotNeed) {
  EXPECT_THAT(Plan({Prompt(0, 5), Prompt(1, 1000), Prompt(2, 1000)}, kBudget),
              ElementsAre(Rows(0, 5), Rows(1, 48), Rows(2, 47)));
}

TEST(StepPlannerTest, ThePromptsPlannedLongestAgoGoFirst) {
  EXPECT_THAT(Plan({Prompt(0, 9, 5), Prompt(1, 9, 2), Prompt(2, 9, 4), Prompt(3, 9, 1)}, kBudget),
              ElementsAre(Rows(3, 9), Rows(1, 9), Rows(2, 9)));
}

TEST(StepPlannerTest, TooManyDecodesTakeTurnsAndLeavePromptsAPart) {
  const StepBudget small{.step_tokens = 8, .prefill_chunk = 4, .max_prefills = 2};
  std::vector<StepCandidate> candidates = {Prompt(20, 1000)};
  for (int32_t i = 0; i < 10; ++i) candidates.push_back(Decode(i));
  std::map<int32_t, int> planned;
  uint64_t serial = 0;
  for (int step = 0; step < 10; ++step) {
    int32_t rows = 0;
    for (const auto& part : Plan(candidates, small)) {
      rows += part.rows;
      ++planned[part.index];
      for (auto& candidate : candidates) {
        if (candidate.index == part.index) candidate.planned_at = ++serial;
      }
    }
    EXPECT_LE(rows, 8);
  }
  EXPECT_EQ(planned[20], 10);  // the prompt, every step
  for (int32_t i = 0; i < 10; ++i)
    EXPECT_EQ(planned[i], 6) << i;  // 6 decode rows a step over 10 sessions
}

TEST(StepPlannerTest, RowsThatScoreAreBoundedAndThoseBeforeThemAreNot) {
  EXPECT_THAT(Plan({Scored(0, 1000, 0)}, kBudget), ElementsAre(Rows(0, 30)));
  EXPECT_THAT(Plan({Scored(0, 1000, 60)}, kBudget), ElementsAre(Rows(0, 90)));
  EXPECT_THAT(Plan({Scored(0, 1000, 500)}, kBudget), ElementsAre(Rows(0, 100)));
}

TEST(StepPlannerTest, WhatOneScoringLeavesIsTheNextOnesAndPromptsGoOn) {
  EXPECT_THAT(Plan({Scored(0, 25, 0), Scored(1, 1000, 10), Prompt(2, 1000)}, kBudget),
              ElementsAre(Rows(0, 25), Rows(1, 15), Rows(2, 60)));
  EXPECT_THAT(Plan({Scored(0, 1000, 0), Scored(1, 1000, 0), Prompt(2, 1000)}, kBudget),
              ElementsAre(Rows(0, 30), Rows(2, 70)));
}

TEST(StepPlannerTest, BesideADecodeARowThatScoresTakesTheShareOfSeveral) {
  EXPECT_THAT(Plan({Scored(0, 1000, 0), Decode(1)}, kBudget), ElementsAre(Rows(1, 1), Rows(0, 10)));
  EXPECT_THAT(Plan({Scored(0, 1000, 8), Decode(1)}, kBudget),
              ElementsAre(Rows(1, 1), Rows(0, 8 + 6)));
  EXPECT_THAT(Plan({Scored(0, 4, 0), Prompt(1, 1000), Decode(2)}, kBudget),
              ElementsAre(Rows(2, 1), Rows(0, 4), Rows(1, 12)));
}

TEST(StepPlannerTest, WhereNoMoreDistributionsMayBeToldOnlyThoseWait) {
  StepBudget few = kBudget;
  few.distributions = 7;
  auto first = Scored(0, 1000, 0), second = Scored(1, 1000, 5);
  first.tells_distributions = second.tells_distributions = true;
  EXPECT_THAT(Plan({first, second, Scored(2, 1000, 0)}, few),
              ElementsAre(Rows(0, 7), Rows(1, 5), Rows(2, 23)));
  few.distributions = 0;
  EXPECT_THAT(Plan({first}, few), IsEmpty());
}

TEST(StepPlannerTest, OneRowThatScoresIsNeverTooDear) {
  StepBudget dear = kBudget;
  dear.scored_row_cost = 50;
  EXPECT_THAT(Plan({Scored(0, 9, 0), Scored(1, 9, 0), Decode(2)}, dear),
              ElementsAre(Rows(2, 1), Rows(0, 1)));
  EXPECT_THAT(Plan({Scored(0, 9, 3), Decode(2)}, dear), ElementsAre(Rows(2, 1), Rows(0, 3)));
}

TEST(StepPlannerTest, OneThatGetsNoRowsTakesNobodysPlace) {
  StepBudget two = kBudget;
  two.max_prefills = 2;
  EXPECT_THAT(Plan({Scored(0, 1000, 0), Scored(1, 1000, 0), Prompt(2, 1000)}, two),
              ElementsAre(Rows(0, 30), Rows(2, 70)));
}

TEST(StepPlannerTest, APlanNeverExceedsTheStep) {
  for (int decodes = 0; decodes < 120; decodes += 7) {
    for (int prompts = 0; prompts < 6; ++prompts) {
      std::vector<StepCandidate> candidates;
      for (int i = 0; i < decodes; ++i) candidates.push_back(Decode(i));
      for (int i = 0; i < prompts; ++i) candidates.push_back(Prompt(1000 + i, 1 + 13 * i));
      int32_t rows = 0;
      for (const auto& part : Plan(candidates, kBudget)) {
        EXPECT_GE(part.rows, 1);
        rows += part.rows;
      }
      EXPECT_LE(rows, kBudget.step_tokens);
      EXPECT_EQ(rows == 0, candidates.empty());
    }
  }
}

}  // namespace
}  // namespace sinkstream
