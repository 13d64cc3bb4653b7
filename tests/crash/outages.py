#!/usr/bin/python3
"""Outages and losses of what weir stands on, each with numbered inputs and a count of the target.

    tests/crash/outages.py                  all of them
    tests/crash/outages.py --only zombie    one
    tests/crash/outages.py --list

Every scenario ends right, or with an error that spells out the choices (`weir positions`) and changes nothing at the target.
"""
import os
import shutil
import signal
import sys
import time

from route import SINK, Failure
from scenarios import Scenarios, contents, expect_choices, once_and_audit
from support import targets
from support.waiting import eventually

SCENARIOS = Scenarios()


@SCENARIOS.on("file-postgres", "http-postgres")
def server_stops_at_once(route, dice, times):
    """(d) The database dies without a word, again and again, while rows flow."""
    route.follow = True
    route.feed(500)
    running = route.run()
    try:
        for _ in range(times):
            route.feed(500)
            time.sleep(dice.random() * 0.3)
            route.server.stop_immediate()
            route.feed(200)
            route.server.start()
        route.wait_for_all(running)
        route.finish(running.stop())
    finally:
        running.close()
    route.audit()


@SCENARIOS.on("file-postgres", "http-postgres", "topic-postgres")
def server_forgets_commits(route, dice, times):
    """(d) The database comes back without commits that it had acknowledged: the sink must rewind, not trust its memory."""
    route.follow = True
    route.feed(500)
    running = route.run()
    try:
        route.wait_for_all(running)
        route.server.stop_immediate()
        route.server.save("old")
        route.server.start()
        route.feed(700)
        route.wait_for_all(running)
        forgotten = targets.count(route.target, "rows_out")
        route.server.stop_immediate()
        route.server.restore("old")
        route.server.start()
        if targets.count(route.target, "rows_out") >= forgotten:
            raise Failure("the test itself: nothing was forgotten")
        route.feed(300)
        route.wait_for_all(running)
        route.finish(running.stop())
    finally:
        running.close()
    route.audit()


def copy_is_open(target):
    """True when a session of weir stands in the middle of a transaction that has taken rows."""
    return target.query("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
                        "AND query ILIKE 'COPY%%rows_out%%' AND state = 'active'")[0][0] > 0


def freeze_in_copy(route, running, dice):
    """Stops the instance at a moment at which its COPY is open."""
    for _ in range(3000):
        time.sleep(dice.random() * 0.01)
        running.freeze()
        time.sleep(0.02)
        if copy_is_open(route.target):
            return
        running.freeze(signal.SIGCONT)
        if not running.alive:
            raise Failure("weir ended: %r" % running.result())
        route.feed(200)
    raise Failure("the test itself: no open COPY was met")


@SCENARIOS.on("file-postgres", "topic-postgres")
def zombie(route, dice, times):
    """(e) An instance freezes with an open COPY, another takes over with a state folder of its own, then the first one thaws."""
    route.follow, route.commit = True, "200ms"
    route.feed(2000)
    first = route.run()
    second = None
    try:
        eventually("the first instance works", lambda: targets.count(route.target, "rows_out") > 0)
        freeze_in_copy(route, first, dice)
        route.feed(2000)
        second = route.run("--take-over", state=os.path.join(route.folder, "state-of-the-second"))
        route.wait_for_all(second)
        route.feed(500)
        first.freeze(signal.SIGCONT)
        route.feed(500)
        route.wait_for_all(second)
        ended = first.wait()
        if ended.code != 1:
            raise Failure("the fenced instance should end with 1: %r" % ended)
        route.finish(second.stop())
    finally:
        first.close()
        if second:
            second.close()
    route.audit()


@SCENARIOS.on("file-sqlite", "file-postgres", "file-topic", "topic-postgres")
def zombie_at_rest(route, dice, times):
    """(e) The same, frozen between two commits: nothing is locked, and only the fence stops the first one when it wakes up with work to do."""
    route.follow = True
    route.feed(500)
    first = route.run()
    second = None
    try:
        route.wait_for_all(first)
        time.sleep(0.2)
        first.freeze()
        route.feed(1000)
        second = route.run("--take-over", state=os.path.join(route.folder, "state-of-the-second"))
        route.wait_for_all(second)
        first.freeze(signal.SIGCONT)
        ended = first.wait()
        if ended.code != 1:
            raise Failure("the fenced instance should end with 1: %r" % ended)
        route.feed(100)
        route.wait_for_all(second)
        route.finish(second.stop())
    finally:
        first.close()
        if second:
            second.close()
    route.audit()


@SCENARIOS.on("http-postgres")
def two_speeds(route, dice, times):
    """(f) Two sinks on one journal, one of them stuck: the journal keeps what the slow one lacks, over a death of the whole instance."""
    fast = targets.SqliteTarget(os.path.join(route.folder, "fast.db"))
    route.follow, route.emit, route.keep = True, "all", "0s"
    route.sinks = [{"name": SINK, "url": route.target.url, "table": "rows_out"}, {"name": "fast", "url": fast.url, "table": "rows_out"}]
    route.site.etag = False
    route.feed(200)
    running = route.run()
    blocker = None
    try:
        route.wait_for_all(running)
        blocker = route.server.connect(route.target.database)
        blocker.autocommit = False
        blocker.cursor().execute("LOCK TABLE rows_out IN EXCLUSIVE MODE")
        route.feed(3000)
        eventually("the fast sink has all", lambda: targets.count(fast, "rows_out") >= route.ledger.rows)
        route.feed(20)  # further polls: each is an occasion to trim the journal too far
        eventually("the fast sink has all", lambda: targets.count(fast, "rows_out") >= route.ledger.rows)
        time.sleep(0.5)
        running.kill_tree()
        running.close()
        blocker.close()
        blocker = None
        running = route.run()
        route.wait_for_all(running)
        route.finish(running.stop())
    finally:
        running.close()
        if blocker:
            blocker.close()
    route.audit()
    # Dead letters belong to the first sink behind the stage; the other target holds rows only.
    wrong = {name: value for name, value in route.ledger.audit(fast).items() if name in ("lost", "doubled", "phantom") and value}
    if wrong:
        raise Failure("fast sink: %s" % wrong)


@SCENARIOS.on("http-sqlite", "http-postgres")
def journal_lost(route, dice, times):
    """(g) The state folder is gone, the target is not: a decision for a person."""
    route.feed(300)
    once_and_audit(route)
    before = contents(route.target)
    os.rename(route.state, route.state + ".lost")
    expect_choices(route, before)
    os.rename(route.state, route.state + ".refused")
    os.rename(route.state + ".lost", route.state)
    once_and_audit(route)


@SCENARIOS.on("http-sqlite", "http-postgres")
def journal_of_another(route, dice, times):
    """(g) A state folder that belongs to another target comes in place of ours: its positions are other records."""
    route.feed(300)
    once_and_audit(route)
    before, ours, state = contents(route.target), route.target, route.state
    os.rename(state, state + ".ours")
    route.target = route.new_target()
    route.feed(600)
    once_and_audit(route)
    route.target = ours
    expect_choices(route, before)


@SCENARIOS.on("trim-sqlite")
def journal_forgets_all(route, dice, times):
    """(f) A journal that was trimmed to nothing goes on counting where it was."""
    for _ in range(3):
        route.feed(300)
        once_and_audit(route)
        once_and_audit(route)  # nothing new: what every sink has is forgotten now


@SCENARIOS.on("file-sqlite", "file-postgres")
def start_is_kept(route, dice, times):
    """A start at `latest` is resolved once: what is appended while weir is down, before any row was stored, is not skipped."""
    route.follow, route.start = True, "latest"
    for part in ("a", "b"):
        with open(route.path(part), "w") as file:
            file.write('{"part": "%s", "n": 0, "keep": true, "items": [999999999], "text": "before the start"}\n' % part)
    running = route.run()
    try:
        eventually("the start is stored", lambda: targets.count(route.target, "weir_positions") == 2)
        running.kill_tree()
    finally:
        running.close()
    route.feed(200)
    running = route.run()
    try:
        route.wait_for_all(running)
        route.finish(running.stop())
    finally:
        running.close()
    route.audit()


@SCENARIOS.on("file-sqlite", "file-postgres")
def state_lost(route, dice, times):
    """(g) For files the positions are at the target alone: nothing is lost with the state folder."""
    route.feed(300)
    once_and_audit(route)
    shutil.rmtree(route.state)
    route.feed(100)
    route.finish(route.once(None, "--take-over"))
    route.audit()


@SCENARIOS.on("http-sqlite", "http-postgres")
def state_restored(route, dice, times):
    """(g) The state folder of an hour ago comes back: the target knows positions that this journal has not issued."""
    route.feed(300)
    once_and_audit(route)
    shutil.copytree(route.state, route.state + ".old")
    route.feed(300)
    once_and_audit(route)
    before = contents(route.target)
    shutil.rmtree(route.state)
    os.rename(route.state + ".old", route.state)
    expect_choices(route, before)


@SCENARIOS.on("file-sqlite", "file-postgres", "http-sqlite", "http-postgres")
def target_emptied(route, dice, times):
    """(g) An empty target is filled again: from the files, or from the journal."""
    route.feed(300)
    once_and_audit(route)
    route.target.empty()
    once_and_audit(route)


@SCENARIOS.on("file-sqlite", "file-postgres", "http-sqlite", "http-postgres")
def target_restored(route, dice, times):
    """(g) The target is put back to what it was an hour ago: rows and positions together, so what is missing comes again."""
    route.feed(300)
    once_and_audit(route)
    if route.target.kind == "sqlite":
        shutil.copy(route.target.path, route.target.path + ".old")
    else:
        route.server.stop()
        route.server.save("hour")
        route.server.start()
    route.feed(300)
    once_and_audit(route)
    if route.target.kind == "sqlite":
        route.target.empty()
        os.rename(route.target.path + ".old", route.target.path)
    else:
        route.server.stop()
        route.server.restore("hour")
        route.server.start()
    once_and_audit(route)


@SCENARIOS.on("file-sqlite", "file-postgres")
def file_truncated(route, dice, times):
    """(h) A file is emptied and grows past the old position with other lines: another history, never a jump into its middle."""
    route.feed(200)
    once_and_audit(route)
    before = contents(route.target)
    size = os.path.getsize(route.path("a"))
    with open(route.path("a"), "r+b") as file:
        file.truncate(0)
        while file.tell() < size + 5000:
            file.write(b'{"part": "a", "n": 1, "keep": true, "items": [99], "text": "another history"}\n')
    expect_choices(route, before)
    with open(route.path("a"), "r+b") as file:
        file.truncate(100)
    expect_choices(route, before)


@SCENARIOS.on("file-sqlite")
def file_truncated_while_running(route, dice, times):
    """(h) The same under an instance that follows the file."""
    route.follow = True
    route.feed(200)
    running = route.run()
    try:
        route.wait_for_all(running)
        before = contents(route.target)
        with open(route.path("a"), "r+b") as file:
            file.truncate(0)
            file.write(b'{"part": "a", "n": 1, "keep": true, "items": [99], "text": "another history"}\n' * 1000)
        ended = running.wait()
        if ended.code != 1 or "weir positions" not in ended.err:
            raise Failure("weir should have stopped and named `weir positions`: %r" % ended)
        if contents(route.target) != before:
            raise Failure("rows of another history were stored")
    finally:
        running.close()


if __name__ == "__main__":
    sys.exit(SCENARIOS.main(__doc__, sys.argv[1:]))
