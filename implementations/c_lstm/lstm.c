#include "lstm.h"

#include <string.h>
/* exp and tanh are those of their argument's type: expf and tanhf for float. */
#include <tgmath.h>

static size_t output_size(const lstm_config *config)
{
    return config->proj_size ? config->proj_size : config->hidden_size;
}

/* D·P, the features of a layer's output. */
static size_t layer_output_size(const lstm_config *config)
{
    return (config->bidirectional ? 2 : 1) * output_size(config);
}

static bool sizes_are_valid(const lstm_config *config)
{
    return config->input_size && config->hidden_size && config->num_layers && config->proj_size < config->hidden_size;
}

static bool lengths_are_valid(const int64_t *lengths, size_t steps, size_t batch)
{
    for (size_t n = 0; lengths && n < batch; n++)
        if (lengths[n] < 0 || (uint64_t)lengths[n] > steps)
            return false;
    return true;
}

size_t lstm_workspace(const lstm_config *config, size_t steps, size_t batch)
{
    const size_t sequence = config->num_layers > 1 ? steps * batch * layer_output_size(config) : 0;
    return 4 * config->hidden_size + sequence;
}

#define REAL float
#define NAME(name) name##_f32
#include "lstm.inc"
#undef REAL
#undef NAME

#define REAL double
#define NAME(name) name##_f64
#include "lstm.inc"
#undef REAL
#undef NAME
