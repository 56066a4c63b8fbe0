/* The ranker's loop for Python: checks what it is given and runs the build for this processor (`_ranker_loop.h`). */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <stdlib.h>

#include "_ranker.h"

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

enum { WEIGHTS, VECTOR, VECTORS, TYPES, VALUES, GAPS, PROFILE, CONTEXT, TOLD, CANDIDATES, FEATURES, OUT, ARRAYS };

static PyObject *ranked(PyObject *args, Run *run) {
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
