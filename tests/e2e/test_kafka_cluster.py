"""A cluster of three real brokers, of which one dies at a time while records flow: others take over what it led, and weir goes on by itself.

An independent client writes numbered records and reads the copies, in SQLite and in another topic: each is there once, in the order of its
partition.
"""
import json
import os
import signal
import time

import pytest

from support.targets import count
from support.waiting import eventually

PIPE = """
pipeline: %(topic)s
kafka: {brokers: "%(servers)s"}
topics:
  input: {topic: %(topic)s, metadata: [_partition, _offset], %(settings)s}
  output: {from: kept, topic: %(copy)s, key: p, rows: 300}
transforms:
  kept: {sql: "SELECT n, _partition AS p, _offset AS o FROM input", columns: {n: bigint, p: int, o: bigint}}
sinks:
  table: {from: kept, type: table, url: "%(url)s", table: out}
"""


class Flow:
    """A pipeline from a topic through SQL into SQLite and into another topic."""

    def __init__(self, cluster, target, pipeline, settings):
        self.cluster, self.target = cluster, target
        self.topic, self.copy = cluster.create_topic(partitions=4), cluster.create_topic(partitions=3)
        self.file = pipeline(PIPE % {"topic": self.topic, "copy": self.copy, "servers": cluster.servers, "settings": settings, "url": target.url})
        self.counter = cluster.counter(self.copy, patience=1)

    def produce(self, numbers):
        self.cluster.produce(self.topic, [("k%d" % n, json.dumps({"n": n})) for n in numbers])

    def stored(self):
        """How many records are in both."""
        return min(count(self.target, "out"), self.counter.count())

    def wait(self, running, wanted):
        def look():
            assert running.alive, running.result()
            return count(self.target, "out") >= wanted and self.counter.count() >= wanted
        eventually("%d records are in the table and in the topic" % wanted, look, pause=0.1)

    def goes_on_without(self, node, running):
        """A broker is killed: weir goes on, and it still does when that one is back."""
        stored = self.stored()
        with self.cluster.without(node):
            self.wait(running, stored + 200)
        self.wait(running, self.stored() + 100)

    def transactional_id(self):
        """As weir records it before its first record; None before that."""
        found = [json.loads(record.key) for record in self.cluster.read("weir_positions")]
        return next((key["id"] for key in found if key["kind"] == "writer" and key["pipeline"] == self.topic), None)

    def check(self, sent):
        """All numbers are there once; each partition is in order, in the table and within the one partition of the copy that it goes to."""
        assert sorted(json.loads(record.value)["n"] for record in self.cluster.read(self.topic)) == list(range(sent))
        self.cluster.check_copy(self.topic, self.target.query("SELECT p, o, n FROM out ORDER BY rowid"))
        self.cluster.check_copy(self.topic, [tuple(json.loads(record.value)[name] for name in "pon") for record in self.cluster.read(self.copy)])


@pytest.fixture
def flow(cluster, sqlite_target, pipeline):
    return lambda settings="lanes: 1": Flow(cluster, sqlite_target, pipeline, settings)


def end(flow, running, load, weir):
    sent = load.end()
    flow.wait(running, sent)
    stopped = running.stop()
    assert stopped.code == 0, stopped
    flow.check(sent)
    assert weir("dlq", "list", flow.file, "--json").json == []


def test_leaders_and_the_coordinator_of_transactions_die(start, weir, cluster, flow):
    one = flow()
    running = start(one.file)
    name = eventually("weir tells its transactional id", one.transactional_id)
    load = cluster.load(one.topic, each=25, pause=0.05)
    one.wait(running, 100)
    one.goes_on_without(cluster.leader(one.topic, 0), running)
    one.goes_on_without(cluster.coordinator("transaction", name), running)
    end(one, running, load, weir)


def test_the_coordinator_of_the_group_dies(start, weir, cluster, flow):
    one = flow("assign: group, lanes: 2")
    load = cluster.load(one.topic, each=25, pause=0.05)
    running = start(one.file)
    one.wait(running, 100)
    one.goes_on_without(cluster.coordinator("group", "weir-%s-input" % one.topic), running)
    end(one, running, load, weir)


def test_positions_wait_for_records_that_the_brokers_do_not_take(start, cluster, pipeline):
    """Without transactions a position follows its records. They are refused while one of three replicas is away; positions are not."""
    topic, copy = cluster.create_topic(), cluster.create_topic(config={"min.insync.replicas": "3"})
    file = pipeline(PIPE % {"topic": topic, "copy": copy, "servers": cluster.servers, "settings": "lanes: 1", "url": ""})
    text = file.read_text()
    file.write_text(text[:text.index("sinks:")].replace("rows: 300", "rows: 300, delivery: at_least_once"))
    running = start(file)

    def produce(numbers):
        cluster.produce(topic, [json.dumps({"n": n}) for n in numbers])

    def found():
        return [json.loads(record.value)["n"] for record in cluster.read(copy)]
    produce(range(100))
    eventually("the first are copied", lambda: len(found()) >= 100, pause=0.1)
    with cluster.without(3):
        produce(range(100, 1000))
        for _ in range(3):
            pid = running.worker("sinker").pid
            time.sleep(2)  # time to say what is not true
            os.kill(pid, signal.SIGKILL)
            eventually("it is gone", lambda: pid not in {worker.pid for worker in running.workers("sinker")})
    eventually("all are copied", lambda: set(found()) >= set(range(1000)), pause=0.1)
    assert running.stop().code == 0


def once(start, file):
    result = start(file, "--once").wait()
    assert result.code == 0, result


def test_one_broker_is_away_from_the_start(start, cluster, flow):
    """The first of the list, and leader of a partition: it is asked first, and others have to take its place."""
    one = flow()
    first = next(iter(cluster.brokers))
    assert first in {cluster.leader(one.topic, number) for number in range(4)}
    one.produce(range(5000))
    with cluster.without(first):
        once(start, one.file)
        one.check(5000)
    one.produce(range(5000, 6000))
    once(start, one.file)
    one.check(6000)
