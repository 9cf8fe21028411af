#include "engine/torch/archive_digest.h"

#include <caffe2/serialize/inline_container.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <exception>
#include <string_view>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace sinkstream {
namespace {

using Reader = caffe2::serialize::PyTorchStreamReader;

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
    EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr);
  }
  void Add(const void* data, size_t size) { EVP_DigestUpdate(context_.get(), data, size); }
  std::string Hexadecimal() {
    std::array<unsigned char, 32> value = {};
    EVP_DigestFinal_ex(context_.get(), value.data(), nullptr);
    return absl::BytesToHexString({reinterpret_cast<const char*>(value.data()), value.size()});
  }

 private:
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context_;
};

// The manifest holds the digest; torch writes the others itself.
bool IsCounted(const std::string& name) {
  return name != "extra/manifest.json" && name != "version" && name != ".data/serialization_id" &&
         !name.ends_with(".debug_pkl");
}

void AddRecord(Reader& reader, const std::string& name, std::vector<char>& piece, Sha256& digest) {
  const size_t size = reader.getRecordSize(name);
  const std::string line = absl::StrCat(name, " ", size, "\n");
  digest.Add(line.data(), line.size());
  auto pieces = reader.createChunkReaderIter(name, size, piece.size());
  for (size_t left = size; left > 0;) {
    const size_t got = pieces.next(piece.data());
    if (got == 0 || got > left) throw std::runtime_error("ends early");
    digest.Add(piece.data(), got);
    left -= got;
  }
}

}  // namespace

absl::StatusOr<std::string> ArchiveDigest(
    const std::shared_ptr<caffe2::serialize::ReadAdapterInterface>& file) {
  std::string name = "its directory";
  try {
    Reader reader(file);
    std::vector<std::string> names = reader.getAllRecords();
    std::erase_if(names, [](const std::string& record) { return !IsCounted(record); });
    std::sort(names.begin(), names.end());
    std::vector<char> piece(size_t{1} << 20);
    Sha256 digest;
    for (const std::string& record : names) AddRecord(reader, name = record, piece, digest);
    return digest.Hexadecimal();
  } catch (const std::exception&) {
    return absl::DataLossError(absl::StrCat("is damaged: ", name, " cannot be read"));
  }
}

}  // namespace sinkstream
