"""Prompts: pieces of one text, from places drawn by lot. The same for every peer of a round."""

import random


def pieces(text_ids, cell, seed):
    """Token ids of `cell.sessions` prompts; ValueError where the text is too short."""
    last = len(text_ids) - cell.prompt_tokens
    if last < 1:
        raise ValueError(f"the text has {len(text_ids)} tokens, fewer than a prompt of {cell.prompt_tokens}")
    lot = random.Random(f"{seed} {cell.name}")
    places = [lot.randrange(last) for _ in range(cell.sessions)]
    return [text_ids[place : place + cell.prompt_tokens] for place in places]
