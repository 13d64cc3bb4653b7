"""The brokers that the other tests stand on: what the oracle sees of transactions, what survives a SIGKILL, and the one of `make kafka`."""
import os
import subprocess

import pytest

from support import instance, kafka_server


@pytest.fixture(params=["kafka", "kafka39"])
def broker(request):
    return request.getfixturevalue(request.param)


def test_the_oracle_sees_what_is_committed_and_nothing_else(broker):
    topic = broker.create_topic(partitions=3)
    broker.produce(topic, [("k%d" % n, "v%d" % n) for n in range(100)])
    broker.transaction(topic, [("k", "committed")])
    broker.transaction(topic, [("k", "aborted")], how="abort")
    pending = broker.transaction(topic, [("k", "pending")], how="pending", name="other")
    seen = [record.value for record in broker.read(topic)]
    assert len(seen) == 101 and b"committed" in seen
    uncommitted = [record.value for record in broker.read(topic, isolation="read_uncommitted")]
    assert b"aborted" in uncommitted and b"pending" in uncommitted
    pending.abort_transaction(60)


def test_what_is_stored_survives_a_kill_of_the_broker(kafka):
    topic = kafka.create_topic(partitions=2)
    kafka.produce(topic, ["%d" % n for n in range(50)])
    before = kafka.read(topic)
    kafka.kill()
    kafka.start()
    assert kafka.read(topic) == before and len(before) == 50


def test_the_broker_for_trying_things_out(kafka, tmp_path):
    """In a cache folder of its own, which borrows the jars of the session's broker."""
    cache = tmp_path / "cache"
    cache.mkdir()
    for name in os.listdir(kafka_server.cache_folder()):
        if name.startswith("kafka-4.1.") and not name.endswith(".lock"):
            (cache / name).symlink_to(os.path.join(kafka_server.cache_folder(), name))
    port = kafka_server.free_ports(1)[0]
    env = dict(os.environ, WEIR_CACHE=str(cache), KAFKA_PORT=str(port))

    def command(action):
        return subprocess.run([os.path.join(instance.ROOT, "pipelines", "kafka.py"), action], env=env, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
    try:
        for _ in range(2):  # the second one finds it running
            told = command("start")
            assert told.returncode == 0 and "127.0.0.1:%d" % port in told.stdout, told.stdout
        servers = "127.0.0.1:%d" % port
        subprocess.run(["kcat", "-b", servers, "-P", "-t", "numbers"], input=b'{"id": 1}\n', check=True)
        command("stop")
        assert not kafka_server.serves(port)
        command("start")
        read = subprocess.run(["kcat", "-b", servers, "-C", "-e", "-q", "-t", "numbers"], stdout=subprocess.PIPE, check=True)
        assert read.stdout == b'{"id": 1}\n'
    finally:
        command("delete")
    assert not kafka_server.serves(port) and not (cache / "kafka-try-4.1").exists()
