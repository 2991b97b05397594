"""What a twist does to a model: lattice sums of the coupling between layers, the top valence state at Γ, the gap.

Aligned stackings fix an element of the coupling only up to terms that vanish at 0 and 60 degrees. What such a term does
is seen in the sum over all pairs, sum_R H_ij(R), of the p_z orbitals that face each other, and in the states at Γ that
it splits.
"""

from __future__ import annotations

import numpy as np

from ..electronic.hamiltonian import WannierHamiltonian
from ..electronic.orbitals import expand_shells
from .hamiltonian_errors import eigenvalue_errors, hamiltonian_errors, n_orbitals

#: States below the top one at Γ whose mean error its own is compared with.
BELOW = 11


def twist_errors(model, configuration, r_max=12.0) -> dict:
    """Errors of a model on one (twisted) bilayer; quantities that the reference lacks are left out.

    Returns
    -------
    dict with `force` (MAE, eV/Å), `elements` (MAE within `r_max`, eV), `inter_r2`, `gap` (predicted - reference on the
    k-points of the data, eV), `gamma` (see `gamma_lag`, eV), `sum` (see `facing_sum`, predicted - reference, eV)
    """
    c, out = configuration, {}
    if "forces" in c.results:
        out["force"] = float(np.abs(model.compute(c.atoms, c.layers)["forces"] - c.results["forces"]).mean())
    if c.hamiltonian is None and not c.has("eigenvalues"):
        return out
    blocks = model.hamiltonian(c.atoms, c.layers)
    if c.hamiltonian is not None:
        found = hamiltonian_errors(model, c, r_max, blocks)
        error, inter = found["predicted"] - found["reference"], found["kind"] == 2
        out["elements"] = float(np.abs(error).mean())
        if inter.any():
            reference = found["reference"][inter]
            out["inter_r2"] = float(1 - (error[inter] ** 2).sum() / ((reference - reference.mean()) ** 2).sum())
            data, shells = c.load_blocks(n_orbitals(model, c)), model.shells
            names = ("pair_i", "pair_j", "pair_shift", "block", "block_ptr")
            out["sum"] = facing_sum(c, shells, *blocks[:5], r_max) - facing_sum(
                c, shells, *(data[n] for n in names), r_max
            )
    if c.has("eigenvalues"):
        gap = eigenvalue_errors(model, c, blocks=blocks)[2]
        lag = gamma_lag(model, c, blocks)
        out |= {k: v for k, v in (("gap", float(gap)), ("gamma", lag)) if np.isfinite(v)}
    return out


def facing_atoms(configuration) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the atoms of layers 0 and 1 that face each other: those of the species nearest to the other layer."""
    c = configuration
    z, out = c.atoms.positions[:, 2], []
    for own, other in ((0, 1), (1, 0)):
        members = np.flatnonzero(c.layers == own)
        toward = np.sign(z[c.layers == other].mean() - z[members].mean())
        height = toward * (z[members] - z[members].mean())
        species = c.atoms.numbers[members[np.argmax(height)]]
        same = members[c.atoms.numbers[members] == species]
        mean = z[same].mean()
        inner = toward * (z[same] - mean) > 0 if np.ptp(z[same]) > 1.0 else np.ones(len(same), bool)
        out.append(same[inner])
    return tuple(out)


def facing_sum(configuration, shells, i, j, shift, block, ptr, r_max=12.0) -> float:
    """Lattice sum of the p_z - p_z elements between facing atoms within `r_max` (Å), per atom of a layer (eV)."""
    c = configuration
    below, above = facing_atoms(c)
    i, j, ptr = (np.asarray(a).astype(int) for a in (i, j, ptr))
    d = np.linalg.norm(c.atoms.positions[j] + np.asarray(shift) @ c.atoms.cell.array - c.atoms.positions[i], axis=1)
    chosen = np.flatnonzero(np.isin(i, below) & np.isin(j, above) & (d < r_max))
    total = 0.0
    for p in chosen:
        columns = [expand_shells(shells[c.atoms.symbols[a]]) for a in (i[p], j[p])]
        row, column = (_pz(orbitals) for orbitals in columns)
        total += float(block[ptr[p] + row * len(columns[1]) + column])
    return float(total / len(below))


def _pz(orbitals):
    """Place of p_z among the orbitals (l, m, label) of an atom."""
    places = [k for k, (l, m, _) in enumerate(orbitals) if (l, m) == (1, 0)]
    if not places:
        raise ValueError("the facing atoms have no p_z orbital")
    return places[0]


def gamma_lag(model, configuration, blocks=None) -> float:
    """Error of the top valence state at Γ less the mean error of the BELOW states under it (eV).

    Nan without Γ there.
    """
    c = configuration
    data = c.load_reference(n_orbitals(model, c))
    at_gamma = np.flatnonzero(np.abs(data["kpts"] - np.round(data["kpts"])).max(1) < 1e-6)
    *blocks, n_electrons = blocks or model.hamiltonian(c.atoms, c.layers)
    top = int(n_electrons // 2) - 1
    if not len(at_gamma) or top < 1:
        return float("nan")
    h = WannierHamiltonian.from_blocks(c.atoms, model.shells, *blocks, n_electrons)
    error = np.linalg.eigvalsh(h.at_k([0, 0, 0]).toarray()) - data["eigenvalues"][at_gamma[0]]
    return float(error[top] - error[max(top - BELOW, 0) : top].mean())
