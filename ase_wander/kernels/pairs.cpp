// Rows of neighbours out of a list of pairs, and what two atoms feel of each other alone: dispersion tail, nuclear repulsion, wall.
#include "lanes.h"

namespace {

// Pair energy (eV) and its derivative by r: dispersion, damped like D3(BJ), smooth to zero from 3/4 of the cutoff on.
static inline double dispersion(double r, const Constants& c, double c6, double c8, double& slope) {
    const double R = c.tail_radius, u = r / R, u2 = u * u, u4 = u2 * u2, u6 = u4 * u2, u8 = u6 * u2;
    const double f6 = 1 / (1 + u6), f8 = 1 / (1 + u8);
    const double bare = -(c6 * f6 + c8 * f8), by_r = (c6 * 6 * u6 * f6 * f6 + c8 * 8 * u8 * f8 * f8) / r;
    const double start = 0.75 * c.tail_cutoff, span = c.tail_cutoff - start;
    double x = (r - start) / span;
    x = x < 0 ? 0 : x > 1 ? 1 : x;
    const double f = 1 - x * x * x * (10 - 15 * x + 6 * x * x), df = -30 * x * x * (1 - x) * (1 - x) / span;
    slope = by_r * f + bare * df;
    return bare * f;
}

// Ziegler-Biersack-Littmark repulsion, smooth to zero at `reach`: `nn.radial.zbl_energy`.
static double repulsion(double r, double z1, double z2, double reach, double& slope) {
    const double k = (std::pow(z1, 0.23) + std::pow(z2, 0.23)) / 0.46850, x = r * k;
    const double weight[4] = {0.18175, 0.50986, 0.28022, 0.02817}, rate[4] = {3.19980, 0.94229, 0.40290, 0.20162};
    double phi = 0, dphi = 0;
    for (int m = 0; m < 4; m++) {
        const double e = weight[m] * std::exp(-rate[m] * x);
        phi += e, dphi -= rate[m] * k * e;
    }
    const double u = r / reach, f = 1 - u * u * u * (10 - 15 * u + 6 * u * u), df = -30 * u * u * (1 - u) * (1 - u) / reach;
    const double q = 14.399645 * z1 * z2 / r;
    slope = q * (dphi * f + phi * df - phi * f / r);
    return q * phi * f;
}

// Half of every pair's energy to either end. Rows hold both directions of a pair, so that each atom looks at its own row only.
// nearest: (n, z, 2) A, distance to the nearest neighbour within the densities' cutoff, by species, in the same and in other layers.
void pair_energies(const Structure& s, const Constants& c, int64_t from, int64_t to, double* energies, double* forces, double* virial,
                   double* nearest) {
    const int64_t zs = c.n_species;
    const double far = std::max(c.cutoff, c.tail_cutoff), *a = s.cell;
    for (int64_t i = from; i < to; i++) {
        double energy = 0, f[3] = {0, 0, 0}, *closest = nearest + i * zs * 2;
        const int64_t zi = s.species[i];
        const double* o = s.position + 3 * i;
        for (int64_t k = s.start[i]; k < s.start[i + 1]; k++) {
            const int64_t j = s.neighbour[k], zj = s.species[j], across = s.layer[j] != s.layer[i], both = zi * zs + zj;
            const double* p = s.position + 3 * j;
            const int32_t* m = s.shift + 3 * k;
            double v[3];
            for (int x = 0; x < 3; x++) v[x] = (p[x] - o[x]) + (m[0] * a[x] + m[1] * a[3 + x] + m[2] * a[6 + x]);
            const double r2 = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
            if (r2 >= far * far) continue;
            const double r = std::sqrt(r2);
            double e = 0, de = 0, slope;
            if (r < c.tail_cutoff) e += dispersion(r, c, c.dispersion[2 * both], c.dispersion[2 * both + 1], slope), de += slope;
            if (r < c.cutoff) {
                double& best = closest[2 * zj + across];
                best = r < best ? r : best;
                if (r < c.reach[both]) e += repulsion(r, c.charge[zi], c.charge[zj], c.reach[both], slope), de += slope;
                const double depth = c.contact[2 * both + across] - r;
                if (depth > 0) e += c.wall * depth * depth * depth, de -= 3 * c.wall * depth * depth;
            }
            energy += 0.5 * e;
            for (int x = 0; x < 3; x++) {
                f[x] += de * v[x] / r;
                for (int y = 0; y < 3; y++) virial[3 * y + x] += 0.5 * de * v[x] * v[y] / r;
            }
        }
        energies[i] += energy;
        for (int x = 0; x < 3; x++) forces[3 * i + x] += f[x];
    }
}

} // namespace

// From every pair once, i, j, shift, to rows of both directions; start (n + 1) comes back filled. A row is sorted by neighbour and
// shift: sums over it then have the same bits whichever list it is from, one with a wider skin too.
EXPORT void rows_of_pairs(int64_t n_pairs, const int64_t* i, const int64_t* j, const int32_t* shift, int64_t n, int64_t* start,
                          int32_t* neighbour, int32_t* shift_of_row) {
    std::fill(start, start + n + 1, 0);
    for (int64_t k = 0; k < n_pairs; k++) start[i[k] + 1]++, start[j[k] + 1]++;
    for (int64_t a = 0; a < n; a++) start[a + 1] += start[a];
    std::vector<int64_t> next(start, start + n);
    std::vector<std::array<int32_t, 4>> entries(2 * n_pairs);
    for (int64_t k = 0; k < n_pairs; k++) {
        const int32_t* s = shift + 3 * k;
        entries[next[i[k]]++] = {int32_t(j[k]), s[0], s[1], s[2]};
        entries[next[j[k]]++] = {int32_t(i[k]), -s[0], -s[1], -s[2]};
    }
    for (int64_t a = 0; a < n; a++) std::sort(entries.begin() + start[a], entries.begin() + start[a + 1]);
    for (int64_t k = 0; k < 2 * n_pairs; k++) {
        neighbour[k] = entries[k][0];
        for (int x = 0; x < 3; x++) shift_of_row[3 * k + x] = entries[k][x + 1];
    }
}

EXPORT void pair_energies_f64(const Structure* s, const Constants* c, int64_t from, int64_t to, double* energies, double* forces,
                              double* virial, double* nearest) {
    pair_energies(*s, *c, from, to, energies, forces, virial, nearest);
}

EXPORT int version() { return 3; }
