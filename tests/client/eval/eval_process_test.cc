// sinkstream-eval as a process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/client/command.h"
#include "tests/client/eval/scoring_server.h"
#include "tests/client/refusing_server.h"
#include "tests/client/terminal_process.h"
#include "tests/scratch_files.h"

namespace sinkstream::eval {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

Outcome RunTool(const std::string& arguments) {
  return RunCommand(SINKSTREAM_EVAL " " + arguments);
}

class EvalProcessTest : public testing::Test {
 protected:
  EvalProcessTest() {
    std::ofstream text(folder_ + "/text");
    for (int i = 0; i < 2000; ++i) {
      text << static_cast<char>('a' + i * i / 3 % 26) << (i % 6 ? "" : " ");
    }
  }

  std::string Flags(const std::string& rest) const {
    return " --text=" + folder_ + "/text --server=" + server_.address() + " " + rest;
  }
  nlohmann::json Json(const std::string& name) const {
    std::ifstream file(folder_ + "/" + name);
    return nlohmann::json::parse(file);
  }
  bool Exists(const std::string& name) const {
    return std::filesystem::exists(folder_ + "/" + name);
  }
  // What it says on standard error, where it fails with exit code 1 in one line.
  std::string Failure(const std::string& arguments) const {
    const Outcome outcome = RunTool(arguments + " 2>&1 >/dev/null");
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 1) << outcome.out;
    return outcome.out;
  }

  const ScratchFiles files_;
  const std::string& folder_ = files_.folder();
  ScoringServer server_;
};

TEST_F(EvalProcessTest, HelpListsSubcommandsAndTheirFlags) {
  const Outcome help = RunTool("--help");
  EXPECT_THAT(help.out, AllOf(HasSubstr("perplexity"), HasSubstr("table"), HasSubstr("recall"),
                              HasSubstr("drift")));
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(RunTool("drift --help").out, AllOf(HasSubstr("--state FILE"), HasSubstr("--server")));
  EXPECT_EQ(RunTool("--version").out, "sinkstream-eval " SINKSTREAM_VERSION "\n");
  EXPECT_EQ(RunTool("drift --version").out, "sinkstream-eval " SINKSTREAM_VERSION "\n");
}

TEST_F(EvalProcessTest, ABadCommandLineIsToldInOneLineWithCodeTwo) {
  for (const char* arguments :
       {"", "tables", "tables --help", "tables --text --help", "table", "table --text",
        "table --text x --cache 1", "table --text x y", "perplexity --text x --policy rolling",
        "perplexity --text x --server localhost",
        "perplexity --text x --window=9223372036854775807",
        "recall --text x --distances=1,9223372036854775807"}) {
    const Outcome outcome = RunTool(std::string(arguments) + " 2>&1");
    EXPECT_EQ(outcome.exit_code, 2) << arguments;
    EXPECT_THAT(outcome.out, StartsWith("sinkstream-eval: "));
    EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 1) << outcome.out;
  }
}

TEST_F(EvalProcessTest, WhatIsNoFlagIsNamed) {
  EXPECT_EQ(RunTool("drift --text x --cash_file=3 2>&1").out,
            "sinkstream-eval: --cash_file is not a flag; --help lists them\n");
}

TEST_F(EvalProcessTest, ATokenInTheClearIsAllowedByASwitch) {
  const std::string elsewhere =
      "perplexity --text x --server=192.0.2.1:1 --token-file=" + folder_ + "/text";
  EXPECT_THAT(Failure(elsewhere), HasSubstr("--token-file: would be read by whoever"));
  EXPECT_THAT(Failure(elsewhere + " --insecure-token=no"), HasSubstr("would be read by whoever"));
  for (const char* allowed : {" --insecure-token", " --insecure_token=yes"}) {
    EXPECT_THAT(Failure(elsewhere + allowed), HasSubstr("/text: must hold one token"));
  }
}

TEST_F(EvalProcessTest, AServersMessageDoesNotControlTheTerminal) {
  const RefusingServer server("\x1b[2J");
  TerminalProcess eval({SINKSTREAM_EVAL, "perplexity", "--text=" + folder_ + "/text",
                        "--server=" + server.address()});
  EXPECT_TRUE(eval.See("sinkstream-eval: " + server.address() + ": INTERNAL: \ufffd[2J\r\n"))
      << eval.screen();
  EXPECT_EQ(eval.ExitCode(), 1);
}

TEST_F(EvalProcessTest, AServersTextInResultsDoesNotControlTheTerminal) {
  server_.AddToTexts("\x1b[2J");
  server_.BreakBeyond(1500);
  const std::vector<std::string> commands[] = {{"perplexity"},
                                               {"table", "--warmup=100", "--cache=40"},
                                               {"drift", "--state=" + folder_ + "/s"}};
  for (std::vector<std::string> command : commands) {
    command.insert(command.begin(), SINKSTREAM_EVAL);
    command.insert(command.end(), {"--text=" + folder_ + "/text", "--server=" + server_.address()});
    TerminalProcess eval(command);
    EXPECT_TRUE(eval.See("INCOMPLETE: ")) << eval.screen();
    EXPECT_TRUE(eval.See("shutting down\ufffd[2J\r\n")) << eval.screen();
    EXPECT_TRUE(command[1] != "table" || eval.See("Counting\ufffd[2J (float32)")) << eval.screen();
    EXPECT_EQ(eval.ExitCode(), 1);
  }
}

TEST_F(EvalProcessTest, PerplexityIsPrintedReportedAndDrawn) {
  const Outcome outcome =
      RunTool("perplexity" + Flags("--tokens=900 --warmup=100 --policy=sink --sinks=4 --window=60"
                                   " --json=" +
                                   folder_ + "/r.json --plot=" + folder_ + "/r.svg 2>/dev/null"));
  EXPECT_EQ(outcome.exit_code, 0);
  const auto report = Json("r.json");
  EXPECT_EQ(report["tokens"], 900);
  EXPECT_EQ(report["policy"], "sink");
  EXPECT_EQ(report["sinks"], 4);
  EXPECT_EQ(report["window"], 60);
  EXPECT_EQ(report["scored_tokens"], 800);
  EXPECT_EQ(report["complete"], true);
  EXPECT_EQ(report["server_version"], "1.2.3");
  EXPECT_EQ(report["running"].back()["perplexity"], report["perplexity"]);
  EXPECT_THAT(outcome.out, HasSubstr(" of tokens 100 to 899 (sink 4+60)\n"));
  EXPECT_TRUE(Exists("r.svg"));
}

TEST_F(EvalProcessTest, TheReportIsKeptWhereNobodyReadsTheResults) {
  const std::string flags = Flags("--tokens=500 --cache=40 --json=" + folder_ + "/t.json");
  const Outcome outcome = RunCommand(IntoClosedPipe(folder_ + "/pipe") + SINKSTREAM_EVAL " table" +
                                     flags + " --warmup=100 --recompute-tokens=20");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_EQ(Json("t.json")["complete"], true);
}

TEST_F(EvalProcessTest, ResultsThatCannotBePrintedAreAFailure) {
  const std::string measure = "perplexity" + Flags("--tokens=300 --warmup=100");
  for (const std::string& arguments : {measure, std::string("--help"), std::string("--version")}) {
    const Outcome outcome = RunTool(arguments + " 2>&1 >/dev/full");
    EXPECT_EQ(outcome.exit_code, 1) << arguments;
    EXPECT_THAT(outcome.out, EndsWith("sinkstream-eval: standard output: cannot write\n"));
  }
}

TEST_F(EvalProcessTest, RecomputationScoresEachTokenAfresh) {
  RunTool("perplexity" + Flags("--tokens=300 --warmup=200 --policy=recompute --sinks=4 --window=60"
                               " --json=" +
                               folder_ + "/r.json 2>/dev/null"));
  std::ifstream file(folder_ + "/text");
  Ids ids;
  for (char byte; ids.size() < 300 && file.get(byte);) ids.push_back(byte);
  double total = 0;
  for (int64_t token = 200; token < 300; ++token) total += Nll(ids, token, 0, 64);
  EXPECT_NEAR(Json("r.json")["mean_nll"], total / 100, 1e-6);
}

TEST_F(EvalProcessTest, DenseIsLimitedToTheTrainedContextAndSaysSo) {
  const Outcome outcome = RunTool(
      "perplexity" + Flags("--policy=dense --warmup=100 --json=" + folder_ + "/r.json 2>&1"));
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.out, HasSubstr("dense: only the first 600 tokens, the context"));
  EXPECT_EQ(Json("r.json")["tokens"], 600);
}

TEST_F(EvalProcessTest, ATableComparesAllPolicies) {
  const Outcome outcome = RunTool(
      "table" +
      Flags("--tokens=500 --warmup=100 --cache=40 --recompute-tokens=20 --json=" + folder_ +
            "/t.json --markdown=" + folder_ + "/t.md --svg=" + folder_ + "/t.svg 2>/dev/null"));
  EXPECT_EQ(outcome.exit_code, 0);
  const auto report = Json("t.json");
  ASSERT_EQ(report["rows"].size(), 7u);
  EXPECT_EQ(report["rows"][4]["sinks"], 4);
  EXPECT_EQ(report["rows"][4]["window"], 36);
  EXPECT_EQ(report["rows"][6]["scored_tokens"], 20);
  EXPECT_EQ(report["against_recompute"]["rows"].size(), 2u);
  // This model needs no sinks: its window recomputed is its window.
  EXPECT_EQ(report["against_recompute"]["rows"][1]["mean_kl"], 0);
  EXPECT_GT(report["against_recompute"]["rows"][0]["mean_kl"], 0);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("| window | 0+40 |"), HasSubstr("| sink | 8+32 |"),
                                 HasSubstr("| recompute | 40 |")));
  EXPECT_TRUE(Exists("t.md"));
  EXPECT_TRUE(Exists("t.svg"));
}

TEST_F(EvalProcessTest, RecallTellsWhatIsInTheCacheByDistance) {
  std::ofstream text(folder_ + "/text");
  for (int i = 0; i < 9000; ++i) text << "once upon a time ";
  text.close();
  const Outcome outcome = RunTool(
      "recall" + Flags("--sinks=4 --window=500 --distances=100,460,600 --facts-per-distance=5"
                       " --json=" +
                       folder_ + "/r.json 2>/dev/null"));
  EXPECT_EQ(outcome.exit_code, 0);
  const auto distances = Json("r.json")["distances"];
  ASSERT_EQ(distances.size(), 3u);
  EXPECT_EQ(distances[0]["in_cache"], "yes");
  EXPECT_EQ(distances[1]["in_cache"], "partly");
  EXPECT_EQ(distances[2]["in_cache"], "no");
  EXPECT_EQ(distances[2]["asked"], 5);
}

TEST_F(EvalProcessTest, BadTextsAndSettingsAreNamed) {
  EXPECT_EQ(Failure("table --text=/none"),
            "sinkstream-eval: /none: cannot read: No such file or directory\n");
  std::ofstream(folder_ + "/empty").close();
  EXPECT_THAT(Failure("drift --text=" + folder_ + "/empty --state=" + folder_ + "/s"),
              HasSubstr("the file is empty"));
  EXPECT_THAT(Failure("perplexity" + Flags("--tokens=100 --warmup=100")),
              HasSubstr("--tokens: 100 tokens; must be more than --warmup, 100"));
  EXPECT_THAT(Failure("perplexity" + Flags("--warmup=50000")),
              HasSubstr("text: 2334 tokens; must be more than --warmup, 50000"));
  EXPECT_THAT(Failure("table" + Flags("--cache=601 --warmup=10 --tokens=700")),
              HasSubstr("is 601 (0 + 601); at most 600, the context"));
}

TEST_F(EvalProcessTest, AReportThatCannotBeWrittenIsToldBeforeAnythingIsMeasured) {
  EXPECT_THAT(Failure("perplexity" + Flags("--json=" + folder_ + "/none/r.json")),
              HasSubstr("/none/r.json: cannot write"));
  EXPECT_EQ(server_.tokens_read(), 0);
}

TEST_F(EvalProcessTest, ATextMayHaveANameThatIsNoUtf8) {
  const std::string name = folder_ + "/text\xff";
  std::filesystem::copy(folder_ + "/text", name);
  const Outcome outcome = RunTool("perplexity --server=" + server_.address() + " --text=" + name +
                                  " --json=" + folder_ + "/r.json 2>/dev/null");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(Json("r.json")["text"], folder_ + "/text\uFFFD");
}

TEST_F(EvalProcessTest, OnAFullDiskTheReportIsOnStandardOutput) {
  const Outcome outcome = RunTool("perplexity" + Flags("--json=/dev/full 2>/dev/null"));
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.out, HasSubstr("\"perplexity\": "));
  EXPECT_THAT(RunTool("perplexity" + Flags("--json=/dev/full 2>&1 >/dev/null")).out,
              HasSubstr("/dev/full: cannot write: No space left on device; it is on standard "
                        "output instead\n"));
}

TEST_F(EvalProcessTest, WhatWasMeasuredUntilTheServerWasGoneIsKept) {
  server_.BreakBeyond(1500);
  const Outcome outcome =
      RunTool("perplexity" + Flags("--warmup=10 --json=" + folder_ + "/r.json 2>&1"));
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr(server_.address() + ": UNAVAILABLE: shutting down"),
                    HasSubstr("what was measured until then is on standard output and in " +
                              folder_ + "/r.json\n"),
                    HasSubstr("INCOMPLETE: "), HasSubstr(" of tokens 10 to 1023 (sink 4+60)\n")));
  EXPECT_EQ(Json("r.json")["complete"], false);
  EXPECT_EQ(Json("r.json")["scored_tokens"], 1024 - 10);
}

TEST_F(EvalProcessTest, ABrokenTableIsOfTheTokensThatAllHaveRead) {
  server_.BreakBeyond(1500);
  const Outcome outcome =
      RunTool("table" + Flags("--warmup=100 --cache=40 --recompute-tokens=200 --parallel=1"
                              " --json=" +
                              folder_ + "/t.json --markdown=" + folder_ + "/t.md 2>/dev/null"));
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.out, AllOf(StartsWith("INCOMPLETE: "), HasSubstr("| dense | all |"),
                                 HasSubstr("| window | 0+40 |")));
  std::ifstream markdown(folder_ + "/t.md");
  EXPECT_EQ(outcome.out, std::string(std::istreambuf_iterator<char>(markdown), {}));
  const auto rows = Json("t.json")["rows"];
  for (size_t i = 1; i < 6; ++i) EXPECT_EQ(rows[i]["scored_tokens"], rows[1]["scored_tokens"]);
  EXPECT_EQ(rows[6]["scored_tokens"], Json("t.json")["against_recompute"]["tokens"]);
}

TEST_F(EvalProcessTest, ATableTellsOfWhichTokensItsRowsAre) {
  const std::string out =
      RunTool("table" + Flags("--tokens=700 --warmup=500 --cache=40 --recompute-tokens=0"
                              " 2>/dev/null"))
          .out;
  EXPECT_THAT(out, AllOf(HasSubstr(" 100, the first ones |"), HasSubstr(" 200 |"),
                         testing::Not(HasSubstr("sampled evenly"))));
  EXPECT_THAT(Failure("table" + Flags("--tokens=700 --warmup=600 --cache=40")),
              HasSubstr("--warmup: is 600; must be less than 600, the context"));
}

TEST_F(EvalProcessTest, ADriftWithoutRecomputationHasNoRatio) {
  const std::string out =
      RunTool("drift" +
              Flags("--stretches=1 --recompute-tokens=0 --state=" + folder_ + "/s 2>/dev/null"))
          .out;
  EXPECT_THAT(out, AllOf(HasSubstr(" | - | - | "), testing::Not(HasSubstr("nan"))));
}

}  // namespace
}  // namespace sinkstream::eval
