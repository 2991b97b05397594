#!/bin/sh
# From a formula to a model by a chain of commands: bilayer h-BN with a toy's budget. What each one does: docs/own_material.md
#   pip install ase-wander[dft]
#   sh own_material.sh        # in a folder of its own, beside toy-data.yaml and toy-train.yaml; killed, it goes on where it was
set -e
export OMP_NUM_THREADS=1

ase-wander data make toy-data.yaml --out campaign --dry-run
ase-wander data make toy-data.yaml --out campaign
ase-wander data status campaign
[ -d data ] || ase-wander data convert campaign data
ase-wander data show data
ase-wander train toy-train.yaml --out run --resume --ship model
ase-wander evaluate model data --run run --out report
ase-wander run hBN --m 2 --r 1 --model model --npoints 60 --out twisted
