// sinkstream-loadgen as a process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/client/command.h"
#include "tests/client/loadgen/chatting_server.h"
#include "tests/client/refusing_server.h"
#include "tests/client/terminal_process.h"
#include "tests/scratch_files.h"

namespace sinkstream::loadgen {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

Outcome RunTool(const std::string& arguments) {
  return RunCommand(SINKSTREAM_LOADGEN " " + arguments);
}

class LoadgenProcessTest : public testing::Test {
 protected:
  std::string Flags(const std::string& rest) const {
    return "--server=" + server_.address() + " --json=" + folder_ + "/r.json " + rest;
  }
  nlohmann::json Json() const {
    std::ifstream file(folder_ + "/r.json");
    return nlohmann::json::parse(file);
  }
  // What it says on standard error, in one line, with this exit code.
  static std::string Complaint(const std::string& arguments, int exit_code) {
    const Outcome outcome = RunTool(arguments + " 2>&1 >/dev/null");
    EXPECT_EQ(outcome.exit_code, exit_code) << arguments;
    EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 1) << outcome.out;
    EXPECT_THAT(outcome.out, StartsWith("sinkstream-loadgen: "));
    return outcome.out;
  }

  const ScratchFiles files_;
  const std::string& folder_ = files_.folder();
  ChattingServer server_;
};

TEST_F(LoadgenProcessTest, HelpListsTheFlagsAndTheExitCodes) {
  const Outcome help = RunTool("--help");
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.out, AllOf(HasSubstr("--slo-ttft-ms"), HasSubstr("--rate R"),
                              HasSubstr("--sweep"), HasSubstr("Exit code: 0")));
  EXPECT_EQ(RunTool("--version").out, "sinkstream-loadgen " SINKSTREAM_VERSION "\n");
}

TEST_F(LoadgenProcessTest, AClosedLoopIsReported) {
  const Outcome outcome =
      RunTool(Flags("--sessions 3 --turns 2 --max_tokens 20 --slo_ttft_ms 60000 2>/dev/null"));
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.out, AllOf(StartsWith("parrot (float32, portable) at " + server_.address()),
                                 HasSubstr("closed loop, 3 sessions, 2 turns each"),
                                 HasSubstr("(6 turns, 120 tokens)")));
  const auto report = Json();
  EXPECT_EQ(report["complete"], true);
  EXPECT_GT(report["tokens_per_second"], 0);
  EXPECT_EQ(report["ttft_ms"]["count"], 6);
  EXPECT_EQ(report["itl_ms"]["count"], 6 * 19);
  EXPECT_EQ(report["errors"], 0);
  EXPECT_EQ(report["goodput"]["share_of_turns"], 1);
  EXPECT_EQ(report["model"], "parrot");
}

TEST_F(LoadgenProcessTest, TurnsArePiecesOfTheTextUnderTheSettingsAskedFor) {
  std::ofstream(folder_ + "/text") << "abc";
  std::ofstream(folder_ + "/system") << "be brief";
  RunTool(Flags("--sessions 1 --turns 1 --warmup-turns 0 --prompt-tokens 5 --text " + folder_ +
                "/text --system-prompt " + folder_ + "/system --sinks 7 --window 99" +
                " --ignore-end-of-turn no 2>/dev/null"));
  const auto seen = server_.seen();
  ASSERT_EQ(seen.said.size(), 1u);
  std::string said;
  for (const int32_t id : seen.said[0].token_ids().ids()) said += static_cast<char>(id);
  EXPECT_THAT(std::string("abcabcabc"), HasSubstr(said));
  EXPECT_EQ(said.size(), 5u);
  EXPECT_EQ(seen.said[0].sampling().max_tokens(), 128);
  EXPECT_EQ(seen.last_open.system_prompt(), "be brief");
  EXPECT_EQ(seen.last_open.sinks(), 7);
  EXPECT_EQ(seen.last_open.window(), 99);
  EXPECT_FALSE(seen.last_open.sampling().ignore_end_of_turn());
  EXPECT_EQ(seen.last_open.idle_timeout().seconds(), 0);
}

TEST_F(LoadgenProcessTest, ASweepIsATableAndAPicture) {
  const Outcome outcome = RunTool(
      Flags("--sweep 1,2,4 --turns 1 --max-tokens 5 --plot " + folder_ + "/p.svg 2>/dev/null"));
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(Json()["sweep"].size(), 3u);
  EXPECT_EQ(Json()["sweep"][2]["turns"], 4);
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/p.svg"));
}

TEST_F(LoadgenProcessTest, FailedTurnsAreCountedAndTheRunSucceeds) {
  server_.FailEvery(4);
  const Outcome outcome = RunTool(Flags("--sessions 1 --turns 4 --warmup-turns 0 2>/dev/null"));
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(Json()["errors"], 1);
  EXPECT_EQ(Json()["errors_by_code"]["RESOURCE_EXHAUSTED"], 1);
  EXPECT_EQ(Json()["turns"], 3);
}

TEST_F(LoadgenProcessTest, WhatWasMeasuredUntilTheServerWasGoneIsKept) {
  server_.BreakAfter(6);
  const Outcome outcome =
      RunTool(Flags("--sessions 1 --turns 50 --warmup-turns 0 --max-tokens 5 2>&1"));
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("INCOMPLETE: "),
                                 HasSubstr(server_.address() +
                                           ": UNAVAILABLE: shutting down; what was measured"
                                           " until then is on standard output and in " +
                                           folder_ + "/r.json\n")));
  EXPECT_EQ(Json()["complete"], false);
  EXPECT_EQ(Json()["turns"], 6);
}

TEST_F(LoadgenProcessTest, TheReportIsKeptWhereNobodyReadsTheTable) {
  const Outcome outcome = RunCommand(IntoClosedPipe(folder_ + "/pipe") + SINKSTREAM_LOADGEN " " +
                                     Flags("--sessions 1 --turns 1"));
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_EQ(Json()["complete"], true);
}

TEST_F(LoadgenProcessTest, ResultsThatCannotBePrintedAreAFailure) {
  for (const std::string& arguments :
       {Flags("--sessions 1 --turns 1"), std::string("--help"), std::string("--version")}) {
    const Outcome outcome = RunTool(arguments + " 2>&1 >/dev/full");
    EXPECT_EQ(outcome.exit_code, 1) << arguments;
    EXPECT_THAT(outcome.out, EndsWith("sinkstream-loadgen: standard output: cannot write\n"));
  }
}

TEST_F(LoadgenProcessTest, ALoadOfWhichNothingComesIsAFailure) {
  server_.Hold(0);
  EXPECT_THAT(Complaint(Flags("--sessions 2"), 1), HasSubstr("not a single turn was measured"));
  EXPECT_EQ(Json()["errors_by_code"]["RESOURCE_EXHAUSTED"], 2);
}

TEST_F(LoadgenProcessTest, AServerThatIsNotThereIsNamed) {
  EXPECT_THAT(Complaint("--server=127.0.0.1:1", 1), HasSubstr("127.0.0.1:1: UNAVAILABLE: "));
}

TEST_F(LoadgenProcessTest, AServersMessageDoesNotControlTheTerminal) {
  const RefusingServer server("\x1b[2J");
  TerminalProcess loadgen({SINKSTREAM_LOADGEN, "--server=" + server.address()});
  EXPECT_TRUE(loadgen.See("sinkstream-loadgen: " + server.address() + ": INTERNAL: \ufffd[2J\r\n"))
      << loadgen.screen();
  EXPECT_EQ(loadgen.ExitCode(), 1);
}

TEST_F(LoadgenProcessTest, AServersTextInResultsDoesNotControlTheTerminal) {
  server_.AddToTexts("\x1b[2J");
  server_.BreakAfter(2);
  TerminalProcess loadgen({SINKSTREAM_LOADGEN, "--server=" + server_.address(), "--sessions=1"});
  EXPECT_TRUE(loadgen.See("parrot\ufffd[2J (float32")) << loadgen.screen();
  EXPECT_TRUE(loadgen.See("INCOMPLETE: ")) << loadgen.screen();
  EXPECT_TRUE(loadgen.See("shutting down\ufffd[2J\r\n")) << loadgen.screen();
  EXPECT_EQ(loadgen.ExitCode(), 1);
  EXPECT_THAT(RunTool(Flags("--sessions=1 --max-tokens=5 2>/dev/null")).out,
              StartsWith("parrot\x1b[2J ("));  // a pipe gets it as it is
}

TEST_F(LoadgenProcessTest, FilesAndLimitsAreCheckedBeforeAnythingIsSaid) {
  EXPECT_THAT(Complaint(Flags("--text /none"), 1), HasSubstr("/none: cannot read: No such file"));
  EXPECT_THAT(Complaint(Flags("--plot /none/p.svg --sweep 1"), 1), HasSubstr("/none/p.svg"));
  EXPECT_THAT(Complaint(Flags("--max-tokens 10-1001"), 1),
              HasSubstr("--max-tokens: up to 1001; at most 1000, says the server"));
  EXPECT_THAT(Complaint(Flags("--prompt-tokens 501"), 1), HasSubstr("--prompt-tokens: up to 501"));
  EXPECT_EQ(server_.seen().opens, 0);
}

TEST_F(LoadgenProcessTest, OnAFullDiskTheReportIsOnStandardOutput) {
  const Outcome outcome = RunTool("--server=" + server_.address() +
                                  " --sessions 1 --turns 1 --json=/dev/full 2>/dev/null");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.out, HasSubstr("\"tokens_per_second\": "));
}

TEST_F(LoadgenProcessTest, NonsenseIsToldInOneLineWithCodeTwo) {
  const std::pair<const char*, const char*> faults[] = {
      {"--session 3", "--session is not a flag; --help lists them"},
      {"3", "unexpected argument '3'; --help lists the flags"},
      {"--sessions", "--sessions: has no value"},
      {"--sessions 0", "--sessions: is '0'; must be a whole number in [1, 100000]"},
      {"--sweep 1,x", "--sweep: is '1,x'; must be a whole number"},
      {"--server localhost", "--server: is 'localhost'; must be ADDRESS:PORT"},
      {"--server localhost:65537", "must be ADDRESS:PORT, the port from 1 to 65535"},
      {"--grace 3", "--grace: needs --duration"},
      {"--long-share 0.5", "--long-share: needs --history-tokens"},
      {"--read-delay-ms 9", "--read-delay-ms: needs --slow-share"},
      {"--sweep 1 --json a --plot a", "--plot: is the file of --json"},
      {"--rate -1 --duration 3", "--rate: is '-1'; must be a number in [0.001, 100000]"},
      {"--rate nan --duration 3", "--rate: is 'nan'; must be a number"},
      {"--rate 1", "--rate: needs --duration"},
      {"--rate 1 --duration 3 --sessions 3", "--sessions: is of a closed loop"},
      {"--rate 1 --duration 3 --sweep 3", "--sweep: is of closed loops"},
      {"--sessions 3 --sweep 3", "--sessions: --sweep has them already"},
      {"--warmup 3", "--warmup: needs --duration"},
      {"--warmup-turns 3 --duration 3", "--warmup-turns: with --duration there is --warmup"},
      {"--duration 0", "--duration: is '0'; must be a number in [0.001, 604800]"},
      {"--plot x.svg", "--plot: needs --sweep"},
      {"--think-ms soon",
       "--think-ms: is 'soon'; must be a whole number N, a range A-B with A <= B, or exp:"},
      {"--drop-share 1.1", "--drop-share: is '1.1'; must be a number in [0, 1]"},
      {"--drop-share 0.6 --cancel-share 0.6", "are more than 1 together"},
      {"--insecure-token yes", "unexpected argument 'yes'; --help lists the flags"},
      {"--ignore-end-of-turn maybe", "--ignore-end-of-turn: is 'maybe'; must be yes or no"},
  };
  for (const auto& [arguments, message] : faults) {
    EXPECT_THAT(Complaint(arguments, 2), HasSubstr(message));
  }
}

}  // namespace
}  // namespace sinkstream::loadgen
