"""Fixtures of the end-to-end tests. The program under test is $WEIR, or ./weir of this checkout."""
import itertools
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import instance, kafka_server, lines as lines_support, postgres, simulator, targets, tcp_proxy, web  # noqa: E402

PIPELINES = os.path.join(instance.ROOT, "pipelines")
numbers = itertools.count(1)


@pytest.fixture(scope="session", autouse=True)
def program():
    path = instance.weir_program()
    if not os.access(path, os.X_OK):
        pytest.exit("%s is not there: run `make` first, or set WEIR" % path, returncode=2)
    return path


@pytest.fixture(scope="session")
def server():
    """One PostgreSQL for the session; each test gets a database of its own in it."""
    one = postgres.Postgres()
    yield one
    one.close()


@pytest.fixture
def database(server):
    return targets.PostgresTarget(server, "t%d" % next(numbers))


def broker(version, kind="Kafka", **more):
    """One broker for the session, or one of another kind of support/kafka.py. Where none can be had the tests are skipped, and say why; on the CI machine that is a failure."""
    try:
        from support import kafka
        one = getattr(kafka, kind)(version, **more)
    except (ImportError, kafka_server.KafkaUnavailable) as reason:
        if os.environ.get("CI") == "true":
            pytest.fail("no Kafka %s: %s" % (version, reason))
        pytest.skip("no Kafka %s: %s" % (version, reason))
    yield one
    one.close()


@pytest.fixture(scope="session")
def kafka():
    """Kafka 4.1; each test makes topics of its own in it (`kafka.create_topic`)."""
    yield from broker("4.1")


@pytest.fixture(scope="session")
def kafka_proxied():
    """(broker, proxy): Kafka 4.1 that also tells clients to come through a proxy of ours; whoever knows its own port goes past that."""
    proxy = tcp_proxy.Proxy()
    port = kafka_server.free_ports(1)[0]
    for one in broker("4.1", listeners={"PROXY": ("127.0.0.1", port, "127.0.0.1", proxy.port)}):
        proxy.to = ("127.0.0.1", port)
        yield one, proxy
    proxy.close()


@pytest.fixture(scope="session")
def cluster():
    """Three brokers of Kafka 4.1; whoever kills one brings it back (`with cluster.without(node)`)."""
    yield from broker("4.1", "Cluster")


@pytest.fixture(scope="session")
def kafka_guarded():
    """(broker, servers): Kafka 4.1 that asks for a login at `servers` (PLAIN, user pat, password pat) and gives nobody a right by itself; whoever
    comes to its own port may do everything (`kafka.grant`, `kafka.revoke`)."""
    port = kafka_server.free_ports(1)[0]
    settings = {
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.login.plain.sasl.jaas.config": 'org.apache.kafka.common.security.plain.PlainLoginModule required user_pat="pat";',
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    for one in broker("4.1", listeners={"LOGIN": ("127.0.0.1", port, "127.0.0.1", port)}, settings=settings):
        yield one, "127.0.0.1:%d" % port


@pytest.fixture(scope="session")
def kafka39():
    yield from broker("3.9")


@pytest.fixture(params=["sqlite", "postgres"])
def target(request, tmp_path):
    if request.param == "sqlite":
        return targets.SqliteTarget(tmp_path / "target.db")
    return request.getfixturevalue("database")


@pytest.fixture
def sqlite_target(tmp_path):
    return targets.SqliteTarget(tmp_path / "target.db")


@pytest.fixture
def weir(tmp_path):
    """weir(verb, ...) runs a command to its end in the test's folder."""
    def run(*arguments, env=None, timeout=instance.NEVER):
        return instance.weir(*arguments, cwd=tmp_path, env=env, timeout=timeout)
    return run


@pytest.fixture
def start(tmp_path):
    """start(...) is `weir run ...` in the background; whatever still runs at the end of the test is killed."""
    begun = []

    def run(*arguments, env=None):
        begun.append(instance.Instance(*arguments, cwd=tmp_path, env=env))
        return begun[-1]
    yield run
    for one in begun:
        one.close()


@pytest.fixture
def simulate():
    begun = []

    def run(*arguments, **options):
        begun.append(simulator.Simulator(*arguments, **options))
        return begun[-1]
    yield run
    for one in begun:
        one.close()


@pytest.fixture
def site():
    one = web.Site()
    yield one
    one.close()


@pytest.fixture
def pipeline(tmp_path):
    """pipeline(text) writes a pipeline file and returns its path."""
    def write(text, name="pipeline.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path
    return write


@pytest.fixture
def lines(tmp_path):
    """A pipeline that follows in/*.ndjson into SQLite."""
    return lines_support.Lines(tmp_path, targets.SqliteTarget(tmp_path / "out.db"))


@pytest.fixture
def status(weir, lines):
    def ask():
        asked = weir("status", lines.path, "--json")
        assert asked.code == 0, asked
        return asked.json
    return ask
