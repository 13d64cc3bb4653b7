"""What pipelines/eonet.yaml must produce, computed from the answers alone with Python's json and html modules.

Shares no code with weir or the simulator. It follows the description of the pipeline in words: one row for each (event, geometry), the last of two
with one (id, observed_at) wins, a geometry without date or off the globe is a dead letter.
"""
import datetime
import html
import json

COLUMNS = ["id", "title", "category", "category_title", "source", "link", "closed", "observed_at", "geometry_type", "lon", "lat",
           "magnitude", "magnitude_unit"]


def instant(text):
    """UTC text as it stands in SQLite; None where the text is no date-time."""
    if text is None:
        return None
    try:
        moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def place(geometry):
    """(lon, lat): of a polygon the middle of the box around its outer ring; None where there is none."""
    corners = geometry["coordinates"]
    if geometry["type"] == "Point":
        return (float(corners[0]), float(corners[1])) if len(corners) >= 2 else None
    if geometry["type"] != "Polygon":
        return None
    xs, ys = [corner[0] for corner in corners[0]], [corner[1] for corner in corners[0]]
    return (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2


def number(value):
    return None if value is None else float(value)


def row_of(event, geometry):
    """One row, or the reason why there is none."""
    observed, where = instant(geometry.get("date")), place(geometry)
    if observed is None:
        return None, "observed_at"
    if where is None:
        return None, "lon"
    if abs(where[0]) > 180 or abs(where[1]) > 90:
        return None, "on_the_globe"
    category = (event.get("categories") or [{}])[0]
    source = (event.get("sources") or [{}])[0]
    return (event["id"], html.unescape(event["title"]), category.get("id"), category.get("title"), source.get("id"), event["link"],
            instant(event["closed"]), observed, geometry["type"], where[0], where[1], number(geometry.get("magnitudeValue")),
            geometry.get("magnitudeUnit")), None


class Expectation:
    def __init__(self):
        self.rows, self.dead, self.superseded, self.geometries = {}, [], 0, 0

    def answer(self, text):
        """One document of the API on top of those before it."""
        for event in json.loads(text)["events"]:
            for geometry in event["geometry"]:
                self.geometries += 1
                row, reason = row_of(event, geometry)
                if reason:
                    self.dead.append((event["id"], reason))
                    continue
                key = (row[0], row[7])
                self.superseded += key in self.rows
                self.rows[key] = row
        return self

    def table(self):
        return sorted(self.rows.values(), key=lambda row: (row[0], row[7]))


def read_table(target, table="events"):
    """The table as it is, in the same order and form, by an independent client."""
    names = ", ".join('"%s"' % name for name in COLUMNS)
    return sorted(target.query('SELECT %s FROM "%s"' % (names, table)), key=lambda row: (row[0], row[7]))


def column_names(target, table="events"):
    if target.kind == "sqlite":
        return [name for (name,) in target.query("SELECT name FROM pragma_table_info(%s) ORDER BY cid", table)]
    return [name for (name,) in target.query("SELECT column_name FROM information_schema.columns WHERE table_name = %s ORDER BY "
                                             "ordinal_position", table)]
