// vdpbf16ps for machines without it, so that the code around it is tested everywhere: the operands' layout, not the
// instruction's own rounding.
#pragma once
#include <immintrin.h>

static inline __m512 emulated_dpbf16(__m512 sums, __m512bh a, __m512bh b) {
  const __m512i upper = _mm512_set1_epi32(int(0xffff0000));
  const __m512i x = (__m512i)a, y = (__m512i)b;
  sums = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(x, 16)), _mm512_castsi512_ps(_mm512_slli_epi32(y, 16)), sums);
  return _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(x, upper)), _mm512_castsi512_ps(_mm512_and_si512(y, upper)),
                         sums);
}
#define _mm512_dpbf16_ps emulated_dpbf16
#define __AVX512BF16__ 1  // only now: with it immintrin.h would want the real instruction
