"""Symmetry checks on any structure: covariance, Hermiticity, the same results in single precision."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import torch
from ase import Atoms

from ..nn.angular import wigner_d


def symmetry_checks(model, configurations, seed=0) -> dict:
    """Largest violations over some configurations, each turned and permuted at random.

    Returns
    -------
    dict with, where the model has the quantity,

    covariance : `energy` (eV), `forces` (eV/Å), `hamiltonian` (eV): max |H(Q R) - D H D^T| for a random orthogonal Q, a
        rotation and a reflection in turn, after a random permutation of the atoms; `refused` instead, with the reason,
        of a model that takes no turned structure
    hermiticity : max |H_ij(R) - H_ji(-R)^T|, eV
    precision : `energy` (eV per atom), `forces`, `hamiltonian`: float32 against float64
    configurations : the names
    """
    rng = np.random.default_rng(seed)
    out = {"configurations": [c.name for c in configurations], "covariance": {}, "hermiticity": None, "precision": {}}
    single = _in_precision(model, torch.float32) if torch.float64 in model.precisions else None
    double = model if model.dtype == torch.float64 or single is None else _in_precision(model, torch.float64)
    for number, c in enumerate(configurations):
        h = _blocks(double, c.atoms, c.layers)
        _raise(out, "hermiticity", hermiticity(h))
        results = double.compute(c.atoms, c.layers)
        try:
            for name, value in covariance(double, c, h, results, rng, 1 - 2 * (number % 2)).items():
                _raise(out["covariance"], name, value)
        except ValueError as error:
            out["covariance"] = {"refused": str(error)}
        if single is not None:
            other, g = single.compute(c.atoms, c.layers), _blocks(single, c.atoms, c.layers)
            for name, value in (
                ("energy", abs(other["energy"] - results["energy"]) / len(c.atoms)),
                ("forces", np.abs(other["forces"] - results["forces"]).max()),
                ("hamiltonian", max(np.abs(g[k] - h[k]).max() for k in h)),
            ):
                _raise(out["precision"], name, value)
    return out


def _raise(into, name, value):
    into[name] = float(max(value, into.get(name) or 0.0))


def _in_precision(model, dtype):
    return deepcopy(model).to(dtype=dtype)


def _blocks(model, atoms, layers) -> dict:
    """H as {(i, j, S1, S2, S3): block}; of a model that is not Hermitian its own H, before it is made so."""
    options = {} if model.is_equivariant else {"hermitian": False, "orbitals": "global"}
    blocks = model.hamiltonian(atoms, layers, **options)
    sizes, onsite = np.zeros(len(atoms), int), blocks.onsite
    sizes[blocks.pair_i[onsite]] = np.sqrt(blocks.sizes[onsite]).round().astype(int)
    keys = np.column_stack([blocks.pair_i, blocks.pair_j, blocks.pair_shift]).tolist()
    return {tuple(key): blocks.of_pair(p).reshape(sizes[key[0]], sizes[key[1]]) for p, key in enumerate(keys)}


def hermiticity(h) -> float:
    """max |H_ij(R) - H_ji(-R)^T| of a dict of blocks; a block without its partner counts in full."""
    return max(
        float(np.abs(b - (h[j, i, -s1, -s2, -s3].T if (j, i, -s1, -s2, -s3) in h else 0.0)).max())
        for (i, j, s1, s2, s3), b in h.items()
    )


def covariance(model, configuration, h, results, rng, determinant=1) -> dict:
    """Violations of E(QR) = E(R), F(QR) = Q F(R), H(QR) = D(Q) H(R) D(Q)^T after a permutation of the atoms."""
    atoms, n = configuration.atoms, len(configuration.atoms)
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    q *= np.sign(np.linalg.det(q)) * determinant
    order = rng.permutation(n)
    turned = Atoms(
        numbers=atoms.numbers[order], positions=atoms.positions[order] @ q.T, cell=atoms.cell.array @ q.T, pbc=atoms.pbc
    )
    layers = configuration.layers[order]
    moved = model.compute(turned, layers)
    out = {"forces": np.abs(moved["forces"] - results["forces"][order] @ q.T).max()}
    if "energy" in results:
        out["energy"] = abs(moved["energy"] - results["energy"])
    # of an orbital along the local normal, the block is a scalar
    turn = {
        s: torch.block_diag(
            *(
                torch.eye(1, dtype=torch.float64) if isinstance(l, str) else wigner_d(torch.from_numpy(q), l)
                for l in shells
            )
        ).numpy()
        for s, shells in model.shells.items()
    }
    worst = 0.0
    for (i, j, *shift), block in _blocks(model, turned, layers).items():
        a, b = int(order[i]), int(order[j])
        expected = turn[atoms.symbols[a]] @ h[(a, b, *shift)] @ turn[atoms.symbols[b]].T if (a, b, *shift) in h else 0.0
        worst = max(worst, float(np.abs(block - expected).max()))
    return {**out, "hamiltonian": worst}
