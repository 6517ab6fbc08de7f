//! Boxes and arrows as text for Graphviz and for Mermaid: a graph, or the dispatches of a plan.

use super::Graph;

/// What is drawn, in whatever format.
#[derive(Default)]
pub(crate) struct Drawing {
    /// Lines of text in each box, and whether it is rounded: an input or output.
    pub(crate) boxes: Vec<(Vec<String>, bool)>,
    /// From box to box.
    pub(crate) arrows: Vec<(usize, usize)>,
}

impl Drawing {
    /// Adds a box and returns its number.
    pub(crate) fn add(&mut self, lines: Vec<String>, rounded: bool) -> usize {
        self.boxes.push((lines, rounded));
        self.boxes.len() - 1
    }

    /// Graphviz DOT; netron opens it too.
    pub(crate) fn dot(&self) -> String {
        let mut text = String::from("digraph spp {\n  rankdir=TB;\n  node [shape=box, fontname=monospace];\n");
        for (i, (lines, rounded)) in self.boxes.iter().enumerate() {
            let shape = if *rounded { ", shape=oval" } else { "" };
            text += &format!("  n{i} [label=\"{}\"{shape}];\n", escaped(lines, "\\n"));
        }
        for (from, to) in &self.arrows {
            text += &format!("  n{from} -> n{to};\n");
        }
        text + "}\n"
    }

    /// A Mermaid flowchart; GitHub renders it.
    pub(crate) fn mermaid(&self) -> String {
        let mut text = String::from("flowchart TD\n");
        for (i, (lines, rounded)) in self.boxes.iter().enumerate() {
            let (open, close) = if *rounded { ("([", "])") } else { ("[", "]") };
            text += &format!("  n{i}{open}\"{}\"{close}\n", escaped(lines, "<br/>"));
        }
        for (from, to) in &self.arrows {
            text += &format!("  n{from} --> n{to}\n");
        }
        text
    }
}

fn escaped(lines: &[String], newline: &str) -> String {
    let lines: Vec<String> = lines.iter().map(|line| line.replace('\\', "/").replace('"', "'")).collect();
    lines.join(newline)
}

impl Graph {
    /// Graphviz DOT; netron opens it too.
    pub fn to_dot(&self) -> String {
        self.drawing().dot()
    }

    /// A Mermaid flowchart; GitHub renders it.
    pub fn to_mermaid(&self) -> String {
        self.drawing().mermaid()
    }

    fn drawing(&self) -> Drawing {
        let mut drawing = Drawing::default();
        for node in &self.nodes {
            let to = drawing.add(vec![node.name.clone(), node.op.to_string(), node.shape.to_string()], false);
            drawing.arrows.extend(node.inputs.iter().map(|from| (from.index(), to)));
        }
        for (name, id) in &self.outputs {
            let to = drawing.add(vec![name.clone()], true);
            drawing.arrows.push((id.index(), to));
        }
        drawing
    }
}
