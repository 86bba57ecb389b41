"""Rigid superposition by least squares (Kabsch 1976), of numpy arrays and torch tensors.

Proper rotations only, so a mirror image stays one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    Array = TypeVar("Array", np.ndarray, Tensor)


def rotations(covariance: Array) -> Array:
    """Return the rotations (…,3,3) that lay points on others: `points @ rotation`.

    `covariance` (…,3,3) is the sum over atoms of moving ⊗ fixed, both about their centres.
    """
    linalg: Any = np.linalg
    if not isinstance(covariance, np.ndarray):
        import torch  # whoever reads logs does without

        linalg = torch.linalg
    left, _, right = linalg.svd(covariance)
    left[..., -1] *= (2.0 * (linalg.det(left @ right) > 0) - 1.0)[..., None]
    return left @ right


def transform(moving: np.ndarray, fixed: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return the rigid motion of points (m,3) that lays `moving` (n,3) on `fixed` (n,3)."""
    centre_moving, centre_fixed = moving.mean(axis=0), fixed.mean(axis=0)
    rotation = rotations((moving - centre_moving).T @ (fixed - centre_fixed))
    return lambda points: (points - centre_moving) @ rotation + centre_fixed


def superpose(moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Return `moving` (n,3) turned and shifted onto `fixed` (n,3)."""
    return transform(moving, fixed)(moving)


def rmsd(one: np.ndarray, other: np.ndarray) -> float:
    """Return the root-mean-square deviation in Å after superposition, atoms in given order."""
    difference = superpose(one, other) - other
    return float(np.sqrt((difference**2).sum(axis=1).mean()))


def farthest(path: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Return how far (T,) an atom of each geometry (T,n,3), superposed, is from `point` (n,3).

    Infinite where coordinates are no numbers or overflow.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        path = path - path.mean(axis=1, keepdims=True)
        point = point - point.mean(axis=0)
        covariance = np.einsum("tni,nj->tij", path, point)
        apart = np.full(len(path), np.inf)
        sound = np.isfinite(covariance).all(axis=(1, 2))
        if sound.any():
            away = path[sound] @ rotations(covariance[sound]) - point
            apart[sound] = np.sqrt((away**2).sum(axis=2)).max(axis=1)
    return apart


def superpose_molecules(moving: Tensor, fixed: Tensor, molecule: Tensor, counts: Tensor) -> Tensor:
    """Return `moving` (N,3), each molecule turned and shifted onto its own in `fixed` (N,3).

    `molecule` (N,) is whose an atom is, `counts` (B,) are the molecules' sizes. Sums are float64.
    """

    def summed(values: Tensor) -> Tensor:
        return values.new_zeros(len(counts), *values.shape[1:]).index_add_(0, molecule, values)

    centres = [summed(x.double()) / counts[:, None] for x in (moving, fixed)]
    one, other = moving.double() - centres[0][molecule], fixed.double() - centres[1][molecule]
    turn = rotations(summed(one[:, :, None] * other[:, None]))[molecule]
    turned = one[:, None].bmm(turn)[:, 0]
    return (turned + centres[1][molecule]).to(moving.dtype)
