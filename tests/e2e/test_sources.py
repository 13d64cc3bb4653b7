"""Sources from outside: files that are appended to, rotated, truncated and read by several lanes; standard input; pages; rows out of SQL.

The target is SQLite throughout: what a source does not depend on where the rows go.
"""
import json
import os
import signal
import ssl
import subprocess

import pytest

from support import instance
from support.targets import count
from support.waiting import eventually

TO_TABLE = """
sinks:
  out:
    from: input
    type: table
    url: "%s"
    table: out
    columns: {n: bigint}
"""


@pytest.fixture
def write(pipeline, sqlite_target):
    """write(source) writes a pipeline of that source and a table `out` with column n."""
    def run(source):
        lines = "".join("    %s\n" % line for line in source.strip().splitlines())
        return pipeline("pipeline: sources\nsources:\n  input:\n" + lines + TO_TABLE % sqlite_target.url)
    return run


def numbers(target):
    return [n for (n,) in target.query("SELECT n FROM out ORDER BY rowid")]


def ndjson(*values):
    return "".join(json.dumps({"n": n}) + "\n" for n in values)


def append(path, text):
    with open(path, "a") as file:
        file.write(text)


def wait_for(running, target, wanted):
    def look():
        assert running.alive, running.result()
        return count(target, "out") >= wanted
    eventually("%d rows" % wanted, look)


def test_a_file_is_read_on_from_where_the_last_run_ended(weir, write, tmp_path, sqlite_target):
    path, file = tmp_path / "in.ndjson", write("type: file\npath: in.ndjson")
    path.write_text(ndjson(1, 2, 3))
    for _ in range(2):
        done = weir("run", file, "--once")
        assert done.code == 0, done
    append(path, ndjson(4))
    done = weir("run", file, "--once")
    assert done.code == 0, done
    assert numbers(sqlite_target) == [1, 2, 3, 4]


def test_a_followed_file_survives_rotation_and_the_death_of_its_worker(start, write, tmp_path, sqlite_target):
    path, file = tmp_path / "app.ndjson", write("type: file\npath: app.ndjson\nfollow: true\npoll: 20ms")
    path.write_text(ndjson(*range(100)))
    running = start(file)
    wait_for(running, sqlite_target, 100)
    os.kill(running.worker("producer").pid, signal.SIGKILL)
    append(path, ndjson(*range(100, 200)))
    os.rename(path, tmp_path / "app.ndjson.1")
    append(tmp_path / "app.ndjson.1", ndjson(*range(200, 250)))
    path.write_text(ndjson(*range(250, 300)))
    wait_for(running, sqlite_target, 300)
    os.kill(running.worker("producer").pid, signal.SIGKILL)
    append(path, ndjson(*range(300, 400)))
    wait_for(running, sqlite_target, 400)
    done = running.stop()
    assert done.code == 0, done
    assert numbers(sqlite_target) == list(range(400))
    # What was rotated while weir ran is no surprise to the next run.
    append(path, ndjson(400))
    running = start(file)
    wait_for(running, sqlite_target, 401)
    assert running.stop().code == 0
    assert numbers(sqlite_target) == list(range(401))


@pytest.mark.parametrize("now", [ndjson(7), ndjson(7, 8, 9, 10, 11, 12)], ids=["shorter", "longer"])
def test_a_rewritten_file_stops_the_pipeline_with_its_choices(weir, write, tmp_path, sqlite_target, now):
    path, file = tmp_path / "in.ndjson", write("type: file\npath: in.ndjson")
    path.write_text(ndjson(1, 2, 3))
    assert weir("run", file, "--once").code == 0
    with open(path, "r+") as same:
        same.truncate()
        same.write(now)
    done = weir("run", file, "--once")
    assert done.code == 1, done
    assert "weir positions set" in done.err and "in.ndjson" in done.err
    assert numbers(sqlite_target) == [1, 2, 3]


def test_files_are_dealt_out_to_lanes(weir, write, tmp_path, sqlite_target):
    folder = tmp_path / "data"
    folder.mkdir()
    for i in range(8):
        (folder / ("%d.ndjson" % i)).write_text(ndjson(*range(i * 1000, i * 1000 + 1000)))
    file = write("type: file\npath: data/*.ndjson\nlanes: 2")
    done = weir("run", file, "--once")
    assert done.code == 0, done
    got = numbers(sqlite_target)
    assert sorted(got) == list(range(8000))
    for i in range(8):
        assert [n for n in got if n // 1000 == i] == list(range(i * 1000, i * 1000 + 1000))
    positions = sqlite_target.query('SELECT DISTINCT "partition" FROM weir_positions')
    assert len(positions) == 8


def test_standard_input_ends_the_run(write, tmp_path, sqlite_target):
    file = write("type: file\npath: \"-\"")
    for _ in range(2):
        done = subprocess.run([instance.weir_program(), "run", str(file)], cwd=tmp_path, input=ndjson(*range(5000)), text=True,
                              env=instance.environment(None), capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr
    assert numbers(sqlite_target) == 2 * list(range(5000))


def test_a_name_that_is_no_text_is_refused(weir, write, tmp_path):
    (tmp_path / "in").mkdir()
    with open(os.fsencode(tmp_path / "in") + b"/a\xff.ndjson", "w") as odd:
        odd.write('{"n": 1}\n')
    done = weir("run", write("type: file\npath: in/*"), "--once")
    assert done.code == 1 and 'file \\"in/a?.ndjson\\"' in done.err and "is not UTF-8" in done.err, done


def test_numbers_that_stay_text_are_counted(weir, write, tmp_path, sqlite_target):
    (tmp_path / "in.ndjson").write_text('{"n": 1, "big": 123456789012345678901234567890}\n{"n": 2, "big": 1e999, "x": [1e999]}\n{"n": 3}\n')
    file = write("type: file\npath: in.ndjson")
    done = weir("run", file, "--once", "--json")
    nodes = {node["name"]: node for node in done.json["nodes"]}
    assert done.code == 0 and nodes["input"]["text_numbers"] == 3 and nodes["out"]["text_numbers"] == 0, done
    assert done.err.count("it stays text") == 1
    with open(tmp_path / "in.ndjson", "a") as more:
        more.write('{"n": 4, "big": 1e999}\n')
    assert "input: 1 numbers fit no type and stayed text" in weir("run", file, "--once").out
    assert numbers(sqlite_target) == [1, 2, 3, 4]


def test_a_document_gives_its_records(weir, write, tmp_path, sqlite_target):
    (tmp_path / "in.json").write_text(json.dumps({"data": {"items": [{"n": n} for n in range(500)]}}, indent="\t"))
    file = write("type: file\npath: in.json\nformat: json\nrecords: data.items")
    done = weir("run", file, "--once")
    assert done.code == 0, done
    assert numbers(sqlite_target) == list(range(500))


def test_generated_rows_are_the_same_in_any_number_of_lives(start, weir, write, sqlite_target):
    file = write("type: generate\nsql: SELECT n WHERE n % 7 > 0\ncount: 700000\npartitions: 2")
    running = start(file, "--once")
    for least in (1, 50000, 150000):
        wait_for(running, sqlite_target, least)
        os.kill(running.worker("producer").pid, signal.SIGKILL)
    done = running.wait()
    assert done.code == 0, done
    assert sqlite_target.query("SELECT count(*), sum(n) FROM out") == [(1200000, 2 * sum(n for n in range(700001) if n % 7))]
    assert sqlite_target.query("SELECT count(*) FROM (SELECT n FROM out GROUP BY n HAVING count(*) <> 2)") == [(0,)]
    done = weir("run", file, "--once")
    assert done.code == 0, done
    assert count(sqlite_target, "out") == 1200000


def test_once_of_a_source_without_an_end_is_refused_before_anything_starts(weir, write, tmp_path):
    file = write("type: generate\nsql: SELECT n")
    done = weir("run", file, "--once")
    assert done.code == 2 and "pipeline.yaml:3:3: error" in done.err and "`count`" in done.err, done
    assert sorted(os.listdir(tmp_path)) == ["pipeline.yaml"]
    assert weir("check", file).code == 0


def test_all_pages_of_an_answer_arrive(weir, write, site, sqlite_target):
    def page(path):
        number = int(path.split("page=")[1])
        return json.dumps({"items": [{"n": n} for n in range(number * 10, min(number * 10 + 10, 35))]}).encode()
    site.pages["/items"] = page
    file = write("type: http\nurl: %s\nrecords: items\npagination: {page: page, start: 0, size: 10}" % site.url("/items"))
    done = weir("run", file, "--once")
    assert done.code == 0, done
    assert numbers(sqlite_target) == list(range(35))
    assert [path for path, _ in site.seen] == ["/items?page=%d" % n for n in range(4)]
    assert {headers["User-Agent"] for _, headers in site.seen} == {"weir/" + weir("version", "--json").json["weir"]}


@pytest.fixture
def certificate(tmp_path):
    """A certificate for 127.0.0.1 that nobody but its owner trusts: (file, key)."""
    file, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", file],
                   check=True, capture_output=True)
    return file, key


def test_a_certificate_is_verified_unless_the_file_says_otherwise(weir, write, site, certificate, sqlite_target):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    site.server.socket = context.wrap_socket(site.server.socket, server_side=True)
    site.pages["/items"] = b'[{"n": 1}]'
    url = site.url("/items").replace("http:", "https:")
    done = weir("run", write("type: http\nurl: %s\nretries: 0" % url), "--once")
    assert done.code == 1 and "certificate" in done.err, done
    assert numbers(sqlite_target) == []
    done = weir("run", write("type: http\nurl: %s\nca_file: %s" % (url, certificate[0])), "--once")
    assert done.code == 0, done
    assert numbers(sqlite_target) == [1]
    site.pages["/items"] = b'[{"n": 2}]'
    done = weir("run", write("type: http\nurl: %s\ntls_verify: insecure" % url), "--once")
    assert done.code == 0, done
    assert numbers(sqlite_target) == [1, 2]


def test_a_failed_poll_is_told_by_the_exit_code(weir, write, site, sqlite_target):
    site.pages["/items"] = b'{"message": "down for maintenance"}'
    file = write("type: http\nurl: %s\nrecords: items\nretries: 0" % site.url("/items"))
    done = weir("run", file, "--once")
    assert done.code == 1, done
    assert "items" in done.err


def test_an_emptied_table_is_full_again_from_the_journal(weir, write, site, sqlite_target):
    site.pages["/items"] = json.dumps([{"id": n, "n": n} for n in range(100)]).encode()
    file = write("type: http\nurl: %s\nkey: id\nemit: changed" % site.url("/items"))
    assert weir("run", file, "--once").code == 0
    sqlite_target.empty()
    done = weir("run", file, "--once")
    assert done.code == 0, done
    assert numbers(sqlite_target) == list(range(100))


def test_what_another_address_has_answered_does_not_flow_into_a_new_target(weir, write, site, sqlite_target, tmp_path):
    """The same state folder for two addresses, as when a simulator is tried in between: each target has what its own address answered."""
    site.pages["/one"], site.pages["/two"] = ndjson(1).encode(), ndjson(2).encode()
    source = "type: http\nurl: %s"
    assert weir("run", write(source % site.url("/one")), "--once").code == 0
    os.rename(sqlite_target.path, tmp_path / "kept.db")
    done = weir("run", write(source % site.url("/two")), "--once")
    assert done.code == 1 and "was filled with other settings" in done.err and "journal-input.db" in done.err, done
    assert count(sqlite_target, "out") == 0
    # With a state folder of its own it goes; and the first one goes on where it was.
    assert weir("run", write(source % site.url("/two")), "--once", "--state", "two").code == 0
    assert numbers(sqlite_target) == [2]
    sqlite_target.empty()
    os.rename(tmp_path / "kept.db", sqlite_target.path)
    site.pages["/one"] = ndjson(3).encode()
    assert weir("run", write(source % site.url("/one")), "--once").code == 0
    assert numbers(sqlite_target) == [1, 3]
