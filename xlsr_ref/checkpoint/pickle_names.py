"""The names that a pickle may ask for: what is made of each, and what is only remembered. Nothing here imports them."""

from __future__ import annotations

import re
from typing import NamedTuple


class Global(NamedTuple):
    """A name that would be imported. It is not."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


STORAGES = {  # torch's class → dtype
    **{"DoubleStorage": "F64", "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16"},
    **{"LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8", "ByteStorage": "U8"},
    **{"BoolStorage": "BOOL", "ComplexFloatStorage": "C64", "ComplexDoubleStorage": "C128", "UntypedStorage": "U8"},
}
TORCH_DTYPES = {
    **{"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "bool": "BOOL"},
    **{f"{sign}int{bits}": f"{'U' if sign else 'I'}{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    **{"complex64": "C64", "complex128": "C128", "float8_e5m2": "F8_E5M2", "float8_e4m3fn": "F8_E4M3"},
    **{"float8_e4m3fnuz": "F8_E4M3FNUZ", "float8_e5m2fnuz": "F8_E5M2FNUZ", "float8_e8m0fnu": "F8_E8M0"},
}
BUILTINS = ("__builtin__", "builtins")  # Python 2 and 3
INERT = {
    Global("argparse", "Namespace"),
    Global("numpy", "dtype"),
    Global("numpy", "ndarray"),
    *(Global(f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    *(Global("pathlib", f"{kind}Path") for kind in ("", "Posix", "Windows", "PurePosix", "PureWindows")),
    *(Global(module, name) for module in BUILTINS for name in ("set", "frozenset", "bytearray", "complex", "getattr")),
    *(Global(module, name) for module in BUILTINS for name in ("int", "float", "bool", "str", "bytes", "object")),
    *(Global(module, name) for module in BUILTINS for name in ("list", "tuple", "dict")),
    *(Global("__builtin__", name) for name in ("long", "unicode")),  # how protocol 2 spells int and str
    *(Global(module, "getitem") for module in ("operator", "_operator")),  # typing's Dict[str, int]
    *(Global("torch", name) for name in (*TORCH_DTYPES, "device", "Tensor", "strided")),
    *(Global(module, "Parameter") for module in ("torch.nn", "torch.nn.parameter")),
    *(Global(module, name) for module in ("torch", "torch.storage", "torch.cuda") for name in STORAGES),
    Global("torch.serialization", "_get_layout"),
}
INERT_MODULES = re.compile(r"typing|(fairseq|omegaconf)(\.[A-Za-z_]\w*)*")
BUILT = {
    Global("collections", "OrderedDict"): "ordered_dict",
    Global("collections", "defaultdict"): "default_dict",
    Global("torch", "Size"): "size",
    Global("_codecs", "encode"): "encode",
    Global("torch._utils", "_rebuild_tensor"): "tensor",
    Global("torch._utils", "_rebuild_tensor_v2"): "tensor",
    Global("torch._utils", "_rebuild_tensor_v3"): "tensor_with_dtype",
    Global("torch._utils", "_rebuild_parameter"): "parameter",
    Global("torch._utils", "_rebuild_parameter_with_state"): "parameter",
    Global("torch._tensor", "_rebuild_from_type_v2"): "from_type",
}


def allowed(name: Global) -> bool:
    """Whether the closed list has this global."""
    if name in BUILT or name in INERT:
        return True
    return INERT_MODULES.fullmatch(name.module) is not None and re.fullmatch(r"\w+(\.\w+)?", name.name) is not None
