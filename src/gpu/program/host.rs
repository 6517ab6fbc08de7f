//! The host's tensors, `f32` in NCHW, and what ports have in their buffers.

use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::vec::HalfFloatVecExt;

use crate::error::Result;
use crate::plan::{Element, Order, Port};
use crate::tensor::{Shape, Tensor};

/// The bytes of a port's buffer, whole words, for these values.
pub(super) fn packed(port: &Port, values: &[f32]) -> Vec<u8> {
    let [c, pixels] = extents(port.shape);
    let turned;
    let values = match port.order {
        Order::Nchw => values,
        Order::Nhwc | Order::NhwcDense => {
            turned = self::turned(values, c, pixels);
            &turned
        }
    };
    let mut bytes = match port.element {
        Element::F32 | Element::U32 => bytemuck::cast_slice(values).to_vec(),
        Element::F16 => bytemuck::cast_slice(Vec::<f16>::from_f32_slice(values).reinterpret_cast()).to_vec(),
        // A cast ends at 0 and 255, and makes 0 of NaN.
        Element::U8 => values.iter().map(|value| value.round_ties_even() as u8).collect(),
    };
    bytes.resize(port.bytes() as usize, 0);
    bytes
}

/// The values of a port's buffer.
pub(super) fn unpacked(port: &Port, bytes: &[u8]) -> Result<Tensor> {
    let [c, pixels] = extents(port.shape);
    let len = port.shape.len() as usize;
    let values = match port.element {
        Element::F32 | Element::U32 => bytemuck::pod_collect_to_vec(bytes),
        Element::F16 => {
            let halves: Vec<u16> = bytemuck::pod_collect_to_vec(bytes);
            let values: &[f16] = halves.reinterpret_cast();
            values[..len].to_f32_vec()
        }
        Element::U8 => bytes[..len].iter().copied().map(f32::from).collect(),
    };
    let values = match port.order {
        Order::Nchw => values,
        Order::Nhwc | Order::NhwcDense => turned(&values, pixels, c),
    };
    Tensor::new(port.shape, values)
}

/// Channels and pixels of an image.
fn extents(shape: Shape) -> [usize; 2] {
    [shape.c as usize, shape.h as usize * shape.w as usize]
}

/// Each image, so many rows of so many columns, with columns as rows.
fn turned(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let image = |image: &[f32]| -> Vec<f32> {
        (0..columns).flat_map(|column| image[column..].iter().step_by(columns).copied()).collect()
    };
    values.chunks(rows * columns).flat_map(image).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{BufferId, PortForm};

    fn port(PortForm { element, order }: PortForm) -> Port {
        Port { name: "x".into(), shape: Shape::new(2, 3, 1, 2), element, order, buffer: BufferId(0) }
    }

    #[test]
    fn what_a_port_holds_is_unpacked_again() {
        let values: Vec<f32> = (0..12).map(|i| i as f32).collect();
        for form in [PortForm::NCHW_F32, PortForm::NCHW_F16, PortForm::NCHW_U8, PortForm::NHWC_F32, PortForm::NHWC_U8] {
            let port = port(form);
            let bytes = packed(&port, &values);
            assert_eq!(bytes.len() as u64, port.bytes());
            assert_eq!(unpacked(&port, &bytes).unwrap().data(), values, "{form:?}");
        }
        // Pixels of three channels, in two images.
        assert_eq!(packed(&port(PortForm::NHWC_U8), &values), [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]);
    }

    #[test]
    fn bytes_are_rounded_and_end_at_0_and_255() {
        let values = [0.5, 1.5, 2.500_001, -3.0, 254.5, 255.6, 1e9, f32::NAN, f32::NEG_INFINITY, -0.0, 0.2, 9.0];
        assert_eq!(packed(&port(PortForm::NCHW_U8), &values), [0, 2, 3, 0, 254, 255, 255, 0, 0, 0, 0, 9]);
    }
}
