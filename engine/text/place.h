// Where a run of text stands: SentencePiece-style tokenizers put a space before some runs.
#pragma once

namespace sinkstream {

enum class Place {
  kStart,       // nothing is before it
  kAfterToken,  // behind an added token, special or not
  kWithinText,  // behind text
};

}  // namespace sinkstream
