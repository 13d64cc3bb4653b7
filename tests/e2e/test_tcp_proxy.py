"""The proxy does what the crash suite relies on, seen by a client that is not weir, through a broker that advertises the proxy's port."""
import pytest

from support import kafka_server, tcp_proxy
from support.waiting import eventually


@pytest.fixture
def through(kafka_proxied):
    broker, proxy = kafka_proxied
    yield broker, proxy
    proxy.forget()
    proxy.stall_all(False)
    proxy.refuse(False)


def transactional(broker, proxy, topic, value, **more):
    from confluent_kafka import Producer  # here, because without it this file's tests are skipped by their fixture
    one = Producer({"bootstrap.servers": proxy.address, "transactional.id": topic, "log_level": 2, **more})
    one.init_transactions(60)
    one.begin_transaction()
    broker.produce(topic, [value], producer=one)
    return one


@pytest.mark.parametrize("side", ["request", "answer"])
@pytest.mark.parametrize("act", ["cut", "pass_and_cut", "half", "half_close"])
def test_a_commit_that_is_hurt_on_its_way_is_made_once(through, act, side):
    broker, proxy = through
    topic = broker.create_topic()
    one = transactional(broker, proxy, topic, "once", **{"socket.timeout.ms": 3000})
    proxy.on(tcp_proxy.END_TXN, side, act)
    one.commit_transaction(60)
    assert proxy.wait_until_acted(0) == (tcp_proxy.END_TXN, side, act, 0.0)
    assert [record.value for record in broker.read(topic)] == [b"once"]


def test_a_commit_whose_sender_has_gone_still_arrives(through):
    broker, proxy = through
    topic = broker.create_topic()
    one = transactional(broker, proxy, topic, "late")
    from confluent_kafka import KafkaException
    proxy.on(tcp_proxy.END_TXN, "request", "delay", seconds=2)
    with pytest.raises(KafkaException):
        one.commit_transaction(0.5)
    del one
    assert broker.read(topic) == []
    eventually("the late commit is there", lambda: len(broker.read(topic)) == 1)


def test_refused_and_stalled_connections(through):
    broker, proxy = through
    assert kafka_server.serves(proxy.port)
    proxy.refuse()
    assert not kafka_server.serves(proxy.port)
    proxy.refuse(False)
    proxy.stall_all()
    assert not kafka_server.serves(proxy.port, seconds=0.3)
    proxy.stall_all(False)
    assert kafka_server.serves(proxy.port)
