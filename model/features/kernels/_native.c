/* Loops of the request path over a history and a few hundred candidates: what numpy does in 200 calls, in a dozen.
 *
 * Every function has a twin of the same name and arguments in reference.py, which says what it does;
 * tests/laws/test_features_kernels_laws.py holds both to the same numbers. Arrays come by the buffer protocol, so this
 * needs no header but Python's and works with any numpy. Rows are checked before they are followed, and nothing is
 * written outside of what a buffer says of itself. The interpreter lock is held throughout, which also guards the scratch
 * tables: a call takes microseconds.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MOST 64 /* event types, windows */

/* ---- arrays ---------------------------------------------------------------------------------------------------- */

typedef struct {
    Py_buffer list[72];
    int count;
} Held; /* what has to be let go at the end of a call */

static void let_go(Held *held) {
    while (held->count) PyBuffer_Release(&held->list[--held->count]);
}

#define ANY 0

static char kind_of(const Py_buffer *view) {
    const char *format = view->format ? view->format : "B";
    char found = format[strlen(format) - 1];
    return found == 'q' ? 'l' : found;
}

/* The array `what`: items of `kind` (a struct letter; 'l' stands for any 8-byte integer), `axes` of them, C order. */
static Py_buffer *taken(Held *held, PyObject *from, const char *what, char kind, int axes, int flags) {
    if (held->count == (int)(sizeof held->list / sizeof held->list[0])) {
        PyErr_SetString(PyExc_ValueError, "too many arrays in one call");
        return NULL;
    }
    Py_buffer *view = &held->list[held->count];
    if (PyObject_GetBuffer(from, view, flags | PyBUF_FORMAT) < 0) return NULL;
    held->count++;
    char found = kind_of(view);
    if ((kind && found != kind) || view->ndim != axes) {
        PyErr_Format(PyExc_TypeError, "%s: an array of %d axes and kind %c; give %d axes of kind %c", what, view->ndim,
                     found, axes, kind);
        return NULL;
    }
    return view;
}

static Py_buffer *read_(Held *held, PyObject *from, const char *what, char kind, int axes) {
    return taken(held, from, what, kind, axes, PyBUF_C_CONTIGUOUS);
}

static Py_buffer *written(Held *held, PyObject *from, const char *what, char kind, int axes) {
    return taken(held, from, what, kind, axes, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE);
}

static Py_ssize_t size_of(const Py_buffer *view) { return view->shape[0]; }

static int is_long(const Py_buffer *view, Py_ssize_t size, const char *what) {
    if (size_of(view) == size) return 1;
    PyErr_Format(PyExc_ValueError, "%s has length %zd; give %zd", what, size_of(view), size);
    return 0;
}

/* Columns of a row-major float32 matrix that a call fills: `out` [rows, width], possibly a slice of a wider one. */
typedef struct {
    char *data;
    Py_ssize_t row, column;
} Columns;

static int columns_of(Held *held, PyObject *from, Py_ssize_t rows, Py_ssize_t width, Columns *out) {
    Py_buffer *view = taken(held, from, "out", 'f', 2, PyBUF_STRIDED);
    if (!view) return 0;
    if (view->shape[0] != rows || view->shape[1] != width) {
        PyErr_Format(PyExc_ValueError, "out is %zd x %zd; give %zd x %zd", view->shape[0], view->shape[1], rows, width);
        return 0;
    }
    *out = (Columns){view->buf, view->strides[0], view->strides[1]};
    return 1;
}

static inline float *cell(const Columns *out, Py_ssize_t row, Py_ssize_t column) {
    return (float *)(out->data + row * out->row + column * out->column);
}

/* Bring so many bytes nearer while something else is done; a hint, which other compilers than these need not give. */
#define AHEAD 8
#define LINE 64

static inline void ask_for(const void *from, size_t bytes) {
#if defined(__GNUC__) || defined(__clang__)
    for (size_t at = 0; at < bytes; at += LINE) __builtin_prefetch((const char *)from + at);
    __builtin_prefetch((const char *)from + bytes - 1);
#else
    (void)from, (void)bytes;
#endif
}

/* ---- a table from rows to what is known of them; clearing it is counting one up --------------------------------- */

typedef struct {
    int64_t row;
    uint32_t turn;
    int32_t number;
    double sum;
} Slot;

static Slot *slots = NULL;
static uint64_t slots_mask = 0;
static uint32_t slots_turn = 0;

/* An empty table for so many rows; 0 when memory is out. */
static int fresh_table(Py_ssize_t rows) {
    uint64_t wanted = 1024;
    while (wanted < (uint64_t)rows * 2) wanted *= 2;
    if (!slots || wanted > slots_mask + 1) {
        free(slots);
        slots = calloc(wanted, sizeof(Slot));
        slots_turn = 0;
        if (!slots) {
            slots_mask = 0;
            PyErr_NoMemory();
            return 0;
        }
        slots_mask = wanted - 1;
    }
    if (++slots_turn == 0) { /* after four thousand million calls */
        memset(slots, 0, (slots_mask + 1) * sizeof(Slot));
        slots_turn = 1;
    }
    return 1;
}

/* Where a row is or would be: a slot of this turn, or one that is free. `narrow` keeps a small table in few lines of cache. */
static inline Slot *slot_of(int64_t row, uint64_t narrow) {
    uint64_t place = ((uint64_t)row * 0x9E3779B97F4A7C15ull) >> 32;
    for (;; place++) {
        Slot *slot = &slots[place & narrow];
        if (slot->turn != slots_turn || slot->row == row) return slot;
    }
}

static uint64_t narrowed(Py_ssize_t rows) {
    uint64_t wanted = 1024;
    while (wanted < (uint64_t)rows * 2) wanted *= 2;
    return wanted - 1;
}

/* ---- the best k ------------------------------------------------------------------------------------------------ */

/* A hit as one number: the better its score and then the lower its row, the smaller; NaN is worse than all others. So a
 * comparison is one instruction whose outcome nobody has to foresee. Rows are below 2^32. */
static inline uint64_t key_of(float score, int64_t row) {
    uint32_t bits;
    score += 0.0f; /* -0 is 0 */
    memcpy(&bits, &score, sizeof bits);
    uint32_t up = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    if (score != score) up = 0;
    return (uint64_t)~up << 32 | (uint32_t)row;
}

static inline float score_of(uint64_t key) {
    uint32_t up = ~(uint32_t)(key >> 32), bits = up & 0x80000000u ? up ^ 0x80000000u : ~up;
    float score;
    memcpy(&score, &bits, sizeof score);
    return score;
}

typedef struct {
    uint64_t *keys, limit; /* keys of `limit` and above are not among the best */
    Py_ssize_t size, most, room;
} Best;

/* Brings the `most` smallest of more keys to the front; all differ. */
static void select_keys(uint64_t *keys, Py_ssize_t size, Py_ssize_t most) {
    Py_ssize_t low = 0, high = size;
    while (high - low > 1) {
        uint64_t one = keys[low], two = keys[low + (high - low) / 2], three = keys[high - 1];
        uint64_t least = one < two ? one : two, greatest = one < two ? two : one;
        Py_ssize_t middle = three < least ? low + (one < two ? 0 : (high - low) / 2)
                            : three > greatest ? low + (one < two ? (high - low) / 2 : 0) : high - 1;
        uint64_t pivot = keys[middle];
        keys[middle] = keys[high - 1], keys[high - 1] = pivot;
        Py_ssize_t place = low;
        for (Py_ssize_t i = low; i < high - 1; i++) {
            uint64_t moved = keys[i];
            keys[i] = keys[place], keys[place] = moved;
            place += moved < pivot;
        }
        keys[high - 1] = keys[place], keys[place] = pivot;
        if (place == most || place == most - 1) return;
        if (place > most) high = place;
        else low = place + 1;
    }
}

static void keep_best(Best *best) {
    select_keys(best->keys, best->size, best->most);
    best->size = best->most;
    best->limit = 0;
    for (Py_ssize_t i = 0; i < best->size; i++) best->limit = best->keys[i] > best->limit ? best->keys[i] : best->limit;
}

static inline void offer(Best *best, uint64_t key) {
    if (key >= best->limit) return;
    best->keys[best->size++] = key;
    if (best->size == best->room) keep_best(best);
}

/* Ascending, by merging ever longer runs; `aside` is as long. */
static uint64_t *sorted(uint64_t *keys, uint64_t *aside, Py_ssize_t size) {
    for (Py_ssize_t run = 1; run < size; run *= 2) {
        for (Py_ssize_t from = 0; from < size; from += 2 * run) {
            Py_ssize_t middle = from + run < size ? from + run : size, end = from + 2 * run < size ? from + 2 * run : size;
            Py_ssize_t i = from, j = middle, to = from;
            while (i < middle && j < end) {
                uint64_t one = keys[i], other = keys[j];
                int later = other < one;
                aside[to++] = later ? other : one;
                i += !later, j += later;
            }
            while (i < middle) aside[to++] = keys[i++];
            while (j < end) aside[to++] = keys[j++];
        }
        uint64_t *made = aside;
        aside = keys, keys = made;
    }
    return keys;
}

/* Best first, into `rows` and `scores`; the key of the last one, or the highest of all when there is room for more. */
static uint64_t in_order(Best *best, int64_t *rows, float *scores) {
    if (best->size > best->most) keep_best(best);
    const uint64_t *keys = sorted(best->keys, best->keys + best->room, best->size);
    for (Py_ssize_t i = 0; i < best->size; i++) rows[i] = (uint32_t)keys[i], scores[i] = score_of(keys[i]);
    return best->most && best->size == best->most ? keys[best->size - 1] : UINT64_MAX;
}

/* ---- what may be answered -------------------------------------------------------------------------------------- */

typedef struct {
    const uint8_t *mask; /* NULL: all */
    Py_ssize_t size;
    const int64_t *excluded; /* ascending */
    Py_ssize_t without;
} Rule;

static int rule_of(Held *held, PyObject *mask, PyObject *excluded, Rule *rule) {
    *rule = (Rule){NULL, 0, NULL, 0};
    if (mask != Py_None) {
        Py_buffer *view = read_(held, mask, "mask", '?', 1);
        if (!view) return 0;
        rule->mask = view->buf, rule->size = size_of(view);
    }
    Py_buffer *rows = read_(held, excluded, "excluded", 'l', 1);
    if (!rows) return 0;
    rule->excluded = rows->buf, rule->without = size_of(rows);
    return 1;
}

static int out_of_range(const Rule *rule, int64_t row) {
    if (rule->mask && (row < 0 || row >= rule->size)) {
        PyErr_Format(PyExc_IndexError, "row %lld: the catalogue has %zd rows", (long long)row, rule->size);
        return 1;
    }
    return 0;
}

static inline int answerable(const Rule *rule, int64_t row) {
    if (rule->mask && !rule->mask[row]) return 0;
    const int64_t *low = rule->excluded;
    for (Py_ssize_t size = rule->without; size > 0;) {
        Py_ssize_t half = size / 2;
        if (low[half] < row) low += half + 1, size -= half + 1;
        else size = half;
    }
    return low == rule->excluded + rule->without || *low != row;
}

/* Room for the answer of `best`, `neighbours` and `nearest`: rows int64 [k], scores float32 [k]. */
static int room(Held *held, PyObject *rows, PyObject *scores, int64_t **row, float **score, Best *best) {
    Py_buffer *one = written(held, rows, "out_rows", 'l', 1);
    Py_buffer *other = one ? written(held, scores, "out_scores", 'f', 1) : NULL;
    if (!other || !is_long(other, size_of(one), "out_scores")) return 0;
    *row = one->buf, *score = other->buf;
    Py_ssize_t most = size_of(one), all = 2 * most + 64;
    *best = (Best){malloc(2 * all * sizeof(uint64_t)), most ? UINT64_MAX : 0, 0, most, all};
    if (!best->keys) PyErr_NoMemory();
    return best->keys != NULL;
}

static int too_high(int64_t row) {
    if (row >= 0 && row <= UINT32_MAX) return 0;
    PyErr_Format(PyExc_IndexError, "row %lld: rows are 0 to %lld", (long long)row, (long long)UINT32_MAX);
    return 1;
}

/* ---- best(rows, scores, mask, excluded, out_rows, out_scores) -> count ------------------------------------------- */

static PyObject *best_rows(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *rows_, *scores_, *mask_, *excluded_, *out_rows, *out_scores;
    if (!PyArg_ParseTuple(args, "OOOOOO", &rows_, &scores_, &mask_, &excluded_, &out_rows, &out_scores)) return NULL;
    Held held = {.count = 0};
    PyObject *result = NULL;
    Rule rule;
    Best best = {NULL, 0, 0, 0, 0};
    int64_t *to_rows;
    float *to_scores;
    Py_buffer *rows = read_(&held, rows_, "rows", 'l', 1);
    Py_buffer *scores = rows ? read_(&held, scores_, "scores", 'f', 1) : NULL;
    if (!scores || !is_long(scores, size_of(rows), "scores") || !rule_of(&held, mask_, excluded_, &rule)) goto end;
    if (!room(&held, out_rows, out_scores, &to_rows, &to_scores, &best)) goto end;
    const int64_t *row = rows->buf;
    const float *score = scores->buf;
    for (Py_ssize_t i = 0; i < size_of(rows); i++) {
        if (out_of_range(&rule, row[i]) || too_high(row[i])) goto end;
        uint64_t key = key_of(score[i], row[i]);
        if (key < best.limit && answerable(&rule, row[i])) offer(&best, key);
    }
    in_order(&best, to_rows, to_scores);
    result = PyLong_FromSsize_t(best.size);
end:
    free(best.keys);
    let_go(&held);
    return result;
}

/* ---- neighbours(indptr, indices, weights, rows, factors, mask, excluded, out_rows, out_scores, beyond_rows,
        beyond_scores) -> (count, beyond) --------------------------------------------------------------------------- */

static int64_t *met = NULL; /* the table's slots in the order they were first written */
static Py_ssize_t met_room = 0;

static int met_for(Py_ssize_t count) {
    if (count <= met_room) return 1;
    free(met);
    met = malloc(count * sizeof *met);
    met_room = met ? count : 0;
    if (!met) PyErr_NoMemory();
    return met != NULL;
}

static PyObject *neighbours(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *indptr_, *indices_, *weights_, *rows_, *factors_, *mask_, *excluded_, *out_rows, *out_scores;
    PyObject *beyond_rows_, *beyond_scores_;
    if (!PyArg_ParseTuple(args, "OOOOOOOOOOO", &indptr_, &indices_, &weights_, &rows_, &factors_, &mask_, &excluded_,
                          &out_rows, &out_scores, &beyond_rows_, &beyond_scores_))
        return NULL;
    Held held = {.count = 0};
    PyObject *result = NULL;
    Rule rule;
    Best best = {NULL, 0, 0, 0, 0};
    int64_t *to_rows;
    float *to_scores;
    Py_buffer *indptr = read_(&held, indptr_, "indptr", 'l', 1);
    Py_buffer *indices = indptr ? read_(&held, indices_, "indices", 'i', 1) : NULL;
    Py_buffer *weights = indices ? read_(&held, weights_, "weights", 'f', 1) : NULL;
    Py_buffer *rows = weights ? read_(&held, rows_, "rows", 'l', 1) : NULL;
    Py_buffer *factors = rows ? read_(&held, factors_, "factors", 'f', 1) : NULL;
    if (!factors || !is_long(factors, size_of(rows), "factors")) goto end;
    if (!is_long(weights, size_of(indices), "weights") || !rule_of(&held, mask_, excluded_, &rule)) goto end;
    Py_buffer *more_rows = written(&held, beyond_rows_, "beyond_rows", 'l', 1);
    Py_buffer *more_scores = more_rows ? written(&held, beyond_scores_, "beyond_scores", 'f', 1) : NULL;
    if (!more_scores || !is_long(more_scores, size_of(more_rows), "beyond_scores")) goto end;
    if (!room(&held, out_rows, out_scores, &to_rows, &to_scores, &best)) goto end;
    int64_t *more_row = more_rows->buf;
    float *more_score = more_scores->buf;
    Py_ssize_t more = 0;
    const int64_t *start = indptr->buf, *row = rows->buf;
    const int32_t *index = indices->buf;
    const float *weight = weights->buf, *factor = factors->buf;
    Py_ssize_t known = size_of(indptr) - 1, entries = 0, unique = 0;
    for (Py_ssize_t i = 0; i < size_of(rows); i++) {
        if (row[i] < 0 || row[i] >= known) continue; /* added after training: it has no neighbours */
        if (i + AHEAD < size_of(rows) && row[i + AHEAD] >= 0 && row[i + AHEAD] < known)
            ask_for(start + row[i + AHEAD], 2 * sizeof *start);
        int64_t from = start[row[i]], to = start[row[i] + 1];
        if (from < 0 || to < from || to > size_of(indices)) {
            PyErr_Format(PyExc_IndexError, "neighbours of row %lld: entries %lld to %lld of %zd", (long long)row[i],
                         (long long)from, (long long)to, size_of(indices));
            goto end;
        }
        entries += to - from;
    }
    if (!fresh_table(entries) || !met_for(entries + 1)) goto end;
    uint64_t narrow = narrowed(entries);
    for (Py_ssize_t i = 0; i < size_of(rows); i++) {
        if (i + 1 < size_of(rows) && row[i + 1] >= 0 && row[i + 1] < known) {
            int64_t from = start[row[i + 1]], many = start[row[i + 1] + 1] - from;
            if (many) ask_for(index + from, many * sizeof *index), ask_for(weight + from, many * sizeof *weight);
        }
        if (row[i] < 0 || row[i] >= known) continue;
        for (int64_t at = start[row[i]]; at < start[row[i] + 1]; at++) {
            Slot *slot = slot_of(index[at], narrow);
            if (slot->turn != slots_turn) {
                if (out_of_range(&rule, index[at])) goto end;
                *slot = (Slot){index[at], slots_turn, 0, 0.0};
                met[unique++] = slot - slots;
            }
            slot->sum += (double)(factor[i] * weight[at]); /* as numpy does: products in float32, sums in float64 */
        }
    }
    for (Py_ssize_t i = 0; i < unique; i++) {
        const Slot *slot = &slots[met[i]];
        uint64_t key = key_of((float)slot->sum, slot->row);
        if (slot->sum != 0.0 && key < best.limit && answerable(&rule, slot->row)) offer(&best, key);
    }
    uint64_t worst = in_order(&best, to_rows, to_scores);
    /* All that is not among the best: what is worse than the worst of them, and what may not be answered. */
    for (Py_ssize_t i = 0; i < unique; i++) {
        const Slot *slot = &slots[met[i]];
        float score = (float)slot->sum;
        if (slot->sum == 0.0) continue;
        if (best.most && key_of(score, slot->row) <= worst && answerable(&rule, slot->row)) continue;
        if (more == size_of(more_rows)) break; /* room for fewer was given: any of them */
        more_row[more] = slot->row, more_score[more++] = score;
    }
    result = Py_BuildValue("nn", best.size, more);
end:
    free(best.keys);
    let_go(&held);
    return result;
}

/* ---- nearest(vectors, rows, query, out_rows, out_scores) -> count: the best of some rows by their inner product ----- */

#define LANES 8

static float inner(const float *one, const float *other, Py_ssize_t width) {
    float sums[LANES] = {0}, sum = 0.0f;
    Py_ssize_t d = 0;
    for (; d + LANES <= width; d += LANES)
        for (int lane = 0; lane < LANES; lane++) sums[lane] += one[d + lane] * other[d + lane];
    for (; d < width; d++) sum += one[d] * other[d];
    for (int lane = 0; lane < LANES; lane++) sum += sums[lane];
    return sum;
}

static PyObject *nearest(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *vectors_, *rows_, *query_, *out_rows, *out_scores;
    if (!PyArg_ParseTuple(args, "OOOOO", &vectors_, &rows_, &query_, &out_rows, &out_scores)) return NULL;
    Held held = {.count = 0};
    PyObject *result = NULL;
    Best best = {NULL, 0, 0, 0, 0};
    int64_t *to_rows;
    float *to_scores;
    Py_buffer *vectors = read_(&held, vectors_, "vectors", 'f', 2);
    Py_buffer *rows = vectors ? read_(&held, rows_, "rows", 'l', 1) : NULL;
    Py_buffer *query = rows ? read_(&held, query_, "query", 'f', 1) : NULL;
    if (!query || !is_long(query, vectors->shape[1], "query")) goto end;
    if (!room(&held, out_rows, out_scores, &to_rows, &to_scores, &best)) goto end;
    const float *vector = vectors->buf, *asked = query->buf;
    const int64_t *row = rows->buf;
    Py_ssize_t width = vectors->shape[1];
    for (Py_ssize_t i = 0; i < size_of(rows); i++) {
        if (i + AHEAD < size_of(rows) && row[i + AHEAD] >= 0 && row[i + AHEAD] < size_of(vectors))
            ask_for(vector + row[i + AHEAD] * width, width * sizeof *vector);
        if (row[i] < 0) continue; /* nothing was found there */
        if (row[i] >= size_of(vectors) || too_high(row[i])) {
            PyErr_Format(PyExc_IndexError, "row %lld: there are %zd", (long long)row[i], size_of(vectors));
            goto end;
        }
        offer(&best, key_of(inner(vector + row[i] * width, asked, width), row[i]));
    }
    in_order(&best, to_rows, to_scores);
    result = PyLong_FromSsize_t(best.size);
end:
    free(best.keys);
    let_go(&held);
    return result;
}

/* ---- merge(lists, quotas, out_rows, out_offered) -> count -------------------------------------------------------- */

typedef struct {
    double place;
    int64_t row;
    uint64_t offered;
} Candidate;

static int by_place(const void *a, const void *b) {
    const Candidate *one = a, *other = b;
    if (one->place != other->place) return one->place < other->place ? -1 : 1;
    return one->row < other->row ? -1 : one->row > other->row;
}

/* Brings the `most` first by place to the front, in no particular order. */
static void divide(Candidate *all, Py_ssize_t size, Py_ssize_t most) {
    Py_ssize_t low = 0, high = size - 1;
    while (low < high) {
        Candidate pivot = all[low + (high - low) / 2];
        Py_ssize_t i = low, j = high;
        while (i <= j) {
            while (by_place(&all[i], &pivot) < 0) i++;
            while (by_place(&pivot, &all[j]) < 0) j--;
            if (i <= j) {
                Candidate moved = all[i];
                all[i++] = all[j];
                all[j--] = moved;
            }
        }
        if (most - 1 <= j) high = j;
        else if (most - 1 >= i) low = i;
        else break;
    }
}

static PyObject *merge(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *lists, *quotas, *out_rows, *out_offered, *result = NULL;
    if (!PyArg_ParseTuple(args, "O!O!OO", &PyTuple_Type, &lists, &PyTuple_Type, &quotas, &out_rows, &out_offered))
        return NULL;
    Held held = {.count = 0};
    Candidate *all = NULL;
    uint64_t *keys = NULL;
    Py_ssize_t channels = PyTuple_Size(lists), entries = 0, unique = 0;
    if (channels > 30 || PyTuple_Size(quotas) != channels) {
        PyErr_Format(PyExc_ValueError, "%zd lists, %zd quotas; give as many, 30 at most", channels, PyTuple_Size(quotas));
        return NULL;
    }
    Py_buffer *rows = written(&held, out_rows, "out_rows", 'l', 1);
    Py_buffer *offered = rows ? written(&held, out_offered, "out_offered", '?', 2) : NULL;
    if (!offered) goto end;
    if (offered->shape[0] != size_of(rows) || offered->shape[1] != channels) {
        PyErr_SetString(PyExc_ValueError, "out_offered: give one row for each of out_rows and one column for each list");
        goto end;
    }
    const int64_t *row[30];
    Py_ssize_t sizes[30];
    double quota[30];
    for (Py_ssize_t m = 0; m < channels; m++) {
        Py_buffer *list = read_(&held, PyTuple_GetItem(lists, m), "lists", 'l', 1);
        if (!list) goto end;
        Py_ssize_t most = PyLong_AsSsize_t(PyTuple_GetItem(quotas, m));
        if (most == -1 && PyErr_Occurred()) goto end;
        row[m] = list->buf, sizes[m] = size_of(list) < most ? size_of(list) : most, quota[m] = most > 1 ? most : 1;
        if (sizes[m] < 0) sizes[m] = 0;
        entries += sizes[m];
    }
    all = malloc((entries + 1) * sizeof *all);
    if (!all) PyErr_NoMemory();
    if (!all || !fresh_table(entries)) goto end;
    uint64_t narrow = narrowed(entries);
    for (Py_ssize_t m = 0; m < channels; m++) {
        for (Py_ssize_t i = 0; i < sizes[m]; i++) {
            Slot *slot = slot_of(row[m][i], narrow);
            double place = (double)i / quota[m];
            if (slot->turn != slots_turn) {
                *slot = (Slot){row[m][i], slots_turn, (int32_t)unique, 0.0};
                all[unique++] = (Candidate){place, row[m][i], 0};
            }
            Candidate *candidate = &all[slot->number];
            if (place < candidate->place) candidate->place = place;
            candidate->offered |= (uint64_t)1 << m;
        }
    }
    Py_ssize_t kept = unique < size_of(rows) ? unique : size_of(rows);
    if (kept < unique && kept) divide(all, unique, kept);
    keys = malloc((2 * kept + 1) * sizeof *keys);
    if (!keys) {
        PyErr_NoMemory();
        goto end;
    }
    for (Py_ssize_t i = 0; i < kept; i++) {
        if (too_high(all[i].row)) goto end;
        keys[i] = (uint64_t)all[i].row << 32 | (uint64_t)i;
    }
    const uint64_t *by_row = sorted(keys, keys + kept, kept);
    int64_t *to = rows->buf;
    uint8_t *told = offered->buf;
    for (Py_ssize_t i = 0; i < kept; i++) {
        const Candidate *one = &all[(uint32_t)by_row[i]];
        to[i] = one->row;
        for (Py_ssize_t m = 0; m < channels; m++) told[i * channels + m] = one->offered >> m & 1;
    }
    result = PyLong_FromSsize_t(kept);
end:
    free(all);
    free(keys);
    let_go(&held);
    return result;
}

/* ---- evidence(candidates, rows, scores, beyond_rows, beyond_scores, offset, out): what lists say of candidates ------- */

/* Scores of rows beyond a list into a column, for the candidates among them. */
static int beyond(Held *held, PyObject *rows_, PyObject *scores_, const Py_buffer *candidates, const Columns *out,
                  Py_ssize_t column) {
    Py_buffer *rows = read_(held, rows_, "beyond_rows", 'l', 1);
    Py_buffer *scores = rows ? read_(held, scores_, "beyond_scores", 'f', 1) : NULL;
    if (!scores || !is_long(scores, size_of(rows), "beyond_scores")) return 0;
    if (!size_of(rows)) return 1;
    const int64_t *row = rows->buf, *candidate = candidates->buf;
    const float *score = scores->buf;
    uint64_t narrow = narrowed(size_of(candidates));
    if (!fresh_table(size_of(candidates))) return 0;
    for (Py_ssize_t c = 0; c < size_of(candidates); c++)
        *slot_of(candidate[c], narrow) = (Slot){candidate[c], slots_turn, 0, 0.0};
    for (Py_ssize_t i = 0; i < size_of(rows); i++) {
        Slot *slot = slot_of(row[i], narrow);
        if (slot->turn == slots_turn) slot->number = 1, slot->sum = score[i];
    }
    for (Py_ssize_t c = 0; c < size_of(candidates); c++) {
        const Slot *slot = slot_of(candidate[c], narrow);
        if (slot->number) *cell(out, c, column) = log1pf((float)slot->sum);
    }
    return 1;
}

static PyObject *evidence(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *candidates_, *lists, *scores_, *beyond_rows, *beyond_scores, *out_, *result = NULL;
    double offset;
    if (!PyArg_ParseTuple(args, "OO!O!O!O!dO", &candidates_, &PyTuple_Type, &lists, &PyTuple_Type, &scores_,
                          &PyTuple_Type, &beyond_rows, &PyTuple_Type, &beyond_scores, &offset, &out_))
        return NULL;
    Held held = {.count = 0};
    Py_ssize_t channels = PyTuple_Size(lists);
    Columns out;
    if (channels > 15 || PyTuple_Size(scores_) != channels || PyTuple_Size(beyond_rows) != channels ||
        PyTuple_Size(beyond_scores) != channels) {
        PyErr_Format(PyExc_ValueError, "%zd lists, %zd scores, beyond them %zd and %zd; give as many, 15 at most", channels,
                     PyTuple_Size(scores_), PyTuple_Size(beyond_rows), PyTuple_Size(beyond_scores));
        return NULL;
    }
    Py_buffer *candidates = read_(&held, candidates_, "candidates", 'l', 1);
    if (!candidates || !columns_of(&held, out_, size_of(candidates), 2 * channels, &out)) goto end;
    const int64_t *candidate = candidates->buf;
    for (Py_ssize_t m = 0; m < channels; m++) {
        Py_buffer *rows = read_(&held, PyTuple_GetItem(lists, m), "rows", 'l', 1);
        Py_buffer *scores = rows ? read_(&held, PyTuple_GetItem(scores_, m), "scores", 'f', 1) : NULL;
        if (!scores || !is_long(scores, size_of(rows), "scores") || !fresh_table(size_of(rows))) goto end;
        const int64_t *row = rows->buf;
        const float *score = scores->buf;
        uint64_t narrow = narrowed(size_of(rows));
        for (Py_ssize_t i = 0; i < size_of(rows); i++)
            *slot_of(row[i], narrow) = (Slot){row[i], slots_turn, (int32_t)i, 0.0};
        for (Py_ssize_t c = 0; c < size_of(candidates); c++) {
            const Slot *slot = slot_of(candidate[c], narrow);
            int found = slot->turn == slots_turn;
            *cell(&out, c, 2 * m) = found ? log1pf(score[slot->number]) : 0.0f;
            *cell(&out, c, 2 * m + 1) = found ? (float)(offset / (offset + slot->number)) : 0.0f;
        }
        PyObject *more_rows = PyTuple_GetItem(beyond_rows, m), *more_scores = PyTuple_GetItem(beyond_scores, m);
        if (!beyond(&held, more_rows, more_scores, candidates, &out, 2 * m)) goto end;
    }
    result = Py_NewRef(Py_None);
end:
    let_go(&held);
    return result;
}

/* ---- counted(rows, counts, newest, first, half_lives, total, now, prior_count, prior_events, out) ------------------- */

static PyObject *counted(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *rows_, *counts_, *newest_, *first_, *half_lives_, *total_, *out_, *result = NULL;
    double now, prior_count, prior_events;
    if (!PyArg_ParseTuple(args, "OOOOOOdddO", &rows_, &counts_, &newest_, &first_, &half_lives_, &total_, &now, &prior_count,
                          &prior_events, &out_))
        return NULL;
    Held held = {.count = 0};
    Columns out;
    Py_buffer *rows = read_(&held, rows_, "rows", 'l', 1);
    Py_buffer *counts = rows ? read_(&held, counts_, "counts", 'd', 3) : NULL;
    Py_buffer *newest = counts ? read_(&held, newest_, "newest", 'd', 1) : NULL;
    Py_buffer *first = newest ? read_(&held, first_, "first", 'd', 1) : NULL;
    Py_buffer *half_lives = first ? read_(&held, half_lives_, "half_lives", 'd', 1) : NULL;
    Py_buffer *total = half_lives ? read_(&held, total_, "total", 'd', 2) : NULL;
    if (!total) goto end;
    Py_ssize_t items = counts->shape[0], kinds = counts->shape[1], windows = counts->shape[2];
    if (!is_long(newest, items, "newest") || !is_long(first, items, "first")) goto end;
    if (!is_long(half_lives, windows, "half_lives")) goto end;
    if (total->shape[0] != kinds || total->shape[1] != windows || kinds < 1 || kinds > MOST || windows < 1 || windows > MOST) {
        PyErr_Format(PyExc_ValueError, "%zd event types and %zd windows; give 1 to %d of each, of which total holds all",
                     kinds, windows, MOST);
        goto end;
    }
    if (!columns_of(&held, out_, size_of(rows), kinds * windows + kinds + 1, &out)) goto end;
    const int64_t *row = rows->buf;
    const double *count = counts->buf, *last = newest->buf, *begun = first->buf, *half_life = half_lives->buf;
    const double *of_all = total->buf;
    float rate[MOST], usual[MOST], average[MOST * MOST];
    double events = 0.0;
    for (Py_ssize_t e = 0; e < kinds; e++) events += of_all[e * windows + windows - 1] + prior_count;
    for (Py_ssize_t e = 0; e < kinds; e++)
        usual[e] = (float)((of_all[e * windows + windows - 1] + prior_count) / events); /* each type's share */
    for (Py_ssize_t i = 0; i < kinds * windows; i++) /* what an average item reads as */
        average[i] = (float)log(of_all[i] / (items > 1 ? items : 1) + prior_count);
    for (Py_ssize_t w = 0; w < windows; w++) rate[w] = (float)(-0.6931471805599453 / half_life[w]);
    for (Py_ssize_t c = 0; c < size_of(rows); c++) {
        if (row[c] < 0) {
            PyErr_Format(PyExc_IndexError, "row %lld: rows start at 0", (long long)row[c]);
            goto end;
        }
        if (c + AHEAD < size_of(rows)) { /* each lies somewhere else in memory: ask for what comes soon */
            int64_t soon = row[c + AHEAD];
            if (soon >= 0 && soon < items) {
                ask_for(count + soon * kinds * windows, kinds * windows * sizeof *count);
                ask_for(last + soon, sizeof *last);
                ask_for(begun + soon, sizeof *begun);
            }
        }
        int known = row[c] < items; /* one beyond the end has had no event */
        int64_t at = known ? row[c] : items - 1;
        const double *mine = count + at * kinds * windows;
        double idle = items ? now - last[at] : 0.0;
        float age = (float)(idle > 1e20 ? 1e20 : idle), all = 0.0f, fade[MOST];
        for (Py_ssize_t w = 0; w < windows; w++) fade[w] = rate[w] == 0.0f ? 1.0f : expf(rate[w] * age);
        for (Py_ssize_t e = 0; e < kinds; e++) {
            for (Py_ssize_t w = 0; w < windows; w++) {
                float now_ = known ? (float)mine[e * windows + w] * fade[w] : 0.0f;
                float told = now_ == 0.0f && prior_count == 1.0 ? 0.0f : logf(now_ + (float)prior_count);
                *cell(&out, c, e * windows + w) = told - average[e * windows + w];
            }
            all += known ? (float)mine[e * windows + windows - 1] : 0.0f;
        }
        for (Py_ssize_t e = 0; e < kinds; e++) {
            float had = known ? (float)mine[e * windows + windows - 1] : 0.0f;
            float of_type = (had + (float)prior_events * usual[e]) / (all + (float)prior_events);
            *cell(&out, c, kinds * windows + e) = logf(of_type) - logf(usual[e]);
        }
        float hours = known ? (float)(now - begun[at]) * (float)(1.0 / 3600.0) + 1.0f : 1.0f;
        *cell(&out, c, kinds * windows + kinds) = (hours > 1.0f ? logf(hours) : 0.0f) * 0.1f;
    }
    result = Py_NewRef(Py_None);
end:
    let_go(&held);
    return result;
}

/* ---- crosses(history, ids, values, candidates, mine, out): attributes and ids of candidates against a history ------- */

static PyObject *crosses(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *history_, *ids_, *values_, *candidates_, *mine_, *out_, *result = NULL;
    if (!PyArg_ParseTuple(args, "OOOOOO", &history_, &ids_, &values_, &candidates_, &mine_, &out_)) return NULL;
    Held held = {.count = 0};
    Columns out;
    Py_buffer *history = read_(&held, history_, "history", 'l', 1);
    Py_buffer *ids = history ? read_(&held, ids_, "ids", 'i', 2) : NULL;
    Py_buffer *values = ids ? read_(&held, values_, "values", 'f', 1) : NULL;
    Py_buffer *candidates = values ? read_(&held, candidates_, "candidates", 'l', 1) : NULL;
    Py_buffer *mine = candidates ? read_(&held, mine_, "mine", 'i', 2) : NULL;
    if (!mine || !columns_of(&held, out_, size_of(candidates), 4, &out)) goto end;
    Py_ssize_t all = size_of(history), events = ids->shape[0], width = ids->shape[1];
    if (events > all || !is_long(values, events, "values") || mine->shape[0] != size_of(candidates) ||
        mine->shape[1] != width) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "ids and mine: give a row for each item, equally wide");
        goto end;
    }
    const int64_t *row = history->buf, *candidate = candidates->buf; /* ids are of the newest events */
    const int32_t *id = ids->buf, *own = mine->buf;
    const float *value = values->buf;
    if (!fresh_table(events * width) || !met_for(events * width + 1)) goto end;
    uint64_t narrow = narrowed(events * width);
    Py_ssize_t unique = 0;
    double *often = (double *)met; /* as wide as an int64 */
    for (Py_ssize_t i = 0; i < events; i++) {
        for (Py_ssize_t a = 0; a < width; a++) {
            if (!id[i * width + a]) continue;
            Slot *slot = slot_of(id[i * width + a], narrow);
            if (slot->turn != slots_turn) {
                *slot = (Slot){id[i * width + a], slots_turn, (int32_t)unique, 0.0};
                often[unique++] = 0.0;
            }
            often[slot->number] += 1.0;
            slot->sum += (double)(value[i] - 0.5f);
        }
    }
    float size = events ? (float)events : 1.0f;
    for (Py_ssize_t c = 0; c < size_of(candidates); c++) {
        float known = 0.0f, overlap = 0.0f, liked = 0.0f;
        for (Py_ssize_t a = 0; a < width; a++) {
            int32_t one = own[c * width + a];
            if (!one) continue;
            known += 1.0f;
            const Slot *slot = slot_of(one, narrow);
            if (slot->turn != slots_turn) continue;
            float met_ = (float)often[slot->number];
            overlap += met_;
            liked += (float)slot->sum / (met_ + 1.0f);
        }
        known = known > 1.0f ? known : 1.0f;
        *cell(&out, c, 0) = overlap / known / size;
        *cell(&out, c, 1) = liked / known;
    }
    if (!fresh_table(all)) goto end;
    narrow = narrowed(all);
    for (Py_ssize_t i = 0; i < all; i++) {
        Slot *slot = slot_of(row[i], narrow);
        if (slot->turn != slots_turn) *slot = (Slot){row[i], slots_turn, 0, 0.0};
        slot->sum += 1.0;
    }
    for (Py_ssize_t c = 0; c < size_of(candidates); c++) {
        const Slot *slot = slot_of(candidate[c], narrow);
        *cell(&out, c, 2) = slot->turn == slots_turn ? (float)log2(1.0 + slot->sum) : 0.0f;
        *cell(&out, c, 3) = all && candidate[c] == row[all - 1] ? 1.0f : 0.0f;
    }
    result = Py_NewRef(Py_None);
end:
    let_go(&held);
    return result;
}

/* ---- own_lifts(history, contexts, ids, asked, usual, candidates, mine, lifts, priors, out): a user's own contexts ---- */

static double over(double here, double told, double expected, double prior) {
    return log((here + prior * expected) / ((told + prior) * expected));
}

/* Of events and how many of them happened in the context asked for; both fit into one place of `met`. */
typedef struct {
    int32_t here, told;
} Tally;

static PyObject *own_lifts(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *history_, *contexts_, *ids_, *asked_, *usual_, *candidates_, *mine_, *lifts_, *out_, *result = NULL;
    double of_user, of_item, most;
    if (!PyArg_ParseTuple(args, "OOOOOOOO(ddd)O", &history_, &contexts_, &ids_, &asked_, &usual_, &candidates_, &mine_,
                          &lifts_, &of_user, &of_item, &most, &out_))
        return NULL;
    Held held = {.count = 0};
    Columns out, lifts;
    double *like = NULL;
    Py_buffer *history = read_(&held, history_, "history", 'l', 1);
    Py_buffer *contexts = history ? read_(&held, contexts_, "contexts", 'l', 2) : NULL;
    Py_buffer *ids = contexts ? read_(&held, ids_, "ids", 'i', 2) : NULL;
    Py_buffer *asked = ids ? read_(&held, asked_, "asked", 'l', 1) : NULL;
    Py_buffer *usual = asked ? read_(&held, usual_, "usual", 'f', 1) : NULL;
    Py_buffer *candidates = usual ? read_(&held, candidates_, "candidates", 'l', 1) : NULL;
    Py_buffer *mine = candidates ? read_(&held, mine_, "mine", 'i', 2) : NULL;
    if (!mine) goto end;
    Py_ssize_t all = size_of(history), columns = size_of(asked), events = ids->shape[0], width = ids->shape[1];
    Py_ssize_t many = size_of(candidates), newest = all - events;
    if (!columns_of(&held, lifts_, many, columns, &lifts) || !columns_of(&held, out_, many, 2 * columns, &out)) goto end;
    if (newest < 0 || contexts->shape[0] != all || contexts->shape[1] != columns || mine->shape[0] != many ||
        mine->shape[1] != width || !is_long(usual, columns, "usual")) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "contexts, ids and mine: give a row for each event or item, equally wide");
        goto end;
    }
    const int64_t *row = history->buf, *context = contexts->buf, *value = asked->buf, *candidate = candidates->buf;
    const int32_t *id = ids->buf, *own = mine->buf;
    const float *share_of = usual->buf;
    Py_ssize_t most_ids = events * width;
    if (!met_for((all > most_ids ? all : most_ids) * columns + 1)) goto end;
    Tally *tally = (Tally *)met;
    like = malloc(((most_ids > all ? most_ids : all) * columns + columns + 1) * sizeof(double));
    if (!like) {
        PyErr_NoMemory();
        goto end;
    }
    double *share = like + (most_ids > all ? most_ids : all) * columns; /* of the user's own events */
    for (Py_ssize_t x = 0; x < columns; x++) {
        double here = 0.0, told = 0.0;
        for (Py_ssize_t i = 0; i < all; i++) {
            int64_t one = context[i * columns + x];
            told += one > 0;
            here += one == value[x];
        }
        share[x] = share_of[x] > 0.0f ? (here + of_user * (double)share_of[x]) / (told + of_user) : 0.0;
    }
    if (!fresh_table(all)) goto end;
    uint64_t narrow = narrowed(all);
    Py_ssize_t unique = 0;
    for (Py_ssize_t i = 0; i < all; i++) {
        Slot *slot = slot_of(row[i], narrow);
        if (slot->turn != slots_turn) {
            *slot = (Slot){row[i], slots_turn, (int32_t)unique, 0.0};
            memset(&tally[unique++ * columns], 0, columns * sizeof(Tally));
        }
        Tally *mine_ = &tally[slot->number * columns];
        for (Py_ssize_t x = 0; x < columns; x++) {
            int64_t one = context[i * columns + x];
            mine_[x].told += one > 0;
            mine_[x].here += one == value[x];
        }
    }
    for (Py_ssize_t c = 0; c < many; c++) {
        const Slot *slot = slot_of(candidate[c], narrow);
        const Tally *of = slot->turn == slots_turn ? &tally[slot->number * columns] : NULL;
        for (Py_ssize_t x = 0; x < columns; x++) {
            double said = 0.0;
            if (of && share[x] > 0.0) {
                double expected = share[x] * exp((double)*cell(&lifts, c, x));
                said = over(of[x].here, of[x].told, expected < most ? expected : most, of_item);
            }
            *cell(&out, c, 2 * x) = (float)said;
        }
    }
    if (!fresh_table(most_ids)) goto end;
    narrow = narrowed(most_ids);
    unique = 0;
    for (Py_ssize_t i = 0; i < events; i++) {
        for (Py_ssize_t a = 0; a < width; a++) {
            int32_t one = id[i * width + a];
            if (!one) continue;
            Slot *slot = slot_of(one, narrow);
            if (slot->turn != slots_turn) {
                *slot = (Slot){one, slots_turn, (int32_t)unique, 0.0};
                memset(&tally[unique++ * columns], 0, columns * sizeof(Tally));
            }
            Tally *mine_ = &tally[slot->number * columns];
            for (Py_ssize_t x = 0; x < columns; x++) {
                int64_t happened = context[(newest + i) * columns + x];
                mine_[x].told += happened > 0;
                mine_[x].here += happened == value[x];
            }
        }
    }
    for (Py_ssize_t u = 0; u < unique; u++)
        for (Py_ssize_t x = 0; x < columns; x++) {
            const Tally *of = &tally[u * columns + x];
            like[u * columns + x] = share[x] > 0.0 && of->told ? over(of->here, of->told, share[x], of_item) : 0.0;
        }
    for (Py_ssize_t c = 0; c < many; c++) {
        double known = 0.0;
        for (Py_ssize_t a = 0; a < width; a++) known += own[c * width + a] > 0;
        for (Py_ssize_t x = 0; x < columns; x++) *cell(&out, c, 2 * x + 1) = 0.0f;
        for (Py_ssize_t a = 0; a < width; a++) {
            int32_t one = own[c * width + a];
            const Slot *slot = one ? slot_of(one, narrow) : NULL;
            if (!slot || slot->turn != slots_turn) continue;
            for (Py_ssize_t x = 0; x < columns; x++)
                *cell(&out, c, 2 * x + 1) += (float)(like[slot->number * columns + x] / known);
        }
    }
    result = Py_NewRef(Py_None);
end:
    free(like);
    let_go(&held);
    return result;
}

/* ---- valued(rows, sums, counts, prior, events, low, high, out): smoothed mean values of items, scaled ---------------- */

static float scaled_value(float value, float low, float width) {
    if (isnan(value)) return 0.5f;
    float share = (value - low) / width;
    return share < 0.0f ? 0.0f : share > 1.0f ? 1.0f : share;
}

static float width_of(double low, double high) { return (float)(high - low > 1e-9 ? high - low : 1e-9); }

/* An item's mean value with `events` of value `prior` more, scaled; a row beyond the end has had no event. */
static inline float worth_of(const Py_buffer *sums, const double *count, int64_t row, double prior, double events,
                             float low, float width) {
    int known = row < size_of(sums);
    double told = known ? ((const double *)sums->buf)[row] : 0.0, many = known ? count[row] : 0.0;
    return scaled_value((float)((told + events * prior) / (many + events)), low, width);
}

static PyObject *valued(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *rows_, *sums_, *counts_, *out_, *result = NULL;
    double prior, events, low, high;
    if (!PyArg_ParseTuple(args, "OOOddddO", &rows_, &sums_, &counts_, &prior, &events, &low, &high, &out_)) return NULL;
    Held held = {.count = 0};
    Columns out;
    Py_buffer *rows = read_(&held, rows_, "rows", 'l', 1);
    Py_buffer *sums = rows ? read_(&held, sums_, "sums", 'd', 1) : NULL;
    Py_buffer *counts = sums ? read_(&held, counts_, "counts", 'd', 1) : NULL;
    if (!counts || !is_long(counts, size_of(sums), "counts") || !columns_of(&held, out_, size_of(rows), 1, &out)) goto end;
    const int64_t *row = rows->buf;
    const double *sum = sums->buf, *count = counts->buf;
    float width = width_of(low, high);
    for (Py_ssize_t c = 0; c < size_of(rows); c++) {
        if (row[c] < 0) {
            PyErr_Format(PyExc_IndexError, "row %lld: rows start at 0", (long long)row[c]);
            goto end;
        }
        if (c + AHEAD < size_of(rows)) {
            int64_t soon = row[c + AHEAD];
            if (soon >= 0 && soon < size_of(sums)) ask_for(sum + soon, sizeof *sum), ask_for(count + soon, sizeof *count);
        }
        *cell(&out, c, 0) = worth_of(sums, count, row[c], prior, events, (float)low, width);
    }
    result = Py_NewRef(Py_None);
end:
    let_go(&held);
    return result;
}

/* ---- leanings(values, rows, sums, counts, prior, events, low, high, recent, pseudo, own) -> (above, recently) --------- */

static PyObject *leanings(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *values_, *rows_, *sums_, *counts_, *own_, *result = NULL;
    double prior, events, low, high, recent, pseudo;
    if (!PyArg_ParseTuple(args, "OOOOddddddO", &values_, &rows_, &sums_, &counts_, &prior, &events, &low, &high, &recent,
                          &pseudo, &own_))
        return NULL;
    Held held = {.count = 0};
    Py_buffer *values = read_(&held, values_, "values", 'f', 1);
    Py_buffer *rows = values ? read_(&held, rows_, "rows", 'l', 1) : NULL;
    Py_buffer *sums = rows ? read_(&held, sums_, "sums", 'd', 1) : NULL;
    Py_buffer *counts = sums ? read_(&held, counts_, "counts", 'd', 1) : NULL;
    Py_buffer *own = counts ? written(&held, own_, "own", 'f', 1) : NULL;
    if (!own || !is_long(values, size_of(rows), "values") || !is_long(counts, size_of(sums), "counts")) goto end;
    if (!is_long(own, size_of(rows), "own")) goto end;
    const float *value = values->buf;
    const int64_t *row = rows->buf;
    const double *count = counts->buf;
    float *left = own->buf, width = width_of(low, high);
    double all = 0.0, told = 0.0, newer = 0.0, weights = 0.0, weight = 1.0;
    for (Py_ssize_t i = size_of(rows); i--; weight *= recent) { /* newest first */
        if (row[i] < 0) {
            PyErr_Format(PyExc_IndexError, "row %lld: rows start at 0", (long long)row[i]);
            goto end;
        }
        if (isnan(value[i])) continue;
        float worth = worth_of(sums, count, row[i], prior, events, (float)low, width);
        left[i] = scaled_value(value[i], (float)low, width) - worth;
        all += left[i], told += 1.0, newer += weight * left[i], weights += weight;
    }
    double usual = all / (told + pseudo);
    for (Py_ssize_t i = 0; i < size_of(rows); i++) left[i] = isnan(value[i]) ? 0.0f : left[i] - (float)usual;
    result = Py_BuildValue("dd", usual, newer / (weights + pseudo));
end:
    let_go(&held);
    return result;
}

/* ---- echoed(indptr, indices, weights, rows, values, own, candidates, near, pseudo, out): what leanings say of others --- */

typedef struct {
    double told, whole; /* sums of nearness times leaning, and of nearness */
} Echo;

#define BLOCK 64 /* entries of a table that are looked through at a time */
#define SHADOWS 13

static uint8_t shadow[1 << SHADOWS]; /* whether a candidate may be meant, by a hash that fits into the nearest cache */
static uint32_t *asked = NULL;       /* of each row the number of its sums, from 1 on; between calls all are 0 */
static Py_ssize_t asked_room = 0;

static int asked_for(Py_ssize_t rows) {
    if (rows <= asked_room) return 1;
    free(asked);
    asked = calloc(rows, sizeof *asked);
    asked_room = asked ? rows : 0;
    if (!asked) PyErr_NoMemory();
    return asked != NULL;
}

static inline uint32_t shadow_of(int32_t row) { return ((uint32_t)row * 2654435761u) >> (32 - SHADOWS); }

static PyObject *echoed(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *indptr_, *indices_, *weights_, *rows_, *values_, *own_, *candidates_, *out_, *result = NULL;
    Py_ssize_t near;
    double pseudo;
    if (!PyArg_ParseTuple(args, "OOOOOOOndO", &indptr_, &indices_, &weights_, &rows_, &values_, &own_, &candidates_, &near,
                          &pseudo, &out_))
        return NULL;
    Held held = {.count = 0};
    Columns out;
    Echo *echoes = NULL;
    Py_buffer *indptr = read_(&held, indptr_, "indptr", 'l', 1);
    Py_buffer *indices = indptr ? read_(&held, indices_, "indices", 'i', 1) : NULL;
    Py_buffer *weights = indices ? read_(&held, weights_, "weights", 'f', 1) : NULL;
    Py_buffer *rows = weights ? read_(&held, rows_, "rows", 'l', 1) : NULL;
    Py_buffer *values = rows ? read_(&held, values_, "values", 'f', 1) : NULL;
    Py_buffer *own = values ? read_(&held, own_, "own", 'f', 1) : NULL;
    Py_buffer *candidates = own ? read_(&held, candidates_, "candidates", 'l', 1) : NULL;
    if (!candidates || !is_long(weights, size_of(indices), "weights") || !is_long(values, size_of(rows), "values")) goto end;
    if (!is_long(own, size_of(rows), "own") || !columns_of(&held, out_, size_of(candidates), 2, &out)) goto end;
    const int64_t *start = indptr->buf, *row = rows->buf, *candidate = candidates->buf;
    const int32_t *index = indices->buf;
    const float *weight = weights->buf, *value = values->buf, *left = own->buf;
    Py_ssize_t known = size_of(indptr) - 1, wanted = size_of(candidates);
    for (Py_ssize_t i = 0; i < size_of(rows); i++) {
        if (i + AHEAD < size_of(rows) && row[i + AHEAD] >= 0 && row[i + AHEAD] < known)
            ask_for(start + row[i + AHEAD], 2 * sizeof *start);
        if (row[i] < 0 || row[i] >= known) continue;
        int64_t from = start[row[i]], to = start[row[i] + 1];
        if (from < 0 || to < from || to > size_of(indices)) {
            PyErr_Format(PyExc_IndexError, "neighbours of row %lld: entries %lld to %lld of %zd", (long long)row[i],
                         (long long)from, (long long)to, size_of(indices));
            goto end;
        }
    }
    if (!asked_for(known)) goto end;
    echoes = calloc(wanted + 1, sizeof *echoes);
    if (!echoes) {
        PyErr_NoMemory();
        goto end;
    }
    for (Py_ssize_t c = 0; c < wanted; c++)
        if (candidate[c] >= 0 && candidate[c] < known) {
            asked[candidate[c]] = (uint32_t)(c + 1);
            shadow[shadow_of((int32_t)candidate[c])] = 1;
        }
    for (Py_ssize_t i = 0; i < size_of(rows); i++) {
        if (i + 1 < size_of(rows) && row[i + 1] >= 0 && row[i + 1] < known && !isnan(value[i + 1])) {
            int64_t from = start[row[i + 1]], many = start[row[i + 1] + 1] - from;
            many = many > near ? near : many;
            if (many > 0) ask_for(index + from, many * sizeof *index), ask_for(weight + from, many * sizeof *weight);
        }
        if (row[i] < 0 || row[i] >= known || isnan(value[i])) continue;
        int64_t from = start[row[i]], to = start[row[i] + 1];
        to = to - from > near ? from + near : to;
        double each = to > from ? 1.0 / (double)weight[from] : 0.0, leaning = each * left[i];
        for (int64_t at = from, end = from; at < to; at = end) { /* nobody can foresee which entry names a candidate */
            int64_t hits[BLOCK];
            uint32_t found = 0;
            end = to - at > BLOCK ? at + BLOCK : to;
            for (int64_t entry = at; entry < end; entry++) {
                hits[found] = entry;
                found += shadow[shadow_of(index[entry])];
            }
            for (uint32_t hit = 0; hit < found; hit++) {
                int64_t entry = hits[hit];
                if ((uint64_t)index[entry] >= (uint64_t)known) continue; /* below 0 as well */
                Echo *echo = &echoes[asked[index[entry]]]; /* the first is of those who were not asked for */
                echo->told += weight[entry] * leaning, echo->whole += weight[entry] * each;
            }
        }
    }
    for (Py_ssize_t c = 0; c < wanted; c++) {
        int met_ = candidate[c] >= 0 && candidate[c] < known;
        Echo echo = met_ ? echoes[asked[candidate[c]]] : (Echo){0.0, 0.0};
        *cell(&out, c, 0) = (float)(echo.told / (echo.whole + pseudo));
        *cell(&out, c, 1) = log1pf((float)echo.whole);
    }
    for (Py_ssize_t c = 0; c < wanted; c++)
        if (candidate[c] >= 0 && candidate[c] < known) asked[candidate[c]] = shadow[shadow_of((int32_t)candidate[c])] = 0;
    result = Py_NewRef(Py_None);
end:
    free(echoes);
    let_go(&held);
    return result;
}

/* ---- scaled(values, low, high, out) ------------------------------------------------------------------------------- */

static PyObject *scaled(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *values_, *out_, *result = NULL;
    double low, high;
    if (!PyArg_ParseTuple(args, "OddO", &values_, &low, &high, &out_)) return NULL;
    Held held = {.count = 0};
    Py_buffer *values = read_(&held, values_, "values", 'f', 1);
    Py_buffer *out = values ? written(&held, out_, "out", 'f', 1) : NULL;
    if (!out || !is_long(out, size_of(values), "out")) goto end;
    const float *value = values->buf;
    float *to = out->buf, width = width_of(low, high);
    for (Py_ssize_t i = 0; i < size_of(values); i++) to[i] = scaled_value(value[i], (float)low, width);
    result = Py_NewRef(Py_None);
end:
    let_go(&held);
    return result;
}

/* ---- gaps(times, now, edges, out): buckets of the time from each event to the next one, or to now ------------------- */

static PyObject *gaps(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *times_, *edges_, *out_, *result = NULL;
    double now;
    if (!PyArg_ParseTuple(args, "OdOO", &times_, &now, &edges_, &out_)) return NULL;
    Held held = {.count = 0};
    Py_buffer *times = read_(&held, times_, "times", 'd', 1);
    Py_buffer *edges = times ? read_(&held, edges_, "edges", 'd', 1) : NULL;
    Py_buffer *out = edges ? written(&held, out_, "out", 'l', 1) : NULL;
    if (!out || !is_long(out, size_of(times), "out")) goto end;
    const double *time = times->buf, *edge = edges->buf;
    int64_t *to = out->buf;
    for (Py_ssize_t i = 0; i < size_of(times); i++) {
        double gap = (i + 1 < size_of(times) ? time[i + 1] : now) - time[i];
        int64_t passed = 0;
        while (passed < size_of(edges) && edge[passed] <= gap) passed++;
        to[i] = isnan(gap) ? 0 : passed + 1;
    }
    result = Py_NewRef(Py_None);
end:
    let_go(&held);
    return result;
}

/* ---- habits(types, values, times, now, recent, never, kinds, out): what a history says of its user ------------------ */

static PyObject *habits(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *types_, *values_, *times_, *out_, *result = NULL;
    double now, recent, never;
    Py_ssize_t kinds;
    if (!PyArg_ParseTuple(args, "OOOdddnO", &types_, &values_, &times_, &now, &recent, &never, &kinds, &out_)) return NULL;
    if (kinds < 1 || kinds > MOST) {
        PyErr_Format(PyExc_ValueError, "%zd event types; give 1 to %d", kinds, MOST);
        return NULL;
    }
    Held held = {.count = 0};
    Py_buffer *types = read_(&held, types_, "types", 'l', 1);
    Py_buffer *values = types ? read_(&held, values_, "values", 'f', 1) : NULL;
    Py_buffer *times = values ? read_(&held, times_, "times", 'd', 1) : NULL;
    Py_buffer *out = times ? written(&held, out_, "out", 'f', 1) : NULL;
    if (!out) goto end;
    Py_ssize_t size = size_of(types);
    if (!is_long(values, size, "values") || !is_long(times, size, "times") || !is_long(out, 4 + 3 * kinds, "out")) goto end;
    const int64_t *type = types->buf;
    const float *value = values->buf;
    const double *time = times->buf;
    double often[MOST] = {0}, lately[MOST] = {0}, last[MOST];
    double all = 0.0, newer = 0.0, weight = 1.0, weights = 0.0;
    for (Py_ssize_t e = 0; e < kinds; e++) last[e] = NAN;
    for (Py_ssize_t i = size; i--; weight *= recent) { /* newest first */
        if (type[i] < 1 || type[i] > kinds) {
            PyErr_Format(PyExc_IndexError, "event type %lld: types are 1 to %zd", (long long)type[i], kinds);
            goto end;
        }
        Py_ssize_t e = type[i] - 1;
        if (often[e] == 0.0) last[e] = time[i];
        often[e] += 1.0, lately[e] += weight;
        all += value[i], newer += value[i] * weight, weights += weight;
    }
    float *to = out->buf;
    double shortest = never;
    for (Py_ssize_t e = 0; e < kinds; e++) {
        double gap = now - last[e];
        gap = isnan(gap) ? never : log1p(gap > 0.0 ? gap : 0.0) / 10.0;
        if (gap < shortest) shortest = gap;
        to[4 + e] = (float)log((often[e] + 0.5) / ((double)size + 0.5 * kinds) * kinds);
        to[4 + kinds + e] = (float)log((lately[e] + 0.5) / (weights + 0.5 * kinds) * kinds);
        to[4 + 2 * kinds + e] = (float)gap;
    }
    to[0] = (float)log1p((double)size);
    to[1] = (float)((all + 0.5) / ((double)size + 1.0));
    to[2] = (float)((newer + 0.5) / (weights + 1.0));
    to[3] = shortest < never ? (float)shortest : 0.0f;
    result = Py_NewRef(Py_None);
end:
    let_go(&held);
    return result;
}

/* ---- take(table, rows, out): rows of a matrix ------------------------------------------------------------------- */

static PyObject *take(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *table_, *rows_, *out_, *result = NULL;
    if (!PyArg_ParseTuple(args, "OOO", &table_, &rows_, &out_)) return NULL;
    Held held = {.count = 0};
    Py_buffer *table = read_(&held, table_, "table", ANY, 2);
    Py_buffer *rows = table ? read_(&held, rows_, "rows", 'l', 1) : NULL;
    Py_buffer *out = rows ? written(&held, out_, "out", kind_of(table), 2) : NULL;
    if (!out || !is_long(out, size_of(rows), "out")) goto end;
    if (out->shape[1] != table->shape[1]) {
        PyErr_Format(PyExc_ValueError, "out is %zd wide; give %zd", out->shape[1], table->shape[1]);
        goto end;
    }
    const int64_t *row = rows->buf;
    size_t bytes = (size_t)table->shape[1] * table->itemsize;
    for (Py_ssize_t i = 0; i < size_of(rows); i++) {
        if (row[i] < 0 || row[i] >= size_of(table)) {
            PyErr_Format(PyExc_IndexError, "row %lld: rows start at 0, and there are %zd", (long long)row[i],
                         size_of(table));
            goto end;
        }
        if (bytes && i + AHEAD < size_of(rows) && row[i + AHEAD] >= 0 && row[i + AHEAD] < size_of(table))
            ask_for((const char *)table->buf + row[i + AHEAD] * bytes, bytes);
        memcpy((char *)out->buf + i * bytes, (const char *)table->buf + row[i] * bytes, bytes);
    }
    result = Py_NewRef(Py_None);
end:
    let_go(&held);
    return result;
}

/* ---- platt(logits, a, b, out) ------------------------------------------------------------------------------------- */

static PyObject *platt(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *logits_, *out_, *result = NULL;
    double a, b;
    if (!PyArg_ParseTuple(args, "OddO", &logits_, &a, &b, &out_)) return NULL;
    Held held = {.count = 0};
    Py_buffer *logits = taken(&held, logits_, "logits", 'f', 1, PyBUF_STRIDED_RO);
    Py_buffer *out = logits ? taken(&held, out_, "out", 'f', 1, PyBUF_STRIDED) : NULL;
    if (!out || !is_long(out, size_of(logits), "out")) goto end;
    for (Py_ssize_t i = 0; i < size_of(logits); i++) {
        float logit = (float)a * *(const float *)((const char *)logits->buf + i * logits->strides[0]) + (float)b;
        *(float *)((char *)out->buf + i * out->strides[0]) = 0.5f * (1.0f + tanhf(0.5f * logit));
    }
    result = Py_NewRef(Py_None);
end:
    let_go(&held);
    return result;
}

/* ---- blend(values, low, width, weights, out) ----------------------------------------------------------------------- */

static PyObject *blend(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *values_, *low_, *width_, *weights_, *out_, *result = NULL;
    if (!PyArg_ParseTuple(args, "OOOOO", &values_, &low_, &width_, &weights_, &out_)) return NULL;
    Held held = {.count = 0};
    Py_buffer *values = read_(&held, values_, "values", 'f', 2);
    Py_buffer *low = values ? read_(&held, low_, "low", 'd', 1) : NULL;
    Py_buffer *width = low ? read_(&held, width_, "width", 'd', 1) : NULL;
    Py_buffer *weights = width ? read_(&held, weights_, "weights", 'd', 1) : NULL;
    Py_buffer *out = weights ? written(&held, out_, "out", 'd', 1) : NULL;
    if (!out || !is_long(out, size_of(values), "out")) goto end;
    Py_ssize_t tasks = values->shape[1];
    if (!is_long(low, tasks, "low") || !is_long(width, tasks, "width") || !is_long(weights, tasks, "weights")) goto end;
    const float *value = values->buf;
    const double *from = low->buf, *wide = width->buf, *weight = weights->buf;
    double *to = out->buf;
    for (Py_ssize_t c = 0; c < size_of(values); c++) {
        double sum = 0.0;
        for (Py_ssize_t t = 0; t < tasks; t++) {
            double chance = ((double)value[c * tasks + t] - from[t]) / wide[t];
            chance = chance < 0.0 ? 0.0 : chance > 1.0 ? 1.0 : chance; /* NaN stays */
            sum += chance * weight[t];
        }
        to[c] = sum;
    }
    result = Py_NewRef(Py_None);
end:
    let_go(&held);
    return result;
}

static PyMethodDef methods[] = {
    {"best", best_rows, METH_VARARGS, NULL},     {"neighbours", neighbours, METH_VARARGS, NULL},
    {"nearest", nearest, METH_VARARGS, NULL},     {"leanings", leanings, METH_VARARGS, NULL},
    {"merge", merge, METH_VARARGS, NULL},        {"evidence", evidence, METH_VARARGS, NULL},
    {"counted", counted, METH_VARARGS, NULL},    {"crosses", crosses, METH_VARARGS, NULL},
    {"valued", valued, METH_VARARGS, NULL},      {"scaled", scaled, METH_VARARGS, NULL},
    {"gaps", gaps, METH_VARARGS, NULL},          {"habits", habits, METH_VARARGS, NULL},
    {"take", take, METH_VARARGS, NULL},          {"platt", platt, METH_VARARGS, NULL},
    {"blend", blend, METH_VARARGS, NULL},        {"echoed", echoed, METH_VARARGS, NULL},
    {"own_lifts", own_lifts, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_native", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void) { return PyModule_Create(&module); }
