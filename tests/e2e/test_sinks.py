"""Table and file sinks through the whole program: types, modes, evolving tables, several sinks, outages, checks. The targets are looked at
by independent clients."""
import json
import os
import sqlite3

import pytest

from support.targets import FileTarget, SqliteTarget, count
from support.waiting import eventually

LINES = "sources:\n  lines: {type: file, path: in.ndjson, follow: %s, poll: 20ms}\n"


def feed(tmp_path, *records, name="in.ndjson"):
    with open(tmp_path / name, "a") as file:
        for record in records:
            file.write(json.dumps(record) + "\n")


@pytest.fixture
def write(pipeline):
    """write(sinks, transform, follow): a pipeline that reads in.ndjson; `reads` is what its sinks read."""
    def run(sinks, transform="", follow=False, name="pipeline.yaml"):
        text = "pipeline: sinks\n" + LINES % ("true" if follow else "false") + transform + "sinks:\n" + sinks
        return pipeline(text, name)
    return run


def table(target, more="", table="t", source="lines", name="out"):
    return '  %s: {from: %s, type: table, url: "%s", table: %s%s}\n' % (name, source, target.url, table, more)


def good(result):
    assert result.code == 0, result
    return result


def test_types_of_the_transform_make_the_table(weir, write, target, tmp_path):
    transform = """transforms:
  typed:
    sql: SELECT a, b, c, d, e, f, g FROM lines
    columns: {a: bigint not null, b: text, c: double, d: boolean, e: timestamp, f: date, g: json}
"""
    feed(tmp_path, {"a": 1, "b": "x", "c": 1.5, "d": True, "e": "2025-11-08T01:00:00+01:00", "f": "2025-11-08", "g": {"k": [1, None]}},
         {"a": 2})
    good(weir("run", write(table(target, source="typed"), transform), "--once", "--state", "state"))
    first, second = target.query("SELECT a, b, c, e FROM t ORDER BY a")
    assert first == (1, "x", 1.5, "2025-11-08T00:00:00Z") and second == (2, None, None, None)
    (d, f, g), = target.query("SELECT d, f, g FROM t WHERE a = 1")
    assert bool(d) is True and str(f) == "2025-11-08" and (json.loads(g) if isinstance(g, str) else g) == {"k": [1, None]}


def test_a_table_that_is_there_decides(weir, write, target, tmp_path):
    target.query("CREATE TABLE t (id bigint PRIMARY KEY, n numeric, label varchar(10) DEFAULT 'none')")
    feed(tmp_path, {"id": "7", "n": "1.50", "other": 1}, {"id": 8, "n": 2, "other": {"deep": []}})
    done = good(weir("run", write(table(target)), "--once", "--state", "state"))
    assert [(i, float(n), label) for i, n, label in target.query("SELECT id, n, label FROM t ORDER BY id")] == \
        [(7, 1.5, "none"), (8, 2.0, "none")]
    assert sum("field has no column" in line for line in done.err.splitlines()) == 1  # told once
    assert "out: 2 fields have no column and were ignored" in done.out


def test_evolve_adds_what_is_new(weir, write, target, tmp_path):
    file = write(table(target, ", evolve: add"))
    feed(tmp_path, {"id": 1})
    good(weir("run", file, "--once", "--state", "state"))
    feed(tmp_path, {"id": 2, "size": 1.5, "word": "w"}, {"id": 3, "size": None})
    good(weir("run", file, "--once", "--state", "state"))
    assert target.query("SELECT id, size, word FROM t ORDER BY id") == [(1, None, None), (2, 1.5, "w"), (3, None, None)]


def test_fields_that_are_not_for_the_table(weir, write, target, tmp_path):
    """Neither made as columns, nor added by `evolve`, nor told; a column of that name is left to the database."""
    transform = "transforms:\n  named: {sql: \"SELECT id, a, b FROM lines\", columns: {id: bigint not null, a: text, b: text}}\n"
    feed(tmp_path, {"id": 1, "a": "x", "b": "y"})
    file = write(table(target, ", without: b, evolve: add", source="named") + table(target, ", without: [a, none]", "u", "named", "second"), transform)
    checked = good(weir("check", file))
    assert '"a" text)' in checked.out.replace("TEXT", "text") and '"b" text)' in checked.out.replace("TEXT", "text")
    done = good(weir("run", file, "--once", "--state", "state"))
    assert "field has no column" not in done.err
    assert target.query("SELECT * FROM t") == [(1, "x")] and target.query("SELECT * FROM u") == [(1, "y")]
    target.query("ALTER TABLE t ADD COLUMN b text DEFAULT 'theirs'")
    feed(tmp_path, {"id": 2, "a": "x", "b": "y"})
    good(weir("run", file, "--once", "--state", "state"))
    assert target.query("SELECT id, a, b FROM t ORDER BY id") == [(1, "x", "theirs"), (2, "x", "theirs")]


def test_a_column_that_only_the_database_fills(weir, write, target, tmp_path):
    """The stage's columns are known, so a batch need not be looked at for others; what a record has goes into the table all the same."""
    target.query("CREATE TABLE t (id bigint PRIMARY KEY, a text, made text DEFAULT 'there')")
    transform = "transforms:\n  named: {sql: \"SELECT id, a, odd FROM lines\"}\n"
    feed(tmp_path, *({"id": n, "a": None if n < 30 else str(n)} for n in range(60)))
    done = good(weir("run", write(table(target, ", rows: 10", source="named"), transform), "--once", "--state", "state"))
    assert target.query("SELECT count(*), count(a), min(made), max(made) FROM t") == [(60, 30, "there", "there")]
    assert sum("field has no column" in line for line in done.err.splitlines()) == 1


def test_upsert_keeps_the_last(weir, write, target, tmp_path):
    file = write(table(target, ", mode: upsert, key: id, columns: {id: bigint, v: bigint}"))
    feed(tmp_path, *({"id": n % 100, "v": n} for n in range(5000)))
    done = good(weir("run", file, "--once", "--state", "state", "--json"))
    assert target.query("SELECT count(*), min(v), max(v) FROM t") == [(100, 4900, 4999)]
    out = next(node for node in json.loads(done.out.strip().splitlines()[-1])["nodes"] if node["name"] == "out")
    assert out["in"] == 5000 and out["out"] + out["superseded"] == 5000 and out["superseded"] > 0
    assert target.query("SELECT rows + superseded FROM weir_positions") == [(5000,)]


def test_one_source_three_sinks(weir, write, database, tmp_path):
    lite, text = SqliteTarget(tmp_path / "two.db"), FileTarget(tmp_path / "out.ndjson", tmp_path / "state")
    file = write(table(database, ", columns: {id: bigint}") + table(lite, name="second") + "  third: {from: lines, type: file, path: out.ndjson}\n")
    feed(tmp_path, *({"id": n} for n in range(1000)))
    good(weir("run", file, "--once", "--state", "state"))
    wanted = list(range(1000))
    assert [row[0] for row in database.query("SELECT id FROM t ORDER BY id")] == wanted
    assert [row[0] for row in lite.query("SELECT id FROM t ORDER BY id")] == wanted
    assert [line["id"] for line in text.lines()] == wanted


def test_two_sinks_write_one_table(weir, write, target, tmp_path):
    more = ", columns: {id: bigint}"
    file = write(table(target, more) + table(target, more, name="again"))
    for last in (100, 200):
        feed(tmp_path, *({"id": n} for n in range(last - 100, last)))
        good(weir("run", file, "--once", "--state", "state"))
    assert target.query("SELECT count(*), count(DISTINCT id) FROM t") == [(400, 200)]
    assert target.query("SELECT sink, rows FROM weir_positions ORDER BY sink") == [("again", 200), ("out", 200)]


def test_two_sinks_cannot_write_one_file(weir, write, tmp_path):
    feed(tmp_path, {"id": 1})
    file = write("  one: {from: lines, type: file, path: out.ndjson}\n  two: {from: lines, type: file, path: ./out.ndjson}\n")
    for verb in ("check", "run"):
        done = weir(verb, file)
        assert done.code == 2 and "sink `two` would write ./out.ndjson, which sink `one` in line 5 writes as well" in done.err, done
    assert not os.path.exists(tmp_path / "out.ndjson")


def test_a_new_sink_gets_everything(weir, write, target, tmp_path):
    feed(tmp_path, *({"id": n} for n in range(10)))
    good(weir("run", write(table(target)), "--once", "--state", "state"))
    feed(tmp_path, *({"id": n} for n in range(10, 20)))
    good(weir("run", write(table(target) + table(target, table="u", name="late")), "--once", "--state", "state"))
    assert count(target, "t") == count(target, "u") == 20


def test_the_server_goes_and_comes_back(start, write, server, database, tmp_path):
    file = write(table(database, ", columns: {id: bigint}"), follow=True)
    running = start(file, "--state", "state")
    feed(tmp_path, *({"id": n} for n in range(100)))
    eventually("100 rows", lambda: count(database, "t") == 100)
    server.stop_immediate()
    feed(tmp_path, *({"id": n} for n in range(100, 200)))
    eventually("the outage is told", lambda: "the target does not answer" in running.err)
    server.start()
    eventually("200 rows", lambda: count(database, "t") == 200)
    assert running.stop().code == 0
    assert database.query("SELECT count(DISTINCT id) FROM t") == [(200,)]


def test_a_second_instance_waits_and_says_for_whom(start, write, database, tmp_path):
    file = write(table(database, ", columns: {id: bigint}"), follow=True)
    first = start(file, "--state", "one")
    feed(tmp_path, {"id": 1})
    eventually("a row", lambda: count(database, "t") == 1)
    second = start(file, "--state", "two")
    eventually("it says who owns the stream", lambda: "belongs to a running instance (host=" in second.err)
    feed(tmp_path, {"id": 2})
    eventually("the first goes on", lambda: count(database, "t") == 2)
    third = start(file, "--state", "three", "--take-over")
    ended = first.wait()
    assert ended.code == 1 and "another instance" in ended.err, ended
    feed(tmp_path, {"id": 3})
    eventually("the third has it now", lambda: count(database, "t") == 3)
    second.stop()
    assert third.stop().code == 0
    assert database.query("SELECT id FROM t ORDER BY id") == [(1,), (2,), (3,)]


def test_emptied_append_asks_and_both_answers_work(weir, write, target, tmp_path):
    file = write(table(target, ", columns: {id: bigint}"))
    feed(tmp_path, *({"id": n} for n in range(5)))
    good(weir("run", file, "--once", "--state", "state"))
    target.query("DELETE FROM t")
    asked = weir("run", file, "--once", "--state", "state")
    assert asked.code == 1 and "weir positions set %s --state state out --to earliest" % file in asked.err, asked
    assert count(target, "t") == 0
    good(weir("positions", "set", file, "out", "--to", "earliest", "--yes", "--state", "state"))
    good(weir("run", file, "--once", "--state", "state"))
    assert count(target, "t") == 5


# ---- check --connect

def test_check_says_what_a_run_would_make_and_makes_nothing(weir, write, target, tmp_path):
    file = write(table(target, ", mode: upsert, key: id, columns: {id: bigint, name: text}"))
    done = good(weir("check", file, "--connect"))
    assert "a run would make" in done.out and 'PRIMARY KEY ("id")' in done.out
    assert target.tables() == set()
    if target.kind == "sqlite":
        assert not os.path.exists(target.path)
    else:
        assert "connected to PostgreSQL" in done.out and "not encrypted" in done.out


def test_check_finds_what_does_not_fit(weir, write, target, tmp_path):
    target.query("CREATE TABLE t (id bigint, at bytea)" if target.kind == "postgres" else "CREATE TABLE t (id bigint, at blob)")
    transform = """transforms:
  typed:
    sql: SELECT id, at, extra FROM lines
    columns: {id: bigint, at: timestamp, extra: text}
"""
    done = weir("check", write(table(target, ", mode: upsert, key: id", source="typed"), transform), "--connect")
    said = done.out + done.err
    assert done.code == 3, done
    assert "no unique index" in said
    assert "column at of t is of type bytes and cannot hold timestamp" in said
    assert "no column extra" in said


def test_check_finds_missing_privileges(weir, write, server, database, tmp_path):
    database.query("CREATE TABLE t (id bigint)")
    database.query("DROP ROLE IF EXISTS reader")
    database.query("CREATE ROLE reader LOGIN")
    database.query("GRANT SELECT ON t TO reader")
    url = database.url.replace("//weir@", "//reader@")
    assert url != database.url
    done = weir("check", write('  out: {from: lines, type: table, url: "%s", table: t}\n' % url), "--connect")
    said = done.out + done.err
    assert done.code == 3, done
    assert "no INSERT privilege" in said and "may not create tables" in said
    database.query("DROP OWNED BY reader")


def test_a_folder_that_is_not_there_is_waited_for(start, write, tmp_path):
    (tmp_path / "in.ndjson").write_text('{"id": 1}\n')
    running = start(write("  out: {from: lines, type: table, url: 'sqlite:nodir/x.db', table: t}\n"), "--once")
    eventually("it names the folder", lambda: "the folder nodir is not there" in running.err)
    assert running.alive and "class=outage" in running.err
    (tmp_path / "nodir").mkdir()
    assert running.wait().code == 0, running.err
    assert sqlite3.connect(tmp_path / "nodir" / "x.db").execute("SELECT count(*) FROM t").fetchone() == (1,)


@pytest.mark.parametrize("url, word", [("postgresql://nobody@127.0.0.1:1/x", "127.0.0.1"), ("sqlite:/no/such/folder/x.db", "folder")])
def test_check_of_a_target_that_is_not_there(weir, write, url, word):
    done = weir("check", write('  out: {from: lines, type: table, url: "%s", table: t}\n' % url), "--connect")
    assert done.code == 3 and word in done.out + done.err, done
