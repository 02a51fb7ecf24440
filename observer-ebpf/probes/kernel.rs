//! Reading the kernel: fields at offsets that the daemon found in BTF, and the settings.

use core::marker::PhantomData;
use core::ptr::{from_ref, read_volatile};

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use observer_ebpf::fields::Kernel;
use observer_ebpf::settings::ABSENT;

/// The offset of a member of type `T`; set by the daemon before the program is loaded and then
/// frozen, so that the verifier knows it as a constant.
#[repr(transparent)]
pub(crate) struct Field<T> {
    offset: u32,
    read: PhantomData<T>,
}

// SAFETY: it holds no `T`, only a number.
unsafe impl<T> Sync for Field<T> {}

impl<T: Copy> Field<T> {
    const fn new() -> Self {
        Self { offset: ABSENT, read: PhantomData }
    }

    /// Its offset. Volatile: the compiler must not take the initial value for the constant.
    #[inline(always)]
    fn offset(&'static self) -> u32 {
        // SAFETY: a reference is valid for reads.
        unsafe { read_volatile(from_ref(&self.offset)) }
    }

    /// The running kernel has it.
    #[inline(always)]
    pub(crate) fn is_present(&'static self) -> bool {
        self.offset() != ABSENT
    }

    /// Reads it with a plain load, which the verifier checks against the kernel's own types; a load
    /// from a pointer that is null or stale gives 0.
    ///
    /// # Safety
    /// `base` is a pointer that the verifier knows the type of.
    #[inline(always)]
    pub(crate) unsafe fn read(&'static self, base: *const Kernel) -> T {
        // SAFETY: the verifier checks this load for type and bounds when the program is loaded.
        unsafe { read_volatile(base.cast::<u8>().add(self.offset() as usize).cast::<T>()) }
    }

    /// Reads it through `bpf_probe_read_kernel`, for a pointer that may be null on kernels whose
    /// verifier does not say so. Gives `missing` where it cannot be read.
    #[inline(always)]
    pub(crate) fn probe(&'static self, base: *const Kernel, missing: T) -> T {
        // A newer verifier asks for this test before it allows the sum; an older one may leave it out,
        // and the helper then refuses the address.
        if base.is_null() {
            return missing;
        }
        let mut value = missing;
        // SAFETY: the destination is ours and `size_of::<T>()` long; the helper checks the source.
        unsafe {
            bpf_probe_read_kernel(
                (&raw mut value).cast(),
                size_of::<T>() as u32,
                base.cast::<u8>().wrapping_add(self.offset() as usize).cast(),
            );
        }
        value
    }

    /// The same at an address further on: a member of a structure inside this member.
    #[inline(always)]
    pub(crate) fn offset_of(&'static self) -> usize {
        self.offset() as usize
    }
}

macro_rules! globals {
    ($($global:ident: $structure:literal, $member:literal, $type:ty, $need:ident;)*) => {
        $(
            #[unsafe(no_mangle)]
            pub(crate) static $global: Field<$type> = Field::new();
        )*
    };
}

observer_ebpf::kernel_fields!(globals);

/// A setting of the daemon's, frozen before the program is loaded.
#[repr(transparent)]
pub(crate) struct Setting(u32);

impl Setting {
    /// It is on.
    #[inline(always)]
    pub(crate) fn is_on(&'static self) -> bool {
        self.value() != 0
    }

    /// Its value.
    #[inline(always)]
    pub(crate) fn value(&'static self) -> u32 {
        // SAFETY: a reference is valid for reads.
        unsafe { read_volatile(from_ref(&self.0)) }
    }
}

/// See `observer_ebpf::settings::name`.
#[unsafe(no_mangle)]
pub(crate) static EXIT_HAS_GROUP_DEAD: Setting = Setting(0);
/// See `observer_ebpf::settings::name`.
#[unsafe(no_mangle)]
pub(crate) static MEMORY_CONTROLLER: Setting = Setting(observer_ebpf::settings::ABSENT);
/// See `observer_ebpf::settings::name`.
#[unsafe(no_mangle)]
pub(crate) static VICTIM_IS_TASK: Setting = Setting(0);
/// See `observer_ebpf::settings::name`.
#[unsafe(no_mangle)]
pub(crate) static RETRANSMIT_HAS_ERROR: Setting = Setting(0);
/// See `observer_ebpf::settings::name`.
#[unsafe(no_mangle)]
pub(crate) static RESET_HAS_REASON: Setting = Setting(0);
/// See `observer_ebpf::settings::name`.
#[unsafe(no_mangle)]
pub(crate) static DROP_HAS_SOCKET: Setting = Setting(0);
/// See `observer_ebpf::settings::name`.
#[unsafe(no_mangle)]
pub(crate) static EVENT_BUDGET: Setting = Setting(0);
