// What sinkstream-chat does. Each returns the exit code of the process, and tells on standard error
// what went wrong.
#pragma once

#include "client/chat/options.h"
#include "client/credentials.h"

namespace sinkstream {

// A conversation in the terminal if `interactive`: takes over Ctrl-C, so that no thread may have
// been started before. Otherwise a turn for each line of standard input. Only replies, the prompt
// and the list of commands are on standard output.
int RunChat(const ChatOptions& options, const Credentials& credentials, bool interactive);

// Asks the server's health. Says nothing if all is well: a watcher asks again and again.
int RunCheck(const ChatOptions& options, const Credentials& credentials);

}  // namespace sinkstream
