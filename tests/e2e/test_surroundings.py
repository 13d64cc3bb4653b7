"""What is around an instance: its control socket, PID 1, systemd, a terminal, its state folder."""
import contextlib
import json
import os
import pty
import re
import select
import signal
import socket
import stat
import subprocess
import threading

import pytest

from support import instance
from support.lines import PIPELINE, blocked
from support.waiting import NEVER, eventually


# ---- the control socket

@pytest.fixture
def control(lines):
    def connect():
        # The address may be longer than a socket name: through the folder.
        one = socket.socket(socket.AF_UNIX)
        folder = os.open(lines.folder / ".weir" / "lines", os.O_PATH)
        try:
            one.connect("/proc/self/fd/%d/control" % folder)
        finally:
            os.close(folder)
        one.settimeout(NEVER)
        return one
    return connect


def answer_of(one):
    said = b""
    while True:
        piece = one.recv(65536)
        if not piece:
            return said
        said += piece


def test_the_control_socket_is_for_its_owner(start, lines):
    lines.feed([1])
    running = start(lines.path)
    lines.wait_for(1, running)
    state = lines.folder / ".weir" / "lines"
    assert stat.S_IMODE(os.stat(state).st_mode) == 0o700
    assert stat.S_IMODE(os.lstat(state / "control").st_mode) == 0o600
    assert running.stop().code == 0
    assert not (state / "control").exists()


def test_garbage_on_the_control_socket_harms_nobody(start, lines, control, status):
    lines.feed([1])
    running = start(lines.path)
    lines.wait_for(1, running)
    for request in (b"\n", b"{}\n", b"status\n", b'{"verb":"sing"}\n', b'{"verb":["status"]}\n', b"\0" * 255 + b"\n", b"x" * 256, b"{" * 200 + b"\n"):
        with control() as one:
            one.sendall(request)
            assert "error" in json.loads(answer_of(one)), request
    with control() as one:  # more than anybody needs
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            one.sendall(b"y" * 1000000)
            answer_of(one)
    with control() as one:  # in pieces
        for byte in b'{"verb":"status"}\n':
            one.sendall(bytes([byte]))
        assert json.loads(answer_of(one))["pipeline"] == "lines"
    with control() as one:  # gone before the answer
        one.sendall(b'{"verb":"status"}\n')
    silent = [control() for _ in range(40)]  # more than it serves at a time: the rest is turned away
    for one in silent:
        one.close()
    eventually("it still answers", lambda: status()["pipeline"] == "lines")
    assert running.stop().code == 0


def test_status_in_words(start, weir, lines, status):
    lines.feed([1])
    running = start(lines.path)
    lines.wait_for(1, running)
    with lines.locked():
        lines.feed(range(2, 20000))
        stuck = eventually("the sink is stuck", lambda: blocked(status, lines))
        assert 0 < stuck["ring_fill"] <= 1
        shown = weir("status", lines.path)
    assert shown.code == 0 and all(name in shown.out for name in ("lines", "doubled", "out", "NODE", "RING")), shown
    lines.wait_for(19999, running)
    eventually("at rest nothing lags", lambda: all(one["lag_s"] == 0 and one["ring_fill"] == 0 for one in status()["nodes"]))
    assert running.stop().code == 0


# ---- around it

def test_as_pid_1_it_reaps_orphans_of_others(lines):
    if os.geteuid() != 0 or subprocess.run(["unshare", "-pf", "--mount-proc", "true"], stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("no right to make a PID namespace")
    lines.feed([1])
    log = open(lines.folder / "log", "w")
    outer = subprocess.Popen(["unshare", "-pf", "--mount-proc", instance.weir_program(), "run", str(lines.path)], cwd=lines.folder,
                             stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        lines.wait_for(1)
        first = eventually("it runs", lambda: instance.children(outer.pid))[0]

        def states():
            return [state for state in map(instance.state_of, instance.children(first)) if state]
        for _ in range(20):
            # The shell's child outlives it and is handed to process 1, where it ends.
            subprocess.run(["nsenter", "-t", str(first), "-p", "-m", "sh", "-c", "sleep 0.05 & exit 0"], check=True)
        eventually("no zombie is left", lambda: len(states()) == 3 and "Z" not in states())
        lines.feed([2])
        lines.wait_for(2)
        os.kill(first, signal.SIGTERM)
        assert outer.wait(NEVER) == 0, open(lines.folder / "log").read()
    finally:
        if outer.poll() is None:
            for pid in instance.children(outer.pid):
                os.kill(pid, signal.SIGKILL)
            outer.wait()
        log.close()


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, folder):
        # A socket's name is short; test folders are not.
        self.name = "@weir-test-%d-%s" % (os.getpid(), folder.name[:40])
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + self.name[1:])
        self.socket.settimeout(0.1)
        self.heard = []
        self.ended = False
        self.thread = threading.Thread(target=self.listen)
        self.thread.start()

    def listen(self):
        while not self.ended:
            with contextlib.suppress(socket.timeout):
                self.heard.append(self.socket.recv(4096).decode())

    def said(self, word):
        return [text for text in self.heard if word in text.splitlines()]

    def close(self):
        self.ended = True
        self.thread.join()
        self.socket.close()


def test_systemd_is_told(start, lines):
    lines.feed([1])
    systemd = Systemd(lines.folder)
    try:
        running = start(lines.path, env={"NOTIFY_SOCKET": systemd.name, "WATCHDOG_USEC": "200000"})
        eventually("READY", lambda: systemd.said("READY=1"))
        eventually("the watchdog is fed", lambda: len(systemd.said("WATCHDOG=1")) >= 3)
        running.process.send_signal(signal.SIGHUP)
        eventually("RELOADING", lambda: systemd.said("RELOADING=1"))
        assert re.search(r"MONOTONIC_USEC=\d+", systemd.said("RELOADING=1")[0])
        eventually("READY again", lambda: len(systemd.said("READY=1")) == 2)
        assert not systemd.said("STOPPING=1")
        lines.wait_for(1, running)
        ended = running.stop()
        assert ended.code == 0, ended
        eventually("STOPPING", lambda: systemd.said("STOPPING=1"))
        order = [text.split("\n")[0] for text in systemd.heard if "WATCHDOG" not in text]
        assert order == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]
    finally:
        systemd.close()


def on_a_terminal(arguments, cwd, environment, until):
    """Runs weir with a terminal of its own; returns what it printed, and its exit code. Ctrl-C when `until` stands in it."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        os.execve(instance.weir_program(), ["weir", *map(str, arguments)], environment)
    said, interrupted = b"", False
    while True:
        ready, _, _ = select.select([terminal], [], [], NEVER)
        assert ready, said
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if not piece:
            break
        said += piece
        if until in said and not interrupted:
            interrupted = True
            os.write(terminal, b"\x03")
    return said.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_closed_terminal_ends_it_in_order(lines):
    lines.feed(range(50))
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(lines.folder)
        os.execve(instance.weir_program(), ["weir", "run", str(lines.path)], instance.environment({"TERM": "xterm"}))
    said = b""
    while b"stored 50 " not in said:
        said += os.read(terminal, 65536)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert lines.numbers() == list(range(50))


@pytest.mark.parametrize("plain", [False, True])
def test_a_terminal_shows_how_it_goes(lines, plain):
    lines.feed(range(50))
    environment = instance.environment({"TERM": "xterm", **({"NO_COLOR": "1"} if plain else {})})
    environment.pop("NO_COLOR" if not plain else "", None)
    said, code = on_a_terminal(["run", lines.path], lines.folder, environment, b"stored 50 ")
    assert code == 0, said  # Ctrl-C reaches the workers too, and they leave the end to the supervisor
    assert lines.numbers() == list(range(50))
    assert "/s)" in said and "\r\x1b[K" in said
    assert ("\x1b[1m" in said) != plain
    for line in said.replace("\r\n", "\n").split("\n"):
        # A log line never starts behind a piece of the progress line.
        assert "ts=" not in line or line.split("ts=")[0].endswith("\x1b[K") or line.startswith("ts="), line


def test_no_progress_line_without_a_terminal(start, lines):
    lines.feed(range(50))
    running = start(lines.path)
    lines.wait_for(50, running)
    ended = running.stop()
    assert "\x1b" not in ended.err and "\r" not in ended.err
    assert all(line.startswith("ts=") for line in ended.err.splitlines())


def test_the_account_of_once_is_a_table_or_json(weir, tmp_path, lines):
    lines.write(text=PIPELINE.replace("follow: true, ", ""))
    lines.feed(range(50))
    done = weir("run", lines.path, "--once")
    assert done.code == 0, done
    assert [line.split()[0] for line in done.out.splitlines()] == ["NODE", "lines", "doubled", "out"]
    lines.feed(range(50, 60))
    done = weir("run", lines.path, "--once", "--json")
    numbers = {one["name"]: one for one in done.json["nodes"]}
    assert [numbers[name]["in"] for name in ("lines", "doubled", "out")] == [10, 10, 10]


def test_a_state_folder_that_is_none_is_refused(weir, lines):
    (lines.folder / "thesis").mkdir()
    (lines.folder / "thesis" / "chapter1").write_text("x")
    done = weir("run", lines.path, "--once", "--state", lines.folder / "thesis")
    assert done.code == 3 and "not empty" in done.err, done
    assert os.listdir(lines.folder / "thesis") == ["chapter1"]


def test_an_unreadable_state_folder_is_an_environment_error(weir, lines):
    (lines.folder / "file").write_text("x")
    done = weir("run", lines.path, "--once", "--state", lines.folder / "file" / "state")
    assert done.code == 3, done


def test_a_long_state_path_has_a_control_socket_too(start, weir, lines):
    deep = lines.folder / ("d" * 100) / ("e" * 100)
    lines.feed([1])
    running = start(lines.path, "--state", deep)
    lines.wait_for(1, running)
    assert weir("status", "--state", deep).code == 0
    assert weir("stop", "--state", deep).code == 0
    assert running.wait().code == 0


def test_a_careful_worker_works_in_batches_again_when_it_went_well(start, lines):
    lines.feed([1])
    running = start(lines.path)
    lines.wait_for(1, running)
    # Two crashes before any new work: the third life replays record by record.
    for generation in range(2):
        victim = eventually("the transformer lives", lambda: [one for one in running.workers("transformer") if one.generation == generation])[0]
        os.kill(victim.pid, signal.SIGABRT)
    eventually("it is careful", lambda: "record by record" in running.err)
    fed = 1

    def relaxed():
        nonlocal fed
        fed += 1
        lines.feed([fed])
        return "back to batches" in running.err
    eventually("it works in batches again", relaxed, pause=0.2)
    lines.wait_for(fed, running)
    assert lines.numbers() == list(range(1, fed + 1))
    assert "setting aside" not in running.err
    assert running.stop().code == 0


def test_the_version_names_every_library(weir):
    done = weir("version", "--json")
    assert done.code == 0, done
    assert set(done.json["libraries"]) >= {"sqlite", "libcurl", "tls", "libpq", "simdjson", "libyaml", "libevent", "glibc"}
    assert all(re.match(r"\w*/?\d+\.\d+", version) for version in done.json["libraries"].values()), done.out
    shown = weir("version")
    assert all(name in shown.out and version in shown.out for name, version in done.json["libraries"].items())
