"""Training of the published architecture on reference data of ours: 2 force networks, then 15 Hamiltonian networks.

The recipe is the published one: SGD with momentum on the mean square error of the scaled output, batches of 64,
the best state on the validation configurations is kept. Every network is written when done, and its state every
minute before; a run that was cut short goes on from there, with the same result.
"""

from __future__ import annotations

import copy
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from ...electronic.blocks import PairBlocks
from ...files import writing
from ...published.environment import environment_vectors, inverse_coordinates
from ...published.hamiltonian import species_letters
from ...published.model import RY_PER_BOHR, PublishedModel
from ...published.networks import HAMILTONIAN_NETWORKS, PublishedNetwork, published_networks
from ...published.orbitals import orbital_rotations
from ...published.template import ideal_template
from ...schema import integer, number, setting
from ..loop import load_checkpoint, save_atomically

#: Orientations of the layers found in the data: parallel and antiparallel.
ORIENTATIONS = ((1, 1), (1, -1))


@dataclass
class SGDSettings:
    """Settings of one group of networks; the defaults are the published ones of the force networks.

    Attributes
    ----------
    epochs : int
        Passes over the samples.
    steps : int
        Most steps of the optimiser.
    batch : int
        Samples per step.
    lr : float
        Learning rate; it falls tenfold after half and again after three quarters of the run.
    momentum, weight_decay : float
        Of the optimiser.
    seed : int
    """

    epochs: int = setting(integer(), 2000)
    steps: int = setting(integer(), 10**9)
    batch: int = setting(integer(), 64)
    lr: float = setting(number(above=0), 1e-2)
    momentum: float = setting(number(), 0.9)
    weight_decay: float = setting(number(), 1e-4)
    seed: int = 1  # that of the whole configuration


#: Settings of the published Hamiltonian networks.
HAMILTONIAN_SETTINGS = SGDSettings(epochs=300, lr=0.1, weight_decay=1e-5)


def bilayers(configurations):
    """Those of the configurations that have two layers."""
    return [c for c in configurations if len(np.unique(c.layers)) == 2]


def check_bilayers(train, validation):
    """ValueError unless both sets hold a bilayer, and every bilayer forces."""
    if not bilayers(train) or not bilayers(validation):
        raise ValueError(
            f"{len(bilayers(train))} training and {len(bilayers(validation))} validation bilayers: both are needed"
        )
    for c in bilayers(train) + bilayers(validation):
        c.label("forces")


def force_samples(configurations, model):
    """Inputs (n, n_in) and forces (n, 3) in Ry/bohr, in the frame of the template, by network.

    Lists by configuration.
    """
    out = {"force_m": [], "force_s": []}
    for c in configurations:
        frame = model.frame(c.atoms, c.layers)
        # v_frame . v_lab is the same rotation that to_lab undoes.
        forces = np.asarray(c.label("forces")) @ frame.to_lab(np.eye(3)).T / RY_PER_BOHR
        vectors = environment_vectors(frame.bilayer, model.template)
        for name, kind in (("force_m", "metal"), ("force_s", "chalcogen")):
            atoms, v = vectors[kind]
            out[name].append((inverse_coordinates(v).reshape(len(atoms), -1), forces[atoms]))
    return out


def hamiltonian_samples(configurations, model):
    """Inputs (n, n_in) and blocks (n, n_out) in eV, in the published orbitals, by network; lists by configuration."""
    out = {name: [] for name in HAMILTONIAN_NETWORKS}
    for c in configurations:
        if c.hamiltonian is None:
            continue
        data = c.load_blocks([5 if s == model.species[0] else 3 for s in c.atoms.symbols])
        inputs, frame = model.network_inputs(c.atoms, c.layers)
        rotations = orbital_rotations(frame)
        blocks = PairBlocks.from_arrays(data)
        for name, s in inputs.items():
            n_a, n_b = (5 if letter == "m" else 3 for letter in species_letters(name))
            found = blocks.find(s.i, s.j, s.shift)
            known = np.flatnonzero(found >= 0)
            labels = blocks.stacked(found[known], n_a, n_b)
            u_i, u_j = (np.stack([rotations[k] for k in index[known]]) for index in (s.i, s.j))
            # H = U H_g U^T: the labels turn into the layer-attached orbitals, exactly.
            targets = np.einsum("pag,pgh,pbh->pab", u_i, labels, u_j, optimize=True)
            out[name].append((s.inputs[known], targets.reshape(len(known), n_a * n_b)))
    return out


def fit_network(
    network: PublishedNetwork, train, validation, settings: SGDSettings, checkpoint=None, every=60.0, progress=None
):
    """Train one network in place on (inputs, targets in physical units); it ends in its best validated state.

    Parameters
    ----------
    checkpoint : path, optional
        State of the run, written every `every` seconds; where it exists the run goes on from it.
    progress : callable(epoch, epochs), optional
        Called after every epoch.

    Returns
    -------
    list of dict
        One row per epoch: mean square error of the scaled output in training, and mean absolute
        error of the physical quantity in validation.
    """
    x, y = (torch.as_tensor(a, dtype=torch.float32) for a in train)
    validation = tuple(torch.as_tensor(a, dtype=torch.float32) for a in validation)
    if len(x) < 2:
        raise ValueError(f"{len(x)} samples: batch normalisation needs at least two")
    generator = torch.Generator().manual_seed(settings.seed)
    optimiser = torch.optim.SGD(
        network.parameters(), lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay
    )
    per_epoch = -(-len(x) // settings.batch)
    epochs = max(min(settings.epochs, settings.steps // per_epoch), 1)
    best, rows, last = (np.inf, None), [], time.monotonic()

    def restore(state):
        if state["settings"] != asdict(settings):
            return best, rows
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        generator.set_state(state["generator"])
        return tuple(state["best"]), state["rows"]

    if checkpoint is not None and Path(checkpoint).exists():
        best, rows = load_checkpoint(Path(checkpoint), restore)
    for epoch in range(len(rows), epochs):
        for group in optimiser.param_groups:
            group["lr"] = settings.lr * 0.1 ** ((epoch >= epochs / 2) + (epoch >= 3 * epochs / 4))
        batches = torch.randperm(len(x), generator=generator).chunk(per_epoch)
        total = _pass(network, optimiser, x, y, batches)
        if not np.isfinite(total):
            raise ValueError(f"the loss is not finite in epoch {epoch}: lower the learning rate ({settings.lr})")
        with torch.no_grad():
            error = float((network(validation[0]) - validation[1]).abs().mean())
        rows.append({"epoch": epoch + 1, "train_mse": total / len(x), "validation_mae": error})
        if error < best[0]:
            best = error, copy.deepcopy(network.state_dict())
        if checkpoint is not None and time.monotonic() - last >= every:
            save_atomically(
                {
                    "network": network.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "best": best,
                    "rows": rows,
                    "generator": generator.get_state(),
                    "settings": asdict(settings),
                },
                Path(checkpoint),
            )
            last = time.monotonic()
        if progress:
            progress(epoch + 1, epochs)
    if best[1] is not None:
        network.load_state_dict(best[1])
    return rows


def _pass(network, optimiser, x, y, batches) -> float:
    """One pass over the samples: sum of the squared errors of scaled outputs, nan as soon as one is not finite."""
    network.train()
    total = 0.0
    for batch in batches:
        if len(batch) < 2:
            continue
        loss = torch.mean((network.raw(x[batch]) - network.scale * y[batch]) ** 2)
        if not torch.isfinite(loss):
            return float("nan")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        total += float(loss.detach()) * len(batch)
    network.eval()
    return total


def train_published(
    train,
    validation,
    folder,
    forces=None,
    hamiltonian=None,
    *,
    template=None,
    name="published-architecture",
    provenance="",
    report=None,
    progress=None,
):
    """Train the published architecture and write it as a model folder.

    Parameters
    ----------
    train, validation : list of Configuration
        Monolayers among them are left out. Validation serves to choose the best epoch.
    folder : path-like
        Run folder: one `<network>.safetensors` and `<network>.jsonl` per network while running, then the model.
    forces, hamiltonian : SGDSettings, optional
        The published ones by default.
    template : Template, optional
        By default the ideal one, whose shells are the published ones.
    report : callable(dict), optional
        Called with the last row of every network that is done (key "network").
    progress : callable(network, epoch, epochs), optional
        Called after every epoch.

    Returns
    -------
    PublishedModel
        Both orientations, vacuum-level labels (no layer offsets), no rounding.
    """
    forces = SGDSettings() if forces is None else forces
    hamiltonian = HAMILTONIAN_SETTINGS if hamiltonian is None else hamiltonian
    check_bilayers(train, validation)
    train, validation = bilayers(train), bilayers(validation)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(forces.seed)
    model = PublishedModel(
        published_networks().eval(),
        ideal_template() if template is None else template,
        name,
        orientations=ORIENTATIONS,
        rounding=False,
        provenance=provenance,
    )
    for samples_of, settings in ((force_samples, forces), (hamiltonian_samples, hamiltonian)):
        # The second round sees the RAER of the trained force networks.
        samples, checks = samples_of(train, model), samples_of(validation, model)
        for network in samples:
            _train_one(
                model.networks[network], network, samples[network], checks[network], settings, folder, report, progress
            )
    model = PublishedModel(
        model.networks, model.template, name, orientations=ORIENTATIONS, rounding=False, provenance=provenance
    )
    model.save(folder / "model")
    return model


def _train_one(network, name, samples, checks, settings, folder, report, progress):
    file, log, checkpoint = (folder / f"{name}{suffix}" for suffix in (".safetensors", ".jsonl", ".pt"))
    recipe = json.dumps(asdict(settings), sort_keys=True)
    if file.exists() and log.exists() and log.read_text().splitlines()[:1] == [recipe]:
        try:
            network.load_state_dict(load_file(file))
        except Exception as error:
            raise ValueError(
                f"{file}: not readable weights of this network ({str(error).splitlines()[0]}); without that file "
                "the network is trained again"
            ) from None
        return
    if not samples or not checks:
        raise ValueError(f"no samples for the network {name}")
    train, validation = ([np.concatenate(part) for part in zip(*parts)] for parts in (samples, checks))
    rows = fit_network(
        network,
        train,
        validation,
        settings,
        checkpoint,
        progress=progress and (lambda epoch, epochs: progress(name, epoch, epochs)),
    )
    log.write_text("".join(line + "\n" for line in [recipe] + [json.dumps(row) for row in rows]))
    # The weights come last and whole: a file that exists belongs to a finished network.
    with writing(file) as temporary:
        save_file({k: v.contiguous() for k, v in network.state_dict().items()}, temporary)
    checkpoint.unlink(missing_ok=True)
    if report:
        report(
            {
                "network": name,
                "samples": len(train[0]),
                **rows[-1],
                "best_mae": min(row["validation_mae"] for row in rows),
            }
        )
