"""The density of the force field as one loop: C++ of `ase_wander.kernels` against numba, on random neighbours.

What decides between the two: time of a call, and what the first call costs in a new process and on a new machine.
Needs numba (no dependency of the package) and the compiled loops; no torch.

python benchmarks/numba_density.py [--level avx2]
"""

import argparse
import ctypes
import time
from math import pi, sqrt
from pathlib import Path

import numpy as np

RADIAL, CHANNELS, CUTOFF = 10, 4, 7.0


def structure(n_atoms=1024, neighbours=84, seed=0):
    """Rows of random neighbours with their vectors (Å) below the cutoff, and their channels."""
    generator = np.random.default_rng(seed)
    unit = generator.normal(size=(n_atoms * neighbours, 3))
    unit /= np.linalg.norm(unit, axis=1)[:, None]
    vector = unit * generator.uniform(2.0, 6.9, size=(len(unit), 1))
    return np.arange(n_atoms + 1) * neighbours, vector, generator.integers(0, CHANNELS, len(unit))


def numba_density():
    """A_i,s,n,q = sum_j R_n Y_q up to l = 4 in numba, by recurrences in n and polynomials in the unit vector."""
    import numba

    @numba.njit(fastmath={"contract", "arcp", "nsz"}, cache=True)
    def density(start, vector, channel, out):
        y, r = np.empty(25), np.empty(RADIAL)
        for i in range(len(start) - 1):
            for k in range(start[i], start[i + 1]):
                x0, x1, x2 = vector[k, 0], vector[k, 1], vector[k, 2]
                d = sqrt(x0 * x0 + x1 * x1 + x2 * x2)
                x0, x1, x2, u = x0 / d, x1 / d, x2 / d, d / CUTOFF
                fade = 1 - u * u * u * (10 - 15 * u + 6 * u * u)
                s1, c1 = np.sin(pi * u), np.cos(pi * u)
                s, c = s1, c1
                for n in range(RADIAL):
                    r[n] = fade * s * sqrt(n + 1.0) / ((n + 1) * pi * u)
                    s, c = s * c1 + c * s1, c * c1 - s * s1
                xx, yy, zz, c2 = x0 * x0, x1 * x1, x2 * x2, x0 * x0 - x1 * x1
                s3, c3, five, seven = x1 * (3 * xx - yy), x0 * (xx - 3 * yy), 5 * zz - 1, 7 * zz - 1
                y[0], y[1], y[2], y[3] = 1.0, x1, x2, x0
                y[4], y[5], y[6] = sqrt(3.0) * x0 * x1, sqrt(3.0) * x1 * x2, 1.5 * zz - 0.5
                y[7], y[8], y[9], y[10] = (
                    sqrt(3.0) * x0 * x2,
                    sqrt(0.75) * c2,
                    sqrt(0.625) * s3,
                    sqrt(15.0) * x0 * x1 * x2,
                )
                y[11], y[12], y[13] = sqrt(0.375) * x1 * five, 0.5 * x2 * (five - 2), sqrt(0.375) * x0 * five
                y[14], y[15], y[16] = sqrt(15.0) / 2 * x2 * c2, sqrt(0.625) * c3, sqrt(35.0) / 2 * x0 * x1 * c2
                y[17], y[18] = sqrt(70.0) / 4 * x2 * s3, sqrt(5.0) / 2 * x0 * x1 * seven
                y[19], y[20] = sqrt(10.0) / 4 * x1 * x2 * (seven - 2), (35 * zz * zz - 30 * zz + 3) / 8
                y[21], y[22] = sqrt(10.0) / 4 * x0 * x2 * (seven - 2), sqrt(5.0) / 4 * c2 * seven
                y[23], y[24] = sqrt(70.0) / 4 * x2 * c3, sqrt(35.0) / 8 * (c2 * c2 - 4 * xx * yy)
                row = out[i, channel[k]]
                for n in range(RADIAL):
                    for q in range(25):
                        row[n, q] += r[n] * y[q]

    return density


class Loops:
    """The same through the compiled library: atom i in the origin of row i, its neighbours as further atoms."""

    def __init__(self, level, start, vector, channel):
        from ase_wander import kernels

        self.library = ctypes.CDLL(str(Path(kernels.FOLDER) / f"{level}.so"))
        n, p = len(start) - 1, len(vector)
        at = lambda x: x.ctypes.data
        self.arrays = arrays = (
            np.concatenate([start, np.full(p, start[-1])]),
            np.arange(n, n + p, dtype=np.int32),
            np.zeros((p, 3), np.int32),
            np.concatenate([np.zeros((n, 3)), vector]),
            np.eye(3),
            np.concatenate([np.zeros(n), channel % 2]).astype(np.int32),
            np.concatenate([np.zeros(n), channel // 2]).astype(np.int32),
        )
        self.structure = kernels.Structure(n + p, *map(at, arrays))
        self.tables = np.zeros(8), np.zeros(4), np.zeros(8), np.zeros(2)
        self.constants = kernels.Constants(2, RADIAL, CUTOFF, CUTOFF, 4.5, 0.0, *map(at, self.tables))
        self.atoms, self.longest = np.arange(n), int(np.diff(start).max())
        self.out = [np.empty((n, 2 * l + 1, CHANNELS, RADIAL)) for l in range(5)]
        self.addresses = kernels.addresses(self.out)

    def __call__(self):
        byref, integer = ctypes.byref, ctypes.c_int64
        atoms = ctypes.c_void_p(self.atoms.ctypes.data)
        sizes = integer(len(self.atoms)), atoms, integer(self.longest)
        self.library.density_f64(byref(self.structure), byref(self.constants), *sizes, self.addresses)
        return np.concatenate([a.transpose(0, 2, 3, 1) for a in self.out], 3)


def best(function, repeats=10):
    """Shortest CPU time of a call, s."""
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        function()
        times.append(time.process_time() - begin)
    return min(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--level", default="avx2", help="library: base, avx2, avx512")
    level = parser.parse_args().level
    start, vector, channel = structure()
    n = len(start) - 1
    loops, out = Loops(level, start, vector, channel), np.zeros((n, CHANNELS, RADIAL, 25))
    begin = time.process_time()
    density = numba_density()
    density(start[:2], vector, channel, out)
    first = time.process_time() - begin
    out[:] = 0
    density(start, vector, channel, out)
    print(f"largest difference {np.abs(loops() - out).max():.1e}")
    by_numba = best(lambda: density(start, vector, channel, out))
    loops_only = best(loops)
    print(
        f"numba: {1e6 * by_numba / n:.1f} µs/atom; {first:.1f} s for its import and the first call (less once cached)"
    )
    print(
        f"C++ ({level}): {1e6 * loops_only / n:.1f} µs/atom, its copy into one array included; nothing to wait for"
    )


if __name__ == "__main__":
    main()
