#include "server/stream/event_join.h"

#include <iterator>
#include <utility>

namespace sinkstream {
namespace {

template <typename List>
void MoveAppend(List from, List& to) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

// True if `event` was a delta of the same reply as `last` and is now part of it.
bool JoinInto(Event& last, Event& event) {
  auto* into = std::get_if<Delta>(&last);
  auto* delta = std::get_if<Delta>(&event);
  if (into == nullptr || delta == nullptr || into->request_id != delta->request_id) return false;
  into->text += delta->text;
  MoveAppend(std::move(delta->tokens), into->tokens);
  MoveAppend(std::move(delta->logprobs), into->logprobs);
  return true;
}

}  // namespace

std::vector<Event> JoinDeltas(std::vector<Event> events) {
  std::vector<Event> joined;
  for (Event& event : events) {
    if (joined.empty() || !JoinInto(joined.back(), event)) joined.push_back(std::move(event));
  }
  return joined;
}

}  // namespace sinkstream
