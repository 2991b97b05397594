"""Sources of training data: parts of folders, bad sources, Wannier90 output."""

import ase.io
import numpy as np
import pytest
from ase import Atoms
from scipy.sparse import csr_matrix

from ase_wander.data.dataset import load_dataset
from ase_wander.data.sources import load_source, load_sources
from ase_wander.data.wannier.wannier90 import read_arrays
from ase_wander.electronic.hamiltonian import WannierHamiltonian
from ase_wander.electronic.orbitals import orbital_table
from ase_wander.training.config import load_config
from tests.mos2_small import DATA
from tests.training_setup import write_config


# ---------------------------------------------------------------- sources
def test_sources_take_and_withhold_parts_of_one_folder():
    source = (
        {"path": str(DATA), "include": "ml_*"},
        {"path": str(DATA), "exclude": "ml_*", "withhold": "hamiltonian", "weight": 2.0},
    )
    found = load_sources(source)
    assert [c.name for c in found] == ["ml_0000", "ml_0001", "p1_8003", "p1_0040"]
    assert [c.weight for c in found] == [1, 1, 2, 2] and all(c.has("hamiltonian") for c in found)
    hidden = found[2].without(found[2].to_withhold)
    assert not hidden.has("hamiltonian") and hidden.has("eigenvalues") and hidden.has("forces")
    assert set(hidden.load_reference()) & {"block", "pair_i"} == set() and "eigenvalues" in hidden.load_reference()
    with pytest.raises(ValueError, match="p1_8003.*has no Hamiltonian"):
        hidden.load_blocks()
    with pytest.raises(ValueError, match="'ml_0000' occurs twice"):
        load_sources([str(DATA), source[0]])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"path": 3}, r"data\[0\]: .*is not a path"),
        ({"withhold": "secrets"}, r"data\[0\].withhold: 'secrets' is no label"),
        ({"weight": 0}, r"data\[0\].weight: 0 is not a positive number"),
        ({"colour": 1}, r"data\[0\].colour: unknown"),
        ({"kind": "cube"}, r"data\[0\].kind: 'cube'"),
        ({"include": []}, r"data\[0\].include"),
        ({"vacuum_level": "high"}, "vacuum_level: 'high'"),
        ({"hold_out": "no"}, r"data\[0\].hold_out: 'no'"),
    ],
)
def test_bad_sources_are_named(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        load_config(write_config(tmp_path, data=[{"path": str(DATA), **change}]))


@pytest.mark.parametrize(
    "source, message",
    [
        ({"kind": "wannier90"}, "is of kind folder, not wannier90"),
        ({"include": "zz*"}, r"include zz\* matches none of 4"),
        ({"exclude": "*"}, "leaves no configuration"),
        ({"structure": "x.extxyz"}, "structure is for Wannier90 output"),
    ],
)
def test_sources_that_do_not_fit_are_refused(source, message):
    with pytest.raises(ValueError, match=message):
        load_source({"path": str(DATA), **source})


# ---------------------------------------------------------------- Wannier90 output
@pytest.fixture
def seed(tmp_path, configurations):
    """A monolayer's Hamiltonian as Wannier90 would leave it: energies on another scale, functions in another order."""
    h = WannierHamiltonian.from_dataset_file(configurations[0].hamiltonian, n_electrons=14)
    order = np.random.default_rng(0).permutation(h.n_orbitals)
    blocks = [b[order][:, order] for b in h.blocks]
    zero = [not shift.any() for shift in h.cell_shifts].index(True)
    blocks[zero] = blocks[zero] + 3.5 * np.eye(h.n_orbitals)
    blocks[zero] = type(h.blocks[0])(blocks[zero])
    other = h.replace(orbitals=h.orbitals[order], blocks=blocks)
    other.write_wannier90(tmp_path / "mono", files=("hr", "win"))
    return tmp_path / "mono"


def as_dictionary(data):
    """Blocks by pair."""
    parts = np.split(data["block"], data["block_ptr"][1:-1])
    return {
        (*key,): p
        for key, p in zip(np.column_stack([data["pair_i"], data["pair_j"], data["pair_shift"]]).tolist(), parts)
    }


@pytest.mark.parametrize("form", ["{}", "{}_hr.dat", "{}/.."])
def test_wannier90_output_is_the_data_it_was_written_from(seed, configurations, form):
    (source,) = load_source(
        {"path": str(seed.parent) if ".." in form else form.format(seed), "kind": "wannier90", "vacuum_level": 3.5}
    )
    assert source.name == "mono" and source.has("eigenvalues") and not source.has("energy")
    own, there = configurations[0].load_blocks([5, 3, 3]), source.load_blocks([5, 3, 3])
    a, b = as_dictionary(own), as_dictionary(there)
    assert set(a) == set(b) and max(np.abs(a[k] - b[k]).max() for k in a) < 1e-9
    # the k-grid is not in our .win: its eigenvalues are those of H on a grid of their own
    h = WannierHamiltonian.from_dataset_file(configurations[0].hamiltonian, n_electrons=14)
    assert np.abs(h.eigenvalues(there["kpts"][:3]) - there["eigenvalues"][:3]).max() < 1e-6
    assert there["kweights"].sum() == pytest.approx(1)


def test_atoms_of_an_accompanying_structure_may_stand_in_other_cells(seed, configurations):
    atoms = configurations[0].atoms.copy()
    cells = np.array([[0, 0, 0], [1, 0, 0], [0, -1, 0]])
    atoms.positions += cells @ atoms.cell.array
    atoms.calc = configurations[0].atoms.calc
    atoms.info = {"vacuum_level": 3.5}
    ase.io.write(seed.with_suffix(".extxyz"), atoms)
    (source,) = load_dataset(seed)
    assert source.has("energy") and source.vacuum_level == 3.5
    own, there = as_dictionary(configurations[0].load_blocks()), as_dictionary(source.load_blocks())
    for (i, j, *shift), block in own.items():
        key = (i, j, *(np.array(shift) + cells[i] - cells[j]).tolist())
        assert np.abs(there[key] - block).max() < 1e-9
    atoms.positions[1] += 0.1
    ase.io.write(seed.with_suffix(".extxyz"), atoms)
    with pytest.raises(ValueError, match=r"mono.win: atom 1 \(S\) stands 0.17"):
        load_dataset(seed)[0].load_blocks()


def test_a_known_k_grid_moves_elements_to_the_nearest_images(tmp_path):
    """A chain of two s orbitals 2.2 Å apart in cells of 4 Å on a grid of three points: H(R = 1) may as well be H(R =
    -2).
    """
    atoms = Atoms("H2", [[0.1, 1, 1], [2.3, 1, 1]], cell=[4, 9, 9], pbc=True)
    r = np.array([[0, 0, 0], [1, 0, 0], [-1, 0, 0]])
    blocks = np.array([[[0.0, -1.0], [-1.0, 0.5]], [[0.1, 0.0], [-0.6, 0.1]], [[0.1, -0.6], [0.0, 0.1]]])
    orbitals = orbital_table(atoms.symbols, {"H": (0,)})
    h = WannierHamiltonian(atoms, orbitals, r, [csr_matrix(b) for b in blocks], 2.0)
    folded = h.replace(cell_shifts=np.array([[0, 0, 0], [-2, 0, 0], [2, 0, 0]]), blocks=[csr_matrix(b) for b in blocks])
    folded.write_wannier90(tmp_path / "chain", files=("hr", "win"))
    with open(tmp_path / "chain.win", "a") as file:
        file.write("mp_grid = 3 1 1\n")
    data = read_arrays(tmp_path / "chain_hr.dat", atoms)
    found = as_dictionary(data)
    near = {k: v.item() for k, v in found.items() if np.abs(v).max() > 1e-12}
    assert near == pytest.approx(
        {
            (1, 1, 0, 0, 0): 0.5,
            (0, 1, 0, 0, 0): -1,
            (1, 0, 0, 0, 0): -1,
            (1, 0, 1, 0, 0): -0.6,
            (0, 1, -1, 0, 0): -0.6,
            (0, 0, 1, 0, 0): 0.1,
            (0, 0, -1, 0, 0): 0.1,
            (1, 1, 1, 0, 0): 0.1,
            (1, 1, -1, 0, 0): 0.1,
        }
    )
    assert data["kpts"].tolist() == [[0, 0, 0], [pytest.approx(1 / 3), 0, 0]] and data["kweights"] == pytest.approx(
        [1 / 3, 2 / 3]
    )
    assert np.allclose(data["eigenvalues"], h.eigenvalues(data["kpts"]))


def test_output_that_does_not_name_its_orbitals_is_refused(seed):
    text = seed.with_suffix(".win").read_text()
    seed.with_suffix(".win").write_text(text[: text.index("begin projections")])
    with pytest.raises(ValueError, match="mono.win: its projections do not say which orbital"):
        load_dataset(seed)[0].load_blocks()
    seed.with_suffix(".win").unlink()
    with pytest.raises(ValueError, match="mono.win: no unit_cell_cart"):
        load_dataset(seed)
