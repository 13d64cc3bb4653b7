"""Topics that their broker really compacts, with its own log cleaner: records, tombstones, markers and what was aborted go away between two runs,
also the very record behind which weir stands.

An independent client writes by transactions, looks at what is left in the log, and says what the last value of each key is.
"""
import json
import random

import pytest

from support.waiting import eventually

# A segment ends with the next record that comes this much later, and is cleaned at once. The smallest segment.bytes that brokers take is 1 MiB.
COMPACTED = {"cleanup.policy": "compact", "segment.ms": "50", "segment.bytes": "1048576", "min.cleanable.dirty.ratio": "0.001"}

UPSERT = """
pipeline: %(topic)s
kafka: {brokers: "%(servers)s"}
topics:
  people: {topic: %(topic)s, lanes: 2}
transforms:
  named: {sql: "SELECT coalesce(id, _key) AS id, n FROM people", columns: {id: text not null, n: bigint}}
sinks:
  out: {from: named, type: table, url: "%(url)s", table: t, mode: upsert, key: id, delete: tombstones}
"""


@pytest.fixture
def cleaning(kafka):
    """The broker, while its log cleaner looks for work every 100 ms instead of every 15 s."""
    kafka.configure_broker({"log.cleaner.backoff.ms": "100"})
    yield kafka
    kafka.configure_broker({})


def left(kafka, topic):
    """(partition, offset) of all records in the log, of whatever transaction."""
    return {(record.partition, record.offset) for record in kafka.read(topic, "read_uncommitted")}


def superseded(kafka, topic):
    """Those that compaction takes: aborted ones, and ones that are not their key's last."""
    last = {(record.partition, record.key): record.offset for record in kafka.read(topic)}
    return left(kafka, topic) - {(partition, offset) for (partition, _), offset in last.items()}


def wait_until_gone(kafka, topic, places, partitions):
    """Until the log holds none of these (partition, offset). Only a record that comes later ends a segment, so some are written meanwhile."""
    def look():
        kafka.produce(topic, [{"key": "nudge", "value": '{"id": "nudge", "n": 0}', "partition": number} for number in partitions])
        return not places & left(kafka, topic)
    eventually("topic %s is compacted" % topic, look, pause=0.1)


class People:
    """A compacted topic of two partitions with few keys, written again and again, and a table of what each key's last record says."""

    def __init__(self, kafka, target, pipeline, config):
        self.kafka, self.target, self.n, self.chance = kafka, target, 0, random.Random(3)
        self.config = dict(COMPACTED, **config)
        self.topic = kafka.create_topic(partitions=2, config=self.config)
        self.producer = kafka.producer(transactional_id=self.topic)
        self.producer.init_transactions(60)
        self.file = pipeline(UPSERT % {"topic": self.topic, "servers": kafka.servers, "url": target.url})

    def records(self, count):
        for _ in range(count):
            self.n += 1
            key = "k%d" % self.chance.randrange(20)
            yield key, None if self.chance.random() < 0.3 else json.dumps({"id": key, "n": self.n})

    def transaction(self, records, commit=True):
        self.producer.begin_transaction()
        self.kafka.produce(self.topic, records, self.producer)
        (self.producer.commit_transaction if commit else self.producer.abort_transaction)()

    def write(self, plain=False):
        """Committed and aborted transactions. The end of the topic is what was aborted, or plain records: then weir stands right behind one."""
        for commit in (True, False, True, False):
            self.transaction(self.records(30), commit)
        if plain:
            self.kafka.produce(self.topic, self.records(30))

    def let_clean(self, may):
        """Whether the log cleaner may touch this topic; it may from the start."""
        self.kafka.configure_topic(self.topic, dict(self.config, **({} if may else {"min.cleanable.dirty.ratio": "1"})))

    def clean(self):
        """All that weir has read is superseded, and then gone: also the record in front of its position."""
        before = self.read_last()
        self.transaction([{"key": record.key, "value": json.dumps({"id": record.key.decode(), "n": 0}), "partition": record.partition}
                          for record in before])
        self.wait_until_cleaned()
        found = left(self.kafka, self.topic)
        assert not found & {(record.partition, record.offset) for record in before}, found

    def wait_until_cleaned(self):
        wait_until_gone(self.kafka, self.topic, superseded(self.kafka, self.topic), (0, 1))

    def read_last(self):
        """The last record of each partition that weir has read."""
        places = [(int(partition), position) for partition, position in self.target.query("SELECT partition, position FROM weir_positions")]
        assert len(places) == 2, places
        records = self.kafka.read(self.topic)
        return [max((record for record in records if record.partition == partition and record.offset < position), key=lambda one: one.offset)
                for partition, position in places]

    def last(self):
        """What the independent client takes for the last value of each key. A key has two of them where it is in both partitions: only "nudge"."""
        values = {}
        for record in self.kafka.read(self.topic):
            values[record.key.decode()] = record.value and json.loads(record.value)["n"]
        return sorted((key, n) for key, n in values.items() if n is not None)

    def stored(self):
        return sorted(self.target.query("SELECT id, n FROM t"))


@pytest.fixture
def people(cleaning, target, pipeline):
    return lambda **config: People(cleaning, target, pipeline, {name.replace("_", "."): value for name, value in config.items()})


def once(weir, file):
    done = weir("run", file, "--once")
    assert done.code == 0, done
    assert "level=warn" not in done.err, done


def test_what_was_compacted_before_it_was_read(weir, people):
    """Each run finds a log with gaps, in which only the last record of each key is left, and its tombstones."""
    one = people(delete_retention_ms="86400000")
    one.write()
    one.wait_until_cleaned()
    once(weir, one.file)
    assert one.stored() == one.last()
    for _ in range(3):
        one.write()
        one.clean()
        once(weir, one.file)
        assert one.stored() == one.last()
    assert any(record.value is None for record in one.kafka.read(one.topic)), "no tombstone was left to be read"


def test_tombstones_that_go_away_once_they_were_read(weir, people):
    """Also the tombstones leave the log, and with them the last record that was read: the rows stay deleted, and nothing is missed."""
    one = people(delete_retention_ms="0")
    for plain in (True, False, True):
        one.let_clean(False)
        one.write(plain)
        once(weir, one.file)
        assert one.stored() == one.last()
        one.let_clean(True)
        one.clean()
        tombstones = {(record.partition, record.offset) for record in one.kafka.read(one.topic) if record.value is None}
        wait_until_gone(one.kafka, one.topic, tombstones, (0, 1))
        once(weir, one.file)
        assert one.stored() == one.last()


def test_a_topic_is_compacted_while_it_is_read(start, people):
    one = people(delete_retention_ms="86400000")
    running = start(one.file)
    for _ in range(3):
        one.write()
        one.wait_until_cleaned()
        wanted = one.last()
        eventually("the table says what the topic says", lambda: "t" in one.target.tables() and one.stored() == wanted)
    assert running.stop().code == 0


HOP = """
pipeline: %(topic)s
kafka: {brokers: "%(servers)s"}
topics:
  input: {topic: %(topic)s, lanes: 2}
  output: {from: kept, topic: %(copy)s, key: p, rows: 20}
transforms:
  kept: {sql: "SELECT n, _partition AS p, _offset AS o FROM input", columns: {n: bigint, p: int, o: bigint}}
"""


def test_the_positions_of_writers_are_compacted(weir, cleaning, pipeline):
    """What is left of weir_positions is the last record of each stream: enough for every next run to go on there."""
    kafka = cleaning
    topic, copy = kafka.create_topic(partitions=4), kafka.create_topic(partitions=2)
    file = pipeline(HOP % {"topic": topic, "copy": copy, "servers": kafka.servers})

    def run(n):
        kafka.produce(topic, [("k%d" % k, json.dumps({"n": n * 100 + k})) for k in range(100)])
        once(weir, file)
        kafka.check_copy(topic, [tuple(json.loads(record.value)[name] for name in "pon") for record in kafka.read(copy)])
    run(0)
    settings = kafka.topic_settings("weir_positions")
    assert settings["cleanup.policy"] == "compact", settings
    kafka.configure_topic("weir_positions", dict(settings, **COMPACTED, **{"delete.retention.ms": "0"}))
    try:
        for n in range(1, 6):
            run(n)
            ours = {record.partition for record in kafka.read("weir_positions") if record.key and b'"%s"' % topic.encode() in record.key}
            assert ours
            wait_until_gone(kafka, "weir_positions", {place for place in superseded(kafka, "weir_positions") if place[0] in ours}, ours)
        run(6)
    finally:
        kafka.configure_topic("weir_positions", settings)
