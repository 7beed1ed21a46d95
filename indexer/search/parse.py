"""Parse: what a user typed -> phrases, people, words and meaning. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contracts.errors import FieldViolation, InvalidRequest
from contracts.text import may_fit
from indexer.search.english import may_be_english
from indexer.search.hangul import from_latin

MAX_QUERY_CHARS = 1000
"""Code points. Source: ``heimdex.search.v1.SearchScenesRequest.query``."""

MAX_PHRASES = 10
"""More are refused: each is a clause of the text query."""

MIN_PLAIN_NAME_CHARS = 2
"""Of a name without ``@``: one syllable (이, 수) is a particle or a word far more often than a name."""

MAX_EXCLUDED = 10
"""More are refused likewise."""

QUOTES = '"“”'
"""What stands around a phrase; in other widths, too, for ``plain`` knows none."""

_QUOTE = f"[{QUOTES}]"
_NO_QUOTES = dict.fromkeys(map(ord, QUOTES), " ")
MINUSES = "-\u2212\u2013\u2014"
"""Hyphen, minus sign, and the dashes that keyboards make of one and of two."""

_MINUS = f"[{MINUSES}]++"
# A phrase, with a minus before it or none; what is left out to the end, where a quotation mark has no other; a word
# with a minus. The minus begins a word of the query: one within a word joins (e-mail), one before a digit is of a
# number (-5), one alone is a dash.
_LITERAL = re.compile(
    rf"(?:(?<!\S)({_MINUS}))?{_QUOTE}([^{QUOTES}]*){_QUOTE}|(?<!\S){_MINUS}{_QUOTE}([^{QUOTES}]+)$"
    rf"|(?<!\S){_MINUS}([^\W\d](?:[^\s{QUOTES}]*\w)?)"
)
_NOT_A_PERSON = re.compile(rf"(?<!\S){_MINUS}@\w")
_MINUSES = re.compile(rf"(?<!\S){_MINUS}(?=\S)")

# Spaces without width, soft hyphens, and marks of direction: pasted with a text, and no part of it.
_UNSEEN = dict.fromkeys((0xAD, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), 0x2060, *range(0x2066, 0x206A), 0xFEFF))
# Joiners and variants of emoji, beside letters that know none. Others do: Persian and Hindi are written with them.
_JOINERS = re.compile(
    r"(?<=[가-힣A-Za-z0-9])[\u200c\u200d\ufe0f]+|(?<![\u200c\u200d])[\u200c\u200d]++(?=[가-힣A-Za-z0-9])"
)
_WIDTHS = {
    code: chr(int(meant, 16))
    for code in range(0xFF01, 0xFFEF)
    for kind, _, meant in (unicodedata.decomposition(chr(code)).partition(" "),)
    if kind in {"<wide>", "<narrow>"}
}
"""Full-width and half-width forms -> what they are forms of. Letters of Hangul stay letters, as NFKC has them not."""

_ENDS = " .?!"  # of a sentence
_LATIN_WORDS = re.compile(r"[A-Za-z]+(?: [A-Za-z]+)*")
_MAX_ABBREVIATION = 4
_MIN_TYPED_SYLLABLES = 2  # one (sns is 눈, dna 움) is an abbreviation as often as a word

# What may follow a name within its word: a title, 이 of a closed syllable (민준이가), then particles, and some of them
# follow others (민지한테는, 민지와의). "About her" is said in two words.
_PARTICLES = (
    r"가|는|은|를|을|이?랑|도|의|만|와|과|아|에게서?|에서|에|께서?|한테서?|하고|보다|처럼|까지|부터|마저|조차"
    r"|밖에|뿐|마다|이?나|으?로서?|이?라고|이?라는|더러|커녕|입니다|이에요|예요|이?야|['’]s"
)
_ABOUT = r"에\s(?:대한|대해서?|관한|관해서?)"
_AFTER_NAME = rf"(?:\s?(?:씨|님|네|양|군|선생님|쌤))?이?(?:{_ABOUT}|(?:{_PARTICLES})(?:{_PARTICLES}|이)*+)?(?![^\W_])"
"""Possessive, for 이나 is one particle or two: long rows of them would take for ever."""

_GAP = re.compile(r"(?<=[가-힣]) (?=[가-힣])")

# How people ask, not what for: at the end of a query only, where it can't be a part of what is said.
_APPEARS = r"나오는|나온|나왔던|나올|등장하는|등장한|출연하는|출연한|있는|있던|하는"
_SHOW = (
    r"(?:찾아|보여|알려|모아)\s*(?:줘요?|줘봐요?|줘라|주라|주세요|줄래요?|주실래요|주시겠어요|달라|봐요?"
    r"|(?:줄|주실)\s?수\s?있(?:어요?|나요|을까요?))"
)
_ASKING = re.compile(
    rf"(?:^|\s+)(?:(?:{_APPEARS})\s+)?(?:장면|영상|동영상|비디오|화면|부분|씬)(?:들)?(?:을|를|이|가|은|는|만|에서|도)?"
    rf"(?:\s*(?:좀|다))?(?:\s*(?:{_SHOW}|있(?:어요?|나요?|니|을까요?)))?[\s.?!]*$"
    rf"|\s+(?:좀\s*)?{_SHOW}[\s.?!]*$"
)
_NOTHING_BUT_ASKED = re.compile(rf"(?:좀\s*)?(?:{_SHOW}|나와요?|나오나요)[\s.?!]*")
"""What is left of a query that names somebody, or has a phrase, and asks for nothing else."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A name in the query and everybody who bears it.

    Attributes:
        people: person id -> display name: of an alias another.
        required: when written ``@name``.
    """

    name: str
    people: Mapping[str, str]
    required: bool

    @property
    def person_ids(self) -> tuple[str, ...]:
        """Return who bears the name."""
        return tuple(self.people)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A query, taken apart.

    Attributes:
        words: what BM25 and tags look for, without people, phrases and ways of asking; may be empty.
        meaning: what the encoders read: the query without people, phrases without their quotes; may be empty.
        phrases: each must be said.
        mentions: people, in order of their place.
        excluded: words and phrases whose scenes are left out.
        read_as: what its words were read as, and then taken apart, when it was typed on a Latin keyboard; else empty.
    """

    words: str
    meaning: str
    phrases: tuple[str, ...]
    mentions: tuple[Mention, ...]
    excluded: tuple[str, ...] = ()
    read_as: str = ""

    @property
    def marking(self) -> str:
        """Return what is marked in transcripts and names of tags."""
        return " ".join(part for part in (*self.phrases, self.words) if part)


def parse(
    query: str,
    names: Sequence[tuple[str, str]] = (),
    *,
    max_chars: int = MAX_QUERY_CHARS,
    exclusions_suffice: bool = False,
) -> Parsed:
    """Take a query apart. A query of nothing but plain names keeps them as words: they may be spoken.

    Args:
        names: (person_id, name) of every display name and alias, of each person the display name first.
        exclusions_suffice: whether something else says what to look for, so that the query may only say what not.

    Raises: InvalidRequest (permanent) when it is blank, too long, has control characters, too many phrases or
        exclusions, or nothing to look for, or ``@`` names nobody or somebody to leave out.
    """
    text = clean(query, max_chars=max_chars)
    literals = [
        (bool(minus or rest or word), _squeeze(phrase or rest or word))
        for minus, phrase, rest, word in _LITERAL.findall(text)
    ]
    phrases = tuple(dict.fromkeys(said for is_excluded, said in literals if said and not is_excluded))
    excluded = tuple(dict.fromkeys(said for is_excluded, said in literals if said and is_excluded))
    if len(phrases) > MAX_PHRASES:
        raise _refused(f"has more than {MAX_PHRASES} phrases")
    if len(excluded) > MAX_EXCLUDED:
        raise _refused(f"excludes more than {MAX_EXCLUDED} words")
    rest = _squeeze(_LITERAL.sub(" ", text).translate(_NO_QUOTES))
    if _NOT_A_PERSON.search(rest):
        raise _refused("excludes a person: filter.excluded_person_ids does that")
    bare, mentions = _people(rest, names)
    read_as = "" if phrases or mentions else _typed_hangul(bare)
    if read_as:
        bare, mentions = _people(read_as, names)
        excluded = tuple(dict.fromkeys(_typed_hangul(word) or word for word in excluded))
    only_asked = (mentions or phrases) and _NOTHING_BUT_ASKED.fullmatch(bare)
    words = "" if only_asked else _ASKING.sub("", bare).strip()
    if not _says(bare):
        words = bare = ""
    if words or not (mentions or phrases):
        words, meaning = words or bare, bare
    else:
        words, meaning = "" if phrases else " ".join(m.name for m in mentions if not m.required), ""
    if not (words or any(map(_says, phrases)) or mentions or (excluded and exclusions_suffice)):
        raise _refused("has nothing to look for")
    return Parsed(words, _as_written(_squeeze(" ".join((*phrases, meaning)))), phrases, mentions, excluded, read_as)


def _as_written(meaning: str) -> str:
    """Return what is in capitals throughout in small letters: the encoders tell them apart. Abbreviations stay."""
    shouted = _LATIN_WORDS.fullmatch(meaning) and meaning.isupper()
    return meaning.lower() if shouted and len(meaning) > _MAX_ABBREVIATION else meaning


def _typed_hangul(text: str) -> str:
    """Return what was meant by Hangul typed on a Latin keyboard; empty when the words are to be taken as they are.

    Words in capitals stay, for abbreviations are written so; of the others one must be none that English may have.
    """
    words = text.rstrip(_ENDS)
    each = words.split()
    typed = [word for word in each if not _is_abbreviation(word)]
    if not _LATIN_WORDS.fullmatch(words) or all(map(may_be_english, typed)):
        return ""
    meant = {word: from_latin(word) for word in typed}
    if None in meant.values() or sum(map(len, filter(None, meant.values()))) < _MIN_TYPED_SYLLABLES:
        return ""
    return " ".join(meant.get(word) or word for word in each)


def _is_abbreviation(word: str) -> bool:
    return len(word) > 1 and word.isupper()


def clean(query: str, *, max_chars: int = MAX_QUERY_CHARS, may_be_blank: bool = False) -> str:
    """Return the query as ``plain`` has it, white space squeezed.

    Raises: InvalidRequest (permanent) when it is blank and must not be, too long, or has control characters that are no
        white space.
    """
    text = plain(query) if may_fit(query, max_chars) else query
    if len(text) > max_chars:
        raise _refused(f"has {len(text)} characters, at most {max_chars} are allowed")
    if any(_is_control(c) for c in text):
        raise _refused("has control characters")
    text = _squeeze(text)
    if not text and not may_be_blank:
        raise _refused("is empty")
    return text


def plain(text: str) -> str:
    """Return a text in NFC, in letters and signs of usual width, without what has none."""
    return _JOINERS.sub("", unicodedata.normalize("NFC", text.translate(_UNSEEN).translate(_WIDTHS)))


def without_signs(text: str) -> str:
    """Return what was written for no grammar as a query of nothing but text: its signs, and what is refused, blank."""
    blank = (" " if char in QUOTES or char == "@" or _is_control(char) else char for char in plain(text))
    return _MINUSES.sub(" ", "".join(blank))


def _is_control(char: str) -> bool:
    # Cc: control, Cs: lone surrogates. Format characters (Cf) stay: emoji are joined by them.
    return unicodedata.category(char) in {"Cc", "Cs"} and not char.isspace()


def _says(text: str) -> bool:
    """Return whether there is anything to look for: a letter, a digit or an emoji."""
    return any(unicodedata.category(char)[0] in "LN" or unicodedata.category(char) == "So" for char in text)


def _squeeze(text: str) -> str:
    return " ".join(text.split())


def _people(text: str, names: Sequence[tuple[str, str]]) -> tuple[str, tuple[Mention, ...]]:
    """Return the text without people, and who they are; longer names first, so 김민지 is not 민지. Parts of a Korean
    name may be written together: 버락 오바마 is also 버락오바마.
    """
    displayed: dict[str, str] = {}
    for person_id, written in names:
        displayed.setdefault(person_id, written)
    by_name: dict[str, tuple[str, list[str]]] = {}
    for person_id, written in sorted(names, key=lambda each: -len(each[1])):
        name = _squeeze(plain(written))
        if name:
            by_name.setdefault(_GAP.sub("", name).casefold(), (name, []))[1].append(person_id)
    folded = _GAP.sub("", text).casefold()
    present = [item for key, item in by_name.items() if key in folded]  # a tenant may have hundreds
    found: list[tuple[int, Mention]] = []
    for name, bearers in sorted(present, key=lambda item: (-len(item[0]), item[0])):
        people = {person_id: displayed[person_id] for person_id in bearers}
        spelled = " ?".join(re.escape(part) for part in _GAP.split(name))
        pattern = re.compile(rf"(?<![^\W_])(?<!@)(@?){spelled}{_AFTER_NAME}", re.IGNORECASE)
        matches = [m for m in pattern.finditer(text) if m[1] or len(name) >= MIN_PLAIN_NAME_CHARS]
        if matches:
            found.append((matches[0].start(), Mention(name, people, any(m[1] for m in matches))))
        for match in matches:
            # As long as it was: places of other names stay true.
            text = text[: match.start()] + " " * len(match[0]) + text[match.end() :]
    if re.search(r"(?:^|\s)@\w", text):
        raise _refused("names with @ somebody who is not enrolled")
    ordered = tuple(mention for _, mention in sorted(found, key=lambda item: item[0]))
    bare = _squeeze(text)
    return (bare if re.search(r"\w", bare) or not ordered else ""), ordered


def _refused(description: str) -> InvalidRequest:
    return InvalidRequest(FieldViolation("query", description))
