//! A readable listing of a graph, one node a line.

use crate::graph::{Graph, Kind, Node, Operand, ValueId};
use std::fmt;

impl fmt::Display for Graph {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "graph {} ({} nodes)", self.name, self.nodes.len())?;
        for (index, node) in self.nodes.iter().enumerate() {
            self.write_node(formatter, index, node)?;
        }
        for output in &self.outputs {
            writeln!(formatter, "  return {}", self.id(*output))?;
        }
        for (variable, value) in &self.assignments {
            writeln!(formatter, "  assign {} = {}", self.variables[*variable].name(), self.id(*value))?;
        }
        Ok(())
    }
}

impl Graph {
    fn id(&self, id: ValueId) -> String {
        match self.node(id).outputs.len() {
            1 => format!("%{}", id.node),
            _ => format!("%{}.{}", id.node, id.output),
        }
    }

    fn write_node(&self, formatter: &mut fmt::Formatter<'_>, index: usize, node: &Node) -> fmt::Result {
        let specs: Vec<String> = node.outputs.iter().map(|spec| spec.to_string()).collect();
        write!(formatter, "  %{index} {} = ", specs.join(", "))?;
        let inputs: Vec<String> = node.inputs.iter().map(|&id| self.id(id)).collect();
        match &node.kind {
            Kind::Input(number) => write!(formatter, "input {number}")?,
            Kind::Variable(number) => write!(formatter, "variable {}", self.variables[*number].name())?,
            Kind::Constant(constant) => match constant.as_f64() {
                Some(value) => write!(formatter, "constant {value}")?,
                None => write!(formatter, "constant")?,
            },
            Kind::Op(op) => write!(formatter, "{}({})", op.label(), inputs.join(", "))?,
            Kind::Fused(fused) => {
                write!(formatter, "fused({}) {{", inputs.join(", "))?;
                for (number, step) in fused.body.iter().enumerate() {
                    let operands: Vec<String> = step
                        .inputs
                        .iter()
                        .map(|operand| match operand {
                            Operand::Input(number) => inputs[*number].clone(),
                            Operand::Body(number) => format!("${number}"),
                        })
                        .collect();
                    write!(formatter, " ${number} = {}({});", step.op.label(), operands.join(", "))?;
                }
                write!(formatter, " }} → {:?}", fused.results)?;
            }
        }
        match &node.origin.path {
            Some(path) => writeln!(formatter, "  # {path} {}", node.origin.location),
            None => writeln!(formatter, "  # {}", node.origin.location),
        }
    }
}
