"""PaiNN as the Force2Geo paper published it, for its checkpoints and its recipe.

It differs from `painn` in what is kept for exactness: edge vectors are not normalised, Gaussians
have no envelope (so that the energy jumps where an atom crosses the cutoff), scalars are
normalised before each message, and constants of the Open Catalyst code scale messages and updates
(Force2Geo, section 3.2 and its public code; Schütt et al. 2021).
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from force2geo.errors import UserError
from force2geo.potentials.atom_steps import invariants, senders, updated
from force2geo.potentials.pair_sums import painn_message
from force2geo.potentials.pairs import Pairs, find_pairs
from force2geo.potentials.pieces import join
from force2geo.potentials.radial import Excited, GaussianBasis

if TYPE_CHECKING:
    from force2geo.potentials.batch import Batch

_ELEMENTS = 80
_INVERSE_SQRT_2 = 1 / math.sqrt(2.0)
_INVERSE_SQRT_3 = 1 / math.sqrt(3.0)


def _linear(inside: int, outside: int, bias: bool = True) -> nn.Linear:
    layer = nn.Linear(inside, outside, bias=bias)
    nn.init.xavier_uniform_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def _mlp(inside: int, middle: int, outside: int) -> nn.Sequential:
    return nn.Sequential(_linear(inside, middle), nn.SiLU(), _linear(middle, outside))


class PublishedMessage(nn.Module):
    """Message block: `vectors` are scaled by 1/√F, their part along neighbours' by 1/√3 more."""

    def __init__(self, features: int, basis_size: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.context = _mlp(features, features, 3 * features)
        self.filters = _linear(basis_size, 3 * features)
        self.scale = 1 / math.sqrt(features)

    def forward(
        self,
        scalars: Tensor,
        vectors: Tensor | None,
        basis: Excited,
        edges: Tensor,
        pairs: Pairs,
    ) -> tuple[Tensor, Tensor]:
        """Return the scalar (N,F) and vector (N,3,F) updates."""
        # Its filters are those of scalars, vectors and edges, in this order.
        chunks = (0, 2) if vectors is None else (0, 2, 1)
        filters = basis.through(self.filters, chunks, of=3)
        context, gate = self.context(self.norm(scalars)), _INVERSE_SQRT_3 * self.scale
        sent = senders(context, vectors, (0, 2, 1), self.scale, gate, pairs.sorted is not None)
        return painn_message(*sent, filters, edges, pairs)


class PublishedUpdate(nn.Module):
    """Update block: the product of vectors is scaled by 1/√F, the scalar update by 1/√2."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.mix = _linear(features, 2 * features, bias=False)
        self.context = _mlp(2 * features, features, 3 * features)
        self.scale = 1 / math.sqrt(features)

    def forward(self, scalars: Tensor, vectors: Tensor, loops: bool) -> tuple[Tensor, Tensor]:
        """Return the updated scalars (N,F) and vectors (N,3,F), on a CPU in `loops`."""
        joined, product, left = invariants(scalars, self.mix(vectors), self.scale, loops)
        gates, factor = self.context(joined), _INVERSE_SQRT_2
        return updated(gates, product, left, scalars, vectors, (0, 1, 2), factor, loops)


class PublishedPaiNN(nn.Module):
    """Backbone: atoms in, scalars (N,F) and vectors (N,3,F) out."""

    largest_element = _ELEMENTS - 1

    def __init__(self, layers: int, features: int, basis_size: int, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.features = features
        self.embedding = nn.Embedding(_ELEMENTS, features)
        self.basis = GaussianBasis(basis_size, cutoff)
        self.messages = nn.ModuleList(PublishedMessage(features, basis_size) for _ in range(layers))
        self.updates = nn.ModuleList(PublishedUpdate(features) for _ in range(layers))

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return scalars (N,F) and vectors (N,3,F)."""
        pairs = find_pairs(batch, self.cutoff)
        vector = pairs.vectors(batch.positions)
        basis = self.basis(vector.norm(dim=1), pairs)
        scalars = self.embedding(batch.atomic_numbers)
        vectors: Tensor | None = None
        for message, update in zip(self.messages, self.updates, strict=True):
            # Edge vectors are target less source: away from what sends.
            ds, dv = message(scalars, vectors, basis, -vector, pairs)
            scalars = (scalars + ds) * _INVERSE_SQRT_2
            vectors = dv if vectors is None else vectors + dv
            scalars, vectors = update(scalars, vectors, pairs.sorted is not None)
        assert vectors is not None
        return scalars, vectors


class GatedBlock(nn.Module):
    """Gated equivariant block (Schütt et al. 2021, figure 3): scalars and vectors, narrower."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.to_norm = _linear(inside, inside, bias=False)
        self.to_vectors = _linear(inside, outside, bias=False)
        self.context = _mlp(2 * inside, inside, 2 * outside)

    def forward(self, scalars: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Return scalars (N,G) and vectors (N,3,G) of (N,F) and (N,3,F)."""
        norm = torch.linalg.vector_norm(self.to_norm(vectors), dim=1)
        scalars, gate = self.context(join([scalars, norm], 1)).chunk(2, dim=1)
        return nn.functional.silu(scalars), gate[:, None] * self.to_vectors(vectors)


class PublishedDisplacementHead(nn.Module):
    """A vector per atom by two gated blocks."""

    def __init__(self, features: int) -> None:
        super().__init__()
        middle = features // 2
        self.blocks = nn.ModuleList([GatedBlock(features, middle), GatedBlock(middle, 1)])

    def forward(self, scalars: Tensor, vectors: Tensor) -> Tensor:
        """Return (N,3) displacements in Å."""
        for block in self.blocks:
            scalars, vectors = block(scalars, vectors)
        return vectors[:, :, 0]


_KEYS = (
    (r"atom_emb\.", "backbone.embedding."),
    (r"radial_basis\.offset", "backbone.basis.centres"),
    (r"message_layers\.(\d+)\.x_layernorm\.", r"backbone.messages.\1.norm."),
    (r"message_layers\.(\d+)\.x_proj\.", r"backbone.messages.\1.context."),
    (r"message_layers\.(\d+)\.rbf_proj\.", r"backbone.messages.\1.filters."),
    (r"update_layers\.(\d+)\.vec_proj\.", r"backbone.updates.\1.mix."),
    (r"update_layers\.(\d+)\.xvec_proj\.", r"backbone.updates.\1.context."),
    (r"out_energy\.", "head.atomic."),
    (r"out_position\.output_network\.(\d+)\.vec1_proj\.", r"displacement.blocks.\1.to_norm."),
    (r"out_position\.output_network\.(\d+)\.vec2_proj\.", r"displacement.blocks.\1.to_vectors."),
    (r"out_position\.output_network\.(\d+)\.update_net\.", r"displacement.blocks.\1.context."),
)
_WRAPPERS = ("state_dict", "model_state_dict", "model")


def published_state(content: Any) -> dict[str, Tensor] | None:
    """Return the published network's state dict inside a checkpoint's content, None without."""
    for wrapper in ("", *_WRAPPERS):
        found = content.get(wrapper) if wrapper and isinstance(content, dict) else content
        if not isinstance(found, dict):
            continue
        state = {str(key).removeprefix("module."): value for key, value in found.items()}
        if {"atom_emb.weight", "radial_basis.offset"} <= set(state):
            return state
    return None


def convert(state: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return our model's config and state dict of a published one; `UserError` names a strange key.

    What the shapes tell is taken from them: layers, features, basis and cutoff.
    """
    converted = {}
    for key, value in state.items():
        for pattern, replacement in _KEYS:
            name, count = re.subn("^" + pattern, replacement, key)
            if count:
                converted[name] = value
                break
        else:
            raise UserError(f"published checkpoint: unknown weight '{key}'")
    centres = state["radial_basis.offset"]
    layers = 1 + max(int(k.split(".")[1]) for k in state if k.startswith("message_layers."))
    backbone = {
        "name": "painn",
        "variant": "published",
        "layers": layers,
        "features": int(state["atom_emb.weight"].shape[1]),
        "basis_size": len(centres),
        "cutoff": float(centres[-1]),
    }
    kind = "property" if any(key.startswith("out_position.") for key in state) else "potential"
    return {"kind": kind, "backbone": backbone}, converted
