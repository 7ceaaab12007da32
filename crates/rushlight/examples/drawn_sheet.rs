//! Draws the picture of the drawn shapes that README shows: `cargo run --release --example drawn_sheet FILE`.

use rushlight::data::drawn_shapes;
use rushlight::files::write_atomically;
use rushlight::plot::contact_sheet;

fn main() -> std::io::Result<()> {
    let path = std::env::args().nth(1).unwrap_or("docs/drawn.png".into());
    write_atomically(&path, &contact_sheet(&drawn_shapes(120, 0, 5).train, 10, 2)?)?;
    println!("{path} written");
    Ok(())
}
