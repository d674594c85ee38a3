"""What is said in a measurement: texts of a few kinds, or the lines of a file. Pure.

Each built-in text has one changing detail, because a provider that is given the same text again and again may answer
from a cache, and then it is the cache that is measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["BUILT_IN", "Text", "from_lines", "named"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text to say: `wording` with `{}` where each of `details` goes in turn. `built_in`: it may be shown."""

    name: str
    wording: str
    details: tuple[str, ...] = ()
    language: str | None = None
    built_in: bool = True

    def said(self, time: int) -> str:
        """What is said the `time`th time, from 0."""
        return self.wording.replace("{}", self.details[time % len(self.details)]) if self.details else self.wording

    @property
    def chars(self) -> int:
        """The most characters that one saying takes."""
        return max(len(self.said(time)) for time in range(max(1, len(self.details))))


# All of one length, and more than most measurements have repetitions.
_HOURS = tuple(f"{hour}:{minute}" for minute in range(10, 60) for hour in range(1, 10))
_NUMBERS = tuple(f"{(number * 7919 + 104_729) % 900_000 + 100_000}" for number in range(450))

BUILT_IN: dict[str, Text] = {
    text.name: text
    for text in (
        Text(
            name="short",
            wording="Of course. Your appointment is at {}, and I have sent you a message.",
            details=_HOURS,
            language="en",
        ),
        Text(
            name="one-sentence",
            wording="Thank you for calling, your table is ready at {}.",
            details=_HOURS,
            language="en",
        ),
        Text(
            name="paragraph",
            wording=(
                "The first train leaves at {} and takes a little over two hours. It stops four times on the way, and "
                "you can buy something to eat on board. If you would rather sleep longer, there is another one an hour "
                "later, which is slower but almost always empty. Both arrive at the main station, five minutes on foot "
                "from your hotel. Would you like me to book a seat for you, or shall I look for a flight instead?"
            ),
            details=_HOURS,
            language="en",
        ),
        Text(
            name="numbers",
            wording="Order {} comes to $1,249.95, that is 3.5 % less than on 12/04; call 555-0142 before 6:30 pm.",
            details=_NUMBERS,
            language="en",
        ),
        Text(
            name="german",
            wording="Selbstverständlich. Ihr Termin ist um {} Uhr, und ich habe Ihnen eine Nachricht geschickt.",
            details=_HOURS,
            language="de",
        ),
        Text(
            name="spanish",
            wording="Por supuesto. Su cita es a las {}, y le he enviado un mensaje con la dirección.",
            details=_HOURS,
            language="es",
        ),
        Text(
            name="french",
            wording="Bien sûr. Votre rendez-vous est à {}, et je vous ai envoyé un message avec l'adresse.",
            details=_HOURS,
            language="fr",
        ),
        Text(
            name="swahili",
            wording="Bila shaka. Miadi yako ni saa {}, na nimekutumia ujumbe wenye anwani.",
            details=_HOURS,
            language="sw",
        ),
    )
}


def named(names: Sequence[str]) -> list[Text]:
    """The built-in texts of these names, each once. Raises KeyError naming the first that there is not."""
    return [BUILT_IN[name] for name in dict.fromkeys(names)]


def from_lines(content: str) -> list[Text]:
    """A text a line, named by its number; empty lines and those that begin with `#` are left out. Raises ValueError
    where none is left. What the texts say is never part of a report."""
    lines = [line.strip() for line in content.splitlines()]
    texts = [
        Text(name=f"line-{number}", wording=line, built_in=False)
        for number, line in enumerate(lines, start=1)
        if line and not line.startswith("#")
    ]
    if not texts:
        raise ValueError("there is no text in it")
    return texts
