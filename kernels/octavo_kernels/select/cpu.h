// The rows of a step's tokens whose logits are wanted, one after the other.
#pragma once
#include <cstring>

#include "../native/step.h"

namespace octavo {

struct SelectArgs {
  const void* x;
  void* out;
  int64_t row_bytes;
};

inline void select(const SelectArgs& args, const Step& step, Run&) {
  for (int i = 0; i < step.num_sampled; ++i)
    std::memcpy(static_cast<char*>(args.out) + i * args.row_bytes,
                static_cast<const char*>(args.x) + step.sampled_token[i] * args.row_bytes, size_t(args.row_bytes));
}

}  // namespace octavo
