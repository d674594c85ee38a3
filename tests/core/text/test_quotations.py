"""Which marks are open, and that text with quotations is cut alike however it comes."""

import random

from hypothesis import given
from hypothesis import strategies as st

from relay.core.text.chunker import DEFAULT, TextChunker
from relay.core.text.quotations import REACH_CHARS, REACH_MARKS, open_marks
from relay.core.text.sentences import find_sentence_ends
from tests.covering import each

# The segments of each text, divided by "|".
TEXTS = """
映画『君の名は。』を見ました。
彼は「もう帰る。」と言った。
会場は東京（千代田区。）です。
彼は「はい。|そうです。」と答えた。
「はい。」|彼女は笑った。
「『はい。』と言った。」と彼は書いた。
先生は「静かに！」と叫んだ。
彼は“もう帰る。”と言った。
彼は"もう帰る。"と言った。
昨日（月曜日。）は休みだった。
【注意。】|これは重要です。
「了解。」と答えた。
「行こう。」|でも、彼は来なかった。
「なぜ？」と聞かれた。
彼女は「えっ！？」と驚いた。
「待って。」|「嫌だ。」
｢はい｡｣と答えた｡
〝はい。〟と答えた。
﹁はい。﹂と答えた。
他说：“我们走吧。”|然后就走了。
他问：“你好吗？”|我没有回答。
“走吧。”|他说。
“他说：‘走吧。’|然后就走了。”
我看了《你好。》很高兴。
他（我的朋友。）|来了。
他（我的朋友。)|来了。
他說：「好。」|我走了。
他說：「她說『不。』|就走了。」
"好的。"|他说。
他说。|"好的。"
他说。|“好的。”
他说：「好。”|我走了。
“今天天气很好！”
उसने कहा, "मैं जा रहा हूँ।" |फिर वह चला गया।
उसने पूछा, “तुम कैसे हो?” |मैं चुप रहा।
राम ने कहा, ‘ठीक है।’ |फिर वह सो गया।
(यह सच है।) |वह आया।
[यह सच है।] |वह आया।
اس نے کہا، ”میں جا رہا ہوں۔“ |پھر وہ چلا گیا۔
اس نے کہا، “میں جا رہا ہوں۔” |پھر وہ چلا گیا۔
اس نے کہا "ٹھیک ہے۔" |پھر وہ گیا۔
قال: «مرحبا؟» |ثم ذهب.
قال: »مرحبا؟« |ثم ذهب.
سأل: "كيف حالك؟" |فأجاب.
(هل هذا صحيح؟) |نعم.
او گفت: «سلام؟» |و رفت.
او پرسید: «خوبی؟» |من گفتم بله.
그는 “가자.”라고 말했다.
그는 '좋아!'라고 외쳤다.
그가 말했다. |"안녕."
“안녕하세요?” |그가 물었다.
「가자。」|라고 했다。
« Bonjour ! » dit-il.
«Bonjour !» dit-il.
“ Bonjour ! ” dit-il.
« Il a dit “ Oui ! ” et partit. » |Puis rien.
„Guten Tag!“ |Dann ging er.
»Guten Tag!« |Dann ging er.
‚Ja!‘ |Er ging.
Er sagte: »Komm.« |Dann ging er.
Han sa: ”Hej!” |Sedan gick han.
Hon sa: »Hej!» |Sedan gick hon.
„Idź!” |Potem wyszedł.
«Да!» |Он ушёл.
«¿Qué?», dijo ella.
—¡Ven! —dijo él.
He said, "I am leaving." |Then he left.
He said “Stop!” and left.
‘Stop!’ he said. |I didn’t.
'Don't stop!' he said.
The dogs' food is "here." |It's late.
She (at last!) came.
He left (at last!). |Then slept.
"Yes!" |"No!"
[Really?] she asked.
“He said ‘Go!’ and I went.” |Then silence.
It is 5'10" tall. |He said so.
He said “stop. |And never closed it
「閉じない。|これは続く。
他说：“没有关闭。|然后继续。
""".strip().split("\n")


def segments(pieces: list[str]) -> list[str]:
    """Of text that comes without a pause."""
    chunker = TextChunker()
    told = []
    for at, piece in enumerate(pieces):
        chunker.append(piece, at * 0.02)
        told += list(iter(lambda: chunker.take(at * 0.02), None))  # noqa: B023
    chunker.end_input()
    return [*told, *iter(lambda: chunker.take(len(pieces) * 0.02), None)]


def tokens(text: str, sizes: list[int]) -> list[str]:
    """`text` in pieces of these sizes, again and again."""
    pieces, at = list[str](), 0
    while at < len(text):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(text[at : at + size])
        at += size
    return pieces


def test_there_are_enough_texts() -> None:
    assert len(TEXTS) >= 60


@each("text", TEXTS)
def test_the_segments_are_the_same_however_the_text_comes(text: str) -> None:
    wanted, plain = text.split("|"), text.replace("|", "")
    assert segments([plain]) == wanted
    for size in range(1, 8):
        assert segments(tokens(plain, [size])) == wanted
    source = random.Random(text)
    for _ in range(30):
        assert segments(tokens(plain, [source.randint(1, 9) for _ in range(9)])) == wanted


@given(st.sampled_from(TEXTS), st.lists(st.integers(1, 12), min_size=1, max_size=8))
def test_the_segments_are_the_same_for_any_tokens(text: str, sizes: list[int]) -> None:
    assert segments(tokens(text.replace("|", ""), sizes)) == text.split("|")


@given(
    st.lists(st.sampled_from(TEXTS), min_size=2, max_size=5),
    st.sampled_from(["", " ", "\n", "\n\n"]),
    st.lists(st.integers(1, 12), min_size=1, max_size=8),
)
def test_all_cuts_are_where_sentences_of_the_whole_end(parts: list[str], between: str, sizes: list[int]) -> None:
    """How many sentences a segment holds depends on when it is asked for; where they end does not."""
    text = between.join(part.replace("|", "") for part in parts)
    ends = find_sentence_ends(text, 0, len(text), final=True).ends
    allowed = {behind_spaces(text, end) for end in [*ends, len(text)]}
    at = 0
    for segment in segments(tokens(text, sizes)):
        at += len(segment)
        clause = segment.rstrip("”’」』 ")[-1:] in ",，、،—:：" or len(segment) >= DEFAULT.longest_chars // 3
        assert behind_spaces(text, at) in allowed or clause, (segment, text[at : at + 5])


def behind_spaces(text: str, at: int) -> int:
    return len(text) - len(text[at:].lstrip())


@each(
    ("text", "opened"),
    [
        ("", ""),
        ("「a", "「"),
        ("「a」", ""),
        ("「『a』", "「"),
        ("「『a」", ""),
        ("a」「b", "「"),
        ("（a)", ""),
        ("“a‘b", "“‘"),
        ("„a“", ""),
        ("„a”", ""),
        ("”a”", ""),
        ("”a", "”"),
        ("a”", ""),
        ("»a«", ""),
        ("«a»", ""),
        ("»a»", ""),
        ("»a", "»"),
        ("« a »", ""),
        ('"a', '"'),
        ('"a"', ""),
        ('"a" "b', '"'),
        ('15"', ""),
        ("don't", ""),
        ("don’t", ""),
        ("the dogs' food", ""),
        ("the dogs’ food", ""),
        ("'a", "'"),
        ("'don't", "'"),
        ("'don't'", ""),
        ("5'10\" tall", ""),
        ("(a [b", "(["),
        ("(a [b)", ""),
        ("(a\n\nb", ""),
        ("(a\n \r\nb (", "("),
        ("(a\nb", "("),
        ("a :)", ""),
    ],
)
def test_open_marks(text: str, opened: str) -> None:
    assert open_marks(text, len(text)) == opened
    assert open_marks(f"{text}」)", len(text)) == opened, "what follows does not count"


def test_a_mark_that_is_far_away_is_not_open() -> None:
    assert open_marks("（" + "a" * (REACH_CHARS - 1), REACH_CHARS) == "（"
    assert open_marks("（" + "a" * REACH_CHARS, REACH_CHARS + 1) == ""
    assert len(open_marks("(" * 100, 100)) == REACH_MARKS


def test_a_quotation_that_is_never_closed_delays_a_sentence_by_a_character() -> None:
    """And no more once it is out of reach."""
    chunker = TextChunker()
    sentence = "今天天气很好我们去公园吧。"
    chunker.append(f"他说：“{sentence}", 0.0)
    assert chunker.take(0.0) is None
    for _ in range(REACH_CHARS // len(sentence)):
        chunker.append(sentence[0], 0.0)
        assert (chunker.take(0.0) or "").endswith("。")
        chunker.append(sentence[1:], 0.0)
        chunker.take(0.0)
    chunker.append("今天天气很好我们去公园吧。", 0.0)
    assert (chunker.take(0.0) or "").endswith("。"), "the opening mark is out of reach"


def test_text_without_a_mark_waits_for_nothing() -> None:
    for sentence in ("今天很好。", "はい。", "ठीक है।", "ٹھیک ہے۔", "نعم؟", "네。"):
        chunker = TextChunker()
        chunker.append(sentence, 0.0)
        assert chunker.take(0.0) == sentence
