"""The ledger that weir cannot see: what was put in, so what must come out, and a count of the target by an independent client.

A table in PostgreSQL has no order; where order is looked at the table is made beforehand, with a column `seq` that the server counts up.

Each input carries its partition and a number, and says itself how many rows it must give: none, one or several. A few are broken lines (the
source must put them aside), a few hold one item that fails a check (the stage must put that row aside and keep the others).
"""
import json
import random
from collections import Counter

from support import targets


class Partition:
    """One file of inputs, growing. A pure function of (seed, name, number): whoever knows those can tell what each input gives."""

    def __init__(self, name, seed):
        self.name, self.seed, self.written = name, seed, 0
        self.lines = self.broken = self.filtered = self.bad_rows = 0
        self.rows = set()

    def next_line(self):
        self.written += 1
        n = self.written
        dice = random.Random("%d/%s/%d" % (self.seed, self.name, n))
        self.lines += 1
        if dice.random() < 0.002:
            self.broken += 1
            return '{"part": "%s", "n": %d, "items": [1,\n' % (self.name, n)
        count = dice.choices([0, 1, 2, 3, 7], weights=[15, 60, 12, 8, 5])[0]
        keep = dice.random() >= 0.05
        items = [n * 10 + index for index in range(count)]
        bad = keep and count > 1 and dice.random() < 0.02
        if bad:
            items[dice.randrange(count)] = -n
            self.bad_rows += 1
        if keep and items:
            self.rows.update((self.name, n, item) for item in items if item >= 0)
        else:
            self.filtered += 1
        return json.dumps({"part": self.name, "n": n, "keep": keep, "items": items, "text": "é%d " % n + "x" * dice.randint(0, 120)}) + "\n"


class Ledger:
    def __init__(self, seed, names=("a", "b")):
        self.partitions = [Partition(name, seed) for name in names]

    def lines(self, how_many):
        """The next inputs, dealt out in turn: (partition name, line)."""
        for index in range(how_many):
            partition = self.partitions[index % len(self.partitions)]
            yield partition.name, partition.next_line()

    def total(self, name):
        return sum(getattr(partition, name) for partition in self.partitions)

    @property
    def rows(self):
        return sum(len(partition.rows) for partition in self.partitions)

    @property
    def dead(self):
        return self.total("broken") + self.total("bad_rows")

    def expected_account(self):
        """What the nodes must have counted when nothing but workers died: exact, whatever was killed."""
        good = self.total("lines") - self.total("broken")
        return {
            "lines": {"out": good, "dead": self.total("broken")},
            "cleaned": {"in": good, "out": self.rows, "filtered": self.total("filtered"), "dead": self.total("bad_rows")},
            "rows": {"in": self.rows, "out": self.rows, "dead": 0},
        }

    def audit(self, target, table="rows_out"):
        """Counts the target. Everything but `rows` and `dead` must be 0."""
        found = Counter()
        identities = Counter()
        reordered = 0
        last = {}
        for place, part, n, item, identity in rows_of(target, table):
            found[(part, n, item)] += 1
            identities[identity] += 1
            if n < last.get((place, part), 0):
                reordered += 1
            last[place, part] = n
        expected = set().union(*(partition.rows for partition in self.partitions))
        letters = targets.count(target, "weir_dead")
        return {
            "rows": sum(found.values()), "dead": letters,
            "lost": len(expected - found.keys()), "doubled": sum(times - 1 for times in found.values()),
            "phantom": len(found.keys() - expected), "reordered": reordered,
            "identities_repeated": sum(times - 1 for times in identities.values()),
            "dead_lost": max(0, self.dead - letters), "dead_doubled": max(0, letters - self.dead),
        }


def rows_of(target, table):
    """(where it has an order of its own, part, number, item, identity), in the order in which they were stored."""
    if target.kind == "file":
        return [(0, row["part"], row["n"], row["item"], row["id"]) for row in target.lines()]
    if target.kind == "topic":
        return [(place, row["part"], row["n"], row["item"], row["id"]) for place, row in target.lines()]
    if target.kind == "sqlite":
        return target.query('SELECT 0, part, n, item, id FROM "%s" ORDER BY rowid' % table)
    ordered = target.query("SELECT 1 FROM information_schema.columns WHERE table_name = %s AND column_name = 'seq'", table)
    # Where weir itself made the table, each row counts as a place of its own.
    return target.query('SELECT %s, part, n, item, id FROM "%s" %s' % (("0", table, "ORDER BY seq") if ordered else ("ctid", table, "")))


def faults_of(audit):
    return {name: value for name, value in audit.items() if name not in ("rows", "dead") and value != 0}
