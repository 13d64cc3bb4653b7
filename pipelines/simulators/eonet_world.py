"""A world of made-up natural events that open, move, grow and close, the same at every run with the same seed.

An event is a pure function of (seed, number, time): nothing is remembered, so two servers with the same seed and clock give the same answer,
and a test can compute the answer of any moment. Times are seconds since 1970, UTC.

Event number i opens OPEN_GAP seconds after number i - 1; numbers below `count` are open already when the world begins. Names are invented.
"""
import random
import time

OPEN_GAP = 3 * 3600
DAY = 86400
BEGIN = 1793491200  # 2026-11-01T00:00:00Z: the moment at which the clock of a world starts

# id, title, share of all events in per cent, sources
KINDS = [
    ("wildfires", "Wildfires", 62, ["IRWIN", "GDACS", "EO"]),
    ("severeStorms", "Severe Storms", 10, ["JTWC", "NOAA_NHC"]),
    ("seaLakeIce", "Sea and Lake Ice", 8, ["NATICE", "BYU_ICE"]),
    ("volcanoes", "Volcanoes", 8, ["SIVolcano"]),
    ("floods", "Floods", 8, ["GDACS", "ReliefWeb"]),
    ("dustHaze", "Dust and Haze", 4, ["EO"]),
]
# What /categories says of each.
DESCRIPTIONS = {
    "wildfires": "Fires in forest, brush or grassland, whoever lit them.",
    "severeStorms": "Storms of wind and rain: hurricanes, cyclones, tornadoes.",
    "seaLakeIce": "Ice on seas & lakes: sheets, floes and bergs that drift.",
    "volcanoes": "Craters that erupt, and the plumes that they make.",
    "floods": "Water where it should not be -- rivers over their banks, lakes over their shores.",
    "dustHaze": "Dust, sand and other fine matter in the air, but no smoke of volcanoes.",
}
PLACES = ["Alder Creek", "Bär&#228;ntal", "Cedar &amp; Pine Ridge", "D&#039;Orval", "Elm Hollow", "Fjord\u00a0Nord", "Göksu", "Hart&#039;s Mill",
          "Isla Verde", "Juniper Flats", "Kalvø", "Long Meadow", "Mirador", "Nahla Valley", "Ørsted Point", "Pico Alto", "Quarry Bend",
          "Río Seco", "Sandhills 1 &amp; 2", "Tall Timber", "Umber Lake", "Vall d&#039;Or", "Willow Bottom", "Zephyr Pass"]
STORMS = ["Alma", "Bosun", "Cirro", "Dovrak", "Elmira", "Fenwick", "Galia", "Hespera", "Ilario", "Jonquil", "Kestrel", "Lumen", "Marisol"]


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def midnight(seconds):
    """The API gives `closed` as a midnight."""
    return seconds - seconds % DAY


def point(lon, lat, when, magnitude=None, unit=None):
    return {"magnitudeValue": magnitude, "magnitudeUnit": unit, "date": stamp(when), "type": "Point",
            "coordinates": [round(lon, 7), round(lat, 7)]}


def polygon(lon, lat, size, when):
    """An uneven ring, closed by its first corner: the mean of its corners is not the centre of its bounding box."""
    corners = [(-1, -0.5), (0.2, -1), (1, 0.1), (0.9, 1), (-0.3, 0.6)]
    ring = [[round(lon + x * size, 4), round(lat + y * size / 2, 4)] for x, y in corners]
    return {"magnitudeValue": None, "magnitudeUnit": None, "date": stamp(when), "type": "Polygon", "coordinates": [ring + [ring[0]]]}


def categories():
    """What /categories lists: (id, title, description)."""
    return [(kind[0], kind[1], DESCRIPTIONS[kind[0]]) for kind in KINDS]


class World:
    def __init__(self, seed=1, count=300, dirty=4, begin=BEGIN):
        """`dirty`: how many events of a thousand carry a geometry that is not fit to be stored."""
        self.seed, self.count, self.dirty, self.begin = seed, count, dirty, begin

    def opens(self, number):
        return self.begin + (number - self.count + 1) * OPEN_GAP

    def last_number(self, now):
        return self.count - 1 + max(0, int(now - self.begin)) // OPEN_GAP

    def events(self, now):
        """Every event that has opened by `now`, newest first."""
        return [self.event(number, now) for number in range(self.last_number(now), -1, -1)]

    def event(self, number, now):
        dice = random.Random("%d/%d" % (self.seed, number))
        opened = self.opens(number)
        life = dice.uniform(0.1, 1.9) * self.count * OPEN_GAP
        closes = midnight(int(opened + life)) + DAY
        until = min(int(now), closes)
        kind = dice.choices(KINDS, weights=[kind[2] for kind in KINDS])[0]
        name = "EONET_%d" % (20000 + number)
        event = {
            "id": name, "title": None, "description": None if dice.random() < 0.8 else "%d miles E of the old mill" % dice.randint(1, 40),
            "link": "https://eonet.example/api/v3/events/" + name,
            "closed": stamp(closes) if now >= closes else None,
            "categories": [{"id": kind[0], "title": kind[1]}],
            "sources": self.sources(dice, kind, number), "geometry": [],
        }
        getattr(self, "grow_" + kind[0])(event, dice, opened, until)
        if dice.randint(1, 1000) <= self.dirty:
            self.spoil(event, dice)
        return event

    @staticmethod
    def sources(dice, kind, number):
        how_many = dice.choices([0, 1, 2, 3], weights=[2, 90, 6, 2])[0]
        return [{"id": name, "url": "https://%s.example/%d" % (name.lower().replace("_", "-"), number)}
                for name in dice.sample(kind[3], min(how_many, len(kind[3])))]

    @staticmethod
    def spoil(event, dice):
        """One geometry more than the event should have: without a date, or off the globe."""
        bad = dict(event["geometry"][-1], type="Point", coordinates=[10, 10])
        if dice.random() < 0.5:
            bad["date"] = None
        else:
            bad["coordinates"] = [dice.choice([200.5, -190.25]), 10]
            bad["date"] = bad["date"].replace(":00Z", ":59Z")
        event["geometry"].insert(dice.randint(0, len(event["geometry"])), bad)

    @staticmethod
    def land(dice):
        return dice.uniform(-170, 170), dice.uniform(-55, 70)

    def grow_wildfires(self, event, dice, opened, until):
        """One point; most have no size, the others grow by the day until they are contained."""
        lon, lat = self.land(dice)
        event["title"] = "%s Wildfire, %s" % (dice.choice(PLACES), dice.choice(["Norland", "Soutra", "Westmark"]))
        first, rate, contained = dice.uniform(50, 900), dice.uniform(1.02, 1.4), dice.randint(2, 15)
        size = None
        if dice.random() < 0.3:
            size = first * rate ** min((until - opened) // DAY, contained)
        event["geometry"].append(point(lon, lat, opened - opened % 60, size, None if size is None else "acres"))

    def grow_severeStorms(self, event, dice, opened, until):
        """A point every six hours along a bent track; from 64 knots on the storm is called a hurricane."""
        lon, lat = dice.uniform(-80, 160), dice.uniform(5, 20)
        name = dice.choice(STORMS)
        peak, points, bend = dice.randint(40, 140), dice.randint(8, 60), dice.uniform(-0.4, 0.4)
        strongest = 0
        for step in range(min(points, (until - opened) // (6 * 3600) + 1)):
            knots = round(30 + (peak - 30) * min(1, step / 10) - max(0, step - 30) * 2)
            knots = max(20, knots - knots % 5)
            strongest = max(strongest, knots)
            event["geometry"].append(point(lon - step * 0.9, lat + step * (0.5 + bend), opened + step * 6 * 3600, knots, "kts"))
        event["title"] = ("Hurricane " if strongest >= 64 else "Tropical Storm ") + name

    def grow_seaLakeIce(self, event, dice, opened, until):
        """An iceberg seen once a week, losing area."""
        lon, lat = dice.uniform(-170, 170), dice.uniform(-75, -60)
        event["title"] = "Iceberg %s%d" % (dice.choice("ABCD"), dice.randint(10, 99))
        area = dice.uniform(20, 2000)
        for week in range(min(50, (until - opened) // (7 * DAY) + 1)):
            event["geometry"].append(point(lon + week * 0.15, lat, opened + week * 7 * DAY, area * 0.97 ** week, "NM^2"))

    def grow_volcanoes(self, event, dice, opened, until):
        lon, lat = self.land(dice)
        event["title"] = "Mount %s Volcano,\u00a0%s" % (dice.choice(PLACES), dice.choice(["Norland", "Soutra"]))
        event["geometry"].append(point(lon, lat, midnight(opened)))

    def grow_floods(self, event, dice, opened, until):
        """A polygon every two days, wider each time."""
        lon, lat = self.land(dice)
        event["title"] = "Flooding near %s" % dice.choice(PLACES)
        for step in range(min(12, (until - opened) // (2 * DAY) + 1)):
            event["geometry"].append(polygon(lon, lat, 0.5 + 0.1 * step, opened + step * 2 * DAY))

    def grow_dustHaze(self, event, dice, opened, until):
        lon, lat = self.land(dice)
        event["title"] = "Dust over %s" % dice.choice(PLACES)
        event["geometry"].append(polygon(lon, lat, 4.0, opened))
