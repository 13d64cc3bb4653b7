"""Kafka as an independent client sees it: confluent-kafka's admin, producer and consumer, never weir's own code.

The consumer reads with read_committed from the first record to the end, so it sees what any user's consumer sees: no record of an aborted
transaction, and none of one that is still open.
"""
import itertools
import os
import shutil
import tempfile
import time
from collections import namedtuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic

from support import kafka_server
from support.waiting import NEVER, eventually

Record = namedtuple("Record", "topic partition offset key value headers time")
names = itertools.count(1)


class Kafka(kafka_server.Broker):
    """A broker and a client of it. Its data lies in a temporary folder, gone with close()."""

    def __init__(self, version="4.1", **more):
        super().__init__(version, tempfile.mkdtemp(prefix="weir-kafka-"), **more)
        self.start()

    def close(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        """Serving is not enough for a client: the broker must be a member of its own cluster, and lead its partitions again."""
        super().start()
        eventually("Kafka %s has a leader for each partition" % self.version, self.is_led)
        return self

    def is_led(self):
        try:
            seen = self.admin().list_topics(timeout=5)
        except KafkaException:
            return False
        return len(seen.brokers) == 1 and all(part.leader >= 0 for topic in seen.topics.values() for part in topic.partitions.values())

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
        admin.create_topics([NewTopic(name, partitions, 1, config=config or {})], operation_timeout=30)[name].result()
        eventually("topic %s is there" % name, lambda: len(self.partitions(name)) == partitions)
        return name

    def configure_topic(self, name, config):
        """Changes settings of a topic; the others stay as they are by default."""
        admin = self.admin()
        (done,) = admin.alter_configs([ConfigResource(ConfigResource.Type.TOPIC, name, set_config=config)]).values()
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

    # Reading.

    def consumer(self, **more):
        return Consumer(self.settings_of(**dict({"group_id": "oracle", "enable_auto_commit": False, "isolation_level": "read_committed",
                                                 "auto_offset_reset": "earliest", "enable_partition_eof": True}, **more)))

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

    def count(self, topic):
        return len(self.read(topic))

    def counter(self, topic):
        return Counter(self, topic)

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


class Counter:
    """How many committed records a topic has, asked again and again: each time it goes on where it stood."""

    def __init__(self, kafka, topic):
        self.kafka, self.topic, self.found = kafka, topic, 0
        self.next, self.consumer = {}, None

    def count(self):
        """Up to what is committed now; a broker that is away for the moment adds nothing."""
        if self.consumer is None and not self.begin():
            return 0
        open_ones, end = set(self.next), time.monotonic() + 5
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
