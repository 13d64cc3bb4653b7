"""Prints events the way EONET v3 prints them: tabs, trailing blanks, blank lines, two decimals on magnitudes, null for what is absent.

The API's own layout is odd, and a parser must not care; so the simulator keeps the oddities (a blank after `"type": ...,`, four blanks in
the middle of the tabs, a blank line before each closing bracket of a list). A value of class Raw is printed as it stands, so that a test can
put any spelling of a number, or any key, into an answer.
"""
import json


class Raw(str):
    """Text that goes into the answer untouched."""


def scalar(value):
    """One JSON value; whole floats lose their point, as the API writes coordinates (`13`, not `13.0`)."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, float) and value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)


def magnitude(value):
    """Magnitudes always carry two decimals, or are null."""
    if value is None or isinstance(value, Raw):
        return scalar(value)
    return "%.2f" % value


def coordinates(value):
    """Points and rings, with a blank inside each bracket."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, list):
        return "[ " + ", ".join(coordinates(part) for part in value) + " ]" if value else "[ ]"
    return scalar(value)


def objects(items, indent):
    """The inside of a list of objects: a blank line after each comma, another before the bracket."""
    return ",\n\n".join(indent + "{\n" + item + "\n" + "\t\t\t\t\t}" for item in items)


def category_text(category):
    return '\t\t\t\t\t"id": %s,\n\t\t\t\t\t"title": %s' % (scalar(category["id"]), scalar(category["title"]))


def source_text(source):
    return '\t\t\t\t\t"id": %s,\n\t\t\t\t\t"url": %s' % (scalar(source["id"]), scalar(source["url"]))


def geometry_text(geometry):
    lines = []
    if "magnitudeValue" in geometry:
        lines.append('\t\t\t\t\t\t\t"magnitudeValue": ' + magnitude(geometry["magnitudeValue"]))
        lines.append('\t\t\t\t\t"magnitudeUnit": ' + scalar(geometry["magnitudeUnit"]))
    if "date" in geometry:
        lines.append('\t\t\t\t\t"date": ' + scalar(geometry["date"]))
    lines.append('\t\t\t\t\t"type": ' + scalar(geometry["type"]))
    text = ",\n".join(lines)
    return text + ', \n\t\t\t\t\t\t\t"coordinates": ' + coordinates(geometry["coordinates"])


def event_text(event):
    """One event. Keys beyond the API's own eight are appended as they are: that is how a drifting API is played."""
    parts = [
        '\t\t\t"id": ' + scalar(event["id"]),
        '\t\t\t"title": ' + scalar(event["title"]),
        '            "description": ' + scalar(event["description"]),
        '\t\t\t"link": ' + scalar(event["link"]),
        '\t\t\t"closed": ' + scalar(event["closed"]),
        '\t\t\t\t"categories": [\n' + objects(map(category_text, event["categories"]), "\t\t\t\t\t") + "\n\n\t    \t\t\t\t]",
    ]
    if "sources" in event:
        parts.append('    \t\t\t"sources": [\n' + objects(map(source_text, event["sources"]), "\t\t\t\t\t") + "\n\n\t\t\t\t\t\t\n\t\t\t]")
    parts.append('\t\t\t\t\t"geometry": [\n' + objects(map(geometry_text, event["geometry"]), "\t\t\t\t\t") + "\n\n\t\t\t\t\t\t\n\t\t\t]")
    known = {"id", "title", "description", "link", "closed", "categories", "sources", "geometry"}
    parts += ["\t\t\t%s: %s" % (scalar(key), scalar(value)) for key, value in event.items() if key not in known]
    return "\t\t{\n" + ",\n".join(parts) + "\n\t\t}"


def document_head():
    return ('{\n\t"title": "EONET Events",\n\t"description": "Natural events from EONET.",\n'
            '\t"link": "https://eonet.example/api/v3/events",\n\t"events": [\n')


def document_tail():
    return "\n\n\t]\n}"


def document(events):
    """The whole answer to /events."""
    return document_head() + ",\n\n".join(map(event_text, events)) + document_tail()


def categories_document(categories):
    """The whole answer to /categories; each category is (id, title, description)."""
    link = "https://eonet.example/api/v3/"
    items = ",\n".join('\t\t{\n\t\t\t"id": %s,\n\t\t\t"title": %s,\n\t\t\t"link": %s,\n\t\t\t"description": %s,\n\t\t\t"layers": %s\n\t\t}' % (
        scalar(name), scalar(title), scalar(link + "categories/" + name), scalar(text), scalar(link + "layers/" + name))
        for name, title, text in categories)
    return ('{\n\t"title": "EONET Event Categories",\n\t"description": "List of the event categories.",\n\t"link": %s,\n'
            '\t"categories": [\n%s\n\t]\n}\n' % (scalar(link + "categories"), items))
