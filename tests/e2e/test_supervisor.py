"""The supervisor from outside: poison, hangs, drains that do not end, reload, the control socket, PID 1, systemd, a terminal."""
import contextlib
import json
import os
import pty
import re
import select
import signal
import socket
import sqlite3
import stat
import subprocess
import threading

import psycopg2
import pytest

from support import instance
from support.targets import SqliteTarget, count
from support.waiting import NEVER, eventually

PIPELINE = """\
pipeline: lines
drain_timeout: %(drain)s
sources:
  lines: {type: file, path: "in/*.ndjson", follow: true, poll: 5ms, lanes: %(lanes)d}
transforms:
  doubled:
    sql: SELECT n, n * 2 AS twice FROM lines
    columns: {n: bigint not null, twice: bigint}
sinks:
  out: {from: doubled, type: table, url: "%(url)s", table: numbers, mode: append, commit_every: 10ms}
"""


class Lines:
    """A pipeline that follows in/*.ndjson into a table."""

    def __init__(self, folder, target):
        self.folder, self.target = folder, target
        (folder / "in").mkdir()
        self.path = folder / "pipeline.yaml"
        self.write()

    def write(self, lanes=1, drain="30s", text=PIPELINE):
        self.path.write_text(text % {"lanes": lanes, "drain": drain, "url": self.target.url})

    def feed(self, numbers, name="a"):
        with open(self.folder / "in" / (name + ".ndjson"), "a") as file:
            file.write("".join('{"n": %d}\n' % n for n in numbers))

    def wait_for(self, expected, running=None):
        def look():
            assert running is None or running.alive, running.result()
            return count(self.target, "numbers") == expected
        eventually("%d rows" % expected, look)

    def numbers(self):
        return sorted(n for (n,) in self.target.query("SELECT n FROM numbers"))

    @contextlib.contextmanager
    def locked(self):
        """Nobody else writes into the SQLite file meanwhile."""
        holder = sqlite3.connect(self.target.path, timeout=60, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            holder.execute("ROLLBACK")
            holder.close()


@pytest.fixture
def lines(tmp_path):
    return Lines(tmp_path, SqliteTarget(tmp_path / "out.db"))


@pytest.fixture
def status(weir, lines):
    def ask():
        asked = weir("status", lines.path, "--json")
        assert asked.code == 0, asked
        return asked.json
    return ask


def node(answer, name):
    return next(one for one in answer["nodes"] if one["name"] == name)


def blocked(status, lines):
    """True when the sink has taken something that it cannot store."""
    one = node(status(), "out")
    return one["lag_s"] > 0 and one["state"] != "idle" and one


# ---- deaths

def waiting_backends(database):
    """Sessions that wait for the lock on the table itself, with a batch in their hands."""
    return {pid for (pid,) in database.query("SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'numbers'::regclass")}


def test_a_record_that_kills_three_workers_becomes_a_dead_letter(start, tmp_path, database):
    """The death is ours (a signal at the moment the sink has the record in hand); what follows is the supervisor's."""
    lines = Lines(tmp_path, database)
    lines.feed([1])
    running = start(lines.path)
    lines.wait_for(1, running)
    holder = database.server.connect(database.database)
    holder.autocommit = False
    holder.cursor().execute("LOCK TABLE numbers IN EXCLUSIVE MODE")
    lines.feed([2, 3, 4])
    seen = set()

    def new_waiter():
        assert running.alive, running.result()
        return waiting_backends(database) - seen
    for death in range(3):
        seen |= eventually("a sink stands before the lock", new_waiter)
        sinker = running.worker("sinker")
        os.kill(sinker.pid, signal.SIGABRT)
        eventually("the death is told", lambda: sum("cause=SIGABRT" in line for line in running.err.splitlines()) == death + 1)
    told = [line for line in running.err.splitlines() if "cause=SIGABRT" in line]
    assert "record by record" not in told[0] and "record by record" in told[1] and "setting aside" in told[2], told
    eventually("the successor stands before the lock", new_waiter)
    holder.rollback()
    holder.close()
    lines.wait_for(3, running)
    assert lines.numbers() == [1, 3, 4]
    assert count(database, "weir_dead") == 1
    assert running.stop().code == 0
    assert lines.numbers() == [1, 3, 4]


def test_any_number_of_kills_sets_nothing_aside(start, lines):
    lines.feed([1])
    running = start(lines.path)
    lines.wait_for(1, running)
    for n in range(6):
        os.kill(running.worker("transformer").pid, signal.SIGKILL)
        lines.feed([n + 2])
        lines.wait_for(n + 2, running)
    assert lines.numbers() == list(range(1, 8))
    assert "setting aside" not in running.err and "record by record" not in running.err
    assert running.stop().code == 0


def test_a_worker_that_hangs_is_killed_and_replaced(start, lines, status):
    """A stopped process is as good a hang as any: its deadline passes. Its neighbours wait meanwhile, and are left alone."""
    lines.feed(range(200000))
    running = start(lines.path)

    def stopped_at_work():
        # Only a worker at work has a deadline; one that waits cannot hang.
        victim = running.worker("transformer")
        os.kill(victim.pid, signal.SIGSTOP)
        if node(status(), "doubled")["state"] == "running":
            return victim
        os.kill(victim.pid, signal.SIGCONT)
        lines.feed(range(1000))
        return None
    victim = eventually("the transformer was stopped at work", stopped_at_work)
    eventually("it was replaced", lambda: running.worker("transformer").pid != victim.pid)
    hung = [line for line in running.err.splitlines() if "hang" in line and str(victim.pid) in line]
    assert hung and "doubled" in hung[0]
    assert sum("worker died" in line for line in running.err.splitlines()) == 1
    expected = sum(1 for path in (lines.folder / "in").iterdir() for _ in open(path))
    lines.wait_for(expected, running)
    assert running.stop().code == 0


def test_a_thawed_instance_kills_nobody(start, lines):
    lines.feed(range(1000))
    running = start(lines.path)
    lines.wait_for(1000, running)
    before = {worker.pid for worker in running.workers()}
    running.freeze()
    eventually("it stands still", lambda: open("/proc/%d/stat" % running.pid).read().rsplit(")", 1)[1].split()[0] == "T")
    running.freeze(signal.SIGCONT)
    lines.feed(range(1000, 1100))
    lines.wait_for(1100, running)
    assert {worker.pid for worker in running.workers()} == before
    assert running.stop().code == 0


def test_deaths_cost_no_descriptors(start, lines):
    lines.feed([0])
    running = start(lines.path)
    lines.wait_for(1, running)

    def descriptors():
        return len(os.listdir("/proc/%d/fd" % running.pid))
    before = descriptors()
    for n in range(1, 16):
        os.kill(running.worker(["producer", "transformer", "sinker"][n % 3]).pid, signal.SIGKILL)
        lines.feed([n])
        lines.wait_for(n + 1, running)
    eventually("as many as before", lambda: descriptors() == before)
    assert running.stop().code == 0


def test_a_worker_has_only_what_it_was_given(start, lines):
    """What the caller left open does not reach a worker."""
    lines.feed([1])
    secret = lines.folder / "secret"
    secret.write_text("x")
    with open(secret) as held:
        os.set_inheritable(held.fileno(), True)
        process = subprocess.Popen([instance.weir_program(), "run", str(lines.path)], cwd=lines.folder, close_fds=False,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        lines.wait_for(1)
        workers = [worker for worker in map(instance.worker_of, instance.children(process.pid)) if worker]
        assert len(workers) == 3
        for worker in workers:
            opened = [os.readlink("/proc/%d/fd/%s" % (worker.pid, fd)) for fd in os.listdir("/proc/%d/fd" % worker.pid)]
            assert not any(name.endswith("/secret") for name in opened)
            assert any(name.endswith("/lock") for name in opened)
    finally:
        process.terminate()
        assert process.wait(NEVER) == 0


def test_one_failed_lane_lets_the_others_store_what_they_have(start, lines):
    """A truncated file needs a decision; what the other partition has read is stored, and the reason is repeated at the end."""
    lines.write(lanes=2)
    lines.feed(range(100), name="a")
    lines.feed(range(1000, 1100), name="b")
    running = start(lines.path)
    lines.wait_for(200, running)
    lines.feed(range(1100, 3000), name="b")
    with open(lines.folder / "in" / "a.ndjson", "r+b") as file:
        file.truncate(0)
        file.write(b'{"n": -1}\n')
    ended = running.wait()
    assert ended.code == 1, ended
    block = ended.err.rsplit("weir has stopped", 1)
    assert len(block) == 2 and "lines" in block[1] and "weir positions" in block[1], ended
    found = lines.numbers()
    assert -1 not in found and len(found) == len(set(found))
    # b is read without a gap, as far as it was read.
    b = [n for n in found if n >= 1000]
    assert b == list(range(1000, 1000 + len(b)))


# ---- the end

def test_the_second_signal_ends_it_at_once(start, lines, status):
    lines.feed([1])
    running = start(lines.path)
    lines.wait_for(1, running)
    with lines.locked():
        lines.feed(range(2, 50))
        eventually("the sink is stuck", lambda: blocked(status, lines))
        workers = running.workers()
        running.process.send_signal(signal.SIGTERM)
        eventually("it drains", lambda: "msg=stopping" in running.err)
        assert running.alive
        running.process.send_signal(signal.SIGINT)
        ended = running.wait()
    assert ended.code == 1, ended
    assert "at once" in ended.err
    assert not any(instance.worker_of(worker.pid) == worker for worker in workers)
    running = start(lines.path)
    lines.wait_for(49, running)
    assert running.stop().code == 0
    assert lines.numbers() == list(range(1, 50))


def test_a_drain_that_does_not_end_is_cut_and_told(start, lines, status):
    lines.write(drain="300ms")
    lines.feed([1])
    running = start(lines.path)
    lines.wait_for(1, running)
    with lines.locked():
        lines.feed(range(2, 50))
        eventually("the sink is stuck", lambda: blocked(status, lines))
        ended = running.stop()
    assert ended.code == 1, ended
    assert "not everything could be stored" in ended.err
    assert re.search(r'msg="not stored in time" worker=out/0 .*source=lines partitions=1 next="the source gives it again', ended.err), ended
    running = start(lines.path)
    lines.wait_for(49, running)
    assert running.stop().code == 0
    assert lines.numbers() == list(range(1, 50))


def test_a_stop_does_not_wait_for_nothing(start, weir, server, database, tmp_path):
    """The target is down, but all that was read is stored: there is nothing to wait for, and nothing has failed."""
    (tmp_path / "pipeline.yaml").write_text(PIPELINE.replace("in/*.ndjson", "a.ndjson") % {"lanes": 1, "drain": "1h", "url": database.url})
    (tmp_path / "a.ndjson").write_text('{"n": 1}\n{"n": 2}\n')
    running = start("pipeline.yaml")
    eventually("2 rows", lambda: count(database, "numbers") == 2)
    server.stop_immediate()
    try:
        eventually("the outage is told", lambda: "the target does not answer" in running.err)
        asked = weir("stop", "pipeline.yaml")
    finally:
        server.start()
    ended = running.wait()
    assert asked.code == 0 and ended.code == 0, ended
    assert "everything is stored" in ended.err and "msg=stopped" in ended.err


def test_a_stop_says_what_it_waits_for(start, weir, server, database, tmp_path):
    (tmp_path / "pipeline.yaml").write_text(PIPELINE.replace("in/*.ndjson", "a.ndjson") % {"lanes": 1, "drain": "1h", "url": database.url})
    (tmp_path / "a.ndjson").write_text('{"n": 1}\n')
    running = start("pipeline.yaml")
    eventually("a row", lambda: count(database, "numbers") == 1)
    server.stop_immediate()
    asked = []
    asking = threading.Thread(target=lambda: asked.append(weir("stop", "pipeline.yaml")))
    try:
        with open(tmp_path / "a.ndjson", "a") as file:
            file.write('{"n": 2}\n')
        eventually("the outage is told", lambda: "the target does not answer" in running.err)
        asking.start()
        eventually("it says what it waits for", lambda: running.err.count('msg="waiting for what is not stored yet" worker=out/0') >= 3)
    finally:
        server.start()
    ended = running.wait()
    asking.join()
    assert ended.code == 0 and "partitions=1" in ended.err and asked[0].code == 0, ended
    assert "weir stop: out is waiting: waiting for the target" in asked[0].err, asked
    assert database.query("SELECT n FROM numbers ORDER BY n") == [(1,), (2,)]


def test_a_worker_that_dies_in_the_drain_is_replaced(start, lines, status):
    lines.feed([1])
    running = start(lines.path)
    lines.wait_for(1, running)
    with lines.locked():
        lines.feed(range(2, 50))
        eventually("the sink is stuck", lambda: blocked(status, lines))
        running.process.send_signal(signal.SIGTERM)
        eventually("it drains", lambda: "msg=stopping" in running.err)
        os.kill(running.worker("sinker").pid, signal.SIGKILL)
        eventually("it is replaced", lambda: [worker for worker in running.workers("sinker") if worker.generation == 1])
    ended = running.wait()
    assert ended.code == 0, ended
    assert lines.numbers() == list(range(1, 50))


def test_stop_returns_when_the_instance_is_gone(start, weir, lines):
    lines.feed(range(100))
    running = start(lines.path)
    lines.wait_for(100, running)
    workers = running.workers()
    assert weir("stop", lines.path).code == 0
    assert not any(instance.worker_of(worker.pid) == worker for worker in workers)
    assert running.wait().code == 0
    assert weir("status", lines.path).code == 3


# ---- reload

def test_reload_keeps_the_process_and_the_lock(start, weir, lines):
    lines.feed([1])
    running = start(lines.path)
    lines.wait_for(1, running)
    lines.write(text=PIPELINE.replace("n * 2", "n * 3"))
    asked = weir("reload", lines.path)
    assert asked.code == 0, asked
    second = weir("run", lines.path, "--once")  # whatever moment this is, the folder is taken
    assert second.code == 3 and str(running.pid) in second.err, second
    lines.feed([2])
    lines.wait_for(2, running)
    assert sorted(lines.target.query("SELECT n, twice FROM numbers")) == [(1, 2), (2, 6)]
    assert running.alive and "starting again" in running.err
    assert running.stop().code == 0


def test_a_bad_file_is_told_to_who_asked(start, weir, lines):
    lines.feed([1])
    running = start(lines.path)
    lines.wait_for(1, running)
    before = {worker.pid for worker in running.workers()}
    lines.write(text=PIPELINE.replace("transforms:", "tranforms:"))
    asked = weir("reload", "--state", lines.folder / ".weir" / "lines")
    assert asked.code == 1, asked
    assert "tranforms" in asked.err and "pipeline.yaml:" in asked.err
    lines.feed([2])
    lines.wait_for(2, running)
    assert {worker.pid for worker in running.workers()} == before
    assert running.stop().code == 0


def test_a_signal_in_the_drain_of_a_reload_stops_it(start, lines, status):
    lines.feed([1])
    running = start(lines.path)
    lines.wait_for(1, running)
    with lines.locked():
        lines.feed([2, 3])
        eventually("the sink is stuck", lambda: blocked(status, lines))
        running.process.send_signal(signal.SIGHUP)
        eventually("it drains for the reload", lambda: "reload: the file is good" in running.err)
        running.process.send_signal(signal.SIGTERM)
        eventually("it stops instead", lambda: "instead of starting again" in running.err)
    ended = running.wait()
    assert ended.code == 0, ended
    assert lines.numbers() == [1, 2, 3]


def test_many_wishes_at_once_are_one_reload(start, lines):
    lines.feed([1])
    running = start(lines.path)
    lines.wait_for(1, running)
    for _ in range(20):
        running.process.send_signal(signal.SIGHUP)
    eventually("it started again", lambda: running.err.count("msg=started") >= 2)
    lines.feed([2])
    lines.wait_for(2, running)
    assert running.stop().code == 0
    assert lines.numbers() == [1, 2]


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
