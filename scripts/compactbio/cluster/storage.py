"""Room for a workflow's files: free bytes and files of a file system, and what a user's quotas leave of them."""

from __future__ import annotations

import getpass
import grp
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from compactbio.errors import UserError
from compactbio.slurm import output_of

SECONDS = 20.0  # a file server that is down does not answer at all
HOLDER = re.compile(r"Disk quotas for (user|usr|group|grp) (\S+) \(")
# file system, then used, soft limit, hard limit and grace of space (kibibytes) and of files; a long name has a line of
# its own, `*` marks what is over its soft limit, brackets what Lustre is not sure of
_AMOUNTS = r"\s+\[?(\d+)\]?\*?\s+\[?(\d+)\]?\s+\[?(\d+)\]?\s+(?:\S+)"
ROW = re.compile(rf"(\S+){_AMOUNTS}{_AMOUNTS}")


@dataclass(frozen=True)
class Room:
    """What a file system has left for this user; `files` is None where it does not count them."""

    bytes: float
    files: int | None


@dataclass(frozen=True)
class Quota:
    """What a quota leaves its holder (`user alice`, `group lab`); None where it sets no limit."""

    holder: str
    file_system: str
    bytes_left: float | None
    files_left: int | None


def room_in(folder: Path) -> Room:
    """Return what the file system of a folder has left."""
    facts = os.statvfs(folder)
    counted = facts.f_files > 0  # 0 on file systems that make inodes as they need them
    return Room(float(facts.f_bavail * facts.f_frsize), facts.f_favail if counted else None)


def ask_quotas(folder: Path) -> tuple[list[Quota], str]:
    """Return the quotas that hold in a folder for this user and the folder's group, and why none is known.

    Asked are the commands of Linux and NFS (`quota`) and of Lustre (`lfs`); other file systems have others.
    """
    user, group = getpass.getuser(), _group_of(folder)
    asked, quotas = [], []
    try:
        if shutil.which("lfs"):
            asked.append("lfs")
            for option, holder in (("-u", user), ("-g", group)):
                text = output_of("lfs", "quota", option, holder, str(folder), seconds=SECONDS, check=False)
                quotas += read_quotas(text)
        if shutil.which("quota") and not quotas:
            asked.append("quota")
            text = output_of(*("quota", "--no-wrap", "--raw-grace", "-u", "-g"), seconds=SECONDS, check=False)
            source = output_of("df", "--output=source", str(folder), seconds=SECONDS).splitlines()[-1].strip()
            quotas += [quota for quota in read_quotas(text) if quota.file_system == source]
    except UserError as error:
        return quotas, str(error)
    if not asked:
        return [], "neither `quota` nor `lfs` is here"
    return quotas, "" if quotas else f"none for this folder by {' and '.join(f'`{name}`' for name in asked)}"


def read_quotas(text: str) -> list[Quota]:
    """Return the quotas in what `quota --raw-grace` and `lfs quota` print, of users and groups."""
    quotas = []
    holders = list(HOLDER.finditer(text))
    for holder, end in zip(holders, [one.start() for one in holders[1:]] + [len(text)], strict=False):
        kind = "user" if holder.group(1) in ("user", "usr") else "group"
        for row in ROW.finditer(text, holder.end(), end):
            kibibytes, soft_space, hard_space, files, soft_files, hard_files = map(int, row.groups()[1:])
            space_left, files_left = _left(kibibytes, soft_space, hard_space), _left(files, soft_files, hard_files)
            bytes_left = None if space_left is None else 1024.0 * space_left
            quotas.append(Quota(f"{kind} {holder.group(2)}", row.group(1), bytes_left, files_left))
    return quotas


def _left(used: int, soft: int, hard: int) -> int | None:
    """Return what is left below the lower limit (0 is none): above the soft one, writing stops within days."""
    limits = [limit for limit in (soft, hard) if limit > 0]
    return max(0, min(limits) - used) if limits else None


def _group_of(folder: Path) -> str:
    """Return the name of a folder's group, its number where it has none."""
    number = folder.stat().st_gid
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
