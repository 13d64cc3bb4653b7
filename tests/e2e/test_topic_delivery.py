"""Deliveries into topics, and out of them, while the worker that writes is killed and the broker goes away: without transactions nothing is lost,
with them each record is there once, also where several nodes meet in one topic and where one topic goes into two targets.

An independent client writes numbered records while all this happens, and reads the copies.
"""
import collections
import json
import os
import random
import signal

import pytest

from support.targets import count
from support.waiting import eventually


def kill(running, *where):
    """A sinker dies; who was the one killed before, seen before it was reaped, dies no second time."""
    try:
        os.kill(running.worker("sinker", *where).pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def wait_for(what, running, question):
    def look():
        assert running.alive, running.result()
        return question()
    eventually(what, look, pause=0.1)


def values(kafka, topic):
    return [json.loads(record.value) for record in kafka.read(topic)]


AT_LEAST_ONCE = """
pipeline: %(topic)s
kafka: {brokers: "%(servers)s"}
topics:
  input: {topic: %(topic)s, lanes: 1}
  output: {from: kept, topic: %(copy)s, key: p, delivery: at_least_once, rows: 200, commit_every: 5ms}
transforms:
  kept: {sql: "SELECT n, _partition AS p, _offset AS o FROM input", columns: {n: bigint, p: int, o: bigint}}
"""


@pytest.mark.parametrize("how", ["sinker", "broker"])
def test_at_least_once_loses_nothing(start, kafka, pipeline, how):
    """What was repeated is there twice, but nothing is missing, and the first copies of each partition have its order."""
    topic, copy = kafka.create_topic(partitions=3), kafka.create_topic(partitions=3)
    running = start(pipeline(AT_LEAST_ONCE % {"topic": topic, "copy": copy, "servers": kafka.servers}))
    load, counter, chance = kafka.load(topic), kafka.counter(copy), random.Random(8)

    def more():
        wanted = counter.count() + 100 + chance.randrange(400)
        wait_for("%d records are copied" % wanted, running, lambda: counter.count() >= wanted)
    more()
    for _ in range(12 if how == "sinker" else 2):
        if how == "sinker":
            kill(running)
        else:
            kafka.kill()
            kafka.start()
        more()
    sent = load.end()
    # Copies count as often as they were made: what is looked for is that each number is there.
    wait_for("all are copied", running, lambda: counter.count() >= sent and len({value["n"] for value in values(kafka, copy)}) == sent)
    assert running.stop().code == 0
    first = list(dict.fromkeys((value["p"], value["o"], value["n"]) for value in values(kafka, copy)))
    kafka.check_copy(topic, first)


SEVERAL = """
pipeline: %(name)s
kafka: {brokers: "%(servers)s"}
topics:
  left: {topic: %(left)s, lanes: 1}
  right: {topic: %(right)s, lanes: 1}
  both: {from: [a, b], topic: %(both)s, key: n, rows: 300, lanes: 1}
transforms:
  a: {sql: "SELECT 'left' AS side, n, _partition AS p, _offset AS o FROM left", columns: {side: text, n: bigint, p: int, o: bigint}}
  b: {sql: "SELECT 'right' AS side, n, _partition AS p, _offset AS o FROM right", columns: {side: text, n: bigint, p: int, o: bigint}}
sinks:
  table: {from: both, type: table, url: "%(url)s", table: out, commit_every: 10ms}
  again: {from: both, type: table, url: "%(other)s", table: out, commit_every: 10ms}
"""


@pytest.mark.parametrize("victim", ["both", "table"])
def test_two_nodes_meet_in_a_topic_that_goes_into_two_targets(start, kafka, pipeline, sqlite_target, database, victim):
    """Whoever dies, each record of both is once in the topic, once in SQLite and once in PostgreSQL."""
    left, right, both = [kafka.create_topic(partitions=partitions) for partitions in (2, 3, 2)]
    targets = (sqlite_target, database)
    running = start(pipeline(SEVERAL % {"name": both, "servers": kafka.servers, "left": left, "right": right, "both": both, "url": sqlite_target.url,
                                        "other": database.url}))
    loads = [kafka.load(topic) for topic in (left, right)]

    def stored(wanted):
        wait_for("%d rows in each target" % wanted, running, lambda: all(count(target, "out") >= wanted for target in targets))
    for n in range(4):
        stored(min(count(target, "out") for target in targets) + 300)
        kill(running, victim)
    stored(sum(load.end() for load in loads))
    assert running.stop().code == 0
    copies = [[tuple(value[name] for name in ("side", "p", "o", "n")) for value in values(kafka, both)]]
    copies += [[tuple(row) for row in target.query("SELECT side, p, o, n FROM out")] for target in targets]
    for copy in copies:
        for side, topic in (("left", left), ("right", right)):
            kafka.check_copy(topic, sorted(row[1:] for row in copy if row[0] == side))
    assert collections.Counter(copies[0]) == collections.Counter(copies[1]) == collections.Counter(copies[2])
