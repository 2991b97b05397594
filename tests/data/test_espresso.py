"""Quantum ESPRESSO route: a small graphene calculation with Debian's programs and pseudopotentials, and refusals."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import graphene as build
from ase.io.cube import write_cube
from ase.units import Ry

from ase_wander.data.dft import engines, espresso_files
from ase_wander.data.dft import espresso as espresso_dft
from ase_wander.data.dft.bands_check import check_bands
from ase_wander.data.dft.espresso_files import check_end, pw_input, read_scf, read_vacuum_levels
from ase_wander.data.dft.labels import Labels
from ase_wander.data.dft.recipe import Recipe
from ase_wander.data.wannier.manifold import find_manifold
from ase_wander.data.wannier.wannier90_files import write_win
from ase_wander.electronic.orbitals import orbital_table

PSEUDO = Path("/usr/share/espresso/pseudo")
NEEDED = ("pw.x", "pp.x", "pw2wannier90.x", "wannier90.x")

needs_programs = pytest.mark.skipif(
    any(shutil.which(p) is None for p in NEEDED) or not (PSEUDO / "C.pbe-van_bm.UPF").is_file(),
    reason=f"NEEDS {', '.join(NEEDED)} and C.pbe-van_bm.UPF: apt-get install quantum-espresso quantum-espresso-data "
    "wannier90",
)

RECIPE = Recipe.from_dict(
    {
        "engine": "espresso",
        "shells": {"C": ["pz"]},
        "cutoff": 270.0,
        "length": 7.3,
        "smearing": 0.1,
        "dispersion": None,
        "bands": {"C": 7},
        "converged_bands": {"C": 6.5},
        "window": [-2.0, 2.0],
        "extent": 30.0,
        "options": {"pseudo_dir": str(PSEUDO), "pseudopotentials": {"C": "C.pbe-van_bm.UPF"}, "dual": 6.0},
    }
)


def graphene():
    """Monolayer, slightly displaced, one atom outside the cell."""
    atoms = build(a=2.46, vacuum=5.0)
    atoms.pbc = (True, True, False)
    atoms.positions += [[0.02, 0.03, 0.04], atoms.cell[0]]
    return atoms


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    log = tmp_path_factory.mktemp("espresso") / "log.txt"
    result = engines.compute(graphene(), RECIPE, log)
    assert "JOB DONE" in log.read_text()
    return result


@needs_programs
def test_labels_of_graphene(labels, tmp_path):
    """Momentum, the identity of a slab's stress, the work function, the Dirac point."""
    assert labels.forces.sum(axis=0) == pytest.approx(np.zeros(3), abs=2e-3) and np.abs(labels.forces).max() > 0.5
    volume, z = labels.atoms.get_volume(), labels.atoms.positions[:, 2]
    assert labels.stress[2] * volume + z @ labels.forces[:, 2] == pytest.approx(0, abs=1e-4)
    assert labels.pulay_energy > 0.1  # a small basis pulls the cell together
    assert -5.0 < labels.efermi < -4.0
    dirac = labels.eigenvalues[np.abs(labels.kpts - [1 / 3, 1 / 3, 0]).sum(axis=1).argmin()] - labels.efermi
    assert np.sort(np.abs(dirac))[1] < 0.3 < np.sort(np.abs(dirac))[2]
    labels.save(tmp_path / "labels.npz")
    assert Labels.load(tmp_path / "labels.npz").energy == labels.energy


@needs_programs
def test_projection_in_memory_is_that_of_wannier90(labels):
    """From pw2wannier90's projections: the same H(k), exact bands on the grid, p_z entangled around the Fermi level."""
    assert labels.info["wannier90"]["difference"] < 1e-5
    assert check_bands(labels, RECIPE).worst < 1e-5
    found = find_manifold(labels.eigenvalues, labels.amplitudes, labels.efermi)
    assert not found.is_isolated and found.window[0] < -1.5 and found.window[1] > 2.5 and found.share > 0.8
    assert labels.projectability()[0, :2] == pytest.approx([0, 1], abs=0.05)  # at Γ: sigma, then pi


@needs_programs
def test_unconverged_run_is_refused():
    recipe = replace(RECIPE, length=2.0, options=RECIPE.options | {"input": {"electrons": {"electron_maxstep": 1}}})
    with pytest.raises(ValueError, match=r"pw.x \(scf\): the self-consistent cycle did not converge"):
        engines.compute(graphene(), recipe)


@pytest.mark.slow
@needs_programs
def test_iterations_of_wannier90_reach_the_labels():
    recipe = replace(RECIPE, options=RECIPE.options | {"wannier90": {"dis_num_iter": 50, "num_iter": 20}})
    labels = engines.compute(graphene(), recipe)
    assert labels.info["wannier90"]["iterations"] == 70 and check_bands(labels, recipe).worst < 1e-5


@pytest.mark.slow
@needs_programs
def test_agrees_with_gpaw(labels):
    """Two codes, two kinds of pseudopotential: forces, work function, bands near the Fermi level."""
    pytest.importorskip("gpaw", reason="NEEDS gpaw: pip install ase-wander[dft]")
    other = engines.compute(graphene(), replace(RECIPE, engine="gpaw", options={}, cutoff=400.0))
    assert labels.forces == pytest.approx(other.forces, abs=0.15)
    assert labels.efermi == pytest.approx(other.efermi, abs=0.15)
    assert np.sort(labels.eigenvalues[0])[:4] - labels.efermi == pytest.approx(
        other.eigenvalues[0, :4] - other.efermi, abs=0.15
    )


# -- refusals, without any program ------------------------------------------------------------------


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A PATH with programs that do nothing, and a folder with a pseudopotential's name."""
    for name in NEEDED:
        (tmp_path / name).write_text("#!/bin/sh\necho nothing to see\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    (tmp_path / "C.upf").write_text("")
    return tmp_path


def with_options(folder, **options):
    return replace(RECIPE, options={"pseudo_dir": str(folder), "pseudopotentials": {"C": "C.upf"}} | options)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"pseudopotentials": {"C": "other.upf"}}, "other.upf: no such file"),
        ({"pseudopotentials": {}}, "pseudopotentials: none for C"),
        ({"colour": 1}, "options: colour unknown; known: pseudo_dir"),
        ({"slab": "wire"}, "slab: 'wire' is not known; known: dipole, periodic"),
        ({"commands": {"pw": "mpirun-of-mine pw.x"}}, "mpirun-of-mine: not found on PATH"),
        ({"commands": {"px": "x"}}, "commands: px unknown"),
    ],
)
def test_bad_options_are_named(programs, options, message):
    with pytest.raises(ValueError, match=message):
        espresso_dft.compute(graphene(), with_options(programs, **options))


def test_missing_pieces_are_named(programs, monkeypatch):
    with pytest.raises(ValueError, match="options: pseudo_dir is missing: folder of the pseudopotentials"):
        espresso_dft.compute(graphene(), replace(RECIPE, options={}))
    with pytest.raises(ValueError, match=r"pw.x \(scf\): ended early, exit status 0, last line 'nothing to see'"):
        espresso_dft.compute(graphene(), with_options(programs))
    (programs / "pw2wannier90.x").unlink()
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(ValueError, match="pw2wannier90.x: not found on PATH .*apt-get"):
        espresso_dft.compute(graphene(), with_options(programs))


@pytest.mark.parametrize(
    "content, message",
    [
        (
            "%%%\n     Error in routine vloc_of_g (1):\n     2D cutoff is smaller\n%%%\n",
            r"pw.x: 2D cutoff is smaller \(routine vloc_of_g\)",
        ),
        ("     convergence NOT achieved after 2 iterations: stopping\n   JOB DONE.\n", "did not converge"),
        ("", "ended early, exit status 1, no output"),
    ],
)
def test_bad_ends_are_told(content, message):
    with pytest.raises(ValueError, match=message):
        check_end(content, "pw.x", 1)


def test_output_without_results_is_named():
    with pytest.raises(ValueError, match="x.pwo: no energy, forces and stress"):
        read_scf("JOB DONE.", "x.pwo", stress=True)


@pytest.mark.parametrize("slope, step", [(0.0, 0.4), (0.5, 0.0)])
def test_vacuum_levels_and_their_refusal(tmp_path, slope, step):
    """A potential with a level on either side of the dipole layer, and one that still falls."""
    atoms = graphene()
    n, height = 120, atoms.cell[2, 2]
    z = np.arange(n) / n * height
    potential = np.where(z < height / 2, -1.0, -1.0 + step) + slope * z - 20 * np.exp(-((z - height / 2) ** 2))
    with open(tmp_path / "v.cube", "w") as file:
        write_cube(file, atoms, np.tile(potential / Ry, (2, 2, 1)))
    if slope:
        with pytest.raises(ValueError, match="still falls by 0.5 eV/Å"):
            read_vacuum_levels(tmp_path / "v.cube", atoms)
    else:
        assert read_vacuum_levels(tmp_path / "v.cube", atoms) == pytest.approx((-1.0, -0.6), abs=1e-4)


def test_trial_orbitals_stand_on_the_layer(tmp_path):
    """p along the local normal: its own z axis, with x perpendicular to it."""
    atoms, normal = graphene(), np.array([0.6, 0.0, 0.8])
    write_win(
        tmp_path / "x.win",
        atoms,
        orbital_table(atoms.symbols, {"C": ("pz",)}),
        (1, 1, 1),
        np.zeros((1, 3)),
        4,
        {"num_iter": 0},
        [normal, None],
        [1.0, 1.6],
    )
    first, second = [line for line in (tmp_path / "x.win").read_text().splitlines() if line.startswith("c=")]
    z, x = (np.array([float(v) for v in first.split(f":{name}=")[1].split(":")[0].split(",")]) for name in "zx")
    assert z == pytest.approx(normal) and x @ z == pytest.approx(0, abs=1e-9) and np.linalg.norm(x) == pytest.approx(1)
    assert first.endswith(":zona=1.000000") and ":z=" not in second and second.endswith("l=1,mr=1:zona=1.600000")


def test_input_of_pw():
    """Explicit points without symmetry, a dipole layer in the middle of the vacuum, entries of the user."""
    options = {
        "dual": 8.0,
        "pseudo_dir": "/somewhere",
        "pseudopotentials": {"C": "C.upf"},
        "input": {"electrons": {"mixing_beta": 0.2}},
    }
    atoms = graphene()
    text = pw_input(
        atoms,
        RECIPE,
        options,
        Path("."),
        calculation="nscf",
        dipole=True,
        kpts=np.array([[0, 0, 0], [0.5, 0, 0]]),
        n_bands=9,
    )
    for line in (
        "pseudo_dir       = '/somewhere'",
        "nosym            = .true.",
        "noinv            = .true.",
        "nbnd             = 9",
        "mixing_beta      = 0.2",
        "K_POINTS crystal\n2\n",
    ):
        assert line in text
    at = float(text.split("emaxpos          = ")[1].split()[0])
    away = (at + espresso_files.LAYER / 2 - atoms.positions[:, 2] / atoms.cell[2, 2] + 0.5) % 1 - 0.5
    assert np.abs(away).min() > 0.45
