//! Where keys come from.

use std::hash::{BuildHasher, Hasher};
use std::sync::{Mutex, PoisonError};

use kiln_device::DType;

use crate::error::{At, Error, Result};
use crate::ops::random_key;
use crate::tensor::{Tensor, here};
use crate::trace;
use crate::variable::Variable;

/// A seed, the state of a [`SeedGenerator`], or a key (`uint32 [2]`): what a random tensor is made of.
///
/// Integers are seeds: the same one gives the same numbers. `()` draws from a generator of the process, which
/// [`set_seed`] starts anew.
#[derive(Clone, Debug)]
pub struct Seed {
    key: Tensor,
}

impl Seed {
    /// The key, `uint32 [2]`.
    pub fn key(&self) -> &Tensor {
        &self.key
    }
}

impl From<u64> for Seed {
    #[track_caller]
    fn from(seed: u64) -> Seed {
        Seed { key: Tensor::from_slice(&random_key(seed, 0)) }
    }
}

impl From<u32> for Seed {
    #[track_caller]
    fn from(seed: u32) -> Seed {
        Seed::from(u64::from(seed))
    }
}

impl From<i32> for Seed {
    #[track_caller]
    fn from(seed: i32) -> Seed {
        Seed::from(seed as u32)
    }
}

impl From<[u32; 2]> for Seed {
    #[track_caller]
    fn from(key: [u32; 2]) -> Seed {
        Seed { key: Tensor::from_slice(&key) }
    }
}

impl From<&Tensor> for Seed {
    fn from(key: &Tensor) -> Seed {
        Seed { key: key.clone() }
    }
}

impl From<&SeedGenerator> for Seed {
    #[track_caller]
    fn from(generator: &SeedGenerator) -> Seed {
        Seed { key: generator.next() }
    }
}

impl From<()> for Seed {
    #[track_caller]
    fn from((): ()) -> Seed {
        let at = here();
        Seed { key: drawn(|| process_key(at), at) }
    }
}

/// A key of the process' generator.
fn process_key(at: At) -> Tensor {
    if trace::current().is_some() {
        let message = "random numbers without a seed would be the same in every call of the function being traced. Create \
                       a `SeedGenerator` before it, and pass that";
        return Tensor::from_error(Error::Trace { message: message.into(), at }, at);
    }
    let mut process = PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
    let (seed, draws) = process.get_or_insert_with(|| (entropy(), 0));
    *draws += 1;
    Tensor::from_slice(&random_key(*seed, *draws))
}

/// A key that no other draw has. In a branch it is drawn before the branch; in the body of a loop one is drawn before the
/// loop, and each turn has a key made of that and its number.
fn drawn(draw: impl FnOnce() -> Tensor, at: At) -> Tensor {
    let turns = match trace::turns(at) {
        Ok(turns) => turns,
        Err(error) => return Tensor::from_error(error, at),
    };
    let key = trace::outside(draw);
    turns.iter().fold(key, |key, turn| {
        let number = turn.cast_at(DType::U32, at).broadcast_at(&[2], at);
        // Bits of the key's sum with the number, not the sum: in a loop within a loop two sums could be equal.
        Tensor::random_bits(&(key + number * Tensor::from_slice(&[1u32, 0])), &[2])
    })
}

/// Seed and number of draws of the process' generator.
static PROCESS: Mutex<Option<(u64, u64)>> = Mutex::new(None);

/// Starts the generator of the process anew, so that draws without a seed (`()`) repeat; Keras' `set_random_seed`.
pub fn set_seed(seed: u64) {
    *PROCESS.lock().unwrap_or_else(PoisonError::into_inner) = Some((seed, 0));
}

/// A number that nobody knows before.
fn entropy() -> u64 {
    // The standard library's hashers are keyed by the system's randomness.
    std::hash::RandomState::new().build_hasher().finish()
}

/// Keys that are new at every draw: a seed and a counter on the device.
///
/// Inside a [`crate::Function`], each call advances the counter by the draws that the function makes.
///
/// ```
/// use kiln_graph::random::{self, SeedGenerator};
/// use kiln_graph::{DType, Function};
/// let seeds = SeedGenerator::new(7)?;
/// let noise = Function::new("noise", move |_| Ok(vec![random::uniform(&[4], 0.0, 1.0, DType::F32, &seeds)]));
/// let first = noise.call(&[])?[0].to_vec::<f32>()?;
/// let second = noise.call(&[])?[0].to_vec::<f32>()?;
/// assert_ne!(first, second);
/// assert_eq!(noise.trace_count(), 1);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SeedGenerator {
    state: Variable,
}

impl SeedGenerator {
    /// A generator of a seed, whose first draw is that of the integer seed.
    ///
    /// # Errors
    /// As [`Variable::new`].
    #[track_caller]
    pub fn new(seed: u64) -> Result<SeedGenerator> {
        let state = Variable::new(&Tensor::from_slice(&random_key(seed, 0)))?;
        Ok(SeedGenerator { state: state.named("seed_generator_state") })
    }

    /// A generator of a seed that nobody knows.
    ///
    /// # Errors
    /// As [`Variable::new`].
    #[track_caller]
    pub fn unseeded() -> Result<SeedGenerator> {
        SeedGenerator::new(entropy())
    }

    /// The state, `uint32 [2]`: a key, whose second word counts draws. It can be saved and assigned.
    pub fn state(&self) -> &Variable {
        &self.state
    }

    /// The generator of a state, `uint32 [2]`: that of another generator, or a variable of your own.
    ///
    /// # Errors
    /// Where the variable has another form.
    #[track_caller]
    pub fn of_state(state: Variable) -> Result<SeedGenerator> {
        if state.shape() == [2] && state.dtype() == DType::U32 {
            return Ok(SeedGenerator { state });
        }
        let message = format!("expected uint32 [2] as state, received {} {:?}", state.dtype(), state.shape());
        Err(Error::Operation { op: "seed_generator", message, at: here() })
    }

    /// A key that no other draw has, `uint32 [2]`, for [`Tensor::random_bits`]. In the body of a loop every turn has
    /// another one; the state counts one draw for the loop.
    #[track_caller]
    pub fn next(&self) -> Tensor {
        let at = here();
        let draw = || {
            let key = self.state.read();
            match self.state.assign(&(&key + Tensor::from_slice(&[0u32, 1]))) {
                Ok(()) => key,
                Err(error) => Tensor::from_error(error, at),
            }
        };
        drawn(draw, at)
    }
}
