// Radial functions and spherical harmonics with their derivatives: `nn.radial` and `nn.angular`, written out.
#pragma once
#include "lanes.h"

// sin(pi x) and cos(pi x) for x in [0, 1]. With y = x - 1/2: sin(pi x) = cos(pi y), cos(pi x) = -sin(pi y); the series in
// pi y, at most pi/2 in size, end below 1e-17.
template <class T>
static inline void sine_cosine(T x, T& s, T& c) {
    const T t = T(3.14159265358979323846) * (x - T(0.5)), u = t * t;
    constexpr double even[] = {-1.0 / 1124000727777607680000.0, 1.0 / 2432902008176640000.0, -1.0 / 6402373705728000.0,
                               1.0 / 20922789888000.0, -1.0 / 87178291200.0, 1.0 / 479001600.0, -1.0 / 3628800.0,
                               1.0 / 40320.0, -1.0 / 720.0, 1.0 / 24.0, -0.5, 1.0};
    constexpr double odd[] = {1.0 / 51090942171709440000.0, -1.0 / 121645100408832000.0, 1.0 / 355687428096000.0,
                              -1.0 / 1307674368000.0, 1.0 / 6227020800.0, -1.0 / 39916800.0, 1.0 / 362880.0,
                              -1.0 / 5040.0, 1.0 / 120.0, -1.0 / 6.0, 1.0};
    T a = T(even[0]), b = T(odd[0]);
    for (int k = 1; k < 12; k++) a = a * u + T(even[k]);
    for (int k = 1; k < 11; k++) b = b * u + T(odd[k]);
    s = a, c = -t * b;
}

// R_n(r) = sqrt(n) sin(n pi r/rc)/(n pi r/rc) f(r/rc), f the smoothstep 1 - x^3 (10 - 15 x + 6 x^2), for n = 1 ... n_radial, and
// dR_n/dr where `slope` is given. Functions of one n stand side by side for all distances: (n_radial, width).
template <class T>
static void radial_functions(int n_radial, int count, int width, T cutoff, const T* r, T* value, T* slope, T* work) {
    T *s = work, *c = s + width, *s1 = c + width, *c1 = s1 + width, *f = c1 + width, *df = f + width, *inverse = df + width;
    const T pi = T(3.14159265358979323846), k = pi / cutoff;
    for (int p = 0; p < count; p++) {
        const T x = r[p] / cutoff, y = 1 - x;
        sine_cosine(x, s[p], c[p]);
        s1[p] = s[p], c1[p] = c[p], inverse[p] = 1 / (pi * x);
        f[p] = 1 - x * x * x * (10 - 15 * x + 6 * x * x);
        df[p] = -30 * x * x * y * y / cutoff;
    }
    for (int n = 1; n <= n_radial; n++) {
        const T root = std::sqrt(T(n)), over = T(1) / n;
        T* v = value + (n - 1) * width;
        if (slope) {
            T* d = slope + (n - 1) * width;
            for (int p = 0; p < count; p++) {
                const T sinc = s[p] * inverse[p] * over; // d sinc(t)/dt = (cos t - sinc t)/t with t = n pi r/rc
                v[p] = root * sinc * f[p];
                d[p] = root * ((c[p] - sinc) * inverse[p] * k * f[p] + sinc * df[p]);
            }
        } else
            for (int p = 0; p < count; p++) v[p] = root * s[p] * inverse[p] * over * f[p];
        for (int p = 0; p < count; p++) { // to the next n: sin((n + 1) t) = sin(n t) cos t + cos(n t) sin t
            const T next = s[p] * c1[p] + c[p] * s1[p];
            c[p] = c[p] * c1[p] - s[p] * s1[p];
            s[p] = next;
        }
    }
}

// Y_lm of a unit vector, l = 1 ... 4, 24 numbers (Y_00 = 1 is left out).
template <class T>
static inline void harmonics(T x, T y, T z, T* Y) {
    const T q3 = T(1.7320508075688772), k58 = T(0.79056941504209483), k15 = T(3.8729833462074170), k38 = T(0.61237243569579447),
            k35 = T(5.9160797830996161), k70 = T(8.3666002653407556), k5 = T(2.2360679774997898), k10 = T(3.1622776601683795);
    const T xx = x * x, yy = y * y, zz = z * z, xy = x * y, yz = y * z, xz = x * z, c2 = xx - yy;
    const T s3 = y * (3 * xx - yy), c3 = x * (xx - 3 * yy), five = 5 * zz - 1, seven = 7 * zz - 1;
    Y[0] = y, Y[1] = z, Y[2] = x;
    Y[3] = q3 * xy, Y[4] = q3 * yz, Y[5] = T(1.5) * zz - T(0.5), Y[6] = q3 * xz, Y[7] = q3 / 2 * c2;
    Y[8] = k58 * s3, Y[9] = k15 * xy * z, Y[10] = k38 * y * five, Y[11] = T(0.5) * z * (five - 2), Y[12] = k38 * x * five;
    Y[13] = k15 / 2 * z * c2, Y[14] = k58 * c3;
    Y[15] = k35 / 2 * xy * c2, Y[16] = k70 / 4 * z * s3, Y[17] = k5 / 2 * xy * seven, Y[18] = k10 / 4 * yz * (seven - 2);
    Y[19] = (35 * zz * zz - 30 * zz + 3) / 8, Y[20] = k10 / 4 * xz * (seven - 2), Y[21] = k5 / 4 * c2 * seven;
    Y[22] = k70 / 4 * z * c3, Y[23] = k35 / 8 * (c2 * c2 - 4 * xy * xy);
}

// Gradient (3) of sum_q G_q Y_q as polynomials of x, y, z; what of it points along the unit vector has no meaning.
template <class T>
static inline void harmonics_gradient(T x, T y, T z, const T* G, T* g) {
    const T q3 = T(1.7320508075688772), k58 = T(0.79056941504209483), k15 = T(3.8729833462074170), k38 = T(0.61237243569579447),
            k35 = T(5.9160797830996161), k70 = T(8.3666002653407556), k5 = T(2.2360679774997898), k10 = T(3.1622776601683795);
    const T xx = x * x, yy = y * y, zz = z * z, xy = x * y, c2 = xx - yy;
    const T s3 = y * (3 * xx - yy), c3 = x * (xx - 3 * yy), five = 5 * zz - 1, seven = 7 * zz - 1;
    T gx = G[2] + q3 * (G[3] * y + G[6] * z + G[7] * x);
    T gy = G[0] + q3 * (G[3] * x + G[4] * z - G[7] * y);
    T gz = G[1] + q3 * (G[4] * y + G[6] * x) + 3 * z * G[5];
    gx += k58 * G[8] * 6 * xy + k15 * G[9] * y * z + k38 * G[12] * five + k15 * G[13] * z * x + k58 * G[14] * 3 * c2;
    gy += k58 * G[8] * 3 * c2 + k15 * G[9] * x * z + k38 * G[10] * five - k15 * G[13] * z * y - k58 * G[14] * 6 * xy;
    gz += k15 * G[9] * xy + k38 * 10 * z * (G[10] * y + G[12] * x) + G[11] * (T(7.5) * zz - T(1.5)) + k15 / 2 * G[13] * c2;
    gx += k35 / 2 * G[15] * y * (3 * xx - yy) + k70 / 4 * z * G[16] * 6 * xy + k5 / 2 * G[17] * y * seven +
          k10 / 4 * G[20] * z * (seven - 2) + k5 / 2 * G[21] * x * seven + k70 / 4 * z * G[22] * 3 * c2 +
          k35 / 2 * G[23] * (x * c2 - 2 * x * yy);
    gy += k35 / 2 * G[15] * x * (xx - 3 * yy) + k70 / 4 * z * G[16] * 3 * c2 + k5 / 2 * G[17] * x * seven +
          k10 / 4 * G[18] * z * (seven - 2) - k5 / 2 * G[21] * y * seven - k70 / 4 * z * G[22] * 6 * xy -
          k35 / 2 * G[23] * (y * c2 + 2 * xx * y);
    gz += k70 / 4 * G[16] * s3 + k5 * 7 * z * G[17] * xy + k10 / 4 * y * G[18] * (21 * zz - 3) +
          G[19] * (T(17.5) * zz * z - T(7.5) * z) + k10 / 4 * x * G[20] * (21 * zz - 3) + k5 / 4 * 14 * z * G[21] * c2 +
          k70 / 4 * G[22] * c3;
    g[0] = gx, g[1] = gy, g[2] = gz;
}
