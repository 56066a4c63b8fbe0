/* What the ranker's loop reads and where it works, for `_ranker.c` and for each processor's build of `_ranker_loop.h`. */
#ifndef POLYRANK_RANKER
#define POLYRANK_RANKER

#include <math.h>
#include <stdint.h>
#include <string.h>

#if !defined(__GNUC__) && !defined(__clang__)
#error "needs vectors of GCC and Clang; the build goes on without this module"
#endif

#define INLINE static inline __attribute__((always_inline))
#define WIDE 16      /* candidates that stand side by side */
#define CLIP 8.0f    /* model/nn/layers.py, FEATURE_CLIP */

typedef struct {
    long dim, heads, width;                         /* D, attention heads, what one of them reads */
    long features, experts, inner, output;          /* F, E, width of an expert's first and of its second layer */
    long tasks, hidden, steps;                      /* T, width of a task's head, thresholds of a task */
    long user, bins, state;                         /* U, ranges of a feature of the user, width of the user's state */
    long profiles, contexts, profile, context;      /* vocabularies; ids of a request */
    long types, gaps, ages;                         /* vocabularies of events; distances that are told apart */
    long events, rows, read, each, known, whole;    /* L; outputs of the first layer; H · width; read + F; inputs of the
                                                       state; D + state */
} Sizes;

#define SIZES 20 /* of those, as Python gives them */

/* Weights, one after the other; a matrix is row-major, [outputs, inputs]. */
#define PARTS(X)                                                                                                         \
    X(same, s->rows * s->dim) X(cross, s->rows * s->dim) X(each, s->rows * s->each)                                      \
    X(expert, s->experts * s->output * s->inner) X(expert_bias, s->experts * s->output)                                  \
    X(hidden, s->tasks * s->hidden * s->output) X(hidden_bias, s->tasks * s->hidden) X(last, s->tasks * s->hidden)       \
    X(wide, s->tasks * (s->features + 1)) X(mean, s->features) X(inverse, s->features)                                   \
    X(threshold, s->tasks * s->steps) X(height, s->tasks * s->steps) X(linear, s->tasks) X(low, s->tasks)                \
    X(chain, s->tasks * 2)                                                                                               \
    X(user_mean, s->user) X(user_inverse, s->user) X(start, s->user * s->bins) X(slope, s->user * s->bins)               \
    X(profile, s->profiles * s->dim) X(context, s->contexts * s->dim) X(offset, s->context)                              \
    X(state, s->state * s->known) X(state_bias, s->state) X(query, s->dim * s->state) X(query_bias, s->dim)              \
    X(once, s->rows * s->whole) X(once_bias, s->rows)                                                                    \
    X(type, s->types * s->dim) X(liking, s->types * s->dim) X(gap, s->gaps * s->dim)                                     \
    X(norm, s->dim) X(norm_bias, s->dim) X(epsilon, 1) X(nothing, s->dim)                                                \
    X(key, s->heads * s->dim * s->dim) X(key_bias, s->heads * s->dim)                                                    \
    X(told, s->heads * s->width * s->dim) X(told_bias, s->heads * s->width) X(distance, s->ages * s->heads)

typedef struct {
#define X(name, size) const float *name;
    PARTS(X)
#undef X
} Weights;

typedef struct {
    float *folded, *once, *query, *keys, *bias, *values; /* of one user: what candidates meet */
    float *panel, *scores, *first, *second, *mixed, *deep; /* of a block: WIDE numbers a row */
    float *known, *whole;                                  /* of one user: inputs of the state; vector and state */
} Room;

typedef struct {
    const float *matrix; /* row-major, `stride` numbers a row */
    long stride, inner;
    const float *panel;
} Factor;

typedef struct {
    const float *vector, *vectors, *values, *told; /* of users, histories and features of users */
    const int64_t *types, *gaps, *profile, *context;
    const float *candidates, *features;
    float *out;
} Batch;

/* All candidates of all users; `_ranker.c` chooses among them. */
typedef void Run(const Sizes *, const Weights *, Batch, long users, long candidates, Room);
Run everyone_avx2, everyone_plain;

#endif
