"""Joint training of force field and heads, and data of any mix: sources, labels that are missing or withheld, Wannier90
output.
"""

import json
import shutil

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from scipy.sparse import csr_matrix

from ase_wander.data.dataset import load_dataset, split
from ase_wander.data.sources import load_source, load_sources
from ase_wander.data.wannier.wannier90 import read_arrays
from ase_wander.electronic.hamiltonian import WannierHamiltonian
from ase_wander.electronic.orbitals import orbital_table
from ase_wander.training.config import load_config
from ase_wander.training.stages.forcefield import ForceFieldSamples
from ase_wander.training.stages.hamiltonian import HamiltonianSamples
from ase_wander.training.stages.joint import JointSamples
from ase_wander.training.terms import count_labels, is_used, labels_line
from ase_wander.training.train import new_model, prepare, train
from tests.mos2_small import DATA
from tests.training_setup import CONFIG, STAGES, write_config

JOINT = {
    "energy": 4.0,
    "forces": 1.0,
    "stress": 0.5,
    "layer": 1.0,
    "onsite": 0.1,
    "intra": 1.0,
    "inter": 2.0,
    "eigenvalues": 0.01,
    "projections": 0.01,
    "vacuum_step": 0.01,
    "spread": 0.25,
}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return new_model(CONFIG).double()


# ---------------------------------------------------------------- joint training
def test_data_made_to_fill_a_gap_are_trained_on_whole():
    names = lambda found: sorted(c.name for c in found)
    training, held_out = split(load_sources([{"path": str(DATA), "hold_out": False}]))
    assert not held_out and len(training) > len(split(load_sources([str(DATA)]))[0])
    few = [{"path": str(DATA), "exclude": "ml_*"}, {"path": str(DATA), "include": "ml_*", "hold_out": False}]
    everything = names(load_sources([str(DATA)]))
    training, held_out = split(load_sources(few))
    assert names(held_out) == ["p1_0040"] and names(training + held_out) == everything


def test_joint_gradient_reaches_both_parts_and_is_that_of_the_loss(model, configurations):
    samples = JointSamples(configurations[:3], model, torch.float64, JOINT)
    prepare(model, samples, True, True)
    indices = [0, 2]
    names, parameters = zip(*model.named_parameters())
    found = torch.autograd.grad(samples.loss(indices, JOINT)[0], parameters, allow_unused=True, materialize_grads=True)
    for part in ("force_field.", "heads."):
        assert max(g.abs().max() for name, g in zip(names, found) if name.startswith(part)) > 0
    # The loss of H alone moves the descriptors of the force field, that of forces alone no head.
    only = samples.hamiltonian.loss([0], JOINT)[0]
    reached = {
        name
        for name, g in zip(names, torch.autograd.grad(only, parameters, allow_unused=True))
        if g is not None and g.abs().max() > 0
    }
    assert any(name.startswith("force_field.network") for name in reached)
    only = samples.force_field.loss([0], JOINT)[0]
    reached = {
        name for name, g in zip(names, torch.autograd.grad(only, parameters, allow_unused=True)) if g is not None
    }
    assert not any(name.startswith("heads.") for name in reached)
    generator = torch.Generator().manual_seed(1)
    directions = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
    step, values = 1e-6, []
    with torch.no_grad():
        for move in (step, -2 * step):
            for p, d in zip(parameters, directions):
                p.add_(move * d)
            with torch.enable_grad():
                values.append(samples.loss(indices, JOINT)[0].item())
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(
        float(sum((g * d).sum() for g, d in zip(found, directions))), rel=1e-4
    )


def test_joint_loss_is_the_sum_of_both(model, configurations):
    """While the force field stands still both ways of training see the same Hamiltonian."""
    samples = JointSamples(configurations, model, torch.float64, JOINT)
    prepare(model, samples, True, True)
    alone = (
        ForceFieldSamples(configurations, model, torch.float64),
        HamiltonianSamples(configurations, model, torch.float64, JOINT),
    )
    total, terms = samples.loss([1, 2], JOINT)
    apart = [s.loss([1, 2], JOINT) for s in alone]
    assert total.item() == pytest.approx(sum(loss.item() for loss, _ in apart), rel=1e-9)
    assert terms == pytest.approx({**apart[0][1], **apart[1][1]}, rel=1e-9)
    shares = [samples.loss([k], JOINT, [1, 2])[0].item() for k in (1, 2)]
    assert sum(shares) == pytest.approx(total.item(), rel=1e-9)


def test_frozen_parts_keep_every_bit_and_joint_stages_move_both(tmp_path):
    joint = {"kind": "joint", "steps": 3, "batch": 2, "noise": 0.01, "validate_every": 1, "weights": JOINT}
    stages = [{**STAGES[0], "steps": 2}, {**STAGES[1], "steps": 2}, joint]
    config = load_config(write_config(tmp_path, stages=stages))
    rows = []
    model = train(config, tmp_path / "run", report=rows.append)
    states = [
        torch.load(tmp_path / "run" / f"{name}.done.pt", weights_only=True)
        for name in ("forcefield", "hamiltonian", "joint")
    ]
    same = lambda a, b, part: [torch.equal(a[k], b[k]) for k in a if k.startswith(part)]
    assert all(same(states[0], states[1], "force_field.")) and not all(same(states[0], states[1], "heads."))
    assert not all(same(states[1], states[2], "force_field.")) and not all(same(states[1], states[2], "heads."))
    validation = [r["validation"] for r in rows if "validation" in r][-1]
    assert {"force", "energy", "elements", "eigenvalues", "projections"} <= validation.keys()
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), states[2].values()))
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["labels"]["joint"]["projections"] == 2 and record["labels"]["joint"]["skipped"] == 0


def test_a_joint_stage_may_come_first(tmp_path):
    config = load_config(write_config(tmp_path, stages=[{"kind": "joint", "steps": 2, "batch": 2, "weights": JOINT}]))
    model = train(config, tmp_path / "run")
    assert model.force_field.reference_energy.abs().max() > 0 and model.heads.onsite[0].mean[0] != 0


# ---------------------------------------------------------------- labels
def test_terms_skip_what_has_no_label(model, configurations):
    """A configuration without forces adds its energy and nothing else; its made-up forces do not matter."""
    bare = configurations[2].without(["forces", "stress"])
    samples = ForceFieldSamples([configurations[0], bare], model, torch.float64)
    both = ForceFieldSamples([configurations[0], configurations[2]], model, torch.float64)
    for s in (samples, both):
        s.fit_reference()
    only = {"energy": 0.0, "forces": 1.0, "stress": 1.0, "layer": 0.0}
    assert samples.loss([0, 1], only)[0].item() == pytest.approx(samples.loss([0], only)[0].item(), rel=1e-12)
    assert samples.loss([1], only)[0].item() == 0
    energies = {"energy": 1.0, "forces": 0.0, "stress": 0.0, "layer": 0.0}
    assert samples.loss([0, 1], energies)[0].item() == pytest.approx(both.loss([0, 1], energies)[0].item(), rel=1e-12)
    force = samples.errors([0])[1]["forces"].abs().mean().item()
    assert samples.loss([0, 1], energies)[1]["force_meV"] == pytest.approx(1e3 * force, rel=1e-9)
    report = samples.report()
    assert np.isfinite(list(report.values())).all() and report["force"] == pytest.approx(1e3 * force, rel=1e-6)


def test_counts_say_what_a_stage_trains_on(configurations):
    chosen = [
        configurations[0],
        configurations[1].without(["hamiltonian"]),
        configurations[2].without(["hamiltonian", "eigenvalues"]),
    ]
    weights = {"eigenvalues": 1.0, "onsite": 0.1}
    counts = count_labels(chosen, "hamiltonian", weights)
    assert counts == {"onsite": 1, "intra": 1, "inter": 1, "eigenvalues": 2, "skipped": 1}
    assert labels_line("bands", counts, 3) == "bands: 2 of 3 training configurations (onsite 1, intra 1, inter 1)"
    assert not is_used(chosen[1], "hamiltonian", {"onsite": 1.0}) and is_used(chosen[2], "forcefield", {"energy": 1.0})


def test_weight_of_a_source_is_that_of_its_configurations(model, configurations):
    samples = HamiltonianSamples(configurations[:2], model, torch.float64)
    weights = STAGES[1]["weights"]
    one, two = (samples.loss([k], weights)[0].item() for k in (0, 1))
    samples.samples[1].weight = 3.0
    assert samples.loss([0, 1], weights)[0].item() == pytest.approx((one + 3 * two) / 2, rel=1e-9)


def test_a_stage_without_any_label_is_refused(tmp_path):
    frames = ase.io.read(DATA / "structures.extxyz", ":")
    for atoms in frames:
        atoms.calc.results = {"energy": atoms.calc.results["energy"]}
    ase.io.write(tmp_path / "energies.extxyz", frames)
    stage = lambda **weights: [{"kind": "forcefield", "steps": 1, "weights": weights}]
    run = lambda stages: train(
        load_config(write_config(tmp_path, data=["energies.extxyz"], stages=stages)), tmp_path / "run"
    )
    with pytest.raises(
        ValueError,
        match="stage forcefield: no training configuration has forces: .*energies.extxyz, frame 0 .*has no forces",
    ):
        run(stage(forces=1.0))
    with pytest.raises(
        ValueError, match="stage hamiltonian: no training configuration has a Hamiltonian or eigenvalues"
    ):
        run([STAGES[1]])
    run(stage(energy=1.0, forces=1.0))


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


def test_pairs_that_a_reference_lacks_are_predicted_without_a_target(tmp_path, model):
    """Blocks beyond some distance are not in the file: bands still take all pairs of the model, elements those of the
    file.
    """
    folder = shutil.copytree(DATA, tmp_path / "data")
    file = folder / "hamiltonians" / "ml_0000.npz"
    with np.load(file) as archive:
        data = dict(archive)
    near = data["pair_distance"] < 5.0
    keep = np.repeat(near, np.diff(data["block_ptr"]))
    ptr = np.concatenate([[0], np.cumsum(np.diff(data["block_ptr"])[near])])
    np.savez(
        file,
        **{
            **data,
            "block": data["block"][keep],
            "block_ptr": ptr,
            **{k: data[k][near] for k in ("pair_i", "pair_j", "pair_shift", "pair_distance")},
        },
    )
    whole, part = (HamiltonianSamples(load_dataset(f)[:1], model, torch.float64) for f in (DATA, folder))
    a, b = whole.samples[0], part.samples[0]
    assert len(a.graph.pair_i) == len(b.graph.pair_i) and sum(map(len, b.known.values())) < len(b.graph.pair_i)
    ends = [
        samples.eigenvalues(s, *samples.predict([s])[0][:2]) for samples in (whole, part) for s in samples.samples[:1]
    ]
    assert torch.allclose(*ends, atol=1e-9)
    assert part.report()["elements"] != whole.report()["elements"]
