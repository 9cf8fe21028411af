"""KvWindow: the blocks a stream holds, as the server's own accounting has them."""

import torch
from sinkstream_export.step import BlockPool, KvWindow, blocks_needed, make_kv, make_tables


def test_pinned_and_recent_tokens_lie_in_blocks_of_their_own():
    stream = KvWindow(BlockPool(8), sinks=4, window=40)
    first = stream.feed(3)
    assert (first.pinned_blocks, first.recent_blocks, first.first_recent_block) == ([0], [], 0)
    second = stream.feed(20)  # tokens 3 .. 22: one more pinned, recent 4 .. 22
    assert (second.start, second.rows) == (3, 20)
    assert (second.pinned_blocks, second.recent_blocks, second.first_recent_block) == ([0], [1, 2], 0)


def test_block_goes_back_once_its_last_token_has_left_the_window():
    pool = BlockPool(8)
    stream = KvWindow(pool, sinks=4, window=16)
    stream.feed(4 + 16)  # recent block 0 holds tokens 4 .. 19
    assert stream.feed(15).first_recent_block == 0  # token 20 still sees token 5
    assert stream.feed(1).first_recent_block == 1  # token 35 sees 20 .. 35
    assert sorted(stream.recent) == [1]
    assert pool.take() == 1


def test_a_stream_never_needs_more_blocks_than_blocks_needed_says():
    for sinks, window, chunk in ((0, 1, 1), (0, 16, 16), (4, 17, 3), (17, 30, 33), (4, 5, 100)):
        pool = BlockPool(blocks_needed(sinks, window, chunk))
        stream = KvWindow(pool, sinks, window)
        for _ in range(3 * (sinks + window)):
            stream.feed(chunk)


def test_tables_index_one_list_of_blocks():
    pool = BlockPool(8)
    one, two = KvWindow(pool, 4, 40), KvWindow(pool, 0, 40, rotary_offset=7)
    sequences, blocks = make_tables([one.feed(20), two.feed(17)])
    # start, rows, sinks, window, pinned_begin, recent_begin, recent_count, first_recent_block, rotary_offset
    assert sequences.tolist() == [[0, 20, 4, 40, 0, 1, 1, 0, 0], [0, 17, 0, 40, 2, 2, 2, 0, 7]]
    assert blocks.tolist() == [0, 1, 2, 3]
    assert sequences.dtype == torch.int64 and blocks.dtype == torch.int32


def test_kv_pool_has_heads_padded_to_sixteen_dimensions():
    assert make_kv(2, 5, 3, 20).shape == (2, 5, 3, 2, 16 * 32)


def test_kv_pool_of_bytes_has_a_scale_for_each_slot():
    kv = make_kv(2, 5, 3, 20, torch.int8, fill=0.5)
    assert kv.shape == (2, 5, 3, 2, 16 * 32 + 16 * 4)
    assert (kv[..., 16 * 32 :].view(torch.float32) == 0.5).all() and not kv[..., : 16 * 32].any()
