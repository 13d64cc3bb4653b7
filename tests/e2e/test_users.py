"""The second pipeline: people, through SQL, into SQLite and PostgreSQL, compared with an independent computation value for value."""
import json
import os
import re

import pytest

from conftest import PIPELINES
from oracle_eonet import column_names
from oracle_users import COLUMNS, Expectation, read_table
from support.simulator import USERS
from support.targets import count
from support.waiting import eventually

PIPELINE = os.path.join(PIPELINES, "users.yaml")
EXPECTED = os.path.join(PIPELINES, "simulators", "users_expected.json")


@pytest.fixture
def poll(weir, tmp_path):
    """poll(url, target) is one `--once` of the pipeline, with the state of this test."""
    def run(url, target, *more, **options):
        return weir("run", PIPELINE, "--once", "--state", tmp_path / "state", *more,
                    env={"USERS_URL": url, "DATABASE_URL": target.url, **options.pop("env", {})}, **options)
    return run


@pytest.fixture
def people(simulate):
    def run(*arguments):
        return simulate(*arguments, program=USERS)
    return run


def test_tricky_cases_give_the_rows_written_by_hand(poll, people, target):
    expected = json.load(open(EXPECTED))
    done = poll(people("--fixed").url, target)
    assert done.code == 0, done
    assert read_table(target) == sorted(tuple(row) for row in expected["rows"])
    assert column_names(target, "created_users") == expected["columns"] == COLUMNS
    letters = target.query("SELECT node, reason FROM weir_dead")
    assert sorted(expected["dead"].values()) == sorted(re.sub("^column ([a-z_]+): .*", r"\1", reason) for _, reason in letters)
    assert {node for node, _ in letters} == {"people"}


def test_the_oracle_agrees_with_what_was_written_by_hand(people):
    expected = json.load(open(EXPECTED))
    computed = Expectation().answer(people("--fixed").get())
    assert computed.table() == sorted(tuple(row) for row in expected["rows"])
    assert dict(computed.dead) == {(key if key != "null" else None): word for key, word in expected["dead"].items()}


@pytest.mark.parametrize("version", ["1.2", "1.3", "1.4"])
def test_every_version_of_the_api_gives_the_same_columns(poll, people, target, version):
    simulator = people("--dirty", 60, "--thin", 200)
    url = simulator.url.replace("/1.4/", "/%s/" % version) + "?seed=clover"
    text = simulator.get_url(url + "&results=500")
    expected = Expectation().answer(text)
    assert len(expected.rows) > 400 and len(expected.dead) > 10
    street = json.loads(text)["results"][0]["location"]["street"]
    assert isinstance(street, str) == (version == "1.2")
    done = poll(url, target, env={"USERS_RESULTS": "500"})
    assert done.code == 0, done
    assert read_table(target) == expected.table()
    assert column_names(target, "created_users") == COLUMNS
    assert count(target, "weir_dead") == len(expected.dead)


def test_the_time_of_adding_is_the_time_of_the_answer(poll, people, sqlite_target):
    done = poll(people("--dirty", 0).url, sqlite_target)
    assert done.code == 0, done
    added = [at for (at,) in sqlite_target.query("SELECT DISTINCT date_added FROM created_users")]
    assert len(added) == 1  # one answer
    assert sqlite_target.query("SELECT julianday('now') - julianday(%s) BETWEEN 0 AND 1", added[0]) == [(1,)]


def test_the_same_people_again_are_no_new_rows(poll, people, target):
    simulator = people("--dirty", 0)
    url = simulator.url + "?seed=again"
    simulator.control(fault="no_etag", count=1000)
    assert poll(url, target).code == 0
    before = read_table(target)
    assert len(before) == 100
    assert poll(url, target).code == 0
    assert read_table(target) == before


def test_other_people_at_every_poll(start, people, target, tmp_path):
    simulator = people("--dirty", 0)
    running = start(PIPELINE, "--state", tmp_path / "state",
                    env={"USERS_URL": simulator.url, "USERS_EVERY": "200ms", "USERS_RESULTS": "40", "DATABASE_URL": target.url})
    eventually("three polls are stored", lambda: count(target, "created_users") >= 120)
    ended = running.stop()
    assert ended.code == 0, ended
    assert count(target, "created_users") == 40 * simulator.control()["answers"]


@pytest.mark.parametrize("fault", ["error", "no_results", "server_error", "not_json"])
def test_an_answer_without_results_is_a_failed_poll(poll, people, sqlite_target, fault):
    simulator = people()
    simulator.control(fault=fault, count=1000)
    done = poll(simulator.url, sqlite_target)
    assert done.code == 1, done
    assert count(sqlite_target, "created_users") == 0
    assert count(sqlite_target, "weir_dead") == 0


@pytest.mark.parametrize("fault", ["error", "rate_limit", "cut", "broken", "empty"])
def test_after_a_failed_poll_the_next_one_stores(start, people, sqlite_target, tmp_path, fault):
    simulator = people("--dirty", 0)
    simulator.control(fault=fault, count=2)
    running = start(PIPELINE, "--state", tmp_path / "state",
                    env={"USERS_URL": simulator.url, "USERS_EVERY": "300ms", "DATABASE_URL": sqlite_target.url})
    eventually("people are stored", lambda: count(sqlite_target, "created_users") > 0)
    assert simulator.control()["faults"] == {fault: 2}
    ended = running.stop()
    assert ended.code == 0, ended
    assert count(sqlite_target, "weir_dead") == 0


def test_what_fails_is_in_the_log_without_a_word_of_the_data(poll, people, sqlite_target):
    """One line for each kind of failure, with a count; the values are in the store of dead letters alone."""
    done = poll(people("--fixed").url, sqlite_target)
    assert done.code == 0, done
    lines = [line for line in done.err.splitlines() if 'msg="dead letters"' in line]
    said = {word: int(line.split(" count=")[1].split()[0]) for line in lines for word in line.split()
            if word.startswith(("check=", "column="))}
    assert said == {"check=email_has_a_domain": 5, "check=names_are_there": 2, "column=email": 2, "column=dob": 2,
                    "column=registered_date": 1, "column=first_name": 2, "column=id": 1}
    for word in ("no.domain", "example.com", "Ada", "Birk", "Elm Row", "soon", "00000000-0000"):
        assert word not in done.err, word
    reasons = " ".join(reason for (reason,) in sqlite_target.query("SELECT reason FROM weir_dead"))
    assert "'soon'" in reasons


def test_many_failures_of_one_kind_are_few_lines(start, people, sqlite_target, tmp_path):
    simulator = people("--dirty", 300)
    running = start(PIPELINE, "--state", tmp_path / "state",
                    env={"USERS_URL": simulator.url, "USERS_EVERY": "100ms", "USERS_RESULTS": "200", "DATABASE_URL": sqlite_target.url})
    eventually("hundreds have died", lambda: count(sqlite_target, "weir_dead") >= 500)
    ended = running.stop()
    assert ended.code == 0, ended
    lines = [line for line in ended.err.splitlines() if 'msg="dead letters"' in line]
    told = sum(int(line.split(" count=")[1].split()[0]) for line in lines)
    assert told == count(sqlite_target, "weir_dead")  # what a line leaves out, a later one adds up
    assert told > len(lines) * 2
