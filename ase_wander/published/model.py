"""The published WANDER as a model: forces, RAER and Hamiltonian of antiparallel bilayer MoS2."""

from __future__ import annotations

import numpy as np
import torch
from ase import Atoms, units
from ase.calculators.calculator import PropertyNotImplementedError

from .._moved import moved_names
from ..electronic.blocks import PairBlocks
from ..model.files import SEAL
from ..structure import find_layers, neighbour_pairs
from ..tables import model_table
from . import files, hamiltonian
from .card import card_text
from .environment import METAL, environment_vectors, inverse_coordinates
from .frame import find_frame
from .networks import CUTOFF, evaluate
from .orbitals import orbital_rotations

#: Forces come out in Ry/bohr.
RY_PER_BOHR = units.Ry / units.Bohr

#: Decimals of the files between the programs of the published example.
FORCE_DECIMALS, HAMILTONIAN_DECIMALS = 10, 6

#: Size of the last hidden layer of the force networks.
N_RAER = 32

#: Occupied states, spin included, per metal atom: 7 of the 11 bands of a MoS2 unit.
ELECTRONS_PER_METAL = 14


class PublishedModel:
    """Forces, RAER and Hamiltonian from the networks of the published WANDER.

    Parameters
    ----------
    networks : torch.nn.ModuleDict
        As `published_networks` makes them.
    template : Template
        Ideal walks of the environments.
    name : str
    layer_offsets : (float, float)
        eV added to the on-site diagonal of the bottom and the top layer (the vacuum-level constant C of the paper).
    orientations : tuple of (int, int)
        Accepted orientations of the bottom and the top layer; (1, -1) is antiparallel, (1, 1) parallel.
    rounding : bool
        Round what the published programs write to files: 10 decimals (inputs of the force networks and forces),
        6 decimals (inputs of the Hamiltonian networks, RAER, elements).
    provenance : str
        Where the weights come from, for the card.
    config : dict
        Further JSON-able entries of config.json, such as `layers` (numbers of layers in the training data).

    Notes
    -----
    Forces are those of a direct network: they are no gradient of an energy, do not sum to zero
    and follow neither mirror operations nor rotations by 120 degrees.
    """

    kind = "published"
    implemented_properties = ("forces",)
    precisions = (torch.float32,)
    is_equivariant = is_differentiable = reports_progress = has_vacuum_step = False
    cutoff, n_raer, trust = CUTOFF, N_RAER, None

    def __init__(
        self,
        networks,
        template,
        name="published",
        *,
        layer_offsets=(0.0, 0.0),
        orientations=((1, -1),),
        rounding=True,
        provenance="",
        metal="Mo",
        chalcogen="S",
        config=None,
    ):
        self.networks, self.template, self.name = networks, template, str(name)
        self.layer_offsets = tuple(float(c) for c in layer_offsets)
        if len(self.layer_offsets) != 2 or not np.isfinite(self.layer_offsets).all():
            raise ValueError(f"layer_offsets is {layer_offsets}; it must hold two energies in eV, bottom and top")
        self.orientations = tuple(tuple(int(s) for s in o) for o in orientations)
        self.rounding, self.provenance = bool(rounding), str(provenance)
        self.species, self.config = (metal, chalcogen), dict(config or {})
        self.shells = {metal: (2,), chalcogen: (1,)}
        self.digest = files.digest(networks, template)

    def __repr__(self):
        return f"PublishedModel({self.name!r}, digest={self.digest[:12]}, layer_offsets={self.layer_offsets})"

    _repr_html_ = model_table

    def to(self, device=None, dtype=None):
        """Move the networks to a torch device and type in place (float32 is as published); returns self."""
        dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
        self.networks.to(device=device, dtype=dtype)
        return self

    @property
    def dtype(self):
        """Torch type of the weights; float32 is as published."""
        return self.networks["force_m"].linear1.weight.dtype

    @property
    def device(self):
        """Torch device of the weights."""
        return self.networks["force_m"].linear1.weight.device

    @property
    def n_parameters(self):
        """Number of trained weights."""
        return sum(p.numel() for p in self.networks.parameters())

    # -- inputs -------------------------------------------------------------------------------------

    def frame(self, atoms, layers=None):
        """Frame of the networks for this structure (see `find_frame`).

        Raises
        ------
        ValueError
            When the layers lie in an orientation the networks were not trained on.
        """
        frame = find_frame(atoms, find_layers(atoms) if layers is None else layers, *self.species)
        if frame.bilayer.orientation not in self.orientations:
            what = {(1, 1): "parallel (R)", (1, -1): "antiparallel (H)"}
            raise ValueError(
                f"the layers are stacked {what[frame.bilayer.orientation]}, turned by "
                f"{np.degrees(frame.twist):.2f} degrees; the networks of {self.name} know "
                f"{' and '.join(what[o] for o in self.orientations)} stacking only"
            )
        return frame

    def refusal(self, atoms, layers) -> str | None:
        """Why the networks do not take a structure (no bilayer, an orientation); None when they do."""
        try:
            self.frame(atoms, layers)
        except ValueError as error:
            return str(error)
        return None

    def environments(self, atoms, layers=None, decimals=None):
        """Inputs of the environment networks.

        Returns
        -------
        dict
            "m" -> (atoms (n,), inputs (n, 244)), "s" -> (atoms (n,), inputs (n, 204)), 1/Å, atoms ascending.
        """
        vectors = environment_vectors(self.frame(atoms, layers).bilayer, self.template)
        return _flatten(vectors, decimals)

    def _decimals(self, decimals):
        return decimals if self.rounding else None

    def _raer(self, inputs, n_atoms):
        out = np.zeros((n_atoms, N_RAER))
        for kind, (index, x) in inputs.items():
            out[index] = evaluate(self.networks[f"force_{kind}"].hidden, x)
        return out if not self.rounding else out.round(HAMILTONIAN_DECIMALS)

    # -- results ------------------------------------------------------------------------------------

    def compute(self, atoms: Atoms, layers=None, properties=("forces",)):
        """Results in ASE units: {"forces": (n_atoms, 3) eV/Å}.

        Raises
        ------
        PropertyNotImplementedError
            For anything but forces: the published networks have no energy.
        """
        missing = [name for name in properties if name not in self.implemented_properties]
        if missing:
            raise PropertyNotImplementedError(
                f"{missing[0]} is not available: the model {self.name} gives direct forces without an energy"
            )
        frame = self.frame(atoms, layers)
        vectors = environment_vectors(frame.bilayer, self.template)
        forces = np.zeros((len(atoms), 3))
        for kind, (index, x) in _flatten(vectors, self._decimals(FORCE_DECIMALS)).items():
            forces[index] = evaluate(self.networks[f"force_{kind}"], x)
        if self.rounding:
            forces = forces.round(FORCE_DECIMALS)
        return {"forces": frame.to_lab(forces) * RY_PER_BOHR}

    def uncertainty(self, atoms, layers=None):
        """ValueError: direct forces have no fitted uncertainty."""
        raise ValueError(f"model {self.name!r} has no fitted uncertainty")

    def descriptors(self, atoms, layers=None):
        """RAER of every atom, shape (n_atoms, 32), as the Hamiltonian networks receive it."""
        return self._raer(self.environments(atoms, layers, self._decimals(HAMILTONIAN_DECIMALS)), len(atoms))

    def network_inputs(self, atoms, layers=None):
        """Inputs of the fifteen Hamiltonian networks, and the frame: (dict of str to PairInputs, Frame)."""
        frame = self.frame(atoms, layers)
        bilayer = frame.bilayer
        decimals = self._decimals(HAMILTONIAN_DECIMALS)
        inputs = _flatten(environment_vectors(bilayer, self.template), decimals)
        # Periodic in the plane only: the example's pairs never cross the vacuum.
        flat = Atoms(numbers=atoms.numbers, positions=bilayer.positions, cell=bilayer.cell, pbc=(True, True, False))
        pairs = neighbour_pairs(flat, CUTOFF)
        shift = pairs.shift.copy()
        shift[:, 2] = frame.shift_z[pairs.j] - frame.shift_z[pairs.i]
        return hamiltonian.network_inputs(
            bilayer.element,
            bilayer.layer,
            pairs,
            shift,
            self._raer(inputs, len(atoms)),
            {f"self_{kind}": inputs[kind] for kind in "ms"},
            decimals,
        ), frame

    def block_sets(self, atoms, layers=None):
        """Blocks by network in the published orbitals, and the frame: (dict of str to BlockSet, Frame)."""
        inputs, frame = self.network_inputs(atoms, layers)
        return hamiltonian.block_sets(
            self.networks, inputs, frame.bilayer.layer, self.layer_offsets, self._decimals(HAMILTONIAN_DECIMALS)
        ), frame

    def hamiltonian(self, atoms, layers=None, hermitian=True, orbitals=None) -> PairBlocks:
        """Blocks of the Wannier Hamiltonian.

        Parameters
        ----------
        atoms : ase.Atoms
        layers : array_like of int, optional
        hermitian : bool
            Take the Hermitian part; the networks' own H is not Hermitian.
        orbitals : {"global", "published"}, optional
            "global": real harmonics p = (y, z, x), d = (xy, yz, z2, xz, x2-y2) in the axes of the simulation, an
            exact orthogonal transformation; "published": the layer-attached orbitals in the published order. By
            default "global" for `hermitian`, else "published", as in the published files. A matrix that is not
            Hermitian needs a general eigensolver (which `WannierHamiltonian.eigenvalues` takes).

        Returns
        -------
        PairBlocks
            Every ordered pair, on-site ones included, sorted by i, j, shift.
        """
        if orbitals is None:
            orbitals = "global" if hermitian else "published"
        if orbitals not in ("global", "published"):
            raise ValueError(f"orbitals is {orbitals!r}; it must be 'global' or 'published'")
        sets, frame = self.block_sets(atoms, layers)
        if hermitian:
            sets = hamiltonian.symmetrise(sets)
        if orbitals == "global":
            sets = hamiltonian.rotate_blocks(sets, orbital_rotations(frame))
        n_electrons = float(ELECTRONS_PER_METAL * np.count_nonzero(frame.bilayer.element == METAL))
        return hamiltonian.assemble(sets, n_electrons)

    def elements(self, atoms, layers=None):
        """Elements by network with their index in the published files: dict of str to (index (n,), values (n,) in eV).

        In the order of the files; see `ase_wander.published.hamiltonian.indexed_elements`, also for what it refuses.
        """
        sets, frame = self.block_sets(atoms, layers)
        return hamiltonian.indexed_elements(sets, frame.bilayer.element)

    # -- files --------------------------------------------------------------------------------------

    @property
    def settings(self) -> dict:
        """Entries of config.json: all that decides what the model predicts, but the weights."""
        return {
            **self.config,
            "kind": self.kind,
            "format": 1,
            "name": self.name,
            "species": list(self.species),
            "layer_offsets": list(self.layer_offsets),
            "orientations": [list(o) for o in self.orientations],
            "rounding": self.rounding,
            "provenance": self.provenance,
            "parents": {k: list(v) for k, v in self.template.parents.items()},
            "digest": self.digest,
        }

    def save(self, path, card=None):
        """Write the model folder `path`: weights.safetensors, config.json, card.md (see `load`)."""
        files.write_folder(path, self.networks, self.template, self.settings, self.card() if card is None else card)

    @classmethod
    def load(cls, path):
        """Read a model folder written by `save`; ValueError names the file that is missing or damaged."""
        networks, template, config = files.read_folder(path)
        try:
            metal, chalcogen = config["species"]
            options = {key: config[key] for key in ("layer_offsets", "orientations", "rounding", "provenance")}
            further = {
                key: value
                for key, value in config.items()
                if key not in ("kind", "format", "name", "species", "parents", "digest", SEAL, *options)
            }
            return cls(networks, template, config["name"], metal=metal, chalcogen=chalcogen, config=further, **options)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: {files.CONFIG} is incomplete or damaged ({error!r})") from None

    def card(self):
        """Text of card.md."""
        return card_text(self)


def _flatten(vectors, decimals):
    """Environment vectors by kind ("metal", "chalcogen") -> inputs by letter."""
    return {
        kind[0].replace("c", "s"): (index, inverse_coordinates(v, decimals).reshape(len(index), -1))
        for kind, (index, v) in vectors.items()
    }


#: `load_published` had its place here.
__getattr__ = moved_names(__name__)
