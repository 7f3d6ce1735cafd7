// Sixteen floats at once, the same for every instruction set: one AVX-512 register or two of AVX2. Every function
// does the same operations in the same order on both, so that their results are equal to the last bit.
#pragma once
// GCC 12 takes the deliberately undefined operands inside its own intrinsics for mistakes of ours.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop

#include <algorithm>
#include <cstdint>

namespace octavo {

// The upper half of a float. A type of its own, so that no integer is taken for one.
struct bf16 {
  uint16_t bits;
};

#if defined(__AVX512F__)

using F16 = __m512;
constexpr int kRegisters = 32;

inline F16 zero() { return _mm512_setzero_ps(); }
inline F16 set1(float x) { return _mm512_set1_ps(x); }
inline F16 load(const float* p) { return _mm512_loadu_ps(p); }
// Each bf16 to the upper half of its lane: one instruction on the ports that products need, where a conversion to 32 bits
// and a shift were two.
inline F16 widen(__m256i bits) {
  const __m512i lanes = _mm512_cvtepi16_epi32(_mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
  const __m512i from = _mm512_slli_epi32(lanes, 16);
  return _mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(0xaaaaaaaa, from, _mm512_castsi256_si512(bits)));
}
inline F16 load(const bf16* p) { return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
inline void store(float* p, F16 x) { _mm512_storeu_ps(p, x); }
inline F16 add(F16 a, F16 b) { return _mm512_add_ps(a, b); }
inline F16 sub(F16 a, F16 b) { return _mm512_sub_ps(a, b); }
inline F16 mul(F16 a, F16 b) { return _mm512_mul_ps(a, b); }
inline F16 div(F16 a, F16 b) { return _mm512_div_ps(a, b); }
inline F16 max(F16 a, F16 b) { return _mm512_max_ps(a, b); }
inline F16 min(F16 a, F16 b) { return _mm512_min_ps(a, b); }
inline F16 fma(F16 a, F16 b, F16 c) { return _mm512_fmadd_ps(a, b, c); }
// Two neighbouring bf16 of each lane as floats: first(x) the lower half, second(x) the upper one.
inline F16 first(const bf16* p) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16));
}
inline F16 second(const bf16* p) {
  return _mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32(int(0xffff0000))));
}
inline F16 round_to_int(F16 x) {
  return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
inline F16 power_of_two(F16 whole) {
  const __m512i n = _mm512_cvtps_epi32(whole);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(n, _mm512_set1_epi32(127)), 23));
}
// Where `x < bound`, zero; elsewhere `value`.
inline F16 zero_below(F16 x, float bound, F16 value) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, set1(bound), _CMP_NLT_UQ), value);
}
inline __m256 fold(F16 x) {
  return _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
}
inline __m256 fold_max(F16 x) {
  return _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
}
inline __m256i round_to_bf16(F16 x) {  // to nearest, ties to even; a NaN stays one
  const __m512i bits = _mm512_castps_si512(x);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __mmask16 is_nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
  const __m512i kept = _mm512_mask_or_epi32(rounded, is_nan, bits, _mm512_set1_epi32(0x00400000));
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(kept, 16));
}
inline void store(bf16* p, F16 x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), round_to_bf16(x)); }

#else

struct F16 {
  __m256 lo, hi;
};
constexpr int kRegisters = 16;

inline F16 zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
inline F16 set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline F16 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline __m256 widen(const bf16* p) {
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
inline F16 load(const bf16* p) { return {widen(p), widen(p + 8)}; }
inline void store(float* p, F16 x) {
  _mm256_storeu_ps(p, x.lo);
  _mm256_storeu_ps(p + 8, x.hi);
}
inline F16 add(F16 a, F16 b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
inline F16 sub(F16 a, F16 b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
inline F16 mul(F16 a, F16 b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
inline F16 div(F16 a, F16 b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
inline F16 max(F16 a, F16 b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
inline F16 min(F16 a, F16 b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
inline F16 fma(F16 a, F16 b, F16 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
inline __m256i load_pairs(const bf16* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
inline F16 first(const bf16* p) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(load_pairs(p), 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(load_pairs(p + 16), 16))};
}
inline F16 second(const bf16* p) {
  const __m256i upper = _mm256_set1_epi32(int(0xffff0000));
  return {_mm256_castsi256_ps(_mm256_and_si256(load_pairs(p), upper)),
          _mm256_castsi256_ps(_mm256_and_si256(load_pairs(p + 16), upper))};
}
inline F16 round_to_int(F16 x) {
  constexpr int kMode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(x.lo, kMode), _mm256_round_ps(x.hi, kMode)};
}
inline __m256 power_of_two(__m256 whole) {
  const __m256i n = _mm256_cvtps_epi32(whole);
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}
inline F16 power_of_two(F16 whole) { return {power_of_two(whole.lo), power_of_two(whole.hi)}; }
inline F16 zero_below(F16 x, float bound, F16 value) {
  const __m256 b = _mm256_set1_ps(bound);
  return {_mm256_and_ps(_mm256_cmp_ps(x.lo, b, _CMP_NLT_UQ), value.lo),
          _mm256_and_ps(_mm256_cmp_ps(x.hi, b, _CMP_NLT_UQ), value.hi)};
}
inline __m256 fold(F16 x) { return _mm256_add_ps(x.lo, x.hi); }
inline __m256 fold_max(F16 x) { return _mm256_max_ps(x.lo, x.hi); }
inline __m128i round_to_bf16(__m256 x) {
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x00400000));
  const __m256 is_nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
  const __m256i kept = _mm256_blendv_epi8(rounded, quiet, _mm256_castps_si256(is_nan));
  const __m256i upper = _mm256_srli_epi32(kept, 16);
  return _mm_packus_epi32(_mm256_castsi256_si128(upper), _mm256_extracti128_si256(upper, 1));
}
inline void store(bf16* p, F16 x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), round_to_bf16(x.lo));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), round_to_bf16(x.hi));
}

#endif

inline float reduce_add(F16 x) {
  const __m256 eight = fold(x);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

inline float reduce_max(F16 x) {
  const __m256 eight = fold_max(x);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}

// e^x within two units in the last place; exactly 1 at 0, and 0 below the smallest normal result. The polynomial is
// that of Cephes' expf.
inline F16 exp(F16 x) {
  constexpr float kSmallest = -87.33654f, kLargest = 88.37626f;
  const F16 clamped = min(max(x, set1(kSmallest)), set1(kLargest));
  const F16 n = round_to_int(mul(clamped, set1(1.44269504088896341f)));
  const F16 r = fma(n, set1(2.12194440e-4f), fma(n, set1(-0.693359375f), clamped));
  F16 p = set1(1.9875691500e-4f);
  p = fma(p, r, set1(1.3981999507e-3f));
  p = fma(p, r, set1(8.3334519073e-3f));
  p = fma(p, r, set1(4.1665795894e-2f));
  p = fma(p, r, set1(1.6666665459e-1f));
  p = fma(p, r, set1(5.0000001201e-1f));
  p = add(fma(mul(r, r), p, r), set1(1.0f));
  return zero_below(x, kSmallest, mul(p, power_of_two(n)));
}

inline float to_float(float x) { return x; }
inline float to_float(bf16 x) {
  const uint32_t bits = uint32_t(x.bits) << 16;
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}

// The first `count` of sixteen elements, zeros behind them; and back.
#if defined(__AVX512F__)
inline __mmask16 first_lanes(int count) { return __mmask16((1u << std::min(count, 16)) - 1); }
inline F16 load_part(const float* p, int count) { return _mm512_maskz_loadu_ps(first_lanes(count), p); }
inline F16 load_part(const bf16* p, int count) { return widen(_mm256_maskz_loadu_epi16(first_lanes(count), p)); }
inline void store_part(float* p, F16 x, int count) { _mm512_mask_storeu_ps(p, first_lanes(count), x); }
inline void store_part(bf16* p, F16 x, int count) { _mm256_mask_storeu_epi16(p, first_lanes(count), round_to_bf16(x)); }
#else
template <typename T>
inline F16 load_part(const T* p, int count) {
  if (count >= 16) return load(p);
  T buffer[16] = {};
  for (int i = 0; i < count; ++i) buffer[i] = p[i];
  return load(buffer);
}
template <typename T>
inline void store_part(T* p, F16 x, int count) {
  if (count >= 16) return store(p, x);
  T buffer[16];
  store(buffer, x);
  for (int i = 0; i < count; ++i) p[i] = buffer[i];
}
#endif

}  // namespace octavo
