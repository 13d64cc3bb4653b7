"""The end and the reload from outside: drains that do not end, second signals, files that are wrong."""
import os
import re
import signal
import threading

from support import instance
from support.lines import PIPELINE, blocked
from support.targets import count
from support.waiting import eventually


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
