//! A diagram in the languages of Graphviz and Mermaid.

use super::diagram::{Diagram, Link, Part, Row};
use crate::plot::scene::push;

/// What differs between the two languages.
struct Language {
    row: fn(&str, &str) -> String,
    open_frame: fn(&str, &str) -> String,
    close_frame: &'static str,
    /// A point where lines enter or leave a frame.
    point: fn(&str) -> String,
    arrow: fn(&str, &str) -> String,
    /// What separates the lines of a label.
    break_line: &'static str,
    escape: fn(&str) -> String,
}

/// In the DOT language of Graphviz.
pub(super) fn dot(diagram: &Diagram, title: &str, names: bool) -> String {
    let language = Language {
        row: |id, label| format!("{id} [label=\"{label}\"];"),
        open_frame: |id, label| format!("subgraph cluster_{id} {{\n label=\"{label}\";"),
        close_frame: "}",
        point: |id| format!("{id} [shape=point, width=0.04, label=\"\"];"),
        arrow: |from, to| format!("{from} -> {to};"),
        break_line: "\\n",
        escape: |text| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " "),
    };
    let mut writer = Writer { language, names, text: String::new(), count: 0 };
    let title = (writer.language.escape)(title);
    writer.line(&format!(
        "digraph model {{\nlabel=\"{title}\"; labelloc=t; fontname=Helvetica;\n\
         node [shape=box, style=rounded, fontname=Helvetica, fontsize=11]; edge [arrowsize=0.7];"
    ));
    writer.diagram(diagram);
    writer.line("}");
    writer.text
}

/// As a flowchart of Mermaid.
pub(super) fn mermaid(diagram: &Diagram, names: bool) -> String {
    let language = Language {
        row: |id, label| format!("{id}[\"{label}\"]"),
        open_frame: |id, label| format!("subgraph frame_{id}[\"{label}\"]"),
        close_frame: "end",
        point: |id| format!("{id}(( ))"),
        arrow: |from, to| format!("{from} --> {to}"),
        break_line: "<br/>",
        escape: |text| {
            let text = text.replace('#', "#35;").replace('&', "#amp;").replace('"', "#quot;");
            text.replace('<', "#lt;").replace('>', "#gt;").replace('\n', " ")
        },
    };
    let mut writer = Writer { language, names, text: String::new(), count: 0 };
    writer.line("flowchart TB");
    writer.diagram(diagram);
    writer.text
}

struct Writer {
    language: Language,
    names: bool,
    text: String,
    count: usize,
}

/// The nodes at which lines to and from a part end, by port.
struct Ends {
    entries: Vec<String>,
    exits: Vec<String>,
}

impl Writer {
    fn line(&mut self, line: &str) {
        push(&mut self.text, format_args!("{line}\n"));
    }

    fn next_id(&mut self) -> String {
        self.count += 1;
        format!("n{}", self.count)
    }

    /// Writes parts and what links them; gives the points where lines enter and leave.
    fn diagram(&mut self, diagram: &Diagram) -> Ends {
        let mut outer = Ends { entries: Vec::new(), exits: Vec::new() };
        let mut parts: Vec<Ends> = Vec::new();
        for part in &diagram.parts {
            let id = self.next_id();
            let ends = match part {
                Part::Rows(rows) => {
                    let labels: Vec<String> = rows.iter().map(|row| self.label(row, true)).collect();
                    let label = labels.join(self.language.break_line);
                    self.line(&(self.language.row)(&id, &label));
                    Ends { entries: vec![id.clone()], exits: vec![id] }
                }
                Part::Frame(row, inner) => {
                    let label = self.label(row, false);
                    self.line(&(self.language.open_frame)(&id, &label));
                    let ends = self.diagram(inner);
                    self.line(self.language.close_frame);
                    ends
                }
                Part::Entry | Part::Exit => {
                    self.line(&(self.language.point)(&id));
                    let list =
                        if matches!(part, Part::Entry) { &mut outer.entries } else { &mut outer.exits };
                    list.push(id.clone());
                    Ends { entries: vec![id.clone()], exits: vec![id] }
                }
            };
            parts.push(ends);
        }
        for Link { from, from_port, to, to_port } in &diagram.links {
            let arrow = (self.language.arrow)(&parts[*from].exits[*from_port], &parts[*to].entries[*to_port]);
            self.line(&arrow);
        }
        outer
    }

    fn label(&self, row: &Row, shapes: bool) -> String {
        let mut lines = vec![(self.language.escape)(&row.class)];
        if self.names && !row.name.is_empty() {
            lines.push((self.language.escape)(&row.name));
        }
        if shapes {
            lines.extend(row.shapes().iter().map(|shape| (self.language.escape)(shape)));
        }
        lines.join(self.language.break_line)
    }
}
