"""Elements of H learned from all pairs, and from a random share of them at every step: time of a step, and errors.

python benchmarks/share_of_pairs.py

The force field is that of the shipped model; heads start from the same random weights. Errors (meV) are those of the
validation split, single cells. The last row gives the share the time of the first row.
"""

import argparse
import tempfile
import time
from dataclasses import replace

import torch

from ase_wander import load_model
from ase_wander.catalogue import reference_data
from ase_wander.data.dataset import split
from ase_wander.data.sources import load_source
from ase_wander.training.loop import LoopSettings, fit
from ase_wander.training.stages.hamiltonian import HamiltonianSamples
from ase_wander.training.train import new_model

WEIGHTS = {"onsite": 0.1, "vacuum_step": 0.02, "spread": 0.25}
LOOP = LoopSettings(
    batch=8, lr=4e-3, lr_final=1e-4, clip=50.0, average=0.99, weight_decay=0.1, noise=0.05, validate_every=10**6
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=str(reference_data("mos2-bilayer") / "aligned"))
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--share", type=float, default=0.3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    training, validation = split(load_source({"path": arguments.data, "include": "p1_*"}))
    print(f"{'pairs':>6} {'steps':>6} {'s/step':>7} {'H':>7} {'intra MoMo':>11} {'inter SS':>9} {'on-site':>8}")

    def row(share, steps):
        model = load_model("mos2-bilayer")
        torch.manual_seed(1)
        fresh = new_model(model.config).float()
        fresh.force_field.load_state_dict(model.force_field.state_dict())
        for p in fresh.force_field.parameters():
            p.requires_grad_(False)
        samples, held_out = (HamiltonianSamples(c, fresh) for c in (training, validation))
        samples.fit_normalisation()
        samples.pairs = share
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            fit(
                fresh.heads,
                len(samples),
                lambda batch: samples.loss(batch, WEIGHTS),
                replace(LOOP, steps=steps),
                folder,
                "elements",
            )
        seconds = (time.perf_counter() - start) / steps
        errors = held_out.report()
        print(
            f"{share:6.2f} {steps:6d} {seconds:7.3f} {errors['elements']:7.3f} {errors['00_intra']:11.3f} "
            f"{errors['11_inter']:9.3f} "
            f"{errors['onsite']:8.2f}",
            flush=True,
        )
        return seconds

    whole = row(1.0, arguments.steps)
    part = row(arguments.share, arguments.steps)
    row(arguments.share, round(arguments.steps * whole / part))


if __name__ == "__main__":
    main()
