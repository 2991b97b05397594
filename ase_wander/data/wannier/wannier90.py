"""Wannier90 output as reference data: H(R) of `seed_hr.dat` or `seed_tb.dat` as blocks of atom pairs, bands on its
k-grid.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
from ase import Atoms

from ...electronic.hamiltonian import WannierHamiltonian
from ...electronic.io import win

SUFFIXES = ("_hr.dat", "_tb.dat")

#: Pairs farther apart (Å) are left out, as in our own files.
REACH = 15.0

#: Images whose distances differ by less (Å) share an element (Wannier90's ws_distance_tol).
TIE = 1e-3

#: Largest imaginary part (eV) that a real Hamiltonian may have from the phases of its Bloch states.
IMAGINARY = 1e-3


def find_seeds(path) -> list[tuple[str, Path]]:
    """(name, `_hr.dat` or `_tb.dat`) of a seed, of such a file, or of all in a folder and the folders in it."""
    path = Path(path)
    if path.is_dir():
        found = {}
        for suffix in SUFFIXES[::-1]:  # _hr.dat wins
            found |= {
                str(f)[: -len(suffix)]: f for pattern in ("*", "*/*") for f in sorted(path.glob(pattern + suffix))
            }
        own = [Path(seed).name for seed in found]
        # calculations in folders of their own often have one and the same seed
        return [
            (Path(seed).name if own.count(Path(seed).name) == 1 else f"{f.parent.name}_{Path(seed).name}", f)
            for seed, f in sorted(found.items())
        ]
    if path.name.endswith(SUFFIXES) and path.is_file():
        return [(path.name[: -len(SUFFIXES[0])], path)]
    return [(path.name, Path(f"{path}{suffix}")) for suffix in SUFFIXES if Path(f"{path}{suffix}").is_file()][:1]


def settings_file(file) -> Path:
    """`seed.win` that belongs to `seed_hr.dat`."""
    return Path(str(file)[: -len(SUFFIXES[0])] + ".win")


def mp_grid(file) -> np.ndarray | None:
    """The keyword mp_grid of `seed.win`, (3,), None where it does not say."""
    path = settings_file(file)
    grid = win.read(path).get("mp_grid") if path.is_file() else None
    return None if grid is None else np.array(grid)


def read_structure(file) -> Atoms:
    """Atoms of `seed.win`, periodic in the plane, and across it where the k-grid has more than one point there."""
    path = settings_file(file)
    atoms = win.read(path).get("atoms") if path.is_file() else None
    if atoms is None:
        raise ValueError(
            f"{path}: no unit_cell_cart with atoms_cart or atoms_frac; give the structure in {path.stem}.extxyz "
            "or with `structure`"
        )
    grid = mp_grid(file)
    atoms.pbc = (True, True, grid is not None and grid[2] > 1)
    return atoms


def read_arrays(file, atoms) -> dict:
    """Arrays of one Wannier90 calculation as in our own files (see DATA: pair_i ... block_ptr, kpts, kweights,
    eigenvalues).

    Orbitals are those of the projections of `seed.win`, sorted by atom, l and m. Where the k-grid is known every
    element goes to the nearest image(s) of its pair, which undoes the arbitrary cell of the R-vectors (as
    use_ws_distance does).

    Parameters
    ----------
    file : path-like
        `seed_hr.dat` or `seed_tb.dat`.
    atoms : ase.Atoms
        The structure of the configuration: that of `seed.win` in the same order, each atom in any cell.

    Raises
    ------
    ValueError
        Projections that do not say which orbital each function is, spinors, a complex H, another structure.
    """
    try:
        h = WannierHamiltonian.from_wannier90(str(file)[: -len(SUFFIXES[0])])
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(str(error)) from None
    if h.atoms is None or (h.orbitals["l"] < 0).any():
        raise ValueError(
            f"{settings_file(file)}: its projections do not say which orbital of which atom each of "
            f"{h.n_orbitals} Wannier functions is"
        )
    if h.orbitals["spin"].any() or h.spin_degeneracy != 2:
        raise ValueError(f"{file}: Hamiltonian of spinors; the model has no spin")
    cells = whole_cells(h.atoms, atoms, file)
    values = np.array([block.toarray() for block in h.blocks])
    if np.abs(values.imag).max() > IMAGINARY:
        raise ValueError(
            f"{file}: elements have imaginary parts up to {np.abs(values.imag).max():.2g} eV; the model's are real"
        )
    order = np.lexsort((h.orbitals["m"], h.orbitals["l"], h.orbitals["atom"]))
    values = values.real[:, order][:, :, order]
    grid, first = mp_grid(file), np.searchsorted(h.orbitals["atom"][order], np.arange(len(atoms) + 1))
    found = to_pairs(values, h.cell_shifts, h.atoms, grid, first)
    out = {"numbers": atoms.numbers, "positions": atoms.positions, "cell": atoms.cell.array, **found}
    # r_j + R - r_i stays the same when atoms move by whole cells
    out["pair_shift"] = out["pair_shift"] + cells[out["pair_i"]] - cells[out["pair_j"]]
    grid = 2 * np.abs(h.cell_shifts).max(axis=0) + 1 if grid is None else grid
    kpts, kweights = k_grid(grid)
    bands = np.array([np.linalg.eigvalsh(h.at_k(k).toarray()) for k in kpts])
    return out | {"kpts": kpts, "kweights": kweights, "eigenvalues": bands, "mp_grid": grid}


def whole_cells(own, atoms, file) -> np.ndarray:
    """Lattice vectors (n, 3) by which `atoms` stand apart from those of the file; ValueError unless they are whole."""
    same = (
        len(own) == len(atoms)
        and np.array_equal(own.numbers, atoms.numbers)
        and np.abs(own.cell.array - atoms.cell.array).max() < 1e-3
    )
    if not same:
        raise ValueError(
            f"{settings_file(file)}: {own.get_chemical_formula()} differs from the structure's "
            f"{atoms.get_chemical_formula()} in species, their order or the cell"
        )
    away = (atoms.positions - own.positions) @ np.linalg.inv(own.cell.array)
    rest = np.linalg.norm((away - np.rint(away)) @ own.cell.array, axis=1)
    if rest.max() > 1e-3:
        k = int(rest.argmax())
        raise ValueError(
            f"{settings_file(file)}: atom {k} ({own.symbols[k]}) stands {rest[k]:.3g} Å from where the structure has it"
        )
    return np.rint(away).astype(int)


def to_pairs(values, shifts, atoms, grid, first) -> dict:
    """Blocks of atom pairs from H(R).

    Parameters
    ----------
    values : ndarray, shape (n_R, n_orbitals, n_orbitals)
        eV.
    shifts : ndarray of int, shape (n_R, 3)
    atoms : ase.Atoms
    grid : sequence of int, shape (3,), optional
        The k-grid, whose supercell repeats H(R); without it elements stay where they are.
    first : ndarray of int, shape (n_atoms + 1,)
        First orbital of every atom.
    """
    cell, positions = atoms.cell.array, atoms.positions
    between = positions[None] - positions[:, None]  # r_j - r_i
    if grid is None:
        images = shifts[:, None]  # (R, t = 1, 3)
    else:
        home, which = np.unique(np.mod(shifts, grid), axis=0, return_inverse=True)
        folded = np.zeros((len(home), *values.shape[1:]))
        np.add.at(folded, which.ravel(), values)
        values = folded
        turns = np.array(list(product(*[(0,) if n == 1 and not p else range(-2, 3) for n, p in zip(grid, atoms.pbc)])))
        images = home[:, None] + turns[None] * grid  # (R, t, 3)
    distance = np.linalg.norm(between[None, None] + (images @ cell)[:, :, None, None], axis=-1)  # (R, t, i, j)
    nearest = distance < distance.min(axis=1, keepdims=True) + TIE
    share = nearest / nearest.sum(axis=1, keepdims=True)
    r, t, i, j = np.nonzero(nearest & (distance < REACH))
    order = np.lexsort((j, i))
    r, t, i, j = r[order], t[order], i[order], j[order]
    blocks = [
        values[a, first[b] : first[b + 1], first[c] : first[c + 1]].ravel() * share[a, s, b, c]
        for a, s, b, c in zip(r, t, i, j)
    ]
    return {
        "pair_i": i,
        "pair_j": j,
        "pair_shift": images[r, t],
        "pair_distance": distance[r, t, i, j],
        "block": np.concatenate(blocks),
        "block_ptr": np.concatenate([[0], np.cumsum([b.size for b in blocks])]),
    }


def k_grid(grid):
    """k-points (n, 3) of a grid with Gamma, and weights (n,) that sum to 1, one of every k and -k."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid], indexing="ij"), -1).reshape(-1, 3)
    code = index @ [grid[1] * grid[2], grid[2], 1]
    minus = np.mod(-index, grid) @ [grid[1] * grid[2], grid[2], 1]
    keep = code <= minus
    return index[keep] / grid, np.where(code == minus, 1.0, 2.0)[keep] / len(index)
