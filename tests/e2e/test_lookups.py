"""Lookups from outside: tables of an API, a file, SQLite and PostgreSQL, joined while records flow, replaced, kept when a refresh fails."""
import json
import os
import signal
import sqlite3

import pytest

from support.targets import count
from support.waiting import eventually

HEAD = """pipeline: lookups
sources:
  lines: {type: file, path: in.ndjson, follow: true, poll: 20ms}
lookups:
  titles:
"""
TAIL = """
    key: id
    columns: {id: text, title: text, since: timestamp, level: bigint, tags: json, open: boolean}
    every: %s
transforms:
  named:
    sql: |
      SELECT l.n, l.id, t.title, t.since, t.level, t.tags, t.open, coalesce(t.title, 'none') AS shown
      FROM lines l LEFT JOIN titles t ON t.id = l.id
    columns: {n: bigint not null, id: text, title: text, since: timestamp, level: bigint, tags: json, open: boolean, shown: text}
sinks:
  out: {from: named, type: table, url: "%s", table: out}
"""


def rows_of(**titles):
    return [{"id": key, "title": title} for key, title in titles.items()]


def answer(**titles):
    return json.dumps({"rows": rows_of(**titles)}).encode()


@pytest.fixture
def write(pipeline, sqlite_target):
    """write(lookup) writes a pipeline that joins it."""
    def run(lookup, every="100ms"):
        lines = "".join("    %s\n" % line for line in lookup.strip().splitlines())
        return pipeline(HEAD + lines.rstrip("\n") + TAIL % (every, sqlite_target.url))
    return run


@pytest.fixture
def api(site, write):
    """api(every) is a pipeline whose lookup asks the site for /titles."""
    def run(every="100ms", more=""):
        return write("type: http\nurl: %s\nrecords: rows\n%s" % (site.url("/titles"), more), every)
    return run


class Feed:
    """Lines for the source, and the rows that they have become."""

    def __init__(self, path, target):
        self.path, self.target, self.n = path, target, 0
        path.write_text("")

    def send(self, *keys):
        with open(self.path, "a") as file:
            for key in keys:
                self.n += 1
                file.write(json.dumps({"n": self.n, "id": key}) + "\n")

    def rows(self, running, columns="n, title"):
        def look():
            assert running is None or running.alive, running.result()
            return "out" in self.target.tables() and count(self.target, "out") >= self.n
        if running:
            eventually("%d rows" % self.n, look)
        return self.target.query("SELECT %s FROM out ORDER BY n" % columns)

    def title(self, running, key):
        """What a record with that key is given now."""
        self.send(key)
        return self.rows(running)[-1][1]

    def until(self, running, key, title):
        eventually("%s is %s" % (key, title), lambda: self.title(running, key) == title)


@pytest.fixture
def feed(tmp_path, sqlite_target):
    return Feed(tmp_path / "in.ndjson", sqlite_target)


def node(weir, file, name="titles"):
    done = weir("status", file, "--json")
    return next(one for one in done.json["nodes"] if one["name"] == name) if done.code == 0 else None


def files(tmp_path):
    """Those that are whole."""
    return sorted(name for name in os.listdir(tmp_path / ".weir" / "lookups" / "lookups") if name.endswith(".db"))


def test_an_answer_is_joined_and_replaced_while_records_flow(start, weir, site, api, feed, tmp_path):
    site.pages["/titles"] = answer(a="Anna", b="Bert")
    file = api()
    running = start(file)
    feed.send("a", "b", "c")
    assert feed.rows(running, "n, title, shown") == [(1, "Anna", "Anna"), (2, "Bert", "Bert"), (3, None, "none")]
    site.pages["/titles"] = answer(a="Antonia", c="Cora")
    feed.until(running, "a", "Antonia")
    assert feed.title(running, "b") is None
    assert feed.title(running, "c") == "Cora"
    eventually("older files are gone", lambda: len(files(tmp_path)) == 1)
    shown = node(weir, file)
    assert shown["kind"] == "lookup" and shown["type"] == "http" and shown["rows"] == 2 and shown["bytes"] > 0
    assert shown["age_s"] is not None and shown["last_error"] is None and shown["state"] in ("waiting", "running")
    assert "titles: 2 rows" in weir("status", file).out
    done = running.stop()
    assert done.code == 0, done
    assert count(feed.target, "out") == feed.n


def test_kinds_of_values_arrive_as_what_they_are(start, site, api, feed):
    row = {"id": "x", "title": "X", "since": "2025-11-08T10:11:12.5+01:00", "level": 9007199254740993, "tags": {"a": [1, None]}, "open": True}
    site.pages["/titles"] = json.dumps({"rows": [row, {"id": "y"}]}).encode()
    running = start(api())
    feed.send("x", "y")
    columns = "title, since, level, tags, open"
    assert feed.rows(running, columns) == [("X", "2025-11-08T09:11:12.500000Z", 9007199254740993, '{"a":[1,null]}', 1), (None,) * 5]


def test_a_transformer_waits_for_the_first_table(start, weir, site, api, feed):
    file = api()
    running = start(file)  # the server answers 404
    feed.send("a")
    eventually("it waits", lambda: (node(weir, file, "named") or {}).get("doing") == "waiting for lookup titles")
    assert node(weir, file, "named")["state"] == "waiting"
    shown = eventually("the failure is told", lambda: (lambda one: one if one and one["last_error"] else None)(node(weir, file)))
    assert "404" in shown["last_error"] and shown["age_s"] is None and shown["failed_polls"] >= 1
    site.pages["/titles"] = answer(a="Anna")
    assert feed.rows(running) == [(1, "Anna")]
    eventually("the error is gone", lambda: node(weir, file)["last_error"] is None)


@pytest.mark.parametrize("bad, told", [
    (b'{"rows": [{"id": "a", "title"', "broken JSON"),
    (b'{"error": "try later"}', "rows"),
    (b'{"rows": [{"id": "a"}, {"id": "b", "level": "many"}]}', "row 2: column level: 'many' is not a bigint"),
    (b'{"rows": [{"title": "nobody"}]}', "row 1: column id: null is not allowed"),
    (b'{"rows": [1]}', "row 1"),
    (json.dumps({"rows": [{"id": "k%d" % n, "title": "t" * 100} for n in range(3000)]}).encode(), "max_bytes"),
    (None, "404"),
], ids=["half a document", "no rows", "a misfit", "no key", "no object", "too large", "no page"])
def test_the_old_table_stays_when_a_refresh_fails(start, weir, site, api, feed, tmp_path, bad, told):
    site.pages["/titles"] = answer(a="Anna")
    file = api(more="max_bytes: 128KiB")
    running = start(file)
    assert feed.title(running, "a") == "Anna"
    before = files(tmp_path)
    site.pages["/titles"] = bad
    shown = eventually("the failure is told", lambda: (lambda one: one if one["last_error"] else None)(node(weir, file)))
    assert told in shown["last_error"], shown
    assert shown["rows"] == 1 and shown["restarts"] == 0
    assert feed.title(running, "a") == "Anna"
    assert files(tmp_path) == before
    site.pages["/titles"] = answer(a="Antonia")
    feed.until(running, "a", "Antonia")
    assert running.stop().code == 0


def test_the_old_table_is_used_at_once_after_a_restart(start, weir, site, api, feed):
    site.pages["/titles"] = answer(a="Anna")
    file = api()
    running = start(file)
    assert feed.title(running, "a") == "Anna"
    running.stop()
    site.close()
    running = start(file)
    assert feed.title(running, "a") == "Anna"
    shown = eventually("the failure is told", lambda: (lambda one: one if one and one["last_error"] else None)(node(weir, file)))
    assert shown["rows"] == 1


def test_a_table_of_other_settings_is_not_used(start, weir, site, api, feed, tmp_path):
    site.pages["/titles"] = answer(a="Anna")
    file = api()
    running = start(file)
    assert feed.title(running, "a") == "Anna"
    running.stop()
    del site.pages["/titles"]
    file.write_text(file.read_text().replace("records: rows", "records: others"))
    running = start(file)
    feed.send("a")
    eventually("it waits", lambda: (node(weir, file, "named") or {}).get("doing") == "waiting for lookup titles")
    site.pages["/titles"] = json.dumps({"others": rows_of(a="Another")}).encode()
    assert feed.rows(running)[-1] == (feed.n, "Another")


def test_a_damaged_file_is_not_used(start, site, api, feed, tmp_path):
    site.pages["/titles"] = answer(a="Anna")
    file = api()
    running = start(file)
    assert feed.title(running, "a") == "Anna"
    running.stop()
    path = tmp_path / ".weir" / "lookups" / "lookups" / files(tmp_path)[0]
    with open(path, "r+b") as broken:
        broken.seek(4096)
        broken.write(b"\xff" * 4096)
    site.pages["/titles"] = answer(a="Antonia")
    running = start(file)
    assert feed.title(running, "a") == "Antonia"


@pytest.mark.parametrize("role", ["lookup", "transformer"])
def test_every_record_is_joined_whoever_dies(start, site, api, feed, role):
    site.pages["/titles"] = answer(a="Anna", b="Bert")
    running = start(api("300ms"))
    feed.send("a")
    for round_ in range(5):
        feed.rows(running)
        worker = running.worker(role)
        feed.send(*["a", "b"] * 50)
        os.kill(worker.pid, signal.SIGKILL)
        eventually("a successor", lambda: [one for one in running.workers(role) if one.pid != worker.pid])
        site.pages["/titles"] = answer(a="Anna", b="Bert", **{"c%d" % round_: "more"})
    rows = feed.rows(running, "n, id, title")
    assert rows == [(n, key, {"a": "Anna", "b": "Bert"}[key]) for n, key, _ in rows]
    assert [n for n, _, _ in rows] == list(range(1, feed.n + 1))
    feed.until(running, "c4", "more")
    assert running.stop().code == 0


def test_a_killed_lookup_worker_keeps_to_the_times_of_its_predecessor(start, weir, site, api, feed):
    site.pages["/titles"] = answer(a="Anna")
    file = api("1h")
    running = start(file)
    assert feed.title(running, "a") == "Anna"
    asked = len(site.seen)
    for _ in range(3):
        worker = running.worker("lookup")
        os.kill(worker.pid, signal.SIGKILL)
        eventually("a successor waits", lambda: [one for one in running.workers("lookup") if one.pid != worker.pid]
                   and node(weir, file)["state"] == "waiting")
    assert feed.title(running, "a") == "Anna"
    assert len(site.seen) == asked
    running.stop()
    running = start(file)
    eventually("a new run asks again", lambda: len(site.seen) > asked)


def test_what_has_not_changed_is_not_sent_again(start, weir, site, api, feed, tmp_path):
    site.pages["/titles"] = answer(a="Anna")
    file = api()
    running = start(file)
    assert feed.title(running, "a") == "Anna"
    first = files(tmp_path)
    seen = len(site.seen)
    eventually("it asks again", lambda: len(site.seen) > seen + 3)
    assert all("If-None-Match" in headers for _, headers in site.seen[-3:])
    assert files(tmp_path) == first
    assert node(weir, file)["age_s"] <= 60


def test_the_same_rows_make_no_new_table(start, weir, site, api, feed, tmp_path):
    site.etag = False
    site.pages["/titles"] = json.dumps({"rows": rows_of(a="Anna"), "asked": 1}).encode()
    file = api()
    for life in (1, 2):
        running = start(file)
        assert feed.title(running, "a") == "Anna"
        first, loaded = files(tmp_path), node(weir, file)["loaded"]
        site.pages["/titles"] = json.dumps({"rows": [dict(row, life=life) for row in rows_of(a="Anna")]}).encode()
        seen = len(site.seen)
        eventually("it asks again", lambda: len(site.seen) > seen + 3)
        assert feed.title(running, "a") == "Anna"
        assert files(tmp_path) == first == ["titles.1.db"] and node(weir, file)["loaded"] == loaded
        assert running.err.count("lookup loaded") == 2 - life
        done = running.stop()
        assert done.code == 0 and "SIGKILL" not in done.err, done


def test_headers_and_query_are_sent(start, site, api, feed):
    site.pages["/titles"] = answer(a="Anna")
    running = start(api(more="query: {lang: en}\nheaders: {X-Key: abc}\nauth: {bearer: secret}"))
    assert feed.title(running, "a") == "Anna"
    path, headers = site.seen[0]
    assert path == "/titles?lang=en" and headers["X-Key"] == "abc" and headers["Authorization"] == "Bearer secret"


@pytest.mark.parametrize("form, text", [
    ("ndjson", '{"id": "a", "title": "%s"}\n\n{"id": "b", "title": "Bert"}'),
    ("json", '[{"id": "a", "title": "%s"}, {"id": "b", "title": "Bert"}]'),
    ("msgpack", None),
])
def test_a_file_is_read_anew(start, write, feed, tmp_path, form, text):
    path = tmp_path / "titles"

    def put(title):
        def value(key, shown):
            return b"\x82\xa2id" + bytes([0xa0 | len(key)]) + key.encode() + b"\xa5title" + bytes([0xa0 | len(shown)]) + shown.encode()
        new = tmp_path / "new"
        new.write_bytes(value("a", title) + value("b", "Bert") if text is None else (text % title).encode())
        new.rename(path)
    put("Anna")
    running = start(write("type: file\npath: titles\nformat: " + form))
    assert feed.title(running, "a") == "Anna"
    assert feed.title(running, "b") == "Bert"
    put("Antonia")
    feed.until(running, "a", "Antonia")
    path.unlink()
    assert feed.title(running, "a") == "Antonia"


def sqlite_make(path, *rows):
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE IF NOT EXISTS people(code PRIMARY KEY, name)")
        connection.executemany("INSERT OR REPLACE INTO people VALUES(?, ?)", rows)
    connection.close()


def test_rows_of_a_sqlite_database(start, write, feed, tmp_path):
    path = tmp_path / "people.db"
    sqlite_make(path, ("a", "Anna"), ("b", "Bert"))
    lookup = "type: sqlite\nurl: sqlite:people.db\nsql: SELECT code AS id, name AS title, 7 AS level, NULL AS since, '[1]' AS tags, 1 AS open FROM people"
    running = start(write(lookup))
    feed.send("a", "b", "c")
    assert feed.rows(running, "title, level, tags, open") == [("Anna", 7, "[1]", 1), ("Bert", 7, "[1]", 1), (None, None, None, None)]
    sqlite_make(path, ("a", "Antonia"))
    feed.until(running, "a", "Antonia")


@pytest.mark.parametrize("sql", ["DELETE FROM people RETURNING code AS id", "SELECT 1 AS id; SELECT 2", "SELECT code FROM people"])
def test_only_one_select_with_all_columns_is_run(start, weir, write, tmp_path, sql):
    path = tmp_path / "people.db"
    sqlite_make(path, ("a", "Anna"))
    file = write("type: sqlite\nurl: sqlite:people.db\nsql: " + sql)
    done = weir("check", file, "--connect")
    assert done.code == 3 and "cannot be loaded" in done.err, done
    assert sqlite3.connect(path).execute("SELECT count(*) FROM people").fetchone() == (1,)


def test_rows_of_postgres(start, weir, write, feed, database):
    database.query("CREATE TABLE people(id text, title text, since timestamptz, level bigint, tags jsonb, open boolean)")
    database.query("INSERT INTO people VALUES('a', 'Anna', '2025-01-02 03:04:05+00', 5, '{\"x\": 1}', true), ('b', NULL, NULL, NULL, NULL, false)")
    file = write("type: postgres\nurl: %s\nsql: SELECT * FROM people" % database.url)
    running = start(file)
    feed.send("a", "b")
    assert feed.rows(running, "title, since, level, tags, open") == [("Anna", "2025-01-02T03:04:05Z", 5, '{"x":1}', 1), (None, None, None, None, 0)]
    database.query("UPDATE people SET title = 'Antonia' WHERE id = 'a'")
    feed.until(running, "a", "Antonia")
    database.query("INSERT INTO people SELECT 'k' || n, 't' || n, NULL, n, NULL, NULL FROM generate_series(1, 2500) n")
    feed.until(running, "k2500", "t2500")
    assert node(weir, file)["rows"] == 2502


@pytest.mark.parametrize("sql", ["INSERT INTO people VALUES('z') RETURNING id", "SELECT id FROM people; DROP TABLE people", "SELECT no FROM people"])
def test_postgres_is_only_read(weir, write, database, sql):
    database.query("CREATE TABLE people(id text)")
    done = weir("check", write("type: postgres\nurl: %s\nsql: %s" % (database.url, sql)), "--connect")
    assert done.code == 3 and "cannot be loaded" in done.err, done
    assert database.query("SELECT count(*) FROM people") == [(0,)]


def test_once_loads_first_and_fails_without_a_table(weir, site, api, feed):
    file = api()
    file.write_text(file.read_text().replace("follow: true, poll: 20ms", "follow: false"))
    feed.send("a")
    done = weir("run", file, "--once")
    assert done.code == 1 and "lookup titles has no table" in done.err, done
    site.pages["/titles"] = answer(a="Anna")
    done = weir("run", file, "--once")
    assert done.code == 0, done
    assert feed.rows(None) == [(1, "Anna")]
    feed.send("a")
    site.pages["/titles"] = answer(a="Antonia")
    assert weir("run", file, "--once").code == 0
    feed.send("a")
    site.pages["/titles"] = b"no json"
    assert weir("run", file, "--once").code == 0
    assert feed.rows(None) == [(1, "Anna"), (2, "Antonia"), (3, "Antonia")]


@pytest.mark.parametrize("once", [True, False])
def test_records_go_on_without_a_table_that_is_not_required(start, weir, site, api, feed, once):
    """The first load fails: an empty table, until one can be loaded; and a later run does not take the empty one for one that was loaded."""
    file = api(every="24h" if once else "100ms", more="required: false\n")
    if once:
        feed.path.write_text("")
        file.write_text(file.read_text().replace("follow: true, ", ""))
    feed.send("a")
    if once:
        done = weir("run", file, "--once")
        assert done.code == 0, done
        site.pages["/titles"] = answer(a="Anna")
        feed.send("a")
        assert weir("run", file, "--once").code == 0
        assert feed.rows(None) == [(1, None), (2, "Anna")]
        return
    running = start(file)
    assert feed.rows(running) == [(1, None)]
    site.pages["/titles"] = answer(a="Anna")
    feed.until(running, "a", "Anna")
    del site.pages["/titles"]
    assert running.stop().code == 0
    running = start(file)
    assert feed.title(running, "a") == "Anna"  # one that was loaded stays, as ever
    assert running.stop().code == 0


def test_check_says_what_comes_from_a_lookup(weir, site, api):
    site.pages["/titles"] = answer(a="Anna", b="Bert")
    file = api()
    done = weir("check", file, "--connect")
    assert done.code == 0, done
    assert "lookup titles: http" in done.out and "joins titles" in done.out
    assert "joins lookup titles, of which it reads: id, title, since, level, tags, open" in done.out
    assert "2 rows, " in done.out and "/titles: not encrypted" in done.out
    assert "lookup titles" in weir("graph", file).out and "joins titles" in weir("graph", file).out
    assert "-.->" in weir("graph", file, "--format", "mermaid").out
    text = file.read_text()
    i = text.index("    columns: {n: bigint not null")
    file.write_text(text[:i] + text[text.index("\n", i) + 1:])  # without types of its own
    done = weir("check", file, "--json")
    types = {column["name"]: column["type"] for node_ in done.json["nodes"] if node_["name"] == "named" for column in node_["columns"]}
    assert types == {"n": "", "id": "", "title": "text", "since": "timestamp", "level": "bigint", "tags": "json", "open": "boolean", "shown": ""}
    file.write_text(text.replace("t.title, t.since", "t.titel, t.since"))
    done = weir("check", file)
    assert done.code == 2 and "no such column: t.titel; lookup titles has id, title" in done.err and "did you mean `title`" in done.err, done


def test_check_refuses_what_cannot_be_a_lookup(weir, write):
    file = write("type: file\npath: titles")
    text = file.read_text()
    for was, becomes, told in [("key: id", "key: nix", "`columns` has no such column"),
                               ("key: id", "key: tags", "json cannot be a key"),
                               ("level: bigint, tags", "level: number, tags", "number"),
                               ("level: bigint, tags", "TITLE: bigint, tags", "TITLE"),
                               ("FROM lines l LEFT JOIN titles t ON t.id = l.id", "FROM titles t", "no such column: l.n"),
                               ("SELECT l.n, l.id, t.title, t.since, t.level, t.tags, t.open, coalesce(t.title, 'none') AS shown\n      FROM lines l "
                                "LEFT JOIN titles t ON t.id = l.id", "SELECT t.title FROM titles t", "it reads no stream"),
                               ("FROM lines l LEFT JOIN titles t ON t.id = l.id", "FROM titles t LEFT JOIN lines l ON t.id = l.id", "an outer join"),
                               ("t.title, t.since", "t.*, t.since", "name the columns"),
                               ("LEFT JOIN titles", "LEFT JOIN title", "did you mean `titles`"),
                               ("from: named", "from: titles", "that is a lookup")]:
        assert was in text
        file.write_text(text.replace(was, becomes))
        done = weir("check", file)
        assert done.code == 2 and told in done.err, (becomes, done)


def test_a_mistake_in_a_lookup_is_told_once(weir, write):
    file = write("type: file\npath: titles")
    file.write_text(file.read_text().replace("level: bigint, tags", "level: number, tags", 1))
    done = weir("check", file)
    assert done.code == 2 and done.err.count(" error: ") == 2, done
    assert "the lookup that it joins has mistakes of its own" in done.err


def test_a_lookup_that_nobody_joins_does_not_run(weir, write, tmp_path):
    file = write("type: file\npath: titles")
    file.write_text(file.read_text().replace("LEFT JOIN titles t ON t.id = l.id", "").replace("follow: true, poll: 20ms", "follow: false")
                    .replace("t.title, t.since, t.level, t.tags, t.open, coalesce(t.title, 'none') AS shown", "l.x AS title")
                    .replace("columns: {n: bigint not null, id: text, title: text, since: timestamp, level: bigint, tags: json, open: boolean, shown: text}",
                             "columns: {n: bigint}"))
    (tmp_path / "in.ndjson").write_text("")
    done = weir("check", file)
    assert done.code == 0 and "no transform that runs joins lookup `titles`" in done.err, done
    done = weir("run", file, "--once")
    assert done.code == 0 and "lookup loaded" not in done.err, done


def test_columns_that_are_joined_beside_the_key_get_an_index(start, weir, site, api, feed, tmp_path):
    rows = [{"id": "k%d" % n, "title": "t%d" % n, "level": n} for n in range(3000)]
    site.pages["/titles"] = json.dumps({"rows": rows}).encode()
    file = api("1h")
    file.write_text(file.read_text().replace("ON t.id = l.id", "ON t.level = l.id"))
    done = weir("check", file)
    assert done.code == 0 and "lookup titles gets an index on level" in done.out and "whole" not in done.err, done
    running = start(file)
    feed.send(*["%d" % n for n in range(500)])
    assert feed.rows(running) == [(n + 1, "t%d" % n) for n in range(500)]
    connection = sqlite3.connect("file:%s?mode=ro" % (tmp_path / ".weir" / "lookups" / "lookups" / files(tmp_path)[0]), uri=True)
    indexes = [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE type = 'index'")]
    connection.close()
    assert len(indexes) == 2 and any('("level")' in sql for sql in indexes)


def test_a_join_without_equality_is_warned_of(weir, write):
    file = write("type: file\npath: titles")
    file.write_text(file.read_text().replace("ON t.id = l.id", "ON t.title LIKE l.id"))
    done = weir("check", file)
    assert done.code == 0 and "read from its first to its last row for each record" in done.err, done


def test_letters_that_lacked_a_row_are_sent_again(start, weir, site, api, feed, sqlite_target):
    site.pages["/titles"] = answer(a="Anna")
    file = api()
    file.write_text(file.read_text().replace("sinks:", "    checks: {known: title IS NOT NULL}\ndead_letters: {stop_above: 100%}\nsinks:"))
    running = start(file)
    feed.send("a", "b", "c")
    eventually("two letters", lambda: "weir_dead" in sqlite_target.tables() and count(sqlite_target, "weir_dead") == 2)
    site.pages["/titles"] = answer(a="Anna", b="Bert")
    eventually("the new table", lambda: node(weir, file)["rows"] == 2)
    assert weir("dlq", "retry", file).code == 0
    eventually("the letter has become a row", lambda: (2, "Bert") in feed.target.query("SELECT n, title FROM out"))
    eventually("the other is a letter again", lambda: count(sqlite_target, "weir_dead") == 1)
    assert running.stop().code == 0
    site.pages["/titles"] = answer(c="Cora")
    done = weir("dlq", "retry", file)  # without a running instance
    assert done.code == 0, done
    assert (3, "Cora") in feed.target.query("SELECT n, title FROM out") and count(sqlite_target, "weir_dead") == 0


def test_a_reload_brings_another_lookup(start, weir, site, api, feed):
    site.pages["/titles"] = answer(a="Anna")
    site.pages["/others"] = answer(a="Another")
    file = api()
    running = start(file)
    assert feed.title(running, "a") == "Anna"
    file.write_text(file.read_text().replace(site.url("/titles"), site.url("/others")))
    os.kill(running.pid, signal.SIGHUP)
    feed.until(running, "a", "Another")
    assert running.stop().code == 0


def test_two_lanes_join_one_lookup(start, weir, site, api, feed, tmp_path):
    site.pages["/titles"] = answer(a="Anna")
    file = api()
    (tmp_path / "two.ndjson").write_text("".join(json.dumps({"n": 100000 + n, "id": "a"}) + "\n" for n in range(100)))
    file.write_text(file.read_text().replace("path: in.ndjson", "path: [in.ndjson, two.ndjson], lanes: 2"))
    running = start(file)
    feed.send("a")
    eventually("both files", lambda: "out" in feed.target.tables() and count(feed.target, "out") == 101)
    assert len(running.workers("lookup")) == 1 and len(running.workers("transformer")) == 2
    site.pages["/titles"] = answer(a="Antonia")

    def replaced():
        feed.send("a")
        with open(tmp_path / "two.ndjson", "a") as two:
            two.write(json.dumps({"n": 200000, "id": "a"}) + "\n")
        return feed.target.query("SELECT count(DISTINCT n > 99999) FROM out WHERE title = 'Antonia'") == [(2,)]
    eventually("replaced in both", replaced)
    assert running.stop().code == 0
