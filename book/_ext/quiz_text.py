"""How a quiz is written: options with a sign, and why each is right or wrong below it."""

from __future__ import annotations

import re
from dataclasses import dataclass

OPTION = re.compile(r"^(?P<sign>[+-]) (?P<text>.+)$")
RIGHT, WRONG = "Yes.", "No."


@dataclass
class Option:
    """One answer: its text, whether it is right, and why."""

    text: str
    right: bool
    why: str


def read_quiz(lines: list[str]) -> tuple[str, list[Option]]:
    """The question of a quiz, which are the lines up to the first option, and its options.

    Raises:
        ValueError: There is no question, a line belongs to nothing, an option is not explained,
            there are fewer than two, or not exactly one is right.
    """
    found: list[Option] = []
    question: list[str] = []
    for line in lines:
        if not line.strip():
            continue
        if made := OPTION.match(line):
            found.append(Option(made["text"].strip(), made["sign"] == "+", ""))
        elif found and line.startswith("  "):
            found[-1].why = f"{found[-1].why} {line.strip()}".strip()
        elif not found:
            question.append(line.strip())
        else:
            raise ValueError(f"a quiz has options (+ or -) and indented lines; got {line!r}")
    if not question:
        raise ValueError("a quiz must open with its question")
    unexplained = [option.text for option in found if not option.why]
    if unexplained:
        raise ValueError(f"an option of a quiz must be explained; {unexplained[0]!r} is not")
    right = sum(option.right for option in found)
    if len(found) < 2 or right != 1:
        raise ValueError(
            f"a quiz has two options or more and exactly one that is right; got {len(found)} "
            f"options, {right} of them right"
        )
    return " ".join(question), found
