"""Kinds of inter-layer heads, trained on untwisted cells alone and judged on twisted ones.

python benchmarks/twisted_heads.py TWISTED [--kinds tensors ends additive paths] [--steps 1500] [--out
runs/twisted_heads]

TWISTED is a folder of reference data of twisted bilayers (models/mos2-bilayer/twisted.yaml makes them). Force field,
dressing, on-site and intra-layer heads are those of the shipped model and stay what they are; the inter-layer part of
every kind is trained again on the elements between the layers. Held-out cells like those of the training stand beside
the twisted ones.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ase_wander import load_model
from ase_wander.catalogue import model_folder
from ase_wander.data.dataset import load_dataset, split
from ase_wander.evaluation.twist import twist_errors
from ase_wander.model.wander import WanderModel
from ase_wander.training.config import load_config
from ase_wander.training.loop import LoopSettings, fit
from ase_wander.training.stages.hamiltonian import HamiltonianSamples
from ase_wander.training.train import load_configurations

#: What every kind adds to the heads of the shipped model. "ends": additive, without terms of both ends and without
#: paths.
KINDS = {
    "tensors": {"inter_input": "tensors"},
    "ends": {"inter_input": "paths", "jump_reach": 0.1},
    "additive": {"inter_input": "additive"},
    "paths": {"inter_input": "paths", "facing": ["S"]},
}
WORDS = {
    "shipped": "as shipped",
    "tensors": "both ends in one network",
    "ends": "either end alone",
    "additive": "either end, both in lowest order",
    "paths": "either end, paths",
}
COLUMNS = (("elements", 1e3, 3), ("inter_r2", 1, 4), ("sum", 1e3, 1), ("gamma", 1e3, 1), ("gap", 1e3, 1))


def with_new_heads(shipped, kind):
    """The shipped model with an untrained inter-layer part; all other weights are taken over and frozen."""
    heads = {k: v for k, v in shipped.config["heads"].items() if k not in KINDS["paths"]} | KINDS[kind]
    model = WanderModel({**shipped.config, "heads": heads})
    new = lambda key: key.startswith(("heads.layer_dressing", "heads.steps")) or "_inter." in key
    kept = {k: v for k, v in shipped.state_dict().items() if not new(k)}
    model.load_state_dict(kept, strict=False)
    for name, p in model.named_parameters():
        p.requires_grad_(new(name))
    for name, head in model.heads.hopping.items():  # the size of elements against distance is a property of the data
        head.scale_polynomial.copy_(shipped.heads.hopping[name].scale_polynomial)
        head.scale_range.copy_(shipped.heads.hopping[name].scale_range)
    return model


def between_layers(sample):
    """A sample with the pairs across alone: all that this training looks at."""
    graph = sample.graph
    order = torch.nonzero(graph.pair_across).squeeze(1)
    pairs = {key: getattr(graph, key)[order] for key in ("pair_i", "pair_j", "pair_vector", "pair_across")}
    if graph.paths is not None:
        pairs["paths"] = graph.paths.to_pairs(order, len(graph.pair_i))
    inter = lambda found: {name: x for name, x in found.items() if name.endswith("inter")}
    kept = {key: inter(getattr(sample, key)) for key in ("frames", "r", "targets", "known")}
    return replace(sample, graph=replace(graph, **pairs), places=None, **kept)


def train(model, training, steps, folder, kind, pairs):
    """Train the new part on the elements between the layers."""
    samples = HamiltonianSamples(training, model)
    samples.samples = [between_layers(s) for s in samples.samples if s.graph.pair_across.any()]
    if model.heads.layer_dressing is not None:
        graphs = [s.graph for s in samples.samples]
        environments = [samples.environment(g, [s]) for g, s in zip(graphs, samples.samples)]
        model.heads.layer_dressing.fit(graphs, environments)
    samples.pairs = pairs
    weights = {"onsite": 0.0, "spread": 0.25}
    settings = LoopSettings(
        steps=steps, batch=8, lr=4e-3, clip=50.0, average=0.99, weight_decay=0.1, noise=0.05, validate_every=10**6
    )
    loss = lambda indices, batch=None: samples.loss(indices, weights, batch)
    fit(model.heads, len(samples), loss, settings, folder, kind, resume=True)
    return model


def judge(model, held_out, twisted):
    """Errors on held-out cells and the mean over twisted ones (of signed quantities the mean of their sizes)."""
    out = {"aligned": HamiltonianSamples(held_out, model, model.dtype).report()}
    rows = [twist_errors(model.double(), c) for c in twisted]
    out["twisted"] = {key: float(np.mean([abs(row[key]) for row in rows])) for key, *_ in COLUMNS}
    return out


def table(results):
    """Lines of a Markdown table."""
    columns = (
        "held out: H meV",
        "held out: inter R²",
        "twisted: H meV",
        "inter R²",
        "Σ p_z–p_z meV",
        "Γ meV",
        "gap meV",
    )
    yield f"| inter-layer heads | {' | '.join(columns)} |"
    yield "|---|---|---|---|---|---|---|---|"
    for kind, found in results.items():
        aligned = [f"{found['aligned']['elements']:.3f}", f"{found['aligned']['inter_R2']:.4f}"]
        numbers = [f"{factor * found['twisted'][key]:.{digits}f}" for key, factor, digits in COLUMNS]
        yield f"| {WORDS[kind]} | {' | '.join(aligned + numbers)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("twisted")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--pairs", type=float, default=0.15, help="share of the pairs of a step")
    parser.add_argument("--model", default="mos2-bilayer", help="whose other weights are kept")
    parser.add_argument("--out", default="runs/twisted_heads")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder, twisted = Path(arguments.out), load_dataset(arguments.twisted)
    folder.mkdir(parents=True, exist_ok=True)
    config = load_config(model_folder(arguments.model) / "train.yaml")
    training, held_out = split(load_configurations(config), config.validation_fraction)
    shipped = load_model(arguments.model).float()
    results = {"shipped": judge(load_model(arguments.model).float(), held_out, twisted)}
    for kind in arguments.kinds:
        file = folder / f"{kind}.json"
        if not file.exists():
            start = time.process_time()
            torch.manual_seed(1)
            model = train(with_new_heads(shipped, kind), training, arguments.steps, folder, kind, arguments.pairs)
            found = judge(model, held_out, twisted) | {"steps": arguments.steps, "cpu_s": time.process_time() - start}
            file.write_text(json.dumps(found, indent=1) + "\n")
        results[kind] = json.loads(file.read_text())
    print("\n".join(table(results)))


if __name__ == "__main__":
    main()
