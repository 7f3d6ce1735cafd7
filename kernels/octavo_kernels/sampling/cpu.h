// A token for each row of logits; rows are the tasks, and no row looks at another. `reference.py` gives the same tokens.
//
// The vocabulary is never sorted. A cut (top-k, top-p) is found by a histogram over the distance to the row's best
// logit: the bin in which the cut falls holds some dozens of tokens, and only these are compared with each other. What
// a cut drops gets the weight zero; the draw then walks the weights in the order of the vocabulary.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "../native/pool.h"
#include "lanes.h"

namespace octavo {

// Mirrored field by field in native.py, as is SampleArgs. One element a slot; the same arrays in every step.
struct SamplingSlots {
  const float *temperature, *top_p, *min_p;
  const int32_t* top_k;
  const float *presence_penalty, *frequency_penalty, *repetition_penalty;
  const uint64_t* seed;
  const int32_t* num_logprobs;
  const int32_t* known_tokens;  // [slots, known_stride]
  int64_t known_stride;
  const int32_t *num_known, *num_prompt;
};

// One step: rows n, each with the settings of its slot.
struct SampleArgs {
  const SamplingSlots* slots;
  const float* logits;  // [num_rows, vocab_size]
  int64_t num_rows, vocab_size;
  const int32_t* slot;
  const int64_t* num_generated;
  const int32_t* banned;  // [num_rows, max_banned], of which only words count
  int64_t max_banned, max_logprobs;
  int32_t* token;
  float* chosen_logprob;  // null where no row wants any; then the next two are too
  int32_t* top_token;     // [num_rows, max_logprobs]
  float* top_logprob;
};

constexpr float kNone = -std::numeric_limits<float>::infinity();
constexpr int32_t kInvalidToken = -1;
constexpr int kBins = 2048;
// Below this distance from the best logit a weight rounds to zero; see weight_of.
constexpr float kFarthest = 28.125f;

struct Candidate {
  float logit;
  int32_t token;
  int64_t measure;
};

// The order of every cut: the better logit first, of equals the lower token.
inline bool goes_before(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

// Memory of one thread, kept from step to step.
struct SamplingScratch {
  std::vector<float> logits, weights;
  std::vector<uint32_t> counts;  // zero between rows
  std::vector<Candidate> candidates;
  int64_t bins[kBins];

  static SamplingScratch& of_this_thread(int64_t vocab_size) {
    thread_local SamplingScratch scratch;
    const size_t size = size_t(vocab_size + 15) / 16 * 16;
    if (scratch.weights.size() < size) {
      scratch.logits.resize(size);
      scratch.weights.resize(size);
      scratch.counts.resize(size);
      scratch.candidates.reserve(size);
    }
    return scratch;
  }
};

inline F16 load_logits(const float* x, int64_t count) {
  if (count >= 16) return load(x);
  alignas(64) float buffer[16];
  for (int i = 0; i < 16; ++i) buffer[i] = i < count ? x[i] : kNone;
  return load(buffer);
}

struct Peak {
  float logit;
  int32_t token;
  bool is_number;  // false where the row has a NaN, an infinity, or nothing but masked tokens
};

inline Peak find_peak(const float* x, int64_t size) {
  constexpr int64_t kBlock = 1024;
  float best = kNone;
  int64_t best_begin = 0;
  uint32_t nans = 0;
  for (int64_t begin = 0; begin < size; begin += kBlock) {
    const int64_t end = std::min(begin + kBlock, size);
    F16 highest = set1(kNone);
    for (int64_t i = begin; i < end; i += 16) {
      const F16 logits = load_logits(x + i, end - i);
      nans |= not_numbers(logits);
      highest = max(highest, logits);
    }
    const float block_best = reduce_max(highest);
    if (block_best > best) best = block_best, best_begin = begin;
  }
  if (nans || !std::isfinite(best)) return {best, kInvalidToken, false};
  int64_t token = best_begin;
  while (x[token] != best) ++token;
  return {best, int32_t(token), true};
}

struct ScaledRow {
  const float* logits;
  int64_t size;
  float peak, inverse_temperature;

  // At most zero: how far below the best, in units of the temperature.
  F16 below_peak(F16 x) const { return mul(sub(x, set1(peak)), set1(inverse_temperature)); }
};

inline float inverse_of(float temperature) {
  return std::min(1.0f / temperature, std::numeric_limits<float>::max());
}

// The tokens with a weight: their sum, and how far below the peak the last of them is (or less far than this), at most
// zero.
struct Kept {
  int64_t total;
  float lowest;
};

inline Kept weigh(const ScaledRow& row, float min_p, float* weights) {
  FixedSum sum;
  F16 lowest = zero();
  for (int64_t i = 0; i < row.size; i += 16) {
    const F16 y = row.below_peak(load_logits(row.logits + i, row.size - i));
    const F16 weight = weight_of(y);
    const F16 kept = zero_below(weight, min_p, weight);
    store(weights + i, kept);
    sum.add(kept);
    lowest = min(lowest, y);
  }
  const float deepest = -reduce_max(sub(zero(), lowest));
  return {sum.total(), std::max(deepest, -kFarthest)};
}

// The last of the fewest candidates, in order, whose measures sum up to `target`; all together they do.
inline Candidate find_last(std::vector<Candidate>& candidates, int64_t target) {
  auto begin = candidates.begin(), end = candidates.end();
  while (end - begin > 64) {
    const auto middle = begin + (end - begin) / 2;
    std::nth_element(begin, middle, end, goes_before);
    int64_t before = 0;
    for (auto it = begin; it != middle; ++it) before += it->measure;
    if (before >= target) {
      end = middle;
    } else {
      target -= before;
      begin = middle;
    }
  }
  std::sort(begin, end, goes_before);
  while (begin->measure < target) target -= (begin++)->measure;
  return *begin;
}

// Zero what goes after `last`; the sum of the rest.
inline int64_t drop_after(const Candidate& last, const ScaledRow& row, float* weights) {
  const float above_last = std::nextafter(last.logit, std::numeric_limits<float>::infinity());
  FixedSum sum;
  for (int64_t i = 0; i < row.size; i += 16) {
    if (i <= last.token && last.token < i + 15) {  // equals on both sides of the border
      for (int64_t k = i; k < std::min(i + 16, row.size); ++k)
        if (row.logits[k] < (k <= last.token ? last.logit : above_last)) weights[k] = 0;
    } else {
      const F16 logits = load_logits(row.logits + i, row.size - i);
      store(weights + i, zero_below(logits, i <= last.token ? last.logit : above_last, load(weights + i)));
    }
    sum.add(load(weights + i));
  }
  return sum.total();
}

enum class Measure { kCount, kWeight };

// Keep the fewest tokens, in order, whose measures sum up to `target`, and zero the weights of the others. None of them
// may be below `given.lowest`.
template <Measure kMeasure>
Kept keep_best(const ScaledRow& row, int64_t target, Kept given, SamplingScratch& scratch) {
  float* weights = scratch.weights.data();
  const F16 bound = set1(given.lowest);
  // Half a bin less than there are, so that rounding cannot lead beyond the last.
  const F16 to_bins = set1((0.5f - float(kBins)) / std::max(-given.lowest, 1e-30f));
  const auto measure = [&](int64_t i) { return kMeasure == Measure::kWeight ? to_fixed(weights[i]) : int64_t(1); };

  std::memset(scratch.bins, 0, sizeof scratch.bins);
  for (int64_t i = 0; i < row.size; i += 16) {
    const F16 y = row.below_peak(load_logits(row.logits + i, row.size - i));
    uint32_t counted = at_least(y, bound);
    if (!counted) continue;
    alignas(64) int32_t bins[16];
    store_truncated(bins, mul(y, to_bins));
    for (; counted; counted &= counted - 1) {
      const int lane = __builtin_ctz(counted);
      scratch.bins[bins[lane]] += measure(i + lane);
    }
  }
  int bin = 0;
  while (bin < kBins && scratch.bins[bin] < target) target -= scratch.bins[bin++];
  if (bin == kBins) return given;  // there are not that many

  scratch.candidates.clear();
  const F16 first = set1(float(bin)), next = set1(float(bin + 1));
  for (int64_t i = 0; i < row.size; i += 16) {
    const F16 y = row.below_peak(load_logits(row.logits + i, row.size - i));
    const F16 place = mul(y, to_bins);
    uint32_t found = at_least(y, bound) & at_least(place, first) & ~at_least(place, next);
    for (; found; found &= found - 1) {
      const int64_t k = i + __builtin_ctz(found);
      scratch.candidates.push_back({row.logits[k], int32_t(k), measure(k)});
    }
  }
  const Candidate last = find_last(scratch.candidates, target);
  return {drop_after(last, row, weights), (last.logit - row.peak) * row.inverse_temperature};
}

// What top-p keeps never reaches below this: tokens lighter than an equal share of what it drops are dropped all.
inline float bound_of_nucleus(int64_t dropped, int64_t size, float lowest) {
  const int64_t share = dropped / size;
  // The margin covers the errors of weight_of and of this line.
  return share == 0 ? lowest : std::max(lowest, float(std::log(double(share) / double(kFixedOne))) - 1e-4f);
}

inline uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

// uniforms.py in C++.
inline double uniform(uint64_t seed, int64_t counter) {
  const uint64_t bits = mix(mix(seed) + (uint64_t(counter) + 1) * 0x9E3779B97F4A7C15u);
  return double(bits >> 11) * 0x1p-53;
}

// The first token at which the summed weights exceed that share of their total.
inline int32_t invert(const float* weights, int64_t size, int64_t total, double share) {
  constexpr int64_t kBlock = 256;
  int64_t rest = std::min(int64_t(share * double(total)), total - 1), begin = 0;
  for (; begin + kBlock < size; begin += kBlock) {
    FixedSum sum;
    for (int64_t i = begin; i < begin + kBlock; i += 16) sum.add(load(weights + i));
    if (sum.total() > rest) break;
    rest -= sum.total();
  }
  while ((rest -= to_fixed(weights[begin])) >= 0) ++begin;
  return int32_t(begin);
}

inline int32_t draw(const SampleArgs& args, int64_t n, const float* logits, Peak peak, SamplingScratch& scratch) {
  const SamplingSlots& slots = *args.slots;
  const int32_t slot = args.slot[n], top_k = slots.top_k[slot];
  const float top_p = slots.top_p[slot];
  const ScaledRow row{logits, args.vocab_size, peak.logit, inverse_of(slots.temperature[slot])};
  Kept kept = weigh(row, slots.min_p[slot], scratch.weights.data());
  if (top_k > 0 && top_k < args.vocab_size) kept = keep_best<Measure::kCount>(row, top_k, kept, scratch);
  if (top_p < 1.0f) {
    const int64_t target = std::max<int64_t>(1, int64_t(std::ceil(double(top_p) * double(kept.total))));
    kept.lowest = bound_of_nucleus(kept.total - target, row.size, kept.lowest);
    kept = keep_best<Measure::kWeight>(row, target, kept, scratch);
  }
  return invert(scratch.weights.data(), row.size, kept.total, uniform(slots.seed[slot], args.num_generated[n]));
}

inline bool has_penalties(const SamplingSlots& slots, int32_t slot) {
  return slots.presence_penalty[slot] != 0 || slots.frequency_penalty[slot] != 0 ||
         slots.repetition_penalty[slot] != 1;
}

// Each distinct known token once, whatever its number of occurrences.
inline void penalise(const SamplingSlots& slots, int32_t slot, float* logits, int64_t vocab_size,
                     std::vector<uint32_t>& counts) {
  constexpr uint32_t kSeen = 1u << 31;
  const int32_t* known = slots.known_tokens + slot * slots.known_stride;
  const float repetition = slots.repetition_penalty[slot];
  const float frequency = slots.frequency_penalty[slot], presence = slots.presence_penalty[slot];
  const int32_t num_known = slots.num_known[slot], num_prompt = slots.num_prompt[slot];
  const int32_t first = repetition == 1 ? num_prompt : 0;
  const auto is_word = [&](int32_t token) { return token >= 0 && token < vocab_size; };
  for (int32_t i = first; i < num_known; ++i)
    if (is_word(known[i])) counts[known[i]] = (counts[known[i]] | kSeen) + (i >= num_prompt);
  for (int32_t i = first; i < num_known; ++i) {
    if (!is_word(known[i]) || !counts[known[i]]) continue;
    float& logit = logits[known[i]];
    const uint32_t count = counts[known[i]] & ~kSeen;
    counts[known[i]] = 0;
    logit = logit > 0 ? logit / repetition : logit * repetition;
    if (count) logit = logit - frequency * float(count) - presence;
  }
}

// The row's logits with penalties and bans: its own where there are none of both, else a copy.
inline const float* adjusted(const SampleArgs& args, int64_t n, SamplingScratch& scratch) {
  const float* logits = args.logits + n * args.vocab_size;
  const int32_t slot = args.slot[n];
  const bool is_penalised = has_penalties(*args.slots, slot);
  if (!is_penalised && args.max_banned == 0) return logits;
  float* copy = scratch.logits.data();
  std::memcpy(copy, logits, size_t(args.vocab_size) * sizeof(float));
  if (is_penalised) penalise(*args.slots, slot, copy, args.vocab_size, scratch.counts);
  for (int64_t i = n * args.max_banned; i < (n + 1) * args.max_banned; ++i)
    if (args.banned[i] >= 0 && args.banned[i] < args.vocab_size) copy[args.banned[i]] = kNone;
  return copy;
}

// Insertion into a short sorted list; the list changes some K ln(V / K) times.
inline void list_best(const float* x, int64_t size, int64_t count, std::vector<Candidate>& best) {
  best.clear();
  for (int64_t i = 0; i < size; i += 16) {
    const float worst = int64_t(best.size()) < count ? kNone : best.back().logit;
    const F16 logits = load_logits(x + i, size - i);
    uint32_t found = int64_t(best.size()) < count ? at_least(logits, set1(worst)) : above(logits, set1(worst));
    if (size - i < 16) found &= (1u << (size - i)) - 1;
    for (; found; found &= found - 1) {
      const int64_t token = i + __builtin_ctz(found);
      const Candidate candidate{x[token], int32_t(token), 0};
      if (int64_t(best.size()) == count) {
        if (!goes_before(candidate, best.back())) continue;
        best.pop_back();
      }
      best.insert(std::upper_bound(best.begin(), best.end(), candidate, goes_before), candidate);
    }
  }
}

// Of the logits as the model gave them.
inline void write_logprobs(const SampleArgs& args, int64_t n, SamplingScratch& scratch) {
  const float* logits = args.logits + n * args.vocab_size;
  const Peak peak = find_peak(logits, args.vocab_size);
  if (args.token[n] == kInvalidToken || !peak.is_number) return;
  const ScaledRow row{logits, args.vocab_size, peak.logit, 1.0f};
  const int64_t total = weigh(row, 0.0f, scratch.weights.data()).total;
  const double log_total = double(peak.logit) + std::log(double(total) / double(kFixedOne));
  const auto logprob = [&](float logit) { return float(double(logit) - log_total); };
  args.chosen_logprob[n] = logprob(logits[args.token[n]]);
  const int64_t count = std::min<int64_t>(args.slots->num_logprobs[args.slot[n]], args.vocab_size);
  if (count == 0) return;
  list_best(logits, args.vocab_size, count, scratch.candidates);
  for (int64_t k = 0; k < count; ++k) {
    args.top_token[n * args.max_logprobs + k] = scratch.candidates[k].token;
    args.top_logprob[n * args.max_logprobs + k] = logprob(scratch.candidates[k].logit);
  }
}

inline void sample(Pool& pool, const SampleArgs& args) {
  pool.run(int(args.num_rows), [&](int n) {
    SamplingScratch& scratch = SamplingScratch::of_this_thread(args.vocab_size);
    const float* logits = adjusted(args, n, scratch);
    const Peak peak = find_peak(logits, args.vocab_size);
    const bool is_greedy = args.slots->temperature[args.slot[n]] == 0;
    args.token[n] = is_greedy || !peak.is_number ? peak.token : draw(args, n, logits, peak, scratch);
    if (args.slots->num_logprobs[args.slot[n]] >= 0) write_logprobs(args, n, scratch);
  });
}

}  // namespace octavo
