"""What filters leave out and what they keep: tables, the same for every cut, and bounds."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.text.filters import TextFilter, parse_filters, rewriters
from relay.core.text.runs import Rewriter, Run, Stages, given_of, merged, spoken_of
from relay.errors import ClientError, Code
from tests.covering import FULL, each

MARKDOWN, EMOJI, URLS, CODE = TextFilter.MARKDOWN, TextFilter.EMOJI, TextFilter.URLS, TextFilter.CODE

# (filters, given, spoken)
TABLE: list[tuple[list[TextFilter], str, str]] = [
    (
        [MARKDOWN],
        "# Title\nText **bold** and *it* _em_ __st__ ~~no~~ ***all***.",
        "Title\n\nText bold and it em st no all.",
    ),
    ([MARKDOWN], "## Head ##\n### C# rocks\n", "Head \n\nC# rocks\n"),
    ([MARKDOWN], "#tag #1\n#2", "#tag #1\n#2"),
    ([MARKDOWN], "Title\n=====\nText\n---\nmore\n* * *\nend", "Title\n\n\nText\n\n\nmore\n\n\nend"),
    (
        [MARKDOWN],
        "We need:\n- one egg\n- two cups\n  of milk\nThat is all\n",
        "We need:\n\none egg\n\ntwo cups\n  of milk\nThat is all\n",
    ),
    ([MARKDOWN], "- one\n- two\nDone", "one\n\ntwo\n\nDone"),
    ([MARKDOWN], "- [ ] todo\n- [x] done\n* star\n+ plus\n• dot", "todo\n\ndone\n\nstar\n\nplus\n\ndot"),
    ([MARKDOWN], "1. Mix\n2. Bake", "1. Mix\n2. Bake"),
    ([MARKDOWN], "> quote\n> more\nend", "quote\nmore\n\nend"),
    ([MARKDOWN], "> - a\n> - b", "a\n\nb"),
    ([MARKDOWN], '[text](https://x.y/a_(b) "t") and ![alt](z.png).', "text and alt."),
    ([MARKDOWN], "[**bold** link](<a b>) [a]() x", "bold link a x"),
    ([MARKDOWN], "arr[0] [1] [x] [0, 1) end", "arr[0] [1] [x] [0, 1) end"),
    ([MARKDOWN], "Fact.[^1] More", "Fact. More"),
    (
        [MARKDOWN],
        "| Name | Age |\n|------|----:|\n| Ada | 36 |\n| Bob | |\n\nDone.",
        "Name, Age\n\n\nAda, 36\n\nBob\n\nDone.",
    ),
    ([MARKDOWN], "|Name|Age|\n|---|---|\n|Ada|36|\n", "Name, Age\n\n\nAda, 36\n"),
    ([MARKDOWN], "|x| < 5 and a | b || c", "|x| < 5 and a | b || c"),
    ([MARKDOWN], "```python\nx = **1**\n```\nafter `code` ok", "\nx = **1**\n\nafter code ok"),
    ([MARKDOWN], "Use `f(x)` now. ``a`b`` it`s", "Use f(x) now. a`b it`s"),
    ([MARKDOWN], '<br>Hi<b>x</b> <a href="x">l</a>, <p>a<p/>b', " Hix l,  a b"),
    ([MARKDOWN], "List<String> <3 a<b a <b and c> d < e > f", "List<String> <3 a<b a <b and c> d < e > f"),
    ([MARKDOWN], "<https://x.y> <a@b.cd>", "https://x.y a@b.cd"),
    ([MARKDOWN], "&amp; &lt;x&gt; AT&T &c. &amp", "& <x> AT&T &c. &amp"),
    ([MARKDOWN], "\\*not\\* C:\\new \\", "*not* C:\\new \\"),
    ([MARKDOWN], "这是**重点**内容，*也*是。", "这是重点内容，也是。"),
    ([MARKDOWN], "**Haupt**wort, (**a**) “**b**” **¿Qué?** **5 apples**", "Hauptwort, (a) “b” ¿Qué? 5 apples"),
    ([MARKDOWN], "**bold:** text\n**unclosed\n\nnext*", "bold: text\nunclosed\n\nnext*"),
    ([MARKDOWN], "2 * 3 * 4 = 24, 2*3*4, 2**3, 5 *3, 2 ** 3", "2 * 3 * 4 = 24, 2*3*4, 2**3, 5 *3, 2 ** 3"),
    ([MARKDOWN], "snake_case_names _private a_b x__y__z", "snake_case_names _private a_b x__y__z"),
    ([MARKDOWN], "C# #1 a < b, 5 > 3, ~5 ~ 6, 3.14, 1,000", "C# #1 a < b, 5 > 3, ~5 ~ 6, 3.14, 1,000"),
    ([MARKDOWN], "price* f*** *.py SELECT * FROM t", "price* f*** *.py SELECT * FROM t"),
    ([MARKDOWN], "— Hola.\n– Que.\n—¡Ven! —dijo.", "— Hola.\n– Que.\n—¡Ven! —dijo."),
    ([MARKDOWN], "-5 degrees\n--\n-- x", "-5 degrees\n--\n-- x"),
    ([MARKDOWN], "Hi :) :-) ;-* ;_; ^_^ <3 :*", "Hi :) :-) ;-* ;_; ^_^ <3 :*"),
    ([MARKDOWN], "a\r\n- b\r\n- c\r\n\r\nd", "a\r\n\nb\r\n\nc\r\n\r\nd"),
    ([MARKDOWN], "https://x.com/a_b_c/__init__.py ftp://a/~b/*c", "https://x.com/a_b_c/__init__.py ftp://a/~b/*c"),
    ([MARKDOWN, CODE], "Here:\n```python\nx = 1\n```\nafter `code` ok", "Here:\n\n\nafter  ok"),
    ([CODE], "~~~\nx\n~~~\ny **b** # [a](b)", "\ny **b** # [a](b)"),
    ([CODE], "````\n```\nb\n````\nc", "\nc"),
    ([CODE], "`unclosed and so on\nx `a` `` b`c `` d", "`unclosed and so on\nx   d"),
    ([CODE], "```inline``` x", " x"),
    ([CODE], "Never closed:\n```\ncode\n", "Never closed:\n\n"),
    ([EMOJI], "Hi 👋 there! 🎉🎊 Go", "Hi there! Go"),
    ([EMOJI], "👩\u200d👩\u200d👧 a 👍🏽 b 🧑🏽\u200d🤝\u200d🧑🏻 c 🏃\u200d♂️ d", "a b c d"),
    ([EMOJI], "🇩🇪🇫🇷 a 🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f b", "a b"),
    ([EMOJI], "1️⃣ 2 #️⃣ *️⃣ # * 3 10", "2 # * 3 10"),
    ([EMOJI], "© ™ ® ℹ ↔ ‼ ©️ ™️ ↔️ x", "© ™ ® ℹ ↔ ‼ x"),
    ([EMOJI], "❤ ❤️ ☀ ✔ x ❤\ufe0e ✓ →", "x ❤\ufe0e ✓ →"),
    ([EMOJI], "Nice ‼️ ok ⁉️", "Nice ‼ ok ⁉"),
    ([EMOJI], "Hi :) :-D <3 क्‍ष می‌خواهم", "Hi :) :-D <3 क्‍ष می‌خواهم"),
    ([URLS], "See https://www.example.com/a.b?c=d. Next", "See example.com. Next"),
    (
        [URLS],
        '(https://x.org/a_(b)), HTTP://X.ORG! <https://a.b>, "http://c.d/e"; x',
        '(x.org), X.ORG! <a.b>, "c.d"; x',
    ),
    ([URLS], "Mail john.doe+t@example.com, or @user or a@b or 3@1.50.", "Mail john.doe+t, or @user or a@b or 3@1.50."),
    ([URLS], "www.example.com! www. x wwww.x.y xhttps://a.b", "example.com! www. x wwww.x.y xhttps://a.b"),
    (
        [URLS],
        "ftp://a.b/c example.com/x /usr/bin http:// https://",
        "ftp://a.b/c example.com/x /usr/bin http:// https://",
    ),
    ([URLS], "见https://example.com吧。https://münchen.de/x", "见example.com吧。münchen.de"),
    ([URLS], "http://user:pw@h.com:80/x#y, https://h.com:", "h.com, h.com:"),
    ([URLS], "http://a.b/!!! x", "a.b!!! x"),
    (
        [MARKDOWN, EMOJI, URLS, CODE],
        "[t](https://a.b/c) <https://www.x.y/z> **https://x.y** 🎉 `c`.\n- 👍 [https://q.r](https://q.r/s)",
        "t x.y x.y .\n\nq.r",
    ),
]
MUST_STAY = "2 * 3 * 4, snake_case_names, C#, #1, a < b, 5 > 3, ~5, ftp://a.b, — Hola, 3.14, 1,000.50 :) © ™ # * 7"
MARKS = (
    "** * _ __ ~~ ` `` ``` ~~~ # ## - + > | |-|-| [ ] ( ) ](x) ![ < > <b> </b> <br &amp; & \\ \r\n ! . , : ; = --- ==="
)
WORDS = "a bold 5 é 好 か क ไ https://x.y/z www.a.bc h ht @ a@b.cd /?(x) 👍 🏽 \ufe0f \ufe0e \u20e3 \u200d 🇩 ‼ © ❤ #️⃣"
SPACES = ["\n", "\n\n", " ", " ", "  ", "\t"]
# Longer than what any rule waits for.
LONG = ["x" * 300, " " * 70, "#" * 20, "# " * 20, "[" * 3, "x" * 2100, "-" * 300, "a." * 140, "." * 20, "👍\u200d" * 9]
FRAGMENTS = [*MARKS.split(" "), *WORDS.split(), *SPACES, "```py\n", "- [x] "]
texts = st.lists(st.sampled_from(FRAGMENTS), max_size=24).map("".join)
filters = st.sets(st.sampled_from(list(TextFilter)), min_size=1).map(sorted)


def rewrite(stages: list[Rewriter], pieces: list[str]) -> list[Run]:
    chain, runs = Stages(stages), list[Run]()
    for piece in pieces:
        runs += chain.feed(piece)
    runs += chain.flush()
    assert chain.held_chars == 0 and all(run.given for run in runs)
    return merged(runs)


def tokens(text: str, sizes: list[int]) -> list[str]:
    pieces, at = list[str](), 0
    while at < len(text):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(text[at : at + size])
        at += size
    return pieces


@each(("names", "text", "spoken"), TABLE)
def test_what_is_spoken(names: list[TextFilter], text: str, spoken: str) -> None:
    runs = rewrite(rewriters(names), [text])
    assert given_of(runs) == text
    assert spoken_of(runs) == spoken
    source = random.Random(text)
    for sizes in ([1], [2], [3], *([source.randint(1, 7) for _ in range(7)] for _ in range(30))):
        assert rewrite(rewriters(names), tokens(text, sizes)) == runs


@pytest.mark.parametrize("name", TextFilter)
def test_what_must_never_be_hurt(name: TextFilter) -> None:
    assert rewrite(rewriters([name]), [MUST_STAY]) == [Run(MUST_STAY, MUST_STAY)]


@given(texts, filters, st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_the_cuts_do_not_matter(text: str, names: list[TextFilter], sizes: list[int]) -> None:
    whole = rewrite(rewriters(names), [text])
    assert given_of(whole) == text
    assert rewrite(rewriters(names), tokens(text, sizes)) == whole
    assert rewrite(rewriters(names), list(text)) == whole


@given(
    st.lists(st.sampled_from([*FRAGMENTS, *LONG]), max_size=12).map("".join),
    filters,
    st.lists(st.integers(1, 400), min_size=1, max_size=9),
)
def test_the_cuts_of_long_text_do_not_matter(text: str, names: list[TextFilter], sizes: list[int]) -> None:
    whole = rewrite(rewriters(names), [text])
    assert given_of(whole) == text
    assert rewrite(rewriters(names), tokens(text, sizes)) == whole


@given(st.text(max_size=60), filters)
def test_any_text_is_told_whole(text: str, names: list[TextFilter]) -> None:
    whole = rewrite(rewriters(names), [text])
    assert given_of(whole) == text
    assert rewrite(rewriters(names), list(text)) == whole


@given(st.lists(st.one_of(texts, st.none()), max_size=8), filters)
def test_text_may_follow_a_flush(steps: list[str | None], names: list[TextFilter]) -> None:
    chain, runs = Stages(rewriters(names)), list[Run]()
    for step in steps:
        runs += chain.flush() if step is None else chain.feed(step)
        assert step is not None or chain.held_chars == 0
    runs += chain.flush()
    assert given_of(runs) == "".join(step or "" for step in steps)


# What each filter may hold back: see the constants of its module.
BOUNDS = {MARKDOWN: 2500, CODE: 300, EMOJI: 2, URLS: 270}


HOSTILE = (
    "[ [a]( ` `a < <b_ <a_ * _a _ ~ # - -_ | |_ |a = > >_ & \\ ! ![ [^ https://a www. h @a a@b http://a/( http://a/. "
    "👍 👍\u200d 1 1\ufe0f <!-- ```"
)


# Where the hostile text may begin: at the start of a line, within one, and for a filter of addresses within one.
BEGINS = {URLS: ("", "a ", "https://a/"), MARKDOWN: ("", "a ")}


@pytest.mark.parametrize("name", TextFilter)
@each("hostile", [*HOSTILE.replace("_", " ").split(" "), "_", "_a", "- ", "| ", "<b ", "\n", "\n ", " "])
def test_what_is_held_back_and_what_it_costs_are_bounded(name: TextFilter, hostile: str) -> None:
    # Past the bound by a fifth, and long enough for a cost that grows with the square to pass the timeout.
    chars = 20_000 if FULL else max(1500, BOUNDS[name] * 6 // 5)
    text = (hostile * chars)[:chars]
    for begin in BEGINS.get(name, ("",)):
        chain = Stages(rewriters([name]))
        for char in begin + text:
            chain.feed(char)
            assert chain.held_chars <= BOUNDS[name]


def test_text_without_marks_is_held_back_nowhere() -> None:
    chain = Stages(rewriters(list(TextFilter)))
    text = "Let me look. It costs 3.50, I think! Really? So: done"
    assert chain.held_chars == 0
    for char in text:
        chain.feed(char)
        assert chain.held_chars <= (char in "h0123456789w!")


def test_names() -> None:
    assert parse_filters([]) == ()
    assert parse_filters(["code", "markdown", "code"]) == (MARKDOWN, CODE)
    for wrong, says in (
        ("markdown", "list of markdown, emoji, urls, code"),
        (["html"], "entry 1 of text_filter is 'html'; it must be one of markdown"),
        (["code", 3], "entry 2 of text_filter is not a string"),
        (["x" * 99], f"'{'x' * 40}'"),
    ):
        with pytest.raises(ClientError) as caught:
            parse_filters(wrong)
        assert caught.value.code is Code.INVALID_CONFIG and says in caught.value.message


def test_a_chain_tells_its_runs_in_what_was_given() -> None:
    runs = rewrite(rewriters([URLS, MARKDOWN]), ["**See** [it](https://a.b/c) now"])
    assert runs == [
        Run("**", ""),
        Run("See", "See"),
        Run("**", ""),
        Run(" ", " "),
        Run("[", ""),
        Run("it", "it"),
        Run("](https://a.b/c)", ""),
        Run(" now", " now"),
    ]
