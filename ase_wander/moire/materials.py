"""Known monolayers: their lattices, and the equilibrium geometry that builders use by default."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from ..catalogue import CONFIG, find_models


@dataclass(frozen=True)
class Equilibrium:
    """Geometry of an untwisted bilayer.

    Attributes
    ----------
    a : float
        Lattice constant, Å.
    gap : float
        Distance of the two mid-planes (metal to metal), Å.
    thickness : float
        Distance of the outermost planes of one layer (chalcogen to chalcogen), Å; 0 for a flat layer.
    source : str
        Where the numbers come from.
    """

    a: float
    gap: float
    thickness: float
    source: str


_SCHUTTE = "bulk 2H crystal, Schutte, de Boer, Jellinek, J. Solid State Chem. 70, 207 (1987)"
_BRONSEMA = "bulk 2H crystal, Bronsema, de Boer, Jellinek, Z. anorg. allg. Chem. 540, 15 (1986)"
_BULK = "bulk crystal"

#: Literature values, used where no shipped model knows better.  gap = c/2 of the bulk crystal.
LITERATURE = {
    "MoS2": Equilibrium(3.160, 6.20, 3.13, "rounded from the bulk crystal (3.160, c/2 = 6.147 Å) and PBE-D3"),
    "MoSe2": Equilibrium(3.289, 6.46, 3.34, _BRONSEMA),
    "MoTe2": Equilibrium(3.519, 6.98, 3.60, "bulk 2H crystal, Puotinen, Newnham, Acta Cryst. 14, 691 (1961)"),
    "WS2": Equilibrium(3.153, 6.16, 3.14, _SCHUTTE),
    "WSe2": Equilibrium(3.282, 6.48, 3.34, _SCHUTTE),
    "WTe2": Equilibrium(3.519, 6.98, 3.60, "no 2H crystal: that of MoTe2, as Mo and W of S2 and Se2 differ by 0.007 Å"),
    "graphene": Equilibrium(2.460, 3.35, 0.0, "graphite, Baskin, Meyer, Phys. Rev. 100, 544 (1955)"),
    "hBN": Equilibrium(2.504, 3.33, 0.0, "bulk h-BN, Pease, Acta Cryst. 5, 356 (1952)"),
}

_ALIASES = {"c": "graphene", "c2": "graphene", "h-bn": "hBN", "bn": "hBN"}


def known_materials() -> list[str]:
    """Names that the builders accept."""
    return sorted(LITERATURE, key=str.lower)


def canonical_name(name: str) -> str:
    """The listed spelling of a material's name (any case, "BN", "h-BN", "C"); ValueError for an unknown one."""
    by_case = {key.lower(): key for key in LITERATURE} | _ALIASES
    if str(name).lower() not in by_case:
        if "." in str(name):  # no formula has a dot: a file was meant
            raise ValueError(f"{name}: no such file, and no known material ({', '.join(known_materials())})")
        raise ValueError(
            f"unknown material {name!r}; known are {', '.join(known_materials())} "
            "(or give a monolayer: a file of one layer, or ase.Atoms)"
        )
    return by_case[str(name).lower()]


def models_of(name: str) -> dict:
    """Configuration file of every model of a known material, by the model's name.

    ValueError naming one that is not readable.
    """
    name, found = canonical_name(name), {}
    for model, folder in find_models().items():
        config = folder / CONFIG
        try:
            card = json.loads(config.read_text(encoding="utf-8"))
            if card.get("material", model.split("-")[0]).lower() == name.lower():
                found[model] = config
        except (OSError, ValueError, AttributeError) as error:
            raise ValueError(f"{config}: cannot be read as the configuration of a model: {error!r}") from error
    return found


def equilibrium(name: str) -> Equilibrium:
    """Lattice constant, gap and thickness of a known material.

    The values of a shipped model's card (key "equilibrium" of its `config.json`) come first, so that a built
    cell starts at the minimum of the model that will relax it; the literature comes second.
    """
    name = canonical_name(name)
    for model, config in models_of(name).items():
        try:
            card = json.loads(config.read_text(encoding="utf-8"))
            if "equilibrium" not in card:
                continue
            values = card["equilibrium"]
            return Equilibrium(
                float(values["a"]),
                float(values["gap"]),
                float(values.get("thickness", LITERATURE[name].thickness)),
                f"model {model}",
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{config}: cannot read the key 'equilibrium' (a, gap, thickness): {error!r}") from error
    return LITERATURE[name]


def monolayer(name: str, lattice_constant: float | None = None, thickness: float | None = None) -> Atoms:
    """One primitive cell of a known material, mid-plane at z = 0.

    First vector along x, 120 degrees between the vectors, no cell vector along z.  A dichalcogenide has its metal
    at (0, 0) and its chalcogens at (2/3, 1/3); graphene has its atoms at (1/3, 2/3) and (2/3, 1/3), h-BN
    boron and nitrogen there, which puts the centre of the hexagon at the origin.
    """
    name = canonical_name(name)
    eq = equilibrium(name)
    a = eq.a if lattice_constant is None else float(lattice_constant)
    if not a > 0:
        raise ValueError(f"the lattice constant must be positive, got {a} Å")
    t = eq.thickness if thickness is None else float(thickness)
    if name in ("graphene", "hBN"):
        symbols, z = ("C2" if name == "graphene" else "BN"), [0.0, 0.0]
        fractional = [[1 / 3, 2 / 3], [2 / 3, 1 / 3]]
    else:
        symbols, z = name, [0.0, t / 2, -t / 2]
        fractional = [[0, 0], [2 / 3, 1 / 3], [2 / 3, 1 / 3]]
    cell = a * np.array([[1, 0, 0], [-0.5, np.sqrt(0.75), 0], [0, 0, 0]])
    positions = np.array(fractional) @ cell[:2]
    positions[:, 2] = z
    return Atoms(symbols, positions=positions, cell=cell, pbc=(True, True, False))
