// One step as the kernels see it: the core's flat arrays (see core/batch.py of the engine, whose names these are).
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "pool.h"

namespace octavo {

struct Step {
  int32_t num_tokens, num_rows, num_sampled, block_table_stride;
  const int32_t *input_id, *position, *slot_mapping;         // [num_tokens]
  const int32_t *query_start;                                // [num_rows + 1]
  const int32_t *context_len, *slot;                         // [num_rows]
  const int32_t *block_table;                                // [slots, block_table_stride]
  const int32_t *sampled_token;                              // [num_sampled], indices of tokens

  const int32_t* blocks_of(int row) const { return block_table + int64_t(slot[row]) * block_table_stride; }
};

struct AttentionPlan;

// What operations share beside the step itself: threads, and room for intermediate results.
struct Run {
  explicit Run(Pool& threads) : pool(threads) {}

  Pool& pool;
  std::vector<uint32_t> words;               // what a linear layer makes of its input
  std::shared_ptr<AttentionPlan> attention;  // of this step
};

constexpr int kTokensPerTask = 8;  // of operations that do little for a token

template <typename Work>
void for_each_token(Pool& pool, int num_tokens, const Work& work) {
  pool.run((num_tokens + kTokensPerTask - 1) / kTokensPerTask, [&](int task) {
    const int end = std::min(num_tokens, (task + 1) * kTokensPerTask);
    for (int token = task * kTokensPerTask; token < end; ++token) work(token);
  });
}

}  // namespace octavo
