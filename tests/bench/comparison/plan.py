"""In which order all is measured: round by round and cell by cell, all peers of a cell close together in time. Pure."""


def in_turn(peers, round_number):
    """Who comes first changes from round to round, so that nobody always follows the same neighbour's heat and caches."""
    first = round_number % len(peers) if peers else 0
    return [*peers[first:], *peers[:first]]


def plan(rounds, cells, peers):
    """Yields (round, cell, peer); `peers` have takes(cell)."""
    for round_number in range(rounds):
        for cell in cells:
            for peer in in_turn(peers, round_number):
                if peer.takes(cell):
                    yield round_number, cell, peer


class LeftOut:
    """Who is not asked again, and why. A peer that fails in two cells has failed."""

    _MOST_FAILURES = 2

    def __init__(self):
        self.reasons = {}  # {peer: {cell: reason}}

    def add(self, peer, cell, reason):
        self.reasons.setdefault(peer, {})[cell] = reason

    def holds(self, peer, cell):
        of_peer = self.reasons.get(peer, {})
        return cell in of_peer or len(of_peer) >= self._MOST_FAILURES
