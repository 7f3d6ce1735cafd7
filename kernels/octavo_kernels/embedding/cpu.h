// Rows of a table, one for each token's id.
#pragma once
#include <cstring>

#include "../native/step.h"

namespace octavo {

struct EmbeddingArgs {
  const void* weight;
  void* out;
  int64_t row_bytes;
};

inline void embedding(const EmbeddingArgs& args, const Step& step, Run& run) {
  const auto* table = static_cast<const char*>(args.weight);
  for_each_token(run.pool, step.num_tokens, [&](int token) {
    std::memcpy(static_cast<char*>(args.out) + token * args.row_bytes, table + step.input_id[token] * args.row_bytes,
                size_t(args.row_bytes));
  });
}

}  // namespace octavo
