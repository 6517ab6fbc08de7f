//! Pictures in textures as inputs.

use super::{Graph, NodeId, Op};
use crate::error::{Error, Result};
use crate::ops::{Texels, Texture};
use crate::tensor::Shape;

impl Graph {
    /// Declares a picture that every run is given in a texture, whose layers are the batch; in host memory `[n, c, h,
    /// w]` with values from 0 to 1. [`Graph::texture`] makes a tensor of it, and [`Graph::paint`] paints over it.
    /// Errors: channels other than the texels'; those of [`Graph::input`].
    pub fn picture(&mut self, name: impl Into<String>, shape: Shape, texels: Texels) -> Result<NodeId> {
        let name = name.into();
        let op = format!("picture '{name}'");
        let shape = match texels.channels() {
            channels if channels == shape.c => shape.check(&op),
            channels => {
                Err(Error::mismatch(op, format!("a texture of {texels} has {channels} channels, not those of {shape}")))
            }
        };
        self.push(name, Op::Picture(texels), &[], shape)
    }

    /// Declares a picture of `[rows, columns]` in a texture, and what the network sees of it: `[1, 3, out_h, out_w]`,
    /// in the network's own layout by one dispatch. [`Graph::paint`] over the picture needs its handle: then call
    /// [`Graph::picture`] and [`Graph::texture`] yourself. Errors: those of these two.
    pub fn texture_input(
        &mut self,
        name: impl Into<String>,
        [h, w]: [u32; 2],
        texels: Texels,
        texture: Texture,
    ) -> Result<NodeId> {
        let name = name.into();
        self.all_or_nothing(|graph| {
            let picture = graph.picture(name.clone(), Shape::new(1, texels.channels(), h, w), texels)?;
            graph.texture(format!("{name}.tensor"), &[picture], texture)
        })
    }

    /// As [`Graph::texture_input`], of a picture in NV12: two inputs, `{name}.y` in `R8Unorm` and `{name}.uv` in
    /// `Rg8Unorm`. Errors: the same.
    pub fn nv12_input(&mut self, name: impl Into<String>, [h, w]: [u32; 2], texture: Texture) -> Result<NodeId> {
        let name = name.into();
        self.all_or_nothing(|graph| {
            let luma = graph.picture(format!("{name}.y"), Shape::new(1, 1, h, w), Texels::R8)?;
            let chroma = Shape::new(1, 2, h.div_ceil(2), w.div_ceil(2));
            let chroma = graph.picture(format!("{name}.uv"), chroma, Texels::Rg8)?;
            graph.texture(format!("{name}.tensor"), &[luma, chroma], texture)
        })
    }

    /// The same graph, but that an input is what `feed` adds to it, such as a picture in a texture:
    ///
    /// ```
    /// use spp_wgpu::{Graph, Shape, ops::{MaxPool, Texels, Texture}};
    /// let mut graph = Graph::new();
    /// let x = graph.input("images", Shape::new(1, 3, 416, 416))?;
    /// let y = graph.max_pool("pool", x, MaxPool::same(5))?;
    /// graph.output("y", y)?;
    /// let camera = graph.fed("images", |graph| {
    ///     graph.texture_input("camera", [1080, 1920], Texels::Rgba8, Texture::letterbox(416, 416))
    /// })?;
    /// # Ok::<(), spp_wgpu::Error>(())
    /// ```
    ///
    /// Errors: no input of that name; another shape than the input's; what `feed` says.
    pub fn fed(&self, input: &str, feed: impl FnOnce(&mut Self) -> Result<NodeId>) -> Result<Self> {
        let mut feed = Some(feed);
        let graph = self.rewritten(|new, _, node, map| {
            if node.name != input || !matches!(node.op, Op::Input) {
                return new.copy_mapped(node, map).map(Some);
            }
            let Some(feed) = feed.take() else { return Err(Error::Graph(format!("input '{input}' is there twice"))) };
            let id = feed(new)?;
            let shape = new.shape(id)?;
            if shape != node.shape {
                let detail = format!("{shape} is fed to an input of {}", node.shape);
                return Err(Error::mismatch(format!("input '{input}'"), detail));
            }
            Ok(Some(id))
        })?;
        match feed {
            None => Ok(graph),
            Some(_) => {
                let names: Vec<&str> = self.inputs().map(|(_, node)| node.name.as_str()).collect();
                Err(Error::Graph(format!("input '{input}' {}", crate::error::unknown(input, &names))))
            }
        }
    }

    /// Adds several nodes, or none if one of them fails: it could be tried again under the same name.
    fn all_or_nothing(&mut self, add: impl FnOnce(&mut Self) -> Result<NodeId>) -> Result<NodeId> {
        let before = self.nodes.len();
        let added = add(self);
        if added.is_err() {
            self.nodes.drain(before..).for_each(|node| _ = self.names.remove(&node.name));
        }
        added
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_input_leaves_nothing_of_itself() {
        let mut graph = Graph::new();
        let [wrong, right] = [0, 4].map(|side| Texture::stretch(side, side));
        assert!(graph.texture_input("t", [6, 5], Texels::Rgba8, wrong).is_err());
        assert!(graph.nv12_input("t", [6, 5], wrong).is_err());
        assert_eq!(graph.nodes().len(), 0);
        graph.texture_input("t", [6, 5], Texels::Rgba8, right).unwrap();
        assert!(graph.nv12_input("t", [6, 5], right).is_err(), "the name of its tensor is taken");
        graph.nv12_input("u", [6, 5], right).unwrap();
        assert_eq!(graph.nodes().len(), 5);
    }

    #[test]
    fn an_input_is_fed_only_what_has_its_shape() {
        let mut graph = Graph::new();
        let x = graph.input("x", Shape::new(1, 3, 4, 4)).unwrap();
        let y = graph.max_pool("y", x, crate::ops::MaxPool::same(3)).unwrap();
        graph.output("y", y).unwrap();
        let fed = |name: &str, side: u32| {
            graph.fed(name, |graph| graph.texture_input("t", [6, 5], Texels::Rgba8, Texture::stretch(side, side)))
        };
        let by_texture = fed("x", 4).unwrap();
        assert_eq!(
            by_texture.nodes().iter().map(|node| node.op.stem()).collect::<Vec<_>>(),
            ["picture", "texture", "max_pool"]
        );
        by_texture.check().unwrap();
        assert!(matches!(fed("x", 5), Err(Error::ShapeMismatch { .. })));
        assert!(fed("z", 4).unwrap_err().to_string().contains("Known: x"));
    }
}
