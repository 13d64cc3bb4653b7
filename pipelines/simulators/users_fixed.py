"""The tricky cases: a fixed list of users, each of which could break a reader of this API.

What a correct pipeline makes of each is written beside it by hand in users_expected.json, so that a test compares value for value.
Keep the two in step: one user here, one row or one dead letter there.
"""


def user(number, street=None, **changes):
    """A plain user of 1.4 with `changes`; LEFT_OUT takes a part away. A part of a part is named with two underscores."""
    made = {
        "gender": "female", "name": {"title": "Ms", "first": "Ada%d" % number, "last": "Birk"},
        "location": {"street": {"number": number, "name": "Elm Row"} if street is None else street, "city": "Fernley", "state": "Moor",
                     "country": "Norway", "postcode": 12345, "coordinates": {"latitude": "1.5000", "longitude": "-2.5000"},
                     "timezone": {"offset": "+1:00", "description": "Somewhere"}},
        "email": "ada.%d@example.com" % number,
        "login": {"uuid": "00000000-0000-4000-8000-%012d" % number, "username": "ada%d" % number, "password": "p", "salt": "s", "md5": "m",
                  "sha1": "a", "sha256": "b"},
        "dob": {"date": "1980-02-29T23:59:59.125Z", "age": 46}, "registered": {"date": "2010-07-01T00:00:00Z", "age": 16},
        "phone": "0%d" % number, "cell": "1", "id": {"name": "", "value": None},
        "picture": {"large": "https://users.example/l.jpg", "medium": "https://users.example/m%d.jpg" % number,
                    "thumbnail": "https://users.example/t.jpg"},
        "nat": "NO",
    }
    for path, value in changes.items():
        words = path.split("__")
        inside = made
        for word in words[:-1]:
            inside = inside[word]
        if value is LEFT_OUT:
            del inside[words[-1]]
        else:
            inside[words[-1]] = value
    return made


LEFT_OUT = object()


def fixed_users():
    return [
        user(1),
        user(2, street="2 old mill road"),  # 1.2: one text, no country
        user(3, location__country=LEFT_OUT, location__postcode="0131"),
        user(4, location__street=LEFT_OUT, location__state=None),
        user(5, location=LEFT_OUT),
        user(6, street={"number": None, "name": "Only A Name"}, location__city=""),
        user(7, street={"number": 77}, location__postcode="SW1A 1AA"),
        user(8, street={}, location__postcode=None),
        user(9, street={"number": "9b", "name": "Calle de l'Om, 2ª"}, location__city="São \"Quote\", Vila"),
        user(10, name__first="नूर", name__last="O'Neill-ß", phone=LEFT_OUT, picture=LEFT_OUT),
        user(11, dob=LEFT_OUT, registered__date=None),
        user(12, dob__date="1980-03-01 04:05:06", registered__date="2011-12-13T14:15:16+02:00"),
        user(13, gender=None, login__username=LEFT_OUT, location__postcode=1234567890123),
        user(14, extra={"new": ["field"]}, nat="ZZ"),
        user(15, email="first.last+tag@sub.example.co.uk"),
        user(21, email="no.domain"),
        user(22, email="no.domain@"),
        user(23, email="dotless@host"),
        user(24, email=None),
        user(25, email="two@@example.com"),
        user(26, email="a blank@example.com"),
        user(27, email=LEFT_OUT),
        user(31, dob__date="1980-13-01T00:00:00Z"),
        user(32, dob__date="soon"),
        user(33, registered__date=""),
        user(41, name__first=LEFT_OUT),
        user(42, name__last=""),
        user(43, name=LEFT_OUT),
        user(44, name__first="  "),
        user(45, login__uuid=None),
    ]
