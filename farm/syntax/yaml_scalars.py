"""What an unquoted or tagged scalar of YAML means, by the rules of linuxkit's parser, go-yaml.

It reads 0666 as octal, `yes` as text, and `2024-01-01` where text is wanted as it is written:
https://github.com/go-yaml/yaml/blob/v3.0.1/resolve.go
"""

from __future__ import annotations

import base64
import math
import re

Scalar = None | bool | int | float | str

PLAIN = "plain"
"""The tag of a scalar without quotes and without a tag."""
_BINARY = "tag:yaml.org,2002:binary"
_KINDS: dict[str, tuple[type, ...]] = {
    "tag:yaml.org,2002:null": (type(None),),
    "tag:yaml.org,2002:bool": (bool,),
    "tag:yaml.org,2002:int": (int,),
    "tag:yaml.org,2002:float": (float, int),
}
_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((f"{sign}{word}" for sign in ("", "+") for word in (".inf", ".Inf", ".INF")), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_NUMBER = "+-.0123456789"
"""The characters with which a number begins."""
_WHOLE = r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))"
_BASES = (16, 2, 8, 10)
_FRACTION = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1


def resolve(tag: str, text: str) -> Scalar:
    """The value of a scalar; a ValueError if the text does not suit its tag."""
    if tag == PLAIN:
        return _resolve_plain(text)
    if tag == _BINARY:
        return base64.b64decode(text, validate=True).decode()
    if tag not in _KINDS:
        return text
    value = _resolve_plain(text)
    if type(value) not in _KINDS[tag]:
        raise ValueError(f"{text!r} is not a !!{tag.rpartition(':')[2]}")
    return value


def _resolve_plain(text: str) -> Scalar:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER:
        return text
    digits = text if text[0] == "." else text.replace("_", "")
    if whole := re.fullmatch(_WHOLE, digits):
        sign, *bases = whole.groups()
        number, base = next((found, base) for found, base in zip(bases, _BASES, strict=True) if found)
        value = int(f"{sign}{number}", base)
        if _SMALLEST <= value <= _LARGEST:
            return value
    return float(digits) if re.fullmatch(_FRACTION, digits) else text
