"""Several instances share a topic by a consumer group: each with its state folder, all into one PostgreSQL table.

Whatever happens to one of them, no record is lost, none is there twice, and each partition's order is kept: an external client wrote the
records, and another one counts the rows.
"""
import json
import os
import signal
import time

import pytest

from support.targets import count
from support.waiting import eventually

PIPE = """
pipeline: shared
kafka: {brokers: "%s"}
topics:
  input: {topic: %s, assign: group, lanes: %d, metadata: [_partition, _offset]}
sinks:
  out:
    from: input
    type: table
    url: "%s"
    table: out
"""
TABLE = "CREATE TABLE out (seq bigserial, n bigint, _partition int, _offset bigint)"


@pytest.fixture
def write(pipeline, database, kafka):
    def run(topic, lanes=1):
        database.query(TABLE)
        return pipeline(PIPE % (kafka.servers, topic, lanes, database.url))
    return run


def wait_for(target, wanted, instances):
    def look():
        for one in instances:
            assert one.alive, one.result()
        return count(target, "out") >= wanted
    eventually("%d rows" % wanted, look, pause=0.2)


def check(target, kafka, topic):
    """Every record of the topic is there once, and each partition's rows came in the order of the log."""
    kafka.check_copy(topic, target.query("SELECT _partition, _offset, n FROM out ORDER BY seq"))


def owners(target):
    """The state folders that hold partitions now."""
    if "weir_positions" not in target.tables():
        return set()
    found = [owner for (owner,) in target.query("SELECT owner FROM weir_positions") if "until=" not in owner]
    return {owner.split(" state=")[1].split()[0] for owner in found}


def test_a_second_instance_takes_its_share_and_gives_it_back(start, write, kafka, database, tmp_path):
    topic = kafka.create_topic(partitions=6)
    file = write(topic, lanes=2)
    load = kafka.load(topic)
    one = start(file, "--state", tmp_path / "one")
    wait_for(database, 500, [one])
    two = start(file, "--state", tmp_path / "two")
    eventually("both have partitions", lambda: len(owners(database)) == 2)
    wait_for(database, count(database, "out") + 1000, [one, two])
    assert two.stop().code == 0
    wait_for(database, load.end(), [one])
    assert one.stop().code == 0
    check(database, kafka, topic)


def test_an_instance_dies_and_another_is_frozen(start, write, kafka, database, tmp_path):
    topic = kafka.create_topic(partitions=12)
    file = write(topic)
    load = kafka.load(topic)
    one, two, three = [start(file, "--state", tmp_path / name) for name in ("one", "two", "three")]
    eventually("all have partitions", lambda: len(owners(database)) == 3)
    two.kill_tree()
    wait_for(database, count(database, "out") + 1000, [one, three])
    three.freeze()
    time.sleep(14)  # longer than its session lasts: its partitions go to others while it cannot know
    four = start(file, "--state", tmp_path / "four")
    wait_for(database, count(database, "out") + 1000, [one, four])
    three.freeze(signal.SIGCONT)
    wait_for(database, load.end(), [one, three, four])
    for running in (one, three, four):
        assert running.stop().code == 0, running.result()
    check(database, kafka, topic)


def test_workers_are_killed_and_nothing_is_dealt_anew(start, write, kafka, database, tmp_path):
    topic = kafka.create_topic(partitions=4)
    file = write(topic)
    load = kafka.load(topic)
    one, two = [start(file, "--state", tmp_path / name) for name in ("one", "two")]
    eventually("both have partitions", lambda: len(owners(database)) == 2)
    for role in ("producer", "sinker", "producer", "sinker", "producer"):
        os.kill(one.worker(role).pid, signal.SIGKILL)
        wait_for(database, count(database, "out") + 300, [one, two])
    wait_for(database, load.end(), [one, two])
    for running in (one, two):
        assert running.stop().code == 0, running.result()
    check(database, kafka, topic)


def test_records_that_arrive_broken_are_not_passed_over(start, write, kafka, database, tmp_path):
    """A member of a group begins again in front of a batch that fails its check, and goes on where it stood once the batch is whole."""
    topic = kafka.create_topic(partitions=1)
    for n in range(6):
        kafka.produce(topic, [json.dumps({"n": n, "text": "mark%04d" % n})])
    segment = os.path.join(kafka.folder, "data", topic + "-0", "0" * 20 + ".log")
    with open(segment, "rb") as file:
        at = file.read().index(b"mark0003")

    def put(byte):
        with open(segment, "r+b") as file:
            file.seek(at)
            file.write(byte)

    put(b"M")
    one = start(write(topic), "--state", tmp_path / "one")
    eventually("the reader begins again", lambda: "CRC32C" in one.err and "worker died" in one.err)
    assert count(database, "out") == 3
    put(b"m")
    wait_for(database, 6, [one])
    assert one.stop().code == 0
    check(database, kafka, topic)
