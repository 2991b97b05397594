"""Packages are found by themselves; everything else stands in setup.cfg."""

from setuptools import find_packages, setup

setup(packages=find_packages(include=["ase_wander", "ase_wander.*"]) + ["ase_wander.models"])
