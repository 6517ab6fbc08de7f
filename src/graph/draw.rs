//! A graph as text for Graphviz and for Mermaid.

use super::{Graph, Node};

impl Graph {
    /// Graphviz DOT; netron opens it too.
    pub fn to_dot(&self) -> String {
        let mut text = String::from("digraph spp {\n  rankdir=TB;\n  node [shape=box, fontname=monospace];\n");
        for (i, node) in self.nodes.iter().enumerate() {
            text += &format!("  n{i} [label=\"{}\"];\n", label(node, "\\n"));
        }
        self.edges(|from, to| text += &format!("  n{from} -> n{to};\n"));
        for (i, (name, id)) in self.outputs.iter().enumerate() {
            text += &format!("  o{i} [label=\"{}\", shape=oval];\n  n{} -> o{i};\n", escaped(name), id.index());
        }
        text + "}\n"
    }

    /// A Mermaid flowchart; GitHub renders it.
    pub fn to_mermaid(&self) -> String {
        let mut text = String::from("flowchart TD\n");
        for (i, node) in self.nodes.iter().enumerate() {
            text += &format!("  n{i}[\"{}\"]\n", label(node, "<br/>"));
        }
        self.edges(|from, to| text += &format!("  n{from} --> n{to}\n"));
        for (i, (name, id)) in self.outputs.iter().enumerate() {
            text += &format!("  o{i}([\"{}\"])\n  n{} --> o{i}\n", escaped(name), id.index());
        }
        text
    }

    fn edges(&self, mut edge: impl FnMut(usize, usize)) {
        for (to, node) in self.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|from| edge(from.index(), to));
        }
    }
}

fn label(node: &Node, newline: &str) -> String {
    format!("{}{newline}{} {}", escaped(&node.name), node.op.stem(), node.shape)
}

fn escaped(text: &str) -> String {
    text.replace('\\', "/").replace('"', "'")
}
