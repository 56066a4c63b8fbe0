/* The ranker's loop for processors with AVX2: twelve vectors of sums stay in its sixteen registers. */
#define LANES 8
#define ROWS 6
#if defined(__x86_64__)
#define EVERYONE __attribute__((target("avx2,fma"))) void everyone_avx2
#include "_ranker_loop.h"
#endif
