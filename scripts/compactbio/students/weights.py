"""The weights of checkpoint folders: which files hold them, their shapes, and their tensors, read without any risk."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from compactbio.downloads.hub import WEIGHT_FILES, WEIGHT_INDICES, conversion_advice
from compactbio.errors import UserError
from compactbio.files import read_json

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = "model.safetensors"  # of every folder that the workflow writes

_FLOAT_TYPES = frozenset({"F64", "F32", "F16", "BF16"})  # integer tensors are buffers (position ids)
_LARGEST_HEADER = 100 * 1024 * 1024  # bytes, the format's own limit


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a model folder.

    Raises:
        UserError: there is none.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise UserError(
            f"{folder} holds no .safetensors file: give a folder that fetch_checkpoint or export_model made"
        )
    return files


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the floating-point tensors of a safetensors file by name.

    The format: 8 bytes with the length n of the header (unsigned, little endian), then n bytes of JSON that maps
    a tensor's name to its dtype, shape and place.

    Raises:
        UserError: the file is not in that format.
    """
    with path.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 0 < length <= min(_LARGEST_HEADER, path.stat().st_size - 8):
            raise UserError(f"{path} is not a safetensors file: its header is missing or cut; fetch or export it again")
        try:
            header = json.loads(stream.read(length))
            return {
                name: tuple(facts["shape"])
                for name, facts in header.items()
                if name != "__metadata__" and facts["dtype"] in _FLOAT_TYPES
            }
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError(
                f"{path} is not a safetensors file: its header is no JSON table of tensors; fetch or export it again"
            ) from None


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return the tensors of a folder's weights, in one file or several, read without running any code of a pickle.

    Raises:
        UserError: there is none, or it is no weights file.
    """
    path = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if path is not None:
        return _read_file(path)
    index = next((folder / name for name in WEIGHT_INDICES if (folder / name).is_file()), None)
    if index is None:
        advice = conversion_advice(path.name for path in folder.iterdir()) if folder.is_dir() else ""
        needed = " or ".join((*WEIGHT_FILES, *WEIGHT_INDICES))
        raise UserError(f"{folder} has no weights: {needed} is needed{advice}")
    stored = read_json(index)
    places = stored.get("weight_map") if isinstance(stored, dict) else None
    if not isinstance(places, dict) or not places or any(Path(str(name)).name != name for name in places.values()):
        raise UserError(f"{index} does not say in which files of its folder the weights are: get it again")
    weights: dict[str, Tensor] = {}
    for name in sorted(set(places.values())):
        if not (folder / name).is_file():
            raise UserError(f"{folder / name} does not exist, though {index.name} lists it: get it as well")
        weights |= _read_file(folder / name)
    absent = next((name for name in places if name not in weights), None)
    if absent is not None:
        raise UserError(f"{absent} is in no file of {folder}, though {index.name} lists it: get the files again")
    return weights


def _read_file(path: Path) -> dict[str, Tensor]:
    """Return the tensors of one weights file."""
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            weights = load_file(str(path), device="cpu")
        else:
            weights = torch.load(str(path), map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # whatever a damaged file makes the readers raise
        raise UserError(f"{path} is not a weights file: {_reason(path, error)}") from None
    if not isinstance(weights, dict) or not weights:
        raise UserError(f"{path} is not a weights file: it holds no named tensors")
    foreign = next((name for name, value in weights.items() if not isinstance(value, torch.Tensor)), None)
    if foreign is not None:
        raise UserError(f"{path} is not a weights file: {foreign!r} is not a tensor")
    return weights


def _reason(path: Path, error: Exception) -> str:
    """Return why a weights file cannot be read, in a few words."""
    with path.open("rb") as stream:
        start = stream.read(64)
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer; get the file itself (git lfs pull)"
    if not start:
        return "it is empty"
    if start.lstrip().startswith(b"<"):
        return "it is a web page"
    if "weights_only" in str(error) or "Unsupported" in str(error):
        return "its pickle holds more than tensors, or is damaged; it is not loaded, since that could run code"
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
