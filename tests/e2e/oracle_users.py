"""What pipelines/users.yaml must produce, computed from the answers alone with Python's json and datetime modules.

Shares no code with weir or the simulator. It follows the description of the pipeline in words: one row for each person; an e-mail has a domain,
dates parse, names are there, or the person is a dead letter; the address is street, city, state, country with absent parts left out.
"""
import datetime
import json
import re

COLUMNS = ["id", "first_name", "last_name", "gender", "address", "post_code", "email", "username", "dob", "registered_date", "phone", "picture",
           "date_added"]
DOMAIN = re.compile(r"[^@ ]+@[^@ ]+\.[^@ ]+")


class Dead(Exception):
    pass


def part(record, *names):
    for name in names:
        record = record.get(name) if isinstance(record, dict) else None
    return record


def instant(text, column):
    """UTC in one form, whatever the fraction and the zone; None for an absent one."""
    if text is None:
        return None
    try:
        moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise Dead(column) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return moment.astimezone(datetime.timezone.utc).isoformat()


def street(value):
    if not isinstance(value, dict):
        return value
    return " ".join(str(value[name]) for name in ("number", "name") if value.get(name) is not None)


def row_of(user):
    """The row of a person without date_added. Raises Dead with the column or check that fails."""
    place = part(user, "location")
    for column, value in (("id", part(user, "login", "uuid")), ("first_name", part(user, "name", "first")),
                          ("last_name", part(user, "name", "last")), ("email", part(user, "email"))):
        if value is None:
            raise Dead(column)
    born, joined = instant(part(user, "dob", "date"), "dob"), instant(part(user, "registered", "date"), "registered_date")
    if not user["name"]["first"].strip() or not user["name"]["last"].strip():
        raise Dead("names_are_there")
    if not DOMAIN.fullmatch(user["email"]):
        raise Dead("email_has_a_domain")
    parts = [street(part(place, "street")), part(place, "city"), part(place, "state"), part(place, "country")]
    code = part(place, "postcode")
    return (user["login"]["uuid"], user["name"]["first"], user["name"]["last"], part(user, "gender"),
            ", ".join(one for one in parts if one) or None, None if code is None else str(code), user["email"], part(user, "login", "username"),
            born, joined, part(user, "phone"), part(user, "picture", "medium"))


class Expectation:
    def __init__(self):
        self.rows, self.dead = {}, []

    def answer(self, text):
        for user in json.loads(text)["results"]:
            try:
                row = row_of(user)
                self.rows[row[0]] = row
            except Dead as why:
                self.dead.append((part(user, "login", "uuid"), str(why)))
        return self

    def table(self):
        return sorted(self.rows.values())


def read_table(target, table="created_users"):
    """The table without date_added, by an independent client, with instants in the oracle's form."""
    names = ", ".join('"%s"' % name for name in COLUMNS[:-1])
    rows = [list(row) for row in target.query('SELECT %s FROM "%s"' % (names, table))]
    for row in rows:
        for at in (COLUMNS.index("dob"), COLUMNS.index("registered_date")):
            row[at] = instant(row[at], COLUMNS[at])
    return sorted(map(tuple, rows))
