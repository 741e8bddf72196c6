//! The program: requests from standard input, responses to standard output, as docs/protocol.md has them.

mod json;
mod lstm;
mod message;

use std::any::Any;
use std::collections::HashMap;
use std::fmt::Display;
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process::ExitCode;
use std::str::FromStr;

use lstm::{Cell, Config, Lstm, Real};
use message::{Element, Message, Tensor};

const HELLO: &[(&str, &str)] = &[
    ("protocol", "1"),
    ("name", env!("CARGO_PKG_NAME")),
    ("version", env!("CARGO_PKG_VERSION")),
    ("layers", "true"),
    ("bidirectional", "true"),
    ("no_bias", "true"),
    ("batch_first", "true"),
    ("unbatched", "true"),
    ("projection", "true"),
    ("lengths", "true"),
    ("dtypes", "float32 float64"),
];

/// Why a request gets no other response: the protocol's kind, and a message.
struct Error(&'static str, String);

type Result<T> = std::result::Result<T, Error>;

fn unsupported(message: impl Display) -> Error {
    Error("unsupported", message.to_string())
}

fn refused(message: impl Display) -> Error {
    Error("refused", message.to_string())
}

/// What a panic said: a fault of this program, after which it goes on.
fn failed(panic: Box<dyn Any + Send>) -> Error {
    let message = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    Error("failed", message.unwrap_or("panic").into())
}

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", env!("CARGO_PKG_NAME"));
            ExitCode::FAILURE
        }
    }
}

/// Answers requests until there are no more, or until one is malformed: nobody knows where the next would begin.
fn serve() -> io::Result<()> {
    let (mut input, mut output) = (io::stdin().lock(), io::BufWriter::new(io::stdout().lock()));
    let mut models = HashMap::new();
    while let Some(request) = Message::read(&mut input)? {
        let answered = catch_unwind(AssertUnwindSafe(|| answer(&mut models, request)));
        let response = answered
            .unwrap_or_else(|panic| Err(failed(panic)))
            .unwrap_or_else(|Error(kind, message)| Message::new("error", &[("kind", kind), ("message", &message)]));
        response.write(&mut output)?;
    }
    Ok(())
}

/// A model in either precision.
enum Model {
    F32(Lstm<f32>),
    F64(Lstm<f64>),
}

fn answer(models: &mut HashMap<String, Model>, mut request: Message) -> Result<Message> {
    let request = &mut request;
    match field::<String>(request, "type")?.as_str() {
        "hello" => match field::<String>(request, "protocol")?.as_str() {
            "1" => Ok(Message::new("hello", HELLO)),
            other => Err(unsupported(format!("protocol {other}"))),
        },
        "build" => {
            let name: String = field(request, "model")?;
            if models.contains_key(&name) {
                return Err(refused(format!("there is a model {name} already")));
            }
            let model = match field::<String>(request, "dtype")?.as_str() {
                "float32" => Model::F32(build(request)?),
                "float64" => Model::F64(build(request)?),
                other => return Err(unsupported(format!("dtype {other}"))),
            };
            models.insert(name, model);
            Ok(Message::new("built", &[]))
        }
        "forward" => match models.get(&field::<String>(request, "model")?) {
            Some(Model::F32(lstm)) => forward(lstm, request),
            Some(Model::F64(lstm)) => forward(lstm, request),
            None => Err(refused("there is no such model")),
        },
        "vjp" => Err(unsupported("gradients")),
        "release" => match models.remove(&field::<String>(request, "model")?) {
            Some(_) => Ok(Message::new("released", &[])),
            None => Err(refused("there is no such model")),
        },
        other => Err(unsupported(format!("request {other}"))),
    }
}

/// A field's value.
fn field<T: FromStr>(request: &Message, name: &str) -> Result<T> {
    let text = request.fields.get(name).ok_or_else(|| refused(format!("field {name} is missing")))?;
    text.parse().map_err(|_| refused(format!("field {name} is {text:?}")))
}

/// Takes a tensor's values out of the request. Its shape must be the one given.
fn take<T: Element>(request: &mut Message, name: &str, shape: &[usize]) -> Result<Vec<T>> {
    let tensor = request.tensors.remove(name).ok_or_else(|| refused(format!("tensor {name} is missing")))?;
    if tensor.dtype != T::DTYPE || tensor.shape != shape {
        let (wanted, dtype) = (T::DTYPE, tensor.dtype);
        return Err(refused(format!("{name} must be {wanted} {shape:?}, got {dtype} {:?}", tensor.shape)));
    }
    Ok(T::decode(&tensor.bytes))
}

/// Where there are no steps, a batch may be of any size: no elements of x had to come with it.
fn zeros<T: Real>(shape: &[usize]) -> Result<Vec<T>> {
    let mut zeros = Vec::new();
    let count = shape.iter().try_fold(1usize, |count, &axis| count.checked_mul(axis)).unwrap_or(usize::MAX);
    zeros.try_reserve_exact(count).map_err(|error| Error("failed", format!("a state of shape {shape:?}: {error}")))?;
    zeros.resize(count, T::default());
    Ok(zeros)
}

/// What nobody has taken was sent for a reason, and would be ignored.
fn nothing_left(request: &Message) -> Result<()> {
    match request.tensors.keys().next() {
        Some(name) => Err(refused(format!("tensor {name} is not expected"))),
        None => Ok(()),
    }
}

fn build<T: Real + Element>(request: &mut Message) -> Result<Lstm<T>> {
    // 32 bits each, so that products of them do not overflow.
    let size = |name| field::<u32>(request, name).map(|size| size as usize);
    let flag = |name| field::<bool>(request, name);
    let config = Config {
        input_size: size("input_size")?,
        hidden_size: size("hidden_size")?,
        num_layers: size("num_layers")?,
        bias: flag("bias")?,
        batch_first: flag("batch_first")?,
        bidirectional: flag("bidirectional")?,
        proj_size: size("proj_size")?,
    };
    if config.input_size == 0 || config.num_layers == 0 || config.proj_size >= config.hidden_size {
        return Err(refused("sizes must be at least 1, and proj_size smaller than hidden_size"));
    }
    if flag("training")? && field::<f64>(request, "dropout")? > 0.0 {
        return Err(unsupported("dropout in training"));
    }
    let (gates, output) = (4 * config.hidden_size, config.output_size());
    let mut cells = Vec::new();
    for layer in 0..config.num_layers {
        for direction in ["", "_reverse"].iter().take(config.num_directions()) {
            let name = |parameter| format!("{parameter}_l{layer}{direction}");
            let weight_ih = take(request, &name("weight_ih"), &[gates, config.layer_input_size(layer)])?;
            let weight_hh = take(request, &name("weight_hh"), &[gates, output])?;
            let mut bias = vec![T::default(); gates];
            if config.bias {
                let bias_ih: Vec<T> = take(request, &name("bias_ih"), &[gates])?;
                let bias_hh: Vec<T> = take(request, &name("bias_hh"), &[gates])?;
                bias = bias_ih.iter().zip(&bias_hh).map(|(&b_i, &b_h)| b_i + b_h).collect();
            }
            let mut weight_hr = None;
            if config.proj_size > 0 {
                weight_hr = Some(take(request, &name("weight_hr"), &[output, config.hidden_size])?);
            }
            cells.push(Cell { weight_ih, weight_hh, bias, weight_hr });
        }
    }
    nothing_left(request)?;
    Ok(Lstm { config, cells })
}

fn forward<T: Real + Element>(lstm: &Lstm<T>, request: &mut Message) -> Result<Message> {
    let config = &lstm.config;
    let x_shape = request.tensors.get("x").ok_or_else(|| refused("tensor x is missing"))?.shape.clone();
    // An unbatched sequence is one row without its axis, which would change nothing in memory, wherever it stood.
    let (steps, rows) = match x_shape[..] {
        [steps, _] => (steps, None),
        [batch, steps, _] if config.batch_first => (steps, Some(batch)),
        [steps, batch, _] => (steps, Some(batch)),
        _ => return Err(refused(format!("x must have 2 or 3 axes, got {x_shape:?}"))),
    };
    let with_features = |size| [&x_shape[..x_shape.len() - 1], &[size]].concat();
    let x = take(request, "x", &with_features(config.input_size))?;

    let state_shape = |size| [&[config.slots()], rows.as_slice(), &[size]].concat();
    let (h_shape, c_shape) = (state_shape(config.output_size()), state_shape(config.hidden_size));
    let given = request.tensors.contains_key("h_0") || request.tensors.contains_key("c_0");
    let (mut h, mut c) = match given {
        true => (take(request, "h_0", &h_shape)?, take(request, "c_0", &c_shape)?),
        false => (zeros(&h_shape)?, zeros(&c_shape)?),
    };

    let mut lengths = vec![steps; rows.unwrap_or(1)];
    if request.tensors.contains_key("lengths") {
        let batch = rows.ok_or_else(|| refused("lengths are for the rows of a batch, and x has none"))?;
        let given: Vec<i64> = take(request, "lengths", &[batch])?;
        let valid = |&length: &i64| usize::try_from(length).ok().filter(|&length| length <= steps);
        lengths = given
            .iter()
            .map(valid)
            .collect::<Option<_>>()
            .ok_or_else(|| refused(format!("lengths must be from 0 to {steps}, got {given:?}")))?;
    }
    nothing_left(request)?;

    let output = lstm.forward(x, steps, &lengths, &mut h, &mut c);
    let mut result = Message::new("result", &[]);
    let output_shape = with_features(config.num_directions() * config.output_size());
    for (name, shape, values) in [("output", output_shape, output), ("h_n", h_shape, h), ("c_n", c_shape, c)] {
        result.tensors.insert(name.into(), Tensor::new(shape, &values));
    }
    Ok(result)
}
