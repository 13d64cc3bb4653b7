"""Made-up users in the shapes of randomuser.me 1.2, 1.3 and 1.4, the same at every run with the same seed.

A user is a pure function of (seed, number, version). The versions differ as the API's own do: 1.2 has everything in small letters, `street`
as one text, no country and times to the second; from 1.3 on `street` is an object, and there is a country. The post code is a number in most
countries and a text in some. No name, street or town is taken from the API.
"""
import hashlib
import random
import uuid

VERSIONS = ("1.2", "1.3", "1.4")
MOST = 5000  # users of one answer

# nat: country, names of women, names of men, family names, streets, towns, states, post code, telephone, name of the national number
NATIONS = {
    "AU": ("Australia", ["Ivy", "Tahlia"], ["Darcy", "Lachie"], ["Wattle", "Burnside"], ["Banksia Ave", "Gum Track"], ["Coorabel", "Mt Tinder"],
           ["Victoria", "Tasmania"], "number", "0#-####-####", "TFN"),
    "DE": ("Germany", ["Gesa", "Frauke"], ["Jörn", "Götz"], ["Großkopf", "Bäumler"], ["Mühlgasse", "Am Weiher"], ["Oberquell", "Süderloh"],
           ["Hessen", "Thüringen"], "number", "0###-#######", "SVNR"),
    "ES": ("Spain", ["Itziar", "Begoña"], ["Íñigo", "Unai"], ["Ibáñez de la Peña", "Zubizarreta"], ["Calle de l'Om", "Paseo del Río"],
           ["Vallseca", "Peñaclara"], ["Aragón", "Islas Baleares"], "number", "9##-###-###", "DNI"),
    "GB": ("United Kingdom", ["Maeve", "Olwen"], ["Alasdair", "Wilf"], ["O'Keeffe", "Smith-Barrow"], ["The Green", "Mill Lane"],
           ["Nether Wallop", "St Brannock"], ["Borders", "Powys"], "letters", "01### ######", "NINO"),
    "IR": ("Iran", ["نازنین", "پرنیا"], ["آرمین", "بردیا"], ["کاشانی", "نیکزاد"], ["خیابان گل", "کوچه بهار"], ["سپیددشت", "گلریز"],
           ["فارس", "گیلان"], "number", "0##-########", ""),
    "NL": ("Netherlands", ["Femke", "Jip"], ["Sjoerd", "Ruben"], ["van 't Veer", "de Wit"], ["Lange Dreef", "Zeesteeg"], ["Oostermeer", "Dijkzicht"],
           ["Zeeland", "Drenthe"], "mixed", "(###)-###-####", "BSN"),
    "NO": ("Norway", ["Åshild", "Ragna"], ["Øyvind", "Sæmund"], ["Bjørnøy", "Strand"], ["Fjellveien", "Bakken"], ["Lillevik", "Ås"],
           ["Troms", "Nordland"], "zeros", "########", "FN"),
    "US": ("United States", ["June", "Dolores"], ["Wade", "Emmett"], ["Harkins", "Tull"], ["Cider Mill Rd", "E 4th St"], ["Pine Hollow", "Cutler"],
           ["Ohio", "New Mexico"], "number", "(###) ###-####", "SSN"),
}
BY_VERSION = {"1.2": ["AU", "DE", "ES", "GB", "NL", "NO", "US"], "1.3": list(NATIONS), "1.4": list(NATIONS)}
DIRT = ("email_without_domain", "no_email", "dob_is_no_date", "registered_is_no_date", "no_first_name", "empty_last_name", "no_name")


def digits(dice, pattern):
    return "".join(dice.choice("0123456789") if sign == "#" else sign for sign in pattern)


def postcode(dice, kind):
    if kind == "number":
        return dice.randint(10000, 99999)
    if kind == "zeros":
        return "0%03d" % dice.randint(0, 999)  # a text, and its zero belongs to it
    letters = [dice.choice("ABCDEFGHJKLMNPRSTUVWXYZ") for _ in range(5)]
    if kind == "letters":
        return "%s%s%d %d%s%s" % (letters[0], letters[1], dice.randint(1, 99), dice.randint(1, 9), letters[2], letters[3])
    return dice.choice([dice.randint(1000, 9999), "%d %s%s" % (dice.randint(1000, 9999), letters[0], letters[1])])


def moment(dice, first, last, version):
    text = "%04d-%02d-%02dT%02d:%02d:%02d" % (dice.randint(first, last), dice.randint(1, 12), dice.randint(1, 28), dice.randint(0, 23),
                                              dice.randint(0, 59), dice.randint(0, 59))
    return text + ("Z" if version == "1.2" else ".%03dZ" % dice.randint(0, 999))


def login(dice, number):
    word = dice.choice(["silver", "quiet", "bold", "tiny"]) + dice.choice(["heron", "otter", "lynx", "newt"]) + str(dice.randint(100, 999))
    secret = "%08x" % dice.getrandbits(32)
    salt = "%08x" % dice.getrandbits(32)
    made = {"uuid": str(uuid.UUID(int=dice.getrandbits(128), version=4)), "username": word, "password": secret, "salt": salt}
    for name in ("md5", "sha1", "sha256"):
        made[name] = hashlib.new(name, (secret + salt).encode()).hexdigest()
    return made


def location(dice, nation, version):
    country, streets, towns, states, code = nation[0], nation[4], nation[5], nation[6], nation[7]
    number, name = dice.randint(1, 9999), dice.choice(streets)
    place = {"street": "%d %s" % (number, name.lower()) if version == "1.2" else {"number": number, "name": name},
             "city": dice.choice(towns), "state": dice.choice(states)}
    if version == "1.2":
        place["city"], place["state"] = place["city"].lower(), place["state"].lower()
    else:
        place["country"] = country
    place["postcode"] = postcode(dice, code)
    place["coordinates"] = {"latitude": "%.4f" % dice.uniform(-90, 90), "longitude": "%.4f" % dice.uniform(-180, 180)}
    place["timezone"] = {"offset": "%+d:00" % dice.randint(-11, 11), "description": "Somewhere, Elsewhere"}
    return place


def user(seed, number, version="1.4", nations=None, gender=None):
    dice = random.Random("%s/%d/%s" % (seed, number, version))
    nat = dice.choice(nations or BY_VERSION[version])
    nation = NATIONS[nat]
    gender = gender or dice.choice(["female", "male"])
    name = {"title": dice.choice(["Ms", "Mrs", "Miss"] if gender == "female" else ["Mr"]),
            "first": dice.choice(nation[1] if gender == "female" else nation[2]), "last": dice.choice(nation[3])}
    if version == "1.2":
        name = {key: value.lower() for key, value in name.items()}
    where = location(dice, nation, version)
    portrait = "https://users.example/api/portraits/%s%s/%d.jpg"
    kind, picture = "women" if gender == "female" else "men", dice.randint(0, 99)
    return {
        "gender": gender, "name": name, "location": where,
        "email": "%s.%d@example.com" % (dice.choice(["mail", "post", "hello"]), number), "login": login(dice, number),
        "dob": {"date": moment(dice, 1944, 2001, version), "age": dice.randint(18, 80)},
        "registered": {"date": moment(dice, 2002, 2021, version), "age": dice.randint(1, 20)},
        "phone": digits(dice, nation[8]), "cell": digits(dice, nation[8]),
        "id": {"name": nation[9], "value": digits(dice, "###-##-####") if nation[9] else None},
        "picture": {"large": portrait % ("", kind, picture), "medium": portrait % ("med/", kind, picture),
                    "thumbnail": portrait % ("thumb/", kind, picture)},
        "nat": nat,
    }


def spoil(made, dice):
    """Breaks one thing that a pipeline must not let through."""
    what = dice.choice(DIRT)
    if what == "email_without_domain":
        made["email"] = dice.choice(["%s", "%s@", "%s@host", "@%s", "%s@.com"]) % made["login"]["username"]
    elif what == "no_email":
        made["email"] = None
    elif what == "dob_is_no_date":
        made["dob"]["date"] = dice.choice(["1970-13-01T00:00:00Z", "yesterday", ""])
    elif what == "registered_is_no_date":
        made["registered"]["date"] = "0000-00-00"
    elif what == "no_first_name":
        del made["name"]["first"]
    elif what == "empty_last_name":
        made["name"]["last"] = dice.choice(["", "  "])
    else:
        del made["name"]
    return what


def thin(made, dice):
    """Leaves out one part that need not be there."""
    what = dice.choice(["street", "city", "state", "country", "postcode", "phone", "picture", "location"])
    if what in ("phone", "picture", "location"):
        del made[what]
    elif dice.random() < 0.5:
        made["location"].pop(what, None)
    else:
        made["location"][what] = None


class World:
    """`dirty` and `thin`: how many users of a thousand are broken, and how many lack a part."""

    def __init__(self, seed=1, dirty=0, thin_ones=0):
        self.seed, self.dirty, self.thin_ones = seed, dirty, thin_ones

    def users(self, seed, page, count, version, nations=None, gender=None):
        first = (page - 1) * count
        made = []
        for number in range(first, first + count):
            one = user(seed, number, version, nations, gender)
            dice = random.Random("dirt/%s/%d" % (seed, number))
            if dice.randint(1, 1000) <= self.dirty:
                spoil(one, dice)
            if dice.randint(1, 1000) <= self.thin_ones:
                thin(one, dice)
            made.append(one)
        return made
