"""A GPU that computes nothing, so that steps can be taken on `cuda` without one: tensors have shapes and no values.

What it shows: tensors of two devices in one operation and, in what a CUDA graph captures, a value that the host reads,
a shape that depends on values, a copy between host and device. Not whether a kernel compiles, nor what it computes.

`install` comes before torch is imported, in a program of its own.
"""

from __future__ import annotations

import ast
import contextlib
import ctypes
import importlib.util
import math
import subprocess
from collections import Counter
from pathlib import Path
from types import ModuleType, SimpleNamespace

SOURCE = Path(__file__).with_suffix(".cpp")
CAPABILITY, NAME = (9, 0), "NVIDIA H100 80GB HBM3"
# operations whose result the host waits for, or whose shape follows from values
READS_VALUES = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "is_nonzero", "equal", "bincount"}
READS_VALUES |= {"repeat_interleave", "unique_consecutive", "unique_dim", "histc", "_pin_memory"}
NUMBER = 4096  # that is read off the device, where a number is

# launched: of what is captured, (number of the capture, the program's name, bytes of its tensors) in order
# heads: sizes that torch's attention is called with on the device
STATE = SimpleNamespace(capturing=False, captures=0, waits=Counter(), launched=[], heads=set())


def install(folder: Path) -> None:
    """Build the device, and have the torch that is imported next find it."""
    package = Path(importlib.util.find_spec("torch").origin).parent
    library = folder / "pretended_gpu.so"
    command = ["g++", "-O0", "-std=c++20", "-fPIC", "-shared", f"-I{package / 'include'}", str(SOURCE)]
    subprocess.run(
        [*command, "-o", str(library), f"-L{package / 'lib'}", "-lc10", "-ltorch_cpu"], check=True, capture_output=True
    )
    for name in ("libtorch_global_deps.so", "libtorch_cpu.so"):
        ctypes.CDLL(str(package / "lib" / name), mode=ctypes.RTLD_GLOBAL)
    device = ctypes.CDLL(str(library))
    _answer_for_cuda()
    device.register_guard()


def _waits(name: str):
    def call(*_, **__):
        if STATE.capturing:
            raise RuntimeError(f"{name} while capturing")
        STATE.waits[name] += 1

    return call


@contextlib.contextmanager
def _graph(*_, **__):
    STATE.capturing, STATE.captures = True, STATE.captures + 1
    try:
        yield
    finally:
        STATE.capturing = False


def _answer_for_cuda() -> None:
    """Give torch.cuda answers in place of its own."""
    import torch

    state = torch.zeros(16, dtype=torch.uint8)
    stream = type("Stream", (), {"__init__": lambda *_: None, "wait_stream": lambda *_: None})
    generator = SimpleNamespace(clone_state=lambda: None, graphsafe_set_state=lambda state: None)
    answers = {
        "is_available": True, "is_initialized": True, "device_count": 1, "current_device": 0,
        "is_bf16_supported": True, "get_device_capability": CAPABILITY, "get_device_name": NAME,
        "mem_get_info": (80e9, 85e9), "memory_reserved": 1e9, "max_memory_allocated": 1e9, "max_memory_reserved": 1e9,
        "manual_seed": None, "manual_seed_all": None, "_lazy_init": None, "set_device": None, "set_stream": None,
        "get_rng_state": state, "set_rng_state": None, "current_stream": stream(),
        "stream": contextlib.nullcontext(), "graph_pool_handle": (0, 1),
    }  # fmt: skip
    for name, answer in answers.items():
        setattr(torch.cuda, name, lambda *_, answer=answer, **__: answer)
    for name in ("synchronize", "empty_cache", "reset_peak_memory_stats"):
        setattr(torch.cuda, name, _waits(name))
    torch.cuda.graph, torch.cuda.default_generators, torch.cuda.Stream = _graph, (generator,), stream
    torch.cuda.Event = lambda **_: SimpleNamespace(record=lambda: None, synchronize=lambda: None)
    torch.cuda.is_current_stream_capturing = lambda: STATE.capturing
    torch.cuda.CUDAGraph = type("CUDAGraph", (), {"replay": lambda self: None})
    torch.Tensor.pin_memory = lambda self: (_waits("pin_memory")(), self)[1]
    own = torch.tensor

    def tensor(data, *arguments, device=None, **options):
        made = own(data, *arguments, **options)
        if device is None or torch.device(device).type == "cpu":
            return made
        _waits("torch.tensor on the device")()
        return torch.zeros(made.shape, dtype=made.dtype, device=device)

    torch.tensor = tensor
    torch.nn.functional.scaled_dot_product_attention = _attention(torch.nn.functional.scaled_dot_product_attention)
    torch.nn.Module.to = lambda self, *_, **__: self  # see `placed`


def _attention(by_formula):
    """Return attention by the kernels that torch takes on a GPU; without values it takes the formula."""
    import torch

    def attend(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, **others):
        half = query.dtype != torch.float32
        if query.device.type == "cuda" and not query.is_nested:
            STATE.heads.add(query.shape[-1])
        if query.device.type != "cuda" or query.is_nested or others or query.shape[-1] % (8 if half else 4):
            options = {"attn_mask": attn_mask, "dropout_p": dropout_p, "is_causal": is_causal, "scale": scale}
            return by_formula(query, key, value, **options, **others)
        if attn_mask is None and half:
            flash = torch.ops.aten._scaled_dot_product_flash_attention
            return flash(query, key, value, dropout_p, is_causal, scale=scale)[0]
        if attn_mask is not None:
            if attn_mask.dtype == torch.bool:
                added = torch.zeros(attn_mask.shape, dtype=query.dtype, device=query.device)
                attn_mask = added.masked_fill(~attn_mask, float("-inf"))
            attn_mask = attn_mask.expand(*query.shape[:-1], key.shape[-2])
        wanted = torch.is_grad_enabled()
        efficient = torch.ops.aten._scaled_dot_product_efficient_attention
        return efficient(query, key, value, attn_mask, wanted, dropout_p, is_causal, scale=scale)[0]

    return attend


def placed(module):
    """Give a module weights on the pretended GPU; `Module.to` cannot swap tensors without values."""
    import torch

    moved = {}
    for part in module.modules():
        for store in (part._parameters, part._buffers):
            for name, value in store.items():
                if value is not None and value not in moved:
                    there = value.detach().to("cuda")
                    trained = isinstance(value, torch.nn.Parameter)
                    moved[value] = torch.nn.Parameter(there, value.requires_grad) if trained else there
                store[name] = moved.get(value)
    return module


@contextlib.contextmanager
def pretended_gpu():
    """Yield a counter of the operations that are captured; inside, tensors have no values."""
    import torch
    from torch._subclasses import fake_tensor
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class Watch(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.captured = Counter()

        def __torch_dispatch__(self, function, types, arguments=(), options=None):
            options, name = options or {}, function.overloadpacket.__name__
            given = [one for one in tree_leaves((arguments, options)) if isinstance(one, torch.Tensor)]
            on_gpu = any(one.device.type == "cuda" for one in given)
            indices = arguments[1] if name.startswith(("index_put", "_unsafe_index", "index.")) else []
            by_mask = any(one is not None and one.dtype == torch.bool for one in indices)
            if on_gpu and (name in READS_VALUES or by_mask):
                _waits(str(function))()
                if name == "_local_scalar_dense":
                    return float(NUMBER) if given[0].dtype.is_floating_point else NUMBER
            if name == "_efficient_attention_backward":  # whose shapes torch 2.13 gets wrong
                return *(torch.empty_like(one) for one in arguments[1:4]), None
            made = function(*arguments, **options)
            if STATE.capturing:
                devices = {one.device.type for one in [*given, *tree_leaves(made)] if isinstance(one, torch.Tensor)}
                if devices - {"cuda"}:
                    raise RuntimeError(f"{function} is of {', '.join(sorted(devices))} while capturing")
                self.captured[str(function)] += 1
            return made

    fake_tensor.init_gpu_context = lambda device: None  # it asks CUDA for a true tensor
    with fake_tensor.FakeTensorMode(allow_non_fake_inputs=True), Watch() as watch:
        yield watch.captured


class _Program:
    """Stands in for a Triton program: it takes what the GPU's would, and notes what it is given."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getitem__(self, grid):
        return self

    def __call__(self, *arguments, **constants):
        import torch

        given = {id(one): one for one in (*arguments, *constants.values()) if isinstance(one, torch.Tensor)}
        for one in (*given.values(), *arguments):
            assert one.device.type == "cuda" if id(one) in given else type(one) in (int, float, bool, type(None)), one
        if STATE.capturing:
            STATE.launched.append((STATE.captures, self.name, sum(bytes_of(one) for one in given.values())))


def bytes_of(tensor) -> int:
    """Return the bytes of a tensor's elements: each once where it is repeated, nothing else of its memory."""
    sizes = zip(tensor.shape, tensor.stride(), strict=True)
    return math.prod(size for size, stride in sizes if stride or not size) * tensor.element_size()


def programs() -> list[ModuleType]:
    """Return what stands in for the modules of Triton's programs, all that their package has."""
    package = importlib.util.find_spec("compactbio.kernels.programs")
    made = []
    for file in sorted(Path(package.origin).parent.glob("*.py")):
        module = ModuleType(f"{package.name}.{file.stem}")
        for one in ast.parse(file.read_text(encoding="utf-8")).body:
            decorators = map(ast.unparse, getattr(one, "decorator_list", ()))
            if any(name.startswith("triton.jit") for name in decorators):
                setattr(module, one.name, _Program(f"{file.stem}.{one.name}"))
        made.append(module)
    return [module for module in made if any(isinstance(one, _Program) for one in vars(module).values())]
