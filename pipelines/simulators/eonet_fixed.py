"""The tricky cases: a fixed list of events, each of which has broken some reader of this API or could.

What a correct pipeline makes of each is written beside it by hand in eonet_expected.json, so that a test compares value for value.
Keep the two in step: one event here, its rows and dead letters there.
"""
from eonet_shape import Raw

LINK = "https://eonet.example/api/v3/events/"


def event(number, title, geometry, closed=None, category=("wildfires", "Wildfires"), sources=("IRWIN",), description=None, **more):
    name = "EONET_%d" % number
    made = {
        "id": name, "title": title, "description": description, "link": LINK + name, "closed": closed,
        "categories": [{"id": category[0], "title": category[1]}] if category else [],
        "sources": [{"id": source, "url": "https://%s.example/%d" % (source.lower(), number)} for source in sources],
        "geometry": geometry,
    }
    made.update(more)
    return made


def at(date, lon, lat, magnitude=None, unit=None, kind="Point"):
    return {"magnitudeValue": magnitude, "magnitudeUnit": unit, "date": date, "type": kind, "coordinates": [lon, lat]}


def shape(date, kind, coordinates, magnitude=None, unit=None):
    return {"magnitudeValue": magnitude, "magnitudeUnit": unit, "date": date, "type": kind, "coordinates": coordinates}


def ring(*corners):
    return [list(corner) for corner in corners]


def without_sources(made):
    del made["sources"]
    return made


def fixed_events():
    return [
        event(101, "Plain Fire", [at("2026-11-01T13:30:00Z", -96.7877778, 28.1233333, 500.0, "acres")]),
        event(102, "Smith &amp; Sons &#039;North&#x27; Fire, C&ocirc;te d&#039;Or &lt;RX&gt; &quot;A&quot;",
              [at("2026-11-01T00:00:00Z", 4.5, 47.25)]),
        event(103, "AT&T Tower &bogus; Fire &amp;lt;not a tag&amp;gt; & more;", [at("2026-11-01T00:00:00Z", 1, 2)]),
        event(104, "Centre of a triangle",
              [shape("2026-11-02T00:00:00Z", "Polygon", [ring((-10, 0), (10, 0), (10, 20), (-10, 0))])],
              category=("floods", "Floods"), sources=("GDACS",)),
        event(105, "Lake with an island",
              [shape("2026-11-02T00:00:00Z", "Polygon",
                     [ring((0, 0), (8, 0), (8, 4), (0, 4), (0, 0)), ring((1, 1), (2, 1), (2, 2), (1, 1))])],
              category=("floods", "Floods"), sources=("ReliefWeb",)),
        event(106, "First source wins", [at("2026-11-01T00:00:00Z", 5, 6)], sources=("NASA_DISP", "EO", "GDACS")),
        event(107, "Nobody's report", [at("2026-11-01T00:00:00Z", 7, 8)], sources=()),
        event(108, "One geometry without a date",
              [at("2026-11-01T00:00:00Z", 10, 10), at(None, 11, 11, 5.0, "acres"), at("2026-11-02T00:00:00Z", 12, 12)]),
        event(109, "At the edges and beyond",
              [at("2026-11-01T00:00:00Z", 180, -90), at("2026-11-02T00:00:00Z", 180.5, 0), at("2026-11-03T00:00:00Z", 0, -90.01),
               at("2026-11-04T00:00:00Z", -180, 90)]),
        event(110, "Closed one", [at("2026-10-20T06:00:00Z", -20.5, 30)], closed="2026-10-28T00:00:00Z"),
        event(111, "No geometry at all", []),
        event(112, "Same instant twice",
              [at("2026-11-01T00:00:00Z", 1, 1, 30.0, "kts"), at("2026-11-01T00:00:00Z", 2, 2, 35.0, "kts")],
              category=("severeStorms", "Severe Storms"), sources=("JTWC",)),
        event(113, "Magnitudes",
              [at("2026-11-01T00:00:00Z", 0, 0, 0.0, "acres"), at("2026-11-02T00:00:00Z", 0, 0, -1.5, "acres"),
               at("2026-11-03T00:00:00Z", 0, 0, 12345678.9, "NM^2"), at("2026-11-04T00:00:00Z", 0, 0, Raw("40"), "kts"),
               at("2026-11-05T00:00:00Z", 0, 0, Raw("1.5e3"), "acres"), at("2026-11-06T00:00:00Z", 0, 0, 7.25, None)]),
        event(114, "", [at("2026-11-01T00:00:00Z", 3, 3)]),
        event(115, Raw(r'"quote \" back\\slash tab\t line\n slash \/ fire \ud83d\udd25 raw ' + 'Göksu 火山"'),
              [at("2026-11-01T00:00:00Z", 3, 4)]),
        event(116, "A new field in the API", [at("2026-11-01T00:00:00Z", 3, 5)], magnitudeDescription={"text": ["deep", {"er": 1}]}),
        without_sources(event(117, "Keys left out", [
            {"date": "2026-11-01T00:00:00Z", "type": "Point", "coordinates": [3, 6]}], category=None)),
        event(118, "A date with an offset", [at("2026-11-03T01:30:00+01:30", 3, 7)]),
        event(119, "A date that is none", [at("yesterday", 3, 8), at("2026-11-01T00:00:00Z", 3, 9)]),
        event(120, "A kind of geometry not known here",
              [shape("2026-11-01T00:00:00Z", "LineString", [[1, 1], [2, 2]]), at("2026-11-02T00:00:00Z", 3, 10)]),
        event(121, "A point with a height", [shape("2026-11-01T00:00:00Z", "Point", [3, 11, 812.5])]),
        event(122, "A point that is nowhere", [shape("2026-11-01T00:00:00Z", "Point", [])]),
        event(123, "Long " + "x" * 20000, [at("2026-11-01T00:00:00Z", 3, 12)]),
        event(124, "Fine coordinates", [at("2026-11-01T00:00:00Z", 1e-7, -0.1 - 0.2)]),
    ]
