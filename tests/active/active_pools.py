"""A small pool of packed snapshots, and a committee whose spread is known."""

from collections import Counter

import numpy as np
import torch

from force2geo.training_data.packed import PackedWriter

# Molecules to train on, to validate and to test on.
PARTS = {"000000011": "train", "000000012": "train", "000000013": "val", "000000014": "test",
         "000000015": "train", "000000016": "train"}  # fmt: skip
FRAMES = 5


def moved(place, frame):
    """Positions (3,3) Å: the angle opens from frame to frame, molecule by molecule at a time."""
    angle = 1.2 + 0.1 * frame + 0.13 * place
    return np.array([[0.0, 0, 0], [1, 0, 0], [np.cos(angle), np.sin(angle), 0]])


def write_pool(path, levels=(), sources=("dft_1st", "dft_points")):
    """Write a packed file: six molecules of three atoms and five snapshots each, of two sources.

    Where there is one source all are of it.
    """
    writer = PackedWriter(path, sources)
    for place, (cid, part) in enumerate(PARTS.items()):
        numbers = np.array([8, 1, 1] if place else [16, 1, 9])
        for source, frames in ((sources[0], range(2)), (sources[-1], range(2, FRAMES))):
            positions = np.array([moved(place, frame) for frame in frames])
            energies = np.array([100.0 * place + frame for frame in frames])
            forces = energies[:, None, None] + np.arange(9.0).reshape(3, 3)
            writer.add(cid, numbers, positions, energies, forces, source, part)
    writer.close(levels=Counter(levels))


class Told:
    """A committee whose spread is told by a function of positions (n,3), molecule by molecule."""

    device = "cpu"

    def __init__(self, spread):
        self.spread = spread

    def in_dtype(self, kind):
        def network(batch):
            assert batch.energy is None and batch.forces is None  # labels are hidden
            ends = batch.ptr[1:-1].tolist()
            pieces = np.split(batch.positions.numpy(), ends)
            return {"force_spread": torch.tensor([self.spread(one) for one in pieces])}

        return network
