"""The pipelines of this repository on a real broker: every hop through a topic, compared with the same independent computations as without."""
import json
import os

import pytest

import oracle_eonet
import oracle_users
from conftest import PIPELINES
from support.simulator import USERS
from support.targets import count
from support.waiting import eventually

EONET = os.path.join(PIPELINES, "eonet.yaml")
PEOPLE = os.path.join(PIPELINES, "users.yaml")
TOPICS = ["eonet_raw", "eonet_flattened", "eonet_cleaned", "eonet_dlq", "user_created", "users_dlq", "weir_positions"]
SIMULATORS = os.path.join(PIPELINES, "simulators")


@pytest.fixture
def broker(kafka):
    """The session's broker without anything of these pipelines: their names are fixed."""
    def clean():
        for name in kafka.topics() & set(TOPICS):
            kafka.delete_topic(name)
    clean()
    yield kafka
    clean()


@pytest.fixture
def once(weir, broker, tmp_path):
    """once(file, target, env): one `--once` on the broker with the state of this test."""
    def run(file, target, *more, **env):
        return weir("run", file, "--once", "--state", tmp_path / "state", *more,
                    env={"KAFKA_BROKERS": broker.servers, "DATABASE_URL": target.url, **env})
    return run


def values(broker, topic):
    return [json.loads(record.value) for record in broker.read(topic)]


def descriptions(simulator):
    answer = json.loads(simulator.get_url(simulator.url.replace("/events", "/categories")))
    return {one["id"]: one["description"] for one in answer["categories"]}


def expected_of(simulator):
    return oracle_eonet.Expectation().answer(simulator.get(status="open")).answer(simulator.get(status="closed", days=30))


def check_topics(broker, expected, meanings):
    """Each topic holds what the one before it says: nothing lost, nothing twice, an event's rows in one partition."""
    raw, flat, clean = (values(broker, name) for name in ("eonet_raw", "eonet_flattened", "eonet_cleaned"))
    letters = broker.read("eonet_dlq")
    assert len({json.dumps(event, sort_keys=True) for event in raw}) == len(raw)
    assert len(flat) == sum(len(event["geometry"]) for event in raw)
    assert len(clean) + len(letters) == len(flat)
    assert len(letters) == len(expected.dead)
    assert all(row["category_description"] == meanings.get(row["category"]) for row in flat + clean)
    assert any(row["category_description"] for row in clean)
    for topic in ("eonet_raw", "eonet_flattened", "eonet_cleaned"):
        places = {}
        for record in broker.read(topic):
            places.setdefault(record.key, set()).add(record.partition)
        assert all(len(partitions) == 1 for partitions in places.values())
        assert {key.decode() for key in places} == {event["id"] for event in raw if topic == "eonet_raw" or key_has_rows(topic, event)}
    return letters


def key_has_rows(topic, event):
    reasons = [oracle_eonet.row_of(event, geometry)[1] for geometry in event["geometry"]]
    return bool(reasons) if topic == "eonet_flattened" else None in reasons


def test_eonet_through_all_topics(once, broker, simulate, target):
    """The tricky cases, with the rows written by hand; each dead letter is in eonet_dlq with its original bytes and its reason."""
    simulator = simulate("--fixed")
    wanted = json.load(open(os.path.join(SIMULATORS, "eonet_expected.json")))
    done = once(EONET, target, EONET_URL=simulator.url)
    assert done.code == 0, done
    assert oracle_eonet.read_table(target) == [tuple(row) for row in sorted(wanted["rows"], key=lambda row: (row[0], row[7]))]
    assert oracle_eonet.column_names(target) == wanted["columns"]
    letters = check_topics(broker, expected_of(simulator), descriptions(simulator))
    reasons = [dict(letter.headers)["weir.reason"].decode() for letter in letters]
    for word in {word for _, word in wanted["dead"]}:
        assert sum(word in reason for reason in reasons) == sum(reason == word for _, reason in wanted["dead"]), (word, reasons)
    assert {dict(letter.headers)["weir.node"] for letter in letters} == {b"cleaned"}
    assert sorted(json.loads(letter.value)["id"] for letter in letters) == sorted(name for name, _ in wanted["dead"])


def test_a_big_answer_and_the_same_again(once, broker, simulate, target):
    simulator = simulate("--events", 600, "--speed", 0, "--seed", 7, "--dirty", 20)
    expected = expected_of(simulator)
    done = once(EONET, target, EONET_URL=simulator.url)
    assert done.code == 0, done
    assert oracle_eonet.read_table(target) == expected.table()
    check_topics(broker, expected, descriptions(simulator))
    ends = {name: broker.count(name) for name in TOPICS[:4]}
    again = once(EONET, target, EONET_URL=simulator.url)
    assert again.code == 0, again
    assert {name: broker.count(name) for name in TOPICS[:4]} == ends
    assert oracle_eonet.read_table(target) == expected.table()


def test_days_pass_and_workers_die(start, broker, simulate, target, tmp_path):
    simulator = simulate("--events", 80, "--speed", 0, "--seed", 5, "--dirty", 0)
    running = start(EONET, "--state", tmp_path / "state", env={
        "KAFKA_BROKERS": broker.servers, "DATABASE_URL": target.url, "EONET_URL": simulator.url, "EONET_EVERY": "300ms"})
    expected = oracle_eonet.Expectation()
    nodes = ["eonet_raw", "eonet_flattened", "eonet_cleaned", "flattened", "cleaned", "events_table", "events"]
    for day in range(4):
        expected.answer(simulator.get(status="open")).answer(simulator.get(status="closed", days=30))
        for name in nodes[day::4]:
            for worker in running.workers(node=name):
                os.kill(worker.pid, 9)
        eventually("the table shows day %d" % day, lambda: "events" in target.tables() and oracle_eonet.read_table(target) == expected.table())
        simulator.control(advance=86400)
    expected.answer(simulator.get(status="open")).answer(simulator.get(status="closed", days=30))
    eventually("the table shows the end", lambda: oracle_eonet.read_table(target) == expected.table())
    ended = running.stop()
    assert ended.code == 0, ended
    expected.dead.clear()
    check_topics(broker, expected, descriptions(simulator))


def test_without_categories_events_flow(once, broker, site, simulate, sqlite_target):
    """A server that knows only /events: rows without descriptions rather than none."""
    text = simulate("--events", 30, "--speed", 0).get(status="all")
    site.pages["/events"] = text.encode()
    done = once(EONET, sqlite_target, EONET_URL=site.url("/events"))
    assert done.code == 0, done
    assert oracle_eonet.read_table(sqlite_target) == oracle_eonet.Expectation().answer(text).table()
    assert {row["category_description"] for row in values(broker, "eonet_cleaned")} == {None}


def test_people_through_their_topic(once, broker, simulate, target):
    simulator = simulate("--fixed", program=USERS)
    wanted = json.load(open(os.path.join(SIMULATORS, "users_expected.json")))
    done = once(PEOPLE, target, USERS_URL=simulator.url)
    assert done.code == 0, done
    assert oracle_users.read_table(target) == sorted(tuple(row) for row in wanted["rows"])
    assert oracle_eonet.column_names(target, "created_users") == wanted["columns"]
    # Who has no id has no key: a dead letter in front of the topic. The others die behind it, beside the table, with a copy in the topic.
    sent = json.loads(simulator.get())["results"]
    found = {record.key.decode(): json.loads(record.value) for record in broker.read("user_created")}
    assert found == {user["login"]["uuid"]: user for user in sent if user["login"]["uuid"]}
    stored = [reason for (reason,) in target.query("SELECT reason FROM weir_dead")]
    assert len(stored) == len(wanted["dead"]) - 1
    copies = [dict(letter.headers) for letter in broker.read("users_dlq")]
    assert sorted(copy["weir.reason"].decode() for copy in copies if copy["weir.node"] == b"people") == sorted(stored)
    assert [copy["weir.code"] for copy in copies if copy["weir.node"] == b"user_created"] == [b"null-key"]


def test_many_people_arrive_once_whoever_dies(start, broker, simulate, target, tmp_path):
    simulator = simulate("--dirty", 100, "--thin", 200, program=USERS)
    # The same for both runs: what an address is asked for says which stream it is.
    environment = {"KAFKA_BROKERS": broker.servers, "DATABASE_URL": target.url, "USERS_URL": simulator.url, "USERS_EVERY": "200ms", "USERS_RESULTS": "150"}
    running = start(PEOPLE, "--state", tmp_path / "state", env=environment)
    stored = lambda: count(target, "created_users") + count(target, "weir_dead")  # noqa: E731
    for name in ("user_created", "people", "created_users", "users"):
        before = stored()
        for worker in running.workers(node=name):
            os.kill(worker.pid, 9)
        eventually("more people after the death of %s" % name, lambda: stored() > before)
    ended = running.stop()
    assert ended.code == 0, ended
    expected = oracle_users.Expectation()
    expected.answer(json.dumps({"results": values(broker, "user_created")}))
    # An answer whose reader dies before it has kept it is gone: the API does not repeat it. What is kept is kept whole.
    assert (len(expected.rows) + len(expected.dead)) % 150 == 0
    done = None
    if stored() < len(expected.rows) + len(expected.dead):  # what was in the topic at the end comes with the next run
        simulator.control(fault="empty", count=1000)
        done = start(PEOPLE, "--once", "--state", tmp_path / "state", env=environment).wait()
        assert done.code == 0, done
    assert oracle_users.read_table(target) == expected.table(), done
    assert count(target, "weir_dead") == len(expected.dead)
