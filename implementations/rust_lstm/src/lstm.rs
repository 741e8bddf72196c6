//! The LSTM's forward pass in the precision of its numbers. For each step t:
//!
//! ```text
//! i_t = σ(W_ii x_t + W_hi h_{t−1} + b_i)        f_t, o_t likewise
//! g_t = tanh(W_ig x_t + W_hg h_{t−1} + b_g)
//! c_t = f_t ⊙ c_{t−1} + i_t ⊙ g_t
//! h_t = o_t ⊙ tanh(c_t), or with a projection W_hr (o_t ⊙ tanh(c_t))
//! ```

use std::ops::{Add, Mul};

/// The numbers an LSTM computes with.
pub trait Real: Copy + Default + Add<Output = Self> + Mul<Output = Self> {
    fn sigmoid(self) -> Self;
    fn tanh(self) -> Self;
}

macro_rules! real {
    ($type:ident) => {
        impl Real for $type {
            /// e^−a may overflow to infinity, and σ is then 0, as it should be.
            fn sigmoid(self) -> Self {
                1.0 / (1.0 + (-self).exp())
            }

            fn tanh(self) -> Self {
                $type::tanh(self)
            }
        }
    };
}

real!(f32);
real!(f64);

/// nn.LSTM's constructor arguments, as far as they matter to a forward pass.
pub struct Config {
    pub input_size: usize,
    pub hidden_size: usize,
    pub num_layers: usize,
    pub bias: bool,
    pub batch_first: bool,
    pub bidirectional: bool,
    pub proj_size: usize,
}

impl Config {
    /// D.
    pub fn num_directions(&self) -> usize {
        if self.bidirectional {
            2
        } else {
            1
        }
    }

    /// P, the features of one direction's output.
    pub fn output_size(&self) -> usize {
        if self.proj_size > 0 {
            self.proj_size
        } else {
            self.hidden_size
        }
    }

    /// The features that a layer reads: I for the first, D·P for the others.
    pub fn layer_input_size(&self, layer: usize) -> usize {
        if layer == 0 {
            self.input_size
        } else {
            self.num_directions() * self.output_size()
        }
    }

    /// layers·D, the first axis of the states.
    pub fn slots(&self) -> usize {
        self.num_layers * self.num_directions()
    }
}

/// One layer and direction; 4H rows are packed i, f, g, o.
pub struct Cell<T> {
    /// (4H, features).
    pub weight_ih: Vec<T>,
    /// (4H, P).
    pub weight_hh: Vec<T>,
    /// (4H,), the sum of both biases.
    pub bias: Vec<T>,
    /// (P, H).
    pub weight_hr: Option<Vec<T>>,
}

/// W x, W (rows, features).
fn product<'a, T: Real>(weight: &'a [T], x: &'a [T]) -> impl Iterator<Item = T> + 'a {
    let dot = move |row: &[T]| row.iter().zip(x).fold(T::default(), |sum, (&w, &x)| sum + w * x);
    weight.chunks_exact(x.len()).map(dot)
}

impl<T: Real> Cell<T> {
    /// One step of one row: x (features,), and h (P,) and c (H,) in place; a (4H,) is scratch.
    fn step(&self, x: &[T], h: &mut [T], c: &mut [T], a: &mut [T]) {
        let sums = product(&self.weight_ih, x).zip(product(&self.weight_hh, h)).zip(&self.bias);
        for (a, ((from_x, from_h), &bias)) in a.iter_mut().zip(sums) {
            *a = from_x + from_h + bias;
        }
        let (a_i, rest) = a.split_at_mut(c.len());
        let (a_f, rest) = rest.split_at(c.len());
        let (a_g, a_o) = rest.split_at(c.len());
        for (k, c) in c.iter_mut().enumerate() {
            let (i, f, g, o) = (a_i[k].sigmoid(), a_f[k].sigmoid(), a_g[k].tanh(), a_o[k].sigmoid());
            *c = f * *c + i * g;
            a_i[k] = o * c.tanh();
        }
        // o ⊙ tanh(c_t) has taken the place of the input gate, which nobody reads any more.
        let m = &*a_i;
        match &self.weight_hr {
            Some(weight_hr) => h.iter_mut().zip(product(weight_hr, m)).for_each(|(h, sum)| *h = sum),
            None => h.copy_from_slice(m),
        }
    }
}

pub struct Lstm<T> {
    pub config: Config,
    /// Layer-major, forward before reverse: the order of the states' first axis.
    pub cells: Vec<Cell<T>>,
}

impl<T: Real> Lstm<T> {
    /// x (L, N, I), or (N, L, I) if batch_first; h (layers·D, N, P) and c (layers·D, N, H), which become h_n and c_n;
    /// lengths (N,), none beyond `steps` -> output (L, N, D·P) in x's layout, 0 past a row's length.
    pub fn forward(&self, x: Vec<T>, steps: usize, lengths: &[usize], h: &mut [T], c: &mut [T]) -> Vec<T> {
        let (batch, directions, size) = (lengths.len(), self.config.num_directions(), self.config.output_size());
        let (row_stride, step_stride) = if self.config.batch_first { (steps, 1) } else { (1, batch) };
        let mut states = h.chunks_exact_mut(size).zip(c.chunks_exact_mut(self.config.hidden_size));
        let mut a = vec![T::default(); 4 * self.config.hidden_size];
        let mut sequence = x;
        for (layer, cells) in self.cells.chunks(directions).enumerate() {
            let features = self.config.layer_input_size(layer);
            let mut output = vec![T::default(); steps * batch * directions * size];
            for (direction, cell) in cells.iter().enumerate() {
                for ((row, &length), (h, c)) in lengths.iter().enumerate().zip(&mut states) {
                    for k in 0..length {
                        let t = if direction == 0 { k } else { length - 1 - k };
                        let place = row * row_stride + t * step_stride;
                        cell.step(&sequence[place * features..][..features], h, c, &mut a);
                        output[(place * directions + direction) * size..][..size].copy_from_slice(h);
                    }
                }
            }
            sequence = output;
        }
        sequence
    }
}
