"""Vacuum-level offset: a known polynomial is found again, on made-up layers and on reference data without their vacuum
level.
"""

import numpy as np
import pytest
import torch
from ase import Atoms

from ase_wander import WannierHamiltonian
from ase_wander.data.dataset import load_dataset, split
from ase_wander.electronic.vacuum_offset import VacuumOffset, layer_levels, layer_ratios, layer_strains, shift_layers
from ase_wander.model.wander import WanderModel

#: Area (Å^2) of MoS2 at the lattice constant of the model.
AREA = np.sqrt(3) / 2 * 3.154**2


def known(strain, ratio):
    return -0.4 + 6.0 * strain + 0.1 * ratio - 30.0 * strain**2 + 0.5 * strain * ratio - 0.02 * ratio**2


def two_layers(a=3.2, upper=1, gap=3.4):
    """Two hexagonal layers of s orbitals, one atom in the lower and `upper` in the other, as atoms and layers."""
    cell = np.array([[a, 0, 0], [-a / 2, a * np.sqrt(0.75), 0], [0, 0, 30]])
    spots = np.linspace(0, 1, upper, endpoint=False)[:, None] * cell[0] + [0, 0, gap]
    atoms = Atoms(f"C{1 + upper}", np.vstack([[0, 0, 0], spots]) + [0, 0, 10], cell=cell, pbc=(True, True, False))
    return atoms, np.array([0] + [1] * upper)


def chain(atoms, layers):
    """A Hamiltonian with hoppings inside and between the layers."""
    n = len(atoms)
    onsite = np.diag(np.linspace(-1, 1, n)) + 0.2 * (np.ones((n, n)) - np.eye(n))
    hop = 0.1 * np.ones((n, n))
    i, j = (a.ravel() for a in np.meshgrid(np.arange(n), np.arange(n), indexing="ij"))
    pairs = [(i, j, (0, 0, 0), onsite), (i, j, (1, 0, 0), hop), (i, j, (-1, 0, 0), hop.T)]
    block = np.concatenate([b.ravel() for *_, b in pairs])
    return WannierHamiltonian.from_blocks(
        atoms,
        {"C": (0,)},
        np.concatenate([p[0] for p in pairs]),
        np.concatenate([p[1] for p in pairs]),
        np.repeat([p[2] for p in pairs], n * n, axis=0),
        block,
        np.arange(len(block) + 1),
        float(n),
    )


def test_a_known_polynomial_is_found_again(tmp_path):
    rng = np.random.default_rng(0)
    strain, ratio = rng.uniform(-0.03, 0.03, 40), rng.uniform(0, 1.5, 40)
    offset = VacuumOffset.fit(strain, ratio, known(strain, ratio), AREA)
    assert (
        offset.rms < 1e-10
        and offset.coefficients[1, 0] == pytest.approx(6.0)
        and offset.coefficients[2, 0] == pytest.approx(-30.0)
    )
    inside = 0.9 * strain[:7], ratio[:7]
    assert np.allclose(offset(*inside), known(*inside), atol=1e-10)
    offset.save(tmp_path / "offset.json")
    again = VacuumOffset.load(tmp_path / "offset.json")
    assert again.coefficients == offset.coefficients and np.array_equal(again(*inside), offset(*inside))


def test_layers_get_their_own_offset():
    """Layers moved by -C(eps, x) are brought back; N_out/N_in and the strain are those of each layer."""
    atoms, layers = two_layers(upper=2)
    h = chain(atoms, layers)
    assert np.allclose(layer_ratios(layers), [2.0, 0.5])
    area = np.linalg.norm(np.cross(*atoms.cell.array[:2]))
    assert np.allclose((1 + layer_strains(atoms, layers, area)) ** 2, [1, 0.5])
    rng = np.random.default_rng(1)
    strain, ratio = rng.uniform(-0.4, 0.1, 30), rng.uniform(0, 3, 30)
    offset = VacuumOffset.fit(strain, ratio, known(strain, ratio), area)
    c = known(layer_strains(atoms, layers, area), layer_ratios(layers))
    moved = shift_layers(h, layers, -c)
    assert np.allclose(layer_levels(h, layers) - layer_levels(moved, layers), c)
    back = offset.apply(moved, layers)
    kpts = [[0, 0, 0], [0.3, 0.1, 0]]
    assert np.abs(back.eigenvalues(kpts) - h.eigenvalues(kpts)).max() < 1e-9
    assert np.abs(moved.eigenvalues(kpts) - h.eigenvalues(kpts)).max() > 0.1


def test_one_offset_for_all_layers_moves_the_bands_rigidly():
    atoms, layers = two_layers()
    h = chain(atoms, layers)
    shifted = shift_layers(h, layers, [0.7, 0.7])
    assert np.allclose(shifted.eigenvalues([[0.2, 0.1, 0]]), h.eigenvalues([[0.2, 0.1, 0]]) + 0.7)


def test_what_the_data_do_not_tell_apart_takes_the_least_norm():
    """With one ratio only, its powers share the constant; predictions at that ratio are exact."""
    strain = np.linspace(-0.02, 0.02, 9)
    offset = VacuumOffset.fit(strain, np.ones(9), 0.3 + 5 * strain, AREA)
    assert np.allclose(offset(strain, 1.0), 0.3 + 5 * strain) and max(map(abs, offset.coefficients.values())) < 10
    with pytest.raises(ValueError, match="N_out/N_in 0 lies outside the fitted range 1 to 1"):
        offset(0.0, 0.0)
    assert np.isfinite(offset(0.0, 0.0, extrapolate=True))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([0.0, 0.1], [1.0], [0.0], AREA), "must be of one length"),
        (([0.0, np.nan], [1, 1], [0, 0], AREA), "layer 1 of the data"),
        (([0.0], [1.0], [0.0], -1.0), "positive area"),
        (([], [], [], AREA), "must be of one length"),
    ],
)
def test_bad_data_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        VacuumOffset.fit(*arguments)


def test_damaged_file_is_named(tmp_path):
    (tmp_path / "offset.json").write_text('{"area_A2": 8}')
    with pytest.raises(ValueError, match="offset.json: not a readable vacuum-level offset"):
        VacuumOffset.load(tmp_path / "offset.json")


def test_reference_data_without_their_vacuum_level(reference_data):
    """Zero at the mean on-site energy of each layer: C of held-out configurations comes back from strain and ratio, to
    tens of
    meV: thickness and stacking, which it does not see, move the layers too."""

    def observed(configurations):
        rows = []
        for c in configurations:
            if c.hamiltonian is not None and c.assumed_sigma <= 0.03:
                h = WannierHamiltonian.from_dataset_file(c.hamiltonian, cutoff=1.0, n_electrons=2.0)
                rows += zip(layer_strains(c.atoms, c.layers, AREA), layer_ratios(c.layers), layer_levels(h, c.layers))
        return np.array(rows).T

    training, held_out = split(load_dataset(reference_data))
    known = observed(training)
    offset = VacuumOffset.fit(*known, AREA)
    assert offset.rms < 0.6 * known[2].std()
    strain, ratio, level = observed(held_out)
    assert np.sqrt(((offset(strain, ratio) - level) ** 2).mean()) < 0.025 < level.std()


@pytest.mark.parametrize("neutral", ["layer", "cell"])
def test_layers_far_apart_do_not_charge_each_other(neutral):
    """Two monolayers of unequal strain, 30 Å apart: with neutral layers the levels are those of each alone; charges
    that are
    neutral in the cell only make a capacitor of them."""
    torch.manual_seed(0)
    model = WanderModel(
        {
            "species": ["C"],
            "shells": {"C": [1]},
            "electrons": {"C": 2},
            "force_field": {"n_channels": 2, "hidden": 8, "n_raer": 4, "n_radial": 4},
            "heads": {
                "n_channels": 2,
                "n_scalars": 4,
                "hidden": 8,
                "n_gated": 2,
                "cutoff": 6.0,
                "taper": 5.0,
                "neutral": neutral,
            },
        }
    ).double()
    with torch.no_grad():
        model.heads.charge.weight.copy_(torch.ones_like(model.heads.charge.weight))
    cell = [[10.2, 0, 0], [0, 2.1, 0], [0, 0, 60]]
    lower, upper = (
        Atoms(f"C{n}", np.outer(np.arange(n) / n, cell[0]) + [0, 0, z], cell=cell, pbc=(True, True, False))
        for n, z in ((4, 10.0), (6, 40.0))
    )

    def levels(atoms, layers):
        h = WannierHamiltonian.from_blocks(atoms, model.shells, *model.hamiltonian(atoms, layers))
        return h.eigenvalues([[0, 0, 0]])[0]

    together = levels(lower + upper, np.repeat([0, 1], [4, 6]))
    alone = np.sort(np.concatenate([levels(a, np.zeros(len(a), int)) for a in (lower, upper)]))
    difference = np.abs(together - alone).max()
    assert difference < 1e-9 if neutral == "layer" else difference > 1e-3
