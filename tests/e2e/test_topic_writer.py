"""Topics as a target: a real broker, read by an independent client with read_committed.

What is promised: each record is there exactly once for such a reader, whatever dies and whoever takes over.
"""
import json
import os
import random
import signal
import time

import pytest

from support import tcp_proxy
from support.waiting import eventually

PIPE = """
pipeline: w-%s
kafka: {brokers: "%s"}
sources:
  lines: {type: file, path: %s, follow: %s}
topics:
  output:
    from: lines
    topic: %s
%s
"""


@pytest.fixture
def write(pipeline, kafka, tmp_path):
    """write(topic, settings) writes a pipeline from the file `in.ndjson` into a topic."""
    def run(topic, settings="", follow=False, broker=None, name="pipeline.yaml", more=""):
        lines = "".join("    %s\n" % line for line in settings.strip().splitlines())
        text = PIPE % (topic, (broker or kafka).servers, tmp_path / "in.ndjson", str(follow).lower(), topic, lines)
        return pipeline(text + more, name)
    return run


def feed(tmp_path, records, mode="w"):
    with open(tmp_path / "in.ndjson", mode) as file:
        for record in records:
            file.write((record if isinstance(record, str) else json.dumps(record)) + "\n")


def numbered(*numbers, **more):
    return [dict({"id": n, "text": "number %d" % n}, **more) for n in numbers]


def once(weir, file, code=0):
    result = weir("run", file, "--once")
    assert result.code == code, result
    return result


def ids(kafka, topic):
    return sorted(json.loads(record.value)["id"] for record in kafka.read(topic))


def letters(weir, file):
    return weir("dlq", "list", file, "--json").json


def test_keys_go_where_java_puts_them(weir, write, kafka, tmp_path):
    topic, other = kafka.create_topic(partitions=5), kafka.create_topic(partitions=5)
    keys = ["key-%d" % n for n in range(300)] + ["", "ä", "x" * 1000]
    feed(tmp_path, [{"id": n, "k": key} for n, key in enumerate(keys)])
    once(weir, write(topic, "key: k"))
    kafka.produce(other, [(key, b"v") for key in keys], producer=kafka.producer(partitioner="murmur2_random"))
    ours = {record.key: record.partition for record in kafka.read(topic)}
    # An empty key is no key to librdkafka's own partitioner; to Java it is one.
    theirs = {record.key: record.partition for record in kafka.read(other) if record.key}
    assert {key: ours[key] for key in theirs} == theirs
    assert b"" in ours and len(ours) == len(set(keys))


def test_partitions_take_turns_without_a_key(weir, write, kafka, tmp_path):
    topic = kafka.create_topic(partitions=4)
    feed(tmp_path, numbered(*range(400)))
    once(weir, write(topic))
    found = kafka.read(topic)
    assert [sum(record.partition == p for record in found) for p in range(4)] == [100] * 4
    assert all(record.key is None for record in found)
    assert ids(kafka, topic) == list(range(400))


def test_order_within_a_key(weir, write, kafka, tmp_path):
    topic = kafka.create_topic(partitions=3)
    feed(tmp_path, [{"id": n, "k": "k%d" % (n % 7)} for n in range(5000)])
    once(weir, write(topic, "key: k\nrows: 100"))
    last = {}
    for record in kafka.read(topic):
        number = json.loads(record.value)["id"]
        assert number > last.get(record.key, -1)
        last[record.key] = number
    assert len(last) == 7


def test_values_keys_and_headers(weir, write, kafka, tmp_path):
    feed(tmp_path, [{"id": 7, "name": "Zoë", "tags": ["a", {"b": None}], "big": 18446744073709551615, "x": 0.1, "none": None}])
    topic = kafka.create_topic()
    once(weir, write(topic, "key: [id, name]\nkey_format: json\nvalue: [name, tags, big, absent, none]\n"
                            "headers: {who: name, n: id, void: none}"))
    (record,) = kafka.read(topic)
    assert json.loads(record.key) == {"id": 7, "name": "Zoë"}
    assert json.loads(record.value) == {"name": "Zoë", "tags": ["a", {"b": None}], "big": 18446744073709551615, "none": None}
    assert dict(record.headers) == {"who": "Zoë".encode(), "n": b"7"}

    plain = kafka.create_topic()
    once(weir, write(plain, "key: [id, name]\nformat: string\nvalue: name"))
    (record,) = kafka.read(plain)
    assert json.loads(record.key) == [7, "Zoë"] and record.value == "Zoë".encode()

    packed = kafka.create_topic()
    once(weir, write(packed, "key: id\nkey_format: msgpack\nformat: msgpack\nvalue: [id, name]"))
    (record,) = kafka.read(packed)
    assert record.key == b"\x81\xa2id\x07" and record.value == b"\x82\xa2id\x07\xa4name\xa4Zo\xc3\xab"


def test_the_order_of_a_key_is_judged_by_the_partitions_that_are_there(weir, kafka, tmp_path):
    # What `create` says counts for a topic that is not there; whether one is there, and how, is known with --connect alone.
    one, two, absent = kafka.create_topic(), kafka.create_topic(partitions=2), "absent-%d" % os.getpid()
    for topic, create, plain, connected in ((one, "", 1, 0), (two, "", 1, 1), (one, "create: {partitions: 1}", 0, 0),
                                            (two, "create: {partitions: 1}", 0, 1), (absent, "create: {partitions: 1}", 0, 0)):
        (tmp_path / "order.yaml").write_text(
            "kafka: {brokers: '%s'}\nsources:\n  lines: {type: file, path: '*.ndjson'}\n"
            "topics:\n  t:\n    from: lines\n    topic: %s\n    key: id\n    %s\n"
            "sinks:\n  out: {from: t, type: table, url: 'sqlite:x.db', table: t, mode: upsert, key: k}\n" % (kafka.servers, topic, create))
        for options, wanted in (((), plain), (("--connect",), connected)):
            result = weir("check", "order.yaml", *options)
            assert result.code == 0 and result.err.count("is partitioned by `id`") == wanted, (topic, create, options, result)


def test_a_topic_that_is_gone_asks(weir, write, kafka, tmp_path):
    topic = kafka.create_topic()
    feed(tmp_path, numbered(*range(10)))
    file = write(topic)
    once(weir, file)
    kafka.delete_topic(topic)
    result = once(weir, file, 1)
    assert "10 records were stored in it" in result.err, result
    assert topic not in kafka.topics()
    assert weir("positions", "set", file, "output", "--to", "earliest", "--yes").code == 0
    once(weir, file)
    assert ids(kafka, topic) == list(range(10))


def test_the_next_run_goes_on(weir, write, kafka, tmp_path):
    topic = kafka.create_topic(partitions=2)
    file = write(topic, "key: id")
    for start in (0, 100, 200):
        feed(tmp_path, numbered(*range(start, start + 100)), "a")
        once(weir, file)
    assert ids(kafka, topic) == list(range(300))
    shown = weir("positions", "show", file, "--json").json
    assert [position["rows"] for position in shown] == [300], shown


def test_at_least_once_has_no_transactions(weir, write, kafka, tmp_path):
    topic = kafka.create_topic(partitions=2)
    feed(tmp_path, numbered(*range(1000)))
    file = write(topic, "key: id\ndelivery: at_least_once\ncompression: zstd")
    once(weir, file)
    assert ids(kafka, topic) == list(range(1000))
    assert sum(kafka.ends(topic).values()) == 1000  # no markers of transactions
    feed(tmp_path, numbered(1000), "a")
    once(weir, file)
    assert ids(kafka, topic) == list(range(1001))


def test_a_key_by_an_expression(weir, write, kafka, tmp_path):
    topic = kafka.create_topic(partitions=2)
    feed(tmp_path, [{"id": 1, "a": {"b": "x"}}, {"id": 2}])
    file = write(topic, """key_sql: "id || ':' || \\"a.b\\"" """, more="dead_letters: {stop_above: 1}\n")
    once(weir, file)
    assert [record.key for record in kafka.read(topic)] == [b"1:x"]
    assert [letter["code"] for letter in letters(weir, file)] == ["null-key"]


def test_positions_get_another_name(weir, write, kafka, tmp_path):
    topic = kafka.create_topic()
    feed(tmp_path, numbered(*range(100)))
    file = write(topic)
    once(weir, file)
    renamed = tmp_path / "renamed.yaml"
    renamed.write_text(file.read_text().replace("pipeline: w-", "pipeline: other-").replace("  output:", "  written:"))
    moved = weir("positions", "rename", renamed, "written", "--pipeline", "w-" + topic, "--sink", "output", "--yes")
    assert moved.code == 0, moved
    feed(tmp_path, numbered(100), "a")
    once(weir, renamed)
    assert ids(kafka, topic) == list(range(101))


def test_what_cannot_be_a_message_is_a_dead_letter(weir, write, kafka, tmp_path):
    topic = kafka.create_topic(config={"max.message.bytes": "20000"})
    feed(tmp_path, [{"id": 1, "k": "a"}, {"id": 2}, {"id": 3, "k": None}, {"id": 4, "k": "b", "blob": "x" * 30000}, {"id": 5, "k": "c"}])
    file = write(topic, "key: k", more="dead_letters: {stop_above: 1}\n")
    once(weir, file)
    assert ids(kafka, topic) == [1, 5]
    assert sorted(letter["code"] for letter in letters(weir, file)) == ["null-key", "null-key", "too-large"]


def test_headers_count(weir, write, kafka, tmp_path):
    topic = kafka.create_topic(config={"max.message.bytes": "20000"})
    feed(tmp_path, [{"id": 1, "h": "x" * 30000}, {"id": 2, "h": "y" * 10000}])
    file = write(topic, "value: [id]\nheaders: {h: h}", more="dead_letters: {stop_above: 1}\n")
    once(weir, file)
    assert ids(kafka, topic) == [2]
    assert [letter["code"] for letter in letters(weir, file)] == ["too-large"]


def test_what_the_topic_takes_changes_while_it_runs(start, weir, write, kafka, tmp_path):
    """The brokers refuse what was fine when the topic was looked at: it is looked at again."""
    topic = kafka.create_topic()
    feed(tmp_path, numbered(*range(100)))
    file = write(topic, "key: k", more="dead_letters: {stop_above: 1}\n", follow=True)
    feed(tmp_path, numbered(*range(100), k="k"))
    running = start(file)
    counter = kafka.counter(topic)
    eventually("it writes", lambda: counter.count() >= 100)
    kafka.configure_topic(topic, {"max.message.bytes": "3000"})
    blob = "".join(random.Random(n).choice("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") for n in range(5000))
    feed(tmp_path, [{"id": 100, "k": "k", "blob": blob}] + numbered(*range(101, 1000), k="k"), "a")
    eventually("the others are there", lambda: counter.count() >= 999)
    running.stop()
    assert ids(kafka, topic) == [n for n in range(1000) if n != 100]
    assert [letter["code"] for letter in letters(weir, file)] == ["too-large"]


def test_dead_letters_go_to_a_topic_in_the_same_transaction(weir, write, kafka, tmp_path):
    topic, dead = kafka.create_topic(), kafka.create_topic()
    broken = '{"id": 2, "k": '
    feed(tmp_path, [{"id": 1, "k": "a"}, broken, {"id": 3}, {"id": 4, "k": "b"}])
    file = write(topic, "key: k", more="dead_letters: {stop_above: 1, topic: %s}\n" % dead)
    done = once(weir, file)
    assert "topic=%s" % dead in done.err and "weir dlq" not in done.err, "who looks into the stores finds none"
    assert ids(kafka, topic) == [1, 4]
    found = {dict(record.headers)["weir.code"].decode(): record for record in kafka.read(dead)}
    assert set(found) == {"json", "null-key"}
    assert found["json"].value == broken.encode() and dict(found["json"].headers)["weir.node"] == b"lines"
    headers = dict(found["null-key"].headers)
    assert json.loads(found["null-key"].value) == {"id": 3} and headers["weir.node"] == b"output" and headers["weir.column"] == b"k"
    assert b"in.ndjson" in headers["weir.origin"] and headers["weir.reason"]
    listed = weir("dlq", "list", file, "--json")
    assert listed.json == [] and "lie in topic %s only" % dead in listed.err, listed
    once(weir, file)
    assert kafka.count(dead) == 2


def test_a_compacted_topic_needs_keys(weir, write, kafka, tmp_path):
    topic = kafka.create_topic(config={"cleanup.policy": "compact"})
    feed(tmp_path, [{"id": 1}])
    file = write(topic, "", more="dead_letters: {stop_above: 1}\n")
    assert "compacted and takes no message without a key" in weir("check", file, "--connect").err
    once(weir, file)
    assert [letter["code"] for letter in letters(weir, file)] == ["no-key"]


# ---- deaths


@pytest.mark.parametrize("settings", ["key: id\nrows: 200", "key: id\nrows: 5000\ncompression: none"])
def test_killed_again_and_again(start, write, kafka, tmp_path, settings):
    """Each time in the middle of what was just fed to it."""
    topic, each, times = kafka.create_topic(partitions=3), 8000, 12
    chance, counter = random.Random(settings), kafka.counter(topic)
    feed(tmp_path, [])
    running = start(write(topic, settings, follow=True))
    for n in range(times):
        worker = running.worker("sinker")
        feed(tmp_path, numbered(*range(n * each, (n + 1) * each)), "a")
        time.sleep(chance.random() * 0.3)
        try:
            os.kill(worker.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it was the one killed before, seen before it was reaped
    eventually("all is there", lambda: counter.count() >= times * each)
    running.stop()
    assert ids(kafka, topic) == list(range(times * each))


def test_the_whole_instance_is_killed(start, weir, write, kafka, tmp_path):
    topic, total = kafka.create_topic(partitions=3), 100000
    feed(tmp_path, numbered(*range(total)))
    file = write(topic, "key: id\nrows: 300")
    for _ in range(4):
        running = start(file, "--once")
        time.sleep(0.7)
        running.kill_tree()
    once(weir, file)
    assert ids(kafka, topic) == list(range(total))


def test_the_broker_is_killed(start, write, kafka, tmp_path):
    topic, total = kafka.create_topic(partitions=3), 100000
    feed(tmp_path, numbered(*range(total // 2)))
    running = start(write(topic, "key: id\nrows: 300", follow=True))
    eventually("something is there", lambda: kafka.count(topic) > 0)
    kafka.kill()
    feed(tmp_path, numbered(*range(total // 2, total)), "a")
    kafka.start()
    counter = kafka.counter(topic)
    eventually("all is there", lambda: counter.count() >= total)
    running.stop()
    assert ids(kafka, topic) == list(range(total))


def test_a_transaction_that_takes_too_long(start, write, kafka, tmp_path):
    """The worker sleeps longer than the brokers wait: they end its transaction, and it begins again."""
    topic, total = kafka.create_topic(partitions=2), 40000
    feed(tmp_path, numbered(*range(total)))
    running = start(write(topic, "key: id\nrows: 500\ntransaction_timeout: 1s", follow=True))
    counter = kafka.counter(topic)
    eventually("something is there", lambda: counter.count() > 0)
    pid = running.worker("sinker").pid
    os.kill(pid, signal.SIGSTOP)
    time.sleep(14)  # the brokers look for such transactions every ten seconds
    os.kill(pid, signal.SIGCONT)
    eventually("all is there", lambda: counter.count() >= total)
    running.stop()
    assert ids(kafka, topic) == list(range(total))


def test_a_foreign_transaction_is_pending_where_positions_are_read(weir, write, kafka, tmp_path):
    """Positions behind an open transaction of somebody else are waited for, never overlooked."""
    topic = kafka.create_topic()
    file = write(topic, "key: id")
    feed(tmp_path, numbered(*range(100)))
    once(weir, file)
    pending = kafka.producer(transactional_id="foreign-" + topic, transaction_timeout_ms=15000)
    pending.init_transactions(60)
    pending.begin_transaction()
    for number in kafka.partitions("weir_positions"):
        pending.produce("weir_positions", key=b"foreign", value=b"{}", partition=number)
    pending.flush(60)
    feed(tmp_path, numbered(*range(100, 200)), "a")
    once(weir, file)
    # What was stored behind the pending transaction is waited for by the next start.
    feed(tmp_path, numbered(*range(200, 300)), "a")
    once(weir, file)
    del pending
    assert ids(kafka, topic) == list(range(300))


HURTS = [(api, side, act)
         for api in (tcp_proxy.INIT_PRODUCER_ID, tcp_proxy.ADD_PARTITIONS, tcp_proxy.PRODUCE, tcp_proxy.END_TXN)
         for side, act in (("request", "cut"), ("request", "orphan"), ("answer", "cut"))]


def test_connections_break_in_the_middle_of_a_transaction(start, write, kafka_proxied, tmp_path):
    """Also the worst: an end of a transaction that arrives when its sender has long begun another one."""
    kafka, proxy = kafka_proxied
    topic, each = kafka.create_topic(partitions=3), 1000
    file = write(topic, "key: id\nrows: 200\ntransaction_timeout: 5s", follow=True, broker=kafka)
    file.write_text(file.read_text().replace(kafka.servers, proxy.address))
    feed(tmp_path, numbered(*range(each)))
    running, total = start(file), each
    counter = kafka.counter(topic)
    eventually("it writes", lambda: counter.count() >= total)
    for api, side, act in HURTS:
        if api == tcp_proxy.INIT_PRODUCER_ID:
            proxy.on(api, side, act)
            os.kill(running.worker("sinker").pid, signal.SIGKILL)  # its successor meets it
        else:
            proxy.on(api, side, act, skip=1)
        feed(tmp_path, numbered(*range(total, total + each)), "a")
        total += each
        assert proxy.wait_until_acted(60), "%s of %s was never met" % (act, api)
        eventually("all is there behind %s %s %s" % (api, side, act), lambda: counter.count() >= total)
        assert running.alive, running.result()
    running.stop()
    assert ids(kafka, topic) == list(range(total))


@pytest.mark.parametrize("anew", [True, False])
def test_a_broker_that_has_not_learned_of_the_positions_yet(weir, write, kafka_proxied, tmp_path, anew):
    """In a cluster brokers learn of a topic one after the other: who is asked next may not know what the last one knew. Wherever positions
    were written, the next run finds them."""
    kafka, proxy = kafka_proxied
    topic = kafka.create_topic(partitions=2)
    file = write(topic, "key: id", broker=kafka)
    file.write_text(file.read_text().replace(kafka.servers, proxy.address))
    feed(tmp_path, [])
    for n in range(4):
        if anew and n == 0 and "weir_positions" in kafka.topics():
            kafka.delete_topic("weir_positions")
        feed(tmp_path, numbered(*range(n * 100, n * 100 + 100)), "a")
        if (n == 0) == anew:
            proxy.fall_behind("weir_positions")
        once(weir, file)
        assert ids(kafka, topic) == list(range(n * 100 + 100))


def test_an_older_broker(weir, write, kafka39, tmp_path):
    topic, dead = "older", "older-dead"
    feed(tmp_path, numbered(*range(1000)) + [{"id": 1000, "text": None}])
    file = write(topic, "key: text\ncreate: {partitions: 3}", broker=kafka39, more="dead_letters: {topic: %s}\n" % dead)
    once(weir, file)
    feed(tmp_path, numbered(1001), "a")
    once(weir, file)
    assert ids(kafka39, topic) == list(range(1000)) + [1001] and kafka39.count(dead) == 1


# ---- two instances


def positions_owner(weir, file, *more):
    return [position.get("owner", "") for position in weir("positions", "show", file, "--json", *more).json]


def test_a_second_instance_waits_and_takes_over(start, weir, write, kafka, tmp_path):
    topic = kafka.create_topic(partitions=2)
    file = write(topic, "key: id", follow=True)
    feed(tmp_path, numbered(*range(1000)))
    first = start(file, "--state", tmp_path / "one")
    counter = kafka.counter(topic)
    eventually("the first writes", lambda: counter.count() >= 1000)
    second = start(file, "--state", tmp_path / "two")
    eventually("the second says whom it waits for", lambda: "belongs to a running instance" in second.err)
    feed(tmp_path, numbered(*range(1000, 2000)), "a")
    eventually("the first goes on", lambda: counter.count() >= 2000)
    assert first.alive and second.alive
    first.kill_tree()
    feed(tmp_path, numbered(*range(2000, 3000)), "a")
    eventually("the second has taken over", lambda: counter.count() >= 3000)
    second.stop()
    assert ids(kafka, topic) == list(range(3000))


def test_a_frozen_instance_is_fenced(start, write, kafka, tmp_path):
    topic, total = kafka.create_topic(partitions=2), 150000
    file = write(topic, "key: id\nrows: 300", follow=True)
    feed(tmp_path, numbered(*range(total // 2)))
    first = start(file, "--state", tmp_path / "one")
    counter = kafka.counter(topic)
    eventually("the first writes", lambda: counter.count() > 1000)
    first.freeze()
    second = start(file, "--state", tmp_path / "two", "--take-over")
    feed(tmp_path, numbered(*range(total // 2, total)), "a")
    eventually("the second writes", lambda: "connected to Kafka" in second.err)
    first.freeze(signal.SIGCONT)
    gone = first.wait()
    assert gone.code == 1 and "another instance" in gone.err, gone
    eventually("all is there", lambda: counter.count() >= total)
    second.stop()
    assert ids(kafka, topic) == list(range(total))


def test_a_position_that_is_set_while_it_runs(start, weir, write, kafka, tmp_path):
    topic = kafka.create_topic(partitions=2)
    file = write(topic, "key: id", follow=True)
    feed(tmp_path, numbered(*range(1000)))
    running = start(file)
    counter = kafka.counter(topic)
    eventually("all is there", lambda: counter.count() >= 1000)
    changed = weir("positions", "set", file, "output", "--to", "earliest", "--yes")
    assert changed.code == 0, changed
    feed(tmp_path, numbered(1000), "a")
    eventually("all is there again", lambda: counter.count() >= 2001)
    running.stop()
    assert ids(kafka, topic) == sorted(list(range(1000)) * 2 + [1000])


# ---- from topic to topic


HOP = """
pipeline: hop-%s
kafka: {brokers: "%s"}
topics:
  input: {topic: %s, %s}
  output: {from: kept, topic: %s, key: id, rows: 300}
transforms:
  kept: {sql: "SELECT id, _partition AS p, _offset AS o FROM input"}
"""


class Load:
    """Records in `topic`, more of them whenever asked."""

    def __init__(self, kafka, partitions):
        self.kafka, self.total = kafka, 0
        self.topic, self.copy = kafka.create_topic(partitions=partitions), kafka.create_topic(partitions=3)
        self.counter = kafka.counter(self.copy)

    def add(self, count):
        self.kafka.produce(self.topic, [("k%d" % n, json.dumps({"id": n})) for n in range(self.total, self.total + count)])
        self.total += count

    def wait(self, instances=()):
        def look():
            for one in instances:
                assert one.alive, one.result()
            return self.counter.count() >= self.total
        eventually("%d records are copied" % self.total, look, pause=0.1)

    def check(self):
        assert ids(self.kafka, self.copy) == list(range(self.total))


@pytest.fixture
def hop(pipeline, kafka):
    def write(load, settings, name="hop.yaml"):
        return pipeline(HOP % (load.topic, kafka.servers, load.topic, settings, load.copy), name)
    return write


def test_a_tombstone_stays_one(weir, kafka, hop):
    load = Load(kafka, 2)
    kafka.produce(load.topic, [("7", b'{"id": 7}'), ("8", b'{"id": 8}'), {"key": "7", "value": None}])
    file = hop(load, "start: earliest")
    file.write_text(file.read_text().replace("rows: 300", "value: [id]").replace("SELECT id,", "SELECT id, _key,"))
    once(weir, file)
    assert sorted((record.key, record.value is None) for record in kafka.read(load.copy)) == [(b"7", False), (b"7", True), (b"8", False)]


def test_every_worker_of_a_hop_is_killed(start, kafka, hop):
    load = Load(kafka, 4)
    running = start(hop(load, "lanes: 2"))
    chance = random.Random(11)
    for n in range(9):
        load.add(3000)
        time.sleep(chance.random() * 0.3)
        workers = running.workers(("producer", "transformer", "sinker")[n % 3])
        if workers:
            try:
                os.kill(chance.choice(workers).pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # the one killed before, seen before it was reaped
    load.wait([running])
    running.stop()
    load.check()


def test_four_lanes_become_two_while_the_old_instance_sleeps(start, kafka, hop, tmp_path):
    load = Load(kafka, 4)
    load.add(20000)
    first = start(hop(load, "lanes: 4", "four.yaml"), "--state", tmp_path / "one")
    eventually("the first writes", lambda: load.counter.count() > 2000)
    first.freeze()
    second = start(hop(load, "lanes: 2", "two.yaml"), "--state", tmp_path / "two", "--take-over")
    load.add(20000)
    eventually("the second writes", lambda: second.err.count("connected to Kafka") == 2)
    first.freeze(signal.SIGCONT)
    gone = first.wait()
    assert gone.code == 1 and "another instance" in gone.err, gone
    load.wait([second])
    second.stop()
    load.check()


def test_three_instances_share_a_topic(start, kafka, hop, tmp_path):
    load = Load(kafka, 12)
    file = hop(load, "assign: group, lanes: 2")
    instances = [start(file, "--state", tmp_path / str(n)) for n in range(2)]
    load.add(10000)
    load.wait(instances)
    instances.append(start(file, "--state", tmp_path / "2"))  # one comes
    load.add(10000)
    load.wait(instances)
    instances[0].kill_tree()  # one goes
    load.add(10000)
    load.wait(instances[1:])
    instances[1].freeze()  # one sleeps, and wakes up when others have its partitions
    load.add(10000)
    load.wait(instances[2:])
    instances[1].freeze(signal.SIGCONT)
    load.add(10000)
    load.wait(instances[1:])
    for one in instances[1:]:
        one.stop()
    load.check()
