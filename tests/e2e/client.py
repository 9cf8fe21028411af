"""A small client over the generated code: what a user of the wire contract would write."""

import dataclasses
import queue

import grpc

DEADLINE = 120  # seconds: a hanging server fails the test, nothing passes near it


@dataclasses.dataclass
class Reply:
    text: str = ""
    tokens: list = dataclasses.field(default_factory=list)
    logprobs: list = dataclasses.field(default_factory=list)
    deltas: list = dataclasses.field(default_factory=list)
    scores: list = dataclasses.field(default_factory=list)
    windows: list = dataclasses.field(default_factory=list)
    farewells: list = dataclasses.field(default_factory=list)
    done: object = None
    appended: object = None
    failed: object = None


class Chat:
    """One Converse stream."""

    def __init__(self, api, stub, metadata=None):
        self._pb = api.pb
        self._requests = queue.SimpleQueue()
        self._call = stub.Converse(iter(self._requests.get, None), timeout=DEADLINE, metadata=metadata)
        self.opened = None

    def send(self, **event):
        self._requests.put(self._pb.ConverseRequest(**event))

    def open(self, **fields):
        self.send(open=self._pb.Open(**fields))
        self.opened = next(self._call).opened
        return self.opened

    @property
    def session_id(self):
        return self.opened.session_id

    def send_turn(self, text=None, *, request_id=0, raw=None, ids=None, **sampling):
        turn = self._pb.Turn(request_id=request_id)
        if text is not None:
            turn.text = text
        if raw is not None:
            turn.raw_text = raw
        if ids is not None:
            turn.token_ids.ids.extend(ids)
            turn.token_ids.SetInParent()
        if sampling:
            turn.sampling.CopyFrom(self._pb.Sampling(**sampling))
        self.send(turn=turn)

    def ask(self, *arguments, **fields):
        self.send_turn(*arguments, **fields)
        return self.read_reply()

    def append(self, text=None, ids=None, scoring=None):
        append = self._pb.Append(scoring=scoring)
        if ids is None:
            append.text = text
        else:
            append.token_ids.ids.extend(ids)
        self.send(append=append)
        return self.read_reply()

    def read(self):
        return next(self._call)

    def read_reply(self):
        """Everything up to the next turn_done, append_done or failed."""
        reply = Reply()
        for response in self._call:
            event = response.WhichOneof("event")
            if event == "delta":
                reply.deltas.append(response.delta)
                reply.text += response.delta.text
                reply.tokens += response.delta.token_ids
                reply.logprobs += response.delta.logprobs
            elif event == "scores":
                reply.scores.append(response.scores)
            elif event == "window_moved":
                reply.windows.append(response.window_moved)
            elif event == "go_away":
                reply.farewells.append(response.go_away)
            elif event in ("turn_done", "append_done", "failed"):
                reply.done = response.turn_done if event == "turn_done" else None
                reply.appended = response.append_done if event == "append_done" else None
                reply.failed = response.failed if event == "failed" else None
                return reply
        raise AssertionError(f"the stream ended before the answer: {self.end()}")

    def half_close(self):
        self._requests.put(None)

    def disconnect(self):
        self._call.cancel()
        self._requests.put(None)

    def end(self):
        """Reads to the end; how the stream ended, as a grpc.Call."""
        try:
            for _ in self._call:
                pass
        except grpc.RpcError:
            pass
        self._requests.put(None)
        return self._call

    def leave(self):
        """Closes the session, if it still is this stream's."""
        self.send(close=self._pb.Close())
        return self.end().code()
