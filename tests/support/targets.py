"""The targets as an independent client sees them: sqlite3 of Python, psycopg2 and confluent-kafka, never weir's own code."""
import datetime
import json
import os
import sqlite3

import psycopg2


def plain(value):
    """Values of both databases in one form: timestamps as weir writes them into SQLite."""
    if isinstance(value, datetime.datetime):
        utc = value.astimezone(datetime.timezone.utc)
        text = utc.strftime("%Y-%m-%dT%H:%M:%S")
        return text + (".%06d" % utc.microsecond).rstrip("0") * (utc.microsecond != 0) + "Z"
    return value


class SqliteTarget:
    kind = "sqlite"

    def __init__(self, path):
        self.path = str(path)
        self.url = "sqlite:" + self.path

    def query(self, sql, *arguments):
        connection = sqlite3.connect(self.path, timeout=60)
        try:
            rows = connection.execute(sql.replace("%s", "?"), arguments).fetchall()
            connection.commit()
            return [tuple(map(plain, row)) for row in rows]
        finally:
            connection.close()

    def tables(self):
        if not os.path.exists(self.path):
            return set()
        return {name for (name,) in self.query("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def empty(self):
        """As `rm` does it: the file and what belongs to it."""
        for suffix in ("", "-wal", "-shm", "-journal"):
            if os.path.exists(self.path + suffix):
                os.unlink(self.path + suffix)


class PostgresTarget:
    kind = "postgres"

    def __init__(self, server, database):
        self.server, self.database = server, database
        server.create_database(database)

    @property
    def url(self):
        return self.server.url(self.database)

    def query(self, sql, *arguments):
        connection = self.server.connect(self.database)
        try:
            cursor = connection.cursor()
            cursor.execute(sql, arguments or None)
            return [tuple(map(plain, row)) for row in cursor.fetchall()] if cursor.description else []
        finally:
            connection.close()

    def tables(self):
        return {name for (name,) in self.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}

    def empty(self):
        self.query("DROP SCHEMA public CASCADE")
        self.query("CREATE SCHEMA public")


class FileTarget:
    """Lines of JSON; dead letters lie in the state folder."""
    kind = "file"

    def __init__(self, path, state):
        self.path, self.state = str(path), str(state)

    def lines(self):
        """Whole lines only: what stands behind the last one is not committed yet."""
        if not os.path.exists(self.path):
            return []
        with open(self.path, "rb") as file:
            return [json.loads(line) for line in file.read().split(b"\n")[:-1]]

    def letters(self):
        store = SqliteTarget(os.path.join(self.state, "dead.db"))
        return store.query("SELECT count(*) FROM weir_dead")[0][0] if "weir_dead" in store.tables() else 0

    def empty(self):
        os.unlink(self.path)


class TopicTarget:
    """Two topics: the rows, and their dead letters. What was read stays true (only committed records are read), so the next look goes on
    behind it; `lines` begins anew, for an audit."""
    kind = "topic"

    def __init__(self, kafka, topic, letters_topic):
        self.kafka, self.topic, self.letters_topic = kafka, topic, letters_topic
        self.counters = {}

    def lines(self):
        """(partition of the topic, row) in the order of each partition."""
        return [(record.partition, json.loads(record.value)) for record in self.kafka.read(self.topic)]

    def count(self, topic):
        if topic not in self.counters:
            self.counters[topic] = self.kafka.counter(topic)
        return self.counters[topic].count()


def count(target, table):
    """Rows of a table; 0 where it does not exist yet."""
    if target.kind == "topic":
        return target.count(target.letters_topic if table == "weir_dead" else target.topic)
    if target.kind == "file":
        return target.letters() if table == "weir_dead" else len(target.lines())
    try:
        return target.query('SELECT count(*) FROM "%s"' % table)[0][0] if table in target.tables() else 0
    except (sqlite3.OperationalError, psycopg2.errors.UndefinedTable):
        return 0
