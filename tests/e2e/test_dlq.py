"""`weir dlq list|show|export|drop`: over tables and the state folder alike, with filters. (`retry`: test_retry.py.)"""
import json

import pytest

from support.targets import FileTarget, SqliteTarget, count

PIPELINE = """
pipeline: letters
sources:
  lines: {type: file, path: in.ndjson}
transforms:
  cleaned:
    sql: SELECT id, v FROM lines
    columns: {id: bigint not null, v: bigint}
    checks: {small: v < 100}
sinks:
%s
dead_letters: {stop_above: 1}
"""


@pytest.fixture(params=["sqlite", "postgres", "file"])
def filled(request, weir, pipeline, tmp_path):
    """A pipeline that has run over four good and four bad inputs; returns (file, target)."""
    if request.param == "file":
        target = FileTarget(tmp_path / "out.ndjson", tmp_path / "state")
        sink = "  out: {from: cleaned, type: file, path: out.ndjson}"
    else:
        target = SqliteTarget(tmp_path / "t.db") if request.param == "sqlite" else request.getfixturevalue("database")
        sink = '  out: {from: cleaned, type: table, url: "%s", table: t}' % target.url
    file = pipeline(PIPELINE % sink)
    lines = ['{"id": 1, "v": 1}', '{"id": "x", "v": 2}', '{"id": 3, "v": 300}', "{broken", '{"id": 5, "v": 5}', '{"id": 6, "v": 600}',
             '{"id": 7}', '{"id": 8, "v": 8}']
    (tmp_path / "in.ndjson").write_text("\n".join(lines) + "\n")
    done = weir("run", file, "--once", "--state", "state")
    assert done.code == 0, done
    return file, target


def listed(weir, file, *options):
    done = weir("dlq", "list", file, "--state", "state", "--json", *options)
    assert done.code == 0, done
    return done.json


def test_list_and_filters(weir, filled):
    file, target = filled
    letters = listed(weir, file)
    assert count(target, "t") == 4 and count(target, "weir_dead") == len(letters) == 4
    for letter in letters:
        assert {"id", "node", "reason", "code", "origin", "first", "last"} <= set(letter)
        assert letter["first"].endswith("Z") and letter["origin"]["source"] == "lines"
    assert sorted(letter["node"] for letter in letters) == ["cleaned", "cleaned", "cleaned", "lines"]
    assert [letter["node"] for letter in listed(weir, file, "--node", "lines")] == ["lines"]
    code = letters[0]["code"]
    assert len(listed(weir, file, "--code", code)) == sum(letter["code"] == code for letter in letters)
    assert len(listed(weir, file, "--limit", "3")) == 3
    assert len(listed(weir, file, "--since", "1h")) == 4
    assert listed(weir, file, "--since", "2999-01-01") == []
    text = weir("dlq", "list", file, "--state", "state")
    assert text.code == 0 and len(text.out.splitlines()) == 4


def test_a_node_that_is_not_there_is_told_with_those_that_are(weir, filled):
    file, _ = filled
    for verb in (["list"], ["list", "--json"], ["export"], ["drop", "--yes"], ["retry"]):
        done = weir("dlq", verb[0], file, "--state", "state", "--node", "nope", *verb[1:])
        assert done.code == 2 and done.out == "", done
        assert done.err == 'weir: the pipeline letters has no node "nope"; its nodes are lines, cleaned, out\n', done
    assert listed(weir, file, "--node", "out") == []
    # What a node left behind that the file has no more can still be asked for.
    file.write_text(file.read_text().replace("cleaned", "washed"))
    assert [letter["node"] for letter in listed(weir, file, "--node", "cleaned")] == ["cleaned"] * 3


def test_show_and_export_give_the_original(weir, filled):
    file, _ = filled
    broken, = listed(weir, file, "--node", "lines")
    shown = weir("dlq", "show", file, broken["id"][:10], "--state", "state")
    assert shown.code == 0 and shown.json["data"] == "{broken", shown
    unknown = weir("dlq", "show", file, "no-such-id", "--state", "state")
    assert unknown.code == 1 and "no dead letter" in unknown.err
    exported = weir("dlq", "export", file, "--state", "state")
    records = [json.loads(line) for line in exported.out.splitlines()]
    assert len(records) == 4
    assert sorted(record["record"]["v"] for record in records if "record" in record) == [2, 300, 600]


def test_drop_needs_a_choice_and_drops_just_that(weir, filled):
    file, target = filled
    assert weir("dlq", "drop", file, "--state", "state", "--yes").code == 2
    asked = weir("dlq", "drop", file, "--state", "state", "--node", "lines")
    assert asked.code == 2 and "--yes" in asked.err and count(target, "weir_dead") == 4
    done = weir("dlq", "drop", file, "--state", "state", "--node", "lines", "--yes")
    assert done.code == 0 and "1 dead letter dropped" in done.out
    assert count(target, "weir_dead") == 3
    assert weir("dlq", "drop", file, "--state", "state", "--all", "--yes", "--json").json == {"dropped": 3}
    assert listed(weir, file) == []


@pytest.mark.parametrize("words, part", [(["explode"], "none of list"), (["list", "--colour"], "unknown option"),
                                         (["list", "--limit", "none"], "--limit is a number"), (["list", "--since", "soon"], "--since is"),
                                         (["show"], "which one"), (["list", "a", "b"], "one word too many")])
def test_mistakes_on_the_command_line(weir, pipeline, tmp_path, words, part):
    file = pipeline(PIPELINE % "  out: {from: cleaned, type: file, path: out.ndjson}")
    done = weir("dlq", words[0], file, *words[1:], "--state", "state")
    assert done.code == 2 and part in done.err, done


def test_nothing_there_yet(weir, pipeline, tmp_path):
    file = pipeline(PIPELINE % '  out: {from: cleaned, type: table, url: "sqlite:t.db", table: t}')
    assert listed(weir, file) == []
    assert not (tmp_path / "t.db").exists()  # looking makes nothing


TWO_STORES = """
pipeline: letters
sources:
  lines: {type: file, path: "in/*"}
sinks:
  one: {from: lines, type: table, url: "sqlite:one.db", table: t, columns: {id: bigint}}
  two: {from: lines, type: table, url: "sqlite:two.db", table: t, columns: {id: bigint}}
dead_letters: {stop_above: 1}
"""


def test_a_limit_is_for_all_stores_together(weir, pipeline, tmp_path):
    file = pipeline(TWO_STORES)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_text('{"id": "x"}\n{"id": "y"}\n{"id": 3}\n')
    assert weir("run", file, "--once", "--state", "state").code == 0
    assert len(listed(weir, file)) == 4
    done = weir("dlq", "drop", file, "--state", "state", "--all", "--limit", "3", "--yes")
    assert done.code == 0 and "3 dead letters dropped" in done.out, done
    assert len(listed(weir, file)) == 1


def test_names_cannot_change_what_a_terminal_shows(weir, pipeline, tmp_path):
    file = pipeline(TWO_STORES)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "\x1b[2J\u009b1A\u202e").write_text('{"id": "x"}\n{"id": 3}\n')
    assert weir("run", file, "--once", "--state", "state").code == 0
    for words in (["dlq", "list", file], ["positions", "show", file], ["positions", "set", file, "one", "--to", "0", "--dry-run"]):
        done = weir(*words, "--state", "state")
        assert done.code == 0 and "in/?[2J?1A?" in done.out, done
        assert not any(ord(c) < 32 and c != "\n" or 127 <= ord(c) < 160 for c in done.out + done.err), done
