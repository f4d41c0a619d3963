"""A zip file as torch.save writes it: its directory is checked, and entries are slices of the file's bytes."""

from __future__ import annotations

import io
import zipfile

from explorer.errors import NetworkError
from explorer.networks.loading.files import one_line

MOST_ENTRIES = 200_000


def is_archive(data: bytes) -> bool:
    """Whether these bytes begin like a zip file."""
    return data[:4] == b"PK\x03\x04"


class Archive:
    """The entries of a zip file in one folder. Nothing is ever decompressed, so nothing can grow.

    Args:
        data: the whole file.
        name: of the file, for sentences.

    Raises:
        NetworkError: it is damaged, has two entries of one name or too many, or claims more bytes than it has.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self._data, self._name = memoryview(data), name
        if data.count(b"PK\x01\x02") > MOST_ENTRIES:  # before zipfile makes an object of each
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
        if sum(info.compress_size for info in infos) > len(data):  # entries that overlap would be copied many times
            raise NetworkError(f"{name} is damaged: its entries claim more bytes than its {len(data):,}.")

    def __contains__(self, path: str) -> bool:
        return path in self._entries

    def read(self, path: str) -> memoryview:
        """The bytes of an entry, not copied. NetworkError when it is not there, not whole or compressed."""
        info = self._entries.get(path)
        if info is None:
            raise NetworkError(f"{self._name} is not whole: it has no entry {one_line(path)}.")
        if info.flag_bits & 1 or info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise NetworkError(f"{self._name} is not as torch writes it: its entry {one_line(path)} is compressed or "
                               f"encrypted, and would grow to {info.file_size:,} bytes.")
        header = bytes(self._data[info.header_offset : info.header_offset + 30])
        if len(header) < 30 or header[:4] != b"PK\x03\x04":
            raise NetworkError(f"{self._name} is damaged: its entry {one_line(path)} is not where its list says.")
        start = info.header_offset + 30 + sum(int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
        content = self._data[start : start + info.file_size]
        if len(content) != info.file_size:
            raise NetworkError(f"{self._name} is cut short: its entry {one_line(path)} claims {info.file_size:,} "
                               f"bytes, and {len(content):,} are there.")
        return content
