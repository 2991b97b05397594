// What the kernels share: eight numbers at a time, structures and models as they come from Python, exported names.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

// Eight channels or components move together, whatever the machine: the compiler takes as many registers as that needs.
constexpr int LANES = 8;
template <class T>
struct LanesOf {
    typedef T type __attribute__((vector_size(LANES * sizeof(T)), aligned(sizeof(T)), may_alias));
};
template <class T>
using Lanes = typename LanesOf<T>::type;

template <class T>
static inline Lanes<T>& lanes(T* p) { return *reinterpret_cast<Lanes<T>*>(p); }
template <class T>
static inline const Lanes<T>& lanes(const T* p) { return *reinterpret_cast<const Lanes<T>*>(p); }

// Degrees l = 0 ... 4 of the densities; components of all of them.
constexpr int DEGREES = 5, COMPONENTS = 25;

// Neighbours of every atom, both directions of every pair: row i holds [start[i], start[i + 1]).
struct Structure {
    int64_t n_atoms;
    const int64_t* start;     // (n + 1)
    const int32_t* neighbour; // (p)
    const int32_t* shift;     // (p, 3) cells of the neighbour
    const double* position;   // (n, 3) A
    const double* cell;       // (3, 3) A, row by row
    const int32_t* species;   // (n)
    const int32_t* layer;     // (n)
};

// The force field's numbers that depend on species; z species.
struct Constants {
    int64_t n_species, n_radial;
    double cutoff, tail_cutoff, tail_radius, wall;
    const double* dispersion; // (z, z, 2) eV, of R^6/(r^6 + R^6) and R^8/(r^8 + R^8)
    const double* reach;      // (z, z) A, of the nuclear repulsion
    const double* contact;    // (z, z, 2) A, of the wall, in the same and in another layer
    const double* charge;     // (z) of the nuclei
};

#if defined(_WIN32)
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C" __attribute__((visibility("default")))
#endif
