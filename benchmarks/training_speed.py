"""CPU time of a step of training in every stage of a configuration, without and with what is kept of the geometries.

python benchmarks/training_speed.py [CONFIG ...] [--steps 6] [--share 0.25]

Default: all stages of models/mos2-bilayer/scratch.yaml, on a share of its configurations; one thread.
"""

import argparse
import time
from pathlib import Path

import torch

from ase_wander.training.config import load_config
from ase_wander.training.loop import batches
from ase_wander.training.terms import select
from ase_wander.training.train import load_configurations, new_model, prepare, samples_of


def step_time(module, samples, weights, noise, size, steps):
    """CPU seconds of a step of forward and backward passes, without the optimiser's own; and the losses.

    What is kept is computed before: all configurations are seen once.
    """
    order = batches(len(samples), size, 0, 1)
    module.train().noise = noise
    losses = []
    for k in range(len(samples)):
        samples.loss([k], weights)
    start = time.process_time()
    for k in range(steps):
        torch.manual_seed(k)
        module.zero_grad()
        loss, _ = samples.loss(order[k % len(order)], weights)
        loss.backward()
        losses.append(loss.item())
    return (time.process_time() - start) / steps, losses


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).parents[1] / "models/mos2-bilayer/scratch.yaml"
    parser.add_argument("config", nargs="*", default=[default])
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--share", type=float, default=0.25, help="of the configurations")
    parser.add_argument("--stages", nargs="*", help="names of stages, all by default")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| stage | configurations | without s | with s | ratio | largest relative change of a loss |")
    print("|---|---|---|---|---|---|")
    for file in arguments.config:
        config = load_config(file)
        configurations = load_configurations(config)[:: max(round(1 / arguments.share), 1)]
        torch.manual_seed(0)
        model, prepared = new_model(config), set()
        for stage in config.stages:
            if arguments.stages and stage.name not in arguments.stages:
                continue
            samples = samples_of(stage.kind, select(configurations, stage.kind, stage.weights), model, stage.weights)
            if stage.kind == "hamiltonian":
                samples.pairs = stage.loop.pairs
            new = {"joint": {"forcefield", "hamiltonian"}}.get(stage.kind, {stage.kind}) - prepared
            prepare(model, samples, "forcefield" in new, "hamiltonian" in new)
            prepared |= new
            module = {"forcefield": model.force_field, "hamiltonian": model.heads, "joint": model}[stage.kind]
            for p in model.parameters():
                p.requires_grad_(False)
            for p in module.parameters():
                p.requires_grad_(True)
            found = []
            for megabytes in (0.0, stage.loop.cache):
                samples.cache = megabytes
                of_stage = stage.weights, stage.loop.noise, stage.loop.batch, arguments.steps
                found.append(step_time(module, samples, *of_stage))
            (before, losses), (after, cached) = found
            change = max(abs(b / a - 1) for a, b in zip(losses, cached))
            print(
                f"| {stage.name} | {len(samples)} | {before:.4f} | {after:.4f} | {before / after:.2f} | {change:.1e} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
