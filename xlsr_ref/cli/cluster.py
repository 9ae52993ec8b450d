"""Many recordings on many cores and machines, with Dask: each worker process opens the model once.

    items ─ tasks of one long or some short recordings ─ workers ─ results as they come ─ written here, by one process

A worker that dies loses nothing: Dask gives its task to another. A task costs Dask some milliseconds, so short
recordings share one. Only WINDOW tasks for each thread are handed out at a
time, so that a corpus of any size fits. Recordings and the model's folder must be reachable from every worker under the
same names. The package `distributed` has the scheduler, the workers and the transport; none of that is ours.
"""

from __future__ import annotations

import argparse
import logging
import os
import pickle
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

from xlsr_ref.cli.say import note, sentence
from xlsr_ref.errors import XlsrError
from xlsr_ref.untrusted import shown

if TYPE_CHECKING:
    from xlsr_ref.audio.manifest import Clip
    from xlsr_ref.cli.item import Deliver, Hear, Item, Ready

SHORT = 20.0  # seconds of sound that share a task at most, of 16-bit sound at 16 kHz
TOGETHER = 8  # recordings that share a task at most
WINDOW = 4  # tasks for each thread of the cluster that are handed out at a time
TRIES = 3  # for an item whose worker died, beyond those of Dask itself
TIMEOUT = 10.0  # seconds that a scheduler has to answer
START = 120.0  # seconds that the workers of this machine have to start
ADDRESS = re.compile(r"(tcp|tls|ws|wss|ucx)://[^\s/]+:\d{1,5}")
FOLDERS = ("model", "lm")  # of the line: may name what lies here
NOT_SENT = ("call", "output", "results")  # of the line of the command


def work_on_dask(
    arguments: argparse.Namespace,
    items: Sequence[Item],
    hear: Hear,
    ready: Ready,
    deliver: Deliver,
    in_order: bool,
) -> None:
    """What `many.work` does, on a cluster. Raises XlsrError where there is none, or a worker cannot open the model."""
    with connected(arguments) as client:
        sent = _to_send(arguments, client)
        _require_models(client, ready, sent)
        order = _InOrder(items, deliver) if in_order else deliver
        try:
            for item, result in _results(client, items, hear, ready, sent):
                order(item, result)
        except _Gone:
            raise XlsrError(
                f"the scheduler {shown(arguments.scheduler or 'of this machine')} is gone, and what is done is kept: "
                "start it again, and give the same command with --skip-existing"
            ) from None


@contextmanager
def connected(arguments: argparse.Namespace) -> Iterator[Any]:
    """A client of the cluster that the line of the command names. Raises XlsrError."""
    try:
        import distributed
    except ModuleNotFoundError:
        raise XlsrError('Dask is not installed: pip install "xlsr_ref[dask]"') from None
    for name in ("distributed", "distributed.nanny", "distributed.scheduler", "distributed.worker", "tornado"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if arguments.scheduler is not None:
        if not ADDRESS.fullmatch(arguments.scheduler):
            raise XlsrError(f"--scheduler {shown(arguments.scheduler)} is no address: give one such as tcp://HOST:8786")
        with _client(distributed, arguments.scheduler) as client:
            yield client
        return
    import dask

    settings = {
        "distributed.scheduler.worker-saturation": 1.0,
        "distributed.comm.timeouts.connect": "30s",
        "distributed.worker.preload": ["xlsr_ref.cli.worker"],
    }
    with dask.config.set(settings):
        try:
            cluster = distributed.LocalCluster(
                n_workers=arguments.dask_workers, threads_per_worker=1, processes=True, dashboard_address=None,
                silence_logs=logging.CRITICAL, host="127.0.0.1",
            )  # fmt: skip
        except (OSError, RuntimeError, TimeoutError) as error:
            raise XlsrError(f"the workers of this machine cannot be started: {sentence(error)}") from None
        with cluster, _client(distributed, cluster) as client:
            client.wait_for_workers(arguments.dask_workers, timeout=START)
            yield client


@contextmanager
def _client(distributed: Any, address: Any) -> Iterator[Any]:
    try:
        client = distributed.Client(address, timeout=TIMEOUT, set_as_default=False)
    except (OSError, TimeoutError):
        raise XlsrError(
            f"no scheduler answers at {shown(address)}: start one with `dask scheduler`, and workers with "
            f"`dask worker {shown(address)}`"
        ) from None
    try:
        yield client
    finally:
        with suppress(Exception):  # a scheduler that is gone
            client.close(timeout=TIMEOUT)


def _to_send(arguments: argparse.Namespace, client: Any) -> argparse.Namespace:
    """The line of the command as the workers need it, which begin in another folder; each thread of a worker computes
    on a core of its own."""
    sent = argparse.Namespace(**{name: value for name, value in vars(arguments).items() if name not in NOT_SENT})
    for name in FOLDERS:
        value = getattr(sent, name, None)
        if isinstance(value, str) and os.path.exists(value):  # and no name of the Hub
            setattr(sent, name, os.path.abspath(value))
    sent.threads = arguments.threads or 1
    return sent


def _require_models(client: Any, ready: Ready, sent: argparse.Namespace) -> None:
    """Every worker opens the model before the work begins. Raises XlsrError for one that cannot, and for no workers."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    if not workers:
        raise XlsrError("the cluster has no workers: start some with `dask worker ADDRESS`")
    note(f"{len(workers)} workers open the model")
    try:
        answers = client.run(_open_here, ready, sent)
    except Exception as error:  # one without this package, or with another version of it
        raise XlsrError(f"a worker of the cluster cannot run xlsr_ref: {sentence(error)}: install it there") from None
    for address, wrong in answers.items():
        if wrong:
            raise XlsrError(f"the worker {shown(address)} cannot open the model: {wrong}")


class _Gone(Exception):
    """The scheduler does not answer any more."""


class _InOrder:
    """Hands results on in the order of the items; one that comes early waits."""

    def __init__(self, items: Sequence[Item], deliver: Deliver) -> None:
        self.items, self.deliver, self.next = items, deliver, 0
        self.waiting: dict[str, tuple[Item, Any]] = {}

    def __call__(self, item: Item, result: Any) -> None:
        self.waiting[item.key] = item, result
        while self.next < len(self.items) and self.items[self.next].key in self.waiting:
            self.deliver(*self.waiting.pop(self.items[self.next].key))
            self.next += 1


def _results(
    client: Any, items: Sequence[Item], hear: Hear, ready: Ready, sent: argparse.Namespace
) -> Iterator[tuple[Item, Any]]:
    """Every item with its result, as they come. Raises _Gone."""
    import distributed

    tries = dict.fromkeys((item.key for item in items), TRIES)
    under_way: dict[str, list[Item]] = {}
    threads = sum(one["nthreads"] for one in client.scheduler_info(n_workers=-1)["workers"].values())
    todo = _tasks(items, threads)

    def submit(task: list[Item]) -> Any:
        clips = [tuple(clip._replace(path=clip.path.absolute()) for clip in item.clips) for item in task]
        future = client.submit(_perform, hear, ready, sent, clips, pure=False)
        under_way[future.key] = task
        return future

    first = [submit(task) for task in islice(todo, max(1, WINDOW * threads))]
    queue = distributed.as_completed(first, loop=client.loop, with_results=True, raise_errors=False)
    del first  # a future that is held keeps its result on the workers
    for future, results in queue:
        task = under_way.pop(future.key)
        if future.status == "error":
            error = future.exception()
            if isinstance(error, distributed.KilledWorker):
                again = [item for item in task if tries[item.key] > 0]
                for item in again:  # alone, so that the one that kills takes no other with it
                    tries[item.key] -= 1
                    queue.add(submit([item]))
                task = [item for item in task if item not in again]
                error = XlsrError("each worker that computed it died: it may need more memory than they have")
            results = [error] * len(task)
        elif future.status != "finished":
            raise _Gone
        for item, result in zip(task, results):
            yield item, _as_named(result, item.clips)
        following = next(todo, None) if len(under_way) < WINDOW * threads else None
        if following is not None:
            queue.add(submit(following))


def _tasks(items: Sequence[Item], threads: int) -> Iterator[list[Item]]:
    """The items in order, some short ones together; fewer towards the end, so that no thread works alone for long."""
    task: list[Item] = []
    sound = 0.0
    for left, item in zip(range(len(items), 0, -1), items):
        seconds = sum(map(_guessed_seconds, item.clips))
        if task and (sound + seconds > SHORT or len(task) >= min(TOGETHER, left // (2 * threads))):
            yield task
            task, sound = [], 0.0
        task.append(item)
        sound += seconds
    if task:
        yield task


def _guessed_seconds(clip: Clip) -> float:
    """By the size of its file, which is not opened; compressed sound is longer than that."""
    if clip.end is not None:
        return clip.end - clip.start
    with suppress(OSError):
        return os.stat(clip.path).st_size / (2 * 16000)
    return 0.0


def _as_named(result: Any, clips: tuple[Clip, ...]) -> Any:
    """A result; an error names the recordings as the user did."""
    if not isinstance(result, XlsrError):
        return result
    text = str(result)
    for clip in clips:
        text = text.replace(str(clip.path.absolute()), str(clip.path))
    return type(result)(text)


# --- on a worker ------------------------------------------------------------------------------------------------------

_lock = threading.Lock()
_models: dict[bytes, tuple[Any, dict]] = {}  # by the line of the command


def _opened(ready: Ready, sent: argparse.Namespace) -> tuple[Any, dict]:
    """The model and the settings of a command, opened once in this process."""
    key = pickle.dumps((ready, sorted(vars(sent).items())))
    with _lock:
        if key not in _models:
            _models.clear()  # one model in memory at a time
            _models[key] = ready(sent)
        return _models[key]


def _open_here(ready: Ready, sent: argparse.Namespace) -> str:
    """Open the model on this worker; what is wrong, or ""."""
    try:
        _opened(ready, sent)
    except Exception as error:
        return sentence(error)
    return ""


def _perform(hear: Hear, ready: Ready, sent: argparse.Namespace, task: list[tuple[Clip, ...]]) -> list[Any]:
    """One task: the transcript of each item's clips, or the error in its place."""
    from xlsr_ref.ops import threads

    def one(clips: tuple[Clip, ...]) -> Any:
        try:
            model, how = _opened(ready, sent)
            with threads.computing(sent.threads):
                return hear(model, how, clips)
        except Exception as error:
            try:
                pickle.loads(pickle.dumps(error))
            except Exception:
                return XlsrError(sentence(error))
            return error

    return [one(clips) for clips in task]
