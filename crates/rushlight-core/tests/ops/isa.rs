//! The golden values and gradients hold on every instruction set of this machine, not only on the best one: each of the
//! lesser ones runs those tests again in a process of its own.

use rushlight_core::cpu::isa::Isa;
use std::process::Command;

#[test]
fn goldens_hold_on_every_instruction_set() {
    let best = Isa::current();
    for isa in Isa::available().into_iter().filter(|&isa| isa != best) {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["goldens::", "gradients::", "models::"])
            .env("RUSHLIGHT_ISA", isa.name())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success(), "{isa:?}: {text}");
        assert!(!text.contains(" 0 passed"), "{isa:?}: {text}");
    }
}
