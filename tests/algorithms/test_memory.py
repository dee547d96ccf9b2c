"""Memory that is used again: never while someone can still see it, and never too much of it."""

import gc
import threading

import numpy as np

from striderule.algorithms import memory


def place(array):
    return array.ctypes.data


def test_memory_of_a_result_that_is_gone_is_used_again():
    first = memory.empty((300, 1000), np.float32)
    where = place(first)
    assert where % 64 == 0
    del first
    gc.collect()
    again = memory.empty((1000, 300), np.float32)
    assert place(again) == where


def test_memory_is_kept_while_any_view_lives():
    """A view, a view of a view, a reshaped and a transposed one: each keeps the memory by itself."""
    for view in (
        lambda x: x[5:],
        lambda x: x[::2].T[3:],
        lambda x: x.reshape(-1)[7:9],
        lambda x: memoryview(x),
        lambda x: np.asarray(x).view(np.int32),
    ):
        whole = memory.empty((333, 1000), np.float32)
        whole[...] = 7
        kept, where = view(whole), place(whole)
        del whole
        gc.collect(0)  # to look through all objects takes a second each time
        others = [memory.empty((333, 1000), np.float32) for _ in range(3)]
        for other in others:
            other[...] = 1
        assert all(place(other) != where for other in others)
        assert (np.asarray(kept).view(np.float32) == 7).all()
        del kept


def test_results_are_ordinary_arrays():
    x = memory.empty((64, 64, 64), np.float64)
    x.fill(0)  # what stood there before may be no number
    assert type(x) is np.ndarray
    assert type(x[1:]) is np.ndarray
    assert x.flags.writeable
    assert x.flags.c_contiguous
    assert type(x + 1) is np.ndarray


def test_what_waits_is_bounded(monkeypatch):
    monkeypatch.setattr(memory, "MOST", 1 << 20)
    waiting = memory._Waiting()
    for size in (1 << 19, 1 << 18, 1 << 18, 1 << 20, 1 << 21, 1 << 17):
        waiting.give(np.empty(size, np.uint8))
        held = sum(piece.nbytes for pieces in waiting._pieces.values() for piece in pieces)
        assert held == waiting._bytes <= 1 << 20
    assert waiting.take(1 << 17) is not None
    assert waiting.take(1 << 17) is None


def test_what_was_in_use_at_once_may_wait(monkeypatch):
    """What is used and what waits are together no more than what was used, or `MOST` over it."""
    monkeypatch.setattr(memory, "MOST", 1 << 20)
    monkeypatch.setattr(memory, "MOST_AGAIN", 5 << 20)
    waiting, size = memory._Waiting(), 1 << 20

    def take(count):
        found = [waiting.take(size) for _ in range(count)]
        return [np.empty(size, np.uint8) if one is None else one for one in found]

    def give(pieces, count):
        for _ in range(count):
            waiting.give(pieces.pop())

    used = take(4)
    give(used, 4)
    assert waiting._bytes == 4 * size
    used = take(2)
    assert waiting._bytes == 2 * size
    waiting._lock.acquire()  # as where garbage is collected within `take`
    give(used, 1)
    waiting._lock.release()
    assert waiting._bytes == 2 * size
    used += take(6)  # seven at once: those that were not counted off are by now
    assert (waiting._used, waiting._peak) == (7 * size, 7 * size)
    give(used, 7)
    assert waiting._bytes == memory.MOST_AGAIN


def test_scratch_is_each_threads_own_and_bounded():
    mine = memory.scratch("test", 1000, np.float32)
    found = []
    thread = threading.Thread(target=lambda: found.append(place(memory.scratch("test", 1000, np.float32))))
    thread.start()
    thread.join()
    assert found[0] != place(mine)
    assert place(memory.scratch("test", 900, np.float32)) == place(mine)
    assert memory.scratch("test", memory.MOST, np.float64).size == memory.MOST
    assert [memory.scratch(f"few {count}", count, np.uint8).size for count in (0, 1, 7)] == [0, 1, 7]


def test_many_threads_never_share_a_result():
    """Each writes its number, waits a little, and finds it again."""
    wrong = []

    def work(number):
        for turn in range(200):
            x = memory.empty((100, 500), np.int64)
            x[...] = number * 1000 + turn
            if not (x == number * 1000 + turn).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_address_is_that_of_the_first_element():
    whole = np.arange(24.0).reshape(2, 3, 4)
    views = [whole, whole[1], whole[:, ::-1], whole.T, whole[..., 2:], whole[:0], whole[0, 0, 0:1].reshape(())]
    views += [np.broadcast_to(np.float32(1), (3, 3)), np.frombuffer(bytes(9), np.uint8)[1:], whole.view(np.recarray)]
    for view in views:
        assert memory.address(view) == memory._asked(view) == view.__array_interface__["data"][0]
    assert memory.reads_heads()


def test_room_is_aligned_kept_and_bounded():
    first = memory.room("other", 1000)
    assert first.address % 64 == 0
    assert first.address == place(first.bytes)
    assert first.bytes.nbytes == first.size >= 1000
    assert memory.room("other", 10) is first
    larger = memory.room("other", 10 * first.size)
    assert larger.size >= 10 * first.size
    assert memory.room("other", 1000) is larger
    assert memory.room("other", memory.MOST + 1).size > memory.MOST
    assert memory.room("other", 1000) is larger
    assert memory.scratch("other", 0, np.float32).size == 0
