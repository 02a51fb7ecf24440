//! What the first program on a hook leaves for the second one: the change of a socket's state that it has treated.
//!
//! So the second one mostly has nothing to look up, and can count what it makes up for.

use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use aya_ebpf::programs::BtfTracePointContext;

/// Words for sockets, by their addresses: one that is taken for another's only costs a look into the socket's storage.
const WORDS: usize = 64;
/// 2^32 divided by the golden ratio: Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4).
const GOLDEN: u32 = 0x9e37_79b1;

/// A change of a socket's state.
#[derive(Clone, Copy)]
#[repr(C)]
struct Change {
    /// The socket's address in the kernel, compared and never followed.
    sk: u64,
    new: u64,
}

/// What one processor keeps.
#[repr(C)]
pub(crate) struct Treated {
    /// Where each of the two programs makes a number of an address: as a pointer nothing may be computed with it.
    address: [u64; 2],
    words: [Change; WORDS],
}

#[map]
static TREATED: PerCpuArray<Treated> = PerCpuArray::with_max_entries(1, 0);

/// Says that the hook's change is treated.
#[inline(always)]
pub(crate) fn note(ctx: &BtfTracePointContext) {
    if let Some((word, change)) = word(ctx, 0) {
        // SAFETY: this CPU's own element. What interrupts this leaves a word of another change.
        unsafe { word.write_volatile(change) };
    }
}

/// Whether that was said of the hook's change, once each time that it was. Where it was not, the change is treated in
/// all likelihood not.
#[inline(always)]
pub(crate) fn is_noted(ctx: &BtfTracePointContext) -> bool {
    let Some((word, change)) = word(ctx, 1) else { return false };
    // SAFETY: as above.
    unsafe {
        let noted = word.read_volatile();
        if noted.sk != change.sk || noted.new != change.new {
            return false;
        }
        // The same socket may change so again, and the first program then be left out.
        word.write_volatile(Change { sk: 0, new: 0 });
    }
    true
}

/// The word of the hook's socket, and the change.
#[inline(always)]
fn word(ctx: &BtfTracePointContext, program: usize) -> Option<(*mut Change, Change)> {
    let treated = TREATED.get_ptr_mut(0)?;
    // SAFETY: this CPU's own element; the place of the address is this program's, which never interrupts itself.
    unsafe {
        let address = &raw mut (*treated).address[program];
        address.write_volatile(ctx.arg(0));
        let sk = address.read_volatile();
        // Sockets are far more than a cache line long.
        let word = ((sk >> 6) as u32).wrapping_mul(GOLDEN) >> (u32::BITS - WORDS.ilog2());
        let words = (&raw mut (*treated).words).cast::<Change>();
        Some((words.add(word as usize), Change { sk, new: ctx.arg(2) }))
    }
}
