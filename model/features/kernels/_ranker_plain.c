/* The ranker's loop for any processor: vectors as short as SSE2 and NEON have them. Longer ones, which a compiler has to
 * take apart, were sixteen times slower.
 */
#define LANES 4
#define ROWS 4
#define EVERYONE void everyone_plain
#include "_ranker_loop.h"
