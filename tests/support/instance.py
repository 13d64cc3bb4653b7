"""weir seen from outside: started, watched through /proc, killed, and its answers read.

Workers are found by the environment that the supervisor gives them at exec (WEIR_WORKER=role/node, WEIR_GENERATION), so the harness does
not depend on what weir says about itself.
"""
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections import namedtuple

from support.waiting import NEVER, dying_with_the_test, eventually

Worker = namedtuple("Worker", "pid role node generation")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def weir_program():
    return os.path.abspath(os.environ.get("WEIR") or os.path.join(ROOT, "weir"))


def environment(more):
    """Ours, without any variable that a pipeline of the tests would read by accident."""
    clean = {name: value for name, value in os.environ.items()
             if not name.startswith(("EONET_", "USERS_", "WEIR_")) and name not in ("WEIR", "DATABASE_URL", "KAFKA_BROKERS")}
    clean.update(more or {})
    return clean


def children(pid):
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def state_of(pid):
    """The letter of /proc for what process `pid` does, or None: gone, as any process may be between a listing and a look."""
    try:
        with open("/proc/%d/stat" % pid) as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def worker_of(pid):
    """The worker that process `pid` is, or None: gone, or not past its exec yet."""
    try:
        with open("/proc/%d/environ" % pid, "rb") as file:
            words = dict(word.split(b"=", 1) for word in file.read().split(b"\0") if b"=" in word)
    except OSError:
        return None
    if state_of(pid) in (None, "Z") or b"WEIR_WORKER" not in words:
        return None
    role, _, node = words[b"WEIR_WORKER"].decode().partition("/")
    return Worker(pid, role, node, int(words.get(b"WEIR_GENERATION", b"0")))


class Result:
    """What a finished command gave."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return "exit %s\n--- out\n%s\n--- err\n%s" % (self.code, self.out[-6000:], self.err[-12000:])

    @property
    def json(self):
        return json.loads(self.out)


def weir(*arguments, cwd, env=None, timeout=NEVER, program=None):
    """Runs one command to its end."""
    done = subprocess.run([program or weir_program(), *map(str, arguments)], cwd=str(cwd), env=environment(env), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout, errors="replace", text=True)
    return Result(done.returncode, done.stdout, done.stderr)


class Instance:
    """`weir run` in the background, in a session of its own; `through` is a command that becomes weir, as `ip netns exec` does;
    `keep` is a file that takes what it has told when it is closed."""

    def __init__(self, *arguments, cwd, env=None, program=None, through=(), keep=None):
        self.cwd, self.keep = str(cwd), keep
        self.err_file = tempfile.NamedTemporaryFile(prefix="weir-err-", suffix=".log", delete=False)
        self.out_file = tempfile.NamedTemporaryFile(prefix="weir-out-", suffix=".log", delete=False)
        command = dying_with_the_test([*through, program or weir_program(), "run", *map(str, arguments)])
        self.process = subprocess.Popen(command, cwd=self.cwd, env=environment(env),
                                        stdin=subprocess.DEVNULL, stdout=self.out_file, stderr=self.err_file, start_new_session=True)
        self.pid = self.process.pid

    @property
    def err(self):
        with open(self.err_file.name, errors="replace") as file:
            return file.read()

    @property
    def out(self):
        with open(self.out_file.name, errors="replace") as file:
            return file.read()

    @property
    def alive(self):
        return self.process.poll() is None

    def workers(self, role=None, node=None):
        found = [worker for worker in map(worker_of, children(self.pid)) if worker]
        return [worker for worker in found if role in (None, worker.role) and node in (None, worker.node)]

    def worker(self, role, node=None):
        """A living worker of that role; waits until there is one."""
        def look():
            if not self.alive:
                raise AssertionError("weir ended while a %s was looked for: %r" % (role, self.result()))
            return self.workers(role, node)
        return eventually("a %s lives" % role, look)[0]

    def result(self):
        return Result(self.process.poll(), self.out, self.err)

    def wait(self, timeout=NEVER):
        try:
            self.process.wait(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError("weir did not end within %d s: %r" % (timeout, self.result())) from None
        return self.result()

    def stop(self, timeout=NEVER):
        """SIGTERM, then waits for the orderly end."""
        if self.alive:
            self.process.send_signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill_tree(self):
        """SIGKILL to every process of the instance at once, as a power cut would do it."""
        if self.alive:
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(timeout=NEVER)

    def freeze(self, how=signal.SIGSTOP):
        os.killpg(self.pid, how)

    def close(self):
        if self.alive:
            try:
                os.killpg(self.pid, signal.SIGCONT)
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()
        if self.keep and os.path.exists(self.err_file.name):
            shutil.copy(self.err_file.name, self.keep)
        for file in (self.err_file, self.out_file):
            file.close()
            if os.path.exists(file.name):
                os.unlink(file.name)
