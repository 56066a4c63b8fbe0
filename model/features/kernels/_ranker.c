/* The ranker in one pass that stays in the nearest caches: what is computed once a request and, for every candidate,
 * target attention, the first layer, experts, gates, heads, chains and values. `model/features/fused.py` says what the
 * arrays are, and takes this only where it gives what ranker.onnx gives.
 *
 * Candidates stand side by side, WIDE at a time, as in the graph; a block of them goes through all layers before the next
 * begins, so that nothing but the result is written to memory. Without vector units to ask for, the compiler makes of
 * the vectors below what the machine has.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if !defined(__GNUC__) && !defined(__clang__)
#error "needs vectors of GCC and Clang; the build goes on without this module"
#endif

#define INLINE static inline __attribute__((always_inline))
#define LANES 8           /* numbers in a vector */
#define WIDE 16           /* candidates that stand side by side: two vectors */
#define ROWS 6            /* rows of a product at a time: twelve vectors of sums stay in registers */
#define CLIP 8.0f         /* model/nn/layers.py, FEATURE_CLIP */

typedef float Vector __attribute__((vector_size(32)));
typedef int32_t Whole __attribute__((vector_size(32)));
typedef float Loose __attribute__((vector_size(32), aligned(4), may_alias));
typedef struct {
    Vector low, high;
} Both;

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

/* ---- vectors ----------------------------------------------------------------------------------------------------- */

INLINE Vector all(float x) { return x - (Vector){0}; }
INLINE Vector either(Whole where, Vector yes, Vector no) { return (Vector)((where & (Whole)yes) | (~where & (Whole)no)); }
INLINE Vector larger(Vector x, Vector y) { return either(x > y, x, y); }
INLINE Vector smaller(Vector x, Vector y) { return either(x < y, x, y); }
INLINE Both at(const float *from) { return *(const Both *)from; }
INLINE void put(float *to, Both x) { *(Both *)to = x; }

/* e^x to 1e-7 of it; below -87 as at -87. Cephes' polynomial. */
INLINE Vector power(Vector x) {
    const float magic = 12582912.0f; /* 1.5 · 2^23: adding it rounds to a whole number */
    x = smaller(larger(x, all(-87.0f)), all(88.0f));
    Vector n = (x * 1.44269504f + magic) - magic;
    Vector r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    Vector p = all(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    Whole scale = (__builtin_convertvector(n, Whole) + 127) << 23;
    return p * (Vector)scale;
}

/* ---- products: `rows` rows of a matrix by a panel [inner, WIDE] --------------------------------------------------- */

typedef struct {
    const float *matrix; /* row-major, `stride` numbers a row */
    long stride, inner;
    const float *panel;
} Factor;

INLINE void some_rows(const int rows, Factor one, Factor two, const float *start, float *out, const int relu) {
    Vector low[ROWS], high[ROWS];
    for (int r = 0; r < rows; r++) low[r] = high[r] = all(start ? start[r] : 0.0f);
    for (int part = 0; part < 2; part++) {
        Factor f = part ? two : one;
        for (long k = 0; k < f.inner; k++) {
            Vector left = *(const Vector *)(f.panel + k * WIDE), right = *(const Vector *)(f.panel + k * WIDE + LANES);
            for (int r = 0; r < rows; r++) {
                float weight = f.matrix[r * f.stride + k];
                low[r] += weight * left;
                high[r] += weight * right;
            }
        }
    }
    for (int r = 0; r < rows; r++) {
        Both x = {low[r], high[r]};
        if (relu) x = (Both){larger(x.low, all(0.0f)), larger(x.high, all(0.0f))};
        put(out + r * WIDE, x);
    }
}

INLINE Factor below(Factor f, long rows) { return (Factor){f.matrix + rows * f.stride, f.stride, f.inner, f.panel}; }

INLINE void product(long rows, Factor one, Factor two, const float *start, float *out, const int relu) {
    for (long r = 0, some; r < rows; r += some) {
        long left = rows - r;
        Factor here = below(one, r), there = below(two, r);
        const float *from = start ? start + r : NULL;
        if (left >= ROWS && left != 8) some_rows((int)(some = ROWS), here, there, from, out + r * WIDE, relu);
        else if (left >= 4) some_rows((int)(some = 4), here, there, from, out + r * WIDE, relu);
        else some_rows((int)(some = 1), here, there, from, out + r * WIDE, relu);
    }
}

static const Factor NOTHING = {NULL, 0, 0, NULL};

/* ---- layers ------------------------------------------------------------------------------------------------------ */

/* Softmax down `rows` rows of WIDE numbers. */
INLINE void softmax(float *x, long rows) {
    Both most = at(x), sum = {all(0.0f), all(0.0f)};
    for (long r = 1; r < rows; r++) {
        Both one = at(x + r * WIDE);
        most = (Both){larger(most.low, one.low), larger(most.high, one.high)};
    }
    for (long r = 0; r < rows; r++) {
        Both one = at(x + r * WIDE);
        one = (Both){power(one.low - most.low), power(one.high - most.high)};
        sum = (Both){sum.low + one.low, sum.high + one.high};
        put(x + r * WIDE, one);
    }
    sum = (Both){1.0f / sum.low, 1.0f / sum.high};
    for (long r = 0; r < rows; r++) {
        Both one = at(x + r * WIDE);
        put(x + r * WIDE, (Both){one.low * sum.low, one.high * sum.high});
    }
}

/* Lay `count` candidates side by side: vectors into the first rows of the panel, features behind what is read. */
INLINE void lay(const Sizes *s, const Weights *w, const float *vectors, const float *features, long count, float *panel) {
    float *told = panel + (s->dim + s->read) * WIDE;
    if (count < WIDE) {
        memset(panel, 0, sizeof(float) * s->dim * WIDE);
        memset(told, 0, sizeof(float) * s->features * WIDE);
    }
    for (long c = 0; c < count; c++)
        for (long d = 0; d < s->dim; d++) panel[d * WIDE + c] = vectors[c * s->dim + d];
    for (long c = 0; c < count; c++)
        for (long f = 0; f < s->features; f++) told[f * WIDE + c] = features[c * s->features + f];
    for (long f = 0; f < s->features; f++) {
        Both x = at(told + f * WIDE);
        x = (Both){(x.low - w->mean[f]) * w->inverse[f], (x.high - w->mean[f]) * w->inverse[f]};
        x = (Both){larger(x.low, all(-CLIP)), larger(x.high, all(-CLIP))};
        put(told + f * WIDE, (Both){smaller(x.low, all(CLIP)), smaller(x.high, all(CLIP))});
    }
}

/* What each head reads of the history, into the panel behind the vectors. */
INLINE void attend(const Sizes *s, Room room) {
    Factor keys = {room.keys, s->dim, s->dim, room.panel};
    product(s->heads * (s->events + 1), keys, NOTHING, room.bias, room.scores, 0);
    for (long h = 0; h < s->heads; h++) {
        float *scores = room.scores + h * (s->events + 1) * WIDE;
        softmax(scores, (s->events + 1));
        Factor values = {room.values + h * s->width * (s->events + 1), (s->events + 1), (s->events + 1), scores};
        product(s->width, values, NOTHING, NULL, room.panel + (s->dim + h * s->width) * WIDE, 0);
    }
}

/* Σ_e gate[t, e] · expert[e] for every task. */
INLINE void mix(const Sizes *s, Room room) {
    float *gates = room.first + s->experts * s->inner * WIDE;
    for (long t = 0; t < s->tasks; t++) {
        float *gate = gates + t * s->experts * WIDE;
        softmax(gate, s->experts);
        for (long y = 0; y < s->output; y++) {
            Both sum = {all(0.0f), all(0.0f)};
            for (long e = 0; e < s->experts; e++) {
                Both weight = at(gate + e * WIDE), one = at(room.second + (e * s->output + y) * WIDE);
                sum = (Both){sum.low + weight.low * one.low, sum.high + weight.high * one.high};
            }
            put(room.mixed + (t * s->output + y) * WIDE, sum);
        }
    }
}

/* Each task's reading into the first T rows of `deep`. */
INLINE void heads(const Sizes *s, const Weights *w, Room room) {
    float *inner = room.deep + s->tasks * WIDE, *told = room.panel + (s->dim + s->read) * WIDE;
    for (long t = 0; t < s->tasks; t++) {
        Factor hidden = {w->hidden + t * s->hidden * s->output, s->output, s->output, room.mixed + t * s->output * WIDE};
        product(s->hidden, hidden, NOTHING, w->hidden_bias + t * s->hidden, inner, 1);
        Factor last = {w->last + t * s->hidden, s->hidden, s->hidden, inner};
        const float *linear = w->wide + t * (s->features + 1);
        Factor wide = {linear, s->features, s->features, told};
        some_rows(1, last, wide, linear + s->features, room.deep + t * WIDE, 0);
    }
}

/* model/nn/heads.py, `chained` and TaskValues: from readings to logits and values. */
static void say(const Sizes *s, const Weights *w, float *reading, float *out) {
    for (long link = 0; link < s->tasks && w->chain[2 * link] >= 0.0f; link++) {
        float *step = reading + (long)w->chain[2 * link] * WIDE, *before = reading + (long)w->chain[2 * link + 1] * WIDE;
        double own = -*step, other = -*before, both = own + other;
        double most = own > other ? own : other;
        if (both > most) most = both;
        *step = (float)-(most + log(exp(own - most) + exp(other - most) + exp(both - most)));
    }
    for (long t = 0; t < s->tasks; t++) {
        float raw = reading[t * WIDE], value = raw * w->linear[t] + w->low[t];
        for (long step = 0; step < s->steps; step++) {
            float height = w->height[t * s->steps + step];
            if (height != 0.0f) value += height / (1.0f + expf(w->threshold[t * s->steps + step] - raw));
        }
        out[t] = value;
    }
}

INLINE void block(const Sizes *s, const Weights *w, const float *vectors, const float *features, long count, float *out,
                  Room room) {
    lay(s, w, vectors, features, count, room.panel);
    attend(s, room);
    Factor candidate = {room.folded, s->dim, s->dim, room.panel};
    Factor rest = {w->each, s->each, s->each, room.panel + s->dim * WIDE};
    long inner = s->experts * s->inner;
    product(inner, candidate, rest, room.once, room.first, 1);
    product(s->rows - inner, below(candidate, inner), below(rest, inner), room.once + inner, room.first + inner * WIDE, 0);
    for (long e = 0; e < s->experts; e++) {
        Factor second = {w->expert + e * s->output * s->inner, s->inner, s->inner, room.first + e * s->inner * WIDE};
        product(s->output, second, NOTHING, w->expert_bias + e * s->output, room.second + e * s->output * WIDE, 1);
    }
    mix(s, room);
    heads(s, w, room);
    for (long c = 0; c < count; c++) say(s, w, room.deep + c, out + c * s->tasks);
}

/* ---- what is computed once a request ----------------------------------------------------------------------------- */

INLINE float dot(const float *x, const float *y, long size) {
    Vector one = all(0.0f), two = all(0.0f);
    long i = 0;
    for (; i + 2 * LANES <= size; i += 2 * LANES) {
        one += *(const Loose *)(x + i) * *(const Loose *)(y + i);
        two += *(const Loose *)(x + i + LANES) * *(const Loose *)(y + i + LANES);
    }
    one += two;
    float sum = ((one[0] + one[4]) + (one[1] + one[5])) + ((one[2] + one[6]) + (one[3] + one[7]));
    for (; i < size; i++) sum += x[i] * y[i];
    return sum;
}

INLINE void dense(long rows, long size, const float *weight, const float *bias, const float *x, float *out) {
    for (long r = 0; r < rows; r++) out[r] = bias[r] + dot(weight + r * size, x, size);
}

INLINE float clipped(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

typedef struct {
    const float *vector, *vectors, *values, *told; /* of users, histories and features of users */
    const int64_t *types, *gaps, *profile, *context;
    const float *candidates, *features;
    float *out;
} Batch;

/* Profile (the mean of its ids) and context as one vector. */
INLINE void moment(const Sizes *s, const Weights *w, const int64_t *profile, const int64_t *context, float *out) {
    long count = 0;
    for (long d = 0; d < s->dim; d++) out[d] = 0.0f;
    for (long p = 0; p < s->profile; p++) {
        if (!profile[p]) continue;
        count++;
        for (long d = 0; d < s->dim; d++) out[d] += w->profile[profile[p] * s->dim + d];
    }
    for (long d = 0; d < s->dim && count > 1; d++) out[d] /= (float)count;
    for (long x = 0; x < s->context; x++)
        for (long d = 0; d < s->dim; d++) out[d] += w->context[(context[x] + (long)w->offset[x]) * s->dim + d];
}

/* The user's part of the first layer, and W·(u*i) = (W·diag(u))·i: the matrix of this user's candidates. */
INLINE void know(const Sizes *s, const Weights *w, Batch of, long b, Room room) {
    const float *vector = of.vector + b * s->dim, *told = of.told + b * s->user;
    float *known = room.known;
    memcpy(known, vector, sizeof(float) * s->dim);
    moment(s, w, of.profile + b * s->profile, of.context + b * s->context, known + s->dim);
    float *features = known + 2 * s->dim, *ranges = features + s->user;
    for (long f = 0; f < s->user; f++) {
        features[f] = clipped((told[f] - w->user_mean[f]) * w->user_inverse[f], -CLIP, CLIP);
        for (long i = f * s->bins; i < (f + 1) * s->bins; i++)
            ranges[i] = clipped((told[f] - w->start[i]) * w->slope[i], 0.0f, 1.0f) * 2.0f - 1.0f;
    }
    float *state = room.whole + s->dim;
    memcpy(room.whole, vector, sizeof(float) * s->dim);
    dense(s->state, s->known, w->state, w->state_bias, known, state);
    for (long i = 0; i < s->state; i++) state[i] *= 0.5f * (1.0f + erff(state[i] * 0.70710678f)); /* GELU */
    dense(s->rows, s->whole, w->once, w->once_bias, room.whole, room.once);
    dense(s->dim, s->state, w->query, w->query_bias, state, room.query);
    for (long d = 0; d < s->dim; d++) room.query[d] += vector[d];
    for (long r = 0; r < s->rows; r++)
        for (long d = 0; d < s->dim; d++)
            room.folded[r * s->dim + d] = w->same[r * s->dim + d] + w->cross[r * s->dim + d] * room.query[d];
}

/* An event as attention reads it, into column `c` of a panel: what happened, standardised; behind the last, nothing. */
INLINE void event(const Sizes *s, const Weights *w, Batch of, long at, long c, float *panel) {
    const float *vector = of.vectors + at * s->dim, *type = w->type + of.types[at] * s->dim;
    const float *gap = w->gap + of.gaps[at] * s->dim, *liking = w->liking + of.types[at] * s->dim;
    float value = of.values[at] - 0.5f, mean = 0.0f, spread = 0.0f;
    for (long d = 0; d < s->dim; d++) mean += panel[d * WIDE + c] = vector[d] + type[d] + gap[d] + value * liking[d];
    mean /= (float)s->dim;
    for (long d = 0; d < s->dim; d++) {
        float away = panel[d * WIDE + c] - mean;
        spread += away * away;
    }
    float scale = 1.0f / sqrtf(spread / (float)s->dim + *w->epsilon);
    for (long d = 0; d < s->dim; d++) {
        float *x = panel + d * WIDE + c;
        *x = (*x - mean) * scale * w->norm[d] + w->norm_bias[d];
    }
}

/* Keys, their bias and what they tell, of all events of one user and of `nothing`, which is always there. */
INLINE void remember(const Sizes *s, const Weights *w, Batch of, long b, Room room) {
    long reach = s->events + 1;
    for (long begun = 0; begun < reach; begun += WIDE) {
        long count = reach - begun < WIDE ? reach - begun : WIDE;
        if (count < WIDE) memset(room.panel, 0, sizeof(float) * s->dim * WIDE);
        for (long c = 0; c < count; c++) {
            if (begun + c < s->events) event(s, w, of, b * s->events + begun + c, c, room.panel);
            else
                for (long d = 0; d < s->dim; d++) room.panel[d * WIDE + c] = w->nothing[d];
        }
        for (long h = 0; h < s->heads; h++) {
            Factor key = {w->key + h * s->dim * s->dim, s->dim, s->dim, room.panel};
            product(s->dim, key, NOTHING, w->key_bias + h * s->dim, room.first, 0);
            for (long c = 0; c < count; c++)
                for (long d = 0; d < s->dim; d++)
                    room.keys[(h * reach + begun + c) * s->dim + d] = room.first[d * WIDE + c];
            Factor told = {w->told + h * s->width * s->dim, s->dim, s->dim, room.panel};
            product(s->width, told, NOTHING, w->told_bias + h * s->width, room.first, 0);
            for (long i = 0; i < s->width; i++)
                for (long c = 0; c < count; c++)
                    room.values[(h * s->width + i) * reach + begun + c] = room.first[i * WIDE + c];
        }
    }
    for (long h = 0; h < s->heads; h++) {
        for (long l = 0; l < s->events; l++) {
            long age = s->events - 1 - l < s->ages ? s->events - 1 - l : s->ages - 1;
            room.bias[h * reach + l] = of.types[b * s->events + l] ? w->distance[age * s->heads + h] : -INFINITY;
        }
        room.bias[h * reach + s->events] = 0.0f;
    }
}

INLINE void everyone(const Sizes *s, const Weights *w, Batch of, long users, long candidates, Room room) {
    for (long b = 0; b < users; b++) {
        know(s, w, of, b, room);
        remember(s, w, of, b, room);
        for (long c = 0; c < candidates; c += WIDE) {
            long row = b * candidates + c, count = candidates - c < WIDE ? candidates - c : WIDE;
            block(s, w, of.candidates + row * s->dim, of.features + row * s->features, count, of.out + row * s->tasks, room);
        }
    }
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static void everyone_avx2(const Sizes *s, const Weights *w, Batch of, long users,
                                                              long candidates, Room room) {
    everyone(s, w, of, users, candidates, room);
}
#endif

static void everyone_plain(const Sizes *s, const Weights *w, Batch of, long users, long candidates, Room room) {
    everyone(s, w, of, users, candidates, room);
}

/* ---- Python ------------------------------------------------------------------------------------------------------ */

/* An array of exactly `size` numbers of a kind ('f' float32, 'l' int64) in C order; 0 with an error set if it is not. */
static int taken(PyObject *from, const char *what, char kind, Py_ssize_t size, int flags, Py_buffer *view) {
    if (PyObject_GetBuffer(from, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | flags) < 0) return 0;
    char found = view->format ? view->format[0] : 'B';
    if (found == 'q') found = 'l';
    Py_ssize_t each = kind == 'f' ? 4 : 8;
    if (found == kind && view->itemsize == each && view->len / each == size) return 1;
    PyErr_Format(PyExc_ValueError, "%s holds %zd bytes of kind %c; give %zd numbers of kind %c", what, view->len, found,
                 size, kind);
    PyBuffer_Release(view);
    return 0;
}

/* Whether ids, none if NULL, lie in [0, most); `offset`: what is added to each of `period` before. */
static int in_range(const int64_t *ids, Py_ssize_t count, const char *what, long most, const float *offset, long period) {
    for (Py_ssize_t i = 0; i < count; i++) {
        int64_t id = ids[i] + (offset ? (int64_t)offset[i % period] : 0);
        if (ids[i] < 0 || id >= most) {
            PyErr_Format(PyExc_IndexError, "%s holds the id %lld; there are %ld", what, (long long)ids[i], most);
            return 0;
        }
    }
    return 1;
}

/* Room for so many numbers, kept by each thread: a new one would be fetched from the system and cleared at every call. */
static float *room_for(long numbers) {
    static _Thread_local float *kept = NULL;
    static _Thread_local long size = 0;
    if (numbers > size) {
        free(kept);
        kept = aligned_alloc(64, (sizeof(float) * (size_t)numbers + 63) / 64 * 64);
        size = kept ? numbers : 0;
    }
    return kept;
}

static long up(long numbers) { return (numbers + 15) / 16 * 16; } /* what follows is aligned */

static int make_room(const Sizes *s, Room *room) {
    long reach = s->events + 1, first = s->rows > s->dim ? s->rows : s->dim;
    if (s->width > first) first = s->width;
    long sizes[] = {s->rows * s->dim, s->rows, s->dim, s->heads * reach * s->dim, s->heads * reach,
                    s->heads * s->width * reach, (s->dim + s->each) * WIDE, s->heads * reach * WIDE, first * WIDE,
                    s->experts * s->output * WIDE, s->tasks * s->output * WIDE, (s->tasks + s->hidden) * WIDE, s->known,
                    s->whole};
    float **parts[] = {&room->folded, &room->once, &room->query, &room->keys, &room->bias, &room->values, &room->panel,
                       &room->scores, &room->first, &room->second, &room->mixed, &room->deep, &room->known, &room->whole};
    const int count = (int)(sizeof sizes / sizeof sizes[0]);
    long total = 0;
    for (int i = 0; i < count; i++) total += up(sizes[i]);
    float *next = room_for(total);
    if (!next) {
        PyErr_NoMemory();
        return 0;
    }
    for (int i = 0; i < count; next += up(sizes[i++])) *parts[i] = next;
    return 1;
}

static int read_sizes(PyObject *from, Sizes *s) {
    long *to[SIZES] = {&s->dim, &s->heads, &s->width, &s->features, &s->experts, &s->inner, &s->output, &s->tasks,
                       &s->hidden, &s->steps, &s->user, &s->bins, &s->state, &s->profiles, &s->contexts, &s->profile,
                       &s->context, &s->types, &s->gaps, &s->ages};
    if (!PyTuple_Check(from) || PyTuple_Size(from) != SIZES) {
        PyErr_Format(PyExc_ValueError, "sizes: give a tuple of %d", SIZES);
        return 0;
    }
    for (int i = 0; i < SIZES; i++) {
        *to[i] = PyLong_AsLong(PyTuple_GetItem(from, i));
        if (PyErr_Occurred()) return 0;
        if (*to[i] < 1 || *to[i] > 1 << 20) {
            PyErr_Format(PyExc_ValueError, "size %d is %ld; give 1 to 2^20", i, *to[i]);
            return 0;
        }
    }
    s->rows = s->experts * (s->inner + s->tasks), s->read = s->heads * s->width, s->each = s->read + s->features;
    s->known = 2 * s->dim + s->user * (1 + s->bins), s->whole = s->dim + s->state;
    return 1;
}

static long weights_of(const Sizes *s) {
    long total = 0;
#define X(name, size) total += size;
    PARTS(X)
#undef X
    return total;
}

static void read_weights(const Sizes *s, const float *next, Weights *w) {
#define X(name, size) w->name = next, next += size;
    PARTS(X)
#undef X
}

typedef void (*Run)(const Sizes *, const Weights *, Batch, long, long, Room);
enum { WEIGHTS, VECTOR, VECTORS, TYPES, VALUES, GAPS, PROFILE, CONTEXT, TOLD, CANDIDATES, FEATURES, OUT, ARRAYS };

static PyObject *ranked(PyObject *args, Run run) {
    Py_ssize_t users, events, candidates;
    PyObject *sizes, *given[ARRAYS], *result = NULL;
    if (!PyArg_ParseTuple(args, "OnnnOOOOOOOOOOOO", &sizes, &users, &events, &candidates, &given[0], &given[1], &given[2],
                          &given[3], &given[4], &given[5], &given[6], &given[7], &given[8], &given[9], &given[10],
                          &given[11]))
        return NULL;
    Sizes s;
    Weights w;
    Room room;
    if (!read_sizes(sizes, &s)) return NULL;
    s.events = events;
    const Py_ssize_t wanted[ARRAYS] = {
        weights_of(&s), users * s.dim, users * events * s.dim, users * events, users * events, users * events,
        users * s.profile, users * s.context, users * s.user, users * candidates * s.dim, users * candidates * s.features,
        users * candidates * s.tasks};
    const char *names[ARRAYS] = {"weights", "user_vector", "history_vectors", "history_types", "history_values",
                                 "history_gaps", "profile", "context", "user_features", "candidate_vectors",
                                 "candidate_features", "out"};
    Py_buffer views[ARRAYS];
    int held = 0;
    for (; held < ARRAYS; held++) {
        char kind = held == TYPES || held == GAPS || held == PROFILE || held == CONTEXT ? 'l' : 'f';
        if (!taken(given[held], names[held], kind, wanted[held], held == OUT ? PyBUF_WRITABLE : 0, &views[held])) goto end;
    }
    read_weights(&s, views[WEIGHTS].buf, &w);
    for (long link = 0; link < 2 * s.tasks; link++)
        if (!(w.chain[link] >= -1.0f && w.chain[link] < (float)s.tasks)) {
            PyErr_SetString(PyExc_ValueError, "a task follows none of the others");
            goto end;
        }
    Batch of = {views[VECTOR].buf, views[VECTORS].buf, views[VALUES].buf, views[TOLD].buf, views[TYPES].buf,
                views[GAPS].buf, views[PROFILE].buf, views[CONTEXT].buf, views[CANDIDATES].buf, views[FEATURES].buf,
                views[OUT].buf};
    if (!in_range(of.types, users * events, names[TYPES], s.types, NULL, 1)) goto end;
    if (!in_range(of.gaps, users * events, names[GAPS], s.gaps, NULL, 1)) goto end;
    if (!in_range(of.profile, users * s.profile, names[PROFILE], s.profiles, NULL, 1)) goto end;
    if (!in_range(of.context, users * s.context, names[CONTEXT], s.contexts, w.offset, s.context)) goto end;
    if (!make_room(&s, &room)) goto end;
    PyThreadState *state = PyEval_SaveThread();
    run(&s, &w, of, users, candidates, room);
    PyEval_RestoreThread(state);
    result = Py_NewRef(Py_None);
end:
    while (held) PyBuffer_Release(&views[--held]);
    return result;
}

static PyObject *rank(PyObject *self, PyObject *args) {
    (void)self;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return ranked(args, everyone_avx2);
#endif
    return ranked(args, everyone_plain);
}

/* `rank` on a processor of which nothing is known. */
static PyObject *rank_plain(PyObject *self, PyObject *args) {
    (void)self;
    return ranked(args, everyone_plain);
}

static PyMethodDef methods[] = {
    {"rank", rank, METH_VARARGS, NULL}, {"rank_plain", rank_plain, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_ranker", NULL, -1, methods, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit__ranker(void) { return PyModule_Create(&module); }
