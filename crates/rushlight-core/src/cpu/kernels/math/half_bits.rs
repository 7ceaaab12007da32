//! `f16` and `bf16` to and from `f32`, in integer arithmetic that vectorizes.

use half::{bf16, f16};

/// A 16-bit float.
pub(crate) trait Half: Copy + 'static {
    fn widen(self) -> f32;
    /// To the nearest, ties to even.
    fn narrow(value: f32) -> Self;
}

impl Half for bf16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits((self.to_bits() as u32) << 16)
    }

    #[inline(always)]
    fn narrow(value: f32) -> bf16 {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        let quiet = (bits >> 16) | 0x40;
        bf16::from_bits(if bits & 0x7fff_ffff > 0x7f80_0000 { quiet } else { rounded } as u16)
    }
}

impl Half for f16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        let bits = self.to_bits() as u32;
        // The exponent moves from a bias of 15 to one of 127 by multiplying, which normalizes small numbers too.
        let value = f32::from_bits((bits & 0x7fff) << 13) * 5.192_297e33;
        let special = if value >= 65536.0 { 0x7f80_0000 } else { 0 };
        f32::from_bits(value.to_bits() | special | ((bits & 0x8000) << 16))
    }

    #[inline(always)]
    fn narrow(value: f32) -> f16 {
        let sign = (value.to_bits() >> 16) & 0x8000;
        let bits = value.to_bits() & 0x7fff_ffff;
        let normal = bits.wrapping_sub(112 << 23).wrapping_add(0xfff + ((bits >> 13) & 1)) >> 13;
        // Adding ½ aligns the bits of a small number at the end of the mantissa, rounded.
        let small = (f32::from_bits(bits) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
        let nan = 0x7e00 | ((bits >> 13) & 0x3ff);
        let large = if bits > 0x7f80_0000 { nan } else { 0x7c00 };
        let finite = if bits < 113 << 23 { small } else { normal };
        f16::from_bits((sign | if bits >= 143 << 23 { large } else { finite }) as u16)
    }
}
