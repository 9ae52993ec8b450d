"""A command that is ended by a signal takes away what is temporary."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import xlsr_ref
from xlsr_ref.cli.ended import Ended, unwinding

POSIX = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


@POSIX
@pytest.mark.parametrize("number", [signal.SIGTERM, getattr(signal, "SIGHUP", None)])
def test_the_first_signal_unwinds(number, request):
    before = signal.signal(number, signal.SIG_DFL)  # the tests may run under `nohup`
    request.addfinalizer(lambda: signal.signal(number, before))
    tidied = []

    def work():
        try:
            signal.raise_signal(number)
        finally:
            tidied.append(signal.getsignal(number))  # a second one ends the process

    with pytest.raises(Ended) as ended, unwinding():
        work()
    assert tidied == [signal.SIG_DFL]
    assert ended.value.status == 128 + number
    assert signal.getsignal(number) is signal.SIG_DFL


@POSIX
def test_who_asked_to_go_on_goes_on():
    """As `nohup` does."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with unwinding():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_may_run_a_command():
    done = []

    def work():
        with unwinding():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done


SPOOL = """
import sys
from contextlib import ExitStack
from xlsr_ref.cli import recordings
from xlsr_ref.cli.ended import unwinding
if sys.argv[1] == "named":  # as where there is no /proc
    recordings.os.getpid = lambda: 0
    recordings.tempfile.TemporaryFile = lambda: open(recordings.os.devnull, "w+b")
with unwinding(), ExitStack() as cleanup:
    sys.stdin.buffer.read(1)
    print("begun", flush=True)
    recordings.find(["-"], cleanup)
"""


@POSIX
@pytest.mark.parametrize("how", ["nameless", "named"])
def test_a_recording_from_a_pipe_leaves_no_copy(tmp_path, how):
    here = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(xlsr_ref.__file__).parents[1])}
    program = [sys.executable, "-c", SPOOL, how]
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=here
    ) as child:
        child.stdin.write(b"x" * 300_000)
        child.stdin.flush()
        assert child.stdout.readline() == b"begun\n"
        child.stdin.write(b"x" * 300_000)  # more than the pipe holds: some of it has been taken
        child.stdin.flush()
        if how == "nameless" and sys.platform == "linux":
            assert list(tmp_path.rglob("*")) == []
        child.send_signal(signal.SIGTERM)
        child.stdin.close()
        child.wait()
        child.stdin = None
    assert child.returncode
    assert list(tmp_path.rglob("*")) == []
