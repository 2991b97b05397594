"""Active learning: local patches of a moiré cell are what the builder makes of their registry.

The choice is uncertain and diverse.
"""

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones

from ase_wander.cli import main as cli
from ase_wander.data.sampling.active import as_slab, farthest_points, fingerprint, judge, named, propose, worst
from ase_wander.data.sampling.configurations import configuration
from ase_wander.data.sampling.patches import local_patches, symmetric_part
from ase_wander.data.sampling.plan import Kind, Plan
from ase_wander.moire import twisted_bilayer
from ase_wander.structure import find_layers


def probe(atoms):
    """An energy that feels species, bonds, registry and gap alike."""
    energy = 0.0
    for z in np.unique(atoms.numbers):  # unlike species count by themselves and all together
        part = atoms[atoms.numbers == z]
        part.calc = LennardJones(sigma=3.0, epsilon=0.1 * z, rc=9.0)
        energy += part.get_potential_energy() / len(atoms)
    everything = atoms.copy()
    everything.calc = LennardJones(sigma=2.5, epsilon=0.1, rc=9.0)
    return energy + everything.get_potential_energy() / len(atoms)


@pytest.mark.parametrize("material, stacking", [("MoS2", "R"), ("MoS2", "H"), ("graphene", "R"), ("hBN", "H")])
def test_patches_of_a_rigid_cell_are_the_builders_bilayers(material, stacking):
    """A rigid twisted cell: each patch has lattice constant, gap and thickness of the layers, and the energy of the
    bilayer built with its shift.
    """
    moire = twisted_bilayer(material, m=3, r=1, stacking=stacking, gap=6.4 if material == "MoS2" else 3.5)
    a = np.linalg.norm(moire.cell[0]) / np.sqrt(37)
    patches = local_patches(moire)
    assert len(patches) == 37
    registries = np.array([p.info["shift"] for p in patches])
    assert np.ptp(registries, axis=0).min() > 0.8
    offset = None
    for patch in patches[::6]:
        assert (
            find_layers(patch).max() == 1
            and patch.info["a"] == pytest.approx(a)
            and patch.info["gap"] == pytest.approx(moire.info["gap"])
        )
        assert patch.cell[2, 2] - np.ptp(patch.positions[:, 2]) == pytest.approx(12.0)
        # the builder's shift counts from its own origin: the sites may differ by a symmetric registry, the same for all
        # patches
        energies = []
        for origin in ((0, 0), (1 / 3, 2 / 3), (2 / 3, 1 / 3)):
            kind = Kind(
                "p", 1, stackings=(stacking,), shifts=[list(np.add(patch.info["shift"], origin))], gap=patch.info["gap"]
            )
            energies.append(probe(configuration(Plan(material, (kind,), a), kind, 0)) - probe(patch))
        hits = {k for k, e in enumerate(energies) if abs(e) < 1e-7}
        offset = hits if offset is None else offset & hits
    assert offset


def test_patches_follow_a_strained_corrugated_layer():
    """A smooth corrugation and an in-plane wave of the upper layer: gap and registry of the patches change as the
    displacement does.
    """
    moire = twisted_bilayer("MoS2", m=5, r=1, gap=6.4)
    rigid = local_patches(moire)
    s = moire.get_scaled_positions()[:, :2]
    upper = moire.arrays["layer"] == 1
    moire.positions[upper, 2] += 0.2 * np.cos(2 * np.pi * s[upper, 0])
    moire.positions[upper, 0] += 0.1 * np.cos(2 * np.pi * s[upper, 1])
    for before, after in zip(rigid, local_patches(moire)):
        x, y = moire.get_scaled_positions()[after.info["site"], :2]
        assert after.info["gap"] - 6.4 == pytest.approx(0.2 * np.cos(2 * np.pi * x), abs=0.02)
        shift = after.info["shift"] - before.info["shift"]
        moved = (shift - np.round(shift)) @ before.cell[:2, :2]
        assert np.linalg.norm(moved) == pytest.approx(0.1 * abs(np.cos(2 * np.pi * y)), abs=0.02)


def test_a_limited_number_of_sites():
    moire = twisted_bilayer("graphene", m=4, r=1, gap=3.4)
    few, all_sites = local_patches(moire, limit=7), local_patches(moire)
    assert len(few) == 7 and {p.info["site"] for p in few} <= {p.info["site"] for p in all_sites}


def test_one_layer_has_no_patches():
    with pytest.raises(ValueError, match="layer"):
        local_patches(twisted_bilayer("graphene", m=1, r=1, gap=3.4)[:14])


def test_polar_decomposition():
    u = np.array([[1.02, 0.01], [0.01, 0.97]])
    c, s = np.cos(0.3), np.sin(0.3)
    assert symmetric_part(u @ np.array([[c, s], [-s, c]])) == pytest.approx(u)


def test_farthest_points_of_a_line():
    """On a line from one end: the other end, the middle, the quarters; coinciding points are not taken twice."""
    assert farthest_points(np.linspace(0, 1, 5)[:, None], 3) == [0, 4, 2]
    assert farthest_points(np.zeros((4, 2)), 3) == [0]


def candidates(n=40):
    """Pairs of atoms at distances 1 to 2 Å; the uncertainty grows with the distance, the descriptor is the distance."""
    out = []
    for d in np.linspace(1, 2, n):
        out.append(Atoms("C2", positions=[[0, 0, 0], [0, 0, d]], cell=[5, 5, 15], pbc=(True, True, False)))
    return judge(out, lambda a: {"forces": np.full(2, a.positions[1, 2])}, lambda a: np.full((2, 1), a.positions[1, 2]))


def test_the_choice_is_uncertain_and_diverse():
    """Without a pool the most uncertain ones; with one their spread covers the pool; none twice."""
    distance = lambda chosen: [c.atoms.positions[1, 2] for c in chosen]
    greedy, spread = distance(propose(candidates(), 4, pool=1)), distance(propose(candidates(), 4, pool=5))
    assert sorted(greedy) == pytest.approx(np.linspace(1, 2, 40)[-4:]) and spread[0] == 2.0
    assert min(spread) == pytest.approx(np.linspace(1, 2, 40)[-20]) and len(set(spread)) == 4
    assert min(distance(propose(candidates(), 10, pool=9))) > 1.5  # never of the better known half
    gaps = np.diff(sorted(spread))
    assert gaps.min() > 0.1
    frames = named(propose(candidates(), 2), "new", 5)
    assert [a.info["config_id"] for a in frames] == ["new_0005", "new_0006"] and frames[0].info[
        "force_uncertainty"
    ] == 2.0


def test_fingerprint_knows_neither_order_nor_size():
    rng = np.random.default_rng(0)
    atoms, x = Atoms("MoS2"), rng.normal(size=(3, 4))
    order = [2, 0, 1]
    assert fingerprint(atoms[order], x[order]) == pytest.approx(fingerprint(atoms, x))
    assert fingerprint(atoms + atoms, np.vstack([x, x])) == pytest.approx(fingerprint(atoms, x))


def test_uncertainties_that_say_nothing_are_refused():
    with pytest.raises(ValueError, match="neither"):
        worst({}, 2)
    with pytest.raises(ValueError, match="not finite"):
        worst({"forces": np.array([np.nan])}, 1)
    assert worst({"energy": 0.4}, 4) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="no candidates"):
        propose([], 3)


def test_slab_of_a_frame_with_three_periodic_directions():
    """A bilayer that its cell cuts through in z is put together, with the vacuum of the recipe."""
    kind = Kind("p", 1, gap=6.4)
    ours = configuration(Plan("MoS2", (kind,), 3.16), kind, 0)
    frame = ours.copy()
    frame.pbc = True
    frame.cell[2, 2] = 40.0
    frame.positions[:, 2] -= 8.0
    frame.wrap()
    slab = as_slab(frame, 12.0)
    assert slab.cell[2, 2] == pytest.approx(ours.cell[2, 2]) and list(slab.pbc) == [True, True, False]
    assert np.sort(slab.get_all_distances(mic=True), axis=None) == pytest.approx(
        np.sort(ours.get_all_distances(mic=True), axis=None)
    )


class Stub:
    """What `propose` asks of a calculator."""

    def get_uncertainty(self, atoms):
        return {"forces": np.abs(atoms.positions[:, 2] - atoms.positions[:, 2].mean())}

    def get_descriptors(self, atoms):
        return atoms.positions[:, 2:] - atoms.positions[:, 2].mean()


def test_command_line(tmp_path, capsys, monkeypatch):
    """From a moiré structure and from a trajectory to a file that a campaign takes; what cannot be used is one line."""
    from ase_wander.cli import common as cli_common
    from ase_wander.data.campaign.config import read_structures

    monkeypatch.setattr(cli_common, "make_calculator", lambda arguments: Stub())
    moire = twisted_bilayer("MoS2", m=3, r=1, gap=6.4)
    s = moire.get_scaled_positions()[:, 0]
    moire.positions[moire.arrays["layer"] == 1, 2] += 0.2 * np.cos(2 * np.pi * s[moire.arrays["layer"] == 1])
    ase.io.write(tmp_path / "moire.extxyz", moire)
    out = tmp_path / "new.extxyz"
    assert cli(["data", "propose", "--moire", str(tmp_path / "moire.extxyz"), "-n", "3", "--out", str(out)]) == 0
    assert "3 of 37 candidates" in capsys.readouterr().out
    frames = read_structures(out)
    assert [a.info["config_id"] for a in frames] == ["al_0000", "al_0001", "al_0002"] and all(
        len(a) == 6 for a in frames
    )
    ase.io.write(tmp_path / "md.traj", frames)
    assert (
        cli(
            [
                "data",
                "propose",
                "--trajectory",
                str(tmp_path / "md.traj"),
                "-n",
                "2",
                "--prefix",
                "md",
                "--out",
                str(out),
            ]
        )
        == 0
    )
    assert len(read_structures(out)) == 2
    ase.io.write(tmp_path / "one.xyz", moire[moire.arrays["layer"] == 0], format="extxyz")
    capsys.readouterr()
    for argv, message in (
        (["--trajectory", str(tmp_path / "moire.extxyz")], "more than --max-atoms"),
        (["--moire", str(tmp_path / "one.xyz")], "one.xyz: "),
        (["--trajectory", str(tmp_path / "none.traj")], "no such file"),
    ):
        assert cli(["data", "propose", *argv, "--out", str(out)]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
