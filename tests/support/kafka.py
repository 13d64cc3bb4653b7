"""Kafka as an independent client sees it: confluent-kafka's admin, producer and consumer, never weir's own code.

The consumer reads with read_committed from the first record to the end, so it sees what any user's consumer sees: no record of an aborted
transaction, and none of one that is still open.
"""
import collections
import contextlib
import itertools
import json
import os
import shutil
import struct
import tempfile
import threading
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ConfigSource, NewPartitions, NewTopic

from support import kafka_server
from support.waiting import NEVER, eventually

Record = collections.namedtuple("Record", "topic partition offset key value headers time")
names = itertools.count(1)


class Client:
    """What a test asks of the brokers at `servers`, which are `nodes` in number: each topic has a replica on each."""
    nodes = 1

    def is_led(self):
        """Serving is not enough for a client: all brokers are members of their cluster, and each partition has a leader and all its replicas."""
        try:
            seen = self.admin().list_topics(timeout=5)
        except KafkaException:
            return False
        parts = [part for topic in seen.topics.values() for part in topic.partitions.values()]
        return len(seen.brokers) == self.nodes and all(part.leader >= 0 and len(part.isrs) == len(part.replicas) for part in parts)

    def settings_of(self, **more):
        return dict({"bootstrap.servers": self.servers, "log_level": 2}, **{name.replace("_", "."): value for name, value in more.items()})

    # Topics.

    def admin(self):
        return AdminClient(self.settings_of())

    def cluster_id(self):
        return self.admin().list_topics(timeout=NEVER).cluster_id

    def create_topic(self, name=None, partitions=1, config=None):
        """Makes a topic and returns its name; without a name, one that nobody has."""
        name = name or "t%d-%d" % (os.getpid(), next(names))
        admin = self.admin()  # in a variable: an answer does not come any more when its client is gone
        admin.create_topics([NewTopic(name, partitions, self.nodes, config=config or {})], operation_timeout=30)[name].result()
        eventually("topic %s is there" % name, lambda: len(self.partitions(name)) == partitions)
        return name

    def configure_topic(self, name, config):
        """Changes settings of a topic; the others stay as they are by default."""
        admin = self.admin()
        (done,) = admin.alter_configs([ConfigResource(ConfigResource.Type.TOPIC, name, set_config=config)]).values()
        done.result()

    def topic_settings(self, name):
        """What was set for this topic itself, and is none of the brokers' defaults."""
        admin = self.admin()
        (told,) = admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, name)]).values()
        return {name: entry.value for name, entry in told.result().items() if entry.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value}

    def configure_broker(self, config):
        """Changes settings of the (first) broker that can be changed while it runs; {} takes all such changes back."""
        admin = self.admin()
        (number, *_) = self.admin().list_topics(timeout=NEVER).brokers
        (done,) = admin.alter_configs([ConfigResource(ConfigResource.Type.BROKER, str(number), set_config=config)]).values()
        done.result()

    def add_partitions(self, name, total):
        admin = self.admin()
        admin.create_partitions([NewPartitions(name, total)], operation_timeout=30)[name].result()
        eventually("topic %s has %d partitions" % (name, total), lambda: len(self.partitions(name)) == total)

    def delete_topic(self, name):
        admin = self.admin()
        admin.delete_topics([name], operation_timeout=30)[name].result()
        eventually("topic %s is gone" % name, lambda: name not in self.topics())

    def topics(self):
        return {name for name in self.admin().list_topics(timeout=NEVER).topics if not name.startswith("__")}

    def partitions(self, name):
        """The numbers of the partitions that have a leader; [] where the topic is not there."""
        topic = self.admin().list_topics(timeout=NEVER).topics.get(name)
        return sorted(part.id for part in topic.partitions.values() if part.leader >= 0) if topic else []

    def leader(self, name, partition):
        """The number of the broker that leads a partition."""
        return self.admin().list_topics(name, timeout=NEVER).topics[name].partitions[partition].leader

    # Writing.

    def producer(self, **more):
        return Producer(self.settings_of(linger_ms=5, **more))

    def produce(self, topic, records, producer=None):
        """Writes records and waits until all are stored. A record is a value, or (key, value), or a mapping of what Producer.produce takes."""
        one = self.producer(enable_idempotence=True) if producer is None else producer  # an idle producer is false: its length is 0
        faults = []

        def delivered(error, message):
            if error:
                faults.append(error)

        for record in records:
            arguments = record if isinstance(record, dict) else dict(zip(("key", "value"), record)) if isinstance(record, tuple) else {"value": record}
            while True:
                try:
                    one.produce(topic, on_delivery=delivered, **arguments)
                    break
                except BufferError:
                    one.poll(0.1)
            one.poll(0)
        if one.flush(NEVER) or faults:
            raise RuntimeError("not delivered: %s" % (faults or "no answer"))

    def transaction(self, topic, records, how="commit", name="writer"):
        """One transaction: committed, aborted, or left "pending". Returns the producer: whoever drops it drops the pending transaction later."""
        one = self.producer(transactional_id="%s-%s" % (topic, name))
        one.init_transactions(NEVER)
        one.begin_transaction()
        self.produce(topic, records, producer=one)
        if how == "commit":
            one.commit_transaction(NEVER)
        elif how == "abort":
            one.abort_transaction(NEVER)
        return one

    def load(self, topic, **more):
        return Load(self, topic, **more)

    # Reading.

    def consumer(self, **more):
        """The end of a partition is told when an answer has no record: so that it is, while others write, answers wait for none."""
        return Consumer(self.settings_of(**dict({"group_id": "oracle", "enable_auto_commit": False, "isolation_level": "read_committed",
                                                 "auto_offset_reset": "earliest", "enable_partition_eof": True, "fetch_wait_max_ms": 5}, **more)))

    def read(self, topic, isolation="read_committed"):
        """All records of a topic, partition by partition in the order of their offsets, up to the end (of what is committed)."""
        partitions = self.partitions(topic)
        if not partitions:
            return []
        one = self.consumer(isolation_level=isolation)
        one.assign([TopicPartition(topic, number, 0) for number in partitions])
        found, open_ones = [], set(partitions)
        end = time.monotonic() + NEVER
        try:
            while open_ones:
                messages = one.consume(10000, timeout=0.05)  # waits for all of 10,000, or for this long
                if messages:
                    end = time.monotonic() + NEVER
                elif time.monotonic() > end:
                    raise TimeoutError("topic %s: its end did not come" % topic)
                for message in messages:
                    if not message.error():
                        found.append(Record(topic, message.partition(), message.offset(), message.key(), message.value(), message.headers() or [],
                                            message.timestamp()[1]))
                    elif message.error().code() == KafkaError._PARTITION_EOF:
                        open_ones.discard(message.partition())
                    else:
                        raise KafkaException(message.error())
        finally:
            one.close()
        return sorted(found, key=lambda record: (record.partition, record.offset))

    def check_copy(self, topic, rows):
        """`rows`, each (partition, offset, number) of a record of the topic in the order of arrival: every record is there once, and those of a
        partition came in the order of the log."""
        found = collections.Counter(rows)
        wanted = collections.Counter((record.partition, record.offset, json.loads(record.value)["n"]) for record in self.read(topic))
        lost, more = [sorted(some.elements()) for some in (wanted - found, found - wanted)]
        assert not lost and not more, "%d lost, first %s; %d doubled, first %s" % (len(lost), lost[:5], len(more), more[:5])
        for partition in self.partitions(topic):
            offsets = [offset for part, offset, _ in rows if part == partition]
            assert offsets == sorted(offsets), "partition %d is out of order" % partition

    def count(self, topic):
        return len(self.read(topic))

    def counter(self, topic, **more):
        return Counter(self, topic, **more)

    def ends(self, topic):
        """The high watermark of each partition."""
        one = self.consumer()
        try:
            return {number: one.get_watermark_offsets(TopicPartition(topic, number), timeout=NEVER)[1] for number in self.partitions(topic)}
        finally:
            one.close()

    def committed(self, group, topic):
        """What a consumer group has committed, as the tools that show lag read it; partitions without are left out."""
        one = self.consumer(group_id=group)
        try:
            stored = one.committed([TopicPartition(topic, number) for number in self.partitions(topic)], timeout=NEVER)
            return {part.partition: part.offset for part in stored if part.offset >= 0}
        finally:
            one.close()


class Kafka(Client, kafka_server.Broker):
    """A broker and a client of it. Its data lies in a temporary folder, gone with close()."""

    def __init__(self, version="4.1", **more):
        super().__init__(version, tempfile.mkdtemp(prefix="weir-kafka-"), **more)
        self.start()

    def close(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        super().start()
        eventually("Kafka %s has a leader for each partition" % self.version, self.is_led)
        return self

    # Rights, where the broker has an authorizer: each is (kind of resource, its name, operation); a name that ends with * is a beginning.

    def grant(self, user, *rights):
        self.change_rights(30, [resource_of(kind, name) + kafka_server.text("User:" + user) + kafka_server.text("*") +
                                bytes([OPERATIONS[operation], ALLOW]) for kind, name, operation in rights])

    def revoke(self, user, *rights):
        self.change_rights(31, [resource_of(kind, name) + kafka_server.text("User:" + user) + kafka_server.text(None) +
                                bytes([OPERATIONS[operation], ALLOW]) for kind, name, operation in rights])

    def change_rights(self, api, changes):
        answer = kafka_server.ask(self.port, api, 1, struct.pack(">i", len(changes)) + b"".join(changes))
        assert struct.unpack(">iih", answer[:10])[1:] == (len(changes), 0), answer


RESOURCES = {"topic": 2, "group": 3, "cluster": 4, "transactional id": 5}
OPERATIONS = {"read": 3, "write": 4, "create": 5, "describe": 8, "describe configs": 10}
LITERAL, PREFIXED, ALLOW = 3, 4, 3


def resource_of(kind, name):
    begins = name.endswith("*")
    return bytes([RESOURCES[kind]]) + kafka_server.text(name[:-1] if begins else name) + bytes([PREFIXED if begins else LITERAL])


class Cluster(Client, kafka_server.Cluster):
    """Three brokers and a client of them; any of them may die, one at a time."""
    nodes = 3

    def __init__(self, version="4.1", **more):
        folder = tempfile.mkdtemp(prefix="weir-cluster-")
        try:
            super().__init__(version, folder, self.nodes, **more)
            eventually("the cluster is whole", self.is_led)
        except BaseException:
            self.close()
            raise

    def close(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextlib.contextmanager
    def without(self, node):
        """A broker is killed without a word; behind the block it is there again, and in sync."""
        self.kill(node)
        try:
            yield
        finally:
            self.start(node)
            eventually("the cluster is whole again", self.is_led)

    def coordinator(self, kind, name):
        """The number of the broker that looks after this "group", or this "transaction"al id (FindCoordinator of Kafka's protocol)."""
        question = kafka_server.text(name) + bytes([("group", "transaction").index(kind)])

        def look():
            living = next(one for one in self.brokers.values() if one.process)
            answer = kafka_server.ask(living.port, 10, 1, question)
            fault, length = struct.unpack(">hh", answer[4:8])
            return struct.unpack(">i", answer[8 + max(length, 0):][:4])[0] if fault == 0 else None
        return eventually("%s %s has a coordinator" % (kind, name), look)


class Load(threading.Thread):
    """Writes numbered records at a steady pace until told to end; `sent` are those that the brokers have."""

    def __init__(self, kafka, topic, each=100, pause=0.02):
        super().__init__(daemon=True)
        self.kafka, self.topic, self.each, self.pause = kafka, topic, each, pause
        self.stopped, self.sent, self.fault = threading.Event(), 0, None
        self.start()

    def run(self):
        producer = self.kafka.producer(enable_idempotence=True)
        try:
            while not self.stopped.is_set():
                new = range(self.sent, self.sent + self.each)
                self.kafka.produce(self.topic, [("k%d" % n, json.dumps({"n": n})) for n in new], producer)
                self.sent += self.each
                time.sleep(self.pause)
        except Exception as fault:  # told to whoever ends it
            self.fault = fault

    def end(self):
        self.stopped.set()
        self.join()
        if self.fault:
            raise self.fault
        return self.sent


class Counter:
    """How many committed records a topic has, asked again and again: each time it goes on where it stood."""

    def __init__(self, kafka, topic, patience=5):
        self.kafka, self.topic, self.patience, self.found = kafka, topic, patience, 0
        self.next, self.consumer = {}, None

    def count(self):
        """Up to what is committed now; a broker that is away for the moment adds nothing."""
        if self.consumer is None and not self.begin():
            return 0
        open_ones, end = set(self.next), time.monotonic() + self.patience
        self.consumer.assign([TopicPartition(self.topic, number, offset) for number, offset in self.next.items()])
        while open_ones and time.monotonic() < end:
            for message in self.consumer.consume(10000, timeout=0.02):
                if not message.error():
                    self.found += 1
                    self.next[message.partition()] = message.offset() + 1
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    open_ones.discard(message.partition())
        return self.found

    def begin(self):
        try:
            self.next = {number: 0 for number in self.kafka.partitions(self.topic)}
        except KafkaException:
            return False
        if self.next:
            self.consumer = self.kafka.consumer()
        return bool(self.next)
