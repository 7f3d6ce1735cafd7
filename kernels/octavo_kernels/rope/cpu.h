// Rotates queries in place, and puts rotated keys, and values, into the blocks of the cache.
#pragma once
#include "../native/step.h"
#include "../native/vec.h"

namespace octavo {

struct RopeArgs {
  void* qkv;              // [tokens, query heads + 2 kv heads, head_dim]
  const float *cos, *sin; // [positions, head_dim], the angles repeated for both halves
  void *key_cache;        // [blocks, kv_heads, head_dim, block_size]
  void *value_cache;      // [blocks, kv_heads, block_size, head_dim]
  int32_t num_heads, num_kv_heads, head_dim, block_size;
};

template <typename T>
void rotate(const T* x, const float* cos, const float* sin, int64_t half, T* out) {
  for (int64_t i = 0; i < half; i += 16) {
    const int count = int(std::min<int64_t>(16, half - i));
    const F16 a = load_part(x + i, count), b = load_part(x + half + i, count);
    const F16 c = load_part(cos + i, count), s = load_part(sin + i, count);
    store_part(out + i, sub(mul(a, c), mul(b, s)), count);
    store_part(out + half + i, add(mul(b, c), mul(a, s)), count);
  }
}

template <typename T>
void rope_and_write_kv(const RopeArgs& args, const Step& step, Run& run) {
  const int64_t d = args.head_dim, half = d / 2, size = args.block_size;
  const int64_t width = (args.num_heads + 2 * args.num_kv_heads) * d;
  for_each_token(run.pool, step.num_tokens, [&](int token) {
    T* qkv = static_cast<T*>(args.qkv) + token * width;
    const float* cos = args.cos + step.position[token] * d;
    const float* sin = args.sin + step.position[token] * d;
    for (int head = 0; head < args.num_heads + args.num_kv_heads; ++head)
      rotate(qkv + head * d, cos, sin, half, qkv + head * d);
    const int64_t block = step.slot_mapping[token] / size, offset = step.slot_mapping[token] % size;
    for (int head = 0; head < args.num_kv_heads; ++head) {
      const int64_t place = (block * args.num_kv_heads + head) * d * size;
      const T* key = qkv + (args.num_heads + head) * d;
      const T* value = key + args.num_kv_heads * d;
      T* keys = static_cast<T*>(args.key_cache) + place + offset;
      for (int64_t i = 0; i < d; ++i) keys[i * size] = key[i];
      std::copy_n(value, d, static_cast<T*>(args.value_cache) + place + offset * d);
    }
  });
}

}  // namespace octavo
