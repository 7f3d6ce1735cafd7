// Root mean square normalisation of each token, after the residual sum where there is one.
#pragma once
#include <cmath>

#include "../native/step.h"
#include "../native/vec.h"

namespace octavo {

struct RmsNormArgs {
  const void* x;
  void* residual;  // null, or what x is added to; the sum stays in it
  const void* weight;
  void* out;
  int64_t hidden;
  float eps;
  int32_t of_sampled;  // rows: 0 all tokens, 1 those that were selected
};

// As the element type holds it: what is stored is what is normalised.
inline F16 rounded(F16 x, const float*) { return x; }
inline F16 rounded(F16 x, const bf16*) {
  bf16 buffer[16];
  store(buffer, x);
  return load(buffer);
}

template <typename T>
void rms_norm(const RmsNormArgs& args, const Step& step, Run& run) {
  const int64_t hidden = args.hidden;
  const T* weight = static_cast<const T*>(args.weight);
  for_each_token(run.pool, args.of_sampled ? step.num_sampled : step.num_tokens, [&](int token) {
    const T* x = static_cast<const T*>(args.x) + token * hidden;
    T* residual = args.residual ? static_cast<T*>(args.residual) + token * hidden : nullptr;
    T* out = static_cast<T*>(args.out) + token * hidden;
    F16 squares = zero();
    for (int64_t i = 0; i < hidden; i += 16) {
      const int count = int(std::min<int64_t>(16, hidden - i));
      F16 value = load_part(x + i, count);
      if (residual) {
        value = rounded(add(value, load_part(residual + i, count)), weight);
        store_part(residual + i, value, count);
      }
      squares = fma(value, value, squares);
    }
    const T* sum = residual ? residual : x;
    const F16 scale = set1(1.0f / std::sqrt(reduce_add(squares) / float(hidden) + args.eps));
    for (int64_t i = 0; i < hidden; i += 16) {
      const int count = int(std::min<int64_t>(16, hidden - i));
      const F16 normed = rounded(mul(load_part(sum + i, count), scale), weight);
      store_part(out + i, mul(normed, load_part(weight + i, count)), count);
    }
  });
}

}  // namespace octavo
