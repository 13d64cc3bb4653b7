"""What a topic's settings say is what lies at the brokers: how messages are packed, by the bytes of the broker's own files; how an absent topic is
made; and that one that is there is never changed, but its differences are told.
"""
import json
import os
import struct

import pytest

PIPE = """
pipeline: %(topic)s
kafka: {brokers: "%(servers)s"}
sources:
  lines: {type: file, path: in.ndjson}
topics:
  output:
    from: lines
    topic: %(topic)s
    %(settings)s
"""


@pytest.fixture
def write(pipeline, kafka):
    return lambda topic, *settings: pipeline(PIPE % {"topic": topic, "servers": kafka.servers, "settings": "\n    ".join(settings)})


def feed(tmp_path, numbers):
    with open(tmp_path / "in.ndjson", "a") as file:
        file.writelines(json.dumps({"id": n, "text": "number %d" % n}) + "\n" for n in numbers)


def once(weir, file):
    done = weir("run", file, "--once")
    assert done.code == 0, done
    return done


def ids(kafka, topic):
    return sorted(json.loads(record.value)["id"] for record in kafka.read(topic))


def codecs(kafka, topic):
    """How the batches of records of a topic are packed, by the broker's file: each has base offset 8, length 4, epoch of the leader 4, magic 1,
    CRC 4, attributes 2; of these bits 0 to 2 are the codec, and bit 5 says that it is a marker of a transaction."""
    with open(os.path.join(kafka.folder, "data", topic + "-0", "0" * 20 + ".log"), "rb") as file:
        log = file.read()
    at, found = 0, set()
    while at + 23 <= len(log) and (length := struct.unpack(">i", log[at + 8:at + 12])[0]) > 0:
        magic, attributes = log[at + 16], struct.unpack(">h", log[at + 21:at + 23])[0]
        assert magic == 2
        if not attributes & 32:
            found.add(("none", "gzip", "snappy", "lz4", "zstd")[attributes & 7])
        at += 12 + length
    return found


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
@pytest.mark.parametrize("compression", [None, "none", "gzip", "snappy", "lz4", "zstd"])
def test_messages_are_packed_as_the_file_says(weir, write, kafka, tmp_path, compression, delivery):
    topic = kafka.create_topic()
    feed(tmp_path, range(1000))
    once(weir, write(topic, "delivery: " + delivery, "compression: " + compression if compression else ""))
    assert codecs(kafka, topic) == {compression or "lz4"}
    assert ids(kafka, topic) == list(range(1000))


def test_an_absent_topic_is_made(weir, write, kafka, tmp_path):
    topic = "made-%d" % os.getpid()
    feed(tmp_path, range(10))
    file = write(topic, "create: {partitions: 3, replication: 1, config: {max.message.bytes: 5000, retention.ms: 86400000}}")
    seen = weir("check", file, "--connect")
    assert seen.code == 0, seen
    assert "a run would make topic %s: 3 partitions, 1 replica, max.message.bytes=5000, retention.ms=86400000" % topic in seen.out, seen
    assert topic not in kafka.topics()
    once(weir, file)
    assert kafka.partitions(topic) == [0, 1, 2] and ids(kafka, topic) == list(range(10))
    assert kafka.topic_settings(topic) == {"max.message.bytes": "5000", "retention.ms": "86400000"}
    again = once(weir, file)
    assert "level=warn" not in again.err, again


DIFFERENCES = [
    ("partitions: 4", "it has 3 partitions, not 4"),
    ("replication: 2", "it has 1 replicas, not 2"),
    ("config: {max.message.bytes: 6000}", "max.message.bytes is 5000, not 6000"),
    ("config: {retention.ms: 1000}", "retention.ms is 604800000, not 1000"),  # not set for the topic: what the brokers do by default counts
    ("config: {max.message.bite: 6000}", "max.message.bite is not set, the brokers know no setting of that name"),
    ("partitions: 4, replication: 2, config: {max.message.bytes: 6000, cleanup.policy: delete}",
     "it has 3 partitions, not 4; it has 1 replicas, not 2; max.message.bytes is 5000, not 6000"),
]


@pytest.mark.parametrize("create, told", DIFFERENCES, ids=["partitions", "replication", "config", "default", "unknown", "all"])
def test_a_topic_that_differs_is_left_as_it_is(weir, write, kafka, tmp_path, create, told):
    topic = kafka.create_topic(partitions=3, config={"max.message.bytes": "5000"})
    feed(tmp_path, range(10))
    file = write(topic, "create: {%s}" % create)
    seen = weir("check", file, "--connect")
    assert seen.code == 0 and "topic %s exists and is left as it is, though %s\n" % (topic, told) in seen.err, seen
    done = once(weir, file)
    assert "is not as `create` says and is left as it is: %s\"" % told in done.err, done
    assert kafka.partitions(topic) == [0, 1, 2] and ids(kafka, topic) == list(range(10))
    assert kafka.topic_settings(topic) == {"max.message.bytes": "5000"}
