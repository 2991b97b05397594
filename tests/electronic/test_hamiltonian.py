"""WannierHamiltonian: construction, Bloch sums, files."""

import numpy as np
import pytest

from ase_wander.electronic import blocks
from ase_wander.electronic.hamiltonian import WannierHamiltonian
from ase_wander.electronic.supercell import make_supercell
from ase_wander.structure import neighbour_pairs
from tests.electronic_helpers import REFERENCE, graphene_model, random_model


def test_graphene_bands_are_analytic():
    h = graphene_model()
    k = np.random.default_rng(0).random((7, 3)) * [1, 1, 0]
    f = np.abs(1 + np.exp(2j * np.pi * k[:, 0]) + np.exp(-2j * np.pi * k[:, 1]))
    other = np.abs(1 + np.exp(2j * np.pi * k[:, 0]) + np.exp(2j * np.pi * k[:, 1]))
    e = h.eigenvalues(k)
    matches = [np.abs(e - (0.3 + 2.7 * np.stack([-x, x], axis=1))).max() for x in (f, other)]
    assert min(matches) < 1e-12
    assert h.eigenvalues([1 / 3, 1 / 3, 0]) == pytest.approx(np.full((1, 2), 0.3), abs=1e-12)


def test_elements_land_where_they_belong():
    h = random_model()
    first = np.append(0, np.cumsum([5, 3, 5, 3]))
    rng = np.random.default_rng(1)
    k = rng.random(3)
    full = sum(np.exp(2j * np.pi * k @ r) * b.toarray() for r, b in zip(h.cell_shifts, h.blocks))
    assert np.abs(h.at_k(k).toarray() - full).max() < 1e-13
    assert [str(x) for x in h.orbitals["label"][:8]] == ["dxy", "dyz", "dz2", "dxz", "dx2-y2", "py", "pz", "px"]
    assert (h.orbitals["atom"] == np.repeat(np.arange(4), np.diff(first))).all()
    assert (h.orbitals["m"][5:8] == [-1, 0, 1]).all()


@pytest.mark.parametrize("complex_", [False, True])
def test_gauges_are_one_unitary_apart(complex_):
    h = random_model(complex_=complex_)
    k = np.array([0.21, -0.37, 0.0])
    u = np.diag(np.exp(2j * np.pi * h.scaled_centres @ k))
    assert np.abs(h.at_k(k, "atomic") - u.conj() @ h.at_k(k).toarray() @ u).max() < 1e-13
    energies, states = h.eigenstates(k, gauge="atomic")
    residual = h.at_k(k, "atomic") @ states[0] - states[0] * energies[0]
    assert np.abs(residual).max() < 1e-12


def test_atomic_gauge_does_not_see_the_choice_of_cell():
    """Moving an atom by a lattice vector, with its shifts, changes H(k) of the lattice gauge only."""
    h = graphene_model()
    moved = h.atoms.copy()
    moved.positions[1] += moved.cell[0]
    pairs = neighbour_pairs(moved, 1.6)
    n = len(pairs)
    other = WannierHamiltonian.from_blocks(
        moved,
        {"C": ("pz",)},
        np.append(pairs.i, [0, 1]),
        np.append(pairs.j, [0, 1]),
        np.append(pairs.shift, np.zeros((2, 3), int), axis=0),
        np.append(np.full(n, -2.7), [0.3, 0.3]),
        np.arange(n + 3),
        2,
    )
    k = [0.13, 0.4, 0]
    assert np.abs(h.at_k(k) - other.at_k(k)).max() > 0.1
    assert np.abs(h.at_k(k, "atomic") - other.at_k(k, "atomic")).max() < 1e-12


def test_supercell_has_the_folded_bands():
    h = random_model()
    matrix = np.array([[2, 1, 0], [-1, 2, 0], [0, 0, 1]])
    big = make_supercell(h, matrix)
    assert len(big.atoms) == 5 * len(h.atoms)
    k = np.array([0.3, -0.1, 0])
    # k' = k G' is folded from the k + n with (k + n) = (k' + N) M^-T
    inverse = np.linalg.inv(matrix).T
    folded = {tuple(np.round((k + n) @ inverse % 1, 9)) for n in np.ndindex(5, 5, 1)}
    assert len(folded) == 5
    primitive = np.sort(h.eigenvalues(np.array(sorted(folded))).ravel())
    assert np.abs(np.sort(big.eigenvalues(k)[0]) - primitive).max() < 1e-8


def test_round_trip_of_the_file(tmp_path):
    h = random_model(complex_=True)
    h.atoms.set_array("layer", np.arange(4))
    h.info["note"] = "x"
    h.save(tmp_path / "h.npz")
    back = WannierHamiltonian.load(tmp_path / "h.npz")
    assert np.abs(back.at_k([0.1, 0.2, 0]) - h.at_k([0.1, 0.2, 0])).max() == 0
    assert back.atoms == h.atoms and (back.atoms.arrays["layer"] == h.atoms.arrays["layer"]).all()
    assert (back.orbitals == h.orbitals).all() and back.n_electrons == 14 and back.info == {"note": "x"}
    assert [p.name for p in tmp_path.iterdir()] == ["h.npz"]


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / "h.npz"
    graphene_model().save(path)
    content = path.read_bytes()
    for bad in (b"", b"nonsense", content[: len(content) // 2]):
        path.write_bytes(bad)
        with pytest.raises(ValueError, match="h.npz"):
            WannierHamiltonian.load(path)
    np.savez(path, format=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="h.npz"):
        WannierHamiltonian.load(path)
    with pytest.raises(FileNotFoundError, match="missing.npz"):
        WannierHamiltonian.load(tmp_path / "missing.npz")


def test_errors_name_the_culprit():
    h = graphene_model()
    shift = h.cell_shifts.tolist()
    broken = [b.copy() for b in h.blocks]
    r = next(k for k, b in enumerate(broken) if b.nnz == 1)
    broken[r].data[:] += 0.01
    with pytest.raises(ValueError, match=r"not Hermitian.*0\.01 eV.*atoms . \(pz\) and . \(pz\), cell"):
        WannierHamiltonian(h.atoms, h.orbitals, shift, broken, 2)
    args = dict(
        shells={"C": ("pz",)},
        pair_i=[0, 1],
        pair_j=[0, 1],
        pair_shift=np.zeros((2, 3)),
        block=[0.0, 0.0],
        block_ptr=[0, 1, 2],
        n_electrons=2,
    )
    with pytest.raises(ValueError, match="atom 0 is C"):
        WannierHamiltonian.from_blocks(h.atoms, **args | {"shells": {"S": (1,)}})
    with pytest.raises(ValueError, match=r"pair 1 \(atoms 1, 1.*has 2 elements.*1 x 1"):
        WannierHamiltonian.from_blocks(h.atoms, **args | {"block": [0.0] * 3, "block_ptr": [0, 1, 3]})
    with pytest.raises(ValueError, match=r"atoms 1, 1, cell \[0, 0, 0\] is not finite"):
        WannierHamiltonian.from_blocks(h.atoms, **args | {"block": [0.0, np.nan]})
    with pytest.raises(ValueError, match="atoms 1, 1.*appears twice"):
        WannierHamiltonian.from_blocks(h.atoms, **args | {"pair_i": [1, 1], "pair_j": [1, 1]})
    with pytest.raises(ValueError, match=r"pair_j\[1\] = 7"):
        WannierHamiltonian.from_blocks(h.atoms, **args | {"pair_j": [0, 7]})
    with pytest.raises(ValueError, match="gauge"):
        h.at_k([0, 0, 0], gauge="periodic")
    with pytest.raises(ValueError, match="n_bands is 3"):
        h.eigenvalues([0, 0, 0], n_bands=3)
    with pytest.raises(ValueError, match="k"):
        h.eigenvalues([[0, np.nan, 0]])
    with pytest.raises(ValueError, match="sigma needs n_bands"):
        h.eigenvalues([0, 0, 0], sigma=0.0)


@pytest.mark.parametrize("name", ["p1_0000", "q3_0000", "ml_0000"])
def test_reference_blocks_give_the_dft_bands(name):
    """Pairs within 12.8 Å carry the bands of the whole k-grid to a few meV; 14 electrons per MoS2."""
    path = REFERENCE / f"{name}.npz"
    h = WannierHamiltonian.from_dataset_file(path)
    data = np.load(path)
    difference = h.eigenvalues(data["kpts"]) - data["eigenvalues"]
    assert np.sqrt((difference**2).mean()) < 5e-3
    assert h.n_electrons == 14 * (data["numbers"] == 42).sum()
    assert 0.3 < h.band_gap() < 2.0


def test_hermiticity_is_checked_in_stripes_alike(monkeypatch):
    """The worst element and its place do not depend on how many rows are compared at a time."""
    h = random_model()
    matrices = [b.copy() for b in h.blocks]
    matrices[2].data[-5] += 0.5
    whole = blocks.hermiticity_error(h.cell_shifts, matrices)
    monkeypatch.setattr(blocks, "ELEMENTS_PER_STRIPE", 10)
    assert blocks.hermiticity_error(h.cell_shifts, matrices) == whole and whole[0] == pytest.approx(0.5)
