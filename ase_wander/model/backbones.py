"""Force fields from elsewhere as the source of the RAER: anything with atomic descriptors can feed the heads.

A backbone sees an environment as a list of bonds and answers with one energy and one row of descriptors per atom, both
differentiable in the bond vectors. Its descriptors take the place of the RAER, its energies that of our network;
short-range repulsion and dispersion tail, training, files and calculator stay the same.

    force_field: {backbone: mace, cutoff: 5.0, ...}       # in the configuration of a training run

`register_backbone` makes one's own known under a name; `MaceBackbone.of` wraps a MACE model that is at hand.
"""

from __future__ import annotations

import inspect
import os
import warnings
from importlib import import_module
from typing import Protocol

import torch
from torch import nn

from ..nn.environment import Density, Geometry
from ..nn.forcefield import Environment, ForceField


class Backbone(Protocol):
    """Interface of a force field from elsewhere; a torch.nn.Module, so that its weights are trained and saved.

    Attributes
    ----------
    cutoff : float, Å; n_descriptors : int
    """

    cutoff: float
    n_descriptors: int

    def __call__(self, species: torch.Tensor, i: torch.Tensor, j: torch.Tensor, vector: torch.Tensor):
        """Energies (n,) in eV up to a constant per species, and invariant descriptors (n, n_descriptors).

        `species` (n,) indexes the list of atomic numbers that the factory was given; `i`, `j` (p,) are all ordered
        pairs within the cutoff, `vector` (p, 3), Å, points from i to j.
        """


class BackboneForceField(ForceField):
    """A force field whose energies and RAER come from a backbone.

    Of its own it has repulsion, tail and reference energies.

    Parameters
    ----------
    atomic_numbers : list of int
        One per species.
    backbone : Backbone
    tail_cutoff, n_radial, l_max, smearing, neutral
        As for `ForceField`; n_radial and l_max of the densities for the heads.
    """

    local = False  # messages of a backbone pass from atom to atom

    def __init__(self, atomic_numbers, backbone, tail_cutoff=10.0, n_radial=8, l_max=4, smearing=0.0, neutral="cell"):
        super().__init__(
            atomic_numbers,
            backbone.cutoff,
            tail_cutoff,
            n_radial,
            1,
            l_max,
            backbone.n_descriptors,
            1,
            smearing,
            neutral,
        )
        for name in ("left", "right", "product", "network", "linear"):
            delattr(self, name)
        self.mean, self.inverse_std = self.mean[:, :0], self.inverse_std[:, :0]
        self.backbone = backbone

    def invariants(self, raw, species):
        """None of our own, (n, 0)."""
        return raw.new_zeros(len(raw), 0)

    def environment(self, graph):
        """Environment with the backbone's descriptors as RAER, and its energies (n,)."""
        geometry = Geometry(graph, self.cutoff, self.n_radial, self.l_max, self.n_species)
        i, slot = graph.mask.nonzero(as_tuple=True)
        energy, descriptors = self.backbone(graph.species, i, graph.neighbour[i, slot], graph.vector[i, slot])
        return Environment(geometry, Density.raw(geometry), descriptors), energy.to(geometry.r.dtype)


class MaceBackbone(nn.Module):
    """MACE (Batatia et al., arXiv:2206.07697) from `mace-torch`: the scalars of all its layers are the RAER.

    Parameters
    ----------
    atomic_numbers : list of int
        One per species.
    cutoff : float
        Å.
    channels, max_l, layers, correlation : int
        Sizes of MACE.
    neighbours : float
        Their mean number.
    """

    def __init__(self, atomic_numbers, cutoff=5.0, channels=16, max_l=1, layers=2, correlation=2, neighbours=20.0):
        super().__init__()
        mace, o3 = _import_mace()
        order = sorted(range(len(atomic_numbers)), key=lambda k: atomic_numbers[k])
        hidden = "+".join(f"{channels}x{l}{'eo'[l % 2]}" for l in range(max_l + 1))
        block = mace.interaction_classes["RealAgnosticResidualInteractionBlock"]
        with _quiet():
            self._take(
                mace.MACE(
                    r_max=cutoff,
                    num_bessel=8,
                    num_polynomial_cutoff=5,
                    max_ell=max(2, max_l),
                    interaction_cls=block,
                    interaction_cls_first=block,
                    num_interactions=layers,
                    num_elements=len(atomic_numbers),
                    hidden_irreps=o3.Irreps(hidden),
                    MLP_irreps=o3.Irreps("16x0e"),
                    atomic_energies=torch.zeros(len(atomic_numbers)).numpy(),
                    avg_num_neighbors=neighbours,
                    atomic_numbers=[atomic_numbers[k] for k in order],
                    correlation=correlation,
                    gate=nn.functional.silu,
                ),
                atomic_numbers,
            )

    @classmethod
    def of(cls, model, atomic_numbers):
        """Adapter of a MACE model at hand; ValueError for an element that it does not know.

        The model's reference energies stay in it; ours then make up for the difference only.
        """
        backbone = cls.__new__(cls)
        nn.Module.__init__(backbone)
        backbone._take(model, atomic_numbers)
        return backbone

    def _take(self, model, atomic_numbers):
        known = model.atomic_numbers.tolist()
        missing = [z for z in atomic_numbers if z not in known]
        if missing:
            raise ValueError(f"the MACE model knows the atomic numbers {known}, not {missing[0]}")
        self.model, self.cutoff = model, float(model.r_max)
        self.register_buffer("element", torch.tensor([known.index(z) for z in atomic_numbers]))
        self._n_elements, self._scalars = len(known), _scalar_columns([p.linear.irreps_out for p in model.products])
        self.n_descriptors = len(self._scalars)

    def forward(self, species, i, j, vector):
        """See `Backbone`. All atoms sit at the origin and every bond is a shift: MACE sees vectors only."""
        one_hot = nn.functional.one_hot(self.element[species], self._n_elements).to(vector.dtype)
        zeros = vector.new_zeros
        out = self.model(
            {
                "positions": zeros(len(species), 3),
                "cell": zeros(3, 3),
                "edge_index": torch.stack([j, i]),
                "shifts": -vector,
                "unit_shifts": torch.zeros_like(vector),
                "node_attrs": one_hot,
                "batch": torch.zeros_like(species),
                "ptr": torch.tensor([0, len(species)], device=vector.device),
                "head": torch.zeros(1, dtype=torch.long, device=vector.device),
            },
            training=True,
            compute_force=False,
        )
        return out["node_energy"], out["node_feats"][:, self._scalars]


def _scalar_columns(irreps):
    """Places of the 0e features in the features of all layers side by side."""
    columns, start = [], 0
    for layer in irreps:
        for block, part in zip(layer, layer.slices()):
            if block.ir.l == 0 and block.ir.p == 1:
                columns += range(start + part.start, start + part.stop)
        start += layer.dim
    return columns


def _import_mace():
    try:
        with _quiet():  # no extra of ours: it is tied to one version of e3nn
            modules = import_module("mace.modules")
    except ImportError as error:
        raise ValueError(f"backbone mace needs the package mace-torch ({error}); pip install mace-torch") from None
    return modules, modules.models.o3


class _quiet(warnings.catch_warnings):
    """Silence warnings of packages below MACE, and undo what its import does to the environment."""

    def __enter__(self):
        self._environment = dict(os.environ)
        super().__enter__()
        warnings.simplefilter("ignore")

    def __exit__(self, *exception):
        super().__exit__(*exception)
        for name in set(os.environ) - set(self._environment):
            del os.environ[name]


#: Names that `backbone` of a configuration may have -> factory (atomic_numbers, **options) -> Backbone.
BACKBONES = {"mace": MaceBackbone}


def register_backbone(name: str, factory) -> None:
    """Make a backbone known: `factory(atomic_numbers, **options)` returns one.

    Options with defaults may stand in configurations.

    Loading a model that was trained with it needs the same registration first. ValueError when the name is taken.
    """
    if name in BACKBONES and BACKBONES[name] is not factory:
        raise ValueError(f"the backbone {name!r} is known already")
    BACKBONES[name] = factory


def force_field_options(options) -> dict:
    """Options, with their defaults, of the force field that `options` (group `force_field` of a configuration) names.

    ValueError for a backbone that is not known.
    """
    defaults = lambda f: {
        p.name: p.default for p in inspect.signature(f).parameters.values() if p.default is not p.empty
    }
    name = options.get("backbone")
    if name is None:
        return defaults(ForceField)
    if name not in BACKBONES:
        raise ValueError(f"{name!r} is not known; known: {', '.join(BACKBONES)}")
    return {"backbone": name} | defaults(BackboneForceField) | defaults(BACKBONES[name])


def make_force_field(atomic_numbers, options) -> ForceField:
    """Force field of a configuration, our own or with a backbone."""
    options = dict(options)
    name = options.pop("backbone", None)
    if name is None:
        return ForceField(atomic_numbers, **options)
    own = {k: options.pop(k) for k in list(options) if k in inspect.signature(BackboneForceField).parameters}
    return BackboneForceField(atomic_numbers, BACKBONES[name](atomic_numbers, **options), **own)
