//! The bpf system calls that aya does not offer: a program's figures, an iterator over one map.
#![allow(unsafe_code, reason = "bpf(2) takes a pointer to a union")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use aya_obj::generated::{bpf_attach_type, bpf_attr, bpf_cmd, bpf_prog_info};

/// What the kernel counts of one program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProgramFigures {
    /// How often it ran, where `kernel.bpf_stats_enabled` is set.
    pub(crate) run_count: u64,
    /// How long, in nanoseconds, where `kernel.bpf_stats_enabled` is set.
    pub(crate) run_time_ns: u64,
    /// How often the kernel left it out because it was running on that CPU already (6.1 and up).
    pub(crate) recursion_misses: u64,
}

/// Reads the figures of a program (`BPF_OBJ_GET_INFO_BY_FD`).
pub(crate) fn program_figures(program: BorrowedFd<'_>) -> io::Result<ProgramFigures> {
    let mut info = zeroed::<bpf_prog_info>();
    let mut attr = zeroed::<bpf_attr>();
    attr.info.bpf_fd = program.as_raw_fd() as u32;
    attr.info.info_len = size_of::<bpf_prog_info>() as u32;
    attr.info.info = (&raw mut info) as u64;
    bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(ProgramFigures {
        run_count: info.run_cnt,
        run_time_ns: info.run_time_ns,
        recursion_misses: info.recursion_misses,
    })
}

/// `union bpf_iter_link_info` (include/uapi/linux/bpf.h), of which the first member is used.
#[repr(C)]
struct IterLinkInfo {
    map_fd: u32,
    rest: [u32; 3],
}

/// Links a loaded iterator program (`BPF_LINK_CREATE`), where it goes through one map to that map
/// (`bpf_iter_link_info`).
pub(crate) fn link_iterator(program: BorrowedFd<'_>, map: Option<BorrowedFd<'_>>) -> io::Result<OwnedFd> {
    let info = map.map(|map| IterLinkInfo { map_fd: map.as_raw_fd() as u32, rest: [0; 3] });
    let mut attr = zeroed::<bpf_attr>();
    attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    attr.link_create.attach_type = bpf_attach_type::BPF_TRACE_ITER as u32;
    if let Some(info) = &info {
        attr.link_create.__bindgen_anon_3.__bindgen_anon_1.iter_info = std::ptr::from_ref(info) as u64;
        attr.link_create.__bindgen_anon_3.__bindgen_anon_1.iter_info_len = size_of::<IterLinkInfo>() as u32;
    }
    bpf_fd(bpf_cmd::BPF_LINK_CREATE, &mut attr)
}

/// One pass of a linked iterator (`BPF_ITER_CREATE`): reading the file runs it.
pub(crate) fn open_iterator(link: BorrowedFd<'_>) -> io::Result<File> {
    let mut attr = zeroed::<bpf_attr>();
    attr.iter_create.link_fd = link.as_raw_fd() as u32;
    bpf_fd(bpf_cmd::BPF_ITER_CREATE, &mut attr).map(File::from)
}

/// The keys that a hash map has now (`BPF_MAP_GET_NEXT_KEY`). One that is changed meanwhile may be counted wrongly by
/// what is changed, and no more than `most` are counted.
pub(crate) fn count_keys(map: BorrowedFd<'_>, key_size: usize, most: u64) -> io::Result<u64> {
    let (mut key, mut next) = (vec![0_u8; key_size], vec![0_u8; key_size]);
    for count in 0..most {
        let mut attr = zeroed::<bpf_attr>();
        attr.__bindgen_anon_2.map_fd = map.as_raw_fd() as u32;
        attr.__bindgen_anon_2.key = if count == 0 { 0 } else { key.as_ptr() as u64 };
        attr.__bindgen_anon_2.__bindgen_anon_1.next_key = next.as_mut_ptr() as u64;
        match bpf(bpf_cmd::BPF_MAP_GET_NEXT_KEY, &mut attr) {
            Ok(_) => std::mem::swap(&mut key, &mut next),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(count),
            Err(error) => return Err(error),
        }
    }
    Ok(most)
}

/// Loads a program as it stands.
#[cfg(test)]
pub(super) fn load_program(
    kind: aya_obj::generated::bpf_prog_type,
    program: &[aya_obj::generated::bpf_insn],
) -> io::Result<OwnedFd> {
    let mut attr = zeroed::<bpf_attr>();
    attr.__bindgen_anon_3.prog_type = kind as u32;
    attr.__bindgen_anon_3.insn_cnt = program.len() as u32;
    attr.__bindgen_anon_3.insns = program.as_ptr() as u64;
    attr.__bindgen_anon_3.license = c"GPL".as_ptr() as u64;
    bpf_fd(bpf_cmd::BPF_PROG_LOAD, &mut attr)
}

/// Runs a raw tracepoint's program with those arguments; gives what it returns.
#[cfg(test)]
pub(super) fn run_program(program: BorrowedFd<'_>, arguments: &[u64]) -> io::Result<u32> {
    let mut attr = zeroed::<bpf_attr>();
    attr.test.prog_fd = program.as_raw_fd() as u32;
    attr.test.ctx_in = arguments.as_ptr() as u64;
    attr.test.ctx_size_in = size_of_val(arguments) as u32;
    bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr)?;
    // SAFETY: the kernel has filled in this member.
    Ok(unsafe { attr.test.retval })
}

/// C structures and unions of integers, for which zeros are valid.
trait Plain {}
impl Plain for bpf_attr {}
impl Plain for bpf_prog_info {}

fn zeroed<T: Plain>() -> T {
    // SAFETY: see `Plain`.
    unsafe { std::mem::zeroed() }
}

fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i64> {
    // SAFETY: the attribute and all that it points to outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command as i64, attr, size_of::<bpf_attr>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// For the commands that make a file descriptor.
fn bpf_fd(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    let fd = bpf(command, attr)?;
    // SAFETY: the kernel has just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
