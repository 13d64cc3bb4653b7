"""The main job: EONET, through SQL, into SQLite and PostgreSQL, compared with an independent computation value for value."""
import json
import os
import subprocess

import pytest

from conftest import PIPELINES
from oracle_eonet import COLUMNS, Expectation, column_names, read_table
from support import instance
from support.simulator import PROGRAM
from support.targets import count
from support.waiting import eventually

EONET = os.path.join(PIPELINES, "eonet.yaml")
EXPECTED = os.path.join(PIPELINES, "simulators", "eonet_expected.json")


@pytest.fixture
def poll(weir, tmp_path):
    """poll(url, target) is one `--once` of the pipeline, with the state of this test."""
    def run(url, target, *more, **options):
        return weir("run", EONET, "--once", "--state", tmp_path / "state", *more,
                    env={"EONET_URL": url, "DATABASE_URL": target.url, **options.pop("env", {})}, **options)
    return run


def node(status, name):
    return next(one for one in status["nodes"] if one["name"] == name)


def account(result):
    """The account that `--once` prints on its last line with --json."""
    return json.loads(result.out.strip().splitlines()[-1])


def test_tricky_cases_give_the_rows_written_by_hand(poll, simulate, target):
    expected = json.load(open(EXPECTED))
    done = poll(simulate("--fixed").url, target)
    assert done.code == 0, done
    assert read_table(target) == [tuple(row) for row in sorted(expected["rows"], key=lambda row: (row[0], row[7]))]
    assert column_names(target) == expected["columns"] == COLUMNS
    letters = target.query("SELECT node, reason FROM weir_dead")
    assert len(letters) == len(expected["dead"])
    for word in {word for _, word in expected["dead"]}:
        wanted = sum(reason == word for _, reason in expected["dead"])
        assert sum(word in reason for _, reason in letters) == wanted, (word, letters)
    assert {node for node, _ in letters} == {"cleaned"}


def test_a_big_answer_equals_the_independent_computation(poll, simulate, target):
    simulator = simulate("--events", 1500, "--speed", 0, "--seed", 7, "--dirty", 20)
    expected = Expectation().answer(simulator.get(status="open")).answer(simulator.get(status="closed", days=30))
    assert len(expected.rows) > 5000 and len(expected.dead) > 10
    done = poll(simulator.url, target)
    assert done.code == 0, done
    assert read_table(target) == expected.table()
    assert count(target, "weir_dead") == len(expected.dead)


def test_a_plain_web_server_will_do(poll, site, target):
    """One file, whatever the query: both requests of a poll bring the same records. EONET_SAMPLE names a recorded answer of the real API."""
    sample = os.environ.get("EONET_SAMPLE")
    if sample:
        body = open(sample, "rb").read()
    else:
        body = subprocess.run(["/usr/bin/python3", PROGRAM, "--print", "--events", "3000", "--seed", "11"], check=True, stdout=subprocess.PIPE).stdout
    site.pages["/events"] = body
    expected = Expectation().answer(body.decode())
    first = poll(site.url("/events"), target)
    assert first.code == 0, first
    assert read_table(target) == expected.table()
    again = poll(site.url("/events"), target, "--json")
    assert again.code == 0 and node(account(again), "events_table")["in"] == 0, again


def test_a_second_poll_of_the_same_answer_sends_no_row(poll, simulate, target):
    simulator = simulate("--events", 100, "--speed", 0)
    first = poll(simulator.url, target)
    assert first.code == 0, first
    before = read_table(target)
    second = poll(simulator.url, target, "--json")
    assert second.code == 0, second
    assert [node(account(second), name)["in"] for name in ("cleaned", "events_table")] == [0, 0]
    assert read_table(target) == before
    assert simulator.control()["not_modified"] == 2  # both requests of the poll were answered by 304


def test_the_same_answer_without_etag_sends_no_row_either(poll, simulate, target):
    simulator = simulate("--events", 100, "--speed", 0)
    simulator.control(fault="no_etag", count=100)
    assert poll(simulator.url, target).code == 0
    second = poll(simulator.url, target, "--json")
    assert second.code == 0, second
    assert node(account(second), "events_table")["in"] == 0
    assert simulator.control()["not_modified"] == 0


def test_what_changes_flows_and_only_that(poll, simulate, target):
    """Days pass: events open, grow, move, close; after each the table is what the answers so far add up to."""
    simulator = simulate("--events", 120, "--speed", 0, "--seed", 3)
    expected = Expectation()
    for day in range(4):
        expected.answer(simulator.get(status="open")).answer(simulator.get(status="closed", days=30))
        done = poll(simulator.url, target, "--json")
        assert done.code == 0, done
        assert read_table(target) == expected.table(), "day %d" % day
        flowed = node(account(done), "flattened")["in"]
        assert (flowed >= 120) if day == 0 else (0 < flowed < 100), done
        simulator.control(advance=86400)


def changed(events, **changes):
    return json.dumps({"events": [dict(events[0], **changes)] + events[1:]}).encode()


@pytest.mark.parametrize("change", ["title", "magnitude", "closed", "geometry"])
def test_each_kind_of_change_of_one_event_flows(poll, simulate, site, sqlite_target, change):
    events = json.loads(simulate("--events", 30, "--speed", 0).get(status="all"))["events"]
    first = dict(events[0]["geometry"][0])
    changes = {
        "title": {"title": "Renamed"},
        "magnitude": {"geometry": [dict(first, magnitudeValue=1.25)] + events[0]["geometry"][1:]},
        "closed": {"closed": "2026-11-05T00:00:00Z"},
        "geometry": {"geometry": events[0]["geometry"] + [dict(first, date="2026-12-01T00:00:00Z")]},
    }[change]
    site.pages["/events"] = changed(events)
    assert poll(site.url("/events"), sqlite_target).code == 0
    site.pages["/events"] = changed(events, **changes)
    done = poll(site.url("/events"), sqlite_target, "--json")
    assert done.code == 0, done
    assert node(account(done), "flattened")["in"] == 1
    expected = Expectation().answer(changed(events).decode()).answer(site.pages["/events"].decode())
    assert read_table(sqlite_target) == expected.table()


def test_an_emptied_target_is_filled_again_from_the_journal(poll, simulate, target):
    simulator = simulate("--events", 100, "--speed", 0)
    assert poll(simulator.url, target).code == 0
    before = read_table(target)
    target.empty()
    again = poll(simulator.url, target)
    assert again.code == 0, again
    assert read_table(target) == before
    assert simulator.control()["not_modified"] == 2  # the rows came from the journal, not from the API


def test_a_dropped_table_is_filled_again(poll, simulate, database):
    """DROP TABLE alone: the positions at the target say more than the table holds."""
    simulator = simulate("--events", 100, "--speed", 0)
    assert poll(simulator.url, database).code == 0
    before = read_table(database)
    database.query("DROP TABLE events")
    again = poll(simulator.url, database)
    assert again.code == 0, again
    assert read_table(database) == before


def test_a_lost_state_folder_is_told_with_the_choices(poll, simulate, target, tmp_path):
    simulator = simulate("--events", 50, "--speed", 0)
    assert poll(simulator.url, target).code == 0
    before = read_table(target)
    (tmp_path / "state").rename(tmp_path / "lost")
    again = poll(simulator.url, target)
    assert again.code == 1, again
    assert "belongs to a running instance" not in again.err  # the first one ended well: nobody waits until it has been silent for long
    assert "weir positions" in again.err
    assert read_table(target) == before


def test_events_flow_while_it_runs(start, simulate, target, tmp_path):
    simulator = simulate("--events", 60, "--speed", 0, "--seed", 5)
    running = start(EONET, "--state", tmp_path / "state",
                    env={"EONET_URL": simulator.url, "EONET_EVERY": "200ms", "DATABASE_URL": target.url})
    expected = Expectation()
    for _ in range(3):
        expected.answer(simulator.get(status="open")).answer(simulator.get(status="closed", days=30))
        eventually("the table shows the day", lambda: "events" in target.tables() and read_table(target) == expected.table())
        simulator.control(advance=86400)
    ended = running.stop()
    assert ended.code == 0, ended


RECOVERING = ["rate_limit", "server_error", "unavailable", "cut", "cut_chunked", "broken", "not_json", "no_events", "slow", "gzip", "empty"]


@pytest.mark.parametrize("fault", RECOVERING)
def test_after_a_fault_everything_arrives_once(start, simulate, sqlite_target, tmp_path, fault):
    """A failed poll stores nothing of itself; the next good one brings all of it. An empty list is an answer, and not a failure."""
    simulator = simulate("--events", 60, "--speed", 0)
    simulator.control(fault=fault, count=2)
    expected = Expectation()
    running = start(EONET, "--state", tmp_path / "state",
                    env={"EONET_URL": simulator.url, "EONET_EVERY": "300ms", "DATABASE_URL": sqlite_target.url})
    eventually("the fault was played", lambda: simulator.control()["faults"].get(fault) == 2)
    expected.answer(simulator.get(status="open")).answer(simulator.get(status="closed", days=30))
    eventually("all rows are there", lambda: count(sqlite_target, "events") == len(expected.rows))
    ended = running.stop()
    assert ended.code == 0, ended
    assert read_table(sqlite_target) == expected.table()
    assert count(sqlite_target, "weir_dead") == len(expected.dead)  # a bad answer is an outage, never a dead letter


def test_retry_after_is_honoured(start, simulate, sqlite_target, tmp_path):
    """The server names the pause; weir does not ask again before it is over (its own backoff would be a tenth of a second)."""
    simulator = simulate("--events", 5, "--speed", 0)
    simulator.control(fault="rate_limit", count=1, after=3)
    running = start(EONET, "--state", tmp_path / "state",
                    env={"EONET_URL": simulator.url, "EONET_EVERY": "100ms", "DATABASE_URL": sqlite_target.url})
    log = eventually("asked again", lambda: len(simulator.control()["log"]) >= 2 and simulator.control()["log"])
    assert log[1]["at"] - log[0]["at"] >= 2.9
    assert running.stop().code == 0


@pytest.mark.parametrize("fault", ["huge", "huge_gzip"])
def test_an_answer_over_max_body_fails_at_the_limit(start, weir, simulate, sqlite_target, tmp_path, fault):
    simulator = simulate("--events", 20, "--speed", 0)
    simulator.control(fault=fault, count=1)
    env = {"EONET_URL": simulator.url, "EONET_EVERY": "300ms", "DATABASE_URL": sqlite_target.url}
    running = start(EONET, "--state", tmp_path / "state", env=env)
    eventually("rows came after the failed poll", lambda: count(sqlite_target, "events") > 0)
    asked = weir("status", EONET, "--json", "--state", tmp_path / "state", env=env)
    assert asked.code == 0, asked
    source = node(asked.json, "events")
    with open("/proc/%d/status" % source["pid"]) as file:
        peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    assert "max_body" in running.err
    if "asan" not in os.environ.get("WEIR", ""):
        assert peak < 256 * 1024, "the source took %d kB for a body that it should have refused at 64 MiB" % peak
    assert running.stop().code == 0


@pytest.mark.parametrize("fault", ["server_error", "broken", "no_events"])
def test_once_fails_when_its_poll_fails(poll, simulate, sqlite_target, fault):
    simulator = simulate("--events", 5, "--speed", 0)
    simulator.control(fault=fault, count=1000)
    done = poll(simulator.url, sqlite_target)
    assert done.code == 1, done
    assert count(sqlite_target, "events") == 0


@pytest.mark.parametrize("fault", ["server_error", "rate_limit", "broken"])
def test_once_has_not_failed_when_a_request_went_well_in_the_end(poll, simulate, sqlite_target, fault):
    simulator = simulate("--events", 5, "--speed", 0)
    simulator.control(fault=fault, count=1)
    done = poll(simulator.url, sqlite_target)
    assert done.code == 0 and "tried again" in done.err, done
    assert count(sqlite_target, "events") > 0


def test_the_account_holds_at_the_end_of_once(poll, simulate, target):
    simulator = simulate("--events", 400, "--speed", 0, "--dirty", 50)
    expected = Expectation().answer(simulator.get(status="open")).answer(simulator.get(status="closed", days=30))
    done = poll(simulator.url, target, "--json")
    assert done.code == 0, done
    numbers = account(done)
    cleaned, table = node(numbers, "cleaned"), node(numbers, "events_table")
    assert cleaned["dead"] == len(expected.dead)
    assert cleaned["out"] + cleaned["dead"] == expected.geometries
    assert table["in"] == cleaned["out"]
    assert table["out"] + table["superseded"] + table["dead"] == table["in"]


def test_an_address_with_a_query(simulate, sqlite_target, tmp_path):
    """The categories are not behind the query, but beside the page."""
    simulator = simulate("--events", 30, "--speed", 0)
    done = subprocess.run([os.path.join(PIPELINES, "run.sh"), "eonet", "--once", "--state", tmp_path / "state"], capture_output=True, text=True,
                          check=False, timeout=instance.NEVER, env=instance.environment({
                              "WEIR": instance.weir_program(), "EONET_URL": simulator.url + "?days=20", "DATABASE_URL": sqlite_target.url}))
    assert done.returncode == 0 and count(sqlite_target, "events") > 0, done
    assert "running on the simulator" not in done.stdout, done
    assert 'msg="lookup loaded"' in done.stderr and "lookup=categories" in done.stderr, done
