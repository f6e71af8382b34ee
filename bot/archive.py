"""A backup's file: one tar, written whole or not at all, and read as if an enemy had made it.

    manifest.json                       what it is, first, so that it can be judged first
    database.sqlite | database.rows     a copy of the database, or its rows (see `storage.transfer`)
    keys/NAME.key                       the instance's own keys, but no token that somebody else gave it
    blobs/KEY                           artifacts and uploads
    end.json                            a digest of all the above, last, so that nothing is cut off

Nothing is ever unpacked by name: members are read here, and whoever reads decides where bytes go. Only plain
files with these names pass; no links, folders, devices, sparse files or extended headers.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import tarfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal, TypeVar, cast

import msgspec

CHUNK_BYTES = 1024 * 1024
DATABASE_BYTES_MAX = 2**44
BLOB_BYTES_MAX = 512 * 1024 * 1024
KEY_BYTES_MAX = 64 * 1024
NOTE_BYTES_MAX = 1024 * 1024
MEMBERS_MAX = 50_000_000
NAME_BYTES_MAX = 4096
LAYOUT = 1
GZIP_LEVEL = 1  # for the database: pictures are compressed already

MANIFEST, END = "manifest.json", "end.json"
T = TypeVar("T")
DatabaseKind = Literal["sqlite", "rows"]
_KEY_FILE = re.compile(r"keys/[a-z0-9_-]{1,60}\.key")
_PART = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+"
_BLOB = re.compile(f"blobs/{_PART}(?:/{_PART})*")


class ArchiveError(Exception):
    """The file is no backup that can be used: one sentence. Nothing was changed."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    format: Literal["atelier-backup"] = "atelier-backup"
    layout: int = LAYOUT
    version: str  # of Atelier
    revision: str  # of the database's schema
    database: DatabaseKind
    rows: dict[str, int]
    made_at: str
    secrets: tuple[str, ...] = ()  # variables that were set: their values are not in the archive


class End(msgspec.Struct, frozen=True, kw_only=True):
    members: int
    digest: str


def is_key(name: str) -> bool:
    """Whether a file of this name in the folder of keys is part of a backup."""
    return _KEY_FILE.fullmatch(f"keys/{name}") is not None


# --- writing ----------------------------------------------------------------------------------------------


class Writer:
    """Adds members in their order; made by `writing`."""

    def __init__(self, file: IO[bytes]) -> None:
        self._tar = tarfile.open(fileobj=file, mode="w|", format=tarfile.GNU_FORMAT)  # noqa: SIM115
        self._digest, self._members = hashlib.sha256(), 0

    def add(self, name: str, data: bytes) -> None:
        self._add(name, len(data), io.BytesIO(data))

    def add_file(self, name: str, path: Path) -> None:
        with path.open("rb") as file:
            self._add(name, path.stat().st_size, file)

    def end(self) -> None:
        """Seals what was added."""
        self.add(END, msgspec.json.encode(End(members=self._members, digest=self._digest.hexdigest())))
        self._tar.close()

    def close(self) -> None:
        """Lets go of what failed; after `end` there is nothing to do."""
        with suppress(OSError):
            self._tar.close()

    def _add(self, name: str, size: int, content: IO[bytes]) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, 0o600
        self._digest.update(_heading(name, size))
        self._members += 1
        self._tar.addfile(member, cast("IO[bytes]", _Hashed(content, self._digest)))


@contextmanager
def writing(path: Path) -> Generator[Writer]:
    """A new archive at `path`, readable by its owner only: there when the block ends well, else never.

    Compressed if its name ends in gz. Raises ArchiveError if something is there already.
    """
    if path.exists():
        raise ArchiveError(f"{path} exists already: name another file, or move it away.")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            compressed = path.suffix in (".gz", ".tgz")
            with _packing(file, compressed=compressed) as packed, closing(Writer(packed)) as writer:
                yield writer
                writer.end()
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _packing(file: IO[bytes], *, compressed: bool) -> Generator[IO[bytes]]:
    if not compressed:
        yield file
        return
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=GZIP_LEVEL, mtime=0) as packed:
        yield cast("IO[bytes]", packed)


class _Hashed:
    """A file whose reads are digested on their way."""

    def __init__(self, content: IO[bytes], digest: Any) -> None:
        self._content, self._digest = content, digest

    def read(self, size: int = -1) -> bytes:
        data = self._content.read(size)
        self._digest.update(data)
        return data


def _heading(name: str, size: int) -> bytes:
    return f"{len(name)} {name} {size}\n".encode()


# --- reading ----------------------------------------------------------------------------------------------


class Member:
    """One file of the archive, to be read before the next one is asked for."""

    def __init__(self, name: str, size: int, content: _Hashed) -> None:
        self.name, self.size = name, size
        self._content, self._left = content, size

    def chunks(self) -> Iterator[bytes]:
        """Raises ArchiveError if the file ends early."""
        while self._left:
            data = self._content.read(min(CHUNK_BYTES, self._left))
            if not data:
                raise ArchiveError("The backup is cut off: use another copy of it.")
            self._left -= len(data)
            yield data

    def data(self) -> bytes:
        return b"".join(self.chunks())

    def save(self, path: Path) -> None:
        with path.open("xb") as file:
            file.writelines(self.chunks())


def manifest(path: Path) -> Manifest:
    """What the archive says of itself. Raises ArchiveError."""
    for member in members(path):
        return _note(member, Manifest)
    raise ArchiveError(f"{path} is empty.")


def members(path: Path) -> Iterator[Member]:
    """All members but the seal, which is checked at the end. Raises ArchiveError."""
    digest, count, seen = hashlib.sha256(), 0, set[str]()
    with _reading(path) as tar:
        for info in tar:
            content = cast("IO[bytes]", tar.extractfile(info))
            if info.name == END:
                _check_end(
                    _note(Member(END, info.size, _Hashed(content, hashlib.sha256())), End), count, digest
                )
                return
            _check_place(info, count, seen)
            digest.update(_heading(info.name, info.size))
            member = Member(info.name, info.size, _Hashed(content, digest))
            yield member
            for _ in member.chunks():
                pass
            count += 1
    raise ArchiveError("The backup is cut off: use another copy of it.")


@contextmanager
def _reading(path: Path) -> Generator[tarfile.TarFile]:
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            with tarfile.open(fileobj=file, mode="r|gz" if packed else "r|", tarinfo=_Plain) as tar:
                yield tar
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ArchiveError(f"{path} is no backup of Atelier, or damaged: use another copy of it.") from error
    except FileNotFoundError:
        raise ArchiveError(f"There is no file {path}.") from None


class _Plain(tarfile.TarInfo):
    """A header that is judged before anything that it announces is read: plain files and their long names."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Plain:
        info = super().frombuf(buf, encoding, errors)
        if info.type == tarfile.GNUTYPE_LONGNAME and info.size <= NAME_BYTES_MAX:
            return info
        if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or info.size < 0:
            raise ArchiveError(
                "The archive holds something other than plain files: it is no backup of Atelier."
            )
        return info


def _check_place(info: tarfile.TarInfo, count: int, seen: set[str]) -> None:
    """Names, sizes and order. Blobs may be many, so only the others are remembered."""
    name = info.name
    if (name == MANIFEST) != (count == 0) or name in seen or count > MEMBERS_MAX:
        raise ArchiveError("The file is no backup of Atelier: its parts are not in the order that it has.")
    limit = _size_max(name)
    if limit is None:
        raise ArchiveError("The archive holds a file that no backup has: it is no backup of Atelier.")
    if info.size > limit:
        raise ArchiveError(f"The archive holds a file of {info.size} bytes where at most {limit} may be.")
    if not name.startswith("blobs/"):
        seen.add(name)


def _size_max(name: str) -> int | None:
    """How large a member of this name may be; None for a name that has no place in a backup."""
    if name == MANIFEST:
        return NOTE_BYTES_MAX
    if name in ("database.sqlite", "database.rows"):
        return DATABASE_BYTES_MAX
    if _KEY_FILE.fullmatch(name):
        return KEY_BYTES_MAX
    return BLOB_BYTES_MAX if _BLOB.fullmatch(name) else None


def _note(member: Member, kind: type[T]) -> T:
    if member.size > NOTE_BYTES_MAX:
        raise ArchiveError("The file is no backup of Atelier.")
    try:
        return msgspec.json.decode(member.data(), type=kind)
    except ValueError as error:  # msgspec's own errors are ValueErrors
        raise ArchiveError("The file is no backup of Atelier, or a newer one made it.") from error


def _check_end(end: End, count: int, digest: Any) -> None:
    if end.members != count or end.digest != digest.hexdigest():
        raise ArchiveError("The backup is damaged: use another copy of it.")
