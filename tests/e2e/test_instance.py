"""One running instance: its start, its workers' deaths, signals, and what it says of itself."""
import json
import os
import signal
import subprocess

import pytest

from support.instance import children, worker_of
from support.targets import SqliteTarget, count
from support.waiting import eventually

LINES = """\
pipeline: lines
sources:
  lines: {type: file, path: "in/*.ndjson", follow: true, poll: 5ms}
transforms:
  doubled:
    sql: SELECT n, n * 2 AS twice FROM lines
    columns: {n: bigint not null, twice: bigint}
sinks:
  out: {from: doubled, type: table, url: "sqlite:out.db", table: numbers}
"""


@pytest.fixture
def lines(tmp_path, pipeline):
    """A pipeline that follows in/*.ndjson into out.db; feed(name, numbers) appends inputs."""
    (tmp_path / "in").mkdir()

    class Lines:
        path = pipeline(LINES)
        target = SqliteTarget(tmp_path / "out.db")

        @staticmethod
        def feed(numbers, name="a"):
            with open(tmp_path / "in" / (name + ".ndjson"), "a") as file:
                file.write("".join('{"n": %d}\n' % n for n in numbers))

        def wait_for(self, expected):
            eventually("%d rows" % expected, lambda: count(self.target, "numbers") == expected)

        def numbers(self):
            return sorted(n for (n,) in self.target.query("SELECT n FROM numbers"))
    return Lines()


def test_rows_arrive_in_order_and_with_their_types(start, lines):
    lines.feed(range(1000))
    running = start(lines.path)
    lines.wait_for(1000)
    assert lines.target.query("SELECT n, twice FROM numbers ORDER BY rowid") == [(n, 2 * n) for n in range(1000)]
    assert running.stop().code == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(start, lines, how):
    lines.feed(range(100))
    running = start(lines.path)
    lines.wait_for(100)
    running.process.send_signal(how)
    ended = running.wait()
    assert ended.code == 0, ended
    lines.feed(range(100, 120))
    running = start(lines.path)
    lines.wait_for(120)
    assert lines.numbers() == list(range(120))
    assert running.stop().code == 0


def test_the_verb_stop_ends_it(start, weir, lines):
    lines.feed(range(10))
    running = start(lines.path)
    lines.wait_for(10)
    asked = weir("stop", lines.path)
    assert asked.code == 0, asked
    assert running.wait().code == 0


def test_status_tells_each_node_and_its_numbers(start, weir, lines):
    lines.feed(range(50))
    running = start(lines.path)
    lines.wait_for(50)

    def resting():
        asked = weir("status", lines.path, "--json")
        assert asked.code == 0, asked
        return all(node["state"] == "idle" for node in asked.json["nodes"]) and asked.json
    status = eventually("all nodes rest", resting)
    assert status["pipeline"] == "lines" and status["state"] == "running"
    nodes = {node["name"]: node for node in status["nodes"]}
    assert set(nodes) == {"lines", "doubled", "out"}
    for node in nodes.values():
        assert set("name kind lane pid state restarts in out filtered superseded late dead ring_fill position lag_s last_error".split()) <= set(node)
        assert worker_of(node["pid"]).node == node["name"]
    assert [nodes[name]["out"] for name in ("lines", "doubled", "out")] == [50, 50, 50]
    assert running.stop().code == 0


def test_verbs_without_an_instance_say_so(weir, lines):
    for verb in ("status", "stop"):
        asked = weir(verb, lines.path)
        assert asked.code == 3, asked
        assert "not running" in asked.err


def test_a_second_instance_on_one_state_folder_is_refused(start, weir, lines):
    lines.feed(range(10))
    running = start(lines.path)
    lines.wait_for(10)
    second = weir("run", lines.path)
    assert second.code == 3, second
    assert str(running.pid) in second.err
    assert running.alive
    assert running.stop().code == 0


def test_the_lock_is_free_after_the_whole_tree_died(start, lines):
    lines.feed(range(10))
    running = start(lines.path)
    lines.wait_for(10)
    running.kill_tree()
    lines.feed(range(10, 20))
    running = start(lines.path)
    lines.wait_for(20)
    assert lines.numbers() == list(range(20))
    assert running.stop().code == 0


@pytest.mark.parametrize("role", ["producer", "transformer", "sinker"])
def test_a_killed_worker_is_replaced_and_the_log_says_why(start, lines, role):
    lines.feed(range(10))
    running = start(lines.path)
    lines.wait_for(10)
    victim = running.worker(role)
    os.kill(victim.pid, signal.SIGKILL)
    lines.feed(range(10, 30))
    lines.wait_for(30)
    successor = running.worker(role)
    assert successor.pid != victim.pid and successor.generation == victim.generation + 1
    told = [line for line in running.err.splitlines() if "SIGKILL" in line and str(victim.pid) in line]
    assert told and victim.node in told[0], running.err
    assert lines.numbers() == list(range(30))
    assert running.stop().code == 0


def test_workers_end_with_their_supervisor(start, lines):
    lines.feed(range(10))
    running = start(lines.path)
    lines.wait_for(10)
    workers = running.workers()
    assert len(workers) == 3
    os.kill(running.pid, signal.SIGKILL)
    running.process.wait()
    eventually("no worker lives", lambda: not any(worker_of(worker.pid) == worker for worker in workers))


def test_nothing_is_left_behind(start, lines):
    before = set(os.listdir("/dev/shm"))
    lines.feed(range(10))
    running = start(lines.path)
    lines.wait_for(10)
    running.kill_tree()
    assert {name for name in set(os.listdir("/dev/shm")) - before if "weir" in name} == set()
    assert children(running.pid) == []


def test_a_good_new_file_takes_over_at_sighup(start, lines, pipeline):
    lines.feed(range(10))
    running = start(lines.path)
    lines.wait_for(10)
    pipeline(LINES.replace("n * 2", "n * 3"))
    running.process.send_signal(signal.SIGHUP)
    lines.feed([1000], name="b")

    def tripled():
        lines.feed([1000], name="b")
        return (3000,) in lines.target.query("SELECT twice FROM numbers")
    eventually("the new SQL runs", tripled, pause=0.2)
    assert running.alive
    assert running.stop().code == 0
    assert len([n for n in lines.numbers() if n < 1000]) == 10


def test_a_bad_new_file_changes_nothing_at_sighup(start, lines, pipeline):
    lines.feed(range(10))
    running = start(lines.path)
    lines.wait_for(10)
    pipeline(LINES.replace("transforms:", "tranforms:"))
    running.process.send_signal(signal.SIGHUP)
    eventually("it says what is wrong", lambda: "tranforms" in running.err)
    lines.feed(range(10, 20))
    lines.wait_for(20)
    assert running.stop().code == 0


def test_log_lines_are_json_when_asked(start, lines):
    lines.feed(range(10))
    running = start(lines.path, "--log", "json")
    lines.wait_for(10)
    os.kill(running.worker("transformer").pid, signal.SIGKILL)
    lines.feed(range(10, 20))
    lines.wait_for(20)
    assert running.stop().code == 0
    entries = [json.loads(line) for line in running.err.splitlines() if line.strip()]
    assert any(entry.get("cause") == "SIGKILL" for entry in entries)


def test_a_stage_follows_a_stage_and_feeds_two_sinks(start, pipeline, tmp_path):
    path = pipeline("""\
sources: {numbers: {type: generate, count: 5000, seed: 3, sql: "SELECT n, n % 7 AS rest"}}
transforms:
  odd: {sql: "SELECT n, rest FROM numbers WHERE rest > 0"}
  named: {sql: "SELECT n, 'r' || rest AS name FROM odd", columns: {n: bigint, name: text}}
sinks:
  table: {from: named, type: table, url: "sqlite:out.db", table: named}
  lines: {from: odd, type: file, path: "odd.ndjson"}
""")
    ended = start(path, "--once").wait()
    assert ended.code == 0, ended
    expected = [n for n in range(1, 5001) if n % 7]
    assert SqliteTarget(tmp_path / "out.db").query("SELECT n, name FROM named ORDER BY n") == [(n, "r%d" % (n % 7)) for n in expected]
    written = [json.loads(line) for line in open(tmp_path / "odd.ndjson")]
    assert written == [{"n": n, "rest": n % 7} for n in expected]


def test_standard_input_is_read_to_its_end(tmp_path, pipeline, program):
    path = pipeline("""\
sources: {lines: {type: file, path: "-"}}
sinks: {out: {from: lines, type: table, url: "sqlite:out.db", table: t, columns: {n: bigint, s: text}}}
""")
    text = "".join(json.dumps({"n": n, "s": "zeile %d é" % n}) + "\n" for n in range(2000))
    done = subprocess.run([program, "run", str(path), "--once"], input=text.encode(), cwd=tmp_path, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=120)
    assert done.returncode == 0, done.stderr
    assert SqliteTarget(tmp_path / "out.db").query("SELECT n, s FROM t ORDER BY n") == [(n, "zeile %d é" % n) for n in range(2000)]


def test_partitions_are_dealt_out_to_lanes(start, pipeline, tmp_path):
    (tmp_path / "in").mkdir()
    for part in range(5):
        with open(tmp_path / "in" / ("%d.ndjson" % part), "w") as file:
            file.write("".join('{"part": %d, "n": %d}\n' % (part, n) for n in range(500)))
    path = pipeline("""\
sources: {lines: {type: file, path: "in/*.ndjson", lanes: 3}}
sinks: {out: {from: lines, type: table, url: "sqlite:out.db", table: t, columns: {part: int, n: int}}}
""")
    ended = start(path, "--once").wait()
    assert ended.code == 0, ended
    found = SqliteTarget(tmp_path / "out.db").query("SELECT part, n FROM t ORDER BY rowid")
    assert sorted(found) == [(part, n) for part in range(5) for n in range(500)]
    for part in range(5):
        assert [n for p, n in found if p == part] == list(range(500))


@pytest.mark.parametrize("arguments, code", [
    (["run"], 2), (["run", "absent.yaml"], 2), (["rnu", "x.yaml"], 2), (["run", "pipeline.yaml", "--onec"], 2), (["version"], 0), (["help"], 0),
    (["help", "run"], 0)])
def test_exit_codes_of_the_command_line(weir, lines, arguments, code):
    done = weir(*arguments)
    assert done.code == code, done
    assert (done.err if code else done.out).strip()


def test_unknown_words_get_a_suggestion(weir, lines):
    assert "status" in weir("statsu", lines.path).err
    assert "--once" in weir("run", lines.path, "--onec").err
