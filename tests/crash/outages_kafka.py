#!/usr/bin/python3
"""What can happen to a Kafka broker, to the way there, and to an instance in the middle of a transaction; each with numbered inputs and a count.

    tests/crash/outages_kafka.py                           all but those that wait for minutes
    tests/crash/outages_kafka.py --only idle_partition     one
    tests/crash/outages_kafka.py --list

Messages are told apart by the proxy (support/tcp_proxy.py), through which weir talks to the broker here; the inputs and the count go past it.
Every scenario ends right, or with an error that says what to do and changes nothing at the target.
"""
import os
import signal
import sys
import time

from route import Failure
from scenarios import Scenarios, once_and_audit
from support.tcp_proxy import ADD_PARTITIONS, END_TXN, FETCH, FIND_COORDINATOR, INIT_PRODUCER_ID, METADATA, PRODUCE
from support.waiting import NEVER, eventually

SCENARIOS = Scenarios()
WRITTEN = ("topic-topic", "http-topic", "file-topic")
# What a second instance with a state folder of its own can take over: a journal lies in the first one's.
ANYWHERE = ("topic-topic", "file-topic")
HURTS = ("cut", "pass_and_cut", "half", "half_close")


def second_state(route):
    return os.path.join(route.folder, "state-of-the-second")


def begun(route, inputs=500, *more):
    """An instance that lives on and has stored its first inputs."""
    route.follow = True
    route.feed(inputs)
    running = route.run(*more)
    try:
        route.wait_for_all(running)
    except BaseException:
        running.close()
        raise
    return running


def end_well(route, running):
    route.wait_for_all(running)
    route.finish(running.stop())


def close_all(*instances):
    for one in instances:
        if one:
            one.close()


def expect_fenced(instance):
    ended = instance.wait()
    if ended.code != 1:
        raise Failure("the fenced instance should end with 1: %r" % ended)


@SCENARIOS.on("topic-postgres", *WRITTEN)
def broker_killed(route, dice, times):
    """The broker dies without a word and comes back on the same data, again and again, while rows flow."""
    running = begun(route)
    try:
        for _ in range(max(1, times // 3)):
            route.feed(500)
            time.sleep(dice.random() * 0.3)
            route.kafka.kill()
            if route.source_kind != "topic":
                route.feed(300)
            time.sleep(dice.random() * 2)
            route.kafka.start()
            route.feed(200)
        end_well(route, running)
    finally:
        running.close()
    route.audit()


def hurt(route, dice, times, places):
    """Feeds, and hurts a message of each of these kinds in turn, on a side and in a way that the dice choose."""
    route.through_proxy = True
    running = begun(route)
    proxy = route.servers.proxy
    met = 0
    try:
        for number in range(times):
            proxy.on(places[number % len(places)], dice.choice(["request", "answer"]), dice.choice(HURTS))
            route.feed(100)
            met += proxy.wait_until_acted(20) is not None
            proxy.forget()
            if dice.random() < 0.2:
                proxy.cut_all()
            route.feed(30)
            route.wait_for_window(running)
        end_well(route, running)
    finally:
        running.close()
    route.audit()
    if met < times // 2:
        raise Failure("the test itself: only %d of %d messages were met" % (met, times))


@SCENARIOS.on(*WRITTEN)
def commit_hurt(route, dice, times):
    """Connections are reset, half closed, or end in the middle of a message, between begin and commit."""
    hurt(route, dice, times, [END_TXN, PRODUCE, ADD_PARTITIONS])


@SCENARIOS.on("topic-postgres", "topic-topic")
def fetch_hurt(route, dice, times):
    """The same where records come from."""
    hurt(route, dice, times, [FETCH])


@SCENARIOS.on(*WRITTEN)
def commit_late(route, dice, times):
    """An order to commit arrives when its sender has long given up and has begun another transaction: it must not end that one."""
    route.through_proxy, route.transaction_timeout = True, "4s"
    running = begun(route)
    proxy = route.servers.proxy
    try:
        for _ in range(max(1, times // 3)):
            proxy.on(END_TXN, "request", "delay", seconds=5 + 3 * dice.random())
            route.feed(200)
            if not proxy.wait_until_acted(NEVER):
                raise Failure("the test itself: no commit was met")
            end = time.monotonic() + 9
            while time.monotonic() < end:
                route.feed(20)
                route.wait_for_window(running)
                time.sleep(0.2)
        end_well(route, running)
    finally:
        running.close()
    route.audit()


@SCENARIOS.on(*WRITTEN)
def commit_orphaned(route, dice, times):
    """The connection breaks under an order to commit, which is given anew and obeyed; the first one arrives in the middle of a later transaction."""
    route.through_proxy = True
    running = begun(route)
    proxy = route.servers.proxy
    try:
        for _ in range(max(1, times // 2)):
            proxy.on(END_TXN, "request", "orphan", seconds=1.5)
            route.feed(100)
            if not proxy.wait_until_acted(NEVER):
                raise Failure("the test itself: no commit was met")
            time.sleep(0.7)  # the second order is obeyed meanwhile
            proxy.on(PRODUCE, "request", "delay", seconds=2, skip=1)
            route.feed(300)  # the transaction that stays open: its first records are there, the others on their way
            if not proxy.wait_until_acted(NEVER):
                raise Failure("the test itself: no produce was met")
            route.wait_for_window(running)
            route.wait_for_all(running)
        end_well(route, running)
    finally:
        running.close()
    route.audit()


@SCENARIOS.on(*WRITTEN)
def produce_late(route, dice, times):
    """Records arrive when their sender has given up: they belong to a transaction that nobody commits any more."""
    route.through_proxy, route.transaction_timeout = True, "4s"
    running = begun(route)
    proxy = route.servers.proxy
    try:
        for _ in range(max(1, times // 3)):
            proxy.on(PRODUCE, "request", "delay", seconds=5 + 3 * dice.random())
            route.feed(200)
            if not proxy.wait_until_acted(NEVER):
                raise Failure("the test itself: no produce was met")
            time.sleep(dice.random() * 9)
            route.feed(200)
        end_well(route, running)
    finally:
        running.close()
    route.audit()


@SCENARIOS.on(*WRITTEN)
def way_stalls(route, dice, times):
    """Nothing passes in either direction for longer than a transaction may last, and nothing is closed."""
    route.through_proxy, route.transaction_timeout = True, "3s"
    running = begun(route)
    proxy = route.servers.proxy
    try:
        route.feed(500)
        time.sleep(dice.random() * 0.1)
        proxy.stall_all()
        route.feed(200)
        time.sleep(7)
        proxy.stall_all(False)
        end_well(route, running)
    finally:
        proxy.stall_all(False)
        running.close()
    route.audit()


@SCENARIOS.on(*WRITTEN)
def transaction_expires(route, dice, times):
    """The sinker stands still between begin and commit until the brokers have aborted its transaction."""
    route.through_proxy, route.transaction_timeout = True, "3s"
    running = begun(route)
    proxy = route.servers.proxy
    try:
        for _ in range(max(1, times // 3)):
            proxy.on(END_TXN, "request", "stall", seconds=4 + 2 * dice.random())
            route.feed(200)
            if not proxy.wait_until_acted(NEVER):
                raise Failure("the test itself: no commit was met")
            pid = running.worker("sinker").pid
            os.kill(pid, signal.SIGSTOP)
            time.sleep(6)
            os.kill(pid, signal.SIGCONT)
            route.feed(100)
        end_well(route, running)
    finally:
        running.close()
    route.audit()


@SCENARIOS.on("topic-postgres", *WRITTEN)
def broker_away_at_the_start(route, dice, times):
    """Nobody is there when weir starts, then a broker that does not yet know who coordinates transactions."""
    route.through_proxy, route.follow = True, True
    route.feed(200)
    proxy = route.servers.proxy
    proxy.refuse()
    running = route.run()
    try:
        time.sleep(2)
        for api in (FIND_COORDINATOR, INIT_PRODUCER_ID, METADATA):
            proxy.on(api, dice.choice(["request", "answer"]), "cut", times=2)
        proxy.refuse(False)
        route.wait_for_all(running)
        proxy.forget()
        route.feed(100)
        end_well(route, running)
    finally:
        proxy.refuse(False)
        running.close()
    route.audit()


@SCENARIOS.on("topic-postgres", *WRITTEN)
def started_before_the_broker(route, dice, times):
    """The broker itself is down at the start, and young when it comes: coordinators are still being loaded."""
    once_and_audit_of_some(route)
    route.feed(200)
    route.kafka.kill()
    running = route.run(once=True)
    try:
        time.sleep(1)
        route.kafka.start()
        route.finish(running.wait())
    finally:
        running.close()
    route.audit()


def once_and_audit_of_some(route):
    route.feed(200)
    once_and_audit(route)


def frozen_in_commit(route, instance):
    """Freezes an instance whose order to commit is on its way and does not arrive before it is thawed."""
    proxy = route.servers.proxy
    proxy.on(END_TXN, "request", "stall", seconds=30)
    route.feed(500)
    if not proxy.wait_until_acted(NEVER):
        raise Failure("the test itself: no commit was met")
    instance.freeze()


@SCENARIOS.on(*ANYWHERE)
def zombie_before_its_commit(route, dice, times):
    """An instance freezes with its commit on the way; another takes over, commits, and the first one's commit arrives behind that."""
    route.through_proxy = True
    first = begun(route)
    second = None
    try:
        frozen_in_commit(route, first)
        route.feed(500)
        second = route.run("--take-over", state=second_state(route))
        route.wait_for_all(second)
        first.freeze(signal.SIGCONT)
        route.feed(200)
        time.sleep(2)
        route.feed(200)
        route.wait_for_all(second)
        expect_fenced(first)
        route.finish(second.stop())
    finally:
        close_all(first, second)
    route.audit()


@SCENARIOS.on(*ANYWHERE)
def zombie_waited_for(route, dice, times):
    """The same without --take-over: the second one waits until the first has been silent for long enough."""
    route.through_proxy = True
    first = begun(route)
    second = None
    try:
        frozen_in_commit(route, first)
        second = route.run(state=second_state(route))
        route.feed(500)
        route.wait_for_all(second)
        first.freeze(signal.SIGCONT)
        route.feed(200)
        route.wait_for_all(second)
        expect_fenced(first)
        route.finish(second.stop())
    finally:
        close_all(first, second)
    route.audit()


@SCENARIOS.on(*ANYWHERE)
def taken_over_at_work(route, dice, times):
    """The first one commits until the very moment at which the second has taken its id: those commits count, too."""
    route.through_proxy = True
    first = begun(route)
    second = None
    try:
        proxy = route.servers.proxy
        proxy.on(INIT_PRODUCER_ID, "request", "delay", seconds=2)
        second = route.run("--take-over", state=second_state(route))
        if not proxy.wait_until_acted(NEVER):
            raise Failure("the test itself: nobody took the id")
        for _ in range(15):
            route.feed(40)
            time.sleep(0.1)
        route.feed(100)
        route.wait_for_all(second)
        expect_fenced(first)
        route.feed(100)
        end_well(route, second)
    finally:
        close_all(first, second)
    route.audit()


@SCENARIOS.on("topic-postgres", "topic-topic")
def fewer_lanes(route, dice, times):
    """Four lanes freeze at work, an instance with two takes over: each partition has another lane, and another producer, than before."""
    route.parts, route.lanes = tuple("abcdefgh"), 4
    route.begin()
    first = begun(route, 2000)
    second = None
    try:
        route.feed(4000)
        time.sleep(dice.random() * 0.1)
        first.freeze()
        route.lanes = 2
        route.feed(1000)
        second = route.run("--take-over", state=second_state(route))
        route.wait_for_all(second)
        first.freeze(signal.SIGCONT)
        route.feed(500)
        route.wait_for_all(second)
        expect_fenced(first)
        route.finish(second.stop())
    finally:
        close_all(first, second)
    route.audit()


@SCENARIOS.on(*ANYWHERE)
def foreign_transaction(route, dice, times):
    """Somebody else's transaction is open in weir_positions: what is committed behind it cannot be seen until it ends, and must be waited for."""
    running = begun(route)
    foreign = None
    try:
        foreign = route.kafka.producer(transactional_id="foreign-" + route.pipeline, transaction_timeout_ms=60000)
        foreign.init_transactions(NEVER)
        foreign.begin_transaction()
        for partition in route.kafka.partitions("weir_positions"):
            route.kafka.produce("weir_positions", [{"key": "foreign", "value": "foreign", "partition": partition}], producer=foreign)
        seen = route.kafka.ends(route.target.topic)
        route.feed(500)  # its rows and positions are committed behind the open transaction
        eventually("further rows are written", lambda: sum(route.kafka.ends(route.target.topic).values()) > sum(seen.values()) + 100)
        running.kill_tree()
        running.close()
        running = route.run()
        time.sleep(3)
        foreign.abort_transaction(NEVER)
        foreign = None
        end_well(route, running)
    finally:
        running.close()
        if foreign:
            foreign.abort_transaction(NEVER)
    route.audit()


def shared(route, partitions=6):
    """The route's topic read by a group, and two instances of it at work; where the proxy stands in the way, in the first one's alone."""
    route.parts, route.assign, route.follow = tuple("abcdefghijkl"[:partitions]), "group", True
    route.begin()
    route.follow = True
    route.feed(500)
    first = route.run()
    try:
        route.wait_for_all(first)
    except BaseException:
        first.close()
        raise
    route.through_proxy = False
    second = route.run(state=second_state(route))
    try:
        route.feed(300)
        route.wait_for_all(second)
    except BaseException:
        close_all(first, second)
        raise
    return first, second


@SCENARIOS.on("topic-postgres", "topic-topic")
def member_killed(route, dice, times):
    """Of two instances that share a topic one dies, and comes back; then the other one."""
    running = list(shared(route))
    states = [route.state, second_state(route)]
    try:
        for number in range(max(2, times // 5)):
            victim, other = number % 2, (number + 1) % 2
            route.feed(1000)
            time.sleep(dice.random())
            running[victim].kill_tree()
            running[victim].close()
            route.feed(500)
            route.wait_for_all(running[other])
            running[victim] = route.run(state=states[victim])
            route.feed(500)
            time.sleep(dice.random() * 3)
        route.wait_for_all(running[0])
        route.finish(running[0].stop())
        route.feed(500)
        route.wait_for_all(running[1])
        route.finish(running[1].stop())
    finally:
        close_all(*running)
    route.audit()


@SCENARIOS.on("topic-postgres", "topic-topic")
def member_frozen(route, dice, times):
    """Of two instances that share a topic one stands still until the group has given its partitions away, then goes on; none may end."""
    first, second = shared(route)
    try:
        for _ in range(max(1, times // 10)):
            route.feed(1000)
            time.sleep(dice.random() * 0.2)
            first.freeze()
            route.feed(1000)
            route.wait_for_all(second)
            first.freeze(signal.SIGCONT)
            route.feed(1000)
            route.wait_for_all(second)
            time.sleep(2)
            route.feed(500)
            route.wait_for_all(first)
        route.finish(first.stop())
        route.feed(500)
        route.wait_for_all(second)
        route.finish(second.stop())
    finally:
        close_all(first, second)
    route.audit()


@SCENARIOS.on("topic-topic")
def member_frozen_in_commit(route, dice, times):
    """The same with an order to commit on its way, which arrives when the partitions have another owner."""
    route.through_proxy = True
    first, second = shared(route)
    proxy = route.servers.proxy
    try:
        proxy.on(END_TXN, "request", "stall", seconds=25)
        route.feed(1000)
        if not proxy.wait_until_acted(NEVER):
            raise Failure("the test itself: no commit was met")
        late = time.monotonic() + 27
        first.freeze()
        route.feed(1000)
        route.wait_for_all(second)
        first.freeze(signal.SIGCONT)
        while time.monotonic() < late:
            route.feed(50)
            time.sleep(0.5)
        route.wait_for_all(second)
        route.wait_for_all(first)
        route.finish(first.stop())
        route.feed(500)
        route.wait_for_all(second)
        route.finish(second.stop())
    finally:
        close_all(first, second)
    route.audit()


@SCENARIOS.on("topic-postgres", "topic-topic", "file-topic", minutes=True)
def idle_partition(route, dice, times):
    """A partition is idle for longer than the brokers keep a group's offsets: the positions are not there, and are still known."""
    running = begun(route)
    try:
        quiet, busy = route.ledger.partitions
        end = time.monotonic() + 80
        route.ledger.partitions = [busy]
        while time.monotonic() < end:
            route.feed(10)
            time.sleep(1)
        if route.source_kind == "topic":
            kept = route.kafka.committed("weir-%s-lines" % route.pipeline, route.topic)
            if 0 in kept:
                raise Failure("the test itself: the idle partition's offset has not expired: %s" % kept)
        route.ledger.partitions = [quiet, busy]
        route.wait_for_all(running)
        running.kill_tree()
        running.close()
        route.feed(200)
        running = route.run()
        end_well(route, running)
    finally:
        running.close()
    route.audit()


if __name__ == "__main__":
    sys.exit(SCENARIOS.main(__doc__, sys.argv[1:], settings={"offsets.retention.minutes": "1", "offsets.retention.check.interval.ms": "1000"}))
