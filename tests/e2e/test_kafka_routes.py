"""Pipelines through topics from end to end, on each version of the broker, read by clients that are not weir: confluent-kafka and kcat."""
import json
import subprocess

import pytest

from support import targets

PIPELINE = """\
pipeline: %(name)s
kafka: {brokers: "%(brokers)s"}
sources:
  lines: {type: file, path: "in/*.ndjson"}
topics:
  raw: {from: lines, topic: %(raw)s, key: part, create: {partitions: 3}}
  clean: {from: cleaned, topic: %(clean)s, key: [part], create: {partitions: 2}}
transforms:
  cleaned:
    sql: SELECT r.part, r.n, i.value AS item FROM raw r, each(r.items) i WHERE r.keep
    columns: {part: text not null, n: bigint not null, item: bigint not null}
    checks: {not_negative: item >= 0}
sinks:
  rows: {from: clean, type: table, url: "%(url)s", table: rows_out, mode: append}
dead_letters: {topic: %(dead)s}
"""


@pytest.fixture(params=["kafka", "kafka39"])
def broker(request):
    return request.getfixturevalue(request.param)


def feed(folder, numbers):
    """Three files; what must come of them: rows, and how many dead letters."""
    (folder / "in").mkdir(exist_ok=True)
    rows, dead = set(), 0
    for part in "abc":
        with open(folder / "in" / (part + ".ndjson"), "a") as file:
            for n in numbers:
                if n % 50 == 7:
                    file.write('{"part": "%s", "n": %d, "items": [\n' % (part, n))
                    dead += 1
                    continue
                items = [n * 10 + index for index in range(n % 4)] + [-1] * (n % 40 == 3)
                file.write(json.dumps({"part": part, "n": n, "items": items, "keep": n % 5 > 0}) + "\n")
                if n % 5 > 0:
                    rows.update((part, n, item) for item in items if item >= 0)
                    dead += items.count(-1)
    return rows, dead


def kcat(broker, topic):
    """What kcat reads of the topic, to its end: (partition, value)."""
    told = subprocess.run(["kcat", "-b", broker.servers, "-C", "-e", "-q", "-t", topic, "-f", "%p %s\n"], stdout=subprocess.PIPE, check=True, text=True)
    return [(int(line.split(" ", 1)[0]), json.loads(line.split(" ", 1)[1])) for line in told.stdout.splitlines()]


def test_from_files_through_two_topics_into_a_table(broker, weir, pipeline, tmp_path, database):
    names = {"raw": broker.create_topic(partitions=3), "clean": "clean-" + database.database, "dead": "dead-" + database.database}
    file = pipeline(PIPELINE % dict(names, name=database.database, brokers=broker.servers, url=database.url))
    expected, dead = set(), 0
    for numbers in (range(1, 200), range(200, 260)):  # the second run goes on where the first one ended, at each of the three hops
        rows, letters = feed(tmp_path, numbers)
        expected, dead = expected | rows, dead + letters
        done = weir("run", file, "--once")
        assert done.code == 0, done
        assert sorted(database.query("SELECT part, n, item FROM rows_out")) == sorted(expected)
        through = kcat(broker, names["clean"])
        assert sorted((row["part"], row["n"], row["item"]) for _, row in through) == sorted(expected)
        assert len(broker.read(names["dead"])) == dead
    # One key, one partition; and its order is that of the file.
    places = {}
    for partition, row in through:
        place, last = places.setdefault(row["part"], (partition, 0))
        assert place == partition and row["n"] >= last
        places[row["part"]] = (place, row["n"])
    assert len(broker.partitions(names["clean"])) == 2


def test_nothing_new_writes_nothing(broker, weir, pipeline, tmp_path, database):
    names = {"raw": broker.create_topic(), "clean": "clean-" + database.database, "dead": "dead-" + database.database}
    file = pipeline(PIPELINE % dict(names, name=database.database, brokers=broker.servers, url=database.url))
    feed(tmp_path, range(1, 60))
    assert weir("run", file, "--once").code == 0
    before = (broker.read(names["raw"]), broker.read(names["clean"]), broker.read(names["dead"]), targets.count(database, "rows_out"))
    assert weir("run", file, "--once").code == 0
    assert before == (broker.read(names["raw"]), broker.read(names["clean"]), broker.read(names["dead"]), targets.count(database, "rows_out"))
    assert len(before[0]) > 0 and before[3] > 0
