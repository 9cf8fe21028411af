# What every script says goes to standard error: standard output belongs to the chat.
say() { printf '==> %s\n' "$*" >&2; }
fail() {
  printf 'sinkstream: %s\n' "$*" >&2
  exit 1
}
