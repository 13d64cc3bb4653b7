"""`weir check`: every mistake of a broken file at once, each with its place, the line, a caret and a suggestion; exit codes; --json.

Also `weir graph` and `weir reference`, which live from the same reading of the file.
"""
import json
import os
import re
import sqlite3

import pytest

SOURCE = "sources:\n  lines: {type: file, path: in.ndjson}\n"
SINK = "sinks:\n  out: {from: lines, type: file, path: out.ndjson}\n"


class Said:
    """One message as it was printed, with what the caret points at."""

    def __init__(self, line, column, level, text, shown, caret, suggestion):
        self.line, self.column, self.level, self.text, self.suggestion = line, column, level, text, suggestion
        self.word = shown[caret.index("^"):][:len(caret.strip())] if caret else None

    def __repr__(self):
        return "%d:%d: %s: %s [%s] did you mean %s" % (self.line, self.column, self.level, self.text, self.word, self.suggestion)


def said(err):
    found = []
    lines = err.split("\n")
    for number, line in enumerate(lines):
        match = re.match(r"pipe\.yaml:(\d+):(\d+): (error|warning): (.*)", line)
        if not match:
            continue
        shown = caret = suggestion = None
        if number + 2 < len(lines) and re.match(r" +\d+ \| ", lines[number + 1]):
            assert int(lines[number + 1].split("|")[0]) == int(match[1]), "another line is shown than the one that is named"
            shown, caret = lines[number + 1].split("| ", 1)[1], lines[number + 2].split("| ", 1)[1]
            assert re.fullmatch(r" *\^~*", caret), caret
            if number + 3 < len(lines) and "did you mean" in lines[number + 3]:
                suggestion = re.search(r"did you mean `(.*)`\?", lines[number + 3])[1]
        found.append(Said(int(match[1]), int(match[2]), match[3], match[4], shown, caret, suggestion))
    return found


def check(weir, tmp_path, text, *options, env=None):
    data = text if isinstance(text, bytes) else text.encode()
    (tmp_path / "pipe.yaml").write_bytes(data)
    return weir("check", "pipe.yaml", *options, env=env)


# name: (file, [(line, column, part of the message, word under the caret or None, suggestion or None)])
BROKEN = {
    "unknown key": (SOURCE + "sinks:\n  out:\n    from: lines\n    type: table\n    url: sqlite:x.db\n    tabel: t\n    table: t\n",
                    [(8, 5, "has no setting `tabel`", "tabel", "table")]),
    "unknown top key": ("sorces: {}\n" + SOURCE + SINK, [(1, 1, "the pipeline has no setting `sorces`", "sorces", "sources")]),
    "unknown kind": ("sources:\n  lines: {type: flie, path: x}\n" + SINK, [(2, 17, "there is no source of type `flie`", "flie", "file")]),
    "no kind": ("sources:\n  lines: {path: x}\n" + SINK, [(2, 3, "needs `type`: http, file or generate", "lines", None)]),
    "missing setting": ("sources:\n  lines: {type: file}\n" + SINK, [(2, 3, "needs `path`", "lines", None)]),
    "wrong types": ("sources:\n  lines:\n    type: file\n    path: x\n    follow: maybe\n    poll: 5\n    max_record: much\n    lanes: some\n" + SINK,
                    [(5, 13, "`follow` must be true or false, not `maybe`", "maybe", None),
                     (6, 11, "`poll` needs a unit", "5", None),
                     (7, 17, "`max_record` must be a size", "much", None),
                     (8, 12, "`lanes` must be auto or a whole number", "some", None)]),
    "out of range": ("ring: 2GiB\ndead_letters: {stop_above: 200%}\nsources:\n  lines: {type: file, path: x, lanes: 65}\n" + SINK,
                     [(1, 7, "`ring` must be from 64KiB to 1GiB", "2GiB", None),
                      (2, 28, "`stop_above` must be a share", "200%", None),
                      (4, 39, "`lanes` must be from 1 to 64, not `65`", "65", None)]),
    "no power of two": ("ring: 3MiB\n" + SOURCE + SINK, [(1, 7, "power of two", "3MiB", None)]),
    "missing reference": (SOURCE + "sinks:\n  out: {from: linse, type: file, path: x}\n",
                          [(4, 15, "sink `out` reads `linse`, which is not there", "linse", "lines")]),
    "sink as input": (SOURCE + SINK + "  b:\n    from: [lines, out]\n    type: file\n    path: x\n", [(6, 19, "that is a sink", "out", None)]),
    "circle of topics": (SOURCE + "topics:\n  a: {from: b}\n  b: {from: a}\n" + SINK, [(4, 3, "circle: a -> b -> a", "a", None)]),
    "circle of SQL": (SOURCE + "transforms:\n  a: {sql: SELECT b.x FROM b}\n  b: {sql: SELECT a.x FROM a}\n" + SINK,
                      [(4, 3, "circle: a -> b -> a", "a", None)]),
    "name twice": (SOURCE + "sinks:\n  Lines: {from: lines, type: file, path: x}\n",
                   [(4, 3, "the name `Lines` is taken by the source in line 2", "Lines", None)]),
    "key twice": (SOURCE + "sinks:\n  out:\n    from: lines\n    type: file\n    path: x\n    path: y\n",
                  [(8, 5, "`path` stands here twice: first in line 7", "path", None)]),
    "variable not set": (SOURCE + "sinks:\n  out:\n    from: lines\n    type: file\n    path: a/${NO_SUCH_VARIABLE}/${NOR_THIS}\n",
                         [(7, 13, "${NO_SUCH_VARIABLE} is not set and has no default", None, None),
                          (7, 33, "${NOR_THIS} is not set", None, None)]),
    "file not there": (SOURCE + "sinks:\n  out:\n    from: lines\n    type: file\n    path: ${file:secret.txt}\n",
                       [(7, 11, "${file:secret.txt} cannot be read: No such file", None, None)]),
    "unquoted variable": (SOURCE + "sinks:\n  out: {from: lines, type: file, path: ${OUT}}\n", [(4, 40, "quote it", None, None)]),
    "anchor and alias": ("sources:\n  lines: &a {type: file, path: x}\n  more: *a\n" + SINK,
                         [(2, 10, "anchors and aliases", None, None), (3, 9, "anchors and aliases", None, None)]),
    "merge key": ("x: &a {type: file, path: x}\nsources:\n  lines: {<<: *a, path: y}\n" + SINK,
                  [(1, 1, "no setting `x`", "x", None), (1, 4, "anchors", None, None), (3, 3, "needs `type`", "lines", None),
                   (3, 15, "anchors", None, None)]),
    "tag": ("sources:\n  lines: {type: !!str file, path: x}\n" + SINK, [(2, 17, "tags (`!`)", None, None)]),
    "two documents": (SOURCE + SINK + "---\na: b\n", [(5, 1, "a second document", None, None)]),
    "tab": ("sources:\n\tlines: {}\n", [(2, 1, "a tab cannot indent", None, None)]),
    "values with blanks": ("ring: 10 MB\ndead_letters: {max_bytes: 1.5GiB}\nsources:\n  lines: {type: http, url: 'http://h/', every: 5 minutes}\n"
                           "sinks:\n  out: {from: lines, type: table, url: '/tmp/ab.db', table: t, bytes: '10 MB'}\n",
                           [(1, 7, "`ring` must be a size that is a power of two", "10 MB", None),
                            (2, 27, "`max_bytes` must be a size", "1.5GiB", "1536MiB"),
                            (4, 48, "`every` must be a time", "5 minutes", "5m"),
                            (6, 41, "this is no address of a target", "/tmp/ab.db", "sqlite:/tmp/ab.db"),
                            (6, 71, "`bytes` must be a size", "'10 MB'", "10MB")]),
    "addresses": ("sources:\n  a: {type: http, url: 'http://127.0.0.1:99999/x'}\n  b: {type: http, url: 'http://a host/'}\n"
                  "  c: {type: http, url: 'http://h/a b'}\n  d: {type: http, url: 'ftp://h/'}\n  e: {type: http, url: 'http://h:0/'}\n"
                  "lookups:\n  l: {type: http, url: 'http://127.0.0.1:99999/x', key: id, columns: {id: text}}\n"
                  "sinks:\n  out: {from: [a, b, c, d, e], type: file, path: x}\n",
                  [(2, 25, "its port is no number from 1 to 65535", "http://127.0.0.1:99999/x", None),
                   (3, 25, "there is a blank in its host", "http://a host/", None), (4, 25, "write %20", "http://h/a b", None),
                   (5, 25, "begins with http://", "ftp://h/", None), (6, 25, "its port is no", "http://h:0/", None),
                   (8, 25, "its port is no", "http://127.0.0.1:99999/x", None)]),
    "commas and colons": (SOURCE + "transforms:\n  a:\n    sql: SELECT 'a: b' FROM lines\n" + SINK,
                          [(5, 19, "a `:` stands in the value: quote the value", None, None)]),
    "indented too far": (SOURCE + "sinks:\n  out:\n    from: lines\n      type: file\n" , [(6, 11, "is the line indented too far?", None, None)]),
    "a type with a comma": (SOURCE + "transforms:\n  a:\n    sql: SELECT id FROM lines\n    columns: {id: numeric(10,2)}\n" + SINK,
                            [(6, 19, "has no type `numeric(10`", None, None), (6, 32, "`2)` needs a type: inside { } a comma ends a value", None, None)]),
    "an unquoted name": ("sources:\n  ev-1: {type: file, path: x}\ntransforms:\n  a: {sql: SELECT id FROM ev-1}\n"
                         "sinks:\n  out: {from: a, type: file, path: x}\n",
                         [(4, 29, 'near "-": syntax error (the name ev-1 is written in double quotes in SQL: "ev-1")', "-", None)]),
    "an unquoted keyword": ("sources:\n  order: {type: file, path: x}\ntransforms:\n  a: {sql: SELECT id FROM order}\n"
                            "sinks:\n  out: {from: a, type: file, path: x}\n",
                            [(4, 27, 'the name order is written in double quotes', "order", None)]),
    "a keyword that is none of the names": ("sources:\n  order: {type: file, path: x}\ntransforms:\n  a: {sql: SELECT id FRM x ORDER BY id}\n"
                                            "sinks:\n  out: {from: a, type: file, path: x}\n", [(4, 26, 'syntax error', "x", None)]),
    "a transform of itself": (SOURCE + "transforms:\n  self: {sql: SELECT id FROM self}\nsinks:\n  out: {from: self, type: file, path: x}\n",
                              [(4, 30, 'it reads itself, "self"', "self", None)]),
    "names that are none": ("sources:\n  1st: {type: file, path: x}\n  a.b: {type: file, path: x}\ntransforms:\n  t: {sql: SELECT id FROM 1st}\n"
                            "  u: {sql: 'SELECT id FROM \"a.b\"'}\nsinks:\n  o: {from: [t, u, a.b], type: file, path: x}\n"
                            "  p: {from: 1st, type: file, path: y}\n",
                            [(2, 3, "`1st` cannot be a name", "1st", None), (3, 3, "`a.b` cannot be a name", "a", None)]),
    "nothing in a word": (SOURCE + "sinks: ~\n", [(3, 8, "`sinks` is empty", "~", None)]),
    "basic without a password": ("sources:\n  a: {type: http, url: 'http://h/', auth: {basic: justuser}}\n"
                                 "lookups:\n  l:\n    type: http\n    url: http://h/\n    auth: {basic: justuser}\n    key: id\n    columns: {id: text}\n"
                                 "sinks:\n  out: {from: a, type: file, path: x}\n",
                                 [(2, 51, "there is no colon in it", "********", None), (7, 19, "there is no colon in it", "********", None)]),
    # Nothing follows from it: the key is there, and so is what is read.
    "names twice": (SOURCE + "sinks:\n  out: {from: [lines, lines], type: table, url: 'sqlite:x', table: t, mode: upsert, key: [id, id]}\n",
                    [(4, 23, "`from` names `lines` twice", "lines", None), (4, 95, "`key` names `id` twice", "id", None)]),
    "not YAML": ("sources: [\n", [(2, 1, "this is not YAML", None, None)]),
    "not UTF-8": (b"sources:\n  \xc3\xa4\xff: x\n", [(2, 4, "0xff) is not UTF-8", None, None)]),
    "empty": ("", [(1, 1, "the file is empty", None, None)]),
    "a list": ("- a\n", [(1, 1, "a pipeline file is a map", None, None)]),
    "no sinks": (SOURCE, [(1, 1, "the pipeline needs `sinks`", "sources", None)]),
    "lookups": (SOURCE + "lookups: {l: {}}\n" + SINK, [(3, 11, "lookup `l` needs `type`: http, file, sqlite or postgres", "l", None)]),
    "topic without brokers": (SOURCE + "topics:\n  t: {key: id}\n" + SINK, [(4, 3, "neither `from` nor brokers", "t", None)]),
    "topics without brokers as the beginning": ("topics:\n  t: {}\nsinks:\n  out: {from: t, type: file, path: x}\n",
                                                [(2, 3, "neither `from` nor brokers", "t", None)]),
    "topics without brokers as the end": (SOURCE + "topics:\n  t: {from: lines}\n",
                                          [(1, 1, "needs `sinks`, or `kafka: {brokers: ...}` for its topics", "sources", None)]),
    "a scheme before a broker": ("kafka: {brokers: 'kafka://h:9092'}\n" + SOURCE + "topics:\n  t: {from: lines}\n",
                                 [(1, 19, "a broker is host:port, without a scheme", "kafka://h:9092", None)]),
    "name of a topic": ("kafka: {brokers: 'h:9092'}\n" + SOURCE + "topics:\n  t: {from: lines, topic: a/b}\n" + SINK,
                        [(5, 20, "a topic's name has letters", "topic", None)]),
    "transactions longer than brokers allow": ("kafka: {brokers: 'h:9092'}\n" + SOURCE + "topics:\n  t: {from: lines, transaction_timeout: 16m}\n",
                                               [(5, 41, "`transaction_timeout` must be from 1s to 15m", "16m", None)]),
    "more settings of a topic than weir gives it": (
        "kafka: {brokers: 'h:9092'}\n" + SOURCE + "topics:\n  t:\n    from: lines\n    create:\n      config: {%s}\n"
        % ", ".join("a%d: b" % n for n in range(33)), [(8, 7, "33 settings are more than the 32 that weir gives a topic", "config", None)]),
    "login at brokers": ("kafka:\n  brokers: h:9092\n  sasl: {mechanism: SCRAM, user: me}\n" + SOURCE + "topics:\n  t: {from: lines}\n" + SINK,
                         [(3, 9, "needs `password`", None, None), (3, 21, "must be PLAIN or SCRAM-SHA-256 or SCRAM-SHA-512", "SCRAM", None)]),
    # Of several topics each mistake of what they share is told once.
    "options of the Kafka client": ("kafka:\n  brokers: h:9092\n  options:\n    fetch.wait.max.ms: 10\n    fetch.wait.maxms: 10\n    security.protocol: ssl\n"
                                    + SOURCE + "topics:\n  t: {from: lines}\n  u: {topic: x}\nsinks:\n  out: {from: [t, u], type: table, url: 'sqlite:x', table: t}\n",
                                    [(5, 23, "fetch.wait.maxms", "10", None), (6, 24, "kafka.security", "ssl", None)]),
    "options that would have no effect": (
        "kafka:\n  brokers: h:9092\n  options:\n    session.timeout.ms: 60000\n    batch.size: 100\n    message.max.bytes: 2000000\n"
        "    topic.blacklist: ^x\n" + SOURCE + "topics:\n  t: {from: lines}\n",
        [(4, 25, "gives a silent instance up after 10 s", "60000", None), (5, 17, "use linger.ms or batch.num.messages", "100", None),
         (6, 24, "use max.message.bytes of the topic, or fetch.max.bytes", "2000000", None),
         (7, 22, "what else is read says `topic` of the topic", "^x", None)]),
    "options that the client of a writer would refuse": (
        "kafka:\n  brokers: h:9092\n  options:\n    max.in.flight: 6\n    max.in.flight.requests.per.connection: 6\n    retries: 0\n"
        "    message.send.max.retries: 0\n    queuing.strategy: lifo\n" + SOURCE + "topics:\n  t: {from: lines}\n",
        [(4, 20, "its writers are idempotent", "6", None), (5, 44, "its writers are idempotent", "6", None),
         (6, 14, "its writers are idempotent", "0", None), (7, 31, "its writers are idempotent", "0", None),
         (8, 23, "its writers are idempotent", "lifo", None)]),
    "a password among the options, in a line of its own": (
        "kafka:\n  brokers: h:9092\n  options:\n    sasl.password:\n      hunter2\n" + SOURCE + "topics:\n  t: {from: lines}\n",
        [(5, 7, "sasl.password", "*******", None)]),
    "column type": (SOURCE + "transforms:\n  a:\n    sql: SELECT id FROM lines\n    columns: {id: txt}\n" + SINK,
                    [(6, 19, "has no type `txt`", "txt", "text")]),
    "unknown input": (SOURCE + "transforms:\n  a:\n    sql: |\n      SELECT id,\n             x\n      FROM linse\n" + SINK,
                      [(8, 12, "linse", "linse", "lines")]),
    "SQL that does not parse": (SOURCE + "transforms:\n  a:\n    sql: |\n      SELECT id,\n      FROM lines\n" + SINK,
                                [(7, 7, "syntax error", "FROM", None)]),
    "key that nobody produces": (SOURCE + "transforms:\n  a:\n    sql: SELECT id FROM lines\n    columns: {id: bigint}\n"
                                 "sinks:\n  out:\n    from: a\n    type: table\n    url: sqlite:x.db\n    table: t\n    mode: upsert\n"
                                 "    key: [id, day]\n", [(14, 15, "day", "day", None)]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_file(weir, tmp_path, name):
    text, wanted = BROKEN[name]
    result = check(weir, tmp_path, text)
    assert result.code == 2, result
    found = said(result.err)
    assert len(found) == len(wanted), result
    for one, (line, column, part, word, suggestion) in zip(found, wanted):
        assert (one.line, one.column) == (line, column), result
        assert one.level == "error" and part in one.text, result
        assert word is None or one.word == word, (one.word, result)
        assert one.suggestion == suggestion, result


def test_every_mistake_at_once(weir, tmp_path):
    result = check(weir, tmp_path, "rng: 1MiB\nsources:\n  a: {type: fil, path: x}\n  b: {type: file, folow: true}\n"
                                   "transforms:\n  t: {sql: SELECT id FROM nowhere}\nsinks:\n  s: {from: [b, c], type: file, pth: x}\n")
    assert result.code == 2
    found = said(result.err)
    assert [(one.line, one.column) for one in found] == sorted((one.line, one.column) for one in found)
    parts = ["`rng`", "`fil`", "needs `path`", "`folow`", "nowhere", "needs `path`", "`c`", "`pth`"]
    assert len(found) == len(parts), result
    for one, part in zip(found, parts):
        assert part in one.text, result


# What a sink is itself to blame for is told though its input is broken too: (the broken part, where the sink stands).
BROKEN_ABOVE = {
    "SQL": ("transforms:\n  a: {sql: SELECT id FRM lines}\n", "a"),
    "circle": ("transforms:\n  a: {sql: SELECT x FROM b}\n  b: {sql: SELECT x FROM a}\n", "a"),
    "not there": ("", "nowhere"),
}


@pytest.mark.parametrize("name", BROKEN_ABOVE)
def test_a_sink_is_checked_behind_what_is_broken(weir, tmp_path, name):
    above, reads = BROKEN_ABOVE[name]
    text = SOURCE + above + "sinks:\n  out:\n    from: %s\n    type: table\n    url: mysql://h/d\n    table: t\n    mode: upsert\n" % reads
    result = check(weir, tmp_path, text)
    found = [one for one in said(result.err) if "sink `out`: " in one.text]
    first = text.count("\n") - 2
    assert [(one.line, one.word) for one in found] == [(first, "mysql://h/d"), (first + 2, "upsert")], result
    assert len(said(result.err)) == 3, result


def test_what_stands_before_a_syntax_error_is_checked(weir, tmp_path):
    result = check(weir, tmp_path, "rng: 1MiB\nsources:\n  lines: {type: file, path: x, folow: true}\n"
                                   "sinks:\n  out:\n    from: later\n    type: table\n    url: mysql://h/d\n    table: t\n"
                                   "  next:\n    type: table\n    tabel: t\n    key: [a, b\n    mode: upsert\n")
    found = said(result.err)
    # What may stand behind that place is not missed: `later`, and what `next` still needs.
    assert [(one.line, one.column) for one in found] == [(1, 1), (3, 32), (8, 10), (12, 5), (14, 9)], result
    assert "not YAML" in found[-1].text and result.code == 2


def test_a_missing_setting_hides_no_other_mistake(weir, tmp_path):
    result = check(weir, tmp_path, SOURCE + "sinks:\n  out:\n    from: lines\n    type: table\n    url: mysql://h/d\n    mode: upsert\n")
    found = said(result.err)
    assert [(one.line, one.word) for one in found] == [(4, "out"), (7, "mysql://h/d"), (8, "upsert")], result


SQL_REFUSED = {
    "delete": "DELETE FROM lines", "create": "CREATE TABLE x (a)", "attach": "ATTACH 'x.db' AS x", "pragma": "PRAGMA journal_mode = DELETE",
    "extension": "SELECT load_extension('x.so') FROM lines", "two statements": "SELECT 1 FROM lines; SELECT 2 FROM lines",
    "catalogue": "SELECT * FROM sqlite_schema", "into": "VACUUM INTO 'x.db'", "aggregate over the stream": "SELECT count(*) FROM lines",
    "misspelt quoted column": "SELECT \"id FROM lines",
}


@pytest.mark.parametrize("name", SQL_REFUSED)
def test_sql_is_refused(weir, tmp_path, name):
    sql = json.dumps(SQL_REFUSED[name])
    result = check(weir, tmp_path, SOURCE + "transforms:\n  a: {sql: %s}\n" % sql + "sinks:\n  out: {from: a, type: file, path: x}\n")
    found = said(result.err)
    assert result.code == 2 and found and all(one.line == 4 for one in found if one.level == "error"), result
    assert sorted(os.listdir(tmp_path)) == ["pipe.yaml"]


GOOD = """\
weir: 1
pipeline: all
kafka: {brokers: "${KAFKA_BROKERS:-}"}  # once for all topics; empty = no Kafka
sources:
  events:
    type: http
    url: ${EONET_URL:-https://eonet.gsfc.nasa.gov/api/v3/events}
    requests:                           # one poll = all of these
      - {status: open}
      - {status: closed, days: 30}
    every: ${EONET_EVERY:-5m}
    records: events
    key: id
    emit: changed
topics:
  eonet_raw: {from: events, key: id}
transforms:
  cleaned:
    sql: |
      SELECT e.id, unescape_html(e.title) AS title, e.closed, e."categories[0].id" AS category,
             g."date" AS observed_at, g."type" AS geometry_type, g."coordinates[0]" AS lon, g."coordinates[1]" AS lat
      FROM eonet_raw e, each(e.geometry) g
    columns:
      id: text not null
      title: text
      closed: timestamp
      category: text
      observed_at: timestamp not null
      geometry_type: text
      lon: double not null
      lat: double not null
    checks:
      on_the_globe: lon BETWEEN -180 AND 180 AND lat BETWEEN -90 AND 90
sinks:
  events_table:
    from: cleaned
    type: table
    url: ${DATABASE_URL:-sqlite:eonet.db}
    table: events
    mode: upsert
    key: [id, observed_at]
dead_letters: {topic: eonet_dlq}
"""


def test_good_file(weir, tmp_path):
    result = check(weir, tmp_path, GOOD)
    assert result.code == 0, result
    assert result.err == ""
    lines = result.out.splitlines()
    assert lines[-1] == "pipe.yaml is good"
    assert any(re.fullmatch(r"transform cleaned: sql, (batch|one by one: .*), reads eonet_raw", line) for line in lines), result
    assert re.search(r"^    observed_at +timestamp not null$", result.out, re.M), result
    # The CREATE TABLE that is shown is one that SQLite takes, with the columns in their order.
    statement = re.search(r"CREATE TABLE.*?\)(?=\s*(;|\n\S|$))", result.out, re.S | re.I)[0]
    base = sqlite3.connect(":memory:")
    base.execute(statement)
    assert [row[1] for row in base.execute("PRAGMA table_info(events)")] == [
        "id", "title", "closed", "category", "observed_at", "geometry_type", "lon", "lat"]
    assert sorted(os.listdir(tmp_path)) == ["pipe.yaml"], "check must not make anything"


@pytest.mark.parametrize("transform, key, warned", [
    ("SELECT id, name FROM lines", "id", True), ("SELECT id, name FROM lines", "id, columns: {id: bigint}", False), (None, "id", True),
    (None, "[id, name], columns: {id: bigint, name: text}", False), ("SELECT id FROM lines", "id, create: false", False)])
def test_an_undeclared_key_is_warned_of(weir, tmp_path, transform, key, warned):
    above = "transforms:\n  a: {sql: %s}\n" % json.dumps(transform) if transform else ""
    result = check(weir, tmp_path, SOURCE + above + "sinks:\n  out: {from: %s, type: table, url: 'sqlite:x.db', table: t, mode: upsert, key: %s}\n"
                   % ("a" if transform else "lines", key))
    found = [one for one in said(result.err) if "Declare it in `columns:`" in one.text]
    assert result.code == 0 and len(found) == warned and all(one.level == "warning" and one.word == "id" for one in found), result
    # The statement says the same, and SQLite takes it with the comment in it.
    statement = re.search(r"CREATE TABLE.*", result.out)
    assert bool(statement and '"id" TEXT /* or DOUBLE' in statement[0]) == (warned and transform is not None), result
    if statement:
        sqlite3.connect(":memory:").execute(statement[0])


def test_a_column_that_is_left_out_and_not_there_is_warned_of(weir, tmp_path):
    text = SOURCE + "transforms:\n  a: {sql: 'SELECT id, x FROM lines'}\n  b: {sql: 'SELECT id, y FROM lines'}\n" \
        "sinks:\n  out: {from: %s, type: table, url: 'sqlite:x.db', table: t, without: [x, y]}\n"
    for reads, wanted in (("[a, b]", []), ("a", [("warning", "y")]), ("lines", [])):
        result = check(weir, tmp_path, text % reads)
        found = [one for one in said(result.err) if "to leave out" in one.text]
        assert result.code == 0 and [(one.level, one.word) for one in found] == wanted, result


def test_json(weir, tmp_path):
    result = check(weir, tmp_path, GOOD, "--json")
    answer = result.json
    assert result.code == 0 and answer["ok"] is True and answer["pipeline"] == "all"
    assert answer["state"] == os.path.realpath(str(tmp_path)) + "/.weir/all"
    nodes = {node["name"]: node for node in answer["nodes"]}
    assert list(nodes) == ["events", "eonet_raw", "cleaned", "events_table"]
    assert nodes["cleaned"]["from"] == ["eonet_raw"]
    assert nodes["cleaned"]["columns"][0] == {"name": "id", "type": "text", "not_null": True}
    assert nodes["eonet_raw"]["kind"] is None and nodes["events"]["lanes"] == 1
    broken = check(weir, tmp_path, GOOD.replace("table: events", "tabel: events"), "--json")
    message = [one for one in broken.json["messages"] if one["suggestion"]][0]
    assert broken.code == 2 and broken.json["ok"] is False
    assert (message["line"], message["column"], message["level"], message["suggestion"]) == (39, 5, "error", "table")


def test_the_shipped_pipeline_is_good(weir, tmp_path):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    result = weir("check", os.path.join(root, "pipelines", "eonet.yaml"))
    assert result.code == 0, result


def test_connect(weir, tmp_path):
    # An absent SQLite file is no fault: a run makes it. --connect must not.
    result = check(weir, tmp_path, GOOD, "--connect", env={"EONET_URL": "http://127.0.0.1:9/"})
    assert sorted(os.listdir(tmp_path)) == ["pipe.yaml"], result
    # A target that cannot be used is the world's fault, not the file's: exit 3.
    sqlite3.connect(tmp_path / "old.db").execute("CREATE TABLE events (id TEXT, observed_at TEXT)").connection.commit()
    text = SOURCE + "transforms:\n  a: {sql: SELECT id FROM lines, columns: {id: text}}\n" \
        "sinks:\n  out: {from: a, type: table, url: 'sqlite:old.db', table: events, mode: upsert, key: id}\n"
    good = check(weir, tmp_path, text)
    assert good.code == 0, good
    result = check(weir, tmp_path, text, "--connect")
    assert result.code == 3, result
    found = [one for one in said(result.err) if one.level == "error"]
    assert found and all(one.line == 6 for one in found), result
    assert "pipe.yaml is good, but its targets are not ready" in result.err
    base = sqlite3.connect(tmp_path / "old.db")
    base.execute("CREATE VIEW seen AS SELECT * FROM events")
    view = check(weir, tmp_path, text.replace("table: events", "table: seen"), "--connect")
    assert view.code == 3 and '"seen" is a view' in view.err, view
    base.execute(re.search("CREATE UNIQUE INDEX .*;", result.err)[0])
    base.commit()
    assert check(weir, tmp_path, text, "--connect").code == 0, "the statement that is shown can be pasted"


def test_connect_finds_a_column_that_nobody_fills(weir, tmp_path):
    text = SOURCE + "transforms:\n  a: {sql: SELECT id FROM lines, columns: {id: bigint}}\n" \
        "sinks:\n  out: {from: a, type: table, url: 'sqlite:old.db', table: t, mode: upsert, key: id}\n"
    base = sqlite3.connect(tmp_path / "old.db")
    base.execute("CREATE TABLE t (row INTEGER PRIMARY KEY NOT NULL, id BIGINT UNIQUE NOT NULL, made TEXT NOT NULL DEFAULT 'x')")
    good = check(weir, tmp_path, text, "--connect")
    assert good.code == 0 and said(good.err) == [], good
    base.executescript("DROP TABLE t; CREATE TABLE t (id BIGINT PRIMARY KEY, extra INT NOT NULL)")
    result = check(weir, tmp_path, text, "--connect")
    assert result.code == 3 and [one.text.split(": ")[1].split(",")[0] for one in said(result.err)] == [
        "column extra of t is NOT NULL without a default"], result


PG = SOURCE + """\
transforms:
  a: {sql: "SELECT id, n FROM lines", columns: {id: text not null, n: bigint}}
sinks:
  out:
    from: a
    type: table
    url: ${URL}
    table: numbers
    mode: upsert
    key: id
"""


def test_connect_postgres(weir, tmp_path, database):
    def connect(url=database.url):
        result = check(weir, tmp_path, PG, "--connect", env={"URL": url})
        errors = [one for one in said(result.err) if one.level == "error"]
        assert (result.code == 3) == bool(errors) and all(6 <= one.line <= 12 for one in errors), result
        return result

    absent = connect()
    assert absent.code == 0 and "encrypted" in absent.out and "would" in absent.out, absent
    assert database.tables() == set(), "check --connect must create nothing"
    database.query("CREATE TABLE numbers (id text NOT NULL, n bigint)")
    without = connect()
    assert without.code == 3 and "unique" in without.err, without
    database.query(re.search("CREATE UNIQUE INDEX .*;", without.err)[0])
    assert connect().code == 0, "the statement that is shown can be pasted"
    database.query("ALTER TABLE numbers RENAME TO more; CREATE VIEW numbers AS SELECT * FROM more")
    view = connect()
    assert view.code == 3 and '"numbers" is a view' in view.err, view
    database.query("DROP VIEW numbers; ALTER TABLE more RENAME TO numbers")
    assert connect().code == 0
    database.query("ALTER TABLE numbers ALTER n TYPE date USING NULL")
    wrong = connect()
    assert wrong.code == 3 and "cannot hold" in wrong.err, wrong
    refused = connect("postgresql://me:hunter2@127.0.0.1:1/nothing")
    assert refused.code == 3 and "hunter2" not in refused.err + refused.out, refused


def test_connect_postgres_finds_rows_that_will_be_refused(weir, tmp_path, database):
    def connect(table):
        database.query("DROP TABLE IF EXISTS numbers")
        database.query("CREATE TABLE numbers (%s)" % table)
        result = check(weir, tmp_path, PG, "--connect", env={"URL": database.url})
        return result.code, [(one.level, one.text) for one in said(result.err)]

    code, found = connect("id text PRIMARY KEY, n bigint, extra int NOT NULL")
    assert code == 3 and len(found) == 1 and "column extra of numbers is NOT NULL without a default" in found[0][1], found
    for filled in ("extra int NOT NULL DEFAULT 1", "extra serial", "extra int GENERATED BY DEFAULT AS IDENTITY", "extra int"):
        assert connect("id text PRIMARY KEY, n bigint, " + filled) == (0, []), filled
    code, found = connect("id varchar(3) PRIMARY KEY, n bigint")
    assert code == 0 and len(found) == 1 and found[0][0] == "warning" and "column id of numbers takes at most 3 characters" in found[0][1], found
    assert connect("id varchar PRIMARY KEY, n bigint") == (0, [])
    # A trigger may fill what nobody gives.
    database.query("CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.extra := 1; RETURN NEW; END'")
    database.query("DROP TABLE numbers; CREATE TABLE numbers (id text PRIMARY KEY, n bigint, extra int NOT NULL);"
                   "CREATE TRIGGER filled BEFORE INSERT ON numbers FOR EACH ROW EXECUTE FUNCTION fill()")
    assert check(weir, tmp_path, PG, "--connect", env={"URL": database.url}).code == 0


def test_files_that_cannot_be_read(weir, tmp_path):
    for path in ("none.yaml", "."):
        result = weir("check", path)
        assert result.code == 2 and "cannot read the pipeline file" in result.err, result
    result = check(weir, tmp_path, b"a: " + b"x" * (4 << 20))
    assert result.code == 2 and "longer than 4 MiB" in result.err, result
    result = check(weir, tmp_path, b"a: \0\n")
    assert result.code == 2 and "NUL" in result.err, result


def test_alias_bomb(weir, tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for i in range(1, 12):
        lines.append("a%d: &a%d [%s]" % (i, i, ", ".join(["*a%d" % (i - 1)] * 9)))
    result = check(weir, tmp_path, "\n".join(lines) + "\n" + SOURCE + SINK)
    assert result.code == 2 and "anchors and aliases" in result.err


def test_variables_and_files(weir, tmp_path):
    (tmp_path / "name.txt").write_text("out: #1\n\n")
    text = SOURCE + "sinks:\n  out:\n    from: lines\n    type: file\n    path: ${file:name.txt}${B:-${A}}$${x}\n"
    (tmp_path / "pipe.yaml").write_text(text)
    result = weir("graph", "pipe.yaml", env={"A": "a: 'b"})
    assert result.code == 0, result
    assert "file out: #1a: 'b${x}" in result.out


def test_when_leaves_out(weir, tmp_path):
    text = SOURCE + "sinks:\n  a: {from: lines, type: file, path: x}\n" \
        "  b: {when: \"${WITH_B:-}\", from: lines, type: file, path: \"${WITH_B}\"}\n"
    names = [node["name"] for node in check(weir, tmp_path, text, "--json").json["nodes"]]
    assert names == ["lines", "a"]
    names = [node["name"] for node in check(weir, tmp_path, text, "--json", env={"WITH_B": "y"}).json["nodes"]]
    assert names == ["lines", "a", "b"]


def test_secrets_are_not_printed(weir, tmp_path):
    (tmp_path / "password").write_text("hunter2\n")
    text = ("sources:\n  web:\n    type: http\n    url: https://me:hunter2@h/?token=hunter2\n    auth: {bearer: hunter2, x: y}\n"
            "    headers: {Authorization: [hunter2]}\n    every: ${file:password}\n    retries: ${file:password}\n"
            "sinks:\n  out: {from: web, type: table, url: 'postgresql://me:hunter2@h/d', tabel: t}\n")
    for options in ([], ["--json"]):
        result = check(weir, tmp_path, text, *options)
        assert result.code == 2
        assert "hunter2" not in result.out + result.err, result
    # What was probably meant would repeat it.
    (tmp_path / "password").write_text("hunter2.db\n")
    result = check(weir, tmp_path, SOURCE + "sinks:\n  out: {from: lines, type: table, url: '${file:password}', table: t}\n")
    assert result.code == 2 and "hunter2" not in result.out + result.err, result
    good = ("sources:\n  web: {type: http, url: 'https://me:hunter2@h/x?token=hunter2'}\n"
            "sinks:\n  out: {from: web, type: table, url: 'postgresql://me:hunter2@h/d?password=hunter2', table: t}\n")
    (tmp_path / "pipe.yaml").write_text(good)
    for form in ("text", "dot", "mermaid"):
        result = weir("graph", "pipe.yaml", "--format", form)
        assert result.code == 0 and "hunter2" not in result.out + result.err, result
        assert "h/d" in result.out


# Addresses that are not what their writers meant: (address, part of the message). Every secret of theirs has "Pa55" or "w0rdX" in it.
ADDRESSES = [
    ("postgresql://bob:Pa55/w0rdX@127.0.0.1/db", "written %40, %2F"),
    ("postgresql://weir:Pa55@w0rdX@127.0.0.1:18778/postgres", "written %40, %2F"),
    ("postgresql://bob:1/w0rdX?user=Pa55@h/db", "written %40, %2F"),
    ("postgresql://bob:Pa 55w0rdX/@h/db", "written %40, %2F"),
    ("postgresql://bob:Pa55%w0rdX@h/db", "written %25"),
    ("postgresql://bob:Pa55w0rdX", "port is a number from 1 to 65535"),
    ("host=h password=Pa55w0rdX", "begins with postgresql://"),
    ("host=h password='Pa55 w0rdX'", "begins with postgresql://"),
    ("bob:Pa55w0rdX@h/db", "begins with postgresql://"),
    ("Pa55w0rdX@h/db", "begins with postgresql://"),
    ("postgres:bob:Pa55w0rdX@h/db", "begins with postgresql://"),
    ("mysql://bob:Pa55w0rdX@h/db", 'no target has the address scheme "mysql"'),
]


def assert_not_printed(result):
    assert "Pa55" not in result.out + result.err and "w0rdX" not in result.out + result.err, result


@pytest.mark.parametrize("url, part", ADDRESSES)
def test_no_address_is_printed(weir, tmp_path, url, part):
    (tmp_path / "url").write_text(url + "\n")
    block = SOURCE + "sinks:\n  out:\n    from: lines\n    type: table\n    url: %s\n    table: t\n"
    quoted = json.dumps(url)
    for text, env in ((block % quoted, None), (block % '"${file:url}"', None), (block % '"${URL}"', {"URL": url}),
                      (block % json.dumps("${URL:-%s}" % url), None)):
        for options in ([], ["--json"], ["--connect"]):
            result = check(weir, tmp_path, text, *options, env=env)
            assert result.code == 2, result
            assert_not_printed(result)
            assert part in (result.json["messages"][0]["text"] if options == ["--json"] else result.err), result
            if not options:
                assert [(one.line, one.column) for one in said(result.err)] == [(7, 11)], result
        assert_not_printed(weir("run", "pipe.yaml", "--once", env=env))
    # Whatever else is wrong in its line, or that the line is no YAML.
    flow = SOURCE + "sinks:\n  out: {from: lines, type: table, url: %s, tabel: t%s\n"
    for end in ("}", ": x}"):
        result = check(weir, tmp_path, flow % (quoted, end))
        assert result.code == 2 and "    4 | " in result.err, result
        assert_not_printed(result)


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "http"])
def test_no_address_of_a_lookup_is_printed(weir, tmp_path, kind):
    for url, _ in ADDRESSES:
        text = SOURCE + "lookups:\n  l: {type: %s, key: a, columns: {a: text}, url: %s%s}\n" % (
            kind, json.dumps(url), "" if kind == "http" else ", sql: SELECT 1") + SINK
        result = check(weir, tmp_path, text)
        assert result.code == 2 and "pipe.yaml:4:" in result.err, result
        assert_not_printed(result)


def test_no_login_is_printed_where_none_belongs(weir, tmp_path):
    texts = {"without user and password": "kafka: {brokers: 'bob:Pa55w0rdX@127.0.0.1:1'}\n" + SOURCE + "topics:\n  t: {from: lines}\n",
             "not an address": "sources:\n  lines: {type: file, path: 'https://bob:Pa55w0rdX@h/x'}\n" + SINK,
             "has no setting `pasword`": SOURCE + SINK + "kafka:\n  brokers: ''\n  sasl: {mechanism: PLAIN, user: u, pasword: Pa55w0rdX}\n",
             "has no setting `bogus`": "sources:\n  web: {type: http, url: 'https://Pa55w0rdX@h/x?key=Pa55w0rdX', "
                                       "headers: {X-Mine: \"${NONE:-Pa55w0rdX}\"}, bogus: x}\n" + SINK.replace("lines", "web"),
             "url is good": "sources:\n  web: {type: http, url: 'http://bob:55/w0rdX@h/x'}\n" + SINK.replace("lines", "web")}
    for part, text in texts.items():
        for options in ([], ["--json"], ["--connect"]):
            result = check(weir, tmp_path, text, *options)
            assert part == "url is good" or part in result.out + result.err, result
            assert_not_printed(result)
        assert_not_printed(weir("graph", "pipe.yaml"))


# What libpq would find out only when it connects.
@pytest.mark.parametrize("address, part", [
    ("h/x?sslmode=disable&zzz=Pa55", "parameter `zzz`"),
    ("h/x?sslmode=Pa55", "parameter `sslmode` is one of disable, allow"),
    ("h/x?target_session_attrs=Pa55", "parameter `target_session_attrs` is one of any"),
    ("h/x?connect_timeout=Pa55", "parameter `connect_timeout` is a whole number"),
    ("h/x?Pa55", "NAME=VALUE"),
    ("h:abc/x", "its port is a number from 1 to 65535"),
    ("h:65536/x", "its port is a number from 1 to 65535"),
    ("h:1,k:0/x", "its port is a number from 1 to 65535"),
    ("h/x?port=Pa55", "its port is a number from 1 to 65535"),
    ("[::1/x", "matching"),
])
def test_an_address_that_a_run_would_refuse(weir, tmp_path, address, part):
    (tmp_path / "in.ndjson").write_text("")
    for scheme in ("postgresql://weir:Pa55w0rdX@", "postgres://"):
        env = {"URL": scheme + address}
        result = check(weir, tmp_path, PG, env=env)
        assert result.code == 2 and [(one.line, one.column) for one in said(result.err)] == [(9, 10)], result
        assert part in said(result.err)[0].text, result
        assert_not_printed(result)
        run = weir("run", "pipe.yaml", "--once", env=env)
        assert run.code == 2 and part in run.err, run
        assert_not_printed(run)


@pytest.mark.parametrize("address", ["h/x?sslmode=verify-ca&application_name=a%40b&ssl=true&connect_timeout=-1", "u:a%40b%2Fc@h:1,k/x",
                                     "u:a?b#c@h/x", "/x?host=%2Ftmp&port=5432", "[::1]:5432/x", "u@h/?target_session_attrs=any", ""])
def test_an_address_that_a_run_takes(weir, tmp_path, address):
    result = check(weir, tmp_path, PG, env={"URL": "postgresql://" + address})
    assert result.code == 0, result


def test_a_host_that_nobody_knows(weir, tmp_path):
    result = check(weir, tmp_path, PG, "--connect", env={"URL": "postgresql://weir:Pa55w0rdX@nohost.invalid/postgres"})
    assert result.code == 3 and "could not translate host name" in result.err and "nohost.invalid" in result.err, result
    assert_not_printed(result)


def test_graph_of_a_broken_file(weir, tmp_path):
    (tmp_path / "pipe.yaml").write_text(SOURCE)
    result = weir("graph", "pipe.yaml")
    assert result.code == 2 and "pipe.yaml:1:1: error: the pipeline needs `sinks`" in result.err, result
    (tmp_path / "pipe.yaml").write_text(SOURCE + SINK)
    result = weir("graph", "pipe.yaml", "--format", "dto")
    assert result.code == 2 and "did you mean `dot`?" in result.err, result


def test_graph_as_json(weir, tmp_path):
    (tmp_path / "pipe.yaml").write_text(GOOD)
    for option in (["--json"], ["--format", "json"]):
        answer = weir("graph", "pipe.yaml", *option).json
        nodes = {node["name"]: node for node in answer["nodes"]}
        assert answer["pipeline"] == "all" and list(nodes) == ["events", "eonet_raw", "cleaned", "events_table"]
        assert nodes["events"]["lanes"] == 1 and nodes["events"]["kind"] == "http" and nodes["cleaned"]["form"].startswith(("batch", "one by one"))
        assert [(edge["from"], edge["to"]) for edge in answer["edges"]] == [
            ("events", "eonet_raw"), ("eonet_raw", "cleaned"), ("cleaned", "events_table")]


def matches(schema, value):
    """As much of JSON Schema as docs/pipeline.schema.json uses."""
    kinds = {"string": str, "number": (int, float), "integer": int, "boolean": bool, "null": type(None), "object": dict, "array": list}
    if "const" in schema and value != schema["const"]:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "type" in schema:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(isinstance(value, kinds[name]) and (name == "boolean") == isinstance(value, bool) for name in names):
            return False
    if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
        return False
    if "minimum" in schema and isinstance(value, int) and not schema["minimum"] <= value <= schema.get("maximum", value):
        return False
    if "anyOf" in schema and not any(matches(one, value) for one in schema["anyOf"]):
        return False
    if "oneOf" in schema and sum(matches(one, value) for one in schema["oneOf"]) != 1:
        return False
    if isinstance(value, dict):
        if any(name not in value for name in schema.get("required", [])):
            return False
        for name, inner in value.items():
            rule = schema.get("properties", {}).get(name, schema.get("additionalProperties", True))
            if rule is False or (rule is not True and not matches(rule, inner)):
                return False
    if isinstance(value, list) and (len(value) < schema.get("minItems", 0) or not all(matches(schema.get("items", {}), one) for one in value)):
        return False
    return True


def test_schema_agrees_with_check(weir, tmp_path):
    yaml = pytest.importorskip("yaml")
    schema = json.loads(weir("reference", "--schema").out)
    assert matches(schema, yaml.safe_load(GOOD))
    told = ["unknown key", "unknown top key", "unknown kind", "no kind", "missing setting", "wrong types", "out of range", "no sinks", "a list",
            "column type"]
    for name in told:
        assert not matches(schema, yaml.safe_load(BROKEN[name][0])), name


KAFKA_SECRETS = """\
kafka:
  brokers: 127.0.0.1:1
  sasl: {mechanism: %s, user: me, password: "hunter2"}
  tls: {key_password: "hunter3", verify: insecure}
  options: {ssl.key.password: "hunter4"}
sources:
  lines: {type: file, path: in.ndjson}
topics:
  t: {from: lines, key: id}
sinks:
  out: {from: t, type: file, path: out.ndjson}
"""


def test_secrets_of_kafka_are_not_shown(weir, tmp_path):
    for mechanism in ("PLAIN", "NONE"):
        for options in ((), ("--json",), ("--connect",)):
            said_all = check(weir, tmp_path, KAFKA_SECRETS % mechanism, *options)
            assert said_all.code == 2, said_all
            assert "hunter" not in said_all.out + said_all.err, said_all
    text = (KAFKA_SECRETS % "PLAIN").replace('ssl.key.password: "hunter4"', "socket.timeout.ms: 5000")
    for options in ((), ("--json",)):
        good = check(weir, tmp_path, text, *options)
        assert good.code == 0 and "hunter" not in good.out + good.err, good
    for form in ("text", "dot", "mermaid", "json"):
        drawn = weir("graph", "pipe.yaml", "--format", form)
        assert drawn.code == 0 and "hunter" not in drawn.out, drawn
