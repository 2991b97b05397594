"""Which cheap measure ranks the errors of forces: a table of schemes, on held-out data and on structures of a kind
unlike training.

    python benchmarks/trust.py models/mos2-bilayer/data --out RUN [--steps 1500] [--model mos2-bilayer]

Two tests: the model on its own validation split; and a force field trained here, briefly, on 6-atom cells alone (p1),
in which all copies of an atom move alike, judged on monolayers and larger cells. AUC: the probability that a
force error above three times the median has the larger score than one below. The shares are those of the shipped
scheme, calibrated on held-out data like the training data.

    python benchmarks/trust.py models/mos2-bilayer/data --twisted FOLDER [--model mos2-bilayer]

What a calibration on the validation split says of twisted cells, and one that has all but the cell that is judged,
with and without the unlikeness of surroundings (t).

    python benchmarks/trust.py --domain [--model mos2-bilayer]

What the shipped uncertainty says of ordinary and of strange bilayers: how many atoms lie outside the training data, and
why.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import torch

from ase_wander import DomainWarning, WanderCalculator, load_model
from ase_wander.data.dataset import load_dataset, split
from ase_wander.evaluation.uncertainty import (
    area_under_curve,
    calibrations,
    cross_validated,
    fit_uncertainty,
    observe,
    predicted,
    scores,
)
from ase_wander.moire import twisted_bilayer
from ase_wander.nn.uncertainty import features
from ase_wander.training.loop import LoopSettings, fit
from ase_wander.training.stages.forcefield import ForceFieldSamples
from ase_wander.training.train import new_model

WEIGHTS = {"energy": 4.0, "forces": 1.0, "stress": 0.5, "layer": 1.0}


def small_force_field(config, configurations, folder, steps):
    """A model whose force field alone is trained, in float64."""
    torch.manual_seed(1)
    model = new_model(config)
    samples = ForceFieldSamples(configurations, model)
    model.force_field.energy_scale.fill_(0.1)
    samples.fit_reference(), samples.fit_contacts(), samples.fit_normalisation()
    for name, p in model.named_parameters():
        p.requires_grad_(name.startswith("force_field"))
    folder.mkdir(parents=True, exist_ok=True)
    settings = LoopSettings(
        steps=steps, batch=8, lr=3e-3, clip=10.0, average=0.995, weight_decay=0.05, noise=0.02, validate_every=10**6
    )
    fit(
        model.force_field,
        len(samples),
        lambda chosen, batch=None: samples.loss(chosen, WEIGHTS, batch),
        settings,
        folder,
        "forcefield",
        resume=(folder / "forcefield.pt").exists(),
    )
    return model.double().eval()


class Schemes:
    """Scores by name of every atom of a structure, fitted to training configurations."""

    def __init__(self, model, training, n_samples=16, ridge=1e-6):
        self.model, self.n_samples = model, n_samples
        found = [model.environment(c.atoms, c.layers) for c in training]
        self.species = np.concatenate([g.species.numpy() for g, _ in found])
        self.raer = np.concatenate([e.raer.numpy() for _, e in found])
        self.whiten, self.factor, rng = {}, {}, np.random.default_rng(0)
        for z in range(model.force_field.n_species):
            for name, x in (
                ("raer", self.raer),
                ("both", np.concatenate([np.hstack([e.raer.numpy(), features(e)]) for _, e in found])),
            ):
                own = x[self.species == z]
                values, vectors = np.linalg.eigh(np.cov(own.T, bias=True))
                self.whiten[name, z] = own.mean(0), vectors / np.sqrt(np.maximum(values, ridge * values[-1]))
            whiten = self.whiten["both", z][1]
            self.factor[z] = whiten @ rng.normal(
                size=(whiten.shape[1], n_samples)
            )  # last layers drawn from the posterior

    def __call__(self, c, observed):
        graph, environment = self.model.environment(c.atoms, c.layers)
        raer, species = environment.raer.numpy(), graph.species.numpy()
        out = {"D of the atom": observed["own"], "D~, with its neighbours (shipped)": observed["around"]}
        distance, nearest = np.zeros(len(raer)), np.zeros(len(raer))
        for i, z in enumerate(species):
            mean, whiten = self.whiten["raer", z]
            distance[i] = np.linalg.norm((raer[i] - mean) @ whiten)
            nearest[i] = np.linalg.norm((self.raer[self.species == z] - raer[i]) @ whiten, axis=1).min()
        return out | {
            "Mahalanobis distance of the RAER": distance,
            "nearest training atom by RAER": nearest,
            f"forces of {self.n_samples} last layers of the posterior": self.last_layers(c),
        }

    def last_layers(self, c):
        """Spread of the forces of last layers drawn from the Laplace posterior (of the mean atomic energy), one
        backward pass each.
        """
        graph, ff = self.model.graph(c.atoms, c.layers), self.model.force_field
        graph.vector = graph.vector.detach().requires_grad_(True)
        environment, _ = ff.environment(graph)
        x = torch.cat([environment.raer, environment.invariants], 1)
        weights = torch.stack([torch.from_numpy(self.factor[int(z)]) for z in graph.species])  # (n, f, k)
        energies = torch.einsum("nf,nfk->k", x, weights)
        n, k = graph.neighbour.shape
        spread = np.zeros(n)
        for e in energies:
            (g,) = torch.autograd.grad(e, graph.vector, retain_graph=True)
            g = g * graph.mask.unsqueeze(-1)
            spread += g.sum(1).index_add(0, graph.neighbour.reshape(-1), -g.reshape(n * k, 3)).square().sum(1).numpy()
        return np.sqrt(spread / len(energies))


def judge(label, model, training, judged, like_training):
    """Print a row for every scheme."""
    schemes = Schemes(model, training)
    rows = [observe(model, c) for c in judged]
    error = np.concatenate([np.linalg.norm(r["forces"], axis=1) for r in rows])
    large = error > 3 * np.median(error)
    found = [schemes(c, r) for c, r in zip(judged, rows)]
    for name in found[0]:
        score = np.concatenate([f[name] for f in found])
        print(f"| {label} | {name} | {area_under_curve(score, large):.3f} |")
    deviations = (
        predicted(rows, model.trust.arrays())
        if not like_training
        else cross_validated(rows, model.force_field.n_species)
    )
    s = scores(rows, deviations)["forces"]
    print(
        f"| {label} | *{len(error)} atoms, median error {1e3 * np.median(error):.1f} meV/Å, {100 * large.mean():.0f} % "
        "above 3 times; "
        f"{100 * s['within_1']:.0f} % of components within 1, {100 * s['within_2']:.0f} % within 2 deviations* | |",
        flush=True,
    )


def bilayers(model):
    """Structures by name: 54 atoms at equilibrium, then displaced, strained, with another gap, moving at about 300 K; a
    twisted cell.
    """
    from ase import units
    from ase.md.velocitydistribution import thermalize_momenta
    from ase.md.verlet import VelocityVerlet

    cell = twisted_bilayer("MoS2", angle=0.0).repeat((3, 3, 1))
    z, metal = cell.positions[:, 2], cell.numbers == 42
    upper = z > z.mean()
    yield "at rest", cell
    yield "twisted by 13.17 degrees", twisted_bilayer("MoS2", 2, 1)
    moving = cell.copy()
    moving.calc = WanderCalculator(model)
    thermalize_momenta(moving, temperature_K=600, rng=np.random.default_rng(1))
    for k in range(3):
        VelocityVerlet(moving, units.fs).run(40)
        yield f"NVE, {40 * (k + 1)} fs, {moving.get_temperature():.0f} K", moving.copy()
    for sigma in (0.02, 0.05, 0.1):
        moved = cell.copy()
        moved.positions += np.random.default_rng(0).normal(scale=sigma, size=moved.positions.shape)
        yield f"random displacements of {sigma:g} Å", moved
    for strain in (0.03, 0.05, 0.1):
        strained = cell.copy()
        strained.set_cell(cell.cell.array * [[1 + strain], [1 + strain], [1]], scale_atoms=True)
        yield f"stretched by {100 * strain:g} %", strained
    pulled = cell.copy()
    s = int(np.argmax(z))
    bond = cell.get_distances(s, np.flatnonzero(metal), mic=True, vector=True)
    pulled.positions[s] -= 0.1 * bond[np.argmin(np.linalg.norm(bond, axis=1))]
    yield "one bond longer by 10 %", pulled
    for gap in (4.5, 5.4, 7.4):
        other = cell.copy()
        other.positions[upper, 2] += gap - (z[metal & upper].mean() - z[metal & ~upper].mean())
        yield f"gap {gap:g} Å", other


def domain(model):
    """Print the table of `bilayers`."""
    print(
        "| structure | atoms outside | deviation of a force meV/Å: median | largest | of H meV: median | reason of the "
        "farthest |\n|---|---|---|---|---|---|"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DomainWarning)
        for name, atoms in bilayers(model):
            u = WanderCalculator(model).get_uncertainty(atoms)
            farthest = u["reasons"].get(int(np.argmax(np.where(u["outside"], u["distance"], -1))), "")
            print(
                f"| {name} | {u['outside'].sum()} of {len(atoms)} | {1e3 * np.median(u['forces']):.3g} | "
                f"{1e3 * u['forces'].max():.3g} | "
                f"{1e3 * np.median(u['hamiltonian']):.2g} | {farthest} |",
                flush=True,
            )


def twisted(model, data, folder):
    """Print how deviations fit the errors of twisted cells, by what calibrated them."""
    whole = set(model.config.get("trained_whole", ()))
    held_out = [c for c in split(data, model.config["validation_fraction"])[1] if c.name not in whole]
    watched = [c for c in data if c.name in whole]
    own, far, seen = ([observe(model, c) for c in part] for part in (held_out, load_dataset(folder), watched))
    print(
        "| calibrated on | judged on | t | force AUC | force within 1, 2 | H within 1, 2 |\n|---|---|---|---|---|---|"
    )

    def line(calibrated, judged, rows, deviations):
        f, h = (scores(rows, deviations)[k] for k in ("forces", "hamiltonian"))
        shares = (f"{100 * s['within_1']:.0f}, {100 * s['within_2']:.0f} %" for s in (f, h))
        t = "yes" if any(r["unlike"].any() for r in rows) else "no"
        auc = "n/a" if f["auc"] is None else f"{f['auc']:.2f}"
        print(f"| {calibrated} | {judged} | {t} | {auc} | " + " | ".join(shares) + " |", flush=True)

    for blind in (True, False):
        hide = lambda rows: [{**r, "unlike": np.zeros_like(r["unlike"])} if blind else r for r in rows]
        a, b, c = hide(own), hide(far), hide(seen)
        n = model.force_field.n_species
        line("validation split", "twisted", b, predicted(b, calibrations(a, n)))
        parts = [predicted([row], calibrations(a + b[:k] + b[k + 1 :], n)) for k, row in enumerate(b)]
        together = {key: [x for part in parts for x in part[key]] for key in parts[0]}
        line("validation split, other twisted cells", "twisted", b, together)
        if c:
            line("validation split, twisted cells", "trained on whole", c, predicted(c, calibrations(a + b, n)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", help="folder of the reference data")
    parser.add_argument("--domain", action="store_true", help="only what the shipped uncertainty says of some bilayers")
    parser.add_argument(
        "--twisted", metavar="FOLDER", help="only what a calibration says of the twisted cells in FOLDER"
    )
    parser.add_argument("--out", help="folder for checkpoints of the small force fields; a killed run goes on")
    parser.add_argument("--model", default="mos2-bilayer")
    parser.add_argument("--steps", type=int, default=1500)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(arguments.model)
    if arguments.domain:
        return domain(model)
    if not arguments.data or not (arguments.out or arguments.twisted):
        parser.error("DATA and --out or --twisted are needed, or --domain")
    data = load_dataset(arguments.data)
    if arguments.twisted:
        return twisted(model, data, arguments.twisted)
    for c in data:
        c.hamiltonian = None  # forces only
    print("| test | score | AUC |\n|---|---|---|")
    training, held_out = split(data, model.config["validation_fraction"])
    fit_uncertainty(model, data)
    judge("validation split", model, training, held_out, True)
    near, label = [c for c in data if c.kind == "p1"], "p1 -> other cells"
    training, _ = split(near)
    config = {k: model.config[k] for k in ("species", "shells", "electrons", "force_field", "heads")}
    small = small_force_field({**config, "name": label}, training, Path(arguments.out), arguments.steps)
    fit_uncertainty(small, near, 0.15)
    judge(label, small, training, [c for c in data if c.kind != "p1"], False)


if __name__ == "__main__":
    main()
