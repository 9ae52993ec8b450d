"""The pool: work is cut by shape, BLAS is held to one thread and handed back, whatever happens in between."""

import os
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from xlsr_ref.ops import threads


def blas_threads():
    """The threads of NumPy's BLAS; SciPy brings one of its own, which nothing here calls."""
    pools = [pool for pool in ThreadpoolController().info() if pool["user_api"] == "blas"]
    return [pool["num_threads"] for pool in pools if "scipy.libs" not in pool["filepath"]]


@pytest.mark.parametrize(("length", "at_most"), [(1, 1), (1, 256), (256, 256), (257, 256), (499, 256), (1000, 7)])
def test_blocks_cover_everything_once_and_are_nearly_equal(length, at_most):
    cut = threads.blocks(length, at_most)
    assert np.concatenate([np.arange(length)[block] for block in cut]).tolist() == list(range(length))
    sizes = [block.stop - block.start for block in cut]
    assert max(sizes) <= at_most
    assert max(sizes) - min(sizes) <= 1


def test_blocks_do_not_depend_on_the_number_of_threads():
    with threads.use(1):
        one = threads.blocks(499, 256)
    with threads.use(5):
        assert threads.blocks(499, 256) == one


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_every_task_runs_once(n):
    done = []
    with threads.use(n):
        threads.run(lambda i=i: done.append(i) for i in range(100))
    assert sorted(done) == list(range(100))


def test_two_threads_work_at_the_same_time():
    meeting = threading.Barrier(2, timeout=20)
    with threads.use(2):
        threads.run([meeting.wait, meeting.wait])  # one thread alone would break the barrier


def test_little_work_stays_with_the_caller():
    def where(work):
        seen = []

        def one():
            seen.append(threading.get_ident())
            time.sleep(0.02)  # long enough for another thread to take the next one

        with threads.use(4):
            threads.run([one] * 8, work)
        assert len(seen) == 8
        return set(seen)

    assert where(threads.WORTH_SHARING - 1) == {threading.get_ident()}
    assert len(where(threads.WORTH_SHARING)) > 1


def test_a_thread_alone_shares_out_nothing_of_a_task(monkeypatch):
    held = []

    @contextmanager
    def hold():
        held.append(1)
        yield

    monkeypatch.setattr(threads, "one_blas_thread", hold)
    with threads.use(1):
        threads.run([lambda: threads.run([lambda: None])] * 5)
    assert len(held) == 1  # the tasks' own tasks are plain calls


def test_tasks_inside_a_task_run_where_they_are():
    where = []

    def outer():
        threads.run(lambda: where.append(threading.get_ident()) for _ in range(5))
        return threading.get_ident()

    with threads.use(3):
        threads.run([outer, outer])
    assert len(where) == 10
    assert len(set(where)) <= 2


@pytest.mark.parametrize("n", [1, 2, 3])
def test_an_exception_reaches_the_caller_and_stops_the_rest(n):
    done = []

    def fails():
        raise RuntimeError("on purpose")

    with threads.use(n), pytest.raises(RuntimeError, match="on purpose"):
        threads.run([fails, *(lambda: (time.sleep(0.001), done.append(1)) for _ in range(1000))])
    assert len(done) < 1000
    threads.run([lambda: done.append("still works")])
    assert done[-1] == "still works"


def test_an_exception_on_another_thread_stops_the_rest():
    caller, done, failed = threading.get_ident(), [], threading.Event()

    def task():
        if threading.get_ident() == caller:
            failed.wait(20)
            done.append(1)
        elif not failed.is_set():
            failed.set()
            raise RuntimeError("on purpose")

    with threads.use(2), pytest.raises(RuntimeError, match="on purpose"):
        threads.run([task] * 1000)
    assert len(done) < 1000


def test_a_busy_pool_does_not_hold_up_others():
    release, started, finished = threading.Event(), threading.Barrier(3, timeout=20), threading.Event()

    def long_task():
        started.wait()
        release.wait(20)

    def long_run():
        with threads.use(2):  # on a machine with one core, too
            threads.run([long_task, long_task])

    def short_run():
        with threads.use(2):
            threads.run([lambda: None] * 5)
        finished.set()

    busy = threading.Thread(target=long_run)
    busy.start()
    started.wait()  # both threads of the pool are inside the long tasks
    other = threading.Thread(target=short_run)
    other.start()
    came_back = finished.wait(20)
    release.set()
    busy.join()
    other.join()
    assert came_back


def test_blas_is_held_inside_and_handed_back():
    before = blas_threads()
    inside = []
    threads.run([lambda: inside.extend(blas_threads())] * 3)
    assert set(inside) == {1}
    assert blas_threads() == before


def test_blas_is_handed_back_after_an_exception():
    before = blas_threads()
    with pytest.raises(ZeroDivisionError):
        threads.run([lambda: 1 / 0] * 2)
    assert blas_threads() == before


def test_blas_is_handed_back_when_the_last_of_two_overlapping_holders_leaves():
    before = blas_threads()
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()
    seen = {}

    def first():
        with threads.one_blas_thread():
            first_in.set()
            second_in.wait(20)
        first_out.set()

    def second():
        first_in.wait(20)
        with threads.one_blas_thread():
            second_in.set()
            first_out.wait(20)
            seen["after the first left"] = blas_threads()

    workers = [threading.Thread(target=work) for work in (first, second)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert set(seen["after the first left"]) == {1}
    assert blas_threads() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_starts_clean():
    before = blas_threads()
    threads.run([lambda: None] * 4)  # the pool exists
    read, write = os.pipe()
    with threads.one_blas_thread():
        child = os.fork()
        if child == 0:  # in the child: the limit is gone, and the pool works
            total = []
            with threads.use(2):
                threads.run(lambda i=i: total.append(i) for i in range(10))
            os.write(write, b"ok" if blas_threads() == before and len(total) == 10 else b"no")
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 2) == b"ok"
    assert blas_threads() == before


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_a_wrong_thread_count_is_refused(monkeypatch, value):
    monkeypatch.setenv("XLSR_REF_THREADS", value)
    with pytest.raises(ValueError, match="XLSR_REF_THREADS"):
        threads.count()


def test_the_environment_sets_the_thread_count(monkeypatch):
    monkeypatch.setenv("XLSR_REF_THREADS", "5")
    assert threads.count() == 5
    with threads.use(2):
        assert threads.count() == 2
    with pytest.raises(ValueError, match="at least 1"), threads.use(0):
        pass


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_results_are_taken_in_the_order_of_the_tasks(n):
    def task(i):
        time.sleep(0.002 * (i % 3 == 0))  # so that others are done before
        return i

    taken = []
    with threads.use(n):
        threads.run_in_order((lambda i=i: task(i) for i in range(60)), taken.append)
    assert taken == list(range(60))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_sums_in_order_have_the_same_bits(rng, n):
    parts = list(rng.standard_normal((200, 50)).astype(np.float32) * 10 ** rng.uniform(-3, 3, (200, 1)))
    expected = np.zeros(50, np.float32)
    for part in parts:
        expected += part.astype(np.float32)
    total = np.zeros(50, np.float32)

    def add(part):
        total[...] += part.astype(np.float32)

    with threads.use(n):
        threads.run_in_order((lambda part=part: part for part in parts), add)
    np.testing.assert_array_equal(total, expected)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_an_exception_in_a_task_or_in_taking_reaches_the_caller(n):
    def fails():
        raise RuntimeError("on purpose")

    taken = []
    tasks = [lambda i=i: i for i in range(5)]
    with threads.use(n):
        with pytest.raises(RuntimeError, match="on purpose"):
            threads.run_in_order([*tasks, fails, *tasks * 100], taken.append)
        assert taken == list(range(len(taken)))  # and none that comes after the one that failed
        assert len(taken) <= 5
        with pytest.raises(ZeroDivisionError):
            threads.run_in_order(tasks, lambda i: 1 / 0)
        threads.run_in_order([], taken.append)
        again = []
        threads.run_in_order(tasks, again.append)
    assert again == [0, 1, 2, 3, 4]


def test_a_result_waits_only_for_those_before_it():
    """What is taken is gone: of many large results only few are there at a time."""
    waiting, most, lock = 0, 0, threading.Lock()

    def task():
        nonlocal waiting, most
        with lock:
            waiting += 1
            most = max(most, waiting)

    def take(_):
        nonlocal waiting
        with lock:
            waiting -= 1

    with threads.use(1):
        threads.run_in_order([task] * 50, take)
    assert most == 1
