// Causal attention over the blocks of the cache, prefill and decode in one pass, without gathering anything.
//
// A task takes one key-value head of one row and up to kMaxLanes of its queries (tokens times the query heads that share
// the head), and walks the context in tiles of kTile positions with the running maximum and sum of FlashAttention
// (arXiv 2205.14135). Partial results begin anew at each multiple of kSplit positions and are joined in order, as in
// Flash-Decoding, so that one long row can keep several threads busy.
//
// What a query gets depends on its position and context alone, to the last bit: tiles and splits lie at fixed positions
// whatever the chunk of the prompt, and a masked position adds an exact zero.
#pragma once
#include <cmath>
#include <limits>
#include <utility>

#include "../native/step.h"
#include "../native/vec.h"

namespace octavo {

constexpr int kTile = 64, kSplit = 512, kMaxLanes = 48, kMaxHeadDim = 256;
constexpr int kQueryStride = kMaxHeadDim + 16;  // not a power of two, which would crowd some sets of the cache
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

struct AttentionArgs {
  const void* qkv;  // [tokens, query heads + 2 kv heads, head_dim], queries rotated
  const void *key_cache, *value_cache;
  void* out;        // [tokens, query heads, head_dim]
  int32_t num_heads, num_kv_heads, head_dim, block_size;
  float scale;
};

// Where the vectors of sixteen of a matrix of `steps` rows lie: `num_vectors` of them begin at `pointers`, and go on
// `stride` elements later with each row; after `run` rows the next num_vectors pointers take over.
template <typename T>
struct Operand {
  const T* const* pointers;
  int num_vectors;
  int64_t stride, steps, run;
};

// c[lane] += a[lane][0..steps) * b, for C vectors of b from `first` on: lanes of `a` lie kStride floats apart. The stride
// is a constant so that all lanes are reached from one pointer.
constexpr int kLanes = kRegisters == 32 ? 6 : 3, kColumns = kRegisters == 32 ? 4 : 2;  // in registers at a time

template <typename T, int kStride, int L, int C>
void multiply_tile(const float* a, const Operand<T>& b, int first, float* c, int64_t c_stride) {
  F16 acc[L][C];
  for (int l = 0; l < L; ++l)
    for (int v = 0; v < C; ++v) acc[l][v] = load(c + l * c_stride + v * 16);
  const T* const* pointers = b.pointers + first;
  for (int64_t begin = 0; begin < b.steps; begin += b.run, pointers += b.num_vectors) {
    const T* from[C];
    for (int v = 0; v < C; ++v) from[v] = pointers[v];
    const float* x_of = a + begin;
    for (int64_t k = 0, end = std::min(b.run, b.steps - begin); k < end; ++k) {
      F16 row[C];
      for (int v = 0; v < C; ++v) row[v] = load(from[v] + k * b.stride);
#pragma GCC unroll 6
      for (int l = 0; l < L; ++l) {
        const F16 x = set1(x_of[l * kStride + k]);
        for (int v = 0; v < C; ++v) acc[l][v] = fma(row[v], x, acc[l][v]);
      }
    }
  }
  for (int l = 0; l < L; ++l)
    for (int v = 0; v < C; ++v) store(c + l * c_stride + v * 16, acc[l][v]);
}

template <typename T, int kStride, int C, int... I>
auto multiply_tile_of(int lanes, std::integer_sequence<int, I...>) {
  using Function = void (*)(const float*, const Operand<T>&, int, float*, int64_t);
  static constexpr Function kTiles[] = {multiply_tile<T, kStride, I + 1, C>...};
  return kTiles[lanes - 1];
}

// For all lanes and all vectors of b.
template <typename T, int kStride>
void multiply(int num_lanes, const float* a, const Operand<T>& b, float* c, int64_t c_stride) {
  constexpr auto kAll = std::make_integer_sequence<int, kLanes>{};
  for (int v = 0; v < b.num_vectors;) {
    const bool is_full = v + kColumns <= b.num_vectors;
    for (int lane = 0; lane < num_lanes; lane += kLanes) {
      const int lanes = std::min(kLanes, num_lanes - lane);
      const auto tile = is_full ? multiply_tile_of<T, kStride, kColumns>(lanes, kAll)
                                : multiply_tile_of<T, kStride, 1>(lanes, kAll);
      tile(a + lane * kStride, b, v, c + lane * c_stride + v * 16, c_stride);
    }
    v += is_full ? kColumns : 1;
  }
}

// The softmax-weighted sum so far of one lane; `sum` in sixteen parts.
struct Partial {
  float max;
  alignas(64) float sum[16];
  alignas(64) float out[kMaxHeadDim];

  void clear(int head_dim) {
    max = kMinusInfinity;
    std::fill_n(sum, 16, 0.0f);
    std::fill_n(out, head_dim, 0.0f);
  }

  void scale(F16 factor, int head_dim) {
    store(sum, mul(load(sum), factor));
    for (int i = 0; i < head_dim; i += 16) store(out + i, mul(load(out + i), factor));
  }

  void join(const Partial& later, int head_dim) {
    if (later.max == kMinusInfinity) return;
    const float highest = std::max(max, later.max);
    const F16 mine = exp(set1(max - highest)), its = exp(set1(later.max - highest));
    store(sum, fma(load(later.sum), its, mul(load(sum), mine)));
    for (int i = 0; i < head_dim; i += 16) store(out + i, fma(load(later.out + i), its, mul(load(out + i), mine)));
    max = highest;
  }
};

struct AttentionTask {
  int32_t row, head, query, num_queries;  // queries of the row from `query` on
  int32_t begin, end;                     // positions of the context
  int32_t partial;                        // -1: whole and written to out; else where its lanes' results go
};

template <typename T>
class AttentionWork {
 public:
  AttentionWork(const AttentionArgs& args, const Step& step) : args_(args), step_(step) {}

  int group() const { return args_.num_heads / args_.num_kv_heads; }

  void run(const AttentionTask& task, Partial* partials) const {
    const int lanes = task.num_queries * group(), d = args_.head_dim;
    alignas(64) float queries[kMaxLanes * kQueryStride];
    Partial results[kMaxLanes];
    load_queries(task, queries);
    for (int begin = task.begin; begin < task.end; begin += kSplit) {
      const int end = std::min(begin + kSplit, task.end);
      if (begin == task.begin) {
        attend(task, queries, begin, end, results);
        continue;
      }
      Partial later[kMaxLanes];
      attend(task, queries, begin, end, later);
      for (int lane = 0; lane < lanes; ++lane) results[lane].join(later[lane], d);
    }
    if (task.partial >= 0) {
      std::copy_n(results, lanes, partials + task.partial);
      return;
    }
    for (int lane = 0; lane < lanes; ++lane) write(task, lane, results[lane]);
  }

  // Joins the splits of one query token.
  void join(const AttentionTask& first, int num_splits, Partial* partials) const {
    for (int lane = 0; lane < group(); ++lane) {
      Partial& whole = partials[first.partial + lane];
      for (int split = 1; split < num_splits; ++split)
        whole.join(partials[first.partial + split * group() + lane], args_.head_dim);
      write(first, lane, whole);
    }
  }

 private:
  int position(const AttentionTask& task, int query) const {
    const int num_queries = step_.query_start[task.row + 1] - step_.query_start[task.row];
    return step_.context_len[task.row] - num_queries + task.query + query;
  }

  void load_queries(const AttentionTask& task, float* queries) const {
    const int64_t d = args_.head_dim, width = (args_.num_heads + 2 * args_.num_kv_heads) * d;
    const F16 scale = set1(args_.scale);
    for (int lane = 0; lane < task.num_queries * group(); ++lane) {
      const int64_t token = step_.query_start[task.row] + task.query + lane / group();
      const int64_t head = task.head * group() + lane % group();
      const T* query = static_cast<const T*>(args_.qkv) + token * width + head * d;
      for (int64_t i = 0; i < d; i += 16) store(queries + lane * kQueryStride + i, mul(load(query + i), scale));
    }
  }

  const T* cached(const void* cache, const AttentionTask& task, int position) const {
    const int64_t block = step_.blocks_of(task.row)[position / args_.block_size];
    const int64_t head_size = int64_t(args_.head_dim) * args_.block_size;
    return static_cast<const T*>(cache) + (block * args_.num_kv_heads + task.head) * head_size;
  }

  void attend(const AttentionTask& task, const float* queries, int begin, int end, Partial* results) const {
    const int lanes = task.num_queries * group(), d = args_.head_dim;
    for (int lane = 0; lane < lanes; ++lane) results[lane].clear(d);
    alignas(64) float weights[kMaxLanes * kTile];
    for (int tile = begin; tile < end; tile += kTile) {
      const int count = std::min(kTile, end - tile), num_vectors = (count + 15) / 16;
      std::fill_n(weights, lanes * kTile, 0.0f);
      const T* keys[kTile / 16];
      for (int v = 0; v < num_vectors; ++v)
        keys[v] = cached(args_.key_cache, task, tile + v * 16) + (tile + v * 16) % args_.block_size;
      multiply<T, kQueryStride>(lanes, queries, {keys, num_vectors, args_.block_size, d, d}, weights, kTile);
      for (int lane = 0; lane < lanes; ++lane) {
        const int visible = std::min(count, position(task, lane / group()) + 1 - tile);
        soften(weights + lane * kTile, std::max(0, visible), results[lane]);
      }
      add_values(task, tile, count, lanes, weights, results);
    }
  }

  // Scores of one lane become weights; what was summed so far is scaled to the new maximum.
  void soften(float* scores, int visible, Partial& result) const {
    std::fill(scores + visible, scores + kTile, kMinusInfinity);
    F16 highest = load(scores);
    for (int v = 1; v < kTile / 16; ++v) highest = max(highest, load(scores + v * 16));
    const float top = std::max(result.max, reduce_max(highest));
    if (top == kMinusInfinity) {  // the lane sees nothing of this tile, nor of those before it
      std::fill_n(scores, kTile, 0.0f);
      return;
    }
    if (top != result.max) result.scale(exp(set1(result.max - top)), args_.head_dim);
    result.max = top;
    F16 sum = load(result.sum);
    for (int v = 0; v < kTile / 16; ++v) {
      const F16 weight = exp(sub(load(scores + v * 16), set1(top)));
      sum = add(sum, weight);
      store(scores + v * 16, weight);
    }
    store(result.sum, sum);
  }

  void add_values(const AttentionTask& task, int first, int count, int lanes, const float* weights,
                  Partial* results) const {
    const int64_t d = args_.head_dim;
    const int run = std::min(kTile, args_.block_size), num_vectors = int(d / 16);  // a block's values are neighbours
    const T* vectors[kTile / 16 * kMaxHeadDim / 16];
    for (int begin = 0, i = 0; begin < count; begin += run) {
      const T* values = cached(args_.value_cache, task, first + begin) + (first + begin) % args_.block_size * d;
      for (int v = 0; v < num_vectors; ++v) vectors[i++] = values + v * 16;
    }
    multiply<T, kTile>(lanes, weights, {vectors, num_vectors, d, count, run}, results[0].out,
                       sizeof(Partial) / sizeof(float));
  }

  void write(const AttentionTask& task, int lane, const Partial& result) const {
    const int64_t d = args_.head_dim, token = step_.query_start[task.row] + task.query + lane / group();
    const int64_t head = task.head * group() + lane % group();
    T* out = static_cast<T*>(args_.out) + (token * args_.num_heads + head) * d;
    const F16 share = set1(1.0f / reduce_add(load(result.sum)));
    for (int64_t i = 0; i < d; i += 16) store(out + i, mul(load(result.out + i), share));
  }

  const AttentionArgs& args_;
  const Step& step_;
};

// The tasks of one step, the same for all layers of one shape.
struct AttentionPlan {
  std::vector<AttentionTask> tasks;
  struct Join {
    int32_t task, num_splits;
  };
  std::vector<Join> joins;
  std::vector<Partial> partials;
  int num_kv_heads, group;

  AttentionPlan(const Step& step, int kv_heads, int heads_a_group) : num_kv_heads(kv_heads), group(heads_a_group) {
    int num_partials = 0;
    const int queries_a_task = std::max(1, kMaxLanes / group);
    for (int row = 0; row < step.num_rows; ++row) {
      const int num_queries = step.query_start[row + 1] - step.query_start[row], context = step.context_len[row];
      for (int head = 0; head < num_kv_heads; ++head) {
        if (num_queries == 1 && context > kSplit) {
          joins.push_back({int32_t(tasks.size()), (context + kSplit - 1) / kSplit});
          for (int begin = 0; begin < context; begin += kSplit, num_partials += group)
            tasks.push_back({row, head, 0, 1, begin, std::min(begin + kSplit, context), num_partials});
          continue;
        }
        for (int query = 0; query < num_queries; query += queries_a_task) {
          const int count = std::min(queries_a_task, num_queries - query);
          tasks.push_back({row, head, query, count, 0, context - num_queries + query + count, -1});
        }
      }
    }
    partials.resize(size_t(num_partials));
  }
};

template <typename T>
void paged_attention(const AttentionArgs& args, const Step& step, Run& run) {
  const AttentionWork<T> work(args, step);
  if (!run.attention || run.attention->num_kv_heads != args.num_kv_heads || run.attention->group != work.group())
    run.attention = std::make_shared<AttentionPlan>(step, args.num_kv_heads, work.group());
  AttentionPlan& plan = *run.attention;
  run.pool.run(int(plan.tasks.size()), [&](int task) { work.run(plan.tasks[size_t(task)], plan.partials.data()); });
  run.pool.run(int(plan.joins.size()), [&](int index) {
    const auto [first, num_splits] = plan.joins[size_t(index)];
    work.join(plan.tasks[size_t(first)], num_splits, plan.partials.data());
  });
}

}  // namespace octavo
