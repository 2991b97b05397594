"""Training from eigenvalues alone: what it makes of a model that has seen a few Hamiltonians.

python benchmarks/eigenvalues_only.py

The force field is that of the shipped model; heads start from random weights. First they see the elements of H of a few
configurations. Then they go on with all training configurations, once with nothing but their eigenvalues, once with
their Hamiltonians too, the same number of steps. Errors are those of the validation split (which no stage sees), single
cells.
"""

import argparse
import tempfile
import time
from dataclasses import replace

import torch

from ase_wander import load_model
from ase_wander.catalogue import reference_data
from ase_wander.data.dataset import split, withhold
from ase_wander.data.sources import load_source
from ase_wander.training.loop import LoopSettings, fit
from ase_wander.training.stages.hamiltonian import HamiltonianSamples
from ase_wander.training.train import new_model

HEADS = {"n_channels": 8, "n_scalars": 16, "hidden": 48, "n_gated": 12}
ELEMENTS = {"onsite": 0.1, "spread": 0.25, "vacuum_step": 0.02}
EIGENVALUES = {"onsite": 0.0, "intra": 0.0, "inter": 0.0, "eigenvalues": 0.1}
LOOP = LoopSettings(
    batch=4, lr=4e-3, lr_final=1e-4, clip=50.0, average=0.98, weight_decay=0.1, warmup=20, validate_every=10**6
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=str(reference_data("mos2-bilayer") / "aligned"))
    parser.add_argument("--with-hamiltonian", type=int, default=15, help="configurations whose H the first stage sees")
    parser.add_argument("--steps", type=int, nargs=2, default=(400, 300), help="of the first and of the second stage")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    training, validation = split(load_source({"path": arguments.data, "include": "p1_*"}))
    training.sort(key=lambda c: c.name[::-1])  # mixes the series of configurations
    few = training[: arguments.with_hamiltonian]
    hidden = withhold(split(load_source({"path": arguments.data, "include": "p1_*", "withhold": "hamiltonian"}))[0])
    assert not any(c.has("hamiltonian") for c in hidden)
    print(f"{len(training)} training configurations, {len(few)} with H in the first stage; {len(validation)} held out")
    start = time.monotonic()

    torch.manual_seed(1)
    model = new_model({**load_model("mos2-bilayer").config, "heads": HEADS})
    model.force_field.load_state_dict(load_model("mos2-bilayer", dtype="float32").force_field.state_dict())
    held_out = HamiltonianSamples(validation, model)

    def stage(name, configurations, weights, steps, lr, samples=None):
        samples = samples or HamiltonianSamples(configurations, model, weights=weights)
        with tempfile.TemporaryDirectory() as folder:
            fit(
                model.heads,
                len(samples),
                lambda i, batch=None: samples.loss(i, weights, batch),
                replace(LOOP, steps=steps, lr=lr),
                folder,
                name,
            )
        errors = held_out.report(sigma_max=1.0)
        print(
            f"{name:42s} eigenvalues within 1 eV of the gap {errors['eigenvalues']:6.1f} meV   elements of H "
            f"{errors['elements']:5.2f} meV   "
            f"({time.monotonic() - start:.0f} s)",
            flush=True,
        )
        return {k: v.clone() for k, v in model.heads.state_dict().items()}

    for p in model.force_field.parameters():
        p.requires_grad_(False)
    first = HamiltonianSamples(few, model, weights=ELEMENTS)
    first.fit_normalisation()
    few_weights = stage(f"elements of {len(few)}", few, ELEMENTS, arguments.steps[0], LOOP.lr, first)
    stage(f"then eigenvalues alone of {len(hidden)}", hidden, EIGENVALUES, arguments.steps[1], 1e-3)
    model.heads.load_state_dict(few_weights)
    stage(
        f"then eigenvalues and elements of {len(training)}",
        training,
        {**ELEMENTS, "eigenvalues": 0.1},
        arguments.steps[1],
        1e-3,
    )


if __name__ == "__main__":
    main()
