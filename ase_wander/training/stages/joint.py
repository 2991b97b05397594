"""Training of force field and Hamiltonian heads together: the descriptors serve both, and both losses shape them."""

from __future__ import annotations

import torch

from ..terms import select
from .forcefield import ForceFieldSamples
from .hamiltonian import HamiltonianSamples


class JointSamples:
    """The samples of both parts of the same configurations; a configuration may have labels for one of them only.

    Parameters
    ----------
    weights : dict
        Of the stage. A configuration is used by a part when it has labels that the part weighs.
    """

    def __init__(self, configurations, model, dtype=torch.float32, weights=None):
        weights = weights or {}
        self.force_field = ForceFieldSamples(select(configurations, "forcefield", weights), model, dtype)
        self.hamiltonian = HamiltonianSamples(
            select(configurations, "hamiltonian", weights), model, dtype, weights, frozen=False
        )
        of_part = [{s.name: k for k, s in enumerate(part.samples)} for part in (self.force_field, self.hamiltonian)]
        #: Numbers of every configuration's samples in the two parts, None where a part does not use it.
        self.places = [
            place
            for place in (tuple(part.get(c.name) for part in of_part) for c in configurations)
            if place != (None, None)
        ]
        #: Shares of the configurations that the parts use.
        self.shares = [len(part) / max(len(self.places), 1) for part in (self.force_field, self.hamiltonian)]

    def __len__(self):
        return len(self.places)

    @property
    def model(self):
        """The model of both parts."""
        return self.force_field.model

    @model.setter
    def model(self, model):
        self.force_field.model = self.hamiltonian.model = model

    @property
    def cache(self):
        """Memory (MB) for what does not depend on weights, see `ForceFieldSamples`."""
        return self.force_field.cache

    @cache.setter
    def cache(self, megabytes):
        self.force_field.cache = self.hamiltonian.cache = megabytes

    @property
    def samples(self):
        """Tensors of both parts."""
        return [self.force_field.samples, self.hamiltonian.samples]

    @samples.setter
    def samples(self, samples):
        self.force_field.samples, self.hamiltonian.samples = samples

    def loss(self, indices, weights, batch=None):
        """Sum of the losses of both parts, each over the configurations of the batch that it uses.

        The noise of the module that trains, see `training.loop`, is that of both parts.
        """
        model = self.model
        model.force_field.noise = model.heads.noise = getattr(model, "noise", 0.0)
        batch = indices if batch is None else batch
        total, terms = 0.0, {}
        for part, samples in enumerate((self.force_field, self.hamiltonian)):
            of = lambda chosen: [self.places[k][part] for k in chosen if self.places[k][part] is not None]
            if of(indices):
                # a mean over the part's samples of the batch, weighed by how many they are: mean over epochs = mean
                # over samples
                part_weight = len(of(batch)) / len(batch) / self.shares[part]
                loss, errors = samples.loss(of(indices), weights, of(batch))
                total = total + part_weight * loss
                terms |= {key: part_weight * value for key, value in errors.items()}
        return total, terms

    def report(self, **options):
        """Errors of both parts, see theirs."""
        return self.force_field.report(**options) | self.hamiltonian.report(**options)
