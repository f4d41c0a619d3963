"""A zip file from somebody else, read as data: every size is checked before anything is read or decompressed."""

from __future__ import annotations

import io
import zipfile
import zlib

from explorer.errors import NetworkError

MOST_ENTRIES = 200_000
MOST_INFLATED = 32 << 20  # bytes of all compressed entries together; only program texts are ever compressed
LONGEST_SHOWN = 80


def shown(text: object) -> str:
    """A name from a file on one line of a sentence: ? for control characters, cut after 80 characters."""
    text = text if isinstance(text, str) else str(text)
    cut = text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."
    return "".join(letter if letter.isprintable() else "?" for letter in cut)


def is_archive(data: bytes) -> bool:
    """Whether these bytes begin like a zip file."""
    return data[:4] == b"PK\x03\x04"


class Archive:
    """The entries of a zip file as torch writes it: in one folder, uncompressed but for a program's text.

    Args:
        data: the whole file.
        name: what to call it in a sentence.
        inflatable: folders whose entries may be compressed.

    Raises:
        NetworkError: it is damaged, has two entries of one name or too many, or an entry is compressed elsewhere.
    """

    def __init__(self, data: bytes, name: str, inflatable: tuple[str, ...] = ()) -> None:
        self.data, self.name = memoryview(data), name
        if data.count(b"PK\x01\x02") > MOST_ENTRIES:
            raise NetworkError(f"{name} holds more than {MOST_ENTRIES:,} entries, which is more than a network has.")
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as file:
                infos = [info for info in file.infolist() if not info.is_dir()]
        except (zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError, RecursionError):
            raise NetworkError(f"{name} is damaged or cut short: it begins like a zip file but has no whole list "
                               "of its entries.") from None
        self._entries = {info.filename.partition("/")[2]: info for info in infos}
        if len(self._entries) != len(infos):
            raise NetworkError(f"{name} is not as torch writes it: it has two entries of the same name.")
        self._check_sizes(inflatable)

    def _check_sizes(self, inflatable: tuple[str, ...]) -> None:
        inflated = 0
        for path, info in self._entries.items():
            if info.flag_bits & 1:
                raise NetworkError(f"{self.name} is not as torch writes it: {shown(path)} is encrypted.")
            if info.compress_type == zipfile.ZIP_STORED and info.compress_size == info.file_size:
                continue
            inflated += info.file_size
            if not path.startswith(inflatable) or info.compress_type != zipfile.ZIP_DEFLATED:
                raise NetworkError(f"{self.name} is not as torch writes it: its entry {shown(path)} is compressed, "
                                   f"and would grow to {info.file_size:,} bytes.")
        if inflated > MOST_INFLATED:
            raise NetworkError(f"{self.name} would grow to {inflated:,} bytes of text; at most {MOST_INFLATED:,} "
                               "are accepted.")

    def __contains__(self, path: str) -> bool:
        return path in self._entries

    def paths(self) -> list[str]:
        """Of all entries, without the folder that they are in."""
        return list(self._entries)

    def read(self, path: str) -> memoryview:
        """The bytes of an uncompressed entry, not copied. NetworkError when it is not there or not whole."""
        info = self._entries.get(path)
        if info is None:
            raise NetworkError(f"{self.name} is not whole: it has no entry {shown(path)}.")
        header = bytes(self.data[info.header_offset : info.header_offset + 30])
        if len(header) < 30 or header[:4] != b"PK\x03\x04":
            raise NetworkError(f"{self.name} is damaged: its entry {shown(path)} is not where its list says.")
        start = info.header_offset + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(
            header[28:30], "little")
        content = self.data[start : start + info.compress_size]
        if len(content) != info.compress_size:
            raise NetworkError(f"{self.name} is cut short: its entry {shown(path)} claims {info.compress_size:,} "
                               f"bytes, and {len(content):,} are there.")
        return content

    def text(self, path: str, most: int = MOST_INFLATED) -> str:
        """An entry as UTF-8 text of at most that many bytes, decompressed when it has to be."""
        content, info = self.read(path), self._entries[path]
        if info.file_size > most:
            raise NetworkError(f"{self.name} has a text {shown(path)} of {info.file_size:,} bytes; at most {most:,} "
                               "are accepted.")
        try:
            plain = bytes(content)
            if info.compress_type == zipfile.ZIP_DEFLATED:
                plain = zlib.decompressobj(-15).decompress(content, info.file_size + 1)
            if len(plain) != info.file_size:
                raise ValueError
            return plain.decode("utf-8")
        except (zlib.error, ValueError):
            raise NetworkError(f"{self.name} is damaged: its entry {shown(path)} is not the text it should be."
                               ) from None
