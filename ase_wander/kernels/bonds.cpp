// Bond frames: rotation matrices D_l of bonds turned onto z, and tensors of atoms seen in them: `nn.bond_frame`.
//
// D_l follows from D_1 and D_(l - 1): Ivanic and Ruedenberg, J. Phys. Chem. 100, 6342 (1996), with its additions and corrections,
// J. Phys. Chem. A 102, 9099 (1998), tables 1 and 2. Eight bonds go together.
#include "lanes.h"

namespace {

constexpr int TOP = 4;
// Place of D_l among the matrices of all degrees, 165 numbers a bond.
constexpr int PLACE[TOP + 2] = {0, 1, 10, 35, 84, 165};

struct Coefficients {
    double u[TOP + 1][9][9], v[TOP + 1][9][9], w[TOP + 1][9][9];
    Coefficients() {
        for (int l = 2; l <= TOP; l++)
            for (int m = -l; m <= l; m++)
                for (int n = -l; n <= l; n++) {
                    const int a = std::abs(m), zero = m == 0;
                    const double d = std::abs(n) < l ? double(l + n) * (l - n) : double(2 * l) * (2 * l - 1);
                    u[l][m + l][n + l] = std::sqrt(double(l + m) * (l - m) / d);
                    v[l][m + l][n + l] = 0.5 * std::sqrt((1.0 + zero) * (l + a - 1.0) * (l + a) / d) * (1 - 2 * zero);
                    w[l][m + l][n + l] = l - a - 1 < 0 || zero ? 0 : -0.5 * std::sqrt((l - a - 1.0) * (l - a) / d);
                }
    }
};
const Coefficients coefficient;

template <class T>
struct Rotations {
    Lanes<T> d[PLACE[TOP + 1]];
    Lanes<T>& at(int l, int m, int n) { return d[PLACE[l] + (m + l) * (2 * l + 1) + n + l]; }

    // P of the recursion: row i of D_1 with row k of D_(l - 1).
    Lanes<T> product(int i, int l, int k, int n) {
        if (n == l) return at(1, i, 1) * at(l - 1, k, l - 1) - at(1, i, -1) * at(l - 1, k, 1 - l);
        if (n == -l) return at(1, i, 1) * at(l - 1, k, 1 - l) + at(1, i, -1) * at(l - 1, k, l - 1);
        return at(1, i, 0) * at(l - 1, k, n);
    }

    Lanes<T> element(int l, int m, int n) {
        const T u = T(coefficient.u[l][m + l][n + l]), v = T(coefficient.v[l][m + l][n + l]), w = T(coefficient.w[l][m + l][n + l]);
        const T root = T(1.4142135623730951);
        Lanes<T> out = {};
        if (std::abs(m) < l) out += u * product(0, l, m, n);
        if (m == 0) return out + v * (product(1, l, 1, n) + product(-1, l, -1, n));
        if (m > 0) {
            out += (m == 1 ? v * root : v) * product(1, l, m - 1, n);
            if (m > 1) out -= v * product(-1, l, 1 - m, n);
            if (w != 0) out += w * (product(1, l, m + 1, n) + product(-1, l, -m - 1, n));
        } else {
            out += (m == -1 ? v * root : v) * product(-1, l, -m - 1, n);
            if (m < -1) out += v * product(1, l, m + 1, n);
            if (w != 0) out += w * (product(1, l, m - 1, n) - product(-1, l, 1 - m, n));
        }
        return out;
    }

    // The rotation Q with Q u = z of `nn.bond_frame.bond_rotation`, in the order (y, z, x) of l = 1.
    void turn(const T x[LANES], const T y0[LANES], const T z0[LANES], int top) {
        for (int k = 0; k < LANES; k++) {
            const T flip = z0[k] < 0 ? T(-1) : T(1), y = y0[k] * flip, z = z0[k] * flip, a = 1 / (1 + z);
            const T q[3][3] = {{1 - x[k] * x[k] * a, -x[k] * y * a * flip, -x[k] * flip},
                               {-x[k] * y * a, (1 - y * y * a) * flip, -y * flip},
                               {x[k], y * flip, z * flip}};
            constexpr int order[3] = {1, 2, 0};
            d[0][k] = 1;
            for (int i = 0; i < 3; i++)
                for (int j = 0; j < 3; j++) d[1 + 3 * i + j][k] = q[order[i]][order[j]];
        }
        for (int l = 2; l <= top; l++)
            for (int m = -l; m <= l; m++)
                for (int n = -l; n <= l; n++) at(l, m, n) = element(l, m, n);
    }
};

// r (p) and D[l]: (p, 2l + 1, 2l + 1) of bonds (p, 3).
template <class T>
void frames(int64_t n, int64_t top, const T* bond, T* r, T* const* D) {
    Rotations<T> rotations;
    for (int64_t p = 0; p < n; p += LANES) {
        const int here = int(std::min<int64_t>(LANES, n - p));
        T x[LANES], y[LANES], z[LANES];
        for (int k = 0; k < LANES; k++) {
            const T* b = bond + 3 * (p + std::min(k, here - 1));
            const T length = std::sqrt(b[0] * b[0] + b[1] * b[1] + b[2] * b[2]);
            x[k] = b[0] / length, y[k] = b[1] / length, z[k] = b[2] / length;
            if (k < here) r[p + k] = length;
        }
        rotations.turn(x, y, z, int(top));
        for (int l = 0; l <= top; l++) {
            const int size = (2 * l + 1) * (2 * l + 1);
            for (int k = 0; k < here; k++)
                for (int e = 0; e < size; e++) D[l][(p + k) * size + e] = rotations.d[PLACE[l] + e][k];
        }
    }
}

// Tensors (p, q, channels) turned into their bond's frame and sorted by |m|: out[0]: (p, degrees, channels), out[m]: (p, 2, degrees from
// m on, channels), cosines before sines. From the bond's other end the frame is mirrored: Y_lm -> (-1)^(l + m) Y_lm.
template <class T>
void by_order(int64_t n, int64_t top, int64_t channels, int64_t mirrored, const T* const* D, const T* tensors, T* const* out) {
    const int64_t whole = channels / LANES * LANES;
    for (int64_t p = 0; p < n; p++, tensors += (top + 1) * (top + 1) * channels)
        for (int l = 0; l <= top; l++) {
            const T *d = D[l] + p * (2 * l + 1) * (2 * l + 1), *t = tensors + l * l * channels;
            for (int m = -l; m <= l; m++, d += 2 * l + 1) {
                const int a = std::abs(m);
                const int64_t degrees = top + 1 - a;
                T* to = out[a] + ((a ? 2 * p + (m < 0) : p) * degrees + l - a) * channels;
                const T sign = mirrored && ((l + m) & 1) ? T(-1) : T(1);
                for (int64_t c = 0; c < whole; c += LANES) {
                    Lanes<T> sum = {};
                    for (int k = 0; k < 2 * l + 1; k++) sum += d[k] * lanes(t + k * channels + c);
                    lanes(to + c) = sign * sum;
                }
                for (int64_t c = whole; c < channels; c++) {
                    T sum = 0;
                    for (int k = 0; k < 2 * l + 1; k++) sum += d[k] * t[k * channels + c];
                    to[c] = sign * sum;
                }
            }
        }
}

// D_1^T B D_2 of blocks (p, rows, columns), in place of them.
template <class T>
void to_crystal(int64_t n, int64_t rows, int64_t columns, const T* left, const T* right, T* block) {
    T half[9 * 9];
    for (int64_t p = 0; p < n; p++, left += rows * rows, right += columns * columns, block += rows * columns) {
        for (int64_t a = 0; a < rows; a++)
            for (int64_t b = 0; b < columns; b++) {
                T sum = 0;
                for (int64_t k = 0; k < columns; k++) sum += block[a * columns + k] * right[k * columns + b];
                half[a * columns + b] = sum;
            }
        for (int64_t a = 0; a < rows; a++)
            for (int64_t b = 0; b < columns; b++) {
                T sum = 0;
                for (int64_t k = 0; k < rows; k++) sum += left[k * rows + a] * half[k * columns + b];
                block[a * columns + b] = sum;
            }
    }
}

} // namespace

#define INSTANCE(T, name)                                                                                                                  \
    EXPORT void bond_frames_##name(int64_t n, int64_t top, const T* bond, T* r, T** D) { frames<T>(n, top, bond, r, D); }                  \
    EXPORT void by_order_##name(int64_t n, int64_t top, int64_t channels, int64_t mirrored, const T** D, const T* tensors, T** out) {      \
        by_order<T>(n, top, channels, mirrored, D, tensors, out);                                                                          \
    }                                                                                                                                      \
    EXPORT void to_crystal_##name(int64_t n, int64_t rows, int64_t columns, const T* left, const T* right, T* block) {                     \
        to_crystal<T>(n, rows, columns, left, right, block);                                                                               \
    }
INSTANCE(double, f64)
INSTANCE(float, f32)
