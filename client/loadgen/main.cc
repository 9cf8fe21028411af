// sinkstream-loadgen: many users of a running server at once, and what they had to wait for.
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "client/loadgen/clock.h"
#include "client/loadgen/console.h"
#include "client/loadgen/load_run.h"
#include "client/loadgen/options.h"
#include "client/loadgen/report.h"
#include "client/loadgen/target.h"
#include "client/silence_libraries.h"
#include "client/terminal.h"
#include "client/tool/drawing_file.h"
#include "client/tool/model_calls.h"
#include "client/tool/standard_output.h"

namespace sinkstream::loadgen {
namespace {

constexpr int kFailure = 1;
constexpr int kUsage = 2;

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

double CpuSeconds() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return Seconds(usage.ru_utime) + Seconds(usage.ru_stime);
}

// What the generator has taken since this was made.
class CostMeter {
 public:
  explicit CostMeter(const Clock& clock) : clock_(clock) {}
  GeneratorCost Read() const {
    return {CpuSeconds() - cpu_, absl::ToDoubleSeconds(clock_.Now() - start_)};
  }

 private:
  const Clock& clock_;
  const double cpu_ = CpuSeconds();
  const absl::Time start_ = clock_.Now();
};

// The run that Ctrl-C ends, with what was measured kept. A second one ends the process at once.
//
// Threads: any.
class Interruption {
 public:
  void Come(int number) {
    if (number > 1) _exit(kFailure);
    absl::MutexLock lock(&mutex_);
    come_ = true;
    if (run_ != nullptr) run_->Interrupt();
  }
  // Null: none. A run that begins after Ctrl-C is interrupted at once.
  void Watch(LoadRun* run) {
    absl::MutexLock lock(&mutex_);
    run_ = run;
    if (come_ && run_ != nullptr) run_->Interrupt();
  }

 private:
  absl::Mutex mutex_;
  LoadRun* run_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool come_ ABSL_GUARDED_BY(mutex_) = false;
};

void ShowProgress(const LoadRun& run, const CostMeter& meter, absl::Time now, LiveScreen& screen) {
  if (!screen.Due()) return;
  const std::string head =
      absl::StrFormat("%3.0f %%, %d sessions live%s", 100 * run.Done(now), run.live_sessions(),
                      now < run.measurement().begin() ? ", warming up" : "");
  screen.Show(screen.terminal()
                  ? absl::StrCat(head, "\n", MakeTable(run.measurement(), meter.Read(), now))
                  : absl::StrCat(head, ", ", MakeLine(run.measurement(), now)));
}

LoadResult RunOnce(const Options& options, const Traffic& traffic, Target& target, Clock& clock,
                   Interruption& interruption) {
  LoadResult result{traffic.workload, Measurement(options.objective), {}, {}};
  const CostMeter meter(clock);
  LiveScreen screen = LiveScreen::OnStandardError(clock);
  LoadRun run(clock, ConnectTo(target.stub()), traffic, result.measurement,
              {.turns = options.grace});
  interruption.Watch(&run);
  result.status =
      run.Run([&](const LoadRun& going_on) { ShowProgress(going_on, meter, clock.Now(), screen); });
  interruption.Watch(nullptr);
  if (absl::IsUnavailable(result.status)) result.status = Named(options.server, result.status);
  result.cost = meter.Read();
  return result;
}

absl::Status StatusOf(const LoadResult& result) {
  if (!result.status.ok()) return result.status;
  const Measurement& of = result.measurement;
  if (of.finished_turns() + of.bent_turns() > 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("not a single turn was measured to its end; ", of.errors(), " errors"));
}

void Print(const LoadResult& result) {
  const Measurement& of = result.measurement;
  PrintText(absl::StrCat(Describe(result.workload), "\n", MakeTable(of, result.cost, of.end()),
                         MakeErrorList(of)));
}

std::vector<LoadResult> RunAll(const Options& options, Traffic traffic, Target& target,
                               Clock& clock, Interruption& interruption) {
  std::vector<LoadResult> results;
  const bool sweeps = !options.sweep.empty();
  for (const int64_t sessions :
       sweeps ? options.sweep : std::vector<int64_t>{traffic.workload.sessions}) {
    traffic.workload.sessions = sessions;
    results.push_back(RunOnce(options, traffic, target, clock, interruption));
    const absl::Status status = StatusOf(results.back());
    if (sweeps)
      Note(
          absl::StrCat(sessions, " sessions: ", MakeLine(results.back().measurement, clock.Now())));
    if (!status.ok()) break;
  }
  return results;
}

absl::Status CheckFiles(const Options& options) {
  absl::Status writable = CheckWritable({options.json});
  writable.Update(CheckDrawing(options.plot, PictureOf(options.plot)));
  return writable;
}

absl::Status Load(const Options& options, Clock& clock, Interruption& interruption) {
  const absl::Status writable = CheckFiles(options);
  if (!writable.ok()) return writable;
  const auto credentials = LoadCredentials(options.credentials, options.server);
  if (!credentials.ok()) return credentials.status();
  auto target = Target::Connect(options.server, *credentials);
  if (!target.ok()) return target.status();
  const v1::GetModelResponse& model = target->model();
  const auto traffic = target->MakeTraffic(options);
  if (!traffic.ok()) return traffic.status();
  PrintText(absl::StrFormat("%s (%s, %s) at %s\n", model.name(), model.weight_dtype(), model.isa(),
                            options.server));
  std::fflush(stdout);
  const std::vector<LoadResult> results = RunAll(options, *traffic, *target, clock, interruption);
  const absl::Status measured = StatusOf(results.back());
  PrintText(IncompleteMark(measured));
  if (options.sweep.empty()) {
    Print(results.back());
  } else {
    PrintText(absl::StrCat(MakeSweepTable(results), MakeErrorList(results.back().measurement)));
  }
  absl::Status kept = KeepReport(options.json, MakeReport(options, model, results, measured));
  kept.Update(
      WriteDrawing(options.plot, PictureOf(options.plot), DrawSweep(model.name(), results)));
  return FirstError(measured, kept, {options.json, options.plot});
}

void PrintHelp(std::span<const Flag> flags) {
  std::printf(
      "sinkstream-loadgen: many users of a running server at once, and what they had to wait for.\n"
      "\n"
      "  sinkstream-loadgen [flags]\n"
      "  sinkstream-loadgen --sessions 32 --turns 4 --max-tokens 128 --json report.json\n"
      "  sinkstream-loadgen --rate 0.5 --duration 300 --warmup 30 --think-ms exp:5000\n"
      "  sinkstream-loadgen --sweep 1,2,4,8,16,32,64 --plot sweep.svg\n"
      "\n"
      "LENGTH is a number N, a range A-B or exp:MEAN, cut at ten times the mean; SHARE a number\n"
      "from 0 to 1. A turn's time is counted from when it was due, not from when it could be "
      "sent.\n"
      "\n%s"
      "\nResults are on standard output and in the files asked for. Exit code: 0 if the load was\n"
      "carried out, whatever failed in it (the report counts the errors); 1 if the server was not\n"
      "there or went away, no turn came to its end, standard output or a file could not be\n"
      "written, or after Ctrl-C, with what was measured until then kept; 2 for a bad command "
      "line.\n",
      DescribeFlags(flags).c_str());
}

int Main(std::span<const char* const> arguments) {
  Options options;
  const std::vector<Flag> flags = LoadFlags(&options);
  const Request request = ReadRequest(flags, arguments);
  if (request == Request::kHelp) {
    PrintHelp(flags);
    return 0;
  }
  if (request == Request::kVersion) {
    std::puts("sinkstream-loadgen " SINKSTREAM_VERSION);
    return 0;
  }
  absl::Status status = ParseFlags(flags, arguments);
  status.Update(CheckTogether(options));
  if (!status.ok()) {
    Note(std::string(status.message()));
    return kUsage;
  }
  const int interrupts = RouteInterrupts();  // before gRPC makes threads
  SteadyClock clock;
  Interruption interruption;
  const InterruptWatch watch(interrupts, [&](int number) { interruption.Come(number); });
  status = Load(options, clock, interruption);
  if (status.ok()) return 0;
  Note(std::string(status.message()));
  return kFailure;
}

}  // namespace
}  // namespace sinkstream::loadgen

int main(int argc, char** argv) {
  // Results that nobody reads on standard output are still to be written to files.
  std::signal(SIGPIPE, SIG_IGN);
  sinkstream::SilenceLibraries();
  const int exit_code =
      sinkstream::loadgen::Main({argv + 1, static_cast<size_t>(argc > 0 ? argc - 1 : 0)});
  return sinkstream::FinishPrinting("sinkstream-loadgen", exit_code);
}
