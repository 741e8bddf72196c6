// One layer of oneDNN's LSTM primitive in float32 (https://uxlfoundation.github.io/oneDNN/dev_guide_rnn.html).

#include <cstring>
#include <dnnl.hpp>

using namespace dnnl;
using tag = memory::format_tag;

static engine &cpu()
{
    static engine made(engine::kind::cpu, 0);
    return made;
}

static memory::desc described(memory::dims dims, tag layout)
{
    return memory::desc(dims, memory::data_type::f32, layout);
}

// Weights in the layout that the primitive asks for: it has its own.
static memory reordered(stream &queue, memory::dims dims, tag layout, const float *values, const memory::desc &wanted)
{
    memory given(described(dims, layout), cpu(), const_cast<float *>(values)), made(wanted, cpu());
    reorder(given, made).execute(queue, given, made);
    return made;
}

// x (L, N, I) -> y (L, N, D·P), h_n (D, N, P), c_n (D, N, H). W (D, 4H, I), R (D, 4H, P) and B (D, 4H), the sum of the
// biases, have gates i, f, g, o; W_hr is (D, P, H), or NULL where P = H. h_0 and c_0 may be NULL. 0, or oneDNN's status.
extern "C" int onednn_lstm(long L, long N, long I, long H, long P, long D, const float *x, const float *h_0,
                           const float *c_0, const float *W, const float *R, const float *B, const float *W_hr,
                           float *y, float *h_n, float *c_n)
try {
    stream queue(cpu());
    const memory::dims W_dims{1, D, I, 4, H}, R_dims{1, D, P, 4, H}, W_hr_dims{1, D, H, P};
    const auto x_desc = described({L, N, I}, tag::tnc), y_desc = described({L, N, D * P}, tag::tnc);
    const auto h_desc = described({1, D, N, P}, tag::ldnc), c_desc = described({1, D, N, H}, tag::ldnc);
    const auto B_desc = described({1, D, 4, H}, tag::ldgo), none = memory::desc();
    const auto way = D == 2 ? rnn_direction::bidirectional_concat : rnn_direction::unidirectional_left2right;
    const lstm_forward::primitive_desc made(
        lstm_forward::desc(prop_kind::forward_inference, way, x_desc, h_0 ? h_desc : none, c_0 ? c_desc : none,
                           described(W_dims, tag::any), described(R_dims, tag::any), none,
                           W_hr ? described(W_hr_dims, tag::any) : none, B_desc, y_desc, h_desc, c_desc),
        cpu());
    const auto held = [](const memory::desc &desc, const float *at) {
        return memory(desc, cpu(), const_cast<float *>(at));
    };
    std::unordered_map<int, memory> arguments{
        {DNNL_ARG_SRC_LAYER, held(x_desc, x)},
        {DNNL_ARG_WEIGHTS_LAYER, reordered(queue, W_dims, tag::ldgoi, W, made.weights_layer_desc())},
        {DNNL_ARG_WEIGHTS_ITER, reordered(queue, R_dims, tag::ldgoi, R, made.weights_iter_desc())},
        {DNNL_ARG_BIAS, held(B_desc, B)},
        {DNNL_ARG_DST_LAYER, held(y_desc, y)},
        {DNNL_ARG_DST_ITER, held(h_desc, h_n)},
        {DNNL_ARG_DST_ITER_C, held(c_desc, c_n)},
    };
    if (h_0)
        arguments.insert({DNNL_ARG_SRC_ITER, held(h_desc, h_0)});
    if (c_0)
        arguments.insert({DNNL_ARG_SRC_ITER_C, held(c_desc, c_0)});
    if (W_hr)
        arguments.insert({DNNL_ARG_WEIGHTS_PROJECTION,
                          reordered(queue, W_hr_dims, tag::ldoi, W_hr, made.weights_projection_desc())});
    lstm_forward(made).execute(queue, arguments);
    queue.wait();
    return 0;
} catch (const error &failed) {
    return failed.status;
}
