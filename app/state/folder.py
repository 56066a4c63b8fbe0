"""The folder of an embedded store: its lock against a second live service, and where its socket is."""

import fcntl
import os
import tempfile
from pathlib import Path

from model.errors import StateError

SOCKET_BYTES = 107  # what sockaddr_un holds besides its closing NUL


class StateInUseError(StateError):
    """Another live service owns the state folder."""


def socket_path(state_dir: Path) -> Path:
    """Where the socket of a state folder is: inside, or in a short folder noted there when the path is too long."""
    inside, note = state_dir / "valkey.sock", state_dir / "socket"
    if len(os.fsencode(inside)) <= SOCKET_BYTES:
        return inside
    noted = Path(note.read_text()) if note.exists() else None
    if noted is None or not _is_ours(noted.parent):
        noted = Path(_short_folder()) / "valkey.sock"
        note.write_text(str(noted))
    return noted


def _short_folder() -> str:
    """A new private folder whose path leaves room for the socket's name; TMPDIR itself may be too long."""
    room = SOCKET_BYTES - len("/polyrank-12345678/valkey.sock")
    base = tempfile.gettempdir()
    return tempfile.mkdtemp(prefix="polyrank-", dir=base if len(os.fsencode(base)) <= room else "/tmp")  # noqa: S108


def _is_ours(folder: Path) -> bool:
    """Is this a folder that only we can write to? Another user could put a socket of its own into any other."""
    try:
        found = folder.stat(follow_symlinks=False)
    except OSError:
        return False
    return found.st_uid == os.getuid() and found.st_mode & 0o077 == 0


def lock(state_dir: Path) -> int:
    """An open lock on the folder, held as long as this process lives; StateInUseError when another one has it."""
    handle = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.read(handle, 20).decode() or "unknown"
        os.close(handle)
        move = "give this one another POLYRANK_STATE_DIR, or both one POLYRANK_REDIS_URL"
        raise StateInUseError("state folder", f"{state_dir} in use by process {owner}", move) from None
    os.ftruncate(handle, 0)
    os.pwrite(handle, str(os.getpid()).encode(), 0)
    return handle
