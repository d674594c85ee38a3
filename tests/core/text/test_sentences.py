"""Where sentences end: a table of languages, and that a growing text is judged as the whole text is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.text.sentences import LOOKBACK_CHARS, Ending, ending, find_sentence_ends
from tests.covering import each

# Each text is the join of its sentences; spaces belong to the sentence before them.
LANGUAGES = {
    "English": [
        "Dr. Smith and Mrs. Jones travelled to the U.S. capital last week, e.g. by train. ",
        "St. Mary, i.e. the hospital, paid. ",
        "It costs $3.14 or 1,000.50. ",
        "We met at 10:30 a.m. on Jan. 5 in the U.K. ",
        "He was there too, in the N.W. ",
        "Tomorrow too. ",
        "J. R. R. Tolkien wrote No. 5. ",
        "No. ",
        "I will not, etc. ",
        "So there.",
    ],
    "English quotations": [
        '"Really?" she asked. ',
        "“Yes.” ",
        "He left (at last!). ",
        "Then what?! ",
        "Well... ",
        "I wait... for you… and me. ",
        "*Done.* ",
        "OK!",
    ],
    "English addresses": [
        "Version 1.2.3 is on https://example.com/a.b?c=d. ",
        "Write to a.b@example.co.uk, or open main.py. ",
        "Visit example.org! ",
        "It is 127.0.0.1 now.",
    ],
    "German": [
        "Am 3. Mai kam Dr. med. Müller z. B. nach Berlin, d. h. ca. 40 km weit. ",
        "Das war im 20. Jahrhundert in der Hauptstr. 5 am Markt. ",
        "Ludwig XIV. war König usw. ",
        "Er sagte: „Guten Tag.“ ",
        "Dann ging er. ",
        "Der Preis beträgt 1.000,50 Euro.",
    ],
    "French": [
        "M. Dupont et Mme. Durand sont là. ",
        "« Bonjour ! » dit-il. ",
        "« Vraiment\u202f?\u00a0» ",
        "Il est parti, p. ex. à Paris. ",
        "Comment ça va ? ",
        "Bien, etc. ",
        "Merci.",
    ],
    "Spanish": [
        "La Sra. García y el Dr. Pérez viven en EE. UU. desde 2010. ",
        "¿Cómo está? ",
        "¡Muy bien! ",
        "Ud. lo sabe.",
    ],
    "Italian": ["Il sig. Rossi e il dott. Bianchi sono qui, ecc. ", "Che ore sono? ", "Sono le 10.30."],
    "Portuguese": ["O Sr. Silva e a Dra. Costa chegaram. ", "Tudo bem? ", "Está na pág. 5."],
    "Dutch": ["Dhr. Jansen komt bijv. morgen. ", "Het is goed, enz. ", "Dag!"],
    "Swedish": ["Det finns t.ex. kaffe, bl.a. svart. ", "Mötet är kl. 10. ", "Den 3 maj kommer jag."],
    "Finnish": ["Tapaamme 3. toukokuuta esim. kello kymmenen. ", "Nähdään!"],
    "Polish": ["Np. dr Kowalski mieszka na ul. Długiej itd. ", "Jest tu od 2020 r. ", "Tak?"],
    "Russian": [
        "Он жил в г. Москве на ул. Ленина и т. д. ",
        "А. С. Пушкин родился в 1799 г. в Москве, т. е. давно. ",
        "Как дела?\n",
        "— Привет! — сказал он.",
    ],
    "Greek": ["Τι κάνεις; ", "Είμαι καλά, π.χ. σήμερα. ", "Ο κ. Παπαδόπουλος ήρθε."],
    "Turkish": ["Dr. Yılmaz geldi. ", "İyi misiniz? ", "Evet."],
    "Chinese": [
        "今天天气很好。",
        "我们去吧！",
        "“好的。”",
        "他说：「走？！」",
        "价格是３．１４元，版本1.2。",
        "是吗？？",
    ],
    "Japanese": ["「はい。」と答えた。", "そうですか？", "行きましょう!", "値段は１，０００円です｡", "『終わり。』"],
    "Japanese with full-width stops": ["これは例である．", "値は３．１４である．", "次に示す．"],
    "Korean": ["안녕하세요. ", "저는 민수입니다. ", "네. ", "가격은 3.5달러예요!"],
    "Arabic": ["كيف حالك؟ ", "أنا بخير، شكرًا. ", "وصل د. محمد اليوم."],
    "Urdu": ["آپ کیسے ہیں؟ ", "میں ٹھیک ہوں۔ ", "شکریہ۔"],
    "Persian": ["او گفت: «سلام.» ", "حال شما چطور است؟"],
    "Hebrew": ["שלום. ", "מה שלומך? ", "הכול בסדר."],
    "Hindi": ["नमस्ते। ", "डॉ. शर्मा आए हैं। ", "आप कैसे हैं? ", "ठीक॥"],
    "Thai": ["สวัสดีครับ ผมชื่อสมชาย ยินดีที่ได้รู้จัก"],
    "Burmese": ["မင်္ဂလာပါ။ ", "နေကောင်းလား။"],
    "Khmer": ["សួស្តី។ ", "អ្នកសុខសប្បាយទេ?"],
    "Amharic": ["ሰላም። ", "እንዴት ነህ?"],
    "Armenian": ["Բարեւ։ ", "Ինչպե՞ս ես։"],
    "Georgian": ["გამარჯობა. ", "კი. ", "მე ვარ გიორგი."],
    "lists and paragraphs": [
        "# Title\n",
        "We need:\n",
        "- one egg\n",
        "- two cups\n",
        "That is all\n\n",
        "1. Mix\n",
        "2. Bake for 10 min.\n",
        "10) Eat\n\n\n",
        "A line\nthat goes on. ",
        "End",
    ],
    "emoji": ["Great! ", "👋🏽 Hello there. ", "Nice ‼️ ", "Bye 👩‍👩‍👧 now."],
}
# What the rules look at, to be set next to one another in every order.
MARKS = ". ... … ! ? ?! 。 ！ ؟ । ; ． , : ； ” “ ' \" » « ) ( 」 — - * #"
WORDS = (
    "1. 3 14 2020 XIV 12) a. k; κ; Dr etc No e.g z B U.S x@y.z The the Mai I A home Home 안 ა مرحبا 好 か と é 👋 ᄀ"
)
FRAGMENTS = [
    *MARKS.split(),
    *WORDS.split(),
    "\u0301",
    "\u200d",
    "\ufe0f",
    " ",
    "  ",
    "\n",
    "\n\n",
    "\r\n",
    "\u00a0",
    "\u202f",
    "\u2029",
    "\t",
]
texts = st.lists(st.sampled_from(FRAGMENTS), max_size=24).map("".join)


def split(text: str) -> list[str]:
    """The sentences, with the spaces that follow them; the ends must rise and stay inside."""
    ends = find_sentence_ends(text, 0, len(text), final=True).ends
    assert ends == sorted(set(ends)) and all(0 < end <= len(text) for end in ends)
    sentences, start = [], 0
    for end in [*ends, len(text)]:
        end += len(text) - end - len(text[end:].lstrip())
        if text[start:end].strip():
            sentences.append(text[start:end])
            start = end
    return sentences


def ends_of_growing(text: str, sizes: list[int]) -> list[int]:
    """The ends told by scans of a text that grows by `sizes`, characters at a time, and is whole in the end."""
    told, resume, stop = set[int](), 0, 0
    for size in [*sizes, len(text)]:
        stop = min(stop + size, len(text))
        scan = find_sentence_ends(text[:stop], resume, stop, final=False)
        assert resume <= scan.resume <= stop, "a scan never goes back behind what is decided"
        assert scan.early is None or scan.early <= stop
        told.update(scan.ends)
        resume = scan.resume
    told.update(find_sentence_ends(text, resume, len(text), final=True).ends)
    return sorted(told)


@each("language", LANGUAGES)
def test_languages(language: str) -> None:
    sentences = LANGUAGES[language]
    assert split("".join(sentences)) == sentences


@each("language", LANGUAGES)
def test_languages_letter_by_letter(language: str) -> None:
    text = "".join(LANGUAGES[language])
    whole = find_sentence_ends(text, 0, len(text), final=True).ends
    assert ends_of_growing(text, [1] * len(text)) == whole


@given(texts, st.lists(st.integers(1, 9)))
def test_growing_is_judged_as_the_whole(text: str, sizes: list[int]) -> None:
    assert ends_of_growing(text, sizes) == find_sentence_ends(text, 0, len(text), final=True).ends


@given(texts)
def test_growing_letter_by_letter(text: str) -> None:
    assert ends_of_growing(text, [1] * len(text)) == find_sentence_ends(text, 0, len(text), final=True).ends


@given(texts, st.integers(0, 40))
def test_looks_back_no_further_than_it_says(text: str, more: int) -> None:
    """What was long before changes nothing, so that the chunker may let go of it."""
    before = "lorem ipsum\n" * 60
    start = len(before)
    whole = find_sentence_ends(before + text, start, start + len(text), final=True)
    gone = start - LOOKBACK_CHARS - 1 - more % 12
    rest = find_sentence_ends((before + text)[gone:], start - gone, start - gone + len(text), final=True)
    assert [end + gone for end in rest.ends] == whole.ends


@given(texts, texts)
def test_nothing_behind_stop_is_read(text: str, behind: str) -> None:
    for final in (False, True):
        alone = find_sentence_ends(text, 0, len(text), final=final)
        assert find_sentence_ends(text + behind, 0, len(text), final=final) == alone


@each(
    ("text", "ends", "early"),
    [
        ("It costs 3.", [], None),
        ("It costs 3.1", [], None),
        ("Dr. ", [], None),
        ("I said it.", [], None),
        ("I said it. ", [], None),  # it may be short for something: the next letter tells
        ("I said it. S", [10], None),
        ("I said it. s", [], None),
        ("It is finished. ", [15], None),  # a long word in lower case is none: nothing to wait for
        ("See you later. ", [14], None),
        ("See you soon. ", [], None),
        ("It is finished.", [], None),
        ("It is finished.\u00a0", [], None),
        ("It is finished.\u00a0 N", [15], None),
        ("It is finished.\u00a0Now", [], None),  # whoever wrote that space wants no break there
        ("Go on.\n", [], None),
        ("Go on.\n\n", [6], None),
        ("Wait... 5", [], None),
        ("Wait... F", [7], None),
        ("First this; Then", [], None),
        ("In the U.S. He", [], None),  # Henry?
        ("In the U.S. He ", [11], None),
        ("In the U.S. Henry ", [], None),
        ("« Oui ! ", [], None),
        ("« Oui ! N", [7], None),
        ("« Oui ! » N", [9], None),
        ("Stop!", [], None),
        ("Stop! ", [5], None),
        ("Stop!” ", [], None),  # she cried?
        ("Really?!", [], None),
        ("好。", [], 2),
        ("好。」", [], None),  # と言った?
        ("「好。", [], None),
        ("「好。」", [], None),
        ("「好。」她", [4], None),
        ("「好。」と", [], None),
        ("「好。」は", [], None),
        ("「好。」はい", [4], None),
        ("「好。」は彼", [], None),
        ("“好。", [], None),
        ("“好。”", [], 4),
        ("“はい。”", [], None),
        ("“‘好。’", [], None),
        ("好。“", [2], None),
        ('好。"', [2], None),
        ('"好。"', [], 4),
        ("(हाँ।", [], None),
        ("(हाँ।)", [], None),  # the space is to go with it
        ("(हाँ।) ", [6], None),
        ("«نعم؟", [], None),
        ("»نعم؟«", [], None),
        ("»نعم؟« ", [6], None),
        ("don't। ", [6], None),
        ("don’t।", [], 6),
        ('15" है।', [], 7),
        ("“ Oui ! ", [], None),
        ("“ Oui ! ” N", [9], None),
        ("好。他", [2], None),
        ("हाँ।", [], 4),
        ("نعم؟", [], 4),
        ("네. ", [2], None),
        ("Title\n", [], None),
        ("Title\n\n", [5], None),
        ("Title\n1", [], None),
        ("Title\n1. ", [5], None),
        ("Title\n19 of", [], None),
    ],
)
def test_what_is_certain_when(text: str, ends: list[int], early: int | None) -> None:
    scan = find_sentence_ends(text, 0, len(text), final=False)
    assert (scan.ends, scan.early) == (ends, early)


@pytest.mark.parametrize("text", ["Hi!", "It costs 3.", "Dr.", "好。", "« Oui !", "Really?”"])
def test_a_final_text_ends_with_its_stop(text: str) -> None:
    assert find_sentence_ends(text, 0, len(text), final=True).ends == [len(text)]


@each(
    ("text", "looks"),
    [
        ("Let me look.", Ending.SENTENCE),
        ("Let me look. ", Ending.SENTENCE),
        ("He said: “Go.” ", Ending.SENTENCE),
        ("Really?!", Ending.SENTENCE),
        ("Well...", Ending.SENTENCE),
        ("好。", Ending.SENTENCE),
        ("Τι κάνεις;", Ending.SENTENCE),
        ("First this;", Ending.UNFINISHED),
        ("It costs 3.", Ending.NUMBER),
        ("In 1990. ", Ending.NUMBER),
        ("It is 5!", Ending.SENTENCE),
        ("See Dr.", Ending.UNFINISHED),
        ("By J.", Ending.UNFINISHED),
        ("and so", Ending.UNFINISHED),
        ("and so on,", Ending.UNFINISHED),
        ("”", Ending.UNFINISHED),
        ("", Ending.UNFINISHED),
        (".", Ending.SENTENCE),
    ],
)
def test_ending(text: str, looks: Ending) -> None:
    assert ending(text, 0, len(text)) is looks
    assert ending(f"Behind. {text}", 8, 8 + len(text)) is looks


@pytest.mark.timeout(5)
@each("hostile", [".", "(", "”", "a.", "a. ", "« ", ". ", "! »", "\n", " \n-", "1", "\u0301", "é."])
def test_hostile_text_costs_no_more_than_its_length(hostile: str) -> None:
    """No pattern backtracks: the timeout is a hundred times what this takes, and a square of the length is more."""
    text = hostile * (30_000 // len(hostile))
    scan = find_sentence_ends(f"x{text}", 0, len(text) + 1, final=True)
    assert scan.resume == len(text) + 1
    assert ending(text, 0, len(text)) in Ending
