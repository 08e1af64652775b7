"""Files kept from run to run, that several processes share.

    keep("kernels/ab12.o", content)        written whole or not at all
    kept("kernels/ab12.o")                 the content, or None where there is none or it is not what was written

Each file begins with a digest of the rest: one that was cut short or altered counts as missing. A process that dies
while it writes leaves a file of another name, which nobody reads. A folder that cannot be written is no error: nothing
is kept.
"""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

DIGEST = hashlib.sha256
LENGTH = DIGEST().digest_size


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/gossamer`, else `~/.cache/gossamer`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "gossamer"


def kept(name: str) -> bytes | None:
    """What was kept under `name`."""
    try:
        content = (cache_folder() / name).read_bytes()
    except OSError:
        return None
    digest, content = content[:LENGTH], content[LENGTH:]
    return content if DIGEST(content).digest() == digest else None


def keep(name: str, content: bytes) -> None:
    """Keep `content` under `name`; the latest of several writers counts."""
    path, temporary = cache_folder() / name, None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with open(handle, "wb") as file:
            file.write(DIGEST(content).digest() + content)
        os.replace(temporary, path)
    except OSError:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
