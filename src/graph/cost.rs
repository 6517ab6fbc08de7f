//! What a graph costs, however it is computed: the yardstick for a roofline.

use super::Graph;
use crate::ops::{View, Work};
use crate::tensor::Precision;

/// Bytes of a value in `f32`.
const VALUE: u64 = size_of::<f32>() as u64;

/// Work and traffic that no implementation of a graph can do without, algorithms such as Winograd's aside. Counts
/// beyond 64 bits saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GraphCost {
    /// Twice the multiply-adds of convolutions and linear layers, those with padding included. Normalisation folds into
    /// them; activations, sums and maxima are not counted.
    pub flops: u64,
    /// Bytes of inputs, outputs and weights, each touched once, in `f32`.
    pub min_bytes: u64,
    /// Weights and biases, and two values for each normalised channel.
    pub parameters: u64,
    /// Rows and columns of the input pixels that one output pixel sees; `None` if an operation sees its whole map.
    pub receptive_field: Option<[u64; 2]>,
}

impl GraphCost {
    /// The same with weights stored in one precision, inputs and outputs in another.
    #[must_use]
    pub const fn stored_in(self, weights: Precision, ports: Precision) -> Self {
        const fn bytes_in(precision: Precision, bytes: u64) -> u64 {
            match precision {
                Precision::F32 => bytes,
                Precision::F16 => bytes / 2,
            }
        }
        let parameters = self.parameters.saturating_mul(VALUE);
        let of_ports = bytes_in(ports, self.min_bytes.saturating_sub(parameters));
        Self { min_bytes: bytes_in(weights, parameters).saturating_add(of_ports), ..self }
    }
}

impl Graph {
    /// Work, traffic, parameters and receptive field.
    pub fn cost(&self) -> GraphCost {
        let mut cost = GraphCost::default();
        let mut min_bytes: u64 = 0;
        let mut touch = |values: u64| min_bytes = min_bytes.saturating_add(values.saturating_mul(VALUE));
        let mut seen: Vec<Seen> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let Some(operation) = node.op.operation() else {
                touch(node.shape.len());
                seen.push(Seen::ITSELF);
                continue;
            };
            let Work { parameters, flops } = operation.work(node.shape);
            cost.parameters = cost.parameters.saturating_add(parameters);
            cost.flops = cost.flops.saturating_add(flops);
            let operands = node.inputs.iter().map(|id| seen[id.index()]);
            seen.push(operands.reduce(Seen::union).unwrap_or(Seen::ITSELF).through(operation.view()));
        }
        let outputs = || self.outputs.iter().map(|(_, id)| id.index());
        touch(cost.parameters);
        outputs().for_each(|id| touch(self.nodes[id].shape.len()));
        cost.min_bytes = min_bytes;
        cost.receptive_field = outputs().map(|id| seen[id]).reduce(Seen::union).and_then(|seen| seen.field);
        cost
    }
}

/// What a pixel sees of the input, and the distance from its view to its neighbour's.
#[derive(Clone, Copy)]
struct Seen {
    field: Option<[u64; 2]>,
    step: [u64; 2],
}

impl Seen {
    const ITSELF: Self = Self { field: Some([1, 1]), step: [1, 1] };

    fn union(self, other: Self) -> Self {
        let larger = |a: [u64; 2], b: [u64; 2]| [a[0].max(b[0]), a[1].max(b[1])];
        let field = self.field.zip(other.field).map(|(a, b)| larger(a, b));
        Self { field, step: larger(self.step, other.step) }
    }

    /// What a pixel sees through a further operation.
    fn through(self, view: View) -> Self {
        let View::Window { extent, stride } = view else { return Self { field: None, ..self } };
        let grown = |i: usize, seen: u64| seen.saturating_add((extent[i] - 1).saturating_mul(self.step[i]));
        let field = self.field.map(|field| [grown(0, field[0]), grown(1, field[1])]);
        Self { field, step: [0, 1].map(|i| self.step[i].saturating_mul(stride[i])) }
    }
}

#[cfg(test)]
mod tests {
    use super::Graph;
    use crate::case::{canonical, canonical_row};
    use crate::ops::{MaxPool, Padding};
    use crate::tensor::{Precision, Shape};

    #[test]
    fn strides_that_multiply_beyond_64_bits_saturate() {
        let mut graph = Graph::new();
        let mut y = graph.input("x", Shape::new(1, 1, 1, 1)).unwrap();
        for i in 0..3 {
            let pool = MaxPool { stride: [i32::MAX as u32; 2], ..MaxPool::new([1, 1]) };
            y = graph.max_pool(format!("pool {i}"), y, pool).unwrap();
        }
        let window = MaxPool { padding: Padding::symmetric(1, 1), ..MaxPool::new([3, 3]) };
        y = graph.max_pool("window", y, window).unwrap();
        graph.output("y", y).unwrap();
        assert_eq!(graph.cost().receptive_field, Some([u64::MAX; 2]));
    }

    /// FLOPs, parameters, minimal traffic and receptive fields of the published shapes.
    #[test]
    fn published_shapes_cost_what_was_worked_out_by_hand() {
        let rows = canonical().unwrap();
        let cost = |name: &str| rows.iter().find(|row| row.name == name).unwrap().graph(0).unwrap().cost();
        let sppf = cost("sppf_v5l");
        // cv1: 1024 → 512 and cv2: 2048 → 1024 at 400 pixels; two normalisations.
        assert_eq!(sppf.flops, 2 * 400 * (1024 * 512 + 2048 * 1024));
        assert_eq!(sppf.parameters, 1024 * 512 + 2048 * 1024 + 2 * (512 + 1024));
        assert_eq!(sppf.min_bytes, 4 * (2 * 1024 * 400 + sppf.parameters));
        let [f32, f16] = [Precision::F32, Precision::F16];
        assert_eq!(sppf.stored_in(f32, f32), sppf);
        assert_eq!(sppf.stored_in(f16, f32).min_bytes, 4 * (2 * 1024 * 400) + 2 * sppf.parameters);
        assert_eq!(sppf.stored_in(f16, f16).min_bytes, sppf.min_bytes / 2);
        assert_eq!(sppf.receptive_field, Some([13, 13]));
        // Four 3x3 convolutions 2048 → 21 with bias; the largest rate sees 2 * 24 + 1.
        let aspp = cost("aspp_deeplabv2");
        assert_eq!(aspp.flops, 2 * 4 * 9 * 2048 * 21 * 41 * 41);
        assert_eq!(aspp.parameters, 4 * (9 * 2048 * 21 + 21));
        assert_eq!(aspp.receptive_field, Some([49, 49]));
        // BasicRFB of 1024: 128 per branch unit, stride 1, visual 2.
        let rfb = cost("rfb_300");
        let [m, c] = [128, 1024];
        let weights = c * 2 * m + 9 * 4 * m * m // branch 0
            + c * m + 9 * 2 * m * m + 9 * 4 * m * m // branch 1
            + c * m + 9 * m * (3 * m / 2) + 9 * (3 * m / 2) * 2 * m + 9 * 4 * m * m // branch 2
            + 6 * m * c + c * c; // linear, shortcut
        assert_eq!(rfb.flops, 2 * 361 * weights);
        // Branch 2: 3x3, 3x3, and 3x3 of dilation 5.
        assert_eq!(rfb.receptive_field, Some([15, 15]));
        assert_eq!(cost("pyramid_sppnet").receptive_field, None);
    }

    /// 10⁹ FLOP per image and 10⁶ bytes per batch, worked out independently of this code, without the two values of
    /// each normalised channel: the one per cent allows for those.
    #[test]
    fn published_shapes_cost_what_a_roofline_table_says() {
        let table = [
            ("spp_v5l", 1, 2.097, 13.8),
            ("sppf_v5l", 1, 2.097, 13.8),
            ("sppf_v5l", 16, 2.097, 62.9),
            ("sppf_v5l", 32, 2.097, 115.0),
            ("sppf_v5s", 1, 0.524, 4.3),
            ("simsppf_v6s", 16, 0.524, 28.8),
            ("cspsppf_v6s", 1, 1.625, 9.8),
            ("simcspsppf_v6s", 16, 1.625, 34.3),
            ("sppcspc_v7", 1, 6.082, 32.9),
            ("sppfcspc_v7", 16, 6.082, 69.7),
            ("aspp_deeplabv2_513", 1, 13.08, 41.2),
            ("aspp_deeplabv2_513", 16, 13.08, 566.0),
            ("aspp_deeplabv2", 1, 5.21, 20.1),
            ("aspp_deeplabv2", 16, 5.21, 229.0),
            ("aspp_deeplabv3", 1, 32.7, 72.0),
            ("aspp_deeplabv3", 16, 32.7, 223.0),
            ("rfb_300", 1, 3.673, 23.3),
            ("rfb_300", 16, 3.673, 67.7),
            ("rfb_a_300", 1, 4.324, 11.9),
            ("rfb_a_300", 32, 4.324, 195.0),
            ("pyramid_sppnet", 1, 0.0, 0.39),
            ("pyramid_sppnet", 32, 0.0, 12.5),
            ("rfbnet300", 1, 72.1, 148.0),
            ("rfbnet300", 16, 72.1, 182.0),
            ("rfbnet512", 1, 206.8, 156.0),
            ("rfbnet512", 16, 206.8, 252.0),
        ];
        for (name, batch, gflop, megabytes) in table {
            let mut row = canonical_row(name).unwrap();
            row.shape.n = batch;
            let cost = row.graph(0).unwrap().cost();
            let (flop, bytes) = (cost.flops as f64 / 1e9 / f64::from(batch), cost.min_bytes as f64 / 1e6);
            // The table's last digit, and one per cent.
            let near = |got: f64, want: f64| (got - want).abs() <= 0.01 * want.max(0.5);
            assert!(near(flop, gflop) && near(bytes, megabytes), "{name} x {batch}: {flop} GFLOP, {bytes} MB");
        }
    }
}
