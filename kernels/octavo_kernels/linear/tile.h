// The inner loop of a linear layer: a tile of up to kMaxRows rows times a panel of kPanel outputs.
//
// Weights are packed in panels: float as [K][kPanel], bf16 as [K/2][kPanel][2], so that one step along K reads
// neighbouring cache lines. A tile keeps its sums for kVectors of a panel's vectors in registers, as many as there is room
// for: nine rows of three vectors load less for a product than any other shape of 27 sums, and 32 registers hold no more.
// Its rows are packed as [K][rows], so that all of a tile's input is one stream behind one pointer (twice as fast as a
// pointer a row).
#pragma once
#include <algorithm>
#include <utility>

#include "../native/vec.h"

namespace octavo {

constexpr int kPanel = 48;
constexpr int kVectors = kRegisters == 32 ? 3 : 1;  // of a panel's three, those that one pass keeps in registers
constexpr int kMaxRows = kRegisters == 32 ? 9 : 6;

// How a type of weight is multiplied. Input is what one broadcast brings of a row of x; a unit along K is one such
// broadcast, and a step covers kInputs of them. Where kWidens, a tile can leave its weights behind as Wide, for the tiles
// after it.
template <typename W>
struct Multiply;

template <>
struct Multiply<float> {
  using Input = float;
  using Wide = float;
  static constexpr int kInputs = 1, kPerInput = 1;
  static Input input(const float* x) { return *x; }
  static __m128 four_inputs(const float* x) { return _mm_loadu_ps(x); }
  static constexpr bool kWidens = false;
  template <int R, bool kKeep>
  static inline void step(F16 (&acc)[R][kVectors], const float* w, const Input* x, Wide*) {
    F16 weight[kVectors];
    for (int v = 0; v < kVectors; ++v) weight[v] = load(w + v * 16);
#pragma GCC unroll 9
    for (int r = 0; r < R; ++r) {
      const F16 value = set1(x[r]);
      for (int v = 0; v < kVectors; ++v) acc[r][v] = fma(weight[v], value, acc[r][v]);
    }
  }
};

#if defined(__AVX512BF16__)
// The instruction multiplies pairs of bf16 and adds both products to a float.
template <>
struct Multiply<bf16> {
  using Input = uint32_t;
  using Wide = bf16;
  static constexpr int kInputs = 1, kPerInput = 2;
  static Input input(const bf16* x) { return uint32_t(x[1].bits) << 16 | x[0].bits; }
  static __m128 four_inputs(const bf16* x) { return _mm_loadu_ps(reinterpret_cast<const float*>(x)); }
  static constexpr bool kWidens = false;
  template <int R, bool kKeep>
  static inline void step(F16 (&acc)[R][kVectors], const bf16* w, const Input* x, Wide*) {
    __m512bh weight[kVectors];
    for (int v = 0; v < kVectors; ++v) weight[v] = (__m512bh)_mm512_loadu_si512(w + v * 32);
#pragma GCC unroll 9
    for (int r = 0; r < R; ++r) {
      const __m512bh pair = (__m512bh)_mm512_set1_epi32(int(x[r]));
      for (int v = 0; v < kVectors; ++v) acc[r][v] = _mm512_dpbf16_ps(acc[r][v], weight[v], pair);
    }
  }
};
#else
// A bf16 is the upper half of a float: a shift or a mask makes floats of a pair. Each takes the place of a product, so
// tiles that share a panel share the floats.
template <>
struct Multiply<bf16> {
  using Input = float;
  using Wide = float;
  static constexpr int kInputs = 2, kPerInput = 1;
  static Input input(const bf16* x) { return to_float(*x); }
  static __m128 four_inputs(const bf16* x) {
    const __m128i wide = _mm_cvtepu16_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(x)));
    return _mm_castsi128_ps(_mm_slli_epi32(wide, 16));
  }
  static constexpr bool kWidens = true;
  template <int R, bool kKeep>
  static inline void step(F16 (&acc)[R][kVectors], const bf16* w, const Input* x, Wide* kept) {
    F16 weight[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      weight[v] = first(w + v * 32);
      if (kKeep) store(kept + v * 16, weight[v]);
    }
#pragma GCC unroll 9
    for (int r = 0; r < R; ++r) {
      const F16 value = set1(x[r]);
      for (int v = 0; v < kVectors; ++v) acc[r][v] = fma(weight[v], value, acc[r][v]);
    }
    for (int v = 0; v < kVectors; ++v) {
      weight[v] = second(w + v * 32);
      if (kKeep) store(kept + kPanel + v * 16, weight[v]);
    }
#pragma GCC unroll 9
    for (int r = 0; r < R; ++r) {
      const F16 value = set1(x[R + r]);
      for (int v = 0; v < kVectors; ++v) acc[r][v] = fma(weight[v], value, acc[r][v]);
    }
  }
};
#endif

// What a tile fetches of the panel after its own: `count` cache lines from `from`, spread over its way along K, some lines
// at a time, since many at once hold up the loads behind them (32 steps' worth instead of 8: a tenth slower at four rows).
struct Prefetch {
  const char* from;
  int64_t count;
};

// Adds to `sums` the products of k_size units along K; for `is_first` sums are taken as zero. With kKeep the weights are
// left in `kept` as the type that is quicker to read.
template <typename W, int R, bool kKeep>
void linear_tile(const typename Multiply<W>::Input* input, const W* panel, int64_t k_size, Prefetch next, bool is_first,
                 typename Multiply<W>::Wide* kept, float (*sums)[kPanel]) {
  using M = Multiply<W>;
  constexpr int kStep = M::kInputs * M::kPerInput, kFetchEvery = 8;
  for (int pass = 0; pass < kPanel; pass += kVectors * 16) {
    const W* w = panel + pass * kStep;
    const auto* x = input;
    auto* to = kept + pass;
    F16 acc[R][kVectors];
    for (int r = 0; r < R; ++r)
      for (int v = 0; v < kVectors; ++v) acc[r][v] = is_first ? zero() : load(sums[r] + pass + v * 16);
    const int64_t lines_a_turn = (next.count * kFetchEvery + k_size - 1) / k_size;
    int64_t line = pass == 0 ? 0 : next.count;
    for (int64_t begin = 0; begin < k_size; begin += kFetchEvery) {
      for (const int64_t stop = std::min(line + lines_a_turn, next.count); line < stop; ++line)
        _mm_prefetch(next.from + line * 64, _MM_HINT_T1);
      for (int64_t k = begin, end = std::min(begin + kFetchEvery, k_size); k < end; k += kStep) {
        M::template step<R, kKeep>(acc, w, x, to);
        w += kPanel * kStep;
        x += R * M::kInputs;
        if (kKeep) to += kPanel * kStep;
      }
    }
    for (int r = 0; r < R; ++r)
      for (int v = 0; v < kVectors; ++v) store(sums[r] + pass + v * 16, acc[r][v]);
  }
}

template <typename W>
using Tile = void (*)(const typename Multiply<W>::Input*, const W*, int64_t, Prefetch, bool,
                      typename Multiply<W>::Wide*, float (*)[kPanel]);

template <typename W, bool kKeep, int... I>
Tile<W> linear_tile_of(int64_t rows, std::integer_sequence<int, I...>) {
  static constexpr Tile<W> kTiles[] = {linear_tile<W, I + 1, kKeep>...};
  return kTiles[rows - 1];
}

}  // namespace octavo
