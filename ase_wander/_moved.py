"""Module paths of version 0.1: they still import, with a DeprecationWarning that names the new path."""

from __future__ import annotations

import importlib
import sys
import warnings
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder

#: Old path -> new path, below `ase_wander`.
MODULES = {
    "backbones": "model.backbones",
    "cli_ablation": "cli.ablation",
    "cli_bands": "cli.bands",
    "cli_common": "cli.common",
    "cli_converge": "cli.data_converge",
    "cli_data": "cli.data",
    "cli_models": "cli.models",
    "cli_propose": "cli.data_propose",
    "cli_relax": "cli.relax",
    "cli_run": "cli.run",
    "cli_train": "cli.train",
    "data.active": "data.sampling.active",
    "data.bands_check": "data.dft.bands_check",
    "data.bands_figure": "data.dft.bands_figure",
    "data.campaign_config": "data.campaign.config",
    "data.campaign_status": "data.campaign.status",
    "data.convergence": "data.dft.convergence",
    "data.displacements": "data.sampling.displacements",
    "data.engines": "data.dft.engines",
    "data.espresso_dft": "data.dft.espresso",
    "data.espresso_files": "data.dft.espresso_files",
    "data.folder": "data.campaign.folder",
    "data.gpaw_dft": "data.dft.gpaw",
    "data.labels": "data.dft.labels",
    "data.manifold": "data.wannier.manifold",
    "data.overlaps": "data.wannier.overlaps",
    "data.patches": "data.sampling.patches",
    "data.plan": "data.sampling.plan",
    "data.processes": "data.campaign.processes",
    "data.projection": "data.wannier.projection",
    "data.recipe": "data.dft.recipe",
    "data.store": "data.database",
    "data.trajectories": "data.sampling.trajectories",
    "data.wannier90": "data.wannier.wannier90",
    "data.wannier90_files": "data.wannier.wannier90_files",
    "data.wannier90_run": "data.wannier.wannier90_run",
    "data.worker": "data.campaign.worker",
    "derivatives": "model.derivatives",
    "electronic.analysis": "electronic.properties.analysis",
    "electronic.chebyshev": "electronic.solvers.chebyshev",
    "electronic.coupling": "electronic.properties.coupling",
    "electronic.derived": "electronic.transforms",
    "electronic.dos": "electronic.properties.dos",
    "electronic.eigensolvers": "electronic.solvers.eigensolvers",
    "electronic.exports": "electronic.io.exports",
    "electronic.factorisation": "electronic.solvers.factorisation",
    "electronic.interop": "electronic.io.interop",
    "electronic.kpoints": "electronic.solvers.kpoints",
    "electronic.lanczos": "electronic.solvers.lanczos",
    "electronic.local_edges": "electronic.properties.local_edges",
    "electronic.memory": "electronic.solvers.memory",
    "electronic.nonhermitian": "electronic.solvers.nonhermitian",
    "electronic.onepoint": "electronic.solvers.onepoint",
    "electronic.optics": "electronic.properties.optics",
    "electronic.parallel": "electronic.solvers.parallel",
    "electronic.pardiso": "electronic.solvers.pardiso",
    "electronic.paths": "electronic.kpath",
    "electronic.storage": "electronic.io.storage",
    "electronic.tbmodels": "electronic.io.tbmodels",
    "electronic.textfile": "electronic.io.textfile",
    "electronic.topology": "electronic.properties.topology",
    "electronic.unfolding": "electronic.properties.unfolding",
    "electronic.velocities": "electronic.properties.velocities",
    "electronic.wannier90": "electronic.io.wannier90",
    "electronic.win": "electronic.io.win",
    "equilibrium": "evaluation.equilibrium",
    "graphs": "model.graphs",
    "model_config": "model.config",
    "model_files": "model.files",
    "moire.cli_build": "cli.build",
    "moire.moire_plots": "moire.plots",
    "moire.registry": "moire.interlayer",
    "nn.alignment": "nn.bond_frame",
    "nn.dressing": "nn.messages",
    "nn.incomplete": "nn.axial",
    "nn.published": "published.networks",
    "nn.published_environment": "published.environment",
    "nn.published_frame": "published.frame",
    "nn.published_hamiltonian": "published.hamiltonian",
    "nn.published_orbitals": "published.orbitals",
    "nn.published_template": "published.template",
    "nn.trust": "nn.uncertainty",
    "paths": "catalogue",
    "published_bands": "published.bands",
    "published_files": "published.files",
    "published_relax": "published.relax",
    "training.ablation": "evaluation.ablation.table",
    "training.ablation_figure": "evaluation.ablation.figure",
    "training.ablation_noise": "evaluation.ablation.noise",
    "training.ablation_run": "evaluation.ablation.run",
    "training.ablation_tables": "evaluation.ablation.results",
    "training.elements": "evaluation.hamiltonian_errors",
    "training.evaluate": "evaluation.evaluate",
    "training.evaluation_figures": "evaluation.figures",
    "training.forcefield_stage": "training.stages.forcefield",
    "training.hamiltonian_samples": "training.stages.samples",
    "training.hamiltonian_stage": "training.stages.hamiltonian",
    "training.joint_stage": "training.stages.joint",
    "training.published_trainer": "training.stages.published",
    "training.report": "evaluation.report",
    "training.residuals": "evaluation.symmetry",
    "training.ship": "evaluation.release",
    "training.trust": "evaluation.uncertainty",
    "values": "checks",
}

#: Modules that have become packages of the same name, or smaller -> modules that now hold their names.
NAMES = {
    "ase_wander.model": ("model.wander", "loading", "catalogue", "model.files"),
    "ase_wander.published": ("published.model", "published.example"),
    "ase_wander.published.model": ("published.example",),
    "ase_wander.moire.commensurate": ("moire.cell_search",),
    "ase_wander.data.sampling": ("data.sampling.configurations",),
    "ase_wander.data.campaign": ("data.campaign.run",),
}


class MovedFinder(MetaPathFinder, Loader):
    """Finds a module at its old path when nothing else does."""

    def find_spec(self, fullname, path=None, target=None):
        """Spec of an alias, None for a path that never was."""
        head, _, tail = fullname.partition(".")
        if head == "ase_wander" and tail in MODULES:
            return ModuleSpec(fullname, self)
        return None

    def create_module(self, spec):
        """The module at its new path; `sys.modules` then holds it under both names."""
        old = spec.name
        new = "ase_wander." + MODULES[old.partition(".")[2]]
        warnings.warn(f"{old} has moved to {new}", DeprecationWarning, stacklevel=2)
        self._spec_of_module = importlib.import_module(new).__spec__
        return sys.modules[new]

    def exec_module(self, module):
        """Nothing to run: the module is loaded. Its own spec comes back, which the import of the alias has replaced."""
        module.__spec__ = self._spec_of_module


def install() -> None:
    """Let old paths be found, after everything else."""
    if not any(isinstance(finder, MovedFinder) for finder in sys.meta_path):
        sys.meta_path.append(MovedFinder())


def moved_names(package: str):
    """A module `__getattr__` for a package or module that held more: its old names, with a DeprecationWarning."""

    def __getattr__(name):
        if not name.startswith("__") and not _is_module(package, name):
            for new in NAMES[package]:
                module = importlib.import_module(f"ase_wander.{new}")
                if name in vars(module):
                    warnings.warn(f"{package}.{name} has moved to ase_wander.{new}", DeprecationWarning, stacklevel=2)
                    return vars(module)[name]
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return __getattr__


def _is_module(package, name):
    """Whether a package has a module of this name, which is about to be imported."""
    folders = vars(sys.modules[package]).get("__path__")
    return folders is not None and PathFinder.find_spec(f"{package}.{name}", folders) is not None
