"""Public keys of workers as `farm worker init` prints them, checked without a library."""

from __future__ import annotations

import base64
import binascii

# A DER SubjectPublicKeyInfo of an uncompressed point: https://www.rfc-editor.org/rfc/rfc5480#section-2
_P256 = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
_KEY_SIZE = 91
# y^2 = x^3 - 3x + b mod p: https://nvlpubs.nist.gov/nistpubs/SpecialPublications/NIST.SP.800-186.pdf, 3.2.1.3
_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B


def is_usual_key(text: str) -> bool:
    """Whether it is a key on P-256 as `farm worker init` prints it; policy_text knows all other forms.

    The import of cryptography takes 45 ms, which most commands that read a policy do without.
    """
    try:
        der = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    if len(der) != _KEY_SIZE or not der.startswith(_P256) or base64.b64encode(der).decode() != text:
        return False
    middle = (len(_P256) + _KEY_SIZE) // 2
    x, y = int.from_bytes(der[len(_P256) : middle]), int.from_bytes(der[middle:])
    return max(x, y) < _P and (y * y - x**3 + 3 * x - _B) % _P == 0
