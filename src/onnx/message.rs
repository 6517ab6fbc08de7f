//! The fields of a protobuf message, read by `rten-onnx`, one message at a time. That crate's own types for a whole model
//! nest as deep as a file asks, allocate what a length says before they look whether it is there, and take a file that
//! ends early for a whole one.

use std::marker::PhantomData;

use rten_onnx::protobuf::varint::{MAX_VARINT_LEN, read_varint};
use rten_onnx::protobuf::{ErrorKind, FieldTypes, FieldValue, Fields, ProtobufError, ReadValue};

use crate::error::{Error, Result};

/// What is wrong with a file as a whole.
pub(super) fn broken(reason: impl ToString) -> Error {
    Error::data("the ONNX model", reason.to_string())
}

/// A field's value; what it means is up to the message.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed32([u8; 4]),
    Fixed64([u8; 8]),
    /// Text, a message, or many packed numbers.
    Bytes(&'a [u8]),
}

/// Calls `visit` with the number and the value of each field.
pub(super) fn fields<'a>(message: &'a [u8], mut visit: impl FnMut(u64, Value<'a>) -> Result<()>) -> Result<()> {
    let mut reader = Reader(message);
    let mut fields = Fields::new(&mut reader, None);
    while let Some(mut field) = fields.next().map_err(|error| broken(error.kind()))? {
        let value = match field.value() {
            FieldValue::Varint(value) => Value::Varint(value),
            FieldValue::I32(value) => Value::Fixed32(value.to_le_bytes()),
            FieldValue::I64(value) => Value::Fixed64(value.to_le_bytes()),
            FieldValue::Len(_) => Value::Bytes(field.read_bytes().map_err(|error| broken(error.kind()))?),
            FieldValue::Sgroup | FieldValue::Egroup => return Err(broken(ErrorKind::InvalidWireType)),
        };
        visit(field.number(), value)?;
    }
    Ok(())
}

impl<'a> Value<'a> {
    pub(super) fn int(self) -> Result<i64> {
        // Negative numbers are written as those of 64 bits.
        if let Self::Varint(value) = self { Ok(value as i64) } else { Err(mismatch()) }
    }

    pub(super) fn float(self) -> Result<f32> {
        if let Self::Fixed32(value) = self { Ok(f32::from_le_bytes(value)) } else { Err(mismatch()) }
    }

    pub(super) fn bytes(self) -> Result<&'a [u8]> {
        if let Self::Bytes(value) = self { Ok(value) } else { Err(mismatch()) }
    }

    pub(super) fn text(self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| broken("a name in it is not UTF-8"))
    }

    /// One more number of a repeated field, or all that are packed.
    pub(super) fn ints(self, into: &mut Vec<i64>) -> Result<()> {
        let Self::Bytes(packed) = self else {
            into.push(self.int()?);
            return Ok(());
        };
        let mut reader = Reader(packed);
        while !reader.0.is_empty() {
            into.push(reader.read_varint().map_err(|error| broken(error.kind()))? as i64);
        }
        Ok(())
    }

    /// As [`Self::ints`].
    pub(super) fn floats(self, into: &mut Vec<f32>) -> Result<()> {
        let Self::Bytes(packed) = self else {
            into.push(self.float()?);
            return Ok(());
        };
        let (values, rest) = packed.as_chunks();
        into.extend(values.iter().map(|&value| f32::from_le_bytes(value)));
        if rest.is_empty() { Ok(()) } else { Err(broken(ErrorKind::FieldLengthMismatch)) }
    }

    /// As [`Self::ints`].
    pub(super) fn doubles(self, into: &mut Vec<f64>) -> Result<()> {
        let (values, rest) = match &self {
            Self::Bytes(packed) => packed.as_chunks(),
            Self::Fixed64(value) => (std::slice::from_ref(value), [].as_slice()),
            _ => return Err(mismatch()),
        };
        into.extend(values.iter().map(|&value| f64::from_le_bytes(value)));
        if rest.is_empty() { Ok(()) } else { Err(broken(ErrorKind::FieldLengthMismatch)) }
    }
}

fn mismatch() -> Error {
    broken(ErrorKind::FieldTypeMismatch)
}

/// What is left of a message.
struct Reader<'a>(&'a [u8]);

/// What strings and bytes are read as.
struct Slices<'a>(PhantomData<&'a ()>);

impl<'a> FieldTypes for Slices<'a> {
    type String = &'a str;
    type Bytes = &'a [u8];
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], ProtobufError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or_else(|| ProtobufError::new(ErrorKind::Eof))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], ProtobufError> {
        let mut number = [0; N];
        number.copy_from_slice(self.take(N)?);
        Ok(number)
    }
}

impl<'a> ReadValue for Reader<'a> {
    type Types = Slices<'a>;

    fn read_i32(&mut self) -> Result<i32, ProtobufError> {
        self.number().map(i32::from_le_bytes)
    }

    fn read_i64(&mut self) -> Result<i64, ProtobufError> {
        self.number().map(i64::from_le_bytes)
    }

    fn read_varint(&mut self) -> Result<u64, ProtobufError> {
        if self.0.is_empty() {
            return Err(ProtobufError::new(ErrorKind::Eof));
        }
        // A number that is cut off is an error, while `Eof` may be the end of a message. With more bytes than a number
        // has, the crate would wait for the last of them without end.
        let mut number = &self.0[..self.0.len().min(MAX_VARINT_LEN)];
        let len = number.len();
        let value = read_varint(&mut number).map_err(|_| ProtobufError::new(ErrorKind::InvalidVarint))?;
        self.take(len - number.len())?;
        Ok(value)
    }

    fn read_bytes(&mut self, len: usize) -> Result<&'a [u8], ProtobufError> {
        self.take(len)
    }

    fn read_string(&mut self, len: usize) -> Result<&'a str, ProtobufError> {
        std::str::from_utf8(self.take(len)?).map_err(|_| ProtobufError::new(ErrorKind::InvalidUtf8))
    }

    fn skip(&mut self, len: usize) -> Result<(), ProtobufError> {
        self.take(len).map(drop)
    }

    /// Of what is left, so that a sum of it and any length is in range. No message is read in another, so none needs the
    /// place where it ends.
    fn position(&self) -> u64 {
        0
    }
}
