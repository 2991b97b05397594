"""Errors on a new material against the number of its configurations: fine-tuned from a trained model, and from scratch.

python benchmarks/learning_curve.py DATA [--from mos2-bilayer] [--counts 0 5 20 80] [--out runs/learning_curve]

DATA is a folder of reference data of a material that the model does not know (models/tmd/*.yaml make them). A fifth of
it, chosen by the hash of the names, is held out; of the rest the first so many in the order of another hash are trained
on, so that larger sets hold the smaller ones. Both models have the sizes and the stages of `ase-wander train --from`;
`--steps` multiplies the steps of those from scratch. Without a configuration the model is taken as it is, new elements
under the names of their relatives. What is finished is kept in OUT and not computed again.
"""

import argparse
import hashlib
import json
import time
from pathlib import Path

import numpy as np
import torch

from ase_wander.data.dataset import is_validation
from ase_wander.data.sources import load_source
from ase_wander.training.config import load_config
from ase_wander.training.finetune import finetuning, write_finetuning
from ase_wander.training.stages.forcefield import ForceFieldSamples
from ase_wander.training.stages.hamiltonian import HamiltonianSamples
from ase_wander.training.start import start_from
from ase_wander.training.train import new_model, train

#: Share of the data that is held out.
HELD_OUT = 0.2

#: Errors of the table, with the units of a validation.
COLUMNS = {
    "energy": "energy meV/atom",
    "force": "forces meV/Å",
    "elements": "H meV",
    "eigenvalues": "eigenvalues meV",
    "inter_R2": "inter R²",
}


def divided(configurations):
    """(names to train on, in order, configurations held out)."""
    names = [c.name for c in configurations if not is_validation(c.name, HELD_OUT)]
    names.sort(key=lambda name: hashlib.sha256(f"curve:{name}".encode()).digest())
    return names, [c for c in configurations if c.name not in names]


def errors(model, held_out):
    """Validation errors of force field and heads; energies up to a constant per atom where none was learned."""
    model = model.float()
    found = {}
    if any(c.has("energy") or c.has("forces") for c in held_out):
        found |= ForceFieldSamples(held_out, model).report()
    samples = HamiltonianSamples(held_out, model)
    return found | (samples.report() if len(samples) else {})


def trained(start, data, names, scratch, steps, folder):
    """A model trained on the configurations `names` of `data`, and the seconds of the processor that it took."""
    made = finetuning(start, [data], folder.name)
    made["data"] = [{"path": made["data"][0], "include": names, "hold_out": False}]
    factor = steps[1] if scratch else steps[0]
    for stage in made["stages"]:
        stage["steps"] = max(round(factor * stage["steps"]), 1)
    if scratch:
        del made["start_from"]
        for stage in made["stages"]:
            stage["lr"] = 4 * stage["lr"]
    folder.parent.mkdir(parents=True, exist_ok=True)
    file = folder.with_suffix(".yaml")
    write_finetuning(file, made)
    began = time.process_time()
    model = train(load_config(file), folder, resume=folder.exists())
    return model, time.process_time() - began


def untrained(start, data, folder):
    """The model as it is, its new elements under the names of their relatives."""
    model = new_model(finetuning(start, [data], folder.name))
    start_from(model, start)
    return model.eval()


def curve(start, data, counts, folder, steps=(1.0, 2.0)):
    """Errors by number of configurations: {"tuned 5": {...}, "scratch 5": {...}, ...}."""
    names, held_out = divided(load_source(data))
    if not held_out:
        raise SystemExit(f"{data}: none of {len(names)} configurations is held out")
    out = {}
    for count in sorted({min(count, len(names)) for count in counts}):
        for kind in ["tuned", "scratch"] if count else ["tuned"]:
            own = folder / f"{kind}_{count}"
            result = own.with_suffix(".json")
            if not result.exists():
                if count:
                    model, seconds = trained(start, data, names[:count], kind == "scratch", steps, own)
                else:
                    model, seconds = untrained(start, data, own), 0.0
                own.parent.mkdir(parents=True, exist_ok=True)
                found = {"count": count, "seconds": seconds, "held_out": len(held_out)} | errors(model, held_out)
                result.write_text(json.dumps(found, indent=1) + "\n")
            out[f"{kind} {count}"] = json.loads(result.read_text())
    return out


def table(results):
    """Lines of a Markdown table."""
    shown = [key for key in COLUMNS if any(key in found for found in results.values())]
    yield f"| configurations | model | {' | '.join(COLUMNS[key] for key in shown)} | CPU s |"
    yield "|---" * (len(shown) + 3) + "|"
    words = {"tuned": "fine-tuned", "scratch": "from scratch"}
    for name, found in results.items():
        kind, count = name.split()
        numbers = [f"{found.get(key, np.nan):.4g}" for key in shown]
        yield f"| {count} | {words[kind]} | {' | '.join(numbers)} | {found['seconds']:.0f} |"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--from", dest="start", default="mos2-bilayer", metavar="MODEL")
    parser.add_argument("--counts", nargs="+", type=int, default=[0, 5, 20, 80])
    parser.add_argument(
        "--steps", nargs=2, type=float, default=[1.0, 2.0], metavar=("TUNED", "SCRATCH"), help="factors of the steps"
    )
    parser.add_argument("--out", default="runs/learning_curve")
    arguments = parser.parse_args(arguments)
    torch.set_num_threads(1)
    results = curve(arguments.start, arguments.data, arguments.counts, Path(arguments.out), tuple(arguments.steps))
    print("\n".join(table(results)))


if __name__ == "__main__":
    main()
