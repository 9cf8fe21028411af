// ArchiveDigest: what names the contents of a model file. The records' own checksums are not
// checked by libtorch's reader.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace caffe2::serialize {
class ReadAdapterInterface;
}

namespace sinkstream {

// The digest of a model file's records as docs/model_artifact.md defines it, hexadecimal. Reads all
// of the file, in pieces of 1 MiB. DATA_LOSS, naming the record, if one cannot be read.
absl::StatusOr<std::string> ArchiveDigest(
    const std::shared_ptr<caffe2::serialize::ReadAdapterInterface>& file);

}  // namespace sinkstream
