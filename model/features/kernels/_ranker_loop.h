/* The ranker in one pass that stays in the nearest caches: what is computed once a request and, for every candidate,
 * target attention, the first layer, experts, gates, heads, chains and values. `model/features/fused.py` says what the
 * arrays are, and takes this only where it gives what ranker.onnx gives.
 *
 * Candidates stand side by side, WIDE at a time, as in the graph; a block of them goes through all layers before the next
 * begins, so that nothing but the result is written to memory.
 *
 * A file that includes this says for which processor: LANES numbers in a vector, ROWS rows (4 or more) of a
 * product at a time (so that their sums stay in registers), EVERYONE the function's name and attributes.
 */
#include "_ranker.h"

#define SPLIT (WIDE / LANES)

typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef int32_t Whole __attribute__((vector_size(4 * LANES)));
typedef float Eight __attribute__((vector_size(32)));
typedef float Loose __attribute__((vector_size(32), aligned(4), may_alias));
typedef struct {
    Vector part[SPLIT];
} Line; /* a number of each of WIDE candidates */

#define EACH(v) for (int v = 0; v < SPLIT; v++)

static const Factor NOTHING = {NULL, 0, 0, NULL};

/* ---- vectors ----------------------------------------------------------------------------------------------------- */

INLINE Vector all(float x) { return x - (Vector){0}; }
INLINE Vector either(Whole where, Vector yes, Vector no) { return (Vector)((where & (Whole)yes) | (~where & (Whole)no)); }
INLINE Vector larger(Vector x, Vector y) { return either(x > y, x, y); }
INLINE Vector smaller(Vector x, Vector y) { return either(x < y, x, y); }
INLINE Vector *parts(float *from) { return (Vector *)from; }

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

INLINE void some_rows(const int rows, Factor one, Factor two, const float *start, float *out, const int relu) {
    Line sum[ROWS];
    for (int r = 0; r < rows; r++) EACH(v) sum[r].part[v] = all(start ? start[r] : 0.0f);
    for (int part = 0; part < 2; part++) {
        Factor f = part ? two : one;
        for (long k = 0; k < f.inner; k++) {
            Line x = *(const Line *)(f.panel + k * WIDE);
            for (int r = 0; r < rows; r++) EACH(v) sum[r].part[v] += f.matrix[r * f.stride + k] * x.part[v];
        }
    }
    for (int r = 0; r < rows; r++)
        EACH(v) parts(out + r * WIDE)[v] = relu ? larger(sum[r].part[v], all(0.0f)) : sum[r].part[v];
}

INLINE Factor below(Factor f, long rows) { return (Factor){f.matrix + rows * f.stride, f.stride, f.inner, f.panel}; }

/* As many rows at a time as there are registers for, and the rest in powers of two. */
INLINE void product(long rows, Factor one, Factor two, const float *start, float *out, const int relu) {
    for (long r = 0, some; r < rows; r += some) {
        long left = rows - r;
        Factor here = below(one, r), there = below(two, r);
        const float *from = start ? start + r : NULL;
        float *to = out + r * WIDE;
        if (left >= ROWS && left != 8) some_rows((int)(some = ROWS), here, there, from, to, relu);
        else if (left >= 4) some_rows((int)(some = 4), here, there, from, to, relu);
        else if (left >= 2) some_rows((int)(some = 2), here, there, from, to, relu);
        else some_rows((int)(some = 1), here, there, from, to, relu);
    }
}

/* ---- layers ------------------------------------------------------------------------------------------------------ */

/* Softmax down `rows` rows of WIDE numbers. */
INLINE void softmax(float *x, long rows) {
    EACH(v) {
        Vector most = parts(x)[v], sum = all(0.0f);
        for (long r = 1; r < rows; r++) most = larger(most, parts(x + r * WIDE)[v]);
        for (long r = 0; r < rows; r++) {
            Vector one = power(parts(x + r * WIDE)[v] - most);
            sum += one;
            parts(x + r * WIDE)[v] = one;
        }
        sum = 1.0f / sum;
        for (long r = 0; r < rows; r++) parts(x + r * WIDE)[v] *= sum;
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
    for (long f = 0; f < s->features; f++) EACH(v) {
        Vector x = (parts(told + f * WIDE)[v] - w->mean[f]) * w->inverse[f];
        parts(told + f * WIDE)[v] = smaller(larger(x, all(-CLIP)), all(CLIP));
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
        for (long y = 0; y < s->output; y++) EACH(v) {
            Vector sum = all(0.0f);
            for (long e = 0; e < s->experts; e++)
                sum += parts(gate + e * WIDE)[v] * parts(room.second + (e * s->output + y) * WIDE)[v];
            parts(room.mixed + (t * s->output + y) * WIDE)[v] = sum;
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
    Eight one = {0}, two = {0};
    long i = 0;
    for (; i + 16 <= size; i += 16) {
        one += *(const Loose *)(x + i) * *(const Loose *)(y + i);
        two += *(const Loose *)(x + i + 8) * *(const Loose *)(y + i + 8);
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

EVERYONE(const Sizes *s, const Weights *w, Batch of, long users, long candidates, Room room) {
    for (long b = 0; b < users; b++) {
        know(s, w, of, b, room);
        remember(s, w, of, b, room);
        for (long c = 0; c < candidates; c += WIDE) {
            long row = b * candidates + c, count = candidates - c < WIDE ? candidates - c : WIDE;
            block(s, w, of.candidates + row * s->dim, of.features + row * s->features, count, of.out + row * s->tasks, room);
        }
    }
}
