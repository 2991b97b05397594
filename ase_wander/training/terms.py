"""The terms of the losses: which weights a stage knows, and which labels each term needs."""

from __future__ import annotations

#: Labels (see `data.dataset.LABELS`) that every term needs, by the part of the model that it trains.
FORCE_FIELD = {"energy": ("energy",), "forces": ("forces",), "stress": ("stress",), "layer": ("forces",)}
HAMILTONIAN = {
    "onsite": ("hamiltonian",),
    "intra": ("hamiltonian",),
    "inter": ("hamiltonian",),
    "eigenvalues": ("eigenvalues",),
    "projections": ("hamiltonian", "eigenvalues"),
    "vacuum_step": ("vacuum_step",),
}

#: Terms that go with others: a configuration that has only their labels is not used.
ACCOMPANYING = ("vacuum_step",)

#: Labels in words.
WORDS = {
    "hamiltonian": "a Hamiltonian",
    "eigenvalues": "eigenvalues",
    "energy": "an energy",
    "forces": "forces",
    "stress": "a stress",
}

#: Weights that are no terms; `spread` is the power of the class's spread that divides the errors of its elements.
EXPONENTS = ("spread",)

#: Terms of every kind of stage.
TERMS = {"forcefield": FORCE_FIELD, "hamiltonian": HAMILTONIAN, "joint": FORCE_FIELD | HAMILTONIAN}

#: What a stage may weigh, and what each weight is where a configuration does not say.
WEIGHTS = {
    kind: {w: 1.0 if w in ("intra", "inter") else 0.0 for w in (*terms, *(EXPONENTS if kind != "forcefield" else ()))}
    for kind, terms in TERMS.items()
}


#: Errors that the validation of each part may report, beside those of the classes of hoppings, "00_intra", "01_inter",
#: ...
REPORTED = {
    "forcefield": ("force", "force_all", "energy", "virial", "layer_force"),
    "hamiltonian": ("elements", "eigenvalues", "projections", "vacuum_step", "inter_R2", "onsite"),
}


def reported(kind, n_species) -> tuple:
    """Names of all errors that a stage's validation may report; which ones, the labels of its data decide."""
    classes = tuple(
        f"{a}{b}_{where}" for a in range(n_species) for b in range(a, n_species) for where in ("intra", "inter")
    )
    of = REPORTED | {"hamiltonian": REPORTED["hamiltonian"] + classes}
    return of["forcefield"] + of["hamiltonian"] if kind == "joint" else of[kind]


def with_defaults(kind, weights) -> dict:
    """All weights of a kind of stage, the missing ones at their defaults."""
    return WEIGHTS[kind] | weights


def weighed_terms(kind, weights) -> dict:
    """Terms of non-zero weight and the labels they need."""
    weights = with_defaults(kind, weights)
    return {term: labels for term, labels in TERMS[kind].items() if weights[term]}


def is_used(configuration, kind, weights) -> bool:
    """Whether a configuration has the labels of at least one term that a stage weighs."""
    return any(
        all(map(configuration.has, labels))
        for term, labels in weighed_terms(kind, weights).items()
        if term not in ACCOMPANYING
    )


def select(configurations, kind, weights) -> list:
    """Configurations that a stage can use; the others are skipped."""
    return [c for c in configurations if is_used(c, kind, weights)]


def why_none(configuration, kind, weights) -> str:
    """Labels that a stage needs and does not find, in words, with one configuration as an example."""
    needed = {
        label for term, labels in weighed_terms(kind, weights).items() if term not in ACCOMPANYING for label in labels
    }
    words = [word for label, word in WORDS.items() if label in needed]
    lacks = ", ".join(label for label in WORDS if label in needed)
    return f"has {' or '.join(words)}: {configuration.source or configuration.name} has no {lacks}"


def count_labels(configurations, kind, weights) -> dict:
    """Configurations with the labels of each weighed term, and `skipped`, those that the stage does not use."""
    used = select(configurations, kind, weights)
    out = {term: sum(all(map(c.has, labels)) for c in used) for term, labels in weighed_terms(kind, weights).items()}
    return out | {"skipped": len(configurations) - len(used)}


def labels_line(name, counts, n_configurations) -> str:
    """One line on what a stage trains on; terms that all configurations have labels for are left out.

    >>> labels_line("bands", {"eigenvalues": 9, "intra": 4, "skipped": 1}, 10)
    'bands: 9 of 10 training configurations (intra 4)'
    """
    used = n_configurations - counts["skipped"]
    fewer = ", ".join(f"{term} {n}" for term, n in counts.items() if term != "skipped" and n < used)
    return f"{name}: {used} of {n_configurations} training configurations" + (f" ({fewer})" if fewer else "")
