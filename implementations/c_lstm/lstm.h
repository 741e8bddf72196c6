/* The LSTM's forward pass in C99, for float (_f32) and double (_f64): what torch.nn.LSTM computes.
 *
 * No allocation, no globals, no dependency but the C library: the caller owns all memory, and calls that do not share
 * a workspace may run at the same time. All arrays are contiguous and row-major.
 */
#ifndef LSTM_H
#define LSTM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* D is 2 if bidirectional, else 1; H is hidden_size; P is proj_size, or H if that is 0. */
typedef struct {
    size_t input_size, hidden_size, num_layers, proj_size;
    bool bidirectional;
    bool batch_first; /* x and output are (N, L, features) rather than (L, N, features) */
} lstm_config;

/* The parameters of one layer and direction; 4H rows are packed i, f, g, o. A layer reads I = input_size features, and
 * the layers above it D·P. */
typedef struct {
    const float *weight_ih; /* (4H, I) */
    const float *weight_hh; /* (4H, P) */
    const float *bias_ih, *bias_hh; /* (4H,) both, or NULL both */
    const float *weight_hr; /* (P, H), or NULL if proj_size is 0 */
} lstm_cell_f32;

typedef struct {
    const double *weight_ih, *weight_hh, *bias_ih, *bias_hh, *weight_hr;
} lstm_cell_f64;

typedef enum {
    LSTM_OK = 0,
    LSTM_BAD_CONFIG, /* a size is 0, proj_size is not below hidden_size, or a cell's pointers do not go together */
    LSTM_BAD_LENGTH, /* a length is negative or beyond the number of steps */
} lstm_status;

/* How many numbers (not bytes) the workspace of a call must hold. */
size_t lstm_workspace(const lstm_config *config, size_t steps, size_t batch);

/* x (L, N, I) -> output (L, N, D·P), h_n (layers·D, N, P), c_n (layers·D, N, H), where L is steps and N is batch.
 *
 * cells  layers·D of them, layer-major, forward before reverse: the order of the states' first axis.
 * h_0, c_0  shaped like h_n and c_n, which they may be themselves: a stream's state then stays where it is.
 *           NULL stands for zeros.
 * lengths  (N,), each row's number of valid steps, or NULL if all are valid. Beyond them x is not read, the output is 0
 *          and the state stays; the reverse direction starts at the last valid step.
 *
 * Otherwise no array may overlap one that is written. Unless it returns LSTM_OK, nothing was written.
 */
lstm_status lstm_forward_f32(const lstm_config *config, const lstm_cell_f32 *cells, size_t steps, size_t batch,
                             const float *x, const float *h_0, const float *c_0, const int64_t *lengths,
                             float *output, float *h_n, float *c_n, float *workspace);

lstm_status lstm_forward_f64(const lstm_config *config, const lstm_cell_f64 *cells, size_t steps, size_t batch,
                             const double *x, const double *h_0, const double *c_0, const int64_t *lengths,
                             double *output, double *h_n, double *c_n, double *workspace);

#endif
