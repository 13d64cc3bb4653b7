"""Topics as a source: a real broker, written by an independent client, read into SQLite.

What a consumer with read_committed sees is what must arrive, once; positions are the sink's, so a run goes on where the last one ended,
whatever happened to the group's offsets.
"""
import json
import os
import random
import signal
import struct
import threading

import pytest

from support import kafka_server
from support.targets import count
from support.waiting import eventually

PIPE = """
pipeline: reader
kafka: {brokers: "%s"}
topics:
  input:
%s
sinks:
  out:
    from: input
    type: table
    url: "%s"
    table: out
    columns: {%s}
"""


@pytest.fixture
def write(pipeline, sqlite_target, kafka):
    """write(topic settings, columns) writes a pipeline from the topic into the table `out`."""
    def run(settings, columns="n: bigint", broker=None):
        lines = "".join("    %s\n" % line for line in settings.strip().splitlines())
        return pipeline(PIPE % ((broker or kafka).servers, lines, sqlite_target.url, columns))
    return run


def rows(target, what="n"):
    return target.query("SELECT %s FROM out ORDER BY rowid" % what)


def numbers(target):
    return sorted(n for (n,) in target.query("SELECT n FROM out")) if "out" in target.tables() else []


def records(*values):
    return [json.dumps({"n": n}) for n in values]


def once(weir, file, code=0):
    result = weir("run", file, "--once")
    assert result.code == code, result
    return result


def letters(weir, file):
    return weir("dlq", "list", file, "--json").json


def wait_for(running, target, wanted):
    def look():
        assert running.alive, running.result()
        return count(target, "out") >= wanted
    eventually("%d rows" % wanted, look)


def test_positions_know_the_ends_of_a_partition(weir, write, kafka, sqlite_target):
    topic = kafka.create_topic(partitions=1)
    kafka.produce(topic, [(None, value) for value in records(*range(10))])
    file = write("topic: %s" % topic)
    once(weir, file)

    def set_to(to, *more):
        return weir("positions", "set", file, "out", "--source", "input", "--to", to, "--json", *more)
    beyond = set_to(11, "--dry-run")
    assert beyond.code == 1 and "up to 10" in beyond.err, beyond
    stream, = set_to(7, "--dry-run").json["streams"]
    assert (stream["from"], stream["records"], stream["effect"]) == (10, 3, "repeated")
    kafka.produce(topic, [(None, value) for value in records(10, 11)])
    assert set_to("latest", "--yes").json["streams"][0]["to"] == 12
    kafka.produce(topic, [(None, value) for value in records(12)])
    once(weir, file)
    assert numbers(sqlite_target) == list(range(10)) + [12]


def test_all_partitions_are_read_and_the_next_run_goes_on(weir, write, kafka, sqlite_target):
    topic = kafka.create_topic(partitions=4)
    kafka.produce(topic, [("k%d" % n, value) for n, value in enumerate(records(*range(300)))])
    file = write("topic: %s" % topic, "n: bigint, _partition: int, _offset: bigint")
    file.write_text(file.read_text().replace("topic: %s" % topic, "topic: %s\n    metadata: [_partition, _offset]" % topic))
    once(weir, file)
    assert numbers(sqlite_target) == list(range(300))
    # In each partition in the order of the log, and the same records as the other client reads.
    seen = sorted(rows(sqlite_target, "_partition, _offset, n"))
    assert seen == [(r.partition, r.offset, json.loads(r.value)["n"]) for r in kafka.read(topic)]
    by_arrival = rows(sqlite_target, "_partition, _offset")
    for partition in range(4):
        offsets = [offset for part, offset in by_arrival if part == partition]
        assert offsets == sorted(offsets)
    kafka.produce(topic, records(*range(300, 310)))
    once(weir, file)
    assert numbers(sqlite_target) == list(range(310))


def set_group(kafka, topic, offsets):
    from confluent_kafka import TopicPartition
    consumer = kafka.consumer(group_id=topic + "-lag")
    consumer.commit(offsets=[TopicPartition(topic, number, offset) for number, offset in offsets.items()], asynchronous=False)
    consumer.close()


def test_the_groups_offsets_are_told_and_never_trusted(weir, write, kafka, sqlite_target):
    topic = kafka.create_topic(partitions=2)
    # In both partitions: nothing is told of one that has had no record.
    kafka.produce(topic, [{"value": value, "partition": n % 2} for n, value in enumerate(records(*range(100)))])
    file = write("topic: %s\ngroup: %s-lag" % (topic, topic))
    once(weir, file)
    assert kafka.committed(topic + "-lag", topic) == kafka.ends(topic)
    # Somebody sets the group back: nothing is read again.
    set_group(kafka, topic, {0: 0, 1: 0})
    once(weir, file)
    assert numbers(sqlite_target) == list(range(100))
    # Or forward: nothing is left out.
    kafka.produce(topic, records(*range(100, 150)))
    set_group(kafka, topic, kafka.ends(topic))
    once(weir, file)
    assert numbers(sqlite_target) == list(range(150))


def test_metadata_is_the_brokers_word(weir, write, kafka, sqlite_target):
    topic = kafka.create_topic()
    kafka.produce(topic, [
        {"key": "one", "value": '{"n":1,"_offset":99,"_key":"mine"}', "headers": [("h", b"v"), ("h", b"w"), ("b", b"\xff")], "timestamp": 1700000000123},
        {"value": '{"n":2}', "timestamp": 1700000000124}])
    file = write("topic: %s\nmetadata: [_key, _topic, _partition, _offset, _timestamp, _headers]" % topic,
                 "n: bigint, _key: text, _topic: text, _partition: int, _offset: bigint, _timestamp: timestamp, _headers: json")
    once(weir, file)
    first, second = rows(sqlite_target, "n, _key, _topic, _partition, _offset, _timestamp, _headers")
    assert first[:6] == (1, "one", topic, 0, 0, "2023-11-14T22:13:20.123Z") or first[:6] == (1, "one", topic, 0, 0, "2023-11-14T22:13:20.123000Z"), first
    assert json.loads(first[6]) == {"h": "w", "b": "/w=="}, first
    assert second[:2] == (2, None) and json.loads(second[6]) == {}, second


def test_formats(weir, write, kafka, sqlite_target):
    texts = kafka.create_topic()
    kafka.produce(texts, ["plain", "", "\u00e4\u00f6"])
    file = write("topic: %s\nformat: string" % texts, "value: text")
    once(weir, file)
    assert rows(sqlite_target, "value") == [("plain",), ("",), ("\u00e4\u00f6",)]


def test_msgpack_and_scalars(weir, write, kafka, sqlite_target):
    topic = kafka.create_topic()
    # {"n": 7}, then the bare number 8: a value that is no object is the field `value`.
    kafka.produce(topic, [b"\x81\xa1n\x07", b"\x08"])
    file = write("topic: %s\nformat: msgpack" % topic, "n: bigint, value: bigint")
    once(weir, file)
    assert rows(sqlite_target, "n, value") == [(7, None), (None, 8)]


def test_broken_payloads_are_dead_letters_with_their_bytes(weir, write, kafka, sqlite_target):
    topic = kafka.create_topic(partitions=2)
    broken = b'{"n": 1, \xff'
    kafka.produce(topic, [{"value": b'{"n":1}', "partition": 1}, {"value": broken, "partition": 1}, {"value": b"", "partition": 1},
                          {"value": b'{"n":2}', "partition": 1}])
    file = write("topic: %s" % topic)
    once(weir, file)
    assert numbers(sqlite_target) == [1, 2]
    found = letters(weir, file)
    assert [letter["code"] for letter in found] == ["json", "json"] and all(letter["node"] == "input" for letter in found), found
    assert "topic %s, partition 1, offset 1" % topic in found[0]["reason"], found
    originals = [json.loads(line) for line in weir("dlq", "export", file).out.splitlines()]
    assert [bytes.fromhex(one["data_hex"]) if "data_hex" in one else one["data"].encode() for one in originals] == [broken, b""], originals


@pytest.mark.parametrize("version", ["kafka", "kafka39"])
def test_only_committed_transactions_are_read(weir, write, sqlite_target, request, version):
    kafka = request.getfixturevalue(version)
    topic = kafka.create_topic()
    kafka.transaction(topic, records(1, 2))
    kafka.transaction(topic, records(3, 4), how="abort")
    kafka.transaction(topic, records(5))
    file = write("topic: %s\ngroup: %s-g" % (topic, topic), broker=kafka)
    once(weir, file)  # ends, though markers lie behind the last record
    assert numbers(sqlite_target) == [1, 2, 5]
    assert kafka.committed(topic + "-g", topic) == kafka.ends(topic)  # tools see no lag
    pending = kafka.transaction(topic, records(6, 7), how="pending", name="other")
    kafka.produce(topic, records(8))
    once(weir, file)  # up to the open transaction
    assert numbers(sqlite_target) == [1, 2, 5]
    pending.commit_transaction()
    once(weir, file)
    assert numbers(sqlite_target) == [1, 2, 5, 6, 7, 8]


def test_runs_that_end_while_transactions_come_skip_nothing(weir, write, kafka, sqlite_target):
    """A run with --once ends where the topic ended when it began; behind that lie markers and records, and they are the next run's."""
    topic = kafka.create_topic(partitions=2)
    file = write("topic: %s" % topic)
    sent, done = [0], threading.Event()

    def load():
        producer = kafka.producer(transactional_id=topic + "-load")
        producer.init_transactions(60)
        while not done.is_set():
            producer.begin_transaction()
            for n in range(sent[0], sent[0] + 7):
                producer.produce(topic, json.dumps({"n": n}))
            producer.commit_transaction(60)
            sent[0] += 7
    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    eventually("records come", lambda: sent[0] > 0)
    for _ in range(8):
        once(weir, file)
    done.set()
    thread.join()
    once(weir, file)
    assert numbers(sqlite_target) == list(range(sent[0]))


def test_large_records(weir, write, kafka, sqlite_target):
    """What brokers take by default fits by default; larger ones need a larger ring, and say so."""
    topic = kafka.create_topic(config={"max.message.bytes": "12000000"})
    producer = kafka.producer(message_max_bytes=12000000)
    kafka.produce(topic, [json.dumps({"n": 1, "x": "y" * 1000000}), json.dumps({"n": 2, "x": "y" * 5000000}), json.dumps({"n": 3})], producer=producer)
    file = write("topic: %s" % topic, "n: bigint, x: text")
    once(weir, file)
    assert rows(sqlite_target, "n, length(x)") == [(1, 1000000), (3, None)]
    found = letters(weir, file)
    assert [letter["code"] for letter in found] == ["too-large"] and "setting ring" in found[0]["reason"], found
    large = write("topic: %s\nring: 32MiB" % topic, "n: bigint, x: text")
    large.write_text(large.read_text().replace("pipeline: reader", "pipeline: large").replace("table: out\n", "table: large\n"))
    once(weir, large)
    assert sqlite_target.query("SELECT n, length(x) FROM large ORDER BY n") == [(1, 1000000), (2, 5000000), (3, None)]


def test_a_topic_made_anew_is_noticed_beyond_its_end(weir, write, kafka, sqlite_target):
    topic = kafka.create_topic()
    kafka.produce(topic, records(*range(20)))
    file = write("topic: %s" % topic)
    once(weir, file)
    kafka.delete_topic(topic)
    kafka.create_topic(topic)
    kafka.produce(topic, records(100))
    result = once(weir, file, code=1)
    assert "beyond its end" in result.err and "weir positions set" in result.err, result
    assert numbers(sqlite_target) == list(range(20))


def produce_at(kafka, topic, numbers_of, how):
    """Records of one time: in a transaction the position comes to lie behind its mark, and behind aborted records."""
    new = [{"value": value, "timestamp": 1700000000000} for value in records(*numbers_of)]
    if how == "plain":
        return kafka.produce(topic, new)
    kafka.transaction(topic, new)
    if how == "aborted":
        for _ in range(3):
            kafka.transaction(topic, records(*range(5)), how="abort")
    return None


@pytest.mark.parametrize("how", ["plain", "committed", "aborted"])
def test_a_topic_made_anew_is_noticed_by_its_records(weir, write, kafka, sqlite_target, how):
    topic = kafka.create_topic()
    produce_at(kafka, topic, range(20), how)
    file = write("topic: %s" % topic)
    once(weir, file)
    once(weir, file)
    kafka.delete_topic(topic)
    kafka.create_topic(topic)
    produce_at(kafka, topic, range(100, 150), how)
    result = once(weir, file, code=1)
    assert "is not the one that was read there" in result.err and "weir positions set" in result.err, result
    assert numbers(sqlite_target) == list(range(20))
    # The choice that the message offers works.
    assert weir("positions", "set", file, "out", "--source", "input", "--partition", "0", "--to", "earliest", "--yes").code == 0
    once(weir, file)
    assert numbers(sqlite_target) == list(range(20)) + list(range(100, 150))


@pytest.mark.parametrize("assign", ["static", "group"])
def test_a_topic_made_anew_while_it_is_read_is_noticed(start, write, kafka, sqlite_target, assign):
    """The new topic has a record at the position that the old one had come to: reading on there would leave out what lies before it."""
    topic = kafka.create_topic()
    kafka.produce(topic, records(*range(20)))
    running = start(write("topic: %s\nassign: %s" % (topic, assign)))
    wait_for(running, sqlite_target, 20)
    kafka.delete_topic(topic)
    eventually("it sees that the topic is gone", lambda: "does not exist" in running.err or not running.alive)
    kafka.create_topic(topic)
    kafka.produce(topic, records(*range(100, 140)))
    eventually("it goes on, or stops", lambda: not running.alive or count(sqlite_target, "out") > 20)
    assert not running.alive, "records 100 to 119 are left out: %s" % numbers(sqlite_target)
    result = running.wait()
    assert result.code == 1 and "is not the one that was read there" in result.err and "weir positions set" in result.err, result
    assert numbers(sqlite_target) == list(range(20))


def delete_records(kafka, topic, before):
    """DeleteRecords of Kafka's protocol (key 21, version 0) by hand: what retention does sooner or later."""
    body = struct.pack(">i", 1) + kafka_server.text(topic) + struct.pack(">iiqi", 1, 0, before, 10000)
    answer = kafka_server.ask(kafka.port, 21, 0, body)
    assert struct.unpack(">h", answer[-2:]) == (0,), answer


def test_records_that_retention_took_unread_are_told(weir, write, kafka, sqlite_target):
    topic = kafka.create_topic()
    kafka.produce(topic, records(*range(10)))
    delete_records(kafka, topic, 4)
    file = write("topic: %s" % topic)
    once(weir, file)  # the beginning is where it is now
    assert numbers(sqlite_target) == [4, 5, 6, 7, 8, 9]
    delete_records(kafka, topic, 10)
    once(weir, file)  # nothing unread is gone
    kafka.produce(topic, records(10, 11, 12))
    delete_records(kafka, topic, 12)
    result = once(weir, file, code=1)
    assert "gone by retention" in result.err, result
    assert numbers(sqlite_target) == [4, 5, 6, 7, 8, 9]


def test_partitions_that_come_later_are_read_from_their_beginning(write, start, kafka, sqlite_target):
    topic = kafka.create_topic()
    kafka.produce(topic, records(1))
    running = start(write("topic: %s\nstart: latest" % topic))
    eventually("its start is stored", lambda: count(sqlite_target, "weir_positions") == 1)
    kafka.add_partitions(topic, 3)
    kafka.produce(topic, [{"value": value, "partition": 2} for value in records(10, 11)])
    wait_for(running, sqlite_target, 2)
    assert running.stop().code == 0
    assert [n for n in numbers(sqlite_target) if n >= 10] == [10, 11]


def test_start_latest_and_a_time(weir, write, kafka, sqlite_target):
    topic = kafka.create_topic()
    kafka.produce(topic, [{"value": value, "timestamp": 1700000000000 + 1000 * n} for n, value in enumerate(records(*range(10)))])
    file = write("topic: %s\nstart: 2023-11-14T22:13:25Z" % topic)
    once(weir, file)
    assert numbers(sqlite_target) == [5, 6, 7, 8, 9]


def test_start_latest(weir, write, kafka, sqlite_target):
    topic = kafka.create_topic()
    kafka.produce(topic, records(1, 2, 3))
    file = write("topic: %s\nstart: latest" % topic)
    once(weir, file)
    kafka.produce(topic, records(4))
    once(weir, file)
    assert numbers(sqlite_target) == [4]


@pytest.mark.parametrize("into", ["sqlite", "postgres", "topic"])
def test_a_partition_added_between_two_runs_has_its_beginning_read_by_a_lane_that_read_none_before(weir, pipeline, kafka, request, into):
    """Lane 1 has no partition at first. What lane 0 has stored says when `latest` was."""
    topic, out = kafka.create_topic(), kafka.create_topic()
    if into == "topic":
        writer, sinks = "  out: {topic: %s, from: input}" % out, ""
    else:
        target = request.getfixturevalue("sqlite_target" if into == "sqlite" else "database")
        writer, sinks = "", 'sinks: {out: {from: input, type: table, url: "%s", table: out, columns: {n: bigint}}}' % target.url
    file = pipeline("pipeline: %s\nkafka: {brokers: \"%s\"}\ntopics:\n  input: {topic: %s, start: latest, lanes: 2}\n%s\n%s\n" % (
        topic, kafka.servers, topic, writer, sinks))
    found = lambda: sorted(json.loads(record.value)["n"] for record in kafka.read(out)) if into == "topic" else numbers(target)  # noqa: E731
    kafka.produce(topic, records(1, 2))
    once(weir, file)
    kafka.add_partitions(topic, 2)
    kafka.produce(topic, [{"value": value, "partition": n % 2} for n, value in enumerate(records(3, 4, 5, 6))])
    once(weir, file)
    assert found() == [3, 4, 5, 6]


def test_a_pattern_reads_every_topic_that_matches(write, start, kafka, sqlite_target):
    name = kafka.create_topic(partitions=2)
    kafka.create_topic(name + "_b")
    kafka.create_topic("x" + name)
    kafka.produce(name, records(1, 2))
    kafka.produce("x" + name, records(99))
    kafka.produce(name + "_b", records(3))
    running = start(write('topic: "^%s"\nmetadata: [_topic]' % name, "n: bigint, _topic: text"))
    wait_for(running, sqlite_target, 3)
    kafka.create_topic(name + "_c")
    kafka.produce(name + "_c", records(4))
    wait_for(running, sqlite_target, 4)
    assert running.stop().code == 0
    assert sorted(rows(sqlite_target, "n, _topic")) == [(1, name), (2, name), (3, name + "_b"), (4, name + "_c")]


def test_a_pattern_does_not_mean_what_brokers_keep_for_themselves(weir, write, kafka, sqlite_target):
    name = kafka.create_topic()
    kafka.produce(name, records(1))
    eventually("the brokers have a topic of their own", lambda: kafka.committed("anybody", name) or any(
        topic.startswith("__") for topic in kafka.admin().list_topics(timeout=10).topics))
    once(weir, write('topic: "^(%s|__.*|weir_positions)$"' % name))
    assert numbers(sqlite_target) == [1]
    assert {partition.split("/")[0] for partition, in sqlite_target.query("SELECT partition FROM weir_positions")} == {name}


def test_a_topic_that_is_not_there_is_waited_for(weir, write, start, kafka, sqlite_target):
    topic = kafka.create_topic()
    kafka.delete_topic(topic)
    file = write("topic: %s\nstart: latest" % topic)
    running = start(file)

    def is_waiting():
        status = weir("status", file, "--json")
        return status.code == 0 and any(node["kind"] == "topic_reader" and node["state"] == "waiting" for node in status.json["nodes"])
    eventually("the reader waits", is_waiting)
    kafka.create_topic(topic)
    kafka.produce(topic, records(1, 2))
    wait_for(running, sqlite_target, 2)
    assert running.stop().code == 0


def test_once_does_not_wait_for_a_topic_that_nobody_makes(weir, write, kafka):
    result = once(weir, write("topic: never-made-by-anyone"), code=1)
    assert "topic never-made-by-anyone is not there, and --once does not wait" in result.err


def test_a_broker_that_dies_is_waited_for(write, start, kafka, sqlite_target):
    topic = kafka.create_topic(partitions=2)
    kafka.produce(topic, records(*range(50)))
    running = start(write("topic: %s" % topic))
    wait_for(running, sqlite_target, 50)
    kafka.kill()
    kafka.start()
    kafka.produce(topic, records(*range(50, 100)))
    wait_for(running, sqlite_target, 100)
    assert running.stop().code == 0
    assert numbers(sqlite_target) == list(range(100))


def test_workers_are_killed_while_they_read(write, start, kafka, sqlite_target):
    topic = kafka.create_topic(partitions=3)
    kafka.produce(topic, records(*range(30000)))
    running = start(write("topic: %s\nlanes: 2" % topic))
    dice = random.Random(7)
    for _ in range(15):
        wanted = min(count(sqlite_target, "out") + 500, 30000)
        wait_for(running, sqlite_target, wanted)
        found = running.workers()
        if found:
            try:
                os.kill(dice.choice(found).pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    wait_for(running, sqlite_target, 30000)
    assert running.stop().code == 0
    assert numbers(sqlite_target) == list(range(30000))


def test_options_of_the_library_are_checked(weir, write, kafka):
    file = write("topic: t")
    file.write_text(file.read_text().replace('"}\n', '", options: {fetch.max.bites: 1, group.id: x}}\n', 1))
    result = weir("check", file)
    assert result.code == 2, result
    assert 'No such configuration property: "fetch.max.bites"' in result.err + result.out, result
    assert "group.id" in result.err + result.out, result


def test_check_says_what_it_found(weir, write, kafka):
    topic = kafka.create_topic(partitions=5)
    result = weir("check", write("topic: %s" % topic), "--connect")
    assert result.code == 0 and "topic %s has 5 partitions" % topic in result.out, result
    assert "not encrypted: it does not leave this machine" in result.out, result
