/* Calls an LSTM with each vector of lstm_vectors.h and compares each number with its own bound. C99, no library.
 *
 *     cc -std=c99 check.c yours.c -o check && ./check
 *
 * yours.c has the function below. It computes one vector, writes all that it is asked for and returns 0; it returns
 * anything else for a call that it does not have. The exit code is 0 if every call that it has is right. */
#include <stdio.h>
#include "lstm_vectors.h"
#ifdef __FAST_MATH__
#error "compile this file apart, without -ffast-math: it must see a NaN"
#endif

int lstm_under_test(const lstm_vector *v, lstm_real *output, lstm_real *h_n, lstm_real *c_n);

static lstm_real output[LSTM_VECTORS_MOST], h_n[LSTM_VECTORS_MOST], c_n[LSTM_VECTORS_MOST];

static int right(const char *name, const char *part, const lstm_real *got, const lstm_real *want,
                 const lstm_real *bound, size_t count)
{
    for (size_t k = 0; k < count; k++) {
        const double off = (double)got[k] - want[k], most = bound[k];
        const int same = got[k] == want[k] || (got[k] != got[k] && want[k] != want[k]);
        if (!same && !(off <= most && -off <= most)) {
            printf("%s: %s[%lu] expected %.9g, got %.9g, bound %.2g\n", name, part, (unsigned long)k, (double)want[k],
                   (double)got[k], most);
            return 0;
        }
    }
    return 1;
}

int main(void)
{
    unsigned long passed = 0, lacking = 0, k, n;
    for (k = 0; k < LSTM_VECTORS; k++) {
        const lstm_vector *v = &lstm_vectors[k];
        for (n = 0; n < LSTM_VECTORS_MOST; n++)
            output[n] = h_n[n] = c_n[n] = (lstm_real)-12345.75; /* what is never written is seen */
        if (lstm_under_test(v, output, h_n, c_n)) {
            lacking++;
            continue;
        }
        passed += (unsigned)(right(v->name, "output", output, v->output, v->output_bound, v->output_count) &
                             right(v->name, "h_n", h_n, v->h_n, v->h_n_bound, v->h_n_count) &
                             right(v->name, "c_n", c_n, v->c_n, v->c_n_bound, v->c_n_count));
    }
    printf("%lu of %lu vectors are right, %lu are not supported\n", passed, k, lacking);
    return !passed || passed + lacking != k;
}
