// y = x Wᵀ + b for any number of rows, bit-equal whatever that number is: each output is one chain of fused
// multiply-adds over K, in the order of K, in whichever tile and on whichever thread its row falls.
//
// With few rows the weights come from memory once and nothing else matters, so the next panel is fetched into L2 while this
// one is computed, at the end of a thread's share that of the layer after this one. With many, a block of tiles stays in L2
// while the panels stream past, and kDepth steps of a panel stay in L1 while the tiles pass over them: the first widens the
// weights for all.
#pragma once
#include <algorithm>

#include "../native/step.h"
#include "tile.h"

namespace octavo {

constexpr int kBlockTiles = 126 / kMaxRows;
constexpr int64_t kDepth = 128;  // of a panel in L1, along K: a multiple of every step
constexpr int kHalf = kPanel / 2;

// Blocks of tiles of rows, all nearly equal: a step along K costs about (rows + 1) for a tile, however rows are divided.
struct Tiling {
  int64_t rows, num_tiles, num_blocks;

  explicit Tiling(int64_t num_rows)
      : rows(num_rows),
        num_tiles((num_rows + kMaxRows - 1) / kMaxRows),
        num_blocks((num_tiles + kBlockTiles - 1) / kBlockTiles) {}
  int64_t first_tile(int64_t block) const { return num_tiles * block / num_blocks; }
  int64_t begin(int64_t tile) const { return rows * tile / num_tiles; }
};

enum class Epilogue : int32_t { kNone = 0, kSiluMul = 1 };

struct LinearShape {
  int64_t k, n;  // k a multiple of 16; n: outputs, with kSiluMul those after the product
  Epilogue epilogue;
  int64_t num_panels() const {
    return (n + outputs_a_panel() - 1) / outputs_a_panel();
  }
  int64_t outputs_a_panel() const { return epilogue == Epilogue::kSiluMul ? kHalf : kPanel; }
};

// Reads weight [N, K] (with kSiluMul [2N, K], gates first) and writes num_panels panels; what is missing of the last is
// zero. With kSiluMul a panel holds gates in its first half and in the other the values they gate, so that the product needs
// no other panel.
template <typename W>
void linear_pack(Pool& pool, const W* weight, LinearShape shape, W* packed) {
  constexpr int kPerStep = Multiply<W>::kInputs * Multiply<W>::kPerInput;
  pool.run(int(shape.num_panels()), [&](int panel) {
    W* out = packed + panel * kPanel * shape.k;
    for (int column = 0; column < kPanel; ++column) {
      const bool is_gated = shape.epilogue == Epilogue::kSiluMul;
      const int64_t local = is_gated ? panel * kHalf + column % kHalf : panel * kPanel + column;
      const int64_t row = is_gated && column >= kHalf ? shape.n + local : local;
      for (int64_t k = 0; k < shape.k; ++k)
        out[k / kPerStep * kPanel * kPerStep + column * kPerStep + k % kPerStep] =
            local < shape.n ? weight[row * shape.k + k] : W{};
    }
  });
}

// A row's outputs of a panel from its sums.
template <typename W, typename Out>
void linear_finish(const float* sums, const W* bias, LinearShape shape, int64_t panel, Out* out_row) {
  const int64_t begin = panel * shape.outputs_a_panel(), end = std::min(begin + shape.outputs_a_panel(), shape.n);
  for (int64_t column = begin; column < end; column += 16, sums += 16) {
    const int count = int(std::min<int64_t>(16, end - column));
    F16 sum = load(sums);
    if (bias) sum = add(sum, load_part(bias + column, count));
    if (shape.epilogue == Epilogue::kSiluMul) {
      F16 up = load_part(sums + kHalf, count);
      if (bias) up = add(up, load_part(bias + shape.n + column, count));
      sum = mul(div(sum, add(set1(1.0f), exp(sub(zero(), sum)))), up);
    }
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

// The sums of a block's rows for one panel.
template <typename W>
void linear_block(const typename Multiply<W>::Input* inputs, const W* panel, int64_t k_size, const Tiling& tiling,
                  int64_t block, Prefetch next, float (*sums)[kPanel]) {
  using M = Multiply<W>;
  using Wide = typename M::Wide;
  constexpr auto kAll = std::make_integer_sequence<int, kMaxRows>{};
  const int64_t first = tiling.first_tile(block), num_tiles = tiling.first_tile(block + 1) - first;
  const int64_t begin = tiling.begin(first), inputs_a_row = k_size / M::kPerInput;
  alignas(64) Wide room[M::kWidens ? kDepth * kPanel : 1];
  const int64_t depth = num_tiles > 1 ? kDepth : k_size, num_parts = (k_size + depth - 1) / depth * num_tiles;
  int64_t part = 0;
  for (int64_t k = 0; k < k_size; k += depth) {
    const int64_t steps = std::min(depth, k_size - k);
    const W* weights = panel + k * kPanel;
    for (int64_t tile = first; tile < first + num_tiles; ++tile, ++part) {
      const int64_t row = tiling.begin(tile), rows = tiling.begin(tile + 1) - row;
      const int64_t line = part * next.count / num_parts, last = (part + 1) * next.count / num_parts;
      const Prefetch fetch{next.from + line * 64, last - line};
      const auto* input = inputs + row * inputs_a_row + k / M::kPerInput * rows;
      auto* to = sums + (row - begin);
      if (num_tiles == 1 || !M::kWidens)
        linear_tile_of<W, false>(rows, kAll)(input, weights, steps, fetch, k == 0, nullptr, to);
      else if (tile == first)
        linear_tile_of<W, true>(rows, kAll)(input, weights, steps, fetch, k == 0, room, to);
      else
        linear_tile_of<Wide, false>(rows, kAll)(input, room, steps, fetch, k == 0, nullptr, to);
    }
  }
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
    linear_pack_input(static_cast<const W*>(args.x) + begin * shape.k, shape.k, tiling.begin(tile + 1) - begin,
                      inputs + begin * inputs_a_row);
  });
  const int64_t panel_size = kPanel * shape.k, num_lines = panel_size * int64_t(sizeof(W)) / 64;
  const int num_tasks = int(tiling.num_blocks * num_panels);
  run.pool.run(num_tasks, [&](int task) {
    const int64_t panel = task % num_panels, block = task / num_panels;
    const W* weights = static_cast<const W*>(args.packed) + panel * panel_size;
    const auto* next_panel = reinterpret_cast<const char*>(weights + panel_size);
    if (const int share = run.pool.share_that_ends_with(task, num_tasks); share >= 0 && args.following) {
      const LinearShape& after = args.following->shape;
      const int64_t first_panel = run.pool.share_begin(share, int(after.num_panels()));
      next_panel = static_cast<const char*>(args.following->packed) +
                   first_panel * kPanel * after.k * int64_t(sizeof(W));
    }
    alignas(64) float sums[kBlockTiles * kMaxRows][kPanel];
    linear_block(inputs, weights, shape.k, tiling, block, {next_panel, num_lines}, sums);
    const int64_t begin = tiling.begin(tiling.first_tile(block)), end = tiling.begin(tiling.first_tile(block + 1));
    for (int64_t row = begin; row < end; ++row)
      linear_finish(sums[row - begin], static_cast<const W*>(args.bias), shape, panel,
                    static_cast<Out*>(args.out) + row * shape.n);
  });
}

}  // namespace octavo
