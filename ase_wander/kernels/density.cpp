// Densities A_i,lm,(s n) = sum_j R_n(r_ij) Y_lm(r_ij) over neighbours of channel s, the pair energies beside them, and the way back:
// from dE/dA to forces and virial. Nothing is kept from the way there: geometry is cheaper to compute again than to fetch.
#include "harmonics.h"

namespace {

// Neighbours of one atom within the densities' cutoff, sorted by channel (species, then other layers' species).
template <class T>
struct Near {
    int count = 0, width = 0;
    std::vector<int> first, channel;
    std::vector<int64_t> pair;
    std::vector<double> all;  // x, y, z, r of every pair of the row, within the cutoff or not
    std::vector<T> r, unit, radial, slope, work, angular;

    Near(int64_t longest, const Constants& c) {
        width = int((longest + LANES - 1) / LANES * LANES);
        first.resize(2 * c.n_species + 1), channel.resize(width), pair.resize(width);
        all.resize(4 * width), r.resize(width, T(1)), unit.resize(3 * width), work.resize(7 * width);
        radial.resize((c.n_radial + LANES) * width), slope.resize((c.n_radial + LANES) * width), angular.resize(24 * width);
    }

    // r_ij = r_j + S.cell - r_i of all pairs of atom i, then those within the cutoff in order.
    void gather(const Structure& s, const Constants& c, int64_t i) {
        const int64_t low = s.start[i];
        const int n = int(s.start[i + 1] - low);
        double *x = all.data(), *y = x + width, *z = y + width, *d = z + width;
        const double *a = s.cell, *o = s.position + 3 * i;
        for (int k = 0; k < n; k++) {
            const double* p = s.position + 3 * int64_t(s.neighbour[low + k]);
            const int32_t* m = s.shift + 3 * (low + k);
            x[k] = (p[0] - o[0]) + (m[0] * a[0] + m[1] * a[3] + m[2] * a[6]);
            y[k] = (p[1] - o[1]) + (m[0] * a[1] + m[1] * a[4] + m[2] * a[7]);
            z[k] = (p[2] - o[2]) + (m[0] * a[2] + m[1] * a[5] + m[2] * a[8]);
        }
        for (int k = 0; k < n; k++) d[k] = std::sqrt(x[k] * x[k] + y[k] * y[k] + z[k] * z[k]);
        std::fill(first.begin(), first.end(), 0);
        const int zs = int(c.n_species), own = s.layer[i];
        for (int k = 0; k < n; k++) {
            const int32_t j = s.neighbour[low + k];
            channel[k] = d[k] < c.cutoff ? s.species[j] + zs * (s.layer[j] != own) : -1;
            if (channel[k] >= 0) first[channel[k] + 1]++;
        }
        for (int q = 0; q < 2 * zs; q++) first[q + 1] += first[q];
        count = first[2 * zs];
        std::vector<int>& next = cursor;
        next.assign(first.begin(), first.end());
        for (int k = 0; k < n; k++) {
            if (channel[k] < 0) continue;
            const int at = next[channel[k]]++;
            const double inverse = 1 / d[k];
            pair[at] = low + k, r[at] = T(d[k]);
            unit[3 * at] = T(x[k] * inverse), unit[3 * at + 1] = T(y[k] * inverse), unit[3 * at + 2] = T(z[k] * inverse);
        }
    }
    std::vector<int> cursor;

    void functions(const Constants& c, bool slopes) {
        radial_functions<T>(int(c.n_radial), count, width, T(c.cutoff), r.data(), radial.data(), slopes ? slope.data() : nullptr, work.data());
        for (int k = 0; k < count; k++) harmonics(unit[3 * k], unit[3 * k + 1], unit[3 * k + 2], angular.data() + 24 * k);
    }
};

// Radial functions whose sums stay in registers at a time.
#if defined(__AVX512F__)
constexpr int TOGETHER = 5;
#else
constexpr int TOGETHER = 2;
#endif

// sum over neighbours [a, b) of R_n Y_q for n = m ... m + ROWS - 1; to: rows of 24 components, and the l = 0 ones.
template <class T, int ROWS>
static inline void accumulate(const Near<T>& near, int a, int b, int m, T* to, T* scalar) {
    Lanes<T> sum[ROWS][3] = {};
    T zero[ROWS] = {};
    const T* R = near.radial.data() + int64_t(m) * near.width;
    for (int k = a; k < b; k++) {
        const T* Y = near.angular.data() + 24 * k;
        const Lanes<T> y0 = lanes(Y), y1 = lanes(Y + 8), y2 = lanes(Y + 16);
        for (int n = 0; n < ROWS; n++) {
            const T w = R[n * near.width + k];
            zero[n] += w, sum[n][0] += w * y0, sum[n][1] += w * y1, sum[n][2] += w * y2;
        }
    }
    for (int n = 0; n < ROWS; n++) {
        scalar[n] = zero[n];
        for (int q = 0; q < 3; q++) lanes(to + 24 * n + 8 * q) = sum[n][q];
    }
}

template <class T>
void forward(const Structure& s, const Constants& c, int64_t n, const int64_t* atoms, int64_t longest, T* const* density) {
    Near<T> near(longest, c);
    const int nr = int(c.n_radial), columns = 2 * int(c.n_species) * nr;
    std::vector<T> of_channel(24 * nr), scalar(nr);
    for (int64_t a = 0; a < n; a++) {
        near.gather(s, c, atoms[a]);
        near.functions(c, false);
        for (int q = 0; q < 2 * c.n_species; q++) {
            int m = 0;
            for (; m + TOGETHER <= nr; m += TOGETHER)
                accumulate<T, TOGETHER>(near, near.first[q], near.first[q + 1], m, of_channel.data() + 24 * m, scalar.data() + m);
            for (; m < nr; m++) accumulate<T, 1>(near, near.first[q], near.first[q + 1], m, of_channel.data() + 24 * m, scalar.data() + m);
            T* to = density[0] + a * columns + q * nr;
            for (int k = 0; k < nr; k++) to[k] = scalar[k];
            for (int l = 1, at = 0; l < DEGREES; l++)
                for (int component = 0; component < 2 * l + 1; component++, at++) {
                    to = density[l] + (a * (2 * l + 1) + component) * columns + q * nr;
                    for (int k = 0; k < nr; k++) to[k] = of_channel[24 * k + at];
                }
        }
    }
}

// Gradient g of the energy by r_ij, from dE/dA: both the radial and the angular part; F_i += g, F_j -= g, virial += r g^T.
template <class T>
void backward(const Structure& s, const Constants& c, int64_t n, const int64_t* atoms, int64_t longest, const T* const* gradient,
              double* forces, double* virial) {
    Near<T> near(longest, c);
    const int nr = int(c.n_radial), columns = 2 * int(c.n_species) * nr;
    std::vector<T> of_channel(24 * nr), scalar(nr);
    for (int64_t a = 0; a < n; a++) {
        const int64_t i = atoms[a];
        near.gather(s, c, i);
        near.functions(c, true);
        double total[3] = {0, 0, 0};
        for (int q = 0; q < 2 * c.n_species; q++) {
            if (near.first[q] == near.first[q + 1]) continue;
            const T* from = gradient[0] + a * columns + q * nr;
            for (int k = 0; k < nr; k++) scalar[k] = from[k];
            for (int l = 1, at = 0; l < DEGREES; l++)
                for (int component = 0; component < 2 * l + 1; component++, at++) {
                    from = gradient[l] + (a * (2 * l + 1) + component) * columns + q * nr;
                    for (int k = 0; k < nr; k++) of_channel[24 * k + at] = from[k];
                }
            for (int k = near.first[q]; k < near.first[q + 1]; k++) {
                // by_angle_q = sum_n G_nq R_n, by_radius = sum_n,q G_nq R_n' Y_q
                Lanes<T> angle[3] = {}, radius[3] = {};
                T along = 0;
                const T *R = near.radial.data() + k, *D = near.slope.data() + k, *G = of_channel.data();
                for (int m = 0; m < nr; m++, G += 24) {
                    const T w = R[int64_t(m) * near.width], d = D[int64_t(m) * near.width];
                    along += d * scalar[m];
                    for (int b = 0; b < 3; b++) angle[b] += w * lanes(G + 8 * b), radius[b] += d * lanes(G + 8 * b);
                }
                T by_angle[24];
                const T* Y = near.angular.data() + 24 * k;
                Lanes<T> sum = {};
                for (int b = 0; b < 3; b++) lanes(by_angle + 8 * b) = angle[b], sum += radius[b] * lanes(Y + 8 * b);
                for (int b = 0; b < LANES; b++) along += sum[b];
                const T *u = near.unit.data() + 3 * k, r = near.r[k];
                T t[3];
                harmonics_gradient(u[0], u[1], u[2], by_angle, t);
                const T radial_part = u[0] * t[0] + u[1] * t[1] + u[2] * t[2];
                double* on_j = forces + 3 * int64_t(s.neighbour[near.pair[k]]);
                for (int x = 0; x < 3; x++) {
                    const double g = double(along * u[x] + (t[x] - radial_part * u[x]) / r);
                    total[x] += g, on_j[x] -= g;
                    for (int y = 0; y < 3; y++) virial[3 * y + x] += g * double(u[y]) * double(r);
                }
            }
        }
        for (int x = 0; x < 3; x++) forces[3 * i + x] += total[x];
    }
}

} // namespace

#define INSTANCE(T, name)                                                                                                              \
    EXPORT void density_##name(const Structure* s, const Constants* c, int64_t n, const int64_t* atoms, int64_t longest, T** density) { \
        forward<T>(*s, *c, n, atoms, longest, density);                                                                                \
    }                                                                                                                                  \
    EXPORT void density_gradient_##name(const Structure* s, const Constants* c, int64_t n, const int64_t* atoms, int64_t longest,      \
                                        const T** gradient, double* forces, double* virial) {                                         \
        backward<T>(*s, *c, n, atoms, longest, gradient, forces, virial);                                                              \
    }
INSTANCE(double, f64)
INSTANCE(float, f32)
