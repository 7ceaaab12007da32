//! `rushlight plot`.

use crate::arguments::PlotOptions;
use crate::failure::Failure;
use crate::files::{in_file, inference_model, output, read};
use crate::text::shown;
use rushlight::applications::config_by_name;
use serde_json::json;

/// The endings of what can be written.
const ENDINGS: [&str; 6] = ["svg", "png", "dot", "gv", "mmd", "mermaid"];

pub(crate) fn run(options: &PlotOptions) -> Result<(), Failure> {
    output::check_writable(Some(&options.to), &ENDINGS)?;
    let name = options.model.to_string_lossy();
    let model = match config_by_name(&name).ok().filter(|_| !options.model.exists()) {
        Some(config) => config.build()?,
        None => inference_model(&options.model, &read(&options.model)?, &[])?,
    };
    let mut plot = model.plot().names(!options.no_names).nested(!options.no_nested);
    if let Some(columns) = options.columns {
        plot = plot.columns(columns);
    }
    plot.save(&options.to).map_err(|error| in_file(&options.model, &error))?;
    if options.json {
        let bytes = std::fs::metadata(&options.to).map_or(0, |written| written.len());
        say!("{}", json!({ "written": shown(&options.to), "bytes": bytes }));
    }
    Ok(())
}
