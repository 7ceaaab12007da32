//! Which vector instructions the kernels use, chosen when the program starts.

use std::sync::OnceLock;

/// An instruction set that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Whatever the baseline of the architecture offers.
    Plain,
    /// 128-bit vectors of AArch64.
    Neon,
    /// 256-bit vectors with fused multiply-add.
    Avx2,
    /// 512-bit vectors with fused multiply-add.
    Avx512,
}

impl Isa {
    /// The best instruction set of this machine, or the lesser one that `RUSHLIGHT_ISA` names
    /// (`plain`, `neon`, `avx2`, `avx512`).
    pub fn current() -> Isa {
        static CURRENT: OnceLock<Isa> = OnceLock::new();
        *CURRENT.get_or_init(|| {
            let best = Isa::detect();
            let Ok(name) = std::env::var("RUSHLIGHT_ISA") else { return best };
            let wanted = Isa::from_name(&name).filter(|isa| Isa::available().contains(isa));
            wanted.unwrap_or_else(|| {
                let all: Vec<&str> = Isa::available().into_iter().map(Isa::name).collect();
                let all = all.join(", ");
                eprintln!(
                    "rushlight: RUSHLIGHT_ISA must be one of {all}, not `{name}`; {} is used",
                    best.name()
                );
                best
            })
        })
    }

    /// All instruction sets of this machine that kernels are compiled for, the best one last.
    pub fn available() -> Vec<Isa> {
        let best = Isa::detect();
        let mut all = vec![Isa::Plain, Isa::Neon, Isa::Avx2, Isa::Avx512];
        all.retain(|&isa| isa == Isa::Plain || isa <= best && (isa == Isa::Neon) == (best == Isa::Neon));
        all
    }

    /// The instruction set of that name.
    pub fn from_name(name: &str) -> Option<Isa> {
        [Isa::Plain, Isa::Neon, Isa::Avx2, Isa::Avx512].into_iter().find(|isa| isa.name() == name)
    }

    /// What `RUSHLIGHT_ISA` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Plain => "plain",
            Isa::Neon => "neon",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn detect() -> Isa {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        match (avx2, avx512) {
            (true, true) => Isa::Avx512,
            (true, false) => Isa::Avx2,
            _ => Isa::Plain,
        }
    }

    #[cfg(target_arch = "aarch64")]
    fn detect() -> Isa {
        Isa::Neon
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn detect() -> Isa {
        Isa::Plain
    }
}

/// Defines functions whose plain loops are compiled once for each instruction set; the call picks one.
///
/// Helpers called from the body must be `#[inline(always)]`, so that they are compiled along with it.
macro_rules! multiversion {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident $(<$($generic:ident : $bound:path),+>)?
        ($($argument:ident : $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$meta])*
        #[inline]
        $visibility fn $name $(<$($generic: $bound),+>)? ($($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            fn body $(<$($generic: $bound),+>)? ($($argument: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
            fn avx512 $(<$($generic: $bound),+>)? ($($argument: $type),*) $(-> $result)? {
                body($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn avx2 $(<$($generic: $bound),+>)? ($($argument: $type),*) $(-> $result)? {
                body($($argument),*)
            }

            match $crate::cpu::isa::Isa::current() {
                // SAFETY: `Isa::current` has seen that this machine has these instructions.
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::isa::Isa::Avx512 => unsafe { avx512($($argument),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::isa::Isa::Avx2 => unsafe { avx2($($argument),*) },
                _ => body($($argument),*),
            }
        }
    };
}

pub(crate) use multiversion;
