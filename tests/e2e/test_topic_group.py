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
def write(pipeline, database, request):
    def run(topic, lanes=1, broker=None):
        database.query(TABLE)
        return pipeline(PIPE % ((broker or request.getfixturevalue("kafka")).servers, topic, lanes, database.url))
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


@pytest.mark.parametrize("version", ["kafka", "kafka39"])
def test_a_second_instance_takes_its_share_and_gives_it_back(start, write, database, tmp_path, request, version):
    kafka = request.getfixturevalue(version)
    topic = kafka.create_topic(partitions=6)
    file = write(topic, lanes=2, broker=kafka)
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


def test_tools_see_no_lag_behind_a_run(start, weir, write, kafka, database, tmp_path):
    """What the group has committed is where the log ends, behind markers of transactions, too: at the end of a run with --once, while
    instances share the topic and have read it all, and when they have stopped."""
    topic = kafka.create_topic(partitions=4)
    group = "weir-shared-input"

    def produce(numbers, how="commit"):
        kafka.transaction(topic, [{"value": json.dumps({"n": n}), "partition": n % 4} for n in numbers], how)
    produce(range(100))
    produce(range(100, 120), "abort")
    file = write(topic)
    done = weir("run", file, "--once")
    assert done.code == 0, done
    assert kafka.committed(group, topic) == kafka.ends(topic)
    one, two = [start(file, "--state", tmp_path / name) for name in ("one", "two")]
    eventually("both have partitions", lambda: len(owners(database)) == 2)
    produce(range(200, 300))
    produce(range(300, 320), "abort")
    wait_for(database, 200, [one, two])
    eventually("they have no lag", lambda: kafka.committed(group, topic) == kafka.ends(topic), pause=0.1)
    for running in (one, two):
        assert running.stop().code == 0, running.result()
    assert kafka.committed(group, topic) == kafka.ends(topic)
    check(database, kafka, topic)


@pytest.mark.parametrize("more, told", [(5, "beyond its end"), (40, "is not the one that was read there")])
def test_a_topic_made_anew_is_noticed(weir, write, kafka, database, more, told):
    """The group's offsets do not decide either: positions are the table's, and so is the choice of what to do."""
    topic = kafka.create_topic()
    kafka.produce(topic, [json.dumps({"n": n}) for n in range(20)])
    file = write(topic)
    assert weir("run", file, "--once").code == 0
    kafka.delete_topic(topic)
    kafka.create_topic(topic)
    kafka.produce(topic, [json.dumps({"n": n}) for n in range(100, 100 + more)])
    result = weir("run", file, "--once")
    assert result.code == 1 and told in result.err and "weir positions set" in result.err, result
    assert count(database, "out") == 20
    assert weir("positions", "set", file, "out", "--source", "input", "--partition", "0", "--to", "earliest", "--yes").code == 0
    assert weir("run", file, "--once").code == 0
    assert [n for n, in database.query("SELECT n FROM out ORDER BY seq")] == list(range(20)) + list(range(100, 100 + more))


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


LETTERS = """
pipeline: shared
kafka: {brokers: "%s"}
topics:
  input: {topic: %s, assign: group}
transforms:
  checked: {sql: SELECT n FROM input, columns: {n: bigint}, checks: {odd: n %% 50 <> 7}}
sinks:
  out: {from: checked, type: table, url: "%s", table: numbers}
dead_letters: {topic: %s, stop_above: 1}
"""


def test_the_others_go_on_with_the_copies_of_dead_letters(start, weir, pipeline, kafka, database, tmp_path):
    """One store, three instances, of which one copies it: it is stopped in order, then the next one is killed. None of the others ends."""
    topic, dead = kafka.create_topic(partitions=6), kafka.create_topic()
    file = pipeline(LETTERS % (kafka.servers, topic, database.url, dead))
    load = kafka.load(topic, each=20, pause=0.1)
    running = [start(file, "--state", tmp_path / ("state-%d" % number)) for number in range(3)]

    def copied():
        return sorted(record.key or record.value for record in kafka.read(dead))

    def stored():
        return database.query("SELECT count(*) FROM weir_dead")[0][0] if "weir_dead" in database.tables() else 0

    def copies_go_on():
        before = len(copied())
        eventually("copies go on", lambda: all(one.alive for one in running) and len(copied()) > before, pause=0.5)
    copies_go_on()
    assert running.pop(0).stop().code == 0
    copies_go_on()
    running.pop(0).kill_tree()
    copies_go_on()
    load.end()
    eventually("all letters are in the topic", lambda: len(copied()) == stored() > 0, pause=0.5)
    ids = [dict(record.headers)["weir.id"] for record in kafka.read(dead)]
    assert len(ids) == len(set(ids)) == stored()
    # They take turns: nobody takes the copying from one that is at it.
    assert weir("status", file, "--state", tmp_path / "state-2", "--json").json["nodes"]
    last = running[0].stop()
    assert last.code == 0 and last.err.count("taken over") <= 1, last
