"""`weir positions show|set|rename`: what is stored, what a change would repeat or skip, and that it does just that."""
import json
import os
import re
import subprocess

import pytest

from support.targets import SqliteTarget, count
from support.waiting import eventually

FILE_PIPELINE = """
pipeline: %(pipeline)s
sources:
  %(source)s: {type: file, path: in.ndjson, follow: %(follow)s, poll: 20ms}
sinks:
  out: {from: %(source)s, type: table, url: "%(url)s", table: t, columns: {id: bigint}}
"""
HTTP_PIPELINE = """
pipeline: polled
sources:
  src: {type: http, url: "%(api)s", every: 1h, records: items, key: id, emit: changed}
sinks:
  out: {from: src, type: table, url: "%(url)s", table: t, mode: upsert, key: id, columns: {id: bigint, v: bigint}}
"""


def feed(tmp_path, first, last):
    with open(tmp_path / "in.ndjson", "a") as file:
        for n in range(first, last + 1):
            file.write('{"id": %4d}\n' % n)  # each line has 13 bytes: positions are easy to name


BYTES = len('{"id": %4d}\n' % 1)


@pytest.fixture
def write(pipeline, target):
    def run(source="lines", name="p", follow=False):
        return pipeline(FILE_PIPELINE % {"pipeline": name, "source": source, "url": target.url, "follow": str(follow).lower()})
    return run


def once(weir, file):
    done = weir("run", file, "--once", "--state", "state")
    assert done.code == 0, done


def shown(weir, file, *more):
    done = weir("positions", "show", file, "--state", "state", "--json", *more)
    assert done.code == 0, done
    return done.json


def test_show(weir, write, target, tmp_path):
    file = write()
    assert shown(weir, file) == []
    feed(tmp_path, 1, 10)
    once(weir, file)
    position, = shown(weir, file)
    assert position["sink"] == "out" and position["source"] == "lines" and position["position"] == 10 * BYTES and position["rows"] == 10
    assert shown(weir, file, "--source", "other") == []
    assert "at %d  rows 10  refused 0" % (10 * BYTES) in weir("positions", "show", file, "--state", "state").out


def test_set_repeats_what_it_said(weir, write, target, tmp_path):
    file = write()
    feed(tmp_path, 1, 10)
    once(weir, file)
    dry = weir("positions", "set", file, "out", "--to", 7 * BYTES, "--dry-run", "--state", "state")
    assert dry.code == 0 and "3 records of the file are repeated" in dry.out and shown(weir, file)[0]["position"] == 10 * BYTES, dry
    unsure = weir("positions", "set", file, "out", "--to", 7 * BYTES, "--state", "state")
    assert unsure.code == 1 and "--yes" in unsure.err and shown(weir, file)[0]["position"] == 10 * BYTES
    assert weir("positions", "set", file, "out", "--to", 7 * BYTES, "--yes", "--state", "state").code == 0
    once(weir, file)
    assert sorted(row[0] for row in target.query("SELECT id FROM t")) == [1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 9, 10, 10]


def test_set_skips_and_forgets(weir, write, target, tmp_path):
    file = write()
    feed(tmp_path, 1, 5)
    once(weir, file)
    feed(tmp_path, 6, 10)
    assert weir("positions", "set", file, "out", "--to", 8 * BYTES, "--yes", "--state", "state").code == 0
    once(weir, file)
    assert sorted(row[0] for row in target.query("SELECT id FROM t")) == [1, 2, 3, 4, 5, 9, 10]
    assert weir("positions", "set", file, "out", "--to", "forget", "--yes", "--state", "state").code == 0
    assert shown(weir, file)[0]["position"] is None
    once(weir, file)
    assert count(target, "t") == 17


def set_to(weir, file, to, *more):
    return weir("positions", "set", file, "out", "--to", to, "--dry-run", "--state", "state", "--json", *more)


def test_a_place_inside_of_a_record_is_refused(weir, write, sqlite_target, tmp_path):
    file = write()
    feed(tmp_path, 1, 10)
    once(weir, file)
    inside = set_to(weir, file, 7 * BYTES + 3)
    assert inside.code == 1 and "begins behind %d and ends at %d" % (7 * BYTES, 8 * BYTES) in inside.err, inside
    beyond = set_to(weir, file, 10 * BYTES + 1)
    assert beyond.code == 1 and "%d is behind its end" % (10 * BYTES + 1) in beyond.err, beyond
    # Blank lines are no records; the last line needs no newline, as the file is not followed.
    with open(tmp_path / "in.ndjson", "a") as more:
        more.write('\n  \n{"id": 11}')
    for to in (10 * BYTES + 1, 10 * BYTES + 4, 10 * BYTES + 14, "latest"):
        stream, = set_to(weir, file, to).json["streams"]
        whole = to in ("latest", 10 * BYTES + 14)
        assert stream["records"] == whole and stream["effect"] == "skipped" and stream["to"] == (10 * BYTES + 14 if whole else to)
    assert set_to(weir, file, 10 * BYTES + 10).code == 1
    assert set_to(weir, file, "earliest").json["streams"][0]["records"] == 10
    # A followed file may get the rest of that line.
    file = write(follow=True)
    assert set_to(weir, file, 10 * BYTES + 14).code == 1
    assert set_to(weir, file, "latest").json["streams"][0]["to"] == 10 * BYTES + 4
    # Another file under its name: what was read of the old one cannot be counted in it.
    (tmp_path / "in.ndjson").rename(tmp_path / "old")
    feed(tmp_path, 1, 3)
    stream, = set_to(weir, file, 2 * BYTES).json["streams"]
    assert "another one" in stream["not_counted"] and "records" not in stream


@pytest.mark.parametrize("form, content, ends, inside", [
    ("msgpack", b"".join(b"\x81\xa2id" + bytes([n]) for n in range(5)), [0, 5, 10, 15, 20, 25], [1, 7, 24]),
    ("json", json.dumps([{"id": n} for n in range(5)]).encode(), [0, 1, 2, 3, 4, 5], [])])
def test_records_of_other_formats_are_counted(weir, pipeline, sqlite_target, tmp_path, form, content, ends, inside):
    file = pipeline(FILE_PIPELINE.replace("type: file", "type: file, format: %s" % form)
                    % {"pipeline": "p", "source": "lines", "url": sqlite_target.url, "follow": "false"})
    (tmp_path / "in.ndjson").write_bytes(content)
    once(weir, file)
    for index, end in enumerate(ends):
        stream, = set_to(weir, file, end).json["streams"]
        assert stream["records"] == 5 - index and stream["from"] == ends[-1]
    for bad in inside + [ends[-1] + 1]:
        assert set_to(weir, file, bad).code == 1
    assert set_to(weir, file, "latest").json["streams"][0]["to"] == ends[-1]
    assert weir("positions", "set", file, "out", "--to", ends[2], "--yes", "--state", "state").code == 0
    once(weir, file)
    assert sorted(row[0] for row in sqlite_target.query("SELECT id FROM t")) == [0, 1, 2, 2, 3, 3, 4, 4]


def test_a_number_is_for_one_stream(weir, pipeline, sqlite_target, tmp_path):
    file = pipeline(FILE_PIPELINE.replace("in.ndjson", "'in/*'")
                    % {"pipeline": "p", "source": "lines", "url": sqlite_target.url, "follow": "false"})
    (tmp_path / "in").mkdir()
    for name, rows in (("a", 4), ("b", 7)):
        (tmp_path / "in" / name).write_text("".join('{"id": %d}\n' % n for n in range(rows)))
    once(weir, file)
    assert "several" in set_to(weir, file, 20).err
    assert set_to(weir, file, 20, "--partition", "in/a").json["streams"][0]["records"] == 2
    # To the end, or to the beginning, each stream has its own.
    for to, ends in (("earliest", [0, 0]), ("latest", [40, 70])):
        assert [stream["to"] for stream in set_to(weir, file, to).json["streams"]] == ends
        done = weir("positions", "set", file, "out", "--to", to, "--yes", "--state", "state")
        assert done.code == 0 and [p["position"] for p in shown(weir, file)] == ends, done


def test_set_under_a_running_instance(weir, start, write, target, tmp_path):
    file = write(follow=True)
    feed(tmp_path, 1, 5)
    running = start(file, "--state", "state")
    eventually("5 rows", lambda: count(target, "t") == 5)
    assert weir("positions", "set", file, "out", "--to", 0, "--yes", "--state", "state").code == 0
    feed(tmp_path, 6, 6)
    eventually("everything again", lambda: count(target, "t") == 11)
    assert running.stop().code == 0
    assert sorted(row[0] for row in target.query("SELECT id FROM t")) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6]


def test_rename_pipeline_and_source(weir, write, target, tmp_path):
    feed(tmp_path, 1, 5)
    once(weir, write())
    file = write(source="renamed", name="q")
    assert shown(weir, file) == []
    dry = weir("positions", "rename", file, "out", "--pipeline", "p", "--source", "lines=renamed", "--dry-run", "--state", "state")
    assert dry.code == 0 and shown(weir, file) == []
    done = weir("positions", "rename", file, "out", "--pipeline", "p", "--source", "lines=renamed", "--yes", "--state", "state")
    assert done.code == 0, done
    position, = shown(weir, file)
    assert (position["source"], position["edge"]) == ("renamed", "renamed")
    feed(tmp_path, 6, 6)
    once(weir, file)
    assert sorted(row[0] for row in target.query("SELECT id FROM t")) == [1, 2, 3, 4, 5, 6]
    again = weir("positions", "rename", file, "out", "--pipeline", "p", "--source", "lines=renamed", "--yes", "--state", "state")
    assert again.code == 1 and "already" in again.err


def answer(*records):
    return json.dumps({"items": [{"id": i, "v": v} for i, v in records]}).encode()


def test_a_journal_counts_what_is_repeated(weir, pipeline, site, target, tmp_path):
    file = pipeline(HTTP_PIPELINE % {"api": site.url("/x"), "url": target.url})
    site.pages["/x"] = answer((1, 1), (2, 2), (3, 3))
    once(weir, file)
    site.pages["/x"] = answer((1, 1), (2, 20), (3, 3))
    once(weir, file)
    dry = weir("positions", "set", file, "out", "--to", "earliest", "--dry-run", "--state", "state")
    assert dry.code == 0 and "records of the journal, which came from" in dry.out and "repeated" in dry.out, dry
    beyond = weir("positions", "set", file, "out", "--to", 99, "--dry-run", "--state", "state")
    assert beyond.code == 1 and "has given out positions up to 4" in beyond.err, beyond
    latest = weir("positions", "set", file, "out", "--to", "latest", "--dry-run", "--state", "state")
    assert latest.code == 0 and "to 4" in latest.out and "nothing is repeated or skipped" in latest.out, latest


@pytest.mark.parametrize("to", ["earliest", "latest", "forget"])
def test_a_lost_state_folder_is_answered(weir, pipeline, site, sqlite_target, tmp_path, to):
    target = sqlite_target
    file = pipeline(HTTP_PIPELINE % {"api": site.url("/x"), "url": target.url})
    site.pages["/x"] = answer((1, 1), (2, 2))
    once(weir, file)
    site.pages["/x"] = answer((1, 1), (2, 2), (3, 3))
    refused = weir("run", file, "--once", "--state", "fresh")
    assert refused.code == 1 and "weir positions set %s --state fresh out --source src" % file in refused.err, refused
    assert weir("positions", "set", file, "out", "--to", to, "--yes", "--state", "fresh").code == 0
    done = weir("run", file, "--once", "--state", "fresh")
    assert done.code == 0, done
    # The new journal is empty: its first poll brings the present state, and the upsert makes one row of each.
    assert sorted(target.query("SELECT id, v FROM t")) == [(1, 1), (2, 2), (3, 3)]


TWO_SINKS = """
pipeline: pasted
sources:
  lines: {type: file, path: "in it's.ndjson"}
sinks:
  one: {from: lines, type: table, url: "sqlite:one.db", table: t, columns: {id: bigint}}
  two: {from: lines, type: file, path: two.ndjson}
"""


def test_the_choices_of_an_error_can_be_pasted(weir, pipeline, program, tmp_path):
    pipeline(TWO_SINKS, "pipe line.yaml")
    (tmp_path / "in it's.ndjson").write_text("".join('{"id": %d}\n' % n for n in range(5)))
    assert weir("run", "pipe line.yaml", "--once", "--state", "state of it").code == 0
    (tmp_path / "in it's.ndjson").write_text('{"id": 7}\n')
    refused = weir("run", "pipe line.yaml", "--once", "--state", "state of it")
    assert refused.code == 1, refused
    command = re.search(r"`(weir positions set [^`]*)`", refused.err.split("weir has stopped")[1])[1]
    assert command.startswith("weir positions set 'pipe line.yaml' --state 'state of it' one two --source lines --partition ")
    pasted = subprocess.run(["sh", "-c", 'weir() { "$WEIR_UNDER_TEST" "$@"; }; ' + command + " --yes"], cwd=tmp_path,
                            env=dict(os.environ, WEIR_UNDER_TEST=os.path.abspath(program)), capture_output=True, text=True)
    assert pasted.returncode == 0, pasted
    assert weir("run", "pipe line.yaml", "--once", "--state", "state of it").code == 0
    assert [n for (n,) in SqliteTarget(tmp_path / "one.db").query("SELECT id FROM t ORDER BY rowid")] == [0, 1, 2, 3, 4, 7]
    assert (tmp_path / "two.ndjson").read_text().endswith('{"id":7}\n')


@pytest.mark.parametrize("words, part", [(["jump"], "none of show"), (["set"], "which sink"), (["set", "out"], "where to"),
                                         (["set", "out", "--to", "-5"], "--to is a position"), (["set", "no", "--to", "1"], "no sink"),
                                         (["rename", "out"], "what?"), (["rename", "out", "--source", "a"], "OLD=NEW")])
def test_mistakes_on_the_command_line(weir, write, words, part):
    done = weir("positions", words[0], write(), *words[1:], "--state", "state")
    assert done.code == 2 and part in done.err, done
