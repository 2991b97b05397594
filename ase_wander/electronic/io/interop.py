"""The Hamiltonian as a model of pythtb, of sisl and of WannierBerri (optional packages).

Orbitals of sisl belong to atoms and stand atom by atom; those of the others keep the order of the Hamiltonian.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, hstack

from ..orbitals import spin_pairs
from ..transforms import reordered


def to_pythtb(h, threshold=0.0):
    """pythtb model of `h`, orbitals in its order (spinors as separate orbitals).

    Parameters
    ----------
    threshold : float
        Elements up to this size (eV) are left out.

    Raises
    ------
    ImportError
        Without pythtb.
    """
    try:
        import pythtb
    except ImportError:
        raise ImportError("to_pythtb needs pythtb: pip install pythtb") from None
    atoms = h.require_atoms("a pythtb model")
    periodic = [a for a in range(3) if (h.cell_shifts[:, a] != 0).any()]
    lattice, centres = atoms.cell.complete().array, h.scaled_centres
    if hasattr(pythtb, "TBModel"):
        model = pythtb.TBModel(pythtb.Lattice(lattice, centres, periodic_dirs=periodic))
    else:
        model = pythtb.tb_model(len(periodic), 3, lattice, centres, per=periodic)
    onsite, *hoppings = _half(h, threshold)
    model.set_onsite(onsite.tolist(), mode="set")
    if hasattr(model, "_append_hops"):
        model._append_hops(*(x.tolist() for x in hoppings))
    elif hasattr(model, "_hoppings"):
        # One set_hop compares with all hoppings there are already: their number squared.
        model._hoppings.extend(
            [value, i, j, shift] for value, i, j, shift in zip(*(x.tolist() for x in hoppings[:3]), hoppings[3])
        )
    else:
        for value, i, j, shift in zip(*(x.tolist() for x in hoppings)):
            model.set_hop(value, i, j, shift, mode="set")
    return model


def _half(h, threshold):
    """On-site energies (n,), and one of every pair of hoppings H_ij(R), H_ji(-R): values, i, j (n_hops,), R
    (n_hops, 3).
    """
    onsite, parts = np.zeros(h.n_orbitals), []
    for shift, block in zip(h.cell_shifts, h.blocks):
        if tuple(shift) < (0, 0, 0):
            continue
        coo = block.tocoo()
        keep = np.abs(coo.data) > threshold
        if not shift.any():
            onsite = block.diagonal().real
            keep &= coo.row < coo.col
        row, col, data = coo.row[keep].astype(int), coo.col[keep].astype(int), coo.data[keep].astype(complex)
        parts.append((data, row, col, np.tile(shift, (len(row), 1))))
    return onsite, *(np.concatenate(x) for x in zip(*parts))


def to_sisl(h, spin=None):
    """sisl.Hamiltonian of `h` (orthogonal basis), every orbital on its own atom; orbitals are sorted by atom.

    Parameters
    ----------
    spin : {None, "spin-orbit"}
        None: spinors are orbitals like others, the spin-up ones of an atom before its spin-down ones. "spin-orbit":
        sisl's spinors, two components of every orbital, for its spin moments and textures.

    Raises
    ------
    ImportError
        Without sisl.
    ValueError
        With ``spin="spin-orbit"``, for a Hamiltonian without spin.
    """
    try:
        import sisl
    except ImportError:
        raise ImportError("to_sisl needs sisl: pip install sisl") from None
    atoms = h.require_sites("a sisl Hamiltonian")
    if spin is None:
        h = reordered(h, np.argsort(h.orbitals["atom"], kind="stable"))
        on = h.orbitals["atom"]
    elif spin in ("spin-orbit", "spinorbit", "so", "soc"):
        if h.spin_degeneracy != 1:
            raise ValueError("the Hamiltonian has no spin: add spin-orbit coupling first (with_spin_orbit)")
        pairs = spin_pairs(h.orbitals)
        on = h.orbitals["atom"][pairs[:, 0]]
    else:
        raise ValueError(f"spin is {spin!r}; it must be None or 'spin-orbit'")
    geometry = _sisl_geometry(sisl, h, atoms, np.bincount(on, minlength=len(atoms)))
    wide = _supercell_row(h, geometry.lattice.sc_off)
    if spin is None:
        return sisl.Hamiltonian.fromsp(geometry, wide)
    cells = np.arange(len(geometry.lattice.sc_off)) * h.n_orbitals
    up, down = ((cells[:, None] + pairs[:, s]).ravel() for s in (0, 1))
    uu, ud = wide[pairs[:, 0]][:, up], wide[pairs[:, 0]][:, down]
    du, dd = wide[pairs[:, 1]][:, up], wide[pairs[:, 1]][:, down]
    # sisl's real components of a spinor element: Re uu, Re dd, Re ud, Im ud, Im uu, Im dd, Re du, Im du
    parts = [uu.real, dd.real, ud.real, ud.imag, uu.imag, dd.imag, du.real, du.imag]
    return sisl.Hamiltonian.fromsp(geometry, [csr_matrix(part) for part in parts], spin=sisl.Spin("spin-orbit"))


def _sisl_geometry(sisl, h, atoms, counts):
    reach = float(np.linalg.norm(atoms.cell.array, axis=1).max()) * (np.abs(h.cell_shifts).max() + 1)
    # An atom without orbitals still needs one in sisl; it would not fit H.
    bare = np.flatnonzero(counts == 0)
    if len(bare):
        raise ValueError(
            f"atom {bare[0]} ({atoms.symbols[bare[0]]}) has no orbitals: in sisl every atom has at least one"
        )
    species = [sisl.Atom(int(z), R=[reach] * int(c)) for z, c in zip(atoms.numbers, counts)]
    nsc = [2 * int(np.abs(h.cell_shifts[:, a]).max()) + 1 for a in range(3)]
    return sisl.Geometry(atoms.positions, species, sisl.Lattice(atoms.cell.complete().array, nsc=nsc))


def _supercell_row(h, offsets):
    """H(R) of all R in `offsets` side by side, CSR (n_orbitals, n_R n_orbitals)."""
    index = {tuple(r): b for r, b in zip(h.cell_shifts.tolist(), h.blocks)}
    empty = csr_matrix((h.n_orbitals, h.n_orbitals))
    return hstack([index.get(tuple(int(x) for x in r), empty) for r in offsets], format="csr")


def to_wannierberri(h, max_bytes=8e9, **options):
    """`wannierberri.system.System_R` of `h` with centres and, of spinors, the spin matrices.

    Positions are diagonal in the basis, as everywhere here: no `AA` matrix beyond the centres.

    Parameters
    ----------
    max_bytes : float
        WannierBerri keeps dense matrices; the call is refused where they would take more.
    **options
        Go to ``System_R`` (``name``, ``NKFFT``, ...).

    Raises
    ------
    ImportError
        Without wannierberri.
    """
    try:
        from wannierberri.fourier.rvectors import Rvectors
        from wannierberri.system.system_R import System_R
    except ImportError:
        raise ImportError("to_wannierberri needs wannierberri: pip install wannierberri") from None
    atoms, n = h.require_atoms("a WannierBerri system"), h.n_orbitals
    spinor = h.spin_degeneracy == 1
    size = 16.0 * n**2 * len(h.blocks) * (4 if spinor else 1)
    if size > max_bytes:
        raise ValueError(
            f"WannierBerri's dense matrices would take {size / 1e9:.1f} GB (limit {max_bytes / 1e9:g} GB, max_bytes=): "
            "use h.truncate(threshold) for fewer cells R, or WannierTools (write_wanniertools)"
        )
    pairs = spin_pairs(h.orbitals) if spinor else None
    settings = {"periodic": tuple(bool((h.cell_shifts[:, a] != 0).any()) for a in range(3)), "name": "ase_wander"}
    system = System_R(**settings | {"force_internal_terms_only": True} | options)
    system.num_wann, system.spinor = n, spinor
    system.real_lattice = atoms.cell.complete().array
    system.set_wannier_centers(wannier_centers_cart=np.array(h.centres))
    home = (h.cell_shifts == 0).all(axis=1)
    shifts = h.cell_shifts if home.any() else np.append(h.cell_shifts, [[0, 0, 0]], axis=0)
    system.rvec = Rvectors(
        lattice=system.real_lattice, iRvec=np.array(shifts), shifts_left_red=system.wannier_centers_red
    )
    hamiltonian = np.zeros((len(shifts), n, n), complex)
    for r, block in enumerate(h.blocks):
        hamiltonian[r] = block.toarray()
    system.set_R_mat("Ham", hamiltonian)
    if spinor:
        system.set_spin_pairs([tuple(pair) for pair in pairs.tolist()])
    system.do_at_end_of_init()
    return system
