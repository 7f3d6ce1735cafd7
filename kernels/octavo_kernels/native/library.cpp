// What the compiled CPU kernels export to Python: C functions over pointers. Each instruction set has a library of its
// own, made of this file; which one is loaded is decided in library.py.
#include "../embedding/cpu.h"
#include "../linear/cpu.h"
#include "../paged_attention/cpu.h"
#include "../rms_norm/cpu.h"
#include "../rope/cpu.h"
#include "../sampling/cpu.h"
#include "../select/cpu.h"

#define OCTAVO_EXPORT extern "C" __attribute__((visibility("default")))

using octavo::bf16;
using octavo::LinearShape;
using octavo::Pool;
using octavo::Run;
using octavo::Step;

OCTAVO_EXPORT Pool* octavo_pool_create(int num_threads) { return new Pool(num_threads); }

OCTAVO_EXPORT int64_t octavo_linear_packed_size(const LinearShape* shape) {
  return shape->num_panels() * octavo::kPanel * shape->k;
}
OCTAVO_EXPORT void octavo_linear_pack_float32(Pool* pool, const float* weight, const LinearShape* shape, float* out) {
  octavo::linear_pack(*pool, weight, *shape, out);
}
OCTAVO_EXPORT void octavo_linear_pack_bfloat16(Pool* pool, const bf16* weight, const LinearShape* shape, bf16* out) {
  octavo::linear_pack(*pool, weight, *shape, out);
}

// A program is the operations of one step in order, recorded once (see program.py) and run for every step with one call,
// so that Python and its lock stay out of the way from the first layer to the logits.
struct Operation {
  void (*run)(const void* args, const Step& step, Run& run);
  const void* args;
};

OCTAVO_EXPORT Run* octavo_run_create(Pool* pool) { return new Run(*pool); }
OCTAVO_EXPORT void octavo_run_destroy(Run* run) { delete run; }
OCTAVO_EXPORT void octavo_program_run(const Operation* operations, int num_operations, const Step* step, Run* run) {
  run->attention.reset();
  for (int i = 0; i < num_operations; ++i) operations[i].run(operations[i].args, *step, *run);
}

#define OCTAVO_OPERATION(name, Args, function)                                    \
  OCTAVO_EXPORT void name(const void* args, const Step& step, Run& run) {         \
    octavo::function(*static_cast<const octavo::Args*>(args), step, run);         \
  }
#define OCTAVO_BOTH_TYPES(name, Args, function)                                   \
  OCTAVO_OPERATION(octavo_##name##_float32, Args, function<float>)                \
  OCTAVO_OPERATION(octavo_##name##_bfloat16, Args, function<bf16>)

OCTAVO_OPERATION(octavo_embedding, EmbeddingArgs, embedding)
OCTAVO_OPERATION(octavo_select, SelectArgs, select)
OCTAVO_BOTH_TYPES(rms_norm, RmsNormArgs, rms_norm)
OCTAVO_BOTH_TYPES(rope_and_write_kv, RopeArgs, rope_and_write_kv)
OCTAVO_BOTH_TYPES(paged_attention, AttentionArgs, paged_attention)

// A macro's argument ends at a comma.
OCTAVO_EXPORT void octavo_linear_float32(const void* args, const Step& step, Run& run) {
  octavo::linear<float, float>(*static_cast<const octavo::LinearArgs*>(args), step, run);
}
OCTAVO_EXPORT void octavo_linear_bfloat16(const void* args, const Step& step, Run& run) {
  octavo::linear<bf16, bf16>(*static_cast<const octavo::LinearArgs*>(args), step, run);
}
OCTAVO_EXPORT void octavo_linear_bfloat16_to_float32(const void* args, const Step& step, Run& run) {
  octavo::linear<bf16, float>(*static_cast<const octavo::LinearArgs*>(args), step, run);
}

OCTAVO_EXPORT void octavo_sample(Pool* pool, const octavo::SampleArgs* args) { octavo::sample(*pool, *args); }
