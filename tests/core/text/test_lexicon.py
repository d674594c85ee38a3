"""Which words a lexicon finds, what is said for them, and what it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.text.lexicon import (
    MAX_ENTRIES,
    MAX_TURN_ENTRIES,
    MAX_VALUE_CHARS,
    MAX_WORD_CHARS,
    Lexicon,
    LexiconFilter,
    Saying,
)
from relay.core.text.runs import Run, given_of, merged, spoken_of
from relay.errors import ClientError, Code
from tests.covering import each

ENTRIES = {
    "sql": "sequel",
    "SQL Server": "Sequel Server!",
    "nginx": "engine x",
    "US": "the states",
    "Reading": "Redding",
    "live": {"ipa": "laɪv"},
    "gif": {"alias": "jif", "ipa": "dʒɪf"},
    "new york": "noo york",
    "new york city": "the city",
    "C++": "see plus plus",
    ".net": "dot net",
    "3d": "three dee",
    "重庆": "崇庆",
    "重庆市": "那座城",
    "サーバ": "さーば",
    "서울": "서을",
    "กรุงเทพ": "กุงเทบ",
    "ai": "A.I.",
    "café": "caffay",
    "straße": "strasse",
    "नमस्ते": "नमस्कार",
    "ok": "okay",
    "com": "komm",
    "don": "dawn",
    "10": "ten",
}
LEXICON = Lexicon.parse(ENTRIES)
OTHERS = "' ’s . , - _ s a 1 用 \u0301 \u0e35 ी \u200d İ ſ \u212a"
FRAGMENTS = [*ENTRIES, *(word.upper() for word in ENTRIES), *OTHERS.split(), " ", "\n"]
texts = st.lists(st.sampled_from(FRAGMENTS), max_size=16).map("".join)


def say(pieces: list[str], lexicon: Lexicon = LEXICON) -> list[Run]:
    stage, runs = LexiconFilter(lexicon), list[Run]()
    for piece in pieces:
        runs += stage.feed(piece)
        assert stage.held_chars <= MAX_WORD_CHARS + 3
    return merged([*runs, *stage.flush()])


@each(
    ("text", "spoken"),
    [
        ("I use SQL, sql and Sql.", "I use sequel, sequel and sequel."),
        ("SQL Server, sql server", "Sequel Server!, sequel server"),
        ("MySQL sqlite sql_x SQL2 xsql", "MySQL sqlite sql_x SQL2 xsql"),
        ("us US Us USA", "us the states Us USA"),
        ("I am reading in Reading.", "I am reading in Redding."),
        ("New York, new york city, NEW YORK CITYX", "noo york, the city, noo york CITYX"),
        ("nginx's Nginx’s nginx-based (nginx)", "engine x's engine x’s engine x-based (engine x)"),
        ("sql'sql sql's' sql'st SQL’S", "sql'sql sequel's' sql'st sequel’S"),
        ("don't DON don’t Don. don-", "don't dawn don’t dawn. dawn-"),
        ("example.com com. com .com", "example.com komm. komm .komm"),
        ("C++ c++ C++. C++11", "see plus plus c++ see plus plus. see plus plus11"),
        (".NET .net ASP.NET", "dot net dot net ASPdot net"),
        ("10 110 3.10 10.5 10,000 10, 10.", "ten 110 3.10 10.5 10,000 ten, ten."),
        ("3D 3d 13d", "three dee three dee 13d"),
        ("我在重庆，重庆市很大", "我在崇庆，那座城很大"),
        ("新サーバを使う", "新さーばを使う"),
        ("서울은 새서울", "서을은 새서을"),
        ("ไปกรุงเทพมา กรุงเทพี", "ไปกุงเทบมา กรุงเทพี"),
        ("使用AI技术 aim ai的", "使用A.I.技术 aim A.I.的"),
        ("Café cafe\u0301 cafe CAFÉ cafés", "caffay caffay cafe caffay cafés"),
        ("STRASSE Straße STRA\u1e9eE", "STRASSE strasse strasse"),
        ("नमस्ते नमस्तेजी", "नमस्कार नमस्तेजी"),
        ("O\u212a ok\u0301 OK", "okay ok\u0301 okay"),
        ("live gif", "live jif"),
        ("", ""),
        ("nothing here", "nothing here"),
    ],
)
def test_which_words_are_said(text: str, spoken: str) -> None:
    runs = say([text])
    assert (given_of(runs), spoken_of(runs)) == (text, spoken)
    assert say(list(text)) == runs


def test_a_pronunciation_is_told_with_its_word() -> None:
    assert say(["a LIVE gif"]) == [
        Run("a ", "a "),
        Run("LIVE", "LIVE", "laɪv"),
        Run(" ", " "),
        Run("gif", "jif", "dʒɪf"),
    ]


@given(texts, st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_the_cuts_do_not_matter(text: str, sizes: list[int]) -> None:
    whole = say([text])
    pieces, at = list[str](), 0
    while at < len(text):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(text[at : at + size])
        at += size
    assert given_of(whole) == text
    assert say(pieces) == say(list(text)) == whole


def test_only_what_may_be_a_word_is_held_back() -> None:
    stage = LexiconFilter(LEXICON)
    assert spoken_of(stage.feed("I like s")) == "I like "
    assert spoken_of(stage.feed("o")) == "so"
    assert spoken_of(stage.feed(" new york")) == " "
    assert spoken_of(stage.feed(" s")) == "noo york "
    assert spoken_of(stage.feed("ql.")) == ""
    assert spoken_of(stage.feed(" ")) == "sequel. "
    assert stage.held_chars == 0


def test_what_is_said_is_not_looked_at_again() -> None:
    assert spoken_of(say(["a b"], Lexicon.parse({"a": "b", "b": "a"}))) == "b a"


def test_a_turn_counts_before_the_configuration() -> None:
    base = Lexicon.parse({"a1": "x", "b1": "y", "New York City": "the city"})
    both = Lexicon.parse({"B1": "z", "b1": "w", "new york": "noo york"}, base=base)
    assert len(both) == 5
    assert spoken_of(say(["a1 b1 B1 new york New York City"], both)) == "x w z noo york the city"
    assert spoken_of(say(list("a1 b1 B1 new york New York City"), both)) == "x w z noo york the city"
    assert spoken_of(say(["a1 b1"], base)) == "x y"
    assert len(Lexicon({})) == 0 and spoken_of(say(["a1"], Lexicon({}))) == "a1"
    with pytest.raises(ClientError, match=f"has {MAX_TURN_ENTRIES + 1} entries; at most {MAX_TURN_ENTRIES}"):
        Lexicon.parse({f"w{at}": "x" for at in range(MAX_TURN_ENTRIES + 1)}, most=MAX_TURN_ENTRIES)


@each(
    ("value", "says"),
    [
        (["a"], "lexicon must be an object of words and how they are said, not a list"),
        ({"a": 1}, "entry 1 of lexicon: must be a string or an object with alias or ipa, not a number"),
        ({"a": "b", "": "x"}, "entry 2 of lexicon: the word must have a letter or a digit"),
        ({" a": "b"}, "no space at its ends, not ' a'"),
        ({1: "b"}, "entry 1 of lexicon: the word must be a string, not a number"),
        ({"a" * (MAX_WORD_CHARS + 1): "b"}, f"at most {MAX_WORD_CHARS} characters: '{'a' * 40}...'"),
        ({"a": "b" * (MAX_VALUE_CHARS + 1)}, f"the respelling has {MAX_VALUE_CHARS + 1} characters"),
        ({"a": ""}, "the respelling must be printable and have a letter or a digit, not ''"),
        ({"a": "b\n"}, "not 'b '"),
        ({"a": {}}, "must have alias, ipa or both; it has nothing"),
        ({"a": {"alias": "b", "sub": "c"}}, "it has 'sub'"),
        ({"a": {"ipa": None}}, "entry 1 of lexicon: ipa must be a string, not null"),
        ({f"w{at}": "x" for at in range(MAX_ENTRIES + 1)}, f"has {MAX_ENTRIES + 1} entries; at most {MAX_ENTRIES}"),
    ],
)
def test_what_is_refused(value: object, says: str) -> None:
    with pytest.raises(ClientError) as caught:
        Lexicon.parse(value)
    assert caught.value.code is Code.INVALID_CONFIG
    assert says in caught.value.message
    assert len(caught.value.message) < 200


def test_entries_are_kept_as_they_were() -> None:
    assert Lexicon.parse({"A": "b", "c": {"ipa": "k"}}).entries == {"A": Saying(alias="b"), "c": Saying(ipa="k")}


@pytest.mark.timeout(20)
def test_hostile_lexicons_cost_no_more_than_their_lengths() -> None:
    lexicon = Lexicon.parse({"a" * length: "x" for length in range(1, MAX_WORD_CHARS + 1)})
    for text in ("a" * 5000, "a " * 2500, "a." * 2500, "b" * 5000):
        assert given_of(say(list(text), lexicon)) == text
