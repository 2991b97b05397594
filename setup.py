"""Packages are found by themselves; here are the compiled loops, one library per CPU level; the rest: setup.cfg."""

import platform
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

FOLDER = Path("ase_wander/kernels")
#: No -ffast-math: what is not a number must stay one. -fno-math-errno lets sqrt become one instruction.
FLAGS = [
    "-std=c++17",
    "-O3",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-fvisibility=hidden",
    "-w",
]
LEVELS = {"base": []}
if platform.machine().lower() in ("x86_64", "amd64"):
    LEVELS["avx2"] = ["-mavx2", "-mfma"]
    LEVELS["avx512"] = [
        *LEVELS["avx2"],
        "-mavx512f",
        "-mavx512dq",
        "-mavx512bw",
        "-mavx512vl",
        "-mprefer-vector-width=512",
    ]


class BuildLibraries(build_ext):
    """Libraries by their plain names, since they are no Python modules."""

    def get_ext_filename(self, name):
        return str(Path(*name.split(".")).with_suffix(".so"))

    def get_export_symbols(self, extension):
        return extension.export_symbols


def library(level, flags):
    """Optional: without a compiler the installation goes on, and forces are computed in torch."""
    return Extension(
        f"ase_wander.kernels.{level}",
        sorted(str(p) for p in FOLDER.glob("*.cpp")),
        depends=sorted(str(p) for p in FOLDER.glob("*.h")),
        extra_compile_args=FLAGS + flags,
        optional=True,
    )


setup(
    packages=find_packages(include=["ase_wander", "ase_wander.*"]) + ["ase_wander.models"],
    ext_modules=[library(*item) for item in LEVELS.items()],
    cmdclass={"build_ext": BuildLibraries},
)
