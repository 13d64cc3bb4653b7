"""Rights at the brokers: one that is missing is named, nothing is lost for want of it, and once it is granted every record is there once.

At the start a missing right may end weir (exit 1); later it is waited for. Both are right; silence, or dead letters, are not.
"""
import json

import pytest

from support.targets import count
from support.waiting import eventually

PIPE = """
pipeline: %(topic)s
kafka: {brokers: "%(servers)s", sasl: {mechanism: PLAIN, user: pat, password: pat}}
topics:
  input: {topic: %(topic)s, group: %(topic)s-group, %(settings)s}
  output: {from: input, topic: %(copy)s}
sinks:
  table: {from: input, type: table, url: "%(url)s", table: out, columns: {n: bigint}}
"""


class Guarded:
    """A pipeline from a topic into SQLite and into another topic, and what its user needs for that; `missing` are the words that name what
    the right is about."""

    def __init__(self, kafka, servers, target, pipeline, settings):
        self.kafka, self.target, self.sent = kafka, target, 0
        self.topic, self.copy = kafka.create_topic(), kafka.create_topic()
        self.file = pipeline(PIPE % {"topic": self.topic, "copy": self.copy, "servers": servers, "settings": settings, "url": target.url})
        self.counter = kafka.counter(self.copy)
        self.rights = {
            "read the input": (self.topic, [("topic", self.topic, "read")]),
            "write the output": (self.copy, [("topic", self.copy, "write")]),
            "use the transactional id": ("weir/%s/" % self.topic, [("transactional id", "weir/%s/*" % self.topic, "write")]),
            "use the group": (self.topic + "-group", [("group", self.topic + "-group", "read")]),
            "make weir_positions": ("weir_positions", [("cluster", "kafka-cluster", "create")]),
            "see all": (None, [("topic", self.topic, "describe"), ("topic", self.copy, "describe"), ("topic", self.copy, "describe configs")] +
                              [("topic", "weir_positions", operation) for operation in ("read", "write", "describe configs")]),
        }

    def grant(self, *names):
        for name in names:
            self.kafka.grant("pat", *self.rights[name][1])

    def revoke(self, name):
        self.kafka.revoke("pat", *self.rights[name][1])

    def grant_all_but(self, missing):
        self.grant(*[name for name in self.rights if name != missing])

    def feed(self, records):
        self.kafka.produce(self.topic, [json.dumps({"n": n}) for n in range(self.sent, self.sent + records)])
        self.sent += records

    def stored(self):
        return min(count(self.target, "out"), self.counter.count())


    def check(self):
        assert sorted(n for (n,) in self.target.query("SELECT n FROM out")) == list(range(self.sent))
        assert sorted(json.loads(record.value)["n"] for record in self.kafka.read(self.copy)) == list(range(self.sent))


@pytest.fixture
def guarded(kafka_guarded, sqlite_target, pipeline):
    """guarded(missing) is a pipeline whose user has all rights but that one; they are gone at the end, as other tests share the user."""
    kafka, servers = kafka_guarded
    made = []

    def make(missing=None, settings="lanes: 1"):
        made.append(Guarded(kafka, servers, sqlite_target, pipeline, settings))
        made[-1].grant_all_but(missing)
        return made[-1]
    yield make
    for one in made:
        for name in one.rights:
            one.revoke(name)


def refusals(running, since=0):
    """What weir itself says of refusals. The library's own lines do not count: not all of them are shown, and none in `weir status`."""
    return [line for line in running.err[since:].splitlines() if "uthorization failed" in line and "msg=librdkafka" not in line]


def said(one, running, missing, since=0):
    """Waits until weir has said what it may not do, and at what."""
    found = eventually("weir says that it may not", lambda: refusals(running, since))
    assert one.rights[missing][0] in found[0], running.result()


def end(one, running, start, weir):
    """Goes on, or is started again where it has ended, until all is stored."""
    def look():
        return one.stored() >= one.sent or not running.alive
    eventually("all is stored, or weir has ended", look)
    if not running.alive:
        assert running.wait().code == 1, running.result()
        running = start(one.file)
        eventually("all is stored", look)
    stopped = running.stop()
    assert stopped.code == 0, stopped
    one.check()
    assert weir("dlq", "list", one.file, "--json").json == []


STATIC = ["read the input", "write the output", "use the transactional id", "make weir_positions"]


@pytest.mark.parametrize("missing", STATIC + ["use the group"])
def test_a_right_that_is_missing_at_the_start(start, weir, guarded, missing):
    one = guarded(missing, "assign: group" if missing == "use the group" else "lanes: 1")
    if missing == "make weir_positions" and "weir_positions" in one.kafka.topics():
        one.kafka.delete_topic("weir_positions")
    one.feed(100)
    running = start(one.file)
    said(one, running, missing)
    assert one.stored() == 0
    one.grant(missing)
    end(one, running, start, weir)


@pytest.mark.parametrize("missing", STATIC[:3])
def test_a_right_that_is_taken_while_it_runs(start, weir, guarded, missing):
    one = guarded()
    one.feed(100)
    running = start(one.file)
    eventually("it works", lambda: one.stored() >= 100)
    since = len(running.err)
    one.revoke(missing)
    one.feed(100)
    said(one, running, missing, since)
    one.feed(100)
    one.grant(missing)
    end(one, running, start, weir)
