#!/usr/bin/python3
"""Three instances on machines of their own share one topic of 12 partitions, and write into one PostgreSQL; machines fail, under load.

    tests/crash/network.py                   one killed, one added, one frozen for a minute, one with its cable pulled for a minute
    tests/crash/network.py --away 15         shorter, but longer than the group waits for a member (10 s)
    tests/crash/network.py --to topic        into a topic instead

A machine is a network namespace with a cable (veth) to a bridge; broker and database stand at the bridge. All of it lies in namespaces that this
program makes for itself, so the machine's own network is not touched and everything is gone with the program. Needs root; without that it says
so and ends with 77, which the suite counts as skipped.

Then: lost 0, doubled 0, the order of each partition kept; every instance that should live lives; and once nothing is disturbed any more no stream
changes its owner, so nobody fences anybody for ever.
"""
import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time

from route import SINK, SKIPPED, Failure, Route, Servers
from support import kafka_server, postgres
from support.waiting import eventually

NETWORK = "10.99.0."
HUB = NETWORK + "1"


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise OSError("%s: %s" % (" ".join(command), done.stdout.strip()))


def enter_namespaces(arguments):
    """Begins anew in a network and a mount namespace; returns there only. False where that is not allowed."""
    if os.environ.get("WEIR_NETWORK_ENTERED"):
        return True
    if subprocess.run(["unshare", "-n", "-m", "true"], stderr=subprocess.DEVNULL).returncode != 0:
        return False
    os.execvpe("unshare", ["unshare", "-n", "-m", sys.executable, os.path.abspath(__file__), *arguments],
               dict(os.environ, WEIR_NETWORK_ENTERED="1"))


def make_hub():
    run("mount", "--make-rprivate", "/")
    os.makedirs("/run/netns", exist_ok=True)
    run("mount", "-t", "tmpfs", "none", "/run/netns")
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "hub", "type", "bridge")
    run("ip", "addr", "add", HUB + "/24", "dev", "hub")
    run("ip", "link", "set", "hub", "up")


class Machine:
    """A network namespace with a cable to the hub, and the instance on it."""

    def __init__(self, route, number):
        self.route, self.name, self.instance = route, "m%d" % number, None
        run("ip", "netns", "add", self.name)
        run("ip", "link", "add", "to-" + self.name, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        run("ip", "link", "set", "to-" + self.name, "master", "hub", "up")
        run("ip", "-n", self.name, "addr", "add", "%s%d/24" % (NETWORK, 10 + number), "dev", "eth0")
        run("ip", "-n", self.name, "link", "set", "eth0", "up")
        run("ip", "-n", self.name, "link", "set", "lo", "up")

    def start(self):
        if self.instance:
            self.instance.close()
        self.instance = self.route.run(state=os.path.join(self.route.folder, "state-" + self.name), through=["ip", "netns", "exec", self.name])

    def cable(self, state):
        run("ip", "link", "set", "to-" + self.name, state)

    def expect_alive(self):
        if not self.instance.alive:
            raise Failure("the instance on %s ended: %r" % (self.name, self.instance.result()))


class NetworkServers(Servers):
    """PostgreSQL and Kafka as the machines reach them: at the hub."""

    def __init__(self, version):
        super().__init__(version)
        self.kafka_port = None

    @property
    def postgres(self):
        if self.made_postgres is None:
            self.made_postgres = postgres.Postgres(["listen_addresses=*"])
            with open(os.path.join(self.made_postgres.data, "pg_hba.conf"), "a") as file:
                file.write("host all all %s0/24 trust\n" % NETWORK)
            self.made_postgres.process.send_signal(signal.SIGHUP)
        return self.made_postgres

    @property
    def kafka(self):
        if self.made_kafka is None:
            self.kafka_port = kafka_server.free_ports(1)[0]
            self.made_kafka = self.start_kafka({"HUB": (HUB, self.kafka_port, HUB, self.kafka_port)})
        return self.made_kafka


class NetworkRoute(Route):
    @property
    def brokers(self):
        return "%s:%d" % (HUB, self.servers.kafka_port)

    def write_pipeline(self):
        if self.target_kind == "postgres":
            url = "postgresql://weir@%s:%d/%s?sslmode=disable" % (HUB, self.server.port, self.target.database)
            self.sinks = [{"name": SINK, "url": url, "table": "rows_out"}]
        return super().write_pipeline()


def feed_for(route, seconds, rate):
    """Load: so many inputs a second, in portions."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        route.feed(max(12, rate // 10))
        time.sleep(0.1)


def owners(route):
    """{partition: (owner, epoch)} as the target has them."""
    if route.target_kind == "postgres":
        found = route.target.query("SELECT partition, owner, epoch FROM weir_positions WHERE pipeline = %s", route.pipeline)
        return {partition: (owner, epoch) for partition, owner, epoch in found}
    # The last record of a key counts, and those of one key lie in one partition in their order.
    found = {}
    for record in route.kafka.read("weir_positions"):
        key = json.loads(record.key)
        if key["kind"] == "position" and key["pipeline"] == route.pipeline and record.value is not None:
            value = json.loads(record.value)
            found[key["partition"]] = (value["owner"], value["epoch"])
    return found


def disturb(route, machines, options, dice):
    """Everything that happens to the machines, each while inputs flow."""
    first, second, third = machines
    feed_for(route, 3, options.rate)
    first.instance.kill_tree()
    feed_for(route, 12, options.rate)
    added = Machine(route, 4)
    machines.append(added)
    added.start()
    feed_for(route, 5, options.rate)
    time.sleep(dice.random() * 0.2)
    second.instance.freeze()
    feed_for(route, options.away, options.rate)
    second.instance.freeze(signal.SIGCONT)
    feed_for(route, 5, options.rate)
    third.cable("down")
    feed_for(route, options.away, options.rate)
    third.cable("up")
    first.start()
    feed_for(route, 5, options.rate)


def arrived(route, machines):
    for machine in machines:
        machine.expect_alive()
    return route.arrived()


def expect_peace(route, machines, options):
    """Undisturbed, each instance has a share, and keeps it."""
    def shared():
        arrived(route, machines)
        route.feed(len(route.parts))  # who takes a partition over shows with the first rows of it
        now = owners(route)
        return len(now) == len(route.parts) and len({owner for owner, _ in now.values()}) >= len(machines)
    eventually("each instance has a share", shared, pause=0.5)
    feed_for(route, 3, options.rate)
    before = owners(route)
    feed_for(route, 12, options.rate)
    eventually("everything arrives", lambda: arrived(route, machines), pause=0.2)
    after = owners(route)
    if len(before) != len(route.parts) or before != after:
        raise Failure("streams change owners though nothing is disturbed: %s, then %s" % (before, after))


def scenario(route, options):
    machines = [Machine(route, number) for number in (1, 2, 3)]
    try:
        route.follow, route.assign = True, "group"
        route.feed(1000)
        for machine in machines:
            machine.start()
        eventually("everything arrives", lambda: arrived(route, machines), pause=0.2)
        disturb(route, machines, options, random.Random(options.seed))
        eventually("everything arrives", lambda: arrived(route, machines), pause=0.2)
        expect_peace(route, machines, options)
        for machine in machines:
            route.finish(machine.instance.stop())
    except BaseException:
        for machine in machines:
            if machine.instance:
                print("--- %s: %r" % (machine.name, machine.instance.result()), file=sys.stderr)
        raise
    finally:
        for machine in machines:
            if machine.instance:
                machine.instance.close()
    return route.audit()


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", choices=["postgres", "topic"], default="postgres")
    parser.add_argument("--away", type=float, default=60, help="seconds of the frost and of the pulled cable")
    parser.add_argument("--rate", type=int, default=1000, help="inputs a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kafka", choices=["4.1", "3.9"], default="4.1")
    options = parser.parse_args(arguments)
    if not enter_namespaces(arguments):
        print("skipped: network namespaces are not allowed here (needs root)")
        return SKIPPED
    make_hub()
    servers = NetworkServers(options.kafka)
    route = None
    kept = True
    try:
        route = NetworkRoute("topic-" + options.to, options.seed, servers, parts=tuple("abcdefghijkl"))
        print(dict(scenario(route, options), to=options.to, inputs=route.ledger.total("lines")))
        kept = False
        return 0
    except (Failure, TimeoutError) as failure:
        print("FAILED network %s: %s" % (options.to, failure), flush=True)
        return 1
    finally:
        if route:
            route.close(keep=kept)
        servers.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
