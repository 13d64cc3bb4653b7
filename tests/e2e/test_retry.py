"""`weir dlq retry`: dead letters go through their node again, each exactly once, whoever is killed meanwhile. The targets are counted by
independent clients."""
import json
import os
import random
import signal

import pytest

from support.targets import FileTarget, SqliteTarget, count
from support.waiting import eventually

SEVENS = "v % 7 <> 0"
PIPELINE = """
pipeline: again
sources:
  src: {type: file, path: in.ndjson, follow: %(follow)s, poll: 20ms, max_record: 2KiB}
transforms:
  flat:
    sql: SELECT s.n, x."v" AS v FROM src s, each(s.parts) x
    columns: {n: bigint not null, v: bigint not null}
    checks: {ok: "%(check)s"}
  next:
    sql: SELECT n, v, v * 2 AS twice FROM flat
    columns: {n: bigint, v: bigint, twice: bigint}
sinks:
%(sink)s
dead_letters: {stop_above: 1}
"""
TABLE = """  out: {from: next, type: table, url: "%s", table: t, mode: append, rows: 20, columns: {n: bigint, v: bigint, twice: bigint}}"""
FILE = """  out: {from: next, type: file, path: out.ndjson}"""


@pytest.fixture
def write(pipeline):
    """write(sink, check, follow): the pipeline; rows die at `flat` where the check fails."""
    def run(sink, check=SEVENS, follow=False):
        return pipeline(PIPELINE % {"sink": sink, "check": check, "follow": "true" if follow else "false"})
    return run


def feed(tmp_path, inputs, first=1):
    """Each input has three rows; v is 10 n + 0, 1, 2. Returns all v."""
    with open(tmp_path / "in.ndjson", "a") as file:
        for n in range(first, first + inputs):
            file.write(json.dumps({"n": n, "parts": [{"v": 10 * n + part} for part in range(3)]}) + "\n")
    return [10 * n + part for n in range(first, first + inputs) for part in range(3)]


def stored(target):
    return sorted(v for (v,) in target.query("SELECT v FROM t")) if "t" in target.tables() else []


def letters(target):
    """Those that are dead letters, and those that are on their way again."""
    (dead, retried), = target.query("SELECT count(*) - count(retry), count(retry) FROM weir_dead")
    return dead, retried


def flags(tmp_path):
    return [name for name in os.listdir(tmp_path / ".weir" / "again") if name.startswith("retry-")]


def nodes(result):
    return {node["name"]: node for node in result.json["nodes"]}


def holds(node):
    return (node["in"] == node["with_rows"] + node["filtered"] + node["dead_records"] and
            node["rows_made"] == node["out"] + node["dead"] + node["superseded"] + node["late"])


def test_only_the_dead_rows_of_an_input_are_stored_when_it_is_retried(weir, write, tmp_path, target):
    values = feed(tmp_path, 300)
    good = [v for v in values if v % 7]
    done = weir("run", write(TABLE % target.url), "--once")
    assert done.code == 0, done
    assert stored(target) == good and letters(target) == (len(values) - len(good), 0)
    done = weir("dlq", "retry", write(TABLE % target.url, "true"), "--json")
    assert done.code == 0, done
    assert stored(target) == values and letters(target) == (0, 0) and flags(tmp_path) == []
    account = nodes(done)
    assert account["retry:flat"]["in"] == account["out"]["out"] == len(values) - len(good)
    assert all(map(holds, account.values())), account
    done = weir("dlq", "retry", write(TABLE % target.url, "true"))
    assert done.code == 0 and "no dead letter fits" in done.out, done
    done = weir("run", write(TABLE % target.url, "true"), "--once")
    assert done.code == 0 and stored(target) == values, done


def test_what_fails_again_is_a_dead_letter_again_and_can_be_retried_again(weir, write, tmp_path, target):
    values = feed(tmp_path, 300)
    sevens = [v for v in values if v % 7 == 0]
    assert weir("run", write(TABLE % target.url), "--once").code == 0
    for _ in range(2):
        done = weir("dlq", "retry", write(TABLE % target.url))
        assert done.code == 0, done
        assert letters(target) == (len(sevens), 0)
    half = write(TABLE % target.url, "v % 7 <> 0 OR v % 2 = 0")
    assert weir("dlq", "retry", half, "--limit", "5").code == 0
    done = weir("dlq", "retry", half)
    assert done.code == 0, done
    assert stored(target) == [v for v in values if v % 7 or v % 2 == 0]
    assert letters(target) == (len([v for v in sevens if v % 2]), 0)
    assert {origin for (origin,) in target.query("SELECT DISTINCT source FROM weir_dead")} == {"retry:flat"}
    done = weir("dlq", "retry", write(TABLE % target.url, "true"), "--node", "flat")
    assert done.code == 0 and stored(target) == values and letters(target) == (0, 0), done


def test_filters_decide_which_letters_go(weir, write, tmp_path, sqlite_target):
    values = feed(tmp_path, 100)
    dead = [v for v in values if v % 7 == 0]
    assert weir("run", write(TABLE % sqlite_target.url), "--once").code == 0
    mended = write(TABLE % sqlite_target.url, "true")
    done = weir("dlq", "retry", mended, "--code", "no-such-code")
    assert done.code == 0 and "no dead letter fits" in done.out, done
    assert weir("dlq", "retry", mended, "--node", "next").code == 0
    assert letters(sqlite_target) == (len(dead), 0)
    assert weir("dlq", "retry", mended, "--limit", "3").code == 0
    assert letters(sqlite_target) == (len(dead) - 3, 0)
    one, = weir("dlq", "list", mended, "--json", "--limit", "1").json
    assert weir("dlq", "retry", mended, one["id"][:12]).code == 0
    assert letters(sqlite_target) == (len(dead) - 4, 0)
    assert weir("dlq", "retry", mended).code == 0
    assert stored(sqlite_target) == values


DEATHS = 60  # of one test: a slow build that dies without end never finishes


def retry_with_deaths(running, seed, is_done, whom):
    dice, deaths = random.Random(seed), 0
    while not is_done():
        assert running.alive, running.result()
        victims = [worker for worker in running.workers() if whom(worker)]
        if victims and deaths < DEATHS:
            try:
                os.kill(dice.choice(victims).pid, signal.SIGKILL)
                deaths += 1
            except ProcessLookupError:
                pass
        eventually("a moment", lambda: dice.random() < 0.3)
    return deaths


def test_a_running_instance_retries_beside_its_work_and_survives_deaths(weir, start, write, tmp_path, target):
    values = feed(tmp_path, 3000)
    bad = len([v for v in values if v % 7 == 0])
    assert weir("run", write(TABLE % target.url), "--once").code == 0
    mended = write(TABLE % target.url, "true", follow=True)
    running = start(mended)
    running.worker("sinker")
    eventually("it listens", lambda: weir("status", mended).code == 0)
    done = weir("dlq", "retry", mended, "--json")
    assert done.code == 0 and done.json == {"retried": bad, "running": True}, done
    deaths = retry_with_deaths(running, 11, lambda: letters(target) == (0, 0) and not flags(tmp_path), lambda worker: True)
    values += feed(tmp_path, 50, first=3001)  # the ordinary way goes on
    eventually("all is stored", lambda: len(stored(target)) >= len(values))
    assert stored(target) == values, "after %d deaths" % deaths
    assert running.stop().code == 0
    assert stored(target) == values and letters(target) == (0, 0)


def test_a_second_retry_of_a_node_beside_a_running_instance(weir, start, write, tmp_path, target):
    values = feed(tmp_path, 300)
    running = start(write(TABLE % target.url, follow=True))
    bad = len([v for v in values if v % 7 == 0])
    eventually("all is stored", lambda: len(stored(target)) == len(values) - bad and letters(target) == (bad, 0))
    for again in range(1, 4):
        done = weir("dlq", "retry", tmp_path / "pipeline.yaml")
        assert done.code == 0, done
        eventually("retried", lambda: not flags(tmp_path) and letters(target) == (bad, 0))
        status = weir("status", tmp_path / "pipeline.yaml", "--json")
        assert status.code == 0 and status.json["state"] == "running", status
    assert stored(target) == [v for v in values if v % 7]
    assert running.stop().code == 0


def test_the_whole_instance_dies_in_the_middle_of_a_retry(weir, start, write, tmp_path, target):
    values = feed(tmp_path, 3000)
    bad = len([v for v in values if v % 7 == 0])
    assert weir("run", write(TABLE % target.url), "--once").code == 0
    mended = write(TABLE % target.url, "true", follow=True)
    for death in range(5):
        running = start(mended)
        eventually("it listens", lambda: weir("status", mended).code == 0)
        if death == 0:
            assert weir("dlq", "retry", mended).code == 0
        wanted = len(values) - bad + bad * (death + 1) // 8
        eventually("some are stored", lambda: len(stored(target)) >= wanted)
        running.kill_tree()
    done = weir("run", write(TABLE % target.url, "true"), "--once", "--take-over", "--json")
    assert done.code == 0, done
    assert stored(target) == values and letters(target) == (0, 0) and flags(tmp_path) == []
    assert all(map(holds, nodes(done).values())), done


REFUSE = {"sqlite": ("CREATE TABLE t (n bigint, v bigint, twice bigint)",
                     "CREATE TRIGGER refuse BEFORE INSERT ON t WHEN NEW.v % 7 = 0 BEGIN SELECT RAISE(ABORT, 'no sevens'); END",
                     "DROP TRIGGER refuse"),
          "postgres": ("CREATE TABLE t (n bigint, v bigint, twice bigint)",
                       "ALTER TABLE t ADD CONSTRAINT refuse CHECK (mod(v, 7) <> 0)",
                       "ALTER TABLE t DROP CONSTRAINT refuse")}


def test_rows_that_a_sink_refused(weir, write, tmp_path, target):
    values = feed(tmp_path, 200)
    make, refuse, allow = REFUSE[target.kind]
    target.query(make)
    target.query(refuse)
    file = write(TABLE % target.url, "true")
    done = weir("run", file, "--once")
    assert done.code == 0, done
    bad = len([v for v in values if v % 7 == 0])
    assert stored(target) == [v for v in values if v % 7] and letters(target) == (bad, 0)
    assert weir("dlq", "retry", file).code == 0  # nothing has changed
    assert letters(target) == (bad, 0)
    target.query(allow)
    done = weir("dlq", "retry", file, "--node", "out")
    assert done.code == 0, done
    assert stored(target) == values and letters(target) == (0, 0)


def test_raw_lines_of_a_source_go_to_what_reads_it(weir, write, tmp_path, target):
    long = json.dumps({"n": 9, "parts": [{"v": 91}, {"v": 92}], "fill": "x" * 3000})  # over max_record
    (tmp_path / "in.ndjson").write_text('{"n": 1, "parts": [{"v": 11}]}\n' + long + '\n{"n": 2, "parts": [}\n')
    file = write(TABLE % target.url)
    assert weir("run", file, "--once").code == 0
    assert stored(target) == [11] and letters(target) == (2, 0)
    done = weir("dlq", "retry", file, "--node", "src")
    assert done.code == 0, done
    assert stored(target) == [11, 92] and flags(tmp_path) == []  # 91 is a seven: a letter of `flat` now
    rows = target.query("SELECT node, source, code FROM weir_dead ORDER BY node")
    assert [(node, source) for node, source, _ in rows] == [("flat", "retry:src"), ("src", "retry:src")]


def test_letters_of_a_file_sink_lie_in_the_state_folder(weir, write, tmp_path):
    values = feed(tmp_path, 300)
    assert weir("run", write(FILE), "--once").code == 0
    state = tmp_path / ".weir" / "again"
    dead = SqliteTarget(state / "dead.db")
    done = weir("dlq", "retry", write(FILE, "true"))
    assert done.code == 0 and letters(dead) == (0, 0), done
    lines = FileTarget(tmp_path / "out.ndjson", state).lines() + FileTarget(tmp_path / "out.retry-flat.ndjson", state).lines()
    assert sorted(line["v"] for line in lines) == values


def test_a_command_that_is_killed_leaves_what_it_marked_to_the_next_run(weir, write, tmp_path, target):
    values = feed(tmp_path, 300)
    assert weir("run", write(TABLE % target.url), "--once").code == 0
    # As a command leaves it that dies behind its marking: the flag, and nobody asked.
    assert weir("dlq", "retry", write(TABLE % target.url), "--limit", "1").code == 0
    last, = target.query("SELECT last FROM weir_retry WHERE node = 'flat'")[0]
    target.query("UPDATE weir_dead SET retry = %d + (SELECT count(*) FROM weir_dead d WHERE d.id <= weir_dead.id)" % last)
    target.query("UPDATE weir_retry SET last = last + (SELECT count(*) FROM weir_dead)")
    (tmp_path / ".weir" / "again" / "retry-flat").write_bytes(b"12345678")
    done = weir("run", write(TABLE % target.url, "true"), "--once")
    assert done.code == 0, done
    assert stored(target) == values and count(target, "weir_dead") == 0 and flags(tmp_path) == []
