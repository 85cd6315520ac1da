"""Whether a provider's words say that a file or a job does not exist: not an address, not a project or a key, but the thing itself.

What is concluded from it (a record that is closed, a job whose files are let go) cannot be taken back: what is in doubt says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_LONGEST: Final = 4_000
"""Characters of a provider's words that are read."""
_OTHERS: Final = r"""
    account | organi[sz]ation | workspace | project | tenant | team | user | member | subscription | region | location | model
    | deployment | engine | instance | (?:api[ _-]?)?key | token | credential | secret | permission | role | parameter | param
    | argument | field | header | purpose | version | route | path | ur[li] | endpoint | page | link | method | operation | request
    | api | service | server | system | host | domain | bucket | container | store | storage | space | session | error | reason
    | type | format | size | extension | name | quota | limit | content | 模型 | 账号 | 账户 | 项目 | 空间 | 路径 | 接口 | 密钥 | 用户
    """
"""What sentences are about that are not about what is kept at a provider."""
_OTHER: Final = rf"(?<![A-Za-z0-9/.-])(?:{_OTHERS})(?![A-Za-z0-9])"
_THING: Final = rf"""
    (?<![A-Za-z0-9/.-])(?:file|object|dataset|entity|blob|document|batch|job|upload|fine[ -]?tun(?:e|ing)|文件|任务)
    (?![a-z] | [ _-]?(?:{_OTHERS})(?![A-Za-z0-9]))
    """
"""What is kept at providers, in the words that they have for it, and not as part of an address or of another thing's name."""
_ASIDE: Final = r"\b(?:in|of|for|on|at|under|within|from|by|to|with|via)\s(?:(?:the|this|that|your|an?)\s)?['\"`]?"
_SAID_OF: Final = re.compile(
    r"""
    \b(?:can)?not\s(?:be\s)?(?:found|located)\b | \bnot\sexist
    | n['\u2019]t\s(?:be\s)?(?:found|located|exist)\b
    | \bno\slonger\s(?:exist|available|there|present|stored) | \b(?:been|was|were|is)\s(?:already\s)?(?:deleted|removed|purged|gone)\b
    | \b(?:has|have|is|was|been|already)\s(?:already\s)?expired\b | 不存在 | 未找到 | 找不到 | 已被?删除 | 已过期
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Of what was named last before it."""
_SAYS_OF: Final = re.compile(
    r"""
    \bno\ssuch\b | \bno\b(?=.{1,60}\b(?:found|exists?|matches|with\s(?:(?:the|this|that|such)\s)?(?:id|name))\b)
    | \bthere\s(?:is|was)\sno\b | \b(?:can)?not\s(?:find|locate)\b
    | n['\u2019]t\s(?:find|locate)\b | \b(?:unable|failed)\sto\s(?:find|locate)\b
    | not\s?found(?:\s?error|\s?exception)?\s?: | 找不到 | 未找到 | 没有找到
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Of what is named first behind it."""
_BESIDE: Final = re.compile(r"(?P<before>\bunknown)\b | \bexpired\b", re.IGNORECASE | re.VERBOSE)
"""What says so only of the very next word, or of the one before it: there are unknown errors, and expired credentials."""
_BETWEEN: Final = re.compile(r"""[\s'"`:(]*""")
_BREAKS_OFF: Final = re.compile(
    r"""
    [:,]\s+(?!(?:was|were|is|does|did|could|can|cannot|has|have|no|not)\b)
    | \b(?:and|but|or|because|since|while|as)\s(?!(?:it|was|is|does|may|might|could|has)\b)
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Between a noun and what is said not to exist: what follows is about something else, of which no list here may know the name."""
_SENTENCE: Final = re.compile(r"[.!?;]\s|[\u3002\uff01\uff1f\uff1b]")
_MATCHES: Final = re.compile(r"\bno\s(\w+)(?=\smatches\sthe\sgiven\squery)", re.IGNORECASE)
"""What Django says of a model's row, https://docs.djangoproject.com/en/stable/topics/http/shortcuts/#get-object-or-404."""
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|[_-]")
_OF_THE_ADDRESS: Final = re.compile(
    r"""
    (?:\d{3}\s)?(?:not\sfound:\s)?
    (?: (?:the\s)?(?:requested\s|specified\s)?(?:resource|page|route|path|url|uri|endpoint|bucket)
        \s(?:(?:was|is|does|could|can)\s?)?not\s(?:be\s)?(?:found|exist)\W*$
    | (?:invalid|unknown|unrecognized|unsupported|no\ssuch)\s(?:request\s)?(?:url|uri|route|path|endpoint|page)\b
    | no\sroute\b | route\b | cannot\s(?:get|post|delete)\b | the\srequested\s(?:url|uri|path|route|endpoint)\b | /
    )
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""What servers and gateways say of an address that leads nowhere: Azure's "Resource not found", OpenAI's "Invalid URL (GET /files)", Kong's
"no Route matched with those values", Express' "Cannot GET /files", Flask's "404 Not Found: The requested URL …"; and Cloud Storage of a
bucket."""


class _Noun(NamedTuple):
    start: int
    end: int
    is_thing: bool


def of_the_address(words: str) -> bool:
    """Whether these are words for an address that leads nowhere, whatever they name."""
    return _OF_THE_ADDRESS.match(words) is not None


def says_absent(words: str, sought: str) -> bool:
    """Whether a sentence of these says that a file, a job or what has the id ``sought`` does not exist."""
    words = _MATCHES.sub(lambda found: f"no {_HUMP.sub(' ', found[1])}", words[:_LONGEST])
    nouns = _nouns_of(sought)
    return any(_says_absent(sentence, nouns) for sentence in _SENTENCE.split(words))


def code_says_absent(code: str) -> bool:
    """Whether an error's code says so, such as ``file_not_found`` and ``FileNotFound``."""
    return says_absent(_HUMP.sub(" ", code), "")


def _nouns_of(sought: str) -> re.Pattern[str]:
    # By itself or at the end of a resource's name, such as accounts/a/datasets/x; in a path it says nothing.
    name = rf"(?-i:(?<![\w/.-])(?:(?!v\d)[\w.-]+/)*{re.escape(sought)}(?!\w))" if sought else r"(?!)"
    called = rf"(?:(?:\sid)?[\s:='\"`(]{{1,3}}{name})?"
    return re.compile(
        rf"(?P<aside>{_ASIDE})?(?:(?P<other>{_OTHER}{called})|(?P<thing>{_THING}{called}|{name}))", re.IGNORECASE | re.VERBOSE
    )


def _says_absent(sentence: str, nouns: re.Pattern[str]) -> bool:
    named = [
        _Noun(found.start("other" if found["other"] else "thing"), found.end(), found["thing"] is not None)
        for found in nouns.finditer(sentence)
        if not found["aside"]
    ]
    return any(noun is not None and noun.is_thing for noun in _subjects(sentence, named))


def _subjects(sentence: str, named: list[_Noun]) -> Iterator[_Noun | None]:
    """What is said not to exist, each time that a sentence says so of anything."""
    for said in _SAID_OF.finditer(sentence):
        noun = _last_before(named, said.start())
        yield None if noun is None or _BREAKS_OFF.search(sentence, noun.end, said.start()) else noun
    for said in _SAYS_OF.finditer(sentence):
        yield _first_behind(named, said.end())
    for said in _BESIDE.finditer(sentence):
        noun = _first_behind(named, said.end()) if said["before"] else _last_before(named, said.start())
        if noun is not None:
            between = (said.end(), noun.start) if said["before"] else (noun.end, said.start())
            yield noun if _BETWEEN.fullmatch(sentence, *between) else None


def _last_before(named: list[_Noun], place: int) -> _Noun | None:
    return next((noun for noun in reversed(named) if noun.end <= place), None)


def _first_behind(named: list[_Noun], place: int) -> _Noun | None:
    return next((noun for noun in named if noun.start >= place), None)
