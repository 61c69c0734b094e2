"""Names in archives: what is accepted stays inside of the folder that it is extracted to."""

from __future__ import annotations

import os
from pathlib import Path, PureWindowsPath

from hypothesis import example, given
from hypothesis import strategies as st

from compactbio.downloads.extraction import check_member_name
from compactbio.errors import UserError

PART = st.sampled_from(["a", "..", ".", "", "~", "C:", "b c", "é", "\0", "...", " "])
NAME = st.lists(PART, max_size=5).flatmap(
    lambda parts: st.sampled_from(["/", "\\"]).map(lambda separator: separator.join(parts))
)


def accepted(name: str) -> bool:
    try:
        check_member_name(name, "archive.tar")
    except UserError as error:
        assert "archive.tar" in str(error) and repr(name) in str(error)
        return False
    return True


@given(NAME | st.text(max_size=12))
@example("a/../../b")
@example("//server/share")
def test_an_accepted_name_lies_below_the_folder_on_every_system(name):
    if not accepted(name):
        return
    folder = Path("/folder")
    path = Path(os.path.normpath(folder / name))
    assert path.is_relative_to(folder) and path != folder
    windows = PureWindowsPath(name)
    assert not windows.drive and not windows.root and ".." not in windows.parts


@given(st.lists(st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9._ -]{0,6}", fullmatch=True), min_size=1, max_size=4))
def test_an_ordinary_name_is_accepted(parts):
    assert accepted("/".join(parts))
