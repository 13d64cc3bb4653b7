"""What a dead letter keeps of the message that it was: key, headers and time go with it into the stores, into the topic of dead letters, and
back into the pipeline when it is sent again, wherever on its way the row fails. confluent-kafka is the oracle for topics, sqlite3 and psycopg2 for tables."""
import json

import pytest

from support.waiting import eventually

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


def message_of(write, record, offset, partition=0):
    """What the store says of a message that was produced."""
    told = {"key": record["key"], "topic": write.topic, "partition": partition, "offset": offset, "timestamp": record["timestamp"]}
    headers = [[name, value.decode() if value != b"\xff" else {"hex": "ff"}] for name, value in record.get("headers", [])]
    return dict(told, headers=headers) if headers else told


FAILING = [{"key": "k", "value": '{"n": 500, "m": 1}', "headers": [("h", b"v"), ("h", b"w"), ("b", b"\xff")], "timestamp": 1700000000123, "partition": 0},
           {"key": None, "value": '{"n": 600}', "timestamp": 1700000000124, "partition": 0},
           {"key": "fine", "value": '{"n": 5, "m": 2}', "timestamp": 1700000000125, "partition": 0}]


def test_a_row_that_fails_in_a_stage_has_key_and_headers_of_its_message(weir, write, kafka, into):
    """The SQL names neither: they come along with the record all the same, through a stage that passes it on, too."""
    file = write(into, sql="SELECT n FROM input")
    kafka.produce(write.topic, FAILING)
    once(weir, file)
    first, second = sorted(letters(kafka, write.dead), key=lambda letter: letter[1])
    assert (first[0], json.loads(first[1]), first[2]) == (b"k", {"n": 500, "m": 1}, [("h", b"v"), ("h", b"w"), ("b", b"\xff")])
    assert first[3]["weir.reason"] == "small" and first[3]["weir.node"] == "checked"
    assert (second[0], json.loads(second[1]), second[2]) == (None, {"n": 600}, [])
    if into is None:
        return
    kept = [json.loads(message) for (message,) in into.query("SELECT message FROM weir_dead ORDER BY position")]
    assert kept == [message_of(write, FAILING[n], n) for n in (0, 1)]
    # Sent again, and dead again: still the same message.
    assert weir("dlq", "retry", file).code == 0
    again = [json.loads(message) for (message,) in into.query("SELECT message FROM weir_dead WHERE source = 'retry:checked' ORDER BY position")]
    assert again == kept


def test_a_row_that_the_target_refuses_has_key_and_headers_of_its_message(weir, write, kafka, target):
    target.query("CREATE TABLE out (n bigint CHECK (n < 50))")
    file = write(target, sql="SELECT n + 45 AS n FROM input")
    kafka.produce(write.topic, [dict(record, value='{"n": %d}' % (n + 1)) for n, record in enumerate(FAILING)] +
                  [{"key": "last", "value": '{"n": 30}', "headers": [("h", b"v")], "timestamp": 1700000000126, "partition": 0}])
    once(weir, file)
    assert target.query("SELECT n FROM out ORDER BY n") == [(46,), (47,), (48,)]
    ((key, value, headers, own),) = letters(kafka, write.dead)
    assert (key, json.loads(value), headers) == (b"last", {"n": 75}, [("h", b"v")]) and own["weir.node"] == "out"
    ((message,),) = target.query("SELECT message FROM weir_dead")
    assert json.loads(message) == message_of(write, {"key": "last", "headers": [("h", b"v")], "timestamp": 1700000000126}, 3)


def test_a_row_that_a_topic_refuses_has_key_and_headers_of_its_message(weir, pipeline, kafka):
    """Two stages, then a topic that is compacted and takes no message without a key."""
    names = {"topic": kafka.create_topic(), "out": kafka.create_topic(config={"cleanup.policy": "compact"}), "dead": kafka.create_topic()}
    file = pipeline("""
        pipeline: refused
        kafka: {brokers: "%s"}
        topics:
          input: {topic: %s}
          output: {topic: %s, from: second, key: n}
        transforms:
          first: {sql: SELECT n FROM input}
          second: {sql: "SELECT nullif(n, 1) AS n FROM first"}
        dead_letters: {stop_above: 1, topic: %s}
        """ % (kafka.servers, names["topic"], names["out"], names["dead"]))
    kafka.produce(names["topic"], [{"key": "k", "value": '{"n": 1}', "headers": [("h", b"v")]}, {"key": "fine", "value": '{"n": 2}'}])
    once(weir, file)
    assert [record.key for record in kafka.read(names["out"])] == [b"2"]
    ((key, value, headers, own),) = letters(kafka, names["dead"])
    assert (key, json.loads(value), headers) == (b"k", {"n": None}, [("h", b"v")]) and own["weir.node"] == "output"


def test_a_tombstone_that_fails_has_the_key_of_its_message(weir, write, kafka, sqlite_target):
    file = write(sqlite_target, sql="SELECT 1 AS n FROM input")
    kafka.produce(write.topic, [{"key": "gone", "value": None, "headers": [("h", b"v")]}, {"key": "fine", "value": '{"n": 2}'}])
    once(weir, file)
    ((key, value, headers, own),) = letters(kafka, write.dead)
    assert (key, headers) == (b"gone", [("h", b"v")]) and own["weir.code"] == "tombstone", value
    ((message,),) = sqlite_target.query("SELECT message FROM weir_dead")
    assert json.loads(message)["tombstone"] is True


def test_a_message_that_becomes_many_rows_leaves_room_for_them(weir, pipeline, kafka, sqlite_target):
    """The key of 3 KB would fill the ring ten times if each row carried it: the first ones do."""
    topic = kafka.create_topic()
    sqlite_target.query("CREATE TABLE out (n bigint CHECK (n > 0 AND n <> 199))")
    file = pipeline("""
        pipeline: many
        kafka: {brokers: "%s"}
        topics:
          input: {topic: %s, ring: 64KiB}
        transforms:
          each: {ring: 64KiB, sql: "SELECT value AS n FROM input, json_each(items)"}
        sinks: {out: {from: each, type: table, url: "%s", table: out}}
        dead_letters: {stop_above: 1}
        """ % (kafka.servers, topic, sqlite_target.url))
    kafka.produce(topic, [("k" * 3000, json.dumps({"items": list(range(200))})), ("short", '{"items": [0]}')])
    once(weir, file)
    assert sqlite_target.query("SELECT count(*) FROM out") == [(198,)]
    keys = sqlite_target.query("SELECT part, json_extract(message, '$.key') FROM weir_dead ORDER BY position, part")
    assert keys == [(0, "k" * 3000), (199, None), (0, "short")]


def test_a_letter_that_fits_without_its_message_is_not_cut(weir, write, kafka, sqlite_target):
    """The record is what a retry needs."""
    file = write(sqlite_target, ", ring: 64KiB", sql="SELECT n FROM input\n    ring: 64KiB")
    kafka.produce(write.topic, [{"key": b"\xff" * 3900, "value": '{"n": 500, "t": "%s"}' % ("t" * 10000)}])
    once(weir, file)
    assert sqlite_target.query("SELECT cut, message, length(data) > 10000 FROM weir_dead") == [(0, None, 1)]
    again = weir("dlq", "retry", file)
    assert again.code == 0, again
    assert sqlite_target.query("SELECT source, cut FROM weir_dead") == [("retry:checked", 0)]


def test_letters_then_rows_in_one_run_make_one_table(start, write, kafka, target):
    file = write(target, sql="SELECT n FROM input")
    running = start(file)
    kafka.produce(write.topic, [dict(BROKEN)])
    eventually("the letter is stored", lambda: "weir_dead" in target.tables() and target.query("SELECT count(*) FROM weir_dead") == [(1,)])
    kafka.produce(write.topic, [{"key": "k", "value": '{"n": 2}', "partition": BROKEN["partition"]}])
    eventually("the row is stored", lambda: "out" in target.tables() and target.query("SELECT n FROM out") == [(2,)])
    stopped = running.stop()
    told = [line for line in stopped.err.splitlines() if "level=" in line and "level=info" not in line and 'msg="dead letters"' not in line]
    assert stopped.code == 0 and told == [], stopped


def test_letters_alone_do_not_decide_what_type_a_column_has(weir, write, kafka, target):
    """They come before the first row: the table is made with that row, whose values say what its columns are."""
    file = write(target, sql="SELECT n FROM input")
    kafka.produce(write.topic, [dict(BROKEN)])
    once(weir, file)
    assert target.query("SELECT code FROM weir_dead") == [("json",)] and "out" not in target.tables()
    kafka.produce(write.topic, [{"key": "k", "value": '{"n": 2}'}])
    once(weir, file)
    assert target.query("SELECT n FROM out") == [(2,)]


def test_a_key_that_would_crowd_out_the_fields_is_left_out_of_the_letter_only(weir, write, kafka, sqlite_target):
    """Beyond a quarter of what a record may have, and beyond 64 KiB: the row goes on whole, its letter has no key."""
    file = write(sqlite_target, ", ring: 64KiB", sql="SELECT n FROM input")
    kafka.produce(write.topic, [{"key": "k" * 5000, "value": '{"n": 500}'}, {"key": "k" * 70000, "value": '{"n": 600}'},
                                {"key": "k" * 70000, "value": '{"n": 6}'}, {"key": "k" * 3000, "value": '{"n": 700, "t": "%s"}' % ("t" * 12000)}])
    once(weir, file)
    assert sqlite_target.query("SELECT n FROM out") == [(6,)]
    found = sorted((json.loads(value)["n"], key) for key, value, _, _ in letters(kafka, write.dead))
    assert found == [(500, None), (600, None), (700, b"k" * 3000)]


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


def test_a_copy_that_its_topic_does_not_take_is_cut(weir, write, kafka, sqlite_target):
    """The store keeps all of it."""
    kafka.configure_topic(write.dead, {"max.message.bytes": "20000"})
    file = write(sqlite_target)
    kafka.produce(write.topic, [{"key": "k", "value": "{ long" + 40000 * "x"}, {"key": "j" * 30000, "value": "{ short", "headers": [("h", b"v")]},
                                {"key": "good", "value": '{"n": 2}'}])
    once(weir, file)
    long, short = sorted(letters(kafka, write.dead), key=lambda letter: letter[1])
    assert long[0] == b"k" and long[1].startswith(b"{ longxxx") and 15000 < len(long[1]) < 20000 and long[3]["weir.cut"] == "true"
    assert short[:3] == (None, b"{ short", []) and short[3]["weir.cut"] == "true"
    assert sqlite_target.query("SELECT length(data), length(message) > 30000, cut FROM weir_dead ORDER BY 1") == [(7, 1, 0), (40006, 0, 0)]


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
