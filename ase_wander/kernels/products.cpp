// Clebsch-Gordan products of the mixed densities, channel by channel, the invariants made of them, and both ways back.
#include "lanes.h"

namespace {

// The sparse coupling: output o (degree l3, component m3, path) is the sum over its terms [first[o], first[o + 1]) of
// factor a_left b_right; left and right count components q = l^2 + m. Outputs of one degree stand together, path after path.
struct Coupling {
    int64_t n_outputs, n_terms;
    const int32_t* first;  // (n_outputs + 1)
    const int32_t* left;   // (n_terms)
    const int32_t* right;
    const double* factor;
    const int32_t* degree; // (n_outputs)
    const int32_t* place;  // (n_outputs): component x paths + path
    const int32_t* paths;  // (degrees)
};

static inline int degree_of(int q) { return q < 1 ? 0 : q < 4 ? 1 : q < 9 ? 2 : q < 16 ? 3 : 4; }

// ab[l]: (n, 2l + 1, 2 channels), left channels then right ones; product[l]: (n, 2l + 1, paths, channels).
template <class T, bool BACK>
void couple(const Coupling& t, int64_t n, int64_t channels, const T* const* ab, T* const* product, T* const* gradient) {
    for (int64_t i = 0; i < n; i++) {
        const T* at[COMPONENTS];
        T* back[COMPONENTS];
        for (int q = 0; q < COMPONENTS; q++) {
            const int l = degree_of(q);
            const int64_t offset = (i * (2 * l + 1) + q - l * l) * 2 * channels;
            at[q] = ab[l] + offset;
            if (BACK) back[q] = gradient[l] + offset;
        }
        for (int64_t o = 0; o < t.n_outputs; o++) {
            const int l = t.degree[o];
            T* out = product[l] + (i * (2 * l + 1) * t.paths[l] + t.place[o]) * channels;
            for (int64_t c = 0; c < channels; c += LANES) {
                if (BACK) {
                    const Lanes<T> g = lanes(out + c);
                    for (int32_t k = t.first[o]; k < t.first[o + 1]; k++) {
                        const int a = t.left[k], b = t.right[k];
                        const Lanes<T> scaled = T(t.factor[k]) * g;
                        lanes(back[a] + c) += scaled * lanes(at[b] + channels + c);
                        lanes(back[b] + channels + c) += scaled * lanes(at[a] + c);
                    }
                } else {
                    Lanes<T> sum = {};
                    for (int32_t k = t.first[o]; k < t.first[o + 1]; k++)
                        sum += T(t.factor[k]) * lanes(at[t.left[k]] + c) * lanes(at[t.right[k]] + channels + c);
                    lanes(out + c) = sum;
                }
            }
        }
    }
}

// x = [a_0, scalars, then for l = 1 ... top: sum_m B a, sum_m B^2], with B[l]: (n, 2l + 1, channels).
template <class T>
void invariants(int64_t n, int64_t channels, int64_t top, const T* const* ab, const T* scalars, int64_t n_scalars, const T* const* B, T* x) {
    const int64_t size = channels * (1 + 2 * top) + n_scalars;
    for (int64_t i = 0; i < n; i++, x += size) {
        std::memcpy(x, ab[0] + i * 2 * channels, channels * sizeof(T));
        std::memcpy(x + channels, scalars + i * n_scalars, n_scalars * sizeof(T));
        T* out = x + channels + n_scalars;
        for (int64_t l = 1; l <= top; l++, out += 2 * channels)
            for (int64_t c = 0; c < channels; c += LANES) {
                Lanes<T> with = {}, self = {};
                for (int64_t m = 0; m < 2 * l + 1; m++) {
                    const Lanes<T> b = lanes(B[l] + (i * (2 * l + 1) + m) * channels + c);
                    with += b * lanes(ab[l] + (i * (2 * l + 1) + m) * 2 * channels + c), self += b * b;
                }
                lanes(out + c) = with, lanes(out + channels + c) = self;
            }
    }
}

// From g = dE/dx to dE/dB[l], and to dE/d(ab) as far as it does not pass through the coupling (the rest is zeroed).
template <class T>
void invariants_back(int64_t n, int64_t channels, int64_t top, const T* const* ab, const T* const* B, int64_t n_scalars, const T* g,
                     T* g_scalars, T* const* by_B, T* const* by_ab) {
    const int64_t size = channels * (1 + 2 * top) + n_scalars;
    for (int64_t l = 0; l < DEGREES; l++) std::memset(by_ab[l], 0, n * (2 * l + 1) * 2 * channels * sizeof(T));
    for (int64_t i = 0; i < n; i++, g += size) {
        std::memcpy(by_ab[0] + i * 2 * channels, g, channels * sizeof(T));
        std::memcpy(g_scalars + i * n_scalars, g + channels, n_scalars * sizeof(T));
        const T* of = g + channels + n_scalars;
        for (int64_t l = 1; l <= top; l++, of += 2 * channels)
            for (int64_t c = 0; c < channels; c += LANES) {
                const Lanes<T> with = lanes(of + c), self = lanes(of + channels + c);
                for (int64_t m = 0; m < 2 * l + 1; m++) {
                    const int64_t row = i * (2 * l + 1) + m;
                    const Lanes<T> b = lanes(B[l] + row * channels + c);
                    lanes(by_B[l] + row * channels + c) = with * lanes(ab[l] + row * 2 * channels + c) + (self + self) * b;
                    lanes(by_ab[l] + row * 2 * channels + c) = with * b;
                }
            }
    }
}

} // namespace

#define INSTANCE(T, name)                                                                                                                  \
    EXPORT void couple_##name(const Coupling* t, int64_t n, int64_t channels, const T** ab, T** product) {                                 \
        couple<T, false>(*t, n, channels, ab, product, nullptr);                                                                           \
    }                                                                                                                                      \
    EXPORT void couple_gradient_##name(const Coupling* t, int64_t n, int64_t channels, const T** ab, T** by_product, T** by_ab) {          \
        couple<T, true>(*t, n, channels, ab, by_product, by_ab);                                                                           \
    }                                                                                                                                      \
    EXPORT void invariants_##name(int64_t n, int64_t channels, int64_t top, const T** ab, const T* scalars, int64_t n_scalars,             \
                                  const T** B, T* x) {                                                                                     \
        invariants<T>(n, channels, top, ab, scalars, n_scalars, B, x);                                                                     \
    }                                                                                                                                      \
    EXPORT void invariants_gradient_##name(int64_t n, int64_t channels, int64_t top, const T** ab, const T** B, int64_t n_scalars,         \
                                           const T* g, T* g_scalars, T** by_B, T** by_ab) {                                                \
        invariants_back<T>(n, channels, top, ab, B, n_scalars, g, g_scalars, by_B, by_ab);                                                 \
    }
INSTANCE(double, f64)
INSTANCE(float, f32)
