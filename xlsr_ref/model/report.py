"""What loading used and what it left: the report that ``xlsr-ref inspect`` prints."""

from __future__ import annotations

from dataclasses import dataclass

from xlsr_ref.checkpoint.tensors import Flat
from xlsr_ref.untrusted import listed
from xlsr_ref.wav2vec2.shapes import PARAMETRIZED


@dataclass(frozen=True)
class LoadReport:
    """What a load used and what it left: printed by ``xlsr-ref inspect``."""

    files: tuple[str, ...]
    kind: str  # one of the config's kinds()
    prefix: str  # the network's name with a dot, or ""
    weight_norm: tuple[str, ...]  # PARAMETRIZED or CLASSIC; () in a network without one
    tensors: int  # used
    parameters: int  # in them
    stored: tuple[tuple[str, int], ...]  # (dtype name, number of used tensors), the commonest first
    dtype: str  # that was asked for
    mapped_bytes: int  # of used tensors that are views of the file
    copied_bytes: int  # of those that were converted or moved to an aligned place
    prepared_bytes: int  # of what is derived from them at the first pass, and kept beside them (ops/derived.py)
    surplus: tuple[str, ...]  # in the file and not used
    missing: tuple[str, ...]  # () or masked_spec_embed: only masking needs it
    language: str | None = None  # whose adapters, head and vocabulary these are; None: those of the folder itself

    @classmethod
    def of_arrays(cls, params: Flat, kind: str) -> LoadReport:
        """Of parameters that were not loaded, such as those that are being learnt: the report that says so."""
        return cls(
            files=(),
            kind=kind,
            prefix="wav2vec2.",
            weight_norm=PARAMETRIZED,
            tensors=len(params),
            parameters=sum(array.size for array in params.values()),
            stored=(),
            dtype=next(iter(params.values())).dtype.name,
            mapped_bytes=0,
            copied_bytes=0,
            prepared_bytes=0,
            surplus=(),
            missing=(),
        )

    def __str__(self) -> str:
        stored = ", ".join(f"{name} × {count}" for name, count in self.stored)
        sizes = (self.mapped_bytes, self.copied_bytes, self.prepared_bytes)
        mapped, copied, prepared = (f"{size / 2**20:,.1f} MiB" for size in sizes)
        missing = f"{listed(self.missing)} (only masking needs it)" if self.missing else "none"
        surplus = f"{len(self.surplus)}: {listed(self.surplus)}" if self.surplus else "none"
        norm = f", weight norm in {', '.join(self.weight_norm)}" if self.weight_norm else ""
        switched = f"language {self.language}: its adapters, lm_head and vocabulary, from {self.files[-1]}"
        return "\n".join(
            (
                f"files    {listed(self.files)}",
                f"model    {self.kind}, prefix {self.prefix!r}{norm}",
                f"used     {self.tensors} tensors, {self.parameters:,} parameters",
                f"stored   {stored}; used as {self.dtype}: {mapped} mapped, {copied} copied",
                f"prepared {prepared} beside them at the first pass: packed weights and kernels",
                f"missing  {missing}",
                f"surplus  {surplus}",
                *([switched] if self.language is not None else []),
            )
        )
