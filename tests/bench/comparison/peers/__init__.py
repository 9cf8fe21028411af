"""Peers: one adapter each.

A peer has a `name` and

    missing()                why it cannot be measured here, or None; asks nothing of the network
    takes(cell)              whether the cell says something about it
    start(cell)              makes it ready for measurements of that cell
    measure(cell, prompts)   Figures; `prompts` are token ids, one list a session
    pause()                  uses no processor until the next start()
    stop()                   ends it

All but missing() and takes() raise PeerFailed, in one line.
"""


class PeerFailed(Exception):
    """Why a peer gave no figure."""
