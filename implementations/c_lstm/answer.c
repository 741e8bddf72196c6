/* Answers a recording with the library of this folder: `./answer < calls.requests > calls.responses`.
 *
 * docs/recorded.md says what stands there: messages of docs/protocol.md, one model at a time. The header of a request
 * is compact JSON of known names, so it is searched rather than parsed. What is no such message ends the program.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lstm.h"

enum { CELLS = 64, NAME = 64 };

static char *header;         /* of the request at hand, with a 0 at its end */
static unsigned char *body;  /* its tensors' elements */
static unsigned char *model; /* those of the model at work */
static lstm_config config;
static lstm_cell_f32 cells_f32[CELLS];
static lstm_cell_f64 cells_f64[CELLS];
static bool wide; /* float64 */

static void *room(size_t size) {
    void *found = malloc(size ? size : 1);
    if (!found) exit(1);
    return found;
}

static void fill(void *to, size_t size) {
    if (fread(to, 1, size, stdin) != size) {
        fputs("the requests end in the middle of one\n", stderr);
        exit(1);
    }
}

/* The text behind "name": in the header, or NULL. */
static const char *at(const char *name) {
    char key[NAME + 4];
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *found = strstr(header, key);
    return found ? found + strlen(key) : NULL;
}

static bool is(const char *name, const char *value) {
    const char *text = at(name);
    return text && !strncmp(text + 1, value, strlen(value)) && text[1 + strlen(value)] == '"';
}

static size_t number(const char *name) {
    const char *text = at(name);
    return text ? strtoul(text + 1, NULL, 10) : 0;
}

/* A tensor's elements in `from`, or NULL; its axes and sizes where they are wanted. */
static const void *tensor(const char *name, const unsigned char *from, size_t *axes, size_t sizes[8]) {
    const char *text = at(name);
    if (!text) return NULL;
    const char *shape = strstr(text, "\"shape\":[") + 9, *offsets = strstr(text, "\"data_offsets\":[") + 16;
    if (axes) {
        *axes = 0;
        for (char *end; *shape != ']' && *axes < 8; shape = *end == ',' ? end + 1 : end)
            sizes[(*axes)++] = strtoul(shape, &end, 10);
    }
    return from + strtoul(offsets, NULL, 10);
}

static void send(const char *text, const void *elements, size_t size) {
    uint64_t length = strlen(text);
    fwrite(&length, 8, 1, stdout); /* little-endian, as this machine is */
    fputs(text, stdout);
    fwrite(elements, 1, size, stdout);
}

static void refuse(const char *kind, const char *why) {
    char text[256];
    snprintf(text, sizeof text, "{\"__metadata__\":{\"type\":\"error\",\"kind\":\"%s\",\"message\":\"%s\"}}", kind, why);
    send(text, NULL, 0);
}

static const void *weight(const char *name, size_t slot) {
    char full[NAME];
    size_t directions = config.bidirectional ? 2 : 1;
    snprintf(full, sizeof full, "%s_l%zu%s", name, slot / directions, slot % directions ? "_reverse" : "");
    return tensor(full, model, NULL, NULL);
}

/* The model keeps the message's elements; the next request has a body of its own. */
static bool build(void) {
    free(model);
    model = body;
    body = NULL;
    config = (lstm_config){number("input_size"), number("hidden_size"), number("num_layers"), number("proj_size"),
                           is("bidirectional", "true"), is("batch_first", "true")};
    wide = strstr(header, "\"dtype\":\"F64\"") != NULL;
    size_t slots = config.num_layers * (config.bidirectional ? 2 : 1);
    if (slots > CELLS || !(wide || strstr(header, "\"dtype\":\"F32\""))) return false;
    for (size_t k = 0; k < slots; k++) {
        const void *w[5];
        const char *names[] = {"weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"};
        for (int n = 0; n < 5; n++) w[n] = weight(names[n], k);
        cells_f32[k] = (lstm_cell_f32){w[0], w[1], w[2], w[3], w[4]};
        cells_f64[k] = (lstm_cell_f64){w[0], w[1], w[2], w[3], w[4]};
    }
    return true;
}

static void forward(void) {
    size_t axes, s[8], D = config.bidirectional ? 2 : 1, H = config.hidden_size, slots = config.num_layers * D;
    const void *x = tensor("x", body, &axes, s), *h_0 = tensor("h_0", body, NULL, NULL);
    const void *c_0 = tensor("c_0", body, NULL, NULL), *lengths = tensor("lengths", body, NULL, NULL);
    bool swapped = config.batch_first && axes == 3;
    size_t steps = s[swapped], batch = axes == 3 ? s[!swapped] : 1, P = config.proj_size ? config.proj_size : H;
    size_t width = wide ? 8 : 4, sizes[] = {steps * batch * D * P * width, slots * batch * P * width, slots * batch * H * width};
    size_t total = sizes[0] + sizes[1] + sizes[2];
    unsigned char *out = room(total), *h_n = out + sizes[0], *c_n = h_n + sizes[1];
    void *space = room(lstm_workspace(&config, steps, batch) * width);
    lstm_status status = wide ? lstm_forward_f64(&config, cells_f64, steps, batch, x, h_0, c_0, lengths, (double *)out,
                                                 (double *)h_n, (double *)c_n, space)
                              : lstm_forward_f32(&config, cells_f32, steps, batch, x, h_0, c_0, lengths, (float *)out,
                                                 (float *)h_n, (float *)c_n, space);
    if (status != LSTM_OK) {
        refuse("refused", "the library refused the call");
    } else {
        char shape[3][NAME], text[1024];
        if (axes == 3) {
            snprintf(shape[0], NAME, "%zu,%zu,%zu", s[0], s[1], D * P);
            snprintf(shape[1], NAME, "%zu,%zu,%zu", slots, batch, P);
            snprintf(shape[2], NAME, "%zu,%zu,%zu", slots, batch, H);
        } else {
            snprintf(shape[0], NAME, "%zu,%zu", s[0], D * P);
            snprintf(shape[1], NAME, "%zu,%zu", slots, P);
            snprintf(shape[2], NAME, "%zu,%zu", slots, H);
        }
        const char *entry = "\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}%s";
        const char *names[] = {"output", "h_n", "c_n"};
        int end = snprintf(text, sizeof text, "{\"__metadata__\":{\"type\":\"result\"},");
        for (size_t k = 0, begin = 0; k < 3; begin += sizes[k++])
            end += snprintf(text + end, sizeof text - (size_t)end, entry, names[k], wide ? "F64" : "F32", shape[k], begin,
                            begin + sizes[k], k < 2 ? "," : "}");
        send(text, out, total);
    }
    free(out);
    free(space);
}

int main(void) {
    uint64_t length;
    while (fread(&length, 8, 1, stdin) == 1) {
        if (length > 1 << 20) exit(1);
        header = room(length + 1);
        fill(header, length);
        header[length] = 0;
        size_t size = 0;
        for (const char *text = header; (text = strstr(text, "\"data_offsets\":[")); ) {
            text = strchr(text, ',') + 1;
            size_t end = strtoul(text, NULL, 10);
            if (end > size) size = end;
        }
        body = room(size);
        fill(body, size);
        if (is("type", "hello"))
            send("{\"__metadata__\":{\"type\":\"hello\",\"protocol\":\"1\",\"name\":\"c\"}}", NULL, 0);
        else if (is("type", "build")) {
            if (build()) send("{\"__metadata__\":{\"type\":\"built\"}}", NULL, 0);
            else refuse("unsupported", "no such dtype or so many layers");
        } else if (is("type", "forward"))
            forward();
        else if (is("type", "release"))
            send("{\"__metadata__\":{\"type\":\"released\"}}", NULL, 0);
        else
            refuse("unsupported", "no such request");
        free(header);
        free(body);
    }
    return 0;
}
