#include "engine/commands.h"

namespace sinkstream {
namespace {

size_t BytesOf(const SamplingOverrides& sampling) {
  size_t bytes = sampling.stop_tokens.size() * sizeof(TokenId);
  for (const auto& text : sampling.stop_strings) bytes += sizeof text + text.size();
  return bytes;
}

size_t BytesOf(const UserTurn& turn) {
  size_t tokens = turn.later.size();
  for (const auto& other : {&turn.first, &turn.after_system}) {
    if (*other) tokens += (*other)->size();
  }
  return tokens * sizeof(TokenId);
}

size_t BytesOf(const RequestInput& input) {
  size_t bytes = input.tokens.size() * sizeof(TokenId);
  if (input.user_turn) bytes += BytesOf(*input.user_turn);
  if (const auto& text = input.text) {
    bytes += text->head.size() + text->body.size() * sizeof(TokenId) + text->tail.size();
  }
  return bytes;
}

}  // namespace

size_t HeldBytes(const OpenCommand& command) {
  const size_t tokens = command.system_turn ? command.system_turn->size() : 0;
  return tokens * sizeof(TokenId) + BytesOf(command.request.sampling);
}

size_t HeldBytes(const Command& command) {
  if (const auto* const open = std::get_if<OpenCommand>(&command)) return HeldBytes(*open);
  const auto* const request = std::get_if<RequestCommand>(&command);
  return request == nullptr ? 0 : BytesOf(request->input) + BytesOf(request->sampling);
}

}  // namespace sinkstream
