"""AdamW against SOAP on the stages of a training configuration, from the same random weights, with the same batches.

python benchmarks/optimisers.py [models/mos2-bilayer/train.yaml] [--stage forcefield] [--steps 600] [--out
runs/optimisers]

Learning rates are those that served each best: 2e-3 (force field) and 4e-3 (heads) for AdamW, 3e-3 for SOAP. A stage
of the heads is trained on the untrained force field, whose last layer is then of no use to them.
"""

import argparse
import json
from pathlib import Path
from shutil import rmtree

import yaml

from ase_wander.training.config import load_config
from ase_wander.training.train import train

RATES = {"forcefield": {"adamw": 2e-3, "soap": 3e-3}, "hamiltonian": {"adamw": 4e-3, "soap": 3e-3}}
SHOWN = {"forcefield": ("force", "layer_force", "energy"), "hamiltonian": ("elements", "inter_R2", "eigenvalues")}


def trained(source: Path, folder: Path, stage_name: str, optimiser: str, steps: int) -> list:
    """Rows of the log of one stage trained with one optimiser."""
    raw = yaml.safe_load(source.read_text())
    at = [s.get("name", s["kind"]) for s in raw["stages"]].index(stage_name)
    stage = raw["stages"][at] | {"optimiser": optimiser, "steps": steps, "lr_final": 1e-5}
    stage["lr"] = RATES[stage["kind"]][optimiser]
    raw["stages"] = [stage]
    raw.pop("bars", None)
    for k, entry in enumerate(raw["data"]):  # the configuration moves, its data do not
        entry = entry if isinstance(entry, dict) else {"path": entry}
        raw["data"][k] = entry | {"path": str((source.parent / entry["path"]).resolve())}
    rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    file = folder.parent / f"{folder.name}.yaml"
    file.write_text(yaml.safe_dump(raw))
    train(load_config(file), folder)
    return [json.loads(line) for line in (folder / f"{stage_name}.jsonl").read_text().splitlines()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", type=Path, default=Path("models/mos2-bilayer/train.yaml"))
    parser.add_argument("--stage", default="forcefield", help="name of a stage")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--out", type=Path, default=Path("runs/optimisers"))
    arguments = parser.parse_args()
    kind = next(
        s["kind"]
        for s in yaml.safe_load(arguments.config.read_text())["stages"]
        if s.get("name", s["kind"]) == arguments.stage
    )
    print(f"| optimiser | step | seconds | {' | '.join(SHOWN[kind])} |\n|---|---|---|{'---|' * len(SHOWN[kind])}")
    for optimiser in ("adamw", "soap"):
        rows = trained(arguments.config, arguments.out / optimiser, arguments.stage, optimiser, arguments.steps)
        for row in rows[len(rows) // 2 :: max(len(rows) // 2, 1)]:
            shown = " | ".join(f"{row['validation'][key]:.3g}" for key in SHOWN[kind])
            print(f"| {optimiser} | {row['step']} | {row['seconds']:.0f} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
