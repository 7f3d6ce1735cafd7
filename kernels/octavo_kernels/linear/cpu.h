// y = x Wᵀ + b for any number of rows, bit-equal whatever that number is: each output is one chain of fused
// multiply-adds over K, in the order of K, in whichever tile and on whichever thread its row falls.
//
// Weights are packed in panels of 32 outputs: float as [K][32], bf16 as [K/2][32][2], so that one step along K reads
// two cache lines. A tile of up to kMaxRows rows keeps its sums for a panel in registers; its rows are packed too, as
// [K][rows], so that all of a tile's input is one stream behind one pointer (twice as fast as a pointer a row). With few
// rows the weights come from memory once and nothing else matters, so the next panel is fetched into L2 while this one
// is computed, at the end of a thread's share that of the layer after this one; with many, blocks of kBlockTiles tiles
// stay in L2 while the panels stream past.
#pragma once
#include <algorithm>
#include <utility>

#include "../native/step.h"
#include "../native/vec.h"

namespace octavo {

constexpr int kPanel = 32;
constexpr int kVectors = kRegisters == 32 ? 2 : 1;  // of a panel's two, those that one pass keeps in registers
constexpr int kMaxRows = kRegisters == 32 ? 12 : 6;
constexpr int kBlockTiles = 120 / kMaxRows;

// How a type of weight is multiplied. Input is what one broadcast brings of a row of x; a unit along K is one such
// broadcast, and a step covers kInputs of them.
template <typename W>
struct Multiply;

template <>
struct Multiply<float> {
  using Input = float;
  static constexpr int kInputs = 1, kPerInput = 1;
  static Input input(const float* x) { return *x; }
  static __m128 four_inputs(const float* x) { return _mm_loadu_ps(x); }
  template <int R>
  static inline void step(F16 (&acc)[R][kVectors], const float* w, const Input* x) {
    F16 weight[kVectors];
    for (int v = 0; v < kVectors; ++v) weight[v] = load(w + v * 16);
#pragma GCC unroll 12
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
  static constexpr int kInputs = 1, kPerInput = 2;
  static Input input(const bf16* x) { return uint32_t(x[1].bits) << 16 | x[0].bits; }
  static __m128 four_inputs(const bf16* x) { return _mm_loadu_ps(reinterpret_cast<const float*>(x)); }
  template <int R>
  static inline void step(F16 (&acc)[R][kVectors], const bf16* w, const Input* x) {
    __m512bh weight[kVectors];
    for (int v = 0; v < kVectors; ++v) weight[v] = (__m512bh)_mm512_loadu_si512(w + v * 32);
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      const __m512bh pair = (__m512bh)_mm512_set1_epi32(int(x[r]));
      for (int v = 0; v < kVectors; ++v) acc[r][v] = _mm512_dpbf16_ps(acc[r][v], weight[v], pair);
    }
  }
};
#else
// A bf16 is the upper half of a float: a shift or a mask makes floats of a pair.
template <>
struct Multiply<bf16> {
  using Input = float;
  static constexpr int kInputs = 2, kPerInput = 1;
  static Input input(const bf16* x) { return to_float(*x); }
  static __m128 four_inputs(const bf16* x) {
    const __m128i wide = _mm_cvtepu16_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(x)));
    return _mm_castsi128_ps(_mm_slli_epi32(wide, 16));
  }
  template <int R>
  static inline void step(F16 (&acc)[R][kVectors], const bf16* w, const Input* x) {
    F16 even[kVectors], odd[kVectors];
    for (int v = 0; v < kVectors; ++v) even[v] = first(w + v * 32), odd[v] = second(w + v * 32);
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      const F16 value = set1(x[r]);
      for (int v = 0; v < kVectors; ++v) acc[r][v] = fma(even[v], value, acc[r][v]);
    }
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      const F16 value = set1(x[R + r]);
      for (int v = 0; v < kVectors; ++v) acc[r][v] = fma(odd[v], value, acc[r][v]);
    }
  }
};
#endif

// What a tile fetches of the panel after its own: `count` cache lines from `from`, spread over its way along K.
struct Prefetch {
  const char* from;
  int64_t count;
};

template <typename W, int R>
void linear_tile(const typename Multiply<W>::Input* input, const W* panel, int64_t k_size, Prefetch next,
                 float (*out)[kPanel]) {
  using M = Multiply<W>;
  constexpr int kStep = M::kInputs * M::kPerInput, kChunk = 32;
  for (int half = 0; half < 2; half += kVectors) {
    const W* w = panel + half * 16 * kStep;
    const auto* x = input;
    F16 acc[R][kVectors];
    for (int r = 0; r < R; ++r)
      for (int v = 0; v < kVectors; ++v) acc[r][v] = zero();
    const int64_t lines_a_chunk = (next.count * kChunk + k_size - 1) / k_size;
    int64_t line = half == 0 ? 0 : next.count;
    for (int64_t begin = 0; begin < k_size; begin += kChunk) {
      for (const int64_t stop = std::min(line + lines_a_chunk, next.count); line < stop; ++line)
        _mm_prefetch(next.from + line * 64, _MM_HINT_T1);
      for (int64_t k = begin, end = std::min(begin + kChunk, k_size); k < end; k += kStep) {
        M::template step<R>(acc, w, x);
        w += kPanel * kStep;
        x += R * M::kInputs;
      }
    }
    for (int r = 0; r < R; ++r)
      for (int v = 0; v < kVectors; ++v) store(out[r] + (half + v) * 16, acc[r][v]);
  }
}

template <typename W>
using Tile = void (*)(const typename Multiply<W>::Input*, const W*, int64_t, Prefetch, float (*)[kPanel]);

template <typename W, int... I>
Tile<W> linear_tile_of(int64_t rows, std::integer_sequence<int, I...>) {
  static constexpr Tile<W> kTiles[] = {linear_tile<W, I + 1>...};
  return kTiles[rows - 1];
}

// Full tiles, and what is left in the last: a step along K costs about (rows + 1) for a tile, however rows are divided.
struct Tiling {
  int64_t rows, num_tiles;

  explicit Tiling(int64_t num_rows) : rows(num_rows), num_tiles((num_rows + kMaxRows - 1) / kMaxRows) {}
  int64_t begin(int64_t tile) const { return tile * kMaxRows; }
  int64_t size(int64_t tile) const { return std::min<int64_t>(kMaxRows, rows - begin(tile)); }
};

enum class Epilogue : int32_t { kNone = 0, kSiluMul = 1 };

struct LinearShape {
  int64_t k, n;  // k a multiple of 16; n: outputs, with kSiluMul those after the product
  Epilogue epilogue;
  int64_t num_panels() const {
    const int64_t per_panel = epilogue == Epilogue::kSiluMul ? kPanel / 2 : kPanel;
    return (n + per_panel - 1) / per_panel;
  }
};

// Reads weight [N, K] (with kSiluMul [2N, K], gates first) and writes num_panels panels; what is missing of the last is
// zero. With kSiluMul a panel holds 16 gates and the 16 values they gate, so that the product needs no other panel.
template <typename W>
void linear_pack(Pool& pool, const W* weight, LinearShape shape, W* packed) {
  constexpr int kPerStep = Multiply<W>::kInputs * Multiply<W>::kPerInput;
  pool.run(int(shape.num_panels()), [&](int panel) {
    W* out = packed + panel * kPanel * shape.k;
    for (int column = 0; column < kPanel; ++column) {
      const bool is_gated = shape.epilogue == Epilogue::kSiluMul;
      const int64_t local = is_gated ? panel * 16 + column % 16 : panel * kPanel + column;
      const int64_t row = is_gated && column >= 16 ? shape.n + local : local;
      for (int64_t k = 0; k < shape.k; ++k)
        out[k / kPerStep * kPanel * kPerStep + column * kPerStep + k % kPerStep] =
            local < shape.n ? weight[row * shape.k + k] : W{};
    }
  });
}

template <typename W, typename Out>
void linear_finish(const float* sums, const W* bias, LinearShape shape, int64_t panel, Out* out_row) {
  if (shape.epilogue == Epilogue::kSiluMul) {
    F16 gate = load(sums), up = load(sums + 16);
    const int64_t column = panel * 16;
    const int count = int(std::min<int64_t>(16, shape.n - column));
    if (bias) {
      gate = add(gate, load_part(bias + column, count));
      up = add(up, load_part(bias + shape.n + column, count));
    }
    const F16 sigmoid = div(set1(1.0f), add(set1(1.0f), exp(sub(zero(), gate))));
    store_part(out_row + column, mul(mul(gate, sigmoid), up), count);
    return;
  }
  for (int v = 0; v < 2; ++v) {
    const int64_t column = panel * kPanel + v * 16;
    const int count = int(std::min<int64_t>(16, shape.n - column));
    if (count <= 0) return;
    F16 sum = load(sums + v * 16);
    if (bias) sum = add(sum, load_part(bias + column, count));
    store_part(out_row + column, sum, count);
  }
}

struct LinearArgs {
  const void *x, *packed, *bias;  // x and bias have the weight's type; the bias may be null
  void* out;
  LinearShape shape;
  int32_t of_sampled;          // rows: 0 all tokens, 1 those that were selected
  const LinearArgs* following; // null, or the linear layer that comes after this one, of the same type
};

// x [rows, K] as inputs [K][rows]: four by four, and one by one what is left of the rows.
template <typename W>
void linear_pack_input(const W* x, int64_t k_size, int64_t rows, typename Multiply<W>::Input* out) {
  using M = Multiply<W>;
  int64_t row = 0;
  for (; row + 4 <= rows; row += 4) {
    const W* from = x + row * k_size;
    float* to = reinterpret_cast<float*>(out + row);
    for (int64_t k = 0; k < k_size; k += 4 * M::kPerInput, to += 4 * rows) {
      __m128 a = M::four_inputs(from + k), b = M::four_inputs(from + k_size + k);
      __m128 c = M::four_inputs(from + 2 * k_size + k), d = M::four_inputs(from + 3 * k_size + k);
      _MM_TRANSPOSE4_PS(a, b, c, d);
      _mm_storeu_ps(to, a);
      _mm_storeu_ps(to + rows, b);
      _mm_storeu_ps(to + 2 * rows, c);
      _mm_storeu_ps(to + 3 * rows, d);
    }
  }
  for (; row < rows; ++row)
    for (int64_t k = 0; k < k_size; k += M::kPerInput) out[k / M::kPerInput * rows + row] = M::input(x + row * k_size + k);
}

template <typename W, typename Out>
void linear(const LinearArgs& args, const Step& step, Run& run) {
  using Input = typename Multiply<W>::Input;
  const LinearShape shape = args.shape;
  const Tiling tiling(args.of_sampled ? step.num_sampled : step.num_tokens);
  const int64_t inputs_a_row = shape.k / Multiply<W>::kPerInput, num_panels = shape.num_panels();
  run.words.resize(std::max(run.words.size(), size_t(tiling.rows * inputs_a_row)));
  auto* inputs = reinterpret_cast<Input*>(run.words.data());
  run.pool.run(int(tiling.num_tiles), [&](int tile) {
    const int64_t begin = tiling.begin(tile);
    linear_pack_input(static_cast<const W*>(args.x) + begin * shape.k, shape.k, tiling.size(tile),
                      inputs + begin * inputs_a_row);
  });
  const int64_t panel_size = kPanel * shape.k, num_lines = panel_size * int64_t(sizeof(W)) / 64;
  const int64_t num_blocks = (tiling.num_tiles + kBlockTiles - 1) / kBlockTiles;
  const int num_tasks = int(num_blocks * num_panels);
  run.pool.run(num_tasks, [&](int task) {
    const int64_t panel = task % num_panels, first = task / num_panels * kBlockTiles;
    const int64_t num_tiles = std::min<int64_t>(kBlockTiles, tiling.num_tiles - first);
    const W* weights = static_cast<const W*>(args.packed) + panel * panel_size;
    const auto* next_panel = reinterpret_cast<const char*>(weights + panel_size);
    if (const int share = run.pool.share_that_ends_with(task, num_tasks); share >= 0 && args.following) {
      const LinearShape& after = args.following->shape;
      const int64_t first_panel = run.pool.share_begin(share, int(after.num_panels()));
      next_panel = static_cast<const char*>(args.following->packed) +
                   first_panel * kPanel * after.k * int64_t(sizeof(W));
    }
    alignas(64) float sums[kMaxRows][kPanel];
    for (int64_t i = 0; i < num_tiles; ++i) {
      const int64_t begin = tiling.begin(first + i), rows = tiling.size(first + i);
      const int64_t line = i * num_lines / num_tiles, last = (i + 1) * num_lines / num_tiles;
      linear_tile_of<W>(rows, std::make_integer_sequence<int, kMaxRows>{})(
          inputs + begin * inputs_a_row, weights, shape.k, {next_panel + line * 64, last - line}, sums);
      for (int64_t r = 0; r < rows; ++r)
        linear_finish(sums[r], static_cast<const W*>(args.bias), shape, panel,
                      static_cast<Out*>(args.out) + (begin + r) * shape.n);
    }
  });
}

}  // namespace octavo
