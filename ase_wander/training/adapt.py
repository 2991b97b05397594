"""What a new element needs besides the weights of its relative, before it is trained: its own zeros.

Its atoms bring another energy and its levels lie elsewhere, so that these are those of the data. What descriptors are
standardised by stays that of the relative: moved to the mean of the new data it took WSe2 further from its reference.
"""

from __future__ import annotations

import torch

#: Energies per atom (eV) that the data miss a model by because they count from another zero, not because it errs.
OTHER_ZERO = 0.1


@torch.no_grad()
def adapt_force_field(samples, added) -> None:
    """Reference energies of the species `added`, from ForceFieldSamples.

    Where the data miss the model by more than OTHER_ZERO, all reference energies are moved: another code, or another
    functional, counts from another zero.
    """
    ff = samples.model.force_field
    known = [k for k, s in enumerate(samples.samples) if s.has["energy"]]
    if not known:
        return
    n_species = len(samples.model.species)
    counts = torch.stack([torch.bincount(samples.samples[k].graph.species, minlength=n_species) for k in known])
    missed = torch.stack([_missed_energy(samples, k) for k in known])
    per_atom = (missed / counts.sum(1)).abs().median()
    moved = list(added) or (list(range(n_species)) if per_atom > OTHER_ZERO else [])
    if moved:
        shift = torch.linalg.pinv(counts[:, moved].double(), rtol=1e-8) @ missed
        ff.reference_energy[moved] += shift.to(ff.reference_energy)


def _missed_energy(samples, k):
    """Energy of the reference minus that of the model, eV."""
    with torch.enable_grad():
        _, error = samples.errors([k])
    return -error["energy"].detach().double()[0] * len(samples.samples[k].graph)


@torch.no_grad()
def adapt_heads(samples, added) -> None:
    """Mean on-site energies of the species `added`, from HamiltonianSamples."""
    heads = samples.model.heads
    known = [s for s in samples.samples if s.onsite]
    predicted = [samples.predict([s])[0][0] for s in known]
    for z in added:
        missed = [t[z] - blocks[z] for t, blocks in zip((s.onsite for s in known), predicted) if len(t[z])]
        if missed:
            heads.onsite[z].mean[0] += torch.diagonal(torch.cat(missed), dim1=1, dim2=2).mean()
