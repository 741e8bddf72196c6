/* The library in this folder, called with the vectors of `lstm-conformance vectors DIR --format c`. */
#include "lstm.h"
#include "lstm_vectors.h"

enum { MOST_CELLS = 32, WORKSPACE = 1 << 20 };

int lstm_under_test(const lstm_vector *v, float *output, float *h_n, float *c_n)
{
    static float workspace[WORKSPACE];
    const lstm_config config = {v->input_size, v->hidden_size,    v->num_layers,
                                v->proj_size,  v->bidirectional, v->batch_first};
    const size_t slots = v->num_layers * (v->bidirectional ? 2 : 1);
    if (slots > MOST_CELLS || lstm_workspace(&config, v->steps, v->batch) > WORKSPACE)
        return 1;
    lstm_cell_f32 cells[MOST_CELLS];
    for (size_t k = 0; k < slots; k++) {
        const lstm_vector_cell *c = &v->cells[k];
        cells[k] = (lstm_cell_f32){c->weight_ih, c->weight_hh, c->bias_ih, c->bias_hh, c->weight_hr};
    }
    return lstm_forward_f32(&config, cells, v->steps, v->batch, v->x, v->h_0, v->c_0, v->lengths, output, h_n, c_n,
                            workspace) != LSTM_OK;
}
