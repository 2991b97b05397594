"""WanderModel: load, save, and one pass from atoms to energy, RAER and Hamiltonian."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from safetensors.torch import save as save_safetensors
from torch import nn

from ..electronic.blocks import PairBlocks
from ..files import atomic_write
from ..nn.electrostatics import SlabPotential
from ..nn.heads import HamiltonianHeads
from ..nn.uncertainty import FittedUncertainty
from ..structure import neighbour_pairs, standing_positions
from ..tables import model_table
from .backbones import make_force_field
from .files import TRUST, WEIGHTS, read_config, uncertainty_bytes, write_config
from .forces import ForcePass
from .graphs import build_graph
from .stacking import StackingTerm

#: Pairs per pass of the hopping heads: their intermediates should stay in the processor's cache.
PAIRS_PER_PASS = 1024


class WanderModel(nn.Module):
    """Force field and Hamiltonian heads of one material family; of kind `two-center` where the heads see the distance
    alone.

    Parameters
    ----------
    config : dict
        `species` (symbols), `shells` {symbol: [l]}, `electrons` {symbol: electrons of the manifold},
        `force_field` and `heads` (keyword arguments of `ForceField` and `HamiltonianHeads`), optionally `stacking`
        (see `model.stacking.StackingTerm`), a correction on top of the force field.
    """

    kind = "wander"
    implemented_properties = ("energy", "free_energy", "energies", "forces", "stress")
    precisions = (torch.float64, torch.float32)
    is_equivariant = is_differentiable = reports_progress = True

    def __init__(self, config: dict):
        super().__init__()
        self.config = config
        self.species = tuple(config["species"])
        self.shells = {s: tuple(l) for s, l in config["shells"].items()}
        self.electrons = config["electrons"]
        numbers = [atomic_numbers[s] for s in self.species]
        self.force_field = make_force_field(numbers, config.get("force_field", {}))
        self.heads = HamiltonianHeads(
            [self.shells[s][0] for s in self.species],
            self.force_field.n_radial,
            self.force_field.n_raer,
            **self._head_options(config.get("heads", {})),
        )
        self.stacking = StackingTerm(config["stacking"]) if "stacking" in config else None
        self.kind = "two-center" if self.heads.bare else "wander"
        radii = covalent_radii[numbers]
        self.force_field.repulsion_range.copy_(torch.tensor(0.8 * (radii[:, None] + radii[None, :])))
        self.digest = ""
        self.trust: FittedUncertainty | None = None
        self.force_pass = ForcePass()

    def _head_options(self, options):
        """Keyword arguments of `HamiltonianHeads`: species as numbers instead of symbols."""
        facing = options.get("facing")
        return options if facing is None else {**options, "facing": [self.species.index(s) for s in facing]}

    def _repr_html_(self):
        return model_table(self)

    @property
    def name(self):
        return self.config.get("name", "unnamed")

    @property
    def cutoff(self):
        """Largest distance (Å) at which two atoms share a Hamiltonian block."""
        return self.heads.cutoff

    @property
    def dtype(self):
        return self.force_field.energy_scale.dtype

    @property
    def device(self):
        return self.force_field.energy_scale.device

    @property
    def n_raer(self):
        """Size of the descriptors."""
        return self.force_field.n_raer

    @property
    def n_parameters(self):
        """Number of trained weights."""
        return sum(p.numel() for p in self.parameters())

    @property
    def has_vacuum_step(self):
        """Whether the model has an electrostatic part."""
        return bool(self.heads.smearing)

    def refusal(self, atoms: Atoms, layers) -> None:
        """None: any structure of the species is taken."""

    def count_electrons(self, atoms: Atoms) -> float:
        """Electrons of the manifold in the cell."""
        return float(sum(self.electrons[s] for s in atoms.symbols))

    # ------------------------------------------------------------------ energy
    def graph(self, atoms: Atoms, layers):
        """Neighbourhoods of `atoms` on the model's device and in its dtype; ValueError for an unknown species."""
        graph = build_graph(
            atoms, np.asarray(layers), self.species, self.force_field.cutoff, self.force_field.tail_cutoff
        )
        return graph.to(self.device, self.dtype)

    def compute(self, atoms: Atoms, layers, properties=implemented_properties) -> dict:
        """Energy (eV), energies (n,), forces (n, 3) eV/Å and stress (6,) eV/Å^3, Voigt, of one structure.

        A model with a fitted `trust` adds `outside` (n,), bool: atoms outside the training data.
        """
        found = self.force_pass(self, atoms, layers)
        if self.stacking is not None:
            terms = self.stacking(atoms, np.asarray(layers))
            found = replace(
                found, **{k: getattr(found, k) + x for k, x in zip(("energies", "forces", "virial"), terms)}
            )
        out = {
            "energy": float(found.energies.sum()),
            "free_energy": float(found.energies.sum()),
            "energies": found.energies,
            "forces": found.forces,
        }
        if np.linalg.matrix_rank(atoms.cell.array, tol=1e-3) == 3:  # cell.rank counts vectors, also those of one plane
            out["stress"] = (found.virial / atoms.get_volume()).flat[[0, 4, 8, 5, 2, 1]]
        if found.outside is not None:
            out["outside"] = found.outside
        return out

    @torch.no_grad()
    def environment(self, atoms: Atoms, layers):
        """Graph of one structure and the force field's Environment of it."""
        graph = self.graph(atoms, layers)
        return graph, self.force_field(graph)[1]

    def uncertainty(self, atoms: Atoms, layers) -> dict:
        """Standard deviations of energy, forces and H, and the atoms outside the training data:
        `nn.uncertainty.FittedUncertainty.uncertainty`.

        ValueError when none was fitted to the model.
        """
        if self.trust is None:
            raise ValueError(f"model {self.name!r} has no fitted uncertainty")
        return self.trust.uncertainty(self.force_field, *self.environment(atoms, layers))

    @torch.no_grad()
    def descriptors(self, atoms: Atoms, layers) -> np.ndarray:
        """RAER of every atom, (n, n_raer)."""
        _, environment = self.force_field(self.graph(atoms, layers))
        return environment.raer.cpu().numpy()

    # ------------------------------------------------------------------ Hamiltonian
    @torch.no_grad()
    def hamiltonian(self, atoms: Atoms, layers, progress=None) -> PairBlocks:
        """Blocks of every ordered pair within the cutoff, on-site included; `progress` is called with (pairs done,
        pairs)."""
        graph, pairs = self.pair_graph(atoms, layers)
        slab = self.slab(self.positions(atoms), atoms.cell.array)
        found = (
            (*pair, blocks.cpu().numpy().astype(float, copy=False))
            for *pair, blocks in self.blocks(graph, pairs, slab, progress)
        )
        return PairBlocks.from_parts(found, self.count_electrons(atoms))

    def pair_graph(self, atoms: Atoms, layers):
        """Graph with its Hamiltonian pairs, and these NeighbourPairs, each unordered pair once."""
        graph = self.graph(atoms, layers)
        pairs = _species_ordered(neighbour_pairs(atoms, self.heads.cutoff).half(), graph.species.cpu().numpy())
        layers = np.asarray(layers)
        move = lambda x: torch.from_numpy(x).to(self.device)
        graph.pair_i, graph.pair_j = move(pairs.i), move(pairs.j)
        graph.pair_vector = move(pairs.vector).to(self.dtype)
        across = layers[pairs.i] != layers[pairs.j]
        graph.pair_across = move(across.astype(np.int64))
        if self.heads.steps is not None:
            listed = pairs.i, pairs.j, pairs.shift, pairs.vector, across
            graph.paths = self.heads.steps.find(*listed, graph.species.cpu().numpy()).to(self.device, self.dtype)
        return graph, pairs

    def positions(self, atoms: Atoms) -> torch.Tensor:
        """Positions (n, 3), Å, of one slab with the vacuum outside, on the model's device, in float64."""
        return torch.from_numpy(standing_positions(atoms)).to(self.device)

    def slab(self, positions, cell):
        """Potential of the slab's effective charges, None of a model without an electrostatic part."""
        return SlabPotential(positions, cell, self.heads.smearing) if self.heads.smearing else None

    def blocks(self, graph, pairs, slab, progress=None):
        """Yield i, j (p,), shift (p, 3) and the tensor of blocks (p, n_i, n_j) in eV, part by part, every ordered
        pair once."""
        environment, _ = self.force_field.environment(graph)
        tensors, scalars = self.heads.dress(graph, environment)
        for atom, blocks in self.heads.onsite_blocks(graph, tensors, scalars, slab):
            atom = atom.cpu().numpy()
            yield atom, atom, np.zeros((len(atom), 3), int), blocks
        done, products = 0, self.heads.products(graph, tensors, scalars)
        rows = {kind: self.heads.rows_for(kind, tensors) for kind in ("intra", "inter")}
        for name, index in self.heads.classes(graph):
            known = {"products": products, "rows": rows[name.split("_")[1]]}
            for part in index.split(PAIRS_PER_PASS):
                blocks = self.heads.hopping_blocks(graph, tensors, scalars, name, part, **known)
                p = part.cpu().numpy()
                yield pairs.i[p], pairs.j[p], pairs.shift[p], blocks
                yield pairs.j[p], pairs.i[p], -pairs.shift[p], blocks.transpose(1, 2)
                done += len(p)
                if progress:
                    progress(done, len(pairs))

    @torch.no_grad()
    def vacuum_step(self, atoms: Atoms, layers) -> float:
        """Vacuum level above the slab minus that below it (eV), from the model's effective charges."""
        if not self.has_vacuum_step:
            raise ValueError(f"model {self.name!r} has no electrostatic part")
        graph = self.graph(atoms, layers)
        _, environment = self.force_field(graph)
        _, scalars = self.heads.dress(graph, environment)
        slab = self.slab(self.positions(atoms), atoms.cell.array)
        return float(slab.vacuum_step(self.heads.charges(graph, scalars)))

    # ------------------------------------------------------------------ files
    def save(self, folder) -> Path:
        """Write `config.json`, `weights.safetensors` and, where it was fitted, `trust.safetensors` into `folder`,
        each atomically."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        state = {k: v.detach().cpu().to(torch.float32).contiguous() for k, v in self.state_dict().items()}
        data = save_safetensors(state, metadata={"format": "ase_wander"})  # one key: their order is not fixed
        atomic_write(folder / WEIGHTS, data)
        digest = hashlib.sha256(data).hexdigest()
        self._write_trust(folder, digest)
        write_config(folder, {"kind": self.kind, **self.config, "sha256": digest}, digest)
        return folder

    def save_uncertainty(self, folder) -> None:
        """Write `trust.safetensors` into the folder that this model came from, and bind its `config.json` to it."""
        folder = Path(folder)
        config = read_config(folder)
        if config.get("sha256") not in (None, self.digest):
            raise ValueError(f"{folder}: holds other weights ({str(config['sha256'])[:12]}...) than this model")
        self._write_trust(folder, self.digest)
        write_config(folder, config, self.digest)

    def _write_trust(self, folder, digest):
        """Without an uncertainty, take away what may be there, which is of other weights."""
        file = folder / TRUST
        if self.trust is None:
            file.unlink(missing_ok=True)
        else:
            atomic_write(file, uncertainty_bytes(self.trust, digest))


def _species_ordered(pairs, species):
    """Turn pairs round where needed, so that the atom of the lower species index comes first."""
    swap = species[pairs.i] > species[pairs.j]
    sign = np.where(swap, -1, 1)[:, None]
    return type(pairs)(
        np.where(swap, pairs.j, pairs.i),
        np.where(swap, pairs.i, pairs.j),
        pairs.shift * sign,
        pairs.vector * sign,
        pairs.distance,
    )
