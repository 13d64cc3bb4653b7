// Named character references of HTML 4, and those old ones that HTML takes without a semicolon too. Names and values are the standard's.
#include "workers/sql/html_entities.h"

#include <stdlib.h>
#include <string.h>

struct entity {
  char name[9];
  bool bare; // also without a semicolon
  uint16_t code;
};

// In the order of strcmp, for bsearch.
static const struct entity entities[] = {
    {"AElig", 1, 198},   {"AMP", 1, 38},      {"Aacute", 1, 193},   {"Acirc", 1, 194},   {"Agrave", 1, 192},   {"Alpha", 0, 913},
    {"Aring", 1, 197},   {"Atilde", 1, 195},  {"Auml", 1, 196},     {"Beta", 0, 914},    {"COPY", 1, 169},     {"Ccedil", 1, 199},
    {"Chi", 0, 935},     {"Dagger", 0, 8225}, {"Delta", 0, 916},    {"ETH", 1, 208},     {"Eacute", 1, 201},   {"Ecirc", 1, 202},
    {"Egrave", 1, 200},  {"Epsilon", 0, 917}, {"Eta", 0, 919},      {"Euml", 1, 203},    {"GT", 1, 62},        {"Gamma", 0, 915},
    {"Iacute", 1, 205},  {"Icirc", 1, 206},   {"Igrave", 1, 204},   {"Iota", 0, 921},    {"Iuml", 1, 207},     {"Kappa", 0, 922},
    {"LT", 1, 60},       {"Lambda", 0, 923},  {"Mu", 0, 924},       {"Ntilde", 1, 209},  {"Nu", 0, 925},       {"OElig", 0, 338},
    {"Oacute", 1, 211},  {"Ocirc", 1, 212},   {"Ograve", 1, 210},   {"Omega", 0, 937},   {"Omicron", 0, 927},  {"Oslash", 1, 216},
    {"Otilde", 1, 213},  {"Ouml", 1, 214},    {"Phi", 0, 934},      {"Pi", 0, 928},      {"Prime", 0, 8243},   {"Psi", 0, 936},
    {"QUOT", 1, 34},     {"REG", 1, 174},     {"Rho", 0, 929},      {"Scaron", 0, 352},  {"Sigma", 0, 931},    {"THORN", 1, 222},
    {"Tau", 0, 932},     {"Theta", 0, 920},   {"Uacute", 1, 218},   {"Ucirc", 1, 219},   {"Ugrave", 1, 217},   {"Upsilon", 0, 933},
    {"Uuml", 1, 220},    {"Xi", 0, 926},      {"Yacute", 1, 221},   {"Yuml", 0, 376},    {"Zeta", 0, 918},     {"aacute", 1, 225},
    {"acirc", 1, 226},   {"acute", 1, 180},   {"aelig", 1, 230},    {"agrave", 1, 224},  {"alefsym", 0, 8501}, {"alpha", 0, 945},
    {"amp", 1, 38},      {"and", 0, 8743},    {"ang", 0, 8736},     {"apos", 0, 39},     {"aring", 1, 229},    {"asymp", 0, 8776},
    {"atilde", 1, 227},  {"auml", 1, 228},    {"bdquo", 0, 8222},   {"beta", 0, 946},    {"brvbar", 1, 166},   {"bull", 0, 8226},
    {"cap", 0, 8745},    {"ccedil", 1, 231},  {"cedil", 1, 184},    {"cent", 1, 162},    {"chi", 0, 967},      {"circ", 0, 710},
    {"clubs", 0, 9827},  {"cong", 0, 8773},   {"copy", 1, 169},     {"crarr", 0, 8629},  {"cup", 0, 8746},     {"curren", 1, 164},
    {"dArr", 0, 8659},   {"dagger", 0, 8224}, {"darr", 0, 8595},    {"deg", 1, 176},     {"delta", 0, 948},    {"diams", 0, 9830},
    {"divide", 1, 247},  {"eacute", 1, 233},  {"ecirc", 1, 234},    {"egrave", 1, 232},  {"empty", 0, 8709},   {"emsp", 0, 8195},
    {"ensp", 0, 8194},   {"epsilon", 0, 949}, {"equiv", 0, 8801},   {"eta", 0, 951},     {"eth", 1, 240},      {"euml", 1, 235},
    {"euro", 0, 8364},   {"exist", 0, 8707},  {"fnof", 0, 402},     {"forall", 0, 8704}, {"frac12", 1, 189},   {"frac14", 1, 188},
    {"frac34", 1, 190},  {"frasl", 0, 8260},  {"gamma", 0, 947},    {"ge", 0, 8805},     {"gt", 1, 62},        {"hArr", 0, 8660},
    {"harr", 0, 8596},   {"hearts", 0, 9829}, {"hellip", 0, 8230},  {"iacute", 1, 237},  {"icirc", 1, 238},    {"iexcl", 1, 161},
    {"igrave", 1, 236},  {"image", 0, 8465},  {"infin", 0, 8734},   {"int", 0, 8747},    {"iota", 0, 953},     {"iquest", 1, 191},
    {"isin", 0, 8712},   {"iuml", 1, 239},    {"kappa", 0, 954},    {"lArr", 0, 8656},   {"lambda", 0, 955},   {"lang", 0, 9001},
    {"laquo", 1, 171},   {"larr", 0, 8592},   {"lceil", 0, 8968},   {"ldquo", 0, 8220},  {"le", 0, 8804},      {"lfloor", 0, 8970},
    {"lowast", 0, 8727}, {"loz", 0, 9674},    {"lrm", 0, 8206},     {"lsaquo", 0, 8249}, {"lsquo", 0, 8216},   {"lt", 1, 60},
    {"macr", 1, 175},    {"mdash", 0, 8212},  {"micro", 1, 181},    {"middot", 1, 183},  {"minus", 0, 8722},   {"mu", 0, 956},
    {"nabla", 0, 8711},  {"nbsp", 1, 160},    {"ndash", 0, 8211},   {"ne", 0, 8800},     {"ni", 0, 8715},      {"not", 1, 172},
    {"notin", 0, 8713},  {"nsub", 0, 8836},   {"ntilde", 1, 241},   {"nu", 0, 957},      {"oacute", 1, 243},   {"ocirc", 1, 244},
    {"oelig", 0, 339},   {"ograve", 1, 242},  {"oline", 0, 8254},   {"omega", 0, 969},   {"omicron", 0, 959},  {"oplus", 0, 8853},
    {"or", 0, 8744},     {"ordf", 1, 170},    {"ordm", 1, 186},     {"oslash", 1, 248},  {"otilde", 1, 245},   {"otimes", 0, 8855},
    {"ouml", 1, 246},    {"para", 1, 182},    {"part", 0, 8706},    {"permil", 0, 8240}, {"perp", 0, 8869},    {"phi", 0, 966},
    {"pi", 0, 960},      {"piv", 0, 982},     {"plusmn", 1, 177},   {"pound", 1, 163},   {"prime", 0, 8242},   {"prod", 0, 8719},
    {"prop", 0, 8733},   {"psi", 0, 968},     {"quot", 1, 34},      {"rArr", 0, 8658},   {"radic", 0, 8730},   {"rang", 0, 9002},
    {"raquo", 1, 187},   {"rarr", 0, 8594},   {"rceil", 0, 8969},   {"rdquo", 0, 8221},  {"real", 0, 8476},    {"reg", 1, 174},
    {"rfloor", 0, 8971}, {"rho", 0, 961},     {"rlm", 0, 8207},     {"rsaquo", 0, 8250}, {"rsquo", 0, 8217},   {"sbquo", 0, 8218},
    {"scaron", 0, 353},  {"sdot", 0, 8901},   {"sect", 1, 167},     {"shy", 1, 173},     {"sigma", 0, 963},    {"sigmaf", 0, 962},
    {"sim", 0, 8764},    {"spades", 0, 9824}, {"sub", 0, 8834},     {"sube", 0, 8838},   {"sum", 0, 8721},     {"sup", 0, 8835},
    {"sup1", 1, 185},    {"sup2", 1, 178},    {"sup3", 1, 179},     {"supe", 0, 8839},   {"szlig", 1, 223},    {"tau", 0, 964},
    {"there4", 0, 8756}, {"theta", 0, 952},   {"thetasym", 0, 977}, {"thinsp", 0, 8201}, {"thorn", 1, 254},    {"tilde", 0, 732},
    {"times", 1, 215},   {"trade", 0, 8482},  {"uArr", 0, 8657},    {"uacute", 1, 250},  {"uarr", 0, 8593},    {"ucirc", 1, 251},
    {"ugrave", 1, 249},  {"uml", 1, 168},     {"upsih", 0, 978},    {"upsilon", 0, 965}, {"uuml", 1, 252},     {"weierp", 0, 8472},
    {"xi", 0, 958},      {"yacute", 1, 253},  {"yen", 1, 165},      {"yuml", 1, 255},    {"zeta", 0, 950},     {"zwj", 0, 8205},
    {"zwnj", 0, 8204},
};

static int entity_compare(const void *name, const void *entity) {
  return strcmp(name, ((const struct entity *)entity)->name);
}

static const struct entity *entity_named(const char *text, size_t length) {
  char name[sizeof entities->name];
  if (length >= sizeof name) return NULL;
  memcpy(name, text, length);
  name[length] = '\0';
  return bsearch(name, entities, sizeof entities / sizeof *entities, sizeof *entities, entity_compare);
}

uint32_t html_entity_find(const char *text, size_t length, size_t *used) {
  size_t name = 0;
  while (name < length && name < sizeof entities->name &&
         ((text[name] >= 'a' && text[name] <= 'z') || (text[name] >= 'A' && text[name] <= 'Z') || (text[name] >= '0' && text[name] <= '9')))
    name++;
  const struct entity *found = name < length && text[name] == ';' ? entity_named(text, name) : NULL;
  if (found) {
    *used = name + 1;
    return found->code;
  }
  // The longest beginning that stands without a semicolon: "&notit" is a not sign and "it".
  for (size_t most = name < sizeof entities->name - 1 ? name : sizeof entities->name - 1; most >= 2; most--) {
    found = entity_named(text, most);
    if (!found || !found->bare) continue;
    *used = most;
    return found->code;
  }
  return 0;
}
