"""Keys of a site that are no certificates: those that sign orders and images, and attest builds."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from compose.certificates import make_key, public_key
from compose.files import write_missing
from farm.errors import FarmError, InputError
from farm.settings import Secret
from farm.system.processes import decoded, excerpt, run
from farm.system.programs import require
from farm.trust.ssh_keys import TYPES

if TYPE_CHECKING:
    from compose.site import Site

ORDER_KEY, WORKER_KEY = "order-key", "worker-key"
_TIMEOUT = 60.0


def make_cosign_key(site: Site) -> list[Path]:
    """Make the key pair of cosign, the private half encrypted as `cosign-passphrase` says."""
    private, public = site.secrets / "cosign.key", site.secrets / "cosign.pub"
    passphrase = Secret((site.secrets / "cosign-passphrase").read_text("utf-8").strip())
    made = make_key(private, passphrase)
    return made if public.exists() else [*made, *write_missing({public: public_key(private, passphrase)})]


def public_worker_key(path: Path) -> str:
    """The public half of a worker's key, as a policy names it."""
    return "".join(line for line in public_key(path).splitlines() if "-----" not in line)


def make_order_key(site: Site, host: str, given: str) -> list[Path]:
    """The SSH key of the first maintainer: the public key that the administrator has given, else a key pair.

    Raises:
        InputError: the first maintainer has another key than that.
    """
    private, public = site.maintainer / ORDER_KEY, site.maintainer / f"{ORDER_KEY}.pub"
    if public.exists():
        if given and given.split()[1] not in public.read_text("utf-8").split():
            hint = "nothing was changed; farm policy add maintainer lets another one order"
            raise InputError(f"{public} is another key", hint=hint)
        return []
    made = [] if given else write_missing({private: _new_ssh_key(f"maintainer@{host}")})
    return [*made, *write_missing({public: given or _ssh_keygen("-y", "-f", str(private))}, 0o644)]


def read_order_key(path: Path) -> str:
    """The public SSH key in a file.

    Raises:
        InputError: it holds none of a kind that signs orders.
    """
    try:
        text = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    if not text.startswith(tuple(f"{kind} " for kind in TYPES)) or "\n" in text:
        raise InputError(f"{path} is no public SSH key", hint="such as ~/.ssh/id_ed25519.pub")
    _ssh_keygen("-l", "-f", str(path))
    return text


def _new_ssh_key(comment: str) -> str:
    with tempfile.TemporaryDirectory(prefix="farm-") as directory:
        path = Path(directory, ORDER_KEY)
        _ssh_keygen("-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path))
        return path.read_text("utf-8")


def _ssh_keygen(*words: str) -> str:
    require("ssh-keygen")
    late = FarmError(f"ssh-keygen took longer than {_TIMEOUT:.0f} s")
    done = decoded(run(["ssh-keygen", *words], timeout=_TIMEOUT, late=late))
    if done.returncode:
        raise InputError(f"`ssh-keygen {words[0]}` failed: {excerpt(done.stderr, 300)}")
    return done.stdout
