//! Convolutions, along one, two or three axes, and transposed ones.

use std::sync::Arc;

use super::view::{Dim, Type, View};
use super::{Converter, Value, shape_of, unsupported, unsupported_attribute};
use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::onnx::array::Array;
use crate::onnx::file::Node;
use crate::ops::{Conv, Padding, Reduce, ReduceKind, Weight};
use crate::tensor::{Shape, Tensor};

pub(super) const OPERATORS: &[&str] = &["Conv", "ConvTranspose"];

/// How a window moves, an entry for each spatial axis.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) kernel: Vec<u32>,
    pub(super) stride: Vec<u32>,
    pub(super) dilation: Vec<u32>,
    pub(super) before: Vec<u32>,
    pub(super) after: Vec<u32>,
}

impl Window {
    /// The attributes that convolution and pooling share, over a map of these spatial extents.
    pub(super) fn of(node: &Node, kernel: Vec<u32>, spatial: &[usize]) -> Result<Self> {
        let rank = kernel.len();
        if spatial.len() != rank {
            let detail = format!("a window of {rank} axes over a tensor with {} spatial ones", spatial.len());
            return Err(Error::mismatch(node.label(), detail));
        }
        let list = |name: &'static str, default: u32, len: usize| -> Result<Vec<u32>> {
            let Some(values) = node.ints(name)? else { return Ok(vec![default; len]) };
            let value = |&value: &i64| match u32::try_from(value) {
                Ok(value) => Ok(value),
                Err(_) => Err(unsupported_attribute(node, name, format!("{values:?}"))),
            };
            let values = values.iter().map(value).collect::<Result<Vec<_>>>()?;
            if values.len() != len {
                return Err(Error::data(node.label(), format!("has {} {name}, and needs {len}", values.len())));
            }
            Ok(values)
        };
        let (stride, dilation) = (list("strides", 1, rank)?, list("dilations", 1, rank)?);
        let pads = list("pads", 0, 2 * rank)?;
        let (mut before, mut after) = (pads[..rank].to_vec(), pads[rank..].to_vec());
        let auto = node.text("auto_pad")?.unwrap_or("NOTSET");
        match auto {
            "NOTSET" | "" => {}
            "VALID" => (before, after) = (vec![0; rank], vec![0; rank]),
            "SAME_UPPER" | "SAME_LOWER" => {
                for i in 0..rank {
                    let window = u64::from(kernel[i].saturating_sub(1)) * u64::from(dilation[i]) + 1;
                    let step = u64::from(stride[i].max(1));
                    let out = (spatial[i] as u64).div_ceil(step);
                    let total = ((out - 1) * step + window).saturating_sub(spatial[i] as u64);
                    let total = u32::try_from(total).map_err(|_| unsupported_attribute(node, "auto_pad", auto))?;
                    let small = total / 2;
                    (before[i], after[i]) =
                        if auto == "SAME_UPPER" { (small, total - small) } else { (total - small, small) };
                }
            }
            other => return Err(unsupported_attribute(node, "auto_pad", other)),
        }
        Ok(Self { kernel, stride, dilation, before, after })
    }

    /// Rows and columns: an axis of extent 1 comes first if there is only one.
    pub(super) fn plane(&self) -> ([u32; 2], [u32; 2], [u32; 2], Padding) {
        let two = |values: &[u32], one: u32| match *values {
            [w] => [one, w],
            [.., h, w] => [h, w],
            [] => [one, one],
        };
        let ([top, left], [bottom, right]) = (two(&self.before, 0), two(&self.after, 0));
        let padding = Padding { top, left, bottom, right };
        (two(&self.kernel, 1), two(&self.stride, 1), two(&self.dilation, 1), padding)
    }
}

impl Converter {
    pub(super) fn convolution(&mut self, node: &Node) -> Result<Vec<Value>> {
        let x = self.view(node, 0)?;
        let Some(weight) = self.known(node, 1, "a weight")? else {
            return Err(Error::data(node.label(), "lacks its weight"));
        };
        let bias = self.known(node, 2, "a bias")?;
        let bias: Option<Arc<[f32]>> = bias.map(|bias| bias.to_floats().into_owned().into());
        let rank = weight.rank();
        if !(3..=5).contains(&rank) || x.rank() != rank {
            let detail = format!("weight {:?} for a tensor {:?}", weight.dims, x.extents());
            return if rank > 5 {
                Err(unsupported(node, format!("a convolution along {} axes", rank - 2)))
            } else {
                Err(Error::mismatch(node.label(), detail))
            };
        }
        let groups = node.int("group")?.unwrap_or(1);
        let groups = u32::try_from(groups).map_err(|_| unsupported_attribute(node, "group", groups))?;
        let kernel: Vec<u32> = weight.dims[2..].iter().map(|&dim| dim as u32).collect();
        if let Some(declared) = node.ints("kernel_shape")?
            && !declared.iter().copied().eq(kernel.iter().map(|&dim| i64::from(dim)))
        {
            let detail = format!("kernel_shape {declared:?} and weight {:?}", weight.dims);
            return Err(Error::mismatch(node.label(), detail));
        }
        let window = Window::of(node, kernel, &x.extents()[2..])?;
        if node.op == "ConvTranspose" {
            return self.transposed_convolution(node, &x, &weight, bias, groups, &window);
        }
        if rank == 5 {
            return self.convolution_3d(node, &x, &weight, bias, groups, &window);
        }
        if let Some(view) = self.expected(node, &x, &weight, bias.as_deref())? {
            return Ok(vec![Value::View(view)]);
        }
        let (_, stride, dilation, mut padding) = window.plane();
        let mut shape = shape_of(&node.name, &weight.dims)?;
        if rank == 3 {
            shape = Shape { h: 1, w: shape.w, ..shape };
        }
        let mut x = x;
        if let Some((source, [top, left, bottom, right])) = self.padded.get(&x.node)
            && x.is_whole(self.graph.shape(x.node)?.len())
            && rank == 4
        {
            padding = Padding {
                top: padding.top + top,
                left: padding.left + left,
                bottom: padding.bottom + bottom,
                right: padding.right + right,
            };
            x = source.clone();
        }
        if let Some(view) = self.unshuffled(node, &x, &weight, &bias, groups, (stride, dilation, padding))? {
            return Ok(vec![Value::View(view)]);
        }
        let (x, _) = self.map_of(&node.name, &x)?;
        let weight = self.weight(&weight, shape)?;
        let conv = Conv { bias, stride, padding, dilation, groups, ..Conv::new(weight) };
        let id = self.apply(&node.name, conv, &[x])?;
        let Shape { n, c, h, w } = self.graph.shape(id)?;
        let extents: Vec<usize> = if rank == 3 { vec![n, c, w] } else { vec![n, c, h, w] }
            .into_iter()
            .map(|extent| extent as usize)
            .collect();
        Ok(vec![Value::View(View::whole(id, &extents, Type::Float))])
    }

    /// A tensor of three or four dimensions as a map; one of five with its first two spatial axes as rows.
    pub(super) fn map_of(&mut self, name: &str, x: &View) -> Result<(NodeId, Shape)> {
        let shape = shape_of(name, &x.extents())?;
        self.shaped(name, x, shape).map(|id| (id, shape))
    }

    /// YOLOv8's boxes: a softmax over channels, and their weighted sum.
    fn expected(&mut self, node: &Node, x: &View, weight: &Array, bias: Option<&[f32]>) -> Result<Option<View>> {
        let Some((source, axis)) = self.softmaxes.get(&x.node).cloned() else { return Ok(None) };
        let is_sum = weight.dims == [1, x.extents()[1], 1, 1] && bias.is_none_or(|bias| bias == [0.0]);
        if !is_sum || axis != 1 || !x.is_whole(self.graph.shape(x.node)?.len()) || source.rank() != 4 {
            return Ok(None);
        }
        let source = self.walkable(&node.name, &source)?;
        let without = View { dims: [0, 2, 3].map(|dim| source.dims[dim].clone()).into(), ..source.clone() };
        let only = View { dims: vec![source.dims[1].clone()], offset: 0, ..source.clone() };
        let (Some(kept), Some(over)) = (without.strided(), only.strided()) else { return Ok(None) };
        if kept.axes.len() > 3 || over.axes.len() > 3 {
            return Ok(None);
        }
        let extents = [source.extents()[0], 1, source.extents()[2], source.extents()[3]];
        let shape = shape_of(&node.name, &extents)?;
        let kind = ReduceKind::Expected(weight.to_floats().into_owned().into());
        let id = self.apply(&node.name, Reduce { shape, kept, over: over.axes, kind }, &[source.node])?;
        Ok(Some(View::whole(id, &extents, Type::Float)))
    }

    /// A convolution of every second row and column, four times side by side (YOLOv5's Focus), or of any other square of
    /// neighbours moved into channels, is one of the whole map with a larger kernel.
    fn unshuffled(
        &mut self,
        node: &Node,
        x: &View,
        weight: &Arc<Array>,
        bias: &Option<Arc<[f32]>>,
        groups: u32,
        (stride, dilation, padding): ([u32; 2], [u32; 2], Padding),
    ) -> Result<Option<View>> {
        let own = self.graph.shape(x.node)?;
        let [Dim::Axes(_), Dim::Axes(_), Dim::Axes(rows), Dim::Axes(columns)] = &x.dims[..] else {
            return Ok(None);
        };
        let (&[row], &[column]) = (&rows[..], &columns[..]) else { return Ok(None) };
        let (w, plane) = (i64::from(own.w), i64::from(own.w) * i64::from(own.h));
        let times = column.stride;
        let is_square = times > 1
            && row.stride == w * times
            && row.extent as i64 * times == i64::from(own.h)
            && column.extent as i64 * times == w
            && x.offset == 0
            && x.len() as u64 == own.len()
            && groups == 1
            && dilation == [1, 1];
        if !is_square {
            return Ok(None);
        }
        // Each channel of the operand: its row and column in the square, and its channel on the map.
        let places = View { dims: vec![x.dims[1].clone()], offset: 0, ..x.clone() };
        let Some(walk) = places.strided() else { return Ok(None) };
        let mut taps = Vec::with_capacity(weight.dims[1]);
        for place in walk.indices().map(|place| place as i64) {
            let (c, dy, dx) = (place / plane, place % plane / w, place % w);
            if dy >= times || dx >= times || c >= i64::from(own.c) {
                return Ok(None);
            }
            taps.push([c as usize, dy as usize, dx as usize]);
        }
        let t = times as usize;
        let [out, _, kh, kw] = weight.dims[..] else { return Ok(None) };
        let (c, h, w) = (own.c as usize, kh * t, kw * t);
        let values = weight.to_floats();
        let mut spread = vec![0.0; out * c * h * w];
        for (o, kernel) in values.chunks(taps.len() * kh * kw).enumerate() {
            for (i, &[channel, dy, dx]) in taps.iter().enumerate() {
                for ky in 0..kh {
                    for kx in 0..kw {
                        let at = ((o * c + channel) * h + ky * t + dy) * w + kx * t + dx;
                        spread[at] = kernel[(i * kh + ky) * kw + kx];
                    }
                }
            }
        }
        let shape = Shape::new(out as u32, c as u32, h as u32, w as u32);
        let times = times as u32;
        let Padding { top, left, bottom, right } = padding;
        let conv = Conv {
            bias: bias.clone(),
            stride: stride.map(|stride| stride * times),
            padding: Padding { top: top * times, left: left * times, bottom: bottom * times, right: right * times },
            ..Conv::new(Tensor::new(shape, spread)?)
        };
        let id = self.apply(&node.name, conv, &[x.node])?;
        let Shape { n, c, h, w } = self.graph.shape(id)?;
        Ok(Some(View::whole(id, &[n, c, h, w].map(|extent| extent as usize), Type::Float)))
    }

    /// Slices along the depth side by side as channels, and one convolution of them for each depth of the result.
    fn convolution_3d(
        &mut self,
        node: &Node,
        x: &View,
        weight: &Arc<Array>,
        bias: Option<Arc<[f32]>>,
        groups: u32,
        window: &Window,
    ) -> Result<Vec<Value>> {
        let [n, c, depth, h, w] = x.extents()[..] else { return Err(unsupported(node, "these dimensions".into())) };
        let (k, stride, dilation) = (window.kernel[0], window.stride[0], window.dilation[0]);
        let padded = depth as u64 + u64::from(window.before[0]) + u64::from(window.after[0]);
        let reach = u64::from(k.max(1) - 1) * u64::from(dilation) + 1;
        if stride == 0 || dilation == 0 || reach > padded {
            return Err(Error::data(node.label(), "has a window along the depth that does not fit"));
        }
        let out = ((padded - reach) / u64::from(stride) + 1) as usize;
        let mut places = Vec::with_capacity(out * k as usize);
        for from in 0..out as i64 {
            for tap in 0..i64::from(k) {
                let at = from * i64::from(stride) + tap * i64::from(dilation) - i64::from(window.before[0]);
                places.push(usize::try_from(at).ok().filter(|&at| at < depth));
            }
        }
        // [n, c, out, k, h, w], then [n, out, c, k, h, w]
        let unfolded = View { fill: 0.0, ..x.clone() }.looked_up(2, &places);
        let name = &node.name;
        let dense = self.dense(name, &unfolded)?;
        let Some(split) = dense.reshaped(&[n, c, out, k as usize, h, w]) else {
            return Err(unsupported(node, "these dimensions".into()));
        };
        let turned = split.transposed(&[0, 2, 1, 3, 4, 5]);
        let shape = Shape::new((n * out) as u32, (c as u32) * k, h as u32, w as u32);
        let images = self.shaped(name, &turned, shape.check(name)?)?;
        let [o, per_group, _, kh, kw] = weight.dims[..] else { return Err(unsupported(node, "this weight".into())) };
        let weight_shape = shape_of(name, &[o, per_group * k as usize, kh, kw])?;
        let weight = self.weight(weight, weight_shape)?;
        let (_, stride, dilation, padding) = window.plane();
        let conv = Conv { bias, stride, padding, dilation, groups, ..Conv::new(weight) };
        let id = self.apply(name, conv, &[images])?;
        let made = self.graph.shape(id)?;
        let extents = [n, out, made.c as usize, made.h as usize, made.w as usize];
        let view = View::whole(id, &extents, Type::Float).transposed(&[0, 2, 1, 3, 4]);
        Ok(vec![Value::View(view)])
    }

    /// Each pixel of a transposed convolution sees the pixels of `x` that lie a stride apart in its kernel. All that a
    /// stride has are channels of one convolution, which then move next to each other.
    fn transposed_convolution(
        &mut self,
        node: &Node,
        x: &View,
        weight: &Array,
        bias: Option<Arc<[f32]>>,
        groups: u32,
        window: &Window,
    ) -> Result<Vec<Value>> {
        let rank = weight.rank();
        if rank > 4 {
            return Err(unsupported(node, format!("a transposed convolution along {} axes", rank - 2)));
        }
        let extents = x.extents();
        let (kernel, stride, dilation, mut padding) = window.plane();
        let (n, c) = (extents[0], extents[1]);
        let [in_h, in_w] = if rank == 3 { [1, extents[2]] } else { [extents[2], extents[3]] };
        let per_group = weight.dims[1];
        let g = groups.max(1) as usize;
        if weight.dims[0] != c || !c.is_multiple_of(g) || stride.contains(&0) || dilation.contains(&0) {
            let detail = format!("weight {:?}, group {groups}, for a tensor {extents:?}", weight.dims);
            return Err(Error::mismatch(node.label(), detail));
        }
        let extra = match node.ints("output_padding")? {
            None => [0, 0],
            Some(&[w]) if rank == 3 => [0, w],
            Some(&[h, w]) => [h, w],
            Some(other) => return Err(unsupported_attribute(node, "output_padding", format!("{other:?}"))),
        };
        // What is larger makes no map, and sums of it must not overflow.
        let most = i64::from(i32::MAX);
        if extra.iter().any(|&extra| !(0..=most).contains(&extra)) {
            return Err(unsupported_attribute(node, "output_padding", format!("{extra:?}")));
        }
        let window_of = |i: usize| i64::from(kernel[i].max(1) - 1) * i64::from(dilation[i]) + 1;
        let full = |i: usize, extent: usize| (extent as i64 - 1) * i64::from(stride[i]) + window_of(i);
        if let Some(wanted) = node.ints("output_shape")? {
            // Padding follows from the shape: what is over is cut off, most of it where auto_pad says.
            let wanted = match wanted {
                &[w] if rank == 3 => [1, w],
                &[h, w] | &[_, _, h, w] => [h, w],
                other => return Err(unsupported_attribute(node, "output_shape", format!("{other:?}"))),
            };
            if wanted.iter().any(|wanted| !(1..=most).contains(wanted)) {
                return Err(unsupported_attribute(node, "output_shape", format!("{wanted:?}")));
            }
            let upper = node.text("auto_pad")? == Some("SAME_UPPER");
            let cut = |i: usize, extent: usize| {
                let total = full(i, extent) + extra[i] - wanted[i];
                let small = total.max(0) / 2;
                if upper { [small, total - small] } else { [total - small, small] }
            };
            let ([top, bottom], [left, right]) = (cut(0, in_h), cut(1, in_w));
            if [top, bottom, left, right].iter().any(|pad| *pad < 0) {
                return Err(unsupported_attribute(node, "output_shape", format!("{wanted:?}")));
            }
            padding = Padding { top: top as u32, left: left as u32, bottom: bottom as u32, right: right as u32 };
        } else if let Some(auto @ ("SAME_UPPER" | "SAME_LOWER")) = node.text("auto_pad")? {
            let cut = |i: usize, extent: usize| {
                let total = (full(i, extent) + extra[i] - extent as i64 * i64::from(stride[i])).max(0);
                let small = total / 2;
                if auto == "SAME_UPPER" { [small, total - small] } else { [total - small, small] }
            };
            let ([top, bottom], [left, right]) = (cut(0, in_h), cut(1, in_w));
            padding = Padding { top: top as u32, left: left as u32, bottom: bottom as u32, right: right as u32 };
        }
        let before = [padding.top, padding.left].map(i64::from);
        let after = [padding.bottom, padding.right].map(i64::from);
        let ins = [in_h, in_w];
        let out = [0, 1].map(|i| full(i, ins[i]) + extra[i] - before[i] - after[i]);
        if out.iter().any(|&extent| extent < 1 || extent > most) {
            return Err(Error::data(node.label(), format!("would make a map of {out:?}")));
        }
        // Taps of each of the convolutions, so many that they reach all of the result.
        let taps = [0, 1].map(|i| {
            let s = i64::from(stride[i]);
            let reached = (before[i] + out[i] - (ins[i] as i64 - 1) * s).max(window_of(i));
            ((reached + s - 1) / s) as usize
        });
        let s = stride.map(|stride| stride as usize);
        let o = per_group * g;
        let channels = o * s[0] * s[1];
        let in_group = c / g;
        let weight_shape = shape_of(&node.name, &[channels, in_group, taps[0], taps[1]])?;
        let values = weight.to_floats();
        let [kh, kw] = kernel.map(|extent| extent as usize);
        let [dil_h, dil_w] = dilation.map(|dilation| dilation as usize);
        let mut spread = vec![0.0; weight_shape.len() as usize];
        for (ic, kernels) in values.chunks(per_group * kh * kw).enumerate() {
            let (group, within) = (ic / in_group, ic % in_group);
            for oc in 0..per_group {
                for ky in 0..kh {
                    for kx in 0..kw {
                        let (y, x) = (ky * dil_h, kx * dil_w);
                        let channel = (((group * per_group + oc) * s[0]) + y % s[0]) * s[1] + x % s[1];
                        // The first tap of the convolution sees the last of these.
                        let (ty, tx) = (taps[0] - 1 - y / s[0], taps[1] - 1 - x / s[1]);
                        let at = ((channel * in_group + within) * taps[0] + ty) * taps[1] + tx;
                        spread[at] = kernels[(oc * kh + ky) * kw + kx];
                    }
                }
            }
        }
        let bias = bias.map(|bias| bias.iter().flat_map(|&bias| std::iter::repeat_n(bias, s[0] * s[1])).collect());
        let around = |taps: usize| u32::try_from(taps - 1).unwrap_or(u32::MAX);
        let padding = Padding::symmetric(around(taps[0]), around(taps[1]));
        let weight = Weight::from(Tensor::new(weight_shape, spread)?);
        let conv = Conv { bias, padding, groups, ..Conv::new(weight) };
        let (input, _) = self.map_of(&node.name, x)?;
        let id = self.apply(&node.name, conv, &[input])?;
        let made = self.graph.shape(id)?;
        let (mh, mw) = (made.h as usize, made.w as usize);
        let view = View::whole(id, &[n, o, s[0], s[1], mh, mw], Type::Float).transposed(&[0, 1, 4, 2, 5, 3]);
        let dims = &view.dims;
        let joined = |a: &Dim, b: &Dim| match (a, b) {
            (Dim::Axes(a), Dim::Axes(b)) => Dim::Axes(a.iter().chain(b).copied().collect()),
            _ => a.clone(),
        };
        let dims = vec![dims[0].clone(), dims[1].clone(), joined(&dims[2], &dims[3]), joined(&dims[4], &dims[5])];
        let mut view = View { dims, ..view };
        for i in [0, 1] {
            if (before[i], out[i] as usize) != (0, view.dims[2 + i].extent()) {
                view = view.sliced(2 + i, before[i] as usize, 1, out[i] as usize);
            }
        }
        if rank == 3 {
            view = view.without_dim(2);
        }
        Ok(vec![Value::View(view)])
    }
}
