// What sampling asks of sixteen lanes beyond vec.h: masks, integers, and weights in fixed point.
//
// A weight e in [0, 1] counts as the whole number nearest to e * 2^40. Sums of whole numbers do not depend on their
// order, so that no sum below depends on the instruction set, on the number of threads, or on who computes it.
#pragma once
#include "../native/vec.h"

namespace octavo {

constexpr float kFixedOne = 1099511627776.0f;  // 2^40

inline int64_t to_fixed(float weight) { return _mm_cvtsd_si64(_mm_set_sd(double(weight * kFixedOne))); }

// Added to a number below 2^51, it leaves that number, rounded, in the low bits.
constexpr double kShifter = 6755399441055744.0;  // 1.5 * 2^52
constexpr int64_t kShifterBits = 0x4338000000000000;

#if defined(__AVX512F__)

inline uint32_t at_least(F16 x, F16 bound) { return _mm512_cmp_ps_mask(x, bound, _CMP_GE_OQ); }
inline uint32_t above(F16 x, F16 bound) { return _mm512_cmp_ps_mask(x, bound, _CMP_GT_OQ); }
inline uint32_t not_numbers(F16 x) { return _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q); }
inline void store_truncated(int32_t* p, F16 x) { _mm512_storeu_si512(p, _mm512_cvttps_epi32(x)); }

class FixedSum {
 public:
  void add(F16 weight) {
    const __m512 scaled = _mm512_mul_ps(weight, _mm512_set1_ps(kFixedOne));
    add(_mm512_castps512_ps256(scaled));
    add(_mm512_extractf32x8_ps(scaled, 1));
  }
  int64_t total() const { return _mm512_reduce_add_epi64(sum_); }

 private:
  void add(__m256 scaled) {
    const __m512d shifted = _mm512_add_pd(_mm512_cvtps_pd(scaled), _mm512_set1_pd(kShifter));
    const __m512i whole = _mm512_sub_epi64(_mm512_castpd_si512(shifted), _mm512_set1_epi64(kShifterBits));
    sum_ = _mm512_add_epi64(sum_, whole);
  }
  __m512i sum_ = _mm512_setzero_si512();
};

#else

inline uint32_t mask_of(__m256 lo, __m256 hi) {
  return uint32_t(_mm256_movemask_ps(lo)) | uint32_t(_mm256_movemask_ps(hi)) << 8;
}
inline uint32_t at_least(F16 x, F16 bound) {
  return mask_of(_mm256_cmp_ps(x.lo, bound.lo, _CMP_GE_OQ), _mm256_cmp_ps(x.hi, bound.hi, _CMP_GE_OQ));
}
inline uint32_t above(F16 x, F16 bound) {
  return mask_of(_mm256_cmp_ps(x.lo, bound.lo, _CMP_GT_OQ), _mm256_cmp_ps(x.hi, bound.hi, _CMP_GT_OQ));
}
inline uint32_t not_numbers(F16 x) {
  return mask_of(_mm256_cmp_ps(x.lo, x.lo, _CMP_UNORD_Q), _mm256_cmp_ps(x.hi, x.hi, _CMP_UNORD_Q));
}
inline void store_truncated(int32_t* p, F16 x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_cvttps_epi32(x.lo));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 8), _mm256_cvttps_epi32(x.hi));
}

class FixedSum {
 public:
  void add(F16 weight) {
    for (const __m256 half : {weight.lo, weight.hi}) {
      const __m256 scaled = _mm256_mul_ps(half, _mm256_set1_ps(kFixedOne));
      add(_mm256_castps256_ps128(scaled));
      add(_mm256_extractf128_ps(scaled, 1));
    }
  }
  int64_t total() const {
    alignas(32) int64_t lanes[4];
    _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), sum_);
    return lanes[0] + lanes[1] + lanes[2] + lanes[3];
  }

 private:
  void add(__m128 scaled) {
    const __m256d shifted = _mm256_add_pd(_mm256_cvtps_pd(scaled), _mm256_set1_pd(kShifter));
    const __m256i whole = _mm256_sub_epi64(_mm256_castpd_si256(shifted), _mm256_set1_epi64x(kShifterBits));
    sum_ = _mm256_add_epi64(sum_, whole);
  }
  __m256i sum_ = _mm256_setzero_si256();
};

#endif

// e^y for y <= 0, and 0 where that is too little to count. Multiplications and additions are rounded one by one, so
// that PyTorch's own operations in the same order (weights.py) give the same bits.
inline F16 weight_of(F16 y) {
  constexpr float kLowest = -28.125f;  // e^-28.07 is 2^-40.5, which still rounds to nothing
  const F16 clamped = max(y, set1(-30.0f));
  const F16 n = round_to_int(mul(clamped, set1(1.44269504088896341f)));
  const F16 r = sub(sub(clamped, mul(n, set1(0.693359375f))), mul(n, set1(-2.12194440e-4f)));
  F16 p = set1(1.9875691500e-4f);
  p = add(mul(p, r), set1(1.3981999507e-3f));
  p = add(mul(p, r), set1(8.3334519073e-3f));
  p = add(mul(p, r), set1(4.1665795894e-2f));
  p = add(mul(p, r), set1(1.6666665459e-1f));
  p = add(mul(p, r), set1(5.0000001201e-1f));
  p = add(add(mul(mul(r, r), p), r), set1(1.0f));
  return zero_below(y, kLowest, mul(p, power_of_two(n)));
}

}  // namespace octavo
