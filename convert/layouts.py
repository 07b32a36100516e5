"""The two ways the same weights are named: transformers' names, and Boson's original ones.

Everything behind this file speaks transformers' names. The correspondence is that of transformers' own conversion
script (models/higgs_audio_v2/convert_higgs_audio_v2_to_hf.py).
"""

from collections.abc import Iterable

# Boson's name begins with -> transformers' begins with; the first match counts.
BOSON_PREFIXES = (
    ("audio_codebook_embeddings.", "model.embed_audio_tokens.embed_audio_tokens."),
    ("audio_decoder_proj.", ""),
    ("embed_tokens.", "model.embed_tokens."),
    ("layers.", "model.layers."),
    ("norm.", "model.norm."),
)
# Boson trained some rows of a matrix and froze the rest; the frozen rows come first.
SPLIT_PARTS = (
    (".embedding_frozen.weight", ".embedding_trainable.weight"),
    (".linear_frozen.weight", ".linear_trainable.weight"),
)


def stored_names(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """For each of transformers' names, the stored tensors that make it up, to be joined along dimension 0.

    Which layout `names` is in shows from the names themselves. Tensors of neither layout (rotary buffers, codebook
    copies, the copy of the heads that conversion leaves behind) are left out; so is a split half whose other half is
    missing, which the caller then misses under its full name.
    """
    stored = set(names)
    if any(name.startswith("model.") for name in stored):
        return {name: (name,) for name in stored}
    mapped: dict[str, tuple[str, ...]] = {}
    for name in sorted(stored):
        parts = _parts(name, stored)
        prefix = next(((old, new) for old, new in BOSON_PREFIXES if name.startswith(old)), None)
        if parts is None or prefix is None or name.endswith("inv_freq"):
            continue
        old, new = prefix
        whole = name
        for first, _ in SPLIT_PARTS:
            whole = whole.replace(first, ".weight")
        mapped[new + whole.removeprefix(old)] = parts
    return mapped


def _parts(name: str, stored: set[str]) -> tuple[str, ...] | None:
    """The stored tensors behind `name`, or None if it is not the first part of a complete tensor."""
    for first, second in SPLIT_PARTS:
        if name.endswith(second):
            return None
        if name.endswith(first):
            other = name.removesuffix(first) + second
            return (name, other) if other in stored else None
    return (name,)
