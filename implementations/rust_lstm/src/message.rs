//! The protocol's messages: safetensors files, one after the other.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use crate::json::{quoted, Reader};

/// What the safetensors library allows.
const LONGEST_HEADER: u64 = 100_000_000;

/// The elements of a tensor.
pub trait Element: Sized {
    const DTYPE: &'static str;
    fn decode(bytes: &[u8]) -> Vec<Self>;
    fn encode(values: &[Self]) -> Vec<u8>;
}

macro_rules! element {
    ($type:ident, $dtype:literal) => {
        impl Element for $type {
            const DTYPE: &'static str = $dtype;

            fn decode(bytes: &[u8]) -> Vec<Self> {
                let number = |chunk: &[u8]| $type::from_le_bytes(chunk.try_into().unwrap());
                bytes.chunks_exact(std::mem::size_of::<$type>()).map(number).collect()
            }

            fn encode(values: &[Self]) -> Vec<u8> {
                values.iter().flat_map(|value| value.to_le_bytes()).collect()
            }
        }
    };
}

element!(f32, "F32");
element!(f64, "F64");
element!(i64, "I64");

pub struct Tensor {
    pub dtype: String,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Tensor {
    pub fn new<T: Element>(shape: Vec<usize>, values: &[T]) -> Self {
        Tensor { dtype: T::DTYPE.into(), shape, bytes: T::encode(values) }
    }
}

/// Fields and tensors by their names.
#[derive(Default)]
pub struct Message {
    pub fields: BTreeMap<String, String>,
    pub tensors: BTreeMap<String, Tensor>,
}

/// A tensor's entry in the header.
struct Entry {
    name: String,
    dtype: String,
    shape: Vec<usize>,
    begin: usize,
    end: usize,
}

impl Message {
    pub fn new(kind: &str, fields: &[(&str, &str)]) -> Self {
        let fields = [&[("type", kind)], fields].concat();
        let fields = fields.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        Message { fields, tensors: BTreeMap::new() }
    }

    /// The next message; None at the end of the input.
    pub fn read(input: &mut impl Read) -> io::Result<Option<Self>> {
        let mut length = Vec::new();
        if input.take(8).read_to_end(&mut length)? == 0 {
            return Ok(None);
        }
        let length = length.try_into().map_err(|_| malformed("the input ends in a header's length"))?;
        let length = u64::from_le_bytes(length);
        if length > LONGEST_HEADER {
            return Err(malformed(format!("a header of {length} bytes")));
        }
        let header = String::from_utf8(bytes(input, length)?).map_err(malformed)?;
        let (fields, entries) = parse(&header).map_err(malformed)?;
        let mut tensors = BTreeMap::new();
        for entry in entries {
            let bytes = bytes(input, (entry.end - entry.begin) as u64)?;
            tensors.insert(entry.name, Tensor { dtype: entry.dtype, shape: entry.shape, bytes });
        }
        Ok(Some(Message { fields, tensors }))
    }

    pub fn write(&self, output: &mut impl Write) -> io::Result<()> {
        let fields = self.fields.iter().map(|(name, value)| format!("{}:{}", quoted(name), quoted(value)));
        let mut members = vec![format!("\"__metadata__\":{{{}}}", fields.collect::<Vec<_>>().join(","))];
        let mut begin = 0;
        for (name, Tensor { dtype, shape, bytes }) in &self.tensors {
            let end = begin + bytes.len();
            let entry = format!(r#"{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{begin},{end}]}}"#);
            members.push(format!("{}:{entry}", quoted(name)));
            begin = end;
        }
        let header = format!("{{{}}}", members.join(","));
        output.write_all(&(header.len() as u64).to_le_bytes())?;
        output.write_all(header.as_bytes())?;
        for tensor in self.tensors.values() {
            output.write_all(&tensor.bytes)?;
        }
        output.flush()
    }
}

fn malformed(what: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

/// As many bytes; memory is taken as they arrive, so that a wrong number cannot ask for all of it.
fn bytes(input: &mut impl Read, count: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if input.take(count).read_to_end(&mut bytes)? as u64 != count {
        return Err(malformed(format!("the input ends where {count} bytes were announced")));
    }
    Ok(bytes)
}

/// A header's fields, and its tensors in the order of their elements, which follow each other without gaps.
fn parse(header: &str) -> Result<(BTreeMap<String, String>, Vec<Entry>), String> {
    let (mut fields, mut entries) = (BTreeMap::new(), Vec::new());
    let mut reader = Reader::new(header);
    reader.object(|reader, name| {
        if name == "__metadata__" {
            return reader.object(|reader, name| {
                fields.insert(name.into(), reader.string()?);
                Ok(())
            });
        }
        let (mut dtype, mut shape, mut offsets) = (None, None, None);
        reader.object(|reader, key| {
            match key {
                "dtype" => dtype = Some(reader.string()?),
                "shape" => shape = Some(reader.integers()?),
                "data_offsets" => offsets = Some(reader.integers()?),
                _ => return Err(format!("tensor {name}: unknown key {key}")),
            }
            Ok(())
        })?;
        match (dtype, shape, offsets.as_deref()) {
            (Some(dtype), Some(shape), Some(&[begin, end])) => {
                entries.push(Entry { name: name.into(), dtype, shape, begin, end });
                Ok(())
            }
            _ => Err(format!("tensor {name}: dtype, shape or data_offsets is missing")),
        }
    })?;
    reader.end()?;
    entries.sort_by_key(|entry| (entry.begin, entry.end));
    let mut end = 0usize;
    for entry in &entries {
        let fitting = size(&entry.dtype, &entry.shape).and_then(|size| end.checked_add(size));
        if entry.begin != end || Some(entry.end) != fitting {
            return Err(format!("tensor {}: its dtype, shape and data_offsets do not fit", entry.name));
        }
        end = entry.end;
    }
    Ok((fields, entries))
}

/// The bytes of a tensor, or None if they cannot be counted.
fn size(dtype: &str, shape: &[usize]) -> Option<usize> {
    let element = match dtype {
        "F16" | "BF16" => 2,
        "F32" => 4,
        "F64" | "I64" => 8,
        _ => return None,
    };
    shape.iter().try_fold(element, |size: usize, &axis| size.checked_mul(axis))
}
