"""A real Kafka broker of our own, or a cluster of several: KRaft, on free ports of the loopback, its data in a folder of the caller.

The jars come from Maven Central through mvn, once per version, into a cache folder outside the tree: $WEIR_CACHE, or weir below
$XDG_CACHE_HOME, or ~/.cache/weir. Several processes may ask for them at once: a lock is held while they are fetched, and the folder gets its
name only when it is whole. Needs nothing but Python's own library, because `make kafka` runs it, too (pipelines/kafka.py); what a test wants
from a client is in kafka.py.
"""
import base64
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import uuid

from support.waiting import NEVER, dying_with_the_test, eventually

# What is fetched for each version: the server, and the back end of its log, which its own list leaves open.
VERSIONS = {
    "4.1": ("4.1.0", [("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.1"), ("org.apache.logging.log4j", "log4j-core", "2.25.1")]),
    "3.9": ("3.9.1", [("org.slf4j", "slf4j-reload4j", "1.7.36")]),
}
DEPENDENCY = "<dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version></dependency>"
PROJECT = """<project><modelVersion>4.0.0</modelVersion><groupId>weir</groupId><artifactId>kafka</artifactId><version>1</version>
<packaging>pom</packaging><dependencies>%s</dependencies></project>
"""
LOG4J2 = """\
rootLogger.level = %(level)s
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %%d %%p %%m (%%c)%%n
"""
LOG4J1 = """\
log4j.rootLogger=%(level)s, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%%d %%p %%m (%%c)%%n
"""
# One broker with everything small: a few partitions for the topics of its own, one replica, a short heap.
SETTINGS = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # A broker that was killed comes back only when the controller has given up the one before it.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "log.cleaner.dedupe.buffer.size": "16777216",
    "log.segment.bytes": "104857600",
    "num.network.threads": "2",
    "num.io.threads": "2",
    "auto.create.topics.enable": "false",
}
# In a cluster everything has a replica on each node, and goes on without one of them.
SETTINGS_CLUSTER = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "300",
}
SETTINGS_4 = {"share.coordinator.state.topic.replication.factor": "1", "share.coordinator.state.topic.min.isr": "1"}


class KafkaUnavailable(Exception):
    """No broker can be had here, and why: no Java, no mvn, no way to the jars."""


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.environ.get("WEIR_CACHE") or os.path.join(base, "weir")


def libraries(version):
    """The folder with the jars of that version; fetches them the first time."""
    number, log_back_end = VERSIONS[version]
    folder = os.path.join(cache_folder(), "kafka-" + number)
    if os.path.isdir(folder):
        return folder
    os.makedirs(cache_folder(), exist_ok=True)
    with open(folder + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(folder):
            fetch([("org.apache.kafka", "kafka_2.13", number), *log_back_end], folder)
    return folder


def fetch(artifacts, folder):
    if not shutil.which("mvn"):
        raise KafkaUnavailable("mvn is not installed (package maven), and %s is not there" % folder)
    new = folder + ".new"
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(new)
    with open(os.path.join(new, "pom.xml"), "w") as file:
        file.write(PROJECT % "".join(DEPENDENCY % artifact for artifact in artifacts))
    done = subprocess.run(["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=" + new, "-DincludeScope=runtime"], cwd=new,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if done.returncode != 0:
        shutil.rmtree(new, ignore_errors=True)
        raise KafkaUnavailable("mvn could not fetch Kafka's jars: " + done.stdout[-600:].strip())
    os.rename(new, folder)


def free_ports(how_many):
    """Ports that nobody listens on; all different, because all are held until the last is found."""
    held = [socket.socket() for _ in range(how_many)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def text(value):
    """A text as Kafka's protocol writes it; None is null."""
    return struct.pack(">h", -1) if value is None else struct.pack(">h", len(value)) + value.encode()


def ask(port, api, version, body=b"", host="127.0.0.1", seconds=60):
    """One request by hand, for what no client library at hand can ask; returns the body of the answer. Versions with plain headers only."""
    request = struct.pack(">hhi", api, version, 7) + text(None) + body
    with socket.create_connection((host, port), timeout=seconds) as line, line.makefile("rb") as answer:
        line.sendall(struct.pack(">i", len(request)) + request)
        head = answer.read(8)
        if head[4:] != struct.pack(">i", 7):
            raise ConnectionError("no answer of Kafka's: %r" % head)
        return answer.read(struct.unpack(">i", head[:4])[0] - 4)


def serves(port, host="127.0.0.1", seconds=5):
    """Whether somebody there answers the first question of every client (ApiVersions)."""
    try:
        return ask(port, 18, 0, host=host, seconds=seconds) != b""
    except OSError:
        return False


def new_cluster():
    """A name for a cluster, in the form that Kafka wants."""
    return "w" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]


class Broker:
    """`listeners` adds further ones: {NAME: (host to bind, port, host to tell clients, port to tell them)}. `settings` overrides any setting of
    the broker, `accounts` are SCRAM logins, name to password. Dies with the process that made it, unless `outlives`. As one of several it has a
    number (`node`), the ports of all controllers (`quorum`, number to port) and the name of the cluster (`cluster`)."""

    def __init__(self, version, folder, port=None, settings=None, listeners=None, accounts=None, outlives=False, level="WARN", node=1, quorum=None,
                 cluster=None, heap_mb=512):
        self.version, self.folder, self.outlives, self.level = version, str(folder), outlives, level
        self.fixed_port, self.more_settings, self.more_listeners = port, settings or {}, listeners or {}
        self.accounts = accounts or {}
        self.node, self.quorum, self.heap_mb = node, quorum, heap_mb
        self.cluster = cluster or new_cluster()
        self.process = None
        self.port = None
        if not shutil.which("java"):
            raise KafkaUnavailable("java is not installed (package openjdk-17-jre-headless)")
        self.jars = libraries(version)
        os.makedirs(self.folder, exist_ok=True)

    @property
    def servers(self):
        return "127.0.0.1:%d" % self.port

    @property
    def log(self):
        with open(os.path.join(self.folder, "log"), errors="replace") as file:
            return file.read()

    def java(self, *arguments):
        return ["java", "-Xms128m", "-Xmx%dm" % self.heap_mb, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                "-Dlog4j.configurationFile=" + os.path.join(self.folder, "log4j2.properties"),
                "-Dlog4j.configuration=file:" + os.path.join(self.folder, "log4j.properties"), "-cp", self.jars + "/*", *arguments]

    def write_settings(self):
        free = free_ports(2)
        self.port = self.port or self.fixed_port or free[0]
        quorum = self.quorum or {self.node: free[1]}
        listeners = {"PLAINTEXT": ("127.0.0.1", self.port, "127.0.0.1", self.port), **self.more_listeners}
        settings = dict(SETTINGS, **(SETTINGS_4 if self.version.startswith("4") else {}))
        settings["log.dirs"] = os.path.join(self.folder, "data")
        settings["node.id"] = str(self.node)
        settings["controller.quorum.voters"] = ",".join("%d@127.0.0.1:%d" % one for one in quorum.items())
        settings["listeners"] = ",".join(["%s://%s:%d" % (name, *at[:2]) for name, at in listeners.items()] +
                                         ["CONTROLLER://127.0.0.1:%d" % quorum[self.node]])
        settings["advertised.listeners"] = ",".join("%s://%s:%d" % (name, *at[2:]) for name, at in listeners.items())
        settings["listener.security.protocol.map"] = ",".join("%s:PLAINTEXT" % name for name in [*listeners, "CONTROLLER"])
        settings.update(self.more_settings)
        for name, text in (("server.properties", "".join("%s=%s\n" % one for one in settings.items())),
                           ("log4j2.properties", LOG4J2 % {"level": self.level}), ("log4j.properties", LOG4J1 % {"level": self.level})):
            with open(os.path.join(self.folder, name), "w") as file:
                file.write(text)

    def format(self):
        """Makes the data folder, unless there is one from before."""
        if os.path.exists(os.path.join(self.folder, "data", "meta.properties")):
            return
        logins = [option for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512") for user, password in self.accounts.items()
                  for option in ("-S", "%s=[name=%s,password=%s]" % (mechanism, user, password))]
        done = subprocess.run(self.java("kafka.tools.StorageTool", "format", "-t", self.cluster, "-c", "server.properties", "-g", *logins),
                              cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        if done.returncode != 0:
            raise RuntimeError("Kafka's data folder could not be made: " + done.stdout[-2000:])

    def start(self):
        """Starts, on the same port and data as before where there was a start, and waits until it serves."""
        again = self.port is not None
        for attempt in range(5):
            if not again:
                self.port = None
            self.begin()
            if self.wait_until_it_serves():
                return self
            # Between the search for a port and the bind somebody else may have taken it.
        raise RuntimeError("Kafka found no free ports:\n" + self.log[-2000:])

    def begin(self):
        """Launches it; whether it serves is the next question."""
        self.write_settings()
        self.format()
        self.launch()

    def launch(self):
        command = self.java("kafka.Kafka", "server.properties")
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen(command if self.outlives else dying_with_the_test(command), cwd=self.folder, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True)

    def wait_until_it_serves(self):
        """False when a port was taken."""
        def look():
            if self.process.poll() is not None:
                if "Address already in use" in self.log[-20000:]:
                    return "taken"
                raise RuntimeError("Kafka ended:\n" + self.log[-4000:])
            return "serves" if serves(self.port) else None
        try:
            return eventually("Kafka %s answers" % self.version, look, seconds=max(NEVER, 120), pause=0.1) == "serves"
        except TimeoutError:
            self.kill()
            raise

    def kill(self):
        """SIGKILL, as a power cut of the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self):
        """Orderly: it hands over nothing, being alone, but closes its files."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)


class Cluster:
    """Several brokers that are controllers, too: a majority of them goes on without the others."""

    def __init__(self, version, folder, nodes=3, settings=None, **more):
        self.folder, self.brokers = str(folder), {}
        settings = dict(SETTINGS_CLUSTER, **(settings or {}))
        for attempt in range(5):
            ports = free_ports(2 * nodes)
            quorum = dict(zip(range(1, nodes + 1), ports[nodes:]))
            name = new_cluster()
            self.brokers = {node: Broker(version, os.path.join(self.folder, "%d-%d" % (node, attempt)), port=port, node=node, quorum=quorum,
                                         cluster=name, heap_mb=256, settings=settings, **more) for node, port in zip(quorum, ports)}
            # None serves before a majority has found each other.
            for one in self.brokers.values():
                one.begin()
            if all(one.wait_until_it_serves() for one in self.brokers.values()):
                return
            self.kill()
        raise RuntimeError("Kafka found no free ports")

    @property
    def servers(self):
        return ",".join(one.servers for one in self.brokers.values())

    def start(self, node):
        self.brokers[node].start()

    def kill(self, *nodes):
        """SIGKILL to these, or to all."""
        for node in nodes or self.brokers:
            self.brokers[node].kill()
