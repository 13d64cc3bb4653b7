"""What a dead letter keeps of the message that it was: key, headers and time go with it into the stores, into the topic of dead letters, and
back into the pipeline when it is sent again. confluent-kafka is the oracle for topics, sqlite3 and psycopg2 for tables."""
import json

import pytest

HEADERS = [("trace", b"one"), ("trace", b"two"), ("raw", b"\xff\x00"), ("none", None), ("empty", b"")]
BROKEN = {"key": b"k\xfe", "value": '{"n": 1', "headers": HEADERS, "timestamp": 1700000000123, "partition": 1}

PIPE = """
pipeline: %(name)s
kafka: {brokers: "%(brokers)s"}
topics:
  input: {topic: %(topic)s%(more)s}
%(writer)s
transforms:
  checked:
    sql: %(sql)s
    checks: {small: n < 100}
%(sinks)s
dead_letters: {stop_above: 1, topic: %(dead)s}
"""


@pytest.fixture
def write(pipeline, kafka):
    """write(target or None, ...): into the target's table `out`, or, without one, into a topic; dead letters go to a topic in both cases."""
    names = {"topic": kafka.create_topic(partitions=2), "out": kafka.create_topic(), "dead": kafka.create_topic(partitions=3)}

    def run(target, more="", sql="SELECT n FROM input"):
        sinks = "" if target is None else 'sinks: {out: {from: checked, type: table, url: "%s", table: out}}' % target.url
        writer = "  output: {topic: %(out)s, from: checked}" % names if target is None else ""
        return pipeline(PIPE % dict(names, name=names["topic"], brokers=kafka.servers, more=more, sql=sql, sinks=sinks, writer=writer))
    run.topic, run.dead, run.out = names["topic"], names["dead"], names["out"]
    return run


def letters(kafka, dead):
    """(key, value, headers of the original, weir's own headers) of each, in any order."""
    found = []
    for record in kafka.read(dead):
        original = [(name, value) for name, value in record.headers if not name.startswith("weir.")]
        own = {name: value.decode() for name, value in record.headers if name.startswith("weir.")}
        assert [name.startswith("weir.") for name, _ in record.headers] == sorted(name.startswith("weir.") for name, _ in record.headers)
        found.append((record.key, record.value, original, own))
    return found


def once(weir, file):
    done = weir("run", file, "--once")
    assert done.code == 0, done
    return done


@pytest.fixture(params=["sqlite", "postgres", "topic"])
def into(request):
    """A table, or None: the topic."""
    return None if request.param == "topic" else request.getfixturevalue("sqlite_target" if request.param == "sqlite" else "database")


def test_a_broken_message_is_a_letter_with_its_key_and_headers(weir, write, kafka, into):
    file = write(into)
    kafka.produce(write.topic, [BROKEN, {"key": None, "value": "[", "partition": 0}, {"key": "good", "value": '{"n": 2}', "partition": 0}])
    once(weir, file)
    (first, second) = sorted(letters(kafka, write.dead), key=lambda letter: letter[1], reverse=True)
    assert first[:3] == (b"k\xfe", b'{"n": 1', HEADERS)
    assert first[3]["weir.code"] == "json" and json.loads(first[3]["weir.origin"])["partition"] == "1"
    assert second[:3] == (None, b"[", [])
    if into is None:
        return
    # The store says the same, for people and for programs.
    kept = {key: json.loads(message) for key, message in into.query("SELECT partition, message FROM weir_dead")}
    assert kept["1"] == {"key": {"hex": "6bfe"}, "timestamp": 1700000000123,
                         "topic": write.topic, "partition": 1, "offset": 0,
                         "headers": [["trace", "one"], ["trace", "two"], ["raw", {"hex": "ff00"}], ["none", None], ["empty", ""]]}
    assert kept["0"]["key"] is None and "headers" not in kept["0"]
    shown = [json.loads(line) for line in weir("dlq", "export", file).out.splitlines()]
    assert {letter["origin"]["partition"]: letter["message"] for letter in shown} == kept


def test_a_record_with_metadata_takes_it_along(weir, write, kafka, sqlite_target):
    """A row that fails behind the reader is weir's own record: key and headers are known where they were asked for."""
    file = write(sqlite_target, ", metadata: [_key, _headers]", "SELECT n, _key FROM input")
    kafka.produce(write.topic, [{"key": "k", "value": '{"n": 500}', "headers": [("h", b"v"), ("b", b"\xff")]}, {"key": "fine", "value": '{"n": 5}'}])
    once(weir, file)
    ((key, value, headers, own),) = letters(kafka, write.dead)
    assert key == b"k" and sorted(headers) == [("b", b"\xff"), ("h", b"v")] and own["weir.reason"] == "small"
    assert json.loads(value)["n"] == 500
    assert sqlite_target.query("SELECT count(*) FROM weir_dead WHERE message IS NOT NULL") == [(0,)], "it stands in the record already"


METADATA = ", metadata: [_key, _topic, _partition, _offset, _timestamp, _headers], format: %s"


def test_a_letter_that_is_sent_again_is_the_message_that_it_was(weir, write, kafka, target):
    """No JSON, as it turns out: the topic holds texts. Sent again they are read as such, with the metadata of their messages."""
    sql = "SELECT 1 AS n, value, _key, _topic, _partition, _offset, _timestamp, _headers FROM input"
    kafka.produce(write.topic, [{"key": "k", "value": "a text", "headers": [("h", b"v"), ("h", b"w")], "timestamp": 1700000000123, "partition": 1},
                                {"key": None, "value": "another", "timestamp": 1700000000000, "partition": 0}])
    once(weir, write(target, METADATA % "json", sql))
    assert target.query("SELECT code FROM weir_dead") == 2 * [("json",)]
    # A format that does not fit either: letters again, of the retry now, that still say where they lay.
    again = weir("dlq", "retry", write(target, METADATA % "msgpack", sql))
    assert again.code == 0, again
    assert sorted(target.query("SELECT code, source FROM weir_dead")) == 2 * [("msgpack", "retry:input")]
    assert {"topic %s, partition %d, offset 0" % (write.topic, n) in reason for n in range(2) for (reason,) in target.query(
        "SELECT reason FROM weir_dead WHERE reason LIKE %s", "%partition " + str(n) + "%")} == {True}
    again = weir("dlq", "retry", write(target, METADATA % "string", sql))
    assert again.code == 0, again
    found = target.query("SELECT value, _key, _topic, _partition, _offset, _timestamp, _headers FROM out ORDER BY _partition")
    plain = [row[:3] + tuple(map(float, row[3:5])) + row[5:] for row in found]
    assert plain == [("another", None, write.topic, 0, 0, "2023-11-14T22:13:20Z", "{}"),
                     ("a text", "k", write.topic, 1, 0, "2023-11-14T22:13:20.123000Z", '{"h":"w"}')]
    assert target.query("SELECT count(*) FROM weir_dead") == [(0,)]


def test_key_and_headers_beyond_the_limit_are_left_out_and_said_to_be(weir, write, kafka, sqlite_target):
    file = write(sqlite_target)
    kafka.produce(write.topic, [{"key": b"k" * 70000, "value": "{", "headers": [("h", b"v")]}])
    once(weir, file)
    ((key, value, headers, own),) = letters(kafka, write.dead)
    assert (key, value, headers) == (None, b"{", []) and own["weir.cut"] == "true"
    assert sqlite_target.query("SELECT cut, message FROM weir_dead") == [(1, None)]


def test_key_and_headers_that_do_not_fit_into_a_small_ring_are_left_out(weir, write, kafka, sqlite_target):
    file = write(sqlite_target, ", ring: 64KiB")
    kafka.produce(write.topic, [{"key": "k", "value": "{", "headers": [("h", b"v" * 20000)]}, {"key": "good", "value": '{"n": 2}'}])
    once(weir, file)
    assert sqlite_target.query("SELECT cut, message FROM weir_dead") == [(1, None)]
    assert sqlite_target.query("SELECT n FROM out") == [(2,)]


def test_a_store_of_an_earlier_version_gets_its_column(weir, write, kafka, target):
    file = write(target)
    kafka.produce(write.topic, [dict(BROKEN, key="old")])
    once(weir, file)
    target.query("ALTER TABLE weir_dead DROP COLUMN message")
    listed = weir("dlq", "export", file)
    assert listed.code == 0 and json.loads(listed.out)["node"] == "input", listed
    kafka.produce(write.topic, [dict(BROKEN, key="new")])
    once(weir, file)
    found = target.query("SELECT message FROM weir_dead ORDER BY position")
    assert found[0] == (None,) and json.loads(found[1][0])["key"] == "new"
