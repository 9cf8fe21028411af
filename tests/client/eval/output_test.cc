// What is left behind: files, charts, the progress line.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>

#include "client/eval/console.h"
#include "client/eval/perplexity_chart.h"
#include "client/tool/drawing_file.h"
#include "client/tool/output_file.h"
#include "tests/client/narrow_terminal.h"
#include "tests/scratch_files.h"

// fontconfig, which cairo asks for a font, keeps some of its memory to the end.
extern "C" const char* __lsan_default_suppressions() { return "leak:libfontconfig"; }

namespace sinkstream::eval {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class OutputFileTest : public testing::Test {
 protected:
  static std::string Content(const std::string& path) {
    std::ostringstream content;
    content << std::ifstream(path).rdbuf();
    return content.str();
  }
  size_t Files() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder_), {}));
  }

  const ScratchFiles files_;
  const std::string& folder_ = files_.folder();
};

TEST_F(OutputFileTest, ReplacesWhatWasThereAndLeavesNothingElse) {
  const std::string path = folder_ + "/report.json";
  ASSERT_TRUE(WriteWhole(path, "old and long").ok());
  ASSERT_TRUE(WriteWhole(path, "new").ok());
  EXPECT_EQ(Content(path), "new");
  EXPECT_EQ(Files(), 1u);
}

TEST_F(OutputFileTest, CheckingLeavesNoTrace) {
  EXPECT_TRUE(CheckWritable(folder_ + "/report.json").ok());
  EXPECT_EQ(Files(), 0u);
}

TEST_F(OutputFileTest, AFolderThatIsNotThereIsNamed) {
  const std::string path = folder_ + "/none/report.json";
  EXPECT_THAT(std::string(CheckWritable(path).message()),
              AllOf(StartsWith(folder_ + "/none/report.json"), HasSubstr("No such file")));
}

TEST_F(OutputFileTest, AFolderTakesNoReport) {
  EXPECT_EQ(CheckWritable(folder_).message(), folder_ + ": cannot write: Is a directory");
}

TEST_F(OutputFileTest, AFullDiskIsTold) {
  EXPECT_EQ(WriteWhole("/dev/full", "x").message(),
            "/dev/full: cannot write: No space left on device");
}

TEST_F(OutputFileTest, ErrorsNameThePathAsItWasGiven) {
  const std::string path = folder_ + "/report.json";
  std::filesystem::create_symlink(std::string(250, 'x'), path);  // too long for its .unfinished
  EXPECT_EQ(WriteWhole(path, "x").message(), path + ": cannot write: File name too long");
}

TEST_F(OutputFileTest, ALinkStaysOneAndItsTargetIsReplaced) {
  const std::string path = folder_ + "/report.json";
  std::filesystem::create_directory(folder_ + "/results");
  std::filesystem::create_symlink("results/today.json", path);
  std::filesystem::create_symlink(path, folder_ + "/latest");
  for (const char* content : {"first", "second"}) {  // the target is not there at first
    EXPECT_EQ(CheckWritable(folder_ + "/latest"), absl::OkStatus());
    ASSERT_EQ(WriteWhole(folder_ + "/latest", content), absl::OkStatus());
    EXPECT_EQ(Content(folder_ + "/results/today.json"), content);
  }
  EXPECT_TRUE(std::filesystem::is_symlink(path));
  EXPECT_TRUE(std::filesystem::is_symlink(folder_ + "/latest"));
  EXPECT_EQ(Files(), 3u);
}

TEST_F(OutputFileTest, ADescriptorIsWrittenToBehindWhatItHas) {
  FILE* const file = std::fopen((folder_ + "/out").c_str(), "w");
  std::fputs("table ", file);
  std::fflush(file);
  const std::string descriptor = "/dev/fd/" + std::to_string(fileno(file));
  std::filesystem::create_symlink(descriptor, folder_ + "/link");
  for (const std::string& path : {descriptor, folder_ + "/link"}) {
    EXPECT_EQ(CheckWritable(path), absl::OkStatus());
    EXPECT_EQ(WriteWhole(path, "report "), absl::OkStatus());
  }
  std::fputs("end", file);
  std::fclose(file);
  EXPECT_EQ(Content(folder_ + "/out"), "table report report end");
  EXPECT_TRUE(std::filesystem::is_symlink(folder_ + "/link"));
  EXPECT_EQ(CheckWritable(descriptor).message(),
            descriptor + ": cannot write: Bad file descriptor");
}

TEST_F(OutputFileTest, ALinkToItselfIsToldAndStays) {
  const std::string path = folder_ + "/loop";
  std::filesystem::create_symlink("loop", path);
  EXPECT_THAT(std::string(CheckWritable(path).message()),
              AllOf(StartsWith(path + ": cannot write: "), HasSubstr("symbolic links")));
  EXPECT_FALSE(WriteWhole(path, "x").ok());
  EXPECT_TRUE(std::filesystem::is_symlink(path));
}

TEST(ProgressLineTest, TellsHowMuchHowFastAndHowLong) {
  EXPECT_EQ(ProgressLine(1500, 3000, 0, absl::Seconds(3), "perplexity 20.1"),
            "[##########..........]  50 %  1500 of 3000 tokens  500/s  3 s left  perplexity 20.1");
}

TEST(ProgressLineTest, WhatWasDoneBeforeTellsNothingAboutTheSpeed) {
  EXPECT_THAT(ProgressLine(800, 1000, 600, absl::Seconds(2), ""), HasSubstr("100/s  2 s left"));
  EXPECT_THAT(ProgressLine(600, 1000, 600, absl::Seconds(2), ""), Not(HasSubstr("left")));
}

TEST(ProgressTest, ALineIsCutToTheTerminalsWidth) {
  const NarrowTerminal terminal(14);
  Progress progress(terminal.out(), /*terminal=*/true, 100);
  progress.Show(100, "first");
  EXPECT_EQ(terminal.Drawn(), "\r[#############");
  progress.Show(100, "");
  EXPECT_EQ(terminal.Drawn(), "\r[#############");
}

TEST(TicksTest, AreRoundNumbersInside) {
  EXPECT_THAT(plot::Ticks(0, 3000, 7), ElementsAre(0, 500, 1000, 1500, 2000, 2500, 3000));
  EXPECT_THAT(plot::Ticks(2.3, 4.1, 4), ElementsAre(2.5, 3, 3.5, 4));
}

std::vector<std::string> Words(const plot::Drawing& drawing) {
  std::vector<std::string> words;
  for (const auto& shape : drawing.shapes) {
    if (const auto* label = std::get_if<plot::Label>(&shape)) words.push_back(label->text);
  }
  return words;
}

TEST(ChartTest, TheLevelAxisIsOfWholeNumbers) {
  plot::Chart chart;
  chart.series.push_back({"", "", {{1, 100}, {2, 300}}, {}});
  const std::vector<std::string> words = Words(plot::Draw(chart));
  for (const char* number : {"0", "1", "2"}) {
    EXPECT_EQ(std::count(words.begin(), words.end(), number), 1) << number;
  }
}

TEST(ChartTest, ASeriesOfOnePointIsSeen) {
  plot::Chart chart;
  chart.series.push_back({"", "", {{7, 3}}, {.colour = "#123456", .dashes = {}}});
  EXPECT_THAT(plot::ToSvg(plot::Draw(chart)),
              testing::ContainsRegex("<rect [^>]* fill=\"#123456\"/>"));
}

TEST(SpreadApartTest, MovesNoMoreThanItMust) {
  EXPECT_THAT(plot::SpreadApart({100, 10, 50}, 15), ElementsAre(100, 10, 50));
  EXPECT_THAT(plot::SpreadApart({100, 100}, 10), ElementsAre(95, 105));
  EXPECT_THAT(plot::SpreadApart({10, 11, 12, 60}, 10), ElementsAre(1, 11, 21, 60));
}

plot::Chart SomeChart() {
  static const std::vector<double> kNll = [] {
    std::vector<double> nll(1000, 3.0);
    nll[0] = std::numeric_limits<double>::quiet_NaN();
    return nll;
  }();
  return PerplexityChart("Tiny <1B>",
                         {{MakePolicy(PolicyKind::kDense, 0, 0, 1000), kNll, 20.09},
                          {MakePolicy(PolicyKind::kSink, 4, 252, 1000), kNll, 21.5}},
                         256);
}

TEST(PerplexityChartTest, CanBeReadWithoutExplanation) {
  const std::string svg = plot::ToSvg(plot::Draw(SomeChart()));
  EXPECT_THAT(svg, AllOf(HasSubstr("How well Tiny &lt;1B&gt; predicts a text"),
                         HasSubstr("position in the text (tokens)"),
                         HasSubstr("log perplexity, mean of the last 62 tokens"),
                         HasSubstr("the first 4 tokens stay for ever beside the last 252"),
                         HasSubstr("the cache of 256 tokens is full: the first eviction"),
                         HasSubstr(">dense: 20.09<"), HasSubstr(">sink: 21.50<")));
}

TEST(PerplexityChartTest, PoliciesDifferInMoreThanColour) {
  for (size_t a = 0; a < 4; ++a) {
    for (size_t b = a + 1; b < 4; ++b) {
      const plot::Style& one = plot::StyleOf(a);
      const plot::Style& other = plot::StyleOf(b);
      EXPECT_TRUE(one.dashes != other.dashes || one.width >= 2 * other.width ||
                  other.width >= 2 * one.width);
    }
  }
}

TEST(PerplexityChartTest, ATextThatFitsHasNoEviction) {
  EXPECT_TRUE(PerplexityChart("M", {{MakePolicy(PolicyKind::kSink, 4, 252, 9), {}, 1}}, 256)
                  .moments.empty());
}

TEST_F(OutputFileTest, AChartIsOfTheKindAskedForWhateverItsName) {
  const std::string path = folder_ + "/chart.bin";
  ASSERT_TRUE(WriteDrawing(path, Picture::kSvg, plot::Draw(SomeChart())).ok());
  EXPECT_THAT(Content(path), StartsWith("<svg"));
  if (!CheckDrawing(path, Picture::kPng).ok()) return;  // this binary makes none
  ASSERT_TRUE(WriteDrawing(path, Picture::kPng, plot::Draw(SomeChart())).ok());
  EXPECT_THAT(Content(path), StartsWith("\x89PNG\r\n\x1a\n"));
}

TEST(PngTest, IsAPictureOfTheSizeAskedForOrSaysWhatIsMissing) {
  const auto png = plot::ToPng(plot::Draw(SomeChart()), 2);
  if (!png.ok()) {
    ASSERT_EQ(png.status().code(), absl::StatusCode::kUnimplemented);
    return;
  }
  EXPECT_THAT(*png, StartsWith("\x89PNG\r\n\x1a\n"));
  const auto number = [&](size_t at) {
    return static_cast<unsigned char>((*png)[at]) << 8 | static_cast<unsigned char>((*png)[at + 1]);
  };
  EXPECT_EQ(number(18), 1920);
  EXPECT_EQ(number(22), 1120);
}

TEST(PngTest, AWordBeforeALineDoesNotReachIntoIt) {
  const plot::Polyline line = {{{10, 10}, {90, 40}}, {.dashes = {}}};
  plot::Drawing alone;
  alone.width = 100;
  alone.height = 50;
  alone.shapes = {line};
  plot::Drawing after_word = alone;
  after_word.shapes = {plot::Label{.at = {5, 45}, .text = " "}, line};
  const auto png = plot::ToPng(alone, 1);
  if (!png.ok()) GTEST_SKIP() << png.status();
  EXPECT_TRUE(*png == *plot::ToPng(after_word, 1));
}

}  // namespace
}  // namespace sinkstream::eval
