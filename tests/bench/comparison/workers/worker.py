"""What the workers share: requests in, times out, one JSON line each. Imports nothing but the standard library."""

import json
import os
import sys


def serve(load):
    """`load(settings)` gives `generate(prompts, new_tokens)`: of each prompt, the seconds from the call to each token."""
    # Libraries print; the answers have the standard output to themselves.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(message):
        print(json.dumps(message), file=answers, flush=True)

    try:
        generate = load(json.loads(sys.argv[1]))
        answer({"ready": True})
    except Exception as error:  # a worker has no other way to say so
        answer({"error": describe(error)})
        return
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer({"arrivals": generate(request["prompts"], request["new_tokens"])})
        except Exception as error:
            answer({"error": describe(error)})


def describe(error):
    words = str(error).split()
    return f"{type(error).__name__}: {' '.join(words)}"[:300]
