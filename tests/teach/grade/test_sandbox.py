"""Functions that behave badly: each is reported in plain words, and the grader goes on."""

import os
import signal
import sys
import tempfile
from pathlib import Path

import pytest
from cells import RIGHT, body, cell

from xlsr_ref.errors import ExerciseError
from xlsr_ref.teach import grade as package
from xlsr_ref.teach.grade import exchange, grade, sandbox
from xlsr_ref.teach.grade.transfer import pack_file

LONG = 120  # seconds that no function here needs, for machines that have much else to do


def run(text, seconds=LONG, **how):
    return sandbox.run("layer_norm", body(text), None, seed=0, seconds=seconds, **how)


def found(verdict):
    """What was found of the first property that fails."""
    assert not verdict.passed
    return next(what for _, holds, what in verdict.properties if not holds)


def test_a_function_of_a_cell_is_checked_in_a_process_of_its_own():
    verdict = grade("layer_norm", cell(RIGHT)["layer_norm"], seed=3, seconds=LONG)
    assert verdict.passed, str(verdict)
    assert verdict.notes == ("seed 3",)  # and none that says: in this process


RUDE = """
import os, resource, sys, threading
resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))
print("hello")
for fd in range(3, 64):
    try:
        os.write(fd, b"{}")
    except OSError:
        pass
os.closerange(0, 64)
try:
    while True:
        os.open(os.devnull, os.O_RDONLY)
except OSError:
    pass
sys.stdout.close()
if threading.active_count() == 1:
    threading.Thread(target=threading.Event().wait).start()
for start in (os.fork, lambda: os.system("true"), lambda: os.kill(os.getppid(), 9)):
    try:
        start()
    except PermissionError:
        continue
    return None
mean = x.mean(axis=-1, keepdims=True)
return (x - mean) / np.sqrt(x.var(axis=-1, keepdims=True) + eps) * p["weight"] + p["bias"]
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no fork")
def test_manners_do_not_count():
    """It prints, writes into others' files and closes them, opens all it can, tries to fork and kill: it is right."""
    verdict = run(RUDE)
    assert verdict.passed, str(verdict)
    assert any("hello" in note for note in verdict.notes)


def test_a_loop_ends_with_the_time_and_its_line_is_told():
    loop = "while True: x = x + 1"
    assert found(run(loop, seconds=1)) == f"did not come to an end within 1 s; it was in line 4: {loop}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import os\nos._exit(0)", "ended Python itself, with exit status 0: return a value"),
        (
            "import ctypes\nctypes.string_at(0)",
            "touched memory that is not there (segmentation fault); it was in line 5",
        ),
        ("raise KeyboardInterrupt", "stopped the check: line 4: KeyboardInterrupt"),
        ("import builtins\ndel builtins.len\nreturn x", "broke Python itself"),
    ],
)
def test_what_ends_python_is_told_in_words(text, words):
    assert words in found(run(text))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system limits no memory")
def test_memory_is_limited():
    """The array is larger than the limit and smaller than any machine's memory."""
    assert "MemoryError: Unable to allocate 300. MiB" in found(run("return np.ones(300 << 17)", memory_mb=200))


STARTS = {  # each way to start a process: it must raise PermissionError
    "fork": "os.fork()",
    "forkpty": "os.forkpty()",
    "pty.fork": "import pty; pty.fork()",
    "system": "os.system('true')",
    "popen": "os.popen('true')",
    "exec": "os.execv(sys.executable, [sys.executable, '-c', ''])",
    "spawn": "os.spawnv(os.P_WAIT, sys.executable, [sys.executable, '-c', ''])",
    "posix_spawn": "os.posix_spawn(sys.executable, [sys.executable, '-c', ''], {})",
    "subprocess": "subprocess.run([sys.executable, '-c', ''])",
    "_posixsubprocess": "import multiprocessing.util as u; u.spawnv_passfds(b'/bin/true', [b'true'], [])",
    "multiprocessing spawn": "multiprocessing.get_context('spawn').Process(target=len).start()",
    "multiprocessing fork": "multiprocessing.get_context('fork').Process(target=len).start()",
    "multiprocessing forkserver": "multiprocessing.get_context('forkserver').Process(target=len).start()",
    "multiprocessing resources": "from multiprocessing import resource_tracker as r; r.ensure_running()",
    "asyncio": "asyncio.run(asyncio.create_subprocess_exec('true'))",
    "ctypes fork": "ctypes.CDLL(None).fork()",
    "ctypes system": "ctypes.CDLL(None).system(b'true')",
    "ctypes execv": "ctypes.CDLL(None).execv(b'/bin/true', None)",
    "ctypes posix_spawn": "ctypes.CDLL(None)['posix_spawnp']",
    "ctypes popen": "ctypes.PyDLL(None).popen(b'true', b'r')",
    "ctypes syscall": "ctypes.CDLL(None).syscall(57)",
}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX's ways")
def test_no_process_is_started_by_any_of_pythons_ways():
    attempts = "\n".join(
        f"try:\n    {text}\nexcept PermissionError as error:\n    assert 'grader' in str(error)\n"
        f"else:\n    raise RuntimeError({name!r} + ' starts a process')"
        for name, text in STARTS.items()
    )
    right = RUDE[RUDE.index("mean = ") :]
    verdict = run(f"import asyncio, ctypes, multiprocessing, os, subprocess, sys\n{attempts}\n{right}")
    assert verdict.passed, str(verdict)


def test_the_answer_is_out_of_reach():
    """It deletes every temporary file that is named after the grader."""
    clean = "import glob, os, shutil, tempfile\nplace = tempfile.gettempdir()\n"
    clean += "for name in glob.glob(place + '/xlsr-ref-grade*'):\n    shutil.rmtree(name, ignore_errors=True)\n"
    verdict = run(clean + RUDE[RUDE.index("mean = ") :])
    assert verdict.passed, str(verdict)
    kept = Path(tempfile.gettempdir()).glob("xlsr-ref-grade*")
    assert list(kept) == []  # there was nothing to delete


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs SIGSTOP")
def test_a_process_that_stops_itself_is_ended(monkeypatch):
    monkeypatch.setattr(sandbox, "LATE", 0.1)
    stop = "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)"
    assert found(run(stop, seconds=1)) == "did not come to an end within 1 s"


def test_a_students_words_bring_no_control_characters():
    verdict = run("raise ValueError('\\x1b[2J\\x9b1 of 1 passed \\u202e')")
    assert "ValueError: \\u001b[2J\\u009b1 of 1 passed \\u202e" in found(verdict)
    assert "\x1b" not in str(verdict)


def test_how_a_process_ended_is_told_in_words():
    def why(status, crash=""):
        return sandbox._why_it_ended(status, crash, pack_file("f", "a\nb\n", "s.py"), 5.0, 100)

    assert why(None) == "did not come to an end within 5 s"
    assert why(1, 'Timeout (0:00:05)!\n  File "j.py", line 9 in j\n  File "s.py", line 2 in f\n') == (
        "did not come to an end within 5 s; it was in line 2: b"
    )
    assert why(-signal.SIGTERM) == "ended its own process with a signal"
    assert why(77) == "took more than 100 MB of memory"
    assert why(1, "Traceback …\nModuleNotFoundError: No module named 'numpy'\n") == (
        "could not be checked: ModuleNotFoundError: No module named 'numpy'"
    )
    assert why(0xC0000005, "Windows fatal exception: access violation\n\nx") == "crashed Python: access violation"
    if hasattr(signal, "SIGXCPU"):
        assert why(-signal.SIGXCPU).startswith("did not come to an end")
        assert why(-signal.SIGKILL).endswith("for the memory it took")


def test_where_no_process_can_be_started_it_runs_here_and_says_so(monkeypatch):
    def none(*_):
        raise OSError("no more processes")

    monkeypatch.setattr(sandbox, "_process", none)
    for verdict in (
        grade("layer_norm", cell(RIGHT)["layer_norm"], seed=0),
        sandbox.run("layer_norm", RIGHT, None, seed=0),
    ):
        assert verdict.passed
        assert "in this process, without limits of time and memory: no process" in verdict.notes[-1]


def test_what_cannot_be_sent_is_checked_here_and_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    names = {}
    exec(RIGHT, names)  # nobody keeps its text
    verdict = grade("layer_norm", names["layer_norm"], seed=0)
    assert verdict.passed
    assert "its source cannot be read" in verdict.notes[-1]


def test_what_is_refused():
    with pytest.raises(ExerciseError, match="there is no exercise 'layernorm': did you mean layer_norm"):
        grade("layernorm", len)
    with pytest.raises(ExerciseError, match="both must be above 0"):
        grade("layer_norm", len, seconds=0)
    assert "is int, which cannot be called" in found(grade("layer_norm", 3))
    with pytest.raises(ExerciseError, match=r"line 1: ZeroDivisionError"):
        sandbox.run("layer_norm", "1 / 0", None, seconds=LONG)


def test_a_grade_within_a_grade_checks_nothing(monkeypatch):
    """A file that calls grade() at its top level is itself graded."""
    monkeypatch.setattr(exchange, "inside_child", True)
    verdict = package.grade("layer_norm", len)
    verdict.check()
    assert "nothing was checked" in verdict.notes[0]


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
def test_nothing_is_left_behind(monkeypatch):
    """However the wait ends, as by Ctrl-C, the process is gone afterwards."""
    started = []

    def interrupted(self, timeout=None):
        started.append(self)
        monkeypatch.undo()  # the next wait is the real one
        raise KeyboardInterrupt

    monkeypatch.setattr(sandbox.subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("return x")
    assert started[0].poll() == -signal.SIGKILL
