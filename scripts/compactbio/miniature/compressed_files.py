"""Archives with the same bytes each time: gzip, tar and zip without the time of writing."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

# the earliest moment that a zip file can state
ZIP_MOMENT = (1980, 1, 1, 0, 0, 0)


def gzip_bytes(content: bytes) -> bytes:
    """Return the content compressed, without a name or a time stamp in the header."""
    return gzip.compress(content, compresslevel=6, mtime=0)


def write_tar_gz(path: Path, files: dict[str, bytes]) -> None:
    """Write a compressed tar of {path inside: content}, with an entry for each folder."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        folders = {str(parent) for name in files for parent in Path(name).parents[:-1]}
        for name in sorted(folders | set(files)):
            entry = tarfile.TarInfo(name)
            if name in folders:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            else:
                entry.size, entry.mode = len(files[name]), 0o644
            archive.addfile(entry, io.BytesIO(files.get(name, b"")))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip_bytes(stream.getvalue()))


def zip_bytes(files: dict[str, bytes]) -> bytes:
    """Return a zip archive of {path inside: content}."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, date_time=ZIP_MOMENT)
            entry.compress_type = zipfile.ZIP_DEFLATED
            # rights and system of the writer are part of an entry: state them, whatever the machine is
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, files[name])
    return stream.getvalue()
