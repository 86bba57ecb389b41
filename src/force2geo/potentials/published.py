"""Checkpoints that the Force2Geo paper published: their gated blocks and their weights' names.

Source: Force2Geo, appendix F, and its public code.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn

from force2geo.errors import UserError
from force2geo.potentials.backbones.painn_published import linear, mlp
from force2geo.potentials.fast.pieces import join


class GatedBlock(nn.Module):
    """Gated equivariant block (Schütt et al. 2021, figure 3): scalars and vectors, narrower."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.to_norm = linear(inside, inside, bias=False)
        self.to_vectors = linear(inside, outside, bias=False)
        self.context = mlp(2 * inside, inside, 2 * outside)

    def forward(self, scalars: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Return scalars (N,G) and vectors (N,3,G) of (N,F) and (N,3,F)."""
        norm = torch.linalg.vector_norm(self.to_norm(vectors), dim=1)
        scalars, gate = self.context(join([scalars, norm], 1)).chunk(2, dim=1)
        return nn.functional.silu(scalars), gate[:, None] * self.to_vectors(vectors)


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
        "name": "painn_published",
        "layers": layers,
        "features": int(state["atom_emb.weight"].shape[1]),
        "basis_size": len(centres),
        "cutoff": float(centres[-1]),
    }
    kind = "property" if any(key.startswith("out_position.") for key in state) else "potential"
    return {"kind": kind, "backbone": backbone}, converted
