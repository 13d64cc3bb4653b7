"""Pipelines through topics of a real broker: chain after chain, each record once, whatever is killed; the end of a run with --once, a stop,
a reload; dead letters in a topic; what status, account and positions say. confluent-kafka reads the topics, sqlite3 the table.
"""
import json
import os
import random
import signal
import time
from collections import Counter

import pytest

from support.waiting import eventually

PIPELINE = """
pipeline: %(own)s
kafka: {brokers: "%(brokers)s"}
sources:
  numbers: {type: generate, sql: "SELECT partition * 1000000 + n AS id, n %% 7 AS k", count: %(count)d, partitions: 3, rate: %(rate)d}
topics:
  raw: {from: numbers, topic: %(raw)s, key: id, create: {partitions: 4}, lanes: 2}
  cooked: {from: a, topic: %(cooked)s, key: id, create: {partitions: 2}, lanes: 2}
transforms:
  a:
    sql: SELECT id, k, _partition AS p FROM raw
    columns: {id: bigint not null, k: int, p: int}
    checks: {round: id %% 100 <> 0}
sinks:
  out: {from: cooked, type: table, url: "%(url)s", table: t, commit_every: 10ms}
dead_letters: {topic: %(dead)s}
"""


class Topics:
    """One pipeline on topics of its own, and what has to be there at the end."""

    def __init__(self, kafka, target, pipeline, count, rate=0):
        own = "p%d-%d" % (os.getpid(), random.randrange(1 << 30))
        self.kafka, self.target, self.count = kafka, target, count
        self.own = own  # positions in topics are found by the pipeline's name
        self.raw, self.cooked, self.dead = own + ".raw", own + ".cooked", own + ".dead"
        self.file = pipeline(PIPELINE % {"own": own, "brokers": kafka.servers, "count": count, "rate": rate, "url": target.url, "raw": self.raw,
                                         "cooked": self.cooked, "dead": self.dead})

    def ids(self):
        return [partition * 1000000 + n for partition in range(3) for n in range(1, self.count + 1)]

    def check(self):
        """Lost 0, doubled 0, in every place; the order of each partition kept."""
        good = sorted(one for one in self.ids() if one % 100)
        bad = sorted(one for one in self.ids() if not one % 100)
        raw, cooked = self.kafka.read(self.raw), self.kafka.read(self.cooked)
        assert sorted(json.loads(record.value)["id"] for record in raw) == sorted(self.ids())
        assert all(record.key == b"%d" % json.loads(record.value)["id"] for record in raw)
        assert sorted(json.loads(record.value)["id"] for record in cooked) == good
        assert sorted(one for one, in self.target.query("SELECT id FROM t")) == good
        assert sorted(json.loads(record.value)["id"] for record in self.kafka.read(self.dead)) == bad
        for topic in (raw, cooked):
            last = {}
            for record in topic:
                value = json.loads(record.value)
                one = value["id"]
                # Of one partition of the source, by one partition of the topic before, in one partition of this topic.
                way = (record.partition, value.get("p"), one // 1000000)
                assert last.get(way, 0) < one, "the order is broken in partition %d" % record.partition
                last[way] = one


@pytest.fixture
def topics(kafka, sqlite_target, pipeline):
    return lambda count, rate=0: Topics(kafka, sqlite_target, pipeline, count, rate)


def rows(answer, name):
    return {row["kind"]: row for row in answer["nodes"] if row["name"] == name}


def test_once_ends_chain_after_chain(topics, weir, kafka):
    through = topics(1000)
    done = weir("run", through.file, "--once", "--json")
    assert done.code == 0, done
    through.check()
    assert len(kafka.partitions(through.raw)) == 4 and len(kafka.partitions(through.cooked)) == 2
    # The account covers all chains; a topic that is written and read has two rows.
    raw, cooked = rows(done.json, "raw"), rows(done.json, "cooked")
    assert list(raw) == ["topic_writer", "topic_reader"]
    assert [raw[kind]["out"] for kind in raw] == [3000, 3000]
    assert [cooked[kind]["in"] for kind in cooked] == [2970, 2970]
    assert rows(done.json, "a")["sql"]["dead"] == 30
    assert rows(done.json, "out")["table"]["out"] == 2970
    # A second run finds nothing to do, and ends as well.
    again = weir("run", through.file, "--once", "--json")
    assert again.code == 0, again
    assert all(row["out"] == 0 for row in again.json["nodes"]), again
    through.check()


def test_workers_are_killed(topics, start):
    """Any worker at any moment, in all chains at once."""
    through = topics(20000)
    chance = random.Random(4)
    one = start(through.file, "--once")
    kills = Counter()
    while one.alive and sum(kills.values()) < 40:
        time.sleep(chance.random() * 0.2)
        workers = one.workers()
        if not workers:
            continue
        victim = chance.choice(workers)
        try:
            os.kill(victim.pid, signal.SIGKILL)
            kills[victim.role, victim.node] += 1
        except ProcessLookupError:
            pass
    done = one.wait()
    assert done.code == 0, done
    assert sum(kills.values()) > 5, "the run was over before enough was killed: %r" % kills
    through.check()


def test_the_tree_is_killed(topics, start, weir):
    through = topics(20000)
    chance = random.Random(5)
    for _ in range(4):
        one = start(through.file, "--once")
        eventually("the pipeline is at work", lambda: not one.alive or len(one.workers("sinker")) >= 5)
        time.sleep(chance.random() * 0.8)
        one.kill_tree()
    done = weir("run", through.file, "--once")
    assert done.code == 0, done
    through.check()


def test_stop_and_reload(topics, start, weir, kafka):
    """SIGTERM drains all chains; SIGHUP drains them and goes on with the new file."""
    through = topics(4000, rate=4000)
    one = start(through.file)
    eventually("rows arrive", lambda: "t" in through.target.tables() and through.target.query("SELECT count(*) FROM t")[0][0] > 100)
    text = through.file.read_text()
    through.file.write_text(text.replace("commit_every: 10ms", "commit_every: 20ms").replace("rate: 4000", "rate: 5000"))
    os.kill(one.pid, signal.SIGHUP)
    eventually("the new file runs", lambda: one.err.count("msg=started") == 2)
    before = through.target.query("SELECT count(*) FROM t")[0][0]
    eventually("rows arrive again", lambda: through.target.query("SELECT count(*) FROM t")[0][0] > before)
    stopped = one.stop()
    assert stopped.code == 0, stopped
    # What was read of a topic is stored: the readers' committed offsets, for the tools that show lag, say no less than the table has.
    assert kafka.committed("weir-%s-raw" % through.own, through.raw), "no offsets for the tools"
    done = weir("run", through.file, "--once")
    assert done.code == 0, done
    through.check()


def test_status(topics, start, weir):
    through = topics(100000, rate=300)
    one = start(through.file)
    eventually("rows arrive", lambda: "t" in through.target.tables() and through.target.query("SELECT count(*) FROM t")[0][0] > 10)
    answer = weir("status", through.file, "--json").json
    kinds = Counter((row["name"], row["kind"], row["role"]) for row in answer["nodes"])
    assert kinds["raw", "topic_writer", "sinker"] >= 1 and kinds["raw", "topic_reader", "producer"] == 2, kinds  # one per lane
    assert kinds["cooked", "topic_writer", "sinker"] == 2 and kinds["cooked", "topic_reader", "producer"] == 2, kinds
    assert all(isinstance(row["lag_s"], (int, float)) for row in answer["nodes"])
    assert any(row["position"] > 0 for row in answer["nodes"] if row["kind"] == "topic_reader"), answer
    graph = weir("graph", through.file).out
    assert "raw  topic %s, written and read" % through.raw in graph, graph
    ended = one.stop()
    assert "worker=raw:writer/0" in ended.err and "worker=raw:reader/0" in ended.err, ended


def test_options_of_one_kind_of_client_are_no_warning(topics, weir):
    """One map is for all clients of a run: writers, readers, and those that look at topics."""
    through = topics(100)
    through.file.write_text(through.file.read_text().replace(
        '"}\nsources', '", options: {linger.ms: 7, queue.buffering.max.kbytes: 100000, fetch.wait.max.ms: 70, check.crcs: false}}\nsources', 1))
    assert "linger.ms" in through.file.read_text()
    done = weir("run", through.file, "--once")
    assert done.code == 0, done
    assert "CONFWARN" not in done.err and "will be ignored" not in done.err, done
    through.check()


COPIES = """
pipeline: %(dead)s
kafka: {brokers: "%(brokers)s"}
sources:
  lines: {type: file, path: in.ndjson}
  numbers: {type: generate, sql: "SELECT n AS id", count: %(count)d, partitions: 2}
transforms:
  even: {sql: SELECT id FROM numbers, columns: {id: bigint not null}, checks: {even: id %% 2 = 0}}
sinks:
  out: {from: even, type: table, url: "%(url)s", table: t}
  copy: {from: lines, type: file, path: out.ndjson}
dead_letters: {topic: %(dead)s, stop_above: 100%%}
"""


@pytest.fixture
def copies(kafka, target, pipeline, tmp_path):
    """A table and a file whose dead letters are copied: each line of the file is broken, half of the numbers are refused."""
    def write(count):
        dead = "c%d-%d" % (os.getpid(), random.randrange(1 << 30))
        with open(tmp_path / "in.ndjson", "w") as file:
            for n in range(count):
                file.write('{"broken": %d\n' % n)
        return pipeline(COPIES % {"brokers": kafka.servers, "count": count, "url": target.url, "dead": dead}), dead
    return write


def copied(kafka, dead):
    found = []
    for record in kafka.read(dead):
        headers = {name: value.decode() for name, value in record.headers}
        found.append((headers["weir.node"], json.loads(headers["weir.origin"])["sink"], record.value.decode(), headers))
    return found


def check_copies(kafka, dead, count):
    found = copied(kafka, dead)
    lines = sorted(value for node, sink, value, _ in found if (node, sink) == ("lines", "copy"))
    assert lines == sorted('{"broken": %d' % n for n in range(count)), "original bytes, each once"
    numbers = sorted(json.loads(value)["id"] for node, sink, value, _ in found if (node, sink) == ("even", "out"))
    assert numbers == sorted(2 * [n for n in range(1, count + 1) if n % 2])
    assert len(found) == len(lines) + len(numbers)


def test_dead_letters_are_copied(kafka, copies, weir):
    file, dead = copies(60)
    done = weir("run", file, "--once", "--json")
    assert done.code == 0, done
    check_copies(kafka, dead, 60)
    headers = next(headers for node, _, _, headers in copied(kafka, dead) if node == "even")
    assert headers["weir.code"] == "check" and headers["weir.reason"] == "even" and len(headers["weir.id"]) == 32
    # The stores stay the authority, and a letter is not copied again.
    listed = weir("dlq", "list", file, "--json").json
    assert len(listed) == len(copied(kafka, dead))
    assert weir("run", file, "--once").code == 0
    check_copies(kafka, dead, 60)


def test_a_store_that_was_made_anew_is_copied_from_its_beginning(kafka, copies, weir, target):
    """As `rm eonet.db` does it: the table is filled again from the source, and what dies again is copied again."""
    def by_sink():
        sinks = [sink for _, sink, _, _ in copied(kafka, dead)]
        return sinks.count("out"), sinks.count("copy")
    file, dead = copies(10)
    assert weir("run", file, "--once").code == 0
    assert by_sink() == (10, 10)
    target.empty()
    for _ in range(2):
        done = weir("run", file, "--once")
        assert done.code == 0, done
        assert by_sink() == (20, 10)


def test_copies_survive_kills(kafka, copies, start, weir):
    file, dead = copies(3000)
    chance = random.Random(6)
    one = start(file, "--once")
    killed = 0
    while one.alive and killed < 25:
        time.sleep(chance.random() * 0.1)
        workers = one.workers(node="letters:out") + one.workers(node="letters:copy") + one.workers("sinker")
        if workers:
            try:
                os.kill(chance.choice(workers).pid, signal.SIGKILL)
                killed += 1
            except ProcessLookupError:
                pass
    done = one.wait()
    assert done.code == 0, done
    assert killed > 2
    check_copies(kafka, dead, 3000)


def test_an_idle_source_of_copies_follows(kafka, copies, start, tmp_path):
    """Without --once: letters that come while it runs are copied, too."""
    file, dead = copies(10)
    file.write_text(file.read_text().replace("path: in.ndjson", "path: in.ndjson, follow: true"))
    one = start(file)
    eventually("the first letters are copied", lambda: kafka.count(dead) == 20 if dead in kafka.topics() else False)
    with open(tmp_path / "in.ndjson", "a") as lines:
        lines.write('{"broken": 10\n')
    eventually("one more is copied", lambda: kafka.count(dead) == 21)
    assert one.stop().code == 0


RETRIED = """
pipeline: %(own)s
kafka: {brokers: "%(brokers)s"}
sources:
  numbers: {type: generate, sql: "SELECT n AS id, nullif(n %% 10, 0) AS k", count: 200}
topics:
  raw: {from: numbers, topic: %(own)s.raw, key: %(key)s, create: {partitions: 2}}
transforms:
  a: {sql: SELECT id FROM raw, columns: {id: bigint not null}, checks: {good: id %% %(bad)d <> 0}}
sinks:
  out: {from: a, type: table, url: "%(url)s", table: t}
"""


def test_letters_of_topics_are_sent_again(kafka, sqlite_target, pipeline, weir):
    """Rows that the writer of a topic has refused go to the topic again; what a stage behind it has refused, to that stage."""
    own = "r%d-%d" % (os.getpid(), random.randrange(1 << 30))
    words = {"own": own, "brokers": kafka.servers, "url": sqlite_target.url}
    file = pipeline(RETRIED % dict(words, key="k", bad=7))
    done = weir("run", file, "--once")
    assert done.code == 0, done
    letters = Counter((one["node"], one["code"]) for one in weir("dlq", "list", file, "--json").json)
    unsevenths = [n for n in range(1, 201) if n % 10 and not n % 7]
    assert letters == {("raw", "null-key"): 20, ("a", "check"): len(unsevenths)}, letters
    assert kafka.count(own + ".raw") == 180
    # A key that every row has; a check that all pass.
    pipeline(RETRIED % dict(words, key="id", bad=1000))
    done = weir("dlq", "retry", file)
    assert done.code == 0, done
    assert kafka.count(own + ".raw") == 200
    done = weir("run", file, "--once")
    assert done.code == 0, done
    assert sorted(one for one, in sqlite_target.query("SELECT id FROM t")) == list(range(1, 201))
    assert weir("dlq", "list", file, "--json").json == []


def test_a_retry_says_what_lies_in_a_topic_only(kafka, topics, weir):
    through = topics(200)
    assert weir("run", through.file, "--once").code == 0
    done = weir("dlq", "retry", through.file)
    assert "lie in topic %s only" % through.dead in done.err, done
    assert kafka.count(through.dead) == 6


ORDERS = {"topics": "topics:\n  t: {from: a, topic: %(own)s.t, key: id}\n",
          "sinks": "sinks:\n  out: {from: a, type: table, url: '%(url)s', table: t}\n"}


@pytest.mark.parametrize("first, second", [("topics", "sinks"), ("sinks", "topics")])
def test_letters_can_be_sent_again_in_whatever_order_the_file_stands(kafka, sqlite_target, pipeline, weir, first, second):
    """A stage feeds a topic and a table: its letters lie at the table, with a copy in the topic of dead letters."""
    own = "o%d-%d" % (os.getpid(), random.randrange(1 << 30))

    def write(bad):
        return pipeline(("pipeline: %(own)s\nkafka: {brokers: '%(brokers)s'}\ndead_letters: {topic: %(own)s.dead}\n"
                         "sources:\n  numbers: {type: generate, sql: SELECT n AS id, count: 50}\n"
                         "transforms:\n  a: {sql: SELECT id FROM numbers, columns: {id: bigint not null}, checks: {c: id %% %(bad)d <> 0}}\n"
                         + ORDERS[first] + ORDERS[second]) % {"own": own, "brokers": kafka.servers, "bad": bad, "url": sqlite_target.url})
    file = write(10)
    done = weir("run", file, "--once")
    assert done.code == 0, done
    assert [(one["node"], one["sink"]) for one in weir("dlq", "list", file, "--json").json] == [("a", "out")] * 5
    assert sorted(json.loads(record.value)["id"] for record in kafka.read(own + ".dead")) == [10, 20, 30, 40, 50]
    again = weir("dlq", "retry", write(1000))
    assert again.code == 0, again
    assert sorted(one for one, in sqlite_target.query("SELECT id FROM t")) == list(range(1, 51))
    assert sorted(json.loads(record.value)["id"] for record in kafka.read(own + ".t")) == list(range(1, 51))
    assert weir("dlq", "list", file, "--json").json == []


def test_positions_of_topics(kafka, topics, weir):
    """`weir positions` shows and changes what lies in weir_positions as it does with a database."""
    through = topics(100)
    assert weir("run", through.file, "--once").code == 0
    shown = weir("positions", "show", through.file, "--json").json
    places = {(row["sink"], row["source"], row["partition"]): row["position"] for row in shown}
    assert [places["raw", "numbers", str(n)] for n in range(3)] == [100, 100, 100], shown
    assert {sink for sink, _, _ in places} >= {"raw", "cooked", "out"}, shown
    done = weir("positions", "set", through.file, "raw", "--source", "numbers", "--partition", "1", "--to", "0", "--yes")
    assert done.code == 0, done
    done = weir("run", through.file, "--once")
    assert done.code == 0, done
    assert kafka.count(through.raw) == 400, "what was asked for is sent once more"


def test_check_asks_the_brokers(kafka, topics, weir):
    through = topics(10)
    made = weir("check", through.file, "--connect")
    assert made.code == 0 and "a run would make topic %s" % through.raw in made.out, made
    assert through.raw not in kafka.topics(), "a check makes nothing"
    assert weir("run", through.file, "--once").code == 0
    there = weir("check", through.file, "--connect")
    assert there.code == 0 and "topic %s has 4 partitions" % through.raw in there.out, there
    # Brokers that are away are told once, where they stand in the file.
    through.file.write_text(through.file.read_text().replace(kafka.servers, "127.0.0.1:1"))
    away = weir("check", through.file, "--connect")
    assert away.code == 3, away
    assert away.err.startswith(str(through.file)) and away.err.count("error:") == 1 and "pipeline.yaml:3:19: error:" in away.err.replace(str(through.file), "pipeline.yaml"), away
