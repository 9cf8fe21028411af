// Model files by way of the Model seam. The files come from make_models.py; SINKSTREAM_TEST_MODELS
// names their folder.
#include "engine/torch/model_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include "engine/torch/machine_limits.h"

// libtorch's archive reader leaks the directory when its constructor throws.
extern "C" const char* __lsan_default_suppressions() { return "leak:mz_zip_reader_init\n"; }

namespace sinkstream {
namespace {

using ::testing::Each;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

using Logits = std::vector<float>;

std::string Path(const std::string& name) {
  return std::string(std::getenv("SINKSTREAM_TEST_MODELS")) + "/" + name;
}

TorchModelOptions Small() {
  TorchModelOptions options;
  options.kv_bytes = 1 << 20;
  options.threads = 2;
  return options;
}

std::unique_ptr<Model> Load(const std::string& name, const TorchModelOptions& options = Small()) {
  auto file = LoadModelFile(Path(name), options);
  EXPECT_TRUE(file.ok()) << file.status();
  return std::move(file->model);
}

std::unique_ptr<Model> LoadSound(const TorchModelOptions& options = Small()) {
  return Load("sound.pt", options);
}

absl::Status Refusal(const std::string& name, const TorchModelOptions& options = Small()) {
  return LoadModelFile(Path(name), options).status();
}

void ExpectRefused(const absl::Status& status, absl::StatusCode code, const std::string& text) {
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(text));
  EXPECT_THAT(std::string(status.message()), testing::Not(HasSubstr("\n")));
  EXPECT_LT(status.message().size(), 400);
}

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(ModelFile, GivesTheModelAndWhatBelongsToIt) {
  const auto file = LoadModelFile(Path("sound.pt"), Small());
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->tokenizer_json, "{\"tokenizer\": 1}");
  EXPECT_EQ(file->chat_format_json, "{\"chat\": 1}");
  const ModelSpec& spec = file->model->Spec();
  EXPECT_EQ(spec.name, "tiny");
  EXPECT_EQ(spec.weight_dtype, "float32");
  EXPECT_EQ(spec.kv_dtype, "float32");
  EXPECT_EQ(spec.block_bytes,
            1 * 1 * 2 * 16 * 16 * 4);  // layers, kv heads, K and V, slots, padded head, bytes
  EXPECT_EQ(spec.num_blocks, (1 << 20) / spec.block_bytes);
  EXPECT_EQ(spec.trained_context, 64);
  EXPECT_EQ(spec.threads, 2);
}

TEST(ModelFile, TakesTheProcessorsThatAreAvailableWhereNoThreadsAreAskedFor) {
  TorchModelOptions options = Small();
  options.threads = 0;
  EXPECT_EQ(LoadSound(options)->Spec().threads, AvailableProcessors());
}

TEST(ModelFile, KeepsKvInTheTypeAskedFor) {
  TorchModelOptions options = Small();
  options.kv_dtype = KvDtype::kBfloat16;
  const auto model = LoadSound(options);
  EXPECT_EQ(model->Spec().kv_dtype, "bfloat16");
  EXPECT_EQ(model->Spec().block_bytes, 1024);
}

TEST(ModelFile, KeepsKvInBytesWithAScaleForEachTokenAndHead) {
  TorchModelOptions options = Small();
  options.kv_dtype = KvDtype::kInt8;
  for (const std::string file : {"sound.pt", "int8.pt", "int4.pt"}) {
    const auto model = Load(file, options);
    EXPECT_EQ(model->Spec().kv_dtype, "int8");
  }
  EXPECT_EQ(LoadSound(options)->Spec().block_bytes,
            1 * 1 * 2 * (16 * 16 + 16 * 4));  // layers, kv heads, K and V, codes and scales
}

TEST(ModelFile, KeepsKvAsTheManifestSaysIfNotToldOtherwise) {
  EXPECT_EQ(Load("kv_int8.pt")->Spec().kv_dtype, "int8");
  TorchModelOptions options = Small();
  options.kv_dtype = KvDtype::kFloat32;
  EXPECT_EQ(Load("kv_int8.pt", options)->Spec().kv_dtype, "float32");
}

TEST(ModelFile, KeepsKvInBfloat16WhereWeightsAreInBlocksAndTheManifestDoesNotSay) {
  for (const std::string dtype : {"int8", "int4"}) {
    const auto model = Load(dtype + ".pt");
    EXPECT_EQ(model->Spec().weight_dtype, dtype);
    EXPECT_EQ(model->Spec().kv_dtype, "bfloat16");
  }
}

TEST(ModelFile, RefusesWhatIsNoModelFile) {
  ExpectRefused(Refusal("absent.pt"), absl::StatusCode::kNotFound, "absent.pt: no such file");
  ExpectRefused(Refusal("."), kInvalid, "is not a readable file");
  ExpectRefused(Refusal("text.pt"), kInvalid, "not a TorchScript archive");
  ExpectRefused(Refusal("empty.pt"), kInvalid, "not a TorchScript archive");
  ExpectRefused(Refusal("plain_zip.pt"), kInvalid,
                "is not a model file (an archive without manifest.json");
  ExpectRefused(Refusal("foreign.pt"), kInvalid,
                "is not a model file (an archive without manifest.json");
  ExpectRefused(Refusal("no_tokenizer.pt"), kInvalid, "without tokenizer.json");
  ExpectRefused(Refusal("magic.pt"), kInvalid, "magic");
  ExpectRefused(Refusal("no_forward.pt"), kInvalid, "no forward");
}

TEST(ModelFile, RefusesWhatIsCutShort) {
  ExpectRefused(Refusal("truncated.pt"), absl::StatusCode::kDataLoss, "truncated or damaged");
}

TEST(ModelFile, RefusesWhatIsDamagedWithoutBeingUnreadable) {
  for (const char* name : {"flipped_weight.pt", "flipped_tokenizer.pt"}) {
    ExpectRefused(Refusal(name), absl::StatusCode::kDataLoss,
                  "is damaged: its contents do not match the digest in its manifest");
  }
}

TEST(ModelFile, SaysThatAFileDoesNotFitBeforeItReadsAllOfIt) {
  TorchModelOptions options = Small();
  options.memory_bytes = 1;
  ExpectRefused(Refusal("flipped_weight.pt", options), absl::StatusCode::kResourceExhausted,
                "0 MiB are available");
}

TEST(ModelFile, RefusesWhatThisServerCannotRun) {
  ExpectRefused(Refusal("newer.pt"), kInvalid,
                "made by a newer exporter: format 2, this server reads 1");
  ExpectRefused(Refusal("dtype.pt"), kInvalid, "dtype \"float8\" is not supported");
  ExpectRefused(Refusal("newer_torch.pt"), kInvalid,
                "saved by a newer torch: Attempted to read a PyTorch file with version 99,");
  ExpectRefused(Refusal("unknown_operator.pt"), kInvalid,
                "not for this server: Unknown builtin op: sinkstream::xyz_norm");
  ExpectRefused(Refusal("unknown_class.pt"), kInvalid,
                "not for this server: Unknown type name '__torch__.torch.classes.sinkstream."
                "LinearWidget'");
}

TEST(ModelFile, RefusesAManifestThatDoesNotDescribeItsModule) {
  ExpectRefused(Refusal("kv_heads_differ.pt"), kInvalid,
                "does not run: the model failed: sink_attention");
  TorchModelOptions options = Small();
  options.kv_bytes = 64 << 20;
  ExpectRefused(Refusal("layers_differ.pt", options), kInvalid,
                "manifest.json: layers is 5000, the module has 1");
  ExpectRefused(Refusal("dtype_differs.pt"), kInvalid,
                "manifest.json: dtype is bfloat16, the module has a weight of float32");
  ExpectRefused(Refusal("int8_differs.pt"), kInvalid,
                "manifest.json: dtype is int8, the module has a weight of int4");
  ExpectRefused(Refusal("vocabulary_differs.pt"), kInvalid,
                "does not run: the model failed: forward gave");
  ExpectRefused(
      Refusal("padded_head.pt"), kInvalid,
      "does not run: the model failed: forward took logits of a head of 64 outputs, not 50");
}

TEST(ModelFile, RefusesInOneLineWhateverTheFileSays) {
  const absl::Status status = Refusal("dtype_of_lines.pt");
  ExpectRefused(status, kInvalid, "dtype \"a\\nb\\rc\\xe2\\x80\\xa8d\\x1b[2Jeee");
  ExpectRefused(Refusal("a\nb\xff.pt"), absl::StatusCode::kNotFound, "a\\nb\\xff.pt: no such file");
}

TEST(ModelFile, RefusesWhatDoesNotFit) {
  TorchModelOptions options = Small();
  options.kv_bytes = 2047;
  ExpectRefused(Refusal("sound.pt", options), kInvalid,
                "a KV pool of 2047 bytes holds no block; one of this model takes 2048");
  options.kv_bytes = int64_t{512} << 20;
  options.memory_bytes = 100 << 20;
  ExpectRefused(Refusal("sound.pt", options), absl::StatusCode::kResourceExhausted,
                "needs 512 MiB (model 0, KV pool 512), 100 MiB are available");
}

TEST(ModelFile, TakesNoMemoryForAllWeightsTwice) {
  TorchModelOptions options = Small();
  options.kv_bytes = 2048;
  const auto file_bytes = static_cast<int64_t>(std::filesystem::file_size(Path("sound.pt")));
  constexpr int64_t kLargestRecord = 50 * 16 * sizeof(float);  // the embedding; a KV block is 2048
  options.memory_bytes = file_bytes + kLargestRecord;
  EXPECT_EQ(LoadSound(options)->Spec().num_blocks, 1);
  --options.memory_bytes;
  EXPECT_EQ(Refusal("sound.pt", options).code(), absl::StatusCode::kResourceExhausted);
}

TEST(ModelFile, RefusesOptionsThisMachineCannotMeet) {
  TorchModelOptions options = Small();
  options.isa = "sse9";
  ExpectRefused(Refusal("sound.pt", options), kInvalid, "does not run \"sse9\" kernels");
  options = Small();
  options.threads = -1;
  ExpectRefused(Refusal("sound.pt", options), kInvalid, "threads is -1");
}

// The address space that this process may still take, until the end of a scope.
class LimitedAddressSpace {
 public:
  explicit LimitedAddressSpace(int64_t bytes) {
    int64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    getrlimit(RLIMIT_AS, &before_);
    const rlimit limit = {static_cast<rlim_t>(pages * getpagesize() + bytes), before_.rlim_max};
    setrlimit(RLIMIT_AS, &limit);
  }
  ~LimitedAddressSpace() { setrlimit(RLIMIT_AS, &before_); }

 private:
  rlimit before_ = {};
};

TEST(ModelFile, RefusesThreadsThatTheSystemDoesNotGrant) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "AddressSanitizer ends the process for want of address space";
#endif
  TorchModelOptions options = Small();
  options.threads = 1024;
  const LimitedAddressSpace limited(int64_t{1} << 30);  // a thread's stack takes 8 MiB
  ExpectRefused(Refusal("sound.pt", options), absl::StatusCode::kResourceExhausted,
                "refuses thread");
}

TEST(ModelFile, SaysSoWhereverTheSystemRefusesMemory) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "AddressSanitizer ends the process for want of address space";
#endif
  int refused = 0;
  for (int64_t mebibytes = 0; mebibytes <= 96; mebibytes += 4) {
    const LimitedAddressSpace limited(mebibytes << 20);
    refused += LoadModelFile(Path("sound.pt"), Small()).ok() ? 0 : 1;
  }
  EXPECT_GT(refused, 0);
}

// A session of S sinks and W recent tokens whose blocks are all there, and the text fed to it.
class Session {
 public:
  Session(BlockId first_block, int32_t sinks, int64_t window) {
    sequence_.sinks = sinks;
    sequence_.window = window;
    for (BlockId block = first_block; block < first_block + 8; ++block) blocks_.push_back(block);
  }

  // The next `rows` tokens of a fixed text.
  StepSequence Next(int rows, int32_t logit_rows) {
    sequence_.start = static_cast<int64_t>(fed_);
    const size_t begin = fed_;
    fed_ += static_cast<size_t>(rows);
    sequence_.tokens = absl::MakeConstSpan(text_).subspan(begin, static_cast<size_t>(rows));
    sequence_.pinned_blocks = absl::MakeConstSpan(blocks_).subspan(0, 1);
    sequence_.recent_blocks = absl::MakeConstSpan(blocks_).subspan(1);
    sequence_.logit_rows = logit_rows;
    return sequence_;
  }

 private:
  static std::vector<TokenId> Text() {
    std::vector<TokenId> text;
    for (int i = 0; i < 100; ++i) text.push_back(i * i % 50);
    return text;
  }

  const std::vector<TokenId> text_ = Text();
  std::vector<BlockId> blocks_;
  StepSequence sequence_;
  size_t fed_ = 0;
};

Logits Step(Model& model, std::vector<StepSequence> sequences) {
  StepBatch batch;
  batch.sequences = std::move(sequences);
  const auto given = model.Step(batch);
  EXPECT_TRUE(given.ok()) << given.status();
  return given.ok() ? Logits(given->logits.begin(), given->logits.end()) : Logits();
}

TEST(TorchModel, GivesTheRowsAskedForInTheOrderOfTheBatch) {
  const auto model = LoadSound();
  Session two(0, 4, 20), last(8, 4, 20), none(16, 4, 20);
  const Logits logits = Step(*model, {two.Next(3, 2), none.Next(5, 0), last.Next(3, 1)});
  ASSERT_EQ(logits.size(), 3 * 50);
  // Two sessions with the same text: the last row of the first is the one row of the other.
  EXPECT_EQ(Logits(logits.begin() + 50, logits.begin() + 100),
            Logits(logits.begin() + 100, logits.end()));
}

TEST(TorchModel, AStepThatWantsNoLogitsGivesNone) {
  const auto model = LoadSound();
  EXPECT_THAT(Step(*model, {Session(0, 4, 20).Next(5, 0)}), testing::IsEmpty());
}

class TorchModelOf : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Weights, TorchModelOf, testing::Values("sound.pt", "int8.pt", "int4.pt"));

TEST_P(TorchModelOf, TellsThePeakOfEachRowWhetherItsLogitsAreWantedOrNot) {
  const auto model = Load(GetParam());
  Session whole(0, 4, 20), alone(8, 4, 20), both(16, 4, 20);
  const Logits expected = Step(*model, {whole.Next(9, 9)});
  StepBatch batch;
  batch.sequences = {alone.Next(9, 9), both.Next(9, 9)};
  batch.sequences[0].peaks_alone = true;
  const auto given = model->Step(batch);
  ASSERT_TRUE(given.ok()) << given.status();
  ASSERT_EQ(given->peaks.size(), 18);
  for (size_t row = 0; row < 18; ++row) {
    const auto logits = absl::MakeConstSpan(expected).subspan(row % 9 * 50, 50);
    const auto highest = std::max_element(logits.begin(), logits.end());
    EXPECT_EQ(given->peaks[row].token, highest - logits.begin());
    EXPECT_EQ(given->peaks[row].logit, *highest);
  }
  EXPECT_EQ(given->logits.subspan(9 * 50), absl::MakeConstSpan(expected));
}

TEST(TorchModel, AFileThatTellsNoPeaksGivesAllLogits) {
  const auto older = Load("without_peaks.pt"), newer = LoadSound();
  Session one(0, 4, 20), other(0, 4, 20);
  StepBatch batch;
  batch.sequences = {one.Next(9, 9)};
  batch.sequences[0].peaks_alone = true;
  const auto given = older->Step(batch);
  ASSERT_TRUE(given.ok()) << given.status();
  EXPECT_TRUE(given->peaks.empty());
  EXPECT_EQ(given->logits, absl::MakeConstSpan(Step(*newer, {other.Next(9, 9)})));
}

TEST_P(TorchModelOf, ChunksAndCompanyChangeNoBit) {
  const auto model = Load(GetParam());
  Session whole(0, 4, 20), chunked(8, 4, 20), company(16, 0, 7);
  const Logits expected = Step(*model, {whole.Next(90, 90)});
  Logits pieces;
  for (int i = 0; i < 15; ++i) {
    const int company_rows = 1 + i % 3;
    const int rows = i % 2 == 0 ? 1 : 11;
    const Logits logits = Step(*model, {company.Next(company_rows, 0), chunked.Next(rows, rows)});
    pieces.insert(pieces.end(), logits.begin(), logits.end());
  }
  ASSERT_EQ(pieces.size(), (8 * 1 + 7 * 11) * 50);
  EXPECT_TRUE(std::equal(pieces.begin(), pieces.end(), expected.begin()));
}

class TorchModelWithKvOf : public testing::TestWithParam<KvDtype> {};
INSTANTIATE_TEST_SUITE_P(Types, TorchModelWithKvOf,
                         testing::Values(KvDtype::kFloat32, KvDtype::kBfloat16, KvDtype::kInt8));

TEST_P(TorchModelWithKvOf, ABlockIsCopiedOutAndInBitForBit) {
  TorchModelOptions options = Small();
  options.kv_dtype = GetParam();
  const auto model = LoadSound(options);
  Session stays(0, 4, 20), moves(8, 4, 20), moved(24, 4, 20);
  Step(*model, {stays.Next(30, 0), moves.Next(30, 0)});
  moved.Next(30, 0);  // it stands where the others do, its tokens come by copying
  std::vector<char> copy(static_cast<size_t>(model->Spec().block_bytes));
  for (BlockId block = 0; block < 8; ++block) {
    model->CopyOut(8 + block, copy.data());
    model->CopyIn(24 + block, copy.data());
  }
  EXPECT_EQ(Step(*model, {stays.Next(40, 40)}), Step(*model, {moved.Next(40, 40)}));
}

// Right is what tests/torch/test_attention_probe.py says; here, that the right row is asked about.
TEST(TorchModel, TellsTheAttentionOfTheSequenceThatIsLookedAt) {
  const auto model = LoadSound();
  Session pinned(0, 16, 20), none(8, 0, 20), some(16, 2, 20);
  const auto look = [&](int32_t probed) {
    StepBatch batch;
    batch.sequences = {pinned.Next(3, 1), none.Next(3, 1), some.Next(3, 1)};
    batch.probed_sequence = probed;
    EXPECT_TRUE(model->Step(batch).ok());
    return model->PinnedAttention();
  };
  EXPECT_FALSE(look(-1).has_value());
  EXPECT_EQ(look(0), 1.0) << "it sees pinned tokens alone";
  EXPECT_EQ(look(1), 0.0) << "it has none";
  const auto part = look(2);
  ASSERT_TRUE(part.has_value());
  EXPECT_GT(*part, 0.0);
  EXPECT_LT(*part, 1.0);
  EXPECT_FALSE(look(-1).has_value()) << "of the step before";
}

TEST(TorchModel, AFailedStepLeavesTheModelUsable) {
  const auto model = LoadSound();
  const std::vector<TokenId> outside = {50};
  Session session(0, 4, 20);
  StepSequence bad = session.Next(1, 1);
  bad.tokens = outside;
  StepBatch batch;
  batch.sequences = {bad};
  const absl::Status status = model->Step(batch).status();
  ExpectRefused(status, absl::StatusCode::kInternal, "the model failed: embedding: token 50 of 50");
  EXPECT_EQ(Step(*model, {Session(0, 4, 20).Next(1, 1)}).size(), 50);
}

}  // namespace
}  // namespace sinkstream
