"""The supervisor from outside: workers that die, hang or kill their records."""
import os
import signal
import subprocess

from support import instance
from support.lines import Lines, node
from support.targets import count
from support.waiting import NEVER, eventually


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
