"""Workers: what they answer, how they end, and in which order they are asked."""

from __future__ import annotations

import os
import time

import pytest

from xlsr_ref.measure.bench import turns
from xlsr_ref.measure.bench.turns import Stopped, Worker, take_turns, timed

SERVE = "from xlsr_ref.measure.bench import turns\nimport os, sys, time\n"


def worker(job: str, prepare: str = "") -> Worker:
    """A process whose job is the Python expression ``job`` of ``line``."""
    script = f"{SERVE}def prepare():\n    {prepare or 'pass'}\n    return lambda line: {job}\nturns.serve(prepare)\n"
    return Worker(["-c", script])


def gone(process) -> bool:
    return process.poll() is not None


pytestmark = pytest.mark.usefixtures("no_pause")


def test_a_worker_answers_each_line():
    with worker("{'heard': line}") as echo:
        assert echo.ask("one") == {"heard": "one"}
        assert echo.ask("дві") == {"heard": "дві"}
        assert echo.opened >= 0
    assert gone(echo._process)


def test_what_a_library_prints_is_no_answer():
    with worker("{'n': [print('noise'), os.write(1, b'more noise\\n')][1]}", "print('hello')") as loud:
        assert loud.ask("x") == {"n": 11}


def test_it_takes_time_to_open():
    with worker("{}", "time.sleep(0.2)") as slow:
        assert 0.2 <= slow.opened < 60


def test_an_error_is_one_line_and_the_worker_goes_on():
    with worker("{'half': 1 / int(line)}") as divider:
        with pytest.raises(Stopped, match=r"^ZeroDivisionError: division by zero$"):
            divider.ask("0")
        assert divider.ask("2") == {"half": 0.5}


def test_the_traceback_can_be_seen(monkeypatch, capfd):
    monkeypatch.setenv("XLSR_REF_TRACEBACK", "1")
    with worker("{'half': 1 / int(line)}") as divider, pytest.raises(Stopped):
        divider.ask("0")
    assert "Traceback" in capfd.readouterr().err


def test_a_worker_that_cannot_open_leaves_no_process(monkeypatch):
    started = []
    popen = turns.subprocess.Popen

    def remember(*arguments, **options):
        started.append(popen(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(turns.subprocess, "Popen", remember)
    with pytest.raises(Stopped, match="ModuleNotFoundError: No module named 'no_such_thing'"):
        worker("{}", "import no_such_thing")
    assert [gone(process) for process in started] == [True]


def test_one_that_dies_says_its_last_words():
    with (
        worker("{'x': [print('out of paper', file=sys.stderr, flush=True), os._exit(3)]}") as dying,
        pytest.raises(Stopped, match=r"^it stopped with status 3: out of paper$"),
    ):
        dying.ask("x")


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_one_that_the_system_ended():
    with worker("{'x': os.kill(os.getpid(), 9)}") as killed, pytest.raises(Stopped, match="memory"):
        killed.ask("x")


def test_after_an_exception_nobody_waits_for_a_long_job():
    slow = worker("{'x': time.sleep(300)}")
    slow._process.stdin.write("x\n")
    slow._process.stdin.flush()
    start = time.monotonic()
    slow.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert gone(slow._process)
    assert time.monotonic() - start < 8  # close() itself would wait for 10


def test_it_ends_with_the_process_that_asks():
    """Also where that is killed: the pipe closes."""
    with worker("{}") as orphan:
        orphan._process.stdin.close()
        assert orphan._process.wait(timeout=60) == 0


@pytest.mark.skipif(os.name == "nt", reason="POSIX sessions")
def test_control_c_of_a_terminal_does_not_reach_it():
    with worker("{'session': os.getsid(0)}") as apart:
        assert apart.ask("x")["session"] != os.getsid(0)


def test_it_imports_the_package_of_the_process_that_asks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with worker("{'file': turns.__file__}") as one:
        assert os.path.samefile(one.ask("x")["file"], turns.__file__)


# --- turns -----------------------------------------------------------------------------------------------------------


class Listed:
    """Writes down who was asked."""

    def __init__(self, name, heard, fail_at=0):
        self.name, self.heard, self.fail_at, self.closed, self.answers = name, heard, fail_at, False, 0

    def ask(self, line):
        self.heard.append(self.name + line)
        self.answers += 1
        if self.answers == self.fail_at:
            raise Stopped("enough")
        return {"n": self.answers}

    def close(self, at_once=False):
        self.closed = at_once


def test_the_order_changes_and_the_first_answers_are_extra():
    heard: list[str] = []
    answers = take_turns({name: Listed(name, heard) for name in "abc"}, "!", 3)
    assert heard == ["a!", "b!", "c!", "c!", "b!", "a!", "a!", "b!", "c!", "c!", "b!", "a!"]
    assert answers == {name: [{"n": 1}, {"n": 2}, {"n": 3}, {"n": 4}] for name in "abc"}


def test_who_stops_is_left_out_from_then_on():
    heard, lost = [], []
    workers = {"a": Listed("a", heard), "b": Listed("b", heard, fail_at=2), "c": Listed("c", heard)}
    b = workers["b"]
    answers = take_turns(workers, "", 2, lambda name, error: lost.append((name, str(error))))
    assert (heard, lost) == (list("abccbaac"), [("b", "enough")])
    assert list(answers) == list(workers) == ["a", "c"]
    assert b.closed


def test_without_anybody_to_tell_it_is_an_error_with_the_name():
    with pytest.raises(Stopped, match=r"^b: enough$"):
        take_turns({"a": Listed("a", []), "b": Listed("b", [], fail_at=1)}, "", 2)


def test_there_is_a_pause_before_each_turn(monkeypatch):
    pauses: list[float] = []
    monkeypatch.setattr(turns, "PAUSE", 0.75)
    with worker("{}") as one, monkeypatch.context() as patch:
        patch.setattr(turns.time, "sleep", pauses.append)
        take_turns({"one": one}, "", 2)
    assert pauses == [0.75] * 3


@pytest.fixture
def clock(monkeypatch):
    """A clock that only moves when it is told to: the value is a list of one number."""
    now = [0.0]
    monkeypatch.setattr(turns.time, "perf_counter", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("durations", "at_least", "runs", "middle"),
    [([3.0, 1.0], 0.0, 1, 0), ([0.3, 0.1, 0.2, 9.0], 0.55, 3, 2), ([0.3, 0.1, 0.2, 9.0], 0.65, 4, 2)],
)
def test_short_runs_are_repeated_and_the_median_counts(clock, durations, at_least, runs, middle):
    left = list(durations)

    def run():
        clock[0] += left.pop(0)
        return len(durations) - len(left)

    seconds, index, found = timed(run, at_least)
    assert seconds == pytest.approx(durations[:runs])
    assert (index, found) == (middle, middle + 1)


def test_what_takes_no_time_ends_too(clock):
    assert len(timed(lambda: None, 1.0)[0]) == turns.MOST_RUNS
