#include "client/tool/report_file.h"

#include "absl/strings/str_cat.h"
#include "client/tool/output_file.h"
#include "client/tool/standard_output.h"

namespace sinkstream {

absl::Status CheckWritable(std::initializer_list<std::string> paths) {
  for (const std::string& path : paths) {
    const absl::Status status = path.empty() ? absl::OkStatus() : CheckWritable(path);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status KeepReport(const std::string& path, const std::string& content) {
  if (path.empty()) return absl::OkStatus();
  const absl::Status status = WriteWhole(path, content);
  if (status.ok()) return status;
  PrintText(content);
  return absl::Status(status.code(),
                      absl::StrCat(status.message(), "; it is on standard output instead"));
}

absl::Status KeepReport(const std::string& path, const Json& report) {
  // A path or a text's name in it may be no UTF-8.
  return KeepReport(path, report.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

std::string IncompleteMark(const absl::Status& measured) {
  return measured.ok() ? "" : absl::StrCat("INCOMPLETE: ", std::string(measured.message()), "\n\n");
}

absl::Status FirstError(const absl::Status& measured, const absl::Status& kept,
                        std::initializer_list<std::string> paths) {
  if (measured.ok()) return kept;
  std::string where = "; what was measured until then is on standard output";
  const char* separator = " and in ";
  for (const std::string& path : paths) {
    if (path.empty() || !kept.ok()) continue;
    absl::StrAppend(&where, separator, path);
    separator = ", ";
  }
  return absl::Status(measured.code(), absl::StrCat(measured.message(), where));
}

}  // namespace sinkstream
