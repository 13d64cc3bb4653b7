"""Null values of a topic, through SQL and into tables: what a key's last record says is what the table holds."""
import json

import pytest

from support.waiting import eventually

PIPE = """
pipeline: tombstones
kafka: {brokers: "%s"}
topics:
  people: {topic: %s}
transforms:
  named:
    sql: SELECT coalesce(id, _key) AS id, upper(name) AS name FROM people
    columns: {id: text not null, name: text not null}
    checks: {short: length(name) < 10}
sinks:
  out: {from: named, type: table, url: "%s", table: t, mode: upsert, key: id%s}
dead_letters: {stop_above: 1}
"""


@pytest.fixture
def write(pipeline, target, kafka):
    topic = kafka.create_topic(partitions=1)

    def run(deletes):
        return pipeline(PIPE % (kafka.servers, topic, target.url, ", delete: tombstones" if deletes else ""))
    run.topic = topic
    return run


def person(number, name):
    return str(number), json.dumps({"id": str(number), "name": name})


def stored(target):
    return sorted(target.query("SELECT id, name FROM t"))


def good(result):
    assert result.code == 0, result
    return result


def test_null_values_delete(weir, write, kafka, target):
    kafka.produce(write.topic, [person(n, "n%d" % n) for n in range(6)])
    good(weir("run", write(True), "--once"))
    assert stored(target) == [(str(n), "N%d" % n) for n in range(6)]
    kafka.produce(write.topic, [("0", None), ("1", None), person(1, "back"), person(2, "gone"), ("2", None), ("99", None),
                                person(7, "new"), ("7", None), person(3, "changed")])
    account = good(weir("run", write(True), "--once", "--json")).json
    assert stored(target) == [("1", "BACK"), ("3", "CHANGED"), ("4", "N4"), ("5", "N5")]
    out, = [node for node in account["nodes"] if node["name"] == "out"]
    assert out["in"] == 9 == out["out"] + out["superseded"] and out["dead"] == 0
    assert weir("dlq", "list", write(True), "--json").json == []
    kafka.produce(write.topic, [(str(n), None) for n in range(10)])
    good(weir("run", write(True), "--once"))
    assert stored(target) == []
    good(weir("run", write(True), "--once"))  # a table that tombstones have emptied has lost nothing
    assert stored(target) == []


@pytest.mark.parametrize("known", [True, False], ids=["typed", "untyped"])
def test_tombstones_before_the_first_row_have_nothing_to_delete(weir, write, kafka, target, known):
    """Whether the types of the columns are known beforehand, or only with the first row."""
    file = write(True)
    if not known:
        text = file.read_text().replace("    columns: {id: text not null, name: text not null}\n", "")
        file.write_text(text.replace("upper(name)", "name").replace("length(name) < 10", "true"))
    kafka.produce(write.topic, [("1", None)])
    good(weir("run", file, "--once"))
    kafka.produce(write.topic, [person(1, "one"), ("2", None)])
    second = good(weir("run", file, "--once"))
    assert "level=warn" not in second.err, second
    assert stored(target) == [("1", "ONE" if known else "one")]
    assert weir("dlq", "list", file, "--json").json == []


def test_tombstones_look_for_a_table_that_came_later(start, write, kafka, target):
    """Nothing but tombstones has come; another instance, or a person, has made and filled the table meanwhile."""
    file = write(True)
    text = file.read_text().replace("    columns: {id: text not null, name: text not null}\n", "")
    file.write_text(text.replace("upper(name)", "name").replace("length(name) < 10", "true"))
    running = start(file)
    kafka.produce(write.topic, [("1", None)])
    eventually("the tombstone is done", lambda: "weir_positions" in target.tables() and target.query("SELECT position FROM weir_positions") == [(1,)])
    assert "t" not in target.tables()
    target.query("CREATE TABLE t (id text PRIMARY KEY, name text)")
    target.query("INSERT INTO t VALUES ('1', 'one'), ('2', 'two')")
    kafka.produce(write.topic, [("2", None)])
    eventually("it deletes", lambda: stored(target) == [("1", "one")])
    kafka.produce(write.topic, [person(3, "three")])
    eventually("rows are stored", lambda: stored(target) == [("1", "one"), ("3", "three")])
    stopped = running.stop()
    assert stopped.code == 0 and [line for line in stopped.err.splitlines() if "level=" in line and "level=info" not in line] == [], stopped


def test_tombstones_nobody_asked_for_are_letters_that_can_be_sent_again(weir, write, kafka, target):
    kafka.produce(write.topic, [person(n, "n%d" % n) for n in range(3)] + [("1", None)])
    good(weir("run", write(False), "--once"))
    assert stored(target) == [("0", "N0"), ("1", "N1"), ("2", "N2")]
    letter, = good(weir("dlq", "list", write(False), "--json")).json
    assert (letter["node"], letter["code"]) == ("out", "tombstone")
    good(weir("dlq", "retry", write(True)))
    assert stored(target) == [("0", "N0"), ("2", "N2")]
    assert weir("dlq", "list", write(True), "--json").json == []


def test_tombstones_need_an_upsert(weir, pipeline, kafka, sqlite_target):
    text = (PIPE % (kafka.servers, "any", sqlite_target.url, ", delete: tombstones")).replace("mode: upsert, key: id", "mode: append")
    refused = weir("check", pipeline(text))
    assert refused.code == 2 and "`delete: tombstones` needs `mode: upsert`" in refused.err, refused
