//! The instruction sets that inner loops are compiled for, chosen once at run time.

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isa {
    /// What the program was compiled for.
    Baseline,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 F, VL, DQ and BW.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// The widest one of this machine.
    pub(crate) fn detect() -> Isa {
        #[cfg(target_arch = "x86_64")]
        {
            let wide = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("bmi2");
            let middle = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("bmi2");
            if wide && middle {
                return Isa::Avx512;
            }
            if middle {
                return Isa::Avx2;
            }
        }
        Isa::Baseline
    }

    /// Its name, for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Isa::Baseline => std::env::consts::ARCH,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => "AVX-512",
        }
    }
}

/// Compiles a function's body for every instruction set; the first parameter chooses one. Where the body has a constant
/// parameter, it says whether the set has fused multiply-adds.
macro_rules! multiversion {
    ($(#[$meta:meta])* fn $name:ident($($argument:ident: $type:ty),* $(,)?) = $body:ident $(<$fused:ident>)?) => {
        $(#[$meta])*
        pub(crate) fn $name(isa: $crate::cpu::isa::Isa, $($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,bmi2")]
            fn avx2($($argument: $type),*) {
                $(const $fused: bool = true;)?
                $body$(::<$fused>)?($($argument),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,bmi2")]
            fn avx512($($argument: $type),*) {
                $(const $fused: bool = true;)?
                $body$(::<$fused>)?($($argument),*)
            }
            $(const $fused: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));)?
            match isa {
                $crate::cpu::isa::Isa::Baseline => $body$(::<$fused>)?($($argument),*),
                // SAFETY: `Isa::detect` found these features on this machine.
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::isa::Isa::Avx2 => unsafe { avx2($($argument),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::isa::Isa::Avx512 => unsafe { avx512($($argument),*) },
            }
        }
    };
}
pub(crate) use multiversion;

#[cfg(test)]
impl Isa {
    /// Every instruction set that this machine can run.
    pub(crate) fn runnable() -> Vec<Isa> {
        match Isa::detect() {
            Isa::Baseline => vec![Isa::Baseline],
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => vec![Isa::Baseline, Isa::Avx2],
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => vec![Isa::Baseline, Isa::Avx2, Isa::Avx512],
        }
    }
}
