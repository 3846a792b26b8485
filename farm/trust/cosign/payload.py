"""What a signature says: the "simple signing" payload, for one tag; all pure.

https://github.com/containers/image/blob/v5.36.0/docs/containers-signature.5.md#json-data-format

cosign looks at the digest alone. `docker-reference` holds the tag as well, as podman demands it for a pull by
tag, so that an older index cannot take the place of the one that was signed under a tag.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from farm.errors import InputError
from farm.model import Reference

if TYPE_CHECKING:
    from farm.trust.signer import SignTarget

_TYPE = "cosign container image signature"


def payload_of(target: SignTarget) -> bytes:
    """The bytes that are signed for a target: the same target gives the same bytes."""
    data = {
        "critical": {
            "identity": {"docker-reference": f"{target.name}:{target.tag}"},
            "image": {"docker-manifest-digest": target.digest},
            "type": _TYPE,
        },
        "optional": {**dict(target.claims), "tag": target.tag},
    }
    return json.dumps(data, separators=(",", ":"), sort_keys=True).encode()


def says(payload: bytes, target: SignTarget) -> bool:
    """Whether a payload, whose signature was verified, is about exactly this target, with all of its claims.

    One of `cosign sign` names the tag by `--annotations tag=TAG` or `--sign-container-identity NAME:TAG`; one
    that names none signs no tag.
    """
    try:
        data = json.loads(payload)
        critical, optional = data["critical"], data["optional"] or {}
        named = Reference.parse(critical["identity"]["docker-reference"])
        tags = {tag for tag in (named.tag, optional.get("tag")) if tag is not None}
        signed = (named.name, tags, critical["image"]["docker-manifest-digest"], critical["type"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError):
        return False
    claimed = all(optional.get(name) == value for name, value in target.claims)
    return claimed and signed == (target.name, {target.tag}, target.digest, _TYPE)
